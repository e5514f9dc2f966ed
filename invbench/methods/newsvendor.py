"""Newsvendor: order up to the critical fractile of lead-time demand, as the fit expects it for each period.

The fractile is underage / (underage + overage) (Arrow, Harris and Marschak 1951; Snyder and Shen 2019, equation 4.17). What
is left is held, not thrown away, so overage is one period's holding; underage is the shortage cost, with the lost margin
where demand is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.formulas import critical_fractile
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class Newsvendor:
    """One order-up-to level a period, from demand drawn as the fit expects it; nothing is tuned."""

    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        demand = problem.outlook(key)[problem.window :]
        total = np.concatenate([np.zeros_like(demand[:1]), np.cumsum(demand, axis=0, dtype=np.float64)])
        cover = problem.system.lead_time + 1
        ahead = (total[cover:] - total[:-cover])[: problem.horizon]  # [horizon, n, item]
        fractile = np.broadcast_to(critical_fractile(problem.cost, problem.system.backlog), (problem.items,))
        levels = np.stack(
            [np.quantile(ahead[:, :, i], fractile[i], axis=1, method="inverted_cdf") for i in range(problem.items)], 1
        )
        start = jnp.asarray([problem.start], jnp.int32)
        return Policy({"levels": jnp.asarray(levels, jnp.float32), "start": start}, order_up_to_today)


def order_up_to_today(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """What lifts the position to this period's level; levels: [horizon, item]."""
    return params["levels"][observation.time - params["start"][0]] - observation.position
