"""A comparison as data and as tables: table.csv, table.md and the terminal. Figures and the page read it from here."""

import csv
import math
import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

SIGNIFICANT = 0.05  # level for the Holm-corrected p
OPERATIONS = ("holding", "shortage", "ordering", "purchase", "transport", "sites")  # cost components of operations
SUMMARY = "Difference to the baseline in % of its operating cost, above zero is better; * = p < 0.05 after Holm's correction."
MARKDOWN = ("net_benefit", "difference", "p_holm", "std", "cvar", "fill_rate", "gap_to_clairvoyant", "average_cost")
TERMINAL = ("net_benefit", "difference", "p_holm", "fill_rate", "gap_to_clairvoyant", "cvar", "std")  # as many as fit
COLOURS = {"better": "green", "worse": "red", "failed": "bold red", "missing": "yellow", "baseline": "cyan", "bound": "dim"}
Cells = list[tuple[str, str]]  # text and kind of each cell of a row


@dataclass(frozen=True)
class Result:
    """One method on one scenario, averaged over its seeds. `row`, `values` and `components` are money of one scale."""

    method: str
    family: str  # traditional | ml | dl | rl | bound
    label: str  # "" or a remark shown beside the name, e.g. "fast mode"
    status: str  # "done" | "failed" | "missing"
    error: str  # one sentence if failed
    row: dict[str, object]  # this method's row of table.csv; rates and gap_to_clairvoyant are fractions, break_even is in periods
    values: np.ndarray  # [path] net benefit of operations per path (per series where the interval is over series)
    components: dict[str, float]  # mean money over the horizon by component, all >= 0
    trajectory: dict[str, np.ndarray]  # one path, one item, each [period]: demand, ordered, received, held, missed; may be empty
    once: float  # money, costs of the method itself
    per_period: float  # money per period
    periods: int
    curve: tuple[dict[str, float], ...] = ()  # of a learner: metrics by step, of its first seed

    @property
    def name(self) -> str:
        return f"{self.method} ({self.label})" if self.label else self.method

    @property
    def done(self) -> bool:
        return self.status == "done"

    @property
    def bound(self) -> bool:
        return self.family == "bound"

    def number(self, column: str) -> float | None:
        """The number in a column of the row; None where it is empty or NaN."""
        value = self.row.get(column)
        return None if value is None or value == "" or math.isnan(float(value)) else float(value)

    def ends(self, column: str) -> tuple[float | None, float | None]:
        """Lower and upper end of a column's interval; the number itself for an end that is not given."""
        ends = (self.number(f"{column}_{end}") for end in ("lower", "upper"))
        return tuple(self.number(column) if end is None else end for end in ends)

    @property
    def significant(self) -> bool:
        """Whether it differs from the baseline beyond chance; a bound is not tested."""
        p_value = self.number("p_holm")
        return p_value is not None and p_value < SIGNIFICANT and not self.bound


@dataclass(frozen=True)
class ScenarioResults:
    """All methods on one scenario. `baseline` is the name of a method, or "" if none could be chosen."""

    scenario: str
    baseline: str
    results: tuple[Result, ...]
    note: str  # e.g. "432 series, one real path: intervals are over series"

    @property
    def done(self) -> list[Result]:
        """What finished: the highest net benefit of operations first, bounds last."""
        finished = [result for result in self.results if result.done]
        return sorted(finished, key=lambda result: (result.bound, -(result.number("operating_benefit") or 0.0)))

    @property
    def undone(self) -> list[Result]:
        return [result for result in self.results if not result.done]

    def kind(self, result: Result | None) -> str:
        """What a result is beside the baseline: baseline, bound, better, worse, even; failed, missing, none (not run)."""
        if result is None or not result.done:
            return "none" if result is None else result.status
        if result.bound or result.method == self.baseline:
            return "bound" if result.bound else "baseline"
        return ("even", "better", "worse")[int(np.sign(result.number("difference") or 0.0))]

    def relative(self, result: Result) -> float | None:
        """Difference to the baseline in percent of what its operations cost (of its |benefit| if they cost nothing)."""
        baseline = next((other for other in self.done if other.method == self.baseline), None)
        difference = result.number("difference")
        if baseline is None or difference is None or result.method == self.baseline:
            return None
        scale = sum(baseline.components.get(name, 0.0) for name in OPERATIONS) or abs(baseline.number("operating_benefit") or 0.0)
        return 100 * difference / scale if scale > 0 else None


