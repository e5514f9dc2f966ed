"""The mean of the last weeks, times what each weekday usually sells."""

from dataclasses import dataclass

import numpy as np

from invbench.checks import require, whole
from invbench.forecasts.linear import Forecast, calibrate, flat
from invbench.problem import Problem
from invbench.scenarios.profile import WEEK
from invbench.types import Array


@dataclass(frozen=True)
class Weekday:
    """Forecast = mean of the last `weeks` weeks, each day over its weekday's factor."""

    weeks: int

    def fit(self, problem: Problem, key: Array) -> Forecast:
        periods = int(WEEK) * whole("forecast.weeks", self.weeks, low=1)
        require(periods <= problem.window, "forecast.weeks x 7", f"<= problem.window ({problem.window})", periods)
        demand = problem.outlook(key)
        weekday = (problem.start - problem.window + np.arange(len(demand))) % int(WEEK)
        by_day = demand.mean(1)
        means = np.stack(
            [by_day[weekday == day].mean(0) if (weekday == day).any() else by_day.mean(0) for day in range(int(WEEK))]
        )
        return calibrate(problem, demand, means[weekday], flat(problem.window, periods), adaptive=False)
