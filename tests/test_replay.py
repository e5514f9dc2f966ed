"""The replay engine: the same numbers as a plain loop, whatever the blocks, the cores and the number of paths; compiled once."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from functools import lru_cache, partial
from pathlib import Path
from types import FunctionType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats

from invbench import costs, replay
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.scenarios import normal, regime_switching
from invbench.scenarios.base import draw
from invbench.types import Paths, Policy

HORIZON, ITEMS, WINDOW = 12, 3, 4
COST = CostModel(price=20.0, purchase=10.0, holding=2.0, shortage=11.0, fixed_order=50.0, salvage=3.0)
SYSTEM = dict(lead_time=2, backlog=False, initial_stock=10)
LATE = SYSTEM | dict(lead_time=3, lead_time_distribution=[0.25] * 4)


# ---- policies, each a module-level function


def order_up_to(params, observation, key):
    return params["level"] - observation.position


def cover_recent(params, observation, key):
    """Looks back, so that rounding would show if it depended on the block."""
    seen = sum(params["weights"][slot] * observation.ring[slot] for slot in range(WINDOW))
    return params["cover"] * seen - observation.position


def cover_swings(params, observation, key):
    """Loops over what was seen: the compiler must not let it see today."""
    squares, _ = lax.scan(lambda total, seen: (total + seen**2, None), jnp.zeros_like(observation.position), observation.ring)
    return params["cover"] * jnp.sqrt(squares / WINDOW) - observation.position


def cover_all(params, observation, key):
    """Mixes items, one path at a time. Whole numbers and quarters, because the compiler may sum in another order."""
    return params["cover"] * observation.ring.sum() - observation.position


def at_random(params, observation, key):
    return params["most"] * jax.random.uniform(key, observation.on_hand.shape)


def planned(params, observation, key):
    return params["orders"][observation.time]


COVERS = jnp.array([[3.0, 3.3, 2.7], [2.0, 2.5, 3.0], [0, 1.7, 9], [5, 4, 3], [2.2, 6.1, 3.7]])  # [candidate, item]
WEIGHTS = {"weights": jnp.tile(jnp.array([0.1, 0.2, 0.3, 0.4])[:, None], (1, ITEMS))}
POLICIES = {
    "elementwise": Policy({"cover": COVERS[0], **WEIGHTS}, cover_recent, WINDOW),
    "elementwise, with a loop": Policy({"cover": COVERS[0]}, cover_swings, WINDOW),
    "one path at a time": Policy({"cover": jnp.array([0.75, 1, 0.5]), **WEIGHTS}, cover_all, WINDOW, elementwise=False),
    "random": Policy({"most": COVERS[0] * 5}, at_random, random=True, elementwise=False),
}
KEY = jax.random.key(7)


def paths_of(n, seed=0, whole=False, late=None):
    """Path i is the same for every n. Continuous demand, so that every rounding shows; or whole. late: the longest delay."""
    periods = np.random.default_rng(seed).gamma(3, 4, (n, WINDOW + HORIZON, ITEMS)).astype(np.float32)
    periods = jnp.asarray(np.round(periods) if whole else periods).swapaxes(0, 1)
    draws = None if late is None else np.random.default_rng(1).integers(0, late + 1, (n, HORIZON), np.int32)
    return Paths(periods[WINDOW:], periods[:WINDOW], None if late is None else jnp.asarray(draws.T))


def same(first, second):
    """Byte by byte."""
    jax.tree.map(np.testing.assert_array_equal, first, second)


def money(policy, paths, system=None):
    return replay.total(system or single.create(**SYSTEM), policy, paths, costs.benefit, (COST,), KEY)


# ---- against a plain loop


def plain_loop(demand, level, lead_time, backlog, initial):
    """Base-stock in plain Python for one path and item: the totals of its flows."""
    stock, due, totals = initial, [0] * lead_time, Counter()
    for asked in demand:
        order = max(level - stock - sum(due), 0)
        due.append(order)
        received = due.pop(0)
        owed, stock = max(-stock, 0), max(stock, 0) + received
        sold = min(stock, asked + owed)
        missed = asked + owed - sold
        stock -= sold
        totals.update(ordered=order, received=received, sold=sold, held=stock, placed=order > 0, missed=min(missed, asked))
        totals.update(demand=asked, expired=0, backlog=missed * backlog, lost=missed * (not backlog))
        stock -= missed * backlog
    return totals


@pytest.mark.parametrize("lead_time, backlog", [(0, False), (2, False), (0, True), (2, True)])
def test_totals_are_those_of_a_plain_loop(lead_time, backlog):
    paths, levels = paths_of(7, whole=True), [20, 41, 60]
    system = single.create(lead_time=lead_time, backlog=backlog, initial_stock=10)
    totals = replay.total(system, Policy({"level": jnp.array(levels, jnp.float32)}, order_up_to), paths, replay.identity)
    demand = np.asarray(paths.demand).astype(int)
    for path in range(7):
        for item, level in enumerate(levels):
            found = {name: int(flow[path, item]) for name, flow in totals._asdict().items() if flow is not None}
            assert found == plain_loop(demand[:, path, item].tolist(), level, lead_time, backlog, 10)


def test_every_period_adds_up_to_the_total():
    paths, policy = paths_of(7, whole=True), Policy({"level": jnp.array([20.0, 41, 60])}, order_up_to)
    system = single.create(**SYSTEM)
    periods, total = replay.flows(system, policy, paths), replay.total(system, policy, paths, replay.identity)
    assert periods.sold.shape == (7, HORIZON, ITEMS) and total.sold.shape == (7, ITEMS)
    same(jax.tree.map(lambda flow: flow.sum(1), periods), total)
    same(periods.demand, jnp.swapaxes(paths.demand, 0, 1))


def test_salvage_is_paid_in_the_last_period_alone():
    paths, policy = paths_of(7, whole=True), Policy({"level": jnp.array([20.0, 41, 60])}, order_up_to)
    system = single.create(**SYSTEM)
    held = replay.flows(system, policy, paths).held
    paid = replay.flows(system, policy, paths._replace(start=5), costs.money, (COST,)).salvage
    same(paid[:, -1], 3 * held[:, -1])
    assert not paid[:, :-1].any()


# ---- blocks and cores


@pytest.mark.parametrize("kind", POLICIES)
def test_a_path_does_not_depend_on_how_many_others_there_are(kind):
    whole = kind == "one path at a time"
    largest = money(POLICIES[kind], paths_of(5000, whole=whole))
    assert len(np.unique(largest)) > 5000
    for n in (1, 7, 2048):
        same(money(POLICIES[kind], paths_of(n, whole=whole)), largest[:n])


def test_lead_time_draws_stay_with_their_path():
    policy, system = POLICIES["elementwise"], single.create(**LATE)
    same(money(policy, paths_of(7, late=3), system), money(policy, paths_of(5000, late=3), system)[:7])
    assert not np.array_equal(money(policy, paths_of(7, late=3), system), money(policy, paths_of(7), system))


def test_the_longest_draw_every_time_is_a_fixed_lead_time():
    policy, paths = Policy({"level": jnp.array([20.0, 41, 60])}, order_up_to), paths_of(7, whole=True)
    longest = paths._replace(delay=jnp.full((HORIZON, 7), 3, jnp.int32))
    same(money(policy, longest, single.create(**LATE)), money(policy, paths, single.create(**SYSTEM | dict(lead_time=3))))


@pytest.mark.parametrize("kind", POLICIES)
def test_the_size_of_a_block_changes_nothing(kind, monkeypatch):
    paths = paths_of(100, whole=kind == "one path at a time")
    usual = money(POLICIES[kind], paths)
    monkeypatch.setattr(replay, "LANES_PER_BLOCK", 64)  # 21 paths a block: the last one is padded
    same(money(POLICIES[kind], paths), usual)


def test_paths_that_are_spread_over_the_cores_count_the_same():
    for n in (7, 100):
        same(money(POLICIES["elementwise"], replay.spread(paths_of(n))), money(POLICIES["elementwise"], paths_of(n)))


# ---- candidates


@pytest.mark.parametrize("kind", ["elementwise", "one path at a time"])
@pytest.mark.parametrize("lanes", [2048, 16])
def test_candidates_are_worth_what_each_is_alone(kind, lanes, monkeypatch):
    monkeypatch.setattr(replay, "LANES_PER_BLOCK", lanes)
    paths, policy, system = paths_of(7, whole=kind != "elementwise"), POLICIES[kind], single.create(**SYSTEM)
    covers = COVERS if kind == "elementwise" else jnp.round(COVERS) / 4
    together = replay.candidates(system, policy._replace(params={"cover": covers}), paths, costs.benefit, (COST,), None, WEIGHTS)
    repeated = {"cover": covers, "weights": jnp.broadcast_to(WEIGHTS["weights"], (5, WINDOW, ITEMS))}
    assert together.shape == (5, 7, ITEMS)
    for candidate, cover in enumerate(covers):
        same(together[candidate], money(policy._replace(params={"cover": cover, **WEIGHTS}), paths))
    same(replay.candidates(system, policy._replace(params=repeated), paths, costs.benefit, (COST,)), together)


def test_candidates_take_any_measure():
    paths, policy = paths_of(7), Policy({"level": jnp.array([[20.0, 41, 60], [30, 20, 10]])}, order_up_to)
    together = replay.candidates(single.create(**SYSTEM), policy, paths, replay.identity)
    for candidate in range(2):
        alone = policy._replace(params={"level": policy.params["level"][candidate]})
        expected = replay.total(single.create(**SYSTEM), alone, paths, replay.identity)
        same(jax.tree.map(lambda flow: flow[candidate], together), expected)


# ---- plans and randomness


@pytest.mark.parametrize("elementwise", [True, False])
@pytest.mark.parametrize("n", [7, 100])
def test_each_path_follows_its_own_plan(elementwise, n, monkeypatch):
    monkeypatch.setattr(replay, "LANES_PER_BLOCK", 64)
    plan = jnp.asarray(np.random.default_rng(3).uniform(0, 30, (HORIZON, n, ITEMS)), jnp.float32)
    policy = Policy({"orders": plan}, planned, elementwise=elementwise, per_path=True)
    flows = replay.flows(single.create(**SYSTEM), policy, paths_of(n))
    same(flows.ordered, jnp.swapaxes(plan, 0, 1))


def test_random_policies_have_a_key_for_each_path_and_period(monkeypatch):
    monkeypatch.setattr(replay, "LANES_PER_BLOCK", 64)
    flows = replay.flows(single.create(**SYSTEM), POLICIES["random"], paths_of(100), key=KEY)
    assert len(np.unique(flows.ordered)) > 0.999 * flows.ordered.size
    for path, period in ((0, 0), (1, 0), (0, 1), (99, HORIZON - 1)):
        own = jax.random.fold_in(jax.random.fold_in(KEY, path), period)
        same(flows.ordered[path, period], POLICIES["random"].params["most"] * jax.random.uniform(own, (ITEMS,)))
    again = replay.flows(single.create(**SYSTEM), POLICIES["random"], paths_of(100), key=jax.random.key(8))
    assert not np.array_equal(again.ordered, flows.ordered)


# ---- paths drawn on the way


def mean_and_error(benefits):
    """Mean over paths of the benefit of all items, and its standard error."""
    values = np.asarray(benefits, np.float64).sum(1)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


def draw_and_replay(n=3000):
    scenario = normal.create(mean=12, std=4, items=ITEMS)
    return replay.drawn(single.create(**SYSTEM), POLICIES["elementwise"], scenario, KEY, n, HORIZON, costs.benefit, (COST,))


def test_drawn_paths_earn_what_stored_paths_earn():
    """z-test of the difference of two means; false alarm 1e-4 (fixed keys, so it happens always or never)."""
    scenario = normal.create(mean=12, std=4, items=ITEMS)
    periods = draw(scenario, jax.random.key(5), 3000, WINDOW + HORIZON, -WINDOW)
    stored = money(POLICIES["elementwise"], Paths(periods[WINDOW:], periods[:WINDOW]))
    (drawn_mean, drawn_error), (mean, error) = mean_and_error(draw_and_replay()), mean_and_error(stored)
    assert abs(drawn_mean - mean) < stats.norm.isf(0.5e-4) * np.hypot(drawn_error, error)
    assert len(np.unique(draw_and_replay())) > 0.99 * 3000 * ITEMS  # no block is drawn twice


def repeat_yesterday(params, observation, key):
    """The inventory position starts at zero and is brought back to zero, so that the order is yesterday's demand."""
    return -observation.position


