"""The classical rule that a learner starts from or is shown beside: one rule with a reorder point, a level and a cap."""

import jax.numpy as jnp
import numpy as np

from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, lot, search
from invbench.types import Array, Observation, Policy

FREE = 1e9  # units: a reorder point or a cap that never binds


def tuned(problem: Problem, budget: Budget, key: Array) -> Policy:
    """(s, S) where an order has a fixed cost (Scarf 1960), else capped base-stock (Xin 2021): the best on training paths.

    For systems that take one order an item.
    """
    mean, spread = levels(problem, key)
    high = highest_level(problem, mean, spread)
    if np.any(np.asarray(problem.cost.fixed_order) > 0):
        names, bounds, free = ("level", "gap"), (high + lot(problem, mean), lot(problem, mean)), {"cap": FREE}
    else:
        names, bounds, free = ("level", "cap"), (high, 2 * mean + 6 * spread + 2), {"gap": 0.0}
    given = {name: jnp.full(1, value, jnp.float32) for name, value in free.items()}
    high = np.stack(bounds)
    found = search(
        problem, Policy(given, order_up_to), names, np.zeros_like(high), high, integers(problem, key, 2), budget, key, _ignore
    )
    return Policy(given | {name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)}, order_up_to)


def order_up_to(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """min(level - position, cap) where the position is at least `gap` below the level; each [item] units."""
    short = params["level"] - observation.position
    return jnp.where(short >= params["gap"], jnp.clip(short, 0, params["cap"]), 0)


def worth(problem: Problem, policy: Policy, paths: int) -> float:
    """Mean net benefit of operations on so many validation paths, money."""
    return float(np.asarray(problem.benefit(policy, problem.validation_paths(paths)), np.float64).sum(1).mean())


def _ignore(metrics: dict[str, float], step: int) -> None:
    """Nobody watches the tuning of a rule that is only shown beside."""
