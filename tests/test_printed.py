"""Printed tables: when a cell agrees, what is counted, and what is written for people and for programs."""

import csv
import io
import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from invbench import published
from invbench.studies.cells import COLUMNS, Cell, as_csv, tally, verdict
from invbench.studies.printed import Layout, Printed, markdown, notes, remarks, show, track

GOOD = Cell("p = 4", "Optimal", 4.64, 4.638644, source="a paper")  # off by 0.001356, print rounds to 0.005
WRONG = Cell("p = 4", "Myopic", 4.64, 4.66)
MISPRINT = Cell("p = 9", "Constant", 10.27, 10.0, verified=10.0, note="a local optimum")
ALONE = Cell("p = 9", "Capped", None, 5.5)


@dataclass(frozen=True)
class Small(Printed):
    """A table whose cells are given."""

    title: ClassVar[str] = "A. Author 1990, Table 1"
    table: ClassVar[str] = "small"
    given: tuple[Cell, ...] = ()

    def cells(self, config):
        return list(self.given)


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_a_cell_agrees_within_the_rounding_of_print():
    assert GOOD.deviation == pytest.approx(-0.001356) and GOOD.agrees is True and not GOOD.fails
    assert WRONG.agrees is False and WRONG.fails
    assert replace(WRONG, tolerance=0.02).agrees is True  # 4.66 - 4.64 is 0.02 but for the rounding of binary arithmetic
    assert ALONE.deviation is None and ALONE.agrees is None and not ALONE.fails
    assert Cell("", "S", 7, 7, tolerance=0).agrees is True
    assert Cell("", "S", 7, 8, tolerance=0).agrees is False


@pytest.mark.parametrize("ours", [np.float64(4.66), np.float32(4.66)])
def test_numbers_of_numpy_are_judged_like_others(ours):
    """`is False` does not hold for numpy's own False."""
    assert replace(WRONG, ours=ours).agrees is False and replace(WRONG, ours=ours).fails
    assert read(as_csv("t", [replace(WRONG, ours=ours)]))[0]["agrees"] == "false"


@pytest.mark.parametrize("ours, printed", [(math.nan, 4.64), (4.64, math.nan), (math.inf, math.inf), (4.64, math.inf)])
def test_what_is_not_finite_never_agrees(ours, printed):
    cell = Cell("p = 4", "Optimal", printed, ours, tolerance=1e9)
    assert cell.agrees is False and cell.fails
    assert replace(cell, verified=4.64, ours=math.nan).fails
    assert verdict([cell, GOOD]).startswith("1 of 2 agree")


def test_a_figure_of_ours_alone_must_be_finite():
    broken = replace(ALONE, ours=math.nan)
    assert broken.agrees is None and broken.fails
    assert verdict([GOOD, broken]).endswith("; not finite: 1 of ours where nothing is printed")


def test_a_misprint_is_held_to_the_recomputation():
    assert MISPRINT.misprint and MISPRINT.agrees is False and not MISPRINT.fails
    assert replace(MISPRINT, ours=10.27).fails  # agrees with print, which is known to be wrong
    assert [cell.kind for cell in (GOOD, WRONG, MISPRINT, ALONE)] == ["agrees", "fails", "misprint", "ours"]


def test_the_verdict_counts_what_should_agree_and_names_the_largest_deviation():
    assert verdict([GOOD, WRONG, MISPRINT, ALONE]) == "1 of 2 agree, largest deviation 0.02 (p = 4, Myopic); 1 known misprint"
    assert verdict([GOOD]) == "1 of 1 agree, largest deviation 0.00136 (p = 4, Optimal)"
    assert verdict([ALONE]) == "nothing is printed to compare with"
    assert verdict([MISPRINT, replace(MISPRINT, ours=9.0)]).endswith(
        "; 2 known misprints, where 1 of ours differs from the recomputation"
    )


def test_a_deviation_that_is_not_a_number_is_the_largest_wherever_it_stands():
    lost = Cell("p = 1", "Optimal", 1.0, math.nan)
    for cells in ([lost, WRONG, GOOD], [WRONG, lost, GOOD], [WRONG, GOOD, lost]):
        assert tally(cells).worst is lost and math.isnan(tally(cells).largest)


def test_the_csv_has_its_columns_and_gives_every_figure_back():
    awkward = Cell('say "a, b"', "Q", 304.0467800264368, 304.0467800264369, 1e-9, 304.0, 304.1, note="one,\ntwo", source="x; y")
    rows = read(as_csv("small", [GOOD, WRONG, MISPRINT, ALONE, awkward]))
    assert list(rows[0]) == COLUMNS
    assert [row["agrees"] for row in rows] == ["true", "false", "false", "", "true"]
    for row, cell in zip(rows, [GOOD, WRONG, MISPRINT, ALONE, awkward]):
        assert (row["table"], row["instance"], row["quantity"], row["source"]) == (
            "small", cell.instance, cell.quantity, cell.source,
        )  # fmt: skip
        assert float(row["ours"]) == pytest.approx(cell.ours, rel=1e-11)
        assert row["published"] == "" if cell.published is None else float(row["published"]) == cell.published
        assert row["deviation"] == "" if cell.deviation is None else float(row["deviation"]) == pytest.approx(cell.deviation)
    assert rows[2]["note"] == "misprint: a local optimum"
    assert (rows[4]["lower"], rows[4]["upper"], rows[4]["note"]) == ("304", "304.1", "one,\ntwo")
    assert read(as_csv("small", [Cell("a", "Q", -0.0, -0.0)]))[0]["ours"] == "0"


