"""Dual index: the expedited supplier looks at what arrives in its own lead time, the regular one at all that is on order.

Source: Veeraraghavan and Scheller-Wolf 2008, "Now or later: a simple policy for effective dual sourcing in capacitated
systems", Operations Research 56(4), 850-864. Optimal where the lead times differ by one period.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.dynamics.dual_source import expedited_position, require_dual_source
from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, search
from invbench.types import Array, Observation, Policy

NAMES = ("expedite_level", "regular_level")


@dataclass(frozen=True)
class DualIndex:
    """The two levels that earn most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True
    systems: ClassVar[tuple[str, ...]] = ("dual_source",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError on a system with one supplier."""
        system = problem.system
        require_dual_source(system, "dual_index")
        mean, spread = levels(problem, key)
        fast = replace(problem, system=replace(system, lead_time=system.expedite_lead_time))
        # owing all of a regular lead time's demand: next to never expedite
        least = -(system.lead_time + 1) * mean if system.backlog else np.zeros_like(mean)
        low = np.stack([least, np.zeros_like(mean)])
        high = np.stack([highest_level(fast, mean, spread), highest_level(problem, mean, spread)])
        shared, whole = jnp.full(1, system.expedite_lead_time), integers(problem, key, len(NAMES))
        template = Policy({"expedite_lead_time": shared}, order_up_to_levels)
        found = search(problem, template, NAMES, low, high, whole, self.tuning, key, log)
        return policy_of(*found.point, system.expedite_lead_time)


def policy_of(expedite_level: Array, regular_level: Array, expedite_lead_time: int) -> Policy:
    """The rule with these parameters: units, each [item], or [candidate, item] for `problem.benefits`; and periods."""
    values = {"expedite_level": expedite_level, "regular_level": regular_level}
    params = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
    periods = jnp.full(params["expedite_level"].shape, expedite_lead_time)
    return Policy(params | {"expedite_lead_time": periods}, order_up_to_levels)


def order_up_to_levels(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """[2, item]: expedited up to `expedite_level` of the expedited position, then regular up to `regular_level` of the whole."""
    near = expedited_position(observation, params["expedite_lead_time"])
    expedited = jnp.maximum(params["expedite_level"] - near, 0)
    regular = jnp.maximum(params["regular_level"] - observation.position - expedited, 0)
    return jnp.stack([regular, expedited])
