"""What studies of learned policies share: trainings that are kept as they finish, intervals over seeds, a page with curves."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from invbench import jobs, run
from invbench.checks import require, whole
from invbench.evaluation.statistics import mean
from invbench.keys import root
from invbench.problem import Problem
from invbench.progress import say
from invbench.report import curves, figures
from invbench.studies import pages, printed
from invbench.studies.printed import Cell, Printed
from invbench.tracker import Log, Tracker
from invbench.types import Array, Policy

AVERAGE = "average of the settings"
CAPTION = "benefit on validation paths while training. Learners validate on different numbers of paths: heights do not compare."
EXACT = "best parameters of each row, found exactly"  # of rules
OVER_SEEDS = "mean over training seeds with its 95 % interval; the value of each trained policy is exact"


class Training(NamedTuple):
    """One learner on one instance."""

    learner: str
    instance: str
    values: list[float]  # of each training seed
    seconds: float  # of all seeds, compilation included
    curve: list[dict[str, float]]


class Trainings:
    """The trainings of a study. Where `place` is a folder, finished ones are kept there, and the same command goes on."""

    def __init__(self, place: Path | None):
        self.place, self.done = place, []

    def of(self, learner: str, instance: str, settings: Any, fit: Callable[[Log], list[float]]) -> Training:
        """The training of a learner on an instance: `fit` returns the value of each seed, and logs its curve."""
        own = self.place and self.place / jobs.slug(f"{learner} {instance} {jobs.digest(settings)}")
        found = jobs.read_json(own.with_suffix(".json")) if own else None
        if found is None:
            log, started = Log(Tracker(), own), time.perf_counter()
            values = fit(log)
            found = {"values": values, "seconds": time.perf_counter() - started, "curve": log.curve}
            if own:
                jobs.write_json(own.with_suffix(".json"), found)
            log.forget()
            say(f"{learner}, {instance}: {np.mean(values):.4g}, worst {max(values):.4g}, {found['seconds']:.0f} s")
        self.done.append(Training(learner, instance, **found))
        return self.done[-1]


@dataclass(frozen=True)
class Learned(Printed):
    """A study that trains every learner `seeds[learner]` times on every instance; see `Printed`."""

    seeds: dict[str, int]
    learners: dict[str, Any]

    def compared(self, config: dict[str, Any], trainings: Trainings) -> list[Cell]:
        """Every cell; all training goes through `trainings`."""
        raise NotImplementedError

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        self.check()
        return self.stated(self.compared(config, Trainings(None)))

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """The table as of `Printed.run`; also index.html with the learning curves, and timing.csv."""
        self.check()
        trainings = Trainings(folder.parent / "training" / folder.name)
        started = time.perf_counter()
        cells = self.stated(self.compared(config, trainings))
        code = self.write(folder, cells)
        seconds = time.perf_counter() - started
        jobs.write(folder / "timing.csv", _timing(trainings.done))
        outcome = pages.Outcome(
            self.table, self.title, tuple(cells), seconds, code, files=("published.csv", "table.md", "timing.csv"),
            figures=tuple(_figures(trainings.done)), beside=True,
        )  # fmt: skip
        jobs.write(folder / "index.html", pages.html(self.title, [outcome]))
        printed.show(self.title, cells)
        Log(Tracker(), trainings.place).forget()
        return code

    def stated(self, cells: list[Cell]) -> list[Cell]:
        """The same with a note of what a training of each learner simulates."""
        known = {name: method for name, method in self.learners.items() if hasattr(method, "simulates")}
        told = {
            name_of(
                name, method
            ): f"{name}: one setting for all rows, {method.simulates / 1e6:.3g} M periods simulated in a training"
            for name, method in known.items()
        }
        add = lambda cell: replace(cell, note="; ".join(filter(None, [cell.note, told[cell.quantity]])))  # noqa: E731
        return [add(cell) if cell.quantity in told else cell for cell in cells]

    def check(self) -> None:
        """Raises ValueError where seeds and learners do not fit each other."""
        unknown = sorted(self.seeds.keys() ^ self.learners.keys())
        require(not unknown, "study.seeds", "given for the learners in study.learners, and for no other", ", ".join(unknown))
        for name, count in self.seeds.items():
            whole(f"study.seeds.{name}", count, low=1)

    def keys(self, config: dict[str, Any], learner: str, instance: str) -> Array:
        """[seed] keys: a training has the same one whatever else is trained."""
        own = root(config["seed"], "method", learner, instance)
        return jax.random.split(own, self.seeds[learner])

    def trained(
        self, config: dict[str, Any], trainings: Trainings, learner: str, instance: str, problem: Problem,
        value: Callable[[Policy], float],
    ) -> Training:  # fmt: skip
        """A learner on a problem, and the `value` of each policy that it came to."""
        method, keys = self.learners[learner], self.keys(config, learner, instance)
        settings = [config.get("study", {}).get("learners", {}).get(learner), len(keys), config["seed"]]
        fit = lambda log: [float(value(policy)) for policy in fitted(method, problem, keys, log)]  # noqa: E731
        return trainings.of(learner, instance, settings, fit)

    def columns(
        self, config: dict[str, Any], trainings: Trainings, settings: Sequence[Any], gap: Callable[[Any, Policy], float]
    ) -> Iterator[Cell]:
        """Cells of every learner in every setting (with `name`, `row`, `problem`), and of their average."""
        for name, method in self.learners.items():
            column, done = name_of(name, method), []
            for one in settings:
                done.append(self.trained(config, trainings, name, one.name, one.problem, partial(gap, one)))
                yield from _pair(done[-1], column, one.row)
            means = np.mean([training.values for training in done], 0).tolist()
            yield from _pair(Training(name, AVERAGE, means, 0.0, []), column, AVERAGE)


def _pair(training: Training, column: str, row: str) -> list[Cell]:
    """The mean over seeds, and the worst seed where there are several."""
    return [over_seeds(training, column, row)] + [worst(training, column, row)] * (len(training.values) > 1)


def fitted(method: Any, problem: Problem, keys: Array, log: Log) -> list[Policy]:
    """A policy for each key: side by side where the method can."""
    if hasattr(method, "fit_seeds"):
        return method.fit_seeds(problem, keys, log)
    quiet = Log(Tracker(), log.place)  # the curve is that of the first seed
    return [method.fit(problem, key, quiet if number else log) for number, key in enumerate(keys)]


def name_of(learner: str, method: Any) -> str:
    """A learner's column: in fast mode it says so."""
    remark = run.remark(method)
    return f"{learner} ({remark})" if remark else learner


