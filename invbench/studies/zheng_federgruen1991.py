"""Zheng and Federgruen 1991: the best (s, S) rule and its average cost for Poisson demand with 24 means."""

from dataclasses import dataclass
from typing import Any, ClassVar

from invbench import published
from invbench.checks import number, require, whole
from invbench.formulas import Stationary
from invbench.scenarios import poisson
from invbench.studies.printed import Cell, Printed, track

PRINTED = {"fixed_order": 64.0, "holding": 1.0, "shortage": 9.0, "lead_time": 0}  # the setting of every printed row


@dataclass(frozen=True)
class ZhengFedergruen(Printed):
    """s, S and average cost a period with full backlog, for each mean; figures are printed for the setting `PRINTED` alone.

    s is the highest position at which an order is placed. At mean 75 (66, 86) costs the same to 14 digits as the printed
    (67, 86), which the algorithm of the paper finds.
    """

    title: ClassVar[str] = "Zheng and Federgruen 1991, Operations Research 39(4): best (s, S) and average cost"
    table: ClassVar[str] = "zheng_federgruen1991"

    fixed_order: float
    holding: float
    shortage: float
    lead_time: int
    means: list[float]

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """s, S and cost for each mean. Raises ValueError where a field of the study makes no sense."""
        setting = self._setting()
        require(
            bool(self.means) and len(set(self.means)) == len(self.means), "study.means", "a list of different means", self.means
        )
        means = [number("study.means", mean, low=0, high=1e4, above=True) for mean in self.means]
        known = {float(row["poisson_mean"]): row for row in published.read(self.table)} if setting == PRINTED else {}
        return [cell for mean in track(means, self.table) for cell in _row(mean, setting, known.get(mean, {}))]

    def _setting(self) -> dict[str, float]:
        positive = {name: number(f"study.{name}", getattr(self, name), low=0, above=True) for name in ("holding", "shortage")}
        fixed_order = number("study.fixed_order", self.fixed_order, low=0)
        return {"fixed_order": fixed_order, **positive, "lead_time": whole("study.lead_time", self.lead_time)}


def _row(mean: float, setting: dict[str, float], row: dict[str, str]) -> list[Cell]:
    """The three cells of a mean; row: what is printed for it, empty if nothing is."""
    s, up_to, cost = Stationary(pmf=poisson.create(mean=mean, items=1).pmf(), **setting).reorder_up_to()
    figures = {"s": ("s_pub", s, 0.0), "S": ("S_pub", up_to, 0.0), "cost": ("cost_pub", cost, 0.0005)}
    return [
        Cell(f"mean {mean:g}", quantity, float(row[name]) if row else None, ours, tolerance, source=row.get("source", ""))
        for quantity, (name, ours, tolerance) in figures.items()
    ]
