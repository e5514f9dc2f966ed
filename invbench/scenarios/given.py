"""Demand that is written down: the same on every path, as in a game or a worked example."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from invbench.checks import choice, number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array


@partial(jax.tree_util.register_dataclass, data_fields=["values"], meta_fields=["after", "items"])
@dataclass(frozen=True, eq=False)
class Given(Scenario):
    """The demand of periods 0, 1, …, every item alike. Make one with `create`."""

    values: Array  # [period] units
    after: str  # what follows the last value: "hold" it, or "repeat" all
    items: int

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        """The key is not used. Before period 0 demand is the first value, or, where values repeat, what goes round."""
        periods, count = start + jnp.arange(horizon), self.values.shape[0]
        slots = periods % count if self.after == "repeat" else jnp.clip(periods, 0, count - 1)
        return jnp.broadcast_to(self.values[slots][:, None, None], (horizon, n, self.items))


def create(*, values: list[float], after: str, items: int) -> Given:
    """Checked demand: values in units, one a period; after: "hold" (the last one goes on for ever) or "repeat"."""
    require(isinstance(values, list | tuple) and len(values) > 0, "scenario.values", "a list of units per period", values)
    checked = [number(f"scenario.values[{period}]", value, low=0) for period, value in enumerate(values)]
    choice("scenario.after", after, ("hold", "repeat"))
    return Given(jnp.asarray(checked, jnp.float32), after, whole("scenario.items", items, low=1))
