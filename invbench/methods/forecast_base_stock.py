"""Forecast base-stock: order up to a quantile of the forecast lead-time demand, which moves with season and level."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.forecasts.linear import lead_time_demand
from invbench.problem import Problem
from invbench.tuning import Budget, search
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class ForecastBaseStock:
    """The forecast plus z standard deviations of its error, z chosen for what it earns on training paths."""

    forecast: Any  # a forecaster: fit(problem, key) -> Forecast
    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        forecast = self.forecast.fit(problem, key)
        log(forecast.accuracy, 0)
        template = Policy(forecast.params, order_up_to_forecast, window=problem.window)
        low, high = np.full((1, 1), -3.0), np.full((1, 1), 6.0)
        found = search(problem, template, ("z",), low, high, np.zeros(1, bool), self.tuning, key, log)
        return template._replace(params={**forecast.params, "z": jnp.asarray(found.point[0], jnp.float32)})


def order_up_to_forecast(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """What lifts the position to forecast + z x standard deviation of its error [item]."""
    mean, spread = lead_time_demand(params, observation)
    return mean + params["z"] * spread - observation.position