@dataclass(frozen=True)
class Comparison:
    """A sweep of methods x scenarios, as `write_csv`, `write_markdown`, `print_table` and `write_page` show it."""

    title: str
    command: str
    scenarios: tuple[ScenarioResults, ...]
    columns: tuple[str, ...]  # the columns of table.csv in order
    settings: dict[str, str]
    repository_note: str

    def of(self, method: str) -> list[tuple[ScenarioResults, Result | None]]:
        """Each scenario with the result of `method` there; None where the method was not run."""
        return [(scenario, next((r for r in scenario.results if r.method == method), None)) for scenario in self.scenarios]

    def methods(self) -> list[str]:
        """All methods: the best median difference to the baseline in percent first, bounds last."""
        names = dict.fromkeys(result.method for scenario in self.scenarios for result in scenario.results)
        return sorted(names, key=self._rank)

    def _rank(self, method: str) -> tuple[bool, bool, float]:
        results = [(scenario, result) for scenario, result in self.of(method) if result is not None]
        shares = [scenario.relative(result) or 0.0 for scenario, result in results if result.done]
        return results[0][1].bound, not shares, -float(np.median(shares)) if shares else 0.0


@dataclass(frozen=True)
class Column:
    """How people read a column of the row: its title, how its numbers are written, whether it has an interval."""

    key: str
    title: str
    write: Callable[[float | None], str]
    interval: bool = False

    def text(self, result: Result) -> str:
        """The number alone; with a sign and a star if it is a difference."""
        value = result.number(self.key)
        if self.key != "difference" or value is None:
            return self.write(value)
        return "+" * (value > 0) + self.write(value) + " *" * result.significant

    def span(self, result: Result) -> str:
        """The interval as "[lower, upper]", or "" where there is none."""
        lower, upper = (result.number(f"{self.key}_{end}") for end in ("lower", "upper"))
        return "" if lower is None or upper is None or not self.interval else f"[{self.write(lower)}, {self.write(upper)}]"

    def around(self, result: Result) -> str:
        """The number with half its interval, to two digits."""
        lower, upper = (result.number(f"{self.key}_{end}") for end in ("lower", "upper"))
        half = 0.0 if lower is None or upper is None or not self.interval else float(f"{(upper - lower) / 2:.2g}")
        return re.sub(r"( \*)?$", rf" ± {half:,.10g}\1", self.text(result), count=1) if half > 0 else self.text(result)


