"""Forecasters: by hand on small histories, unbiased on seasonal demand, quick where demand drifts and calm where it does not."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.forecasts import linear
from invbench.forecasts.linear import lead_time_demand
from invbench.forecasts.moving_average import MovingAverage
from invbench.forecasts.seasonal_smoothing import SeasonalSmoothing
from invbench.forecasts.weekday import Weekday
from invbench.scenarios import autoregressive, fit, profile
from invbench.scenarios.fit import History
from invbench.types import Observation, Policy

WINDOW, HORIZON = 30, 60  # no whole number of weeks
COST = CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0)
ALPHAS = (0.05, 0.2, 0.7)
FORECASTERS = {"moving_average": MovingAverage(14), "weekday": Weekday(3), "seasonal_smoothing": SeasonalSmoothing(ALPHAS)}


def seasonal(cv=0.2, annual=0.0, weekly=0.0, items=1):
    return profile.create(
        mean=50, cv=cv, annual=annual, weekly=weekly, trend=0, distribution="normal", noise="proportional", items=items
    )


def drifting(cv=0.2):
    return autoregressive.create(mean=50, cv=cv, correlation=0.7, items=1)


def made(scenario, lead_time=2, information="known", history=0):
    # with backlog all demand is seen
    system = single.create(lead_time=lead_time, backlog=True, initial_stock=100)
    given = dict(information=information, history=history, window=WINDOW, horizon=HORIZON, seed=0, evaluation_seed=0)
    return problem.create(scenario, system, COST, **given)


def fitted(forecaster, setting):
    return forecaster.fit(setting.for_fitting(), jax.random.key(0))


def after(history, period):
    """What is seen before absolute period `period`, after `history` [window, item], oldest first; nothing else matters."""
    history = np.asarray(history, np.float32)
    ring = np.roll(history, period % len(history), axis=0)
    nothing = jnp.zeros(history.shape[1])
    return Observation(nothing, nothing, jnp.zeros((1, history.shape[1])), jnp.asarray(ring), jnp.asarray(period, jnp.int32))


# by hand


@pytest.mark.parametrize("period", [0, 5, HORIZON - 1])
def test_moving_average_by_hand(period):
    # the mean of the last 4 periods, whatever level it was fitted to, for each of the 2 + 1 periods of lead time and review
    forecast = fitted(MovingAverage(4), made(seasonal(cv=0.0, items=2)))
    history = np.full((WINDOW, 2), 999.0)
    history[-4:] = [[40, 0], [44, 0], [60, 8], [56, 0]]
    mean, spread = lead_time_demand(forecast.params, after(history, period))
    np.testing.assert_allclose(mean, [3 * 50, 3 * 2], rtol=1e-5)  # (40 + 44 + 60 + 56) / 4 and 8 / 4
    np.testing.assert_allclose(spread, [0, 0], atol=1e-3)  # demand that never varies is foretold without error


def test_moving_average_of_one_period_is_the_last_one():
    forecast = fitted(MovingAverage(1), made(seasonal(cv=0.0), lead_time=0))
    history = np.arange(float(WINDOW))[:, None]
    np.testing.assert_allclose(lead_time_demand(forecast.params, after(history, 9))[0], [WINDOW - 1], rtol=1e-5)


def weekly_profile(periods):
    """Expected demand of a weekly wave of 0.3 around 50."""
    return 50 * (1 + 0.3 * np.sin(2 * np.pi * np.asarray(periods) / 7))


@pytest.mark.parametrize("period", [0, 5, HORIZON - 1])
def test_weekday_by_hand(period):
    # two weeks that sold 1.2 and 1.6 times what is usual: 1.4 times what is usual on the weekdays to come
    forecast = fitted(Weekday(2), made(seasonal(cv=0.0, weekly=0.3)))
    times = period - WINDOW + np.arange(WINDOW)
    history = 99 * weekly_profile(times)
    history[-14:-7], history[-7:] = 1.2 * weekly_profile(times[-14:-7]), 1.6 * weekly_profile(times[-7:])
    mean, _ = lead_time_demand(forecast.params, after(history[:, None], period))
    np.testing.assert_allclose(mean, [1.4 * weekly_profile(period + np.arange(3)).sum()], rtol=1e-4)


def test_weekday_starts_at_the_right_day_after_an_observed_history():
    # 100 = 2 modulo 7 observed periods; a year's wave would blur the days, so there is none
    forecast = fitted(Weekday(2), made(seasonal(cv=0.02, weekly=0.3), information="history", history=100))
    usual = weekly_profile(100 + 3 - WINDOW + np.arange(WINDOW))
    mean, _ = lead_time_demand(forecast.params, after(usual[:, None], 103))
    np.testing.assert_allclose(mean, [weekly_profile([103, 104, 105]).sum()], rtol=0.02)  # 100 periods with 2 % noise


def test_weights_by_hand():
    np.testing.assert_allclose(linear.flat(5, 2), [0, 0, 0, 0.5, 0.5])
    # 0.5, 0.25, 0.125 from the last on, over their sum 0.875
    np.testing.assert_allclose(linear.fading(3, 0.5), np.array([0.125, 0.25, 0.5]) / 0.875)
    np.testing.assert_allclose(linear.fading(3, 1.0), [0, 0, 1])


# what is fitted


@pytest.mark.parametrize("name", FORECASTERS)
def test_weights_sum_to_one_and_a_usual_past_foretells_the_profile(name):
    forecast = fitted(FORECASTERS[name], made(seasonal(weekly=0.2, items=2)))
    weights = np.asarray(forecast.params["weights"])
    assert weights.shape == (WINDOW, 2) and np.all(weights >= 0)
    np.testing.assert_allclose(weights.sum(0), 1, rtol=1e-5)
    usual = np.asarray(forecast.params["profile"][7 : 7 + WINDOW])
    np.testing.assert_allclose(lead_time_demand(forecast.params, after(usual, 7))[0], forecast.params["base"][7], rtol=1e-5)


def test_on_drifting_demand_smoothing_follows_as_far_as_it_lasts():
    # AR(1) with correlation 0.7 and CV 0.2: 0.7 of a deviation is left in the next period, which cannot be foretold better
    # than to 0.2 x sqrt(1 - 0.49) = 0.143. The mean of 14 periods has variance 0.326 and covariance 0.1655 with the next period
    # (times 0.04), so it errs by 0.2 x sqrt(1 + 0.326 - 0.331) = 0.1995.
    setting = made(drifting(), lead_time=0)
    smoothing, average = fitted(FORECASTERS["seasonal_smoothing"], setting), fitted(FORECASTERS["moving_average"], setting)
    assert 0.6 < float(smoothing.params["gain"][0]) < 0.9  # 0.7 of the last period, and a little more of its smoothed past
    assert float(average.params["gain"][0]) == 1
    assert float(smoothing.params["spread"][0]) == pytest.approx(0.2 * np.sqrt(1 - 0.49), rel=0.05)
    assert float(average.params["spread"][0]) == pytest.approx(0.1995, rel=0.03)
    assert smoothing.accuracy["forecast/accuracy"] > average.accuracy["forecast/accuracy"]


def test_on_stable_demand_smoothing_believes_no_deviation():
    setting = made(seasonal(cv=0.2), lead_time=0)
    smoothing, average = (fitted(FORECASTERS[name], setting) for name in ("seasonal_smoothing", "moving_average"))
    assert float(smoothing.params["gain"][0]) < 0.02
    assert float(smoothing.params["spread"][0]) == pytest.approx(0.2, rel=0.03)
    # the mean of 14 periods adds its own error
    assert float(average.params["spread"][0]) == pytest.approx(0.2 * np.sqrt(1 + 1 / 14), rel=0.03)


def test_every_item_chooses_its_own_constant():
    # the first item is a slow wave under much noise, the second one changes a little from each period to the next
    generator, times = np.random.default_rng(0), np.arange(400)
    steps = generator.normal(0, 1, 400)
    level = np.zeros(400)
    for period in range(1, 400):
        level[period] = 0.97 * level[period - 1] + steps[period]
    demand = np.stack([50 + 12 * np.sin(times / 20) + generator.normal(0, 8, 400), 50 + 3 * level], axis=1).clip(1)
    history = History(demand, None)
    setting = replace(made(seasonal(items=2)), scenario=fit.fit(history), history=history, start=400)
    params = fitted(SeasonalSmoothing((0.1, 0.9)), setting).params
    newest = np.asarray(params["weights"][-1])
    assert newest[0] == pytest.approx(0.1, rel=0.1) and newest[1] == pytest.approx(0.9, rel=0.01)
    alone = [fitted(SeasonalSmoothing((alpha,)), setting).params for alpha in (0.1, 0.9)]
    for name in ("weights", "gain", "spread"):  # each item has what its own constant alone gives it
        own = [np.asarray(params_of[name])[..., item] for item, params_of in enumerate(alone)]
        np.testing.assert_array_equal(params[name], np.stack(own, axis=-1))
    assert np.all(params["spread"] <= np.minimum(alone[0]["spread"], alone[1]["spread"]))


# on paths


def expected_as_order(params, observation, key):
    """Orders the forecast, so that flows show it."""
    return lead_time_demand(params, observation)[0]


@lru_cache
def foretold(name, lead_time, drifts=False):
    """A setting, its evaluation paths, the forecaster as a policy, and what it foretold in each period [n, horizon]."""
    setting = made(drifting() if drifts else seasonal(annual=0.3, weekly=0.2), lead_time)
    paths, forecast = setting.evaluation_paths(400), fitted(FORECASTERS[name], setting)
    policy = Policy(forecast.params, expected_as_order, window=WINDOW)
    return setting, paths, policy, np.asarray(setting.simulate(policy, paths).ordered[..., 0], np.float64)


def lead_time_sums(paths, lead_time):
    """[n, period] demand of each period and `lead_time` more, for the periods that have so many after them."""
    demand = np.asarray(paths.demand[..., 0], np.float64).T
    return np.lib.stride_tricks.sliding_window_view(demand, lead_time + 1, axis=1).sum(-1)


@pytest.mark.parametrize("lead_time", [0, 2])
def test_lead_time_demand_is_unbiased_over_season_and_weekdays(lead_time):
    _, paths, policy, forecasts = foretold("seasonal_smoothing", lead_time)
    actual = lead_time_sums(paths, lead_time)
    errors = forecasts[:, : actual.shape[1]] - actual
    # the profile comes from 1024 paths and the errors from 400, so that a period's mean error has a standard error of
    # sd x sqrt(1 / 400 + 1 / 1024); 4 of them over 60 periods: 0.4 % by chance
    error = errors.std(0, ddof=1) * np.sqrt(1 / 400 + 1 / 1024)
    assert np.all(np.abs(errors.mean(0)) < 4 * error)
    assert np.all(error < 0.02 * actual.mean(0))  # against waves of 30 % and 20 %
    assert actual.mean(0).max() > 1.15 * actual.mean(0).min()


@pytest.mark.parametrize("lead_time", [0, 2])
def test_the_spread_is_the_error_that_is_made(lead_time):
    _, paths, policy, forecasts = foretold("seasonal_smoothing", lead_time)
    actual = lead_time_sums(paths, lead_time)
    errors = (forecasts[:, : actual.shape[1]] - actual) / np.asarray(policy.params["base"][: actual.shape[1], 0])
    assert np.sqrt((errors**2).mean()) == pytest.approx(float(policy.params["spread"][0]), rel=0.03)


@pytest.mark.parametrize("name", FORECASTERS)
def test_no_forecast_depends_on_demand_that_comes_later(name):
    setting, paths, policy, before = foretold(name, 2, drifts=True)
    changed = 30
    other = paths._replace(demand=paths.demand.at[changed:].set(2 * paths.demand[changed:] + 9))
    later = np.asarray(setting.simulate(policy, other).ordered[..., 0], np.float64)
    np.testing.assert_array_equal(before[:, : changed + 1], later[:, : changed + 1])  # a period's demand follows its forecast
    assert np.all(before[:, changed + 1 :] != later[:, changed + 1 :])


def test_a_spell_of_no_demand_lowers_the_forecast_and_breaks_nothing():
    forecast = fitted(FORECASTERS["moving_average"], made(seasonal()))
    mean, spread = lead_time_demand(forecast.params, after(np.zeros((WINDOW, 1)), 3))
    assert float(mean[0]) == 0 and float(spread[0]) > 0


REFUSED = [
    (MovingAverage(0), "forecast.periods must be a whole number >= 1, got 0"),
    (MovingAverage(31), "forecast.periods must be <= problem.window (30), got 31"),
    (Weekday(0), "forecast.weeks must be a whole number >= 1, got 0"),
    (Weekday(5), "forecast.weeks x 7 must be <= problem.window (30), got 35"),
    (SeasonalSmoothing((0.1, 0.0)), "forecast.alphas[1] must be a number > 0 and <= 1, got 0.0"),
    (SeasonalSmoothing((1.5,)), "forecast.alphas[0] must be a number > 0 and <= 1, got 1.5"),
]


@pytest.mark.parametrize("forecaster, sentence", REFUSED, ids=[sentence for _, sentence in REFUSED])
def test_refusals_name_the_field_and_the_value(forecaster, sentence):
    with pytest.raises(ValueError) as refusal:
        fitted(forecaster, made(seasonal()))
    assert str(refusal.value) == sentence


def test_smoothing_without_constants_is_refused():
    with pytest.raises(ValueError, match="forecast.alphas must be"):
        fitted(SeasonalSmoothing(()), made(seasonal()))
