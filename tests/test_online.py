"""The level of demand followed path by path: shifts found, stock-outs seen through; and what an adapting learner makes of it."""

from dataclasses import dataclass, replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import problem as problems
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.keys import root
from invbench.learning.level import Rules, begun, demanded, follow
from invbench.methods.base_stock import BaseStock
from invbench.methods.online import Online
from invbench.scenarios import normal, poisson, shifted
from invbench.studies.online import AfterShift
from invbench.tuning import Budget

RULES = Rules(jnp.full(1, 0.2), jnp.full(1, 1.5), jnp.full(1, 5.0), jnp.full(1, 180.0))
ONLINE = Online(BaseStock(Budget(128, 64, 2)), shift=1.5, alarm=5, memory=180, trust=60)
AT = 30


def ignore(metrics, step):
    pass


def followed(ratios, out=None, trust=60.0):
    """The level after ratios [period] (or [period, path])."""
    ratios = jnp.asarray(ratios, jnp.float32)
    ratios = ratios[..., None]
    out = jnp.zeros(ratios.shape, bool) if out is None else jnp.asarray(out)[..., None]
    return follow(RULES, begun(1, trust), ratios, out)


def test_the_level_is_a_running_mean_by_hand():
    """(60 x 1 + 1.1) / 61; then (61 x that + 1.1) / 62."""
    level = followed([1.1, 1.1])
    assert float(level.mean[0]) == pytest.approx((60 + 2.2) / 62, rel=1e-5)
    assert float(level.count[0]) == 62


def test_an_alarm_by_hand_starts_the_mean_anew_where_the_sum_began():
    """A surprise of about 3 standard deviations adds 3 - 1.5 / 2 = 2.25: above 5 with the third."""
    level = followed([1.0, 1.0, 1.6, 1.6])
    assert float(level.high.height[0]) > 4
    level = followed([1.0, 1.0, 1.6, 1.6, 1.63])
    assert float(level.mean[0]) == pytest.approx((1.6 + 1.6 + 1.63) / 3, rel=1e-5)
    assert float(level.count[0]) == 3 and float(level.high.height[0]) == 0


@pytest.mark.parametrize("shift", [-0.3, 0.3, 0.6])
def test_a_shift_is_found_and_chance_is_not(shift):
    random = np.random.default_rng(0)
    noise = 1 + 0.2 * random.normal(size=(60, 500))
    steady = followed(noise)
    assert np.abs(np.asarray(steady.mean) - 1).mean() < 0.03
    moved = np.asarray(follow(RULES, steady, jnp.asarray((1 + shift) * noise[..., None]), jnp.zeros((60, 500, 1), bool)).mean)
    assert np.median(moved) == pytest.approx(1 + shift, abs=0.03)
    assert (np.abs(moved - 1 - shift) < 0.15).mean() > 0.95


def test_demand_that_all_stock_met_is_the_mean_of_what_is_no_less():
    mean, spread, stock = 1.0, 0.2, np.array([0.8, 1.0, 1.3])
    found = demanded(mean, spread, jnp.asarray(stock), jnp.asarray([True, True, True]))
    expected = stats.truncnorm.mean((stock - mean) / spread, np.inf, mean, spread)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    np.testing.assert_array_equal(demanded(mean, spread, jnp.asarray(stock), jnp.zeros(3, bool)), jnp.asarray(stock))


def test_a_rise_that_stock_hides_is_found():
    """Sales never go above 1.05 times what was expected: their mean would say so, and demand is half as much again."""
    demand = 1.5 * (1 + 0.2 * np.random.default_rng(0).normal(size=(90, 200)))
    sold = np.minimum(demand, 1.05)
    seen, blind = followed(sold, sold < demand).mean, followed(sold).mean
    assert np.median(blind) < 1.1 < 1.25 < np.median(seen) < 1.75


@lru_cache
def posed(shift=0.0, items=1, backlog=False, lead_time=2, whole=False):
    scenario = poisson.create(mean=20.0, items=items) if whole else normal.create(mean=50, std=10, items=items)
    cost = CostModel(price=20.0, purchase=10.0, holding=2.0, shortage=10.0, fixed_order=0.0, salvage=0.0)
    given = dict(information="known", history=0, window=14, horizon=120, seed=0, evaluation_seed=0)
    system = single.create(lead_time=lead_time, backlog=backlog, initial_stock=None)
    truth = shifted.create(base=scenario, shift=shift, at=AT, items=items)
    return problems.create(scenario, system, cost, **given, judged_on=truth)


def orders(problem, policy, paths):
    return np.asarray(problem.simulate(policy, paths).ordered)


