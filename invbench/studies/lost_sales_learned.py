"""Learned policies where the optimum is known: lost sales with Poisson demand, exact gaps to the optimum beside the rules."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from invbench import costs, published, replay
from invbench.checks import choice, number, require, whole
from invbench.exact import chain
from invbench.keys import root
from invbench.problem import Problem
from invbench.scenarios import poisson
from invbench.studies import learned, zipkin2008
from invbench.studies.learned import Learned, Trainings
from invbench.studies.printed import Cell, track
from invbench.types import Policy

OPTIMAL = "Optimal"
DCL = "deep_controlled_learning"  # the learner whose gaps are printed
PRINTED = {"mean": 5.0, "holding": 1.0}  # the setting of every printed figure
NEAR = 0.05  # percentage points by which our gap of a learner may differ from the printed one: training is random
CLOSE = 0.001  # share of the printed cost within which ours must lie where no optimum is known
SIMULATED = "simulated, a period in the long run: mean over training seeds, 95 % interval; at most 0.1 % above print agrees"
PATHS, PERIODS, WARM_UP, BATCHES = 1024, 2000, 200, 8  # of the simulation there


class Instance(NamedTuple):
    """One row of the table."""

    lead_time: int  # periods
    shortage: float  # money a unit lost
    problem: Problem

    @property
    def name(self) -> str:
        return f"L = {self.lead_time}, p = {self.shortage:g}"


@dataclass(frozen=True)
class LostSalesLearned(Learned):
    """The optimum, and how far above it each rule and each learner stays, in per cent of the optimum.

    For `lead_times` nothing is simulated: value iteration for the optimum (lower, upper: its bracket), and policies, the
    learned ones in whole units, as Markov chains. For `long_lead_times` no optimum is known: the cost a period of `long_learners`
    is simulated, beside the printed cost of deep controlled learning. A learner in `only` is trained on the instances named
    there alone, by their rows such as "L = 4, p = 9".
    """

    title: ClassVar[str] = "Lost sales, Poisson demand: gap to the optimum in per cent, rules and learned policies"
    table: ClassVar[str] = "lost_sales_learned"

    mean: float
    holding: float
    lead_times: list[int]
    shortages: list[float]
    rules: list[str]
    horizon: int
    long_lead_times: list[int]
    long_learners: list[str]
    only: dict[str, list[str]]

    def check(self) -> None:
        super().check()
        number("study.mean", self.mean, low=0, above=True)
        number("study.holding", self.holding, low=0, above=True)
        whole("study.horizon", self.horizon, low=1)
        for name in ("lead_times", "long_lead_times"):
            for lead_time in getattr(self, name):
                whole(f"study.{name}", lead_time, low=1)
        for shortage in self.shortages:
            number("study.shortages", shortage, low=0, above=True)
        for rule in self.rules:
            choice("study.rules", rule, tuple(name for name in zipkin2008.POLICIES if name != OPTIMAL))
        rows = tuple(self._instance(lead_time, p).name for lead_time in self.lead_times for p in self.shortages)
        for name, wanted in self.only.items():
            choice("study.only", name, tuple(self.learners))
            for row in wanted:
                choice(f"study.only.{name}", row, rows)
        for name in self.long_learners:
            choice("study.long_learners", name, tuple(self.learners))
        require(bool(self.lead_times and self.shortages), "study", "given lead times and shortages", self)

    def compared(self, config: dict[str, Any], trainings: Trainings) -> list[Cell]:
        """Row by row: exact gaps, then what is simulated."""
        known = {name: float(getattr(self, name)) for name in PRINTED} == PRINTED
        rows = {(int(row["L"]), float(row["p"])): row for row in published.read("dcl")} if known else {}
        short = [self._instance(lead_time, p) for lead_time in self.lead_times for p in self.shortages]
        cells = [cell for one in track(short, "optima and rules") for cell in self._rules(one, rows)]
        least = {cell.instance: cell.ours for cell in cells if cell.quantity == OPTIMAL}
        gaps = [cell for one in short for cell in self._gaps(config, trainings, one, least[one.name], rows)]
        cells += gaps + self._averages(short, trainings, cells)
        far = [self._instance(lead_time, p) for lead_time in self.long_lead_times for p in self.shortages]
        return cells + [cell for one in far for cell in self._costs(config, trainings, one, rows)]

    def _averages(self, short: list[Instance], trainings: Trainings, cells: list[Cell]) -> list[Cell]:
        """Of every rule and learner that has all rows: the mean gap, of learners over seeds; and the worst of all rows."""
        found = []
        for rule in self.rules:
            gaps = [cell.ours for cell in cells if cell.quantity == rule]
            found.append(Cell(learned.AVERAGE, rule, None, float(np.mean(gaps)), row=learned.AVERAGE, note=learned.EXACT))
        for name, method in self.learners.items():
            done = [training.values for training in trainings.done if training.learner == name]
            if len(done) == len(short):
                mean = learned.Training(name, learned.AVERAGE, np.mean(done, 0).tolist(), 0.0, [])
                found.append(learned.over_seeds(mean, learned.name_of(name, method), learned.AVERAGE))
                if len(mean.values) > 1:
                    cell = learned.worst(
                        mean._replace(values=[float(np.max(done))]), learned.name_of(name, method), learned.AVERAGE
                    )
                    found.append(replace(cell, note="in the row of averages: the worst of all rows and seeds"))
        return found

    def _instance(self, lead_time: int, shortage: float) -> Instance:
        posed = zipkin2008.posed(poisson.create(mean=self.mean, items=1), lead_time, self.holding, shortage)
        return Instance(lead_time, shortage, replace(posed, horizon=self.horizon))

    def _rules(self, one: Instance, rows: dict) -> Iterator[Cell]:
        """The optimum and the rules, exact; and the gap in print."""
        found = zipkin2008.POLICIES[OPTIMAL](one.problem)
        yield Cell(one.name, OPTIMAL, None, found.value, lower=found.lower, upper=found.upper)
        for rule in self.rules:
            gap = learned.per_cent(zipkin2008.POLICIES[rule](one.problem).value, found.value)
            yield Cell(one.name, rule, None, gap, note=learned.EXACT)
        if DCL not in self.learners and (row := rows.get((one.lead_time, one.shortage), {})).get("DCL_opt_gap_pct"):
            yield Cell(one.name, "DCL in print", None, float(row["DCL_opt_gap_pct"]), source=row["source"])

    def _gaps(self, config: dict, trainings: Trainings, one: Instance, least: float, rows: dict) -> Iterator[Cell]:
        """Exact gaps of every learner: the mean over seeds, and the worst."""
        for name, method in self.learners.items():
            if one.name not in self.only.get(name, [one.name]):
                continue
            gap = lambda policy: _gap(one.problem, policy, least)  # noqa: E731
            training = self.trained(config, trainings, name, one.name, one.problem, gap)
            row, column = rows.get((one.lead_time, one.shortage), {}), learned.name_of(name, method)
            printed = float(row["DCL_opt_gap_pct"]) if name == DCL and row.get("DCL_opt_gap_pct") else None
            given = {} if printed is None else {"tolerance": NEAR, "source": row["source"]}
            yield learned.over_seeds(training, column, one.name, printed, **given)
            if len(training.values) > 1:
                yield learned.worst(training, column, one.name)

    def _costs(self, config: dict, trainings: Trainings, one: Instance, rows: dict) -> Iterator[Cell]:
        """Simulated costs beside the printed one of deep controlled learning."""
        row = rows.get((one.lead_time, one.shortage), {})
        printed = float(row["DCL_cost"]) if row.get("DCL_cost") else None
        for name in self.long_learners:
            cost = lambda policy: _simulated(one.problem, policy, config["seed"])  # noqa: E731
            training = self.trained(config, trainings, name, one.name, one.problem, cost)
            below = max((printed or 0) - float(np.mean(training.values)), 0)  # cheaper than print is no disagreement
            yield learned.over_seeds(
                training, f"{learned.name_of(name, self.learners[name])}, cost", one.name, printed,
                tolerance=below + CLOSE * (printed or 1), note=SIMULATED, source=row.get("source", ""),
            )  # fmt: skip


def _gap(problem: Problem, policy: Policy, least: float) -> float:
    """Exact gap in per cent; infinite where the policy lets stock grow without bound."""
    try:
        lower, upper, _ = chain.average(problem, policy, tolerance=1e-8)
    except chain.TooMany:
        return float("inf")
    return learned.per_cent((lower + upper) / 2, least)


def _simulated(problem: Problem, policy: Policy, seed: int) -> float:
    """Cost a period in the long run: after a warm-up, on the same paths for every policy; neither trained nor validated on."""
    long = replace(problem, horizon=WARM_UP + PERIODS)
    found = [_batch(long, policy, root(seed, "long run", f"batch {batch}")) for batch in range(BATCHES)]
    return float(np.concatenate(found).mean())


def _batch(problem: Problem, policy: Policy, key: jax.Array) -> np.ndarray:
    """[path] mean cost a period after the warm-up."""
    paths = problem.training_paths(key, PATHS)
    benefit = replay.flows(problem.system, policy, paths, costs.benefit, (problem.cost,))
    return -np.asarray(benefit, np.float64)[:, WARM_UP:, 0].mean(1)
