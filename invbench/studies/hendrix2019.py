"""Hendrix et al. 2019: the highest average profit of one perishable product, by its life."""

from dataclasses import dataclass
from typing import Any, ClassVar

from invbench import published
from invbench.checks import choice, number, require, whole
from invbench.costs import CostModel
from invbench.dynamics import perishable
from invbench.exact import optimum
from invbench.problem import Problem
from invbench.scenarios import poisson
from invbench.studies.printed import Cell, Printed, track

PRINTED = dict(mean=5.0, price=1.0, purchase=0.5, lead_time=1, issuing="fifo", maximum_order=10)  # of every printed figure


@dataclass(frozen=True)
class Hendrix(Printed):
    """Profit per period in the long run: what is sold less what is ordered, Poisson demand, unmet demand is lost.

    Exact, with the bracket that value iteration proves. An order that is placed before the demand of a day arrives fresh in the
    next morning: lead time 1. Nothing is charged for stock, waste and lost sales, which cost what was paid and not earned.
    """

    title: ClassVar[str] = "Hendrix et al. 2019, Computational and Mathematical Methods 1(4): one perishable product"
    table: ClassVar[str] = "hendrix2019"

    lives: list[int]
    mean: float
    price: float
    purchase: float
    lead_time: int
    issuing: str
    maximum_order: int
    tolerance: float
    memory: float

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """One for each life. Raises ValueError where a field of the study makes no sense."""
        setting = self._setting()
        require(
            bool(self.lives) and len(set(self.lives)) == len(self.lives), "study.lives", "a list of different values", self.lives
        )
        lives = [whole("study.lives", life, low=1) for life in self.lives]
        known = {_life(row): row for row in published.read(self.table)} if setting == PRINTED else {}
        return [self._cell(life, known.get(life, {})) for life in track(lives, self.table)]

    def _setting(self) -> dict[str, Any]:
        """What a printed figure depends on, checked; and the rest is checked."""
        number("study.tolerance", self.tolerance, low=0, above=True)
        number("study.memory", self.memory, low=0, above=True)
        return {
            "mean": number("study.mean", self.mean, low=0, high=1e4, above=True),
            "price": number("study.price", self.price, low=0),
            "purchase": number("study.purchase", self.purchase, low=0),
            "lead_time": whole("study.lead_time", self.lead_time),
            "issuing": choice("study.issuing", self.issuing, ("fifo", "lifo")),
            "maximum_order": whole("study.maximum_order", self.maximum_order, low=1),
        }

    def _cell(self, life: int, row: dict[str, str]) -> Cell:
        """row: what is printed for this life, empty if nothing is."""
        found = optimum.find(self.problem(life), tolerance=self.tolerance, memory=self.memory)
        printed = float(row["published_pi"]) if row else None
        return Cell(
            f"m = {life}", "Profit a period", printed, -found.value, lower=-found.upper, upper=-found.lower,
            source=row.get("source", ""),
        )  # fmt: skip

    def problem(self, life: int) -> Problem:
        """With units that live so many periods."""
        system = perishable.create(
            lead_time=self.lead_time, life=life, issuing=self.issuing, maximum_order=self.maximum_order, initial_stock=0
        )
        rates = dict(price=float(self.price), purchase=float(self.purchase))
        cost = CostModel(**rates, holding=0.0, shortage=0.0, fixed_order=0.0, salvage=0.0)
        return Problem(poisson.create(mean=self.mean, items=1), system, cost, 365, 0, 0, 0)


def _life(row: dict[str, str]) -> int:
    """Of a row that is called `… m=2`."""
    return int(row["instance"].rpartition("=")[2])
