"""The optimum of a problem: its lattice, value iteration on it, and the policy as a table."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from invbench.checks import require
from invbench.dynamics.perishable import Perishable
from invbench.exact import iteration, lattice, table
from invbench.exact.lattice import Lattice
from invbench.problem import Problem
from invbench.progress import say, told
from invbench.types import Policy

GROWTH = 1.5  # of bounds that are not proved, until they do not matter


@dataclass(frozen=True)
class Optimum:
    """The least expected cost, less revenue: per period, discounted, or over the horizon; and the policy that attains it."""

    policy: Policy
    lower: float  # money; the optimum lies in [lower, upper]
    upper: float
    states: int
    sweeps: int
    seconds: float  # compilation included
    discount: float
    periods: int | None  # None: infinite horizon
    proved: bool = True  # theory says that no better policy leaves the lattice; else it was widened until nothing changed

    @property
    def value(self) -> float:
        """The middle of the bracket."""
        return (self.lower + self.upper) / 2

    def figures(self) -> dict[str, float]:
        """What report.json has of it."""
        names = ("value", "lower", "upper", "states", "sweeps", "seconds", "discount", "proved")
        return {name: getattr(self, name) for name in names} | ({} if self.periods is None else {"periods": self.periods})


def find(
    problem: Problem,
    *,
    horizon: str = "auto",
    discount: float = 1.0,
    tolerance: float = 1e-6,
    sweeps: int = 20_000,
    memory: float = 4.0,
) -> Optimum:
    """The optimum of a problem with one kind of item. horizon: auto, infinite or finite; memory: GiB.

    Raises ValueError in one sentence where there is no pmf, or where the states would need more memory.
    """
    started = time.perf_counter()
    problem = lattice.alike(problem)
    scenario = problem.scenario
    stationary, timed = hasattr(scenario, "pmf"), hasattr(scenario, "pmf_at")
    require(stationary or timed, "scenario", "one whose demand has a pmf for method optimal", type(scenario).__name__)
    finite = horizon == "finite" or (horizon == "auto" and not stationary)
    require(finite or stationary, "method.horizon", "finite where demand differs from period to period", horizon)
    periods = _periods(problem) if finite else scenario.pmf()[None]
    search = _Search(problem, periods, finite, discount, tolerance, sweeps, memory)
    found, size = search.solve(1.0), 1.0
    while not found.lattice.proved:  # no theory bounds stock and orders here: look further until nothing changes
        size *= GROWTH
        wider = search.solve(size)
        settled = abs(wider.lower - found.lower) <= 2 * tolerance * max(1.0, abs(found.lower) / iteration.LARGE)
        found = wider
        if settled:
            break
    states = int((~iteration.outside(found.lattice)).sum())
    seconds = time.perf_counter() - started
    return Optimum(
        found.policy, found.lower, found.upper, states, found.sweeps, seconds, discount,
        problem.horizon if finite else None, found.lattice.proved,
    )  # fmt: skip


class _Found(NamedTuple):
    policy: Policy
    lower: float
    upper: float
    sweeps: int
    lattice: Lattice


@dataclass(frozen=True)
class _Search:
    """What is looked for, whatever the size of the lattice."""

    problem: Problem
    periods: np.ndarray  # [period, demand] probabilities; one row where the horizon is infinite
    finite: bool
    discount: float
    tolerance: float
    sweeps: int
    memory: float

    def solve(self, size: float) -> _Found:
        given = lattice.build(self.problem, size, self.discount, self.periods, self.memory)
        return self.by_induction(given) if self.finite else self.by_iteration(given)

    def by_iteration(self, given: Lattice) -> _Found:
        pmf = self.periods[0]
        ahead = np.repeat(pmf[None], given.lag + 1, 0)
        cost = given.cost(ahead, self.discount)
        start = 0 if self.discount == 1 else _start(self.problem, given)
        with told("value iteration") as tell:
            hear = lambda done, width: tell(f"{given.states:,} states, sweep {done}, bracket {width:.2g}")  # noqa: E731
            solved = iteration.solve(given, pmf, cost, self.discount, self.tolerance, self.sweeps, start, hear)
        lower, upper = solved.bracket
        if upper - lower > 2 * self.tolerance * max(1.0, abs(upper) / iteration.LARGE):
            say(f"optimum: the bracket is still {upper - lower:.3g} wide after {solved.sweeps:,} sweeps (method.sweeps)")
        policy = table.policy(given, iteration.greedy(given, pmf, cost, solved.value, self.discount))
        sunk = _sunk(self.problem, ahead[: given.lag], self.discount) if self.discount < 1 else 0.0
        return _Found(policy, solved.bracket.lower + sunk, solved.bracket.upper + sunk, solved.sweeps, given)

    def by_induction(self, given: Lattice) -> _Found:
        periods, lag = self.periods, given.lag
        decided = len(periods) - lag  # what is ordered later comes too late to be charged
        require(decided > 0, "evaluation.horizon", f"> system.lead_time ({lag})", len(periods))
        costs = [given.cost(periods[t : t + lag + 1], self.discount, last=t == decided - 1) for t in range(decided)]
        with told("backward induction") as tell:
            hear = lambda done: tell(f"{given.states:,} states, period {done} of {decided}")  # noqa: E731
            value, numbers = iteration.backward(given, periods[:decided], costs, self.discount, hear)
        best = float(value.ravel()[_start(self.problem, given)]) + _sunk(self.problem, periods[:lag], self.discount)
        never = np.zeros((lag, *numbers.shape[1:]), numbers.dtype)
        return _Found(
            table.policy(given, np.concatenate([numbers, never]), self.problem.start), best, best, decided, given
        )  # fmt: skip


def _periods(problem: Problem) -> np.ndarray:
    """[period, support] probability of demand in each period that is judged."""
    scenario = problem.scenario
    if hasattr(scenario, "pmf"):
        return np.repeat(scenario.pmf()[None], problem.horizon, 0)
    found = [scenario.pmf_at(problem.start + period) for period in range(problem.horizon)]
    wide = max(map(len, found))
    return np.stack([np.pad(pmf, (0, wide - len(pmf))) for pmf in found])


def _start(problem: Problem, given: Lattice) -> int:
    """Number of the state in which the problem starts: its initial stock, nothing on order."""
    stock = int(problem.system.initial_stock)
    row, rows = stock - given.low, given.states // len(given.orders) ** given.waiting
    fresh = len(given.orders) if isinstance(problem.system, Perishable) else rows
    most = (0 if given.at_once else fresh - 1) if isinstance(problem.system, Perishable) else rows - 1 + given.low
    require(stock <= most, "system.initial_stock", f"<= {most} for method optimal here", stock)
    return row * len(given.orders) ** given.waiting


def _sunk(problem: Problem, periods: np.ndarray, discount: float) -> float:
    """Expected cost of the periods before the first order arrives, which the position's reduction leaves out."""
    if not len(periods):
        return 0.0
    stock = int(problem.system.initial_stock)
    reach = len(periods) * (periods.shape[1] - 1)
    money = lattice.money_of(problem, np.arange(stock - reach, stock + 1), np.arange(periods.shape[1]), discount)
    total, gone = 0.0, np.ones(1)
    for number, pmf in enumerate(periods):
        total += discount**number * float(gone @ (money @ pmf)[::-1][: len(gone)])
        gone = np.convolve(gone, pmf)
    return total
