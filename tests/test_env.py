"""The environment: the stock, the money and the contract of gymnax and gymnasium."""

import copy
import warnings
from dataclasses import dataclass, replace
from functools import partial

import gymnasium
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from gymnax.environments.environment import Environment
from gymnax.wrappers.purerl import FlattenObservationWrapper, LogWrapper
from scipy import stats

from invbench import env, problem
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.scenarios import normal, poisson
from invbench.scenarios.base import Scenario
from invbench.types import Paths, Policy

HORIZON = 25
COST = CostModel(price=7.0, purchase=3.0, holding=0.5, shortage=4.0, fixed_order=6.0, salvage=2.0)
POISSON = poisson.create(mean=5.0, items=1)
NORMAL = normal.create(mean=12.0, std=3.0, items=2)
LOST = single.create(lead_time=2, backlog=False, initial_stock=11.0)
SYSTEMS = {
    "lost sales": LOST,
    "backlog": single.create(lead_time=3, backlog=True, initial_stock=9.0),
    "no lead time": single.create(lead_time=0, backlog=True, initial_stock=3.0),
    "random lead time": single.create(
        lead_time=3, backlog=False, initial_stock=14.0, lead_time_distribution=[0.2, 0.3, 0.0, 0.5]
    ),
    "constraints": single.create(lead_time=2, backlog=False, initial_stock=6.0, minimum_order=3.0, batch=4.0, capacity=21.0),
    "constraints, backlog, random lead time": single.create(
        lead_time=2, backlog=True, initial_stock=6.0, batch=2.5, capacity=40.0, lead_time_distribution=[0.0, 0.6, 0.4]
    ),
}


def made(scenario=POISSON, system=LOST, cost=COST, **settings):
    actions = {} if "order_grid" in settings else {"max_order": 30.0}
    return env.Inventory(scenario, system, cost, **({"horizon": HORIZON} | actions | settings))


def made_problem(scenario, system, start):
    sizes = dict(information="known", history=0, window=3, horizon=HORIZON, seed=1, evaluation_seed=2)
    return replace(problem.create(scenario, system, COST, **sizes), start=start)


@partial(jax.jit, static_argnames="game")
def rollout(game, key, actions, params):
    """The first state, and the transitions of one episode with the given actions [horizon, ...]."""
    _, first = game.reset(key, params)

    def period(state, action):
        observation, state, *rest = game.step(key, state, action, params)
        return state, (observation, *rest)

    return first, jax.lax.scan(period, first, actions)[1]


def scripted(params, observation, key):
    return params["orders"][observation.time - params["start"].ravel()[0]]


def futures(game, state):
    """What `state`, as reset returned it, is going to meet, as the replay reads it."""
    before = game.default_params.system.observe(state.stock, None if state.delay is None else state.delay[0]).history
    delay = None if state.delay is None else state.delay[:HORIZON, None]
    return Paths(state.demand[:, None], before[:, None], delay, int(game.default_params.start))


@pytest.mark.parametrize(
    "name, scenario, start, most",
    [
        ("lost sales", POISSON, 0, 12),
        ("lost sales", NORMAL, 40, 30),
        ("backlog", NORMAL, 0, 30),
        ("no lead time", POISSON, 2, 12),
        ("random lead time", NORMAL, 17, 30),
        ("constraints", POISSON, 0, 12),
        ("constraints, backlog, random lead time", NORMAL, 1, 30),
    ],
)
def test_an_episode_is_the_simulation_of_its_orders_bit_for_bit(name, scenario, start, most):
    given = made_problem(scenario, SYSTEMS[name], start)
    game = env.from_problem(given, max_order=most)
    orders = np.random.default_rng(3).uniform(0, most, (HORIZON, game.items)).astype(np.float32)
    orders[::3] = 0
    first, (seen, reward, _, truncated, information) = rollout(game, jax.random.key(5), jnp.asarray(orders), game.default_params)
    assert truncated.tolist() == [False] * (HORIZON - 1) + [True]
    paths = futures(game, first)
    policy = Policy({"orders": orders[:, None], "start": np.full((1, game.items), start)}, scripted, per_path=True)
    simulated = given.simulate(policy, paths)
    assert float(simulated.ordered.sum()) > 0 and float(simulated.missed.sum()) > 0
    jax.tree.map(lambda told, expected: np.testing.assert_array_equal(told, expected[0]), information["flows"], simulated)
    np.testing.assert_allclose(reward.sum(), given.benefit(policy, paths).sum(), rtol=1e-5)
    # before an order is placed, stock is what the last period left and what has arrived, less today's order if that came at once
    flows, delay = information["flows"], first.delay[:HORIZON] if first.delay is not None else given.system.lead_time
    at_once = np.where(np.broadcast_to(delay, HORIZON)[:, None] == 0, flows.ordered, 0)
    on_hand = (flows.held - flows.backlog)[:-1] + (flows.received - at_once)[1:]
    np.testing.assert_allclose(seen[:-1, : game.items], on_hand, atol=1e-4)


