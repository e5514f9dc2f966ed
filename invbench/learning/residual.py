"""Orders as changes of what a rule orders: a system that any learner can be trained in, and the policy that comes out of it."""

import importlib
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.keys import named
from invbench.problem import Problem
from invbench.tuning import highest_level, is_whole, levels, lot
from invbench.types import Array, Flows, Observation, Policy


@partial(jax.tree_util.register_dataclass, data_fields=["params"], meta_fields=["apply"])
@dataclass(frozen=True, eq=False)
class Part:
    """A policy inside another one: its params, and its function by name, so that it can be saved."""

    params: Any
    apply: str  # module:name

    def order(self, observation: Observation, key: Array | None) -> Array:
        """[..., item] units."""
        return _function(self.apply)(self.params, observation, key)


@partial(jax.tree_util.register_dataclass, data_fields=["system", "rule", "neutral", "cap"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Adjusted:
    """A system whose order is a change: `neutral` leaves what the rule orders as it is, more adds to it, less takes away.

    Everything else is as in the system inside.
    """

    system: Any
    rule: Part
    neutral: Array  # [item] units: about mean demand, where every learner begins
    cap: Array  # [item] units: the inventory position that no change lifts above, as a network says anything where it never was

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(object.__getattribute__(self, "system"), name)

    def transition(self, state: Any, order: Array, demand: Array, delay: Array | None = None) -> tuple[Any, Flows]:
        """One period; see `Single.transition`."""
        observation = self.system.observe(state, delay)
        return self.system.transition(state, changed(self.rule, self.neutral, self.cap, observation, order), demand, delay)


def changed(rule: Part, neutral: Array, cap: Array, observation: Observation, order: Array) -> Array:
    """[..., item] units: what a rule orders, with the change that `order` says."""
    wanted = jnp.maximum(rule.order(observation, None), 0) + order - neutral
    return jnp.clip(wanted, 0, jnp.maximum(cap - observation.position, 0))


def part_of(policy: Policy, field: str = "method.rule") -> Part:
    """Raises ValueError where a policy cannot be part of another one."""
    plain = policy.elementwise and not (policy.random or policy.per_path or policy.window)
    require(plain, field, "a rule of what is observed today, for each item by itself", policy.apply.__name__)
    return Part(policy.params, f"{policy.apply.__module__}:{policy.apply.__qualname__}")


def posed(problem: Problem, rule: Policy, key: Array) -> Problem:
    """The problem in which an order is a change of what the rule orders."""
    mean, spread = levels(problem, named(key, "levels"))
    cap = np.ceil(highest_level(problem, mean, spread) + lot(problem, mean) * (np.asarray(problem.cost.fixed_order) > 0))
    neutral = np.round(mean) if is_whole(problem, named(key, "whole")) else mean
    limits = (jnp.asarray(units, jnp.float32) for units in (neutral, cap))
    return replace(problem, system=Adjusted(problem.system, part_of(rule), *limits))


def original(problem: Problem) -> Problem:
    """The problem with orders as they are."""
    return replace(problem, system=getattr(problem.system, "system", problem.system))


def composed(problem: Problem, change: Policy) -> Policy:
    """What a learner came to in a problem of `posed`, as a policy for the original one."""
    own = part_of(change._replace(window=0))  # what it looks back on is the whole policy's window
    system = problem.system
    params = {"rule": system.rule, "neutral": system.neutral, "cap": system.cap, "change": own}
    return Policy(params, adjusted, window=change.window, misses=change.misses)


def as_change(problem: Problem, policy: Policy) -> Policy:
    """A policy for the original problem as one for a problem of `posed`; as it is for any other problem."""
    system = problem.system
    if not isinstance(system, Adjusted):
        return policy
    own = part_of(policy, "method.teacher")
    return Policy({"rule": system.rule, "neutral": system.neutral, "own": own}, departure)


def departure(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """What makes the rule's order a policy's own; [..., item] units, below 0 where that orders much less."""
    own, rule = (jnp.maximum(params[name].order(observation, key), 0) for name in ("own", "rule"))
    return params["neutral"] + own - rule


def adjusted(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """The rule's order with the learned change; [..., item] units."""
    change = params["change"].order(observation, key)
    return changed(params["rule"], params["neutral"], params["cap"], observation, change)


@lru_cache
def _function(name: str) -> Any:
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)
