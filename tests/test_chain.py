"""Policies as chains: what they cost exactly, beside simulation, formulas and print."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import published
from invbench.costs import CostModel
from invbench.dynamics import serial, single
from invbench.exact import chain
from invbench.exact.chain import TooMany
from invbench.formulas import Stationary
from invbench.keys import root
from invbench.methods import base_stock, constant_order, s_S, safety_stock
from invbench.problem import Problem
from invbench.scenarios import normal, poisson
from invbench.studies import zipkin2008
from invbench.types import Policy

POISSON = poisson.create(mean=5, items=1)


def posed(system, horizon=90, scenario=POISSON, **rates):
    nothing = dict(price=0.0, purchase=0.0, holding=1.0, shortage=9.0, fixed_order=0.0, salvage=0.0)
    return Problem(scenario, system, CostModel(**nothing | rates), horizon, 0, 0, 0)


def up_to(level):
    return Policy({"level": jnp.full(1, float(level))}, base_stock.order_up_to)


def within(values, lower, upper):
    """Whether the mean of simulated values lies in the bracket, but for the 99.9 % interval of the mean."""
    slack = stats.norm.isf(0.0005) * values.std(ddof=1) / math.sqrt(len(values))
    return lower - slack <= values.mean() <= upper + slack


@pytest.mark.parametrize("backlog", [False, True])
@pytest.mark.parametrize("lead_time", [0, 1, 3])
def test_the_long_run_is_that_of_a_simulation(backlog, lead_time):
    made = posed(single.create(lead_time=lead_time, backlog=backlog), 1000, price=3.0, purchase=1.0, fixed_order=2.0)
    policy = up_to(6 * (lead_time + 1))
    flows = made.simulate(policy, made.training_paths(root(0, "chain"), 400))
    cost = -np.asarray(made.cost.charge(flows).benefit, np.float64)[:, 100:, 0].mean(1)
    lower, upper = chain.follow(made, policy).average()
    assert upper - lower <= 1e-7 and within(cost, lower, upper)


@pytest.mark.parametrize("lead_time", [0, 2])
def test_with_backlog_it_is_the_formula(lead_time):
    item = Stationary(POISSON.pmf(), lead_time, 1.0, 9.0, 16.0)
    s, best_up_to, cost = item.reorder_up_to()
    made = posed(single.create(lead_time=lead_time, backlog=True), fixed_order=16.0)
    policy = Policy({"reorder_point": jnp.full(1, float(s)), "lot": jnp.full(1, float(best_up_to - s))}, s_S.reorder_up_to)
    lower, upper = chain.follow(made, policy).average()
    assert lower - 1e-7 <= cost <= upper + 1e-7


def test_a_horizon_is_that_of_a_simulation_from_the_same_start():
    made = posed(single.create(lead_time=2, backlog=False, initial_stock=7), 30)
    policy = up_to(19)
    flows = made.simulate(policy, made.training_paths(root(0, "chain"), 20_000))
    cost = -np.asarray(made.cost.charge(flows).benefit, np.float64)[:, :, 0]
    found = chain.follow(made, policy)
    weights = 0.95 ** np.arange(20)
    assert within(cost[:, 10:] @ weights, *[found.horizon(20, 0.95, warm_up=10)] * 2)
    assert within(cost[:, :20] @ weights, *[found.horizon(20, 0.95)] * 2)
    other = chain.follow(made, policy, start=0)  # nothing on hand: dearer
    assert found.states[found.start].tolist()[0] == 7 and other.states[other.start].tolist()[0] == 0
    assert other.horizon(20, 0.95) > found.horizon(20, 0.95)


def test_by_hand():
    # demand 0 or 2 alike, lead time 0, up to 1: 1 is left, or 1 of 2 is lost: (1 + 9) / 2
    from invbench.scenarios import discrete

    made = posed(single.create(lead_time=0, backlog=False), scenario=discrete.create(probabilities=[0.5, 0, 0.5], items=1))
    found = chain.follow(made, up_to(1))
    assert found.average() == (5.0, 5.0)
    assert sorted(found.states[:, 0].tolist()) == [0, 1] and found.matrix.sum(1).tolist() == [[1.0], [1.0]]


def test_a_periodic_chain_has_a_bracket_too():
    # demand 1, lead time 0, order 2 when there is nothing: 1, 0, 1, 0 left; holding 1 every other period
    from invbench.scenarios import discrete

    made = posed(single.create(lead_time=0, backlog=False), scenario=discrete.create(probabilities=[0.0, 1.0], items=1))
    policy = Policy({"reorder_point": jnp.zeros(1), "lot": jnp.full(1, 2.0)}, s_S.reorder_up_to)
    lower, upper = chain.follow(made, policy).average()
    assert lower == pytest.approx(0.5, abs=1e-8) and upper == pytest.approx(0.5, abs=1e-8)


def test_what_is_no_finite_chain_is_refused():
    lost = posed(single.create(lead_time=1, backlog=False))
    with pytest.raises(TooMany, match="more than 5 states"):
        chain.follow(lost, up_to(60), limit=5)
    with pytest.raises(TooMany):  # more comes than is asked for: stock grows without end
        chain.follow(lost, constant_order.policy_of(jnp.full(1, 9.0)), limit=5000)
    with pytest.raises(ValueError, match="^scenario must be one with a pmf"):
        chain.follow(posed(lost.system, scenario=normal.create(mean=50, std=10, items=1)), up_to(5))
    with pytest.raises(ValueError, match="^method must be a rule of the state alone"):
        chain.follow(lost, Policy({}, safety_stock.cover_and_buffer, window=28))
    with pytest.raises(ValueError, match="^system must be a single stocking point"):
        chain.follow(posed(serial.create(lead_times=[1, 1])), up_to(5))


ROWS = [
    row
    for row in published.read("zipkin2008")
    if row["policy"] in zipkin2008.POLICIES and row["L"] in ("1", "3") and row["p"] in ("4", "19") and row["demand"] == "poisson"
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['policy']}-{row['p']}-{row['L']}")
def test_every_policy_of_zipkins_table_costs_what_was_recomputed(row):
    made = zipkin2008.posed(POISSON, int(row["L"]), 1.0, float(row["p"]))
    found = zipkin2008.POLICIES[row["policy"]](made)
    assert found.lower - 1e-6 <= float(row["verified"]) <= found.upper + 1e-6
