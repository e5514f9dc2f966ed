"""Two suppliers: a printed step, balances, one supplier as a special case, the four policies' exact costs, the environment."""

import warnings
from dataclasses import replace
from functools import lru_cache, partial
from itertools import product

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from omegaconf import OmegaConf
from scipy import sparse

from invbench import configs, env, problem, published, replay, run, tuning
from invbench.costs import CostModel
from invbench.dynamics import dual_source, single
from invbench.methods import capped_dual_index, dual_index, single_index, tailored_base_surge
from invbench.methods.base_stock import order_up_to
from invbench.scenarios import normal, uniform_discrete
from invbench.types import Observation, Paths, Policy, State

PERIODS, LANES = 40, 200
COST = CostModel(0.0, 100.0, 5.0, 495.0, 0.0, 0.0, expedite=5.0)  # Gijsbrechts et al. 2022: c_r = 100, c_e = 105, h = 5, b = 495
METHODS = {
    "single_index": single_index.SingleIndex,
    "dual_index": dual_index.DualIndex,
    "capped_dual_index": capped_dual_index.CappedDualIndex,
    "tailored_base_surge": tailored_base_surge.TailoredBaseSurge,
}
SYSTEMS = [(2, 0), (2, 1), (4, 0), (4, 3), (1, 0)]  # lead times, regular and expedited


def made(lead_time=2, expedite_lead_time=0, backlog=True, initial_stock=6, **rest):
    times = dict(lead_time=lead_time, expedite_lead_time=expedite_lead_time)
    return dual_source.create(**times, backlog=backlog, initial_stock=initial_stock, **rest)


def posed(system, scenario=None, horizon=PERIODS, window=0, cost=COST):
    scenario = scenario or uniform_discrete.create(low=0, high=4, items=1)
    sizes = dict(information="known", history=0, window=window, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario, system, cost, **sizes)


def ignore(metrics, step):
    pass


# ---- the physics


def test_the_step_that_is_worked_in_print():
    # Gijsbrechts et al. 2022: from [8, 3, 1], order 2 and expedite 1, demand 4: next [8, 1, 2]. The state is what is on hand and
    # the orders on their way, the next to arrive first. 2 x 100 + 1 x 105 + 5 x (8 + 1 - 4) = 330; then 5 + 3 on hand.
    system = made(lead_time=3)
    state = State(*map(jnp.float32, ([8], [12], [[0], [3], [1]], jnp.zeros((0, 1)))), jnp.int32(0))
    np.testing.assert_array_equal(system.observe(state).pipeline[:, 0], [3, 1])
    state, flows = system.transition(state, jnp.array([[2.0], [1.0]]), jnp.array([4.0]))
    seen = system.observe(state)
    assert (seen.on_hand, seen.position, *seen.pipeline[:, 0]) == (8, 11, 1, 2)
    assert COST.charge(flows).cost == 330
    assert (flows.ordered, flows.expedited, flows.placed, flows.received, flows.sold, flows.held) == (3, 1, 2, 1, 4, 5)
    settled = system.settle(state)
    assert settled.on_hand == 8 and settled.pipeline.sum() == 3 and system.observe(settled).on_hand == 8


@jax.jit
def roll(system, orders, demand):
    """Flows and the states after each period; orders: [period, ..., item] or [period, 2, item], demand: [period, item]."""

    def period(state, today):
        state, flows = system.transition(state, *today)
        return state, (flows, state)

    state = system.initial(jnp.zeros((0, *demand.shape[1:])), 5, 0)
    return jax.lax.scan(period, state, (orders, demand))[1]


def generated(lead_time, expedite_lead_time, backlog, capacity=None):
    """A system, with orders (some below zero: none) and demand of LANES items."""
    random = np.random.default_rng([lead_time, expedite_lead_time, backlog])
    orders = random.integers(-3, 5, (PERIODS, 2, LANES)).astype(np.float32)
    return made(lead_time, expedite_lead_time, backlog, capacity=capacity), orders, random.integers(0, 9, (PERIODS, LANES)) * 1.0


