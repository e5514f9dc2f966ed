"""Where to build: brute force, two solvers, bounds that hold, and printed optima."""

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import generate, planner
from scipy.optimize import linear_sum_assignment

from invbench import published
from invbench.networks import orlib
from invbench.networks.facilities import Facilities, create
from invbench.planners import lagrangean, start, strategic
from invbench.planners.checker import check
from invbench.planners.solve import Infeasible, highs

REAL_DATA = Path(__file__).resolve().parents[1] / "../shared/data/networks"


def real(name):
    path = REAL_DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not in ../shared/data/networks")
    (made,) = orlib.load(path=str(path))
    return made


# brute force


@st.composite
def tiny(draw):
    """At most four sites and four customers; whole units, so that a best plan serves whole units."""
    sites, customers = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    whole = lambda low, high, *shape: np.array(  # noqa: E731
        draw(st.lists(st.integers(low, high), min_size=math.prod(shape), max_size=math.prod(shape)))
    ).reshape(shape)
    cost = whole(0, 30, sites, customers).astype(float)
    cost[whole(0, 9, sites, customers) == 0] = math.inf  # a link in ten is missing
    capacity = whole(0, 12, sites).astype(float) if draw(st.booleans()) else np.full(sites, math.inf)
    count = draw(st.none() | st.integers(1, sites))
    return create(
        name="tiny", demand=whole(0, 6, customers), capacity=capacity, fixed=whole(0, 40, sites), cost=cost, distance=cost,
        count=count,
    )  # fmt: skip


def best(facilities: Facilities, options: strategic.Strategic, asked=lambda opened: True) -> float:
    """The least cost over all sets of sites, or those that are asked for; inf if none is feasible."""
    found = math.inf
    for opened in product([False, True], repeat=facilities.shape[0]):
        opened = np.array(opened)
        if not asked(opened):
            continue
        spent = facilities.fixed[opened].sum()
        if facilities.count not in (None, opened.sum()) or (options.budget is not None and spent > options.budget):
            continue
        cost = facilities.cost[opened]
        if options.radius is not None:
            cost = np.where(facilities.distance[opened] > options.radius, math.inf, cost)
        serve = one_site_each if options.single_source else unit_by_unit
        found = min(found, spent + serve(cost, facilities.demand, facilities.capacity[opened])) if opened.any() else found
    return found


def one_site_each(cost, demand, capacity):
    """Every way to give each customer a site."""
    customers, found = np.arange(len(demand)), math.inf
    for chosen in product(range(len(cost)), repeat=len(demand)):
        loads = np.bincount(chosen, weights=demand, minlength=len(cost))
        if (loads <= capacity).all():
            found = min(found, cost[np.array(chosen), customers].sum())
    return found


def unit_by_unit(cost, demand, capacity):
    """The assignment of single units of demand to single units of capacity; a customer without demand costs its cheapest way."""
    whom = np.repeat(np.arange(len(demand)), demand.astype(int))
    where = np.repeat(np.arange(len(cost)), np.minimum(capacity, demand.sum()).astype(int))
    nothing = cost[:, demand == 0].min(0).sum()
    if len(where) < len(whom):
        return math.inf
    each = cost[np.ix_(where, whom)] / demand[whom]
    try:
        return nothing + each[linear_sum_assignment(each)].sum()
    except ValueError:  # some unit can be served from nowhere
        return math.inf


OPTIONS = st.booleans(), st.none() | st.integers(0, 60), st.none() | st.integers(5, 25)


@settings(max_examples=250, deadline=None)
@given(tiny(), st.sampled_from(["always", "never"]), *OPTIONS)
def test_plans_cost_what_brute_force_finds(facilities, search, single_source, budget, radius):
    options = planner(search, single_source=single_source, budget=budget, radius=radius)
    least = best(facilities, options)
    try:
        plan = options.plan(facilities)
    except Infeasible as refusal:
        assert least == math.inf and "feasible" in str(refusal)
        return
    assert plan.solution.objective == pytest.approx(least, abs=1e-6) and plan.solution.status == "optimal"
    assert check(plan, facilities, options) == []


@settings(max_examples=150, deadline=None)
@given(tiny(), st.integers(0, 2**32 - 1))
def test_sites_and_links_are_ruled_out_only_where_every_plan_with_them_costs_more(facilities, seed):
    """At the cost of the best plan that opens a site, closes it, or uses a link, none of these is out."""
    options = planner()
    try:
        within = strategic.reachable(facilities, None)
    except Infeasible:
        return
    prices = np.random.default_rng(seed).uniform(0, 60, facilities.shape[1])
    for bound in (lagrangean.Steps(within).run(best(within, options)), lagrangean.relaxed(within, prices)):
        for site in range(facilities.shape[0]):
            with_it, without_it = (best(within, options, lambda opened: opened[site] == there) for there in (True, False))
            assert lagrangean.left(within, bound, with_it).maybe[site]
            assert not lagrangean.left(within, bound, without_it).must[site] or without_it == math.inf
            for customer in np.flatnonzero(np.isfinite(within.cost[site])):
                only = within.cost.copy()
                only[np.arange(len(only)) != site, customer] = math.inf
                assert lagrangean.left(within, bound, best(replace(within, cost=only), options)).links[site, customer]


