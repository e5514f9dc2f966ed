"""What an actor does with what it sees: a random order to learn from, and the likeliest one to be judged by."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from invbench.keys import named, root
from invbench.learning import features, networks
from invbench.learning.actions import Grid, Normal, grid_for, normal_for
from invbench.learning.expected import support_of
from invbench.learning.imitation import Pupil
from invbench.learning.shaping import Potential, potential_of
from invbench.learning.trajectories import Money, World, capped, money_of, myopic, stacked
from invbench.problem import Problem
from invbench.tuning import highest_level, levels, lot
from invbench.types import Array, Observation


def world_of(problem: Problem, key: Array, method: Any) -> tuple[World, int, Callable]:
    """Where an actor of `method` acts, how many outputs it needs, and the function that decides as it would.

    method: with the checked fields `actions` (discrete, continuous), `choices`, `largest_order`, `features` and `shaping`.
    """
    own = root(problem.seed, "actions")  # not a training's own: another number of orders would compile anew
    mean, spread = levels(problem, named(own, "levels"))
    mean = np.maximum(mean, 1e-6)
    cap = np.ceil(highest_level(problem, mean, spread) + (lot(problem, mean) if np.any(problem.cost.fixed_order) else 0))
    if method.actions == "discrete":
        every = getattr(method, "fast_mode", False)
        actions, count = grid_for(problem, own, mean, method.largest_order, method.choices, every)
        apply = likeliest_of_grid
    else:
        actions, count, apply = normal_for(problem, own, mean, method.largest_order), 1, mean_order
    scales = {name: jnp.asarray(mean, jnp.float32) for name in method.features}
    cap, start = jnp.asarray(cap, jnp.float32), jnp.asarray(problem.start, jnp.int32)
    money = money_of(problem, named(key, "money"))
    world = World(problem.system, problem.scenario, money, scales, actions, cap, start, support_of(problem))
    return world._replace(potential=_potential(problem, method.shaping, money, key)), count, apply


def _potential(problem: Problem, weight: float | None, money: Money, key: Array) -> Potential | None:
    """Of a stock near the myopic rule's level; None where reward is not shaped."""
    if weight is None:
        return None
    rule = myopic(problem, named(key, "target"))
    return potential_of(problem, rule, weight, money.scale, named(key, "mean"))


def heads(actor: dict, x: Array) -> Array:
    """[output, ...] for features x [feature, ...]; see `learning.actions`."""
    outputs = networks.apply(actor["layers"], x)
    if "log_deviation" not in actor:
        return outputs
    return jnp.concatenate([outputs, jnp.broadcast_to(actor["log_deviation"], outputs.shape)])


def act(world: World, actor: dict, x: Array, noise: Array) -> tuple[Array, Array]:
    """A random action [lane, item] and its log-probability."""
    outputs = heads(actor, x)
    action = world.actions.sample(outputs, noise)
    return action, world.actions.log_probability(outputs, action)


def unlike(layers: tuple, world: World, x: Array, order: Array) -> Array:
    """[] how far an actor that sees x [feature, row, item] is from orders [row, item]; see `learning.imitation`."""
    return world.actions.unlike(networks.apply(layers, x), order, next(iter(world.scales.values()))).mean()


def pupil(layers: tuple, world: World, error: Callable = unlike) -> Pupil:
    """A network of features as `trajectories.stacked` makes them, before it is taught."""
    names = features.ordered(world.scales)
    return Pupil(layers, error, world, names, world.scales[names[0]])


def parameters(world: World, layers: tuple) -> dict[str, Any]:
    """What `likeliest` takes."""
    kept = {name: leaf for name, leaf in world.actions._asdict().items() if leaf is not None}
    return {"layers": layers, "features": world.scales, "actions": kept, "cap": world.cap}


def likeliest_of_grid(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """The order quantity with the highest probability."""
    outputs = networks.apply(params["layers"], stacked(params["features"], observation))
    return capped(Grid(**params["actions"]).likeliest(outputs), observation, params["cap"])


def median_of_grid(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """The median of the order quantities."""
    outputs = networks.apply(params["layers"], stacked(params["features"], observation))
    return capped(Grid(**params["actions"]).median(outputs), observation, params["cap"])


def mean_order(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """The mean of the normal distribution, within 0 … the largest order; whole units where demand is whole."""
    outputs = networks.apply(params["layers"], stacked(params["features"], observation))
    return capped(Normal(**{"grain": None} | params["actions"]).likeliest(outputs), observation, params["cap"])