def later(orders, periods):
    return np.pad(orders, ((periods, 0), (0, 0)))[:PERIODS]


@pytest.mark.parametrize("times, backlog", list(product(SYSTEMS, [True, False])))
def test_units_balance_and_each_order_arrives_after_its_own_lead_time(times, backlog):
    system, orders, demand = generated(*times, backlog)
    flows, states = jax.tree.map(np.asarray, roll(system, orders, demand))
    regular, expedited = np.maximum(orders, 0).swapaxes(0, 1)
    np.testing.assert_array_equal(flows.expedited, expedited)
    np.testing.assert_array_equal(flows.ordered, regular + expedited)
    np.testing.assert_array_equal(flows.placed, (regular > 0) * 1.0 + (expedited > 0))
    # no order of a supplier overtakes another of the same one: each comes when it is due
    np.testing.assert_array_equal(flows.received, later(regular, times[0]) + later(expedited, times[1]))
    in_transit = regular[PERIODS - times[0] :].sum(0) + expedited[PERIODS - times[1] :].sum(0)
    np.testing.assert_array_equal(flows.ordered.sum(0), flows.received.sum(0) + in_transit)
    np.testing.assert_array_equal(6 + flows.received.sum(0), flows.sold.sum(0) + flows.held[-1])
    np.testing.assert_array_equal(demand.sum(0), flows.sold.sum(0) + flows.lost.sum(0) + flows.backlog[-1])
    np.testing.assert_array_equal(states.on_hand, flows.held - flows.backlog)
    np.testing.assert_array_equal(states.position, states.on_hand + np.cumsum(flows.ordered - flows.received, 0))
    assert flows.lost.any() != backlog and flows.backlog.any() == backlog


@pytest.mark.parametrize("times, backlog", list(product(SYSTEMS[:3], [True, False])))
@pytest.mark.parametrize("capacity", [None, 9])
def test_orders_without_a_supplier_are_those_of_a_single_source(times, backlog, capacity):
    system, orders, demand = generated(*times, backlog, capacity)
    alone = single.create(lead_time=times[0], backlog=backlog, initial_stock=6, capacity=capacity)
    (flows, states), (expected, same) = (roll(one, orders[:, 0], demand) for one in (system, alone))
    assert flows.expedited.shape == demand.shape and not flows.expedited.any() and expected.expedited is None
    jax.tree.map(np.testing.assert_array_equal, flows._replace(expedited=None), expected)
    jax.tree.map(np.testing.assert_array_equal, states, same)


def test_capacity_cuts_the_regular_order_first():
    # position 6, room 4: expedited 3 leaves room for 1; then 6 + 4 - 1 = 9: room 1, all of it expedited
    orders = jnp.array([[[5.0], [3.0]], [[2.0], [2.0]]])
    flows, _ = roll(made(lead_time=2, expedite_lead_time=1, capacity=10), orders, jnp.array([[1.0], [0.0]]))
    assert flows.ordered[:, 0].tolist() == [4, 1] and flows.expedited[:, 0].tolist() == [3, 1]


@pytest.mark.parametrize("times", SYSTEMS)
def test_simulation_is_the_dynamics_period_by_period(times):
    """In blocks, elementwise and not, whatever the compiler makes of the two writes into the ring."""
    scenario = normal.create(mean=6, std=2, items=2)
    given = posed(made(*times, backlog=False), scenario)
    policy, paths = dual_index.policy_of([12.0, 10.0], [28.0, 19.0], times[1]), given.evaluation_paths(64)
    flows = given.simulate(policy, paths)
    assert flows.expedited.any((0, 1)).all() and (flows.ordered > flows.expedited).any((0, 1)).all()
    jax.tree.map(np.testing.assert_array_equal, given.simulate(policy._replace(elementwise=False), paths), flows)
    state = given.system.initial(jnp.zeros((0, 64, 2)), 0, 0)
    for period in range(PERIODS):
        order = policy.apply(policy.params, given.system.observe(state), None)
        state, happened = given.system.transition(state, order, paths.demand[period])
        jax.tree.map(lambda one, all_: np.testing.assert_allclose(one, all_[:, period], atol=1e-4), happened, flows)


