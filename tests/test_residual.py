"""Residual learning: no change leaves the rule as it is, any learner can be on top, and the whole policy can be saved."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from invbench import saved
from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.learning import checkpoint, residual
from invbench.methods.capped_base_stock import policy_of
from invbench.methods.eoq import economic_lot
from invbench.methods.hdpo import HDPO
from invbench.methods.residual_rl import Residual
from invbench.tuning import Budget
from invbench.types import Policy

LEARNER = HDPO(
    features=("on_hand", "pipeline"), hidden=(8,), paths=32, warm_up=0, unroll=12, tail=4, restart=0.02, updates=300,
    learning_rate=0.02, clip=1.0, fixed_width=0.5, threshold=0.6, checkpoints=2, validation_paths=128, seeds=1, fast_mode=False,
    tuning=Budget(64, 16, 1),
)  # fmt: skip
RULE = policy_of(jnp.asarray([6.0]), jnp.asarray([3.0]))  # 5.9 % above the optimum of lead_time()


class Given:
    """A method that is fitted already."""

    def __init__(self, policy):
        self.policy = policy

    def fit(self, problem, key, log):
        return self.policy


def ignore(metrics, step):
    pass


def always(params, observation, key):
    return jnp.broadcast_to(params["units"], observation.position.shape)


def adjusted(problem, rule=RULE):
    return residual.posed(problem, rule, root(0, "residual"))


def test_no_change_is_the_rule_itself():
    problem = probes.lead_time()
    posed = adjusted(problem)
    assert posed.system.neutral == 2  # mean demand
    nothing = Policy({"units": posed.system.neutral}, always)
    paths = problem.validation_paths(16)
    plain = problem.simulate(RULE, paths)
    for flows in (posed.simulate(nothing, paths), problem.simulate(residual.composed(posed, nothing), paths)):
        np.testing.assert_array_equal(flows.ordered, plain.ordered)
        np.testing.assert_array_equal(flows.held, plain.held)


@pytest.mark.parametrize("units", [0, 1, 4])
def test_a_change_is_added_and_never_lifts_stock_above_the_cap(units):
    problem = probes.lead_time()
    posed = adjusted(problem)
    policy = residual.composed(posed, Policy({"units": jnp.asarray([float(units)])}, always))
    state = problem.system.initial(jnp.zeros((0, 3, 1)), 0, 0)
    state = state._replace(on_hand=jnp.asarray([[0.0], [5.0], [100.0]]), position=jnp.asarray([[0.0], [5.0], [100.0]]))
    orders = policy.apply(policy.params, problem.system.observe(state), None)[:, 0]
    # the rule: min(6 - position, 3) = 3, 1, 0; the change: units - 2
    np.testing.assert_array_equal(orders, [max(3 + units - 2, 0), max(1 + units - 2, 0), 0])


def test_a_learner_improves_the_rule():
    problem = probes.lead_time()
    policy = Residual(Given(RULE), LEARNER).fit(problem, root(0, "method", "residual_rl"), ignore)
    best = optimum.find(problem).value
    rule, learned = (np.mean(chain.average(problem, one)[:2]) / best - 1 for one in (RULE, policy))
    assert 0 <= learned < 0.5 * rule


def test_seeds_share_the_rule_and_nothing_else():
    problem, learner = probes.lead_time(), replace(LEARNER, updates=20)
    keys = jax.random.split(root(0, "method", "residual_rl"), 2)
    policies = Residual(Given(RULE), learner).fit_seeds(problem, keys, ignore)
    first, second = (one.params["change"].params.layers[0]["weights"] for one in policies)
    assert (np.asarray(first) != np.asarray(second)).any()
    assert all(one.params["rule"].apply.endswith(":order_up_to_with_cap") for one in policies)


def test_it_can_be_saved_and_gives_the_same_orders(tmp_path):
    problem = probes.lead_time()
    policy = Residual(Given(RULE), replace(LEARNER, updates=20)).fit(problem, root(0, "method", "residual_rl"), ignore)
    saved.keep(tmp_path, policy, problem, {})
    found = checkpoint.load_policy(tmp_path / saved.NAME).policy
    paths = problem.validation_paths(8)
    one, other = (np.asarray(problem.simulate(each, paths).ordered) for each in (policy, found))
    np.testing.assert_array_equal(one, other)


def test_a_rule_that_looks_back_is_refused():
    rule = Policy({name: jnp.ones(1) for name in ("cover", "fixed_order", "holding")}, economic_lot, window=4)
    with pytest.raises(ValueError, match="method.rule must be a rule of what is observed today, .* got 'economic_lot'"):
        Residual(Given(rule), LEARNER).fit(probes.lead_time(), root(0, "r"), ignore)