def test_observation_by_hand():
    # Demand is 4 a period, lead time 3, 10 units at the start of period 6; orders 5, 6, 7.
    scenario = normal.create(mean=4.0, std=0.0, items=1)
    system = single.create(lead_time=3, backlog=True, initial_stock=10.0)
    game = made(scenario, system, start=6, window=2, features=("on_hand", "pipeline", "position", "history", "calendar"))
    first, state = game.reset(jax.random.key(0))
    seen = [first]
    for order in (5.0, 6.0, 7.0):
        observation, state, *_ = game.step(jax.random.key(1), state, jnp.array([order]))
        seen.append(observation)
    # on hand after receipt: 10, 6, 2, then -2 + 5 = 3; the pipeline has what comes in one and in two periods
    expected = [[10, 0, 0, 10], [6, 0, 5, 11], [2, 5, 6, 13], [3, 6, 7, 16]]
    np.testing.assert_array_equal(np.stack(seen)[:, :4], expected)
    np.testing.assert_array_equal(np.stack(seen)[:, 4:6], 4)
    time = np.arange(6, 10)
    waves = [wave(2 * np.pi * time / cycle) for cycle in (7, 365.25) for wave in (np.sin, np.cos)]
    np.testing.assert_allclose(np.stack(seen)[:, 6:], np.stack(waves, 1), atol=1e-5)
    assert game.observation_space().shape == first.shape == (10,) and first.dtype == jnp.float32
    assert bool(game.observation_space().contains(first))


def test_no_observation_depends_on_demand_that_has_not_been_met():
    game = made(window=4, features=env.FEATURES[:-1])
    _, state = game.reset(jax.random.key(2))
    _, state, *_ = game.step(jax.random.key(0), state, jnp.array([3.0]))
    other = state.replace(demand=state.demand.at[1:].add(50))
    assert state.time == 1
    look = partial(game.observe, jax.random.key(0), action=None, params=game.default_params)
    np.testing.assert_array_equal(look(state), look(other))
    after = [game.step(jax.random.key(0), one, jnp.array([3.0]))[0] for one in (state, other)]
    assert not np.array_equal(*after)


def test_the_end_of_the_horizon_truncates_and_never_terminates():
    game = made(horizon=5, features=("on_hand", "pipeline", "position"))
    key = jax.random.key(4)
    observation, state = game.reset(key)
    for period in range(5):
        before = state
        observation, state, reward, terminated, truncated, information = game.step(key, state, jnp.array([6.0]))
        assert not terminated and bool(truncated) == (period == 4)
        assert information["discount"] == 1 and reward.dtype == jnp.float32 and reward.shape == ()
        if not truncated:
            np.testing.assert_array_equal(observation, information["final_observation"])
    reset_observation, fresh = game.reset_env(jax.random.split(key)[1], game.default_params)
    final, after, *_ = game.step_env(key, before, jnp.array([6.0]), game.default_params)
    assert state.time == 0 and after.time == 5
    np.testing.assert_array_equal(observation, reset_observation)
    np.testing.assert_array_equal(state.demand, fresh.demand)
    np.testing.assert_array_equal(information["final_observation"], final)
    assert not np.array_equal(final, observation)


