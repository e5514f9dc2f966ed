"""The trials of a search, kept by optuna in a database: asked for, run, told; what a killed process left goes on.

Every proposal has a random generator of its own, made of the seed and the trial's place, and is made before any trial of its
batch is told: a search that was killed and started again proposes what it would have proposed uninterrupted.
"""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna import samplers
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from invbench.keys import stable_hash
from invbench.search.space import Space

CUT = "cut"  # the attribute of a trial whose proposal was not whole when the process ended: it counts for nothing
OUTCOME, REASON, ATTEMPTS, PLACE = "outcome", "reason", "attempts", "place"
DONE, FAILED, OPEN = "done", "failed", "running"


@dataclass(frozen=True)
class Trial:
    """One trial. `values` are those of the objectives, () unless done."""

    place: int  # from 0 on, in the order of asking
    params: dict[str, Any]
    state: str
    values: tuple[float, ...] = ()
    reason: str = ""
    number: int = field(default=0, repr=False, compare=False)  # optuna's, which counts what was cut as well


class Given(samplers.BaseSampler):
    """Proposes the values that it is given."""

    def __init__(self, values: dict[str, Any]):
        self._values = values

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: dict[str, Any]) -> dict[str, Any]:
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """The value of one parameter."""
        return self._values[param_name]


