"""De Moor et al. 2022 and Farrington et al. 2025: perishable stock, the optimal policy and the best base-stock level."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench import published
from invbench.checks import choice, number, require, whole
from invbench.costs import CostModel
from invbench.dynamics import perishable
from invbench.exact import chain, optimum
from invbench.methods import base_stock, waste_conscious_base_stock
from invbench.problem import Problem
from invbench.scenarios import gamma
from invbench.studies.printed import Cell, Printed, track
from invbench.types import Policy

ISSUING = ("lifo", "fifo")
PRINTED = dict(mean=4.0, cv=0.5, purchase=3.0, holding=1.0, shortage=5.0)  # the setting of every printed figure
PRINTED |= dict(maximum_order=10, discount=0.99, periods=365, warm_up=100)
TOLERANCE, GAP_TOLERANCE = 2.0, 0.2  # money; percentage points: about three standard errors and the rounding of print
EXACT, GAP_EXACT = 0.005, 0.0005  # where print is wrong: the digits of the recomputation
SIMULATED = "print is simulated (standard error about 0.6) and rounded, ours is exact: 2 is allowed, 0.2 points in a gap"


class Instance(NamedTuple):
    """A row of the table."""

    life: int
    lead_time: int
    issuing: str
    waste: float

    @property
    def title(self) -> str:
        return f"m = {self.life}, L = {self.lead_time}, {self.issuing.upper()}, waste {self.waste:g}"


class Best(NamedTuple):
    """The level of a rule that earns most, and what it earns."""

    value: float
    level: int


@dataclass(frozen=True)
class DeMoor(Printed):
    """Expected discounted return of `periods` days after `warm_up` uncounted ones from empty; it is less than zero, a cost.

    All of ours is exact: the policy that is optimal in the discounted infinite horizon is found by value iteration, and it and
    both rules with every level up to `highest_level` are followed as Markov chains. What is printed is the mean of simulated
    returns, in whole numbers; it agrees within 2: about three standard errors of 0.6 and the rounding. The gap is that of base-
    stock to the optimum in per cent of it: 3 x 0.6 x sqrt(2) / 1,450, and the rounding, make 0.2 points. Base-stock less waste
    is `waste_conscious_base_stock`; it is not in the table.
    """

    title: ClassVar[str] = "De Moor et al. 2022, Farrington et al. 2025 (Table 3): perishable stock, expected discounted return"
    table: ClassVar[str] = "demoor2022"

    lives: list[int]
    lead_times: list[int]
    issuing: list[str]
    wastes: list[float]
    mean: float
    cv: float
    purchase: float
    holding: float
    shortage: float
    maximum_order: int
    discount: float
    periods: int
    warm_up: int
    highest_level: int
    tolerance: float
    memory: float

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Row by row. Raises ValueError where a field of the study makes no sense."""
        setting, instances = self._setting(), self._instances()
        known = {_instance(row): row for row in published.read(self.table)} if setting == PRINTED else {}
        return [cell for instance in track(instances, self.table) for cell in self._row(instance, known.get(instance, {}))]

    def _setting(self) -> dict[str, float]:
        """What a printed figure depends on, checked; and the rest is checked."""
        whole("study.highest_level", self.highest_level, low=1)
        number("study.tolerance", self.tolerance, low=0, above=True)
        number("study.memory", self.memory, low=0, above=True)
        return {
            "mean": number("study.mean", self.mean, low=0, high=1e4, above=True),
            "cv": number("study.cv", self.cv, low=0, high=3, above=True),
            **{name: number(f"study.{name}", getattr(self, name), low=0) for name in ("purchase", "holding", "shortage")},
            "maximum_order": whole("study.maximum_order", self.maximum_order, low=1),
            "discount": number("study.discount", self.discount, low=0, high=0.9999, above=True),
            "periods": whole("study.periods", self.periods, low=1),
            "warm_up": whole("study.warm_up", self.warm_up),
        }

    def _instances(self) -> list[Instance]:
        """The rows, in the order of the paper where the lists are in that of the YAML."""
        for name in ("lives", "lead_times", "issuing", "wastes"):
            given = getattr(self, name)
            require(bool(given) and len(set(given)) == len(given), f"study.{name}", "a list of different values", given)
        return [
            Instance(
                whole("study.lives", life, low=1),
                whole("study.lead_times", lead_time),
                choice("study.issuing", issuing, ISSUING),
                number("study.wastes", waste, low=0),
            )
            for life, lead_time, waste, issuing in product(self.lives, self.lead_times, self.wastes, self.issuing)
        ]

    def _row(self, instance: Instance, row: dict[str, str]) -> list[Cell]:
        """row: what is printed for the instance, empty if nothing is."""
        problem = self.problem(instance)
        found = optimum.find(problem, discount=self.discount, tolerance=self.tolerance, memory=self.memory)
        optimal = self.worth(problem, found.policy)
        plain, conscious = self._best(problem, order_up_to), self._best(problem, order_up_to_less_waste)
        gap, conscious_gap = (100 * (best.value / optimal - 1) for best in (plain, conscious))
        wrong = bool(row.get("note"))
        shared = {"title": instance.title, "row": row}
        return [
            _cell("Optimal", optimal, "VI", TOLERANCE, **shared),
            _cell("Base-stock", plain.value, "base_stock", EXACT if wrong else TOLERANCE, wrong, **shared),
            _cell("Gap, %", gap, "gap_pct", GAP_EXACT if wrong else GAP_TOLERANCE, wrong, **shared),
            Cell(instance.title, "S", None, plain.level),
            Cell(instance.title, "Base-stock less waste", None, conscious.value),
            Cell(instance.title, "its gap, %", None, conscious_gap),
            Cell(instance.title, "its S", None, conscious.level),
        ]

    def problem(self, instance: Instance) -> Problem:
        """From empty."""
        system = perishable.create(
            lead_time=instance.lead_time, life=instance.life, issuing=instance.issuing,
            maximum_order=self.maximum_order, initial_stock=0,
        )  # fmt: skip
        rates = dict(purchase=self.purchase, holding=self.holding, shortage=self.shortage, waste=instance.waste)
        cost = CostModel(price=0.0, fixed_order=0.0, salvage=0.0, **rates)
        return Problem(gamma.create(mean=self.mean, cv=self.cv, items=1), system, cost, self.periods, 0, 0, 0)

    def worth(self, problem: Problem, policy: Policy) -> float:
        """The expected discounted return of a policy, exactly."""
        return -chain.follow(problem, policy, start=0).horizon(self.periods, self.discount, self.warm_up)

    def _best(self, problem: Problem, rule: Callable[[Problem, int], Policy]) -> Best:
        """Of all levels; the smallest of those that tie."""
        levels = range(1, self.highest_level + 1)
        return max((Best(self.worth(problem, rule(problem, level)), level) for level in levels), key=lambda best: best.value)


def _instance(row: dict[str, str]) -> Instance:
    return Instance(int(row["m"]), int(row["L"]), row["issuing"].lower(), float(row["waste_cost"]))


def order_up_to(problem: Problem, level: int) -> Policy:
    """Base-stock."""
    return Policy({"level": jnp.full(1, level, jnp.float32)}, base_stock.order_up_to)


def order_up_to_less_waste(problem: Problem, level: int) -> Policy:
    """Base-stock that does not count what is expected to expire, with the mean of the whole-number demand."""
    pmf = problem.scenario.pmf()
    mean = np.full(1, pmf @ np.arange(len(pmf)))
    return waste_conscious_base_stock.policy_of(np.full(1, float(level)), mean, problem.system.lead_time, whole=True)


def _cell(
    quantity: str, ours: float, name: str, tolerance: float, wrong: bool = False, *, title: str, row: dict[str, str]
) -> Cell:
    """name: what the figure is called in the columns of the published table."""
    if not row:
        return Cell(title, quantity, None, ours)
    return Cell(
        title, quantity, float(row[f"published_{name}"]), ours, tolerance,
        verified=float(row[f"verified_{name}"]) if wrong else None,
        note=row["note"] if wrong else SIMULATED, source=row["source"],
    )  # fmt: skip
