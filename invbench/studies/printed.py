"""A printed table beside ours: what a study of one computes and writes, and the table laid out as in the paper."""

import math
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from invbench import jobs
from invbench.progress import track
from invbench.studies.cells import Cell, as_csv, verdict

READING = (
    "printed / ours, or ours alone; * print is known to be wrong, ours is held to a recomputation; ! differs and should not."
    " Ours is exact (lower and upper in the CSV are proved), but where a note says otherwise."
)
MARKS = {"fails": "! ", "misprint": "* "}  # before the figures, so that digits stay in line
STYLES = {"fails": "bold red", "misprint": "yellow", "ours": "cyan"}
WIDTH = 160  # columns of output that no terminal limits
DECIMALS, DIGITS = 6, 8  # at most so many after the point, and in all where that is fewer; the CSV has more
LONG = 12  # rows from which groups of rows are set apart

__all__ = ["Cell", "Printed", "track"]  # what a study needs


class Printed:
    """A study that prints one table; a subclass is a frozen dataclass whose `cells` computes it from its fields."""

    title: ClassVar[str]  # author, year and number of the table
    table: ClassVar[str]  # the name of the experiment

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Every cell, in the order of the paper."""
        raise NotImplementedError

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv and table.md into the folder and print them; exit code 1 if a cell that should agree does not."""
        cells = self.cells(config)
        code = self.write(folder, cells)
        show(self.title, cells)
        return code

    def write(self, folder: Path, cells: list[Cell]) -> int:
        """Write published.csv and table.md into the folder; returns the exit code. Raises ValueError without cells."""
        if not cells:
            raise ValueError(f"{self.table} must have at least one cell, got none")
        jobs.write(folder / "published.csv", as_csv(self.table, cells))
        jobs.write(folder / "table.md", f"### {self.title}\n\n{markdown(cells)}\n{notes(cells)}\n\n{verdict(cells)}\n")
        return 1 if any(cell.fails for cell in cells) else 0


@dataclass(frozen=True)
class Layout:
    """The cells as rows and columns of text; figures of one quantity in one column have the same number of decimals."""

    cells: tuple[Cell, ...]

    @cached_property
    def rows(self) -> list[str]:
        """Titles of the rows, in the order in which they first come."""
        return list(dict.fromkeys(cell.place[0] for cell in self.cells))

    @cached_property
    def columns(self) -> list[str]:
        """Titles of the columns, likewise."""
        return list(dict.fromkeys(cell.place[1] for cell in self.cells))

    @cached_property
    def found(self) -> dict[tuple[str, str], Cell]:
        """The cell at each row and column. Raises ValueError where two would hide each other."""
        found: dict[tuple[str, str], Cell] = {}
        for cell in self.cells:
            if cell.place in found:
                raise ValueError(f"each row and column of a table must have one cell, got two at {cell.place}")
            found[cell.place] = cell
        return found

    @cached_property
    def decimals(self) -> dict[tuple[str, str], tuple[int, int | None]]:
        """Decimals of print and of ours by column and quantity: ours has two more, unless all are whole; None: six digits."""
        groups: dict[tuple[str, str], list[Cell]] = {}
        for cell in self.cells:
            groups.setdefault(_group(cell), []).append(cell)
        return {name: _decimals(group) for name, group in groups.items()}

    def text(self, row: str, column: str) -> str:
        """What stands in a cell: printed / ours, with a mark before it and the interval of ours behind; "" without a cell."""
        cell = self.found.get((row, column))
        if cell is None:
            return ""
        printed, ours = self.figures(cell)
        return MARKS.get(cell.kind, "") + (f"{printed} / " if printed else "") + ours

    def figures(self, cell: Cell) -> tuple[str, str]:
        """What is printed ("" if nothing is), and ours with its interval where that is wider than a digit of print."""
        places, more = self.decimals[_group(cell)]
        printed = "" if cell.published is None else _fixed(cell.published, places)
        return printed, _fixed(cell.ours, more) + _interval(cell, places, more)

    def width(self, column: str) -> int:
        """Characters of the widest text in a column."""
        return max(len(self.text(row, column)) for row in self.rows)

    def breaks(self) -> set[str]:
        """The rows of a long table that begin a group: what stands before their first comma is new."""
        heads = [row.split(",")[0] for row in self.rows]
        begins = {row for row, head, before in zip(self.rows[1:], heads[1:], heads) if head != before}
        return begins if len(self.rows) > LONG and 2 * len(begins) < len(self.rows) else set()


def _group(cell: Cell) -> tuple[str, str]:
    return cell.place[1], cell.quantity


def _decimals(cells: list[Cell]) -> tuple[int, int | None]:
    printed = [cell.published for cell in cells if cell.published is not None]
    if not printed:
        return 0, None
    places = max(map(_places, printed))
    whole = places == 0 and all(_places(cell.ours) == 0 for cell in cells)
    return places, 0 if whole else min(places + 2, DECIMALS)


