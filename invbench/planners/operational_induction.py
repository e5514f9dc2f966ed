"""Backward induction for many items at once: blocks of items side by side, each block's tables in the cache. Float64."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as Spec

from invbench.replay import AXIS, mesh
from invbench.types import Array

BLOCK = 64  # items that are worked out together
NEVER = 1e300  # money of what is not allowed


class Data(NamedTuple):
    """Items as the programme reads them; item comes last. Stock and demand in steps, money per step."""

    pmf: Array  # [period, demand, item]
    limit: Array  # [period, item] steps that may be ordered
    highest: Array  # [item] state above which no order may lift the position
    low: Array  # [item] position of state 0, <= 0
    lead: Array  # [item]
    lost: Array  # [item] bool: stock does not fall below zero
    fixed_order: Array  # [item] the rest too
    purchase: Array
    holding: Array
    shortage: Array
    salvage: Array
    owed: Array


class Found(NamedTuple):
    """What the programme finds; item comes last."""

    quantity: Array  # [period, state, item] int16 steps
    cost: Array  # [state, item] money
    straight: Array  # [item] bool: in every period the values below state 0 lie on a straight line, as they are taken to


def by_position(data: Data, states: int, longest: int) -> Found:
    """Items whose state is the inventory position: backlog with any lead time, or lost sales with orders that arrive at once.

    longest: at least every lead time.
    """
    return _in_blocks(_by_position, data, BLOCK, (states, longest))


def after_receipt(data: Data, states: int) -> Found:
    """Items that lose sales with a lead time of 1: the state is the stock on hand, the order is not yet part of it."""
    return _in_blocks(_after_receipt, data, BLOCK, (states,))


def _in_blocks(solve: Callable[..., Found], data: Data, block: int, sizes: tuple[int, ...]) -> Found:
    """`solve` for blocks of items, in one compiled call: one after the other on each device."""
    items, devices = data.lead.shape[-1], len(jax.devices())
    block = min(block, -(-items // devices))
    more = -items % (block * devices)
    padded = jax.tree.map(lambda leaf: np.concatenate([leaf, np.repeat(leaf[..., :1], more, -1)], -1) if more else leaf, data)
    with jax.enable_x64(True):
        found = jax.tree.map(np.asarray, _spread(padded, solve, block, sizes))
    return jax.tree.map(lambda leaf: np.moveaxis(leaf, 0, -2).reshape(*leaf.shape[1:-1], -1)[..., :items], found)


@partial(jax.jit, static_argnames=("solve", "block", "sizes"))
def _spread(data: Data, solve: Callable[..., Found], block: int, sizes: tuple[int, ...]) -> Found:
    """Found with a leading axis of blocks."""

    def share(part: Data) -> Found:
        cut = lambda number: jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, number * block, block, -1), part)  # noqa: E731
        return lax.map(lambda number: solve(cut(number), *sizes), jnp.arange(part.lead.shape[-1] // block))

    by_item = jax.tree.map(lambda leaf: Spec(*(None,) * (leaf.ndim - 1), AXIS), data)
    return jax.shard_map(share, mesh=mesh(), in_specs=(by_item,), out_specs=Spec(AXIS), check_vma=False)(data)


class Ahead(NamedTuple):
    """What is known of the periods after one: values by state, and what a step below state 0 adds to each."""

    value: Array  # [state, item] cost to go
    value_down: Array  # [item]
    charge: Array  # [longest, state, item] expected charge at the end of the period, 1 + that axis periods from now
    charge_down: Array  # [longest, item]
    straight: Array  # [item]


def _by_position(data: Data, states: int, longest: int) -> Found:
    """Found for a block. The charge of the period in which an order of now can first meet demand is the order's."""
    periods, items = len(data.pmf), data.lead.shape[-1]
    nothing = jnp.zeros((states, items))
    later = jnp.zeros((longest, states, items)), jnp.zeros((longest, items))
    last = Ahead(nothing, jnp.zeros(items), *later, jnp.ones(items, bool))
    step = partial(_period, data, periods)
    ahead, quantity = lax.scan(step, last, (data.pmf, data.limit, jnp.arange(periods)), reverse=True)
    before = jnp.where(jnp.arange(longest)[:, None, None] < data.lead, ahead.charge, 0).sum(0)  # until the first order arrives
    return Found(quantity, ahead.value + before, ahead.straight)


def _period(data: Data, periods: int, ahead: Ahead, given: tuple[Array, Array, Array]) -> tuple[Ahead, Array]:
    """One period back: the orders of `period` [state, item], and what is then known."""
    pmf, limit, period = given
    end, end_down = _charge(data, len(ahead.value), period == periods - 1)
    functions = jnp.concatenate([ahead.value[None], end[None], ahead.charge])
    downs = jnp.concatenate([ahead.value_down[None], end_down[None], ahead.charge_down])
    expected = _expected(functions, downs, pmf)
    mine = jnp.arange(len(downs) - 1)[:, None] == data.lead
    keep = jnp.where(mine[:, None], expected[1:], 0).sum(0) + expected[0]
    down = jnp.where(mine, downs[1:], 0).sum(0) + downs[0]
    value, value_down, quantity, straight = _best(data, keep, down, limit)
    in_time = period + data.lead < periods
    longest = len(ahead.charge)
    known = Ahead(
        jnp.where(in_time, value, 0),
        jnp.where(in_time & ~data.lost, value_down, 0),
        expected[1 : 1 + longest],
        downs[1 : 1 + longest],
        ahead.straight & (straight | ~in_time | data.lost),
    )
    return known, jnp.where(in_time, quantity, 0).astype(jnp.int16)


