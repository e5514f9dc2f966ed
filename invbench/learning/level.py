"""The level of demand, followed path by path: a running mean that starts anew where a cumulative sum says that it has shifted.

Sources: Page 1954, "Continuous inspection schemes", Biometrika 41, for the sums (an alarm where one is too high) and for when the
shift began (where the sum was last zero); Montgomery 2019, Introduction to statistical quality control, section 9.1.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from invbench.types import Array


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
    slack: Array  # standard deviations of a period that are taken as chance
    alarm: Array  # height at which the level has shifted, standard deviations
    memory: Array  # periods that the mean is worth at most


def begun(items: int, trust: float) -> Level:
    """The level as expected, worth `trust` periods."""
    zero = jnp.zeros(items, jnp.float32)
    return Level(zero + 1, zero + trust, Side(zero, zero, zero), Side(zero, zero, zero))


def follow(rules: Rules, level: Level, ratios: Array) -> Level:
    """The level after some periods more; ratios: [period, ..., item] what was seen over what was expected."""
    level = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, ratios.shape[1:]), level)
    return lax.scan(lambda level, ratio: (_next(rules, level, ratio), None), level, ratios)[0]


def _next(rules: Rules, level: Level, ratio: Array) -> Level:
    surprise = (ratio - level.mean) / (rules.spread * jnp.maximum(level.mean, 0.05))
    high, low = _side(rules, level.high, surprise, ratio), _side(rules, level.low, -surprise, ratio)
    risen, fallen = high.height > rules.alarm, low.height > rules.alarm
    shifted = risen | fallen
    count = jnp.minimum(level.count + 1, rules.memory)
    since = jax.tree.map(lambda up, down: jnp.where(risen, up, down), high, low)
    mean = jnp.where(shifted, since.total / jnp.maximum(since.periods, 1), level.mean + (ratio - level.mean) / count)
    empty = lambda side: jax.tree.map(lambda leaf: jnp.where(shifted, 0, leaf), side)  # noqa: E731
    return Level(mean, jnp.where(shifted, since.periods, count), empty(high), empty(low))


def _side(rules: Rules, side: Side, surprise: Array, ratio: Array) -> Side:
    height = jnp.maximum(side.height + surprise - rules.slack, 0)
    goes_on = height > 0
    return Side(height, jnp.where(goes_on, side.total + ratio, 0), jnp.where(goes_on, side.periods + 1, 0))
