"""Perishable stock: worked examples, unit by unit by hand, exact values of published base-stock levels, and the rule that
counts expected waste."""

from dataclasses import replace

import gymnax
import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from omegaconf import OmegaConf

from invbench import configs, env, problem, published, run, tuning
from invbench.costs import CostModel
from invbench.dynamics import perishable, single
from invbench.methods.base_stock import BaseStock, order_up_to
from invbench.methods.waste_conscious_base_stock import WasteConsciousBaseStock, expected_waste, policy_of
from invbench.scenarios import gamma, poisson
from invbench.types import Observation, Policy

PERIODS, ITEMS = 12, 3  # of every generated example, so that few shapes compile
SYSTEM = dict(lead_time=1, life=2, issuing="fifo", initial_stock=0)
COST = CostModel(price=0.0, purchase=3.0, holding=1.0, shortage=5.0, fixed_order=0.0, salvage=0.0, waste=7.0)


@jax.jit
def roll(system, orders, demand):
    """The last state, and flows and states of every period; orders, demand: [period, item]."""

    def period(state, today):
        state, flows = system.transition(state, *today)
        return state, (flows, state)

    return jax.lax.scan(period, system.initial(jnp.zeros((0, *demand.shape[1:])), 0, 0), (orders, demand))


def column(values):
    return jnp.asarray(values, jnp.float32)[:, None]


def built(group, name, **changes):
    """The object of a YAML."""
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / group / f"{name}.yaml"))
    assert set(changes) <= set(plain)
    return run.build(plain | changes)


# ---- worked examples: one line a flow, one column a period

