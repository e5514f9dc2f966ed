"""Exponential smoothing of demand without its season: Holt-Winters with the seasonal profile fitted beforehand.

The profile is what the fit expects of each period (level, trend, week and year). How fast to forget, and how much of a
deviation to believe, are chosen item by item for the least squared error of lead-time demand (Gardner 2006, International
Journal of Forecasting 22, 637-666).
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require
from invbench.forecasts.linear import Forecast, calibrate, fading
from invbench.problem import Problem
from invbench.types import Array


@dataclass(frozen=True)
class SeasonalSmoothing:
    """Forecast = profile x smoothed ratio of seen to expected."""

    alphas: tuple[float, ...]  # smoothing constants to choose from

    def fit(self, problem: Problem, key: Array) -> Forecast:
        require(len(self.alphas) > 0, "forecast.alphas", "a list of at least one number", self.alphas)
        alphas = [number(f"forecast.alphas[{i}]", a, low=0, high=1, above=True) for i, a in enumerate(self.alphas)]
        demand = problem.outlook(key)
        fits = [calibrate(problem, demand, demand.mean(1), fading(problem.window, alpha), adaptive=True) for alpha in alphas]
        spreads = np.stack([np.asarray(fit.params["spread"]) for fit in fits])  # [alpha, item]
        best = spreads.argmin(0)
        own = {name: _pick([fit.params[name] for fit in fits], best) for name in ("weights", "gain", "spread")}
        overall = fits[int(spreads.mean(1).argmin())]
        return Forecast({**overall.params, **own}, overall.accuracy)


def _pick(options: list[Array], best: np.ndarray) -> Array:
    """Each item's own choice out of leaves [..., item]."""
    return jnp.stack(options)[best, ..., np.arange(len(best))].T
