"""Learned (s, S): a learner says what to order if orders cost nothing, and a gap and a lot around it make up for their cost.

The learner's target moves with what it sees; when to order and how much more are two numbers that are tuned, as s and S are
(Scarf 1960). A learner of orders looks at stock on its way, which pays under lost sales (Zipkin 2008); one of levels to order
up to looks at demand alone, which holds in every state of stock. What earns more on training paths is kept.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import choice, require
from invbench.dynamics.single import Single
from invbench.keys import named
from invbench.learning.levelled import levelled
from invbench.learning.residual import part_of
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.tuning import Budget, is_whole, levels, lot, search
from invbench.types import Array, Observation, Policy

TARGETS = ("orders", "levels")
DEEPEST = 4.0  # periods of mean demand that the reorder point may lie below the learner's target


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
        mean, _ = levels(problem, named(key, "levels"))
        free = replace(problem, cost=replace(problem.cost, fixed_order=0.0 * np.asarray(problem.cost.fixed_order)))
        if target == "levels":
            free = levelled(free, named(key, "base"))
            learned, base = self.stock.fit(free, named(key, "levels"), log), free.system.base
        else:
            learned, base = self.learner.fit(free, named(key, "learner"), log), None
        fixed = {"target": part_of(learned._replace(window=0)), "unit": jnp.asarray(np.maximum(mean, 1e-6), jnp.float32)}
        fixed |= {"whole": jnp.full(1, is_whole(problem, named(key, "whole")))} | ({} if base is None else {"base": base})
        apply = reorder if base is None else reorder_to_level
        template = Policy(fixed, apply, window=learned.window)
        most = lot(problem, mean) / np.maximum(mean, 1e-6)
        low = np.stack([np.full(problem.items, -DEEPEST), np.zeros(problem.items)])
        high = np.stack([np.full(problem.items, 0.0 if base is None else DEEPEST), most])
        names, own = ("shift", "lot"), named(key, "tuning")
        found = search(problem, template, names, low, high, np.zeros(2, bool), self.tuning, own, log)
        params = {name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)}
        return template._replace(params=fixed | params), float(found.value.sum())


def reorder(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: what the learner orders with `shift`, and `lot` more, each in mean demand; nothing below zero."""
    gap = params["target"].order(observation, key) + params["shift"] * params["unit"]
    return _lot(params, gap)


def reorder_to_level(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: the same with a learner of levels."""
    level = params["base"] + params["target"].order(observation, key)
    gap = level + params["shift"] * params["unit"] - observation.position
    return _lot(params, gap)


def _lot(params: dict[str, Any], gap: Array) -> Array:
    """The gap and a lot where there is one, in whole units where demand is whole."""
    order = jnp.where(gap >= 0, gap + params["lot"] * params["unit"], 0)
    return jnp.where(params["whole"], jnp.rint(order), order)
