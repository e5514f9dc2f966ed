"""Solvers of a tactical model: scipy's linprog, once; and HiGHS kept in memory, which starts from what it found before."""

import highspy
import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from invbench.planners.tactical_formulation import Linear


def by_linprog(linear: Linear, cost: np.ndarray | None = None, high: np.ndarray | None = None) -> tuple[np.ndarray | None, np.ndarray | None, float]:
    """Values [variable], duals [constraint] and objective, by scipy's HiGHS; None, None, inf where no plan is feasible."""
    rest = slice(linear.equations.stop, None)
    above, below = np.isfinite(linear.row_high[rest]), np.isfinite(linear.row_low[rest])
    matrix = linear.matrix[rest]
    found = linprog(
        linear.cost if cost is None else cost,
        sparse.vstack([matrix[above], -matrix[below]], format="csr"),
        np.r_[linear.row_high[rest][above], -linear.row_low[rest][below]],
        linear.matrix[linear.equations],
        linear.row_low[linear.equations],
        np.stack([linear.low, linear.high if high is None else high], 1),
        method="highs",
    )
    if found.status == 2:
        return None, None, np.inf
    if found.status:
        raise ArithmeticError(f"HiGHS stopped short of the optimum: {found.message}")
    others = np.zeros(matrix.shape[0])
    others[above] += found.ineqlin.marginals[: above.sum()]
    others[below] -= found.ineqlin.marginals[above.sum() :]
    return found.x, np.r_[found.eqlin.marginals, others], float(found.fun)


class Kept:
    """A model in HiGHS: `solve` again after its limits have changed starts from the last optimum."""

    def __init__(self, linear: Linear):
        """HiGHS gets the model, and is silent."""
        self.linear, self.highs = linear, highspy.Highs()
        self.highs.setOptionValue("output_flag", False)
        self.highs.passModel(_model(linear))

    def solve(self) -> tuple[np.ndarray | None, np.ndarray | None, float]:
        """As `by_linprog`."""
        self.highs.run()
        state = self.highs.getModelStatus()
        if state in (highspy.HighsModelStatus.kInfeasible, highspy.HighsModelStatus.kUnboundedOrInfeasible):
            return None, None, np.inf
        if state != highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError(f"HiGHS stopped short of the optimum: {self.highs.modelStatusToString(state)}")
        found = self.highs.getSolution()
        return np.array(found.col_value), np.array(found.row_dual), self.highs.getInfo().objective_function_value

    @property
    def steps(self) -> int:
        """Steps of the simplex method in the last solve."""
        return self.highs.getInfo().simplex_iteration_count

    def change(self, linear: Linear) -> None:
        """New limits of variables and constraints; cost and matrix must be the same."""
        columns, rows = (np.arange(size, dtype=np.int32) for size in (len(linear.cost), len(linear.row_low)))
        self.highs.changeColsBounds(len(columns), columns, linear.low, linear.high)
        self.highs.changeRowsBounds(len(rows), rows, linear.row_low, linear.row_high)
        self.linear = linear

    def shift(self, periods: int) -> None:
        """Start from the last optimum so many periods on: what was done in period t + periods is now done in t."""
        last = self.highs.getBasis()
        if not last.valid:
            return
        basis = highspy.HighsBasis()
        basis.col_status = _shifted(last.col_status, self.linear.columns, periods)
        basis.row_status = _shifted(last.row_status, self.linear.rows, periods)
        basis.valid = basis.alien = True  # alien: as many of the basis as are independent are kept, and the rest is filled in
        self.highs.setBasis(basis)


def _shifted(status: list, numbers: dict[str, np.ndarray], periods: int) -> list:
    """The status of what stands `periods` later; that of the last period where there is none."""
    all_of_them = np.array(status, dtype=object)
    later = [part[np.minimum(np.arange(len(part)) + periods, len(part) - 1)].ravel() for part in numbers.values()]
    return list(all_of_them[np.concatenate(later)])


def _model(linear: Linear) -> highspy.HighsLp:
    matrix, model = linear.matrix.tocsc(), highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_, model.col_lower_, model.col_upper_ = linear.cost, linear.low, linear.high
    model.row_lower_, model.row_upper_ = linear.row_low, linear.row_high
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    return model
