"""A policy that chooses from a menu of orders: how it learns from what each was found to lose, and the same as a table."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from invbench.keys import named
from invbench.learning import features, networks
from invbench.learning.expected import mean_of, support_of
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy

ENTRIES = 2**24  # a table of orders is made where it has at most so many
AVERAGED = 2**20  # and of what a period earns, which takes a transition for each value of demand


class Menu(NamedTuple):
    """Orders numbered 0, 1, …: 0, 1, … units of order; from two suppliers all pairs of these, the second one's running fastest.

    Arrays of the shape of an order: [item], or [supplier, item].
    """

    unit: Array  # units
    count: Array  # int32, how many amounts there are, alike for all items

    def order(self, number: Array) -> Array:
        """[..., item] ([supplier, ..., item]) units of the orders `number` [..., item] int32."""
        if self.unit.ndim == 1:
            return self.unit * number
        regular, expedited = number // self.count[1], number % self.count[1]
        return jnp.stack([self.unit[0] * regular, self.unit[1] * expedited])


@partial(jax.tree_util.register_dataclass, data_fields=["layers", "scale", "menu"], meta_fields=["features"])
@dataclass(frozen=True, eq=False)
class Classifier:
    """The params of a policy that orders what a network scores highest."""

    layers: networks.Layers
    scale: Array  # [item] units: what the network sees is divided by it
    menu: Menu
    features: tuple[str, ...]  # what it looks at, see features.stacked


def best_order(params: Classifier, observation: Observation, key: Array | None) -> Array:
    """The order [item] ([supplier, item]) of the class that the network thinks best; of equals the first."""
    score = networks.apply(params.layers, features.stacked(observation, params.features, params.scale))
    return params.menu.order(jnp.argmax(score, axis=0)).astype(observation.position.dtype)


# ---- training


class Training(NamedTuple):
    """See the YAML of the method. A program compiles once for each."""

    updates: int  # in all
    batch: int
    learning_rate: float


class Student(NamedTuple):
    """What training moves on."""

    layers: networks.Layers
    moments: Any


def begin(layers: networks.Layers, training: Training) -> Student:
    """A student before its first update."""
    return Student(layers, _optimiser(training).init(layers))


@partial(jax.jit, static_argnames=("training", "updates"))
def advance(
    student: Student, x: Array, target: Array, held_out: tuple[Array, Array], key: Array, *, training: Training, updates: int
) -> tuple[Student, dict[str, Array]]:
    """Some updates towards the probabilities `target` [class, example] for x [feature, example]; and the losses.

    held_out: examples (x, target) that are judged, not trained. The loss is the cross-entropy, in nats.
    """
    optimiser = _optimiser(training)

    def update(student, key):
        rows = jax.random.randint(key, (training.batch,), 0, x.shape[1])
        loss, slope = jax.value_and_grad(_loss)(student.layers, x[:, rows], target[:, rows])
        change, moments = optimiser.update(slope, student.moments)
        return Student(optax.apply_updates(student.layers, change), moments), loss

    student, losses = lax.scan(update, student, jax.random.split(named(key, "batches"), updates))
    score = networks.apply(student.layers, held_out[0])
    agreed = (jnp.argmax(score, axis=0) == jnp.argmax(held_out[1], axis=0)).mean()
    return student, {"loss": losses.mean(), "held_out_loss": _loss(student.layers, *held_out), "held_out_accuracy": agreed}


def soft(regret: Array, temperature: Array) -> Array:
    """[class, ...] probabilities that fall with what a choice loses: a near tie is none of the network's business."""
    return jax.nn.softmax(-regret / jnp.maximum(temperature, 1e-12), axis=0)  # evenly where nothing is lost by any of them


def _optimiser(training: Training) -> optax.GradientTransformation:
    return optax.adam(optax.cosine_decay_schedule(training.learning_rate, training.updates, alpha=0.01))


def _loss(layers: networks.Layers, x: Array, target: Array) -> Array:
    return -(target * jax.nn.log_softmax(networks.apply(layers, x), axis=0)).sum(0).mean()


# ---- a policy as a table


