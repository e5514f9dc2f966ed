"""Negative binomial demand: Poisson demand whose rate is itself gamma distributed."""

import numpy as np
from scipy import stats

from invbench.checks import number
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, mean: float, dispersion: float, items: int) -> Discrete:
    """Independent demand with variance dispersion * mean (dispersion > 1). CV = sqrt(dispersion / mean)."""
    mean = number("scenario.mean", mean, low=0, high=1e5, above=True)
    dispersion = number("scenario.dispersion", dispersion, low=1, high=1e4, above=True)
    distribution = stats.nbinom(mean / (dispersion - 1), 1 / dispersion)
    return from_pmf(distribution.pmf(np.arange(int(distribution.isf(1e-15)) + 2)), items)
