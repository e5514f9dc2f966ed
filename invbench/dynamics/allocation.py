"""Who gets what when a stocking point is short: each rule is a named function.

asked: [..., arc, product] units >= 0, the arcs in order of rank; available: [..., product]. A rule gives [..., arc, product], never
more than is asked, min(available, sum of asked) in all. Where both are whole numbers, so is what is given.
"""

import jax.numpy as jnp
from jax import lax

from invbench.types import Array

NEAR = 1e-4  # of a unit: what is so close below a whole number is one that was rounded


def allocate(rule: str, asked: Array, available: Array) -> Array:
    """What the rule of this name gives."""
    if asked.shape[-2] == 1:
        return jnp.minimum(asked, available[..., None, :])
    return RULES[rule](asked, available)


def proportional(asked: Array, available: Array) -> Array:
    """Every arc the same part of what it asks for; whole units: rounded down, the rest one by one in order of rank."""
    total = asked.sum(-2)
    short = total > available
    part = jnp.where(short, available, 1) / jnp.where(short, total, 1)
    return _whole(asked * part[..., None, :], asked, jnp.minimum(available, total))


def priority(asked: Array, available: Array) -> Array:
    """The first arc all that it asks for, then the next, as long as there is any."""
    before = jnp.cumsum(asked, axis=-2) - asked
    return jnp.clip(available[..., None, :] - before, 0, asked)


def min_max(asked: Array, available: Array) -> Array:
    """The largest shortfall is as small as it can be: each arc is short of min(asked, θ), the same θ for all (water filling).

    The sum of min(asked, θ) is the least of its linear pieces, so the θ at which it is the whole shortage is the largest that any
    piece gives. Whole units: the shortfalls are rounded down, the rest one by one from the last rank up.
    """
    short = jnp.maximum(asked.sum(-2) - available, 0)
    rising = jnp.sort(asked, axis=-2)
    left = asked.shape[-2] - jnp.arange(asked.shape[-2])[:, None]
    level = ((short[..., None, :] - (jnp.cumsum(rising, axis=-2) - rising)) / left).max(-2, keepdims=True)
    return asked - _whole(jnp.minimum(asked, level), asked, short, reverse=True)


RULES = {"proportional": proportional, "priority": priority, "min_max": min_max}


def _whole(exact: Array, asked: Array, total: Array, reverse: bool = False) -> Array:
    """`exact`; but in whole units that sum to `total` where that and all of `asked` are whole. The slope is that of `exact`."""
    down = jnp.floor(exact + NEAR)
    rest = (total - down.sum(-2))[..., None, :]
    above, below = asked > down, down > 0
    count = lambda chosen, backward: lax.cumsum(chosen.astype(exact.dtype), axis=chosen.ndim - 2, reverse=backward)  # noqa: E731
    whole = down + (above & (count(above, reverse) <= rest)) - (below & (count(below, not reverse) <= -rest))
    is_whole = jnp.all(asked == jnp.floor(asked), -2) & (total == jnp.floor(total))
    return jnp.where(is_whole[..., None, :], exact + lax.stop_gradient(whole - exact), exact)
