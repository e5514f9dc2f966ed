"""Model predictive control: the newsvendor's order found on samples, plans as simulated by the system, no worse than its rule."""

from dataclasses import replace
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
import pytest

from invbench import problem as problems
from invbench.costs import CostModel
from invbench.dynamics import perishable, single
from invbench.forecasts.moving_average import MovingAverage
from invbench.forecasts.seasonal_smoothing import SeasonalSmoothing
from invbench.keys import root
from invbench.methods import model_predictive
from invbench.methods.base_stock import BaseStock
from invbench.methods.forecast_base_stock import ForecastBaseStock
from invbench.methods.forecast_s_S import ForecastReorderUpTo
from invbench.methods.model_predictive import ModelPredictive
from invbench.scenarios import normal, poisson
from invbench.tuning import Budget
from invbench.types import Observation, Policy

BUDGET = Budget(128, 64, 2)
FORECAST = SeasonalSmoothing((0.1, 0.3))
PLANS = ModelPredictive(
    ForecastReorderUpTo(FORECAST, BUDGET), samples=32, horizon=None, candidates=6, rounds=2, reach=1.5, caution=1.0
)


def ignore(metrics, step):
    pass


def posed(lead_time=1, backlog=False, fixed_order=0.0, scenario=None, horizon=60, shortage=9.0):
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=shortage, fixed_order=fixed_order, salvage=0.0)
    given = dict(information="known", history=0, window=14, horizon=horizon, seed=0, evaluation_seed=0)
    system = single.create(lead_time=lead_time, backlog=backlog, initial_stock=None)
    return problems.create(scenario or normal.create(mean=50, std=10, items=1), system, cost, **given)


@lru_cache
def fitted(**given):
    problem = posed(**given)
    return problem, PLANS.fit(problem.for_fitting(), root(0, "any"), ignore)


def seen(problem, stock, *coming):
    ring, units = jnp.full((14, 1), 50.0), jnp.asarray([stock], jnp.float32)
    pipeline = jnp.asarray(coming, jnp.float32).reshape(-1, 1)
    return Observation(units, units + pipeline.sum(0), pipeline, ring, jnp.int32(0))


def test_plans_are_worth_what_the_system_says():
    """The same order, then the same rule, on the same futures, simulated as any policy is; what is left costs nothing here."""
    problem, policy = fitted(lead_time=2)
    params, ahead = policy.params, policy.params.ahead.shape[0]
    rule = Policy({name: params.rule[name] for name in params.rule}, first_then_rule, window=14)
    orders = jnp.asarray([[0.0], [60.0], [120.0]])
    observation = seen(problem, 90.0, 40.0)
    found = model_predictive._earned(params, observation, jnp.ones(1), orders).mean(1)
    for order, earned in zip(orders, found, strict=True):
        total, samples = 0.0, params.futures.shape[1]
        state = problem.system.initial(jnp.full((14, samples, 1), 50.0), 0, 14)
        state = state._replace(on_hand=jnp.full((samples, 1), 90.0), position=jnp.full((samples, 1), 130.0))
        state = state._replace(pipeline=state.pipeline.at[1].set(40.0))
        for period in range(ahead):
            units = rule.apply(rule.params, order, period, problem.system.observe(state))
            state, flows = problem.system.transition(state, units, params.futures[period])
            total += problem.cost.charge(flows).benefit
        np.testing.assert_allclose(total.mean(0), earned, rtol=1e-5)


def first_then_rule(rule, order, period, observation):
    if period == 0:
        return order + 0 * observation.position
    gap = rule["base"][period] * (1 + rule["z"] * rule["spread"]) - observation.position
    return jnp.where(gap >= 0, gap + rule["periods"] * rule["rate"][period], 0)


def test_it_finds_the_newsvendors_order():
    """L = 0: up to the level whose chance of being enough is 9 / 10: 50 + 1.2816 x 10 = 62.8, whatever is on hand."""
    problem = posed(0, backlog=True)
    policy = replace(PLANS, samples=512, candidates=12).fit(problem.for_fitting(), root(0, "any"), ignore)
    for stock in (0.0, 30.0):
        order = float(policy.apply(policy.params, seen(problem, stock), None)[0])
        assert order + stock == pytest.approx(62.8, abs=1.5)  # 512 samples: the quantile's standard error is 0.76


@pytest.mark.parametrize("given", [dict(lead_time=3), dict(lead_time=1, fixed_order=200.0), dict(lead_time=2, backlog=True)])
def test_it_is_no_worse_than_the_rule_that_it_looks_ahead_of(given):
    problem, policy = fitted(**given)
    rule = PLANS.rule.fit(problem.for_fitting(), root(0, "rule"), ignore)
    paths = problem.evaluation_paths(200)
    planned, usual = (np.asarray(problem.benefit(one, paths), np.float64).sum(1) for one in (policy, rule))
    difference = planned - usual
    assert difference.mean() > -0.01 * abs(usual.mean()) - 2 * difference.std(ddof=1) / 200**0.5


def test_it_takes_some_of_what_base_stock_leaves_in_lost_sales():
    """Poisson(5), L = 4, p = 9: the best base-stock level costs about 5 % more than the optimum (Zipkin 2008, Table 3)."""
    problem = posed(4, scenario=poisson.create(mean=5.0, items=1), horizon=90)
    policy = PLANS.fit(problem.for_fitting(), root(0, "any"), ignore)
    rule = BaseStock(BUDGET).fit(problem.for_fitting(), root(0, "rule"), ignore)
    paths = problem.evaluation_paths(300)
    planned, usual = (np.asarray(problem.benefit(one, paths), np.float64).sum(1) for one in (policy, rule))
    difference = planned - usual
    assert difference.mean() > 2 * difference.std(ddof=1) / 300**0.5
    orders = np.asarray(problem.simulate(policy, problem.evaluation_paths(8)).ordered)
    assert (orders == np.round(orders)).all()


def test_it_orders_more_where_more_was_seen():
    problem = posed(1)
    rule = ForecastBaseStock(MovingAverage(14), BUDGET)
    policy = replace(PLANS, rule=rule).fit(problem.for_fitting(), root(0, "any"), ignore)
    usual, alone = seen(problem, 60.0), rule.fit(problem.for_fitting(), root(0, "any"), ignore)
    more = usual._replace(ring=1.5 * usual.ring)
    planned, ruled = (
        float(one.apply(one.params, more, None)[0] - one.apply(one.params, usual, None)[0]) for one in (policy, alone)
    )
    assert ruled > 20 and 0.5 * ruled < planned < 1.5 * ruled


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(samples=0), "method.samples must be a whole number >= 1, got 0"),
        (dict(candidates=1), "method.candidates must be a whole number >= 2, got 1"),
        (dict(horizon=0), "method.horizon must be a whole number >= 1, got 0"),
        (dict(reach=0), "method.reach must be a number > 0, got 0"),
        (dict(rule=BaseStock(BUDGET)), "method.rule must be forecast_s_S or forecast_base_stock, got 'order_up_to'"),
    ],
)
def test_it_refuses_what_makes_no_sense(changes, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        replace(PLANS, **changes).fit(posed().for_fitting(), root(0, "any"), ignore)


def test_it_refuses_a_system_that_it_cannot_plan():
    system = perishable.create(life=2, lead_time=1, issuing="fifo", initial_stock=0.0, maximum_order=9)
    with pytest.raises(ValueError, match="^system must be lost_sales or backlog, got 'Perishable'$"):
        PLANS.fit(replace(posed(), system=system).for_fitting(), root(0, "any"), ignore)
