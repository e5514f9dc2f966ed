"""A network that begins as a teacher: before it learns by itself, it learns what the teacher orders in states on the way.

Source: Pomerleau 1991, "Efficient training of artificial neural networks for autonomous navigation" (behavioural cloning). The
states are those that the teacher comes to when some of its orders are replaced at random (Laskey, Lee, Fox, Dragan and Goldberg
2017, "DART: noise injection for robust imitation learning", arXiv 1703.09327): the network must know the way back, too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from invbench.checks import number, require, whole
from invbench.keys import named
from invbench.learning import features
from invbench.problem import Problem
from invbench.progress import told
from invbench.tuning import is_whole, levels
from invbench.types import Array, Observation, Policy

SPAN = 3.0  # a random order is up to so many periods of mean demand
LOOKS = 100  # updates whose mean error is said


@dataclass(frozen=True)
class Effort:
    """How much is learned from a teacher. Hashable once `checked`, because it is compiled in."""

    paths: int
    periods: int
    explore: float
    updates: int
    batch: int
    learning_rate: float

    def checked(self) -> "Effort":
        """Raises ValueError in one sentence that names the field."""
        counts = (whole(f"method.{name}", getattr(self, name), low=1) for name in ("paths", "periods", "updates", "batch"))
        paths, periods, updates, batch = counts
        explore = number("method.explore", self.explore, low=0, high=1)
        rate = number("method.learning_rate", self.learning_rate, low=0, above=True)
        return Effort(paths, periods, explore, updates, min(batch, paths * periods), rate)


class Lesson(NamedTuple):
    """Who is to be imitated, and how hard; a learner takes from it what its own network needs."""

    teacher: Policy
    effort: Effort
    key: Array


class Pupil(NamedTuple):
    """A network before its lesson, and how far it is from a teacher."""

    layers: Any
    error: Callable  # module-level: (layers, about, x [feature, row, item], orders [row, item]) -> scalar
    about: Any  # arrays that the error depends on
    looks: Sequence[str]  # features, see `features.stacked`
    scale: Array  # [item] units, of features


def lesson_of(teacher: Policy, effort: Effort, key: Array) -> Lesson:
    """Raises ValueError where a policy cannot be imitated, or a field makes no sense."""
    plain = teacher.elementwise and not (teacher.random or teacher.per_path)
    require(plain, "method.teacher", "a rule of what is observed, for each item by itself", teacher.apply.__name__)
    return Lesson(teacher, effort.checked(), key)


def taught(lesson: Lesson, problem: Problem, pupil: Pupil, log: Callable[[dict, int], None]) -> Any:
    """The layers after the lesson, by Adam with a rate that falls to zero; the mean error at first and at last is logged."""
    teacher, effort, key = lesson
    window = max(teacher.window, features.window(pupil.looks, problem.window))
    mean = levels(problem, named(key, "levels"))[0]
    grain = jnp.float32(is_whole(problem, named(key, "whole")))
    settings = dict(apply=teacher.apply, window=window, effort=effort)
    with told("imitation") as tell:
        tell(f"{effort.paths * effort.periods:,} orders, {effort.updates:,} updates")
        start = jnp.int32(problem.start)
        seen, orders = _visited(
            problem.system, problem.scenario, teacher.params, start, jnp.asarray(SPAN * mean, jnp.float32), grain, key, **settings
        )
        x = _rows(seen, jnp.asarray(pupil.scale), looks=tuple(pupil.looks))
        layers, errors = _fitted(
            pupil.layers, pupil.about, x, orders.reshape(-1, orders.shape[-1]), key, error=pupil.error, effort=effort
        )
    errors = np.asarray(errors)
    log({"imitation/error_at_first": float(errors[:LOOKS].mean()), "imitation/error": float(errors[-LOOKS:].mean())}, 0)
    return layers


@partial(jax.jit, static_argnames=("apply", "window", "effort"))
def _visited(system, scenario, params, start, span, grain, key, *, apply, window, effort) -> tuple[Observation, Array]:
    """What is seen in every period of every path, and what the teacher orders there; [period, ..., path, item]."""
    demand = scenario.draw(named(key, "demand"), effort.paths, window + effort.periods, start - window)
    delay = system.draw_delays(named(key, "delay"), effort.periods, effort.paths)
    tossed, uniform = jax.random.uniform(named(key, "explore"), (2, *demand[window:].shape))
    other = jnp.where(grain > 0, jnp.rint(span * uniform), span * uniform)

    def period(state, today):
        demand, delay, tossed, other = today
        observation = system.observe(state, delay)
        order = apply(params, observation, None)
        state, _ = system.transition(state, jnp.where(tossed < effort.explore, other, order), demand, delay)
        return state, (observation, order)

    state = system.initial(demand[:window], start, window)
    return lax.scan(period, state, (demand[window:], delay, tossed, other))[1]


@partial(jax.jit, static_argnames=("looks",))
def _rows(seen: Observation, scale: Array, *, looks: tuple[str, ...]) -> Array:
    """[feature, period x path, item] of observations [period, ..., path, item]."""
    x = jax.vmap(lambda one: features.stacked(one, looks, scale), out_axes=1)(seen)
    return x.reshape(x.shape[0], -1, x.shape[-1])


@partial(jax.jit, static_argnames=("error", "effort"))
def _fitted(layers, about, x, orders, key, *, error, effort) -> tuple[Any, Array]:
    """The layers, and the error [update] of each batch before the step that it led to."""
    tool = optax.adam(optax.cosine_decay_schedule(effort.learning_rate, effort.updates))

    def update(carry, key):
        layers, moments = carry
        rows = jax.random.randint(key, (effort.batch,), 0, orders.shape[0])
        lost, slope = jax.value_and_grad(error)(layers, about, x[:, rows], orders[rows])
        change, moments = tool.update(slope, moments)
        return (optax.apply_updates(layers, change), moments), lost

    keys = jax.random.split(named(key, "updates"), effort.updates)
    (layers, _), errors = lax.scan(update, (layers, tool.init(layers)), keys)
    return layers, errors
