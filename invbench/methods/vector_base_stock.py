"""Vector base-stock: a level for every part of the pipeline, all at one fractile of the demand that the part has to meet.

Sources: Morton 1971, "The near-myopic nature of the lagged-proportional-cost inventory problem with lost sales", Operations
Research 19(7); Zipkin 2008, "Old and new methods for lost-sales inventory systems", Operations Research 56(5), 1256-1263.
With x on hand after receipt and q_1, …, q_{L-1} on order, the order a is the largest with x + q_1 + … + a <= s_0,
q_1 + … + a <= s_1, …, a <= s_L. s_j is the smallest s with P(demand of L + 1 - j periods <= s) >= fractile.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.formulas import critical_fractile
from invbench.problem import Problem
from invbench.tuning import PATH_VALUES, Budget
from invbench.types import Array, Observation, Paths, Policy

DRAWS = 256  # futures whose demand gives the levels where no probabilities are known
GRID = 1000  # fractiles that are tried there
HIGHEST = 1 - 1e-9  # fractile: above it the probabilities are rounding errors


@dataclass(frozen=True)
class VectorBaseStock:
    """All levels from one fractile, the same in every period.

    fractile: "standard", the critical ratio (what Zipkin calls standard); "better", that of the vector of levels that earns
    most on training paths; or a number in (0, 1). Zipkin's θ is 1 - fractile.
    """

    tuning: Budget
    fractile: float | str = "better"
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        if self.fractile == "better":
            return policy_of(best(problem, every_vector(problem, key), self.tuning, key, log))
        standard = self.fractile == "standard"
        fractile = critical_fractile(problem.cost, problem.system.backlog) if standard else _number(self.fractile)
        return policy_of(levels_at(problem, key, np.broadcast_to(fractile, (1, problem.items)))[0])


def _number(fractile: float | str) -> float:
    given = isinstance(fractile, float) and 0 < fractile <= HIGHEST
    require(given, "method.fractile", "better, standard or a number between 0 and 1", fractile)
    return float(fractile)


def policy_of(levels: Array) -> Policy:
    """The rule with these levels s_0, …, s_L: units, [L + 1, item], or [candidate, L + 1, item] for `problem.benefits`."""
    return Policy({"levels": jnp.asarray(levels, jnp.float32)}, order_up_to_levels)


def order_up_to_levels(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The largest order that keeps every sum within its level; levels: [L + 1, item], the one for all of the stock first."""
    levels, on_order = params["levels"], observation.pipeline
    lead_time, waiting = levels.shape[0] - 1, 0.0
    room = levels[0] - observation.position
    for j in range(lead_time, 0, -1):  # unrolled when compiled
        waiting = waiting + on_order[j - 1] if j < lead_time else waiting  # what arrives in j periods or later, today's apart
        room = jnp.minimum(room, levels[j] - waiting)
    return jnp.maximum(room, 0)


# levels for fractiles


def levels_at(problem: Problem, key: Array, fractiles: np.ndarray) -> np.ndarray:
    """[fractile, L + 1, item] levels s_0, …, s_L for fractiles [fractile, item], from what the fit expects of demand."""
    if hasattr(problem.scenario, "pmf"):
        return np.moveaxis(levels_of(problem.scenario.pmf(), problem.system.lead_time, fractiles), -1, 1)
    demand = problem.outlook(key, DRAWS)[problem.window :]
    total = np.concatenate([np.zeros_like(demand[:1]), np.cumsum(demand, axis=0, dtype=np.float64)])
    covers = range(problem.system.lead_time + 1, 0, -1)
    return np.stack([_quantiles((total[cover:] - total[:-cover])[: problem.horizon], fractiles) for cover in covers], 1)


def levels_of(pmf: np.ndarray, lead_time: int, fractiles: np.ndarray) -> np.ndarray:
    """[..., L + 1] levels for independent demand of 0, 1, 2, … with probabilities pmf; fractiles: [...]."""
    return np.stack([np.searchsorted(below, fractiles - 1e-12) for below in _below(pmf, lead_time)], -1)


