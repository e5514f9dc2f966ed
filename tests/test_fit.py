"""The simulator fitted to a history against the process that made the history: 100 items, fixed keys."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.scenarios import autoregressive, fit, holidays, intermittent, poisson, profile
from invbench.scenarios.fit import GROUPS, History

ITEMS, AHEAD = 100, 90
FLAT = dict(mean=50, cv=0.2, annual=0, weekly=0, trend=0, distribution="normal", noise="proportional", items=ITEMS)
TRUTH = {
    "stable": profile.create(**FLAT),
    "seasonal": profile.create(**FLAT | dict(annual=0.2, weekly=0.1)),
    "trend": profile.create(**FLAT | dict(trend=0.3)),
    "trend_down": profile.create(**FLAT | dict(trend=-0.3)),
    "dynamic": profile.create(**FLAT | dict(annual=0.3, weekly=0.1, trend=0.05)),
    "heavy": profile.create(**FLAT | dict(cv=1.0, distribution="lognormal")),
    "poisson": poisson.create(mean=5, items=ITEMS),
    "intermittent": intermittent.create(probability=0.2, size=5, items=ITEMS),
    "autoregressive": autoregressive.create(mean=50, cv=0.2, correlation=0.7, items=ITEMS),
}
MEANS = {"poisson": 5, "intermittent": 1, "autoregressive": 50}


@lru_cache
def history(name, periods):
    return np.asarray(TRUTH[name].paths(jax.random.key(5), 1, periods)[0])


@lru_cache
def fitted(name, periods):
    return fit.fit(History(history(name, periods), None))


@lru_cache
def simulated(name, periods):
    """[n, period, item] of the fitted simulator after the history, float64."""
    return np.asarray(fitted(name, periods).paths(jax.random.key(1), 60, AHEAD, periods), np.float64)


def expected(name, periods):
    """[period] true mean after the history."""
    ahead = periods + jnp.arange(AHEAD)
    return np.asarray(TRUTH[name].profile(ahead)) if name not in MEANS else np.full(AHEAD, MEANS[name])


def found(group, name, periods):
    """For how many of the items the fit sees a trend, or a weekly or annual pattern."""
    return int((np.asarray(fitted(name, periods).coefficients)[GROUPS[group]] != 0).any(0).sum())


# Root mean square over the items of the relative error of mean demand over the next 90 periods. The mean of a whole history
# of 365 periods would be off by 0.2 / sqrt(365) = 1 % where demand is stable; one that follows the level pays for it there.
# A trend is held at the end of the history, which costs half of what it grows in 90 periods: 4 %.
LEVEL = {
    ("stable", 365): 0.03, ("stable", 730): 0.03,
    ("seasonal", 365): 0.08, ("seasonal", 730): 0.08,
    ("trend", 365): 0.06, ("trend", 730): 0.06,
    ("trend_down", 365): 0.08, ("trend_down", 730): 0.07,
    ("dynamic", 365): 0.10, ("dynamic", 730): 0.05,
    ("poisson", 365): 0.07, ("poisson", 730): 0.07,
    ("intermittent", 365): 0.35, ("intermittent", 730): 0.35,
    ("autoregressive", 365): 0.07, ("autoregressive", 730): 0.07,
}  # fmt: skip


@pytest.mark.parametrize("name, periods", LEVEL)
def test_mean_demand_after_the_history(name, periods):
    errors = np.asarray(fitted(name, periods).profile(periods + jnp.arange(AHEAD))).mean(0) / expected(name, periods).mean() - 1
    assert np.sqrt((errors**2).mean()) < LEVEL[name, periods]
    assert abs(errors.mean()) < 0.06  # no side is preferred, trends apart
    # what is drawn has the mean that the profile says: 60 paths x 90 periods, CV below 3, blocks of 14
    drawn = simulated(name, periods).mean((0, 1)) / np.asarray(fitted(name, periods).profile(periods + jnp.arange(AHEAD))).mean(0)
    assert abs(drawn.mean() - 1) < 0.03


NOISE = {"stable": 0.2, "seasonal": 0.2, "dynamic": 0.2, "poisson": 5**-0.5, "autoregressive": 0.2}


@pytest.mark.parametrize("periods", [365, 730])
@pytest.mark.parametrize("name, cv", NOISE.items())
def test_the_noise_has_its_coefficient_of_variation(name, cv, periods):
    """Mean over items within 5 %, nine of ten items within 20 %."""
    ratios = simulated(name, periods) / np.asarray(fitted(name, periods).profile(periods + jnp.arange(AHEAD)))
    spread = ratios.std((0, 1))
    assert abs(spread.mean() / cv - 1) < 0.05 and (np.abs(spread / cv - 1) < 0.2).mean() >= 0.9
    np.testing.assert_allclose(fitted(name, periods).dispersion.mean(), cv, rtol=0.05)


@pytest.mark.parametrize("periods", [365, 730])
def test_intermittent_demand_stays_intermittent(periods):
    """80 % of periods without demand, within 1 %; and those with demand ask for whole units of mean 5, within 5 %."""
    drawn = simulated("intermittent", periods)
    assert abs((drawn == 0).mean() - 0.8) < 0.01
    np.testing.assert_allclose(fitted("intermittent", periods).zeros, (history("intermittent", periods) == 0).mean(0), rtol=1e-6)
    level = np.asarray(fitted("intermittent", periods).profile(periods + jnp.arange(AHEAD))).mean(0)
    assert abs(np.mean([drawn[..., i][drawn[..., i] > 0].mean() / level[i] for i in range(ITEMS)]) - 5) < 0.25


def lag_one(drawn):
    """Mean over items of the correlation of neighbouring periods."""
    now, then = (part - part.mean((0, 1)) for part in (drawn[:, :-1], drawn[:, 1:]))
    return ((now * then).mean((0, 1)) / drawn.var((0, 1))).mean()


@pytest.mark.parametrize("periods", [365, 730])
def test_autocorrelation_is_kept_and_not_invented(periods):
    """Blocks of 14 keep 13 / 14 of a correlation of 0.7: 0.65."""
    assert abs(lag_one(simulated("autoregressive", periods)) - 0.65) < 0.05
    assert abs(lag_one(simulated("stable", periods))) < 0.03


@pytest.mark.parametrize("group, name, periods, least", [
    ("weekly", "seasonal", 365, 70), ("weekly", "seasonal", 730, 95), ("weekly", "dynamic", 730, 95),
    ("annual", "seasonal", 365, 80), ("annual", "seasonal", 730, 90), ("annual", "dynamic", 730, 95),
    ("trend", "trend", 365, 70), ("trend", "trend", 730, 70), ("trend", "trend_down", 730, 80),
])  # fmt: skip
def test_patterns_are_found(group, name, periods, least):
    assert found(group, name, periods) >= least


@pytest.mark.parametrize("periods", [365, 730])
@pytest.mark.parametrize("name", ["stable", "poisson", "intermittent", "heavy"])
def test_patterns_are_not_invented(name, periods):
    """White noise: each pattern is seen in at most 5 of 100 items."""
    assert {group: found(group, name, periods) for group in GROUPS if found(group, name, periods) > 5} == {}


@pytest.mark.parametrize("periods", [730, 1000])
def test_the_weekly_pattern_has_its_shape(periods):
    """The wave 1 + 0.1 sin(2 pi t / 7) in absolute periods t: within 2 % for the mean of the items."""
    week = periods + np.arange(7)
    shape = np.asarray(fitted("seasonal", periods).profile(jnp.asarray(week))).mean(1)
    np.testing.assert_allclose(shape / shape.mean(), 1 + 0.1 * np.sin(2 * np.pi * week / 7), atol=0.02)


def test_a_trend_is_held_after_the_history():
    periods = jnp.array([730, 800, 900])
    ahead = np.asarray(fitted("trend", 730).profile(periods))[:, np.asarray(fitted("trend", 730).coefficients)[8] == 0]
    np.testing.assert_allclose(ahead.max(0), ahead.min(0), rtol=0.05)  # nothing but a weekly pattern is left


# ---- censored periods


def test_periods_out_of_stock_do_not_pull_the_level_down():
    """A fifth of the periods sells 30 % of demand: bias below 1 % if flagged; if not, 0.2 x 0.7 = 14 % too low."""
    demand = history("stable", 365)
    short = np.random.default_rng(0).random(demand.shape) < 0.2
    sales = np.where(short, 0.3 * demand, demand)
    levels = [np.asarray(fit.fit(History(sales, flags)).profile(365 + jnp.arange(AHEAD))).mean() for flags in (~short, None)]
    assert abs(levels[0] / 50 - 1) < 0.01 and abs(levels[1] / 50 - 0.86) < 0.03


def test_being_out_of_stock_at_the_end_is_no_fall_in_demand():
    demand, flags = history("stable", 365), np.ones((365, ITEMS), bool)
    flags[-40:] = False
    made = fit.fit(History(np.where(flags, demand, 0), flags))
    assert abs(np.asarray(made.profile(365 + jnp.arange(AHEAD))).mean() / 50 - 1) < 0.01
    drawn = np.asarray(made.paths(jax.random.key(1), 60, AHEAD, 365))
    assert (drawn > 0).mean() > 0.999 and abs(drawn.mean() / 50 - 1) < 0.02


# ---- the rest of the contract


def test_the_same_history_gives_the_same_bytes():
    again = fit.fit(History(history("dynamic", 365).copy(), np.ones((365, ITEMS), bool)))
    jax.tree.map(np.testing.assert_array_equal, again, fitted("dynamic", 365))
    np.testing.assert_array_equal(again.paths(jax.random.key(1), 60, AHEAD, 365), simulated("dynamic", 365))


def test_what_is_older_than_two_years_is_forgotten():
    sales = np.tile(history("dynamic", 365), (3, 1))[:1000]
    older = sales.copy()
    older[:270] *= 7
    jax.tree.map(np.testing.assert_array_equal, fit.fit(History(older, None)), fit.fit(History(sales, None)))


def test_items_that_sell_together_are_drawn_together():
    """Two items with the same history have the same future, path by path."""
    twins = np.repeat(history("stable", 365)[:, :1], 2, axis=1)
    drawn = np.asarray(fit.fit(History(twins, None)).paths(jax.random.key(1), 60, AHEAD, 365))
    np.testing.assert_allclose(drawn[..., 0], drawn[..., 1], rtol=1e-5)
    assert len(np.unique(drawn[..., 0])) > 300


@pytest.mark.parametrize("periods", [28, 40, 55, 56, 90])
def test_a_short_history_is_enough(periods):
    """28 periods are the least that is accepted; the level of 100 items is off by no more than 0.2 / sqrt(28) = 4 %."""
    made = fit.fit(History(history("stable", 365)[:periods], None))
    errors = np.asarray(made.profile(periods + jnp.arange(AHEAD))).mean(0) / 50 - 1
    assert np.sqrt((errors**2).mean()) < 0.06


def test_an_item_that_never_sold_is_not_expected_to():
    sales = history("stable", 365)[:, :3].copy()
    sales[:, 1] = 0
    drawn = np.asarray(fit.fit(History(sales, None)).paths(jax.random.key(1), 60, AHEAD, 365))
    assert np.isfinite(drawn).all() and (drawn[..., 1] == 0).all() and (drawn[..., [0, 2]] > 0).all()


@pytest.mark.parametrize("sales, sentence", [
    (np.ones((27, 2)), "problem.history must be >= 28 periods to fit a simulator, got 27"),
    (np.zeros((100, 2)), "the observed history must be demand in at least one period, got 'none at all'"),
])  # fmt: skip
def test_refused(sales, sentence):
    with pytest.raises(ValueError) as refusal:
        fit.fit(History(sales, None))
    assert str(refusal.value) == sentence


# holidays

DAYS = (0, 43, 44, 88, 120, 184, 226, 303, 326, 357)


def observed(lift=0.8, periods=365, known=DAYS):
    demand = holidays.create(base=profile_of(), days=list(DAYS), lift=lift, items=1)
    return problem.observe(demand, periods, 0)._replace(holidays=known)


def profile_of():
    return profile.create(
        mean=50, cv=0.2, annual=0.2, weekly=0.1, trend=0, distribution="normal", noise="proportional", items=1
    )


def jump(simulator):
    """What is expected on a holiday, as a multiple of the same weekday of the weeks around it."""
    days = 365 + np.asarray(DAYS[1:-1]) + 1  # in the second year, whose day 0 begins a quarter later: period 366
    around = (simulator.profile(jnp.asarray(days - 14)) + simulator.profile(jnp.asarray(days + 14))) / 2
    return float((simulator.profile(jnp.asarray(days)) / around).mean())


def test_holidays_are_fitted_where_they_are_known():
    assert jump(fit.fit(observed())) == pytest.approx(1.8, abs=0.1)
    assert jump(fit.fit(observed(known=()))) == pytest.approx(1.0, abs=0.02)


def test_holidays_that_are_none_are_left_out():
    """They change nothing at all: the criterion keeps no parameter that does not earn its place."""
    told, plain = fit.fit(observed(lift=0.0)), fit.fit(observed(lift=0.0, known=()))
    np.testing.assert_array_equal(told.coefficients[:10], plain.coefficients)
    assert told.coefficients[10] == 0


def test_all_simulators_of_a_problem_know_its_holidays():
    system, cost = single.create(lead_time=1, backlog=False), CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0)
    given = dict(information="history", history=365, window=7, horizon=30, seed=0, evaluation_seed=0)
    demand = holidays.create(base=profile_of(), days=list(DAYS), lift=0.8, items=1)
    made = problem.create(demand, system, cost, **given, simulators=8, holidays=list(DAYS))
    jumps = [jump(replace(made.scenario.best, coefficients=own)) for own in made.scenario.coefficients]
    assert np.mean(jumps) == pytest.approx(1.8, abs=0.15) and np.std(jumps) > 0.01
    with pytest.raises(ValueError, match="^problem.holidays must be days within 0 … 364, got 365$"):
        problem.create(demand, system, cost, **given, holidays=[365])
