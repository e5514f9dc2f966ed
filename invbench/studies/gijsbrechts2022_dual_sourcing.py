"""Gijsbrechts et al. 2022, Figure 9: dual sourcing, the optimum and the gaps of the best rules to it, all exact."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
from scipy import optimize

from invbench import published
from invbench.checks import number, require, whole
from invbench.costs import CostModel
from invbench.dynamics import dual_source
from invbench.exact import best, optimum
from invbench.exact.best import Best
from invbench.exact.optimum import Optimum
from invbench.keys import root
from invbench.methods import capped_dual_index, dual_index, single_index, tailored_base_surge
from invbench.problem import Problem
from invbench.scenarios import uniform_discrete
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed, track
from invbench.types import Array, Policy

PRINTED = {"regular": 100.0, "holding": 5.0, "shortage": 495.0, "low": 0, "high": 4}  # the setting of every printed figure
UNIT = 0.01  # percentage points: the last digit that is printed; some figures are rounded, some cut off
TAIL = 1e-15  # probability of a position above the capacity, see `capacity`


@dataclass(frozen=True)
class Rule:
    """A rule with whole parameters, as `best.find` needs it."""

    label: str  # as in the paper
    policy_of: Callable[..., Policy]
    parameters: tuple[str, ...]
    ranges: Callable[[Problem], tuple[range, ...]]


def most_demand(problem: Problem, periods: int) -> int:
    """Units that so many periods can ask for at most: an order that lifts a stock above it is better placed later."""
    return periods * (len(problem.scenario.pmf()) - 1)


def expedite_levels(problem: Problem) -> range:
    """From owing all that a regular lead time can ask for (next to never expedite) to what one period can ask for."""
    return range(-most_demand(problem, problem.system.lead_time), most_demand(problem, 1) + 1)


def regular_levels(problem: Problem) -> range:
    """Up to what can be asked for until the order after next arrives."""
    return range(most_demand(problem, problem.system.lead_time + 1) + 1)


def caps(problem: Problem) -> range:
    """Up to the largest demand, which makes no difference: in the long run a period orders what others asked for."""
    return range(most_demand(problem, 1) + 1)


def quantities(problem: Problem) -> range:
    """Below mean demand, or stock piles up without end."""
    return range(math.ceil(mean_demand(problem)))


RULES = {
    "capped_dual_index": Rule(
        "CDI",
        partial(capped_dual_index.policy_of, expedite_lead_time=0),
        ("S_e", "S_r", "cap"),
        lambda problem: (expedite_levels(problem), regular_levels(problem), caps(problem)),
    ),
    "dual_index": Rule(
        "DI",
        partial(dual_index.policy_of, expedite_lead_time=0),
        ("S_e", "S_r"),
        lambda problem: (expedite_levels(problem), regular_levels(problem)),
    ),
    "single_index": Rule(
        "SI", single_index.policy_of, ("S_e", "S_r"), lambda problem: (regular_levels(problem), regular_levels(problem))
    ),
    "tailored_base_surge": Rule(
        "TBS",
        partial(tailored_base_surge.policy_of, expedite_lead_time=0),
        ("S_e", "quantity"),
        lambda problem: (expedite_levels(problem), quantities(problem)),
    ),
}


@dataclass(frozen=True)
class GijsbrechtsDualSourcing(Printed):
    """For each lead time and expedited price the least average cost, and what each rule costs above it with its best parameters.

    S_e and S_r are the order-up-to levels of the expedited and the regular supplier. Costs and gaps have the proved bracket as
    lower and upper (see `capacity` for what is left out of it). Only gaps are printed, for the setting `PRINTED`, and
    agree to a unit of the last digit. A3C's printed gap stands beside the optimum, not computed.
    """

    title: ClassVar[str] = "Gijsbrechts et al. 2022, M&SOM 24(3), Figure 9: dual sourcing, gaps to the optimum in %"
    table: ClassVar[str] = "gijsbrechts2022_dual_sourcing"

    lead_times: list[int]  # periods, of the regular supplier; the expedited one delivers at once
    expedited: list[float]  # money per unit
    regular: float  # money per unit
    holding: float
    shortage: float
    low: int  # units a period: demand is uniform on low, …, high
    high: int
    rules: list[str]  # of `RULES`

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """The optimum and every rule for each instance. Raises ValueError where a field of the study makes no sense."""
        self._check()
        instances = [(lead_time, price) for lead_time in self.lead_times for price in self.expedited]
        key = root(config["seed"], "screening", self.table)
        return [cell for instance in track(instances, self.table) for cell in self._instance(*instance, key)]

    def problem(self, lead_time: int, expedited: float) -> Problem:
        """One instance. Money per unit; starts empty, which does not matter in the long run."""
        demand = uniform_discrete.create(low=self.low, high=self.high, items=1)
        system = dual_source.create(lead_time=lead_time, expedite_lead_time=0, backlog=True)
        rates = dict(purchase=self.regular, expedite=expedited - self.regular, holding=self.holding, shortage=self.shortage)
        return Problem(demand, system, CostModel(price=0.0, fixed_order=0.0, salvage=0.0, **rates), 1, 0, 0, 0)

    def _check(self) -> None:
        for name in ("lead_times", "expedited", "rules"):
            values = getattr(self, name)
            require(bool(values) and len(set(values)) == len(values), f"study.{name}", "a list of different values", values)
        for name in ("holding", "shortage"):
            number(f"study.{name}", getattr(self, name), low=0, above=True)
        regular = number("study.regular", self.regular, low=0)
        for lead_time in self.lead_times:
            whole("study.lead_times", lead_time, low=1)
        for price in self.expedited:
            number("study.expedited", price, low=regular)
        whole("study.high", self.high, low=whole("study.low", self.low) + 1)
        for rule in self.rules:
            require(rule in RULES, "study.rules", "some of " + ", ".join(RULES), rule)

    def _instance(self, lead_time: int, expedited: float, key: Array) -> list[Cell]:
        problem, row = self.problem(lead_time, expedited), self._printed(lead_time, expedited)
        least = optimum.find(problem)
        name = f"l_r {lead_time} c_e {expedited:g}"
        beside = f" (gap of A3C in print: {float(row['A3C_pub']):.2f})" if row else ""
        bracket = dict(lower=least.lower, upper=least.upper)
        cells = [Cell(f"{name}, optimum", "cost", None, least.value, row=f"{name}, optimum{beside}", **bracket)]
        for rule in (RULES[name] for name in self.rules):
            cells += _rule_cells(f"{name}, {rule.label}", rule, best_of(problem, rule, key), least, row)
        return cells

    def _printed(self, lead_time: int, expedited: float) -> dict[str, str]:
        """The row of the published table; empty where nothing is printed."""
        if {name: getattr(self, name) for name in PRINTED} != PRINTED:
            return {}
        rows = published.read(self.table)
        return next((row for row in rows if (float(row["l_r"]), float(row["c_e"])) == (lead_time, expedited)), {})


def best_of(problem: Problem, rule: Rule, key: Array) -> Best:
    """The rule's best parameters and their exact cost, on the system with the capacity that makes every chain finite."""
    bounded = replace(problem, system=replace(problem.system, capacity=capacity(problem)))
    return best.find(bounded, rule.policy_of, rule.ranges(problem), key)


