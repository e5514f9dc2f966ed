"""One network for every setting: what it is told, and that a problem at hand changes nothing of what was learned."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import made, posed

from invbench.dynamics import single
from invbench.keys import root
from invbench.learning import settings
from invbench.methods.base_stock import BaseStock
from invbench.scenarios import autoregressive, poisson
from invbench.tuning import Budget

RANGES = {"_target_": "invbench.learning.settings.create", "lead_times": [0, 2], "shortages": [4, 20], "cvs": [0.2, 1]}
RANGES |= {"means": [3, 20]}
SMALL = dict(ranges=RANGES, forecast=None, lanes=32, updates=400, hidden=[16], seeds=1, validation_periods=60)


def problem_of(mean=5.0, lead_time=1, shortage=9.0, **prices):
    system = single.create(lead_time=lead_time, backlog=False, initial_stock=2 * mean)
    return posed(poisson.create(mean=mean, items=1), system, shortage=shortage, **prices)


@pytest.fixture(scope="module")
def trained():
    method = made("generalist", **SMALL)
    return method, method.trained(root(0, "g"), lambda metrics, step: None)


def worth(problem, policy):
    return float(np.asarray(problem.benefit(policy, problem.validation_paths(500)), np.float64).mean())


def test_settings_lie_within_their_ranges_and_half_are_gamma():
    ranges = settings.create(lead_times=[0, 2], shortages=[4, 20], cvs=[0.2, 1], means=[3, 20])
    found = ranges.drawn(np.random.default_rng(0), np.zeros(4000, int))
    assert found.shortage.min() >= 4 and found.shortage.max() <= 20
    assert abs(np.median(found.shortage) - np.sqrt(80)) < 0.5  # logarithmically uniform
    counted = found.whole
    assert 0.45 < counted.mean() < 0.55
    assert (found.mean[~counted] == 1).all() and found.mean[counted].min() >= 3 and found.mean[counted].max() <= 20
    assert found.cv[~counted].min() >= 0.2 and found.cv.max() <= 1


def test_demand_of_a_setting_has_its_mean_and_spread():
    given = settings.Settings(*(np.asarray([value]) for value in (9.0, 8.0, 0.5, True, 1)))
    drawn = np.asarray(settings.varied(given).draw(jax.random.key(0), 4000, 5, 0))
    assert drawn.mean() == pytest.approx(8, rel=0.02) and drawn.std() / drawn.mean() == pytest.approx(0.5, rel=0.03)
    np.testing.assert_array_equal(drawn, np.round(drawn))


def test_one_network_is_near_or_better_than_the_best_level_of_settings_it_never_saw(trained):
    """Cost beside the tuned level's: within 1.5 % at lead time 0 (where a level is optimal), 1 % better or more at 2."""
    method, layers = trained
    for lead_time, most in ((0, 1.015), (2, 0.99)):
        for mean, shortage in ((4.0, 5.0), (12.0, 15.0)):
            problem = problem_of(mean, lead_time, shortage)
            ours = worth(problem, method.told(problem, layers, root(0, "t"), lambda metrics, step: None))
            level = BaseStock(Budget(500, 64, 2)).fit(problem, root(0, "b"), lambda metrics, step: None)
            assert -ours < most * -worth(problem, level)


def test_dearer_shortages_are_met_with_more_stock_by_the_same_layers(trained):
    method, layers = trained
    held = []
    for weight in (0.5, 1.0, 3.0):
        problem = problem_of()
        policy = replace(method, weight=weight).told(problem, layers, root(0, "t"), lambda metrics, step: None)
        for leaf, other in zip(jax.tree.leaves(policy.params.layers), jax.tree.leaves(layers)):
            np.testing.assert_array_equal(leaf, other)
        flows = problem.simulate(policy, problem.validation_paths(100))
        held.append(float(np.asarray(flows.held).mean()))
        np.testing.assert_array_equal(flows.ordered, jnp.round(flows.ordered))
    assert held[0] < held[1] < held[2]


def test_units_do_not_matter_where_demand_is_not_whole(trained):
    """Ten times the demand: ten times the orders."""
    method, layers = trained
    ordered = []
    for unit in (1.0, 10.0):
        system = single.create(lead_time=1, backlog=False, initial_stock=20 * unit)
        problem = posed(autoregressive.create(mean=10.0 * unit, cv=0.3, correlation=0.0, items=1), system)
        policy = method.told(problem, layers, root(0, "t"), lambda metrics, step: None)
        ordered.append(np.asarray(problem.simulate(policy, problem.validation_paths(8)).ordered) / unit)
    np.testing.assert_allclose(ordered[1], ordered[0], rtol=2e-2, atol=0.05)


@pytest.mark.parametrize(
    "problem, fields, sentence",
    [
        (problem_of(lead_time=5), {}, "system.lead_time must be within method.ranges.lead_times"),
        (problem_of(), {"weight": 0}, "method.weight must be a number > 0, got 0"),
        (problem_of(), {"updates": 0}, "method.updates must be a whole number >= 1, got 0"),
        (replace(problem_of(), system=single.create(lead_time=1, backlog=True)), {}, "system.backlog must be false"),
    ],
)
def test_bad_input(problem, fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        made("generalist", **SMALL | fields).fit(problem, root(0, "g"), lambda metrics, step: None)
