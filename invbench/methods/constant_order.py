"""Constant order: the same order in every period, whatever happens; near the optimum where lead times are long.

Sources: Reiman 2004, "A new and simple policy for the continuous review lost sales inventory model"; Xin and Goldberg 2016,
"Optimality gap of constant-order policies decays exponentially in the lead time for lost sales models", Operations Research
64(6), 1556-1565.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, search
from invbench.types import Array, Observation, Policy

NAMES = ("quantity",)


@dataclass(frozen=True)
class ConstantOrder:
    """The order that earns most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        high = highest_level(problem, *levels(problem, key))  # far above mean demand: a short horizon may call for that
        template, whole = Policy({}, order_always), integers(problem, key, len(NAMES))
        found = search(problem, template, NAMES, np.zeros(1), high[None], whole, self.tuning, key, log)
        return policy_of(*found.point)


def policy_of(quantity: Array) -> Policy:
    """The rule with these parameters: units, [item], or [candidate, item] for `problem.benefits`."""
    return Policy({"quantity": jnp.asarray(quantity, jnp.float32)}, order_always)


def order_always(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """`quantity` [item], whatever is observed."""
    return params["quantity"] + jnp.zeros_like(observation.position)
