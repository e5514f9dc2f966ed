"""Where to build when: sites opened, enlarged, reduced and closed over several periods, as demand moves.

Jena, Cordeau and Gendron 2015, "Dynamic facility location with generalized modular capacities", Transportation Science 49(3): a
variable for each change of size, so that the sizes of a site over time are a way through a network, which is a tight model.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from invbench.checks import number, require, whole
from invbench.networks.facilities import ROUNDING, Facilities
from invbench.planners import strategic
from invbench.planners.draft import Draft
from invbench.planners.levels import Levels
from invbench.planners.solve import Infeasible, Limits, Model, NoPlan, Solution, scip


@dataclass(frozen=True)
class Periods:
    """Which sites to open in which period, how large, and when to close them; made by `create`, which checks.

    A site of size n costs levels.fixed[n] of the network's fixed cost each period. Opening it costs `opening` times that once,
    closing it `closing` times that; a change of size costs the difference between the two sizes.
    """

    demand: tuple[Any, ...]  # [period] or [period, customer]: shares of the network's demand
    opening: float  # periods of running cost
    closing: float  # periods of running cost
    limits: Limits = Limits()
    levels: Levels = Levels()
    reopen: bool = True  # whether a site that was closed may be opened again
    start: tuple[int, ...] | None = None  # [site] size before the first period, 0: closed; None: all closed
    interest: float = 0.0  # share a period by which later money counts less
    radius: float | None = None  # length of the longest way that may be used, in the unit of the network

    def plan(self, facilities: Facilities) -> "Plan":
        """The best plan. Raises Infeasible, which says what conflicts, and NoPlan where a limit came before any plan."""
        began, course = time.perf_counter(), self.course(facilities)
        try:
            solved = scip(course.model(), self.limits)
        except Infeasible as error:
            raise Infeasible(f"{facilities.name}: {error}") from None
        if solved.values is None:
            sentence = f"no plan of {facilities.name} was found within limits.nodes = {self.limits.nodes}"
            raise NoPlan(f"{sentence}; every plan costs at least {solved.bound:.8g}")
        return course.plan(solved, time.perf_counter() - began)

    def course(self, facilities: Facilities) -> "Course":
        """The problem, without ways that are too long. Raises Infeasible where a customer has none left, or capacity is short."""
        within, sites = strategic.connected(facilities, self.radius), facilities.shape[0]
        fits = all(np.shape(share) in ((), facilities.demand.shape) for share in self.demand)
        rule = f"one share a period, or one for each of {facilities.shape[1]} customers"
        require(fits, "planner.demand", rule, list(self.demand))
        require(self.start is None or len(self.start) == sites, "planner.start", f"a size for each of {sites} sites", self.start)
        shares = np.stack([np.broadcast_to(np.asarray(share, float), facilities.demand.shape) for share in self.demand])
        course = Course(within, self, shares)
        total, asked = course.room[:, -1].sum(), course.demand.sum(1)
        if total < asked.max() * (1 - ROUNDING):
            period = f"demand in period {asked.argmax() + 1} is {asked.max():.8g}"
            raise Infeasible(f"no plan of {facilities.name} is feasible: the capacity of all sites is {total:.8g}, {period}")
        return course


@dataclass(frozen=True)
class Course:
    """The model: variables of changes [site, period, size before, size after], then of service [period, site, customer]."""

    facilities: Facilities
    options: Periods
    shares: np.ndarray  # [period, customer] of the network's demand

    @property
    def demand(self) -> np.ndarray:
        """[period, customer] units."""
        return self.shares * self.facilities.demand

    @cached_property
    def room(self) -> np.ndarray:
        """[site, size] units a period; size 0 is a closed site."""
        room = self.options.levels.room(self.facilities, float(self.demand.sum(1).max()))
        return np.pad(room, ((0, 0), (1, 0)))

    @cached_property
    def running(self) -> np.ndarray:
        """[site, size] money a period."""
        return np.pad(self.options.levels.running(self.facilities), ((0, 0), (1, 0)))

    @cached_property
    def start(self) -> np.ndarray:
        """[site] size before the first period."""
        return np.zeros(len(self.running), int) if self.options.start is None else np.array(self.options.start)

    @property
    def worth(self) -> np.ndarray:
        """[period] of a unit of money, at the first period."""
        return (1 + self.options.interest) ** -np.arange(len(self.shares), dtype=float)

    def change_cost(self) -> np.ndarray:
        """[site, period, size before, size after] money of the change, and of a period at the new size."""
        more = np.maximum(self.running[:, None] - self.running[:, :, None], 0)
        less = np.maximum(self.running[:, :, None] - self.running[:, None], 0)
        once = self.options.opening * more + self.options.closing * less
        return (once + self.running[:, None])[:, None] * self.worth[:, None, None]

    def service_cost(self) -> np.ndarray:
        """[period, site, customer] money of serving all that a customer asks for; 0 where it cannot be served."""
        there = np.where(np.isfinite(self.facilities.cost), self.facilities.cost, 0)
        return self.worth[:, None, None] * self.shares[:, None] * there

    def model(self) -> Model:
        """Sizes that follow each other, and service within them."""
        draft, cost = Draft(), self.change_cost()
        changes = draft.variables(cost, self._possible(cost.shape), whole=True)
        self._sizes(draft, changes)
        served = draft.variables(self.service_cost(), np.isfinite(self.facilities.cost))
        self._service(draft, changes, served)
        return draft.model()

    def plan(self, solved: Solution, seconds: float) -> "Plan":
        """The solver's sizes and service, with their cost worked out anew."""
        cost, service = self.change_cost(), self.service_cost()
        changes, share = solved.values[: cost.size].round(), np.clip(solved.values[cost.size :], 0, 1).reshape(service.shape)
        share = np.divide(share, share.sum(1, keepdims=True), out=share, where=share.sum(1, keepdims=True) > 0)
        level = changes.reshape(cost.shape).sum(2) @ np.arange(cost.shape[-1])
        money = float(cost.ravel() @ changes + (service * share).sum())
        solution = solved._replace(objective=money, bound=min(solved.bound, money), seconds=seconds, values=None)
        return Plan(self.facilities.name, level.T.astype(int), share, solution, self.start)

    def _possible(self, shape: tuple[int, ...]) -> np.ndarray:
        """0 for changes from another size than the one at the start, 1 for others."""
        possible = np.ones(shape)
        possible[:, 0] = np.arange(shape[2])[:, None] == self.start[:, None, None]
        return possible

    def _sizes(self, draft: Draft, changes: np.ndarray) -> None:
        """One size at a time; each period begins with the size that the one before ended with; no second opening, if asked."""
        sites, periods, sizes, _ = changes.shape
        every = [f"{site} in period {period + 1}" for site in self.facilities.sites for period in range(periods)]
        draft.rows("one size of site", [(changes.reshape(sites * periods, -1), 1)], 1, 1, every, shown=False)
        after, before = np.moveaxis(changes[:, :-1], 3, 2), changes[:, 1:]
        if periods > 1:
            draft.rows("size that stays", [(after.reshape(-1, sizes), 1), (before.reshape(-1, sizes), -1)], 0, 0)
        if not self.options.reopen:
            openings = changes[:, :, 0, 1:].reshape(sites, -1)
            draft.rows("one opening of site", [(openings, 1)], -np.inf, self.start == 0, self.facilities.sites)
        if (count := self.facilities.count) is not None:
            opened = np.moveaxis(changes[..., 1:], 1, 0).reshape(periods, -1)
            draft.rows("number of sites", [(opened, 1)], count, count, [f"= {count} in period {n + 1}" for n in range(periods)])

    def _service(self, draft: Draft, changes: np.ndarray, served: np.ndarray) -> None:
        """Whoever is there is served in full, from open sites with room; and, implied, there is room for all in each period."""
        periods, sites, customers = served.shape
        names = [f"{name} in period {period + 1}" for period in range(periods) for name in self.facilities.customers]
        there = (self.shares > 0).ravel()
        draft.rows("service of customer", [(served.transpose(0, 2, 1).reshape(-1, sites), 1)], there, there, names)
        opened = np.moveaxis(changes[..., 1:], 1, 0).reshape(periods, sites, -1)
        built = np.repeat(opened.reshape(periods * sites, -1), customers, 0)
        draft.rows("only from open sites", [(served.reshape(-1, 1), 1), (built, -1)], -np.inf, 0)
        if (self.room[:, 1:] < self.demand.sum(1).max()).any():
            room = np.broadcast_to(self.room[:, None, 1:], changes[:, 0, :, 1:].shape).reshape(sites, -1)
            loads = served.reshape(-1, customers), np.repeat(self.demand, sites, 0)
            names = [f"{name} in period {period + 1}" for period in range(periods) for name in self.facilities.sites]
            limit = opened.reshape(periods * sites, -1), -np.tile(room, (periods, 1))
            draft.rows("capacity of site", [loads, limit], -np.inf, 0, names)
            enough = self.demand.sum(1) * (1 - ROUNDING)
            names = [f"in period {period + 1}" for period in range(periods)]
            draft.rows("total capacity", [(opened.reshape(periods, -1), room.reshape(1, -1))], enough, np.inf, names)


