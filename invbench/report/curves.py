"""Learning curves: what each learner earned on validation paths while it trained, beside a classical rule."""

from collections.abc import Mapping, Sequence

import numpy as np

from invbench.report import figures
from invbench.report.figures import FAINT, INK, _axes, _cut, _note
from invbench.report.tables import ScenarioResults

WORTH, BASELINE = "validation/benefit", "validation/baseline"
RULE, GAIN = "classical rule", "gain over its classical rule, money"
HEIGHT = 300  # pixels of a figure that stands alone
Curve = Sequence[Mapping[str, float]]  # rows of metrics with their step


def learning(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """The learners of a scenario; the figure stays empty where there are none."""
    draw(figure, {result.method: result.curve for result in scenario.done}, palette)


def alone(title: str, curves: Mapping[str, Curve], palette: dict[str, str]) -> str:
    """The same as a figure of its own, SVG; "" where nothing was learned."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": title}):
        draw(figure := Figure((figures.WIDTH / 72, HEIGHT / 72), dpi=72), curves, palette)
        return figures._svg(figure) if figure.axes else ""


def draw(figure, curves: Mapping[str, Curve], palette: dict[str, str]) -> None:
    """Validation benefit against the share of the training that is done: learners count their updates differently.

    Where each has a classical rule beside it: less what that rule earns on the same paths, because learners do not all validate
    on the same ones, nor at the same cost.
    """
    found = {name: _points(rows) for name, rows in curves.items()}
    found = {name: points for name, points in found.items() if points is not None}
    if not found:
        return
    beside = {name: _rule(curves[name]) for name in found}
    ruled = None not in beside.values()
    if ruled:
        found = {name: (share, worth - beside[name]) for name, (share, worth) in found.items()}
    rules = [0.0] if ruled else []
    axes = _axes(figure, 76, 120)
    lows = [np.quantile(worth, 0.25) for _, worth in found.values()] + rules  # the start of a training is far below
    highs = [worth.max() for _, worth in found.values()] + rules
    room = max(highs) - min(lows) or 1.0
    axes.set(xlim=(0, 100), ylim=(min(lows) - 0.6 * room, max(highs) + 0.15 * room))
    axes.set(xlabel="share of the training, %", ylabel=GAIN if ruled else "benefit on validation paths, money")
    for rule in rules:
        axes.axhline(rule, color=FAINT, linewidth=1.2, linestyle="--")
    for name, (share, worth) in found.items():
        axes.plot(share, worth, color=palette[name], linewidth=1.8)
    _name_ends(axes, {name: worth[-1] for name, (_, worth) in found.items()} | ({RULE: rules[0]} if rules else {}), palette)


def _points(rows: Curve) -> tuple[np.ndarray, np.ndarray] | None:
    """Share of the training in per cent, and what was earned."""
    found = [(row["step"], row[WORTH]) for row in rows if WORTH in row]
    if len(found) < 2:
        return None
    steps, worth = np.array(found, float).T
    return 100 * steps / steps[-1], worth


def _rule(rows: Curve) -> float | None:
    """What the classical rule earns that a training is shown beside."""
    return next((row[BASELINE] for row in rows if BASELINE in row), None)


def _name_ends(axes, ends: dict[str, float], palette: dict[str, str]) -> None:
    """Names at the right, where the lines end, moved apart."""
    (low, high), room, down = axes.get_ylim(), axes.bbox.height, 0.0
    wanted = {name: float(np.clip((high - value) / (high - low), 0, 1)) * room for name, value in ends.items()}
    for rank, name in enumerate(sorted(wanted, key=wanted.get)):
        down = min(max(wanted[name], down), room - 15 * (len(wanted) - rank - 1))
        link = {"transform": axes.transAxes, "color": palette.get(name, FAINT), "linewidth": 1, "clip_on": False}
        axes.plot([1, 1.03], [1 - wanted[name] / room, 1 - down / room], **link)
        _note(axes, _cut(name, 16), (1, 1), (11, -down), "axes fraction", color=INK if name in palette else FAINT)
        down += 15
