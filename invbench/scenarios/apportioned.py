"""The demand of places of different size: one process for all, times what each place has of it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.scenarios.base import Scenario
from invbench.types import Array


@partial(jax.tree_util.register_dataclass, data_fields=["base", "size"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Apportioned(Scenario):
    """Demand of `base`, item by item, times the size of the item. Make one with `create`."""

    base: Scenario
    size: Array  # [item]

    @property
    def items(self) -> int:
        return self.base.items

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        return self.base.draw(key, n, horizon, start) * self.size


def create(base: Any, demand: np.ndarray) -> Apportioned:
    """The process scaled so that its mean is `demand` [item], units a period, apart from trend and waves."""
    mean = np.asarray(getattr(base, "mean", 0), np.float64)
    require(
        mean.ndim == 0 and mean > 0, "scenario", "one with a mean, as seasonal, where there is a network", type(base).__name__
    )
    require(base.items == len(demand), "scenario.items", f"{len(demand)}, one for each customer of the network", base.items)
    return Apportioned(base, jnp.asarray(demand / mean, jnp.float32))
