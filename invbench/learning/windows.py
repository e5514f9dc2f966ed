"""Windows to learn forecasts from: what was seen just before a period, and lead-time demand from that period on.

Where the process is known they are cut from its paths. Where a history was observed they are cut from paths of the simulator
that was fitted to it, and a share from the history itself: the simulator knows every season, but it draws blocks of two weeks,
so that what lasts longer, or leads from one block to the next, is in the history alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.keys import named, root
from invbench.learning import baseline
from invbench.problem import Problem
from invbench.scenarios.base import draw
from invbench.tuning import levels
from invbench.types import Array, Paths, Policy

VALUES = 2**22  # demand values of a pool: with many items it has fewer paths
RECENT = 730  # observed periods that windows are cut from, as the fitted simulator
VALIDATED = 128  # lanes that validate: paths, where there is one item
KEPT = 0.2  # share of them, the last, that validate
LEVELS = 0.0, 3.0  # standard deviations of safety stock of those whose sales are seen


class Pool(NamedTuple):
    """Periods that windows end before; a lane is an item of a path."""

    seen: Array  # [period, lane] units: demand, or what was sold
    future: Array  # [period, lane] units: lead-time demand from that period on
    told: Array  # [period, lane] 1 where `future` was seen in full, else 0
    usual: Array  # [lane] mean demand a period of the item, units
    first: Array | int  # absolute number of the first period
    low: Array | int  # windows end before the rows low … high - 1
    high: Array | int


class Windows(NamedTuple):
    """A batch of them."""

    seen: Array  # [window, lane]
    future: Array  # [lane]
    told: Array  # [lane]
    usual: Array  # [lane]
    time: Array  # [lane] the period that follows


def drawn(pool: Pool, key: Array, count: int, window: int) -> Windows:
    """Random windows, of any period and lane."""
    rows = jax.random.randint(named(key, "rows"), (count,), pool.low, pool.high)
    lanes = jax.random.randint(named(key, "lanes"), (count,), 0, pool.seen.shape[1])
    before = rows + jnp.arange(-window, 0)[:, None]
    return Windows(
        pool.seen[before, lanes], pool.future[rows, lanes], pool.told[rows, lanes], pool.usual[lanes], pool.first + rows
    )


def together(windows: list[Windows]) -> Windows:
    """One batch of several."""
    return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=-1), *windows)


def simulated(problem: Problem, key: Array, n: int) -> Pool:
    """Windows from about n paths of what the fit may know, an item each."""
    cover = problem.system.lead_time + 1
    periods = problem.window + problem.horizon + cover
    n = max(2, min(-(-n // problem.items), VALUES // (periods * problem.items)))
    demand = np.asarray(draw(problem.scenario, named(key, "demand"), n, periods, problem.start - problem.window))
    return _simulated(problem, demand, key)


def validation(problem: Problem) -> Pool:
    """Windows from validation paths, the same for all methods."""
    cover = problem.system.lead_time + 1
    require(problem.horizon >= cover, "evaluation.horizon", f">= system.lead_time + 1 ({cover})", problem.horizon)
    paths = problem.validation_paths(max(2, VALIDATED // problem.items))
    demand = np.concatenate([np.asarray(paths.before)[-problem.window :], np.asarray(paths.demand)])
    return _simulated(problem, demand, root(problem.seed, "validation windows"))


def _simulated(problem: Problem, demand: np.ndarray, key: Array) -> Pool:
    """demand: [period, n, item] from period start - window on."""
    seen = demand if getattr(problem.system, "backlog", False) else _sold(problem, demand, key)
    rows = problem.window, len(demand) - problem.system.lead_time
    return _pool(problem, seen, demand, None, problem.start - problem.window, rows)


def observed(problem: Problem) -> tuple[Pool, Pool]:
    """Windows from the observed history: those to learn from, and the last ones, to validate on.

    Lead-time demand that was not seen in full teaches nothing.
    """
    cover = problem.system.lead_time + 1
    sales = np.asarray(problem.history.sales, np.float32)[-RECENT:]
    flags = None if problem.history.in_stock is None else np.asarray(problem.history.in_stock)[-RECENT:][:, None]
    cut = int(len(sales) * (1 - KEPT))
    ends = (problem.window, max(cut - cover, problem.window) + 1), (max(cut, problem.window), len(sales) - cover + 1)
    first = problem.start - len(sales)
    return tuple(_pool(problem, sales[:, None], sales[:, None], flags, first, rows) for rows in ends)


def least_history(problem: Problem) -> int:
    """Observed periods without which no window could be cut."""
    return problem.window + problem.system.lead_time + 1


def _pool(problem: Problem, seen: np.ndarray, demand: np.ndarray, flags, first: int, rows: tuple[int, int]) -> Pool:
    """seen, demand: [period, n, item]; flags: the same, False where sales may be less than demand, or None."""
    cover = problem.system.lead_time + 1
    flat = lambda part: jnp.asarray(part, jnp.float32).reshape(len(part), -1)  # noqa: E731
    told = np.ones_like(demand) if flags is None else flags
    future, whole = (_ahead(np.asarray(part, np.float64), cover) for part in (demand, told))
    usual = np.tile(usual_demand(problem), demand.shape[1])
    return Pool(flat(seen), flat(future), flat(whole > cover - 0.5), jnp.asarray(usual), first, *rows)


def usual_demand(problem: Problem) -> np.ndarray:
    """[item] mean demand a period over the horizon, units; never nothing at all."""
    mean = levels(problem, jax.random.key(0))[0]
    return np.maximum(mean, max(1e-3 * mean.max(), 1e-6)).astype(np.float32)


def _ahead(demand: np.ndarray, cover: int) -> np.ndarray:
    """Sums over `cover` periods from each period on; nothing where the end is nearer."""
    total = np.concatenate([np.zeros_like(demand[:1]), np.cumsum(demand, axis=0)])
    return np.concatenate([total[cover:] - total[:-cover], np.zeros_like(demand[: cover - 1])])


def _sold(problem: Problem, demand: np.ndarray, key: Array) -> np.ndarray:
    """[period, n, item] what is seen of demand where it is lost: that of the window, then sales of base-stock rules.

    Every path has a level of its own, from one that often falls short to one that hardly ever does.
    """
    window, cover = problem.window, problem.system.lead_time + 1
    future = demand[window:]
    safety = np.asarray(jax.random.uniform(named(key, "levels"), (demand.shape[1], 1), minval=LEVELS[0], maxval=LEVELS[1]))
    level = cover * future.mean((0, 1)) + safety * np.sqrt(cover) * future.std((0, 1))
    level = jnp.asarray(np.broadcast_to(level, demand.shape[1:]), jnp.float32)
    given = {"level": level, "gap": jnp.zeros_like(level), "cap": jnp.full_like(level, baseline.FREE)}
    rule = Policy(given, baseline.order_up_to, elementwise=False, per_path=True)
    delay = problem.system.draw_delays(named(key, "delay"), *future.shape[:2])
    paths = Paths(jnp.asarray(future), jnp.asarray(demand[:window]), delay, problem.start)
    sold = np.asarray(problem.simulate(rule, paths).sold)
    return np.concatenate([demand[:window], np.swapaxes(sold, 0, 1)])
