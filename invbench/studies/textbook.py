"""The worked examples and problems of a textbook: single-echelon formulas beside the figures printed for them."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

from invbench import published
from invbench.checks import require
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed

FIELDS = {"Q": "quantity", "x": "backordered", "s": "reorder_point", "S": "level", "cost": "cost"}  # symbols of the book
TOLERANCE = 1e-9  # of the figure: the least exact one has ten digits, the rest are exact or have all that a double holds


@dataclass(frozen=True)
class Textbook(Printed):
    """Each instance is what a formula makes of the setting in the config, under the row's name in small letters."""

    instances: dict[str, Any]  # name: the formula's result
    title: ClassVar[str] = "Snyder and Shen 2019, Fundamentals of Supply Chain Theory: single-echelon examples and problems"
    table: ClassVar[str] = "textbook"

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Every printed figure; ValueError where an instance is missing, or is none of the table's."""
        rows = published.read("textbook")
        names = dict.fromkeys(name_of(row["instance"]) for row in rows)
        found = sorted(self.instances)
        require(found == sorted(names), "study.instances", "those of the table: " + ", ".join(names), ", ".join(found))
        return [_cell(row, self.instances[name_of(row["instance"])]) for row in rows]


def name_of(instance: str) -> str:
    """The config's name of a row: its letters and digits, small, with _ between them."""
    return re.sub("[^a-z0-9]+", "_", instance.lower()).strip("_")


def _cell(row: dict[str, str], result: Any) -> Cell:
    figure, ours = float(row["published"]), float(getattr(result, FIELDS[row["quantity"]]))
    return Cell(row["instance"], row["quantity"], figure, ours, TOLERANCE * abs(figure), source=row["source"])
