"""The optimum: printed figures, brute force on tiny instances with physics of its own, simulation, and what is refused."""

import json
import math
import re
import sys
from dataclasses import replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from invbench import cli, published
from invbench.costs import CostModel
from invbench.dynamics import dual_source, serial, single
from invbench.exact import chain, constant, optimum
from invbench.formulas import Stationary
from invbench.keys import root
from invbench.methods.optimal import Optimal
from invbench.problem import Problem
from invbench.scenarios import discrete, geometric, normal, poisson, seasonal_poisson, uniform_discrete

DEMANDS = {"poisson": poisson.create(mean=5, items=1), "geometric": geometric.create(mean=5, items=1)}


def posed(scenario, system, horizon=90, **rates):
    """A problem with holding 1 and nothing else to pay but `rates`."""
    nothing = dict(price=0.0, purchase=0.0, holding=1.0, shortage=0.0, fixed_order=0.0, salvage=0.0)
    return Problem(scenario, system, CostModel(**nothing | rates), horizon, 0, 0, 0)


def lost(lead_time, **fields):
    return single.create(lead_time=lead_time, backlog=False, **fields)


# ---- printed figures


ZIPKIN = [row for row in published.read("zipkin2008") if row["policy"] == "Optimal" and int(row["L"]) <= 3]


@pytest.mark.parametrize("row", ZIPKIN, ids=lambda row: f"{row['demand']}-{row['p']}-{row['L']}")
def test_the_optimum_is_the_printed_one_with_a_narrow_bracket(row):
    found = optimum.find(posed(DEMANDS[row["demand"]], lost(int(row["L"])), shortage=float(row["p"])))
    assert found.lower - 1e-6 <= float(row["verified"]) <= found.upper + 1e-6
    assert 0 <= found.upper - found.lower <= 1e-6
    assert abs(found.value - float(row["published"])) <= 0.005


def test_with_backlog_the_optimum_is_zheng_and_federgruens():
    for row in published.read("zheng_federgruen1991")[:3]:
        made = posed(poisson.create(mean=float(row["poisson_mean"]), items=1), single.create(lead_time=0, backlog=True),
                     shortage=9.0, fixed_order=64.0)  # fmt: skip
        found = optimum.find(made)
        assert found.value == pytest.approx(float(row["cost_ver"]), abs=2e-6)
        orders = np.asarray(found.policy.params["orders"])[:, 0]
        positions = int(found.policy.params["low"][0]) + np.arange(len(orders))
        assert positions[orders > 0].max() == int(row["s_ver"])
        assert set((positions + orders)[orders > 0][-5:]) == {int(row["S_ver"])}


@pytest.mark.parametrize("lead_time, fixed_order", [(0, 0), (2, 0), (3, 20)])
def test_with_backlog_the_optimum_is_the_formulas(lead_time, fixed_order):
    made = posed(poisson.create(mean=4, items=1), single.create(lead_time=lead_time, backlog=True), shortage=7.0,
                 fixed_order=float(fixed_order))  # fmt: skip
    formula = Stationary(made.scenario.pmf(), lead_time, 1.0, 7.0, float(fixed_order)).reorder_up_to()[2]
    assert optimum.find(made).value == pytest.approx(formula, abs=2e-6)


# ---- brute force: other physics, no lattice, no matrices


def played(kind, stock, pipeline, order, demand, rates):
    """One period in plain numbers: stock and pipeline after it, and its money. The order of events is that of the README."""
    price, purchase, holding, shortage, fixed_order = rates
    queue, before = [*pipeline, order], max(-stock, 0)
    stock, queue = stock + queue[0], queue[1:]  # what is due in this period: today's order with lead time 0
    left = stock - demand
    sold = demand if kind == "backlog" else min(stock, demand)
    left, owed = (left, max(-left, 0)) if kind == "backlog" else (max(left, 0), max(-left, 0))
    revenue = price * (sold if kind == "lost" else sold + before - owed)
    return left, tuple(queue), fixed_order * (order > 0) + purchase * order + holding * max(left, 0) + shortage * owed - revenue


def brute_force(kind, pmf, lead_time, rates, horizon, stock, most, discount=1.0, salvage=0.0):
    """The least expected money over a horizon, by recursion over every order and demand."""

    @lru_cache(maxsize=None)
    def to_go(period, stock, pipeline):
        if period == horizon:
            return -salvage * max(stock, 0) / discount
        return min(expected(period, stock, pipeline, order) for order in range(most + 1))

    def expected(period, stock, pipeline, order):
        total = 0.0
        for demand, share in enumerate(pmf):
            left, queue, money = played(kind, stock, pipeline, order, demand, rates)
            total += share * (money + discount * to_go(period + 1, left, queue))
        return total

    return to_go(0, stock, (0,) * lead_time)


