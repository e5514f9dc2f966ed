"""Learned (s, S): a learner says what to order if orders cost nothing, and a gap and a lot around it make up for their cost.

A learner of orders looks at stock on its way, which pays under lost sales (Zipkin 2008); one of levels to order
up to looks at demand alone, which holds in every state of stock. What earns more on training paths is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from invbench.checks import choice, require
from invbench.dynamics.single import Single
from invbench.keys import named
from invbench.learning.levelled import levelled
from invbench.learning.lots import free_orders, with_lots
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.tuning import Budget
from invbench.types import Array, Policy

TARGETS = ("orders", "levels")


@dataclass(frozen=True)
class LearnedReorderUpTo(AroundLearner):
    """A learner's target with a tuned gap and lot; every field is explained in its YAML."""

    learner: Any  # a method that learns what to order
    stock: Any  # ditto, of levels: it looks at no stock
    targets: list[str] | tuple[str, ...]
    tuning: Budget
    family: ClassVar[str] = "dl"

    @property
    def simulates(self) -> int:
        """Periods that its learners' trainings move through."""
        both = {"orders": self.learner, "levels": self.stock}
        return sum(getattr(both[target], "simulates", 0) for target in self.targets)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where the system takes no single order an item, or a field makes no sense."""
        require(
            isinstance(problem.system, Single), "system", "lost_sales or backlog for learned_s_S", type(problem.system).__name__
        )
        require(len(self.targets) > 0, "method.targets", "a list of orders, levels, or both", self.targets)
        found = [self._tuned(problem, choice("method.targets", target, TARGETS), key, log) for target in self.targets]
        return max(found, key=lambda one: one[1])[0]

    def _tuned(self, problem: Problem, target: str, key: Array, log: Callable) -> tuple[Policy, float]:
        """A policy, and what it earns on training paths, money."""
        free = free_orders(problem)
        if target == "orders":
            return with_lots(problem, self.learner.fit(free, named(key, "learner"), log), None, self.tuning, key, log)
        free = levelled(free, named(key, "base"))
        learned = self.stock.fit(free, named(key, "levels"), log)
        return with_lots(problem, learned, free.system.base, self.tuning, key, log)
