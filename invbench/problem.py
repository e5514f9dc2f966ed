"""A problem: scenario x system x cost x information. It draws the futures that everyone faces, and simulates policies on them."""

import hashlib
from dataclasses import dataclass, fields, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from invbench import costs, replay
from invbench.checks import choice, number, require, whole
from invbench.costs import CostModel
from invbench.keys import named, root
from invbench.scenarios import fit
from invbench.scenarios.base import Scenario, draw
from invbench.scenarios.bootstrapped import bootstrapped
from invbench.scenarios.fit import History
from invbench.scenarios.holidays import checked as checked_days
from invbench.types import Array, Flows, Paths, Policy

OUTLOOK_VALUES = 2**24  # demand values that an outlook may hold (64 MiB)


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method is fitted to, and what it is judged on. Make one with `create`; methods get `for_fitting()`.

    Known information: `scenario` is the true process. History: it is the simulator fitted to `history`, and the true
    process (or the held-out data) is behind `judged_on` alone.
    """

    scenario: Scenario
    system: Any
    cost: CostModel
    horizon: int  # periods that are judged
    start: int  # absolute number of the first of them
    window: int  # past periods that a policy may look back on
    seed: int
    history: History | None = None  # what was observed before `start`; None where the process is known
    judged_on: Any = None  # the true process, or the data; None for methods
    evaluation_seed: int = 0
    network: Any = None  # the `Facilities` that a system of sites and customers was made of

    @property
    def items(self) -> int:
        return self.scenario.items

    def for_fitting(self) -> "Problem":
        """The problem as methods may see it: without what judging uses."""
        return replace(self, judged_on=None)

    def training_paths(self, key: Array, n: int) -> Paths:
        """n futures to fit on, drawn from what the fit may know. The key is the method's own."""
        return self._draw(self.scenario, named(key, "training"), n)

    def validation_paths(self, n: int) -> Paths:
        """n futures to choose between fitted methods: the same for all, and neither training nor evaluation paths."""
        return self._draw(self.scenario, root(self.seed, "validation"), n)

    def evaluation_paths(self, n: int) -> Paths:
        """n futures to judge on, the same for every method; the data itself (one path) where demand is data."""
        require(self.judged_on is not None, "evaluation paths", "left alone by methods", "a request for them")
        if hasattr(self.judged_on, "held_out"):
            return self._place(
                *self.judged_on.held_out(self.horizon, self.window), root(self.evaluation_seed, "evaluation", "delay")
            )
        return self._draw(self.judged_on, root(self.evaluation_seed, "evaluation"), n)

    def outlook(self, key: Array, n: int = 1024) -> np.ndarray:
        """[window + horizon + lead_time + 1, n, item] demand as the fit expects it, from period start - window on.

        n is cut (never below 64) where many items would need too much memory.
        """
        periods = self.window + self.horizon + self.system.lead_time + 1
        n = max(64, min(n, OUTLOOK_VALUES // (periods * self.items)))
        return np.asarray(draw(self.scenario, named(key, "outlook"), n, periods, self.start - self.window))

    def simulate(self, policy: Policy, paths: Paths | Array, key: Array | None = None) -> Flows:
        """Flows of every period, each [n, horizon, item]. paths: `Paths`, or demand [n, horizon, item]."""
        return replay.flows(self.system, policy, self.as_paths(paths), key=key)

    def totals(self, policy: Policy, paths: Paths | Array, key: Array | None = None) -> Flows:
        """Flows summed over periods, each [n, item]."""
        return replay.total(self.system, policy, self.as_paths(paths), replay.identity, key=key)

    def benefit(self, policy: Policy, paths: Paths | Array, key: Array | None = None) -> Array:
        """[n, item] net benefit of operations over the horizon, money."""
        return replay.total(self.system, policy, self.as_paths(paths), costs.benefit, (self.cost,), key)

    def benefits(self, policy: Policy, paths: Paths, shared: dict | None = None, key: Array | None = None) -> Array:
        """[candidate, n, item] net benefit of operations; leaves of `policy.params` are [candidate, ...], of `shared` not."""
        return replay.candidates(self.system, policy, paths, costs.benefit, (self.cost,), key, shared)

    def as_paths(self, paths: Paths | Array) -> Paths:
        """Demand [n, horizon, item] as `Paths`: nothing was seen before, and the delays are those of evaluation."""
        if isinstance(paths, Paths):
            return paths
        demand = jnp.swapaxes(jnp.asarray(paths, jnp.float32), 0, 1)
        before = jnp.zeros((self.window, *demand.shape[1:]), demand.dtype)
        return self._place(before, demand, root(self.evaluation_seed, "evaluation", "delay"))

    def _draw(self, scenario: Scenario, key: Array, n: int) -> Paths:
        periods = draw(scenario, key, n, self.window + self.horizon, self.start - self.window)
        return self._place(periods[: self.window], periods[self.window :], named(key, "delay"))

    def _place(self, before: Array, demand: Array, key: Array) -> Paths:
        delay = self.system.draw_delays(key, *demand.shape[:2])
        return replay.spread(Paths(demand, before, delay, self.start))


def create(
    scenario: Any,
    system: Any,
    cost: CostModel,
    *,
    information: str,
    history: int,
    window: int,
    horizon: int,
    seed: int,
    evaluation_seed: int,
    judged_on: Any = None,
    network: Any = None,
    shelf: float | None = None,
    simulators: int = 1,
    holidays: Any = None,
) -> Problem:
    """A checked problem. `judged_on` replaces the scenario in judging (out of distribution); None: the same.

    information: "known", "history", or "auto" (known for a process, history for data); history: observed periods before
    the first one judged (data: all there are). shelf: see `observe`; simulators: fits that futures are drawn from; holidays: days
    of the year that the fit to a history knows of (0 is the first observed period's), or None.
    """
    choice("problem.information", information, ("auto", "known", "history"))
    horizon, window = whole("evaluation.horizon", horizon, low=1), whole("problem.window", window)
    seed, evaluation_seed = whole("seed", seed), whole("evaluation.seed", evaluation_seed)
    is_data = hasattr(scenario, "held_out")
    require(not is_data or information != "known", "problem.information", "history where demand is data", information)
    if hasattr(system, "stages") and not is_data:
        require(scenario.items == 1, "scenario.items", "1 in a serial system", scenario.items)
    if hasattr(system, "demand_items"):
        rule = f"{system.demand_items}, one for each customer and product of the network"
        require(scenario.items == system.demand_items, "scenario.items", rule, scenario.items)
        cost = _by_node(cost, system)
    truth = judged_on or scenario
    common = dict(
        cost=cost, horizon=horizon, window=window, seed=seed, judged_on=truth, evaluation_seed=evaluation_seed, network=network
    )
    if not is_data and information != "history":
        problem = Problem(scenario, system, start=0, **common)
    else:
        if is_data:
            seen = scenario.observed(horizon)
        else:
            shelf = None if shelf is None else number("problem.shelf", shelf, low=0, above=True)
            seen = observe(scenario, whole("problem.history", history, low=14), seed, shelf)
        require(len(seen.sales) >= window, "problem.window", f"<= the {len(seen.sales)} observed periods", window)
        known = () if holidays is None else checked_days("problem.holidays", holidays)
        seen, count = fit.restored(seen._replace(holidays=known)), whole("problem.simulators", simulators, low=1)
        simulator = bootstrapped(seen, root(seed, "simulators"), count)
        problem = Problem(simulator, system, start=len(seen.sales), history=seen, **common)
    return replace(problem, system=_stocked(problem))


def _by_node(cost: CostModel, system: Any) -> CostModel:
    """The costs of a network: every list has a rate for each node and product; `fixed_site` may have one for each site."""
    if np.ndim(cost.fixed_site) and len(cost.fixed_site) == system.sites:
        cost = replace(cost, fixed_site=system.per_site(cost.fixed_site))
    items = system.nodes * system.products
    for field in fields(cost):
        rate = getattr(cost, field.name)
        fits = np.ndim(rate) == 0 or np.shape(rate) == (items,)
        require(fits, f"cost.{field.name}", f"one number, or one for each of {items} nodes and products", np.shape(rate))
    return cost


def observe(scenario: Scenario, periods: int, seed: int, shelf: float | None = None) -> History:
    """The history that a firm facing this scenario would have seen: periods 0, 1, …; another seed, another history.

    shelf: what lay on the firm's shelf every morning, in periods of mean demand: it saw sales up to that, and knew when the shelf
    was empty. None: it saw demand.
    """
    demand = np.asarray(draw(scenario, root(seed, "history"), 1, periods, 0)[:, 0])
    if shelf is None:
        return History(demand, None)
    stock = shelf * demand.mean(0)
    stock = np.round(stock) if np.all(demand == np.round(demand)) else stock
    return History(np.minimum(demand, stock), demand < stock)


def _stocked(problem: Problem) -> Any:
    """The system with its initial stock: the expected demand of one lead time and one period, where none is given."""
    system = problem.system
    if system.initial_stock is not None:
        return system
    first = problem.outlook(root(0, "initial stock"), 512)[problem.window :][: system.lead_time + 1]
    if hasattr(system, "usual_stock"):
        return replace(system, initial_stock=system.usual_stock(first.mean(1)))
    if hasattr(system, "stages"):  # each stage: of its own lead time and one period
        first = np.stack([first[: lead_time + 1, :, 0].sum(0, keepdims=True) for lead_time in system.lead_times], -1)
    stock = np.round(first.mean(1).sum(0)).astype(np.float32)
    return replace(system, initial_stock=stock if system.capacity is None else np.minimum(stock, system.capacity))


def paths_hash(paths: Paths) -> str:
    """A hash of the demand and the delays: results on paths with another hash are never compared."""
    digest = hashlib.sha256()
    for part in paths[:3]:
        if part is not None:
            digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()[:16]
