"""Any learner that goes on adapting as it sees demand: its units are those of the level that each path shows.

What was learned in periods of mean demand is right again once the mean is: stock of m times the demand is run as m times the
stock where costs are by the unit, and nearly so with a fixed cost. So the level is learned anew, path by path, and the network is
not: a network of its own for each path would be a training for each, and one trained on what all paths have seen would know
other futures than its own.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require, whole
from invbench.keys import named
from invbench.learning.level import Level, Rules, begun, follow
from invbench.learning.residual import Part
from invbench.learning.wrapper import AroundLearner
from invbench.problem import Problem
from invbench.tuning import is_whole
from invbench.types import Array, Observation, Policy

LEAST, MOST = 0.05, 20.0  # levels beyond which none is believed


@dataclass(frozen=True)
class Online(AroundLearner):
    """A learner in units that follow the level of demand; every field is explained in its YAML."""

    learner: Any  # a method that learns
    shift: float
    alarm: float
    memory: int
    trust: int
    family: ClassVar[str] = "dl"
    tuned: ClassVar[bool] = False

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field makes no sense, or the learner's policy cannot be part of another one."""
        self._check(problem)
        return self.around(problem, self.learner.fit(problem, named(key, "learner"), log), key)

    def around(self, problem: Problem, policy: Policy, key: Array) -> Policy:
        """A policy for a problem, from now on in units that follow the level."""
        alone = policy.elementwise and not (policy.random or policy.per_path or policy.revise)
        require(
            alone, "method.learner", "one whose policy is for each item by itself, the same on all paths", policy.apply.__name__
        )
        demand = problem.outlook(named(key, "outlook"))[: problem.window + problem.horizon]
        mean, spread = demand.mean(1), demand.std(1)
        mean = np.maximum(mean, 0.05 * mean.mean(0) + 1e-9)
        relative = np.sqrt(((spread / mean) ** 2).mean(0)) + 1e-3
        rules = [relative, *(np.full(1, value) for value in (self.shift, self.alarm, self.memory))]
        own = Part(policy.params, f"{policy.apply.__module__}:{policy.apply.__qualname__}")
        params = Following(
            own, begun(problem.items, self.trust), Rules(*(jnp.asarray(part, jnp.float32) for part in rules)),
            jnp.asarray(mean, jnp.float32), jnp.asarray([problem.start - problem.window], jnp.int32),
            jnp.full(problem.items, jnp.inf), jnp.full(problem.items, is_whole(problem, named(key, "whole"))),
            problem.start - problem.window, problem.system.lead_time, not problem.system.backlog,
        )  # fmt: skip
        return Policy(params, order_by_level, window=problem.window, every=1, revise=revise, misses=policy.misses)

    def _check(self, problem: Problem) -> None:
        require(problem.window > 0, "problem.window", ">= 1 for online, which looks at what was sold", problem.window)
        whole("method.memory", self.memory, low=1)
        whole("method.trust", self.trust)
        number("method.shift", self.shift, low=0, above=True)
        number("method.alarm", self.alarm, low=0, above=True)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["own", "level", "rules", "expected", "until", "available", "whole"],
    meta_fields=["first", "lead_time", "censored"],
)
@dataclass(frozen=True, eq=False)
class Following:
    """The params of the policy."""

    own: Part  # the learner's policy
    level: Level  # [item], once revised [n, item]
    rules: Rules
    expected: Array  # [window + horizon, item] demand of a period, units
    until: Array  # [1] the period up to which demand has been looked at
    available: Array  # [item], once revised [n, item]: stock that the last period's demand could take, units
    whole: Array  # [item] bool: orders are rounded
    first: int  # absolute number of the first expected period
    lead_time: int  # periods
    censored: bool  # no more is seen of demand than was sold


def revise(params: Following, observation: Observation) -> Following:
    """The params once the level of each path has followed the demand that it saw since the last look."""
    now = int(observation.time)
    fresh = min(now - int(params.until[0]), observation.ring.shape[0])
    if fresh <= 0:
        return params
    level = _followed(params, observation, fresh=fresh)
    return replace(params, level=level, until=jnp.asarray([now], jnp.int32), available=observation.on_hand)


@partial(jax.jit, static_argnames="fresh")
def _followed(params: Following, observation: Observation, *, fresh: int) -> Level:
    periods, ring = observation.time - fresh + jnp.arange(fresh), observation.ring
    expected = params.expected[periods - params.first][:, None]
    seen = ring[periods % ring.shape[0]]  # [period, n, item]
    out = jnp.zeros(seen.shape, bool)
    if params.censored and fresh == 1:
        stock = params.available if params.lead_time else seen[0] + observation.on_hand
        sold_out = jnp.isfinite(params.available) & (seen[0] >= stock - 1e-4 * expected[0])
        out = sold_out[None]
    return follow(params.rules, params.level, seen / expected, out)


def order_by_level(params: Following, observation: Observation, key: Array | None) -> Array:
    """[..., item] units: what the learner orders where stock and demand are counted in multiples of the level."""
    level = jnp.clip(params.level.mean, LEAST, MOST)
    scaled = observation._replace(
        on_hand=observation.on_hand / level,
        position=observation.position / level,
        pipeline=observation.pipeline / level,
        ring=observation.ring / level,
    )
    units = params.own.order(scaled, key) * level
    return jnp.where(params.whole, jnp.round(units), units)
