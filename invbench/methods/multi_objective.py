"""One network for every weight of service against money: any learner, told the weight, trained on all of them at once.

Source: Abels et al. 2019, "Dynamic weights in multi-objective deep reinforcement learning" (arXiv 1809.07803); see
`learning.preferences` for what is weighed.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import jax
import numpy as np

from invbench import saved
from invbench.checks import number, require
from invbench.formulas import underage
from invbench.jobs import Refused
from invbench.keys import named
from invbench.learning import checkpoint, features, preferences
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.types import Array, Policy

INSIDE = ("learner", "inner")  # what methods around others call them


@dataclass(frozen=True)
class MultiObjective(AroundLearner):
    """A learner of all weights, asked for one; every field is explained in its YAML."""

    learner: Any  # a method that learns
    weight: float
    weights: list[float] | tuple[float, float]
    policy: str | None  # a file
    tuned: ClassVar[bool] = False

    @property
    def family(self) -> str:
        """The learner's own."""
        return self.learner.family

    @property
    def simulates(self) -> int:
        """The learner's own; nothing where the network is there already."""
        return 0 if self.policy is not None else super().simulates

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field or the system makes no sense, Refused where `policy` is none of this method."""
        return self.front(problem, key, log)(self.weight)

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed], trained side by side where the learner can."""
        return [front(self.weight) for front in self.fronts(problem, keys, log)]

    def front(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Callable[[float], Policy]:
        """What has a policy for each weight within `weights`; a weight beyond it is taken as its nearest end."""
        self.check()
        if self.policy is not None:
            return _front(restored(self.policy, problem, self.weight))
        near = preferences.posed(problem, *self.weights)
        learned = told(self.learner).fit(near, named(key, "learner"), log)
        return _front(preferences.composed(near, learned, self.weight))

    def fronts(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Callable[[float], Policy]]:
        """The same for each key [seed]."""
        learner = told(self.learner)
        if self.policy is not None or not hasattr(learner, "fit_seeds"):
            return [self.front(problem, key, log) for key in keys]
        self.check()
        near, own = preferences.posed(problem, *self.weights), jax.vmap(lambda key: named(key, "learner"))(keys)
        return [_front(preferences.composed(near, one, self.weight)) for one in learner.fit_seeds(near, own, log)]

    def priced(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Callable[[float], Policy]]:
        """For each key [seed], what has a policy for each price of a missed unit (money, on top of what it costs)."""
        unit = float(np.max(underage(problem.cost, problem.system.backlog)))
        return [lambda price, front=front: front(1 + price / unit) for front in self.fronts(problem, keys, log)]

    def check(self) -> None:
        """Raises ValueError in one sentence that names the field."""
        ends = self.weights
        require(isinstance(ends, list | tuple) and len(ends) == 2, "method.weights", "two numbers, least and most", ends)
        low, high = (number(f"method.weights[{place}]", end, low=0, above=True) for place, end in enumerate(ends))
        require(low < high, "method.weights", "two numbers, the smaller one first", ends)
        number("method.weight", self.weight, low=low, high=high)


def told(learner: Any) -> Any:
    """The learner that also looks at the weight, or what is around one that does. Raises ValueError where there is none."""
    names = {field.name for field in fields(learner)}
    if "features" in names:
        return replace(learner, features=[*learner.features, features.WEIGHT])
    inside = next((name for name in INSIDE if name in names), None)
    require(
        inside is not None,
        "method.learner",
        "one that looks at features (ppo, sac, dqn, hdpo, or around them)",
        type(learner).__name__,
    )
    return replace(learner, **{inside: told(getattr(learner, inside))})


def restored(path: str, problem: Problem, weight: float) -> Policy:
    """The policy of an earlier job, with this weight. Raises Refused where it is none of this method, or for another problem."""
    found = checkpoint.load_policy(Path(path))
    if found.policy.apply is not preferences.weighted:
        raise Refused(f"method.policy must be one of multi_objective, got {path}")
    saved.check(found, problem)
    least, most = _ends(found.policy)
    if not least <= weight <= most * (1 + 1e-6):
        raise Refused(f"method.weight must be within {least:g} … {most:g}, which {path} was trained for, got {weight:g}")
    return found.policy


def _front(policy: Policy) -> Callable[[float], Policy]:
    least, most = _ends(policy)
    return lambda weight: preferences.with_weight(policy, min(max(weight, least), most))


def _ends(policy: Policy) -> tuple[float, float]:
    """The least and the most weight that it was trained for."""
    return float(policy.params["least"][0]), float(policy.params["most"][0])
