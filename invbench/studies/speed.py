"""The speed study: how fast invbench replays, draws and tunes, and what other tools make of the same work in the same run.

One item, lost sales, Poisson(5) demand, lead time 4, order-up-to level 24, holding 1, shortage 9, an empty start. A tool is
timed only after its costs have been found to agree with those of invbench.
"""

import csv
import math
import os
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from invbench import costs, problem, replay
from invbench.checks import require, whole
from invbench.dynamics import single
from invbench.forecasts.moving_average import MovingAverage
from invbench.keys import root
from invbench.methods.base_stock import order_up_to
from invbench.methods.forecast_base_stock import order_up_to_forecast
from invbench.methods.forecast_s_S import reorder_by_forecast
from invbench.methods.r_Q import reorder_lots
from invbench.methods.s_S import reorder_up_to
from invbench.methods.safety_stock import cover_and_buffer
from invbench.scenarios import poisson
from invbench.scenarios.base import draw
from invbench.studies import speed_exact, speed_learning
from invbench.types import Array, Paths, Policy

numba = import_module("numba") if find_spec("numba") else None  # an extra: `blocked_loop` is plain Python without it
prange = numba.prange if numba else range

MEAN, LEAD_TIME, LEVEL, HOLDING, SHORTAGE = 5, 4, 24, 1, 9
WINDOW = 28  # past periods that a policy may look back on
LANES = 1024  # paths that the hand-written loop moves together: the fastest of 256 to 4096
PAUSE = 0.05  # seconds between turns, so that the threads of one tool are asleep when the next one starts
OWN, PEERS = "invbench", ("numba", "stockpyl", "dynaplex", "mdpax", "stable_baselines3")
REPLAY, DRAW, CANDIDATES, MEMORY = "replay base-stock", "draw base-stock", "candidates (s,S)", "candidates (s,S) peak memory"
SYSTEM = single.create(lead_time=LEAD_TIME, backlog=False)
COST = costs.CostModel(price=0.0, purchase=0.0, holding=HOLDING, shortage=SHORTAGE, fixed_order=0.0, salvage=0.0)
SCENARIO = poisson.create(mean=MEAN, items=1)
POLICIES = {  # apply, and its params beside those of the forecast
    "base-stock": (order_up_to, {"level": LEVEL}),
    "(s,S)": (reorder_up_to, {"reorder_point": 20, "lot": 5}),
    "(r,nQ)": (reorder_lots, {"reorder_point": 20, "lot": 5}),
    "safety stock": (cover_and_buffer, {"z": 1, "cover": LEAD_TIME + 1}),
    "forecast base-stock": (order_up_to_forecast, {"z": 0}),
    "forecast (s,S)": (reorder_by_forecast, {"z": 0, "periods": 1}),
}


class Tool(NamedTuple):
    """One way to do a workload. What `run` returns, `cost` turns into the total cost of each path."""

    name: str
    simulated: int  # periods in one run, over all paths
    run: Callable[[], Any]  # does the work once, and waits until it is done
    cost: Callable[[Any], np.ndarray]
    agrees: Callable[[np.ndarray, np.ndarray], bool] | None = None  # (our costs, its costs); None: it has another problem


class Row(NamedTuple):
    """A line of speed.csv. ratio: how many times faster invbench is than the tool, 1 for invbench itself."""

    workload: str
    tool: str
    value: float
    unit: str
    ratio: float


