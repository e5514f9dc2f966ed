"""Intermittent demand: most periods ask for nothing, the others for a geometric number of units."""

import numpy as np

from invbench.checks import number
from invbench.scenarios.discrete import Discrete, from_pmf


def create(*, probability: float, size: float, items: int) -> Discrete:
    """Demand of mean `size` >= 1 units with `probability`, else none; independent over periods.

    Sizes are geometric on 1, 2, …, so CV^2 = (2 size - 1) / (probability size) - 1.
    """
    probability = number("scenario.probability", probability, low=0, high=1, above=True)
    size = number("scenario.size", size, low=1, high=1e4)
    support = np.arange(1, int(np.ceil(35 * size)) + 2)
    sizes = (1 / size) * (1 - 1 / size) ** (support - 1)
    return from_pmf(np.concatenate([[1 - probability], probability * sizes]), items)
