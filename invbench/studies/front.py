"""One network for every weight of missed units, beside networks that are trained for one alone, and a rule tuned for each."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from invbench import jobs, run
from invbench.checks import number, require, whole
from invbench.evaluation.statistics import mean
from invbench.formulas import underage
from invbench.keys import root
from invbench.learning import baseline, preferences
from invbench.problem import Problem
from invbench.progress import say
from invbench.report import figures
from invbench.studies import ablation, pages, printed
from invbench.studies.ablation import estimated
from invbench.studies.cells import Cell
from invbench.studies.learned import fitted
from invbench.studies.printed import Printed
from invbench.tracker import Log, Tracker
from invbench.tuning import Budget
from invbench.types import Paths, Policy

ONE, EACH, RULE = "one network", "a network for each weight", "a rule tuned for each weight"
OVER = "over training seeds and evaluation paths, two levels"
LESS = "net benefit with missed units weighted, one network less the other, in per cent of the latter: 95 % interval " + OVER
HEIGHT = 330  # pixels of a figure


class Point(NamedTuple):
    """What was judged at one weight."""

    benefit: np.ndarray  # [seed, path] net benefit of operations, money
    missed: np.ndarray  # [seed, path] units
    demand: np.ndarray  # [seed, path] units

    def weighted(self, price: float) -> np.ndarray:
        """[seed, path] the benefit if a missed unit cost so much more."""
        return self.benefit - price * self.missed

    @property
    def fill(self) -> float:
        """Share of all demand that was met from stock."""
        return 1 - float(self.missed.sum() / max(self.demand.sum(), 1e-12))


@dataclass(frozen=True)
class Front(Printed):
    """Every learner of `learners` as one network of all `weights`, and trained for each; every field is explained in its YAML."""

    title: ClassVar[str] = "One network, told the weight of missed units: the whole front of net benefit and service"
    table: ClassVar[str] = "front"

    seeds: int
    weights: list[float]
    tuning: Budget
    learners: dict[str, Any]
    method: Any  # `multi_objective`, around each learner in turn

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        return self._cells(*self._points(config))

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv, table.md and index.html into the folder, and print the table."""
        started = time.perf_counter()
        points, unit = self._points(config)
        cells = self._cells(points, unit)
        code = self.write(folder, cells)
        drawings = tuple((f"{name}: {CAPTION}", drawn(name, points[name], points[RULE], self.weights)) for name in self.learners)
        page = pages.Outcome(
            self.table, self.title, tuple(cells), time.perf_counter() - started, code, files=("published.csv", "table.md"),
            figures=drawings, beside=True,
        )  # fmt: skip
        jobs.write(folder / "index.html", pages.html(self.title, [page]))
        printed.show(self.title, cells)
        return code

    def _points(self, config: dict[str, Any]) -> tuple[dict[str, Any], float]:
        """{learner: {ONE or EACH: [weight] points}, RULE: [weight] points}, and what a missed unit costs, money."""
        whole("study.seeds", self.seeds, low=2)
        require(len(self.weights) > 1, "study.weights", "a list of two numbers or more", self.weights)
        for place, weight in enumerate(self.weights):
            number(f"study.weights[{place}]", weight, low=0, above=True)
        setting = run.setting(config)
        problem, paths, key = setting.problem, setting.evaluation, root(config["seed"], "method")
        fit = problem.for_fitting()
        unit = np.asarray(underage(problem.cost, problem.system.backlog))
        require(unit.size == 1, "cost", "one rate for all items", unit.tolist())
        alone = [preferences.posed(fit, weight, weight) for weight in self.weights]  # what a missed unit costs is fixed there
        found: dict[str, Any] = {RULE: [judged(problem, paths, [baseline.tuned(one, self.tuning, key)]) for one in alone]}
        for name, learner in self.learners.items():
            keys = jax.random.split(root(config["seed"], "method", name), self.seeds)
            wide = replace(self.method, learner=learner, weights=[min(self.weights), max(self.weights)], weight=self.weights[0])
            fronts = wide.fronts(fit, keys, _quiet())
            ours = [judged(problem, paths, [front(weight) for front in fronts]) for weight in self.weights]
            each = [judged(problem, paths, fitted(learner, one, keys, _quiet())) for one in alone]
            found[name] = {ONE: ours, EACH: each}
            say(f"{name}: {len(self.weights)} weights")
            jax.clear_caches()
        return found, float(unit.reshape(()))

    def _cells(self, points: dict[str, Any], unit: float) -> list[Cell]:
        return [cell for place in range(len(self.weights)) for cell in self._of_weight(place, points, unit)]

    def _of_weight(self, place: int, points: dict[str, Any], unit: float) -> Iterator[Cell]:
        weight, rule = self.weights[place], points[RULE][place]
        row, price = f"weight {weight:g}", (self.weights[place] - 1) * unit
        for name in self.learners:
            ours, each = (points[name][kind][place] for kind in (ONE, EACH))
            yield estimated(row, f"{name}, {ONE}: net benefit", mean(ours.benefit), f"mean and 95 % interval {OVER}")
            yield Cell(row, f"{name}: fill rate, %", None, 100 * ours.fill, row=row, note="share of all demand met from stock")
            for other, beside in ((EACH, each), (RULE, rule)):
                base = beside.weighted(price)
                less = mean(ours.weighted(price) - base).scaled(100 / abs(base.mean()))
                yield estimated(row, f"{name}: beside {other}, %", less, LESS)
        yield estimated(row, f"{RULE}: net benefit", mean(rule.benefit), f"mean and 95 % interval {OVER}")
        yield Cell(row, "rule: fill rate, %", None, 100 * rule.fill, row=row, note="share of all demand met from stock")


CAPTION = "net benefit of operations and fill rate at each weight"


def judged(problem: Problem, paths: Paths, policies: list[Policy]) -> Point:
    """What policies [seed] come to on the paths, at the problem's own prices."""
    return Point(*ablation.totals(problem, paths, policies))


def _quiet() -> Callable[[dict, int], None]:
    return Log(Tracker(), None)


# ---- the picture


def drawn(name: str, points: dict[str, list[Point]], rule: list[Point], weights: list[float]) -> str:
    """Net benefit against fill rate, a line a method, the weights beside the network's. SVG."""
    import matplotlib  # here, because it is slow to import
    from matplotlib.figure import Figure

    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": name}):
        figure = Figure((figures.WIDTH / 72, HEIGHT / 72), dpi=72)
        axes = figures._axes(figure, left=62, right=28, top=70)
        lines = {ONE: points[ONE], EACH: points[EACH], RULE: rule}
        for (title, line), colour, mark in zip(lines.items(), figures.PALETTE, ("o-", "x--", "s:")):
            fill, benefit = ([100 * one.fill for one in line], [one.benefit.mean() for one in line])
            axes.plot(fill, benefit, mark, color=colour, label=title, linewidth=1.6, markersize=5)
        best = max(range(len(weights)), key=lambda place: points[ONE][place].benefit.mean())
        for place, (weight, one) in enumerate(zip(weights, points[ONE])):
            aside = {"offset": (-6, 7), "ha": "right"} if place < best else {"offset": (7, 5), "ha": "left"}
            figures._note(axes, f"{weight:g}", (100 * one.fill, one.benefit.mean()), **aside)
        axes.set(xlabel="fill rate, %", ylabel="net benefit, money")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0.2, handlelength=2)
        svg = figures._svg(figure)
    return svg[svg.index("<svg") :]
