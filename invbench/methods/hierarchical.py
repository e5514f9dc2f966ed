"""Three planning layers on a network: where to be open (SCIP), who is served from where (LP), what to order each day (DP).

Sources: Hax and Meal 1975, "Hierarchical integration of production planning and scheduling"; Daskin 2013, Network and Discrete
Location; Puterman 1994, Markov Decision Processes, chapter 4. Each layer plans within what the one above decided, and the
tactical layer plans anew every month from what has been seen. In place of each layer there may be a rule of thumb.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import choice, require, whole
from invbench.keys import named
from invbench.networks import distribution
from invbench.networks.facilities import Facilities
from invbench.planners import hierarchy
from invbench.planners.strategic import Strategic
from invbench.problem import Problem
from invbench.types import Array, Policy

LAYERS = ("plan", "rule")


@dataclass(frozen=True)
class Hierarchical:
    """A policy for a network of sites and customers; every field is explained in its YAML."""

    strategic: str
    tactical: str
    operational: str
    planner: Strategic
    customers_per_site: int
    every: int
    months: int
    near: int
    learns: bool | str
    days_of_supply: int
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False
    systems: ClassVar[tuple[str, ...]] = ("network",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field or the problem makes no sense, `Infeasible` where no design is feasible."""
        self._check(problem)
        books, expected = hierarchy.money(problem), hierarchy.outlook(problem, named(key, "outlook"))
        opened = self._opened(problem, log)
        shares = self._shares(problem, opened, books, expected, log)  # [month, open site, customer]
        month = np.minimum(np.arange(problem.horizon) // self.every, len(shares) - 1)
        coming = slice(problem.window, problem.window + problem.horizon)
        load = np.einsum("tsc,tc->ts", shares[month], expected.mean[coming])
        spread = np.sqrt(np.einsum("tsc,tc->ts", shares[month] ** 2, expected.std[coming] ** 2))
        params = self._instructions(problem, opened, shares[0], load) | self._orders(problem, opened, books, load, spread)
        apply = hierarchy.by_programme if self.operational == "plan" else hierarchy.by_cover
        if self.tactical == "rule":
            return Policy(params, apply)
        params["plan"] = self._plan(problem, opened, books, expected, load)
        window = problem.window if self._learns(problem) else 0
        return Policy(params, apply, window=window, every=self.every, revise=hierarchy.revise)

    def _check(self, problem: Problem) -> None:
        if not isinstance(problem.network, Facilities):
            raise ValueError("network must be chosen for method=hierarchical, as network=generated, got none")
        for layer in ("strategic", "tactical", "operational"):
            choice(f"method.{layer}", getattr(self, layer), LAYERS)
        for name in ("customers_per_site", "every", "months", "near"):
            whole(f"method.{name}", getattr(self, name), low=1)
        whole("method.days_of_supply", self.days_of_supply)
        require(self.learns in (True, False, "auto"), "method.learns", "true, false or auto", self.learns)

    def _learns(self, problem: Problem) -> bool:
        return all(problem.system.backlog) if self.learns == "auto" else bool(self.learns)

    def _opened(self, problem: Problem, log: Callable) -> np.ndarray:
        """[site] bool. Costs are the network's own; those that a simulation finds would come in here, as other costs of it."""
        if self.strategic == "rule":
            return hierarchy.largest(problem.network, self.customers_per_site)
        plan = self.planner.plan(problem.network)
        figures = {"objective": plan.solution.objective, "bound": plan.solution.bound, "open": float(plan.opened.sum())}
        log({f"design/{name}": value for name, value in figures.items()}, 0)
        return plan.opened

    def _shares(
        self, problem: Problem, opened: np.ndarray, books: hierarchy.Money, expected: hierarchy.Outlook, log: Callable
    ) -> np.ndarray:
        """[month, open site, customer] where expected demand is served from, if all happens as expected."""
        count = -(-problem.horizon // self.every)
        if self.tactical == "rule":
            return hierarchy.nearest_share(problem.network, opened)[opened][None]
        known, stock, found = hierarchy.tactics(problem, opened, books, self.near), np.zeros(opened.sum()), []
        coming = expected.mean[problem.window : problem.window + problem.horizon]
        for month in range(count):
            rolling, demand, days = hierarchy.programme(known, coming[month * self.every :], self.every, self.months)
            plan = hierarchy.first_month(rolling, demand, stock, days)
            found, stock = [*found, plan.share], plan.stock
            log({"tactical/worth_of_capacity": float(plan.worth.max())}, month)
        return np.asarray(found)

    def _instructions(self, problem: Problem, opened: np.ndarray, share: np.ndarray, load: np.ndarray) -> dict[str, Any]:
        """Params of every day, before any revision: who is served from where, and which sites are stocked."""
        links, every = distribution.links(problem.network), np.zeros(problem.network.shape)
        every[opened] = share
        ratio, reach = np.zeros(len(opened)), np.zeros((problem.horizon, len(opened)))
        ratio[opened], reach[:, opened] = load.mean(0) > 0, hierarchy.cover(load, problem.system.lead_time, 0)
        figures = {"share": every[links], "ratio": ratio, "reach": reach, "stock": 0 * ratio, "first": [0.0], "days": [1.0]}
        return {name: jnp.asarray(leaf, jnp.float32) for name, leaf in figures.items()} | {"start": jnp.asarray([problem.start])}

    def _orders(self, problem: Problem, opened: np.ndarray, books: hierarchy.Money, load: np.ndarray, spread: np.ndarray) -> dict:
        """Params of the operational layer, for all sites: those that are closed order nothing."""
        if self.operational == "rule":
            level = np.zeros((len(load), len(opened)))
            level[:, opened] = hierarchy.cover(load, problem.system.lead_time, self.days_of_supply)
            return {"level": jnp.asarray(level, jnp.float32)}
        found = hierarchy.tables(problem, opened, books, load, spread).policy().params
        spread_out = lambda leaf: jnp.zeros((*leaf.shape[:-1], len(opened)), leaf.dtype).at[..., np.flatnonzero(opened)].set(leaf)  # noqa: E731
        placed = {name: leaf if name == "start" else spread_out(leaf) for name, leaf in found.items()}
        return {"tables": placed | {"step": jnp.where(jnp.asarray(opened), placed["step"], 1)}}

    def _plan(
        self, problem: Problem, opened: np.ndarray, books: hierarchy.Money, expected: hierarchy.Outlook, load: np.ndarray
    ) -> dict:
        """What a revision needs."""
        data = hierarchy.tactics(problem, opened, books, self.near)
        data |= {"mean": expected.mean[: problem.window + problem.horizon], "load": load, "opened": opened}
        data |= {"links": np.stack(distribution.links(problem.network)), "sizes": [self.every, self.months]}
        data |= {"start": problem.start, "window": problem.window, "learns": self._learns(problem)}
        return {name: jnp.asarray(np.asarray(leaf, np.float64), jnp.float32) for name, leaf in data.items()}
