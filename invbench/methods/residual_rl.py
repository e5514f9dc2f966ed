"""Residual learning: a learner decides by how much to depart from a tuned classical rule.

Sources: Silver, Allen, Tenenbaum and Kaelbling 2018, "Residual policy learning" (arXiv 1812.06298); Johannink et al. 2019,
"Residual reinforcement learning for robot control".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax

from invbench.keys import named
from invbench.learning import residual
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.types import Array, Policy


@dataclass(frozen=True)
class Residual(AroundLearner):
    """Any learner on top of any classical rule: it is trained in the system where its order is a change of the rule's."""

    rule: Any  # a method
    learner: Any  # a method that learns

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where the rule looks back on history, or is none for each item by itself."""
        adjusted = self._posed(problem, key, log)
        return residual.composed(adjusted, self.learner.fit(adjusted, named(key, "learner"), log))

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed]; the rule is tuned once."""
        adjusted = self._posed(problem, keys[0], log)
        own = jax.vmap(lambda key: named(key, "learner"))(keys)
        return [residual.composed(adjusted, change) for change in self.learner.fit_seeds(adjusted, own, log)]

    def _posed(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Problem:
        return residual.posed(problem, self.rule.fit(problem, named(key, "rule"), log), named(key, "neutral"))