REFUSED = [
    (dict(lead_time=0), "system.lead_time must be a whole number >= 1, got 0"),
    (dict(expedite_lead_time=2), "system.expedite_lead_time must be < system.lead_time (2), got 2"),
    (dict(expedite_lead_time=-1), "system.expedite_lead_time must be a whole number >= 0, got -1"),
    (dict(backlog="yes"), "system.backlog must be true or false, got 'yes'"),
    (dict(initial_stock=-1), "system.initial_stock must be a number >= 0, got -1"),
    (dict(capacity=0), "system.capacity must be a number > 0, got 0"),
    (dict(capacity=5), "system.capacity must be >= system.initial_stock (6.0), got 5.0"),
]


@pytest.mark.parametrize("given, sentence", REFUSED)
def test_checks_at_the_door(given, sentence):
    with pytest.raises(ValueError) as refusal:
        made(**given)
    assert str(refusal.value) == sentence


# ---- the policies


def seen(on_hand, *outstanding):
    """Each [item]; the next to arrive first."""
    on_hand, pipeline = jnp.atleast_1d(jnp.float32(on_hand)), jnp.asarray(outstanding, jnp.float32).reshape(len(outstanding), -1)
    return Observation(on_hand, on_hand + pipeline.sum(0), pipeline, jnp.zeros((0, 1)), jnp.int32(0))


def ordered(policy, observation):
    return policy.apply(policy.params, observation, None).tolist()


def test_orders_by_hand():
    at = seen([3, 1, -2], [2, 0, 1], [1, 0, 4])  # positions 6, 1, 3; with what arrives in one period 5, 1, -1
    level, up_to = np.full(3, 4.0), np.full(3, 9.0)
    # single index: expedites 0, 3, 1 to positions 6, 4, 4; the rest up to 9
    assert ordered(single_index.policy_of(level, up_to), at) == [[3, 5, 5], [0, 3, 1]]
    # dual index, at once: on hand up to 4 takes 1, 3, 6, to positions 7, 4, 9
    assert ordered(dual_index.policy_of(level, up_to, 0), at) == [[2, 5, 0], [1, 3, 6]]
    # in one period: 0, 3, 5, to positions 6, 4, 8
    assert ordered(dual_index.policy_of(level, up_to, 1), at) == [[3, 5, 1], [0, 3, 5]]
    assert ordered(capped_dual_index.policy_of(level, up_to, np.full(3, 2.0), 1), at) == [[2, 2, 1], [0, 3, 5]]
    assert ordered(tailored_base_surge.policy_of(level, np.full(3, 2.0), 1), at) == [[2, 2, 2], [0, 3, 5]]
    # above both levels nothing is ordered, but what is ordered always
    above = seen(12, 0, 0)
    for policy in (
        single_index.policy_of([4], [9]),
        dual_index.policy_of([4], [9], 0),
        capped_dual_index.policy_of([4], [9], [2], 0),
    ):
        assert ordered(policy, above) == [[0], [0]]
    assert ordered(tailored_base_surge.policy_of([4], [2], 0), above) == [[2], [0]]


def candidates(name, times):
    """The policy with three candidates for two items, params [candidate, item], and each candidate's own policy."""
    expedite = np.linspace(4, 9, 6).reshape(3, 2)
    rules = {
        "single_index": lambda at: single_index.policy_of(at, 3 * at),
        "dual_index": lambda at: dual_index.policy_of(at, 3 * at, times[1]),
        "capped_dual_index": lambda at: capped_dual_index.policy_of(at, 3 * at, at / 2, times[1]),
        "tailored_base_surge": lambda at: tailored_base_surge.policy_of(at, at / 2, times[1]),
    }
    return rules[name](expedite), [rules[name](levels) for levels in expedite]


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("times", [(1, 0), (4, 2)])
def test_many_candidates_at_once_are_worth_what_each_is(name, times):
    given = posed(made(*times), normal.create(mean=6, std=2, items=2))
    paths, (many, alone) = given.training_paths(jax.random.key(0), 32), candidates(name, times)
    together = given.benefits(many, paths)
    assert together.shape == (3, 32, 2) and len(np.unique(together)) == together.size
    for worth, policy in zip(together, alone):
        np.testing.assert_allclose(worth, given.benefit(policy, paths), rtol=1e-5)


