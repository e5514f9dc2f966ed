"""The report of one policy: the value of every path, and what is derived from it."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench import replay
from invbench.costs import CostModel, MethodCosts, Money
from invbench.evaluation import breakeven, risk, statistics
from invbench.evaluation.statistics import Estimate
from invbench.problem import Problem, paths_hash
from invbench.types import Array, Flows, Paths, Policy

CHUNK_VALUES = 2**22  # path x period x item that are looked at together


@dataclass(frozen=True)
class Report:
    """What was judged. Arrays [unit]: a unit is a path; where there is one path of many items, it is an item (a series)."""

    money: dict[str, np.ndarray]  # by component of `Money`, [unit], over the horizon
    counts: dict[str, np.ndarray]  # sums over the horizon that service measures are ratios of, [unit]
    unit: str  # "path" or "series"
    horizon: int
    items: int
    hash: str
    paths: int
    first: Flows  # of the first path, each [horizon, item]

    @property
    def benefit(self) -> np.ndarray:
        """[unit] net benefit of operations."""
        return np.asarray(Money(**self.money).benefit)

    @property
    def total(self) -> float:
        """How many units make the whole: money of one path is the whole, money of one series is one of many."""
        return float(self.items) if self.unit == "series" else 1.0


def evaluate(problem: Problem, policy: Policy, paths: Paths, key: Array | None = None) -> Report:
    """Judge a policy on paths. Every period is looked at, in chunks of paths that fit in memory."""
    horizon, n, items = paths.demand.shape
    size = _together(paths)
    parts = [_chunk(problem, policy, paths, first, min(size, n - first), key) for first in range(0, n, size)]
    *sums, story = zip(*parts, strict=True)
    money, counts = (jax.tree.map(lambda *leaves: np.concatenate(leaves), *part) for part in sums)
    by_series = n == 1 and items > 1
    collapse = (lambda leaf: leaf[0]) if by_series else (lambda leaf: leaf.sum(1))
    money = {name: np.asarray(collapse(leaf), np.float64) for name, leaf in money._asdict().items()}
    counts = {name: np.asarray(collapse(leaf), np.float64) for name, leaf in counts.items()}
    return Report(money, counts, "series" if by_series else "path", horizon, items, paths_hash(paths), n, story[0])


def decision(problem: Problem, policy: Policy, paths: Paths, key: Array | None = None) -> float:
    """Seconds for one decision where everything is compiled: of a path, item and period of what `evaluate` looks at together."""
    started = time.perf_counter()
    flows = jax.block_until_ready(_flows(problem, policy, paths, 0, _together(paths), key))
    return (time.perf_counter() - started) / flows.demand.size


def _together(paths: Paths) -> int:
    """How many paths are looked at together, at most all of them."""
    horizon, n, items = paths.demand.shape
    return min(n, max(1, CHUNK_VALUES // (horizon * items)))


def _chunk(problem: Problem, policy: Policy, paths: Paths, first: int, size: int, key: Array | None) -> Any:
    """Money, counts and the flows of the first path of a chunk."""
    flows = _flows(problem, policy, paths, first, size, key)
    found = _count(flows, problem.cost, getattr(problem.system, "served", None))
    return (*jax.tree.map(np.asarray, found), jax.tree.map(_first, flows))


def _first(leaf: Array | np.ndarray) -> np.ndarray:
    """[horizon, item] of the first path, from the core that has it: cores need not wait for each other to take it."""
    shards = getattr(leaf, "addressable_shards", None)
    if shards is None:
        return np.asarray(leaf[0])
    return np.asarray(next(shard.data for shard in shards if not shard.index[0].start))[0]


def _flows(problem: Problem, policy: Policy, paths: Paths, first: int, size: int, key: Array | None) -> Flows:
    if (first, size) == (0, paths.demand.shape[1]):
        return replay.flows(problem.system, policy, paths, key=key)
    cut = lambda leaf: None if leaf is None else leaf[:, first : first + size]  # noqa: E731
    own = Paths(*(cut(part) for part in paths[:3]), paths.start)
    if policy.per_path:
        policy = policy._replace(params=jax.tree.map(lambda leaf: leaf[..., first : first + size, :], policy.params))
    return replay.flows(problem.system, policy, own, key=key, first=first)


@jax.jit
def _count(flows: Flows, cost: CostModel, served: Array | None) -> tuple[Money, dict[str, Array]]:
    """Money and counts over the horizon, each [n, item]; flows: [n, horizon, item]; served: [item] 1 for network customers."""
    horizon = flows.demand.shape[1]
    last = (jnp.arange(horizon) == horizon - 1)[None, :, None]
    money = jax.tree.map(partial(jnp.sum, axis=1), cost.charge(flows, last))
    short, arrives = flows.missed > 0, flows.received > 0
    cycles, short_cycles = _cycles(short, arrives)
    # in a chain only the first stage has customers, so that it alone has a service
    if served is None:
        served = 1.0 if flows.in_transit is None else (jnp.arange(flows.demand.shape[-1]) == 0).astype(jnp.float32)
    stocked = served if flows.used is None else 0.0  # customers of a network hold no stock, and sites have no service
    sums = {
        "demand": flows.demand,
        "met": flows.demand - flows.missed,
        "sold": flows.sold,
        "held": flows.held,
        "orders": flows.placed,
        "ready": (flows.held > 0) * stocked,
        "no_stockout": ~short * served,
        "periods": jnp.ones_like(flows.demand) * served,
        "ready_periods": jnp.ones_like(flows.demand) * stocked,
    }
    sums = {name: jnp.sum(value.astype(jnp.float32), axis=1) for name, value in sums.items()}
    return money, {**sums, "cycles": cycles * stocked, "good_cycles": (cycles - short_cycles) * stocked}


def _cycles(short: Array, arrives: Array) -> tuple[Array, Array]:
    """[n, item] replenishment cycles (from one receipt to the next, or to the end), and those with a stock-out."""

    def period(carry, today):
        open_short, cycles, bad = carry
        short, arrives = today
        bad = bad + (arrives & open_short)
        open_short = (open_short & ~arrives) | short
        return (open_short, cycles + arrives, bad), None

    zero = jnp.zeros((short.shape[0], short.shape[2]), jnp.float32)
    by_time = jnp.moveaxis(short, 1, 0), jnp.moveaxis(arrives, 1, 0)
    (open_short, cycles, bad), _ = lax.scan(period, (zero > 0, zero, zero), by_time)
    return cycles + ~arrives[:, 0], bad + open_short  # what is before the first receipt, if anything, is a cycle too


def figures(report: Report, costs: MethodCosts, aversion: float, target_fill_rate: float) -> dict[str, Any]:
    """Every figure of report.json that comes from the paths: estimates {mean, lower, upper} or {value}."""
    whole, benefit, counts = report.total, report.benefit, report.counts
    operating = statistics.mean(benefit).scaled(whole)
    spent = costs.total(report.horizon)
    parts = {name: statistics.mean(values).scaled(whole) for name, values in report.money.items()}
    cost = np.asarray(Money(**report.money).cost)
    fill = np.divide(counts["met"], counts["demand"], out=np.ones_like(counts["met"]), where=counts["demand"] > 0)
    return {
        "net_benefit": _estimate(Estimate(*(None if bound is None else bound - spent for bound in operating))),
        "operating_benefit": _estimate(operating),
        "method_cost": {"value": spent, **costs._asdict()},
        **{name: _estimate(part) for name, part in parts.items()},
        "average_cost": _estimate(statistics.mean(cost).scaled(whole / report.horizon)),
        **_risk(report, aversion),
        "fill_rate": _estimate(statistics.ratio(counts["met"], counts["demand"])),
        "ready_rate": _estimate(statistics.ratio(counts["ready"], counts["ready_periods"])),
        "cycle_service": _estimate(statistics.ratio(counts["good_cycles"], counts["cycles"])),
        "no_stockout": _estimate(statistics.ratio(counts["no_stockout"], counts["periods"])),
        "target_met": {**_estimate(statistics.mean(fill >= target_fill_rate)), "target_fill_rate": target_fill_rate},
        "turnover": _estimate(statistics.ratio(counts["sold"] * report.horizon, counts["held"])),
        "roi_reference": {"value": breakeven.roi_reference(operating.mean - spent, whole * float(cost.mean()) + spent)},
        "orders": _estimate(statistics.mean(counts["orders"]).scaled(whole)),
    }


def _risk(report: Report, aversion: float) -> dict[str, Any]:
    """Risk over paths; with one real path there is none to be had: how series differ is another matter."""
    names = ("std", "risk_adjusted", "cvar")
    if report.unit == "series":
        return {name: {"withheld": "one path"} for name in names} | {
            "risk_adjusted": {"withheld": "one path", "aversion": aversion}
        }
    tail = risk.cvar(report.benefit)
    return {
        "std": {"value": risk.spread(report.benefit)},
        "risk_adjusted": {"value": risk.risk_adjusted(report.benefit, aversion), "aversion": aversion},
        "cvar": {"withheld": f"fewer than {risk.FEWEST_PATHS} paths"} if tail is None else _estimate(tail),
    }


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    finite = lambda value: None if value is None or not np.isfinite(value) else float(value)  # noqa: E731
    return {name: finite(value) for name, value in estimate._asdict().items()}
