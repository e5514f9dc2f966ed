"""Mixed-integer linear models and two solvers for them, SCIP and HiGHS; a result is never a bare optimum."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyscipopt
from pyscipopt import SCIP_PARAMSETTING
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from invbench.checks import number, whole

NAMED = 4  # constraints of one kind that a sentence names; of more it gives the number
SOUGHT = 10_000  # nodes of SCIP's search for constraints that conflict, in all
FEASIBLE = 1e-6  # share of a constraint's size by which it may be violated
NOTHING = 1e-9  # money that is no more than rounding
STATES = {"optimal": "optimal", "gaplimit": "gap limit", "nodelimit": "node limit", "totalnodelimit": "node limit"}


class Infeasible(ValueError):
    """No plan is feasible; the sentence names constraints that conflict."""


class NoPlan(ValueError):
    """A limit was reached before any plan was found."""


@dataclass(frozen=True)
class Limits:
    """When a solver stops short of a proved optimum. Seconds are no limit: the same model gives the same plan everywhere."""

    nodes: int | None = None  # of branch and bound; None: as many as it takes
    gap: float = 0.0  # share of the objective that need not be proved


def limits(*, nodes: int | None = None, gap: float = 0.0) -> Limits:
    """Checked limits. Raises ValueError where one makes no sense."""
    nodes = None if nodes is None else whole("limits.nodes", nodes, low=1)
    return Limits(nodes, number("limits.gap", gap, low=0, high=1))


@dataclass(frozen=True)
class Rows:
    """Constraints of one kind, lower <= matrix @ values <= upper; labels [row] tell them apart in a sentence."""

    kind: str
    matrix: sparse.csr_array  # [row, variable]
    lower: np.ndarray  # [row]
    upper: np.ndarray  # [row]
    labels: Sequence[str]
    shown: bool = True  # whether a sentence on a conflict names them


@dataclass(frozen=True)
class Model:
    """Minimise cost @ values, where lower <= values <= upper, those that are `whole` are integers, and all rows hold."""

    cost: np.ndarray  # [variable]
    lower: np.ndarray
    upper: np.ndarray
    whole: np.ndarray  # bool [variable]
    rows: tuple[Rows, ...]
    tight: bool = False  # whether the linear relaxation is so close that cuts do not pay

    def violation(self, values: np.ndarray) -> float:
        """By how much values [variable] break the worst of all rows, ranges and integers, as a share of the row's size."""
        worst = [
            np.maximum(self.lower - values, values - self.upper).max(),
            np.abs(values - values.round())[self.whole].max(initial=0),
        ]
        for rows in self.rows:
            size = np.maximum(1, abs(rows.matrix).max(axis=1).toarray().ravel())
            done = rows.matrix @ values
            worst.append((np.maximum(rows.lower - done, done - rows.upper) / size).max(initial=0))
        return float(max(worst))


class Solution(NamedTuple):
    """What a solver found, and what it proved."""

    status: str  # optimal | gap limit | node limit
    objective: float | None  # None: no solution was found
    bound: float  # no solution costs less
    nodes: int
    seconds: float  # building the solver's model included
    values: np.ndarray | None  # [variable]
    started: bool = False  # whether a start was given that is feasible

    @property
    def gap(self) -> float | None:
        """(objective - bound) / |objective|; None without a solution."""
        return None if self.objective is None else gap(self.objective, self.bound)

    def told(self) -> dict[str, Any]:
        """As report.json has it."""
        told = {"objective": self.objective, "bound": self.bound, "gap": self.gap, "status": self.status}
        return told | {"nodes": self.nodes, "seconds": self.seconds}


def gap(objective: float, bound: float) -> float:
    """The share of the objective that is not proved: (objective - bound) / |objective|, at least 0."""
    return max(0.0, objective - bound) / max(abs(objective), NOTHING)


def scip(model: Model, limits: Limits = Limits(), start: np.ndarray | None = None) -> Solution:
    """SCIP on a model, from a start [variable] if it is feasible. Raises Infeasible, which names what conflicts."""
    began = time.perf_counter()
    solver, variables = build(model, limits)
    started = start is not None and model.violation(start) <= FEASIBLE
    if started:  # SCIP's addSol says True of a start that is infeasible, too
        given = solver.createSol()
        for variable, value in zip(variables, start):
            solver.setSolVal(given, variable, float(value))
        solver.addSol(given)
    solver.optimize()
    return _found(model, solver, variables, began)._replace(started=started)


