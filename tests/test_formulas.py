"""Exact stationary optima: printed figures, brute force, and the simulated cost of what they recommend."""

import csv
from itertools import product
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.formulas import Stationary, stationary
from invbench.methods import base_stock, r_Q, s_S
from invbench.scenarios import intermittent, poisson, profile, uniform_discrete
from invbench.tuning import Budget

BUDGET = Budget(16, 16, 1)


def poisson_item(mean, lead_time=0, fixed_order=64.0):
    support = np.arange(int(stats.poisson(mean).isf(1e-15)) + 2)
    return Stationary(stats.poisson(mean).pmf(support), lead_time, 1.0, 9.0, fixed_order)


def printed():
    with open(Path(__file__).parent / "golden" / "zheng_federgruen1991.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", printed(), ids=lambda row: row["poisson_mean"])
def test_zheng_federgruen(row):
    s, up_to, cost = poisson_item(float(row["poisson_mean"])).reorder_up_to()
    assert (s, up_to) == (int(float(row["s_pub"])), int(float(row["S_pub"])))
    assert cost == pytest.approx(float(row["cost_pub"]), abs=1e-3)


def plain_average(item, s, up_to, periods=4000):
    """Average cost of (s, S) by power iteration of the chain of positions after ordering."""
    states = np.arange(s + 1, up_to + 1)
    chain = np.zeros((len(states), len(states)))
    orders = np.zeros(len(states))
    for i, position in enumerate(states):
        for demand, chance in enumerate(item.pmf):
            left = position - demand
            chain[i, (up_to if left <= s else left) - s - 1] += chance
            orders[i] += chance * (left <= s)
    share = np.linalg.matrix_power(chain, periods)[0]
    return float(share @ (item.cost(s + 1, up_to) + item.fixed_order * orders))


@pytest.mark.parametrize("lead_time, fixed_order", [(0, 5.0), (2, 20.0), (1, 0.5)])
def test_reorder_up_to_is_the_best_of_all_pairs(lead_time, fixed_order):
    item = Stationary(np.array([0.3, 0.2, 0.0, 0.4, 0.1]), lead_time, 1.0, 4.0, fixed_order)
    s, up_to, cost = item.reorder_up_to()
    pairs = {(low, low + gap): plain_average(item, low, low + gap) for low, gap in product(range(-3, 9), range(1, 22))}
    assert cost == pytest.approx(min(pairs.values()), rel=1e-9)
    assert plain_average(item, s, up_to) == pytest.approx(cost, rel=1e-9)


def lots_average(item, r, size):
    """Average cost of (r, nQ) by power iteration."""
    chain, orders = np.zeros((size, size)), np.zeros(size)
    for i in range(size):
        for demand, chance in enumerate(item.pmf):
            chain[i, (i - demand) % size] += chance
            orders[i] += chance * (i - demand < 0)
    share = np.full(size, 1 / size) @ np.linalg.matrix_power(chain, 50)
    return float(share @ (item.cost(r + 1, r + size) + item.fixed_order * orders))


@pytest.mark.parametrize("lead_time, fixed_order", [(0, 5.0), (2, 20.0), (1, 0.5)])
def test_lots_are_the_best_of_all_pairs(lead_time, fixed_order):
    item = Stationary(np.array([0.3, 0.2, 0.1, 0.3, 0.1]), lead_time, 1.0, 4.0, fixed_order)
    r, size, cost = item.lots()
    assert cost == pytest.approx(min(lots_average(item, low, lot) for low, lot in product(range(-4, 9), range(1, 22))), rel=1e-9)
    assert lots_average(item, r, size) == pytest.approx(cost, rel=1e-9)


def test_base_stock_is_the_fractile_and_the_least_cost():
    item = poisson_item(5, lead_time=2)
    assert item.base_stock() == int(stats.poisson(15).ppf(0.9))
    costs = item.cost(0, 60)
    assert int(costs.argmin()) == item.base_stock()


@pytest.mark.parametrize("method", [base_stock.BaseStock, s_S.ReorderUpTo, r_Q.ReorderLots])
def test_methods_take_the_formula_where_it_applies_and_its_cost_is_what_they_cost(method):
    cost = CostModel(0.0, 0.0, 1.0, 9.0, 0.0 if method is base_stock.BaseStock else 64.0, 0.0)
    setting = problem.create(
        poisson.create(mean=10, items=1), single.create(lead_time=1, backlog=True, initial_stock=30), cost,
        information="known", history=100, window=0, horizon=2000, seed=0, evaluation_seed=0,
    )  # fmt: skip
    policy = method(tuning=BUDGET, formula=True).fit(setting.for_fitting(), jax.random.key(0), lambda *arguments: None)
    item = stationary(setting)
    if method is base_stock.BaseStock:
        expected = float(item.cost(item.base_stock(), item.base_stock())[0])
        assert float(policy.params["level"][0]) == item.base_stock()
    else:
        expected = (item.reorder_up_to() if method is s_S.ReorderUpTo else item.lots())[2]
    average = -np.asarray(setting.benefit(policy, setting.evaluation_paths(64)), np.float64)[:, 0] / 2000
    error = average.std(ddof=1) / 8
    assert abs(average.mean() - expected) < 4 * error + 0.01 * expected  # the start is worth less than 1 % over 2,000 periods


def test_formulas_apply_to_backlog_and_independent_discrete_demand_alone():
    def made(scenario, **system):
        return problem.create(
            scenario, single.create(lead_time=1, initial_stock=5, **system), CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0),
            information="known", history=100, window=0, horizon=30, seed=0, evaluation_seed=0,
        )  # fmt: skip

    normal = profile.create(mean=50, cv=0.2, annual=0, weekly=0, trend=0, distribution="normal", noise="proportional", items=1)
    assert stationary(made(uniform_discrete.create(low=0, high=9, items=3), backlog=True)) is not None
    assert stationary(made(intermittent.create(probability=0.3, size=5, items=1), backlog=False)) is None
    assert stationary(made(normal, backlog=True)) is None
    assert stationary(made(poisson.create(mean=5, items=1), backlog=True, batch=4)) is None


def test_formula_levels_are_those_of_every_item():
    setting = problem.create(
        poisson.create(mean=5, items=3), single.create(lead_time=0, backlog=True, initial_stock=5),
        CostModel(0.0, 0.0, 1.0, 9.0, 64.0, 0.0),
        information="known", history=100, window=0, horizon=30, seed=0, evaluation_seed=0,
    )  # fmt: skip
    policy = s_S.ReorderUpTo(tuning=BUDGET, formula=True).fit(setting, jax.random.key(0), lambda *arguments: None)
    assert policy.params["reorder_point"].shape == (3,)
    assert jnp.all(policy.params["lot"] == policy.params["lot"][0])
