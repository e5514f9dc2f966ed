"""What each switch of a learner is worth: one change at a time against the plain learner, the same paths, keys and budget."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import jax
import numpy as np

from invbench import costs, jobs, replay, run
from invbench.checks import require, whole
from invbench.costs import CostModel
from invbench.evaluation.risk import FEWEST_PATHS
from invbench.evaluation.statistics import Estimate, holm, mean, p_value
from invbench.keys import root
from invbench.learning import baseline
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.progress import say
from invbench.report import figures
from invbench.studies import pages, printed
from invbench.studies.goals import cvar_gain, wilson
from invbench.studies.learned import fitted, name_of
from invbench.studies.printed import Cell, Printed
from invbench.tracker import Log, Tracker
from invbench.tuning import Budget
from invbench.types import Array, Flows, Paths, Policy

PLAIN, RULE, LONGER = "plain", "tuned rule", "longer training"
LENGTHS = ("rollouts", "updates")  # the field that says how long a learner is trained: the first that it has
TWO_LEVELS = "95 % interval over training seeds and evaluation paths, two levels"
EFFECT = f"net benefit of operations less that of the plain learner, same seeds and same paths: {TWO_LEVELS}"
CHANCE = "that there is no effect, two-sided, corrected for all changes of the learner (Holm)"
CVAR = "mean of the worst 5 % of paths, less that of the plain learner: 95 % interval, bootstrap over training seeds and paths"
SERVICE = "share of paths on which at least 95 % of demand is met from stock: 95 % interval (Wilson) over paths"
TAIL = 0.05  # of paths: those that CVaR looks at
FILL = 0.95  # of demand: the fill rate that is asked of a path
HELD = "% of paths at 95 % fill rate"
CAPTION = "effect on net benefit of operations, money; hollow where it may be chance (p > 0.05)"


class Outcome(NamedTuple):
    """What one learner with one change came to."""

    benefit: np.ndarray  # [seed, path] net benefit of operations, money
    fill: np.ndarray  # [seed, path] share of demand that stock met
    seconds: float  # of all seeds, compilation included
    policies: tuple[Policy, ...] = ()  # of each seed


@dataclass(frozen=True)
class Learned:
    """A method that has learned already."""

    policy: Policy
    family: ClassVar[str] = "learned"

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        return self.policy


@dataclass(frozen=True)
class Ablation(Printed):
    """Every change of `changes`, every method of `around` and of `upon`, one at a time, for every learner.

    A change replaces fields, and is left out for a learner that has not all of them, or has them so. What is in `around` trains
    the learner anew; what is in `upon` takes what the plain one has learned.
    """

    title: ClassVar[str] = "What each switch of a learner is worth: effect on net benefit of operations, one change at a time"
    table: ClassVar[str] = "ablation"

    seeds: int
    longer: float
    tuning: Budget
    learners: dict[str, Any]
    left_out: list[str]  # of the learners: looked at where there are no others
    changes: dict[str, dict[str, Any]]
    around: dict[str, Any]
    upon: dict[str, Any]

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        return self._cells(self._outcomes(config))

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write published.csv, table.md, timing.csv and index.html into the folder, and print the table."""
        started = time.perf_counter()
        outcomes = self._outcomes(config)
        cells = self._cells(outcomes)
        code = self.write(folder, cells)
        jobs.write(folder / "timing.csv", _timing(outcomes))
        name = config["names"]["experiment"] or self.table  # another config of the study has a name of its own
        page = pages.Outcome(
            name, self.title, tuple(cells), time.perf_counter() - started, code,
            files=("published.csv", "table.md", "timing.csv"), figures=tuple(self._figures(cells)), beside=True,
        )  # fmt: skip
        jobs.write(folder / "index.html", pages.html(self.title, [page]))
        printed.show(self.title, cells)
        return code

    def chosen(self) -> dict[str, Any]:
        """The learners that are looked at."""
        return {name: learner for name, learner in self.learners.items() if name not in self.left_out} or self.learners

    def variants(self, learner: Any) -> dict[str, Any]:
        """The plain learner, and the learner with each change."""
        length = next(name for name in LENGTHS if hasattr(learner, name))
        longer = {length: round(self.longer * getattr(learner, length))}
        changed = {name: given for name, given in self.changes.items() if _has(learner, given)} | {LONGER: longer}
        changed = {name: replace(learner, **given) for name, given in changed.items()}
        found = {PLAIN: learner} | {name: one for name, one in changed.items() if one != learner}
        return found | {name: _around(method, learner) for name, method in self.around.items()}

    def _outcomes(self, config: dict[str, Any]) -> dict[str, dict[str, Outcome]]:
        """Of every learner and change; of the rule, which needs no seeds, once."""
        whole("study.seeds", self.seeds, low=2)
        names = {field.name for learner in self.learners.values() for field in fields(learner)}
        unknown = sorted({field for given in self.changes.values() for field in given} - names)
        require(not unknown, "study.changes", "of fields that a learner has", ", ".join(unknown))
        setting = run.setting(config)
        problem, paths = setting.problem, setting.evaluation
        found = {RULE: {PLAIN: _judged(problem, paths, lambda: [self._rule(problem, config)])}}
        for name, learner in self.chosen().items():
            keys = jax.random.split(root(config["seed"], "method", name), self.seeds)
            done = {what: _trained(problem, paths, name, what, one, keys) for what, one in self.variants(learner).items()}
            for what, method in self.upon.items():
                done[what] = _put_upon(
                    problem, paths, name, what, [_around(method, Learned(one)) for one in done[PLAIN].policies], keys
                )
            found[name_of(name, learner)] = done
            jax.clear_caches()  # programs of fifty trainings need more memory maps than a process may have
        return found

    def _rule(self, problem: Problem, config: dict[str, Any]) -> Policy:
        return baseline.tuned(problem.for_fitting(), self.tuning, root(config["seed"], "method", RULE))

    def _cells(self, outcomes: dict[str, dict[str, Outcome]]) -> list[Cell]:
        """Learner by learner: what the plain one earns, what each change adds to that, and whether it may be chance."""
        rule = outcomes[RULE][PLAIN].benefit
        return [cell for name, done in outcomes.items() if name != RULE for cell in _of_learner(name, done, rule)]

    def _figures(self, cells: list[Cell]) -> Iterator[tuple[str, str]]:
        """(caption, SVG) of each learner."""
        for name in dict.fromkeys(cell.quantity.split(",")[0] for cell in cells):
            effects = [cell for cell in cells if cell.quantity == f"{name}, effect"]
            chance = {cell.instance: cell.ours for cell in cells if cell.quantity == f"{name}, p"}
            yield f"{name}: {CAPTION}", drawn(name, effects, chance)


