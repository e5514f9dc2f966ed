"""Base-stock: order up to one level in every period; the optimal rule where there is no fixed cost and demand is backlogged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.formulas import stationary
from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, search
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class BaseStock:
    """The level that earns most on training paths, or the exact formula's."""

    tuning: Budget
    formula: bool = False  # the exact optimum in the long run where a formula gives it (see formulas.py), else tuned
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        exact = stationary(problem) if self.formula else None
        if exact is not None and exact.fixed_order == 0:
            return Policy(
                {name: jnp.full(problem.items, value, jnp.float32) for name, value in {"level": exact.base_stock()}.items()},
                order_up_to,
            )
        mean, spread = levels(problem, key)
        high = highest_level(problem, mean, spread)
        template = Policy({}, order_up_to)
        found = search(
            problem, template, ("level",), np.zeros(1), high[None], integers(problem, key, 1), self.tuning, key, log
        )  # fmt: skip
        return template._replace(params={"level": jnp.asarray(found.point[0], jnp.float32)})


def order_up_to(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """What lifts the inventory position to `level` [item]."""
    return params["level"] - observation.position
