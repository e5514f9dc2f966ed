"""Where to build before demand is known: closed forms, brute force, two forms and two solvers, and what knowledge is worth."""

import math
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import averse, generate, under_risk
from planning_brute import least_service, whole_numbers

from invbench.networks.facilities import create
from invbench.planners import levels, outlook, risk
from invbench.planners.checker_stochastic import check
from invbench.planners.solve import Infeasible, Limits, NoPlan, highs

# known answers

# One site in sizes of 1, ..., 10 units at 2 money a unit, service for nothing, 5 money for each unit that is not served; demand
# is 1, ..., 10, each as likely. A newsvendor: build the least c with P(demand <= c) >= 1 - 2 / 5, so 6, which costs
# 12 + 5 * (1 + 2 + 3 + 4) / 10 = 17. Mean demand is 5.5: for it alone 5 and 6 units cost 10 + 2.5 and 12.
TEN = create(name="one", demand=[10.0], capacity=10.0, fixed=20.0, cost=[[0.0]])
TENTHS = [n / 10 for n in range(1, 11)]
SIZES = levels.create(capacity=TENTHS, fixed=TENTHS)
EVENLY = outlook.given(shares=TENTHS, probability=[0.1] * 10)


def vendor(**options):
    return under_risk(EVENLY, 5.0, levels=SIZES, **options)


@pytest.mark.parametrize("solver", ["extensive", "benders"])
def test_a_site_is_built_as_a_newsvendor_orders(solver):
    plan = vendor(solver=solver).plan(TEN)
    assert plan.level.tolist() == [6] and plan.solution.objective == pytest.approx(17.0, abs=1e-9)
    assert plan.worth.wait_and_see == pytest.approx(2 * 5.5)  # each scenario builds what it needs
    assert plan.worth.mean_value == pytest.approx(17.0)
    summary = plan.summary(TEN)
    assert summary["evpi"] == pytest.approx(6.0) and summary["vss"] == pytest.approx(0, abs=1e-9)
    assert summary["level"] == {"1": 6} and summary["solver"] == solver


def test_who_fears_the_worst_builds_for_it():
    """CVaR of the two dearest of ten cases: c units cost 2 c + 5 (9.5 - c) up to c = 9, so 9 (20.5); 10 units cost 20."""
    plan = vendor(risk=averse(1.0, 0.8)).plan(TEN)
    assert plan.level.tolist() == [10] and plan.solution.objective == pytest.approx(20.0)
    half = vendor(risk=averse(0.5, 0.8)).plan(TEN)  # 7: (14 + 3 + 14 + 12.5) / 2 = 21.75; 8: (16 + 1.5 + 23.5) / 2 = 20.5
    costs = {c: 0.5 * (2 * c + 0.5 * sum(range(11 - c))) + 0.5 * (2 * c + 2.5 * (max(9 - c, 0) + 10 - c)) for c in range(1, 11)}
    assert half.solution.objective == pytest.approx(min(costs.values()))
    assert half.level[0] == min(costs, key=costs.get)


def test_the_value_of_the_stochastic_solution_by_hand():
    """Demand is 0 or 10 at even odds: 10 units for 20, or 25 money on average without. For its mean of 5, 5 units are best."""
    plan = under_risk(outlook.given(shares=[0, 1], probability=[0.5, 0.5]), 5.0, levels=SIZES).plan(TEN)
    assert plan.solution.objective == pytest.approx(20.0) and plan.level.tolist() == [10]
    assert plan.worth.mean_value == pytest.approx(10 + 0.5 * 5 * 5)  # 22.5
    assert plan.worth.wait_and_see == pytest.approx(10.0)


def test_the_tail_is_the_mean_of_the_dearest_share():
    costs, probability = np.array([10.0, 40.0, 20.0, 30.0]), np.array([0.4, 0.1, 0.3, 0.2])
    assert risk.cvar(costs, probability, 0.0) == pytest.approx(probability @ costs)
    assert risk.cvar(costs, probability, 0.9) == pytest.approx(40.0)
    assert risk.cvar(costs, probability, 0.8) == pytest.approx((0.1 * 40 + 0.1 * 30) / 0.2)
    assert risk.cvar(costs, probability, 0.999) == pytest.approx(40.0)


