"""Capped base-stock: order up to one level, but never more than the cap; close to the optimum where demand is lost.

Source: Xin 2021, "Understanding the performance of capped base-stock policies in lost-sales inventory models", Operations
Research 69(1), 61-70. Without a cap it is base-stock, with a level out of reach it is the constant order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, search
from invbench.types import Array, Observation, Policy

NAMES = ("level", "cap")


@dataclass(frozen=True)
class CappedBaseStock:
    """The order-up-to level S and the cap that earn most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        mean, spread = levels(problem, key)
        no_cap = 2 * mean + 6 * spread + 2  # base-stock orders what one period sold, so this is next to never reached
        high = np.stack([highest_level(problem, mean, spread), no_cap])
        template, whole = Policy({}, order_up_to_with_cap), integers(problem, key, len(NAMES))
        found = search(problem, template, NAMES, np.zeros_like(high), high, whole, self.tuning, key, log)
        return policy_of(*found.point)


def policy_of(level: Array, cap: Array) -> Policy:
    """The rule with these parameters: units, each [item], or [candidate, item] for `problem.benefits`."""
    values = {"level": level, "cap": cap}
    return Policy({name: jnp.asarray(value, jnp.float32) for name, value in values.items()}, order_up_to_with_cap)


def order_up_to_with_cap(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """min((level - position)+, cap); each [item]."""
    return jnp.clip(params["level"] - observation.position, 0, params["cap"])
