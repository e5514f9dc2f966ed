"""Wagner-Whitin: order when the next need is not covered, for as many periods as the cheapest plan for expected demand says.

This is the dynamic lot size (Wagner and Whitin 1958, Management Science 5(1), 89-96) planned anew in every period for what
stock on hand and on order leaves uncovered, as material requirements planning does (Silver, Pyke and Thomas 2017, chapter
5). Nothing has to be solved again for that: the cheapest plan first orders where stock would run out, and how many periods
that order covers does not depend on how much of its first period is still in stock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np
from scipy import stats

from invbench.checks import number
from invbench.dynamic_lots import wagner_whitin
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy

ROUNDING = 1e-5  # of the largest level: what a position may be short of by float32 alone, which is no reason to order


@dataclass(frozen=True)
class WagnerWhitin:
    """The plan for the judged periods: what would arrive after the last of them is not ordered. Nothing is tuned.

    The plan meets all expected demand, whatever a shortage costs; what protects against demand above it is `service_level`.
    """

    service_level: float  # probability of meeting the demand that a level is for, were it normal; 0.5: the bare plan
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        z = stats.norm.ppf(number("method.service_level", self.service_level, low=0.5, high=0.9999))
        need, level = _needs_and_levels(problem, problem.outlook(key)[problem.window :][: problem.horizon], z)
        late = ((0, problem.horizon - len(need)), (0, 0))  # an order would arrive after the horizon
        point = np.pad(need - ROUNDING * level.max(0, initial=0), late, constant_values=-np.inf)
        leaves = {"reorder_point": point, "level": np.pad(level, late)}
        params = {name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()}
        return Policy(params | {"start": jnp.asarray([problem.start], jnp.int32)}, order_for_the_plan)


def order_for_the_plan(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """Up to this period's level where the position is below its reorder point [item]; both leaves: [horizon, item]."""
    period = observation.time - params["start"][0]
    short = observation.position < params["reorder_point"][period]
    return jnp.where(short, params["level"][period] - observation.position, 0)


def _needs_and_levels(problem: Problem, demand: np.ndarray, z: float) -> tuple[np.ndarray, np.ndarray]:
    """For each period whose order still arrives in time [horizon - lead_time, item], units: what must be in stock and on
    order without one, for the demand up to the period in which it arrives; and with one, for the demand up to the period
    in which the next one does. demand: [horizon, n, item] as expected."""
    cost, wait = problem.cost, problem.system.lead_time
    plan = wagner_whitin(demand.mean(1, dtype=np.float64)[wait:], holding=cost.holding, fixed_order=cost.fixed_order)
    orders = len(plan.next_order)
    total = np.concatenate([np.zeros_like(demand[:1], np.float64), demand.cumsum(0, dtype=np.float64)])
    need = total[wait + 1 :] - total[:orders]
    covered = np.take_along_axis(total, wait + plan.next_order[:, None], 0) - total[:orders]
    return _with_buffer(need, z), _with_buffer(covered, z)


def _with_buffer(demand: np.ndarray, z: float) -> np.ndarray:
    """[period, item] mean and z standard deviations of demand [period, n, item]."""
    return demand.mean(1) + z * demand.std(1, ddof=1)
