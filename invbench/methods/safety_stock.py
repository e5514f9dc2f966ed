"""Safety stock: order up to the expected lead-time demand plus z standard deviations, re-fitted to what has been seen.

Order-up-to level mu (L + R) + z sigma sqrt(L + R) for review every R = 1 periods (Silver, Pyke and Thomas 2017, section
6.9; Snyder and Shen 2019, equation 4.43), z the normal quantile of the target cycle service level.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
from scipy import stats

from invbench.checks import number, require, whole
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy, recent_mean


@dataclass(frozen=True)
class SafetyStock:
    """The textbook rule with mean and standard deviation of the last periods."""

    service_level: float  # target probability of no stock-out in a replenishment cycle
    periods: int  # past periods that mean and standard deviation are taken from
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        level = number("method.service_level", self.service_level, low=0.5, high=0.9999)
        periods = whole("method.periods", self.periods, low=2)
        require(periods <= problem.window, "method.periods", f"<= problem.window ({problem.window})", periods)
        params = {"z": stats.norm.ppf(level), "cover": problem.system.lead_time + 1}
        return Policy({name: jnp.full((1,), value, jnp.float32) for name, value in params.items()}, cover_and_buffer, periods)


def cover_and_buffer(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """What lifts the position to expected lead-time demand plus safety stock [item]."""
    periods, mean = observation.ring.shape[0], recent_mean(observation)
    variance = recent_mean(observation._replace(ring=(observation.ring - mean) ** 2)) * periods / (periods - 1)
    spread = jnp.sqrt(variance)
    return order_up_to_level(mean, spread, params["cover"], params["z"]) - observation.position


def order_up_to_level(mean: Array, spread: Array, cover: Array | float, z: Array | float) -> Array:
    """Units: mean and standard deviation of one period's demand over `cover` periods, with z standard deviations on top."""
    return mean * cover + z * spread * jnp.sqrt(cover)