def over_seeds(training: Training, column: str, row: str, published: float | None = None, **given: Any) -> Cell:
    """The cell of a training: the mean over seeds with its interval."""
    found = mean(np.asarray(training.values)[:, None])
    return Cell(
        training.instance,
        column,
        published,
        found.mean,
        lower=found.lower,
        upper=found.upper,
        row=row,
        **{"note": OVER_SEEDS} | given,
    )


def worst(training: Training, column: str, row: str) -> Cell:
    """The worst seed of a training."""
    return Cell(training.instance, f"{column}, worst seed", None, max(training.values), row=row)


def rule_cells(name: str, settings: Sequence[Any], gaps: Sequence[float]) -> list[Cell]:
    """Gaps [setting] of a rule as cells, and their average."""
    cells = [Cell(one.name, name, None, gap, row=one.row, note=EXACT) for one, gap in zip(settings, gaps)]
    return [*cells, Cell(AVERAGE, name, None, float(np.mean(gaps)), row=AVERAGE, note=EXACT)]


def per_cent(cost: float, least: float) -> float:
    """How far `cost` is above `least`, in per cent of it."""
    return 100 * (cost / least - 1)


def _figures(done: list[Training]) -> list[tuple[str, str]]:
    """(caption, SVG) of the curves of each instance."""
    palette = figures.colours([training.learner for training in done])
    found = []
    for instance in dict.fromkeys(training.instance for training in done):
        rows = {training.learner: training.curve for training in done if training.instance == instance}
        svg = curves.alone(instance, rows, palette)
        if svg:
            found.append((f"{instance}: {CAPTION}", svg[svg.index("<svg") :]))
    return found


def _timing(done: list[Training]) -> str:
    lines = ["learner,instance,seeds,seconds"]
    lines += [f'{one.learner},"{one.instance}",{len(one.values)},{one.seconds:.2f}' for one in done]
    return "\n".join(lines) + "\n"
