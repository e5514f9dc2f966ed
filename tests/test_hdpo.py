"""HDPO: known levels and optima are learned, the same bytes again, divergence named, one compile for every price."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench.costs import CostModel
from invbench.dynamics import perishable, single
from invbench.exact import chain, optimum
from invbench.formulas import Stationary
from invbench.keys import root
from invbench.learning import pathwise, unrolls
from invbench.learning.lots import reorder, reorder_to_level
from invbench.learning.rates import apart
from invbench.learning.shaping import Potential
from invbench.learning.training import Diverged
from invbench.methods import constant_order
from invbench.methods.hdpo import HDPO
from invbench.methods.s_S import ReorderUpTo
from invbench.problem import Problem
from invbench.scenarios import normal, poisson, uniform_discrete
from invbench.tuning import Budget
from invbench.types import Observation

SMALL = HDPO(
    features=("on_hand", "pipeline"), hidden=(16,), paths=32, warm_up=0, unroll=12, tail=4, restart=0.02, updates=400,
    learning_rate=0.02, clip=1.0, fixed_width=0.5, threshold=0.6, checkpoints=2, validation_paths=256, seeds=1, fast_mode=False,
    tuning=Budget(64, 16, 1),
)  # fmt: skip
TINY = replace(SMALL, updates=20, paths=4)


def posed(shortage, lead_time, fixed_order=0.0, backlog=False, mean=5.0, items=1, scenario=None):
    """Poisson demand, holding cost 1, nothing in stock at first."""
    rates = dict(price=0.0, purchase=0.0, holding=1.0, shortage=shortage, fixed_order=fixed_order, salvage=0.0)
    system = single.create(lead_time=lead_time, backlog=backlog)
    return Problem(scenario or poisson.create(mean=mean, items=items), system, CostModel(**rates), 60, 0, 0, 0)


def ignore(metrics, step):
    pass


@lru_cache
def fitted(problem, method=SMALL, seed=0):
    return method.fit(problem, root(seed, "method", "hdpo"), ignore)


def gap(problem, policy):
    lower, upper, _ = chain.average(problem, policy)
    return (lower + upper) / 2 / optimum.find(problem).value - 1


def test_the_newsvendors_level_is_learned():
    problem = posed(9.0, 0)
    stock = jnp.arange(4.0)[:, None]
    orders = fitted(problem).apply(
        fitted(problem).params, Observation(stock, stock, jnp.zeros((0, 4, 1)), jnp.zeros((0, 4, 1)), 0), None
    )
    # Poisson(5): P(D <= 7) = 0.867 < 9 / (9 + 1) <= P(D <= 8) = 0.932
    assert Stationary(problem.scenario.pmf(), 0, 1.0, 9.0, 0.0).base_stock() == 8
    np.testing.assert_array_equal(orders[:, 0], [8, 7, 6, 5])


@pytest.mark.parametrize("discount, level", [(1.0, 8), (0.5, 6)])
def test_a_discount_makes_stock_dear(discount, level):
    """A unit bought for 4 that waits a period is worth 4 x discount then: F(S) >= (9 - 4) / (9 + 0.5 - 4 x discount)."""
    assert stats.poisson(5).ppf((9 - 4) / (9 + 0.5 - 4 * discount)) == level
    made = posed(9.0, 0)
    made = replace(made, cost=replace(made.cost, purchase=4.0, holding=0.5, salvage=4.0))
    policy = fitted(made, replace(SMALL, discount=discount))
    stock = jnp.arange(4.0)[:, None]
    seen = Observation(stock, stock, jnp.zeros((0, 4, 1)), jnp.zeros((0, 4, 1)), 0)
    np.testing.assert_allclose(policy.apply(policy.params, seen, None)[:, 0], level - np.arange(4.0))


def test_a_potential_changes_training_and_not_what_is_best():
    made = posed(4.0, 2)
    plain, told = fitted(made), fitted(made, replace(SMALL, shaping=0.5))
    assert not np.array_equal(plain.params.layers[0]["weights"], told.params.layers[0]["weights"])
    assert gap(made, told) < 0.01


def test_what_an_update_ends_with_is_worth_its_potential():
    """The loss by hand, of a stock that nothing is ordered for: nothing costs, so that the potential is all."""
    made = posed(4.0, 0, scenario=uniform_discrete.create(low=1, high=1, items=1))
    made = replace(made, cost=replace(made.cost, shortage=0.0, holding=0.0))
    training = replace(TINY.checked(made), curriculum=None)
    world = unrolls.world(made, training)._replace(potential=Potential(jnp.full(1, 3.0), jnp.full(1, 2.0), jnp.full(1, 5.0)))
    blank = pathwise._blank(made, training, 0)
    none = replace(blank, layers=(*blank.layers[:-1], blank.layers[-1] | {"bias": jnp.full(1, -99.0)}))
    state = world.system.initial(jnp.zeros((0, 4, 1)), 0, 0)
    state = state._replace(on_hand=jnp.full((4, 1), 40.0), position=jnp.full((4, 1), 40.0))
    state, drawn = unrolls.moved_on(world, root(0, "x"), replace(training, restart=0.0), 0, made.horizon, state)
    for discount in (1.0, 0.5):
        lost, _ = unrolls.loss(world, made.cost, replace(training, discount=discount), none, state, drawn)
        np.testing.assert_allclose(lost, discount**16 * 2 * (40 - 16 - 3) / 16, rtol=1e-5)  # 12 periods and 4 more


def test_lost_sales_come_within_a_percent_of_the_optimum():
    problem = posed(4.0, 2)
    assert 0 <= gap(problem, fitted(problem)) <= 0.01  # the best base-stock level: 5.6 % (Zipkin 2008: 4.64 against 4.40)


def test_backlog_comes_within_a_percent_of_the_optimum():
    problem = posed(9.0, 1, backlog=True)
    assert 0 <= gap(problem, fitted(problem)) <= 0.01


@pytest.mark.parametrize("fixed_cost, updates, worst", [("tuned", 400, 36), ("smoothed", 600, 45)])
def test_a_fixed_cost_makes_orders_fewer_and_larger(fixed_cost, updates, worst):
    """Zheng and Federgruen 1991: mean 10, K = 64, h = 1, p = 9: (s, S) = (6, 40) costs 35.02; an order in each period 64."""
    problem = posed(9.0, 0, fixed_order=64.0, backlog=True, mean=10.0)
    method = replace(SMALL, unroll=24, tail=8, updates=updates, fixed_cost=fixed_cost, tuning=Budget(250, 256, 4))
    lower, upper, _ = chain.average(problem, fitted(problem, method))
    assert 35.02 - 0.01 <= lower <= upper < worst


@pytest.mark.parametrize("fixed_order, apply", [(64.0, reorder_to_level), (4.0, reorder)])
def test_levels_are_learned_where_a_lot_lasts_for_periods(fixed_order, apply):
    """Mean 10, h = 1: an economic lot of 36 lasts for 3.6 periods, one of 9 for 0.9."""
    problem = replace(posed(9.0, 1, fixed_order=fixed_order, mean=10.0), window=4)
    learner = replace(SMALL, features=("on_hand", "pipeline", "history", "days_of_supply"), tuning=Budget(250, 100, 3))
    policy = learner.fit(problem, root(0, "method", "hdpo"), ignore)
    rule = ReorderUpTo(Budget(250, 256, 3)).fit(problem, root(0, "rule"), ignore)
    paths = problem.validation_paths(500)
    ours, best = (-float(np.asarray(problem.benefit(one, paths)).mean()) for one in (policy, rule))
    assert policy.apply is apply and policy.window == 4
    assert ours < 1.03 * best


def test_seeds_side_by_side_have_lots_of_their_own():
    problem = posed(9.0, 0, fixed_order=64.0, backlog=True, mean=10.0)
    one, two = TINY.fit_seeds(problem, jax.random.split(root(0, "method", "hdpo"), 2), ignore)
    assert one.apply is two.apply is reorder
    first, second = (policy.params["target"].params.layers[0]["weights"] for policy in (one, two))
    assert np.asarray(one.params["lot"]) > 0 and not np.array_equal(first, second)


def leaves(policy):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(policy.params)]


def test_the_same_key_gives_the_same_bytes_and_another_key_others():
    problem = posed(4.0, 2)
    first, again, other = (leaves(TINY.fit(problem, root(seed, "method", "hdpo"), ignore)) for seed in (0, 0, 1))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(not np.array_equal(one, two) for one, two in zip(first, other, strict=True))


def test_divergence_is_named():
    with pytest.raises(
        Diverged, match=r"^hdpo diverged: .* of member 0 is nan after .* of 20 updates, lower method.learning_rate$"
    ):
        replace(TINY, learning_rate=1e38).fit(posed(4.0, 2), root(0, "method", "hdpo"), ignore)


def test_two_prices_compile_once():
    TINY.fit(posed(4.0, 2), root(0, "method", "hdpo"), ignore)
    before = pathwise._advance._cache_size()
    TINY.fit(posed(9.0, 2), root(1, "method", "hdpo"), ignore)
    assert pathwise._advance._cache_size() == before > 0


def test_members_side_by_side_are_the_members_one_by_one():
    """Each with costs, a key, and a learning rate of its own."""
    problem, keys, rates = posed(4.0, 2), jax.random.split(root(0, "method", "hdpo"), 2), [0.02, 0.01]
    costs = [problem.cost, posed(9.0, 2).cost]
    together = pathwise.train(problem, costs, keys, replace(TINY, learning_rate=rates).checked(problem), ignore)
    for i in range(2):
        method = replace(TINY, learning_rate=rates[i]).checked(problem)
        alone = pathwise.train(problem, costs[i : i + 1], keys[i : i + 1], method, ignore)[0]
        for one, two in zip(leaves(together[i].policy), leaves(alone.policy), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-4)


def test_the_mean_over_todays_demand_is_the_mean_of_draws():
    """The benefit a period, and its gradient, with what each demand would cost in place of the one drawn."""
    problem, method = posed(4.0, 2), replace(SMALL, paths=20_000, validation_paths=2)
    key = root(0, "draws")
    world = unrolls.world(problem, method)
    blank, (plan, own) = pathwise._blank(problem, method, 0), apart(method, method.rates, 1)
    member = jax.tree.map(lambda leaf: leaf[0], pathwise._begin(world, key[None], own, blank, training=plan, window=0))

    @jax.jit
    def value(layers, world):
        state, drawn = unrolls.moved_on(world, key, method, 0, 60, member.state)
        return unrolls.loss(world, problem.cost, method, replace(member.params, layers=layers), state, drawn)[0]

    assert world.support is not None
    means, draws = (jax.value_and_grad(value)(member.params.layers, one) for one in (world, world._replace(support=None)))
    np.testing.assert_allclose(means[0], draws[0], rtol=5e-3)
    flat = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(one[1])]) for one in (means, draws)]
    np.testing.assert_allclose(*flat, atol=0.03 * np.abs(flat[0]).max())


def test_several_items_and_demand_without_probabilities():
    problem = posed(4.0, 2, scenario=normal.create(mean=50, std=10, items=3))
    policy = fitted(problem, replace(SMALL, features=("on_hand", "pipeline", "calendar")))
    paths = problem.validation_paths(64)
    learned, steady = (problem.simulate(one, paths) for one in (policy, constant_order.policy_of([45.0] * 3)))
    assert learned.ordered.shape == (64, 60, 3)
    assert (np.asarray(learned.ordered) % 1 > 0).any()  # demand is not whole, so orders are not
    costs = [np.asarray(flows.held + 4 * flows.lost)[:, 20:].mean((0, 1)) for flows in (learned, steady)]
    assert (costs[0] < 0.8 * costs[1]).all()  # item by item


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(updates=0), "method.updates must be a whole number >= 1, got 0"),
        (dict(hidden=[0]), "method.hidden must be a whole number >= 1, got 0"),
        (dict(features=["stock"]), "method.features must be one of on_hand, .*, got 'stock'"),
        (dict(features=[]), "method.features must be a list of features"),
        (dict(restart=2), "method.restart must be a number >= 0 and <= 1, got 2"),
        (dict(fixed_cost="none"), "method.fixed_cost must be one of tuned, smoothed, got 'none'"),
        (dict(checkpoints=21), "method.checkpoints must be <= 20, got 21"),
    ],
)
def test_hdpo_refuses_what_makes_no_sense(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        replace(TINY, **changes).fit(posed(4.0, 2), root(0, "method", "hdpo"), ignore)


def test_hdpo_refuses_a_system_that_it_cannot_train_in():
    system = perishable.create(life=2, lead_time=1, issuing="fifo", initial_stock=0.0, maximum_order=9)
    with pytest.raises(ValueError, match="system must be lost_sales or backlog for hdpo, got 'Perishable'"):
        TINY.fit(replace(posed(4.0, 1), system=system), root(0, "method", "hdpo"), ignore)