INSTANCES = st.fixed_dictionaries({
    "weights": st.lists(st.integers(1, 5), min_size=2, max_size=4),
    "lead_time": st.integers(0, 2),
    "stock": st.integers(0, 3),
    "shortage": st.integers(1, 12),
    "purchase": st.integers(0, 2),
    "margin": st.integers(0, 3),
    "fixed_order": st.sampled_from([0, 0, 3]),
    "discount": st.sampled_from([1.0, 0.9]),
})  # fmt: skip


@settings(max_examples=15, deadline=None)
@given(INSTANCES)
@pytest.mark.parametrize("kind", ["lost", "backlog"])
def test_backward_induction_is_brute_force_on_tiny_instances(kind, instance):
    pmf = np.array(instance["weights"]) / sum(instance["weights"])
    price = instance["purchase"] + instance["margin"]
    rates = (price, instance["purchase"], 1, instance["shortage"], instance["fixed_order"])
    names = ("price", "purchase", "holding", "shortage", "fixed_order")
    system = single.create(lead_time=instance["lead_time"], backlog=kind == "backlog", initial_stock=instance["stock"])
    horizon = instance["lead_time"] + 3
    made = posed(discrete.create(probabilities=pmf.tolist(), items=1), system, horizon,
                 **{name: float(rate) for name, rate in zip(names, rates)})  # fmt: skip
    most = (len(pmf) - 1) * 4 if instance["fixed_order"] or kind == "backlog" else (len(pmf) - 1)
    expected = brute_force(kind, pmf, instance["lead_time"], rates, horizon, instance["stock"], most, instance["discount"])
    found = optimum.find(made, horizon="finite", discount=instance["discount"])
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.lower == found.upper and found.periods == horizon


def test_the_average_is_what_another_period_costs_in_a_long_horizon():
    pmf, rates = np.array([0.3, 0.4, 0.3]), (0, 0, 1, 6, 0)
    made = posed(discrete.create(probabilities=pmf.tolist(), items=1), lost(2), shortage=6.0)
    more, less = (brute_force("lost", pmf, 2, rates, horizon, 0, 2) for horizon in (60, 59))
    assert optimum.find(made).value == pytest.approx(more - less, abs=1e-6)


def test_the_discounted_optimum_is_that_of_a_horizon_so_long_that_the_rest_is_nothing():
    pmf, rates = np.array([0.3, 0.4, 0.3]), (0, 1, 1, 6, 0)
    made = posed(discrete.create(probabilities=pmf.tolist(), items=1), lost(1, initial_stock=1), shortage=6.0, purchase=1.0)
    found = optimum.find(made, discount=0.8)
    assert found.value == pytest.approx(brute_force("lost", pmf, 1, rates, 120, 1, 2, discount=0.8), abs=1e-6)
    assert found.upper - found.lower <= 1e-6


def test_two_suppliers_by_brute_force():
    pmf, horizon = [0.2, 0.5, 0.3], 5
    system = dual_source.create(lead_time=2, expedite_lead_time=0, backlog=True, initial_stock=1)
    made = posed(discrete.create(probabilities=pmf, items=1), system, horizon, purchase=2.0, expedite=1.0, shortage=9.0)

    @lru_cache(maxsize=None)
    def to_go(period, stock, due, waiting):
        if period == horizon:
            return 0.0
        return min(expected(period, stock + due, waiting, *orders) for orders in product(range(5), repeat=2))

    def expected(period, stock, waiting, regular, expedited):
        paid = 2 * (regular + expedited) + expedited
        left = [stock + expedited - demand for demand in range(3)]
        charged = [max(units, 0) + 9 * max(-units, 0) for units in left]
        later = [to_go(period + 1, units, waiting, regular) for units in left]
        return paid + sum(share * (one + other) for share, one, other in zip(pmf, charged, later))

    assert optimum.find(made, horizon="finite").value == pytest.approx(to_go(0, 1, 0, 0), abs=1e-9)


