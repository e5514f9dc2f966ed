"""Policies that are planned anew every so many periods: on the host, for each path from what it has seen by then."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.types import Array, Flows, Paths, Policy


def run(system, policy: Policy, paths: Paths, measure: Callable, arguments: tuple, keep: bool) -> Any:
    """The measure of every period [n, horizon, item], or its sum [n, item], of a policy with `revise`.

    Its params are revised before the first period and after every `every` ones. Leaves of what `revise` returns are [n, ...] or
    the same for all paths, and its `apply` takes all paths as one block.
    """
    parts, final = [], paths.start + paths.demand.shape[0] - 1
    for state, params, demand, delay in _stretches(system, policy, paths):
        state[0], measured = _stretch(
            system, params, state[0], demand, delay, final, arguments, apply=policy.apply, measure=measure, keep=keep
        )
        parts.append(measured)
    joined = jnp.concatenate if keep else lambda parts, axis: sum(parts)
    return jax.tree.map(lambda *leaves: joined(leaves, axis=1), *parts)


def followed(system, policy: Policy, paths: Paths) -> tuple[Array, Flows]:
    """Orders [horizon, n, ...] and flows [horizon, n, item] of every period, of any policy that takes a block of paths."""
    policy = policy if policy.every else policy._replace(every=paths.demand.shape[0], revise=_same)
    parts = []
    for state, params, demand, delay in _stretches(system, policy, paths):
        state[0], told = _told(system, params, state[0], demand, delay, apply=policy.apply)
        parts.append(told)
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)


def _same(params: Any, observation: Any) -> Any:
    return params


def _stretches(system, policy: Policy, paths: Paths):
    """Between two revisions: the state in a list, for the caller to move on, the params, demand and delays."""
    demand, before, delay = (None if part is None else jnp.asarray(np.asarray(part)) for part in paths[:3])
    state, params = [_begun(system, before, paths.start, window=policy.window)], policy.params
    for first in range(0, demand.shape[0], policy.every):
        cut = slice(first, first + policy.every)
        today = None if delay is None else delay[first]
        params = policy.revise(params, _seen(system, state[0], today))
        yield state, params, demand[cut], None if delay is None else delay[cut]


@jax.jit(static_argnames="window")
def _begun(system, before, start, *, window):
    return system.initial(before, start, window)


@jax.jit
def _seen(system, state, delay):
    return system.observe(state, delay)


@jax.jit(static_argnames=("apply", "measure", "keep"))
def _stretch(system, params, state, demand, delay, final, arguments, *, apply, measure, keep):
    """The state after, and the measure [n, period, item] or its sum."""

    def move(state, today):
        order = apply(params, system.observe(state, today[1]), None)
        last = (state.time == final).astype(demand.dtype)
        state, flows = system.transition(state, order, *today)
        return state, measure(flows, last, *arguments)

    if keep:
        state, measured = lax.scan(move, state, (demand, delay))
        return state, jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), measured)
    shapes = jax.eval_shape(lambda: move(state, jax.tree.map(lambda part: part[0], (demand, delay)))[1])
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

    def add(carry, today):
        state, measured = move(carry[0], today)
        return (state, jax.tree.map(jnp.add, carry[1], measured)), None

    return lax.scan(add, (state, zeros), (demand, delay))[0]


@jax.jit(static_argnames="apply")
def _told(system, params, state, demand, delay, *, apply):
    def move(state, today):
        order = apply(params, system.observe(state, today[1]), None)
        state, flows = system.transition(state, order, *today)
        return state, (order, flows)

    return lax.scan(move, state, (demand, delay))
