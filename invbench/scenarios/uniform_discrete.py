"""Uniform whole-number demand."""

import numpy as np

from invbench.checks import require, whole
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, low: int, high: int, items: int) -> Discrete:
    """Independent demand, every whole number from low to high alike. CV = sqrt(((high - low + 1)^2 - 1) / 12) / mean."""
    low, high = whole("scenario.low", low), whole("scenario.high", high)
    require(low <= high and high > 0, "scenario.high", f">= scenario.low ({low}) and > 0", high)
    return from_pmf(np.where(np.arange(high + 1) >= low, 1.0, 0.0), items)