@dataclass(frozen=True)
class Speed:
    """What to time, and how often."""

    periods: int  # in each path
    paths: int  # of the replay, draw and policy workloads
    candidates: int  # (s,S) pairs
    candidate_paths: int  # that each pair faces
    repeats: int  # times that each tool is run warm, in turn; the median counts
    peers: bool  # also run the peers that are installed
    exact: bool = False  # also how fast optima are found
    learning: bool = False  # also how fast learners learn

    def run(self, folder: Path, config: dict | None = None) -> int:
        """Write folder/speed.csv and print it as a table; returns exit code 0.

        Raises ValueError naming the field that is wrong, RuntimeError if a peer's costs are not those of invbench.
        """
        for field in ("periods", "paths", "candidates", "candidate_paths", "repeats"):
            whole(f"speed.{field}", getattr(self, field), low=2 if field == "paths" else 1)  # one path has no standard error
        require(isinstance(self.peers, bool), "speed.peers", "true or false", self.peers)
        rows: list[Row] = []
        with Progress(console=Console(stderr=True)) as progress:
            exact = list(speed_exact.workloads(self.peers)) if self.exact else []
            learning = list(speed_learning.workloads(self.peers)) if self.learning else []
            task = progress.add_task("speed", total=3 + len(POLICIES) + len(exact) + len(learning))
            for workload, tools in self.workloads():
                progress.update(task, description=workload)
                rows += timed(workload, tools, self.repeats)
                progress.advance(task)
            for work in exact:
                progress.update(task, description=work.workload)
                rows += found(speed_exact.measure(work))
                progress.advance(task)
            for name, measured in learning:
                progress.update(task, description=name)
                rows += [Row(*rate) for rate in measured()]
                progress.advance(task)
        write(rows, Path(folder) / "speed.csv")
        _show(rows, [peer for peer in PEERS if self.peers and not find_spec(peer)])
        return 0

    def workloads(self) -> Iterator[tuple[str, list[Tool]]]:
        """Name and tools, invbench first. Candidates lead: what was held before would hide the memory that they take."""
        pairs, faced = grid(self.candidates), stored(self.candidate_paths, self.periods)
        yield CANDIDATES, [self._own(self.candidates * self.candidate_paths, replay.candidates, SYSTEM, pairs, faced)]
        paths, base_stock = stored(self.paths, self.periods), Policy(as_items({"level": LEVEL}), order_up_to)
        replayed = self._own(self.paths, replay.total, SYSTEM, base_stock, paths)
        yield REPLAY, [replayed, *self._peer("numba", numba_tool, paths)]
        future = (SCENARIO, root(0, "speed", "drawn"), self.paths, self.periods)
        drawn = self._own(self.paths, replay.drawn, SYSTEM, base_stock, *future)
        dynaplex = self._peer("dynaplex", dynaplex_tool, self.paths, self.periods)
        yield DRAW, [drawn, *dynaplex, *self._peer("stockpyl", stockpyl_tool, self.periods)]
        options = dict(information="known", history=0, window=WINDOW, horizon=self.periods, seed=0, evaluation_seed=1)
        forecast = MovingAverage(WINDOW).fit(problem.create(SCENARIO, SYSTEM, COST, **options), root(0, "speed")).params
        for name, (apply, params) in POLICIES.items():
            policy = Policy({**forecast, **as_items(params)}, apply, WINDOW)
            yield f"policy {name}", [self._own(self.paths, replay.total, SYSTEM, policy, paths)]

    def _own(self, paths: int, entry: Callable, *arguments: Any) -> Tool:
        """invbench: an entry of the replay engine on so many paths, measuring the benefit."""
        measure = partial(entry, *arguments, costs.benefit, (COST,))
        return Tool(OWN, paths * self.periods, lambda: jax.block_until_ready(measure()), lambda money: -np.asarray(money)[..., 0])

    def _peer(self, name: str, make: Callable[..., Tool], *arguments: Any) -> list[Tool]:
        return [make(*arguments)] if self.peers and find_spec(name) else []


def stored(n: int, periods: int) -> Paths:
    """n stored paths of so many periods, on the devices, with the window before them."""
    demand = draw(SCENARIO, root(0, "speed", "stored"), n, WINDOW + periods, 0)
    return jax.block_until_ready(replay.spread(Paths(demand[WINDOW:], demand[:WINDOW])))


def as_items(params: dict[str, float]) -> dict[str, Array]:
    return {name: jnp.full((1,), value, jnp.float32) for name, value in params.items()}


