"""What is wanted of net benefit over paths: its mean, the mean of the worst ones, or that where demand is not as expected."""

import math
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from invbench.checks import choice, number, require
from invbench.learning.residual import Part
from invbench.problem import Problem
from invbench.types import Array, Observation, Paths, Policy

KINDS = ("mean", "cvar", "worst_case")


@dataclass(frozen=True)
class Goal:
    """What a policy is worth on paths. Make one with `create`."""

    kind: str  # of KINDS
    tail: float  # share of paths that cvar looks at
    levels: tuple[float, ...]  # of demand that worst_case looks at, 1 is as expected

    def worth(self, problem: Problem, policy: Policy, paths: Paths, shared: dict | None = None) -> Array:
        """[candidate, item] money; leaves of `policy.params` are [candidate, ...], of `shared` not.

        cvar: the mean of the worst paths of each item (Rockafellar and Uryasev 2000, Journal of Risk 2); of the sum over items
        it is no less (Artzner et al. 1999). worst_case: the least of the means at all levels of demand.
        """
        if self.kind == "worst_case":
            futures = [raised(paths, level) for level in self.levels]
            return jnp.stack([problem.benefits(policy, future, shared).mean(1) for future in futures]).min(0)
        benefits = problem.benefits(policy, paths, shared)
        if self.kind == "mean":
            return benefits.mean(1)
        return jnp.sort(benefits, axis=1)[:, : self.worst(benefits.shape[1])].mean(1)

    def worst(self, paths: int) -> int:
        """How many of so many paths cvar looks at."""
        return max(1, math.ceil(self.tail * paths - 1e-9))


MEAN = Goal("mean", 1.0, (1.0,))


def create(kind: str, tail: float, levels: Any) -> Goal:
    """A checked goal. Raises ValueError in one sentence that names the field of the method."""
    choice("method.goal", kind, KINDS)
    require(isinstance(levels, list | tuple) and len(levels) > 0, "method.levels", "a list of levels of demand", levels)
    found = tuple(number(f"method.levels[{place}]", level, low=0, above=True) for place, level in enumerate(levels))
    return Goal(kind, number("method.tail", tail, low=0, above=True, high=1), found)


def raised(paths: Paths, level: float) -> Paths:
    """The same futures with another level of demand, in whole units where they were."""
    demand = paths.demand * level
    whole = jnp.all(paths.demand == jnp.round(paths.demand))
    return paths._replace(demand=jnp.where(whole, jnp.round(demand), demand))


def with_margin(policy: Policy) -> Policy:
    """The policy as one whose `margin` [item] can be tuned: units that it takes its stock to be lower than it is.

    A policy that orders up to a level then orders up to one that is so much higher. Its params are those that are shared.
    """
    own = Part(policy.params, f"{policy.apply.__module__}:{policy.apply.__qualname__}")
    return Policy({"own": own}, margined, window=policy.window, misses=policy.misses)


def margined(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: what a policy orders that sees its stock lower by a margin."""
    margin = params["margin"]
    seen = observation._replace(on_hand=observation.on_hand - margin, position=observation.position - margin)
    return params["own"].order(seen, key)
