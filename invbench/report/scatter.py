"""Points of several groups as SVG, with a legend; joined to lines where they are a front or run over time."""

from collections.abc import Mapping, Sequence

from invbench.report import figures
from invbench.report.figures import FAINT, INK

HEIGHT = 320  # pixels


def alone(
    title: str, groups: Mapping[str, Sequence[tuple[float, float]]], across: str, up: str, *, line: float | None = None,
    log: bool = False, joined: bool = False, low: float | None = None, high: float | None = None,
) -> str:  # fmt: skip
    """SVG of the points (x, y) of each group; `across` and `up` name the axes, `line` is a height that is marked, `low` and
    `high` end the axis upward."""
    import matplotlib
    from matplotlib.figure import Figure

    palette = figures.colours(list(groups))
    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": title}):
        figure = Figure((figures.WIDTH / 72, HEIGHT / 72), dpi=72)
        axes = figures._axes(figure, 62, bottom=48, top=22 + 15 * -(-len(groups) // 3))
        for name, points in groups.items():
            style = dict(linewidth=1.6) if joined else dict(linestyle="none", marker="o", markersize=4.5, alpha=0.8)
            axes.plot(*zip(*points), color=palette[name], label=name, **style) if points else None
        if line is not None:
            axes.axhline(line, color=INK, linewidth=1)
        if log:
            _logarithmic(axes)
        axes.set(xlabel=across, ylabel=up, ylim=(low, high))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.18, 1), ncol=3, labelcolor=FAINT, handlelength=1, columnspacing=1)
        return figures._svg(figure)


def _logarithmic(axes) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