def grid(candidates: int) -> Policy:
    """(s,S) with a square of reorder points 0, 1, … and lots 1, 2, …"""
    reorder_point, lot = np.divmod(np.arange(candidates, dtype=np.float32)[:, None], math.isqrt(candidates - 1) + 1)
    return Policy({"reorder_point": jnp.asarray(reorder_point), "lot": jnp.asarray(1 + lot)}, reorder_up_to)


def numba_tool(paths: Paths) -> Tool:
    """A loop written by hand on the same stored paths, with a thread for each device: the ceiling."""
    numba.set_num_threads(min(len(jax.devices()), numba.config.NUMBA_NUM_THREADS))
    demand = np.ascontiguousarray(np.asarray(paths.demand)[..., 0])
    arguments = (np.float32(LEVEL), LEAD_TIME, np.float32(HOLDING), np.float32(SHORTAGE), LANES)
    run = partial(numba.njit(parallel=True, fastmath=True)(blocked_loop), demand, *arguments)
    return Tool(f"numba {version('numba')}", demand.size, run, np.asarray, partial(np.allclose, rtol=1e-5))


def blocked_loop(demand, level, lead_time, holding, shortage, lanes):
    """Cost of each path [n] of demand [horizon, n], float32: blocks of lanes, side by side, each through all periods."""
    horizon, n = demand.shape
    cost = np.zeros(n, np.float32)
    for block in prange((n + lanes - 1) // lanes):
        first = block * lanes
        size = min(lanes, n - first)
        on_hand, position = np.zeros(size, np.float32), np.zeros(size, np.float32)
        pipeline, spent = np.zeros((lead_time, size), np.float32), np.zeros(size, np.float32)
        for period in range(horizon):
            due = pipeline[period % lead_time]
            today = demand[period, first : first + size]
            for lane in range(size):
                available = on_hand[lane] + due[lane]
                order = max(level - position[lane], np.float32(0))
                sold = min(available, today[lane])
                due[lane] = order
                on_hand[lane] = available - sold
                position[lane] += order - sold
                spent[lane] += holding * (available - sold) + shortage * (today[lane] - sold)
        cost[first : first + size] = spent
    return cost


def dynaplex_tool(n: int, periods: int, warm_up: int = 0) -> Tool:
    """Its own model, policy and demand. The model's bound on an order is lifted, as ours has none."""
    from dynaplex import PolicyComparer
    from dynaplex.modelling import DiscreteDist
    from dynaplex.models.lost_sales import BaseStockPolicy, LostSalesMDP

    demand = DiscreteDist.poisson(float(MEAN))
    model = LostSalesMDP(float(SHORTAGE), float(HOLDING), LEAD_TIME, demand, bound_order_size_to_max_system_inv=True)
    comparer = PolicyComparer(model, number_of_trajectories=n, workers=len(jax.devices()), warmup_time=warm_up, horizon=periods)
    run = partial(comparer.assess, BaseStockPolicy(model, LEVEL))
    return Tool(f"dynaplex {version('dynaplex')}", n * (warm_up + periods), run, lambda found: found.returns * periods, same_law)


def stockpyl_tool(periods: int, **demand: Any) -> Tool:
    """One path, as it is slow, with backlog, as it has no lost sales. It orders after demand: its lead time is longer by one."""
    from stockpyl.sim import simulation
    from stockpyl.supply_chain_network import single_stage_system

    physics = dict(shipment_lead_time=LEAD_TIME + 1, policy_type="BS", base_stock_level=LEVEL)
    demand = demand or dict(demand_type="P", mean=MEAN)
    network = single_stage_system(holding_cost=HOLDING, stockout_cost=SHORTAGE, **physics, **demand)
    run = partial(simulation, network, periods, rand_seed=0, progress_bar=False)
    return Tool(f"stockpyl {version('stockpyl')} (backlog)", periods, run, lambda cost: np.asarray([cost]))


def same_law(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Means within six standard errors of their difference: by chance they are further apart once in 5e8 runs."""
    error = np.sqrt(ours.var(ddof=1) / ours.size + theirs.var(ddof=1) / theirs.size)
    return bool(abs(ours.mean() - theirs.mean()) <= 6 * error)


def timed(workload: str, tools: list[Tool], repeats: int) -> list[Row]:
    """The workload's rows: the tools are run in turn (A B A B), and the median of each counts."""
    first, memory = _cold(tools[0].run)
    require_agreement(workload, tools)
    warm = np.median([[_seconds(tool.run) for tool in tools] for _ in range(repeats)], axis=0).tolist()
    rows = compared(workload, tools, warm)
    if workload == REPLAY:
        rows.append(Row(f"{REPLAY} compile", OWN, max(first - warm[0], 0), "s", 1))
    if workload == CANDIDATES:
        rows.append(Row(MEMORY, OWN, memory, "GiB", 1))
    return rows


def compared(workload: str, tools: list[Tool], seconds: list[float]) -> list[Row]:
    """Rows from the seconds that one run of each tool takes."""
    rates = [tool.simulated / spent / 1e6 for tool, spent in zip(tools, seconds, strict=True)]
    unit, values = ("s", seconds) if workload == CANDIDATES else ("M periods/s", rates)
    return [Row(workload, tool.name, values[i], unit, rates[0] / rates[i]) for i, tool in enumerate(tools)]


def found(tools: list[speed_exact.Measured]) -> list[Row]:
    """Rows of an exact workload: seconds of each tool, and the memory that ours took."""
    rows = [Row(one.workload, one.tool, one.seconds, "s", one.seconds / tools[0].seconds) for one in tools]
    return [*rows, Row(f"{tools[0].workload}, memory", tools[0].tool, tools[0].memory, "GiB", 1)]


def require_agreement(workload: str, tools: list[Tool]) -> None:
    """Raise RuntimeError unless every peer (run here for the first time) has the costs of invbench."""
    own, *others = tools
    for tool in others:
        ours, theirs = own.cost(own.run()), tool.cost(tool.run())
        if tool.agrees and not tool.agrees(ours, theirs):
            found = f"mean cost of a path {theirs.mean():.6g}, not {ours.mean():.6g}"
            raise RuntimeError(f"{tool.name} disagrees with {own.name} on {workload}: {found}")


def _seconds(run: Callable[[], Any]) -> float:
    time.sleep(PAUSE)
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _cold(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of a first run, with nothing compiled in memory or on disk, and the GiB that it added at its peak."""
    caching = jax.config.jax_enable_compilation_cache
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    jax.clear_caches()
    try:
        held, _ = _memory()
        return _seconds(run), _memory()[1] - held
    finally:
        jax.config.update("jax_enable_compilation_cache", caching)
        compilation_cache.reset_cache()


def _memory() -> tuple[float, float]:
    """GiB that the process holds now (elsewhere than on Linux: the most so far), and the most that it has held."""
    peak = speed_exact.peak_memory()
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if sys.platform == "linux" else None
    return peak if pages is None else pages * resource.getpagesize() / 2**30, peak


def write(rows: list[Row], path: Path) -> None:
    """speed.csv: six significant digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows([row.workload, row.tool, f"{row.value:.6g}", row.unit, f"{row.ratio:.6g}"] for row in rows)


def _show(rows: list[Row], missing: list[str]) -> None:
    table = Table(*Row._fields, title="Speed (ratio > 1: invbench is faster)")
    for row in rows:
        table.add_row(row.workload, row.tool, f"{row.value:.4g}", row.unit, f"{row.ratio:.3g}")
    named = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text() if sys.platform == "linux" else "")
    model = named[1] if named else platform.processor() or platform.machine()
    say = partial(Console().print, markup=False, highlight=False, soft_wrap=True)
    say(table)
    say(f"{len(jax.devices())} JAX devices ({jax.default_backend()}) on {os.cpu_count()} cores, {model}; jax {jax.__version__}")
    if missing:
        say(f"Not installed, so not compared: {', '.join(missing)}. To compare: pip install 'invbench[peers]'")
