"""How tactical plans grow: variables, seconds of a first plan by two solvers, and of planning again as time goes on."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from invbench import jobs
from invbench.checks import require, whole
from invbench.keys import stable_hash
from invbench.planners import tactical
from invbench.planners.tactical_allocation import Allocation, create
from invbench.planners.tactical_checker import check
from invbench.planners.tactical_plan import Plan
from invbench.studies import pages, printed
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed, track

LINKS = 5  # sites that serve a customer: the nearest
LONGEST = 2  # periods, of the lead times 0, 1, …
SEASON = 26  # periods from one peak to the next
ROUGH = 0.2  # share of the demand that a period's own may differ by
NOTE = "planned again a period later: each solve starts from the last one's optimum; the median"


@dataclass(frozen=True)
class TacticalGrowth(Printed):
    """Plans generated networks of several sizes, and plans each again in the next `rolls` periods."""

    sizes: list[list[int]]  # sites, products, periods of each; as many customers as sites
    rolls: int  # periods that each plan rolls on
    seed: int
    title: ClassVar[str] = "Tactical planning: allocation over periods by linear programming, growth"
    table: ClassVar[str] = "tactical_growth"

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """A row for each size. Raises ArithmeticError where two solvers disagree, or a plan breaks what it says."""
        right = bool(self.sizes) and all(isinstance(size, list | tuple) and len(size) == 3 for size in self.sizes)
        require(right, "study.sizes", "a list of [sites, products, periods]", self.sizes)
        sizes = [tuple(whole("study.sizes", number, low=1) for number in size) for size in self.sizes]
        rolls, seed = whole("study.rolls", self.rolls, low=1), whole("study.seed", self.seed)
        return [cell for size in track(sizes, self.table) for cell in _row(size, rolls, seed)]

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv, table.md and index.html."""
        started, cells = time.perf_counter(), self.cells(config)
        code = self.write(folder, cells)
        seconds, files = time.perf_counter() - started, ("published.csv", "table.md")
        outcome = pages.Outcome(self.table, self.title, tuple(cells), seconds, code, files=files, beside=True)
        jobs.write(folder / "index.html", pages.html(self.title, [outcome]))
        printed.show(self.title, cells)
        return code


def _row(size: tuple[int, int, int], rolls: int, seed: int) -> list[Cell]:
    """The figures of one size."""
    given = generate(*size, seed=seed)
    name = f"{size[0]} sites, {size[1]} products, {size[2]} periods"
    once, by_linprog = _timed(lambda: tactical.plan(given))
    rolling, building = _timed(lambda: tactical.Rolling(given))
    plan, by_highs = _timed(rolling.plan)
    _require_right(once, given, plan)
    steps, random, again = rolling.kept.steps, np.random.default_rng([seed, stable_hash("rolls")]), []
    for _ in range(rolls):
        figures = following(given, plan, random)
        given = given.changed(**figures)
        plan, spent = _timed(lambda: rolling.plan(**figures))  # noqa: B023 - called at once
        again.append((spent, rolling.kept.steps))
    _require_right(tactical.plan(given), given, plan)
    warm, fewer = np.median(again, axis=0)
    figures = {
        "variables": len(rolling.linear.cost), "constraints": len(rolling.linear.row_low), "linprog seconds": by_linprog,
        "HiGHS seconds": building + by_highs, "again seconds": warm, "steps": steps, "steps again": fewer,
        "worth of throughput": float(once.worth.throughput.max()),
    }  # fmt: skip
    notes = {
        "again seconds": NOTE,
        "steps": "of the simplex method",
        "worth of throughput": "money for the dearest unit of volume",
    }
    return [Cell(name, quantity, None, round(value, 4), note=notes.get(quantity, "")) for quantity, value in figures.items()]


def _timed(run: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return run(), time.perf_counter() - began


def _require_right(one: Plan, given: Allocation, other: Plan) -> None:
    """Raise ArithmeticError unless both plans of the same data are right and cost the same."""
    costs = one.solution.objective, other.solution.objective
    faults = check(one, given) + check(other, given)
    if faults or abs(costs[0] - costs[1]) > 1e-8 * abs(costs[0]):
        raise ArithmeticError(faults[0] if faults else f"two solvers disagree: {costs[0]:.12g} and {costs[1]:.12g}")


def following(given: Allocation, plan: Plan, random: np.random.Generator) -> dict[str, np.ndarray]:
    """What has changed a period later: a window further on with other forecasts, and the stock that random demand has left."""
    surprise = random.normal(0, 0.1, plan.stock[0].shape) * plan.flows[0].sum(1)
    way = np.concatenate([given.on_the_way[1:], 0 * given.on_the_way[:1]])
    sent = np.flatnonzero((given.lead > 0) & (given.lead <= len(way)))
    way[given.lead[sent] - 1, sent] += plan.supply[0, sent]
    demand = np.roll(given.demand, -1, 0) * random.uniform(0.95, 1.05, given.demand.shape)
    return {"demand": demand, "initial": np.maximum(plan.stock[0] + surprise, 0), "on_the_way": way}


def generate(sites: int, products: int, periods: int, seed: int) -> Allocation:
    """As many customers as sites, at the same places in a square of 100 km; seasonal demand, and capacities that bind in it.

    Each customer can be served from its five nearest sites, at 0.05 money per unit and km. Throughput is 1.15, storage 3 and
    supply 1.4 times a site's share of the mean demand, each site more or less.
    """
    random = np.random.default_rng([seed, stable_hash("tactical")])
    places = random.uniform(0, 100, (sites, 2))
    distance = np.linalg.norm(places[:, None] - places, axis=-1)
    near = distance.argsort(0).argsort(0) < LINKS
    transport = np.repeat(np.where(near, 0.05 * distance, np.inf)[..., None], products, 2)
    mean, volume = random.gamma(2, 10, (sites, products)), random.uniform(0.5, 2, products)
    phase = 2 * np.pi * (np.arange(periods)[:, None] / SEASON + random.uniform(0, 1, products))
    season = (1 + 0.5 * np.sin(phase))[:, None]
    demand = mean * season * random.uniform(1 - ROUGH, 1 + ROUGH, (periods, sites, products))
    load = (demand * volume).sum((1, 2)).mean() / sites
    return create(
        name=f"{sites}x{products}x{periods}", demand=demand, transport=transport, purchase=random.uniform(5, 20, products),
        holding=random.uniform(0.02, 0.1, products), unmet=100, volume=volume, lead=random.integers(0, LONGEST + 1, sites),
        initial=2 * mean, overfull=50, storage=3 * load * random.uniform(0.7, 1.3, sites),
        throughput=1.15 * load * random.uniform(0.8, 1.2, sites), supply=1.4 * load,
    )  # fmt: skip
