"""After the level of demand has shifted: days until a method costs again what one does that was tuned for the new level."""

import csv
import io
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench import jobs, replay, run
from invbench import problem as problems
from invbench.checks import number, require, whole
from invbench.costs import CostModel
from invbench.evaluation import statistics
from invbench.keys import root
from invbench.methods.online import Online
from invbench.problem import Problem
from invbench.progress import say
from invbench.report import scatter
from invbench.scenarios import shifted
from invbench.scenarios.shifted import Shifted
from invbench.studies import pages, printed
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed
from invbench.tracker import Log, Tracker
from invbench.types import Array, Flows, Paths

RESAMPLES = 500
SMOOTH = 7  # days of the moving average that is drawn
RETUNED = "re-tuned"
NEVER = "not within the days that are judged: the last day that could be told"
SHOWN = 90  # last days whose cost is told as what remains


class Course(NamedTuple):
    """What a method cost, day by day."""

    method: str
    daily: np.ndarray  # [path, day] money
    benefit: np.ndarray  # [path, day] money


@dataclass(frozen=True)
class AfterShift(Printed):
    """Fits every method to the level before, judges it on paths where it shifts; every field is explained in the YAML."""

    title: ClassVar[str] = "After a shift of the level: days until a method costs what one does that was tuned for the new level"
    table: ClassVar[str] = "online"

    methods: dict[str, Any]
    retuned: Any
    around: str
    shift: float
    at: int
    horizon: int
    paths: int
    days: int
    within: float

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv, daily.csv, table.md and index.html; exit code 0."""
        started, courses = time.perf_counter(), self.courses(folder.parent / "training" / folder.name, config)
        cells = [cell for course in courses[1:] for cell in self._cells(course, courses[0])]
        code = self.write(folder, cells)
        jobs.write(folder / "daily.csv", _daily(courses))
        files, seconds = ("published.csv", "daily.csv", "table.md"), time.perf_counter() - started
        figures = (self._figure(courses),)
        outcome = pages.Outcome(self.table, self.title, tuple(cells), seconds, code, files=files, figures=figures, beside=True)
        jobs.write(folder / "index.html", pages.html(self.title, [outcome]))
        printed.show(self.title, cells)
        return code

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Days, and what the shift costs, of every method."""
        courses = self.courses(None, config)
        return [cell for course in courses[1:] for cell in self._cells(course, courses[0])]

    def courses(self, place: Path | None, config: dict[str, Any]) -> list[Course]:
        """The rule that is tuned for the new level, which has been there all along; then every method, on the same paths."""
        self._check()
        base = run.build(config["scenario"])
        require(not isinstance(base, Shifted), "scenario", "the demand before the shift", "level_shift")
        posed, after = self._posed(config, base, self.shift), self._posed(config, base, 0.0)
        paths, found = posed.evaluation_paths(self.paths), []
        new = shifted.create(base=base, shift=self.shift, at=0, items=base.items)
        retuned = self.retuned.fit(replace(after, scenario=new).for_fitting(), self._key(config, RETUNED), Log(Tracker(), None))
        found.append(self._course(RETUNED, after, retuned, self._always(paths), config))
        fitted = {}
        for name, method in self.methods.items():
            fitted[name] = self._fitted(name, method, posed, fitted, place, config)
            found.append(self._course(name, posed, fitted[name], paths, config))
            say(f"{name}: {found[-1].daily[:, self.at :].mean():.5g} a day after the shift")
        return found

    def _check(self) -> None:
        for name in ("horizon", "paths", "days"):
            whole(f"study.{name}", getattr(self, name), low=2)
        number("study.shift", self.shift, low=-0.9)
        number("study.within", self.within, low=0, above=True)
        room = f"<= {self.horizon - self.days}, study.horizon less study.days"
        require(whole("study.at", self.at, low=1) <= self.horizon - self.days, "study.at", room, self.at)

    def _posed(self, config: dict[str, Any], base: Any, shift: float) -> Problem:
        """The problem: fits see the demand before, judging has the shift."""
        parts = base, run.build(config["system"]), run.build(config["cost"]).operations
        given = dict(horizon=self.horizon, seed=config["seed"], evaluation_seed=config["evaluation"]["seed"])
        begins = 0 if config["problem"]["information"] != "history" else config["problem"]["history"]
        truth = shifted.create(base=base, shift=shift, at=begins + self.at, items=base.items)
        return problems.create(*parts, **config["problem"], **given, judged_on=truth)

    def _always(self, paths: Paths) -> Paths:
        """The same futures with the new level from their first day on."""
        days = jnp.arange(paths.demand.shape[0])[:, None, None]
        raised = paths.demand * jnp.where(days < self.at, 1 + self.shift, 1)
        return replay.spread(paths._replace(demand=raised, before=paths.before * (1 + self.shift)))

    def _key(self, config: dict[str, Any], name: str) -> Array:
        return root(config["seed"], "method", name)

    def _fitted(self, name: str, method: Any, posed: Problem, fitted: dict, place: Path | None, config: dict[str, Any]) -> Any:
        """A method's policy; an online one goes around the very policy of the learner that it is compared with."""
        key = self._key(config, name)
        if isinstance(method, Online) and self.around in fitted:
            return method.around(posed.for_fitting(), fitted[self.around], key)
        log = Log(Tracker(), None if place is None else place / name)
        policy = method.fit(posed.for_fitting(), key, log)
        log.forget()
        return policy

    def _course(self, name: str, posed: Problem, policy: Any, paths: Paths, config: dict[str, Any]) -> Course:
        key = self._key(config, name)
        daily, benefit = replay.flows(posed.system, policy, paths, of_day, (posed.cost,), key)
        return Course(name, np.asarray(daily, np.float64).sum(-1), np.asarray(benefit, np.float64).sum(-1))

    def _cells(self, course: Course, level: Course) -> Iterator[Cell]:
        for what, cost, least in (
            ("cost of stock", course.daily, level.daily),
            ("net benefit", -course.benefit, -level.benefit),
        ):
            days, ends = self.until(cost, least), np.percentile(self._again(cost, least), [2.5, 97.5])
            late = days > self.horizon - self.days - self.at
            note = (
                NEVER if late else f"until {self.days} days in a row cost at most {100 * self.within:g} % more; resampled paths"
            )
            yield Cell(course.method, f"days until back ({what})", None, float(days), lower=ends[0], upper=ends[1], note=note)
        for title, cut in (
            ("first 28 days", slice(self.at, self.at + 28)),
            (f"last {SHOWN} days", slice(self.horizon - SHOWN, None)),
            ("before", slice(0, self.at)),
        ):
            found = statistics.mean((course.daily - level.daily)[:, cut].mean(1)).scaled(100 / level.daily[:, cut].mean())
            if title == "before":
                found = statistics.mean(course.daily[:, cut].mean(1))
                yield Cell(course.method, "cost of stock a day before", None, found.mean, lower=found.lower, upper=found.upper)
            else:
                quantity = f"cost of stock above re-tuned, {title}, %"
                yield Cell(course.method, quantity, None, found.mean, lower=found.lower, upper=found.upper)

    def until(self, cost: np.ndarray, least: np.ndarray) -> int:
        """Days after the shift from which on `days` of them cost on average at most `within` more than `least` [path, day].

        Where there are none: one more than could be told.
        """
        return int(self._first(cost.mean(0)[None], least.mean(0)[None])[0])

    def _first(self, cost: np.ndarray, least: np.ndarray) -> np.ndarray:
        """[sample] the same of mean costs [sample, day]."""
        sums = [np.cumsum(np.pad(part[:, self.at :], ((0, 0), (1, 0))), axis=1) for part in (cost, least)]
        cost, least = (total[:, self.days :] - total[:, : -self.days] for total in sums)
        back = cost - least <= self.within * np.abs(least)
        return np.where(back.any(1), back.argmax(1), back.shape[1])

    def _again(self, cost: np.ndarray, least: np.ndarray) -> np.ndarray:
        """[sample] the same of paths drawn again with replacement."""
        n = len(cost)
        counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), RESAMPLES) / n
        return self._first(counts @ cost, counts @ least)

    def _figure(self, courses: list[Course]) -> tuple[str, str]:
        """(caption, SVG): cost a day around the shift, a moving average."""
        kernel, lines = np.full(SMOOTH, 1 / SMOOTH), {}
        for course in courses:
            mean = np.convolve(course.daily.mean(0), kernel, "valid")
            days = np.arange(len(mean)) + SMOOTH - 1 - self.at
            shown = (days >= -21) & (days <= 150)
            lines[course.method] = list(zip(days[shown].tolist(), mean[shown].tolist()))
        caption = f"cost of stock a day, mean of {SMOOTH} days and {self.paths:,} paths; the level shifts by {self.shift:+.0%}"
        return caption, scatter.alone("after a shift", lines, "days after the shift", "money a day", joined=True)


def of_day(flows: Flows, last: Array, cost: CostModel) -> tuple[Array, Array]:
    """Cost of stock in one period, holding + shortage + ordering + the margin of what is lost, and net benefit; each [item]."""
    money = cost.charge(flows)
    lost = jnp.maximum(cost.price - cost.purchase, 0) * flows.lost
    return money.holding + money.shortage + money.ordering + lost, money.benefit


def _daily(courses: list[Course]) -> str:
    """Mean cost of stock and net benefit of each day and method, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["day", *(f"{one.method} {what}" for one in courses for what in ("cost", "benefit"))])
    columns = [part.mean(0) for one in courses for part in (one.daily, one.benefit)]
    writer.writerows([day, *(f"{value:.9g}" for value in row)] for day, row in enumerate(np.stack(columns, 1)))
    return text.getvalue()
