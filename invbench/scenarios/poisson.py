"""Poisson demand."""

import numpy as np
from scipy import special  # scipy.stats takes a second to import

from invbench.checks import number
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, mean: float, items: int) -> Discrete:
    """Independent Poisson demand; mean in units per period. CV = 1 / sqrt(mean)."""
    mean = number("scenario.mean", mean, low=0, high=1e6, above=True)
    units = np.arange(int(special.pdtrik(1 - 1e-15, mean)) + 3)
    return from_pmf(np.exp(special.xlogy(units, mean) - special.gammaln(units + 1) - mean), items)
