"""A search as a table and as a page: every trial, the best so far, what each parameter did. Equal searches give equal bytes."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from invbench import jobs
from invbench.report import figures, page
from invbench.report.figures import ALARM, FAINT, INK, PALETTE, WIDTH, _axes, _cut, _note

HEIGHT, SLICES = 300, 12  # pixels of a figure; parameters that have one of their own
STEPS = 6  # of a parameter, up to which each has a tick
POINT, BEST = PALETTE[0], PALETTE[1]
CAPTIONS = {
    "history": ("Best so far", "Each dot a trial, in the order of asking. Line: the best up to then. Cross: failed."),
    "importance": (
        "What mattered",
        "Share of each parameter in telling the best quarter of the trials from the rest (PED-ANOVA). Few trials say little.",
    ),
    "front": ("Trade-off", "Each dot a trial by its first two objectives. Filled: no other is better in all objectives."),
}
SLICE = "Each dot a trial; filled: the best."
STYLE = """
tr.best > * { font-weight: 700 } tr.failed td { color: var(--faint) } .links a { margin-right: 1em } a { color: var(--better) }
td.reason { text-align: left; white-space: normal; min-width: 16rem } nav a { color: inherit }
"""


@dataclass(frozen=True)
class Search:
    """A search as the page shows it. Rows are trials by place."""

    title: str
    command: str
    objectives: tuple[str, ...]
    maximised: tuple[bool, ...]
    parameters: tuple[Any, ...]  # of search.space: name, log, choices
    trials: tuple[Any, ...]  # of search.trials: place, params, state, values, reason
    front: frozenset[int]  # places
    best: int | None  # place
    importances: dict[str, float]
    settings: dict[str, str]
    links: tuple[tuple[str, str], ...]  # text and target
    judged: str  # what the best config earns on evaluation paths

    @property
    def done(self) -> list[Any]:
        return [one for one in self.trials if one.values]

    def value(self, trial: Any) -> float:
        """Its first objective."""
        return trial.values[0]


def of(request: Any, kept: Any, found: Any) -> Search:
    """What there is to show of a search; found: its best and the job that judged it, None where all trials failed."""
    from invbench.search.trials import importances

    own = request.settings
    method = {"method": request.space.method, "space": request.space.name, "scenario": request.plain["names"]["scenario"]}
    settings = method | {name: _plain(value) for name, value in own.items()}
    settings["judged on"] = f"{request.plain['evaluation']['validation_paths']} validation paths"
    maximised = tuple(direction.name == "MAXIMIZE" for direction in kept.study.directions)
    front = frozenset(one.place for one in kept.front())
    return Search(
        request.name, request.command, tuple(own["objectives"]), maximised, request.space.parameters, tuple(kept.all()), front,
        None if found is None else found.best.place, importances(kept), settings, _links(request.folder, found),
        "" if found is None else _judged(found.job),
    )  # fmt: skip


def _plain(value: Any) -> str:
    """A setting as its YAML has it."""
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def _links(folder: Path, found: Any) -> tuple[tuple[str, str], ...]:
    if found is None:
        return (("trials.csv", "trials.csv"),)
    job = found.job.relative_to(folder)
    files = [("the best config judged on evaluation paths", f"{job}/report.json"), ("its config", f"{job}/{jobs.CONFIG}")]
    return (("best.yaml", "best.yaml"), ("trials.csv", "trials.csv"), *files)


def _judged(job: Path) -> str:
    earned = jobs.read_json(job / "report.json")["operating_benefit"]
    bounds = "" if earned["lower"] is None else f" ({earned['lower']:,.6g} … {earned['upper']:,.6g})"
    return f"On evaluation paths, which the search never saw: net benefit of operations {earned['mean']:,.6g}{bounds}."


def write(search: Search, folder: Path) -> None:
    """trials.csv and index.html."""
    jobs.write(folder / "trials.csv", table(search))
    jobs.write(folder / "index.html", html(search))


def table(search: Search) -> str:
    """One row per trial as CSV: its objectives and parameters, whether it is on the front, and why it failed."""
    names = [one.name for one in search.parameters]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "state", *search.objectives, *names, "front", "best", "reason"])
    for one in search.trials:
        values = [repr(value) for value in one.values] or [""] * len(search.objectives)
        marks = [str(one.place in search.front).lower(), str(one.place == search.best).lower()]
        writer.writerow([one.place + 1, one.state, *values, *(one.params.get(name, "") for name in names), *marks, one.reason])
    return text.getvalue()


def html(search: Search) -> str:
    """One page that needs nothing else."""
    failed = sum(one.state == "failed" for one in search.trials)
    extent = f"{len(search.trials)} trials" + f', <span class="failed">{failed} failed</span>' * (failed > 0)
    links = "".join(f'<a href="{escape(target)}">{escape(text)}</a>' for text, target in search.links)
    drawn = "".join(_figure(*one) for one in pictures(search))
    parts = (("trials", "Trials"), ("settings", "Settings"))
    anchors = "".join(f'<a href="#{target}">{title}</a>' for target, title in parts)
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>{escape(search.title)}</title>
<link rel="icon" href="data:image/svg+xml;base64,{page.ICON}"><style>{page.STYLE}{STYLE}</style></head>
<body><header><h1>{page._text(search.title)}</h1><p class="faint">{extent}</p></header>
<nav aria-label="Sections"><div>{anchors}</div></nav><main>
<p>{_verdict(search)} {escape(search.judged)}</p><p class="links">{links}</p>
<div class="grid">{drawn}</div><h2 id="trials">Trials</h2>{_trials(search)}<h2 id="settings">Settings</h2>
<p>The command that made this page:</p><pre><code>{escape(search.command)}</code></pre>{page._pairs(search.settings.items())}
</main><footer></footer><script>{page.SCRIPT}</script></body></html>
"""


