"""Random orders to learn from: a grid of quantities, or a normal distribution; what a network's outputs mean for both.

`outputs` are [output, ...] of a network, `action` and orders [...]; the last axis is item.
"""

import warnings
from itertools import accumulate
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import number
from invbench.keys import named
from invbench.problem import Problem
from invbench.tuning import is_whole, lot
from invbench.types import Array

LOG_ROOT = 0.5 * np.log(2 * np.pi)


class Grid(NamedTuple):
    """An action is the number of an order quantity: 0, 1, … times `step`, with one output (a logit) for each."""

    step: Array  # [item] units

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        """What `sample` needs for each action."""
        return jax.random.uniform(key, shape)

    def sample(self, outputs: Array, noise: Array) -> Array:
        """By inverse CDF: one uniform number an action."""
        ladder = _steps(outputs)
        return sum((noise * ladder[-1] > step).astype(noise.dtype) for step in ladder[:-1])

    def log_probability(self, outputs: Array, action: Array) -> Array:
        """Log-probability of each action. A sum over a mask: gathers have slow gradients."""
        numbers = jnp.arange(outputs.shape[0]).reshape(-1, *(1,) * action.ndim)
        return jnp.where(numbers == action, jax.nn.log_softmax(outputs, axis=0), 0).sum(0)

    def entropy(self, outputs: Array) -> Array:
        """[...] in nats."""
        logs = jax.nn.log_softmax(outputs, axis=0)
        return -(jnp.exp(logs) * logs).sum(0)

    def order(self, action: Array) -> Array:
        """Units."""
        return action * self.step

    def likeliest(self, outputs: Array) -> Array:
        """The order that is most probable; of equals the smallest."""
        return jnp.argmax(outputs, axis=0) * self.step

    def median(self, outputs: Array) -> Array:
        """The least order that is not exceeded with probability half: steadier than the likeliest where many are nearly alike."""
        ladder = _steps(outputs)
        return sum((step < 0.5 * ladder[-1]).astype(outputs.dtype) for step in ladder[:-1]) * self.step

    def begin(self, layers: tuple, mean: Array) -> tuple:
        """Layers whose first orders lie around mean demand: a network that begins evenly would drown in stock."""
        count = layers[-1]["bias"].shape[0]
        width = jnp.maximum(0.5 * mean, (count - 1) * self.step / 8)
        return _biased(layers, self._near(count, mean, width).mean(-1))

    def unlike(self, outputs: Array, order: Array, unit: Array) -> Array:
        """[...] nats: how far the probabilities are from those of orders around `order`, a fifth of a `unit` wide or a step."""
        wanted = jax.nn.softmax(self._near(outputs.shape[0], order, jnp.maximum(0.2 * unit, 0.6 * self.step)), axis=0)
        return -(wanted * jax.nn.log_softmax(outputs, axis=0)).sum(0)

    def number(self, order: Array) -> Array:
        """The action whose order is nearest, of more than there are the last one's or more."""
        return jnp.rint(jnp.maximum(order, 0) / self.step)

    def _near(self, count: int, order: Array, width: Array) -> Array:
        """[output, ...] logits of orders around `order` [..., item]."""
        units = jnp.arange(count).reshape(-1, *(1,) * order.ndim) * self.step
        return -0.5 * ((units - order) / width) ** 2


class Normal(NamedTuple):
    """An action is an order in `unit`s, before it is cut to 0 … `largest`; its outputs are mean and log deviation."""

    unit: Array  # [item] units, mean demand say
    largest: Array  # [item] units
    grain: Array | None  # [item] orders are rounded to multiples of it; None: not rounded

    def noise(self, key: Array, shape: tuple[int, ...]) -> Array:
        """What `sample` needs for each action."""
        return jax.random.normal(key, shape)

    def sample(self, outputs: Array, noise: Array) -> Array:
        """Mean and noise."""
        return outputs[0] + jnp.exp(outputs[1]) * noise

    def log_probability(self, outputs: Array, action: Array) -> Array:
        """Log-density of each action."""
        return -0.5 * ((action - outputs[0]) * jnp.exp(-outputs[1])) ** 2 - outputs[1] - LOG_ROOT

    def entropy(self, outputs: Array) -> Array:
        """[...] in nats."""
        return outputs[1] + LOG_ROOT + 0.5

    def order(self, action: Array) -> Array:
        """Units."""
        units = jnp.clip(action * self.unit, 0, self.largest)
        return units if self.grain is None else jnp.rint(units / self.grain) * self.grain

    def likeliest(self, outputs: Array) -> Array:
        """The order of the mean."""
        return self.order(outputs[0])

    def begin(self, layers: tuple, mean: Array) -> tuple:
        """Layers whose first orders lie around mean demand."""
        return _biased(layers, (mean / self.unit).mean())

    def unlike(self, outputs: Array, order: Array, unit: Array) -> Array:
        """[...] squared distance of the mean from `order`."""
        return jnp.square(outputs[0] - jnp.clip(order, 0, self.largest) / self.unit)


def grid_for(
    problem: Problem, key: Array, mean: Array, largest: float | None, choices: int, all_: bool = False
) -> tuple[Grid, int]:
    """At most `choices` quantities from 0 to the largest order, in whole steps where demand is whole; and how many they are.

    all_: just as many, and larger orders where that takes them (one number of outputs compiles once), if no largest is given.
    """
    most, grain = _range(problem, key, mean, largest)
    step = most / (choices - 1) if grain is None else np.maximum(np.ceil(most / (choices - 1)), 1)
    if all_ and largest is None:
        return Grid(jnp.asarray(step, jnp.float32)), choices
    return Grid(jnp.asarray(step, jnp.float32)), int(min(choices, np.ceil(most / step - 1e-9).max() + 1))


def normal_for(problem: Problem, key: Array, mean: Array, largest: float | None) -> Normal:
    """Orders in units of mean demand, up to the largest, rounded where demand is whole."""
    most, grain = _range(problem, key, mean, largest)
    return Normal(jnp.asarray(mean, jnp.float32), jnp.asarray(most, jnp.float32), None if grain is None else jnp.ones(1))


def _range(problem: Problem, key: Array, mean: Array, largest: float | None) -> tuple[np.ndarray, float | None]:
    """[item] units of the largest order, and the grain of demand; warns where orders cannot follow demand.

    Without a largest order given it is the highest demand of a period that is expected, or a generous lot where that is more.
    """
    demand = problem.outlook(named(key, "demand"))[problem.window :]
    grain = 1.0 if is_whole(problem, named(key, "whole")) else None
    if largest is None:
        return np.ceil(np.maximum(demand.max((0, 1)), lot(problem, np.asarray(mean)))), grain
    most = np.full(problem.items, number("method.largest_order", largest, low=0, above=True))
    short = float((demand > most).mean())
    if short > 0.001:
        warnings.warn(
            f"method.largest_order ({largest:g}) is less than what is demanded in {short:.1%} of periods "
            f"(mean {demand.mean():.4g}, up to {demand.max():g} units): an order cannot cover demand there",
            stacklevel=2,
        )
    return most, grain


Actions = Grid | Normal


def _steps(outputs: Array) -> list[Array]:
    """Cumulated odds [...] of each output; the last are those of all. Row by row: cumulating over a first axis is slow."""
    most = outputs.max(0)
    return list(accumulate(jnp.exp(row - most) for row in outputs))


def _biased(layers: tuple, bias: Array) -> tuple:
    last = layers[-1] | {"bias": jnp.broadcast_to(bias, layers[-1]["bias"].shape).astype(jnp.float32)}
    return (*layers[:-1], last)
