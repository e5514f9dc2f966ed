"""Where to build: facility location with and without capacities, single sourcing, p-median, budget and service radius."""

import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from invbench.checks import choice, number, require
from invbench.networks.facilities import ROUNDING, Facilities
from invbench.planners import lagrangean, start
from invbench.planners.formulation import formulate
from invbench.planners.lagrangean import Left
from invbench.planners.solve import Infeasible, Limits, Model, NoPlan, Solution, scip

SEARCHED = 5000  # links from which on a search before the solver pays if there are capacities; else it always does


@dataclass(frozen=True)
class Strategic:
    """Which sites to open, and who serves whom, at the least cost; made by `create`, which checks."""

    limits: Limits = Limits()
    single_source: bool = False  # each customer is served by one site
    budget: float | None = None  # money a period for fixed costs
    radius: float | None = None  # length of the longest way that may be used, in the unit of the network
    search: str = "auto"  # whether a bound and plans are sought before the solver: auto (where it pays) | always | never

    def plan(self, facilities: Facilities) -> "Plan":
        """The best plan. Raises Infeasible, which says what conflicts, and NoPlan where a limit came before any plan."""
        return self.solve(self.posed(facilities))

    def posed(self, facilities: Facilities) -> "Posed":
        """The model that a solver gets, with the plan that it starts from."""
        began = time.perf_counter()
        within = reachable(facilities, self.radius)
        found = self._search(within) if self._searches(within) else Found(-np.inf, start.NONE, None, everything(within))
        model = formulate(within, found.left, self.single_source, self.budget)
        return Posed(facilities, within, found, model, time.perf_counter() - began)

    def solve(self, posed: "Posed") -> "Plan":
        """The plan of a model, by SCIP."""
        first = None if posed.found.opened is None else _values(posed.found)
        try:
            solved = scip(posed.model, self.limits, first)
        except Infeasible as error:
            raise Infeasible(f"{posed.facilities.name}: {error}") from None
        if solved.values is None:
            sentence = f"no plan of {posed.facilities.name} was found within limits.nodes = {self.limits.nodes}"
            raise NoPlan(f"{sentence}; every plan costs at least {max(solved.bound, posed.found.bound):.8g}")
        return self._plan(posed, solved)

    def _searches(self, facilities: Facilities) -> bool:
        pays = not facilities.capacitated or facilities.cost.size >= SEARCHED
        return self.search == "always" or self.search == "auto" and pays

    def _search(self, facilities: Facilities) -> "Found":
        """A bound, the best plan of greedy choice, exchanges and the bound's own sites, and what a better one may use."""

        def served(opened: np.ndarray) -> start.Served:
            return start.serve(facilities, opened, self.single_source) if self._allows(facilities, opened) else start.NONE

        opened = start.greedy(facilities)
        opened = opened if facilities.capacitated else start.interchange(facilities, opened)
        bound = lagrangean.Steps(facilities).run(served(opened).cost)
        other = bound.chosen if facilities.capacitated or not bound.chosen.any() else start.interchange(facilities, bound.chosen)
        cost, opened = min(((served(sites).cost, sites) for sites in (opened, other)), key=lambda found: found[0])
        if facilities.capacitated and np.isfinite(cost):
            opened, cost = start.exchange(bound, opened, cost, lambda sites: served(sites).cost)
        best = served(opened)
        return Found(bound.value, best, opened if best.share is not None else None, lagrangean.left(facilities, bound, cost))

    def _allows(self, facilities: Facilities, opened: np.ndarray) -> bool:
        """Whether the number and the fixed cost of open sites (bool [site]) are as asked for."""
        right = facilities.count is None or opened.sum() == facilities.count
        return right and (self.budget is None or facilities.fixed[opened].sum() <= self.budget)

    def _plan(self, posed: "Posed", solved: Solution) -> "Plan":
        """The solver's sites, with who serves whom worked out anew, so that no rounding of the solver is left in the cost."""
        facilities, links = posed.within, posed.found.left.links
        sites = facilities.shape[0]
        opened, share = solved.values[:sites] > 0.5, np.zeros(facilities.shape)
        share[links] = solved.values[sites:]
        if self.single_source and facilities.capacitated:
            share = share.round()
        elif (exact := start.serve(facilities, opened).share) is not None:
            share = exact
        cost = start.cost_of(facilities, opened, share)
        bound = min(max(solved.bound, posed.found.bound), cost)
        solution = solved._replace(objective=cost, bound=bound, seconds=solved.seconds + posed.seconds, values=None)
        return Plan(facilities.name, opened, share, solution, posed.seconds)


