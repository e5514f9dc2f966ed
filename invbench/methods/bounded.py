"""Action bounds from a classical rule: a learner orders what it likes, but never far from what a tuned rule orders.

Source of the idea: Silver, Allen, Tenenbaum and Kaelbling 2018, "Residual policy learning" (arXiv 1812.06298), with a limit in
place of a sum; a projection of actions as in Dalal et al. 2018, "Safe exploration in continuous action spaces"
(arXiv 1801.08757).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from invbench.checks import number
from invbench.keys import named
from invbench.learning import bounds
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.types import Array, Policy


@dataclass(frozen=True)
class Bounded(AroundLearner):
    """Any learner near any classical rule: it is trained in the system that moves its orders within reach of the rule's."""

    rule: Any  # a method
    learner: Any  # a method that learns
    below: float
    above: float

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field makes no sense, or the rule looks back on history or at all items at once."""
        near = self._posed(problem, key, log)
        return bounds.composed(near, self.learner.fit(near, named(key, "learner"), log))

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed]; the rule is tuned once."""
        near = self._posed(problem, keys[0], log)
        own = jax.vmap(lambda key: named(key, "learner"))(keys)
        return [bounds.composed(near, learned) for learned in self.learner.fit_seeds(near, own, log)]

    def _posed(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Problem:
        below, above = (number(f"method.{name}", getattr(self, name), low=0) for name in ("below", "above"))
        return bounds.posed(problem, self.rule.fit(problem, named(key, "rule"), log), below, above, named(key, "reach"))
