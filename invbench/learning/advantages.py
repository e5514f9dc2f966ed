"""How much better an action was than its state: generalised advantage estimation, across truncation."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from invbench.learning import networks
from invbench.learning.trajectories import Trajectory, dealt
from invbench.types import Array


class Batch(NamedTuple):
    """What is learned from, each [sample] but for the features; of several batches the first axis is minibatch."""

    x: Array  # [feature, sample] of the actor
    y: Array  # [feature, sample] of the critic: the same, and demand to come
    action: Array
    log_probability: Array
    advantage: Array
    value: Array  # as the critic saw it before the update
    target: Array  # what it should have seen


def generalised(
    reward: Array, value: Array, after: Array, terminated: Array, ended: Array, discount: Array | float, trace: float
) -> Array:
    """[period, ...] advantages (Schulman et al. 2016, "High-dimensional continuous control using generalized advantage
    estimation", equation 16), where an episode may end in any period.

    value: of what was observed; after: of the observation that followed the action, which where an episode ended is its final
    one; terminated: 1 where nothing is earned afterwards, else 0; ended: 1 where the next row begins another episode (terminated
    or truncated). The last row is followed by nothing and ends with `after` like a truncated one. All [period, ...].
    """

    def earlier(advantage, row):
        reward, value, after, terminated, ended = row
        surprise = reward + discount * (1 - terminated) * after - value
        advantage = surprise + discount * trace * (1 - ended) * advantage
        return advantage, advantage

    rows = (reward, value, after, terminated, ended)
    return lax.scan(earlier, jnp.zeros_like(value[0]), rows, reverse=True)[1]


def standardised(advantage: Array) -> Array:
    """The same with mean 0 and deviation 1 over the whole array."""
    return (advantage - advantage.mean()) / (advantage.std() + 1e-8)


def batches(
    critic: networks.Layers, trajectory: Trajectory, coming: Array, average: Array, discount: Array, trace: Array, count: int
) -> Batch:
    """The trajectory with its advantages, as `count` minibatches: lanes are alike, so that each is some of them.

    average: [item] reward of a period, taken off. coming: [period + 1, foresight, lane, item] demand to come. A baseline may see
    it, as no order can change it; that takes most of the noise out of advantages (Mao et al. 2019, "Variance reduction for
    reinforcement learning in input-driven environments").
    """
    y = jnp.concatenate([trajectory.x, coming], axis=1)
    values = networks.apply(critic, jnp.moveaxis(y, 1, 0))[0]
    goes_on = jnp.zeros_like(trajectory.reward)  # never terminated, and no episode ends within a rollout
    advantage = generalised(trajectory.reward - average, values[:-1], values[1:], goes_on, goes_on, discount, trace)
    target = advantage + values[:-1]
    target = target - jnp.where(discount == 1, target.mean(), 0)  # or values, which are known up to a constant, would drift
    rest = (trajectory.action, trajectory.log_probability, advantage, values[:-1], target)
    x, y, *rest = (dealt(leaf, count) for leaf in (trajectory.x[:-1], y[:-1], *rest))  # [minibatch, period, ...]
    flat = lambda leaf: jnp.moveaxis(leaf, 2, 1).reshape(count, leaf.shape[2], -1)  # noqa: E731
    return Batch(flat(x), flat(y), *(leaf.reshape(count, -1) for leaf in rest))
