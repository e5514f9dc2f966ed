"""The clairvoyant against every plan there is (small), HiGHS (larger) and ordinary policies; its orders against its bound."""

from itertools import product
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import bmat, eye

from invbench import replay
from invbench.costs import CostModel, benefit
from invbench.dynamics import single
from invbench.dynamics.single import Single
from invbench.methods import clairvoyant
from invbench.methods.clairvoyant import Clairvoyant, Orders, planned_order
from invbench.types import Paths, Policy

RATES = ("price", "purchase", "holding", "shortage", "fixed_order", "salvage")


def paths_of(demand, delay=None, start=0):
    demand = jnp.asarray(demand, jnp.float32)
    return Paths(demand, jnp.zeros((0, *demand.shape[1:])), None if delay is None else jnp.asarray(delay), start)


def simulate(system, cost, policy, paths):
    """[n, item] benefit, by the physics."""
    return np.asarray(replay.total(system, policy, paths, benefit, (cost,)))


def plan(system, cost, paths):
    return Clairvoyant().plan(SimpleNamespace(system=system, cost=cost), paths)


def random_cost(rng, items, fixed=True, top=12.0):
    """Prices in quarters, so that small sums are exact; now and then a zero, or a price below the purchase cost."""
    draw = lambda most: rng.integers(0, int(4 * most) + 1, items) / 4 * (rng.random(items) > 0.2)  # noqa: E731
    price, purchase = draw(top), draw(top / 2)
    salvage = np.minimum(purchase, draw(2)) * (rng.random(items) > 0.5)
    fixed_order = draw(top) if fixed else np.zeros(items)
    return CostModel(*map(jnp.float32, (price, purchase, draw(2), draw(4), fixed_order, salvage)))


def every_plan(horizon, items, most):
    """[horizon, (most + 1)^horizon, item]: all plans with orders 0..most."""
    orders = np.array(list(product(range(most + 1), repeat=horizon)), np.float32).T[..., None]
    return np.repeat(orders, items, -1)


def enumerated(system, cost, demand, own, most, delay=None):
    """[item] the most that any plan earns, and what the orders `own` [horizon, item] earn. delay: [horizon]."""
    orders = np.concatenate([every_plan(*demand.shape, most), own[:, None]], 1)
    n = orders.shape[1]
    policy = Policy(Orders(jnp.asarray(orders), jnp.zeros((n, 1), jnp.int32)), planned_order, per_path=True)
    delay = None if delay is None else np.repeat(delay[:, None], n, 1)
    benefits = simulate(system, cost, policy, paths_of(np.repeat(demand[:, None], n, 1), delay))
    return benefits[:-1].max(0), benefits[-1]


def small_demand(rng, horizon, items, total):
    """Whole demand 0..3 with a sum of at most `total`, so that orders 0..total are all that can be of use."""
    demand = rng.integers(0, 4, (horizon, items))
    return np.minimum(demand, np.maximum(total - (np.cumsum(demand, 0) - demand), 0)).astype(np.float32)


@pytest.mark.parametrize("horizon, total", [(4, 12), (5, 7)])
@pytest.mark.parametrize("lead_time", [0, 1, 2])
@pytest.mark.parametrize("backlog", [False, True])
def test_no_plan_is_better_and_its_own_orders_attain_the_bound(backlog, lead_time, horizon, total):
    rng = np.random.default_rng([backlog, lead_time, horizon])
    items = 60  # each an instance with its own numbers
    cost = random_cost(rng, items)
    demand = small_demand(rng, horizon, items, total)
    system = Single(lead_time, backlog, jnp.asarray(rng.integers(0, 4, items), jnp.float32))
    found = plan(system, cost, paths_of(demand[:, None]))
    best, own = enumerated(system, cost, demand, found.policy.params.orders[:, 0], total)
    np.testing.assert_array_equal(found.bound[0], best)
    np.testing.assert_array_equal(own, best)
    assert found.exact


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("backlog", [False, True])
def test_random_lead_times_are_known_too(backlog, seed):
    rng = np.random.default_rng([backlog, seed])
    items, horizon, total = 40, 5, 7
    cost, demand = random_cost(rng, items), small_demand(rng, horizon, items, total)
    system = Single(2, backlog, jnp.asarray(rng.integers(0, 4, items), jnp.float32), lead_time_distribution=jnp.ones(3) / 3)
    delay = rng.integers(0, 3, horizon).astype(np.int32)
    found = plan(system, cost, paths_of(demand[:, None], delay[:, None]))
    best, own = enumerated(system, cost, demand, found.policy.params.orders[:, 0], total, delay)
    np.testing.assert_array_equal(found.bound[0], best)
    np.testing.assert_array_equal(own, best)
    assert found.exact


