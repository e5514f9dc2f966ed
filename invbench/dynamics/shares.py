"""Shares of units by arc: orders of nodes over their suppliers, customers' demand over the sites that serve them.

Whole units are split into whole units, and so that over time each arc has its share: cumulative shares are rounded by an offset
that moves through [0, 1) evenly (a lattice of rank 1), with the period and from item to item.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.dynamics.allocation import running
from invbench.dynamics.arcs import Fan, rows
from invbench.types import Array

LATTICE = 987, 610, 377  # Fibonacci numbers: multiples of the second or third modulo the first fill the circle evenly


class Split(NamedTuple):
    """How orders of nodes are spread over arcs; made by `Network.splits`, used by `split`."""

    node: Array  # [arc item] the node item that orders
    before: Array  # [arc item] the share of the node's arcs before this one
    upto: Array  # [arc item] and with this one
    to_customer: Array  # [arc item] 1 where the arc leads to a customer, else 0
    shift: Array  # [arc item] so that not all have their extra units at the same time


def parts_of(share: np.ndarray, destinations: np.ndarray, products: int, to_customer: np.ndarray) -> Split:
    """What `split` needs: shares [arc], summed up over the arcs of each destination in their order."""
    share, before, total = share.astype(np.float64), np.zeros(len(share)), np.zeros(destinations.max() + 1)
    for arc, node in enumerate(destinations):
        before[arc] = total[node]
        total[node] += share[arc]
    upto = np.where(np.abs(before + share - 1) < 1e-6, 1, before + share)
    items = (destinations[:, None] * products + np.arange(products)).ravel()
    figures = [np.repeat(part, products) for part in (before, upto, to_customer)] + [_shift(items)]
    return Split(jnp.asarray(items, jnp.int32), *(jnp.asarray(part, jnp.float32) for part in figures))


def split(parts: Split, orders: Array, time: Array | int = 0) -> Array:
    """[..., arc item] for orders [..., node item]: on arcs to sites their share of the units, on arcs to customers the share.

    Whole orders are split into whole units, and over time each arc has its share.
    """
    units = orders.at[..., parts.node].get(mode="promise_in_bounds")
    upto, before = (_steps(shares, units, time, parts.shift) for shares in (parts.upto, parts.before))
    return jnp.where(parts.to_customer > 0, parts.upto - parts.before, upto - before)


def _shift(items: np.ndarray) -> np.ndarray:
    """In [0, 1), spread evenly over the items."""
    length, _, step = LATTICE
    return (items * step % length / length).astype(np.float32)


def _steps(share: Array, units: Array, time: Array | int, shift: Array | np.ndarray) -> Array:
    """share x units; whole where the units are, and then so that it is right on average over time (a lattice of rank 1)."""
    length, step, _ = LATTICE
    offset = ((time % length) * step % length + 0.5) / length + shift
    offset = offset - (offset >= 1)
    exact = share * units
    whole = jnp.minimum(jnp.floor(exact + offset), units)
    return exact + lax.stop_gradient(jnp.where(units == jnp.floor(units), whole - exact, 0))


def route(serving: Fan, share: Array, demand: Array, time: Array | int) -> tuple[Array, Array]:
    """Today's demand by arc [..., arc, product], and what of it is sent nowhere [..., customer, product].

    share: [..., arc, product], of the customer's demand [..., customer, product].
    """
    parts, over, products = [], [], demand.shape[-1]
    for table in serving.tables:
        wanted, upto = rows(demand, table.nodes), running(table.lay(share))
        upto = upto / jnp.maximum(upto[-1], 1)
        shift = _shift(table.nodes[:, None] * products + np.arange(products))
        upto = _steps(jnp.where(upto >= 1 - 1e-6, 1, upto), wanted, time, shift)
        over.append(wanted - upto[-1])
        parts.append(upto - jnp.concatenate([jnp.zeros_like(upto[:1]), upto[:-1]]))
    return serving.by_arc(parts), serving.by_node(over)