# ---- exact costs: a policy on the states that it reaches is a Markov chain

PRINTED = published.read("gijsbrechts2022_dual_sourcing")
CAP = 45.0  # units on hand; above, a constant order of 1 piles up with probability below 1e-20 (the root of E z^(1 - D) is 3.6)
FEW = 64  # states that are expanded at once, so that one program does


@partial(jax.jit, static_argnames="apply")
def successors(system, cost, apply, params, states):
    """The next states [demand, state, lead_time] and the money of the period [demand, state]; a state is as it is observed."""
    on_hand, ahead = states[:, :1], states[:, 1:].T[..., None]
    empty = jnp.zeros((1, *on_hand.shape))
    state = State(on_hand, on_hand + ahead.sum(0), jnp.concatenate([empty, ahead]), empty[:0], jnp.int32(0))
    order = apply(params, system.observe(state), None)

    def meet(demand):
        after, flows = system.transition(state, order, jnp.full_like(on_hand, demand))
        then = system.observe(after)
        return jnp.concatenate([jnp.minimum(then.on_hand, CAP), then.pipeline[..., 0].T], 1), cost.charge(flows).cost[:, 0]

    return jax.vmap(meet)(jnp.arange(5.0))


def reached(system, cost, policy):
    """The moves between numbered states, found breadth first: [move] from, to, money; demand is 0, …, 4."""
    first = (4.0,) + (1.0,) * (system.lead_time - 1)
    numbers, waiting, moves = {first: 0}, [first], []
    while waiting:
        here, waiting = waiting[:FEW], waiting[FEW:]
        padded = np.array(here + here[:1] * (FEW - len(here)), np.float32)
        after, money = map(np.asarray, successors(system, cost, policy.apply, policy.params, padded))
        for demand, (place, state) in product(range(5), enumerate(here)):
            to = tuple(after[demand, place].tolist())
            waiting += [to] if to not in numbers else []
            moves.append((numbers[state], numbers.setdefault(to, len(numbers)), float(money[demand, place])))
    return map(np.array, zip(*moves))


def exact_cost(system, cost, policy):
    """The long-run average cost of a period: stationary probabilities by power iteration, in float64."""
    before, after, money = reached(system, cost, policy)
    states = before.max() + 1
    chain = sparse.csr_matrix((np.full(len(before), 0.2), (before, after)), (states, states))
    share, last = np.full(states, 1 / states), np.zeros(states)
    while np.abs(share - last).max() > 1e-15:
        share, last = share @ chain, share
    return share @ np.bincount(before, 0.2 * money, states)


def of_print(row):
    """The four policies with the printed parameters."""
    numbers = lambda name: [[float(value)] for value in row[name].strip("()").split(",")]  # noqa: E731
    (surge, _, quantity), levels = numbers("TBS_par(S,-,r)"), [numbers(name)[:2] for name in ("SI_par(Se,Sr)", "DI_par")]
    return {
        "SI": single_index.policy_of(*levels[0]),
        "DI": dual_index.policy_of(*levels[1], 0),
        "CDI": capped_dual_index.policy_of(*numbers("CDI_par(Se,Sr,cap)"), 0),
        "TBS": tailored_base_surge.policy_of(surge, quantity, 0),
    }


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: f"{row['l_r']}, {row['c_e']}")
def test_exact_costs_of_the_printed_policies(row):
    system, cost = made(int(row["l_r"])), replace(COST, expedite=float(row["c_e"]) - 100)
    found = {name: exact_cost(system, cost, policy) for name, policy in of_print(row).items()}
    assert found == {name: pytest.approx(float(row[f"{name}_cost"]), abs=1e-5) for name in found}