def best_by_highs(cost, demand, backlog, lead_time, initial):
    """The optimum of one item by a mixed-integer programme [horizon] of flows: order, held, missed (lost or owed), placed.

    Stock may be kept from customers here, which is no gain while price + shortage >= salvage.
    """
    horizon = len(demand)
    one, none, before, so_far = eye(horizon), 0 * eye(horizon), eye(horizon, k=-1), np.tri(horizon)
    arrived, most, net = np.tri(horizon, k=-lead_time), initial + demand.sum(), initial - np.cumsum(demand)
    rules = [
        # held = initial + arrived so far - demand so far + missed so far (owed, with backlog)
        LinearConstraint(bmat([[-arrived, one, -one if backlog else -so_far, none]]), net, net),
        LinearConstraint(bmat([[none, none, one - before if backlog else one, none]]), -np.inf, demand),  # newly missed
        LinearConstraint(bmat([[one, none, none, -most * one]]), -np.inf, 0),  # no order that is not placed
    ]
    pays = np.stack([np.full(horizon, rate) for rate in (cost.purchase, cost.holding, cost.shortage, cost.fixed_order)])
    pays[1, -1] -= cost.salvage
    pays[2, slice(-1, None) if backlog else slice(None)] += cost.price  # what is not sold by the end
    whole = np.repeat([0, 0, 0, 1 if cost.fixed_order > 0 else 0], horizon)
    limits = Bounds(0, np.repeat([np.inf, np.inf, np.inf, 1], horizon))
    solution = milp(pays.ravel(), integrality=whole, bounds=limits, constraints=rules, options={"mip_rel_gap": 1e-9})
    assert solution.status == 0, solution.message
    return cost.price * demand.sum() - solution.fun


