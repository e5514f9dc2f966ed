"""Sales that an empty shelf cut off: what is known of the demand behind them; and simulators that know how little they know."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.keys import root
from invbench.scenarios import autoregressive, censored, fit, poisson, profile
from invbench.scenarios.bootstrapped import Bootstrapped, bootstrapped
from invbench.scenarios.fit import History

SEASONAL = profile.create(
    mean=50, cv=0.2, annual=0.2, weekly=0.1, trend=0, distribution="normal", noise="proportional", items=40
)  # fmt: skip


def history(shelf=None, periods=730, scenario=SEASONAL):
    return problem.observe(scenario, periods, 3, shelf)


def test_kaplan_and_meier_by_hand():
    """Values 1, 2+, 3, 4+, 5: masses 1/5, 0, 4/5 x 1/3, 0, 4/5 x 2/3 (the largest counts as seen)."""
    values, seen = np.array([[4.0], [1.0], [5.0], [2.0], [3.0]]), np.array([[False], [True], [True], [False], [True]])
    order, mass = censored.masses(values, seen)
    np.testing.assert_array_equal(values[order[:, 0], 0], [1, 2, 3, 4, 5])
    np.testing.assert_allclose(mass[:, 0], [1 / 5, 0, 4 / 15, 0, 8 / 15], atol=1e-12)
    above_two = (3 * 4 / 15 + 5 * 8 / 15) / (12 / 15)
    np.testing.assert_allclose(censored.expected(values, seen)[:, 0], [5, 1, 5, above_two, 3])
    drawn = censored.drawn(values, seen, values)[:, 0]
    assert drawn[0] == 5 and drawn[3] in (3, 5) and drawn[1:3].tolist() == [1, 5]


def test_without_an_empty_shelf_nothing_is_restored():
    values = np.random.default_rng(0).gamma(2, 3, (50, 4))
    seen = np.ones_like(values, bool)
    np.testing.assert_array_equal(censored.expected(values, seen), values)
    np.testing.assert_array_equal(censored.drawn(values, seen, np.zeros_like(values)), values)


def test_a_shelf_shows_sales_and_says_when_it_was_empty():
    open_, shelf = history(), history(1.1)
    level = 1.1 * open_.sales.mean(0)
    assert open_.in_stock is None
    np.testing.assert_allclose(shelf.sales, np.minimum(open_.sales, level), rtol=1e-6)
    np.testing.assert_array_equal(shelf.in_stock, open_.sales < level)
    assert 0.5 < shelf.in_stock.mean() < 0.8


def test_restored_demand_has_the_mean_and_the_season_that_sales_hide():
    """40 items, two years; sales alone are 5 % low, and what was sold from a full shelf alone 12 %."""
    whole, shelf = history(), history(1.1)
    assert shelf.sales.mean() / whole.sales.mean() < 0.955
    assert shelf.sales[shelf.in_stock].mean() / whole.sales.mean() < 0.9
    restored = fit.restored(shelf)
    np.testing.assert_allclose(restored.demand.mean() / whole.sales.mean(), 1, atol=0.01)
    np.testing.assert_array_equal(restored.demand[shelf.in_stock], shelf.sales[shelf.in_stock])
    assert (restored.demand >= shelf.sales - 1e-5).all()
    periods = 730 + np.arange(365)
    found, true = np.asarray(fit.fit(restored).profile(periods)), np.asarray(SEASONAL.profile(jnp.asarray(periods)))[:, None]
    assert np.sqrt(np.mean((found.mean(1) / true[:, 0] - 1) ** 2)) < 0.03
    np.testing.assert_allclose(np.asarray(fit.fit(restored).dispersion).mean(), 0.2, atol=0.02)


def test_fitting_restored_demand_is_fitting_the_history():
    shelf = history(1.1)
    for one, other in zip(jax.tree.leaves(fit.fit(shelf)), jax.tree.leaves(fit.fit(fit.restored(shelf)))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


# many simulators


def test_one_simulator_is_the_fit_itself():
    one, fitted = bootstrapped(history(), root(0, "x"), 1), fit.fit(history())
    for leaf, other in zip(jax.tree.leaves(one), jax.tree.leaves(fitted)):
        np.testing.assert_array_equal(leaf, other)


def test_simulators_differ_by_as_much_as_a_history_leaves_open():
    """Stable demand, 365 periods, cv 0.2: a mean is off by 0.2 / sqrt(365) = 1 %; with correlation 0.7 by 2.5 %."""
    stable = profile.create(
        mean=50, cv=0.2, annual=0, weekly=0, trend=0, distribution="normal", noise="proportional", items=20
    )  # fmt: skip
    moving = autoregressive.create(mean=50, cv=0.2, correlation=0.7, items=20)
    spreads = []
    for scenario in (stable, moving):
        many = bootstrapped(history(periods=365, scenario=scenario), root(0, "simulators"), 64)
        assert isinstance(many, Bootstrapped) and many.coefficients.shape[0] == 64
        means = np.asarray(jnp.exp(many.coefficients[:, 0]))  # [simulator, item]
        spreads.append(float(np.median(means.std(0) / means.mean(0))))
        drawn = np.asarray(many.draw(jax.random.key(0), 400, 60, 365))
        np.testing.assert_allclose(drawn.mean(), np.asarray(many.profile(365 + jnp.arange(60))).mean(), rtol=0.02)
    assert 0.005 < spreads[0] < 0.03 and 1.5 * spreads[0] < spreads[1] < 0.09


def test_every_path_follows_one_simulator():
    many = bootstrapped(history(periods=365, scenario=poisson.create(mean=5, items=2)), root(0, "simulators"), 8)
    widened = Bootstrapped(many.best, many.coefficients.at[:, 0].add(jnp.log(10.0 ** jnp.arange(8))[:, None]), 2)
    level = np.log10(np.asarray(widened.draw(jax.random.key(2), 64, 200, 365)).mean(0) / 5)  # [path, item]
    assert np.abs(level - np.round(level)).max() < 0.2  # a power of ten, the same all along
    np.testing.assert_array_equal(np.round(level[:, 0]), np.round(level[:, 1]))
    assert len(np.unique(np.round(level))) == 8


def test_a_problem_has_as_many_simulators_as_it_is_given():
    given = dict(information="history", history=200, window=28, horizon=30, seed=0, evaluation_seed=0)
    system = single.create(lead_time=1, backlog=False, initial_stock=None)
    cost = CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0)
    for count in (1, 8):
        made = problem.create(SEASONAL, system, cost, **given, simulators=count, shelf=1.2)
        assert isinstance(made.scenario, Bootstrapped) == (count > 1)
        assert made.history.demand is not None and (made.history.demand >= made.history.sales - 1e-5).all()
    with pytest.raises(ValueError, match="problem.simulators must be a whole number >= 1, got 0"):
        problem.create(SEASONAL, system, cost, **given, simulators=0)
    with pytest.raises(ValueError, match="problem.shelf must be a number > 0, got 0"):
        problem.create(SEASONAL, system, cost, **given, shelf=0)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.0, "the observed history must be demand in at least one period, got 'none at all'"),
        (7.0, "the observed history must be sales that vary, got '7, 7 in each of 60 periods'"),
    ],
)
def test_a_history_without_variation_is_refused(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        bootstrapped(History(np.full((60, 2), value), None), root(0, "x"), 4)


def test_a_constant_item_beside_one_that_varies_stays_constant():
    sales = np.stack([np.full(60, 7.0), np.arange(60) % 7 + 1.0], 1)
    drawn = np.asarray(bootstrapped(History(sales, None), root(0, "x"), 4).draw(jax.random.key(0), 5, 20, 60))
    np.testing.assert_allclose(drawn[..., 0], 7, rtol=1e-3)
