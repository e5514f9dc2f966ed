"""Independent whole-number demand with any probability mass function: what the named distributions are built on."""

from dataclasses import dataclass, field
from functools import partial

import jax
import numpy as np

from invbench.checks import number, require, whole
from invbench.scenarios.base import DiscreteScenario, cut, thresholds
from invbench.types import Array


class _Mass(tuple):
    """A probability mass function that compiles once by its size: it is not read when paths are drawn."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Mass)

    def __hash__(self) -> int:
        return 0


@partial(jax.tree_util.register_dataclass, data_fields=["first", "thresholds"], meta_fields=["items", "mass"])
@dataclass(frozen=True, eq=False)
class Discrete(DiscreteScenario):
    """Demand drawn by inverse CDF from a table; see `DiscreteScenario`. Make one with `from_pmf`."""

    first: Array | int
    thresholds: Array
    items: int
    mass: _Mass = field(repr=False)

    def pmf(self) -> np.ndarray:
        return np.asarray(self.mass)


def from_pmf(pmf: np.ndarray, items: int) -> Discrete:
    """Demand with the probabilities `pmf` [support] of 0, 1, 2, …; every item alike and independent."""
    pmf = cut(np.asarray(pmf, np.float64))
    first, ladder = thresholds(pmf)
    return Discrete(first, ladder, whole("scenario.items", items, low=1), _Mass(pmf))


def create(*, probabilities: list[float], items: int) -> Discrete:
    """Independent demand with the given probabilities of 0, 1, 2, … units per period; they sum to 1."""
    field = "scenario.probabilities"
    require(isinstance(probabilities, list | tuple), field, "a list of probabilities", probabilities)
    chances = [number(f"{field}[{k}]", chance, low=0, high=1) for k, chance in enumerate(probabilities)]
    require(abs(sum(chances) - 1) < 1e-6, field, "probabilities that sum to 1", probabilities)
    require(sum(chances[1:]) > 0, field, "probabilities that leave some to demand above 0", probabilities)
    return from_pmf(np.asarray(chances), items)
