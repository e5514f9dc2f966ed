"""Rows that are added where they are broken: tangents by hand, limits, and what a solver's tolerance leaves."""

import numpy as np
import pytest
from scipy import sparse

from invbench.planners import cuts
from invbench.planners.draft import Draft
from invbench.planners.solve import Infeasible, Limits


def parabola(low=0.0):
    """x whole from 0 to 9, at least `low`, and what it costs; tangents of (x - 3.3) ** 2 are the cuts."""
    draft = Draft()
    place = draft.variables([0.0], 9, whole=True)
    draft.variables([1.0], 100)
    draft.rows("at least", [(place[None], 1)], low, np.inf, [f"{low:g}"])
    return draft.model()


def tangent(values):
    place, said = values
    slope, cost = 2 * (place - 3.3), (place - 3.3) ** 2
    row, low = sparse.csr_array([[-slope, 1.0]]), np.array([cost - slope * place])
    return cuts.Separated(cuts.cuts_of(row, low, np.array([said < cost - 1e-9])), np.array([place, cost]), cost)


@pytest.mark.parametrize("low, place, cost", [(0, 3, 0.09), (4, 4, 0.49), (7, 7, 3.7**2)])
def test_tangents_lead_to_the_least_of_a_parabola(low, place, cost):
    found = cuts.solve(parabola(low), tangent, Limits())
    assert found.status == "optimal" and found.values[0] == place
    assert found.objective == pytest.approx(cost, abs=1e-6) and found.bound == pytest.approx(cost, abs=1e-6)


def test_cuts_of_the_relaxation_hold_at_every_whole_point():
    for rows in cuts.relaxed(parabola(), tangent):
        for place in range(10):
            assert (rows.matrix @ np.array([place, (place - 3.3) ** 2]) >= rows.lower - 1e-12).all()


def test_a_model_without_a_solution_names_what_conflicts():
    with pytest.raises(Infeasible, match="these constraints cannot hold together: at least 10$"):
        cuts.solve(parabola(10), tangent, Limits())


def test_a_cut_that_the_solver_does_not_keep_ends_the_loop_and_is_not_called_optimal():
    def never_content(values):
        row = cuts.cuts_of(sparse.csr_array([[0.0, 1.0]]), np.zeros(1), np.ones(1, bool))
        return cuts.Separated(row, np.array([values[0], 5.0]), 5.0)

    found = cuts.solve(parabola(), never_content, Limits())
    assert found.status == "precision limit" and found.objective == 5 and found.bound == 0 and found.gap == 1


def test_a_gap_that_is_allowed_is_left():
    found = cuts.solve(parabola(7), tangent, Limits(gap=0.9))
    assert found.bound <= 3.7**2 + 1e-9 and found.gap <= 0.9
