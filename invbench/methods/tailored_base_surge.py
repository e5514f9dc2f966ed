"""Tailored base-surge: the regular supplier delivers the same in every period, the expedited one what surges ask for.

Source: Allon and Van Mieghem 2010, "Global dual sourcing: tailored base-surge allocation to near- and offshore production",
Management Science 56(1), 110-124. Near the optimum where the regular lead time is long (Xin and Goldberg 2018, Management
Science 64(1), 437-452).
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

NAMES = ("expedite_level", "quantity")


@dataclass(frozen=True)
class TailoredBaseSurge:
    """The level and the regular order that earn most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True
    systems: ClassVar[tuple[str, ...]] = ("dual_source",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError on a system with one supplier."""
        system = problem.system
        require_dual_source(system, "tailored_base_surge")
        mean, spread = levels(problem, key)
        fast = replace(problem, system=replace(system, lead_time=system.expedite_lead_time))
        # owing all of a regular lead time's demand: next to never expedite
        least = -(system.lead_time + 1) * mean if system.backlog else np.zeros_like(mean)
        low = np.stack([least, np.zeros_like(mean)])
        high = np.stack([highest_level(fast, mean, spread), 2 * mean + 2])  # more than the mean piles up
        shared, whole = jnp.full(1, system.expedite_lead_time), integers(problem, key, len(NAMES))
        template = Policy({"expedite_lead_time": shared}, order_always_and_expedite)
        found = search(problem, template, NAMES, low, high, whole, self.tuning, key, log)
        return policy_of(*found.point, system.expedite_lead_time)


def policy_of(expedite_level: Array, quantity: Array, expedite_lead_time: int) -> Policy:
    """The rule with these parameters: units, each [item], or [candidate, item] for `problem.benefits`; and periods."""
    values = {"expedite_level": expedite_level, "quantity": quantity}
    params = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
    periods = jnp.full(params["expedite_level"].shape, expedite_lead_time)
    return Policy(params | {"expedite_lead_time": periods}, order_always_and_expedite)


def order_always_and_expedite(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """[2, item]: `quantity` from the regular supplier, and expedited up to `expedite_level` of the expedited position."""
    near = expedited_position(observation, params["expedite_lead_time"])
    expedited = jnp.maximum(params["expedite_level"] - near, 0)
    return jnp.stack([jnp.broadcast_to(params["quantity"], expedited.shape), expedited])
