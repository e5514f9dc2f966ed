"""Demand drawn from paths that are written down, some of them more often than others: what a risk-averse method trains on."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from invbench.scenarios.base import Scenario
from invbench.types import Array


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
        """Whole paths by inverse CDF; before the first and after the last period that is written down, those two."""
        chosen = jnp.searchsorted(self.chances, jax.random.uniform(key, (n,)), side="right")
        periods = jnp.clip(start - self.first + jnp.arange(horizon), 0, self.demand.shape[0] - 1)
        return self.demand[periods[:, None], jnp.minimum(chosen, len(self.chances) - 1)[None]]


def create(demand: Array, weights: np.ndarray, first: int) -> Tilted:
    """demand: [period, path, item] from period `first` on; weights: [path] >= 0, in any unit."""
    total = np.cumsum(np.asarray(weights, np.float64))
    return Tilted(jnp.asarray(np.asarray(demand, np.float32)), jnp.asarray(total / total[-1], jnp.float32), jnp.int32(first))
