"""A model in the making: blocks of variables in any shape, and rows over them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from invbench.planners.solve import Model, Rows

Terms = Sequence[tuple[np.ndarray, Any]]  # variables [row, term], and their factors, of that shape or one that spreads to it


class Draft:
    """Collects variables and rows; `model` hands them to a solver."""

    def __init__(self) -> None:
        """Empty."""
        self.size, self._blocks, self._rows = 0, [], []

    def variables(self, cost: Any, upper: Any = np.inf, whole: bool = False) -> np.ndarray:
        """Numbers of new variables in the shape of `cost`, each from 0 to `upper`."""
        cost = np.asarray(cost, float)
        numbers = self.size + np.arange(cost.size).reshape(cost.shape)
        self._blocks.append((cost.ravel(), np.broadcast_to(upper, cost.shape).ravel(), np.full(cost.size, whole)))
        self.size += cost.size
        return numbers

    def rows(self, kind: str, terms: Terms, low: Any, high: Any, labels: Sequence[str] = (), shown: bool = True) -> None:
        """Rows low <= sum of factors x variables <= high; without labels, none of them is named in a sentence."""
        parts = [(variables, np.broadcast_to(factors, variables.shape)) for variables, factors in terms]
        columns, factors = (np.concatenate(side, axis=1) for side in zip(*parts))
        ends = [np.broadcast_to(np.asarray(end, float), len(columns)) for end in (low, high)]
        self._rows.append(_Block(kind, columns, factors, *ends, labels or [""] * len(columns), shown and len(labels) > 0))

    def model(self, tight: bool = False) -> Model:
        """All of it, as solvers take it."""
        cost, upper, whole = (np.concatenate(side) for side in zip(*self._blocks))
        rows = tuple(block.made(self.size) for block in self._rows)
        return Model(cost, np.zeros(self.size), upper.astype(float), whole, rows, tight)


class _Block(NamedTuple):
    kind: str
    columns: np.ndarray  # [row, term]
    factors: np.ndarray
    low: np.ndarray  # [row]
    high: np.ndarray
    labels: Sequence[str]
    shown: bool

    def made(self, size: int) -> Rows:
        matrix = rows_of(self.columns, self.factors, size)
        return Rows(self.kind, matrix, self.low, self.high, self.labels, self.shown)


def rows_of(columns: np.ndarray, factors: np.ndarray, size: int) -> sparse.csr_array:
    """A matrix of rows over `size` variables, from variables and factors [row, term]; no variable twice in a row."""
    count, terms = columns.shape
    matrix = sparse.csr_array((factors.ravel(), columns.ravel(), np.arange(count + 1) * terms), shape=(count, size))
    matrix.eliminate_zeros()
    return matrix
