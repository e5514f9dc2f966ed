"""Deep Q-learning with a grid of order quantities: double, dueling, several steps, with expected rewards where demand is known.

Sources: Mnih et al. 2015, "Human-level control through deep reinforcement learning"; van Hasselt, Guez and Silver 2016, "Deep
reinforcement learning with double Q-learning"; Wang et al. 2016, "Dueling network architectures for deep reinforcement learning";
beginning as a teacher: Hester et al. 2018, "Deep Q-learning from demonstrations".
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import optax

from invbench.checks import whole
from invbench.learning import imitation, networks
from invbench.learning.decisions import likeliest_of_grid, pupil
from invbench.learning.experience import Transition, mean
from invbench.learning.imitation import Lesson
from invbench.learning.offpolicy import Plan, Rules, faded, fitted, followed, optimiser, pair, worth_next
from invbench.learning.rates import Rate, several
from invbench.learning.trajectories import World
from invbench.problem import Problem
from invbench.types import Array, Policy

FIRST_GUESS = 0.1  # how much less an order far from mean demand is thought to be worth before anything is learned


@dataclass(frozen=True)
class DQN(Plan):
    """The best of a few members by validation paths; every field is explained in its YAML."""

    choices: int
    epsilon: Rate
    temperature: list[float] | tuple[float, float]
    family: ClassVar[str] = "rl"
    tuned: ClassVar[bool] = False
    actions: ClassVar[str] = "discrete"
    rates: ClassVar[tuple[str, ...]] = (*Plan.rates, "epsilon")

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None) -> Policy:
        """Raises ValueError where a field or the system makes no sense, and `training.Diverged`."""
        return fitted("dqn", problem, self.checked(problem), RULES, key.reshape(1), log, lesson)[0]

    def fit_seeds(
        self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None
    ) -> list[Policy]:
        """A policy for each key [seed], the best of as many members; all are trained side by side, with money in one scale."""
        return fitted("dqn", problem, self.checked(problem), RULES, keys, log, lesson)

    def checked(self, problem: Problem) -> "DQN":
        """The same with every field checked, and as one compiled program depends on it."""
        choices = whole("method.choices", self.choices, low=2)
        epsilon = several("method.epsilon", self.epsilon, high=1)
        temperature = pair("method.temperature", self.temperature)
        return replace(super().checked(problem), choices=choices, epsilon=epsilon, temperature=temperature)


class Learner(NamedTuple):
    """Two networks of one shape: their first output is the value of a state, the others rank the order quantities."""

    online: networks.Layers
    target: networks.Layers  # a running mean of the other: what is bootstrapped from, and what is judged
    moments: Any  # of the optimiser


def begin(plan: DQN, world: World, inputs: int, key: Array) -> Learner:
    """Untrained; the first orders lie around mean demand."""
    *hidden, last = networks.initial(key, (inputs, *plan.hidden, 1 + plan.choices), 0.1, plan.attention)
    guess = world.actions.begin((ranks(last),), world.scales[plan.features[0]])[-1]["bias"]
    layers = (*hidden, last | {"bias": jnp.append(0.0, FIRST_GUESS * guess)})
    return Learner(layers, layers, optimiser(plan, 1.0).init(layers))


def values(layers: networks.Layers, x: Array) -> Array:
    """[order quantity, ...] of features x [feature, ...] (equation 9 of Wang et al. 2016)."""
    outputs = networks.apply(layers, x)
    return outputs[:1] + outputs[1:] - outputs[1:].mean(0)


def act(plan: DQN, world: World, learner: Learner, x: Array, key: Array, left: Array) -> Array:
    """Numbers of order quantities [lane, item]: a share of them drawn evenly, the others by the exponential of their value."""
    uniform = jax.random.uniform(key, x.shape[1:])
    evenly = jnp.floor(uniform / plan.epsilon * plan.choices)
    heat = faded(plan.temperature, left)
    warm = boltzmann(values(learner.online, x) / heat, (uniform - plan.epsilon) / (1 - plan.epsilon))
    return jnp.where(uniform < plan.epsilon, evenly, warm)


def boltzmann(merits: Array, uniform: Array) -> Array:
    """A number with probability in proportion to exp(merit), by inverse CDF; merits: [number, ...], uniform: [...] in [0, 1).

    The maximum is taken row by row and sums are products, because reductions over the first axis are not vectorised.
    """
    count = merits.shape[0]
    odds = jnp.exp(merits - reduce(jnp.maximum, list(merits)))
    ladder = jnp.tensordot(jnp.tri(count), odds, axes=1)
    passed = (uniform * ladder[-1] >= ladder[:-1]).astype(uniform.dtype)
    return jnp.tensordot(jnp.ones(count - 1), passed, axes=1)


def order(world: World, action: Array) -> Array:
    """Units."""
    return world.actions.order(action)


def improve(plan: DQN, world: World, learner: Learner, batch: Transition, key: Array, left: Array) -> tuple[Learner, dict]:
    """One step down the gradient of a minibatch; the target network follows."""
    wanted = targets(plan, learner, batch)
    loss, slope = jax.value_and_grad(loss_of)(learner.online, batch, wanted)
    change, moments = optimiser(plan, left).update(slope, learner.moments)
    online = optax.apply_updates(learner.online, change)
    return Learner(online, followed(learner.target, online, plan.tau), moments), {"loss": loss, "value": mean(wanted, batch)}


def targets(plan: DQN, learner: Learner, batch: Transition) -> Array:
    """[row] what the value of each action should be (van Hasselt et al. 2016, section "Double Q-learning")."""
    chosen = jnp.argmax(values(learner.online, batch.following), axis=0)
    return batch.reward + worth_next(plan, batch, of(values(learner.target, batch.following), chosen))


def of(table: Array, action: Array) -> Array:
    """[row] the entries of a table [order quantity, row]. A sum over a mask: gathers have slow gradients."""
    numbers = jnp.arange(table.shape[0])[:, None]
    return jnp.where(numbers == action, table, 0).sum(0)


def loss_of(layers: networks.Layers, batch: Transition, wanted: Array) -> Array:
    """Squared, as Huber's would make little of the rare and dear shortages that orders are there to avoid."""
    return mean(jnp.square(of(values(layers, batch.x), batch.action) - wanted), batch)


def taught(learner: Learner, problem: Problem, world: World, lesson: Lesson, log: Callable) -> Learner:
    """Begins as the teacher: what that orders is worth `FIRST_GUESS` more than anything else."""
    layers = imitation.taught(lesson, problem, pupil(learner.online, world, margin), log)
    return learner._replace(online=layers, target=layers)


def margin(layers: networks.Layers, world: World, x: Array, order: Array) -> Array:
    """[] by how much another order seems better, or less than `FIRST_GUESS` worse (Hester et al. 2018, equation 2)."""
    table = values(layers, x)
    best = jnp.minimum(world.actions.number(order), table.shape[0] - 1)
    other = jnp.arange(table.shape[0]).reshape(-1, *(1,) * best.ndim) != best
    return ((table + FIRST_GUESS * other).max(0) - jnp.where(other, 0, table).sum(0)).mean()


def judged(learner: Learner) -> networks.Layers:
    """The layers that rank order quantities: the value of a state changes no ranking."""
    *hidden, last = learner.target
    return (*hidden, ranks(last))


def ranks(last: dict[str, Array]) -> dict[str, Array]:
    """The last layer without its first output."""
    return jax.tree.map(lambda leaf: leaf[1:], last)


RULES = Rules(begin, act, order, improve, taught, judged, likeliest_of_grid)
