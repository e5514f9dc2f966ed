"""Geometric demand from zero on: P(d = k) = (1 - q) q^k with q = mean / (1 + mean) (Zipkin 2008)."""

import numpy as np

from invbench.checks import number
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, mean: float, items: int) -> Discrete:
    """Independent geometric demand; mean in units per period. CV = sqrt(1 + 1 / mean)."""
    mean = number("scenario.mean", mean, low=0, high=1e4, above=True)
    ratio = mean / (1 + mean)
    return from_pmf((1 - ratio) * ratio ** np.arange(int(np.log(1e-15) / np.log(ratio)) + 2), items)
