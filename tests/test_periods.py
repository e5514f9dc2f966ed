"""Where to build when: by hand, brute force over all sizes of all periods, two solvers, and what cannot be planned."""

import math
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import generate, planner
from planning_brute import least_service, whole_numbers

from invbench.networks.facilities import create
from invbench.planners import levels, periods
from invbench.planners.checker_periods import check
from invbench.planners.solve import Infeasible, highs

HALVES = levels.create(capacity=[0.5, 1], fixed=[0.5, 1])


def over(*demand, opening=1.0, closing=0.0, **options):
    return periods.create(demand=demand, opening=opening, closing=closing, **options)


# by hand: one site for 10 units at 10 money a period, service for nothing

ONE = create(name="one", demand=[10], capacity=10, fixed=10, cost=[[0]])


@pytest.mark.parametrize(
    "closing, level, cost",
    [
        (0, [1, 2, 1], 50),  # half, full, half: 5 + 10 + 5 a period, two halves opened for 3 x 5 each
        (4, [1, 2, 2], 55),  # giving up half of it would save 5 and cost 4 x 5
    ],
)
def test_a_site_grows_with_demand_and_shrinks_where_that_pays(closing, level, cost):
    plan = over(0.5, 1, 0.5, opening=3, closing=closing, levels=HALVES).plan(ONE)
    assert plan.solution.objective == pytest.approx(cost) and plan.level[:, 0].tolist() == level
    told = plan.summary(ONE)
    assert told["opened"] == 1 and told["closed"] == 0 and told["level"][1] == {"1": 2}


@pytest.mark.parametrize(
    "options, opened, cost",
    [
        ({}, [True, False, True], 24),  # 10 + 0 + 10 and twice 0.2 x 10
        ({"reopen": False}, [True, True, True], 32),
        ({"start": [1]}, [True, False, True], 22),
        ({"start": [1], "reopen": False}, [True, True, True], 30),
        ({"closing": 0.9}, [True, True, True], 32),  # 24 + 9
        ({"interest": 1.0}, [True, False, True], 10 + 2 + (10 + 2) / 4),
    ],
)
def test_a_site_is_closed_while_nobody_asks(options, opened, cost):
    plan = over(1, 0, 1, **{"opening": 0.2} | options).plan(ONE)
    assert plan.solution.objective == pytest.approx(cost) and plan.opened[:, 0].tolist() == opened
    assert check(plan, ONE, over(1, 0, 1, **{"opening": 0.2} | options)) == []


@pytest.mark.parametrize("tightness, count", [(None, None), (3, None), (None, 4)])
def test_one_period_without_opening_costs_is_facility_location(tightness, count):
    facilities = replace(generate(12, 30, 4, tightness), count=count)
    least = planner("never").plan(facilities).solution.objective
    assert over(1, opening=0).plan(facilities).solution.objective == pytest.approx(least, rel=1e-7)
    thrice = over(1, 1, 1, opening=0).plan(facilities)  # nothing moves, so nothing changes
    assert thrice.solution.objective == pytest.approx(3 * least, rel=1e-7)


# brute force