def test_step_is_gymnaxs_own_step_alone_and_in_a_batch():
    game = made(horizon=4)
    _, state = jax.vmap(game.reset)(jax.random.split(jax.random.key(0), 3))
    state = state.replace(time=state.time.at[0].set(2))  # one of the episodes ends before the others
    ours, theirs = (jax.jit(jax.vmap(step)) for step in (game.step, partial(Environment.step, game)))
    for period in range(5):
        keys = jax.random.split(jax.random.key(period + 1), 3)
        moved, expected = (step(keys, state, jnp.full((3, 1), 4.5)) for step in (ours, theirs))
        jax.tree.map(np.testing.assert_array_equal, moved, expected)
        assert jax.tree.map(lambda leaf: leaf.dtype, moved) == jax.tree.map(lambda leaf: leaf.dtype, expected)
        alone = game.step(keys[0], jax.tree.map(lambda leaf: leaf[0], state), jnp.array([4.5]))
        jax.tree.map(lambda one, many: np.testing.assert_allclose(one, many[0], rtol=1e-6, atol=1e-6), alone, moved)
        state = moved[1]
    assert state.time.tolist() == [3, 1, 1]


@partial(jax.tree_util.register_dataclass, data_fields=["scale"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class Numbered(Scenario):
    """Demand is the number of the period times `scale`; each draw is reported when it happens."""

    scale: float
    items: int = 1
    draws = []

    def draw(self, key, n, horizon, start):
        jax.debug.callback(lambda scale: self.draws.append(float(scale)), self.scale)
        return jnp.broadcast_to(self.scale * (start + jnp.arange(horizon))[:, None, None], (horizon, n, 1))


def test_an_episode_begins_at_its_start_and_knows_the_window_before_it():
    observation, state = made(Numbered(2.0), horizon=3, start=5, window=2, features=("history",)).reset(jax.random.key(0))
    assert observation.tolist() == [6.0, 8.0] and state.demand.ravel().tolist() == [10.0, 12.0, 14.0]
    assert int(state.stock.time) == 5 and int(state.time) == 0


def test_futures_are_drawn_only_when_an_episode_ends():
    game = made(Numbered(3.0), horizon=3)
    step = jax.jit(jax.vmap(jax.vmap(game.step)))
    keys = jax.random.split(jax.random.key(0), (2, 2))
    _, state = jax.vmap(jax.vmap(game.reset))(keys)
    for drawn in (0, 0, 1):  # one call, because all four episodes are alike
        jax.effects_barrier()
        Numbered.draws.clear()
        _, state, *_ = jax.block_until_ready(step(keys, state, jnp.ones((2, 2, 1))))
        jax.effects_barrier()
        assert len(Numbered.draws) == drawn


def test_salvage_is_paid_in_the_last_period():
    system = single.create(lead_time=0, backlog=False, initial_stock=6.0)
    game = made(normal.create(mean=4.0, std=0.0, items=1), system, horizon=2)
    _, state = game.reset(jax.random.key(0))
    rewards = []
    for order in (0.0, 5.0):
        _, state, reward, *_ = game.step(jax.random.key(0), state, jnp.array([order]))
        rewards.append(float(reward))
    # 1: sells 4 at 7, holds 2 at 0.5. 2: buys 5 at 3 and 6 for the order, sells 4 at 7, holds 3 at 0.5 and salvages them at 2.
    assert rewards == [28 - 1, 28 - 15 - 6 - 1.5 + 6]


def test_a_shorter_episode_needs_no_other_environment():
    game = made(system=replace(LOST, initial_stock=90.0))
    params = game.default_params.replace(max_steps_in_episode=jnp.asarray(2))
    _, state = game.reset(jax.random.key(0), params)
    ends = []
    for _ in range(4):
        _, state, _, _, truncated, information = game.step(jax.random.key(0), state, jnp.array([9.0]), params)
        ends.append((bool(truncated), bool((information["money"].salvage > 0).any())))
    assert ends == [(False, False), (True, True)] * 2
    longer = game.default_params.replace(max_steps_in_episode=jnp.asarray(10 * HORIZON))
    assert game.is_truncated(state.replace(time=HORIZON), longer)


def gained(game, key, actions):
    """The sum of rewards of the first periods, as a function of the actions [period, item]."""
    params = game.default_params
    state = game.reset(key, params)[1]
    period = lambda state, action: game.step(key, state, action, params)[1:3]  # noqa: E731
    return jax.lax.scan(period, state, actions)[1].sum()


@pytest.mark.parametrize("name", ["backlog", "lost sales"])
def test_gradients_are_those_of_finite_differences(name):
    game = made(NORMAL, SYSTEMS[name], replace(COST, fixed_order=0.0), horizon=8).with_transition_gradients()
    actions = np.random.default_rng(0).uniform(5, 20, (8, 2)).astype(np.float32)
    value = partial(gained, game, jax.random.key(7))
    slopes = jax.jit(jax.vmap(jax.grad(value)))(np.stack([actions, actions + 1]))[0]
    step = 0.01  # the sum of rewards is piecewise linear, and no kink is nearer than this to these actions
    moves = np.eye(16, dtype=np.float32).reshape(16, 8, 2) * step
    values = jax.jit(jax.vmap(value))
    differences = (values(actions + moves) - values(actions - moves)).reshape(8, 2) / (2 * step)
    np.testing.assert_allclose(slopes, differences, atol=0.02)
    assert len(np.unique(slopes.round(2))) > 2


def test_without_transition_gradients_only_the_own_period_is_differentiated():
    game = made(NORMAL, SYSTEMS["lost sales"])
    slopes = jax.jit(jax.grad(partial(gained, game, jax.random.key(7))))(jnp.full((6, 2), 10.0))
    np.testing.assert_allclose(slopes, -3.0)  # purchase; what arrives later belongs to later periods
    enabled = game.with_transition_gradients()
    assert not game.transition_gradients_enabled and enabled.transition_gradients_enabled and enabled != game


def test_wrappers_of_gymnax():
    game = LogWrapper(FlattenObservationWrapper(made(horizon=4)))
    observation, state = game.reset(jax.random.key(0))
    total = 0.0
    for key in jax.random.split(jax.random.key(1), 4):
        observation, state, reward, terminated, truncated, information = game.step(key, state, jnp.array([5.0]))
        total += float(reward)
    assert observation.shape == game.observation_space(game.default_params).shape
    assert bool(information["returned_episode"]) and bool(truncated) and not bool(terminated)
    assert int(information["returned_episode_lengths"]) == 4
    np.testing.assert_allclose(information["returned_episode_returns"], total, rtol=1e-6)


@pytest.mark.parametrize("name, backlog", [("InventoryLostSales-v0", False), ("InventoryBacklog-v0", True)])
def test_registered_ids(name, backlog):
    env.register()
    assert gymnax.registered_envs.count(name) == 1
    game, params = gymnax.make(name, lead_time=2, horizon=4)
    assert params.system.backlog is backlog and params.system.lead_time == 2 and game.horizon == 4
    observation, state = game.reset(jax.random.key(0), params)
    moved = game.step(jax.random.key(1), state, game.action_space(params).sample(jax.random.key(2)), params)
    assert len(moved) == 6 and bool(game.observation_space(params).contains(moved[0]))
    assert jax.tree.structure(moved[1]) == jax.tree.structure(state)


def test_order_up_to_with_backlog_costs_what_the_closed_form_says():
    # Net stock at the end of a period is S less the demand of lead_time + 1 periods, so the cost of a period is
    # E[h (S - D)+ + p (D - S)+] with D ~ Poisson(25), whatever the policy's past (Zipkin 2000, Foundations, ch. 6).
    level, holding, shortage = 31.0, 1.0, 9.0
    game, params = gymnax.make("InventoryBacklog-v0", horizon=60, max_order=100.0)
    params = params.replace(system=replace(params.system, initial_stock=jnp.array(level)))

    def episode(key):
        observation, state = game.reset(key, params)

        def period(carry, _):
            observation, state = carry
            observation, state, reward, *_ = game.step(key, state, level - observation[-5], params)
            return (observation, state), reward

        return jax.lax.scan(period, (observation, state), None, 60)[1]

    costs = -np.asarray(jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), 2000)))[:, 4:].mean(1)
    demand = np.arange(200)
    each = holding * np.maximum(level - demand, 0) + shortage * np.maximum(demand - level, 0)
    expected = float(stats.poisson(25).pmf(demand) @ each)
    error = costs.std(ddof=1) / np.sqrt(len(costs))
    assert error < 0.1 and abs(costs.mean() - expected) < 4 * error  # four standard errors: 1 false alarm in 16,000