# two solvers, and what is found without any

MEDIUM = [
    ("uncapacitated", generate(30, 60, 1), {}),
    ("p-median", generate(40, 40, 2, count=5), {}),
    ("radius", generate(30, 60, 3), {"radius": 35}),
    ("capacitated", generate(15, 40, 4, tightness=3), {}),
    ("budget", generate(15, 40, 5, tightness=5), {"budget": 4500}),
    ("single source", generate(8, 24, 6, tightness=3), {"single_source": True}),
]


@pytest.mark.parametrize("facilities, given", [case[1:] for case in MEDIUM], ids=[case[0] for case in MEDIUM])
def test_scip_and_highs_agree_with_the_search_and_without(facilities, given):
    plain = planner("never", **given)
    posed = plain.posed(facilities)
    plan, searched = plain.solve(posed), planner("always", **given).plan(facilities)
    other = highs(posed.model)
    assert plan.solution.objective == pytest.approx(other.objective, rel=1e-8)
    assert searched.solution.objective == pytest.approx(other.objective, rel=1e-8)
    assert {plan.solution.status, searched.solution.status, other.status} == {"optimal"}
    assert check(plan, facilities, plain) == check(searched, facilities, plain) == []
    for solution in (plan.solution, searched.solution, other):
        assert solution.bound <= solution.objective and solution.gap < 1e-8 and solution.seconds > 0


@pytest.mark.parametrize("facilities, given", [case[1:] for case in MEDIUM], ids=[case[0] for case in MEDIUM])
def test_no_price_gives_a_bound_above_the_optimum_and_nothing_of_a_best_plan_is_ruled_out(facilities, given):
    options = planner("never", **given)
    plan, within = options.plan(facilities), strategic.reachable(facilities, options.radius)
    least, random = plan.solution.objective, np.random.default_rng(7)
    steps = lagrangean.Steps(within)
    for bound in (
        steps.run(least),
        *(lagrangean.relaxed(within, steps.best.prices * random.uniform(0.8, 1.2)) for _ in range(5)),
    ):
        assert bound.value <= least * (1 + 1e-9)
        left = lagrangean.left(within, bound, least)
        assert left.maybe[plan.opened].all() and plan.opened[left.must].all() and left.links[plan.share > 1e-9].all()


@pytest.mark.parametrize("facilities", [case[1] for case in MEDIUM if not case[2]], ids=lambda facilities: facilities.name)
def test_the_bound_is_as_good_as_the_linear_relaxation(facilities):
    """With the total capacity; the bound takes that row or the number of sites, whichever says more, and not both."""
    model = planner("never").posed(facilities).model
    rows = tuple(rows for rows in model.rows if facilities.count or rows.kind != "number of sites")
    relaxation = highs(replace(model, whole=model.whole & False, rows=rows)).objective
    bound = lagrangean.Steps(facilities).run(planner("never").plan(facilities).solution.objective)
    assert bound.value > 0.9995 * relaxation


def test_the_bound_of_an_easy_median_problem_leaves_little_to_decide():
    facilities = generate(60, 60, 9, count=6)
    found = planner("always").posed(facilities).found
    assert found.bound <= found.served.cost <= found.bound * 1.01  # a plan and a proof within 1 %, before any solver
    assert found.left.links.sum() < 0.2 * 60 * 60
    assert planner("always").plan(facilities).solution.started


def test_exchanges_never_make_a_plan_dearer():
    facilities = generate(25, 50, 8)
    opened = start.greedy(facilities)
    better = start.interchange(facilities, opened)
    assert start.serve(facilities, better).cost <= start.serve(facilities, opened).cost
    cost = start.serve(facilities, better).cost
    for site in range(25):  # no site opened or closed alone makes it cheaper
        other = better.copy()
        other[site] ^= True
        assert not other.any() or start.serve(facilities, other).cost >= cost - 1e-9


# print

OPTIMA = {row["instance"]: float(row["published"]) for row in published.read("orlib")}


@pytest.mark.parametrize(
    "name", ["orlib_cap/cap41", "orlib_cap/cap63", "orlib_cap/cap92", "orlib_pmed/pmed1", "orlib_pmed/pmed10"]
)
def test_printed_optima(name):
    facilities = real(f"{name}.txt")
    for search in ("auto", "always"):
        plan = planner(search).plan(facilities)
        assert plan.solution.objective == pytest.approx(OPTIMA[facilities.name], abs=0.01)
        assert plan.solution.status == "optimal" and check(plan, facilities, planner()) == []
