"""Learned policies where the optimum is known: dual sourcing in the settings of Gijsbrechts et al. 2022, all gaps exact."""

from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, NamedTuple

from invbench.checks import whole
from invbench.exact import chain, optimum
from invbench.exact.optimum import Optimum
from invbench.keys import root
from invbench.problem import Problem
from invbench.studies.gijsbrechts2022_dual_sourcing import RULES, GijsbrechtsDualSourcing, best_of
from invbench.studies.learned import Learned, Trainings, per_cent, rule_cells
from invbench.studies.printed import Cell, track
from invbench.types import Policy

OPTIMAL = "Optimal"


class Setting(NamedTuple):
    """One row of the table."""

    lead_time: int  # periods, of the regular supplier
    expedited: float  # money a unit
    problem: Problem
    least: Optimum  # money a period
    printed: dict[str, str]  # its row of the published table, empty where nothing is printed

    @property
    def name(self) -> str:
        return f"l_r = {self.lead_time}, c_e = {self.expedited:g}"

    @property
    def row(self) -> str:
        """The title of the row, with what is printed of a learner."""
        return self.name + (f" (A3C in print: {float(self.printed['A3C_pub']):.2f})" if self.printed else "")


@dataclass(frozen=True)
class DualSourcingLearned(Learned, GijsbrechtsDualSourcing):
    """The optimum, and how far above it each rule and each learner stays, in per cent of the optimum.

    Nothing here is simulated: value iteration for the optimum (lower, upper: its bracket), and policies as Markov chains. Rules
    have their best whole parameters.
    """

    title: ClassVar[str] = "Dual sourcing (Gijsbrechts et al. 2022): gap to the optimum in per cent, rules and learned policies"
    table: ClassVar[str] = "dual_sourcing_learned"

    periods: int

    def check(self) -> None:
        super().check()
        self._check()
        whole("study.periods", self.periods, low=2)

    def compared(self, config: dict[str, Any], trainings: Trainings) -> list[Cell]:
        """Column by column."""
        settings = [self._setting(lead_time, price) for lead_time in self.lead_times for price in self.expedited]
        key = root(config["seed"], "screening", self.table)
        cells = [_optimal(one) for one in settings]
        for name in self.rules:
            worth = [best_of(one.problem, RULES[name], key).value for one in track(settings, RULES[name].label)]
            cells += rule_cells(
                RULES[name].label, settings, [per_cent(cost, one.least.value) for cost, one in zip(worth, settings)]
            )
        return cells + list(self.columns(config, trainings, settings, self._gap))

    def _setting(self, lead_time: int, expedited: float) -> Setting:
        problem = replace(self.problem(lead_time, expedited), horizon=self.periods)
        return Setting(lead_time, expedited, problem, optimum.find(problem), self._in_print(lead_time, expedited))

    def _gap(self, setting: Setting, policy: Policy) -> float:
        """Infinite where the policy lets stock or what is owed grow without bound."""
        try:
            lower, upper, _ = chain.average(setting.problem, policy, tolerance=1e-8)
        except chain.TooMany:
            return float("inf")
        return per_cent((lower + upper) / 2, setting.least.value)

    def _in_print(self, lead_time: int, expedited: float) -> dict[str, str]:
        """The row of the table of Gijsbrechts et al.; empty where nothing is printed."""
        theirs = {field.name: getattr(self, field.name) for field in fields(GijsbrechtsDualSourcing)}
        return GijsbrechtsDualSourcing(**theirs)._printed(lead_time, expedited)


def _optimal(setting: Setting) -> Cell:
    least = setting.least
    return Cell(setting.name, OPTIMAL, None, least.value, lower=least.lower, upper=least.upper, row=setting.row)