def test_whole_batches_smallest_orders_and_room_are_kept_to():
    pmf, rates = [0.25, 0.25, 0.25, 0.25], (0, 0, 1, 8, 0)
    for fields, orders, room in (
        ({"batch": 3}, (0, 3, 6), 99),
        ({"minimum_order": 2}, (0, 2, 3, 4, 5, 6), 99),
        ({"capacity": 4}, range(7), 4),
    ):
        made = posed(discrete.create(probabilities=pmf, items=1), lost(1, **fields), 4, shortage=8.0)

        @lru_cache(maxsize=None)
        def to_go(period, stock, due):
            if period == 4:
                return 0.0
            allowed = [order for order in orders if stock + due + order <= room]
            return min(sum(p * after(period, stock + due, order, d) for d, p in enumerate(pmf)) for order in allowed)

        def after(period, stock, order, demand):
            left, queue, money = played("lost", stock, (0,), order, demand, rates)
            return money + to_go(period + 1, left, queue[0])

        assert optimum.find(made, horizon="finite").value == pytest.approx(to_go(0, 0, 0), abs=1e-9)


# ---- the policy is worth what its value says


@pytest.mark.parametrize("case", ["lost sales", "fixed cost", "backlog", "two suppliers"])
def test_the_policy_simulated_costs_the_optimum(case):
    systems = {
        "lost sales": posed(DEMANDS["poisson"], lost(3), 1000, shortage=9.0),
        "fixed cost": posed(DEMANDS["poisson"], lost(1), 1000, shortage=9.0, fixed_order=5.0),
        "backlog": posed(DEMANDS["poisson"], single.create(lead_time=2, backlog=True), 1000, shortage=9.0, fixed_order=5.0),
        "two suppliers": posed(uniform_discrete.create(low=0, high=4, items=1),
                               dual_source.create(lead_time=3, expedite_lead_time=0, backlog=True), 1000,
                               purchase=100.0, expedite=10.0, holding=5.0, shortage=495.0),
    }  # fmt: skip
    made = systems[case]
    found = optimum.find(made)
    flows = made.simulate(found.policy, made.training_paths(root(3, "simulated"), 500))
    cost = -np.asarray(made.cost.charge(flows).benefit, np.float64)[:, 100:, 0].mean(1)  # the first 100 periods are the start's
    assert abs(cost.mean() - found.value) <= stats.norm.isf(0.0005) * cost.std(ddof=1) / math.sqrt(len(cost))
    lower, upper = chain.follow(made, found.policy).average()
    assert lower <= found.upper + 1e-9 and upper >= found.lower - 1e-9  # the third road: the policy as a chain


def test_a_periodic_optimum_has_a_bracket_too():
    # demand 1, lead time 0, orders in batches of 2: 1 is left every other period, which costs 1
    made = posed(discrete.create(probabilities=[0.0, 1.0], items=1), lost(0, batch=2), shortage=9.0)
    found = optimum.find(made)
    assert found.lower <= 0.5 + 1e-9 and found.upper >= 0.5 - 1e-9 and found.upper - found.lower <= 1e-6


def test_what_is_left_of_the_sweeps_is_said(capsys):
    found = optimum.find(posed(DEMANDS["poisson"], lost(2), shortage=9.0), sweeps=3)
    assert found.upper - found.lower > 0.01 and "still" in capsys.readouterr().err
    assert found.lower < 6.093642 < found.upper  # Zipkin 2008: the bracket holds all the same


def test_a_season_is_planned_for_period_by_period():
    scenario = seasonal_poisson.create(mean=3, annual=0.0, weekly=0.8, trend=0.0, items=1)
    for system in (lost(1, initial_stock=6), single.create(lead_time=1, backlog=True, initial_stock=6)):
        made = posed(scenario, system, 28, shortage=9.0, purchase=1.0, salvage=0.5)
        found = optimum.find(made)
        assert found.periods == 28
        benefit = np.asarray(made.benefit(found.policy, made.training_paths(root(1, "season"), 20_000)), np.float64)[:, 0]
        assert abs(-benefit.mean() - found.value) <= stats.norm.isf(0.0005) * benefit.std(ddof=1) / math.sqrt(len(benefit))
        flat = optimum.find(replace(made, scenario=poisson.create(mean=3, items=1)), horizon="finite").policy
        lost_by_it = benefit - np.asarray(made.benefit(flat, made.training_paths(root(1, "season"), 20_000)))[:, 0]
        assert lost_by_it.mean() > 5 * lost_by_it.std(ddof=1) / math.sqrt(len(lost_by_it))


def test_no_constant_order_costs_less_than_the_best_and_the_chain_agrees():
    pmf = DEMANDS["poisson"].pmf()
    quantity, cost = constant.best(pmf, 1.0, 9.0)
    assert [quantity, constant.left_over(pmf, 5)] == [4, np.inf]
    assert cost == pytest.approx(10.2748, abs=5e-5) and cost == min(constant.cost(pmf, q, 1.0, 9.0) for q in range(5))


# ---- what is refused


