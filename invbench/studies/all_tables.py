"""Every printed table in one run: each experiment in turn, a page with all of them, and a summary."""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from invbench import configs, jobs, run
from invbench.checks import require
from invbench.report import page
from invbench.studies.cells import Cell, Tally, tally
from invbench.studies.printed import MARKS, READING, WIDTH, Layout, Printed, remarks

SUMMARY = "table agree of misprints largest_deviation seconds exit_code error".split()
TITLE = "Printed tables beside ours"
STYLE = """
td .faint { font-weight: 400 } td.misprint, td.ours { color: var(--better) } td.fails { color: var(--alarm); font-weight: 700 }
.state { font-weight: 600 } .links a { margin-right: 1em } section p, li { overflow-wrap: anywhere } a { color: var(--better) }
nav a { color: inherit } tbody tr.begins > * { border-top-width: 2px } tfoot > tr > * { font-weight: 700 }
.scroll { width: fit-content; max-width: 100% } ul { padding-left: 1.2em; max-width: 80ch }
"""


@dataclass(frozen=True)
class Outcome:
    """What became of one experiment: its cells, or the sentence that says why there are none."""

    table: str
    title: str = ""
    cells: tuple[Cell, ...] = ()
    seconds: float = 0.0
    exit_code: int = 1
    error: str = ""
    files: tuple[str, ...] = ()  # what lies in its folder for people to read

    @property
    def tally(self) -> Tally:
        """How many of its cells agree."""
        return tally(self.cells)

    @property
    def verdict(self) -> str:
        """One line: what agrees, or why there is nothing."""
        return f"failed: {self.error}" if self.error else str(self.tally)


@dataclass(frozen=True)
class AllTables:
    """Runs `tables` in turn, as `invbench +experiment=NAME` would, each into a subfolder of its name.

    overrides: of single tables, by name, as on the command line. A table that raises is reported, and the others still run.
    """

    tables: list[str]
    overrides: dict[str, list[str]] = field(default_factory=dict)

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write the tables, index.html, summary.csv and summary.md; exit code 1 if a table fails or raises."""
        self._check()
        outcomes = []
        for place, name in enumerate(self.tables):
            _say(f"{name} ({place + 1} of {len(self.tables)})")
            outcomes.append(_outcome(name, self.overrides.get(name, []), folder / name))
            _say(f"  {outcomes[-1].verdict}; {outcomes[-1].seconds:.1f} s")
        jobs.write(folder / "summary.csv", as_csv(outcomes))
        jobs.write(folder / "summary.md", markdown(outcomes))
        jobs.write(folder / "index.html", html(outcomes))
        _show(outcomes)
        return max(outcome.exit_code for outcome in outcomes)

    def _check(self) -> None:
        different = bool(self.tables) and len(set(self.tables)) == len(self.tables)
        plain = all(isinstance(name, str) and jobs.slug(name) == name for name in self.tables)
        require(different and plain, "study.tables", "a list of names of different experiments", self.tables)
        unknown = sorted(set(self.overrides) - set(self.tables))
        require(not unknown, "study.overrides", "of tables that study.tables lists", ", ".join(unknown))


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _outcome(name: str, overrides: list[str], folder: Path) -> Outcome:
    """Run one experiment; whatever goes wrong is written into its folder, and told in one sentence."""
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        plain = compose(name, overrides, folder)
        jobs.write(folder / jobs.CONFIG, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        study = run.build(plain["study"]) if plain["study"] else None
        require(isinstance(study, Printed), "study.tables", "a list of printed tables", name)
        cells = study.cells(plain)
        code = study.write(folder, cells)
    except Exception as error:
        run.fail(folder, error)
        return Outcome(name, seconds=time.perf_counter() - started, error=run.sentence(error), files=_files(folder))
    jobs.write_json(folder / "study.json", {"exit_code": code})
    return Outcome(name, study.title, tuple(cells), time.perf_counter() - started, code, files=_files(folder))


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in (jobs.CONFIG, "published.csv", "table.md", "traceback.txt") if (folder / name).exists())


def compose(name: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    """The resolved config of an experiment whose results lie in `folder`. Raises ValueError where there is no such experiment."""
    choices = configs.groups()["experiment"]
    require(name in choices, "study.tables", "among the experiments " + ", ".join(choices), name)
    with _hydra():
        config = hydra.compose("config", [f"+experiment={name}", *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # the names of what was chosen are read from it
        with open_dict(config):
            del config["hydra"]
            OmegaConf.update(config, "outputs", str(folder.parent))
            OmegaConf.update(config, "name", folder.name)
        return run.resolve(config)


@contextmanager
def _hydra() -> Iterator[None]:
    """Composition beside the run under way, whose settings come back afterwards."""
    before, where = HydraConfig.instance().cfg, configs.location()
    start = hydra.initialize_config_module if where.startswith("pkg://") else hydra.initialize_config_dir
    with ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():  # outside of the command
            configs.register()
            stack.enter_context(start(where.removeprefix("pkg://"), version_base="1.3"))
        stack.callback(setattr, HydraConfig.instance(), "cfg", before)
        yield


def total(outcomes: Sequence[Outcome]) -> str:
    """N of M agree over all tables, the largest deviation, and how many tables raised."""
    cells = [replace(cell, instance=f"{outcome.table}: {cell.instance}") for outcome in outcomes for cell in outcome.cells]
    raised = sum(bool(outcome.error) for outcome in outcomes)
    return str(tally(cells)) + f"; {raised} of {len(outcomes)} tables could not be computed" * (raised > 0)


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """One row per table with the columns `SUMMARY`; the counts are empty where a table raised."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUMMARY)
    for outcome in outcomes:
        counts = ["", "", "", ""]
        if not outcome.error:
            found = outcome.tally
            counts = [found.agree, found.of, found.misprints, "" if found.largest is None else f"{found.largest:.10g}"]
        writer.writerow([outcome.table, *counts, f"{outcome.seconds:.2f}", outcome.exit_code, outcome.error])
    return text.getvalue()


