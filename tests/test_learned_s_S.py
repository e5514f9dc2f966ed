"""Learned (s, S): levels and orders of a learner, with a gap and a lot around them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import ignore, posed

from invbench.dynamics import single
from invbench.keys import root
from invbench.learning import checkpoint, levelled, lots
from invbench.methods.learned_s_S import LearnedReorderUpTo
from invbench.methods.s_S import ReorderUpTo
from invbench.scenarios import autoregressive, poisson
from invbench.tuning import Budget
from invbench.types import Policy

BUDGET = Budget(256, 256, 3)


def exact(params, observation, key):
    """What an order-up-to rule orders: the best learner there is where demand is independent and backlogged."""
    return jnp.maximum(params["level"] - observation.position, 0)


def constant(params, observation, key):
    return jnp.broadcast_to(params["units"], observation.position.shape)


class Given:
    """A learner that has learned already: orders, or levels over the base of a problem of levels."""

    def __init__(self, level, levels=False):
        self.level, self.levels, self.problem = level, levels, None

    def fit(self, problem, key, log):
        self.problem = problem
        if not self.levels:
            return Policy({"level": jnp.full(1, self.level)}, exact)
        return Policy({"units": self.level - problem.system.base}, constant)


def made(targets, level):
    return LearnedReorderUpTo(learner=Given(level), stock=Given(level, levels=True), targets=targets, tuning=BUDGET)


def backlog(fixed=0.0, lead_time=1):
    return replace(
        posed(poisson.create(mean=5.0, items=1), single.create(lead_time=lead_time, backlog=True), fixed_order=fixed),
        window=4,
    )  # fmt: skip


def test_an_order_in_a_system_of_levels_lifts_the_position_to_base_and_order():
    problem = backlog()
    inside = levelled.levelled(problem, root(0, "x"))
    assert inside.system.base == 5 and inside.system.lead_time == 1
    paths = problem.validation_paths(8)
    levels = inside.simulate(Policy({"units": jnp.full(1, 9.0)}, constant), paths)
    direct = problem.simulate(Policy({"level": jnp.full(1, 14.0)}, exact), paths)
    np.testing.assert_array_equal(levels.ordered, direct.ordered)
    np.testing.assert_array_equal(levels.held, direct.held)


@pytest.mark.parametrize("targets", [["orders"], ["levels"]])
def test_it_is_the_best_s_S_where_the_learner_knows_the_best_level(targets):
    """Zheng and Federgruen's setting of mean 5, K = 24: (s, S) is optimal; a target of 14 leaves it two numbers to find."""
    problem = backlog(fixed=24.0)
    policy = made(targets, 14.0).fit(problem, root(0, "a"), ignore)
    rule = ReorderUpTo(BUDGET).fit(problem, root(0, "a"), ignore)
    paths = problem.validation_paths(2000)
    ours, best = (float(np.asarray(problem.benefit(one, paths)).mean()) for one in (policy, rule))
    assert abs(ours / best - 1) < 0.01  # orders cannot begin above the target, and units of mean demand are rounded
    ordered = np.asarray(problem.simulate(policy, paths).ordered)
    np.testing.assert_array_equal(ordered, np.round(ordered))


def test_learners_are_told_that_orders_cost_nothing():
    method = made(["orders", "levels"], 14.0)
    method.fit(backlog(fixed=24.0), root(0, "a"), ignore)
    assert method.learner.problem.cost.fixed_order == 0 and method.stock.problem.cost.fixed_order == 0
    assert method.learner.problem.cost.shortage == 4


def test_the_better_target_is_kept():
    method = LearnedReorderUpTo(learner=Given(3.0), stock=Given(12.0, levels=True), targets=["orders", "levels"], tuning=BUDGET)
    assert "base" in method.fit(backlog(), root(0, "a"), ignore).params


def test_it_beats_the_best_s_S_where_demand_can_be_foreseen():
    """AR(1) with correlation 0.8, no fixed cost: a network that sees the last periods earns more, paired by path."""
    from probes import made as configured

    demand = autoregressive.create(mean=50.0, cv=0.3, correlation=0.8, items=1)
    problem = replace(posed(demand, single.create(lead_time=1, backlog=False, initial_stock=100.0)), window=4)
    tuning = {"_target_": "invbench.tuning.budget", "paths": 256, "candidates": 256, "rounds": 3}
    small = dict(updates=300, paths=64, seeds=1, hidden=[16], tuning=tuning)
    learner = configured("hdpo", **small, features=["on_hand", "pipeline", "history"])
    method = LearnedReorderUpTo(learner=learner, stock=learner, targets=["orders"], tuning=BUDGET)
    paths = problem.validation_paths(500)
    ours, rule = (one.fit(problem, root(0, "a"), ignore) for one in (method, ReorderUpTo(BUDGET)))
    gain = np.asarray(problem.benefit(ours, paths) - problem.benefit(rule, paths), np.float64).sum(1)
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))


def test_a_policy_can_be_saved(tmp_path):
    problem = backlog(fixed=24.0)
    method = made(["orders"], 14.0)
    learner = type("Small", (), {"fit": lambda self, problem, key, log: Policy({"level": jnp.full(1, 14.0)}, part)})()
    policy = replace(method, learner=learner).fit(problem, root(0, "a"), ignore)
    checkpoint.save(tmp_path / "policy.safetensors", policy.params, {})
    again, _ = checkpoint.load(tmp_path / "policy.safetensors", policy.params)
    for leaf, other in zip(jax.tree.leaves(policy.params), jax.tree.leaves(again)):
        np.testing.assert_array_equal(leaf, other)


def part(params, observation, key):
    return jnp.maximum(params["level"] - observation.position, 0)


@pytest.mark.parametrize("targets, sentence", [([], "a list of orders, levels, or both"), (["stock"], "method.targets")])
def test_bad_targets(targets, sentence):
    with pytest.raises(ValueError, match=sentence):
        made(targets, 14.0).fit(backlog(), root(0, "a"), ignore)


@pytest.mark.parametrize("items, horizon, expected", [(1, 365, Budget(250, 256, 4)), (1000, 90, Budget(250, 34, 2))])
def test_many_items_are_tuned_on_a_coarser_grid(items, horizon, expected):
    """1,000 items, 64 paths, 90 periods: 5.76 M calls of the network for a candidate, 4e8 / 5.76e6 / 2 = 34 in each round."""
    problem = replace(posed(poisson.create(mean=5.0, items=items), single.create(lead_time=1, backlog=True)), horizon=horizon)
    assert lots._affordable(problem, Budget(250, 256, 4)) == expected
