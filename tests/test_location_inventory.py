"""Where to build when sites hold stock: closed forms, brute force over assignments, two solvers, pooling of risk."""

import math
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import generate, planner
from planning_brute import whole_numbers

from invbench.networks.facilities import create
from invbench.planners import cuts, location_inventory
from invbench.planners.checker_location_inventory import check
from invbench.planners.solve import Infeasible, Limits, highs, scip


def with_stock(holding=1.0, ordering=50.0, lead_time=2.0, safety_factor=1.96, ratio=5.0, power=1.0, **options):
    stock = location_inventory.stock(
        holding=holding, ordering=ordering, lead_time=lead_time, safety_factor=safety_factor, ratio=ratio, power=power
    )
    return location_inventory.create(stock=stock, **options)


def spread(sites, customers, seed, tightness=None):
    """A network where several sites pay."""
    made = generate(sites, customers, seed, tightness)
    return replace(made, fixed=0.3 * made.fixed, cost=3 * made.cost)


# known answers


def test_one_site_costs_its_economic_order_quantity_and_its_safety_stock():
    """Demand 9 + 16 = 25 a period with variance 4 x 25 = 100, orders at 18 money, holding 1, lead time 4, z = 2.

    EOQ sqrt(2 x 18 x 25 / 1) = 30 units, which costs 30 a period; safety stock 2 x sqrt(4 x 100) = 40 units; fixed 7, ways 5.
    """
    facilities = create(name="one", demand=[9, 16], capacity=math.inf, fixed=7, cost=[[3, 2]])
    options = with_stock(1, 18, 4, 2, 4)
    plan = options.plan(facilities)
    assert plan.solution.objective == pytest.approx(30 + 40 + 7 + 5, abs=1e-9)
    assert plan.order_quantity(facilities) == pytest.approx([30]) and plan.safety_stock(facilities) == pytest.approx([40])
    assert plan.summary(facilities)["parts"] == pytest.approx(
        {"fixed": 7, "service": 5, "working_inventory": 30, "safety_stock": 40}
    )


@pytest.mark.parametrize("free", [{"holding": 0}, {"ordering": 0, "safety_factor": 0}, {"ordering": 0, "ratio": 0}])
@pytest.mark.parametrize("count", [None, 4])
def test_without_a_cost_of_stock_it_is_facility_location(free, count):
    facilities = replace(spread(15, 30, 2), count=count)
    least = planner("never").plan(facilities).solution.objective
    assert with_stock(**free).plan(facilities).solution.objective == pytest.approx(least, rel=1e-9)


def test_two_sites_are_pooled_where_that_saves_more_than_the_way():
    """Two equal towns: apart 2 sqrt(v), together sqrt(2 v) and one way; safety alone, holding x z x sqrt(L) = 10, v = 4."""
    towns = create(name="towns", demand=[4, 4], capacity=math.inf, fixed=0, cost=[[0, 11.7], [11.7, 0]])
    options = with_stock(5, 0, 1, 2, 1)
    used = lambda plan: plan.share.any(1).sum()  # noqa: E731 (an open site costs nothing here)
    saved = 10 * (2 * 2 - math.sqrt(8))  # 11.716
    assert used(options.plan(towns)) == 1
    apart = options.plan(replace(towns, cost=towns.cost * 1.01))
    assert used(apart) == 2 and apart.solution.objective == pytest.approx(40)
    assert 11.7 < saved < 11.7 * 1.01


def test_dearer_stock_opens_fewer_sites():
    facilities = spread(15, 40, 3)
    opened = [with_stock(holding).plan(facilities).opened.sum() for holding in (0, 1, 10, 100)]
    assert all(np.diff(opened) <= 0) and opened[0] > opened[-1]


# brute force


@st.composite
def tiny(draw):
    """At most three sites and five customers."""
    sites, customers = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    cost = whole_numbers(draw, 0, 30, sites, customers).astype(float)
    cost[whole_numbers(draw, 0, 9, sites, customers) == 0] = math.inf
    capacity = whole_numbers(draw, 0, 20, sites) if draw(st.booleans()) else math.inf
    count, fixed = draw(st.none() | st.integers(1, sites)), whole_numbers(draw, 0, 30, sites)
    demand = whole_numbers(draw, 0, 6, customers)
    return create(name="tiny", demand=demand, capacity=capacity, fixed=fixed, cost=cost, count=count)