def _charge(data: Data, states: int, last: Array) -> tuple[Array, Array]:
    """[state, item] money for what is left or owed at the end of a period, and what a step lower adds below state 0."""
    left = data.low + jnp.arange(states)[:, None]
    shortage = data.shortage + jnp.where(last, data.owed, 0)
    holding = data.holding - jnp.where(last, data.salvage, 0)
    return jnp.where(left > 0, holding * left, -shortage * left), shortage


def _expected(functions: Array, downs: Array, pmf: Array) -> Array:
    """E f(state - demand) [function, state, item], for f as in `functions` and straight below state 0; pmf: [demand, item]."""
    reach, states = len(pmf) - 1, functions.shape[1]
    below = functions[:, :1] + downs[:, None] * jnp.arange(reach, 0, -1)[:, None]
    whole = jnp.concatenate([below, functions], 1)

    def add(demand: Array, total: Array) -> Array:
        return total + pmf[demand] * lax.dynamic_slice_in_dim(whole, reach - demand, states, 1)

    return lax.fori_loop(0, reach + 1, add, jnp.zeros_like(functions))


def _best(data: Data, keep: Array, down: Array, limit: Array) -> tuple[Array, Array, Array, Array]:
    """Value [state, item], what a step lower adds to it, steps to order [state, item], and whether it is straight below.

    keep: [state, item] the expected money from a position after ordering, without the order's own; `down` as in `Ahead`.
    """
    states = len(keep)
    state = jnp.arange(states)[:, None]
    bought = keep + data.purchase * state
    least, target = _least_above(jnp.where(state <= data.highest, bought, NEVER), limit)
    orders = data.fixed_order + least < bought
    value = jnp.where(orders, data.fixed_order + least - data.purchase * state, keep)
    rises = down - data.purchase  # of `bought`, a step lower
    free = limit >= states
    straight = jnp.where(orders[0], free & (rises >= 0), rises <= 0)
    return value, jnp.where(orders[0], data.purchase, down), jnp.where(orders, target - state, 0), straight


def _least_above(values: Array, width: Array) -> tuple[Array, Array]:
    """[state, item] the least of the next `width` [item] values above each state, and where it is, the lowest such state.

    Windows of 1, 2, 4, … values are doubled, and those that the binary digits of the width ask for are put together.
    """
    states = len(values)
    digits = max(states - 1, 1).bit_length()
    where = jnp.broadcast_to(jnp.arange(states)[:, None], values.shape)
    width = jnp.minimum(width, states - 1).astype(jnp.int64)

    def double(digit: int, found: tuple) -> tuple:
        window, least = found
        shift = 1 << digit
        asked = (width >> digit) & 1 > 0
        joined = _less(window, _up(least, shift))
        least = tuple(jnp.where(asked, new, old) for new, old in zip(joined, least))
        return _less(window, _up(window, shift)), least

    first = _up((values, where), 1)
    none = jnp.full_like(values, NEVER), jnp.zeros_like(where)
    return lax.fori_loop(0, digits, double, (first, none))[1]


def _up(pair: tuple[Array, Array], shift: Any) -> tuple[Array, Array]:
    """Values and places of the state `shift` higher; beyond the last, no value."""
    values, places = pair
    pad = ((0, len(values)), (0, 0))
    values, places = jnp.pad(values, pad, constant_values=NEVER), jnp.pad(places, pad)
    return tuple(lax.dynamic_slice_in_dim(part, shift, len(part) // 2) for part in (values, places))


def _less(low: tuple[Array, Array], high: tuple[Array, Array]) -> tuple[Array, Array]:
    """The lesser of two values and its place; the first if they are equal."""
    better = high[0] < low[0]
    return jnp.where(better, high[0], low[0]), jnp.where(better, high[1], low[1])


def _after_receipt(data: Data, states: int) -> Found:
    """Found for a block.

    With y = stock + order, what follows an order is worth E V((stock - D)+ + order) = sum over d < stock of P(D = d) V(y - d)
    + P(D >= stock) V(order): for all y at once, the sum grows by a term from one stock to the next.
    """
    periods, reach = data.pmf.shape[:2]
    after = jnp.arange(states)[:, None]  # stock and order together

    def back(value: Array, given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        pmf, limit, period = given
        chance = jnp.pad(pmf, ((0, max(states - reach, 0)), (0, 0)))
        most = jnp.flip(jnp.cumsum(jnp.flip(chance, 0), 0), 0)  # P(D >= d)
        below = jnp.concatenate([jnp.zeros_like(value), value])

        def at(total: Array, given: tuple[Array, Array, Array]) -> tuple[Array, tuple[Array, Array]]:
            stock, equal, more = given
            moved, order = lax.dynamic_slice_in_dim(below, states - stock, states), after - stock
            allowed = (order == 0) | (order > 0) & (order <= limit) & (after <= data.highest)
            paid = data.purchase * order + jnp.where(order > 0, data.fixed_order, 0)
            money = jnp.where(allowed, paid + total + more * moved, NEVER)
            least = money.min(0)
            return total + equal * moved, (least, jnp.where(money == least, order, states).min(0))

        _, (least, order) = lax.scan(at, jnp.zeros_like(value), (jnp.arange(states), chance[:states], most[:states]))
        in_time = period + 1 < periods
        end, end_down = _charge(data, states, period == periods - 1)
        charge = _expected(end[None], end_down[None], pmf)[0]
        return charge + jnp.where(in_time, least, 0), jnp.where(in_time, order, 0).astype(jnp.int16)

    nothing = jnp.zeros((states, data.lead.shape[-1]))
    value, quantity = lax.scan(back, nothing, (data.pmf, data.limit, jnp.arange(periods)), reverse=True)
    return Found(quantity, value, jnp.ones(data.lead.shape, bool))