def all_late(flows, last):
    """Nothing has arrived today; and also, demand is not what it was yesterday."""
    late = (flows.received == 0) & (flows.ordered > 0)
    return late.astype(jnp.float32), (late & (flows.ordered != flows.demand)).astype(jnp.float32)


def test_drawn_lead_times_have_nothing_to_do_with_demand():
    """Demand jumps with probability 1/2, and that is so in periods of a long lead time too: z-test, false alarm 1e-4."""
    scenario = regime_switching.create(means=[10, 20], stay=0.5, cv=0, items=1)
    system = single.create(lead_time=1, backlog=True, initial_stock=0, lead_time_distribution=[0.5, 0.5])
    policy = Policy({}, repeat_yesterday)
    late, jumps = (float(count.sum()) for count in replay.drawn(system, policy, scenario, KEY, 500, 40, all_late))
    assert late > 1000
    assert abs(jumps / late - 0.5) < stats.norm.isf(0.5e-4) * 0.5 / np.sqrt(late)


# ---- other processes


@lru_cache
def digest():
    """A hash of what every kind of replay finds."""
    kinds = {kind: kind == "one path at a time" for kind in POLICIES}
    results = [money(POLICIES[kind], paths_of(7, whole=whole)) for kind, whole in kinds.items()]
    results.append(money(POLICIES["elementwise"], paths_of(300, late=3), single.create(**LATE)))
    policy = POLICIES["elementwise"]._replace(params={"cover": COVERS})
    results.append(replay.candidates(single.create(**SYSTEM), policy, paths_of(300), costs.benefit, (COST,), None, WEIGHTS))
    results.append(draw_and_replay())
    return hashlib.sha256(b"".join(np.asarray(result).tobytes() for result in results)).hexdigest()


