"""HTML pages of printed tables and of studies: a summary, and for each table its cells, notes and figures."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape

from invbench import jobs
from invbench.report import page
from invbench.studies.cells import Cell, Tally, tally
from invbench.studies.printed import MARKS, READING, Layout, remarks

STYLE = """
td .faint { font-weight: 400 } td.misprint, td.ours { color: var(--better) } td.fails { color: var(--alarm); font-weight: 700 }
.state { font-weight: 600 } .links a { margin-right: 1em } section p, li { overflow-wrap: anywhere } a { color: var(--better) }
nav a { color: inherit } tbody tr.begins > * { border-top-width: 2px } tfoot > tr > * { font-weight: 700 }
.scroll { width: fit-content; max-width: 100% } ul { padding-left: 1.2em; max-width: 80ch }
"""

HEADS = ["agree", "misprints", "largest deviation", "seconds"]


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
    figures: tuple[tuple[str, str], ...] = ()  # caption and SVG of each
    beside: bool = False  # whether the page lies in the folder of its files

    @property
    def tally(self) -> Tally:
        """How many of its cells agree."""
        return tally(self.cells)

    @property
    def verdict(self) -> str:
        """One line: what agrees, or why there is nothing."""
        return f"failed: {self.error}" if self.error else str(self.tally)


def total(outcomes: Sequence[Outcome]) -> str:
    """N of M agree over all tables, the largest deviation, and how many tables raised."""
    cells = [replace(cell, instance=f"{outcome.table}: {cell.instance}") for outcome in outcomes for cell in outcome.cells]
    raised = sum(bool(outcome.error) for outcome in outcomes)
    return str(tally(cells)) + f"; {raised} of {len(outcomes)} tables could not be computed" * (raised > 0)


def summary(outcomes: Sequence[Outcome]) -> list[list[str]]:
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


def html(title: str, outcomes: Sequence[Outcome]) -> str:
    """One HTML page that needs nothing else: the summary, and a section for each table."""
    anchors = "".join(f'<a href="#{escape(outcome.table)}">{escape(outcome.table)}</a>' for outcome in outcomes)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(title)}</title>
<link rel="icon" href="data:image/svg+xml;base64,{page.ICON}"><style>{page.STYLE}{STYLE}</style></head>
<body><header><h1>{escape(title)}</h1><p class="faint">{escape(total(outcomes))}</p></header>
<nav aria-label="Sections"><div>{anchors}</div></nav><main>{_overview(outcomes) if len(outcomes) > 1 else ""}
<p class="faint">{escape(READING)}</p>{"".join(map(_section, outcomes))}</main><footer></footer></body></html>
"""


def _overview(outcomes: Sequence[Outcome]) -> str:
    heads = "".join(f'<th scope="col">{escape(head)}</th>' for head in ["table", *HEADS, "config"])
    rows = []
    for outcome, row in zip(outcomes, summary(outcomes)):
        name = escape(outcome.table)
        head = f'<th scope="row"><a href="#{name}">{escape(outcome.title or outcome.table)}</a></th>'
        cells = "".join(f"<td{' class=fails' * (outcome.exit_code and not n)}>{escape(text)}</td>" for n, text in enumerate(row))
        config = _link(outcome, jobs.CONFIG) if jobs.CONFIG in outcome.files else ""
        rows.append(f"<tr>{head}{cells}<td>{config}</td></tr>")
    return f"""<h2 id="summary">Summary</h2>{_box("Summary", heads, rows)}"""


def _link(outcome: Outcome, file: str) -> str:
    place = "" if outcome.beside else f"{escape(outcome.table)}/"
    return f'<a href="{place}{file}">{file}</a>'


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
{_cells(outcome) if outcome.cells else ""}{f"<ul class=faint>{told}</ul>" if told else ""}{_figures(outcome)}</section>
"""


def _figures(outcome: Outcome) -> str:
    drawn = "".join(f"<figure>{svg}<figcaption>{escape(text)}</figcaption></figure>" for text, svg in outcome.figures)
    return f'<div class="grid">{drawn}</div>' if drawn else ""


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
