"""The long-run cost of ordering the same quantity in every period, where sales are lost: exact, without cutting stock off early.

Stock after receipt follows x' = (x - D)+ + quantity, a random walk above zero with drift below zero where quantity < E[D]
(Reiman 2004, "A new and simple policy for the continuous review lost sales inventory model"; Xin and Goldberg 2016, Operations
Research 64(6), 1556-1565). It does not depend on the lead time. What is lost is E[D] - quantity a period.
"""

import numpy as np
from scipy import sparse
from scipy.sparse import linalg

TAIL = 1e-14  # probability beyond the highest stock that is looked at


def left_over(pmf: np.ndarray, quantity: int) -> float:
    """Expected units on hand at the end of a period in the long run; inf unless quantity < mean demand. pmf: [support]."""
    if quantity >= pmf @ np.arange(len(pmf)):
        return np.inf
    size = 4 * len(pmf) + 256
    while True:
        share = _stationary(pmf, quantity, size)
        if share[-quantity - 1 :].sum() < TAIL:
            return float(share @ np.arange(size))
        size *= 2


def _stationary(pmf: np.ndarray, quantity: int, size: int) -> np.ndarray:
    """[size] long-run probabilities of what is left at the end of a period, as if no more than size - 1 could be."""
    left = np.arange(size)
    after = np.clip(left[:, None] + quantity - np.arange(len(pmf)), 0, size - 1)
    rows = np.broadcast_to(left[:, None], after.shape)
    moves = sparse.csr_matrix((np.broadcast_to(pmf, after.shape).ravel(), (after.ravel(), rows.ravel())), (size, size))
    balance = (moves - sparse.identity(size)).tolil()
    balance[0] = 1.0  # one equation says nothing new: the probabilities sum to 1 instead
    share = linalg.spsolve(balance.tocsc(), np.eye(1, size).ravel())
    return np.maximum(share, 0)


def cost(pmf: np.ndarray, quantity: int, holding: float, shortage: float) -> float:
    """Average money per period: holding on what is left, shortage on what is lost."""
    return holding * left_over(pmf, quantity) + shortage * float(pmf @ np.arange(len(pmf)) - quantity)


def best(pmf: np.ndarray, holding: float, shortage: float) -> tuple[int, float]:
    """The whole quantity that costs least, and its average cost."""
    quantities = range(int(np.ceil(pmf @ np.arange(len(pmf)))))
    costs = [cost(pmf, quantity, holding, shortage) for quantity in quantities]
    return int(np.argmin(costs)), float(np.min(costs))
