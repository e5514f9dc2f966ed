"""Experience: what came of actions, walked through on the system's own transition, and a ring in memory that keeps it.

A period's money is split: what an order costs is earned at once, and the rest `lag` periods later, where it is the first that the
order can change. The sum over all time is the same; each order is credited directly, and as no later order arrives before, no
exploration in between disturbs it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from invbench.keys import named
from invbench.learning.expected import Support, mean_of
from invbench.learning.trajectories import World, capped, stacked
from invbench.types import Array, Flows, forgetful

# ---- walking


class Row(NamedTuple):
    """One period of all lanes; each [period, lane, item] where several are stacked."""

    x: Array  # [period, feature, lane, item] of what was observed
    action: Array
    at_once: Array  # what the order itself earned (never above 0), in reward's scale
    later: Array  # the rest of the period's reward, or of what is expected of a later one
    terminated: Array  # 1 where nothing is earned after the period, else 0
    potential: Array | None = None  # of what was observed, where reward is shaped


def nothing(features: int, periods: int, shape: tuple[int, ...], shaped: bool = False) -> Row:
    """Rows of periods that never were; shape: (lane, item)."""
    narrow = jnp.zeros((periods, *shape))
    return Row(jnp.zeros((periods, features, *shape)), *(narrow,) * 4, narrow if shaped else None)


def walked(
    world: World, state: Any, demand: Array, delay: Array | None, keys: Array, act: Callable, units: Callable, reward: Callable
) -> tuple[Any, Row]:
    """The state after some periods, and their rows. demand: [period, lane, item]; delay: [period, lane] or None.

    act: (features, key) -> action; units: action -> order, units; reward: `happened` or `prospect` of a world.
    """

    def period(state, today):
        demand, delay, key = today
        observation = world.system.observe(state, delay)
        x = stacked(world.scales, observation)
        action = act(x, named(key, "act"))
        order = capped(units(action), observation, world.cap)
        after, flows = world.system.transition(state, order, demand, delay)
        later = reward(state, order, delay, flows, named(key, "futures"))
        return after, Row(x, action, ordering(world, flows), later, jnp.zeros_like(later), world.promise(observation))

    return lax.scan(period, state, (demand, delay, keys))


# ---- reward, each [..., item]


def ordering(world: World, flows: Flows) -> Array:
    """What orders cost by themselves, below zero."""
    none = jnp.zeros_like(flows.ordered)
    others = ("demand", "received", "sold", "missed", "lost", "backlog", "held", "expired")
    return world.money.cost.charge(flows._replace(**dict.fromkeys(others, none))).benefit / world.money.scale


def rest(world: World, flows: Flows) -> Array:
    """The reward of a period without that; their sum is about 0."""
    return world.money.reward(flows._replace(ordered=0 * flows.ordered, placed=0 * flows.placed))


def happened(world: World, state: Any, order: Array, delay: Array | None, flows: Flows, key: Array) -> Array:
    """The rest of today's reward, on average over today's demand where its probabilities are known."""
    return rest(world, flows) if world.support is None else expected(world, state, order, delay)


def prospect(world: World, lag: int, count: int, state: Any, order: Array, delay: None, flows: Flows, key: Array) -> Array:
    """The rest of the reward `lag` periods from now, on average over `count` futures that all lanes share.

    No later order arrives until then, so that none is placed; the last period is averaged over all of its demand. It takes
    most of the noise out of rewards that hang on rare and dear shortages. Only where `foreseeable`.
    """
    if lag == 0:
        return expected(world, state, order, None)
    lanes = order.shape[0]
    wide = lambda leaf: jnp.repeat(leaf, count, axis=-2) if leaf.ndim > 1 else leaf  # noqa: E731 - futures beside each other
    demand = jnp.tile(hypercube(world.support, key, lag, count), (1, lanes))[..., None]

    def period(carry, demand):
        state, order = carry
        after = world.system.transition(state, order, jnp.broadcast_to(demand, order.shape))[0]
        return (after, jnp.zeros_like(order)), None

    begun = jax.tree.map(wide, forgetful(state))
    (state, none), _ = lax.scan(period, (begun, wide(order)), demand)
    return expected(world, state, none, None).reshape(lanes, count, -1).mean(1)


def expected(world: World, state: Any, order: Array, delay: Array | None) -> Array:
    """The rest of today's reward on average over today's demand."""
    return mean_of(partial(rest, world), world.system, state, order, delay, world.support)


def foreseeable(world: World) -> bool:
    """Whether futures can be drawn in a training: the probabilities of demand are known, and no lead time is random."""
    return world.support is not None and getattr(world.system, "lead_time_distribution", None) is None


def hypercube(support: Support, key: Array, periods: int, count: int) -> Array:
    """[period, future] demand: in each period one draw from each of `count` equally likely parts of its distribution.

    Latin hypercube sampling (McKay, Beckman and Conover 1979, Technometrics 21(2), 239-245).
    """
    values, probability = (part.reshape(-1) for part in support)
    order, within = jax.random.uniform(key, (2, periods, count))
    share = (jnp.argsort(order, axis=1) + within) / count
    return values[(share[..., None] >= jnp.cumsum(probability)[:-1]).sum(-1)]


# ---- memory


class Transition(NamedTuple):
    """What followed an action. One row a transition: [row, feature] for features, [row] for the rest."""

    x: Array  # features of what was observed
    action: Array
    reward: Array  # of as many periods as lie between the two observations, discounted
    following: Array  # features of what was observed afterwards
    continues: Array  # what a value there is worth now: the discount, or 0 where the episode terminated
    weight: Array  # 1, or 0 for a row that holds nothing


def transitions(rows: Row, count: int, steps: int, lag: int, discount: float, fade: float, valid: Array) -> Transition:
    """The transitions that start in the first `count` of consecutive periods, of which there are lag + steps more.

    The reward of a transition is that of `steps` periods (Sutton 1988, "Learning to predict by the methods of temporal
    differences"): what their orders cost, and `fade` times the rest of what is earned `lag` periods later. valid: [period].
    """
    part = lambda leaf, first: leaf[first : first + count]  # noqa: E731
    reward, going = jnp.zeros_like(part(rows.later, 0)), jnp.ones_like(part(rows.later, 0))
    for step in range(steps):
        earned = part(rows.at_once, step) + fade * part(rows.later, lag + step)
        reward, going = reward + going * earned, going * discount * (1 - part(rows.terminated, step))
    if rows.potential is not None:  # what shapes each of the periods telescopes, see `shaping.shaped`
        reward = reward + going * part(rows.potential, steps) - part(rows.potential, 0)
    weight = jnp.broadcast_to(valid[:, None, None], reward.shape).astype(reward.dtype)
    flat = lambda leaf: jnp.moveaxis(leaf, 1, -1).reshape(-1, leaf.shape[1])  # noqa: E731
    action, reward, going, weight = (leaf.reshape(-1) for leaf in (part(rows.action, 0), reward, going, weight))
    return Transition(flat(part(rows.x, 0)), action, reward, flat(part(rows.x, steps)), going, weight)


def empty(features: int, capacity: int) -> Transition:
    """A memory of `capacity` rows that hold nothing yet."""
    wide, narrow = jnp.zeros((capacity, features)), jnp.zeros(capacity)
    return Transition(wide, narrow, narrow, wide, narrow, narrow)


def kept(memory: Transition, rows: Transition, number: Array) -> Transition:
    """The memory with a block of rows, the `number`-th of all, in the place of the oldest; the capacity is whole blocks."""
    block, capacity = rows.weight.shape[0], memory.weight.shape[0]
    first = number % (capacity // block) * block
    return jax.tree.map(lambda whole, part: lax.dynamic_update_slice_in_dim(whole, part, first, 0), memory, rows)


def drawn(memory: Transition, key: Array, size: int, filled: Array) -> Transition:
    """`size` of the first `filled` rows, at random with replacement; features come first: [feature, row]."""
    rows = jax.random.randint(key, (size,), 0, filled)
    taken = jax.tree.map(lambda leaf: leaf[rows], memory)
    return taken._replace(x=taken.x.T, following=taken.following.T)


def mean(values: Array, batch: Transition) -> Array:
    """[] mean of [row] over the rows that hold something."""
    return (batch.weight * values).sum() / jnp.maximum(batch.weight.sum(), 1)
