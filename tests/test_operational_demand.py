"""Demand fitted to a mean and a standard deviation: both are met, and it is the textbook law where there is one."""

import numpy as np
import pytest
from scipy import stats

from invbench.planners.operational_demand import fitted, steps


def test_fitted_demand_has_the_mean_and_the_deviation_that_are_asked_for():
    random = np.random.default_rng(0)
    mean = random.uniform(0.1, 25, (4, 200))
    std = mean * random.uniform(0.02, 0.6, mean.shape) + 0.3 * np.sqrt(mean)
    pmf, count = fitted(mean, std, 160), np.arange(160)[:, None]
    fraction = mean % 1
    assert np.abs(pmf.sum(1) - 1).max() < 1e-12 and pmf.min() >= 0
    assert (pmf * count).sum(1) == pytest.approx(mean, rel=1e-6)
    variance = (pmf * count**2).sum(1) - (pmf * count).sum(1) ** 2
    assert variance == pytest.approx(np.maximum(std**2, fraction * (1 - fraction)), rel=1e-3, abs=1e-9)


def test_fitted_demand_is_the_textbook_law_where_there_is_one():
    k = np.arange(80)
    assert fitted([[4.0]], [[2.0]], 80)[0, :, 0] == pytest.approx(stats.poisson.pmf(k, 4), abs=1e-12)
    assert fitted([[6.0]], [[4.0]], 80)[0, :, 0] == pytest.approx(stats.nbinom.pmf(k, 3.6, 6 / 16), abs=1e-12)
    assert fitted([[3.0]], [[1.5]], 80)[0, :, 0] == pytest.approx(stats.binom.pmf(k, 12, 0.25), abs=1e-9)
    assert fitted([[7.0]], [[0.0]], 80)[0, 7, 0] == pytest.approx(1) and fitted([[0.0]], [[0.0]], 80)[0, 0, 0] == pytest.approx(1)
    assert fitted([[0.3]], [[0.0]], 80)[0, :2, 0] == pytest.approx([0.7, 0.3])  # a whole number cannot vary less


def test_steps_make_large_demand_fit():
    mean, std = np.array([[900.0, 3.0]]), np.array([[100.0, 2.0]])
    step = steps(mean, std, 101)
    assert step.tolist() == [15, 1]  # 900 + 6 x 100 in 100 steps
    assert (fitted(mean, std, 101, step) * np.arange(101)[:, None]).sum(1) * step == pytest.approx(mean, rel=1e-6)
