"""Who gets what when a stocking point is short: each rule is a named function.

asked: [arc, ..., product] units >= 0, the arcs in order of rank; available: [..., product]. A rule gives [arc, ..., product],
never more than is asked, min(available, sum of asked) in all. Where both are whole numbers, so is what is given.
"""

import jax.numpy as jnp
from jax import lax

from invbench.types import Array

NEAR = 1e-4  # of a unit: what is so close below a whole number is one that was rounded


def allocate(rule: str, asked: Array, available: Array) -> Array:
    """What the rule of this name gives."""
    if asked.shape[0] == 1:
        return jnp.minimum(asked, available)
    return RULES[rule](asked, available)


def proportional(asked: Array, available: Array) -> Array:
    """Every arc the same part of what it asks for; whole units: rounded down, the rest one by one in order of rank."""
    total = asked.sum(0)
    short = total > available
    part = jnp.where(short, available, 1) / jnp.where(short, total, 1)
    return _whole(asked * part, asked, jnp.minimum(available, total))


def priority(asked: Array, available: Array) -> Array:
    """The first arc all that it asks for, then the next, as long as there is any."""
    before = running(asked) - asked
    return jnp.clip(available - before, 0, asked)


def min_max(asked: Array, available: Array) -> Array:
    """The largest shortfall is as small as it can be: each arc is short of min(asked, θ), the same θ for all (water filling).

    The sum of min(asked, θ) is the least of its linear pieces, so the θ at which it is the whole shortage is the largest that any
    piece gives. Whole units: the shortfalls are rounded down, the rest one by one from the last rank up.
    """
    short = jnp.maximum(asked.sum(0) - available, 0)
    rising = jnp.sort(asked, axis=0)
    left = jnp.expand_dims(len(asked) - jnp.arange(len(asked)), range(1, asked.ndim))
    level = ((short - (running(rising) - rising)) / left).max(0)
    return asked - _whole(jnp.minimum(asked, level)[::-1], asked[::-1], short)[::-1]


RULES = {"proportional": proportional, "priority": priority, "min_max": min_max}


def running(amounts: Array) -> Array:
    """Sums of the first one, the first two, … along axis 0."""
    if len(amounts) > 8:
        return jnp.cumsum(amounts, axis=0)
    sums = [amounts[0]]
    for amount in amounts[1:]:
        sums.append(sums[-1] + amount)
    return jnp.stack(sums)


def _whole(exact: Array, asked: Array, total: Array) -> Array:
    """`exact`; but in whole units that sum to `total` where that and all of `asked` are whole. The slope is that of `exact`."""
    down = jnp.floor(exact + NEAR)
    down = jnp.where(down.sum(0) > total, jnp.maximum(down - 1, 0), down)  # rounding of large numbers
    more = asked > down
    whole = down + (more & (running(more.astype(exact.dtype)) <= total - down.sum(0)))
    is_whole = jnp.all(asked == jnp.floor(asked), 0) & (total == jnp.floor(total))
    return jnp.where(is_whole, exact + lax.stop_gradient(whole - exact), exact)
