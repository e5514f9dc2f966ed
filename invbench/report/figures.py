"""Figures of one scenario as SVG text: legible on a phone, one colour per method, equal bytes for equal results."""

import io
import re

import numpy as np

from invbench.report.tables import Result, ScenarioResults

WIDTH, PERIODS = 380, 60  # of every figure, in pixels: what a phone has room for; of a trajectory: more would be a blur
INK, FAINT, ALARM = "#1f2328", "#636c76", "#c0362c"
# Okabe and Ito's colours without yellow and black, then Tol's muted ones: told apart by the colour-blind too
PALETTE = "#0072B2 #D55E00 #009E73 #CC79A7 #E69F00 #56B4E9 #882255 #332288 #999933 #44AA99 #AA4499 #661100".split()
PANELS = (
    {"holding": "#5b8db8", "shortage": "#c8553d", "ordering": "#e3b04b"},
    {"purchase": "#b4bac2", "method": "#7a6a9b", "transport": "#6f9e6e", "sites": "#8c6d4f"},
)
NETWORK = ("transport", "sites")  # shown where there are any
METHOD_COSTS = ("implementation", "training", "inference", "maintenance")
STYLE = {
    "font.size": 11.5, "xtick.labelsize": 11.5, "ytick.labelsize": 11.5, "legend.fontsize": 11.5, "legend.frameon": False,
    "text.color": INK, "axes.labelcolor": FAINT, "xtick.color": FAINT, "ytick.color": INK, "axes.edgecolor": "#b4bac2",
    "xtick.major.size": 0, "ytick.major.size": 0, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True,
    "axes.grid": True, "grid.color": "#e6e8eb", "svg.fonttype": "none", "text.parse_math": False,
}  # fmt: skip


def colours(methods: list[str]) -> dict[str, str]:
    """One colour for each method, in this order."""
    return {method: PALETTE[place % len(PALETTE)] for place, method in enumerate(dict.fromkeys(methods))}


def all(scenario: ScenarioResults, palette: dict[str, str] | None = None) -> dict[str, str]:
    """Every figure that the results allow, name -> SVG; `palette` gives each method its colour."""
    import matplotlib  # here, because it is slow to import

    from invbench.report.curves import learning
    from invbench.report.maps import network_map, site_stock

    palette, drawn = palette or colours([result.method for result in scenario.results]), {}
    for draw in (difference, network_map, site_stock, risk, costs, distribution, trajectory, break_even, learning):
        with matplotlib.rc_context(STYLE | {"svg.hashsalt": f"{scenario.scenario} {draw.__name__}"}):
            draw(figure := _figure(scenario), scenario, palette)
            drawn |= {draw.__name__: _svg(figure)} if figure.axes else {}
    return drawn