def _verdict(search: Search) -> str:
    if search.best is None:
        return "No trial has a value."
    best = search.trials[search.best]
    worth = ", ".join(f"{escape(goal)} <b>{value:,.6g}</b>" for goal, value in zip(search.objectives, best.values))
    use = f"<code>+tuned={escape(jobs.slug(search.title))}</code>"
    return f"The best is trial {search.best + 1}: {worth}. Any job has its settings by {use}."


def _trials(search: Search) -> str:
    """The table of trials, which a heading sorts."""
    names = [*search.objectives, *(one.name for one in search.parameters)]
    heads = "".join(f'<th scope="col"><button type="button">{page._text(name)}</button></th>' for name in ["trial", *names])
    rows = "".join(_row(search, one) for one in search.trials)
    return f"""<div class="scroll" tabindex="0" role="region" aria-label="Trials"><table><thead><tr>{heads}</tr></thead>
<tbody>{rows}</tbody></table></div>"""


def _row(search: Search, one: Any) -> str:
    kind = "best" if one.place == search.best else one.state
    badge = "best" if kind == "best" else "front" * (one.place in search.front and len(search.objectives) > 1)
    badge = f' <span class="badge">{badge}</span>' if badge else ""
    cells = [_cell(value) for value in one.values]
    if not one.values:
        cells = [
            f'<td class="reason failed" colspan="{len(search.objectives)}" data-value="">{escape(one.reason or one.state)}</td>'
        ]
        cells += ["<td hidden></td>"] * (len(search.objectives) - 1)
    cells += [_cell(one.params.get(parameter.name, "")) for parameter in search.parameters]
    return f'<tr class="{kind}"><th scope="row" data-value="{one.place + 1:06d}">{one.place + 1}{badge}</th>{"".join(cells)}</tr>'


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f'<td data-value="">{escape(value)}</td>'
    return f'<td data-value="{value!r}">{value:,.6g}</td>'


def _figure(title: str, caption: str, svg: str) -> str:
    head = '<svg role="img" aria-label="' + escape(title) + '" '
    drawing = svg[svg.index("<svg") :].replace("<svg ", head, 1)
    return f"<figure><h3>{escape(title)}</h3>{drawing}<figcaption>{escape(caption)}</figcaption></figure>"


def pictures(search: Search) -> list[tuple[str, str, str]]:
    """(title, caption, SVG) of the history, of the trade-off, of importances, and of each parameter."""
    if not search.done:
        return []
    found = [(*CAPTIONS["history"], _drawn("history", lambda figure: history(figure, search)))]
    if len(search.objectives) > 1:
        found.append((*CAPTIONS["front"], _drawn("front", lambda figure: front(figure, search))))
    if search.importances:
        found.append((*CAPTIONS["importance"], _drawn("importance", lambda figure: importance(figure, search))))
    for parameter in search.parameters[:SLICES]:
        svg = _drawn(parameter.name, lambda figure, one=parameter: slice_of(figure, search, one))
        found.append((parameter.name, SLICE, svg))
    return found


def _drawn(title: str, draw: Callable[[Any], None]) -> str:
    import matplotlib  # here, because it is slow to import
    from matplotlib.figure import Figure

    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": title}):
        draw(figure := Figure((WIDTH / 72, HEIGHT / 72), dpi=72))
        return figures._svg(figure)


