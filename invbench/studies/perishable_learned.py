"""Learned policies where the optimum is known: perishable stock in the settings of De Moor et al. 2022, all gaps exact."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from invbench.checks import choice
from invbench.exact import chain, optimum
from invbench.problem import Problem
from invbench.studies.demoor2022 import DeMoor, Instance, order_up_to, order_up_to_less_waste
from invbench.studies.learned import Learned, Trainings, per_cent, rule_cells
from invbench.studies.printed import Cell, track
from invbench.types import Policy

OPTIMAL = "Optimal"
RULES = {"Base-stock": order_up_to, "Base-stock less waste": order_up_to_less_waste}


class Setting(NamedTuple):
    """One row of the table."""

    instance: Instance
    problem: Problem
    most: float  # money, the optimal policy's expected discounted return; less than zero

    @property
    def name(self) -> str:
        return self.instance.title

    @property
    def row(self) -> str:
        """The title of the row."""
        return self.name


@dataclass(frozen=True)
class PerishableLearned(Learned, DeMoor):
    """The optimum, and by how much each rule and each learner costs more, in per cent of it: expected discounted returns.

    Nothing here is simulated: the optimal policy is found by value iteration, and it, both rules with their best whole level and
    the learned policies are followed as Markov chains.
    """

    title: ClassVar[str] = "Perishable stock (De Moor et al. 2022): gap to the optimum in per cent, rules and learned policies"
    table: ClassVar[str] = "perishable_learned"

    rules: list[str]

    def check(self) -> None:
        super().check()
        self._setting()
        for rule in self.rules:
            choice("study.rules", rule, tuple(RULES))

    def compared(self, config: dict[str, Any], trainings: Trainings) -> list[Cell]:
        """Column by column."""
        settings = [self._posed(instance) for instance in track(self._instances(), self.table)]
        cells = [Cell(one.name, OPTIMAL, None, one.most, row=one.row) for one in settings]
        for name in self.rules:
            best = [self._best(one.problem, RULES[name]).value for one in track(settings, name)]
            cells += rule_cells(name, settings, [per_cent(value, one.most) for value, one in zip(best, settings)])
        return cells + list(self.columns(config, trainings, settings, self._gap))

    def _posed(self, instance: Instance) -> Setting:
        problem = self.problem(instance)
        found = optimum.find(problem, discount=self.discount, tolerance=self.tolerance, memory=self.memory)
        return Setting(instance, problem, self.worth(problem, found.policy))

    def _gap(self, setting: Setting, policy: Policy) -> float:
        """Infinite where the policy reaches too many states."""
        try:
            return per_cent(self.worth(setting.problem, policy), setting.most)
        except chain.TooMany:
            return float("inf")
