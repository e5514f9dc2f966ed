"""Forecasting networks: heads by hand, causality, and demand whose best forecast is known."""

from dataclasses import replace
from functools import partial
from statistics import NormalDist

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import made, posed, same
from scipy import stats

from invbench import problem as problems
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.forecasts import heads, neural, ordering
from invbench.forecasts.heads import Head
from invbench.keys import root
from invbench.learning import forecasting
from invbench.learning.baseline import tuned
from invbench.learning.curriculum import Stage
from invbench.scenarios import autoregressive, discrete, holidays, intermittent, poisson
from invbench.tuning import Budget
from invbench.types import Observation

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SMALL = dict(width=8, paths=64, updates=400, batch=128, quantiles=list(QUANTILES))
TUNING = {"_target_": "invbench.tuning.budget", "paths": 64, "candidates": 16, "rounds": 1}
GRID = Head("quantile", QUANTILES)


def problem_of(scenario, window=14, lead_time=0, **prices):
    return replace(posed(scenario, single.create(lead_time=lead_time, backlog=True, initial_stock=50.0), **prices), window=window)


def network(problem, kind="lstm", **fields):
    """A trained forecaster, and how accurate it says it is."""
    method, heard = made(kind, tuning=TUNING, **SMALL | fields), {}
    found = forecasting.trained(problem, method.plan(), root(0, kind), method.paths, lambda metrics, step: heard.update(metrics))
    return found, heard


# ---- heads


def test_levels_between_quantiles_are_those_of_a_normal_distribution_that_has_them():
    parts = jnp.asarray([10 + 3 * NormalDist().inv_cdf(level) for level in QUANTILES])
    for level in (0.01, 0.05, 0.4, 0.6, 0.99):
        z = NormalDist().inv_cdf(level)
        found = float((heads.weights(GRID, jnp.asarray(z)) * parts).sum())
        assert found == pytest.approx(10 + 3 * z, abs=1e-4)
    assert float(heads.mean_weights(GRID) @ np.asarray(parts)) == pytest.approx(10, abs=1e-3)


def test_quantiles_never_cross_and_the_pinball_loss_is_least_at_the_quantiles():
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(5, 100)), jnp.float32)
    assert (np.diff(np.asarray(heads.parts(GRID, outputs, jnp.ones(100))), axis=0) > 0).all()
    demand = jnp.asarray(np.random.default_rng(1).normal(10, 3, 20_000), jnp.float32)
    loss = lambda parts: float(heads.loss(GRID, jnp.broadcast_to(parts[:, None], (5, 20_000)), demand, jnp.ones(20_000)).mean())  # noqa: E731
    best = jnp.asarray(np.quantile(demand, QUANTILES), jnp.float32)
    assert all(loss(best) < loss(best.at[i].add(step)) for i in range(5) for step in (-0.5, 0.5))


def test_the_negative_binomial_head_is_the_distribution():
    head, mean, dispersion = Head("negative_binomial", ()), 8.0, 0.25
    size = 1 / dispersion
    parts = jnp.asarray([mean, np.sqrt(mean + dispersion * mean**2), 1 + 2 * dispersion * mean], jnp.float32)
    rule = stats.nbinom(size, size / (size + mean))
    demand = jnp.arange(30.0)
    lost = heads.loss(head, jnp.broadcast_to(parts[:, None], (3, 30)), demand, jnp.ones(30))
    np.testing.assert_allclose(lost, -rule.logpmf(np.arange(30)), rtol=2e-4, atol=2e-3)
    for level in (0.5, 0.9, 0.98):  # Cornish and Fisher: within a unit
        found = float((heads.weights(head, jnp.asarray(NormalDist().inv_cdf(level))) * parts).sum())
        assert abs(found - rule.ppf(level)) <= 1


# ---- what is learned


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_the_error_on_autoregressive_demand_is_nearly_the_noise_of_the_process(kind):
    """AR(1), 0.7: the best forecast of the next period is off by sd x sqrt(1 - 0.49); its mean error is that x sqrt(2 / pi)."""
    mean, cv = 50.0, 0.2
    problem = problem_of(autoregressive.create(mean=mean, cv=cv, correlation=0.7, items=1))
    _, heard = network(problem, kind, updates=1500, width=16)
    least = cv * np.sqrt(1 - 0.49) * np.sqrt(2 / np.pi)
    assert (1 - heard["forecast/accuracy"]) / least < 1.05
    assert heard["forecast/mase"] < 0.95 and abs(heard["forecast/bias"]) < 0.02 * mean
    assert heard["forecast/coverage"] == pytest.approx(0.9, abs=0.02)


