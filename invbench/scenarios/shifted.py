"""Demand whose level shifts for good in one period: any process before it, the same times 1 + shift from it on."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from invbench.checks import number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array


@partial(jax.tree_util.register_dataclass, data_fields=["base", "shift", "at"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Shifted(Scenario):
    """Demand of `base` with a shift of its level. Make one with `create`."""

    base: Scenario
    shift: Array | float  # share of the level
    at: Array | int  # absolute number of the first period at the new level

    @property
    def items(self) -> int:
        return self.base.items

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        after = start + jnp.arange(horizon)[:, None, None] >= self.at
        return self.base.draw(key, n, horizon, start) * jnp.where(after, 1 + self.shift, 1)


def create(*, base: Scenario, shift: float, at: int, items: int) -> Shifted:
    """A checked shift. base: any process; shift: share of the level, -0.99 or more; at: absolute number of a period;
    items: those of the base."""
    require(isinstance(base, Scenario), "scenario.base", "a scenario", type(base).__name__)
    require(base.items == items, "scenario.items", f"{base.items}, as scenario.base has", items)
    return Shifted(base, number("scenario.shift", shift, low=-0.99), whole("scenario.at", at))
