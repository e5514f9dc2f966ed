"""Single-echelon physics: worked examples, what an order is admitted as, and balances that nothing may break."""

from dataclasses import replace

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy import stats

from invbench.dynamics import single
from invbench.types import recent_mean, weighted_history

PERIODS, ITEMS = 12, 3  # of every generated example, so that few shapes compile
SYSTEM = dict(lead_time=1, backlog=False, initial_stock=0)


@jax.jit
def roll(system, orders, demand, delay=None):
    """The last state, and flows and states of every period; orders, demand: [period, item], delay: [period]."""

    def period(state, today):
        state, flows = system.transition(state, *today)
        return state, (flows, state)

    state = system.initial(jnp.zeros((0, *demand.shape[1:])), 0, 0)
    return jax.lax.scan(period, state, (orders, demand, delay))


@jax.jit
def step(system, state, order, demand, delay=None):
    """The state after one period of a single item."""
    return system.transition(state, jnp.atleast_1d(order), jnp.atleast_1d(demand), delay)[0]


observe = jax.jit(lambda system, state, delay=None: system.observe(state, delay))


def column(values):
    return jnp.asarray(values, jnp.float32)[:, None]


# ---- worked examples: one line a flow, one column a period

EXAMPLES = {
    "lost sales, at once": (
        # 3 + 4 = 7, sell 5, keep 2 · nothing comes: sell 2 of 4 · 5 come: sell 2, keep 3
        dict(lead_time=0, backlog=False, initial_stock=3),
        dict(orders=[4, 0, 5], demand=[5, 4, 2]),
        dict(received=[4, 0, 5], sold=[5, 2, 2], lost=[0, 2, 0], held=[2, 0, 3]),
    ),
    "lost sales, lead time 1": (
        # sell 3 of 5 · 4 come: sell 4 of 4 · nothing comes: lose 2 · 5 come: sell 1, keep 4
        dict(lead_time=1, backlog=False, initial_stock=3),
        dict(orders=[4, 0, 5, 0], demand=[5, 4, 2, 1]),
        dict(received=[0, 4, 0, 5], sold=[3, 4, 0, 1], lost=[2, 0, 2, 0], held=[0, 0, 0, 4]),
    ),
    "lost sales, lead time 2": (
        # keep 2 of 6 · lose 1 of 3 · 2 come: sell 1, keep 1 · 7 come: 8, sell 5, keep 3 · 1 comes: 4, sell 4, keep 0
        dict(lead_time=2, backlog=False, initial_stock=6),
        dict(orders=[2, 7, 1, 0, 9], demand=[4, 3, 1, 5, 4]),
        dict(received=[0, 0, 2, 7, 1], sold=[4, 2, 1, 5, 4], lost=[0, 1, 0, 0, 0], held=[2, 0, 1, 3, 0]),
    ),
    "backlog, lead time 1": (
        # sell 3 of 5, owe 2 · 4 come: 2 pay the debt, sell 2 of 6, owe 4 (all of today)
        # 1 comes: owe 3 + 2 = 5, missed 2 · 9 come: hand over 5 + 1, keep 3
        dict(lead_time=1, backlog=True, initial_stock=3),
        dict(orders=[4, 1, 9, 0], demand=[5, 6, 2, 1]),
        dict(received=[0, 4, 1, 9], sold=[3, 4, 1, 6], missed=[2, 4, 2, 0], backlog=[2, 4, 5, 0], held=[0, 0, 0, 3]),
    ),
    "backlog, at once": (
        # sell 1 of 4, owe 3 · 2 come: owe 1 + 0 · 6 come: hand over 1 + 2, keep 3
        dict(lead_time=0, backlog=True, initial_stock=1),
        dict(orders=[0, 2, 6], demand=[4, 0, 2]),
        dict(received=[0, 2, 6], sold=[1, 2, 3], missed=[3, 0, 0], backlog=[3, 1, 0], held=[0, 0, 3]),
    ),
    "minimum order, batch and capacity": (
        # position 2: asked for 1, minimum 5, whole batches 8, room 18: 8 · position 2 + 8 - 2 = 8: 9, 12, room 12: 12
        # position 8 + 12 - 3 = 17: 6, 8, room 3, none of whole batches: 0 · position 17 - 5 = 12: nothing asked for
        dict(lead_time=1, backlog=False, initial_stock=2, minimum_order=5, batch=4, capacity=20),
        dict(orders=[1, 9, 6, 0], demand=[3, 3, 5, 0]),
        dict(ordered=[8, 12, 0, 0], received=[0, 8, 12, 0], sold=[2, 3, 5, 0], lost=[1, 0, 0, 0], held=[0, 5, 12, 12]),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_worked_examples(name):
    given, decided, expected = EXAMPLES[name]
    state, (flows, _) = roll(single.create(**given), column(decided["orders"]), column(decided["demand"]))
    nothing = dict.fromkeys(("lost", "backlog", "expired"), [0] * len(decided["demand"]))
    expected = nothing | dict(ordered=decided["orders"], demand=decided["demand"]) | expected
    expected = dict(missed=expected["lost"]) | expected  # backlog is given both
    expected["placed"] = [float(order > 0) for order in expected["ordered"]]
    for flow, values in expected.items():
        np.testing.assert_array_equal(getattr(flows, flow)[:, 0], values, err_msg=flow)
    assert state.time == len(decided["demand"])


def test_random_lead_time_replayed_by_hand():
    # In period t all arrives that was ordered up to t - draw; orders are powers of two, so that sums say which.
    #   t:       0  1  2      3       4   5   6   7   8
    #   draw:    3  2  1      0       3   1   3   3   3
    #   up to:  -3 -1  1      3       1   4   3   4   5
    #   arrives: -  -  0, 1   2, 3    -   4   -   -   5
    delay = jnp.array([3, 2, 1, 0, 3, 1, 3, 3, 3])
    orders = 2.0 ** jnp.arange(9)
    system = single.create(lead_time=3, backlog=False, initial_stock=0, lead_time_distribution=[0.1, 0.2, 0.3, 0.4])
    _, (flows, _) = roll(system, orders[:, None], jnp.zeros((9, 1)), delay)
    np.testing.assert_array_equal(flows.received[:, 0], [0, 0, 1 + 2, 4 + 8, 0, 16, 0, 0, 32])
    np.testing.assert_array_equal(flows.held[:, 0], np.cumsum([0, 0, 3, 12, 0, 16, 0, 0, 32]))


def test_what_a_policy_observes():
    # Lead time 3, orders 1, 2, 4 in periods 5, 6, 7: in period 8 the first has arrived, 2 and 4 are due in 9 and 10.
    # Sold: 6 of 6, 4 of 7, 0 of 8; the window of 4 has one period from before. Position 10 - 10 + 7 = 7.
    system = single.create(lead_time=3, backlog=False, initial_stock=10)
    state = system.initial(column([3, 1, 2, 4, 5]), 5, 4)
    np.testing.assert_array_equal(observe(system, state).history[:, 0], [1, 2, 4, 5])
    for order, demand in ((1.0, 6.0), (2.0, 7.0), (4.0, 8.0)):
        state = step(system, state, order, demand)
    seen = observe(system, state)
    assert (seen.on_hand, seen.position, seen.time) == (1, 7, 8)
    np.testing.assert_array_equal(seen.pipeline[:, 0], [2, 4])
    np.testing.assert_array_equal(seen.history[:, 0], [5, 6, 4, 0])
    assert weighted_history(seen, column([1, 10, 100, 1000])) == 5 + 60 + 400
    assert recent_mean(seen) == (5 + 6 + 4 + 0) / 4


def test_a_policy_sees_sales_where_they_are_lost_and_demand_where_it_is_owed():
    for backlog, seen in ((False, 2), (True, 9)):
        system = single.create(lead_time=1, backlog=backlog, initial_stock=2)
        state = step(system, system.initial(column([0]), 0, 1), 0.0, 9.0)
        assert observe(system, state).history == seen


def test_random_lead_time_is_seen_only_once_it_has_arrived():
    system = single.create(lead_time=2, backlog=False, initial_stock=0, lead_time_distribution=[0, 0.5, 0.5])
    state = system.initial(jnp.zeros((0, 1)), 0, 0)
    for order in (1.0, 2.0):
        state = step(system, state, order, 0.0, 2)
    late, early = (observe(system, state, draw) for draw in (2, 1))
    assert (late.on_hand, late.pipeline[0], early.on_hand, early.pipeline[0]) == (1, 2, 3, 0)


@pytest.mark.parametrize("lead_time", [0, 2])
def test_an_order_may_be_an_integer(lead_time):
    """As a policy that picks one of a few whole orders returns it."""
    system = single.create(lead_time=lead_time, backlog=False, initial_stock=0)
    state = step(system, system.initial(jnp.zeros((0, 1)), 0, 0), jnp.int32(3), 0.0)
    assert state.position == 3


# ---- admission

CASES = [
    # (constraints, inventory position, asked for, admitted)
    ({}, 5, 7.5, 7.5),
    ({}, 5, -3, 0),
    (dict(minimum_order=5), 0, 0, 0),
    (dict(minimum_order=5), 0, 0.1, 5),
    (dict(minimum_order=5), 0, 7, 7),
    (dict(batch=4), 0, 1, 4),
    (dict(batch=4), 0, 8, 8),
    (dict(batch=0.5), 0, 0.7, 1),
    (dict(minimum_order=5, batch=4), 0, 2, 8),  # 5, then up to whole batches
    (dict(capacity=10), 7, 5, 3),
    (dict(capacity=10), 10, 5, 0),
    (dict(capacity=10), 12, 5, 0),  # above capacity already
    (dict(capacity=10), -6, 99, 16),  # what is owed makes room
    (dict(batch=4, capacity=10), 5, 5, 4),  # 8 does not fit into 5
    (dict(batch=4, capacity=10), 7, 5, 0),  # no batch fits into 3
    (dict(minimum_order=5, capacity=10), 5, 8, 5),
    (dict(minimum_order=5, capacity=10), 7, 8, 0),  # 3 would be below the minimum
    (dict(minimum_order=5, batch=4, capacity=10), 1, 6, 8),  # room 9, of whole batches 8
    (dict(minimum_order=5, batch=4, capacity=10), 3, 6, 0),  # room 7, of whole batches 4: below the minimum
]


@pytest.mark.parametrize("constraints, position, asked, admitted", CASES)
def test_admitted_order(constraints, position, asked, admitted):
    assert single.create(**SYSTEM | constraints).admit(jnp.float32(position), jnp.float32(asked)) == admitted


# ---- balances

whole_numbers = st.integers(0, 40)
table = st.lists(st.lists(st.integers(-3, 40), min_size=ITEMS, max_size=ITEMS), min_size=PERIODS, max_size=PERIODS)


@st.composite
def runs(draw):
    """A system with every constraint (those of 1 and 10^6 do not bind), orders, demand and the draws of its lead time."""
    lead_time, backlog = draw(st.sampled_from([0, 1, 3])), draw(st.booleans())
    minimum, batch = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    initial = draw(whole_numbers)
    capacity = max(initial, 20) + draw(st.sampled_from([0, 13, 10**6]))
    varies = lead_time > 0 and draw(st.booleans())
    odds = [1 / (lead_time + 1)] * (lead_time + 1) if varies else None
    system = single.create(
        lead_time=lead_time, backlog=backlog, initial_stock=initial, minimum_order=minimum, batch=batch, capacity=capacity,
        lead_time_distribution=odds,
    )  # fmt: skip
    delay = draw(st.lists(st.integers(0, lead_time), min_size=PERIODS, max_size=PERIODS)) if varies else None
    orders, demand = np.array(draw(table)), np.abs(draw(table))
    return system, orders.astype(np.float32), demand.astype(np.float32), None if delay is None else np.array(delay, np.int32)


@hypothesis.settings(max_examples=100, deadline=None, derandomize=True)
@hypothesis.given(runs())
def test_units_balance(run):
    system, _, demand, _ = run
    state, (flows, states) = roll(*run)
    flows, pipeline = (jax.tree.map(np.asarray, part) for part in (flows, states.pipeline))
    ordered, received, sold, expired = (getattr(flows, name).sum(0) for name in ("ordered", "received", "sold", "expired"))
    np.testing.assert_array_equal(ordered, received + in_transit(run, flows))
    np.testing.assert_array_equal(received + system.initial_stock, sold + expired + flows.held[-1])
    if system.backlog:
        np.testing.assert_array_equal(demand.sum(0), sold + flows.backlog[-1])
        assert not flows.lost.any()
    else:
        np.testing.assert_array_equal(flows.sold + flows.lost, demand)
        assert not flows.backlog.any()
    np.testing.assert_array_equal(states.on_hand, flows.held - flows.backlog)
    np.testing.assert_array_equal(states.position, np.asarray(states.on_hand) + on_order(flows))
    assert min(value.min() for value in jax.tree.leaves(flows)) >= 0 and pipeline.min(initial=0) >= 0
    assert (flows.held <= system.capacity).all() and (np.asarray(states.position) <= system.capacity).all()
    assert (flows.held * flows.backlog == 0).all()


def on_order(flows):
    """[period, item] units ordered and not yet received at the end of each period."""
    return np.cumsum(flows.ordered - flows.received, 0)


def in_transit(run, flows):
    """[item] units on their way at the end, counted order by order and not from flows.received."""
    system, _, _, delay = run
    newest = newest_arrival(system, delay)[-1]
    return flows.ordered[newest + 1 :].sum(0)


def newest_arrival(system, delay):
    """[period] the last period all of whose orders have arrived: below 0 if none."""
    draws = np.full(PERIODS, system.lead_time) if delay is None else delay
    return np.maximum.accumulate(np.maximum(np.arange(PERIODS) - draws, -1))


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(runs())
def test_orders_never_cross_and_arrive_in_time(run):
    system, _, _, delay = run
    _, (flows, _) = roll(*run)
    ordered, received = (np.pad(np.cumsum(flow, 0), ((1, 0), (0, 0))) for flow in (flows.ordered, flows.received))
    # first in, first out: what has arrived is all that was ordered up to some period, which never goes back
    np.testing.assert_array_equal(received[1:], ordered[newest_arrival(system, delay) + 1])
    late = np.maximum(np.arange(1, PERIODS + 1) - system.lead_time, 0)
    assert (received[1:] <= ordered[1:]).all() and (received[1:] >= ordered[late]).all()


@pytest.mark.parametrize("backlog", [False, True])
def test_fractions_of_units_balance(backlog):
    rng = np.random.default_rng(0)
    orders, demand = (rng.gamma(2, 5, (PERIODS, ITEMS)).astype(np.float32) for _ in range(2))
    _, (flows, states) = roll(single.create(lead_time=3, backlog=backlog, initial_stock=2.5), orders, demand)
    held, owed = flows.held[-1], flows.backlog[-1]
    # 36 additions of numbers below 200 in float32 (2^-24 relative) stay within 1e-3
    np.testing.assert_allclose(flows.received.sum(0) + 2.5, flows.sold.sum(0) + held, atol=1e-3)
    np.testing.assert_allclose(demand.sum(0), (flows.sold + flows.lost).sum(0) + owed, atol=1e-3)
    np.testing.assert_allclose(states.position, np.asarray(states.on_hand) + on_order(jax.tree.map(np.asarray, flows)), atol=1e-3)


@pytest.mark.parametrize("lead_time", [0, 1, 3])
def test_an_order_that_is_the_same_for_all_items_counts_for_each(lead_time):
    system = single.create(lead_time=lead_time, backlog=False, initial_stock=0)
    state, (flows, _) = roll(system, jnp.ones((PERIODS, 1)), jnp.zeros((PERIODS, ITEMS)))
    assert flows.ordered.shape == flows.placed.shape == (PERIODS, ITEMS)
    np.testing.assert_array_equal(flows.ordered.sum(0), flows.received.sum(0) + state.pipeline.sum(0))
    np.testing.assert_array_equal(flows.held[-1], np.full(ITEMS, PERIODS - lead_time))


# ---- the random lead time and the records


def test_lead_time_draws_have_their_distribution():
    """Chi-square; false alarm 1e-4 (a fixed key, so it happens always or never)."""
    odds = [0, 0.1, 0.4, 0.3, 0.2]
    system = single.create(lead_time=4, backlog=False, lead_time_distribution=odds)
    draws = np.asarray(system.draw_delays(jax.random.key(1), 100, 400))
    assert draws.shape == (100, 400) and draws.dtype == np.int32
    counts = np.bincount(draws.ravel(), minlength=5)
    assert counts[0] == 0 and len(counts) == 5
    assert stats.chisquare(counts[1:], np.array(odds[1:]) * draws.size).pvalue > 1e-4
    assert abs(np.corrcoef(draws[1:].ravel(), draws[:-1].ravel())[0, 1]) < stats.norm.isf(0.5e-4) / np.sqrt(draws.size)
    assert single.create(**SYSTEM).draw_delays(jax.random.key(1), 100, 400) is None


def test_draws_that_cannot_be_are_left_off():
    system = single.create(lead_time=1, backlog=False, lead_time_distribution=[0.5, 0.5, 0, 0])
    assert system.lead_time_distribution.shape == (2,)


def test_the_system_and_its_state_are_pytrees():
    rng = np.random.default_rng(1)
    orders, demand = rng.integers(0, 9, (2, 5, PERIODS, ITEMS)).astype(np.float32)
    system = single.create(lead_time=3, backlog=False, initial_stock=4, batch=2)
    system = replace(system, initial_stock=jnp.array([4.0, 0, 1]), batch=jnp.array([2.0, 1, 3]))  # each item its own
    one_by_one = [roll(system, orders[i], demand[i]) for i in range(5)]
    side_by_side = jax.jit(jax.vmap(roll, in_axes=(None, 0, 0)))(system, orders, demand)
    block = roll(system, orders.swapaxes(0, 1), demand.swapaxes(0, 1))  # [period, path, item]: paths are lanes, too
    for i, alone in enumerate(one_by_one):
        jax.tree.map(lambda mine, all_of_them: np.testing.assert_array_equal(mine, all_of_them[i]), alone, side_by_side)
        jax.tree.map(lambda mine, lanes: np.testing.assert_array_equal(mine, lanes[:, i]), alone[1][0], block[1][0])


# ---- refusals

WRONG = {  # one field, and values that it must not have
    "lead_time": (-1, 1.5, True, "2", None),
    "backlog": ("yes", 1, None),
    "initial_stock": (-1, float("nan"), float("inf"), "3"),
    "minimum_order": (0, -5),
    "batch": (0, -1),
    "capacity": (0, float("nan")),
    "lead_time_distribution": ([0.5, 0.4], [], 0.5),
}
REFUSED = [({field: value}, f"system.{field} must be") for field, values in WRONG.items() for value in values] + [
    (dict(capacity=4, initial_stock=5), "system.capacity must be"),
    (dict(capacity=4, minimum_order=5), "system.capacity must be"),
    (dict(capacity=3, batch=4), "system.capacity must be"),  # no batch would ever fit
    (dict(capacity=7, minimum_order=5, batch=4), "system.capacity must be"),  # nor the smallest admissible order, 8
    (dict(lead_time_distribution=[-0.5, 1.5]), r"system.lead_time_distribution\[0\] must be"),
    (dict(lead_time_distribution=[0, float("nan")]), r"system.lead_time_distribution\[1\] must be"),
    (dict(lead_time_distribution=[0, 0.5, 0.5]), "system.lead_time must be the longest draw"),
    (dict(lead_time=2, lead_time_distribution=[0.5, 0.5, 0]), "system.lead_time must be the longest draw"),
]


@pytest.mark.parametrize("wrong, field", REFUSED, ids=str)
def test_refused_naming_the_field(wrong, field):
    with pytest.raises(ValueError, match=f"^{field}"):
        single.create(**SYSTEM | wrong)