@lru_cache
def fitted(name):
    """Tuned for the printed instance l_r = 2, c_e = 105; without c_r, or what is left at the end of the horizon would count."""
    given = posed(made(), horizon=300, cost=replace(COST, purchase=0.0))
    return METHODS[name](tuning.budget(500, 256, 4)).fit(given.for_fitting(), jax.random.key(0), ignore)


@pytest.mark.parametrize("name, short", list(zip(METHODS, ["SI", "DI", "CDI", "TBS"])))
def test_tuned_policies_cost_next_to_what_the_best_of_their_kind_do(name, short):
    policy = fitted(name)
    best = float(PRINTED[0][f"{short}_cost"])
    assert all(np.all(np.asarray(leaf) == np.round(leaf)) for leaf in policy.params.values())
    # 200 of it buys what is sold, whatever the policy; within 1 % of the rest
    assert best - 1e-5 <= exact_cost(made(), COST, policy) <= best + 0.01 * (best - 200)


@pytest.mark.parametrize("name", METHODS)
def test_one_supplier_is_refused_in_one_sentence(name):
    given = posed(single.create(lead_time=2, backlog=True, initial_stock=6))
    with pytest.raises(ValueError) as refusal:
        METHODS[name](tuning.budget(64, 16, 1)).fit(given, jax.random.key(0), ignore)
    assert str(refusal.value) == f"system must be dual_source for method {name}, got 'Single'"


def test_yaml():
    load = lambda group, name: OmegaConf.load(configs.home() / group / f"{name}.yaml")  # noqa: E731
    system = run.build(OmegaConf.to_container(load("system", "dual_source")))
    assert isinstance(system, dual_source.DualSource) and (system.lead_time, system.expedite_lead_time) == (2, 0)
    rates = run.build(OmegaConf.to_container(load("cost", "dual_source"))).operations
    assert jax.tree.leaves(rates) == jax.tree.leaves(COST)
    for name, method in METHODS.items():
        assert load("method", name)._target_ == f"invbench.methods.{name}.{method.__name__}"
        assert set(method.systems) <= set(configs.groups()["system"])


def test_initial_stock_is_that_of_the_regular_lead_time():
    given = posed(replace(made(lead_time=3), initial_stock=None))
    assert given.system.initial_stock.tolist() == [8]  # 4 periods of mean 2


# ---- the environment

HORIZON = 25


@partial(jax.jit, static_argnames="game")
def rollout(game, key, actions):
    """The first state, and the transitions of one episode with the given actions [horizon, 2 x item]."""
    _, first = game.reset(key)

    def period(state, action):
        observation, state, *rest = game.step(key, state, action)
        return state, (observation, *rest)

    return first, jax.lax.scan(period, first, actions)[1]


def scripted(params, observation, key):
    return params["orders"][observation.time]


@pytest.mark.parametrize("times, backlog", [((2, 0), True), ((3, 1), False)])
def test_an_episode_is_the_simulation_of_its_orders_bit_for_bit(times, backlog):
    given = posed(made(*times, backlog, 11), normal.create(mean=12, std=3, items=2), HORIZON)
    game = env.from_problem(given, max_order=[20, 20, 9, 9])
    assert game.num_actions == 4 and game.action_space().shape == (4,)
    actions = np.random.default_rng(3).uniform(-5, 25, (HORIZON, 4)).astype(np.float32)
    first, (_, reward, _, truncated, information) = rollout(game, jax.random.key(5), actions)
    assert truncated.tolist() == [False] * (HORIZON - 1) + [True]
    orders = np.clip(actions, 0, [20, 20, 9, 9]).astype(np.float32).reshape(HORIZON, 2, 2)
    policy = Policy({"orders": orders}, scripted, elementwise=False)
    paths = Paths(first.demand[:, None], jnp.zeros((0, 1, 2)))
    simulated = given.simulate(policy, paths)
    np.testing.assert_array_equal(simulated.expedited[0], orders[:, 1])
    assert simulated.missed.any()
    jax.tree.map(lambda told, expected: np.testing.assert_array_equal(told, expected[0]), information["flows"], simulated)
    np.testing.assert_allclose(reward.sum(), given.benefit(policy, paths).sum(), rtol=1e-5)


