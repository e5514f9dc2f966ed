"""What each of a few orders loses in many states, found by rollouts: what a policy that follows it costs, on common demand.

Sequential halving (Karnin, Koren and Somekh 2013, "Almost optimal exploration in multi-armed bandits") spends as many paths in
each round, on half as many orders. The states are those that the policy visits, moved by the system's own transition.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as Spec

from invbench.keys import named
from invbench.learning import features
from invbench.learning.classifier import Menu, tabled_money, tabled_order
from invbench.learning.expected import Support, mean_of, support_of
from invbench.learning.shaping import Potential
from invbench.problem import Problem
from invbench.replay import AXIS, mesh
from invbench.types import Array, Policy

RINGS = "history", "misses"  # what a state keeps of the past
SEASONS = 128  # times at which states are labelled where features tell them apart
LANES = 4096  # orders x paths x states x items that move together: their state stays in the cache


class World(NamedTuple):
    """What happens after an order, and how it is seen."""

    system: Any
    cost: Any
    scenario: Any
    menu: Menu
    scale: Array  # [item] units, of features
    support: Support | None  # of demand, see `expected.support_of`
    potential: Potential | None = None  # of what a rollout leaves, money, where reward is shaped


@dataclass(frozen=True)
class Effort:
    """How states are compared; a program compiles once for each."""

    orders: int  # of the menu, that are compared in each state
    paths: int  # for each order in the first round
    periods: int  # that each path is followed
    warm_up: int  # periods from the initial state to the states that are labelled
    explore: float  # share of random orders on the way there
    restart: float  # share of paths that begin anew in a period on the way there, so that the start is seen, too
    discount: float  # of money, per period
    window: int = 0  # past periods that states keep


class Labelled(NamedTuple):
    """States as they are seen, and what is lost by each order of the menu; examples are states x items."""

    x: Array  # [feature, example]
    regret: Array  # [order, example] money less than with the best order


# ---- sequential halving


def rounds(orders: int, paths: int) -> list[tuple[int, int]]:
    """(orders that are left, paths for each of them) of every round; each round takes as many rollouts."""
    left, plan = orders, []
    while left > 1:
        plan.append((left, paths * orders // left))
        left = -(-left // 2)
    return plan


def halve(benefit: Callable[[Array, int, Array], Array], orders: int, paths: int, key: Array, shape: tuple[int, ...]) -> Array:
    """[order, shape] money a path less than the best order earns: the better half goes on to the next round.

    benefit: (orders [left, shape] int32, paths, key) -> [left, shape] summed over paths, which all orders have in common. An
    order that is dropped is compared with the best one on the paths that both of them saw.
    """
    left = jnp.broadcast_to(jnp.arange(orders).reshape(-1, *(1,) * len(shape)), (orders, *shape))
    total, seen, story = jnp.zeros(left.shape), 0, []
    for number, (count, width) in enumerate(rounds(orders, paths)):
        total, seen = total + benefit(left, width, jax.random.fold_in(key, number)), seen + width
        story.append((left, total / seen))
        keep = jnp.moveaxis(lax.top_k(jnp.moveaxis(total, 0, -1), -(-count // 2))[1], -1, 0)  # of equals the smallest order
        left, total = jnp.take_along_axis(left, keep, 0), jnp.take_along_axis(total, keep, 0)
    regret = jnp.zeros((orders, *shape))
    for there, mean in story:
        lost = jnp.where(there == left, mean, 0).sum(0) - mean  # `left` is one order by now, the best
        regret = jnp.put_along_axis(regret, there, lost, 0, inplace=False)
    return regret


# ---- labels


def world_of(problem: Problem, menu: Menu, scale: Array) -> World:
    """What happens in a problem, with these orders to choose from."""
    return World(problem.system, problem.cost, problem.scenario, menu, scale, support_of(problem))


def labels(
    problem: Problem, world: World, policy: Policy, looks: tuple[str, ...], states: int, effort: Effort, key: Array
) -> Labelled:
    """What each first order loses in `states` states (or a few more) that the policy visits, if it is followed afterwards.

    looks: see `features.stacked`. The policy must be elementwise. Demand that is drawn does not depend on what was seen of it
    before: what a state remembers says where in a season it is, and which stock is short, not what comes next.
    """
    lanes = max(count * width for count, width in rounds(effort.orders, effort.paths)) * problem.items
    cores = len(jax.devices())
    timeless = set(looks) <= set(features.OF_STOCK)
    groups = (2 if states >= 512 * cores else 1) if timeless else max(1, min(SEASONS, states) // cores)
    groups *= cores
    size = min(max(1, LANES // lanes), -(-states // groups))
    blocks = -(-states // (groups * size))
    offset = 0.0 if timeless else float(jax.random.uniform(named(key, "begin")))
    begins = problem.start + ((np.arange(groups) + offset) * problem.horizon / groups).astype(int)  # so that every season is seen
    found = _labels(
        world, policy.params, jnp.asarray(begins, jnp.int32), jax.random.split(key, groups),
        apply=policy.apply, looks=looks, effort=effort, blocks=blocks, size=size,
    )  # fmt: skip
    return jax.tree.map(_joined, Labelled(*found))


def _joined(leaf: Array) -> np.ndarray:
    """[group, block, row, state, item] as [row, example], off the cores that it is spread over."""
    leaf = np.asarray(leaf)
    return np.moveaxis(leaf, 2, 0).reshape(leaf.shape[2], -1)


@partial(jax.jit, static_argnames=("apply", "looks", "effort", "blocks", "size"))
def _labels(world, params, begins, keys, *, apply, looks, effort, blocks, size):
    """Every core takes a share of the groups; a group is a set of states at one time, labelled block by block."""

    def share(begins, keys, world, params):
        def group(given):
            begin, key = given
            state = _visited(world, params, begin, named(key, "visit"), apply, effort, blocks * size)
            cut = lambda leaf: jnp.moveaxis(leaf.reshape(*leaf.shape[:-2], blocks, size, leaf.shape[-1]), -3, 0)  # noqa: E731
            parts = jax.tree.map(lambda leaf: cut(leaf) if leaf.ndim > 1 else jnp.broadcast_to(leaf, (blocks,)), state)
            block = lambda given: _label(world, params, given[0], given[1], apply, looks, effort)  # noqa: E731
            return lax.map(block, (parts, jax.random.split(named(key, "label"), blocks)))

        return lax.map(group, (begins, keys))

    whole, by_group = Spec(), Spec(AXIS)
    share = jax.shard_map(share, mesh=mesh(), in_specs=(by_group, by_group, whole, whole), out_specs=by_group, check_vma=False)
    return share(begins, keys, world, params)


def _visited(world: World, params, begin, key, apply, effort, count):
    """The state [..., count, item] after `warm_up` periods of the policy, with some random orders and some new beginnings."""
    system = world.system
    drawn = world.scenario.draw(named(key, "demand"), count, effort.window + effort.warm_up, begin - effort.window)
    demand = drawn[effort.window :]
    delay = system.draw_delays(named(key, "delay"), effort.warm_up, count)
    fresh = system.initial(drawn[: effort.window], begin, effort.window)  # nothing on the way: so at any time

    def period(state, today):
        demand, delay, key = today
        tossed, picked, restarted = jax.random.split(key, 3)
        shape = demand.shape
        other = world.menu.order(jax.random.randint(picked, shape, 0, effort.orders))
        order = apply(params, system.observe(state, delay), None)
        order = jnp.where(jax.random.uniform(tossed, shape) < effort.explore, other, order)
        state, _ = system.transition(state, order, demand, delay)
        anew = jax.random.uniform(restarted, shape) < effort.restart
        begun = jax.tree.map(lambda old, new: jnp.where(anew, new, old) if old.ndim > 1 else old, state, fresh)
        return begun._replace(**{name: getattr(state, name) for name in RINGS if hasattr(state, name)}), None  # the past stays

    return lax.scan(period, fresh, (demand, delay, jax.random.split(named(key, "explore"), effort.warm_up)))[0]


def _label(world: World, params, state, key, apply, looks, effort):
    """A block of states: features [feature, state, item] and regrets [order, state, item]."""
    today = world.system.draw_delays(named(key, "today"), 1, state.position.shape[0])
    observation = world.system.observe(state, None if today is None else today[0])
    benefit = lambda orders, paths, key: _benefit(world, params, state, today, orders, paths, key, apply, effort)  # noqa: E731
    regret = halve(benefit, effort.orders, effort.paths, named(key, "halve"), state.position.shape)
    return features.stacked(observation, looks, world.scale), regret


def _benefit(world: World, params, state, today, orders, paths, key, apply, effort):
    """[order, state, item] net benefit of `periods` periods that begin with these orders, summed over paths.

    What is left at the end, on hand or on the way, is worth what it cost: it will save as much. A potential telescopes: but for
    what all orders have in common, its value at the end is what it adds (Ng et al. 1999, see `shaping`). Where a table is
    followed, a period earns the mean over its demand: the difference of two orders has half the variance where shortages are
    rare and dear.
    """
    system, cost = world.system, world.cost
    count, states, items = orders.shape
    shape = (count, paths, states, items)
    demand = world.scenario.draw(named(key, "demand"), paths * states, effort.periods, state.time)
    delay = _delays(system, named(key, "delay"), today, effort.periods, paths, states)
    begin, first = _lanes(state, shape), world.menu.order(_flat(jnp.broadcast_to(orders[:, None], shape)))
    tabled = apply is tabled_order and "money" in params

    def period(carry, today):
        state, total = carry
        number, demand, delay = today
        delay = None if delay is None else jnp.tile(delay, count)
        observation = system.observe(state, delay)
        order = jnp.where(number == 0, first, apply(params, observation, None))
        state, flows = system.transition(state, order, jnp.tile(demand, (count, 1)), delay)
        earned = jnp.where(number == 0, 0, tabled_money(params, observation)) if tabled else cost.charge(flows).benefit
        return (state, total + effort.discount**number * earned), None

    days = (jnp.arange(effort.periods), demand, delay)
    (last, total), _ = lax.scan(period, (begin, jnp.zeros(first.shape[-2:])), days)
    left = cost.purchase * last.position + (0 if world.potential is None else world.potential.of(last))
    total = (total + effort.discount**effort.periods * left).reshape(shape).sum(1)
    return total + paths * _at_once(world, state, orders) if tabled else total


def _at_once(world: World, state, orders):
    """[order, state, item] net benefit of the first period, on average over its demand."""
    begin = _lanes(state, (orders.shape[0], 1, *orders.shape[1:]))
    order = world.menu.order(orders.reshape(-1, orders.shape[-1]))
    money = lambda flows: world.cost.charge(flows).benefit  # noqa: E731
    return mean_of(money, world.system, begin, order, None, world.support).reshape(orders.shape)


def _lanes(state, shape: tuple[int, ...]):
    """States [..., state, item] for each of shape = (orders, paths, states, items), as lanes [..., lane, item]."""
    wide = lambda leaf: jnp.broadcast_to(jnp.expand_dims(leaf, (-4, -3)), (*leaf.shape[:-2], *shape))  # noqa: E731
    return jax.tree.map(lambda leaf: _flat(wide(leaf)) if leaf.ndim > 1 else leaf, state)


def _flat(leaf: Array) -> Array:
    """[..., order, path, state, item] as [..., lane, item]."""
    return leaf.reshape(*leaf.shape[:-4], math.prod(leaf.shape[-4:-1]), leaf.shape[-1])


def _delays(system, key, today, periods, paths, states):
    """[period, path x state] draws of a random lead time, the first as it was when the state was observed."""
    delay = system.draw_delays(key, periods, paths * states)
    return None if delay is None else delay.reshape(periods, paths, states).at[0].set(today).reshape(periods, -1)