def _around(method: Any, learner: Any) -> Any:
    """A method around the learner, whatever it calls what is inside; among members it takes the place of what is learned.

    Where what is inside goes around a learner itself, the learner is put there.
    """
    if hasattr(method, "members"):
        rules = {name: member for name, member in method.members.items() if member.family == "traditional"}
        return replace(method, members=rules | {"learner": learner})
    inside = "learner" if hasattr(method, "learner") else "inner"
    further = isinstance(getattr(method, inside), AroundLearner)
    return replace(method, **{inside: _around(getattr(method, inside), learner) if further else learner})


def _has(learner: Any, given: dict[str, Any]) -> bool:
    """Whether a learner has all fields of a change."""
    return given.keys() <= {field.name for field in fields(learner)}


def _trained(problem: Problem, paths: Paths, name: str, what: str, method: Any, keys: Array) -> Outcome:
    """A learner with a change, for each key."""
    return _said(name, what, _judged(problem, paths, lambda: fitted(method, problem.for_fitting(), keys, Log(Tracker(), None))))


def _put_upon(problem: Problem, paths: Paths, name: str, what: str, methods: list[Any], keys: Array) -> Outcome:
    """A method around what was learned with each key."""
    fit, log = problem.for_fitting(), Log(Tracker(), None)
    return _said(name, what, _judged(problem, paths, lambda: [one.fit(fit, key, log) for one, key in zip(methods, keys)]))


def _said(name: str, what: str, found: Outcome) -> Outcome:
    say(f"{name}, {what}: {found.benefit.mean():,.6g}, {found.seconds:.0f} s")
    return found


def _judged(problem: Problem, paths: Paths, fit: Callable[[], list[Policy]]) -> Outcome:
    """What the policies that `fit` comes to earn on the paths."""
    started = time.perf_counter()
    policies = fit()
    benefit, missed, demand = totals(problem, paths, policies)
    return Outcome(benefit, 1 - missed / np.maximum(demand, 1e-12), time.perf_counter() - started, tuple(policies))