def test_one_compiled_step_serves_all_parameter_values(monkeypatch):
    traces = []
    order = env.Inventory.order
    monkeypatch.setattr(env.Inventory, "order", lambda *arguments: traces.append(1) or order(*arguments))
    for mean, shortage, most in ((4.0, 2.0, 10.0), (6.0, np.float32(3), 20), (6.0, jnp.array(5.0), 30.0)):
        scenario = normal.create(mean=mean, std=1.0, items=1)
        game = made(scenario, LOST, replace(COST, shortage=shortage), horizon=13, max_order=most)
        _, state = game.reset(jax.random.key(0))
        _, _, _, _, _, information = game.step(jax.random.key(0), state, jnp.array([25.0]))
        assert float(information["flows"].ordered[0]) == min(25.0, most)
    other = game.default_params.replace(cost=replace(game.default_params.cost, price=jnp.float32(1.0)))
    game.step(jax.random.key(0), state, jnp.array([25.0]), other)
    assert len(traces) == 1


def test_environments_are_equal_by_size_only_if_they_share_their_numbers():
    cheap, dear = made(), made(cost=replace(COST, price=70.0))
    assert cheap == copy.copy(cheap) and hash(cheap) == hash(dear) and cheap != dear
    assert cheap != made(horizon=3) and cheap != "an environment"
    price = jax.jit(lambda game: game.default_params.cost.price * 1, static_argnums=0)
    assert (float(price(cheap)), float(price(dear))) == (7.0, 70.0)


