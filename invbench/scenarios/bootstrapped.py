"""A simulator that knows how little it knows: many fits, each to a history that the fit itself might have seen.

Every path follows one of them, so that what is tuned or trained on the paths is right for all histories that could have led to
the one that was observed (parametric block bootstrap: Efron and Tibshirani 1993, "An introduction to the bootstrap", chapter 8).
"""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from invbench.scenarios.base import Scenario
from invbench.scenarios.fit import BLOCK, MEMORY, Fitted, History, fit
from invbench.types import Array

COLUMNS = 4096  # items x simulators that are fitted: with many items there are fewer of each
FEWEST = 4


@partial(jax.tree_util.register_dataclass, data_fields=["best", "coefficients"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class Bootstrapped(Scenario):
    """Simulators that differ in their profile. Make one with `bootstrapped`."""

    best: Fitted  # the fit to the history itself
    coefficients: Array  # [simulator, feature, item]
    items: int

    def profile(self, periods: Array) -> Array:
        """[period, item] expected demand in the given absolute periods, by the best fit."""
        return self.best.profile(periods)

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        pick, paths = jax.random.split(key)
        drawn = self.best.draw(paths, n, horizon, start)
        periods = start + jnp.arange(horizon)
        profiles = jax.vmap(lambda own: replace(self.best, coefficients=own).profile(periods), out_axes=1)(self.coefficients)
        other = jax.random.randint(pick, (n,), 0, self.coefficients.shape[0])
        return drawn * (profiles / self.profile(periods)[:, None])[:, other]


def bootstrapped(history: History, key: Array, count: int) -> Fitted | Bootstrapped:
    """The simulator of a history, or up to `count` of them beside it. Raises ValueError as `fit` does."""
    best = fit(history)
    items, periods = best.items, len(history.sales)
    count = min(count, max(FEWEST, COLUMNS // items))
    if count == 1:
        return best
    kept = min(periods, MEMORY)
    noise = np.asarray(_blocks(best, key, count, kept), np.float64)  # [kept, count, item]
    trended = np.asarray(best.profile(jnp.arange(periods - kept, periods)), np.float64)
    demand = np.zeros((periods, count * items))
    demand[-kept:] = (trended[:, None] * noise).reshape(kept, -1)
    flags = None if history.in_stock is None else np.tile(np.asarray(history.in_stock), (1, count))
    again = fit(history._replace(sales=demand, in_stock=flags, demand=demand))
    coefficients = jnp.moveaxis(again.coefficients.reshape(-1, count, items), 1, 0)
    return Bootstrapped(best, coefficients, items)


def _blocks(best: Fitted, key: Array, count: int, periods: int) -> Array:
    """[period, count, item] ratios in blocks of consecutive periods."""
    first = jax.random.randint(key, (-(-periods // BLOCK), 1, count), 0, best.ratios.shape[0])
    rows = (first + jnp.arange(BLOCK)[None, :, None]).reshape(-1, count)[:periods] % best.ratios.shape[0]
    return best.ratios[rows]
