"""Imitation: a learner's network begins as a copy of a teacher, a classical rule or the exact policy, and learns on from there.

Source: Pomerleau 1991, "Efficient training of artificial neural networks for autonomous navigation"; Hester et al. 2018, "Deep
Q-learning from demonstrations" (arXiv 1704.03732).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from inspect import signature
from typing import Any

import jax

from invbench.checks import require
from invbench.keys import named
from invbench.learning import residual
from invbench.learning.imitation import Effort, Lesson, lesson_of
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.types import Array, Policy


@dataclass(frozen=True)
class Imitation(AroundLearner, Effort):
    """Any learner, warm: every field is explained in its YAML."""

    teacher: Any  # a method
    learner: Any  # a method that learns

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where the teacher cannot be imitated, or the learner cannot begin as another policy."""
        return self.learner.fit(problem, named(key, "learner"), log, self._lesson(problem, key, log))

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed]; the teacher is fitted, and copied, once: all begin as the same network."""
        own = jax.vmap(lambda key: named(key, "learner"))(keys)
        return self.learner.fit_seeds(problem, own, log, self._lesson(problem, keys[0], log))

    def _lesson(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Lesson:
        """What the teacher has to say. Where orders are changes of a rule's, so are the teacher's."""
        can = "lesson" in signature(self.learner.fit).parameters
        advice = "a learner that can begin as another policy (residual_rl goes around imitation, not into it)"
        require(can, "method.learner", advice, type(self.learner).__name__)
        effort = Effort(*(getattr(self, field.name) for field in fields(Effort)))
        teacher = self.teacher.fit(residual.original(problem), named(key, "teacher"), log)
        lesson = lesson_of(teacher, effort, named(key, "lesson"))
        return lesson._replace(teacher=residual.as_change(problem, lesson.teacher))
