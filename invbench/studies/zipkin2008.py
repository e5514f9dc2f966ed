"""Zipkin 2008, Tables 3 and 4: lost sales with lead times, the optimum and the rules of the literature."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench import published
from invbench.checks import choice, number, require, whole
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.exact import best, bounds, chain, constant, lookahead, optimum
from invbench.formulas import critical_fractile
from invbench.keys import root
from invbench.methods import base_stock, capped_base_stock, vector_base_stock
from invbench.problem import Problem
from invbench.scenarios import geometric, poisson
from invbench.studies.printed import Cell, Printed, track
from invbench.types import Policy

DEMANDS = {"poisson": poisson.create, "geometric": geometric.create}
HALF_UNIT = 0.0055  # of the second decimal, to three decimals: three printed figures are off by 0.0050 to 0.0053
PRINTED = {"mean": 5.0, "holding": 1.0}  # the setting of every printed figure
WHY = {
    "Best constant": "print cuts stock off at the bound for lead time 4; ours is the chain without a bound",
    "Better vector base-stock": "print is a local optimum; ours is the best of all vectors",
}
CUT = "print cuts demand or stock off; ours is the whole chain"


class Figure(NamedTuple):
    """Average cost per period and its proved bracket."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Zipkin(Printed):
    """Average cost per period of each policy; all exact: value iteration, and policies as chains with a bracket each.

    "Best" and "better" parameters are screened by simulation and then followed exactly. Dual-balancing is left out, as print
    leaves its randomisation open. `capped_base_stock` (Xin 2021) is ours alone. Learned policies join with their methods.
    """

    title: ClassVar[str] = "Zipkin 2008, Operations Research 56(5): average cost with lost sales"
    table: ClassVar[str] = "zipkin2008"

    demands: list[str]
    mean: float
    lead_times: list[int]
    holding: float
    shortages: list[float]
    policies: list[str]

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Every cell, demand by demand. Raises ValueError where a field of the study makes no sense."""
        setting = {name: number(f"study.{name}", getattr(self, name), low=0, above=True) for name in PRINTED}
        lead_times = [whole("study.lead_times", lead_time, low=1) for lead_time in self.lead_times]
        shortages = [number("study.shortages", shortage, low=0, above=True) for shortage in self.shortages]
        for name in self.demands:
            choice("study.demands", name, tuple(DEMANDS))
        for name in self.policies:
            choice("study.policies", name, (*POLICIES, CONSTANT))
        require(bool(self.demands and lead_times and shortages and self.policies), "study", "given a value in each list", self)
        known = {_place(row): row for row in published.read(self.table)} if setting == PRINTED else {}
        settings = [(demand, shortage) for demand in self.demands for shortage in shortages]
        work = [(one, policy, lead_time) for one in settings for policy in self.policies for lead_time in self._leads(policy)]
        return [self._cell(*one, policy, lead_time, known) for one, policy, lead_time in track(work, self.table)]

    def _leads(self, policy: str) -> list[int]:
        return [0] if policy == CONSTANT else self.lead_times  # a constant order costs the same whatever the lead time

    def _cell(self, demand: str, shortage: float, policy: str, lead_time: int, known: dict) -> Cell:
        scenario = DEMANDS[demand](mean=self.mean, items=1)
        if policy == CONSTANT:
            cost = constant.best(scenario.pmf(), self.holding, shortage)[1]
            found = Figure(cost, cost, cost)
        else:
            found = POLICIES[policy](posed(scenario, lead_time, self.holding, shortage))
        row = known.get((demand, shortage, lead_time, policy), {})
        printed = float(row["published"]) if row.get("published") else None
        wrong = row.get("status") == "differs"
        return Cell(
            f"{demand}, p = {shortage:g}, L = {lead_time or 'any'}", policy, printed, found.value, HALF_UNIT,
            found.lower, found.upper, verified=float(row["verified"]) if wrong else None,
            note=WHY.get(policy, CUT) if wrong else "", source=row.get("source", ""),
            row=f"{demand}, p = {shortage:g}: {policy}", column="any L" if policy == CONSTANT else f"L = {lead_time}",
        )  # fmt: skip


def _place(row: dict[str, str]) -> tuple[str, float, int, str]:
    return row["demand"], float(row["p"]), int(row["L"]), row["policy"]


def posed(scenario: Any, lead_time: int, holding: float, shortage: float) -> Problem:
    """Lost sales with nothing to pay but holding and shortage; unit costs are what is lost sight of in the long run."""
    cost = CostModel(price=0.0, purchase=0.0, holding=holding, shortage=shortage, fixed_order=0.0, salvage=0.0)
    return Problem(scenario, single.create(lead_time=lead_time, backlog=False), cost, 90, 0, 0, 0)


def _optimal(problem: Problem) -> Figure:
    found = optimum.find(problem)
    return Figure(found.value, found.lower, found.upper)


def _followed(policy_of: Callable[[Problem], Policy], problem: Problem) -> Figure:
    lower, upper, _ = chain.average(problem, policy_of(problem))
    return Figure((lower + upper) / 2, lower, upper)


def _ratio(problem: Problem) -> float:
    return float(critical_fractile(problem.cost, backlog=False))


def _standard_levels(problem: Problem) -> np.ndarray:
    """[L + 1, 1] levels at the critical ratio."""
    return vector_base_stock.levels_of(problem.scenario.pmf(), problem.system.lead_time, np.array([_ratio(problem)])).T


def _standard_base_stock(problem: Problem) -> Policy:
    return _base_stock(_standard_levels(problem)[0])


def _base_stock(level: np.ndarray) -> Policy:
    return Policy({"level": jnp.asarray(level, jnp.float32)}, base_stock.order_up_to)


def _standard_vector(problem: Problem) -> Policy:
    return vector_base_stock.policy_of(_standard_levels(problem))


def _searched(problem: Problem, policy_of: Callable[..., Policy], *ranges: range) -> Figure:
    found = best.find(problem, policy_of, ranges, root(0, "zipkin2008"), starts=2)
    return Figure(found.value, found.lower, found.upper)


def _best_base_stock(problem: Problem) -> Figure:
    return _searched(problem, _base_stock, range(1, _highest(problem) + 1))


def _best_capped(problem: Problem) -> Figure:
    return _searched(problem, capped_base_stock.policy_of, range(1, _highest(problem) + 1), range(1, _highest(problem) + 1))


def _better_vector(problem: Problem) -> Figure:
    table = vector_base_stock.vectors(problem.scenario.pmf(), problem.system.lead_time)
    table = jnp.asarray(table[(table <= _standard_levels(problem)[:, 0]).all(1)], jnp.float32)
    policy_of = lambda row: vector_base_stock.policy_of(table[jnp.asarray(row)[..., 0].astype(int)][..., None])  # noqa: E731
    return _searched(problem, policy_of, range(len(table)))


def _highest(problem: Problem) -> int:
    """No rule here is better for a level above the newsvendor's."""
    return bounds.lost_sales(problem, problem.scenario.pmf()[None], 1.0).position


CONSTANT = "Best constant"
POLICIES: dict[str, Callable[[Problem], Figure]] = {
    "Optimal": _optimal,
    "Myopic": partial(_followed, partial(lookahead.policy, name="myopic", periods=1)),
    "Myopic-2": partial(_followed, partial(lookahead.policy, name="myopic_2", periods=2)),
    "Std. vector base-stock": partial(_followed, _standard_vector),
    "Better vector base-stock": _better_vector,
    "Std. base-stock": partial(_followed, _standard_base_stock),
    "Best base-stock": _best_base_stock,
    "Capped base-stock": _best_capped,
}
