"""Methods around methods: an ensemble's weights, one step ahead of a rule, a learner whose units follow the level."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import ignore, made, posed

from invbench.dynamics import single
from invbench.keys import named, root
from invbench.learning.level import Rules, begun, follow
from invbench.methods.ensemble import Ensemble, simplex
from invbench.methods.model_predictive import ModelPredictive
from invbench.methods.online import Online
from invbench.scenarios import poisson, shifted
from invbench.types import Policy

FORECAST = {"_target_": "invbench.forecasts.moving_average.MovingAverage", "periods": 14}
TUNING = {"_target_": "invbench.tuning.budget", "paths": 200, "candidates": 64, "rounds": 3}


def problem_of(scenario, fixed=0.0, lead_time=1, backlog=False, window=14):
    system = single.create(lead_time=lead_time, backlog=backlog, initial_stock=20.0)
    return replace(posed(scenario, system, fixed_order=fixed, price=5.0), window=window)


class Given:
    """A method that is fitted already."""

    def __init__(self, level):
        self.level = level

    def fit(self, problem, key, log):
        return Policy({"level": jnp.full(1, self.level)}, up_to)


def up_to(params, observation, key):
    return params["level"] - observation.position


# ---- ensemble


def test_all_ways_to_share_out_parts_one_member_alone_first():
    table = simplex(3, 4)
    assert len(table) == 15 and len({tuple(row) for row in table}) == 15
    np.testing.assert_allclose(table.sum(1), 1)
    np.testing.assert_array_equal(np.sort(table[:3].argmax(1)), [0, 1, 2])
    assert (table[:3].max(1) == 1).all()


def worths(problem, policies, paths):
    return [float(np.asarray(problem.benefit(policy, paths), np.float64).mean()) for policy in policies]


def test_an_ensemble_is_never_worse_than_its_best_member_on_the_paths_of_its_fit():
    problem, key = problem_of(poisson.create(mean=5.0, items=1)), root(0, "e")
    methods = {"good": Given(13.0), "dear": Given(60.0), "poor": Given(4.0)}
    earned = {}
    policy = Ensemble(methods, steps=8, paths=300).fit(problem, key, lambda metrics, step: earned.update(metrics))
    weights = {name: float(part[0]) for name, part in policy.params["weights"].items()}
    assert sum(weights.values()) == pytest.approx(1) and weights["good"] >= 0.75 and weights["dear"] <= 0.125
    paths = problem.training_paths(named(key, "weights"), 300)
    alone = worths(problem, [method.fit(problem, key, ignore) for method in methods.values()], paths)
    assert earned["ensemble/benefit"] >= max(alone) - 1e-3 * abs(max(alone))


def test_two_levels_average_to_the_level_between_them():
    """Members 10 and 18 with equal weights order as 14 does, as long as both order."""
    problem = problem_of(poisson.create(mean=5.0, items=1), backlog=True)
    policy = Ensemble({"low": Given(10.0), "high": Given(18.0)}, steps=2, paths=64).fit(problem, root(0, "e"), ignore)
    half = policy._replace(params=policy.params | {"weights": {"low": jnp.full(1, 0.5), "high": jnp.full(1, 0.5)}})
    flows, middle = (
        problem.simulate(one, problem.validation_paths(4)).ordered for one in (half, Policy({"level": jnp.full(1, 14.0)}, up_to))
    )
    assert np.asarray(flows)[:, 10:].mean() == pytest.approx(np.asarray(middle)[:, 10:].mean(), rel=0.02)


def test_where_orders_have_a_fixed_cost_members_vote():
    problem = problem_of(poisson.create(mean=5.0, items=1), fixed=20.0)
    policy = Ensemble({"a": Given(10.0), "b": Given(10.0)}, steps=2, paths=64).fit(problem, root(0, "e"), ignore)
    assert bool(policy.params["fixed"][0])
    with pytest.raises(ValueError, match="method.members must be two methods or more"):
        Ensemble({"a": Given(10.0)}, steps=2, paths=64).fit(problem, root(0, "e"), ignore)
    with pytest.raises(ValueError, match="method.steps must be so few"):
        simplex(3, 100)


# ---- model predictive


def test_one_step_ahead_of_a_rule_is_not_worse_than_the_rule():
    """Planning on the real process earns at least as much as the tuned rule that it goes around, within half a per cent."""
    problem = problem_of(poisson.create(mean=5.0, items=1), lead_time=2)
    rule = made("forecast_base_stock", forecast=FORECAST, tuning=TUNING)
    planner = ModelPredictive(rule=rule, samples=64, horizon=8, candidates=6, rounds=2, reach=1.5)
    paths = problem.validation_paths(200)
    ours, theirs = worths(problem, [one.fit(problem, root(0, "m"), ignore) for one in (planner, rule)], paths)
    assert ours > theirs - 0.005 * abs(theirs)


def test_the_rule_must_be_one_that_follows_a_forecast():
    problem = problem_of(poisson.create(mean=5.0, items=1))
    planner = ModelPredictive(rule=Given(10.0), samples=8, horizon=4, candidates=2, rounds=1, reach=1.5)
    with pytest.raises(ValueError, match="method.rule must be forecast_s_S or forecast_base_stock"):
        planner.fit(problem, root(0, "m"), ignore)


# ---- online


RULES = Rules(*(jnp.asarray([value], jnp.float32) for value in (0.2, 0.5, 6.0, 180.0)))


def test_a_level_stays_where_nothing_shifts_and_is_found_anew_where_it_does():
    rng = np.random.default_rng(0)
    same = 1 + 0.2 * rng.standard_normal((200, 400, 1))
    shift = same * np.where(np.arange(200) < 100, 1, 1.3)[:, None, None]
    start = begun(1, 60)
    still, moved = (np.asarray(follow(RULES, start, jnp.asarray(ratios, jnp.float32)).mean)[:, 0] for ratios in (same, shift))
    assert abs(still.mean() - 1) < 0.02 and still.std() < 0.05
    assert abs(moved.mean() - 1.3) < 0.03
    soon = np.asarray(follow(RULES, start, jnp.asarray(shift[:115], jnp.float32)).mean)[:, 0]
    assert np.median(soon) > 1.15  # fifteen periods after it


def test_orders_follow_a_shift_of_the_level_and_only_demand_that_was_seen():
    """Demand of 20 a period that becomes 30: an order-up-to rule in units of the level has half as much again in the end."""
    before, after = np.full(40, 20.0), np.full(40, 30.0)
    demand = jnp.asarray(np.concatenate([before, after]), jnp.float32)[None, :, None]
    problem = replace(problem_of(poisson.create(mean=20.0, items=1), window=14, backlog=True), horizon=80)
    online = Online(learner=Given(60.0), slack=0.5, alarm=6.0, memory=180, trust=10)
    policy = online.fit(problem, root(0, "o"), ignore)
    other = demand.at[:, 60:].set(90.0)
    flows, changed = (np.asarray(problem.simulate(policy, paths).ordered)[0, :, 0] for paths in (demand, other))
    np.testing.assert_array_equal(flows[:61], changed[:61])  # the order of period 60 is placed before its demand is seen
    assert flows[20:40].mean() == pytest.approx(20, rel=0.02) and flows[60:].mean() == pytest.approx(30, rel=0.05)
    assert policy.every == 1


def test_a_shift_multiplies_demand_from_its_period_on():
    base = poisson.create(mean=5.0, items=2)
    shift = shifted.create(base=base, shift=0.3, at=110, items=2)
    plain, moved = (np.asarray(one.draw(jax.random.key(1), 4, 30, 100)) for one in (base, shift))
    np.testing.assert_array_equal(moved[:10], plain[:10])
    np.testing.assert_allclose(moved[10:], 1.3 * plain[10:], rtol=1e-6)
    with pytest.raises(ValueError, match="scenario.items must be 2, as scenario.base has, got 3"):
        shifted.create(base=base, shift=0.3, at=110, items=3)


@pytest.mark.parametrize("field, value", [("memory", 0), ("alarm", 0.0), ("slack", -1.0), ("trust", -1)])
def test_bad_fields_of_online(field, value):
    fields = dict(learner=Given(10.0), slack=0.5, alarm=6.0, memory=180, trust=60) | {field: value}
    with pytest.raises(ValueError, match=f"method.{field} must be"):
        Online(**fields).fit(problem_of(poisson.create(mean=5.0, items=1)), root(0, "o"), ignore)


def test_online_needs_a_window():
    with pytest.raises(ValueError, match="problem.window must be >= 1 for online"):
        Online(Given(10.0), 0.5, 6.0, 180, 60).fit(
            problem_of(poisson.create(mean=5.0, items=1), window=0), root(0, "o"), ignore
        )  # fmt: skip