def _places(value: float) -> int:
    """Decimals of the shortest way to write a number, at most `DECIMALS`; none if it is not finite."""
    if not math.isfinite(value):
        return 0
    shortest = Decimal(f"{value:.12g}").normalize().as_tuple()  # 12 digits hide the rounding of binary arithmetic
    return min(max(0, -shortest.exponent), DECIMALS)


def _fixed(value: float, decimals: int | None) -> str:
    """A number with so many decimals, fewer if it is large; six digits for None."""
    if decimals is None:
        return f"{value:,.6g}"
    before = len(str(int(abs(value)))) if math.isfinite(value) else 0
    return f"{value:,.{min(decimals, max(0, DIGITS - before))}f}"


def _interval(cell: Cell, places: int, decimals: int | None) -> str:
    """± half where ours stands in the middle, else [lower, upper]; "" where it is no wider than the last digit of print."""
    if (
        cell.lower is None
        or cell.upper is None
        or not cell.upper - cell.lower > (1e-5 * max(1.0, abs(cell.ours)) if decimals is None else 10.0**-places)
    ):
        return ""
    half = (cell.upper - cell.lower) / 2
    if abs(cell.lower + half - cell.ours) <= 0.05 * half:
        return f" ± {_fixed(half, decimals)}"
    return f" [{_fixed(cell.lower, decimals)}, {_fixed(cell.upper, decimals)}]"


def markdown(cells: Sequence[Cell]) -> str:
    """The table as in the paper: printed and ours in each cell, * where print is wrong, ! where they differ and should not."""
    layout = Layout(tuple(cells))
    lines = [["", *map(_escape, layout.columns)]]
    lines += [[_escape(row), *(layout.text(row, column) for column in layout.columns)] for row in layout.rows]
    widths = [max(3, *map(len, column)) for column in zip(*lines)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [[line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])] for line in lines]
    return "".join("| " + " | ".join(line) + " |\n" for line in [padded[0], rule, *padded[1:]])


def _escape(text: str) -> str:
    return re.sub(r"([\\|*<>\[\]`])", r"\\\1", " ".join(text.split()))


def remarks(cells: Sequence[Cell]) -> list[str]:
    """Each note once, with the cells that it is about: none if it is about all of them, their number if they are many."""
    told: dict[str, list[Cell]] = {}
    for cell in cells:
        if cell.note:
            told.setdefault(" ".join(cell.note.split()), []).append(cell)
    return [note + _about(about, len(cells)) for note, about in told.items()]


def _about(cells: list[Cell], total: int) -> str:
    if len(cells) == total:
        return ""
    few = "; ".join(f"{cell.instance}, {cell.quantity}" for cell in cells)
    return f" ({few})" if len(cells) <= 2 else f" ({len(cells)} cells)"


def notes(cells: Sequence[Cell]) -> str:
    """How to read the table, and each note once, as Markdown."""
    return "\n".join([READING, *(f"- {remark}" for remark in remarks(cells))])


def show(title: str, cells: Sequence[Cell]) -> None:
    """Print the table, in as many blocks of columns as the width asks for, its notes and the verdict."""
    console, layout = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH), Layout(tuple(cells))
    console.print(Text(f"\n{title}\n", style="bold"), soft_wrap=True)
    for columns in _blocks(layout, console.width - max(map(len, layout.rows)) - 2):
        console.print(_terminal(layout, columns), "")
    console.print(Text(notes(cells), style="dim"), soft_wrap=True)
    console.print(Text(verdict(cells)), soft_wrap=True)


def _blocks(layout: Layout, room: int) -> list[list[str]]:
    """The columns in groups that fit into a number of characters, as even as may be."""
    widths = {column: max(layout.width(column), 11) + 2 for column in layout.columns}
    count = max(1, math.ceil(sum(widths.values()) / max(room, 1)))
    while True:
        each = math.ceil(len(layout.columns) / count)
        blocks = [layout.columns[first : first + each] for first in range(0, len(layout.columns), each)]
        if each == 1 or all(sum(widths[column] for column in block) <= room for block in blocks):
            return blocks
        count += 1


def _terminal(layout: Layout, columns: list[str]) -> Table:
    table, breaks = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False), layout.breaks()
    table.add_column("", overflow="fold")
    for column in columns:
        title = "\n".join(textwrap.wrap(column, max(11, layout.width(column)))) or column
        table.add_column(Text(title), justify="right", no_wrap=True)
    for row in layout.rows:
        if row in breaks:
            table.add_section()
        cells = [layout.found.get((row, column)) for column in columns]
        styles = [STYLES.get(cell.kind, "") if cell else "" for cell in cells]
        table.add_row(Text(row), *(Text(layout.text(row, column), style) for column, style in zip(columns, styles)))
    return table