def _rows(outcomes: Sequence[Outcome]) -> list[list[str]]:
    """The summary for people: agree, misprints, largest deviation, seconds of each table."""
    rows = []
    for outcome in outcomes:
        found, seconds = outcome.tally, f"{outcome.seconds:,.1f}"
        largest = "–" if found.largest is None else f"{found.largest:.3g}"
        rows.append(
            ["failed", "", "", seconds]
            if outcome.error
            else [f"{found.agree} of {found.of}", str(found.misprints or "–"), largest, seconds]
        )
    return rows


HEADS = ["agree", "misprints", "largest deviation", "seconds"]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The summary as GitHub Markdown: each table with the command that prints it."""
    lines = [["table", "command", *HEADS], ["---", "---", *["---:"] * len(HEADS)]]
    for outcome, row in zip(outcomes, _rows(outcomes)):
        lines.append([outcome.title or outcome.table, f"`invbench +experiment={outcome.table}`", *row])
    text = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    errors = "".join(f"- {outcome.table} {outcome.verdict}\n" for outcome in outcomes if outcome.error)
    return f"{text}\n{errors}{chr(10) * bool(errors)}{total(outcomes)}\n"


def _show(outcomes: Sequence[Outcome]) -> None:
    """Print the summary and, as the last line, the verdict over all tables."""
    table = Table("table", box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for head in HEADS:
        table.add_column(head, justify="right")
    for outcome, row in zip(outcomes, _rows(outcomes)):
        table.add_row(Text(outcome.table), *row, style="red" if outcome.exit_code else "")
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDTH)
    console.print(table)
    for outcome in outcomes:
        if outcome.error:
            console.print(Text(f"{outcome.table} {outcome.verdict}"), soft_wrap=True)
    console.print(Text(f"\n{total(outcomes)}"), soft_wrap=True)


def html(outcomes: Sequence[Outcome]) -> str:
    """One HTML page that needs nothing else: the summary, and a section for each table."""
    anchors = "".join(f'<a href="#{escape(outcome.table)}">{escape(outcome.table)}</a>' for outcome in outcomes)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{TITLE}</title>
<link rel="icon" href="data:image/svg+xml;base64,{page.ICON}"><style>{page.STYLE}{STYLE}</style></head>
<body><header><h1>{TITLE}</h1><p class="faint">{escape(total(outcomes))}</p></header>
<nav aria-label="Sections"><div>{anchors}</div></nav><main>{_overview(outcomes)}
<p class="faint">{escape(READING)}</p>{"".join(map(_section, outcomes))}</main><footer></footer></body></html>
"""