def gained(game, key, actions):
    """The sum of rewards of the first periods, as a function of the actions [period, 2 x item]."""
    period = lambda state, action: game.step(key, state, action)[1:3]  # noqa: E731
    return jax.lax.scan(period, game.reset(key)[1], actions)[1].sum()


def test_gradients_are_those_of_finite_differences():
    given = posed(made(2, 1, False, 11), normal.create(mean=12, std=3, items=1), 8, cost=CostModel(7, 3, 0.5, 4, 0, 0, 0, 1))
    game = env.from_problem(given, max_order=30).with_transition_gradients()
    actions = np.random.default_rng(0).uniform(3, 9, (8, 2)).astype(np.float32)
    value = partial(gained, game, jax.random.key(7))
    step = 0.01  # the sum of rewards is piecewise linear, and no kink is nearer than this to these actions
    moves = np.eye(16, dtype=np.float32).reshape(16, 8, 2) * step
    values = jax.jit(jax.vmap(value))
    differences = (values(actions + moves) - values(actions - moves)).reshape(8, 2) / (2 * step)
    np.testing.assert_allclose(jax.jit(jax.grad(value))(actions), differences, atol=0.02)
    assert len(np.unique(differences.round(2))) > 3


def test_registered_id():
    env.register()
    assert gymnax.registered_envs.count("InventoryDualSource-v0") == 1
    game, params = gymnax.make("InventoryDualSource-v0", lead_time=3, premium=10.0, horizon=4)
    assert isinstance(params.system, dual_source.DualSource) and params.system.lead_time == 3 and game.horizon == 4
    observation, state = game.reset(jax.random.key(0), params)
    # 8 on hand, nothing on order, position 8: order 2, expedite 1 at once
    assert observation[:4].tolist() == [8, 0, 0, 8]
    seen, after, reward, terminated, truncated, information = game.step(jax.random.key(1), state, jnp.array([2.0, 1.0]), params)
    demand = float(state.demand[0, 0])
    assert seen[:4].tolist() == [9 - demand, 0, 2, 11 - demand] and float(reward) == -(200 + 110 + 5 * (9 - demand))
    assert game.action_space(params).shape == (2,) and bool(game.observation_space(params).contains(seen))
    assert jax.tree.structure(after) == jax.tree.structure(state) and not terminated and not truncated


def test_one_order_quantity_is_not_enough_for_two_suppliers():
    with pytest.raises(ValueError, match="^environment.order_grid must be left out"):
        gymnax.make("InventoryDualSource-v0", max_order=None, order_grid=[0, 5])


def test_gymnasium_finds_nothing_amiss():
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        check_env(env.GymnasiumEnv(gymnax.make("InventoryDualSource-v0", max_order=1.0)[0]))
    harmless = ("minimum value is -infinity", "maximum value is infinity", "not having a spec")
    assert [str(one.message) for one in found if not any(part in str(one.message) for part in harmless)] == []


def test_methods_for_one_supplier_run_here_too():
    given = posed(made(), horizon=PERIODS)
    alone = posed(single.create(lead_time=2, backlog=True, initial_stock=6), horizon=PERIODS)
    policy = Policy({"level": jnp.full(1, 9.0)}, order_up_to)
    paths = given.evaluation_paths(16)
    np.testing.assert_array_equal(given.benefit(policy, paths), alone.benefit(policy, paths))
    assert replay.total(given.system, policy, paths, replay.identity).expedited.sum() == 0
