"""The money of a period on average over today's demand, where its probabilities are known: the same slope, with less noise."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.problem import Problem
from invbench.types import Array, Flows, forgetful

RARE = 1e-7  # probability below which a value of demand is left out
MOST = 64  # values of demand up to which a mean over all of them is worth its price

Support = tuple[Array, Array]  # values of demand and their probabilities, each [value, 1, 1]


def support_of(problem: Problem) -> Support | None:
    """The demand of any period, where the fit knows its probabilities, and they are few and always the same; else None."""
    if not hasattr(problem.scenario, "pmf"):
        return None
    pmf = problem.scenario.pmf()
    values = np.flatnonzero(pmf > RARE)
    if len(values) > MOST:
        return None
    parts = values, pmf[values] / pmf[values].sum()
    return tuple(jnp.asarray(part, jnp.float32)[:, None, None] for part in parts)


def mean_of(
    money: Callable[[Flows], Array], system: Any, state: Any, order: Array, delay: Array | None, support: Support
) -> Array:
    """[lane, item] mean over today's demand of `money` of the flows; state and order are those of a block of lanes."""
    values, probability = support
    wide = lambda leaf: jnp.expand_dims(leaf, -3) if leaf.ndim > 1 else leaf  # noqa: E731
    before = jax.tree.map(wide, forgetful(state))
    if hasattr(state, "ages"):  # they are written one by one, in place
        ages = jnp.broadcast_to(before.ages, (before.ages.shape[0], values.shape[0], *before.ages.shape[2:]))
        before = before._replace(ages=ages)
    flows = system.transition(before, wide(order), values, delay)[1]
    return jnp.tensordot(probability.reshape(-1), money(flows), axes=1)  # a sum over the product would not be vectorised