def build(model: Model, limits: Limits = Limits()) -> tuple[pyscipopt.Model, list[pyscipopt.Variable]]:
    """SCIP's own model, silent, with the names of all constraints; and its variables."""
    solver = pyscipopt.Model()
    solver.hideOutput()
    solver.setParam("limits/gap", limits.gap)
    solver.setParam("presolving/maxrestarts", 0)  # restarts cost a third of the time on OR-Library and find nothing
    solver.setPresolve(SCIP_PARAMSETTING.FAST)
    if model.tight:
        solver.setSeparating(SCIP_PARAMSETTING.OFF)
    if limits.nodes is not None:
        solver.setParam("limits/totalnodes", limits.nodes)
    variables = [
        solver.addVar(lb=low, ub=high, obj=cost, vtype="I" if whole else "C")
        for low, high, cost, whole in zip(model.lower, model.upper, model.cost, model.whole)
    ]
    for rows in model.rows:
        _add(solver, variables, rows)
    return solver, variables


def _add(solver: pyscipopt.Model, variables: list[pyscipopt.Variable], rows: Rows) -> None:
    matrix = rows.matrix.tocsr()
    for row, label in enumerate(rows.labels):
        part = slice(matrix.indptr[row], matrix.indptr[row + 1])
        columns, factors = matrix.indices[part], matrix.data[part]
        left = pyscipopt.quicksum(float(factor) * variables[column] for factor, column in zip(factors, columns))
        constraint = _between(float(rows.lower[row]), left, float(rows.upper[row]))
        solver.addCons(constraint, name=f"{rows.kind}\t{label}")


def _between(low: float, left: pyscipopt.Expr, high: float) -> pyscipopt.scip.ExprCons:
    if low == high:
        return left == low
    if low == -np.inf:
        return left <= high
    return left >= low if high == np.inf else (left >= low) <= high


def _found(model: Model, solver: pyscipopt.Model, variables: list[pyscipopt.Variable], began: float) -> Solution:
    state = solver.getStatus()
    if state == "userinterrupt":  # SCIP keeps the signal to itself
        raise KeyboardInterrupt
    if state in ("infeasible", "inforunbd"):
        raise Infeasible(conflict(model))
    objective, values = None, None
    if solver.getNSols():  # without one, getObjVal raises a warning and getPrimalbound is SCIP's infinity
        best = solver.getBestSol()
        objective, values = float(solver.getObjVal()), np.array([solver.getSolVal(best, variable) for variable in variables])
    bound = solver.getDualbound() if objective is None else min(solver.getDualbound(), objective)
    seconds = time.perf_counter() - began
    return Solution(STATES.get(state, state), objective, float(bound), int(solver.getNTotalNodes()), seconds, values)


def conflict(model: Model) -> str:
    """One sentence with constraints of an infeasible model that cannot hold together: SCIP's irreducible infeasible subsystem.

    Where SCIP reaches its limit of nodes on the way, some of the constraints that are named may not be needed.
    """
    solver, _ = build(model)
    solver.setParam("iis/nodes", SOUGHT)
    solver.setParam("iis/greedy/nodelimperiter", SOUGHT // 10)
    left: dict[str, list[str]] = {}
    shown = {rows.kind for rows in model.rows if rows.shown}
    for constraint in solver.generateIIS().getSubscip().getConss():
        kind, _, label = constraint.name.partition("\t")
        left.setdefault(kind, []).append(label)
    told = {kind: labels for kind, labels in left.items() if kind in shown} or left
    parts = [f"{kind} {_listed(sorted(labels, key=_natural))}".strip() for kind, labels in sorted(told.items())]
    return "no plan is feasible, these constraints cannot hold together: " + "; ".join(parts)


def _listed(labels: list[str]) -> str:
    more = len(labels) - NAMED
    return ", ".join(labels) if more <= 0 else ", ".join(labels[:NAMED]) + f" and {more} more"


def _natural(label: str) -> tuple[int, str]:
    return (int(label), "") if label.isdigit() else (0, label)


def highs(model: Model, limits: Limits = Limits()) -> Solution:
    """HiGHS on the same model, without a start. Raises Infeasible."""
    began = time.perf_counter()
    options = {"mip_rel_gap": limits.gap} | ({} if limits.nodes is None else {"node_limit": limits.nodes})
    found = milp(
        model.cost,
        integrality=model.whole.astype(int),
        bounds=Bounds(model.lower, model.upper),
        constraints=[LinearConstraint(rows.matrix, rows.lower, rows.upper) for rows in model.rows],
        options=options,
    )
    seconds = time.perf_counter() - began
    if found.status == 2:
        raise Infeasible("no plan is feasible")
    bound = -np.inf if found.mip_dual_bound is None else float(found.mip_dual_bound)
    objective = None if found.x is None else float(found.fun)
    status = "node limit" if found.status == 1 else found.message if found.status else "optimal"
    if objective is not None and status == "optimal":
        bound = min(bound, objective)
        status = "gap limit" if gap(objective, bound) > 1e-9 + 1e-6 / max(abs(objective), 1e-12) else status
    return Solution(status, objective, bound, int(found.mip_node_count or 0), seconds, found.x)