def capacity(problem: Problem) -> float:
    """An inventory position above which none of the rules is, but with probability `TAIL`.

    Only a constant regular order q knows no bound. The surplus that it leaves above the expedited level is a random walk above
    zero with steps q - D: above x with probability of at most exp(-t x), where E exp(t (q - D)) = 1 (Kingman 1970, "Inequalities
    in the theory of queues", J. Royal Statistical Society B 32(1), 102-110).
    """
    pmf, lead_time, quantity = problem.scenario.pmf(), problem.system.lead_time, max(quantities(problem))
    steps = quantity - np.flatnonzero(pmf)
    bounded = most_demand(problem, lead_time + 1) + quantity * lead_time
    if steps[0] <= 0:  # the least demand uses all of it up
        return float(bounded)
    share = pmf[pmf > 0]
    highest = -math.log(share[0]) / steps[0]
    rate = optimize.brentq(lambda rate: share @ np.exp(rate * steps) - 1, 1e-6 * highest, highest)
    return float(bounded + math.ceil(-math.log(TAIL) / rate))


def mean_demand(problem: Problem) -> float:
    """Units a period."""
    pmf = problem.scenario.pmf()
    return float(pmf @ np.arange(len(pmf)))


def _rule_cells(name: str, rule: Rule, found: Best, least: Optimum, row: dict[str, str]) -> list[Cell]:
    """Gap, cost and parameters of a rule."""
    gap = partial(Cell, name, "gap %", lower=_gap(found.lower, least.upper), upper=_gap(found.upper, least.lower))
    cells = [
        gap(float(row[f"{rule.label}_pub"]) if row else None, _gap(found.value, least.value), UNIT, source=row.get("source", "")),
        Cell(name, "cost", None, found.value, lower=found.lower, upper=found.upper),
    ]
    return cells + [Cell(name, symbol, None, float(value), 0.0) for symbol, value in zip(rule.parameters, found.point)]


def _gap(cost: float, least: float) -> float:
    """Percent above the least cost."""
    return 100 * (cost / least - 1)