@st.composite
def tiny(draw):
    """At most two sites in at most two sizes, three customers and three periods; whole units."""
    sites, customers, count = draw(st.integers(1, 2)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    cost = whole_numbers(draw, 0, 30, sites, customers).astype(float)
    cost[whole_numbers(draw, 0, 9, sites, customers) == 0] = math.inf
    capacity = 2.0 * whole_numbers(draw, 0, 6, sites) if draw(st.booleans()) else math.inf
    demand, shares = whole_numbers(draw, 1, 4, customers), whole_numbers(draw, 0, 2, count, customers)
    number = draw(st.none() | st.none() | st.integers(1, sites))
    made = create(name="tiny", demand=demand, capacity=capacity, fixed=whole_numbers(draw, 0, 30, sites), cost=cost, count=number)
    sizes = draw(st.sampled_from([levels.create(), levels.create(capacity=[0.5, 1.5], fixed=[0.7, 1.2])]))
    start = draw(st.none() | st.lists(st.integers(0, len(sizes.capacity)), min_size=sites, max_size=sites))
    return made, shares.tolist(), sizes, start


def brute(facilities, options):
    """The least cost over all sizes of all sites in all periods; inf if none serves everyone."""
    sites, sizes = facilities.shape[0], np.array([0.0, *options.levels.fixed])
    room = np.array([0.0, *options.levels.capacity])
    states = [np.array(state) for state in product(range(len(sizes)), repeat=sites)]
    if facilities.count is not None:
        states = [state for state in states if (state > 0).sum() == facilities.count]
    unit, best = facilities.cost / facilities.demand, math.inf
    service = [
        [least_service(unit, np.array(share) * facilities.demand, _rooms(facilities, room, state)) for state in states]
        for share in options.demand
    ]
    for path in product(range(len(states)), repeat=len(options.demand)):
        before, was_closed = np.array(options.start or [0] * sites), np.zeros(sites, bool)
        cost = 0.0
        for period, place in enumerate(path):
            state, worth = states[place], (1 + options.interest) ** -period
            was_closed |= (before > 0) & (state == 0) if period or options.start else False
            if not options.reopen and (was_closed & (state > 0)).any():
                cost = math.inf
            step = facilities.fixed * (sizes[state] - sizes[before])
            changed = options.opening * np.maximum(step, 0).sum() + options.closing * np.maximum(-step, 0).sum()
            cost += worth * (changed + facilities.fixed @ sizes[state] + service[period][place])
            before = state
        best = min(best, cost)
    return best


def _rooms(facilities, room, state):
    return [limit * room[size] if size else 0 for limit, size in zip(facilities.capacity, state)]


MONEY = st.sampled_from([0.0, 0.5, 3.0])


@settings(max_examples=100, deadline=None)
@given(tiny(), MONEY, MONEY, st.booleans(), st.sampled_from([0.0, 0.25]))
def test_plans_cost_what_brute_force_finds(case, opening, closing, reopen, interest):
    facilities, shares, sizes, start = case
    options = over(*shares, opening=opening, closing=closing, levels=sizes, reopen=reopen, start=start, interest=interest)
    connected = np.isfinite(facilities.cost).any(0).all()
    least = brute(facilities, options) if connected else math.inf
    try:
        plan = options.plan(facilities)
    except Infeasible as refusal:
        assert least == math.inf and "feasible" in str(refusal)
        return
    assert plan.solution.objective == pytest.approx(least, rel=1e-7, abs=1e-6) and plan.solution.status == "optimal"
    assert check(plan, facilities, options) == []


# two solvers

GROWING = [0.6, 0.8, 1.0, 0.7]


@pytest.mark.parametrize(
    "facilities, options",
    [
        (generate(10, 20, 1), {}),
        (generate(6, 12, 4, tightness=3), {"levels": HALVES, "closing": 0.5}),
        (generate(10, 20, 2, count=3), {"reopen": False}),
        (generate(10, 20, 3), {"radius": 60, "interest": 0.1}),
    ],
    ids=["uncapacitated", "sizes", "count", "radius"],
)
def test_scip_and_highs_agree(facilities, options):
    options = over(*GROWING, **options)
    plan, other = options.plan(facilities), highs(options.course(facilities).model())
    assert plan.solution.objective == pytest.approx(other.objective, rel=1e-7) and plan.solution.status == "optimal"
    assert check(plan, facilities, options) == []


# the checker

SMALL = generate(6, 12, 6, tightness=2)
ASKED = over(*GROWING, levels=HALVES)


@pytest.fixture(scope="module")
def small():
    return ASKED.plan(SMALL)


def changed(name, change):
    return lambda plan: plan._replace(**{name: change(getattr(plan, name))})


@pytest.mark.parametrize(
    "corrupt, sentence",
    [
        (changed("level", lambda level: 0 * level), "period 1: customer .* is served from site .*, which is closed"),
        (changed("level", lambda level: np.minimum(level, 1)), "period .: site .* serves .* units, its capacity is .*"),
        (changed("level", lambda level: 3 + 0 * level), "a level must be a whole number from 0 to 2, got .*"),
        (changed("level", lambda level: np.maximum(level, 1)), "the objective is said to be .*, the plan costs .*"),
        (changed("level", lambda level: level[1:]), "a plan must have a number for each of 4 periods, 6 sites and 12 customers"),
        (changed("share", lambda share: 0.9 * share), "period 1: customer 1 is served 0.9 of its demand"),
        (changed("share", lambda share: math.nan * share), "a plan must have a number for each of 4 periods, .*"),
        (changed("solution", lambda solution: solution._replace(objective=1.0)), "the objective is said to be 1, .*"),
        (changed("solution", lambda solution: solution._replace(bound=1e9)), "the bound 1000000000 is above the cost .*"),
        (changed("solution", lambda solution: solution._replace(bound=0.0)), "the plan is called optimal, and 100.00% .*"),
    ],
)
def test_the_checker_catches_a_corrupted_plan(corrupt, sentence, small):
    assert (small.level == 2).any() and check(small, SMALL, ASKED) == []
    assert any(re.fullmatch(sentence, fault) for fault in check(corrupt(small), SMALL, ASKED))


@pytest.mark.parametrize(
    "network, options, sentence",
    [
        ({"count": 6}, {}, "period 1: .* sites are open, and 6 are asked for"),
        ({}, {"radius": 1.0}, "period 1: customer .* is served from site .*, which is .* away, and radius is 1"),
        ({}, {"opening": 2.0}, "the objective is said to be .*"),
        ({}, {"interest": 0.1}, "the objective is said to be .*"),
    ],
)
def test_the_checker_holds_a_plan_to_the_options(network, options, sentence, small):
    faults = check(small, replace(SMALL, **network), over(*GROWING, **{"levels": HALVES} | options))
    assert any(re.fullmatch(sentence, fault) for fault in faults), faults


def test_the_checker_sees_a_site_that_is_open_again():
    plan = over(1, 0, 1, opening=0.2).plan(ONE)
    assert "period 3: site 1 is open again" in check(plan, ONE, over(1, 0, 1, opening=0.2, reopen=False))


# no plan, and what makes no sense


@pytest.mark.parametrize(
    "facilities, options, sentence",
    [
        (ONE, over(1, 1.5), "no plan of one is feasible: the capacity of all sites is 10, demand in period 2 is 15"),
        (
            create(name="two", demand=[8], capacity=[5, 5], fixed=1, cost=np.ones((2, 1)), count=1), over(0.5, 1),
            "two: no plan is feasible, these .*: capacity of site .*; number of sites = 1 in period 2; service .*",
        ),
        (
            create(name="far", demand=[8], capacity=5, fixed=1, cost=[[math.inf]]), over(1),
            "no plan of far is feasible: no site reaches customer 1",
        ),
    ],
)  # fmt: skip
def test_where_no_plan_is_feasible_one_sentence_says_what_conflicts(facilities, options, sentence):
    with pytest.raises(Infeasible, match=f"^{sentence}$"):
        options.plan(facilities)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: over(), "planner.demand must be a share for at least one period, got []"),
        (lambda: over(1, -1), "planner.demand must be a number >= 0, got -1"),
        (
            lambda: over([1, 2]).plan(ONE),
            "planner.demand must be one share a period, or one for each of 1 customers, got [[1, 2]]",
        ),
        (lambda: over(1, opening=-1), "planner.opening must be a number >= 0, got -1"),
        (lambda: over(1, closing=-1), "planner.closing must be a number >= 0, got -1"),
        (lambda: over(1, reopen="no"), "planner.reopen must be true or false, got 'no'"),
        (lambda: over(1, start=[2]), "planner.start must be sizes from 0 to 1, got 2"),
        (lambda: over(1, start=[1, 1]).plan(ONE), "planner.start must be a size for each of 1 sites, got (1, 1)"),
        (lambda: over(1, interest=-1), "planner.interest must be a number >= 0, got -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()
