"""Forecast (s, S): a reorder point and an order-up-to level that move with the forecast; the strongest classical rule here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.forecasts.linear import lead_time_demand
from invbench.problem import Problem
from invbench.tuning import Budget, levels, lot, search
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class ForecastReorderUpTo:
    """Reorder at forecast + z standard deviations, up to `periods` more periods of expected demand; both tuned."""

    forecast: Any  # a forecaster: fit(problem, key) -> Forecast
    tuning: Budget
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        forecast = self.forecast.fit(problem, key)
        log(forecast.accuracy, 0)
        mean, _ = levels(problem, key)
        template = Policy(forecast.params, reorder_by_forecast, window=problem.window)
        low = np.stack([np.full(problem.items, -4.0), np.zeros(problem.items)])
        high = np.stack([np.full(problem.items, 6.0), lot(problem, mean) / np.maximum(mean, 1e-9)])
        high[1] = np.minimum(high[1], problem.horizon)
        names = ("z", "periods")
        found = search(problem, template, names, low, high, np.zeros(2, bool), self.tuning, key, log)
        own = {name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)}
        return template._replace(params={**forecast.params, **own})


def reorder_by_forecast(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """Where the position is at or below the reorder point: up to it and `periods` periods of demand more [item]."""
    mean, spread = lead_time_demand(params, observation)
    gap = mean + params["z"] * spread - observation.position
    rate = params["rate"][observation.time - params["start"][0]]
    return jnp.where(gap >= 0, gap + params["periods"] * rate, 0)
