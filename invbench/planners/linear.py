"""Linear programmes kept by HiGHS with their last basis, so that what has changed little is solved again in a few steps."""

import highspy
import numpy as np
from scipy import sparse

from invbench.planners.solve import Infeasible, Model, Rows


class Linear:
    """The linear relaxation of a model; rows can be added, and ranges moved."""

    def __init__(self, model: Model):
        """HiGHS, silent, with the model's variables and rows."""
        self.solver, self.rows = highspy.Highs(), 0
        self.solver.setOptionValue("output_flag", False)
        self.solver.addVars(len(model.cost), model.lower, model.upper)
        self._every = np.arange(len(model.cost), dtype=np.int32)
        self.solver.changeColsCost(len(model.cost), self._every, model.cost)
        for rows in model.rows:
            self.add(rows)

    def add(self, rows: Rows) -> None:
        """More rows."""
        matrix = sparse.csr_array(rows.matrix)
        count, starts = matrix.shape[0], matrix.indptr[:-1].astype(np.int32)
        columns = matrix.indices.astype(np.int32)
        self.solver.addRows(count, rows.lower, rows.upper, matrix.nnz, starts, columns, matrix.data)
        self.rows += count

    def move(self, upper: np.ndarray, rows: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        """New upper ends of all variables, and new ranges low to high of `rows` (their numbers)."""
        self.solver.changeColsBounds(len(self._every), self._every, np.zeros(len(upper)), upper)
        self.solver.changeRowsBounds(len(rows), rows.astype(np.int32), low, high)

    def solve(self) -> float:
        """The least cost. Raises Infeasible, and ArithmeticError where HiGHS fails."""
        self.solver.run()
        status = self.solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            raise Infeasible("no plan is feasible")
        if status != highspy.HighsModelStatus.kOptimal:
            raise ArithmeticError(f"a linear programme ended as {self.solver.modelStatusToString(status)}")
        return float(self.solver.getObjectiveValue())

    @property
    def values(self) -> np.ndarray:
        """[variable] of the last solution."""
        return np.array(self.solver.getSolution().col_value)

    @property
    def prices(self) -> np.ndarray:
        """[row] by how much the least cost rises with a unit of what the row asks for."""
        return np.array(self.solver.getSolution().row_dual)