class Found(NamedTuple):
    """What was found before the solver."""

    bound: float  # no plan costs less
    served: start.Served
    opened: np.ndarray | None  # bool [site] of the best plan; None: none was found
    left: Left


class Posed(NamedTuple):
    """A problem as the solver gets it."""

    facilities: Facilities
    within: Facilities  # without the links that are too long
    found: Found
    model: Model
    seconds: float  # of the search and of formulating


class Plan(NamedTuple):
    """Sites to open, and who serves whom."""

    name: str
    opened: np.ndarray  # bool [site]
    share: np.ndarray  # [site, customer] of the customer's demand
    solution: Solution  # of the plan as it stands; seconds in all
    search_seconds: float  # of these, before the solver

    def summary(self, facilities: Facilities) -> dict[str, Any]:
        """As report.json has it."""
        names = [site for site, opened in zip(facilities.sites, self.opened) if opened]
        return self.solution.told() | {"open": names}


def create(
    *, limits: Limits, single_source: bool = False, budget: float | None = None, radius: float | None = None, search: str = "auto"
) -> Strategic:
    """Checked options. Raises ValueError where one makes no sense."""
    budget = None if budget is None else number("planner.budget", budget, low=0)
    radius = None if radius is None else number("planner.radius", radius, low=0)
    require(isinstance(single_source, bool), "planner.single_source", "true or false", single_source)
    return Strategic(limits, single_source, budget, radius, choice("planner.search", search, ("auto", "always", "never")))


def reachable(facilities: Facilities, radius: float | None) -> Facilities:
    """The network without ways beyond the radius. Raises Infeasible where a customer has none left, or capacity is short."""
    within = connected(facilities, radius)
    total, demand = facilities.capacity.sum(), facilities.demand.sum()
    if total < demand * (1 - ROUNDING):
        refusal = f"no plan of {facilities.name} is feasible: "
        raise Infeasible(f"{refusal}the capacity of all sites is {total:.8g}, demand is {demand:.8g}")
    return within


def connected(facilities: Facilities, radius: float | None) -> Facilities:
    """The network without ways beyond the radius. Raises Infeasible where a customer has none left."""
    cost = facilities.cost
    if radius is not None:
        require(facilities.distance is not None, "planner.radius", "null where a network has no distances", radius)
        cost = np.where(facilities.distance <= radius, cost, np.inf)
    alone = [facilities.customers[customer] for customer in np.flatnonzero(~np.isfinite(cost).any(0))]
    if alone:
        where = "" if radius is None else f" within {radius:g} {facilities.unit}".rstrip()
        more = f" and {len(alone) - 3} more" * (len(alone) > 3)
        refusal = f"no plan of {facilities.name} is feasible: "
        raise Infeasible(f"{refusal}no site reaches customer {', '.join(alone[:3])}{more}{where}")
    return replace(facilities, cost=cost)


def everything(facilities: Facilities) -> Left:
    """No site and no way ruled out."""
    sites = facilities.shape[0]
    return Left(np.ones(sites, bool), np.zeros(sites, bool), np.isfinite(facilities.cost))


def _values(found: Found) -> np.ndarray:
    """A plan as the model's variables."""
    return np.r_[found.opened.astype(float), found.served.share[found.left.links]]
