"""Serial systems in the long run: the exact echelon base-stock levels and cost of Clark and Scarf, and newsvendor bounds on them.

Sources: Clark and Scarf 1960, Management Science 6(4), 475-490; Chen and Zheng 1994, Management Science 40(11), 1426-1443;
Snyder and Shen 2019, section 6.2.3; Shang and Song 2003, Management Science 49(5), 618-638. Stage 0 faces customers. The
echelon of a stage is the stage with all that is below it and on the way there, less what is owed to customers; its holding rate
is what a unit costs more at the stage than at the one above.

How the books' timing meets that of `dynamics/serial.py`, whose periods are receive, order, ship, demand, charge:

- What stage 0 orders in t is charged when the demand of t, …, t + L has come, that of L + 1 periods: the books' lead time of
  stage 0 is ours and one period. What a stage above orders in t becomes the limit of the stage below in t + L, before the demand
  of that period: there the books' lead time is ours.
- The books' units are on the way to stage 0 for that one period longer, and cost meanwhile what they cost at stage 1. That is
  `mean x local rate of stage 1` a period, which the books' cost has and ours has not; no decision changes it.
- The books charge a unit on its way at the local rate of the stage that it came from (nothing on the way from outside). On its
  way to a stage are mean x lead time units on average, whatever is decided, so that any other rate adds a constant, too.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import signal, stats

from invbench.checks import number, require
from invbench.dynamics.serial import Serial
from invbench.problem import Problem

REACH = 8.5  # standard deviations at which normal demand is cut off: 1e-17 on each side
TAIL = 1e-16  # probability at which Poisson demand is cut off
TIE = 1e-11  # share of the cost by which two levels must differ; the lower one is taken


class Demand(NamedTuple):
    """What is demanded over a lead time: probabilities of the units (first, first + 1, …) x step."""

    first: int
    pmf: np.ndarray  # [support] float64
    step: float = 1.0

    @property
    def mean(self) -> float:
        return self.step * (self.first + float(np.arange(len(self.pmf)) @ self.pmf))

    @property
    def last(self) -> int:
        return self.first + len(self.pmf) - 1

    def plus(self, other: "Demand") -> "Demand":
        """The sum of two independent demands on the same grid."""
        return Demand(self.first + other.first, signal.convolve(self.pmf, other.pmf), self.step)

    def fractile(self, ratio: float) -> float:
        """The smallest y with P(demand <= y) >= ratio, units."""
        return self.step * (self.first + min(int(np.searchsorted(np.cumsum(self.pmf), ratio - 1e-12)), len(self.pmf) - 1))


def poisson(mean: float) -> Demand:
    """Of a Poisson process, `mean` units over the lead time."""
    last = int(stats.poisson.isf(TAIL, mean)) + 1
    pmf = stats.poisson.pmf(np.arange(last + 1), mean)
    return Demand(0, pmf / pmf.sum())


def normal(mean: float, std: float, step: float) -> Demand:
    """Normal, on a grid: probabilities in proportion to the density, so that mean and variance are kept but for rounding.

    Costs converge with step^2 (they have kinks); a step of std / 200 gives six digits.
    """
    first, last = int(np.floor((mean - REACH * std) / step)), int(np.ceil((mean + REACH * std) / step))
    pmf = stats.norm.pdf(np.arange(first, last + 1) * step, mean, std)
    return Demand(first, pmf / pmf.sum(), step)


def periods(pmf: np.ndarray, count: int) -> Demand:
    """Of `count` independent periods, each with the probabilities pmf of 0, 1, 2, … units."""
    total = Demand(0, np.ones(1))
    for _ in range(count):
        total = total.plus(Demand(0, np.asarray(pmf, np.float64)))
    return total


def echelon_rates(local: np.ndarray) -> np.ndarray:
    """[stage] echelon holding rates: the local rate of each stage less that of the one above (nothing above the last)."""
    return np.asarray(local, float) - np.append(np.asarray(local, float)[1:], 0.0)


class Optimum(NamedTuple):
    """Echelon base-stock levels [stage], units, and what they cost a period in the long run, money."""

    levels: np.ndarray
    cost: float


@dataclass(frozen=True, eq=False)
class Chain:
    """A serial system as the books have it."""

    demand: tuple[Demand, ...]  # over the lead time of each stage, on one grid
    holding: np.ndarray  # [stage] echelon holding rates, money per unit and period, none below zero
    shortage: float  # money per unit owed to customers and period

    @property
    def stages(self) -> int:
        return len(self.demand)

    @property
    def echelons(self) -> list[Demand]:
        """Demand over the lead times of the stages 0, …, j, for each j."""
        totals = [self.demand[0]]
        for demand in self.demand[1:]:
            totals.append(totals[-1].plus(demand))
        return totals

    def optimum(self) -> Optimum:
        """The levels that are best of all policies, and their cost."""
        return self._recursion(None)

    def cost(self, levels: np.ndarray) -> float:
        """What echelon base-stock levels [stage] cost a period, units on the grid of demand."""
        return self._recursion(np.asarray(levels, float)).cost

    def _recursion(self, levels: np.ndarray | None) -> Optimum:
        """Stage by stage from customers up, with x the echelon stock when the lead time is over (Snyder and Shen, 6.2.3):

            g_0(x) = (p + sum_i h_i) x^-;  G_j(y) = E[h_j (y - D_j) + g_j(y - D_j)];  g_{j+1}(x) = G_j(min(S_j, x))

        and S_j is where G_j is least, unless given. The cost is G_j(S_j) of the last stage. Each stage is worked out exactly
        where the next one asks for it: the grid begins as far below as all lead-time demands together may lead.
        """
        step, totals = self.demand[0].step, self.echelons
        grid = self._grid(totals, levels)
        induced = (self.shortage + self.holding.sum()) * np.maximum(-step * grid, 0)
        found = []
        for stage, demand in enumerate(self.demand):
            expected = signal.convolve(self.holding[stage] * step * grid + induced, demand.pmf, mode="valid")
            grid = grid[len(demand.pmf) - 1 :] + demand.first  # what is left: y of which every y - D is on the grid
            place = _least(expected) if levels is None else int(round(levels[stage] / step)) - grid[0]
            found.append(step * grid[place])
            induced = np.where(grid < grid[place], expected, expected[place])
        return Optimum(np.asarray(found), float(expected[place]))

    def _grid(self, totals: list[Demand], levels: np.ndarray | None) -> np.ndarray:
        """Multiples of the step from which to start, so that every level lies on what is left for its stage."""
        step = self.demand[0].step
        low = min(total.first for total in totals)
        high = max(total.last for total in totals)
        if levels is not None:
            low, high = min(low, int(np.floor(min(levels) / step))), max(high, int(np.ceil(max(levels) / step)))
        starts = np.cumsum([0] + [demand.first for demand in self.demand])  # how far up each stage has moved the grid
        return np.arange(low - totals[-1].last - max(starts), high - min(starts) + 1)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """[stage] newsvendor levels below and above the best ones.

        The fractiles (p + sum_{i>j} h_i) / (p + sum_i h_i) and (p + sum_{i>j} h_i) / (p + sum_{i>=j} h_i) of the demand over the
        lead times of the stages 0, …, j.
        """
        above = self.shortage + self.holding.sum() - np.cumsum(self.holding)
        whole_echelon, own = self.shortage + self.holding.sum(), above + self.holding
        pairs = [
            (total.fractile(part / whole_echelon), total.fractile(part / each))
            for total, part, each in zip(self.echelons, above, own)
        ]
        low, high = np.asarray(pairs).T
        return low, high

    def heuristic(self) -> np.ndarray:
        """[stage] the middle between the bounds, rounded down to the grid (Snyder and Shen 2019, equation 6.32)."""
        low, high = self.bounds()
        step = self.demand[0].step
        return step * np.floor((low + high) / (2 * step) + 1e-9)


def _least(values: np.ndarray) -> int:
    """Where values are least; the first of those that differ only by rounding."""
    best = values.min()
    return int(np.argmax(values <= best + TIE * max(1.0, abs(best))))


# chains from the books, and from a problem


def poisson_chain(*, lead_times: list[float], holding: list[float], shortage: float, mean: float) -> Chain:
    """A checked chain with Poisson demand of `mean` units a period; lead times in periods, also fractions, as in the books.

    holding: echelon rates; lists begin with the stage that faces customers. Raises ValueError naming the field.
    """
    leads, rates, shortage = _checked(lead_times, holding, shortage)
    mean = number("chain.mean", mean, low=0, above=True)
    return Chain(tuple(poisson(mean * lead) for lead in leads), rates, shortage)


def normal_chain(
    *, lead_times: list[float], holding: list[float], shortage: float, mean: float, std: float, step: float
) -> Chain:
    """As `poisson_chain`, with normal demand: mean and standard deviation of a period, on a grid of `step` units."""
    leads, rates, shortage = _checked(lead_times, holding, shortage)
    mean, std = number("chain.mean", mean, low=0, above=True), number("chain.std", std, low=0, above=True)
    step = number("chain.step", step, low=0, high=std * min(leads) ** 0.5, above=True)
    return Chain(tuple(normal(mean * lead, std * lead**0.5, step) for lead in leads), rates, shortage)


def _checked(lead_times: list[float], holding: list[float], shortage: float) -> tuple[list[float], np.ndarray, float]:
    require(len(lead_times) == len(holding) > 0, "chain.holding", f"one rate for each of {len(lead_times)} stages", holding)
    leads = [number(f"chain.lead_times[{stage}]", lead, low=0, above=True) for stage, lead in enumerate(lead_times)]
    rates = [number(f"chain.holding[{stage}]", rate, low=0) for stage, rate in enumerate(holding)]
    return leads, np.asarray(rates), number("chain.shortage", shortage, low=0, above=True)


def chain(problem: Problem, method: str) -> Chain:
    """The books' chain for a problem (see above). Raises ValueError where theirs is another; `method` is named there."""
    _require_books(problem, method)
    system, pmf = problem.system, problem.scenario.pmf()
    cover = np.asarray(system.lead_times) + (np.arange(system.stages) == 0)
    rates = echelon_rates(_each(problem.cost.holding, system.stages))
    demand = tuple(periods(pmf, int(count)) for count in cover)
    return Chain(demand, rates, float(_each(problem.cost.shortage, system.stages)[0]))


