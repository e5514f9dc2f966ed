"""Demand whose level jumps between regimes that last for a while: a Markov chain with noise."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.checks import number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array


@partial(jax.tree_util.register_dataclass, data_fields=["means", "cv", "stay"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class RegimeSwitching(Scenario):
    """Normal noise, cut off at zero, around the mean of the regime. Make one with `create`."""

    means: Array  # [regime] units
    cv: Array | float
    stay: Array | float
    items: int

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        regimes = self.means.shape[0]
        choose, leave, noise, begin = jax.random.split(key, 4)
        shape = (horizon, n, self.items)
        leaves = jax.random.uniform(leave, shape) >= self.stay
        other = jax.random.randint(choose, shape, 1, max(regimes, 2))  # a jump goes to each other regime alike

        def step(regime, today):
            leaves, other = today
            regime = jnp.where(leaves, (regime + other) % regimes, regime)
            return regime, regime

        first = jax.random.randint(begin, shape[1:], 0, regimes)  # stationary: all regimes alike
        _, regime = lax.scan(step, first, (leaves, other))
        return jnp.maximum(self.means[regime] * (1 + self.cv * jax.random.normal(noise, shape)), 0)

    def moments(self) -> tuple[float, float]:
        """Mean and CV over the stationary distribution of regimes."""
        means = np.asarray(self.means, np.float64)
        mean, second = means.mean(), (means**2).mean() * (1 + float(self.cv) ** 2)
        return float(mean), float(np.sqrt(second - mean**2) / mean)


def create(*, means: list[float], stay: float, cv: float, items: int) -> RegimeSwitching:
    """means: units per period in each regime; stay: probability that tomorrow's regime is today's; cv: within a regime."""
    require(isinstance(means, list | tuple) and len(means) >= 2, "scenario.means", "a list of at least two regimes", means)
    levels = [number(f"scenario.means[{i}]", level, low=0, above=True) for i, level in enumerate(means)]
    stay = number("scenario.stay", stay, low=0, high=1)
    cv = number("scenario.cv", cv, low=0, high=1 / 3)
    return RegimeSwitching(jnp.asarray(levels, jnp.float32), cv, stay, whole("scenario.items", items, low=1))