@pytest.mark.parametrize(
    "cells, code", [([GOOD, MISPRINT, ALONE], 0), ([GOOD, WRONG], 1), ([replace(MISPRINT, ours=9.0)], 1), ([ALONE], 0)]
)
def test_a_study_writes_its_files_prints_the_verdict_and_fails_with_a_cell(cells, code, tmp_path, capsys):
    study = Small(tuple(cells))
    assert study.run(tmp_path / "new", {}) == code
    assert (tmp_path / "new" / "published.csv").read_text() == as_csv("small", cells)
    told = (tmp_path / "new" / "table.md").read_text()
    assert told.startswith("### A. Author 1990, Table 1\n\n| ") and told.endswith(f"\n{verdict(cells)}\n")
    printed = capsys.readouterr().out
    assert printed.rstrip("\n").splitlines()[-1] == verdict(cells) and "Table 1" in printed


def test_a_table_without_cells_or_with_two_in_one_place_is_refused(tmp_path):
    with pytest.raises(ValueError, match="small must have at least one cell, got none"):
        Small().run(tmp_path, {})
    with pytest.raises(ValueError, match="one cell, got two at .*Optimal"):
        Small((GOOD, GOOD)).run(tmp_path, {})


def lines(cells):
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in markdown(cells).splitlines()]


def test_markdown_lays_cells_out_with_marks_and_with_decimals_of_print():
    placed = [replace(cell, row=cell.instance, column="cost") for cell in (GOOD, MISPRINT)]
    assert lines(placed)[2:] == [["p = 4", "4.64 / 4.6386"], ["p = 9", "* 10.27 / 10.0000"]]
    table = lines([GOOD, WRONG, MISPRINT, ALONE])
    assert table[0] == ["", "Optimal", "Myopic", "Constant", "Capped"]
    assert table[2] == ["p = 4", "4.64 / 4.6386", "! 4.64 / 4.6600", "", ""]
    assert table[3][-2:] == ["* 10.27 / 10.0000", "5.5"]
    assert len({len(line) for line in markdown([GOOD, WRONG, MISPRINT, ALONE]).splitlines()}) == 1  # columns stand in line
    assert lines([Cell("a | b", "S", 40, 40)])[0:3:2] == [["", "S"], ["a \\| b", "40 / 40"]]


def test_large_figures_lose_decimals_and_noise_of_arithmetic_adds_none():
    assert lines([Cell("a", "cost", 475230.207373, 475230.2073731)])[2][1] == "475,230.21 / 475,230.21"
    assert lines([Cell("a", "cost", 10.6 + 1.2, 11.8)])[2][1] == "11.8 / 11.800"  # 10.6 + 1.2 is 11.799999999999999


def test_intervals_are_shown_where_they_are_wider_than_a_digit_of_print():
    narrow = replace(GOOD, lower=4.6386, upper=4.6387)
    even, uneven = replace(GOOD, lower=4.618644, upper=4.658644), replace(GOOD, lower=4.6, upper=4.64)
    assert [lines([cell])[2][1] for cell in (narrow, even, uneven)] == [
        "4.64 / 4.6386", "4.64 / 4.6386 ± 0.0200", "4.64 / 4.6386 [4.6000, 4.6400]",
    ]  # fmt: skip


def test_each_note_is_told_once_with_the_cells_that_it_is_about():
    cells = [replace(GOOD, instance=f"p = {n}", note="simulated") for n in range(3)] + [MISPRINT]
    assert remarks(cells) == ["simulated (3 cells)", "a local optimum (p = 9, Constant)"]
    assert remarks(cells[:3]) == ["simulated"]
    assert notes(cells).count("simulated") == 1


def test_wide_tables_are_printed_in_blocks_and_nothing_is_read_as_markup(capsys):
    cells = [Cell("row [S, s]", f"a rather long heading {n}", 1234.5678, 1234.5678, note="[s, S] is kept") for n in range(12)]
    show("Title [bold]", cells)
    printed = capsys.readouterr().out
    assert printed.count("\n row [S, s] ") == 3  # columns of 25 beside a title of 12: 5 fit into 160, so 4 in each of 3 blocks
    assert printed.count("1,234.5678 / 1,234.5678") == 12
    assert "Title [bold]" in printed and "[s, S] is kept" in printed
    assert max(map(len, printed.splitlines()[:-3])) <= 160


def test_groups_of_a_long_table_are_set_apart():
    cells = [Cell(f"{demand}, L = {lead}", "cost", 1.0, 1.0) for demand in ("Poisson", "geometric") for lead in range(8)]
    assert Layout(tuple(cells)).breaks() == {"geometric, L = 0"}
    assert Layout(tuple(cells[:8])).breaks() == set()


def test_track_gives_everything_in_order_and_leaves_stdout_alone(capsys):
    assert list(track([3, 1, 2], "work")) == [3, 1, 2] and list(track(iter("ab"), "work")) == ["a", "b"]
    assert capsys.readouterr().out == ""


TABLES = "zipkin2008 dcl zheng_federgruen1991 gijsbrechts2022_dual_sourcing demoor2022 hendrix2019 clark_scarf".split()
TABLES += "sterman1989 bijvank2015 textbook orlib".split()


@pytest.mark.parametrize("name", TABLES)
def test_every_published_figure_names_its_source(name):
    rows = published.read(name)
    assert rows and all(row["source"] for row in rows)
