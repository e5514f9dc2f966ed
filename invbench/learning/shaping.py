"""Potential-based reward shaping: a learner is told early where stock should be, and its optimum stays what it was.

Source: Ng, Harada and Russell 1999, "Policy invariance under reward transformations: theory and application to reward shaping"
(ICML, theorem 1): F = discount x potential(next state) - potential(state) changes no order of policies.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench.checks import number
from invbench.keys import named
from invbench.problem import Problem
from invbench.tuning import levels
from invbench.types import Array, Policy


class Potential(NamedTuple):
    """What an inventory position before ordering is worth, in reward's scale: the less, the further from a target."""

    target: Array  # [item] units
    above: Array  # [item] reward lost for each unit more
    below: Array  # [item] reward lost for each unit less

    def of(self, observation: Any) -> Array:
        """[..., item] <= 0, of an observation or a state."""
        over = observation.position - self.target
        return -jnp.where(over > 0, self.above * over, -self.below * over)


def weight(field: str, value: float | None) -> float | None:
    """The checked weight of a potential; None where reward is not shaped."""
    return None if value is None else number(field, value, low=0, above=True)


def potential_of(problem: Problem, rule: Policy, weight: float, scale: Array, key: Array) -> Potential:
    """Of `weight` times what a unit costs in a period: held, if it is above the target, and missed, if below.

    The target is what a rule's `level` leaves after a period of mean demand, as the position is seen before the order.
    """
    mean = levels(problem, named(key, "levels"))[0]
    rates = (np.asarray(rate, np.float64) for rate in (problem.cost.holding, problem.cost.shortage))
    holding, shortage = (weight * np.broadcast_to(rate, mean.shape) / np.asarray(scale) for rate in rates)
    target = jnp.asarray(rule.params["level"]) - jnp.asarray(mean, jnp.float32)
    return Potential(target, jnp.asarray(holding, jnp.float32), jnp.asarray(shortage, jnp.float32))


def shaped(reward: Array, potential: Array | None, discount: Array | float) -> Array:
    """[period, ...] the reward with F added to it; potential: [period + 1, ...] of what was observed, or None: as it is.

    `discount` is the one that the learner values what follows by (1 where values are differences from an average).
    """
    return reward if potential is None else reward + discount * potential[1:] - potential[:-1]
