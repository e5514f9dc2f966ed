"""Ensembles: all ways to share out weights, orders by hand, a dominated member left out, never worse than its best member."""

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from invbench import problem as problems
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.keys import named, root
from invbench.learning.residual import Part
from invbench.methods.base_stock import BaseStock
from invbench.methods.ensemble import Ensemble, simplex, weighted
from invbench.scenarios import normal
from invbench.tuning import Budget
from invbench.types import Observation, Policy


def ignore(metrics, step):
    pass


@dataclass(frozen=True)
class Given:
    """A policy as a method."""

    policy: Any

    def fit(self, problem, key, log):
        return self.policy


def always(params, observation, key):
    return params["units"] + 0 * observation.on_hand


def up_to(params, observation, key):
    return params["level"] - observation.position


def level(*units):
    return Given(Policy({"level": jnp.asarray(units, jnp.float32)}, up_to))


def posed(fixed_order=0.0, items=1):
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=9.0, fixed_order=fixed_order, salvage=0.0)
    given = dict(information="known", history=0, window=7, horizon=60, seed=0, evaluation_seed=0)
    system = single.create(lead_time=1, backlog=False, initial_stock=100.0)
    return problems.create(normal.create(mean=50, std=10, items=items), system, cost, **given).for_fitting()


def made(**members):
    return Ensemble(members, steps=8, paths=128)


def test_the_simplex_has_every_way_once_and_the_corners_first():
    table = simplex(3, 8)
    assert len(table) == 45 == len(np.unique(table, axis=0))  # (8 + 2 over 2)
    np.testing.assert_array_equal(table.sum(1), 1)
    assert (table[:3].max(1) == 1).all() and (table[3:].max(1) < 1).all()
    with pytest.raises(ValueError, match="^method.steps must be so few that"):
        simplex(6, 20)


def ordered(units, weights, fixed):
    members = {name: Part({"units": jnp.float32(amount)}, f"{always.__module__}:always") for name, amount in units.items()}
    params = {"members": members, "weights": dict(zip(units, map(jnp.float32, weights))), "fixed": jnp.asarray([fixed])}
    nothing = jnp.zeros((0, 1))
    return float(weighted(params, Observation(jnp.zeros(1), jnp.zeros(1), nothing, nothing, 0), None)[0])


def test_orders_by_hand():
    units = {"a": 100.0, "b": 20.5, "c": -7.0}
    assert ordered(units, [0.5, 0.25, 0.25], fixed=False) == pytest.approx(50 + 5.125)  # a member that orders less than none
    assert ordered(units, [0.5, 0.25, 0.25], fixed=True) == pytest.approx(55.125 / 0.75)  # of those that order
    assert ordered(units, [0.25, 0.125, 0.625], fixed=True) == 0  # most order nothing
    assert ordered({"a": 3.0, "b": 4.0}, [0.25, 0.75], fixed=False) == 4.0  # 3.75, and all orders are whole
    assert ordered({"a": 2.5, "b": 4.0}, [1.0, 0.0], fixed=False) == 2.5  # one member alone is that member


def test_a_dominated_member_has_no_weight():
    best = BaseStock(Budget(128, 64, 2))
    policy = made(good=best, bad=level(30.0), worse=level(400.0)).fit(posed(), root(0, "any"), ignore)
    weights = {name: float(weight[0]) for name, weight in policy.params["weights"].items()}
    assert weights["good"] >= 0.875 and sum(weights.values()) == 1


def test_two_wrong_levels_make_a_right_one():
    """The best level is near 119; 90 and 150 with equal weights order up to 120."""
    policy = made(low=level(90.0), high=level(150.0)).fit(posed(), root(0, "any"), ignore)
    assert float(policy.params["weights"]["low"][0]) == pytest.approx(0.5, abs=0.13)
    paths = posed().validation_paths(128)
    earned = [float(posed().benefit(one, paths).mean()) for one in (policy, level(90.0).policy, level(150.0).policy)]
    assert earned[0] > max(earned[1:]) * 0.9 and earned[0] > max(earned[1:])


@pytest.mark.parametrize("fixed_order", [0.0, 300.0])
def test_it_is_never_worse_than_its_best_member_on_the_paths_of_the_fit(fixed_order):
    problem, key = posed(fixed_order, items=3), root(0, "any")
    members = {"low": level(100.0, 120.0, 90.0), "high": level(140.0, 110.0, 95.0), "wild": level(20.0, 300.0, 100.0)}
    policy = made(**members).fit(problem, key, ignore)
    paths = problem.training_paths(named(key, "weights"), 128)
    together = np.asarray(problem.benefit(policy, paths)).mean(0)
    alone = np.stack([np.asarray(problem.benefit(one.policy, paths)).mean(0) for one in members.values()])
    assert (together >= alone.max(0) - 1e-3 * np.abs(alone.max(0))).all()
    assert (together > alone.max(0)).any()


def test_it_refuses_what_cannot_be_a_member():
    random = Given(Policy({"units": jnp.ones(1)}, always, random=True))
    for members, sentence in (
        (dict(a=level(1.0)), "method.members must be two methods or more, got \\['a'\\]"),
        (dict(a=level(1.0), b=random), "method.members.b must be one whose policy is for each item by itself, .*"),
        (
            dict(a=level(1.0), b=Given(level(1.0).policy._replace(window=3))),
            "method.members.b must be one that looks back .*, got 3",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{sentence}$"):
            made(**members).fit(posed(), root(0, "any"), ignore)
    with pytest.raises(ValueError, match="^method.steps must be a whole number >= 1, got 0$"):
        replace(made(a=level(1.0), b=level(2.0)), steps=0).fit(posed(), root(0, "any"), ignore)
