"""Demand drawn from paths that are written down, some of them more often than others: what a risk-averse method trains on."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from invbench.scenarios.base import Scenario
from invbench.types import Array

WEEK = 7  # periods
WEEKS = 8  # at most, that stand for what comes after the last period


@partial(jax.tree_util.register_dataclass, data_fields=["demand", "chances", "first"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Tilted(Scenario):
    """Paths of demand, each with a chance. Make one with `create`."""

    demand: Array  # [period, path, item] units, from period `first` on
    chances: Array  # [path] cumulative, the last is 1
    first: Array  # [] absolute number of a period

    @property
    def items(self) -> int:
        return self.demand.shape[2]

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        """Whole paths by inverse CDF; before the first period it is that one, after the last one the last weeks come again."""
        chosen = jnp.searchsorted(self.chances, jax.random.uniform(key, (n,)), side="right")
        periods, last = start - self.first + jnp.arange(horizon), self.demand.shape[0] - 1
        span = WEEK * min(max(1, (last + 1) // WEEK), WEEKS)
        again = -(-jnp.maximum(periods - last, 0) // span)  # how many times the last weeks were over by then
        periods = jnp.clip(periods - span * again, 0, last)
        return self.demand[periods[:, None], jnp.minimum(chosen, len(self.chances) - 1)[None]]


def create(demand: Array, weights: np.ndarray, first: int) -> Tilted:
    """demand: [period, path, item] from period `first` on; weights: [path] >= 0, in any unit."""
    total = np.cumsum(np.asarray(weights, np.float64))
    return Tilted(jnp.asarray(np.asarray(demand, np.float32)), jnp.asarray(total / total[-1], jnp.float32), jnp.int32(first))