def brute(facilities, options):
    """The least cost over every site of every customer, and every set of sites that has these."""
    held, best = options.stock, math.inf
    for chosen in product(range(facilities.shape[0]), repeat=facilities.shape[1]):
        share = np.eye(facilities.shape[0])[:, list(chosen)]
        loads = share @ facilities.demand
        number = len(set(chosen))
        if (loads > facilities.capacity).any() or facilities.count is not None and number > facilities.count:
            continue
        idle = np.sort(facilities.fixed[[site for site in range(facilities.shape[0]) if site not in chosen]])
        fixed = facilities.fixed[list(set(chosen))].sum() + idle[: (facilities.count or number) - number].sum()
        service = facilities.cost[list(chosen), range(len(chosen))].sum()
        variance = share @ np.where(facilities.demand > 0, held.ratio * facilities.demand**held.power, 0)
        each = np.sqrt(2 * held.ordering * held.holding * loads)
        each += held.holding * held.safety_factor * np.sqrt(held.lead_time * variance)
        best = min(best, fixed + service + each.sum())
    return best


MONEY = st.sampled_from([0.0, 0.5, 3.0])


@settings(max_examples=120, deadline=None)
@given(tiny(), MONEY, MONEY, st.sampled_from([0.0, 1.0, 4.0]), st.sampled_from([0.5, 1.0, 2.0]))
def test_plans_cost_what_brute_force_finds(facilities, holding, ordering, ratio, power):
    options = with_stock(holding, ordering, 2.0, 1.5, ratio, power)
    least = brute(facilities, options)
    try:
        plan = options.plan(facilities)
    except Infeasible as refusal:
        assert least == math.inf and "feasible" in str(refusal)
        return
    assert plan.solution.objective == pytest.approx(least, rel=1e-7, abs=1e-6) and plan.solution.status == "optimal"
    assert check(plan, facilities, options) == []


# two solvers, and what cuts say


@pytest.mark.parametrize(
    "facilities, options",
    [
        (spread(15, 40, 3), with_stock()),
        (spread(15, 40, 4), with_stock(5.0, power=2.0, ratio=0.2)),
        (spread(10, 25, 5, tightness=3), with_stock()),
        (replace(spread(12, 30, 6), count=3), with_stock(3.0)),
        (spread(15, 30, 7), with_stock(radius=60)),
    ],
    ids=["uncapacitated", "variance as a square", "capacitated", "count", "radius"],
)
def test_scip_and_highs_agree_on_the_cuts_and_the_gap_is_closed(facilities, options):
    plan, pooled = options.plan(facilities), options.pooled(facilities)
    found = cuts.relaxed(pooled.model(), pooled.separate)
    model = replace(pooled.model(), rows=(*pooled.model().rows, *found))
    first, other = scip(model).objective, highs(model).objective
    assert first == pytest.approx(other, rel=1e-7)
    assert first <= plan.solution.objective * (1 + 1e-7) and plan.solution.status == "optimal" and plan.solution.gap <= 1e-7
    assert check(plan, facilities, options) == []


@pytest.mark.parametrize("seed", range(5))
def test_no_cut_is_above_the_cost_of_stock_and_its_own_assignment_meets_it(seed):
    pooled, random = with_stock(2.0).pooled(spread(4, 12, seed)), np.random.default_rng(seed)
    sites, customers = pooled.facilities.shape

    def values(serves):
        return np.r_[np.ones(sites), serves.ravel(), np.zeros(sites)]

    asked = pooled.separate(values(random.uniform(0, 1, (sites, customers)))).cuts  # at shares, which no assignment has
    for _ in range(20):
        whole = values(np.eye(sites)[random.integers(0, sites, customers)].T)
        met = pooled.separate(whole)
        stock = met.values[-sites:]
        assert (asked.matrix @ met.values >= -1e-9).all()
        np.testing.assert_allclose(met.cuts.matrix @ met.values, 0, atol=1e-9)
        loads = whole[sites:-sites].reshape(sites, customers) @ pooled.facilities.demand
        np.testing.assert_allclose(stock, pooled.stock.cost(loads, 5 * loads))