def _svg(figure) -> str:
    """SVG without dates, without ids that nothing refers to, and with coordinates to a tenth of a pixel."""
    figure.savefig(text := io.StringIO(), format="svg", metadata=dict.fromkeys(("Date", "Creator", "Type", "Format")))
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|\s*transform=\"rotate\(-0 [^\"]*\"", "", text.getvalue(), flags=re.DOTALL)
    svg = re.sub(r">\s+<", "><", re.sub(r"font-family: [^\";]*", "font-family: sans-serif", svg))
    svg = svg.replace('<g id="choice-0">', '<g data-choice="0">')
    svg = re.sub(r'<g id="choice-(\d+)">', r'<g data-choice="\1" style="display: none">', svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    return re.sub(r'(?<= d)="[^"]*"', lambda path: re.sub(r"(\.\d)\d+", r"\1", " ".join(path[0].split())), svg)


def _figure(scenario: ScenarioResults):
    """All figures of a scenario are of one height, which leaves each method a row."""
    from matplotlib.figure import Figure

    return Figure((WIDTH / 72, max(310, 27 * len(scenario.done) + 74) / 72), dpi=72)  # at this resolution a point is a pixel


def _axes(figure, left: float = 58, right: float = 12, bottom: float = 44, top: float = 28):  # margins in pixels
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    width, height = figure.get_size_inches() * 72
    axes = figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (bottom + top) / height))
    for axis, ticks in ((axes.xaxis, max(2, int((width - left - right) // 60))), (axes.yaxis, 5)):
        axis.set_major_locator(MaxNLocator(ticks))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    return axes


def _short(value: float, digits: int = 6) -> str:
    """A number for an axis: 12.5k, 3M."""
    size, unit = (1e6, "M") if abs(value) >= 1e6 else (1e3, "k") if abs(value) >= 1e3 else (1, "")
    return f"{float(f'{value / size:.{digits}g}') + 0.0:g}{unit}".replace("-", "−")


def _cut(name: str, width: int = 19) -> str:
    return name if len(name) <= width else name[: width // 2] + "…" + name[len(name) - (width - width // 2 - 1) :]


def _note(axes, text: str, place: tuple, offset: tuple, within="data", **style) -> None:
    """A line of text at an offset in pixels from a place."""
    style = {"color": FAINT, "va": "center", "fontsize": 11.5, "annotation_clip": False} | style
    axes.annotate(text, place, xytext=offset, xycoords=within, textcoords="offset points", **style)


def _row_axes(figure, results: list[Result], baseline: str, start: float = 0.0, stop: float = 1.0):
    """Axes with one row per method, named at the left; they take the width beside the names from `start` to `stop`."""
    names = [_cut(result.name) for result in results]
    left = 10 + 7.2 * max(map(len, names))  # by the widest font that a browser may choose
    room = WIDTH - left - 14
    axes = _axes(figure, left + room * start, 14 + room * (1 - stop))
    axes.set_yticks(range(len(results)), names if start == 0 else [""] * len(names))
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.yaxis.grid(False)
    for result, tick in zip(results, axes.get_yticklabels()):
        tick.set_fontweight("bold" if result.method == baseline else "normal")
    return axes


def _limits(points: list[float], ends: list[tuple[float, float]], pad: float = 0.06) -> tuple[float, float]:
    """A scale for intervals around points, but for points beyond three quartile ranges from the quartiles (of five and more)."""
    points, ends = np.asarray(points), np.asarray(ends)
    low, high = np.percentile(points, (25, 75))
    inside = np.abs(points - (low + high) / 2) <= (3.5 * (high - low) if len(points) > 4 and high > low else np.inf)
    low, high = ends[inside].min(), ends[inside].max()
    margin = pad * (high - low) or pad * abs(high) or 1.0
    return low - margin, high + margin


def _fits(axes, row: int, value: float) -> bool:
    """Whether a value is on the scale; if not, an arrow at the edge of its row says how much it is."""
    low, high = axes.get_xlim()
    if not low <= value <= high:
        text, edge, shift, side = ("← {}", low, 4, "left") if value < low else ("{} →", high, -2, "right")
        _note(axes, text.format(_short(value, 3)), (edge, row), (shift, 0), ha=side, bbox={"fc": "white", "lw": 0, "pad": 1})
    return low <= value <= high


def _tested(scenario: ScenarioResults) -> list[Result]:
    """The methods that can be compared with the baseline."""
    return [r for r in scenario.done if r.number("difference") is not None and not r.bound and r.method != scenario.baseline]


def difference(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Paired differences to the baseline with their intervals, hollow where they may be chance; None without a baseline."""
    if not (tested := _tested(scenario)):
        return
    axes = _row_axes(figure, tested, scenario.baseline)
    low, high = _limits([result.number("difference") for result in tested], [result.ends("difference") for result in tested])
    axes.set(xlim=(min(low, -0.1 * high), max(high, -0.1 * low)), xlabel=f"difference to {_cut(scenario.baseline, 15)}, money")
    axes.axvline(0, color=INK, linewidth=1)
    for row, result in enumerate(tested):
        centre, colour = result.number("difference"), palette[result.method]
        if _fits(axes, row, centre):
            axes.plot(result.ends("difference"), [row, row], color=colour, linewidth=2.5)
            axes.plot([centre], [row], "o", color=colour, mfc=colour if result.significant else "white", mew=1.6, markersize=7)
    _note(axes, "← worse", (0, 1), (-8, 10), ("data", "axes fraction"), ha="right")
    _note(axes, "better →", (0, 1), (8, 10), ("data", "axes fraction"), ha="left")


def risk(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Mean net benefit of operations, with its interval, against its standard deviation; the bound as a line."""
    judged = [result for result in scenario.done if result.number("operating_benefit") is not None]
    if not (results := [result for result in judged if not result.bound and result.number("std") is not None]):
        return
    points = np.array([(result.number("std"), result.number("operating_benefit")) for result in results])
    ends = [result.ends("operating_benefit") for result in results]
    axes = _axes(figure)
    axes.set(xlabel="risk: standard deviation over paths, money", xlim=_limits(points[:, 0], points[:, :1].repeat(2, 1), 0.2))
    axes.set(ylabel="mean net benefit of operations", ylim=_limits(points[:, 1], ends, 0.15))
    taken = [_bound_line(axes, result) for result in judged if result.bound]
    shown = np.clip(points, *np.transpose([axes.get_xlim(), axes.get_ylim()]))
    for result, point, pair in zip(results, shown, ends):
        foot, head = axes.transData.transform([(point[0], end) for end in pair])
        taken.append((*foot - (2, 0), *head + (2, 0)))
        axes.plot([point[0]] * 2, pair, color=palette[result.method], linewidth=1.5)
        axes.plot(*point, "o", color=palette[result.method], markersize=8, clip_on=False)
    off = [f" ({_short(point[1], 3)})" if moved else "" for point, moved in zip(points, (points != shown).any(1))]
    _name_points(axes, shown, [_cut(result.name, 22) + text for result, text in zip(results, off)], taken)


def _bound_line(axes, result: Result) -> tuple[float, float, float, float]:
    """The bound as a dashed line, at the top edge if it would squeeze the methods; the box in pixels that it takes."""
    (low, high), value = axes.get_ylim(), result.number("operating_benefit")
    near = value <= high + 1.2 * (high - low)
    axes.set_ylim(low, max(high, value + 0.08 * (high - low)) if near else high)
    level, text = (value, result.name) if near else (high, f"{result.name}: {_short(value, 3)}, off the scale ↑")
    axes.axhline(level, color=FAINT, linestyle=(0, (5, 3)), linewidth=1.3, clip_on=False)
    _note(axes, text, (1, level), (0, 8), ("axes fraction", "data"), ha="right")
    height = axes.transData.transform((0, level))[1]
    return axes.bbox.x0, height - 1, axes.bbox.x1, height + 14


def _name_points(axes, points: np.ndarray, labels: list[str], taken: list[tuple]) -> None:
    """Names beside points, each at the nearest place where it covers nothing; joined by a thin line if not close."""
    spots, back = axes.transData.transform(points), axes.transData.inverted().transform
    taken += [(x - 7, y - 7, x + 7, y + 7) for x, y in spots]
    for spot, label in sorted(zip(spots.tolist(), labels), key=lambda pair: -pair[0][1]):
        taken.append(box := _free_box(spot, 6.4 * len(label), taken, axes.bbox.extents))
        near = np.clip(spot, box[:2], box[2:])
        if np.hypot(*(near - spot)) > 12:
            axes.plot(*back([spot, near]).T, color=FAINT, linewidth=0.6, clip_on=False)
        _note(axes, label, tuple(back(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))), (0, 0), ha="center", color=INK)


def _free_box(spot: list, width: float, taken: list[tuple], frame: np.ndarray) -> tuple:
    """The first box around a spot, from near to far, that lies in the frame and covers least."""
    ways = ((1, 0), (-1, 0), (0.7, 0.7), (-0.7, 0.7), (0.7, -0.7), (-0.7, -0.7), (0, 1), (0, -1))
    inside = []
    for radius, way in ((radius, way) for radius in (9, 14, 22, 32, 44, 58, 74, 92) for way in ways):
        x, y = (spot[axis] + way[axis] * radius + np.sign(way[axis]) * size / 2 for axis, size in ((0, width), (1, 13)))
        if frame[0] <= x - width / 2 and x + width / 2 <= frame[2] + 12 and frame[1] <= y - 6 and y <= frame[3]:
            inside.append((x - width / 2, y - 6.5, x + width / 2, y + 6.5))
    inside = inside or [(spot[0] + 9, spot[1] - 6.5, spot[0] + 9 + width, spot[1] + 6.5)]
    boxes, others = np.array(inside)[:, None], np.array(taken)
    common = np.minimum(boxes, others)[..., 2:] - np.maximum(boxes, others)[..., :2]  # width and height of what they share
    return inside[np.clip(common, 0, None).prod(-1).sum(-1).argmin()]


def costs(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """What each method spends: what an ordering policy moves at the left, purchase and the method itself at the right."""
    results = [result for result in scenario.done if result.components]
    parts = [r.components | {"method": sum(r.components.get(name, 0.0) for name in METHOD_COSTS)} for r in results]
    spent = {name for part in parts for name, money in part.items() if money > 0}
    shown = [{name: colour for name, colour in names.items() if name in spent or name not in NETWORK} for names in PANELS]
    panels = [names for names in shown if spent & names.keys()]
    for place, names in enumerate(panels):
        axes = _row_axes(figure, results, scenario.baseline, place * 0.62, 0.52 if place < len(panels) - 1 else 1)
        ends = np.cumsum([[part.get(name, 0.0) for part in parts] for name in names], axis=0)
        axes.set(xlim=(0, _limits(ends[-1], [(0, end) for end in ends[-1]])[1]), xlabel="money")
        for name, left, right in zip(names, [np.zeros(len(parts)), *ends], ends):
            axes.barh(range(len(parts)), right - left, left=left, height=0.62, color=names[name], label=name)
        for row, end in enumerate(ends[-1]):
            _fits(axes, row, end)
    if panels:
        figure.legend(loc="upper right", bbox_to_anchor=(0.99, 1), ncols=5, handlelength=0.7, columnspacing=0.8)


def distribution(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Net benefit of operations over paths, from 1 to 99 %: shape, middle half and median."""
    if not (results := [result for result in scenario.done if len(result.values) > 1]):
        return
    quantiles = [np.quantile(result.values, np.linspace(0.01, 0.99, 99)) for result in results]  # light, whatever the paths
    axes = _row_axes(figure, results, scenario.baseline)
    limits = _limits([values[49] for values in quantiles], [(values[0], values[-1]) for values in quantiles], 0.03)
    axes.set(xlim=limits, xlabel="net benefit of operations, money")
    for row, (result, values) in enumerate(zip(results, quantiles)):
        if _fits(axes, row, values[49]):
            colour = FAINT if result.bound else palette[result.method]
            shape = axes.violinplot([values], [row], orientation="horizontal", widths=0.8, points=60, showextrema=False)
            shape["bodies"][0].set(facecolor=colour, alpha=0.35, linewidth=0)
            axes.plot(values[[24, 74]], [row, row], color=colour, linewidth=4, solid_capstyle="butt")
            axes.plot([values[49]], [row], "o", color="white", mec=colour, mew=1.6, markersize=6)


def chosen(scenario: ScenarioResults) -> list[Result]:
    """The methods that the figure of trajectories can show; it shows the first: the baseline, if it has a trajectory."""
    return sorted((r for r in scenario.done if len(r.trajectory.get("held", ()))), key=lambda r: r.method != scenario.baseline)


def trajectory(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Stock, orders and stock-outs on one path: axes for each method, all in the same place; a page shows one at a time."""
    if not (results := chosen(scenario)):
        return
    least = max(np.max(results[0].trajectory[name]) for name in ("held", "ordered", "demand"))
    for place, result in enumerate(results):
        (axes := _axes(figure, 48)).set_gid(f"choice-{place}")
        _story(axes, result, FAINT if result.bound else palette[result.method], least)


def _story(axes, result: Result, colour: str, least: float) -> None:
    """The middle of the horizon, away from how it starts and ends; the scale is the baseline's unless more is needed."""
    first = max(0, (len(result.trajectory["held"]) - PERIODS) // 2)
    shown = "held", "ordered", "demand", "missed"
    flow = {name: np.asarray(result.trajectory[name], float)[first : first + PERIODS] for name in shown}
    periods = first + 1 + np.arange(len(flow["held"]))
    top = 1.05 * max(least, *(flow[name].max() for name in ("held", "ordered", "demand")))
    axes.set(xlim=(periods[0] - 1, periods[-1] + 1), ylim=(-1.1 * max(flow["missed"].max(), 0.1 * top), top))
    axes.set(xlabel="period", ylabel="units")
    axes.fill_between(periods, flow["held"], step="mid", color=colour, alpha=0.4, linewidth=0, label="in stock")
    axes.step(periods, flow["demand"], where="mid", color="#4a525b", linewidth=1.1, label="demand")
    for name, sign, ink, width in (("ordered", 1, INK, 1.6), ("missed", -1, ALARM, 3)):
        at, units = periods[flow[name] > 0], sign * flow[name][flow[name] > 0]
        stems = np.stack([np.zeros(len(at)), units, np.full(len(at), np.nan)], 1).ravel()
        axes.plot(np.repeat(at, 3), stems, color=ink, linewidth=width, solid_capstyle="butt", label=name)
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.legend(loc="lower right", bbox_to_anchor=(1.02, 0.985), ncols=4, columnspacing=0.9, handlelength=1, handletextpad=0.4)


def break_even(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Net benefit gained over the baseline, method costs included, against the number of periods; None without a baseline."""
    baseline = next((result for result in scenario.done if result.method == scenario.baseline), None)
    if baseline is None or not (rivals := _tested(scenario)):
        return
    once = np.array([result.once - baseline.once for result in rivals])
    slope = np.array([r.number("difference") / r.periods - r.per_period + baseline.per_period for r in rivals])
    zeros = once / np.where(slope == 0, np.nan, slope)  # where a line crosses zero: above 0, or not at all
    end = 1.25 * max([baseline.periods, *zeros[(slope > 0) & (zeros <= 40 * baseline.periods)]])
    fixed = abs(once).max() or np.median(abs(slope * end))
    top = max(0.2 * fixed, min(max(slope * end - once), 4 * fixed or np.inf)) or 1.0
    axes = _axes(figure, 58, 126, top=14)
    axes.set(xlim=(0, end), ylim=(-max(1.4 * fixed, 0.3 * top), top), xlabel="periods", ylabel="gain over the baseline, money")
    axes.axhline(0, color=INK, linewidth=1)
    for result, start, rate, zero in zip(rivals, once, slope, zeros):
        axes.plot([0, end], [-start, rate * end - start], color=palette[result.method], linewidth=1.8)
        axes.plot(zero if 0 < zero <= end else np.nan, 0, "o", color=palette[result.method], mec="white", markersize=8)
    _name_lines(axes, rivals, slope * end - once, [_when(*line) for line in zip(once, slope, zeros)], palette)


def _when(once: float, slope: float, zero: float) -> str:
    if zero > 0:
        return f"ahead {'after' if slope > 0 else 'until'} {_short(np.ceil(zero), 3)}"
    return "ahead at once" if slope > 0 or once < 0 else "never ahead"


def _name_lines(axes, results: list[Result], heights: np.ndarray, remarks: list[str], palette: dict[str, str]) -> None:
    """Names at the right in the order of the lines, each with its remark."""
    (low, high), room = axes.get_ylim(), axes.bbox.height
    wanted, down = np.clip((high - heights) / (high - low), 0, 1) * room, 0.0
    for rank, place in enumerate(np.argsort(wanted, kind="stable")):
        down = min(max(wanted[place], down), room - 28 * (len(results) - rank - 1) - 14)
        link = {"transform": axes.transAxes, "color": palette[results[place].method], "linewidth": 1, "clip_on": False}
        axes.plot([1, 1.03], [1 - wanted[place] / room, 1 - down / room], **link)
        _note(axes, _cut(results[place].name, 16), (1, 1), (11, -down), "axes fraction", color=INK)
        _note(axes, remarks[place], (1, 1), (11, -down - 13), "axes fraction")
        down += 28
