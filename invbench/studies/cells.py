"""Figures of a printed table beside ours: when they agree, how they are counted, and their CSV."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = "table instance quantity published ours lower upper deviation agrees note source".split()


@dataclass(frozen=True)
class Cell:
    """One figure of a table. It agrees if it differs from what is printed by at most `tolerance` (the rounding of print).

    Where print is known to be wrong, `verified` is an independent recomputation: the cell is then marked as a misprint, and
    must agree with `verified` to `tolerance`. Without `published` the figure is ours alone, and only shown; it must be finite.
    """

    instance: str  # the row's setting, in words
    quantity: str  # what is measured, such as "Optimal" or "S"
    published: float | None  # as printed
    ours: float
    tolerance: float = 0.005  # of the units that are printed
    lower: float | None = None  # what is proved, or the ends of a 95 % interval (the note says which)
    upper: float | None = None
    verified: float | None = None  # given only where print is known to be wrong
    note: str = ""  # how ours was computed where that is not exact, or why print is wrong
    source: str = ""
    row: str = ""  # where the cell stands in the Markdown table; by default its instance and quantity
    column: str = ""

    @property
    def place(self) -> tuple[str, str]:
        """The row and the column that the cell stands in."""
        return self.row or self.instance, self.column or self.quantity

    @property
    def misprint(self) -> bool:
        """Whether print is known to be wrong here."""
        return self.verified is not None

    @property
    def deviation(self) -> float | None:
        """Ours less what is printed."""
        return None if self.published is None else float(self.ours) - float(self.published)

    @property
    def agrees(self) -> bool | None:
        """Ours with print, within the tolerance; None where nothing is printed."""
        return None if self.published is None else _near(self.ours, self.published, self.tolerance)

    @property
    def fails(self) -> bool:
        """Whether a cell that should agree does not: with print, or with the recomputation where print is wrong."""
        if self.misprint:
            return not _near(self.ours, self.verified, self.tolerance)
        return self.agrees is False or not math.isfinite(self.ours)

    @property
    def kind(self) -> str:
        """How the cell is shown: fails, misprint, agrees, or ours (nothing is printed)."""
        return "fails" if self.fails else "misprint" if self.misprint else "ours" if self.published is None else "agrees"


def _near(ours: float, other: float, tolerance: float) -> bool:
    """Within the tolerance, and a rounding of the arithmetic; what is not finite is near nothing."""
    finite = math.isfinite(ours) and math.isfinite(other)
    return finite and bool(abs(ours - other) <= tolerance + 1e-9 * max(1.0, abs(other)))


def as_csv(table: str, cells: list[Cell]) -> str:
    """The cells as CSV text with `COLUMNS`; agrees is true, false, or empty where nothing is printed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for cell in cells:
        agrees = "" if cell.agrees is None else str(cell.agrees).lower()
        figures = [_number(cell.published, 16), *map(_number, (cell.ours, cell.lower, cell.upper, cell.deviation))]
        note = f"misprint: {cell.note}" if cell.misprint else cell.note
        writer.writerow([table, cell.instance, cell.quantity, *figures, agrees, note, cell.source])
    return text.getvalue()


def _number(value: float | None, digits: int = 12) -> str:
    return "" if value is None else f"{float(value) + 0.0:.{digits}g}"  # + 0.0 turns -0 into 0


@dataclass(frozen=True)
class Tally:
    """How many printed cells agree, without the known misprints, which are counted apart."""

    agree: int
    of: int
    misprints: int
    wrong: int  # misprints where ours differs from the recomputation too
    broken: int  # figures of ours alone that are not finite
    worst: Cell | None  # the cell with the largest deviation of those that should agree

    @property
    def largest(self) -> float | None:
        """The largest deviation, without its sign, in the units of its cell."""
        return None if self.worst is None else abs(self.worst.deviation)

    def __str__(self) -> str:
        where = "none" if self.worst is None else f"{self.largest:.3g} ({self.worst.instance}, {self.worst.quantity})"
        known = f"; {self.misprints} known misprint{'s' * (self.misprints > 1)}" * (self.misprints > 0)
        wrong = f", where {self.wrong} of ours differ{'s' * (self.wrong == 1)} from the recomputation" * (self.wrong > 0)
        broken = f"; not finite: {self.broken} of ours where nothing is printed" * (self.broken > 0)
        if self.of + self.misprints == 0:
            return f"nothing is printed to compare with{broken}"
        return f"{self.agree} of {self.of} agree, largest deviation {where}{known}{wrong}{broken}"


def tally(cells: Sequence[Cell]) -> Tally:
    """Count the cells; a deviation that is not a number is larger than any other."""
    judged = [cell for cell in cells if cell.published is not None and not cell.misprint]
    misprints = [cell for cell in cells if cell.misprint]
    alone = [cell for cell in cells if cell.published is None and not cell.misprint]
    worst = max(judged, key=lambda cell: (math.isnan(cell.deviation), abs(cell.deviation)), default=None)
    fails = (sum(cell.fails for cell in group) for group in (misprints, alone))
    return Tally(sum(bool(cell.agrees) for cell in judged), len(judged), len(misprints), *fails, worst)


def verdict(cells: Sequence[Cell]) -> str:
    """N of M agree, the largest deviation, and what is known to be wrong in print."""
    return str(tally(cells))