# the checker, no plan, and what makes no sense

SMALL = spread(8, 15, 6)


@pytest.mark.parametrize(
    "corrupt, sentence",
    [
        (lambda plan: plan._replace(opened=~plan.opened), "customer .* is served from site .*, which is closed"),
        (lambda plan: plan._replace(share=0.5 * plan.share), "customer 1 is not served by one site in full"),
        (lambda plan: plan._replace(share=plan.share[::-1].copy()), "the objective is said to be .*, the plan costs .*"),
        (lambda plan: plan._replace(share=plan.share[1:]), "a plan must have a number for each of 8 sites and 15 customers"),
        (lambda plan: plan._replace(opened=plan.opened | True), "the objective is said to be .*, the plan costs .*"),
        (lambda plan: plan._replace(solution=plan.solution._replace(objective=1.0)), "the objective is said to be 1, .*"),
        (lambda plan: plan._replace(solution=plan.solution._replace(bound=1e9)), "the bound 1000000000 is above the cost .*"),
        (lambda plan: plan._replace(solution=plan.solution._replace(bound=0.0)), "the plan is called optimal, and 100.00% .*"),
    ],
)
def test_the_checker_catches_a_corrupted_plan(corrupt, sentence):
    plan = with_stock().plan(SMALL)
    assert check(plan, SMALL, with_stock()) == []
    assert any(re.fullmatch(sentence, fault) for fault in check(corrupt(plan), SMALL, with_stock()))


@pytest.mark.parametrize(
    "changed, options, sentence",
    [
        ({"count": 8}, {}, ".* sites are open, and 8 are asked for"),
        ({"capacity": np.ones(8)}, {}, "site .* serves .* units, its capacity is 1"),
        ({}, {"radius": 1.0}, "customer .* is served from site .*, which is .* away, and radius is 1"),
        ({}, {"holding": 2.0}, "the objective is said to be .*"),
    ],
)
def test_the_checker_holds_a_plan_to_the_options(changed, options, sentence):
    faults = check(with_stock().plan(SMALL), replace(SMALL, **changed), with_stock(**options))
    assert any(re.fullmatch(sentence, fault) for fault in faults), faults


FOUR = create(name="four", demand=[10] * 4, capacity=[15] * 5, fixed=[3] * 5, cost=np.ones((5, 4)))


@pytest.mark.parametrize(
    "facilities, sentence",
    [
        (replace(FOUR, capacity=np.full(5, 7.0)), "no plan of four is feasible: the capacity of all sites is 35, demand is 40"),
        (
            replace(FOUR, capacity=np.array([15.0, 15, 9, 9, 9])),
            "four: no plan is feasible, these .* capacity of site .*; service .*",
        ),
        (replace(FOUR, count=1), "four: no plan is feasible, these .*: capacity of site .*; number of sites = 1; service .*"),
    ],
)
def test_where_no_plan_is_feasible_one_sentence_says_what_conflicts(facilities, sentence):
    with pytest.raises(Infeasible, match=f"^{sentence}$"):
        with_stock().plan(facilities)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: with_stock(holding=-1), "planner.stock.holding must be a number >= 0, got -1"),
        (lambda: with_stock(ratio="big"), "planner.stock.ratio must be a number >= 0, got 'big'"),
        (lambda: with_stock(radius=-1), "planner.radius must be a number >= 0, got -1"),
        (lambda: location_inventory.create(stock=None), "planner.stock must be what location_inventory.stock makes, got None"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def test_a_limit_shows_what_is_not_proved():
    facilities = spread(12, 30, 8, tightness=4)
    least = with_stock(1.0).plan(facilities).solution.objective
    plan = with_stock(1.0, limits=Limits(gap=0.1)).plan(facilities)
    assert plan.solution.gap <= 0.1 and plan.solution.bound <= least * (1 + 1e-9) <= plan.solution.objective * (1 + 2e-9)