def test_discrete_actions_order_what_the_grid_says():
    game = made(order_grid=[0, 2.5, 12])
    assert game.action_space().n == game.num_actions == 3 and "Discrete" in repr(game.action_space())
    assert [game.order(index, game.default_params).tolist() for index in range(3)] == [[0.0], [2.5], [12.0]]
    assert made(NORMAL, max_order=[3.0, 8.0]).action_space().high.tolist() == [3.0, 8.0]


def test_orders_beyond_the_action_space_are_clipped():
    game = made(NORMAL, max_order=[3.0, 8.0])
    assert game.order(jnp.array([-1.0, 9.0]), game.default_params).tolist() == [0.0, 8.0]
    assert game.num_actions == 2


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"max_order": 0.0}, "environment.max_order must be a number > 0, got 0.0"),
        ({"max_order": [1.0, 2.0]}, "environment.max_order must be one number, or one for each of 1 items"),
        ({"max_order": None}, "environment.max_order must be given, or else order_grid"),
        ({"max_order": 1.0, "order_grid": [1]}, "environment.max_order must be given, or else order_grid"),
        ({"order_grid": [0, -1]}, "environment.order_grid must be a number >= 0, got -1"),
        ({"order_grid": [0, 0]}, "environment.order_grid must be a list with a quantity > 0"),
        ({"order_grid": [0, 1], "scenario": NORMAL}, "environment.order_grid must be left out where there are 2 items"),
        ({"horizon": 0}, "environment.horizon must be a whole number >= 1, got 0"),
        ({"features": ("stock",)}, "environment.features must be one of on_hand"),
        ({"features": ()}, "environment.features must be one or more of on_hand"),
        ({"system": replace(LOST, initial_stock=None)}, "system.initial_stock must be a number of units, got None"),
    ],
)
def test_checks_at_the_door(settings, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        made(**settings)


def test_from_problem_takes_what_fitting_may_know():
    given = made_problem(NORMAL, LOST, 40)
    game = env.from_problem(given.for_fitting(), features=("history",))
    assert (game.horizon, game.window, int(game.default_params.start)) == (HORIZON, 3, 40)
    assert game.observation_space().shape == (3 * 2,)
    # two independent items of mean 12 and standard deviation 3, three periods: 36 plus a few times 5.2
    assert np.all((game.default_params.max_order > 45) & (game.default_params.max_order < 70))
    _, state = game.reset(jax.random.key(0))
    assert int(state.stock.time) == 40 and state.demand.shape == (HORIZON, 2)


def test_state_space_has_the_shapes_of_the_state():
    game = made(system=SYSTEMS["random lead time"], window=2)
    space = game.state_space()
    _, state = game.reset(jax.random.key(0))
    assert bool(space.contains(state))
    assert space.spaces["delay"].shape == (HORIZON + 1,) and space.spaces["stock"].spaces["pipeline"].shape == (3, 1)
    assert "delay" not in made().state_space().spaces


@pytest.mark.parametrize("settings", [{"max_order": 1.0}, {"order_grid": [0, 5, 10]}], ids=["continuous", "discrete"])
def test_gymnasium_finds_nothing_amiss(settings):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_env(env.GymnasiumEnv(made(**settings)))
    harmless = ("minimum value is -infinity", "maximum value is infinity", "not having a spec")
    assert [str(one.message) for one in found if not any(part in str(one.message) for part in harmless)] == []


def test_gymnasium_seeds_begin_a_stream_and_resets_go_on_with_it():
    one, other = env.GymnasiumEnv(made(window=3, features=("history",))), env.GymnasiumEnv(made(window=3, features=("history",)))
    streams = [[game.reset(seed=5)[0], game.reset()[0], game.reset()[0], game.reset(seed=5)[0]] for game in (one, other)]
    np.testing.assert_array_equal(*streams)
    np.testing.assert_array_equal(streams[0][0], streams[0][3])
    assert len({tuple(observation) for observation in streams[0]}) == 3
    with pytest.raises(ValueError, match="^options must be left out"):
        one.reset(options={"start": 3})


def test_gymnasium_leaves_the_reset_to_the_caller():
    game = made(horizon=4)
    adapter = env.GymnasiumEnv(game)
    with pytest.raises(gymnasium.error.ResetNeeded):
        adapter.step(np.array([1.0], np.float32))
    first, information = adapter.reset(seed=1)
    assert information == {} and isinstance(first, np.ndarray) and first.flags.writeable
    for period in range(4):
        observation, reward, terminated, truncated, information = adapter.step(np.array([2.0], np.float32))
        assert type(reward) is float and terminated is False and truncated is (period == 3)
        assert all(isinstance(leaf, np.ndarray) and leaf.shape == (1,) for leaf in jax.tree.leaves(information))
    # the final observation is that of period 4, and not of a new period 0
    np.testing.assert_allclose(observation[-4:-2], [np.sin(8 * np.pi / 7), np.cos(8 * np.pi / 7)], atol=1e-6)
    with pytest.raises(gymnasium.error.ResetNeeded):
        adapter.step(np.array([1.0], np.float32))


def test_gymnasium_refuses_an_action_that_is_not_finite():
    adapter = env.GymnasiumEnv(made())
    adapter.reset(seed=0)
    with pytest.raises(ValueError, match="^action must be finite"):
        adapter.step(np.array([np.nan], np.float32))


def test_gymnasium_rewards_are_those_of_the_environment():
    game = made(horizon=4)
    adapter = env.GymnasiumEnv(game)
    adapter.reset(seed=9)
    key = jax.random.key(int(np.random.Generator(np.random.PCG64(9)).integers(2**31)))
    _, state = game.reset(key)
    for _ in range(4):
        _, state, expected, *_ = game.step(key, state, np.array([5.0], np.float32))
        assert adapter.step(np.array([5.0], np.float32))[1] == float(expected)
