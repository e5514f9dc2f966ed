"""(r, nQ): when the inventory position is at or below r, order as many lots of Q as lift it above r.

Source: Zheng and Chen 1992, "Inventory policies with quantized ordering", Naval Research Logistics 39.
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
class ReorderLots:
    """The reorder point r and the lot Q that earn most on training paths, or the exact formula's."""

    tuning: Budget
    formula: bool = False  # the exact optimum in the long run where a formula gives it (see formulas.py), else tuned
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        exact = stationary(problem) if self.formula else None
        if exact is not None:
            r, size, _ = exact.lots()
            return Policy(
                {name: jnp.full(problem.items, value, jnp.float32) for name, value in {"reorder_point": r, "lot": size}.items()},
                reorder_lots,
            )
        mean, spread = levels(problem, key)
        high = np.stack([highest_level(problem, mean, spread), lot(problem, mean)])
        whole = integers(problem, key, 2)
        smallest = np.where(whole[1], 1.0, 0.02 * mean)  # a lot of next to nothing is base-stock
        low = np.stack([-mean if problem.system.backlog else np.zeros_like(mean) - 1, smallest])
        template = Policy({}, reorder_lots)
        names = ("reorder_point", "lot")
        found = search(problem, template, names, low, high, whole, self.tuning, key, log)
        return template._replace(params={name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)})


def reorder_lots(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The smallest number of lots that lifts the position above reorder_point; each [item]."""
    gap = params["reorder_point"] - observation.position
    return jnp.where(gap >= 0, (jnp.floor(gap / params["lot"]) + 1) * params["lot"], 0)