@dataclass(frozen=True)
class Trials:
    """A study of optuna with the space that it is about; make one with `opened`."""

    study: Any
    space: Space
    settings: dict[str, Any]
    first: dict[str, Any] | None  # values of the parameters in the method's YAML, where the first trial has them

    @property
    def total(self) -> int:
        """Trials in all."""
        trials = self.settings["trials"]
        if self.settings["sampler"] != "grid":
            return trials
        points = len(self._grid())
        return points if trials is None else min(trials, points)

    def all(self) -> list[Trial]:
        """Every trial that counts, by place."""
        counted = [one for one in self.study.get_trials(deepcopy=False) if not one.user_attrs.get(CUT) and self._whole(one)]
        return sorted((_trial(one) for one in counted), key=lambda one: one.place)

    def done(self) -> list[Trial]:
        """Those with values."""
        return [one for one in self.all() if one.state == DONE]

    def batch(self) -> list[Trial]:
        """The next trials to run: those left running, and new ones up to the end of the batch; [] when all are run."""
        self._cut()
        known = self.all()
        first, left = len(known), [one for one in known if one.state == OPEN]
        size = self.settings["batch"]
        begun = left[0].place if left else first
        stop = min(self.total, (begun // size + 1) * size)
        asked = [self._asked(place) for place in range(first, stop)]
        return [one for one in self.all() if one.state == OPEN] if left or asked else []

    def note(self, trial: Trial, values: Sequence[float] | None, reason: str) -> None:
        """Keep what became of a trial before it is told, so that nothing runs twice if the process ends now."""
        if values is not None and not all(math.isfinite(value) for value in values):
            values, reason = None, f"the objectives must be numbers, got {', '.join(map(str, values))}"
        self._set(trial, OUTCOME, {"values": None if values is None else list(values), "reason": reason})

    def noted(self, trial: Trial) -> bool:
        """Whether what became of it is known."""
        return OUTCOME in self._of(trial).user_attrs

    def attempt(self, trial: Trial) -> int:
        """Count that a trial is begun; how often it has been."""
        times = self._of(trial).user_attrs.get(ATTEMPTS, 0) + 1
        self._set(trial, ATTEMPTS, times)
        return times

    def tell(self, batch: Sequence[Trial]) -> None:
        """Tell the sampler what became of every trial of a batch, in the order of asking."""
        for trial in batch:
            outcome = self._of(trial).user_attrs[OUTCOME]
            self._set(trial, REASON, outcome["reason"])
            failed = outcome["values"] is None
            self.study.tell(trial.number, outcome["values"], state=TrialState.FAIL if failed else None)

    def front(self) -> list[Trial]:
        """Done trials that no other beats in every objective, by place; of one objective: the best."""
        done = self.done()
        if not done:
            return []
        numbers = {one.number for one in self.study.best_trials}
        if len(done[0].values) == 1:
            return [max(done, key=lambda one: (self.gain(one)[0], -one.place))]
        return [one for one in done if one.number in numbers]

    def gain(self, trial: Trial) -> list[float]:
        """The values of a trial turned so that more is better."""
        maximise = [direction.name == "MAXIMIZE" for direction in self.study.directions]
        return [value if up else -value for value, up in zip(trial.values, maximise, strict=True)]

    def best(self) -> Trial | None:
        """Of the front: the best by the first objective, or by the weighted sum of all, each from 0 to 1 over the front."""
        front = self.front()
        if not front:
            return None
        gains, weights = [self.gain(one) for one in front], self.settings["weights"]
        if weights is None or len(front) == 1:
            return max(zip(gains, front), key=lambda pair: (pair[0][0], -pair[1].place))[1]
        lows, highs = [min(column) for column in zip(*gains)], [max(column) for column in zip(*gains)]
        scaled = [[(value - low) / ((high - low) or 1.0) for value, low, high in zip(row, lows, highs)] for row in gains]
        score = lambda row: sum(weight * value for weight, value in zip(weights, row))  # noqa: E731
        return max(zip(scaled, front), key=lambda pair: (score(pair[0]), -pair[1].place))[1]

    def _asked(self, place: int) -> Trial:
        self.study.sampler = self._sampler(place)
        asked = self.study.ask({one.name: one.distribution for one in self.space.parameters})
        self.study._storage.set_trial_user_attr(asked._trial_id, PLACE, place)
        return _trial(asked._get_latest_trial())

    def _sampler(self, place: int) -> Any:
        """The sampler of one proposal."""
        kind, seed = self.settings["sampler"], stable_hash(f"{self.settings['seed']} {place}")
        if kind == "grid":
            return Given(self._grid()[place])
        if place == 0 and self.first is not None:
            return Given(self.first)
        if kind == "tpe":
            return samplers.TPESampler(seed=seed, n_startup_trials=self.settings["startup"])
        if kind == "nsgaii":
            return samplers.NSGAIISampler(seed=seed, population_size=self.settings["startup"])
        return samplers.RandomSampler(seed=seed)

    def _grid(self) -> list[dict[str, Any]]:
        return self.space.grid(self.settings["grid"], self.settings["seed"])

    def _whole(self, one: Any) -> bool:
        """Whether a proposal was made to its end."""
        return PLACE in one.user_attrs

    def _cut(self) -> None:
        """Give up proposals that were not whole when the process ended."""
        for one in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if not self._whole(one):
                self.study._storage.set_trial_user_attr(one._trial_id, CUT, True)
                self.study.tell(one.number, state=TrialState.FAIL)

    def _of(self, trial: Trial) -> Any:
        return self.study.get_trials(deepcopy=False)[trial.number]

    def _set(self, trial: Trial, name: str, value: Any) -> None:
        self.study._storage.set_trial_user_attr(self._of(trial)._trial_id, name, value)


def _trial(one: Any) -> Trial:
    state = {"COMPLETE": DONE, "FAIL": FAILED}.get(one.state.name, OPEN)
    values = tuple(one.values) if state == DONE else ()
    return Trial(one.user_attrs.get(PLACE, -1), dict(one.params), state, values, one.user_attrs.get(REASON, ""), one.number)


def opened(path: Path, space: Space, settings: dict[str, Any], directions: Sequence[str], first: dict | None) -> Trials:
    """The trials in a database, made where there is none. directions: "maximize" or "minimize" for each objective."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = optuna.storages.RDBStorage(f"sqlite:///{path}")
    sqlalchemy.event.listen(storage.engine, "connect", _quick)
    storage.engine.dispose()  # of the connection before
    study = optuna.create_study(storage=storage, study_name="search", directions=list(directions), load_if_exists=True)
    return Trials(study, space, settings, first)


def _quick(connection: Any, _: Any) -> None:
    """Write ahead and wait for the disk seldom: a killed process loses nothing, a power cut the last trials at most."""
    connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL")


def importances(trials: Trials) -> dict[str, float]:
    """The share of each parameter in reaching the best quarter of the trials by the first objective, the largest first.

    PED-ANOVA (Watanabe, Bansal and Hutter 2023, arXiv 2304.10255); {} of fewer than eight done trials, or where all are equal.
    """
    done = trials.done()
    if len(done) < 8 or len({one.values[0] for one in done}) < 2:
        return {}
    sign = {one.number: -trials.gain(one)[0] for one in done}
    evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
    with warnings.catch_warnings(action="ignore"):  # it says that less must be better, which `sign` sees to
        found = get_param_importances(trials.study, evaluator=evaluator, target=lambda one: sign[one.number])
    return {name: share for name, share in found.items() if math.isfinite(share)}
