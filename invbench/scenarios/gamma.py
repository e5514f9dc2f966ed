"""Gamma demand rounded to whole units, as De Moor et al. 2022 and Farrington et al. 2025 have it for perishable stock."""

import numpy as np
from scipy import stats

from invbench.checks import number
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, mean: float, cv: float, items: int) -> Discrete:
    """Independent demand round(G), G gamma with the given mean (units per period) and coefficient of variation.

    P(d = 0) = F(0.5) and P(d = k) = F(k + 0.5) - F(k - 0.5), with F that of a gamma of shape 1 / cv^2 and scale mean cv^2.
    The moments of the whole numbers are close to these, unless the mean is below some units.
    """
    mean = number("scenario.mean", mean, low=0, high=1e4, above=True)
    cv = number("scenario.cv", cv, low=0, high=3, above=True)
    distribution = stats.gamma(1 / cv**2, scale=mean * cv**2)
    edges = np.arange(int(distribution.isf(1e-15)) + 2) + 0.5
    return from_pmf(np.diff(distribution.cdf(edges), prepend=0.0), items)