def totals(problem: Problem, paths: Paths, policies: list[Policy]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Net benefit of operations (money), missed units and demand (units) of each policy, each [policy, path]."""
    found = [replay.total(problem.system, policy, paths, _measure, (problem.cost,)) for policy in policies]
    return tuple(np.moveaxis(np.asarray(found, np.float64).sum(-1), 1, 0))


def _measure(flows: Flows, last: Array, cost: CostModel) -> tuple[Array, Array, Array]:
    """Net benefit of operations, missed units and demand of one period, each [item]."""
    return costs.benefit(flows, last, cost), flows.missed, flows.demand


def _of_learner(name: str, done: dict[str, Outcome], rule: np.ndarray) -> Iterator[Cell]:
    plain = done[PLAIN].benefit
    seeds, paths = plain.shape
    yield estimated(PLAIN, f"{name}, net benefit", mean(plain), f"{seeds} seeds, {paths:,} paths: {TWO_LEVELS}")
    yield estimated(PLAIN, f"{name}, {HELD}", _held(done[PLAIN].fill), SERVICE)
    yield estimated(RULE, f"{name}, effect", mean(rule - plain), EFFECT)
    changes = [what for what in done if what != PLAIN]
    effects = [done[what].benefit - plain for what in changes]
    for what, effect, chance in zip(changes, effects, holm([p_value(effect) for effect in effects])):
        yield estimated(what, f"{name}, effect", mean(effect), EFFECT)
        yield estimated(
            what, f"{name}, %", mean(effect).scaled(100 / plain.mean()), "effect in per cent of the plain learner's net benefit"
        )
        yield Cell(what, f"{name}, p", None, float(f"{chance:.2g}"), note=CHANCE, row=what)
        yield estimated(what, f"{name}, {HELD}", _held(done[what].fill), SERVICE)
        if paths >= FEWEST_PATHS:
            yield estimated(what, f"{name}, effect on CVaR", cvar_gain(plain, done[what].benefit, TAIL), CVAR)


def _held(fill: np.ndarray) -> Estimate:
    """Per cent of paths that hold the fill rate, over all seeds; the interval is that of one seed's paths."""
    return wilson(float((fill >= FILL).mean()), fill.shape[1]).scaled(100)


def estimated(row: str, column: str, found: Estimate, note: str) -> Cell:
    """An estimate with its interval, as a cell."""
    return Cell(row, column, None, found.mean, lower=found.lower, upper=found.upper, row=row, note=note)


def _timing(outcomes: dict[str, dict[str, Outcome]]) -> str:
    lines = [
        f"{name},{what},{len(one.benefit)},{one.seconds:.2f}" for name, done in outcomes.items() for what, one in done.items()
    ]
    return "\n".join(["learner,change,seeds,seconds", *lines]) + "\n"


# ---- the picture


def drawn(name: str, effects: list[Cell], chance: dict[str, float]) -> str:
    """Effects with their intervals, one row each, hollow where they may be chance. SVG."""
    import matplotlib  # here, because it is slow to import
    from matplotlib.figure import Figure

    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": name}):
        figure = Figure((figures.WIDTH / 72, (27 * len(effects) + 74) / 72), dpi=72)
        _draw(figure, name, effects, chance)
        svg = figures._svg(figure)
    return svg[svg.index("<svg") :]


def _draw(figure: Any, name: str, effects: list[Cell], chance: dict[str, float]) -> None:
    names = [figures._cut(cell.instance) for cell in effects]
    axes = figures._axes(figure, left=10 + 7.2 * max(map(len, names)), right=14)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.yaxis.grid(False)
    ends = [(cell.lower, cell.upper) for cell in effects]
    low, high = figures._limits([cell.ours for cell in effects], ends)
    axes.set(xlim=(min(low, 0), max(high, 0)), xlabel=f"effect on {figures._cut(name, 15)}, money")
    axes.axvline(0, color=figures.INK, linewidth=1)
    colour = figures.PALETTE[0]
    for row, cell in enumerate(effects):
        if figures._fits(axes, row, cell.ours):
            full = chance.get(cell.instance, 0.0 if cell.lower * cell.upper > 0 else 1.0) <= 0.05
            axes.plot((cell.lower, cell.upper), [row, row], color=colour, linewidth=2.5)
            axes.plot([cell.ours], [row], "o", color=colour, mfc=colour if full else "white", mew=1.6, markersize=7)