def _each(rate: float | np.ndarray, stages: int) -> np.ndarray:
    """[stage] a rate that may be one for all."""
    return np.asarray(rate, float) * np.ones(stages)


def _require_books(problem: Problem, method: str) -> None:
    """Raise ValueError in one sentence where the problem is none that the books solve."""
    system, cost, of = problem.system, problem.cost, f"for method {method}"
    require(isinstance(system, Serial), "system", f"serial {of}", type(system).__name__)
    require(not any(system.information_delays), "system.information_delays", f"0 {of}", system.information_delays)
    known = hasattr(problem.scenario, "pmf")
    require(known, "scenario", f"whole-number demand of known probabilities {of}", type(problem.scenario).__name__)
    local, shortage, fixed = (_each(rate, system.stages) for rate in (cost.holding, cost.shortage, cost.fixed_order))
    rising = np.all(echelon_rates(local) >= 0) and local[0] > 0
    require(
        bool(rising), "cost.holding", f"no lower at a stage than at the one above it, and > 0 at stage 0, {of}", local.tolist()
    )
    only = shortage[0] > 0 and not shortage[1:].any()
    require(bool(only), "cost.shortage", f"> 0 at stage 0 and 0 above it {of}", shortage.tolist())
    require(not fixed.any(), "cost.fixed_order", f"0 {of}", fixed.tolist())


def average_cost(problem: Problem, books: Chain, levels: np.ndarray) -> float:
    """What echelon base-stock levels [stage] cost a period in the long run in the problem's own timing and rates, money.

    Holding, shortage and transit; revenue and purchase do not depend on the levels.
    """
    local, in_transit = (_each(rate, books.stages) for rate in (problem.cost.holding, problem.cost.in_transit))
    mean, above = periods(problem.scenario.pmf(), 1).mean, np.append(local[1:], 0.0)
    transit = mean * np.asarray(problem.system.lead_times) @ (in_transit - above)
    return books.cost(levels) - mean * float(above[0]) + float(transit)
