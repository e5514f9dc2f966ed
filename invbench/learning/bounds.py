"""Orders near what a rule orders: a system that any learner can be trained in, and the policy that comes out of it."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.checks import require
from invbench.keys import named
from invbench.learning.residual import Part, part_of
from invbench.problem import Problem
from invbench.tuning import is_whole, levels
from invbench.types import Array, Flows, Observation, Policy


@partial(jax.tree_util.register_dataclass, data_fields=["system", "rule", "below", "above"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Bounded:
    """A system in which an order far from the rule's is moved to the nearest that is not. Else it is the system inside."""

    system: Any
    rule: Part
    below: Array  # [item] units that an order may be less than the rule's
    above: Array  # [item] units that it may be more

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(object.__getattribute__(self, "system"), name)

    def transition(self, state: Any, order: Array, demand: Array, delay: Array | None = None) -> tuple[Any, Flows]:
        """One period; see `Single.transition`.

        Where an order is moved, a gradient goes past the bounds as if it were not (Bengio, Leonard and Courville 2013, arXiv
        1308.3432): there would be none, and a network that begins beyond them would never come back.
        """
        near = within(self.rule, self.below, self.above, self.system.observe(state, delay), order)
        past = jnp.where(near == order, 0, order - lax.stop_gradient(order))
        return self.system.transition(state, near + past, demand, delay)


def within(rule: Part, below: Array, above: Array, observation: Observation, order: Array) -> Array:
    """[..., item] units: the order, at most so much below or above the rule's, and never below zero."""
    usual = jnp.maximum(rule.order(observation, None), 0)
    return jnp.clip(order, jnp.maximum(usual - below, 0), usual + above)


def posed(problem: Problem, rule: Policy, below: float, above: float, key: Array) -> Problem:
    """The problem in which orders stay within `below` and `above` periods of mean demand of the rule's.

    In whole units where demand is whole. Raises ValueError where the rule looks back on history, or the system is wrapped.
    """
    system = problem.system
    require(not hasattr(system, "system"), "method.learner", "around bounds, not inside of them", type(system).__name__)
    reach = np.outer([below, above], levels(problem, named(key, "levels"))[0])
    reach = np.floor(reach) if is_whole(problem, named(key, "whole")) else reach
    return replace(problem, system=Bounded(system, part_of(rule), *jnp.asarray(reach, jnp.float32)))


def original(problem: Problem) -> Problem:
    """The problem with orders as they are: its system out of whatever it was put in."""
    system = problem.system
    while hasattr(system, "system"):
        system = system.system
    return replace(problem, system=system)


def composed(problem: Problem, learned: Policy) -> Policy:
    """What a learner came to in a problem of `posed`, as a policy for the original one."""
    own = part_of(learned._replace(window=0))  # what it looks back on is the whole policy's window
    system = problem.system
    params = {"rule": system.rule, "below": system.below, "above": system.above, "own": own}
    return Policy(params, bounded, window=learned.window, misses=learned.misses)


def bounded(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """The learned order within its bounds; [..., item] units."""
    order = params["own"].order(observation, key)
    return within(params["rule"], params["below"], params["above"], observation, order)