def vectors(pmf: np.ndarray, lead_time: int) -> np.ndarray:
    """[vector, L + 1] all vectors of levels that differ, from the lowest fractile to the highest."""
    steps = np.concatenate(_below(pmf, lead_time))  # between two of these no level changes
    return np.unique(levels_of(pmf, lead_time, np.minimum(steps, HIGHEST)), axis=0)


def _below(pmf: np.ndarray, lead_time: int) -> list[np.ndarray]:
    """P(demand of L + 1 - j periods <= 0, 1, 2, …) for j = 0, …, L."""
    sums = [pmf]
    for _ in range(lead_time):
        sums.append(np.convolve(sums[-1], pmf))
    return [np.cumsum(total) for total in reversed(sums)]


def _quantiles(demand: np.ndarray, fractiles: np.ndarray) -> np.ndarray:
    """[fractile, item] the smallest value of demand [period, n, item] that at least the share `fractiles` does not exceed."""
    ordered = np.sort(demand.reshape(-1, demand.shape[-1]), axis=0)
    rank = np.ceil(fractiles * len(ordered) - 1e-6).astype(int) - 1
    return np.take_along_axis(ordered, np.clip(rank, 0, len(ordered) - 1), 0)


# the best vector


def every_vector(problem: Problem, key: Array) -> np.ndarray:
    """[vector, L + 1, item] in rising order: all where probabilities are known, else those of a grid of fractiles."""
    if hasattr(problem.scenario, "pmf"):
        found = vectors(problem.scenario.pmf(), problem.system.lead_time)
        return np.broadcast_to(found[:, :, None], (*found.shape, problem.items))
    fractiles = (np.arange(GRID) + 0.5) / GRID
    return levels_at(problem, key, np.broadcast_to(fractiles[:, None], (GRID, problem.items)))


def best(problem: Problem, table: np.ndarray, budget: Budget, key: Array, log: Callable[[dict, int], None]) -> np.ndarray:
    """[L + 1, item] the row of `table` [vector, L + 1, item] that earns most on training paths, item by item.

    All rows, if the budget allows so many candidates; else evenly spaced ones, then closer around the best so far.
    """
    paths = problem.training_paths(key, max(64, min(budget.paths, PATH_VALUES // problem.items)))
    low, high = np.zeros(problem.items), np.full(problem.items, len(table) - 1.0)
    count, every = min(budget.candidates, len(table)), np.arange(problem.items)
    found, value = np.zeros(problem.items, int), np.full(problem.items, -np.inf)
    for step in range(budget.rounds):
        rows = np.round(np.linspace(low, high, count)).astype(int)  # [candidate, item]
        worth = _worth(problem, np.take_along_axis(table, rows[:, None], 0), paths)
        winner = worth.argmax(0)
        better = worth.max(0) > value
        found, value = np.where(better, rows[winner, every], found), np.maximum(worth.max(0), value)
        log({"tuning/benefit": float(value.sum())}, step)
        reach = np.ceil(1.25 * (high - low) / max(count - 1, 1))  # in rows: the best lies within one step of the best tried
        if np.all(high - low < count):
            break  # every row between the bounds was tried
        low, high = np.maximum(found - reach, 0), np.minimum(found + reach, len(table) - 1)
    return table[found, :, every].T


def _worth(problem: Problem, levels: np.ndarray, paths: Paths) -> np.ndarray:
    """[candidate, item] mean net benefit of levels [candidate, L + 1, item], in as many calls as memory asks for."""
    size = max(2, 2**26 // (paths.demand.shape[1] * problem.items))
    parts = [problem.benefits(policy_of(levels[at : at + size]), paths).mean(1) for at in range(0, len(levels), size)]
    return np.concatenate([np.asarray(part, np.float64) for part in parts])
