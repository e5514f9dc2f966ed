"""Clark and Scarf 1960: the best echelon base-stock levels of serial systems and their cost, beside what is printed for them."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from invbench import published
from invbench.checks import require
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed, track

GRID = 5e-5  # money: how far the recomputation of costs may be from ours, because it has a grid of its own


@dataclass(frozen=True)
class ClarkScarf(Printed):
    """Each instance is a chain (see `echelon.Chain`) with a title, the row that is printed for it, and a note where they differ.

    A printed cost that is further from the recomputation than its own rounding is a misprint; ours is held to the recomputation.
    """

    instances: dict[str, dict[str, Any]]  # name: title, printed, chain and (optional) note
    title: ClassVar[str] = "Serial systems: best echelon base-stock levels and cost (Clark and Scarf 1960; Snyder and Shen 2019)"
    table: ClassVar[str] = "clark_scarf"

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Cost and levels S1 (at customers), S2, … of each instance; ValueError where one is none of the table's."""
        rows = {row["instance"]: row for row in published.read(self.table)}
        for name, instance in self.instances.items():
            require(instance["printed"] in rows, f"study.instances.{name}.printed", "a row of the table", instance["printed"])
        work = track(list(self.instances.values()), self.table)
        return [cell for instance in work for cell in _row(instance, rows[instance["printed"]])]


def _row(instance: dict[str, Any], row: dict[str, str]) -> list[Cell]:
    found, title, source = instance["chain"].optimum(), instance["title"], row["source"]
    printed, verified = float(row["published"]), float(row["verified"])
    rounding = _rounding(row["published"])
    if abs(printed - verified) > rounding:
        note = instance.get("note", "print differs from an independent recomputation")
        cost = Cell(title, "cost", printed, found.cost, GRID, verified=verified, note=note, source=source)
    else:
        cost = Cell(title, "cost", printed, found.cost, rounding, source=source)
    levels = re.findall(r"[\d.]+", row["published_S"]) or [None] * len(found.levels)
    return [cost] + [
        Cell(title, f"S{stage + 1}", level and float(level), float(ours), level and _rounding(level), source=source)
        for stage, (level, ours) in enumerate(zip(levels, found.levels, strict=True))
    ]


def _rounding(printed: str) -> float:
    """Half a unit of the last digit that is printed; a whole number is exact."""
    exponent = Decimal(printed).as_tuple().exponent
    return 0.5 * 10.0**exponent if exponent < 0 else 0.0