def _overview(outcomes: Sequence[Outcome]) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in ["table", *HEADS, "config"])
    rows = []
    for outcome, row in zip(outcomes, _rows(outcomes)):
        name = escape(outcome.table)
        head = f'<th scope="row"><a href="#{name}">{escape(outcome.title or outcome.table)}</a></th>'
        cells = "".join(f"<td{' class=fails' * (outcome.exit_code and not n)}>{escape(text)}</td>" for n, text in enumerate(row))
        config = _link(outcome, jobs.CONFIG) if jobs.CONFIG in outcome.files else ""
        rows.append(f"<tr>{head}{cells}<td>{config}</td></tr>")
    return f"""<h2 id="summary">Summary</h2>{_box("Summary", heads, rows)}"""


def _link(outcome: Outcome, file: str) -> str:
    return f'<a href="{escape(outcome.table)}/{file}">{file}</a>'


def _box(label: str, heads: str, rows: list[str]) -> str:
    """A table that scrolls inside its box."""
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table><thead><tr>{heads}</tr></thead>
<tbody>{"".join(rows)}</tbody></table></div>"""


def _section(outcome: Outcome) -> str:
    name = escape(outcome.table)
    links = " ".join(_link(outcome, file) for file in outcome.files)
    state = f'<p class="state{" failed" * bool(outcome.exit_code)}">{escape(outcome.verdict)}</p>'
    told = "".join(f"<li>{escape(remark)}</li>" for remark in remarks(outcome.cells))
    return f"""<section><h2 id="{name}">{escape(outcome.title or outcome.table)}</h2>{state}
<p class="faint links"><code>invbench +experiment={name}</code> · {outcome.seconds:.1f} s · {links}</p>
{_cells(outcome) if outcome.cells else ""}{f"<ul class=faint>{told}</ul>" if told else ""}</section>
"""


def _cells(outcome: Outcome) -> str:
    layout = Layout(outcome.cells)
    breaks = layout.breaks()
    heads = "<th></th>" + "".join(f'<th scope="col">{escape(column)}</th>' for column in layout.columns)
    rows = []
    for row in layout.rows:
        cells = "".join(_cell(layout, row, column) for column in layout.columns)
        rows.append(f'<tr{" class=begins" * (row in breaks)}><th scope="row">{_whole(row)}</th>{cells}</tr>')
    return _box(outcome.title, heads, rows)


def _whole(row: str) -> str:
    """Escaped; a name and its value stay on one line."""
    return escape(row.replace(" = ", "\u00a0=\u00a0"))


def _cell(layout: Layout, row: str, column: str) -> str:
    cell = layout.found.get((row, column))
    if cell is None:
        return "<td></td>"
    printed, ours = layout.figures(cell)
    mark = MARKS.get(cell.kind, "")
    text = f'{mark}<span class="faint">{printed} /</span> {ours}' if printed else f"{mark}{ours}"
    hint = ": ".join(filter(None, [f"{cell.instance}, {cell.quantity}", cell.note]))
    return f'<td class="{cell.kind}" title="{escape(hint)}">{text}</td>'