def amount(value: float | None) -> str:
    """Money or units to four digits (all of them before the point), thousands apart; "never" if infinite."""
    if value is None or not math.isfinite(value):
        return "–" if value is None else "never"
    if value == 0 or abs(value) >= 999.95:
        return f"{value + 0.0:,.0f}" if abs(value) < 1e8 else f"{value / 1e6:,.5g}M"
    return f"{value:.{min(4, max(1, 3 - math.floor(math.log10(abs(value)))))}f}"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def probability(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(value: float | None) -> str:
    """A difference in percent with its sign: one digit after the point, none from 10 % on."""
    return "–" if value is None else f"{value:+.1f}" if abs(value) < 9.95 else f"{value:+,.0f}"


COLUMNS = {column.key: column for column in (
    Column("net_benefit", "net benefit", amount, True), Column("operating_benefit", "operating benefit", amount, True),
    Column("difference", "difference", amount, True), Column("p_holm", "p (Holm)", probability),
    Column("win_rate", "win rate", share), Column("std", "std", amount), Column("cvar", "CVaR 5 %", amount, True),
    Column("fill_rate", "fill rate", share), Column("average_cost", "mean cost", amount), Column("turnover", "turnover", amount),
    Column("gap_to_clairvoyant", "gap to clairvoyant", share), Column("closed", "way to clairvoyant", share),
    Column("break_even", "break-even", amount), Column("break_even_items", "break-even items", amount),
    Column("risk_adjusted", "risk-adjusted", amount), Column("ready_rate", "ready rate", share),
    Column("cycle_service", "cycle service", share), Column("no_stockout", "no stock-out", share),
)}  # fmt: skip


def cell(value: object) -> str:
    """A value as table.csv has it: numbers to six digits, true/false, empty if None."""
    if value is None or isinstance(value, (bool, np.bool_)):
        return "" if value is None else "true" if value else "false"
    return f"{float(value) + 0.0:.6g}" if isinstance(value, (float, np.floating)) else str(value)  # + 0.0 turns -0 into 0


def write_csv(comparison: Comparison, path: Path) -> None:
    """One row per scenario and method, in the order given. Equal comparisons give equal bytes."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(comparison.columns)
        for scenario, result in ((scenario, result) for scenario in comparison.scenarios for result in scenario.results):
            known = {name: getattr(result, name) for name in ("method", "family", "status", "error")}
            row = known | {"scenario": scenario.scenario, "baseline": result.method == scenario.baseline} | result.row
            writer.writerow([cell(row.get(column)) for column in comparison.columns])


def summary(comparison: Comparison) -> list[Cells]:
    """Methods x scenarios: the name, then the difference to the baseline in percent in each scenario."""
    return [[(method, ""), *(_relative(*pair) for pair in comparison.of(method))] for method in comparison.methods()]


def _relative(scenario: ScenarioResults, result: Result | None) -> tuple[str, str]:
    kind = scenario.kind(result)
    if result is None or not result.done or kind == "baseline":
        return kind.replace("none", ""), kind
    return percent(scenario.relative(result)) + " *" * result.significant, kind


def _rows(scenario: ScenarioResults, columns: list[Column], write: Callable[[Column, Result], str]) -> list[Cells]:
    """The methods of a scenario with their numbers, the failed ones at the end."""
    rows = []
    for result in scenario.done:
        kind = scenario.kind(result)
        name = result.name + " (baseline)" * (kind == "baseline")
        rows.append([(name, kind), *((write(column, result), kind if column.key == "difference" else "") for column in columns)])
    for result in scenario.undone:
        rows.append([(result.name, result.status), (result.status, result.status), *[("", "")] * (len(columns) - 1)])
    return rows


def _reasons(scenario: ScenarioResults) -> Cells:
    return [(f"{result.name} {result.status}: {result.error or 'no result'}", result.status) for result in scenario.undone]


def write_markdown(comparison: Comparison, path: Path) -> None:
    """GitHub Markdown: a summary where there are several scenarios, then one section each."""
    columns, names = [COLUMNS[key] for key in MARKDOWN], [scenario.scenario for scenario in comparison.scenarios]
    header = ["method", *(column.title + ", 95 % interval" * column.interval for column in columns)]
    parts = [f"# {_escape(comparison.title)}", f"```\n{comparison.command}\n```"]
    parts += [f"## Summary\n\n{SUMMARY}", _markdown(["method", *names], summary(comparison))] if len(names) > 1 else []
    for scenario in comparison.scenarios:
        rows = _rows(scenario, columns, lambda column, result: f"{column.text(result)} {column.span(result)}".strip())
        parts += [f"## {_escape(scenario.scenario)}", _escape(scenario.note), _markdown(header, rows)]
        parts += ["\n".join(f"- {_escape(sentence)}" for sentence, _ in _reasons(scenario))]
    Path(path).write_text("\n\n".join(filter(None, [*parts, _escape(comparison.repository_note)])) + "\n", "utf-8", newline="\n")


def _escape(text: str) -> str:
    return re.sub(r"([\\|*<>\[\]`])", r"\\\1", " ".join(text.split()))


def _markdown(header: list[str], rows: list[Cells]) -> str:
    lines = [[_escape(title) for title in header], ["---"] + ["---:"] * (len(header) - 1)]
    marks = dict.fromkeys(("baseline", "failed", "missing"), "**")
    lines += [[marks.get(kind, "") + _escape(text) + marks.get(kind, "") for text, kind in row] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def print_table(comparison: Comparison, console: Console) -> None:
    """The comparison on a terminal: the summary first where there are several scenarios. Made for a width of 100 and more."""
    columns = [COLUMNS[key] for key in TERMINAL[: 3 if console.width < 100 else 5 if console.width < 130 else 7]]
    if len(comparison.scenarios) > 1:
        _print_summary(comparison, console)
    for scenario in comparison.scenarios:
        console.print(Text(f"\n{scenario.scenario}", style="bold"), Text(scenario.note, style="dim"), sep="\n")
        console.print(_table([column.title for column in columns], _rows(scenario, columns, Column.around)))
        for sentence, kind in _reasons(scenario):
            console.print(Text(sentence, COLOURS[kind]))
    console.print(Text("\n± half the 95 % interval; * p < 0.05 after Holm's correction, against the baseline.", style="dim"))


def _print_summary(comparison: Comparison, console: Console) -> None:
    """Scenarios side by side, in as many blocks as the width asks for."""
    console.print(Text(SUMMARY, style="dim"))
    rows, names = summary(comparison), [scenario.scenario for scenario in comparison.scenarios]
    room = max(1, (console.width - max((len(row[0][0]) for row in rows), default=0) - 2) // 13)
    each = math.ceil(len(names) / math.ceil(len(names) / room))
    for first in range(0, len(names), each):
        block = [[row[0], *row[1 + first : 1 + first + each]] for row in rows]
        console.print(_table(names[first : first + each], block), "")


def _table(header: list[str], rows: list[Cells]) -> Table:
    """The star stands before its number, so that digits stay in line."""
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    table.add_column("method", overflow="fold")
    for title in header:
        lines = textwrap.wrap(title.replace("_", "_ "), 11, break_long_words=False)
        table.add_column(Text("\n".join(lines).replace("_ ", "_")), justify="right", no_wrap=True)
    for row in rows:
        styles = [COLOURS.get(kind, "") + " bold" * text.endswith(" *") for text, kind in row]
        table.add_row(*(Text(re.sub(r"(.*) \*$", r"* \1", text), style) for (text, _), style in zip(row, styles)))
    return table
