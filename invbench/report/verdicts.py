"""What learned methods gain over the best classical one: an interval for each, setting by setting."""

from collections.abc import Mapping, Sequence
from typing import Any

from invbench.report import figures
from invbench.report.figures import FAINT, _axes, _cut, _note

ROW, WIDTH = 22, 760  # pixels
COLOURS = {"better": "#1273c4", "worse": "#d4631c", "even": FAINT}


def forest(rows: Sequence[Mapping[str, Any]]) -> str:
    """SVG: per cent of the baseline's cost that each row gains, with its interval; hollow where it may be chance."""
    import matplotlib
    from matplotlib.figure import Figure

    height = ROW * len(rows) + 70
    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": "forest"}):
        figure = Figure((WIDTH / 72, height / 72), dpi=72)
        axes = _axes(figure, 300, 20, 44, 12)
        axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.axvline(0, color=FAINT, linewidth=1.2)
        for place, row in enumerate(rows):
            _interval(axes, place, row)
        axes.set_xlabel("gain, % of the cost of the best tuned classical method")
        return (svg := figures._svg(figure))[svg.index("<svg") :]


def _interval(axes, place: int, row: Mapping[str, Any]) -> None:
    colour, sure = COLOURS[row["verdict"]], row["verdict"] != "even"
    if row["percent_lower"] is not None:
        axes.plot([row["percent_lower"], row["percent_upper"]], [place, place], color=colour, linewidth=2)
    axes.plot(row["percent"], place, "o", color=colour, markerfacecolor=colour if sure else "white", markersize=7)
    if row["challenger"]:
        _note(axes, "*", (row["percent"], place), (0, 8), ha="center")


def _name(row: Mapping[str, Any]) -> str:
    return _cut(f"{row['setting']}: {row['method']}", 42)