# brute force


@st.composite
def tiny(draw):
    """At most three sites in at most two sizes, three customers and three scenarios; whole units."""
    sites, customers, cases = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    demand, shares = whole_numbers(draw, 1, 4, customers), whole_numbers(draw, 0, 2, cases, customers)
    cost = whole_numbers(draw, 0, 30, sites, customers).astype(float)
    cost[whole_numbers(draw, 0, 9, sites, customers) == 0] = math.inf
    capacity = 2.0 * whole_numbers(draw, 0, 5, sites) if draw(st.booleans()) else np.full(sites, math.inf)
    count = draw(st.none() | st.integers(1, sites))
    made = create(name="tiny", demand=demand, capacity=capacity, fixed=whole_numbers(draw, 0, 30, sites), cost=cost, count=count)
    chance = whole_numbers(draw, 1, 4, cases)
    sizes = draw(st.sampled_from([levels.create(), levels.create(capacity=[0.5, 1.5], fixed=[0.7, 1.2])]))
    return made, outlook.given(shares=shares.tolist(), probability=chance / chance.sum()), sizes


def brute(facilities, scenarios, options, measure):
    """The least objective over all sizes of all sites; inf if none is allowed."""
    unit, best = facilities.cost / facilities.demand, math.inf
    for level in product(range(len(options.levels.capacity) + 1), repeat=facilities.shape[0]):
        spent = sum(fixed * (0, *options.levels.fixed)[n] for fixed, n in zip(facilities.fixed, level))
        number = sum(n > 0 for n in level)
        if facilities.count not in (None, number) or (options.budget is not None and spent > options.budget):
            continue
        room = [capacity * options.levels.capacity[n - 1] if n else 0 for capacity, n in zip(facilities.capacity, level)]
        costs = [spent + least_service(unit, demand, room, options.penalty) for demand in scenarios.demand]
        best = min(best, measure(costs, scenarios.probability))
    return best


def tail_by_hand(weight, alpha):
    """Whatever cost the quantile may be, the least of what Rockafellar and Uryasev minimise."""

    def measure(costs, chance):
        beyond = [eta + sum(p * max(c - eta, 0) for c, p in zip(costs, chance)) / (1 - alpha) for eta in costs]
        return (1 - weight) * np.dot(costs, chance) + weight * min(beyond)

    return measure


@settings(max_examples=60, deadline=None)
@given(
    tiny(), st.sampled_from(["extensive", "benders"]), st.integers(0, 20), st.none() | st.integers(0, 60),
    st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.6, 0.9]),
)  # fmt: skip
def test_plans_cost_what_brute_force_finds(case, solver, penalty, budget, weight, alpha):
    facilities, outlooks, sizes = case
    options = under_risk(outlooks, penalty, solver=solver, levels=sizes, risk=averse(weight, alpha), budget=budget)
    try:
        plan = options.plan(facilities)
    except Infeasible as refusal:
        connected = np.isfinite(facilities.cost).any(0).all()
        refused = brute(facilities, outlooks.of(facilities), options, tail_by_hand(weight, alpha)) == math.inf
        assert (refused or not connected) and "feasible" in str(refusal)
        return
    scenarios = outlooks.of(facilities)
    least = brute(facilities, scenarios, options, tail_by_hand(weight, alpha))
    assert plan.solution.objective == pytest.approx(least, rel=1e-6, abs=1e-5) and plan.solution.status == "optimal"
    assert check(plan, facilities, options, scenarios) == []
    slack = 1e-6 * max(1, least)
    assert plan.worth.wait_and_see <= least + slack and plan.worth.mean_value >= least - slack


# two forms, two solvers

MEDIUM = [
    ("uncapacitated", generate(12, 25, 1), {}),
    ("capacitated", generate(10, 20, 4, tightness=3), {"levels": levels.create(capacity=[0.5, 1], fixed=[0.6, 1])}),
    ("count", generate(10, 20, 2, count=3), {}),
    ("tail", generate(10, 20, 5, tightness=2), {"risk": averse(0.7, 0.6)}),
    ("radius", generate(12, 20, 3), {"radius": 60}),
]


