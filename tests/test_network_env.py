"""Networks as an environment: steps are the physics of the replay, units balance, learners and gymnasium can act in it."""

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench import env, problem, replay
from invbench.costs import CostModel
from invbench.dynamics import network
from invbench.scenarios import poisson
from invbench.types import Paths, Policy


def made(**settings):
    game = gymnax.make("Distribution-v0", horizon=25, **settings)
    return game if isinstance(game, tuple) else (game, game.default_params)


def scripted(params, observation, key):
    return params["orders"][observation.time]


def test_steps_are_the_physics_and_the_money_of_the_replay_and_units_balance():
    game, params = made()
    arcs = len(params.system.suppliers)
    assert game.action_space(params).shape == (arcs,) == (11,)
    np.testing.assert_array_equal(game.action_space(params).high, [80] + [20] * 5 + [1] * 5)
    generator = np.random.default_rng(0)
    actions = jnp.asarray(np.concatenate([generator.integers(0, 12, (25, 6)), generator.integers(0, 2, (25, 5))], 1), jnp.float32)
    observation, first = game.reset(jax.random.key(0), params)
    assert observation.shape == (
        10 + 11 + 10 + 4,
    )  # net stock of 4 customers and 6 sites, shipments on 11 arcs, positions, calendar
    np.testing.assert_array_equal(observation[:10], [0] * 4 + [60, 10, 10, 10, 5, 5])
    state, rewards, flows = first, [], []
    for action in actions:
        observation, state, reward, _, truncated, information = game.step(jax.random.key(2), state, action, params)
        rewards.append(reward)
        flows.append(information["flows"])
    assert truncated and np.isfinite(rewards).all()
    paths = Paths(first.demand[:, None], jnp.zeros((0, 1, 4)))
    expected = jax.tree.map(lambda leaf: leaf[0], replay.flows(params.system, Policy({"orders": actions}, scripted), paths))
    flows = jax.tree.map(lambda *parts: np.stack(parts), *flows)
    jax.tree.map(np.testing.assert_array_equal, flows, expected)
    np.testing.assert_allclose(rewards, params.cost.charge(flows).benefit.sum(1), rtol=1e-5)
    outside = flows.ordered[:, 4].sum()
    assert 100 + outside == flows.sold.sum() + flows.held[-1].sum() + flows.in_transit[-1].sum()
    np.testing.assert_array_equal(flows.demand, flows.sold + flows.lost)


def test_a_policy_that_learns_gets_orders_that_are_high_enough():
    system = network.create(
        customers=2, sites=2, suppliers=[-1, 0, 0, 1], destinations=[2, 3, 0, 1], lead_times=[2, 1, 0, 0], initial_stock=5
    )
    sizes = dict(information="known", history=0, window=0, horizon=20, seed=0, evaluation_seed=0)
    cost = CostModel(0.0, 0.0, 1.0, 9.0, 0.0, 0.0)
    posed = problem.create(poisson.create(mean=4, items=2), system, cost, **sizes)
    game = env.from_problem(posed)
    high = np.asarray(game.action_space(game.default_params).high)
    assert high[2:].tolist() == [1, 1] and high[0] > high[1] >= 4 * 4


def test_gymnasium_and_a_batch_can_step():
    game, params = made(retailers=2)
    batch = jax.random.split(jax.random.key(1), 3)
    _, states = jax.vmap(game.reset, in_axes=(0, None))(batch, params)
    action = jnp.ones((3, game.num_actions))
    observations, _, rewards, *_ = jax.vmap(game.step, in_axes=(0, 0, 0, None))(batch, states, action, params)
    assert observations.shape[0] == 3 and np.isfinite(rewards).all()
    outer = env.GymnasiumEnv(game)
    first, _ = outer.reset(seed=1)
    after, reward, terminated, truncated, information = outer.step(outer.action_space.sample())
    assert first.shape == after.shape and not terminated and not truncated and np.isfinite(reward)
    assert information["flows"]["used"].sum() > 0
    with pytest.raises(ValueError, match="^environment.max_order must be one number"):
        made(max_order=[1.0, 2.0])