@pytest.mark.parametrize("fixed, horizon", [(False, 40), (True, 20)])
@pytest.mark.parametrize("backlog", [False, True])
def test_highs_finds_the_same_optimum(backlog, fixed, horizon):
    rng = np.random.default_rng([backlog, horizon])
    items, lead_time = 6, 2
    uniform = lambda low, high: jnp.asarray(rng.uniform(low, high, items), jnp.float32)  # noqa: E731
    fixed_order = uniform(5, 80) if fixed else jnp.zeros(items)
    cost = CostModel(uniform(4, 12), uniform(2, 6), uniform(0.05, 1), uniform(0.1, 3), fixed_order, uniform(0, 2))
    demand = np.float32(rng.gamma(0.7, 8, (horizon, items)) * (rng.random((horizon, items)) > 0.2))
    system = Single(lead_time, backlog, uniform(0, 30))
    found = plan(system, cost, paths_of(demand[:, None]))
    for item in range(items):
        own = CostModel(*(float(getattr(cost, rate)[item]) for rate in RATES))
        best = best_by_highs(own, demand[:, item].astype(float), backlog, lead_time, float(system.initial_stock[item]))
        np.testing.assert_allclose(found.bound[0, item], best, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(simulate(system, cost, found.policy, paths_of(demand[:, None])), found.bound, rtol=1e-5, atol=1e-3)


def order_up_to(level, observation, key):
    return jnp.maximum(level - observation.position, 0)


def base_stock_benefits(system, paths):
    """[level, n, item] under order-up-to levels from none to ample."""
    levels = jnp.arange(0.0, 90.0, 6.0)[:, None]
    return replay.candidates(system, Policy(levels, order_up_to), paths, benefit, (RETAIL,))


def at_most(benefits, bound):
    """Whether no benefit is above the bound, but for what a float32 sum over the periods may round."""
    return (benefits <= bound + 1e-5 * abs(bound)).all()


RETAIL = CostModel(10.0, 6.0, 0.1, 2.0, 25.0, 3.0)


def long_paths(system, start=0, n=101, items=2):
    rng = np.random.default_rng(3)
    demand = rng.poisson(5 * (1 + np.sin(np.arange(120) / 9))[:, None, None], (120, n, items))
    return paths_of(demand, system.draw_delays(jax.random.key(5), 120, n), start)


SYSTEMS = [
    Single(3, False, 12.0),
    Single(3, True, 12.0),
    Single(130, False, 40.0),  # no order can arrive in time
    Single(3, True, 12.0, lead_time_distribution=jnp.asarray([0.1, 0.3, 0.4, 0.2])),
    Single(3, False, 12.0, lead_time_distribution=jnp.asarray([0.1, 0.3, 0.4, 0.2])),
]


@pytest.mark.parametrize("system", SYSTEMS)
def test_on_long_paths_it_attains_its_bound_and_no_base_stock_level_exceeds_it(system):
    paths = long_paths(system, start=17)
    found = plan(system, RETAIL, paths)
    np.testing.assert_allclose(simulate(system, RETAIL, found.policy, paths), found.bound, rtol=1e-5)
    assert at_most(base_stock_benefits(system, paths), found.bound)
    assert found.bound.dtype == found.policy.params.orders.dtype == jnp.float32


LIMITS = [dict(batch=7), dict(minimum_order=20), dict(capacity=25), dict(minimum_order=9, batch=4, capacity=30)]


@pytest.mark.parametrize("backlog, limits", list(zip([False, True, False, True], LIMITS, strict=True)))
def test_order_constraints_are_left_out_and_the_bound_holds(backlog, limits):
    system = single.create(lead_time=2, backlog=backlog, initial_stock=10, **limits)
    paths = long_paths(system)
    found = plan(system, RETAIL, paths)
    assert not found.exact
    np.testing.assert_array_equal(found.bound, plan(Single(2, backlog, 10.0), RETAIL, paths).bound)
    assert at_most(simulate(system, RETAIL, found.policy, paths), found.bound)
    assert at_most(base_stock_benefits(system, paths), found.bound)


@pytest.mark.parametrize("backlog", [False, True])
def test_all_paths_and_items_at_once_as_one_by_one(backlog, monkeypatch):
    rng = np.random.default_rng(8)
    n, items, horizon = 5, 3, 30
    cost = random_cost(rng, items)
    system = Single(2, backlog, jnp.asarray([0.0, 4.0, 20.0]))
    demand = rng.poisson(3, (horizon, n, items))
    monkeypatch.setattr(clairvoyant, "LANES_PER_BLOCK", 4)  # 15 lanes: several blocks, and some filling
    together = plan(system, cost, paths_of(demand))
    for path, item in product(range(n), range(items)):
        own = jax.tree.map(lambda rate: rate[item] if jnp.ndim(rate) else rate, cost)
        alone = plan(Single(2, backlog, system.initial_stock[item]), own, paths_of(demand[:, path, item][:, None, None]))
        np.testing.assert_array_equal(together.bound[path, item], alone.bound[0, 0])
        np.testing.assert_array_equal(together.policy.params.orders[:, path, item], alone.policy.params.orders[:, 0, 0])


def test_by_hand():
    # demand 4 4 4, price 10, purchase 6, holding 1, no shortage cost, lead time 1: the first 4 are lost. One order of 8 in
    # period 0 earns 8 x 4 - 4 (holding) - 5 (fixed order) = 23; two orders of 4 would earn 32 - 10 = 22.
    found = plan(Single(1, False), CostModel(10.0, 6.0, 1.0, 0.0, 5.0, 0.0), paths_of(np.full((3, 1, 1), 4)))
    assert found.bound.item() == 23
    np.testing.assert_array_equal(found.policy.params.orders[:, 0, 0], [8, 0, 0])


def test_other_prices_and_paths_do_not_compile_again():
    system, rng = Single(1, True, 5.0), np.random.default_rng(0)
    counts = []
    for price in (8.0, 9.0):
        plan(system, CostModel(price, 6.0, 1.0, 2.0, 5.0, 0.0), paths_of(rng.poisson(4, (23, 3, 1))))
        counts.append(clairvoyant._plan._cache_size())
    assert counts[0] == counts[1]


def test_another_kind_of_system_is_refused():
    with pytest.raises(ValueError, match="system must be a single stocking point for method clairvoyant, got 'SimpleNamespace'"):
        plan(SimpleNamespace(), RETAIL, paths_of(np.ones((3, 1, 1))))
