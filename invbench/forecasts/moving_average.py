"""The mean of the last periods, whatever the season (Silver, Pyke and Thomas 2017, section 3.4)."""

from dataclasses import dataclass

import numpy as np

from invbench.checks import require, whole
from invbench.forecasts.linear import Forecast, calibrate, flat
from invbench.problem import Problem
from invbench.types import Array


@dataclass(frozen=True)
class MovingAverage:
    """Forecast = mean of the last `periods` periods."""

    periods: int

    def fit(self, problem: Problem, key: Array) -> Forecast:
        periods = whole("forecast.periods", self.periods, low=1)
        require(periods <= problem.window, "forecast.periods", f"<= problem.window ({problem.window})", periods)
        demand = problem.outlook(key)
        profile = np.repeat(demand.mean((0, 1))[None], len(demand), axis=0)
        return calibrate(problem, demand, profile, flat(problem.window, periods), adaptive=False)
