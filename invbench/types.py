"""The records that everything else passes around: state, flows, observation, paths, policy. JAX only.

Shapes are written here once. `item` is one (site, product) pair; `window` is how many past periods a policy looks back on.
They are those of one path. The physics and the elementwise policies also take a block of paths at once: every [item] may be
[..., item], with the axes of the block between a leading ring or table axis and the item axis.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array


class State(NamedTuple):
    """A single-echelon system at the start of a period, before the order that is due arrives. Units."""

    on_hand: Array  # [item] net stock: below zero is what is owed to customers
    position: Array  # [item] on hand + on order - owed; carried, because summing the pipeline costs more
    pipeline: Array  # [lead_time, item] ring: slot time % lead_time arrives now and takes today's order
    history: Array  # [window, item] ring: what was seen of demand; slot time % window is the oldest
    time: Array  # [] int32, the period's absolute number


class WatchedState(NamedTuple):
    """The same, for policies that ask for the periods in which demand was missed."""

    on_hand: Array
    position: Array
    pipeline: Array
    history: Array
    time: Array
    misses: Array  # [window, item] ring beside history: 1 where demand was missed


def forgetful(state: Any) -> Any:
    """The state of any system without its past, which no physics reads."""
    rings = [name for name in ("history", "misses") if hasattr(state, name)]
    return state._replace(**{name: getattr(state, name)[:0] for name in rings})


class Observation(NamedTuple):
    """What a policy may know when it orders: the due order has arrived, today's demand has not been seen."""

    on_hand: Array  # [item] net stock after receipt
    position: Array  # [item] inventory position
    pipeline: Array  # [max(lead_time - 1, 0), item] outstanding orders, the next to arrive first
    ring: Array  # [window, item] what was seen of demand, as it is stored: slot time % window is the oldest
    time: Array  # [] int32
    ages: Array | None = None  # [life, item] on hand by remaining life, the oldest first; None where stock keeps
    misses: Array | None = None  # [window, item] ring: 1 where demand was missed; None unless the policy asks for it
    weight: Array | None = None  # [item] of missed units, see `learning.preferences`; None where it is always the same

    @property
    def history(self) -> Array:
        """[window, item] what was seen of demand, oldest first. A copy: `weighted_history` is ten times faster."""
        return jnp.roll(self.ring, -(self.time % self.ring.shape[0]), axis=0) if self.ring.shape[0] else self.ring


def weighted_history(observation: Observation, weights: Array) -> Array:
    """[item] sum of weights x history; weights: [window, item or 1], oldest first. Turns the weights, not the history."""
    ring, window = observation.ring, observation.ring.shape[0]
    turned = jnp.roll(weights, observation.time % window, axis=0)
    if turned.size == window:
        return jnp.tensordot(turned.reshape(window), ring, axes=(0, 0))
    add = lambda total, slot: (total + slot[0] * slot[1], None)  # noqa: E731 - one slot at a time stays in the cache
    return lax.scan(add, jnp.zeros_like(ring[0]), (turned, ring))[0]


def recent_mean(observation: Observation) -> Array:
    """[item] mean of what was seen over the window."""
    window = observation.ring.shape[0]
    return weighted_history(observation, jnp.full((window, 1), 1 / window, observation.ring.dtype))


class Flows(NamedTuple):
    """What happened in one period, in units, each [item]. Money is counted from these afterwards."""

    demand: Array
    ordered: Array  # the order that the system accepted
    placed: Array  # 1 where an order was placed, else 0
    received: Array
    sold: Array  # handed to customers in this period
    missed: Array  # this period's demand that stock could not meet at once
    lost: Array  # of that, what is gone for good
    backlog: Array  # owed at the end of the period
    held: Array  # on hand at the end of the period
    expired: Array
    expedited: Array | None = None  # of what was ordered, from the fast supplier; None where there is one supplier
    in_transit: Array | None = None  # on the way to the item at the end of the period; None where it is not charged
    carried: Array | None = None  # units sent to the item times the length of their way; None where ways have no length
    used: Array | None = None  # 1 at the first product of a site in use in this period, else 0; None where none can be closed


class Paths(NamedTuple):
    """Futures, drawn before anyone decides; every method faces the same. Time-major, because the scan reads it so."""

    demand: Array  # [horizon, n, item] units
    before: Array  # [window, n, item] demand of the periods just before, oldest first
    delay: Array | None = None  # [horizon, n] int32: what was ordered at least so long ago arrives; None if lead time is fixed
    start: int = 0  # absolute number of the first period


class Policy(NamedTuple):
    """Data plus a named function: `apply(params, observation, key) -> order [item]` ([supplier, item] where there are two).

    `apply` is a module-level function, so that equal shapes compile once. `key` is None unless `random`. An `elementwise`
    policy treats every item by itself and takes a block of paths as it is: the last axis of every leaf of its params is
    item (or 1), so that leaves broadcast. Any other policy is mapped over the paths of a block.
    """

    params: Any
    apply: Callable[[Any, Observation, Array | None], Array]
    window: int = 0  # past periods that apply looks at
    random: bool = False
    elementwise: bool = True
    per_path: bool = False  # leaves of params are [..., n, item]: a plan for each path
    every: int = 0  # periods between two revisions; 0: it is never revised
    revise: Callable[[Any, Observation], Any] | None = (
        None  # new params from the old and what all paths have seen; see rolling.py
    )
    misses: bool = False  # whether apply looks at the periods in which demand was missed; only `Single` keeps them