GIVEN = dict(horizon="auto", discount=1.0, tolerance=1e-6, sweeps=100, memory=4.0)


def refusal(made, **changes):
    with pytest.raises(ValueError) as told:
        Optimal(**GIVEN | changes).fit(made, root(0, "any"), lambda metrics, step: None)
    assert "\n" not in str(told.value)
    return str(told.value)


def test_what_cannot_be_solved_is_refused_in_one_sentence():
    small = posed(DEMANDS["poisson"], lost(1), shortage=9.0)
    for discount in (0, -0.5, 1.0001, float("nan")):
        assert refusal(small, discount=discount).startswith("method.discount must be a number > 0 and <= 1, got")
    assert refusal(replace(small, scenario=normal.create(mean=50, std=10, items=1))).startswith(
        "scenario must be one whose demand has a pmf"
    )
    large = refusal(posed(DEMANDS["geometric"], lost(8), shortage=99.0))
    assert re.match(r"method.memory must be at least [\d.]+ GiB for [\d,]{15,} states, got 4.0", large)
    assert refusal(posed(DEMANDS["poisson"], lost(1))).startswith("cost.shortage must be such that a lost sale costs more")
    assert refusal(posed(DEMANDS["poisson"], single.create(lead_time=1, backlog=True))).startswith(
        "cost.shortage must be a number > 0"
    )
    chained = serial.create(lead_times=[1, 1])
    assert refusal(posed(DEMANDS["poisson"], chained, shortage=9.0)).startswith("system must be one of lost_sales, backlog")
    random = lost(2, lead_time_distribution=[0.0, 0.5, 0.5])
    assert refusal(posed(DEMANDS["poisson"], random, shortage=9.0)).startswith("system.lead_time_distribution must be null")
    season = seasonal_poisson.create(mean=3, annual=0.0, weekly=0.5, trend=0.0, items=1)
    assert refusal(replace(small, scenario=season), horizon="infinite").startswith(
        "method.horizon must be finite where demand differs"
    )


def command(monkeypatch, *arguments):
    """The exit code of the program."""
    monkeypatch.setattr(sys, "argv", ["invbench", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


@pytest.mark.parametrize(
    "field, told",
    [
        ("scenario=normal", "scenario must be one whose demand has a pmf"),
        ("system.lead_time=1.5", "system.lead_time must be a whole number >= 0, got 1.5"),
        ("method.discount=0", "method.discount must be a number > 0 and <= 1, got 0"),
        ("cost.shortage=-1", "cost.shortage must be a number >= 0, got -1"),
        ("cost.shortage=0", "cost.shortage must be such that a lost sale costs more"),
    ],
)
def test_the_command_says_what_is_wrong_and_fails(field, told, tmp_path, capsys, monkeypatch):
    asked = ["cost=average_cost", "method=optimal", "tracker=none", "evaluation.paths=4", f"outputs={tmp_path}"]
    scenario = [] if field.startswith("scenario") else ["scenario=poisson"]
    assert command(monkeypatch, *scenario, *asked, field) != 0
    assert told in " ".join(capsys.readouterr().err.split())


def test_the_command_answers_with_the_optimum_and_its_bracket(tmp_path, capsys, monkeypatch):
    asked = [
        "system=lost_sales",
        "scenario=poisson",
        "scenario.mean=5",
        "system.lead_time=2",
        "cost=average_cost",
        "cost.shortage=4",
    ]
    assert not command(monkeypatch, *asked, "method=optimal", "tracker=none", "evaluation.paths=4", f"outputs={tmp_path}")
    shown = capsys.readouterr().out
    report = json.loads((Path(shown.splitlines()[-1]) / "report.json").read_text())
    assert report["optimum"]["lower"] <= 4.395296 and report["optimum"]["upper"] >= 4.395294  # Zipkin 2008: 4.40
    assert report["optimum"]["states"] > 100 and "optimal cost per period" in shown and "4.395" in shown


def test_another_exact_solver_finds_the_same_optimum_and_orders():
    dynaplex = pytest.importorskip("dynaplex", reason="a peer: pip install 'invbench[peers]'")
    from dynaplex.modelling import DiscreteDist
    from dynaplex.models.lost_sales import LostSalesMDP

    theirs = dynaplex.ExactSolver(LostSalesMDP(9.0, 1.0, 2, DiscreteDist.poisson(5.0)), epsilon=1e-8).solve().cost
    found = optimum.find(posed(DEMANDS["poisson"], lost(2), shortage=9.0), tolerance=1e-8)
    assert found.lower - 1e-7 <= theirs <= found.upper + 1e-7