@pytest.mark.parametrize("lead_time, backlog", [(0, False), (1, False), (2, False), (2, True)])
def test_it_follows_a_shift_and_the_learner_alone_does_not(lead_time, backlog):
    problem = posed(0.4, items=2, backlog=backlog, lead_time=lead_time)
    paths = problem.evaluation_paths(64)
    alone = ONLINE.learner.fit(problem.for_fitting(), root(0, "alone"), ignore)
    flows = [problem.simulate(one, paths) for one in (ONLINE.around(problem.for_fitting(), alone, root(0, "any")), alone)]
    missed = [float(np.asarray(one.missed)[:, 90:].sum() / np.asarray(one.demand)[:, 90:].sum()) for one in flows]
    assert missed[0] < 0.5 * missed[1]
    earned = [np.asarray(problem.benefit(one, paths)).sum(1) for one in (ONLINE.around(problem, alone, root(0, "any")), alone)]
    assert (earned[0] > earned[1]).mean() > 0.9


def test_a_steady_demand_costs_next_to_nothing():
    problem = posed()
    paths = problem.evaluation_paths(256)
    alone = ONLINE.learner.fit(problem.for_fitting(), root(0, "alone"), ignore)
    earned = [problem.benefit(one, paths).mean() for one in (ONLINE.around(problem, alone, root(0, "any")), alone)]
    assert abs(float(earned[0] / earned[1]) - 1) < 0.004


def test_orders_depend_on_nothing_that_is_not_known_yet_and_on_no_other_path():
    problem = posed(0.4)
    policy = ONLINE.fit(problem.for_fitting(), root(0, "any"), ignore)
    paths = problem.evaluation_paths(8)
    later = (jnp.arange(120) >= 50)[:, None, None]
    first = orders(problem, policy, paths)
    other = orders(problem, policy, paths._replace(demand=jnp.where(later, 3 * paths.demand, paths.demand)))
    np.testing.assert_array_equal(first[:, :51], other[:, :51])
    assert (first[:, 52:] != other[:, 52:]).any()
    among = orders(problem, policy, paths._replace(demand=paths.demand.at[:, 1:].multiply(3)))
    np.testing.assert_array_equal(first[0], among[0])


def test_orders_are_whole_where_demand_is():
    problem = posed(0.4, whole=True)
    policy = ONLINE.fit(problem.for_fitting(), root(0, "any"), ignore)
    found = orders(problem, policy, problem.evaluation_paths(16))
    assert (found == np.round(found)).all() and found.max() > 0


def test_the_shifted_scenario_is_its_base_before_and_more_after():
    base = normal.create(mean=50, std=10, items=2)
    scenario = shifted.create(base=base, shift=0.5, at=10, items=2)
    one, two = (np.asarray(part.draw(jax.random.key(0), 3, 20, 5)) for part in (base, scenario))
    np.testing.assert_array_equal(one[:5], two[:5])
    np.testing.assert_allclose(1.5 * one[5:], two[5:], rtol=1e-6)
    with pytest.raises(ValueError, match="^scenario.shift must be a number >= -0.99, got -1$"):
        shifted.create(base=base, shift=-1, at=10, items=2)
    with pytest.raises(ValueError, match="^scenario.items must be 2, as scenario.base has, got 3$"):
        shifted.create(base=base, shift=0.1, at=10, items=3)


def test_days_until_back_by_hand():
    study = AfterShift({}, None, "", shift=0.3, at=2, horizon=10, paths=2, days=2, within=0.02)
    least = np.full((1, 10), 100.0)
    cost = np.array([[100, 100, 200, 150, 120, 101, 100, 100, 100, 100.0]])
    # days 3 and 4 after the shift cost 101 and 100: 0.5 % more; the days before 120 and 101: 10.5 %
    assert study.until(cost, least) == 3
    assert study.until(cost + 10, least) == 7  # never: of 8 days, 7 pairs
    assert study.until(-cost, -least) == 0  # earning more than asked


@dataclass(frozen=True)
class Rolling:
    """A method whose policy is revised: none that another can go around."""

    def fit(self, problem, key, log):
        return ONLINE.fit(problem, key, log)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(shift=0), "method.shift must be a number > 0, got 0"),
        (dict(alarm=-1), "method.alarm must be a number > 0, got -1"),
        (dict(memory=0), "method.memory must be a whole number >= 1, got 0"),
        (dict(learner=Rolling()), "method.learner must be one whose policy is for each item by itself, .*, got 'order_by_level'"),
    ],
)
def test_it_refuses_what_makes_no_sense(changes, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}$"):
        replace(ONLINE, **changes).fit(posed().for_fitting(), root(0, "any"), ignore)
