"""Single index: two order-up-to levels of one inventory position, the lower one for the expedited supplier.

Source: Scheller-Wolf, Veeraraghavan and van Houtum 2007, "Effective dual sourcing with a single index policy", working paper,
Carnegie Mellon University. The position counts what arrives late as if it could meet demand now.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.dynamics.dual_source import require_dual_source
from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, search
from invbench.types import Array, Observation, Policy

NAMES = ("expedite_level", "regular_level")


@dataclass(frozen=True)
class SingleIndex:
    """The two levels that earn most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True
    systems: ClassVar[tuple[str, ...]] = ("dual_source",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError on a system with one supplier."""
        require_dual_source(problem.system, "single_index")
        mean, spread = levels(problem, key)
        most = highest_level(problem, mean, spread)
        least = -mean if problem.system.backlog else np.zeros_like(mean)  # a position that low: never expedite
        low, high = np.stack([least, np.zeros_like(mean)]), np.stack([most, most])
        template, whole = Policy({}, order_up_to_levels), integers(problem, key, len(NAMES))
        found = search(problem, template, NAMES, low, high, whole, self.tuning, key, log)
        return policy_of(*found.point)


def policy_of(expedite_level: Array, regular_level: Array) -> Policy:
    """The rule with these parameters: units, each [item], or [candidate, item] for `problem.benefits`."""
    values = {"expedite_level": expedite_level, "regular_level": regular_level}
    return Policy({name: jnp.asarray(value, jnp.float32) for name, value in values.items()}, order_up_to_levels)


def order_up_to_levels(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """[2, item]: expedited up to `expedite_level` of the position, then regular up to `regular_level` of what it is now."""
    expedited = jnp.maximum(params["expedite_level"] - observation.position, 0)
    regular = jnp.maximum(params["regular_level"] - observation.position - expedited, 0)
    return jnp.stack([regular, expedited])