@pytest.mark.parametrize("cores", [1, 3])
def test_the_number_of_cores_changes_nothing(cores):
    environment = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={cores}", "JAX_PLATFORMS": "cpu"}
    code = "import invbench, jax, test_replay; print(len(jax.devices()), test_replay.digest())"
    found = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parent, env=environment
    )
    assert found.stdout.split() == [str(cores), digest()]


def test_programs_without_copies_of_the_ring_buffers_find_the_same(monkeypatch):
    """XLA's region analysis saves the copies; a policy that loops over what it has seen would see today with it."""
    usual = digest()
    monkeypatch.setattr(replay, "_loop_free", lambda *arguments: False)
    assert digest.__wrapped__() == usual


@pytest.mark.parametrize("kind, fast", [("elementwise", True), ("elementwise, with a loop", False), ("random", False)])
def test_only_policies_without_loops_are_compiled_so(kind, fast):
    programs = replay._paths.fast, replay._paths.plain
    policy = POLICIES[kind]._replace(apply=copied(POLICIES[kind].apply))
    before = [program._cache_size() for program in programs]
    money(policy, paths_of(7))
    assert [program._cache_size() - size for program, size in zip(programs, before)] == [fast, not fast]


def copied(function):
    """The same function, compiled anew."""
    return FunctionType(function.__code__, function.__globals__)


