"""Soft actor-critic with continuous orders: twin critics, and a temperature that keeps the noise of orders where it is wanted.

Source: Haarnoja et al. 2018, "Soft actor-critic algorithms and applications" (arXiv 1812.05905). Orders are learned from as they
come, and judged by their mean, in whole units where demand is whole.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from invbench.keys import named
from invbench.learning import imitation, networks
from invbench.learning.actions import LOG_ROOT
from invbench.learning.decisions import mean_order, pupil
from invbench.learning.experience import Transition, mean
from invbench.learning.imitation import Lesson
from invbench.learning.offpolicy import Plan, Rules, faded, fitted, followed, optimiser, pair, worth_next
from invbench.learning.trajectories import World
from invbench.problem import Problem
from invbench.types import Array, Policy

LEAST, MOST = -5.0, 1.0  # log deviation of an order, in periods of mean demand
ALONE = 0.04  # share of the training in which critics learn before the actor listens to them
HEAT = 0.1  # temperature at first, in reward's scale


@dataclass(frozen=True)
class SAC(Plan):
    """The best of a few members by validation paths; every field is explained in its YAML."""

    deviation: list[float] | tuple[float, float]
    family: ClassVar[str] = "rl"
    tuned: ClassVar[bool] = False
    actions: ClassVar[str] = "continuous"

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None) -> Policy:
        """Raises ValueError where a field or the system makes no sense, and `training.Diverged`."""
        return fitted("sac", problem, self.checked(problem), RULES, key.reshape(1), log, lesson)[0]

    def fit_seeds(
        self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None
    ) -> list[Policy]:
        """A policy for each key [seed], the best of as many members; all are trained side by side, with money in one scale."""
        return fitted("sac", problem, self.checked(problem), RULES, keys, log, lesson)

    def checked(self, problem: Problem) -> "SAC":
        """The same with every field checked, and as one compiled program depends on it."""
        return replace(super().checked(problem), deviation=pair("method.deviation", self.deviation))


class Learned(NamedTuple):
    """What gradients change."""

    actor: networks.Layers  # their outputs are mean and log deviation of an order, in periods of mean demand
    critics: tuple[networks.Layers, networks.Layers]  # from features and order to value
    heat: Array  # [] log of the temperature: what entropy is worth


class Learner(NamedTuple):
    """That, with running means of actor and critics."""

    now: Learned
    steady: networks.Layers  # of the actor: what is judged
    targets: tuple  # of the critics: what is bootstrapped from
    moments: Learned  # of the three optimisers


def begin(plan: SAC, world: World, inputs: int, key: Array) -> Learner:
    """Untrained; the first orders lie around mean demand."""
    *hidden, last = networks.initial(named(key, "actor"), (inputs, *plan.hidden, 2), 0.01, plan.attention)
    actor = (*hidden, last | {"bias": jnp.stack([jnp.ones(()), jnp.log(plan.deviation[0])])})
    sizes = (inputs + 1, *plan.hidden, 1)
    critics = tuple(networks.initial(named(key, f"critic {i}"), sizes, 0.1, plan.attention) for i in range(2))
    now = Learned(actor, critics, jnp.log(jnp.float32(HEAT)))
    return Learner(now, actor, critics, Learned(*(optimiser(plan, 1.0).init(part) for part in now)))


def drawn(actor: networks.Layers, x: Array, key: Array) -> tuple[Array, Array, Array]:
    """[...] random orders, their log-densities and means, for features x [feature, ...]."""
    center, deviation = networks.apply(actor, x)
    deviation = jnp.clip(deviation, LEAST, MOST)
    noise = jax.random.normal(key, center.shape)
    return center + jnp.exp(deviation) * noise, -0.5 * noise**2 - deviation - LOG_ROOT, center


def act(plan: SAC, world: World, learner: Learner, x: Array, key: Array, left: Array) -> Array:
    """Random orders [lane, item] in periods of mean demand."""
    return drawn(learner.now.actor, x, key)[0]


def order(world: World, action: Array) -> Array:
    """Units, not rounded: the money of a fraction has a slope to learn from."""
    return world.actions._replace(grain=None).order(action)


def both(critics: tuple, x: Array, action: Array) -> list[Array]:
    """Two values [row] of an order."""
    inputs = jnp.concatenate([x, action[None]])
    return [networks.apply(critic, inputs)[0] for critic in critics]


def improve(plan: SAC, world: World, learner: Learner, batch: Transition, key: Array, left: Array) -> tuple[Learner, dict]:
    """One step of actor, critics and temperature (algorithm 1 of the source)."""
    now, tool = learner.now, optimiser(plan, left)
    wanted = targets(plan, learner, batch, named(key, "following"))
    loss, of_critics = jax.value_and_grad(critic_loss)(now.critics, batch, wanted)
    objective = jax.value_and_grad(actor_loss, has_aux=True)
    (_, entropy), of_actor = objective(now.actor, world, now, batch, named(key, "actor"))
    of_heat = entropy - entropy_of(faded(plan.deviation, left))  # equation 18, by the log of the temperature
    steps = [tool.update(slope, moments) for slope, moments in zip((of_actor, of_critics, of_heat), learner.moments, strict=True)]
    changes = [change for change, _ in steps]
    changes[0] = jax.tree.map(lambda leaf: jnp.where(left < 1 - ALONE, leaf, 0), changes[0])
    now = Learned(*(optax.apply_updates(part, change) for part, change in zip(now, changes, strict=True)))
    steady, behind = followed(learner.steady, now.actor, plan.tau), followed(learner.targets, now.critics, plan.tau)
    metrics = {"loss": loss, "value": mean(wanted, batch), "entropy": entropy, "temperature": jnp.exp(now.heat)}
    return Learner(now, steady, behind, Learned(*(moments for _, moments in steps))), metrics


def entropy_of(deviation: Array) -> Array:
    """In nats, of a normal distribution."""
    return jnp.log(deviation) + LOG_ROOT + 0.5


def targets(plan: SAC, learner: Learner, batch: Transition, key: Array) -> Array:
    """[row] what the value of each order should be (equations 3 and 5, with the lower one of two values)."""
    action, log_probability, _ = drawn(learner.now.actor, batch.following, key)
    following = jnp.minimum(*both(learner.targets, batch.following, action)) - jnp.exp(learner.now.heat) * log_probability
    return batch.reward + worth_next(plan, batch, following)


def critic_loss(critics: tuple, batch: Transition, wanted: Array) -> Array:
    """Squared errors of both (equation 5)."""
    return mean(sum(jnp.square(value - wanted) for value in both(critics, batch.x, batch.action)), batch)


def actor_loss(actor: networks.Layers, world: World, now: Learned, batch: Transition, key: Array) -> tuple[Array, Array]:
    """What entropy costs, less the value of random orders (equation 9), and the entropy.

    Orders are cut to 0 … the largest, where all beyond are worth the same: a mean out there is drawn back.
    """
    action, log_probability, center = drawn(actor, batch.x, key)
    most = (world.actions.largest / world.actions.unit).max()
    outside = jnp.square(center - jnp.clip(center, 0, most))
    loss = jnp.exp(now.heat) * log_probability - jnp.minimum(*both(now.critics, batch.x, action)) + outside
    return mean(loss, batch), -mean(log_probability, batch)


def taught(learner: Learner, problem: Problem, world: World, lesson: Lesson, log: Callable) -> Learner:
    """Begins as the teacher."""
    actor = imitation.taught(lesson, problem, pupil(learner.now.actor, world), log)
    return learner._replace(now=learner.now._replace(actor=actor), steady=actor)


def judged(learner: Learner) -> networks.Layers:
    """The layers that give the mean order."""
    *hidden, last = learner.steady
    return (*hidden, jax.tree.map(lambda leaf: leaf[:1], last))


RULES = Rules(begin, act, order, improve, taught, judged, mean_order)
