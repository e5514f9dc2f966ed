"""Base-stock with estimated waste: order up to one level the stock that is expected not to expire before the order counts.

order = (S - (IP - W))+, where IP is the inventory position and W the expected outdating of the next L + R - 1 = L periods (an
order placed in t can meet demand from t + L on, and is reviewed every R = 1 period): t, …, t + L - 1. W is found as if demand
were its mean in every period and met from the oldest units first (FIFO), from today's units by age and the orders due meanwhile:

    left_a = (units_a - (mean - units of all older ages)+)+,  W = sum over these periods of left_oldest;  then all ages by one.

What expires at the end of period t + L or later can still meet demand beside today's order, so it counts as stock. With L = 0
the rule is base-stock, with L = 1 it is order = (S - IP + (oldest - mean)+)+. Where demand comes in whole units W is rounded to
them. `mean` is that over the whole horizon.

Source: the EWA policy of Broekmeulen and van Donselaar 2009, Computers & Operations Research 36(11), 3013-3018, also in van
Donselaar and Broekmeulen 2012, International Journal of Production Economics 140(2), 660-669; with one level in place of the
reorder point it is the base-stock policy with estimated waste of Haijema and Minner 2019, same journal 209.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.dynamics.perishable import issue
from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, levels, search
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class WasteConsciousBaseStock:
    """The level S that earns most on training paths; in whole units where demand is whole."""

    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True
    systems: ClassVar[tuple[str, ...]] = ("perishable",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        system = problem.system
        require(hasattr(system, "life"), "system", "perishable for method waste_conscious_base_stock", type(system).__name__)
        mean, spread = levels(problem, key)
        whole = integers(problem, key, 1)
        template = policy_of(np.zeros_like(mean), mean, system.lead_time, bool(whole[0]))
        shared = {name: leaf for name, leaf in template.params.items() if name != "level"}
        high = highest_level(problem, mean, spread)[None]
        found = search(problem, template._replace(params=shared), ("level",), np.zeros(1), high, whole, self.tuning, key, log)
        return policy_of(found.point[0], mean, system.lead_time, bool(whole[0]))


def policy_of(level: Array, mean: Array, lead_time: int, whole: bool) -> Policy:
    """The rule with the level S [item] and the mean demand of a period [item], both in units; whole: W is rounded."""
    mean = jnp.broadcast_to(jnp.asarray(mean, jnp.float32), np.shape(level))
    return Policy(
        {
            "level": jnp.asarray(level, jnp.float32),
            "mean": jnp.tile(mean, (lead_time, 1)),  # [period, item]: of those that the estimate looks at
            "whole": jnp.full(mean.shape, whole, jnp.float32),
        },
        order_up_to_without_waste,
    )


def order_up_to_without_waste(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """(level - (position - expected waste))+ [item]."""
    waste = expected_waste(params["mean"], observation)
    waste = jnp.where(params["whole"] > 0, jnp.round(waste), waste)
    return jnp.maximum(params["level"] - observation.position + waste, 0)


def expected_waste(mean: Array, observation: Observation) -> Array:
    """[item] units that expire in the next periods if demand is `mean` [period, item], FIFO and nothing more is ordered."""
    ages = [observation.ages[age] for age in range(observation.ages.shape[0])]
    waste = jnp.zeros_like(ages[0])
    for period in range(mean.shape[0]):
        left, _ = issue(ages, mean[period], "fifo")
        waste = waste + left[0]
        due = observation.pipeline[period] if period < observation.pipeline.shape[0] else jnp.zeros_like(waste)
        ages = [*left[1:], due]
    return waste