class Plan(NamedTuple):
    """Sizes of sites over time, and who serves whom."""

    name: str
    level: np.ndarray  # [period, site] 0: closed; n: the n-th size
    share: np.ndarray  # [period, site, customer] of what the customer asks for; 0 in periods when it is not there
    solution: Solution  # of the plan as it stands
    start: np.ndarray  # [site] size before the first period

    @property
    def opened(self) -> np.ndarray:
        """bool [period, site]"""
        return self.level > 0

    def summary(self, facilities: Facilities) -> dict[str, Any]:
        """As report.json has it: the open sites with their sizes, period by period."""
        sizes = [{site: int(size) for site, size in zip(facilities.sites, sizes) if size} for sizes in self.level]
        before = np.vstack([self.start, self.level[:-1]])
        changes = {"opened": int(((before == 0) & self.opened).sum()), "closed": int(((before > 0) & ~self.opened).sum())}
        return self.solution.told() | {"open": [list(size) for size in sizes], "level": sizes} | changes


def create(
    *, demand: Sequence[Any], opening: float, closing: float, limits: Limits = Limits(), levels: Levels = Levels(),
    reopen: bool = True, start: Sequence[int] | None = None, interest: float = 0.0, radius: float | None = None,
) -> Periods:  # fmt: skip
    """Checked options. Raises ValueError where one makes no sense."""
    require(len(demand) > 0, "planner.demand", "a share for at least one period", list(demand))
    for share in np.concatenate([np.ravel(share) for share in demand]).tolist():
        number("planner.demand", share, low=0)
    require(isinstance(reopen, bool), "planner.reopen", "true or false", reopen)
    most = len(levels.capacity)
    for size in start or ():
        require(whole("planner.start", size) <= most, "planner.start", f"sizes from 0 to {most}", size)
    radius = None if radius is None else number("planner.radius", radius, low=0)
    once = number("planner.opening", opening, low=0), number("planner.closing", closing, low=0)
    started = None if start is None else tuple(int(size) for size in start)
    return Periods(tuple(demand), *once, limits, levels, reopen, started, number("planner.interest", interest, low=0), radius)
