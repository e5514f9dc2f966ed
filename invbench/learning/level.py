"""The level of demand, followed path by path: a running mean that starts anew where a cumulative sum says that it has shifted.

Sources: Page 1954, "Continuous inspection schemes", Biometrika 41: sums of log-likelihood ratios, an alarm where one is too high,
and the shift began where the sum was last zero; Nahmias 1994, "Demand estimation in lost sales inventory systems", Naval Research
Logistics 41: where all stock was sold, normal demand is only known to be no less.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.stats import norm

from invbench.types import Array

FAR = 8.0  # standard deviations beyond which all demand is alike


class Side(NamedTuple):
    """A cumulative sum to one side, each [..., item]."""

    height: Array  # standard deviations
    total: Array  # of demand over what was expected, since the sum was last zero
    periods: Array  # since then


@partial(jax.tree_util.register_dataclass, data_fields=["mean", "count", "high", "low"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Level:
    """What is known of the level of demand, as a multiple of what was expected; each [..., item]."""

    mean: Array
    count: Array  # periods that the mean is worth
    high: Side
    low: Side


class Rules(NamedTuple):
    """When the level moves; each []."""

    spread: Array  # [item] standard deviation of a period's demand, as a share of what was expected
    shift: Array  # of the level that is looked for, standard deviations of a period's demand
    alarm: Array  # height at which the level has shifted, standard deviations
    memory: Array  # periods that the mean is worth at most


def begun(items: int, trust: float) -> Level:
    """The level as expected, worth `trust` periods."""
    zero = jnp.zeros(items, jnp.float32)
    return Level(zero + 1, zero + trust, Side(zero, zero, zero), Side(zero, zero, zero))


def follow(rules: Rules, level: Level, ratios: Array, out: Array) -> Level:
    """The level after some periods more.

    ratios: [period, ..., item] what was sold over what was expected; out: the same shape, bool: all stock was sold.
    """
    level = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, ratios.shape[1:]), level)
    return lax.scan(lambda level, seen: (_next(rules, level, *seen), None), level, (ratios, out))[0]


def _next(rules: Rules, level: Level, ratio: Array, out: Array) -> Level:
    spread = rules.spread * jnp.maximum(level.mean, 0.05)
    high, low = (_side(rules, side, level.mean, spread, sign, ratio, out) for side, sign in ((level.high, 1), (level.low, -1)))
    risen, fallen = high.height > rules.alarm, low.height > rules.alarm
    shifted = risen | fallen
    count = jnp.minimum(level.count + 1, rules.memory)
    since = jax.tree.map(lambda up, down: jnp.where(risen, up, down), high, low)
    follows = level.mean + (demanded(level.mean, spread, ratio, out) - level.mean) / count
    mean = jnp.where(shifted, since.total / jnp.maximum(since.periods, 1), follows)
    empty = lambda side: jax.tree.map(lambda leaf: jnp.where(shifted, 0, leaf), side)  # noqa: E731
    return Level(mean, jnp.where(shifted, since.periods, count), empty(high), empty(low))


def _side(rules: Rules, side: Side, mean: Array, spread: Array, sign: int, ratio: Array, out: Array) -> Side:
    """A sum once a period more is seen: of log-likelihood ratios of the shifted level against the level, over the shift."""
    shift, surprise = sign * rules.shift, jnp.clip((ratio - mean) / spread, -FAR, FAR)
    least = (norm.logsf(surprise - shift) - norm.logsf(surprise)) / rules.shift  # demand was no less than that
    height = jnp.maximum(side.height + jnp.where(out, least, sign * surprise - rules.shift / 2), 0)
    goes_on, demand = height > 0, demanded(mean + shift * spread, spread, ratio, out)
    return Side(height, jnp.where(goes_on, side.total + demand, 0), jnp.where(goes_on, side.periods + 1, 0))


def demanded(mean: Array, spread: Array, sold: Array, out: Array) -> Array:
    """What was demanded: what was sold, and where that was all, the mean of normal demand that is no less."""
    far = jnp.clip((sold - mean) / spread, -FAR, FAR)
    more = mean + spread * jnp.exp(norm.logpdf(far) - norm.logsf(far))
    return jnp.where(out, jnp.maximum(more, sold), sold)