EXAMPLES = {
    # 4 units that live 2 periods, by remaining life 2 · 1; 3 and 5 more come in the next periods
    "fifo": (
        # 4 fresh: sell 1, 3 age · 3 old, 3 fresh: sell 2 of the old, 1 expires, 3 age
        # 3 old, 5 fresh: sell 3 old and 1 fresh, 4 age · 4 old: sell 4 of 6, lose 2
        dict(lead_time=1, life=2, issuing="fifo", initial_stock=4),
        dict(orders=[3, 5, 0, 0], demand=[1, 2, 4, 6]),
        dict(received=[0, 3, 5, 0], sold=[1, 2, 4, 4], lost=[0, 0, 0, 2], expired=[0, 1, 0, 0], held=[3, 3, 4, 0]),
        dict(position=[6, 8, 4, 0]),  # 4 + 3 - 1, 6 + 5 - 2 - 1, 8 - 4, 4 - 4
    ),
    "lifo": (
        # 4 fresh: sell 1, 3 age · 3 old, 3 fresh: sell 2 fresh, 3 expire, 1 ages
        # 1 old, 5 fresh: sell 4 fresh, 1 expires, 1 ages · 1 old: sell 1 of 6, lose 5
        dict(lead_time=1, life=2, issuing="lifo", initial_stock=4),
        dict(orders=[3, 5, 0, 0], demand=[1, 2, 4, 6]),
        dict(received=[0, 3, 5, 0], sold=[1, 2, 4, 1], lost=[0, 0, 0, 5], expired=[0, 3, 1, 0], held=[3, 1, 1, 0]),
        dict(position=[6, 6, 1, 0]),
    ),
    "the order comes at once and is cut to 6, lifo": (
        # 6 fresh: sell 2, 4 age · 4 of age 2, 5 fresh: sell 1 fresh, 4 and 4 age · 4 old, 4, 0 fresh: sell 4 of age 2 and 1 old,
        # 3 expire · 6 fresh: sell 6 of 7
        dict(lead_time=0, life=3, issuing="lifo", initial_stock=0, maximum_order=6),
        dict(orders=[9, 5, -2, 6], demand=[2, 1, 5, 7]),
        dict(ordered=[6, 5, 0, 6], received=[6, 5, 0, 6], sold=[2, 1, 5, 6], lost=[0, 0, 0, 1])
        | dict(expired=[0, 0, 3, 0], held=[4, 8, 0, 0]),
        dict(position=[4, 8, 0, 0]),
    ),
    "what is not sold on its day expires": (
        # 2 fresh: sell 2 of 3 · 4 come: sell 1, 3 expire · nothing · 1 comes: sell 1
        dict(lead_time=1, life=1, issuing="fifo", initial_stock=2),
        dict(orders=[4, 0, 1, 8], demand=[3, 1, 2, 1]),
        dict(received=[0, 4, 0, 1], sold=[2, 1, 0, 1], lost=[1, 0, 2, 0], expired=[0, 3, 0, 0], held=[0, 0, 0, 0]),
        dict(position=[4, 0, 1, 8]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name):
    given, decided, flows, states = EXAMPLES[name]
    last, (happened, after) = roll(perishable.create(**given), column(decided["orders"]), column(decided["demand"]))
    flows = dict(ordered=decided["orders"], demand=decided["demand"], backlog=[0] * 4, missed=flows["lost"]) | flows
    flows["placed"] = [float(order > 0) for order in flows["ordered"]]
    for flow, values in flows.items():
        np.testing.assert_array_equal(getattr(happened, flow)[:, 0], values, err_msg=flow)
    np.testing.assert_array_equal(after.position[:, 0], states["position"])
    assert last.time == 4


def test_what_a_policy_observes():
    # Life 3, lead time 2, 9 fresh at first; orders 4, 5 and 6 in periods 7, 8, 9, and 2 sold in each.
    # Period 7: 9 fresh, 7 left · 8: 5 left, 1 period to live · 9: 4 come; 3 old left, they expire; position 9 + 15 - 6 - 3
    # Period 10: 5 come; of remaining life 1, 2, 3 there are 0, 4, 5; 6 is due in 11
    system = perishable.create(lead_time=2, life=3, issuing="fifo", initial_stock=9)
    state = system.initial(column([1, 2, 3]), 7, 2)
    np.testing.assert_array_equal(system.observe(state).history[:, 0], [2, 3])
    np.testing.assert_array_equal(system.observe(state).ages[:, 0], [0, 0, 9])
    for order in (4.0, 5.0, 6.0):
        state, flows = system.transition(state, jnp.array([order]), jnp.array([2.0]))
    assert flows.expired == 3
    seen, settled = system.observe(state), system.settle(state)
    np.testing.assert_array_equal(seen.ages[:, 0], [0, 4, 5])
    assert (seen.on_hand, seen.position, seen.time) == (9, 15, 10)
    np.testing.assert_array_equal(seen.pipeline[:, 0], [6])
    np.testing.assert_array_equal(seen.history[:, 0], [2, 2])
    np.testing.assert_array_equal(settled.ages, seen.ages)
    assert settled.pipeline.sum() == 6 and settled.position == 15
    nothing = (jnp.zeros(1), jnp.zeros(1))
    jax.tree.map(np.testing.assert_array_equal, system.transition(settled, *nothing)[0], system.transition(state, *nothing)[0])


# ---- unit by unit


def by_hand(system, demand, decide):
    """Flows of one item, period by period: each unit is the number of the last period in which it can be sold.

    decide: of the period, the units in stock after receipt and the orders on their way, the next to arrive first.
    """
    flows = {name: [] for name in ("ordered", "received", "sold", "lost", "expired", "held")}
    stock, on_the_way = [system.life - 1] * int(system.initial_stock), [0] * max(system.lead_time - 1, 0)
    due = 0
    for time, wanted in enumerate(demand):
        stock += [time + system.life - 1] * due
        order = int(decide(time, stock, on_the_way))
        received, coming = (order, []) if system.lead_time == 0 else (due, [*on_the_way, order])
        stock = sorted(stock + [time + system.life - 1] * (order if system.lead_time == 0 else 0))
        sold = min(int(wanted), len(stock))
        stock = stock[sold:] if system.issuing == "fifo" else stock[: len(stock) - sold]
        kept = [last for last in stock if last > time]
        values = (order, received, sold, int(wanted) - sold, len(stock) - len(kept), len(kept))
        for name, value in zip(flows, values, strict=True):
            flows[name].append(value)
        stock = kept
        due, on_the_way = (coming[0], coming[1:]) if coming else (0, [])
    return flows


table = st.lists(st.lists(st.integers(-3, 15), min_size=ITEMS, max_size=ITEMS), min_size=PERIODS, max_size=PERIODS)


@st.composite
def runs(draw):
    """A system, orders and demand [period, item]."""
    lead_time, life = draw(st.sampled_from([0, 1, 3])), draw(st.sampled_from([1, 2, 4]))
    issuing, most = draw(st.sampled_from(["fifo", "lifo"])), draw(st.integers(1, 20))
    sizes = dict(lead_time=lead_time, life=life, issuing=issuing, maximum_order=most)
    system = perishable.create(**sizes, initial_stock=draw(st.integers(0, 30)))
    return system, np.array(draw(table), np.float32), np.abs(np.array(draw(table), np.float32))


@hypothesis.settings(max_examples=150, deadline=None, derandomize=True)
@hypothesis.given(runs())
def test_every_unit_by_hand_and_the_balance_of_units(given):
    system, orders, demand = given
    last, (flows, states) = roll(*given)
    flows = jax.tree.map(np.asarray, flows)
    most = int(system.maximum_order)
    for item in range(ITEMS):
        expected = by_hand(system, demand[:, item], lambda time, *_: np.clip(orders[time, item], 0, most))
        for name, values in expected.items():
            np.testing.assert_array_equal(getattr(flows, name)[:, item], values, err_msg=name)
    ordered, received, sold, expired = (getattr(flows, name).sum(0) for name in ("ordered", "received", "sold", "expired"))
    np.testing.assert_array_equal(received + system.initial_stock, sold + expired + flows.held[-1])
    np.testing.assert_array_equal(ordered, received + flows.ordered[PERIODS - system.lead_time :].sum(0))
    np.testing.assert_array_equal(states.ages.sum(1), flows.held)
    np.testing.assert_array_equal(states.position, flows.held + np.cumsum(flows.ordered - flows.received, 0))
    assert min(value.min() for value in jax.tree.leaves((flows, states.ages))) >= 0


@pytest.mark.parametrize("issuing", ["fifo", "lifo"])
@pytest.mark.parametrize("lead_time", [0, 2])
def test_what_lives_longer_than_the_horizon_is_lost_sales(lead_time, issuing):
    rng = np.random.default_rng(4)
    orders, demand = (rng.integers(0, most, (PERIODS, ITEMS)).astype(np.float32) for most in (9, 14))
    ours = perishable.create(lead_time=lead_time, life=PERIODS + 1, issuing=issuing, initial_stock=7)
    state, (flows, _) = roll(ours, orders, demand)
    other, (plain, _) = roll(single.create(lead_time=lead_time, backlog=False, initial_stock=7), orders, demand)
    jax.tree.map(np.testing.assert_array_equal, flows, plain)
    np.testing.assert_array_equal(state.position, other.position)
    assert not flows.expired.any() and flows.lost.any() and flows.held.any()


@pytest.mark.parametrize("issuing", ["fifo", "lifo"])
def test_the_system_and_its_state_are_pytrees(issuing):
    rng = np.random.default_rng(1)
    orders, demand = rng.integers(0, 9, (2, 5, PERIODS, ITEMS)).astype(np.float32)
    system = perishable.create(lead_time=3, life=3, issuing=issuing)
    system = replace(system, initial_stock=jnp.array([4.0, 0, 1]), maximum_order=jnp.array([7.0, 6, 5]))  # each item its own
    one_by_one = [roll(system, orders[i], demand[i]) for i in range(5)]
    side_by_side = jax.jit(jax.vmap(roll, in_axes=(None, 0, 0)))(system, orders, demand)
    block = roll(system, orders.swapaxes(0, 1), demand.swapaxes(0, 1))  # [period, path, item]: paths are lanes, too
    for i, alone in enumerate(one_by_one):
        jax.tree.map(lambda mine, all_of_them: np.testing.assert_array_equal(mine, all_of_them[i]), alone, side_by_side)
        jax.tree.map(lambda mine, lanes: np.testing.assert_array_equal(mine, lanes[:, i]), alone[1][0], block[1][0])


@pytest.mark.parametrize("issuing", ["fifo", "lifo"])
def test_the_money_is_differentiable_in_the_order_up_to_level(issuing):
    """The slope by hand of finite differences; demand is continuous, so that no kink lies within 1e-5."""
    demand = np.random.default_rng(2).gamma(4, 1, (30, 1))
    system = perishable.create(lead_time=1, life=2, issuing=issuing, initial_stock=0)

    def earned(level):
        def period(state, wanted):
            state, flows = system.transition(state, level - system.observe(state).position, wanted)
            return state, COST.charge(flows).benefit

        return jax.lax.scan(period, system.initial(jnp.zeros((0, 1)), 0, 0), jnp.asarray(demand))[1].sum()

    with jax.enable_x64(True):
        slope, step = jax.grad(earned)(7.3), 1e-5
        np.testing.assert_allclose(slope, (earned(7.3 + step) - earned(7.3 - step)) / (2 * step), rtol=1e-6)
        assert abs(float(slope)) > 1


# ---- in a problem


def posed(system, mean=4, items=1, **changes):
    sizes = dict(information="known", history=60, window=2, horizon=30, seed=0, evaluation_seed=0) | changes
    return problem.create(poisson.create(mean=mean, items=items), system, COST, **sizes)


def waste_by_hand(stock, on_the_way, time, mean, lead_time, life):
    """Units that expire in periods time, …, time + lead_time - 1 if `mean` is sold in each, the oldest first."""
    stock, waste = sorted(stock), 0
    for ahead in range(lead_time):
        stock = stock[mean:]
        kept = [last for last in stock if last > time + ahead]
        waste += len(stock) - len(kept)
        stock = kept + [time + ahead + life] * ([*on_the_way, 0][ahead] if ahead < len(on_the_way) else 0)
    return waste


@pytest.mark.parametrize(
    "lead_time, life, issuing", [(0, 2, "fifo"), (1, 2, "lifo"), (2, 2, "fifo"), (4, 2, "lifo"), (2, 5, "lifo")]
)
def test_replayed_by_hand_with_both_rules(lead_time, life, issuing):
    """Simulated in blocks and path by path; the rules read what the period then moves."""
    made = posed(perishable.create(lead_time=lead_time, life=life, issuing=issuing, initial_stock=6, maximum_order=12))
    level, mean, paths = 4 * (lead_time + 1) + 3, 4, made.evaluation_paths(16)

    def short(stock, on_the_way):
        return level - len(stock) - sum(on_the_way)

    def plain(time, stock, on_the_way):
        return np.clip(short(stock, on_the_way), 0, 12)

    def conscious(time, stock, on_the_way):
        return np.clip(short(stock, on_the_way) + waste_by_hand(stock, on_the_way, time, mean, lead_time, life), 0, 12)

    rules = [(Policy({"level": jnp.full(1, float(level))}, order_up_to), plain)]
    rules += [(policy_of(np.full(1, level), np.full(1, mean), lead_time, whole=True), conscious)]
    for policy, decide in rules:
        flows = made.simulate(policy, paths)
        jax.tree.map(np.testing.assert_array_equal, flows, made.simulate(policy._replace(elementwise=False), paths))
        for path in range(16):
            for name, values in by_hand(made.system, np.asarray(paths.demand)[:, path, 0], decide).items():
                np.testing.assert_array_equal(getattr(flows, name)[path, :, 0], values, err_msg=name)
    assert flows.expired.sum() > 0 and flows.lost.sum() > 0


def test_stock_at_the_start_is_the_expected_demand_where_none_is_given():
    made = posed(perishable.create(lead_time=1, life=2, issuing="fifo", initial_stock=None), mean=10, items=2)
    np.testing.assert_array_equal(made.system.initial_stock, [20, 20])  # of lead time 1 and one period, 10 in each


# ---- published values of base-stock levels


def expected_return(system, cost, level, pmf, discount=0.99, warm_up=100, periods=365):
    """Of `periods` from empty after `warm_up` periods that count for nothing: exact, over all states up to `maximum_order`.

    A state is what a policy sees: units by remaining life and the orders on their way. Each period asks for one order, so that
    no part of it exceeds `maximum_order`.
    """
    sides = (int(system.maximum_order) + 1,) * (system.life + system.lead_time - 1)
    parts = np.indices(sides).reshape(len(sides), -1, 1, 1).astype(np.float32)  # [part, state, demand, item]
    parts = np.broadcast_to(parts, (len(sides), *parts.shape[1:2], len(pmf), 1))
    demand = jnp.broadcast_to(jnp.arange(len(pmf), dtype=jnp.float32)[:, None], parts.shape[1:])
    ages, on_the_way = parts[: system.life], parts[system.life :]
    state = system.initial(jnp.zeros((0, *parts.shape[1:])), 0, 0)
    pipeline = jnp.concatenate([jnp.zeros_like(parts[:1]), on_the_way])  # slot 0, that of period 0, has arrived
    state = state._replace(ages=jnp.asarray(ages), position=jnp.asarray(parts.sum(0)), pipeline=pipeline)
    order = order_up_to({"level": jnp.full(1, float(level))}, system.observe(state), None)
    after, flows = jax.jit(system.transition)(state, order, demand)
    seen = system.observe(after)
    following = np.ravel_multi_index(np.concatenate([seen.ages, seen.pipeline]).astype(int)[..., 0], sides)
    money = np.asarray(cost.charge(flows).benefit, np.float64)[..., 0] @ pmf
    value = np.zeros(len(money))
    for _ in range(periods):
        value = money + discount * (value[following] @ pmf)
    for _ in range(warm_up):
        value = value[following] @ pmf
    return value[0]


SHORT_LIVED = [row for row in published.read("demoor2022") if row["m"] == "2"]


@pytest.mark.parametrize("row", SHORT_LIVED, ids=lambda row: row["instance"])
def test_base_stock_levels_of_de_moor_are_worth_what_is_published(row):
    system = built(
        "system", "perishable", life=2, lead_time=int(row["L"]), issuing=row["issuing"].lower(), maximum_order=10, initial_stock=0
    )
    cost = built("cost", "perishable", waste=float(row["waste_cost"])).operations
    pmf, best = built("scenario", "gamma").pmf(), int(row["best_S"])
    worth = expected_return(system, cost, best, pmf)
    assert abs(worth - float(row["verified_base_stock"])) < 0.01
    assert abs(worth - float(row["published_base_stock"])) < 2  # printed from simulation, rounded, standard error about 0.6
    assert max(expected_return(system, cost, level, pmf) for level in (best - 1, best + 1)) < worth


def test_all_the_rows_are_there():
    assert {(row["L"], row["issuing"], row["waste_cost"]) for row in SHORT_LIVED} == {
        (lead_time, issuing, waste) for lead_time in "12" for issuing in ("Fifo", "Lifo") for waste in ("7.0", "10.0")
    }


# ---- base-stock with expected waste


def seen(ages, pipeline=()):
    """An observation of one item."""
    ages, pipeline = column(ages), jnp.asarray(pipeline, jnp.float32).reshape(-1, 1)
    return Observation(ages.sum(0), ages.sum(0) + pipeline.sum(0), pipeline, jnp.zeros((0, 1)), jnp.int32(0), ages)


@pytest.mark.parametrize("ages, pipeline, mean, lead_time, waste", [
    ([9, 2], [], 4, 0, 0),  # nothing that is ordered now is for later than what expires now
    ([9, 2], [], 4, 1, 5),  # 9 - 4
    ([3, 2], [], 4, 1, 0),
    ([9, 6], [1], 4, 2, 5 + 2),  # 5 expire, the 6 age: 2 of them are left
    ([1, 5, 2], [0], 4, 2, 0),  # 3 of the 5 are sold at once, then 2 of 2 and 2 of the 2 that came last
    ([6, 0], [7, 0], 1.5, 3, 4.5 + 0 + 4),  # the 7 of the next period: 5.5 are left, 4 after another
])  # fmt: skip
def test_expected_waste_by_hand(ages, pipeline, mean, lead_time, waste):
    assert expected_waste(jnp.full((lead_time, 1), mean), seen(ages, pipeline)) == waste


def test_the_order_makes_up_for_expected_waste():
    # S = 12, position 9 + 2 = 11, of which 9 - 3.6 = 5.4 will expire: 12 - 11 + 5.4; in whole units 12 - 11 + 5
    for whole, order in ((False, 6.4), (True, 6)):
        policy = policy_of(np.full(1, 12), np.full(1, 3.6), 1, whole)
        np.testing.assert_allclose(policy.apply(policy.params, seen([9, 2]), None), order, rtol=1e-6)
    assert policy.apply(policy.params, seen([9, 20]), None) == 0  # position 29, less 5


def fitted(method, made):
    return method(tuning.budget(512, 32, 2)).fit(made.for_fitting(), jax.random.key(3), lambda metrics, step: None)


def test_it_earns_more_than_base_stock_and_orders_whole_units():
    system = perishable.create(lead_time=2, life=2, issuing="fifo", initial_stock=8, maximum_order=10)
    made = replace(posed(system, horizon=100), scenario=gamma.create(mean=4, cv=0.5, items=1))
    conscious, plain = fitted(WasteConsciousBaseStock, made), fitted(BaseStock, made)
    paths = made.validation_paths(1000)
    gain = np.asarray(made.benefit(conscious, paths) - made.benefit(plain, paths), np.float64)[:, 0]
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(gain))  # 0.5 % of the cost, common paths
    ordered = np.asarray(made.simulate(conscious, paths).ordered)
    assert (ordered == np.round(ordered)).all() and conscious.params["level"] == np.round(conscious.params["level"])


def test_many_levels_at_once_are_worth_what_each_is():
    made = posed(perishable.create(lead_time=2, life=3, issuing="lifo", initial_stock=8), items=2)
    paths, levels = made.evaluation_paths(64), np.array([[8.0, 9], [11, 12], [14, 6]])
    rules = [policy_of(level, np.full(2, 4.0), 2, whole=True) for level in levels]
    shared = {name: leaf for name, leaf in rules[0].params.items() if name != "level"}
    together = made.benefits(rules[0]._replace(params={"level": jnp.asarray(levels, jnp.float32)}), paths, shared)
    np.testing.assert_array_equal(together, np.stack([made.benefit(rule, paths) for rule in rules]))


def test_it_is_for_perishable_stock_alone():
    made = posed(single.create(lead_time=2, backlog=False, initial_stock=8))
    with pytest.raises(ValueError, match="^system must be perishable for method waste_conscious_base_stock, got 'Single'$"):
        fitted(WasteConsciousBaseStock, made)


# ---- the environment


def test_the_environment_plays_de_moor():
    assert gymnax.registered_envs.count("InventoryPerishable-v0") == 1
    game, params = gymnax.make("InventoryPerishable-v0", life=3, lead_time=2, issuing="lifo", horizon=6)
    assert (params.system.life, params.system.issuing, game.horizon, game.features[0]) == (3, "lifo", 6, "ages")
    observation, state = game.reset(jax.random.key(0), params)
    orders = [9, 8, 11, 0, 12, 1]
    expected = by_hand(params.system, np.asarray(state.demand)[:, 0], lambda time, *_: min(orders[time], 10))
    np.testing.assert_array_equal(observation[:5], 0)  # three ages, one order on its way, the position
    for time, order in enumerate(orders):
        assert bool(game.observation_space(params).contains(observation))
        observation, state, reward, _, truncated, told = game.step(jax.random.key(1), state, jnp.array([float(order)]), params)
        happened = {name: getattr(told["flows"], name)[0] for name in expected}
        assert happened == {name: values[time] for name, values in expected.items()}
        now = {name: values[time] for name, values in expected.items()}
        assert reward == -(3 * now["ordered"] + 5 * now["lost"] + 7 * now["expired"] + now["held"])
        if time < 5:
            ages, on_the_way, position = observation[:3], observation[3], observation[4]
            assert ages.sum() + on_the_way == position
    assert bool(truncated) and sum(expected["expired"]) > 0


# ---- refusals

WRONG = {
    "lead_time": (-1, 1.5, True, "2", None),
    "life": (0, -1, 2.5, 101, None),
    "issuing": ("random", None, "FIFO"),
    "maximum_order": (0, -5, float("nan")),
    "initial_stock": (-1, float("nan"), float("inf"), "3"),
}


@pytest.mark.parametrize("field, value", [(field, value) for field, values in WRONG.items() for value in values], ids=str)
def test_refused_naming_the_field(field, value):
    with pytest.raises(ValueError, match=rf"^system\.{field} must be"):
        perishable.create(**SYSTEM | {field: value})


def test_backlog_is_not_offered():
    with pytest.raises(TypeError):
        perishable.create(**SYSTEM, backlog=True)
    assert built("system", "perishable").backlog is False
    assert "ages" in env.FEATURES