# ---- one compilation for equal shapes


def compilations(entry, calls):
    """How many programs `entry` keeps more after the calls."""
    before = entry._cache_size()
    for call in calls:
        call()
    return entry._cache_size() - before


def counted(params, observation, key):
    """An order-up-to policy that nothing else has compiled."""
    return params["level"] - observation.position


def test_parameter_values_and_paths_of_one_shape_compile_once():
    levels = [Policy({"level": jnp.full(ITEMS, level)}, counted) for level in (10.0, 20.0, 30.0)]
    assert compilations(replay._paths, [partial(money, policy, paths_of(7)) for policy in levels]) == 1
    assert compilations(replay._paths, [partial(money, levels[0], paths_of(7, seed=seed)) for seed in (1, 2, 3)]) == 0
    assert compilations(replay._paths, [partial(money, levels[0], paths_of(7)._replace(start=start)) for start in (5, 70)]) == 0
    stocks = [single.create(**SYSTEM | dict(initial_stock=stock)) for stock in (1, 2.5)]
    assert compilations(replay._paths, [partial(money, levels[0], paths_of(7), stock) for stock in stocks]) == 0
    dearer = COST.__class__(*(2 * getattr(COST, name) for name in COST.__dataclass_fields__))
    again = partial(replay.total, single.create(**SYSTEM), levels[0], paths_of(7), costs.benefit, (dearer,), KEY)
    assert compilations(replay._paths, [again]) == 0


def test_candidates_and_drawn_paths_compile_once():
    system, grids = single.create(**SYSTEM), [jnp.full((4, ITEMS), level) for level in (10.0, 20.0, 30.0)]
    calls = [
        partial(replay.candidates, system, Policy({"level": grid}, counted), paths_of(7, seed=seed), costs.benefit, (COST,))
        for seed, grid in enumerate(grids)
    ]
    assert compilations(replay._candidates, calls) == 1
    scenarios = [normal.create(mean=mean, std=2, items=ITEMS) for mean in (10, 20, 30)]
    policy = Policy({"level": grids[0][0]}, counted)
    calls = [partial(replay.drawn, system, policy, scenario, KEY, 7, HORIZON, costs.benefit, (COST,)) for scenario in scenarios]
    assert compilations(replay._drawn, calls) == 1
    calls = [partial(draw, scenario, jax.random.key(seed), 6, 5, seed) for seed, scenario in enumerate(scenarios)]
    assert compilations(draw, calls) == 1