def tabulated(policy: Policy, problem: Problem, menu: Menu, highest: int) -> Policy:
    """The same policy as a table where it has few states, many times faster to follow; as it is where it has not.

    It must order whole units from the menu, alike for all items; stock above `highest` is taken as `highest`, and of what is owed
    likewise. Where demand has few values, the table also has what a period earns on average over them.
    """
    low, shape = _sizes(problem, np.asarray(menu.unit), np.asarray(menu.count), highest)
    if math.prod(shape) > ENTRIES:
        return policy
    simple = math.prod(shape) <= AVERAGED and problem.system.draw_delays(jax.random.key(0), 1, 1) is None
    support = support_of(problem) if simple else None
    made = _tabled(problem.system, problem.cost, policy.params, support, apply=policy.apply, low=low, shape=shape)
    return Policy(made | {"low": jnp.full(1, low, jnp.int32)}, tabled_order)


def _sizes(problem: Problem, unit: np.ndarray, count: np.ndarray, highest: int) -> tuple[int, tuple[int, ...]]:
    """The least stock of a table, and its axes: stock (by age where it has ages), then outstanding orders, the next one first."""
    system = problem.system
    largest = (unit * (count - 1)).max(-1)
    together = getattr(system, "expedite_lead_time", 1) > 0  # both suppliers' orders wait in one pipeline
    waiting = int(np.rint(largest.sum() if together else largest[0])) + 1
    low = -highest if system.backlog else 0
    life = getattr(system, "life", 0)
    fresh = max(waiting, int(np.max(system.initial_stock)) + 1)
    stock = (fresh,) * life if life else (highest + 1 - low,)
    return low, (*stock, *(waiting,) * max(system.lead_time - 1, 0))


@partial(jax.jit, static_argnames=("apply", "low", "shape"))
def _tabled(system, cost, params, support, *, apply, low, shape):
    """Orders [*shape] int16 of each supplier, and money [*shape] where there is a support."""
    life = getattr(system, "life", 0)

    def row(numbers):
        axes = jnp.stack([axis[:, None] for axis in jnp.unravel_index(numbers, shape)]).astype(jnp.float32)
        stock = axes[:life] if life else axes[0] + low
        waiting = axes[life or 1 :]
        state = system.initial(jnp.zeros((0, len(numbers), 1)), 0, 0)
        nothing = jnp.zeros_like(state.pipeline[:1])  # what is due at time 0 has arrived
        parts = {"ages" if life else "on_hand": stock, "pipeline": jnp.concatenate([nothing, waiting])[: system.lead_time]}
        position = (stock.sum(0) if life else stock) + waiting.sum(0)
        state = state._replace(position=position, **parts)
        order = apply(params, system.observe(state), None)
        benefit = lambda flows: cost.charge(flows).benefit  # noqa: E731
        money = None if support is None else mean_of(benefit, system, state, order, None, support)
        return jnp.rint(order).astype(jnp.int16), money

    total, size = int(np.prod(shape)), 2048
    numbers = jnp.arange(-(-total // size) * size).reshape(-1, size)
    orders, money = lax.map(row, jnp.minimum(numbers, total - 1))
    orders = jnp.moveaxis(orders[..., 0], 0, -2)  # [(supplier,) block, state]
    whole = lambda leaf: leaf.reshape(*leaf.shape[:-2], -1)[..., :total].reshape(*leaf.shape[:-2], *shape)  # noqa: E731
    made = {"orders": whole(orders)}
    return made if money is None else made | {"money": whole(money[..., 0])}


def tabled_order(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The order [item] ([supplier, item]) in a table."""
    orders, place = params["orders"], _place(params, observation)
    suppliers = orders.ndim - _axes(observation)
    flat = orders.reshape(*orders.shape[:suppliers], -1)
    return flat[..., place].astype(observation.position.dtype)


def tabled_money(params: dict[str, Array], observation: Observation) -> Array:
    """[item] what the period of a table earns on average."""
    return params["money"].ravel()[_place(params, observation)]


def _axes(observation: Observation) -> int:
    return (1 if observation.ages is None else observation.ages.shape[0]) + observation.pipeline.shape[0]


def _place(params: dict[str, Array], observation: Observation) -> Array:
    """The entry for what is observed, numbers beyond the ends of an axis taken as the ends."""
    shape = params["orders"].shape[-_axes(observation) :]
    stock = [observation.on_hand - params["low"]] if observation.ages is None else list(observation.ages)
    place = jnp.zeros_like(observation.on_hand, jnp.int32)
    for size, units in zip(shape, [*stock, *observation.pipeline], strict=True):
        place = place * size + jnp.clip(jnp.rint(units), 0, size - 1).astype(jnp.int32)
    return place
