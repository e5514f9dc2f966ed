"""Learning curves: what each learner earned on validation paths while it trained, beside a classical rule."""

import numpy as np

from invbench.report.figures import FAINT, INK, _axes, _cut, _note
from invbench.report.tables import ScenarioResults

WORTH, BASELINE = "validation/benefit", "validation/baseline"


def learning(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Validation benefit against the share of the training that is done: learners count their updates differently."""
    curves = {result.method: _curve(result.curve) for result in scenario.done}
    curves = {method: curve for method, curve in curves.items() if curve is not None}
    if not curves:
        return
    axes = _axes(figure, 66, 126)
    rules = [row[BASELINE] for result in scenario.done for row in result.curve if BASELINE in row]
    lows = [np.quantile(curve[1], 0.25) for curve in curves.values()] + rules[:1]  # the start of a training is far below
    highs = [curve[1].max() for curve in curves.values()] + rules[:1]
    room = max(highs) - min(lows) or 1.0
    axes.set(xlim=(0, 100), ylim=(min(lows) - 0.6 * room, max(highs) + 0.15 * room))
    axes.set(xlabel="share of the training, %", ylabel="benefit on validation paths, money")
    if rules:
        axes.axhline(rules[0], color=FAINT, linewidth=1.2, linestyle="--")
    ends = {method: curve[1][-1] for method, curve in curves.items()} | ({"classical rule": rules[0]} if rules else {})
    for method, (share, worth) in curves.items():
        axes.plot(share, worth, color=palette[method], linewidth=1.8)
    _name_ends(axes, ends, palette)


def _curve(rows: list[dict]) -> tuple[np.ndarray, np.ndarray] | None:
    """Share of the training in per cent, and what was earned."""
    found = [(row["step"], row[WORTH]) for row in rows if WORTH in row]
    if len(found) < 2:
        return None
    steps, worth = np.array(found, float).T
    return 100 * steps / steps[-1], worth


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
