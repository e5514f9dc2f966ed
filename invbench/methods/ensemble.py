"""Several methods as one: what they order is averaged, with weights that earn most on training paths.

Source: Bates and Granger 1969, "The combination of forecasts", Operational Research Quarterly 20, here for orders. Where an order
has a fixed cost, an average of orders placed on different days would pay it on each of them: there the members vote, and an order
is placed where at least half of the weight wants one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import require, whole
from invbench.keys import named
from invbench.learning.residual import Part
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy

MOST = 2000  # combinations of weights that are tried


@dataclass(frozen=True)
class Ensemble:
    """Any methods whose policies treat each item by itself; every field is explained in its YAML."""

    members: dict[str, Any]  # methods
    steps: int
    paths: int
    family: ClassVar[str] = "dl"
    tuned: ClassVar[bool] = True

    @property
    def fast_mode(self) -> bool:
        """That of any member."""
        return any(getattr(method, "fast_mode", False) for method in self.members.values())

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field makes no sense, or a member cannot be part of another policy."""
        require(len(self.members) > 1, "method.members", "two methods or more", list(self.members))
        fitted = {name: method.fit(problem, named(key, "member", name), log) for name, method in self.members.items()}
        parts = {name: _part(name, policy, problem) for name, policy in fitted.items()}
        shared = {"members": parts, "fixed": _fixed(problem)}
        misses = any(policy.misses for policy in fitted.values())
        weights, earned = self._weights(problem, Policy(shared, weighted, window=problem.window, misses=misses), key)
        log({"ensemble/benefit": earned} | {f"ensemble/weight of {name}": float(weights[name].mean()) for name in weights}, 0)
        window = max(policy.window for policy in fitted.values())
        return Policy(shared | {"weights": weights}, weighted, window=window, misses=misses)

    def _weights(self, problem: Problem, policy: Policy, key: Array) -> tuple[dict[str, Array], float]:
        """The weights [item] of each member that earn most on training paths, and what they earn; all tried in one call."""
        table = jnp.asarray(simplex(len(self.members), whole("method.steps", self.steps, low=1)), jnp.float32)
        paths = problem.training_paths(named(key, "weights"), whole("method.paths", self.paths, low=2))
        tried = jnp.broadcast_to(table[:, :, None], (*table.shape, problem.items))
        own = {"weights": {name: tried[:, i] for i, name in enumerate(self.members)}}
        earned = problem.benefits(policy._replace(params=own), paths, shared=policy.params).mean(1)
        earned = np.asarray(earned, np.float64)  # [candidate, item]
        best = earned.argmax(0)
        return {name: table[best, i] for i, name in enumerate(self.members)}, float(earned.max(0).sum())


def simplex(members: int, steps: int) -> np.ndarray:
    """[combination, member] every way to share out `steps` equal parts of 1, one member alone first."""
    count = math.comb(steps + members - 1, members - 1)
    require(count <= MOST, "method.steps", f"so few that at most {MOST} combinations are tried", steps)
    bars = np.array(list(combinations(range(steps + members - 1), members - 1))).reshape(count, members - 1)
    parts = np.diff(bars, axis=1, prepend=-1, append=steps + members - 1) - 1  # what lies between bars
    return parts[np.argsort(-parts.max(1), kind="stable")] / steps


def weighted(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: the mean of the members' orders, or where an order has a fixed cost, what the majority orders.

    Rounded to whole units where every member orders whole ones.
    """
    orders = {name: jnp.maximum(part.order(observation, key), 0) for name, part in params["members"].items()}
    mean = sum(params["weights"][name] * order for name, order in orders.items())
    wanted = sum(params["weights"][name] * (order > 0) for name, order in orders.items())
    units = jnp.where(params["fixed"], jnp.where(wanted >= 0.5 - 1e-6, mean / jnp.maximum(wanted, 0.5), 0), mean)
    counted = jnp.stack([order == jnp.round(order) for order in orders.values()]).all(0)
    return jnp.where(counted, jnp.round(units), units)


def _part(name: str, policy: Policy, problem: Problem) -> Part:
    """Raises ValueError where a policy cannot be part of another one."""
    alone = policy.elementwise and not (policy.random or policy.per_path or policy.revise)
    require(alone, f"method.members.{name}", "one whose policy is for each item by itself, the same on all paths", name)
    sees = policy.window in (0, problem.window)
    require(sees, f"method.members.{name}", f"one that looks back on no period, or on {problem.window}", policy.window)
    return Part(policy.params, f"{policy.apply.__module__}:{policy.apply.__qualname__}")


def _fixed(problem: Problem) -> Array:
    """[item] bool: an order has a fixed cost."""
    return jnp.asarray(np.broadcast_to(np.asarray(problem.cost.fixed_order) > 0, (problem.items,)))
