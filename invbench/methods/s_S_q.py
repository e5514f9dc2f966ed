"""(s, S, q): when the inventory position is at or below s, order up to S, but never more than q.

Source: Bijvank, Bhulai and Huh 2015, "Parametric replenishment policies for inventory systems with lost sales and fixed order
cost", European Journal of Operational Research 241(2), 381-390: the modified (s, S) policy.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, lot, search
from invbench.types import Array, Observation, Policy

NAMES = ("reorder_point", "lot", "cap")  # S is reorder_point + lot
COARSE = 130  # candidates in a round: 5 values of each of 3 parameters


@dataclass(frozen=True)
class CappedReorderUpTo:
    """The reorder point s, S - s and the cap q that earn most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        mean, spread = levels(problem, key)
        largest = lot(problem, mean)
        whole = integers(problem, key, len(NAMES))
        no_cap = largest + 2 * mean + 6 * spread  # S - s and what one period takes the position below s
        high = np.stack([highest_level(problem, mean, spread), largest, no_cap])
        zero = np.zeros_like(mean)
        low = np.stack([-mean if problem.system.backlog else zero - 1, zero, zero])
        template = Policy({}, reorder_up_to_with_cap)
        found = search(problem, template, NAMES, low, high, whole, _more_rounds(self.tuning), key, log)
        return policy_of(*found.point)


def _more_rounds(tuning: Budget) -> Budget:
    """As many simulations in all, but fewer in each of more rounds: three parameters else end between whole units."""
    rounds = tuning.candidates * tuning.rounds // COARSE
    return replace(tuning, candidates=COARSE, rounds=rounds) if rounds > tuning.rounds else tuning


def policy_of(reorder_point: Array, lot: Array, cap: Array) -> Policy:
    """The rule with these parameters: units, each [item], or [candidate, item] for `problem.benefits`."""
    values = {"reorder_point": reorder_point, "lot": lot, "cap": cap}
    return Policy({name: jnp.asarray(value, jnp.float32) for name, value in values.items()}, reorder_up_to_with_cap)


def reorder_up_to_with_cap(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """min(S - position, cap) with S = reorder_point + lot where the position is at or below reorder_point; each [item]."""
    gap = params["reorder_point"] - observation.position
    return jnp.where(gap >= 0, jnp.minimum(gap + params["lot"], params["cap"]), 0)
