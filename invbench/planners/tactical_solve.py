"""Solvers of a tactical model: scipy's linprog, once; and HiGHS kept in memory, which starts from what it found before."""

import highspy
import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from invbench.planners.tactical_formulation import Linear


def by_linprog(
    linear: Linear, cost: np.ndarray | None = None, high: np.ndarray | None = None
) -> tuple[np.ndarray | None, np.ndarray | None, float]:
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
        self.highs = highspy.Highs()
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


def _model(linear: Linear) -> highspy.HighsLp:
    matrix, model = linear.matrix.tocsc(), highspy.HighsLp()
    model.num_row_, model.num_col_ = matrix.shape
    model.col_cost_, model.col_lower_, model.col_upper_ = linear.cost, linear.low, linear.high
    model.row_lower_, model.row_upper_ = linear.row_low, linear.row_high
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    return model
