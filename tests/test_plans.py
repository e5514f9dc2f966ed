"""Solvers and plans: what the checker catches, what conflicts where nothing is feasible, and what a limit leaves open."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from planning import generate, planner
from scipy import sparse

from invbench.networks.facilities import create
from invbench.planners.checker import check
from invbench.planners.solve import Infeasible, Limits, Model, NoPlan, Rows, highs, limits, scip

# the checker

SMALL = generate(8, 20, 11, tightness=3)


def moved(plan, facilities):
    """A customer served from a closed site instead."""
    share = plan.share.copy()
    share[:, 0] = np.where(np.arange(len(plan.opened)) == np.flatnonzero(~plan.opened)[0], 1, 0)
    return plan._replace(share=share)


def without(plan, facilities):
    """A customer not served."""
    share = plan.share.copy()
    share[:, 3] = 0
    return plan._replace(share=share)


def overfull(plan, facilities):
    """Everyone served from one open site."""
    return plan._replace(share=np.outer(np.arange(len(plan.opened)) == np.flatnonzero(plan.opened)[0], np.ones(20)))


def negative(plan, facilities):
    share = plan.share.copy()
    share[:2, 0] = [-0.5, 1.5]
    share[2:, 0] = 0
    return plan._replace(share=share)


def claimed(**claims):
    return lambda plan, facilities: plan._replace(solution=plan.solution._replace(**claims))


@pytest.mark.parametrize(
    "corrupt, sentence",
    [
        (moved, "customer 1 is served from site .*, which is closed"),
        (without, "customer 4 is served 0 of its demand"),
        (overfull, "site .* serves .* units, its capacity is .*"),
        (negative, "customer 1 is served 1 of its demand"),
        (lambda plan, facilities: plan._replace(opened=plan.opened[:-1]), "a plan must have a number for each of 8 sites .*"),
        (lambda plan, facilities: plan._replace(share=plan.share * math.nan), "a plan must have a number for each of 8 sites .*"),
        (lambda plan, facilities: plan._replace(opened=plan.opened | True), "the objective is said to be .*, the plan costs .*"),
        (claimed(objective=1.0, bound=1.0), "the objective is said to be 1, the plan costs .*"),
        (claimed(bound=1e9), "the bound 1000000000 is above the cost .*"),
        (claimed(bound=0.0), "the plan is called optimal, and 100.00% of its cost is not proved"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_checker_catches_a_corrupted_plan(corrupt, sentence):
    plan = planner().plan(SMALL)
    assert check(plan, SMALL, planner()) == []
    faults = check(corrupt(plan, SMALL), SMALL, planner())
    assert any(re.fullmatch(sentence, fault) for fault in faults), faults


@pytest.mark.parametrize(
    "changed, options, sentence",
    [
        ({"count": 8}, {}, ".* sites are open, and 8 are asked for"),
        ({}, {"budget": 1.0}, "open sites cost .*, the budget is 1"),
        ({}, {"radius": 1.0}, "customer .* is served from site .*, which is .* away, and radius is 1"),
        ({}, {"single_source": True}, "customer .* is served from 2 sites, and single_source asks for one"),
        ({"cost": np.full((8, 20), math.inf)}, {}, "customer 1 is served from site .*, which cannot serve it"),
    ],
    ids=["count", "budget", "radius", "single source", "no link"],
)
def test_the_checker_holds_a_plan_to_the_options(changed, options, sentence):
    faults = check(planner().plan(SMALL), replace(SMALL, **changed), planner(**options))
    assert any(re.fullmatch(sentence, fault) for fault in faults), faults


# no plan, and limits

LINE = np.abs(np.arange(6)[:, None] - np.arange(6)) * 10.0
ROAD = create(name="road", demand=np.ones(6), capacity=math.inf, fixed=0, cost=LINE, distance=LINE, count=2, unit="km")
LAST = create(name="last", demand=1, capacity=math.inf, fixed=0, cost=LINE[:1], distance=LINE[:1], unit="km")
FOUR = create(name="four", demand=[10] * 4, capacity=[15] * 5, fixed=[3] * 5, cost=np.ones((5, 4)))
NONE = "no plan of four is feasible"
REFUSED = "no plan is feasible, these constraints cannot hold together"


@pytest.mark.parametrize("search", ["always", "never"])
@pytest.mark.parametrize(
    "facilities, options, sentence",
    [
        (replace(FOUR, capacity=np.full(5, 7.0)), {}, f"{NONE}: the capacity of all sites is 35, demand is 40"),
        (replace(FOUR, cost=FOUR.cost * math.inf), {}, f"{NONE}: no site reaches customer 1, 2, 3 and 1 more"),
        (LAST, {"radius": 40}, "no plan of last is feasible: no site reaches customer 6 within 40 km"),
        (ROAD, {"radius": 9}, f"road: {REFUSED}: number of sites = 2; service of customer .*"),
        (replace(FOUR, count=2), {}, f"four: {REFUSED}: number of sites = 2, >= 3, as demand needs"),
        (FOUR, {"budget": 8}, f"four: {REFUSED}: budget <= 8; number of sites >= 3, as demand needs"),
        (create(name="two", demand=[6] * 3, capacity=[10, 10], fixed=0, cost=np.ones((2, 3))), {"single_source": True},
         f"two: {REFUSED}: capacity of site 1, 2; service of customer 1, 2, 3"),
    ],
    ids=["capacity", "unreachable", "beyond the radius", "radius", "count", "budget", "single source"],
)  # fmt: skip
def test_where_no_plan_is_feasible_one_sentence_says_what_conflicts(facilities, options, sentence, search):
    with pytest.raises(Infeasible, match=f"^{sentence}$"):
        planner(search, **options).plan(facilities)


def test_the_conflict_is_one_and_without_any_part_of_it_there_is_a_plan():
    with pytest.raises(Infeasible) as refusal:
        planner(radius=9).plan(ROAD)
    named = [int(text) - 1 for text in re.findall(r"\d+", str(refusal.value).split("customer")[1])]
    assert len(named) == 3  # each site serves itself alone, so three customers are too many for two sites
    assert planner(radius=9).plan(replace(ROAD, count=6)).solution.objective == 0


HARD = generate(15, 40, 15, tightness=4)  # takes nine nodes
SHARES = np.random.default_rng(1).integers(10**4, 10**5, 30).astype(float)
PACKED = create(name="packed", demand=SHARES, capacity=SHARES.sum() / 3 + 1, fixed=[1] * 3, cost=np.ones((3, 30)))


def test_a_limit_without_a_plan_is_said():
    """Thirty customers that fill three sites to the last unit: no plan is found where the search begins."""
    with pytest.raises(NoPlan, match="^no plan of packed was found within limits.nodes = 1; every plan costs at least 33$"):
        planner("never", nodes=1, single_source=True).plan(PACKED)


def test_a_limit_with_a_plan_shows_what_is_not_proved():
    least = planner("never").plan(HARD).solution.objective
    for options in (planner("always", gap=0.2), planner("never", nodes=1)):
        plan = options.plan(HARD)
        assert plan.solution.status in ("gap limit", "node limit") and plan.solution.gap > 1e-6
        assert plan.solution.bound <= least * (1 + 1e-9) and least <= plan.solution.objective * (1 + 1e-9)
        assert check(plan, HARD, options) == []
    stopped = highs(planner("never").posed(HARD).model, limits(gap=0.2))
    assert stopped.status == "gap limit" and 1e-6 < stopped.gap <= 0.2
    assert stopped.bound <= least <= stopped.objective * (1 + 1e-9)


def test_a_plan_is_no_dearer_than_the_one_that_the_solver_starts_from():
    found, model = planner("always").posed(HARD).found, planner("never").posed(HARD).model
    first = np.r_[found.opened, found.served.share.ravel()]  # the model with all links, site by site
    started, without = (scip(model, Limits(nodes=1), given) for given in (first, None))
    assert started.started and not without.started
    assert started.objective <= found.served.cost * (1 + 1e-9) < without.objective


def test_an_infeasible_start_is_not_taken():
    """Of two binaries one is to be chosen; the start chooses none, and would cost nothing."""
    row = Rows("one", sparse.csr_array(np.ones((1, 2))), np.ones(1), np.ones(1), ("",))
    model = Model(np.array([3.0, 2.0]), np.zeros(2), np.ones(2), np.ones(2, bool), (row,))
    assert model.violation(np.zeros(2)) == 1 and model.violation(np.array([0, 1.0])) == 0
    assert model.violation(np.array([0.5, 0.5])) == 0.5 and model.violation(np.array([2.0, -1.0])) == 1
    for first, feasible in ((np.zeros(2), False), (np.array([1.0, 0.0]), True), (None, False)):
        found = scip(model, Limits(), first)
        assert found.started == feasible and found.objective == highs(model).objective == 2


@pytest.mark.parametrize("low, high, least", [(-np.inf, 5, -5), (2, 5, -5), (2, np.inf, -12), (3.5, 3.5, -3.5), (3.2, 3.7, -3.7)])
def test_rows_hold_from_both_sides_in_both_solvers(low, high, least):
    """x + y <= 12 by their ranges; the row bounds the sum, and -(x + y) is minimised: x is whole, y is not."""
    row = Rows("sum", sparse.csr_array(np.ones((1, 2))), np.array([low]), np.array([high]), ("",))
    for sign in (-1.0, 1.0):
        model = Model(np.full(2, sign), np.zeros(2), np.array([9, 3.0]), np.array([True, False]), (row,))
        for solver in (scip, highs):
            assert solver(model).objective == pytest.approx(least if sign < 0 else max(low, 0))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: limits(nodes=0), "limits.nodes must be a whole number >= 1, got 0"),
        (lambda: limits(gap=-0.1), "limits.gap must be a number >= 0 and <= 1, got -0.1"),
        (lambda: planner(budget=-1), "planner.budget must be a number >= 0, got -1"),
        (lambda: planner(radius="far"), "planner.radius must be a number >= 0, got 'far'"),
        (lambda: planner(single_source=1), "planner.single_source must be true or false, got 1"),
        (lambda: planner("maybe"), "planner.search must be one of auto, always, never, got 'maybe'"),
        (lambda: planner(radius=5).plan(FOUR), "planner.radius must be null where a network has no distances, got 5.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()
