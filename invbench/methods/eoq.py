"""Economic order quantity: order the lot that balances fixed and holding costs when stock would run out before the next one.

Q = sqrt(2 K D / h), cost a period sqrt(2 K D h) (Harris 1913; Snyder and Shen 2019, Fundamentals of Supply Chain Theory,
section 3.2, equations 3.4 and 3.5). The demand rate D is re-estimated in every period from what has been seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from invbench.checks import require, whole
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy, recent_mean


@dataclass(frozen=True)
class EconomicOrderQuantity:
    """The textbook rule: no safety stock; the reorder point is the mean demand of the lead time and the review period."""

    periods: int  # past periods that the demand rate is the mean of
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        periods = whole("method.periods", self.periods, low=1)
        require(periods <= problem.window, "method.periods", f"<= problem.window ({problem.window})", periods)
        cost, as_array = problem.cost, lambda value: jnp.atleast_1d(jnp.asarray(value, jnp.float32))
        params = {
            "fixed_order": as_array(cost.fixed_order),
            "holding": as_array(cost.holding),
            "cover": as_array(problem.system.lead_time + 1),
        }
        return Policy(params, economic_lot, window=periods)


def economic_lot(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The economic order quantity, or what is missing to the reorder point if that is more; each [item]."""
    rate = recent_mean(observation)
    gap = params["cover"] * rate - observation.position
    return jnp.where(gap >= 0, jnp.maximum(order_quantity(params["fixed_order"], rate, params["holding"]), gap), 0)


def order_quantity(fixed_order: Array | float, rate: Array | float, holding: Array | float) -> Array:
    """The economic order quantity in units; rate: units per period, holding: money per unit and period."""
    return jnp.sqrt(2 * fixed_order * rate / jnp.maximum(holding, 1e-9))


def cost_rate(fixed_order: Array | float, rate: Array | float, holding: Array | float) -> Array:
    """Fixed and holding cost per period of ordering the economic order quantity, money."""
    return jnp.sqrt(2 * fixed_order * rate * holding)
