"""What methods or switches gain over what they are compared with: an interval for each."""

from collections.abc import Mapping, Sequence
from typing import Any

from invbench.report import figures
from invbench.report.figures import FAINT, _axes, _cut, _note

ROW, WIDTH, LEFT = 22, 760, 300  # pixels
LETTER = 7  # pixels
COLOURS = {"better": "#1273c4", "worse": "#d4631c", "even": FAINT}


def forest(names: Sequence[str], rows: Sequence[Mapping[str, Any]], axis: str, width: int = WIDTH, left: int = LEFT) -> str:
    """SVG: per cent that each row gains, with its interval; hollow where it may be chance, a star on a challenger.

    axis: what the per cent are of; width, left: pixels of the picture, and of the names in it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    height = ROW * len(rows) + 70
    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": "forest"}):
        figure = Figure((width / 72, height / 72), dpi=72)
        axes = _axes(figure, left, 20, 44, 12)
        axes.set_yticks(range(len(rows)), [_cut(name, left // LETTER) for name in names])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.axvline(0, color=FAINT, linewidth=1.2)
        for place, row in enumerate(rows):
            _interval(axes, place, row)
        axes.set_xlabel(axis)
        return (svg := figures._svg(figure))[svg.index("<svg") :]


def _interval(axes, place: int, row: Mapping[str, Any]) -> None:
    colour, sure = COLOURS[row["verdict"]], row["verdict"] != "even"
    if row["percent_lower"] is not None:
        axes.plot([row["percent_lower"], row["percent_upper"]], [place, place], color=colour, linewidth=2)
    axes.plot(row["percent"], place, "o", color=colour, markerfacecolor=colour if sure else "white", markersize=7)
    if row.get("challenger"):
        _note(axes, "*", (row["percent"], place), (0, 8), ha="center")