def test_quantiles_of_independent_poisson_demand_are_the_exact_ones():
    """Lead-time demand of three periods is Poisson with mean 30: a whole number, so quantiles may lie up to a unit off."""
    problem = problem_of(poisson.create(mean=10.0, items=1), lead_time=2, window=28)
    found, heard = network(problem, updates=1500)
    seen = jnp.asarray(np.random.default_rng(0).poisson(10, (28, 200)), jnp.float32)
    parts, _ = neural.forecast(found, seen, jnp.asarray([40]), jnp.full(200, 10.0))
    exact = stats.poisson(30).ppf(QUANTILES)
    assert np.abs(np.asarray(parts).mean(1) - exact).max() < 1.2
    assert heard["forecast/coverage"] == pytest.approx(0.9, abs=0.04)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_a_network_that_is_told_of_holidays_forecasts_them(kind):
    """Demand of 20 units, 80 on some days of the year, of which neither week nor smooth wave tells."""
    days = np.sort(np.random.default_rng(0).choice(360, 24, replace=False)).tolist()
    demand = holidays.create(base=poisson.create(mean=20.0, items=1), days=days, lift=3.0, items=1)
    problem = replace(problem_of(demand, lead_time=1), horizon=360)
    wrong = [1 - network(problem, kind, updates=800, holidays=told)[1]["forecast/accuracy"] for told in (None, days)]
    noise = np.sqrt(2 / np.pi / 48)  # of two periods of 24 units, as a share
    assert wrong[1] < 1.3 * noise and wrong[1] < 0.75 * wrong[0]


def test_a_curriculum_begins_with_milder_windows_and_compiles_nothing(monkeypatch):
    problem = problem_of(poisson.create(mean=20.0, items=1))
    plain, _ = network(problem, updates=20)
    seen, whole = [], forecasting._advance
    forecasting._advance.clear_cache()
    advance = lambda *given, **settings: seen.append(given[1]) or whole(*given, **settings)  # noqa: E731
    monkeypatch.setattr(forecasting, "_advance", advance)
    method, stages = made("lstm", tuning=TUNING, **SMALL | {"updates": 20}), (Stage(0.25, 0.0, 0.5),)
    eased = forecasting.trained(problem, method.plan(), root(0, "lstm"), method.paths, lambda *_: None, stages)
    spread = [float(sources.simulated.seen.std()) for sources in seen]
    np.testing.assert_allclose(spread, [0.5 * np.sqrt(20)] * 5 + [np.sqrt(20)] * 15, rtol=0.05)
    assert whole._cache_size() == 1 and not same(plain.layers, eased.layers)


@pytest.mark.parametrize("kind", ["lstm", "transformer"])
def test_items_are_lanes_of_one_network(kind):
    """Items turned round turn forecasts round; what another item sold changes nothing."""
    problem = problem_of(poisson.create(mean=5.0, items=3))
    found, _ = network(problem, kind, updates=20)
    ring = jnp.asarray(np.random.default_rng(0).poisson(5, (14, 3)), jnp.float32)
    see = lambda ring: Observation(ring[0], ring[0], ring[:0], ring, jnp.int32(20))  # noqa: E731
    told = np.asarray(neural.observed(found, see(ring)))
    around = jnp.asarray([2, 0, 1])
    turned = np.asarray(neural.observed(replace(found, usual=found.usual[around]), see(ring[:, around])))
    np.testing.assert_allclose(turned, told[:, around], rtol=1e-5)
    other = np.asarray(neural.observed(found, see(ring.at[:, 1].multiply(3))))
    np.testing.assert_allclose(other[:, [0, 2]], told[:, [0, 2]], rtol=1e-5)
    assert not np.allclose(other[:, 1], told[:, 1], rtol=1e-2)


def test_equal_seeds_give_equal_bytes():
    problem = problem_of(poisson.create(mean=5.0, items=1))
    one, other = (network(problem, updates=20)[0] for _ in range(2))
    for leaf, again in zip(jax.tree.leaves(one), jax.tree.leaves(other)):
        assert np.asarray(leaf).tobytes() == np.asarray(again).tobytes()


# ---- histories


def historical(scenario, history=120, window=14, seed=0, information="history"):
    system, cost = single.create(lead_time=1, backlog=False, initial_stock=None), CostModel(20.0, 10.0, 2.0, 10.0, 0.0, 0.0)
    rest = dict(information=information, history=history, window=window, horizon=30, seed=seed, evaluation_seed=0)
    return problems.create(scenario, system, cost, **rest).for_fitting()


