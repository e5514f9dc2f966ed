"""Pictures of a network: a map of what serves whom, and the stock of each site over time; one drawing for each method."""

import re
from typing import Any

import numpy as np

from invbench.report.figures import FAINT, INK, PALETTE, _axes, _note
from invbench.report.tables import Result, ScenarioResults

SMALLEST = 0.005  # share of the largest flow below which a way is not drawn
NAMED, LINES = 6, 9  # sites that are named on a map; that have a line of their own over time
POINTS = 60  # of a line
CLOSED = "#b4bac2"


def chosen(scenario: ScenarioResults) -> list[Result]:
    """The methods that there is a map of, the baseline first."""
    found = (result for result in scenario.done if "map_flow" in result.trajectory)
    return sorted(found, key=lambda result: result.method != scenario.baseline)


def network_map(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """Sites and customers where they are: axes for each method, all in the same place; a page shows one at a time."""
    for place, result in enumerate(chosen(scenario)):
        (axes := _axes(figure, 8, 8, 26, 8)).set_gid(f"choice-{place}")
        axes.set(xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set_visible(False)
        _drawn(axes, result.trajectory, palette[result.method])


def _drawn(axes, data: dict[str, Any], colour: str) -> None:
    sites, customers = (_flat(data[f"map_{name}"], data["map_site"]) for name in ("site", "customer"))
    flow, used = data["map_flow"], data["map_open"] > 0
    ways = np.argwhere(flow > SMALLEST * max(flow.max(), 1e-12))
    for site, customer in ways:
        ends, width = np.stack([sites[site], customers[customer]]), 0.6 + 3.4 * np.sqrt(flow[site, customer] / flow.max())
        axes.plot(*ends.T, color=colour, linewidth=width, alpha=0.55, solid_capstyle="round", zorder=1)
    size = 4 + 40 * data["map_demand"] / max(data["map_demand"].max(), 1e-12)
    axes.scatter(*customers.T, s=size, color="#8b949e", zorder=2, linewidths=0, label="customer")
    axes.scatter(*sites[~used].T, s=34, marker="s", facecolors="white", edgecolors=CLOSED, zorder=3, label="closed site")
    axes.scatter(*sites[used].T, s=52, marker="s", color=INK, zorder=4, label="open site")
    _named(axes, data, sites, used)
    _framed(axes, np.concatenate([sites[used], customers[flow.sum(0) > 0.01 * data["map_demand"]]]), customers)
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.005), ncols=3, columnspacing=1.2, handletextpad=0.2)


def _framed(axes, shown: np.ndarray, customers: np.ndarray) -> None:
    """Limits around what is served; how many customers lie outside of them is said."""
    if not len(shown):
        return
    low, high = shown.min(0), shown.max(0)
    margin = np.maximum(0.09 * (high - low), 1e-6) * (1.6, 1)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), ylim=(low[1] - margin[1], high[1] + margin[1]))
    beyond = int(((customers < low - margin) | (customers > high + margin)).any(1).sum())
    if beyond:
        _note(axes, f"{beyond} not served, beyond the map", (0.01, 0.02), (0, 0), "axes fraction", fontsize=11)


def _named(axes, data: dict[str, Any], sites: np.ndarray, used: np.ndarray) -> None:
    """The busiest sites by name, with how much of what they can send is sent where there is a limit."""
    sent, limit = data["map_flow"].sum(1), data["map_limit"]
    order = [site for site in np.argsort(-sent, kind="stable") if used[site]][:NAMED]
    high = np.argsort(np.argsort(sites[order, 1])) % 2 if len(order) else []
    for site, up in zip(order, high):
        share = f" {100 * sent[site] / limit[site]:.0f} %" if np.isfinite(limit[site]) and limit[site] > 0 else ""
        style = {"color": INK, "ha": "center", "fontsize": 11, "bbox": {"fc": "white", "lw": 0, "pad": 0.4, "alpha": 0.7}}
        _note(axes, f"{_short(data['map_names'][site])}{share}", tuple(sites[site]), (0, 10 if up else -10), zorder=5, **style)


def _short(name: str) -> str:
    """A city without its state."""
    return re.sub(r" [A-Z]{2}$", "", str(name))[:14]


def _flat(places: np.ndarray, sites: np.ndarray) -> np.ndarray:
    """[n, 2] right and up, from latitude and longitude: a degree of longitude is as long as it is at the sites' latitude."""
    return np.stack([places[:, 1] * np.cos(np.radians(sites[:, 0].mean())), places[:, 0]], -1)


def site_stock(figure, scenario: ScenarioResults, palette: dict[str, str]) -> None:
    """On hand at the end of each period at the sites with most of it: axes for each method, as on the map."""
    for place, result in enumerate(chosen(scenario)):
        block, stock = _blocks(result.trajectory["map_stock"])
        periods = block * (np.arange(len(stock)) + 0.5) + 0.5
        (axes := _axes(figure, 52, 118)).set_gid(f"choice-{place}")
        busiest = np.argsort(-stock.mean(0), kind="stable")[:LINES]
        busiest = busiest[stock.mean(0)[busiest] > 0]
        top = 1.1 * max(np.quantile(stock.max(1), 0.99), 1.0)  # a first large order would flatten all the rest
        axes.set(xlim=(1, block * len(stock)), ylim=(0, top), xlabel="period", ylabel="units")
        ends = _apart(np.minimum(stock[-1, busiest], 0.5 * top), 0.06 * top)
        for number, (site, end) in enumerate(zip(busiest, ends)):
            ink = PALETTE[number % len(PALETTE)]
            axes.plot(periods, stock[:, site], color=ink, linewidth=1.5)
            _note(axes, _short(result.trajectory["map_names"][site]), (block * len(stock), end), (6, 0), color=ink)
        some = bool(len(busiest) < (result.trajectory["map_open"] > 0).sum())
        told = [f"the {len(busiest)} sites with most stock"] * some + [f"means of {block} periods"] * (block > 1)
        axes.set_title(", ".join(told), loc="left", fontsize=11.5, color=FAINT)


def _blocks(stock: np.ndarray) -> tuple[int, np.ndarray]:
    """Means of as many periods as leave no more than POINTS of them, and how many that are; [block, site]."""
    block = -(-len(stock) // POINTS)
    count = len(stock) // block
    return block, stock[: count * block].reshape(count, block, -1).mean(1)


def _apart(heights: np.ndarray, least: float) -> np.ndarray:
    """The same heights moved up where one is nearer than `least` to the one below."""
    moved, below = np.array(heights, float), -np.inf
    for place in np.argsort(heights, kind="stable"):
        below = moved[place] = max(moved[place], below + least)
    return moved
