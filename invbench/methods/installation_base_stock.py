"""Installation base-stock: every site of a network orders up to its own level, whatever the others have.

Source: Axsäter and Rosling 1993, "Installation vs. echelon stock policies for multilevel inventory control", Management Science
39(10), 1274-1280. A site's level is a fractile of the demand that reaches it over its longest lead time and a period.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require
from invbench.dynamics.network import Network, Split, split
from invbench.problem import Problem
from invbench.tuning import PATH_VALUES, Budget, is_whole
from invbench.types import Array, Observation, Paths, Policy

DRAWS = 256  # futures whose demand gives the levels
LOWEST, HIGHEST = 0.01, 0.9999  # fractiles that are tried


@dataclass(frozen=True)
class InstallationBaseStock:
    """Levels of all sites from one fractile, the same in every period; orders and customers go by the network's fixed shares.

    fractile: "tuned", that which earns most on training paths; or a number in (0, 1).
    """

    tuning: Budget
    fractile: float | str = "tuned"
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True
    systems: ClassVar[tuple[str, ...]] = ("network",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        system = problem.system
        require(isinstance(system, Network), "system", "network for method installation_base_stock", type(system).__name__)
        sums, parts = lead_time_demand(problem, key), system.splits()
        fractile = self.fractile
        if fractile == "tuned":
            fractile = best(problem, sums, parts, self.tuning, key, log)
        else:
            number("method.fractile", fractile, low=0, high=HIGHEST, above=True)
        return policy_of(levels(sums, np.asarray([fractile]), problem, key)[0], parts)


def policy_of(level: Array | np.ndarray, parts: Split) -> Policy:
    """The rule with these levels [node item]; those of customers are not used."""
    return Policy({"level": jnp.asarray(level, jnp.float32), "split": parts}, order_up_to_own_level)


def order_up_to_own_level(params: dict, observation: Observation, key: Array | None) -> Array:
    """[arc item] what lifts each site's own position to its level, spread over its suppliers; customers by their shares."""
    return split(params["split"], jnp.maximum(params["level"] - observation.position, 0), observation.time)


def lead_time_demand(problem: Problem, key: Array) -> np.ndarray:
    """[sample, site item] demand that reaches each site over its longest lead time and a period, in rising order."""
    system = problem.system
    reaches = np.asarray(system.need(jnp.asarray(problem.outlook(key, DRAWS)[problem.window :])), np.float64)
    total = np.concatenate([np.zeros_like(reaches[:1]), np.cumsum(reaches, axis=0)])
    covers = np.repeat(system.longest, system.products) + 1
    starts = np.arange(problem.horizon)[:, None, None]
    items = np.arange(total.shape[-1])
    paths = np.arange(total.shape[1])[:, None]
    sums = total[starts + covers, paths, items] - total[starts, paths, items]
    return np.sort(sums.reshape(-1, total.shape[-1]), axis=0)


def levels(sums: np.ndarray, fractiles: np.ndarray, problem: Problem, key: Array) -> np.ndarray:
    """[fractile, node item] the smallest levels that at least that share of `sums` does not exceed; whole where demand is."""
    rank = np.ceil(fractiles * len(sums) - 1e-6).astype(int) - 1
    chosen = sums[np.clip(rank, 0, len(sums) - 1)]
    chosen = np.ceil(chosen - 1e-3) if is_whole(problem, key) else chosen
    customers = np.zeros((len(fractiles), problem.system.demand_items))
    return np.concatenate([customers, chosen], 1).astype(np.float32)


def best(problem: Problem, sums: np.ndarray, parts: Split, budget: Budget, key: Array, log: Callable[[dict, int], None]) -> float:
    """The fractile that earns most on training paths: evenly spaced ones, then closer around the best so far."""
    paths = problem.training_paths(key, max(64, min(budget.paths, PATH_VALUES // len(problem.system.served))))
    low, high, found, value = LOWEST, HIGHEST, LOWEST, -np.inf
    count = max(4, budget.candidates // budget.rounds)
    for step in range(budget.rounds):
        tried = np.linspace(low, high, count)
        worth = _worth(problem, levels(sums, tried, problem, key), parts, paths)
        if worth.max() > value:
            found, value = float(tried[worth.argmax()]), float(worth.max())
        log({"tuning/benefit": value}, step)
        reach = 1.25 * (high - low) / (count - 1)
        low, high = max(found - reach, LOWEST), min(found + reach, HIGHEST)
    return found


def _worth(problem: Problem, level: np.ndarray, parts: Split, paths: Paths) -> np.ndarray:
    """[candidate] mean net benefit of the whole network, in as many calls as memory asks for."""
    rows = max(2, 2**24 // (paths.demand.shape[1] * level.shape[1]))
    policy, worth = policy_of(level[0], parts), []
    for first in range(0, len(level), rows):
        own = {"level": jnp.asarray(level[first : first + rows])}
        benefits = problem.benefits(policy._replace(params=own), paths, shared={"split": parts})
        worth.append(np.asarray(benefits.mean(1), np.float64).sum(-1))
    return np.concatenate(worth)
