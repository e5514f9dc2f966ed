"""Models with more rows than can be written down: rows are added where a solution breaks them, until none is broken.

First in the linear relaxation, then around the mixed-integer solver. Each solution, corrected, is a plan; the gap is between the
best of these and the solver's bound, so it is proved whenever the loop stops (Kelley 1960, J. SIAM 8(4); Benders 1962).
"""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from invbench.planners.linear import Linear
from invbench.planners.solve import Infeasible, Limits, Model, Rows, Solution, conflict, gap, scip

ROUNDS = 100  # of cuts in the linear relaxation, at most
PATIENCE, RISE = 3, 1e-4  # rounds whose bound rises by less than this share, after which the relaxation is done
PROVED = 1e-7  # share of the cost that may lie between plan and bound where the plan is called optimal
SLACK = 1e-6  # share of its size by which a cut must hold with room to be left to be found again


class Separated(NamedTuple):
    """What is wrong with a solution, and what it is worth put right."""

    cuts: Rows | None  # that it breaks; None: it breaks none
    values: np.ndarray  # [variable] with the variables that cuts bound set to what they must be
    cost: float  # of these


Separate = Callable[[np.ndarray], Separated]  # values [variable], which need not be whole


def solve(model: Model, separate: Separate, limits: Limits) -> Solution:
    """The model with all its cuts, by SCIP. Raises Infeasible, which names what conflicts."""
    began = time.perf_counter()
    try:
        cuts = relaxed(model, separate)
    except Infeasible:
        raise Infeasible(conflict(model)) from None
    found, seen = _Best(None, np.inf, -np.inf, 0), set()
    while True:
        left = replace(limits, nodes=None if limits.nodes is None else limits.nodes - found.nodes)
        solved = scip(replace(model, rows=(*model.rows, *cuts)), left, found.values)
        separated = None if solved.values is None else separate(_rounded(model, solved.values))
        found = found.after(solved, separated)
        more = separated.cuts if separated else None
        spent = limits.nodes is not None and found.nodes >= limits.nodes
        again = (
            more is not None and _named(model, solved.values) in seen
        )  # its cuts are there, and the solver lets them be broken
        if more is None or again or spent or found.gap <= max(limits.gap, PROVED):
            return found.solution(solved.status, limits, time.perf_counter() - began)
        cuts.append(more)
        seen.add(_named(model, solved.values))


class _Best(NamedTuple):
    """The best plan so far, and what is proved of every plan."""

    values: np.ndarray | None
    cost: float
    bound: float
    nodes: int

    @property
    def gap(self) -> float:
        return np.inf if self.values is None else gap(self.cost, self.bound)

    def after(self, solved: Solution, separated: Separated | None) -> "_Best":
        """With what one more run of the solver has found."""
        bound, nodes = max(self.bound, solved.bound), self.nodes + solved.nodes
        if separated is None or separated.cost >= self.cost:
            return self._replace(bound=bound, nodes=nodes)
        return _Best(separated.values, separated.cost, bound, nodes)

    def solution(self, status: str, limits: Limits, seconds: float) -> Solution:
        """As a result; optimal where the gap says so, whatever stopped the solver."""
        bound = min(self.bound, self.cost)
        if self.gap <= PROVED:
            status = "optimal"
        elif status == "optimal":
            status = "gap limit" if self.gap <= limits.gap else "node limit" if limits.nodes else "precision limit"
        cost = None if self.values is None else self.cost
        return Solution(status, cost, bound, self.nodes, seconds, self.values)


def relaxed(model: Model, separate: Separate) -> list[Rows]:
    """The cuts that hold the linear relaxation up. Raises Infeasible."""
    linear, cuts, levels = Linear(model), [], []
    for _ in range(ROUNDS):
        levels.append(linear.solve())
        flat = len(levels) > PATIENCE and levels[-1] - levels[-1 - PATIENCE] <= RISE * abs(levels[-1])
        found = separate(linear.values).cuts
        if flat or found is None:
            break
        cuts.append(found)
        linear.add(found)
    return [kept for kept in (_tight(rows, linear.values) for rows in cuts) if len(kept.labels)]


def _tight(rows: Rows, values: np.ndarray) -> Rows:
    """The cuts that hold without room; a solution that breaks one of the others brings it back."""
    room = rows.matrix @ values - rows.lower
    keep = room <= SLACK * np.maximum(1, np.abs(rows.matrix) @ np.abs(values))
    labels = [""] * int(keep.sum())
    return replace(
        rows, matrix=sparse.csr_array(rows.matrix[keep]), lower=rows.lower[keep], upper=rows.upper[keep], labels=labels
    )


def _rounded(model: Model, values: np.ndarray) -> np.ndarray:
    """Without the solver's rounding of whole numbers."""
    return np.where(model.whole, values.round(), values)


def _named(model: Model, values: np.ndarray) -> bytes:
    """The choice of whole numbers."""
    return values[model.whole].round().tobytes()


def cuts_of(matrix: sparse.csr_array, lower: np.ndarray, broken: np.ndarray) -> Rows | None:
    """Those rows matrix @ values >= lower that are broken, bool [row]; None where none is."""
    if not broken.any():
        return None
    kept = int(broken.sum())
    return Rows("cut", sparse.csr_array(matrix[broken]), lower[broken], np.full(kept, np.inf), [""] * kept, shown=False)