def fit(problem, kind="lstm", **fields):
    method = made(kind, tuning=TUNING, **SMALL | dict(updates=20) | fields)
    return method.fit(problem, root(0, kind), lambda metrics, step: None)


def test_a_fit_knows_the_history_alone():
    """Two processes that showed the same history give the same bytes."""
    one = historical(poisson.create(mean=5.0, items=1))
    other = replace(one, judged_on=poisson.create(mean=50.0, items=1)).for_fitting()
    for leaf, again in zip(jax.tree.leaves(fit(one).params), jax.tree.leaves(fit(other).params)):
        assert np.asarray(leaf).tobytes() == np.asarray(again).tobytes()


def test_constant_demand_is_forecast_and_ordered():
    """Six units in every period: nothing is ever off, so that MASE is none, and orders are six in the end."""
    problem = historical(discrete.create(probabilities=[0, 0, 0, 0, 0, 0, 1], items=1), information="known")
    heard = {}
    method = made("lstm", tuning=TUNING, **SMALL | dict(updates=200))
    policy = method.fit(problem, root(0, "lstm"), lambda metrics, step: heard.update(metrics))
    assert np.isnan(heard["forecast/mase"]) and heard["forecast/accuracy"] > 0.95
    ordered = np.asarray(problem.simulate(policy, problem.validation_paths(4)).ordered)
    assert ordered[:, 10:].mean() == pytest.approx(6, abs=0.1)


def test_levels_are_chosen_for_the_sales_that_their_own_orders_lead_to():
    """A third of demand is best lost: more stock is more sales seen, and higher forecasts; (s, S) does not look at sales."""
    system = single.create(lead_time=2, backlog=False, initial_stock=20.0)
    prices = dict(price=20.0, purchase=10.0, holding=2.0, shortage=10.0, fixed_order=50.0)
    problem = replace(posed(intermittent.create(probability=0.3, size=20, items=1), system, **prices), window=28)
    heard, key, paths = {}, root(0, "lstm"), problem.validation_paths(512)
    earned = lambda policy: float(problem.benefit(policy, paths).mean())  # noqa: E731
    hear = lambda metrics, step: heard.update(metrics)  # noqa: E731
    found = made("lstm", tuning=TUNING | {"paths": 256, "candidates": 36}, **SMALL | dict(updates=40)).fit(problem, key, hear)
    assert {"tuning/promised", "tuning/earned"} <= heard.keys()
    rule = earned(tuned(problem, Budget(256, 36, 2), root(0, "rule")))
    assert rule > earned(found) > 1.2 * rule  # both are below zero
    far = found._replace(params=found.params | {"z": jnp.asarray([3.0]), "periods": jnp.asarray([9.0])})
    again = partial(ordering._in_the_loop, problem, far, ("z", "periods"), np.array([[-4.0], [0.0]]), np.array([[6.0], [10.0]]))
    budget = Budget(64, 36, 2)
    assert earned(far) < 2 * rule and earned(again(promised=earned(found), budget=budget, key=key, log=hear)) > 1.2 * rule
    assert again(promised=2 * earned(far), budget=budget, key=key, log=hear) is far  # no more was promised


def test_where_demand_is_backlogged_it_is_seen_whatever_is_ordered():
    heard = {}
    method = made("lstm", tuning=TUNING, **SMALL | dict(updates=20))
    method.fit(problem_of(poisson.create(mean=5.0, items=1)), root(0, "lstm"), lambda metrics, step: heard.update(metrics))
    assert "tuning/benefit" in heard and "tuning/promised" not in heard


@pytest.mark.parametrize(
    "window, history, fields, sentence",
    [
        (0, 120, {}, "problem.window must be >= 7 for lstm"),
        (60, 61, {}, "problem.history must be >= problem.window"),
        (14, 120, {"quantiles": [0.5]}, "method.quantiles must be a list of two or more"),
        (14, 120, {"quantiles": [0.9, 0.5]}, "method.quantiles must be probabilities below 1 in ascending order"),
        (14, 120, {"head": "normal"}, "method.head must be"),
        (14, 120, {"updates": 0}, "method.updates must be a whole number >= 1, got 0"),
    ],
)
def test_bad_input(window, history, fields, sentence):
    problem = historical(poisson.create(mean=5.0, items=1), history, window)
    with pytest.raises(ValueError, match=sentence):
        fit(problem, **fields)
