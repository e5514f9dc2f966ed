"""Bijvank, Bhulai and Huh 2015, Table 1: lost sales with a fixed order cost, the optimum and the best rules, all exact."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench import published, tuning
from invbench.checks import number, require, whole
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.exact import best, optimum
from invbench.exact.best import Best
from invbench.exact.optimum import Optimum
from invbench.keys import root
from invbench.methods import r_Q, s_S, s_S_q
from invbench.problem import Problem
from invbench.scenarios import poisson
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed, track
from invbench.types import Array, Policy

PRINTED = {
    "mean": 5.0,
    "lead_time": 2,
    "holding": 1.0,
    "shortage": 14.0,
    "fixed_order": 5.0,
}  # the setting of every printed figure
ROUNDING = 0.005  # money: half a unit of the last digit that is printed
OPTIMUM = "optimal"
HORIZON = 2000  # periods; costs are those of the long run


def order_up_to(reorder_point: Array, lot: Array) -> Policy:
    """(s, S) with s and S - s: units, [item] or [candidate, item]."""
    return Policy({"reorder_point": jnp.asarray(reorder_point), "lot": jnp.asarray(lot)}, s_S.reorder_up_to)


def order_lots(reorder_point: Array, lot: Array) -> Policy:
    """(s, nQ) with s and Q: units, likewise."""
    return Policy({"reorder_point": jnp.asarray(reorder_point), "lot": jnp.asarray(lot)}, r_Q.reorder_lots)


@dataclass(frozen=True)
class Rule:
    """A rule with whole parameters, the reorder point, the lot and perhaps a cap, and how the paper writes them."""

    label: str
    policy_of: Callable[..., Policy]
    symbols: tuple[str, ...]  # S stands for the reorder point and the lot together


RULES = {
    "s_S": Rule("(s,S)", order_up_to, ("s", "S")),
    "r_Q": Rule("(s,nQ)", order_lots, ("s", "Q")),
    "s_S_q": Rule("(s,S,q)", s_S_q.policy_of, ("s", "S", "q")),
}


@dataclass(frozen=True)
class Bijvank(Printed):
    """The least average cost, and that of each rule with its best parameters; orders are placed at a position of s or less.

    Costs have the proved bracket as lower and upper. Figures are printed for the setting `PRINTED` alone.
    """

    title: ClassVar[str] = "Bijvank, Bhulai and Huh 2015, EJOR 241(2), Table 1: lost sales with a fixed order cost, average cost"
    table: ClassVar[str] = "bijvank2015"

    mean: float  # units a period, Poisson
    lead_time: int  # periods
    holding: float  # money per unit left at the end of a period
    shortage: float  # money per unit lost
    fixed_order: float  # money per order
    rules: list[str]  # of `RULES`

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """The optimum and every rule. Raises ValueError where a field of the study makes no sense."""
        self._check()
        problem, rows, key = self.problem(), self._printed(), root(config["seed"], "screening", self.table)
        name = f"Poisson({self.mean:g}), L {self.lead_time}, h {self.holding:g}, p {self.shortage:g}, K {self.fixed_order:g}"
        least = optimum.find(problem)
        cells = [_cost(name, OPTIMUM, least, rows.get(OPTIMUM, {}))]
        for rule in track([RULES[rule] for rule in self.rules], self.table):
            found = best.find(problem, rule.policy_of, ranges(problem)[: len(rule.symbols)], key)
            cells += _rule_cells(name, rule, found, least, rows.get(rule.label, {}))
        return cells

    def problem(self) -> Problem:
        """The instance; it starts empty, which does not matter in the long run."""
        demand, system = poisson.create(mean=self.mean, items=1), single.create(lead_time=self.lead_time, backlog=False)
        rates = dict(holding=self.holding, shortage=self.shortage, fixed_order=self.fixed_order)
        return Problem(demand, system, CostModel(price=0.0, purchase=0.0, salvage=0.0, **rates), HORIZON, 0, 0, 0)

    def _check(self) -> None:
        for name in ("mean", "holding", "shortage"):
            number(f"study.{name}", getattr(self, name), low=0, above=True)
        number("study.fixed_order", self.fixed_order, low=0)
        whole("study.lead_time", self.lead_time)
        rule = "a list of different ones of " + ", ".join(RULES)
        require(set(self.rules) <= set(RULES) and len(set(self.rules)) == len(self.rules), "study.rules", rule, self.rules)

    def _printed(self) -> dict[str, dict[str, str]]:
        """Rows of the published table by rule; none where nothing is printed for the setting."""
        if {name: getattr(self, name) for name in PRINTED} != PRINTED:
            return {}
        return {row["policy"].split("=")[0]: row for row in published.read(self.table)}


def ranges(problem: Problem) -> tuple[range, range, range]:
    """Generous ones for the reorder point, the lot and the cap, which at its highest makes no difference."""
    pmf = problem.scenario.pmf()
    mean = np.array([pmf @ np.arange(len(pmf))])
    spread = np.sqrt(mean)  # Poisson demand
    largest = float(tuning.lot(problem, mean)[0])
    cap = largest + float((2 * mean + 6 * spread)[0])
    return range(int(tuning.highest_level(problem, mean, spread)[0])), range(1, int(largest)), range(1, int(cap))


def _rule_cells(name: str, rule: Rule, found: Best, least: Optimum, row: dict[str, str]) -> list[Cell]:
    """Cost, gap to the optimum and parameters of a rule, as the paper writes them."""
    cell = partial(Cell, f"{name}, {rule.label}", row=rule.label, source=row.get("source", ""))
    printed = re.findall(r"\d+", row["policy"]) if row else [None] * len(found.point)
    ours = dict(zip(("s", "Q", "q"), found.point)) | {"S": sum(found.point[:2])}
    parameters = [
        cell(symbol, figure and float(figure), float(ours[symbol]), 0.0)
        for symbol, figure in zip(rule.symbols, printed, strict=True)
    ]
    return [_cost(name, rule.label, found, row), cell("gap %", None, 100 * (found.value / least.value - 1)), *parameters]


def _cost(name: str, label: str, found: Best | Optimum, row: dict[str, str]) -> Cell:
    printed, more = float(row["published"]) if row else None, dict(row=label, source=row.get("source", ""))
    return Cell(f"{name}, {label}", "cost", printed, found.value, ROUNDING, found.lower, found.upper, **more)