def history(figure, search: Search) -> None:
    """The first objective of each trial, and the best up to it."""
    places = np.array([one.place + 1 for one in search.done])
    values = np.array([search.value(one) for one in search.done])
    best = (np.maximum if search.maximised[0] else np.minimum).accumulate(values)
    axes = _axes(figure, 76)
    axes.set(xlim=(0, len(search.trials) + 1), ylim=_scale(values), xlabel="trial", ylabel=_cut(search.objectives[0], 34))
    axes.step([*places, len(search.trials)], [*best, best[-1]], where="post", color=BEST, linewidth=1.8)
    axes.plot(places, values, "o", color=POINT, markersize=5)
    failed = [one.place + 1 for one in search.trials if one.state == "failed"]
    axes.plot(failed, [axes.get_ylim()[0]] * len(failed), "x", color=ALARM, markersize=7, mew=1.6, clip_on=False)
    _outside(axes, places, values)


def _scale(values: Sequence[float]) -> tuple[float, float]:
    """A scale that a few poor trials do not squeeze."""
    return figures._limits(list(values), [(value, value) for value in values])


def _outside(axes, across: Sequence[float], values: Sequence[float]) -> None:
    """Small arrows at the edge for values that are off the scale."""
    (low, high) = axes.get_ylim()
    for x, value in zip(across, values):
        if not low <= value <= high:
            edge, text = (low, "↓") if value < low else (high, "↑")
            _note(axes, text, (x, edge), (0, 6 if value < low else -6), ha="center")


def front(figure, search: Search) -> None:
    """The first two objectives of each trial; those on the front are filled."""
    points = np.array([one.values[:2] for one in search.done])
    on = np.array([one.place in search.front for one in search.done])
    axes = _axes(figure, 76)
    axes.set(xlim=_scale(points[:, 1]), ylim=_scale(points[:, 0]))
    axes.set(xlabel=_cut(search.objectives[1], 40), ylabel=_cut(search.objectives[0], 34))
    axes.plot(points[~on, 1], points[~on, 0], "o", color=FAINT, mfc="white", markersize=5)
    order = np.argsort(points[on, 1], kind="stable")
    axes.plot(points[on, 1][order], points[on, 0][order], "o-", color=POINT, markersize=6, linewidth=1)
    best = search.trials[search.best].values
    axes.plot(best[1], best[0], "o", color=BEST, markersize=8)
    _note(axes, f"trial {search.best + 1}", (best[1], best[0]), (0, 12), ha="center", color=INK)


def importance(figure, search: Search) -> None:
    """Bars by parameter, the most important at the top."""
    names = list(search.importances)
    shares = 100 * np.array([search.importances[name] for name in names])
    axes = _axes(figure, 10 + 7.2 * max(len(_cut(name, 22)) for name in names), 40)
    axes.barh(range(len(names)), shares, color=POINT, height=0.6)
    axes.set(xlim=(0, max(shares) or 1), ylim=(len(names) - 0.4, -0.6), xlabel="share, %")
    axes.set_yticks(range(len(names)), [_cut(name, 22) for name in names])
    axes.yaxis.grid(False)
    for row, share in enumerate(shares):
        _note(axes, f"{share:.0f}\u2009%", (share, row), (4, 0), ha="left")


def slice_of(figure, search: Search, parameter: Any) -> None:
    """The first objective against one parameter."""
    given = [one for one in search.done if parameter.name in one.params]
    across = [one.params[parameter.name] for one in given]
    values = [search.value(one) for one in given]
    axes = _axes(figure, 76)
    axes.set(ylim=_scale(values), ylabel=_cut(search.objectives[0], 34), xlabel=parameter.name)
    if parameter.choices:
        across = [parameter.choices.index(value) for value in across]
        axes.set_xlim(-0.5, len(parameter.choices) - 0.5)
        axes.set_xticks(range(len(parameter.choices)), [_cut(value, 14) for value in parameter.choices])
    else:
        _across(axes, parameter)
    axes.plot(across, values, "o", color=POINT, mfc="white", markersize=6)
    chosen = [place for place, one in enumerate(given) if one.place == search.best]
    axes.plot([across[place] for place in chosen], [values[place] for place in chosen], "o", color=BEST, markersize=8)
    _outside(axes, across, values)


def _across(axes, parameter: Any) -> None:
    """The range of a parameter, logarithmic where it is searched so."""
    from matplotlib.ticker import FixedLocator, NullLocator

    if not parameter.log:
        margin = 0.03 * (parameter.high - parameter.low)
        axes.set_xlim(parameter.low - margin, parameter.high + margin)
        if parameter.step and len(parameter.points(2)) <= STEPS:
            axes.set_xticks(parameter.points(2))
        return
    form = axes.xaxis.get_major_formatter()
    axes.set_xscale("log")
    axes.set_xlim(parameter.low / 1.1, parameter.high * 1.1)
    ticks = np.geomspace(parameter.low, parameter.high, 4)
    axes.xaxis.set_major_locator(FixedLocator([float(f"{tick:.1g}") for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(form)