@pytest.mark.parametrize("facilities, given", [case[1:] for case in MEDIUM], ids=[case[0] for case in MEDIUM])
def test_the_extensive_form_by_two_solvers_and_cuts_agree(facilities, given):
    options = under_risk(worth=False, **given)
    scenarios = options.scenarios.of(facilities)
    stages = options.stages(facilities, scenarios)
    other = highs(stages.extensive())
    for solver in ("extensive", "benders"):
        plan = replace(options, solver=solver).solve(stages)
        assert plan.solution.objective == pytest.approx(other.objective, rel=1e-7) and plan.solution.status == "optimal"
        assert plan.solution.bound <= other.objective * (1 + 1e-7)
        assert check(plan, facilities, options, scenarios) == []


@pytest.mark.parametrize("seed", range(4))
def test_no_price_gives_a_cut_above_what_a_scenario_costs(seed):
    facilities = generate(6, 10, seed, tightness=2)
    stages = under_risk(levels=levels.create(capacity=[0.5, 1], fixed=[0.6, 1])).stages(
        facilities, under_risk().scenarios.of(facilities)
    )
    random = np.random.default_rng(seed)
    price = random.uniform(0, 20, stages.scenarios.demand.shape)
    least, worth = stages.recourse.cuts(price)
    for _ in range(10):
        built = np.eye(3)[random.integers(0, 3, 6)][:, 1:]  # closed, or one of two sizes
        served = stages.recourse.served(built)
        assert (least - (worth * built).sum((1, 2)) <= served.cost + 1e-6).all()
        own, strong = stages.recourse.cuts(served.price)  # its own prices say what it costs
        np.testing.assert_allclose(own - (strong * built).sum((1, 2)), served.cost, rtol=1e-9)


def test_without_weight_on_the_tail_or_with_all_cases_in_it_the_mean_is_planned():
    facilities = generate(8, 15, 6, tightness=2)
    neutral = under_risk().plan(facilities)
    for measure in (averse(0.0, 0.9), averse(1.0, 0.0), averse(0.4, 0.0)):
        plan = under_risk(risk=measure).plan(facilities)
        assert plan.solution.objective == pytest.approx(neutral.solution.objective, rel=1e-9)
        assert plan.mean == pytest.approx(neutral.mean, rel=1e-9)


def test_the_front_trades_mean_for_tail():
    facilities = generate(10, 20, 5, tightness=2)
    found = [under_risk(risk=averse(weight, 0.6), worth=False).plan(facilities) for weight in (0.0, 0.3, 0.7, 1.0)]
    means, tails = [plan.mean for plan in found], [plan.tail for plan in found]
    assert (np.diff(means[:-1]) >= -1e-6).all() and (np.diff(tails) <= 1e-6).all() and tails[-1] < tails[0] * (1 - 1e-6)
    assert means[-1] >= means[0] - 1e-6


def test_a_limit_shows_what_is_not_proved_and_is_said_without_a_plan():
    facilities = generate(12, 30, 2, tightness=2)
    best = under_risk(worth=False).plan(facilities).solution.objective
    plan = under_risk(worth=False, limits=Limits(gap=0.2)).plan(facilities)
    assert plan.solution.status in ("gap limit", "optimal") and plan.solution.bound <= best * (1 + 1e-9)
    assert best <= plan.solution.objective * (1 + 1e-9) and plan.solution.gap <= 0.2
    for limit in (1, 2):
        options = under_risk(worth=False, limits=Limits(nodes=limit))
        try:
            stopped = options.plan(facilities)
        except NoPlan as refusal:
            assert re.fullmatch(
                f"no plan of .* was found within limits.nodes = {limit}; every plan costs at least .*", str(refusal)
            )
            continue
        assert stopped.solution.bound <= best * (1 + 1e-9) <= stopped.solution.objective * (1 + 2e-9)
        assert check(stopped, facilities, options, options.scenarios.of(facilities)) == []
