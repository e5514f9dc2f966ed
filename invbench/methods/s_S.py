"""(s, S): when the inventory position is at or below s, order up to S; optimal with a fixed cost where demand is backlogged.

Source: Scarf 1960, "The optimality of (S, s) policies in the dynamic inventory problem".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.formulas import stationary
from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, lot, search
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class ReorderUpTo:
    """The reorder point s and the order-up-to level S that earn most on training paths, or the exact formula's."""

    tuning: Budget
    formula: bool = False  # the exact optimum in the long run where a formula gives it (see formulas.py), else tuned
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        exact = stationary(problem) if self.formula else None
        if exact is not None:
            s, up_to, _ = exact.reorder_up_to()
            return Policy(
                {
                    name: jnp.full(problem.items, value, jnp.float32)
                    for name, value in {"reorder_point": s, "lot": up_to - s}.items()
                },
                reorder_up_to,
            )
        mean, spread = levels(problem, key)
        high = np.stack([highest_level(problem, mean, spread), lot(problem, mean)])
        low = np.stack([-mean if problem.system.backlog else np.zeros_like(mean) - 1, np.zeros_like(mean)])
        template = Policy({}, reorder_up_to)
        names = ("reorder_point", "lot")
        found = search(problem, template, names, low, high, integers(problem, key, 2), self.tuning, key, log)
        return template._replace(params={name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)})


def reorder_up_to(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """Up to S = reorder_point + lot where the position is at or below reorder_point; each [item]."""
    gap = params["reorder_point"] - observation.position
    return jnp.where(gap >= 0, gap + params["lot"], 0)
