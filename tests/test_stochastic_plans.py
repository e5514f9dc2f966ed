"""Plans for several scenarios: the checker catches what is wrong with one, and what cannot be planned is said in one sentence."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from planning import averse, generate, under_risk

from invbench.networks.facilities import create
from invbench.planners import levels, outlook, risk
from invbench.planners.checker_stochastic import check
from invbench.planners.solve import Infeasible

SMALL = generate(8, 15, 6, tightness=2)


def shifted(plan, facilities):
    share = plan.share.copy()
    share[1, np.argmin(plan.level), 0] += 0.1
    return plan._replace(share=share)


def corrupted(**changes):
    return lambda plan, facilities: plan._replace(**{name: change(getattr(plan, name)) for name, change in changes.items()})


def claimed(**changes):
    return lambda plan, facilities: plan._replace(solution=plan.solution._replace(**changes))


@pytest.mark.parametrize(
    "corrupt, sentence",
    [
        (shifted, "customer 1 is served from site .*, which is closed"),
        (corrupted(share=lambda share: share * 1.1), "scenario .: customer .* is served 1.1 of its demand"),
        (corrupted(share=lambda share: -share), "scenario .: customer .* is served -.* of its demand"),
        (corrupted(share=lambda share: share * math.nan), "a plan must have a number for each of 5 scenarios, .*"),
        (corrupted(share=lambda share: share[1:]), "a plan must have a number for each of 5 scenarios, .*"),
        (corrupted(level=lambda level: level * 3), "a level must be a whole number from 0 to 2, got .*"),
        (corrupted(level=lambda level: np.minimum(level, 1)), "scenario .: site .* serves .* units, its capacity is .*"),
        (corrupted(level=lambda level: np.maximum(level, 1)), "the objective is said to be .*, the plan costs .*"),
        (corrupted(cost=lambda cost: cost * 1.01), "scenario 1 is said to cost .*, it costs .*"),
        (claimed(objective=1.0), "the objective is said to be 1, the plan costs .*"),
        (claimed(bound=1e9), "the bound 1000000000 is above the cost .*"),
        (claimed(bound=0.0), "the plan is called optimal, and 100.00% of its cost is not proved"),
    ],
)  # fmt: skip
def test_the_checker_catches_a_corrupted_plan(corrupt, sentence):
    options = under_risk(levels=levels.create(capacity=[0.5, 1.5], fixed=[0.6, 1.2]), risk=averse(0.5, 0.5), worth=False)
    scenarios, plan = options.scenarios.of(SMALL), options.plan(SMALL)
    assert (plan.level == 2).any() and check(plan, SMALL, options, scenarios) == []
    faults = check(corrupt(plan, SMALL), SMALL, options, scenarios)
    assert any(re.fullmatch(sentence, fault) for fault in faults), faults


@pytest.mark.parametrize(
    "changed, given, sentence",
    [
        ({"count": 8}, {}, ".* sites are open, and 8 are asked for"),
        ({}, {"budget": 1.0}, "open sites cost .*, the budget is 1"),
        ({}, {"radius": 1.0}, "customer .* is served from site .*, which is .* away, and radius is 1"),
        ({"cost": np.full((8, 15), math.inf)}, {}, "customer 1 is served from site .*, which cannot serve it"),
        ({}, {"penalty": 1e6}, "scenario 1 is said to cost .*"),
        ({}, {"risk": averse(1.0, 0.9)}, "the objective is said to be .*"),
    ],
)
def test_the_checker_holds_a_plan_to_the_options(changed, given, sentence):
    options = under_risk(worth=False)
    plan, scenarios = options.plan(SMALL), options.scenarios.of(SMALL)
    faults = check(plan, replace(SMALL, **changed), under_risk(**given), scenarios)
    assert any(re.fullmatch(sentence, fault) for fault in faults), faults


# no plan, and what makes no sense

LINE = create(name="line", demand=[5.0, 5.0], capacity=6, fixed=10, cost=[[1.0, math.inf], [3.0, math.inf]])
TWO = replace(LINE, cost=np.ones((2, 2)), count=2)


@pytest.mark.parametrize("solver", ["extensive", "benders"])
@pytest.mark.parametrize(
    "facilities, options, sentence",
    [
        (LINE, {}, "no plan of line is feasible: no site reaches customer 2"),
        (
            TWO,
            {"budget": 15},
            "line: no plan is feasible, these constraints cannot hold together: budget <= 15; number of sites = 2",
        ),
    ],
)
def test_where_no_plan_is_feasible_one_sentence_says_what_conflicts(facilities, options, sentence, solver):
    with pytest.raises(Infeasible, match=f"^{sentence}$"):
        under_risk(solver=solver, **options).plan(facilities)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: under_risk(penalty=-1), "planner.penalty must be a number >= 0, got -1"),
        (lambda: under_risk(solver="dp"), "planner.solver must be one of auto, extensive, benders, got 'dp'"),
        (lambda: under_risk(budget=-1), "planner.budget must be a number >= 0, got -1"),
        (lambda: under_risk(worth="no"), "planner.worth must be true or false, got 'no'"),
        (lambda: averse(2, 0.9), "planner.risk.weight must be a number >= 0 and <= 1, got 2"),
        (lambda: averse(1, 1.0), "planner.risk.alpha must be a number >= 0 and < 1, got 1"),
        (lambda: risk.create(kind="var"), "planner.risk.kind must be one of neutral, cvar, got 'var'"),
        (lambda: levels.create(capacity=[1, 0.5]), "planner.levels.capacity must be rising from size to size, got [1, 0.5]"),
        (lambda: levels.create(capacity=[1, 2]), "planner.levels.fixed must be one share for each of 2 sizes, got [1.0]"),
        (lambda: levels.create(capacity=[]), "planner.levels.capacity must be at least one size, got []"),
        (
            lambda: outlook.given(shares=[1, 2], probability=[0.5, 0.4]),
            "planner.scenarios.probability must be numbers that sum to 1, got [0.5, 0.4]",
        ),
        (
            lambda: outlook.given(shares=[1, 2], probability=[1.0]),
            "planner.scenarios.probability must be one number for each of 2 scenarios, got [1.0]",
        ),
        (
            lambda: outlook.given(shares=[-1], probability=[1.0]).of(TWO),
            "planner.scenarios.demand must be >= 0, got -5.0",
        ),
        (
            lambda: outlook.given(shares=[[1, 2, 3]], probability=[1.0]).of(TWO),
            "planner.scenarios.shares must be one share a scenario, or one for each of 2 customers, got [[1, 2, 3]]",
        ),
        (
            lambda: outlook.scenarios(replace(TWO, demand=np.zeros(2)), np.ones((1, 2)), [1.0]),
            "planner.scenarios.demand must be 0 for customers to whom the network has no demand, got ['1', '2']",
        ),
        (
            lambda: outlook.drawn(count=0, variation=1, common=0, seed=0),
            "planner.scenarios.count must be a whole number >= 1, got 0",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(make, sentence):
    with pytest.raises(ValueError, match=f"^{re.escape(sentence)}$"):
        make()


def test_drawn_scenarios_have_the_mean_variation_and_correlation_that_are_asked_for():
    facilities = create(name="many", demand=[10.0, 20.0], capacity=1, fixed=0, cost=np.ones((1, 2)))
    found = outlook.drawn(count=40_000, variation=0.5, common=0.6, seed=1).of(facilities).demand / facilities.demand
    np.testing.assert_allclose(found.mean(0), 1, atol=0.01)  # 4 standard errors of 0.5 / 200
    np.testing.assert_allclose(found.std(0), 0.5, atol=0.02)
    assert np.corrcoef(np.log(found).T)[0, 1] == pytest.approx(0.6, abs=0.015)
