"""First-order autoregressive demand: high days follow high days."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from invbench.checks import number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array


@partial(jax.tree_util.register_dataclass, data_fields=["mean", "cv", "correlation"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class Autoregressive(Scenario):
    """Stationary normal AR(1) around the mean, cut off at zero. Make one with `create`."""

    mean: Array | float
    cv: Array | float
    correlation: Array | float
    items: int

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        shocks = jax.random.normal(key, (horizon, n, self.items))
        fresh = jnp.sqrt(1 - self.correlation**2)

        def step(deviation, shock):
            deviation = self.correlation * deviation + fresh * shock
            return deviation, deviation

        first = shocks[0]  # stationary from the first period on
        _, later = lax.scan(step, first, shocks[1:])
        deviations = jnp.concatenate([first[None], later])
        return jnp.maximum(self.mean * (1 + self.cv * deviations), 0)


def create(*, mean: float, cv: float, correlation: float, items: int) -> Autoregressive:
    """mean: units per period; cv: of the stationary distribution; correlation: between neighbouring periods, in (-1, 1)."""
    mean = number("scenario.mean", mean, low=0, above=True)
    cv = number("scenario.cv", cv, low=0, high=1 / 3)
    correlation = number("scenario.correlation", correlation)
    require(-1 < correlation < 1, "scenario.correlation", "in (-1, 1)", correlation)
    return Autoregressive(mean, cv, correlation, whole("scenario.items", items, low=1))
