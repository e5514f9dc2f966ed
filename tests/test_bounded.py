"""Orders near a rule's: the rule itself without room, the learner itself with plenty, never out of reach, and no look-ahead."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from invbench.dynamics import single
from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.learning import bounds
from invbench.learning.residual import posed as residual_posed
from invbench.methods.bounded import Bounded
from invbench.methods.capped_base_stock import policy_of
from invbench.methods.hdpo import HDPO
from invbench.methods.imitation import Imitation
from invbench.scenarios import normal
from invbench.tuning import Budget
from invbench.types import Policy

LEARNER = HDPO(
    features=("on_hand", "pipeline"), hidden=(8,), paths=32, warm_up=0, unroll=12, tail=4, restart=0.02, updates=300,
    learning_rate=0.02, clip=1.0, fixed_width=0.5, threshold=0.6, checkpoints=2, validation_paths=128, seeds=1, fast_mode=False,
    tuning=Budget(64, 16, 1),
)  # fmt: skip
QUICK = replace(LEARNER, updates=20)
RULE = policy_of(jnp.asarray([6.0]), jnp.asarray([3.0]))  # 5.9 % above the optimum of probes.lead_time()
OTHER = policy_of(jnp.asarray([9.0]), jnp.asarray([9.0]))


class Given:
    """A method that is fitted already."""

    def __init__(self, policy):
        self.policy = policy

    def fit(self, problem, key, log):
        return self.policy


def near(problem, below, above, rule=RULE):
    return bounds.posed(problem, rule, below, above, root(0, "bounds"))


def test_without_room_it_is_the_rule_and_with_plenty_it_is_the_learner():
    problem = probes.lead_time()
    paths = problem.validation_paths(16)
    for reach, same in ((0, RULE), (50, OTHER)):
        inside = near(problem, reach, reach)
        plain = problem.simulate(same, paths)
        for flows in (inside.simulate(OTHER, paths), problem.simulate(bounds.composed(inside, OTHER), paths)):
            np.testing.assert_array_equal(flows.ordered, plain.ordered)
            np.testing.assert_array_equal(flows.held, plain.held)


def test_orders_by_hand():
    """The rule orders min(6 - position, 3) = 3, 1, 0; one period of mean demand is 2 units, so half of one is 1."""
    problem = probes.lead_time()
    inside = near(problem, 0.5, 1.0)
    stock = jnp.asarray([[0.0], [5.0], [100.0]])
    state = problem.system.initial(jnp.zeros((0, 3, 1)), 0, 0)._replace(on_hand=stock, position=stock)
    for units, expected in ((0.0, [2, 0, 0]), (3.0, [3, 3, 2]), (9.0, [5, 3, 2])):
        flows = inside.system.transition(state, jnp.full((3, 1), units), jnp.zeros((3, 1)))[1]
        np.testing.assert_array_equal(flows.ordered[:, 0], expected)


def test_a_gradient_goes_past_the_bounds():
    """One unit more is held at the end, whether the order is within reach, above it or below."""
    inside, state = near(probes.newsvendor(), 1, 1), probes.newsvendor().system.initial(jnp.zeros((0, 3, 1)), 0, 0)
    held = lambda order: inside.system.transition(state, order, jnp.zeros((3, 1)))[1].held  # noqa: E731
    slope = jax.grad(lambda order: held(order).sum())(jnp.asarray([[3.0], [50.0], [-9.0]]))
    np.testing.assert_array_equal(slope[:2], 1)  # below zero nothing is ordered, whatever the bounds
    np.testing.assert_array_equal(held(jnp.full((3, 1), 50.0)), 8)  # the rule orders 3, a period's mean demand is 5


def test_every_learned_order_is_within_reach():
    problem = probes.posed(normal.create(mean=50.0, std=10.0, items=2), single.create(lead_time=1, backlog=False))
    rule = policy_of(jnp.asarray([110.0, 130.0]), jnp.asarray([90.0, 60.0]))
    learner = probes.made("ppo", hidden=[8], members=1, lanes=16, steps=16, updates=8, validations=2, validation_paths=16)
    policy = Bounded(Given(rule), learner, below=0.1, above=0.3).fit(problem, root(0, "bounded"), probes.ignore)
    state = problem.system.initial(jnp.zeros((0, 64, 2)), 0, 0)
    stock = jax.random.uniform(root(0, "stock"), (64, 2), maxval=140.0)
    seen = problem.system.observe(state._replace(on_hand=stock, position=stock))
    usual = np.maximum(rule.apply(rule.params, seen, None), 0)
    departure = np.asarray(policy.apply(policy.params, seen, None)) - usual
    assert departure.max() <= 15.1 and departure.min() >= -5.1 and np.abs(departure).max() > 4


def test_a_learner_improves_the_rule_within_its_bounds():
    problem = probes.lead_time()
    policy = Bounded(Given(RULE), LEARNER, below=1, above=1).fit(problem, root(0, "method", "bounded"), probes.ignore)
    best = optimum.find(problem).value
    rule, learned = (np.mean(chain.average(problem, one)[:2]) / best - 1 for one in (RULE, policy))
    assert 0 <= learned < 0.5 * rule


def test_imitation_inside_and_seeds_side_by_side():
    problem = probes.lead_time()
    warm = Imitation(
        teacher=Given(OTHER), learner=QUICK, paths=8, periods=16, explore=0.1, updates=400, batch=64, learning_rate=1e-2
    )
    policy = Bounded(Given(RULE), warm, below=9, above=9).fit(problem, root(0, "warm"), probes.ignore)
    assert policy.apply is bounds.bounded
    keys = jax.random.split(root(0, "seeds"), 2)
    policies = Bounded(Given(RULE), QUICK, below=1, above=1).fit_seeds(problem, keys, probes.ignore)
    first, second = (one.params["own"].params.layers[0]["weights"] for one in policies)
    assert (np.asarray(first) != np.asarray(second)).any()


def test_wrong_fields_are_named():
    problem = probes.lead_time()
    with pytest.raises(ValueError, match="^method.below must be a number >= 0, got -1$"):
        Bounded(Given(RULE), QUICK, below=-1, above=1).fit(problem, root(0, "b"), probes.ignore)
    with pytest.raises(ValueError, match="^method.rule must be a rule of what is observed today"):
        looks = Policy(RULE.params, RULE.apply, window=4)
        Bounded(Given(looks), QUICK, below=1, above=1).fit(problem, root(0, "b"), probes.ignore)
    with pytest.raises(ValueError, match="^method.learner must be around bounds, not inside of them, got 'Adjusted'$"):
        near(residual_posed(problem, RULE, root(0, "r")), 1, 1)
