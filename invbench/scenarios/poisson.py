"""Poisson demand."""

import numpy as np
from scipy import stats

from invbench.checks import number
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, mean: float, items: int) -> Discrete:
    """Independent Poisson demand; mean in units per period. CV = 1 / sqrt(mean)."""
    mean = number("scenario.mean", mean, low=0, high=1e6, above=True)
    distribution = stats.poisson(mean)
    return from_pmf(distribution.pmf(np.arange(int(distribution.isf(1e-15)) + 2)), items)
