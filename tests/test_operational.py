"""Operational plans: printed figures, brute force with physics of its own, the exact optimum, limits, and the policy's lookup."""

import re
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import published
from invbench.costs import CostModel
from invbench.dynamic_lots import wagner_whitin
from invbench.dynamics import single
from invbench.exact import optimum
from invbench.keys import root
from invbench.planners import operational, operational_induction
from invbench.planners.operational_stocking import create
from invbench.problem import Problem
from invbench.scenarios import discrete, seasonal_poisson
from invbench.types import Observation


def constant(pmf, periods, items=1):
    """The same demand in every period, for every item."""
    return np.broadcast_to(np.asarray(pmf, float)[None, :, None], (periods, len(pmf), items))


def at(orders, position, item=0):
    """What is ordered in each period at a position, in units."""
    return orders.quantity[:, int(position - orders.low[item]), item] * orders.step[item]


# known answers


@pytest.mark.parametrize("lost", [True, False])
def test_one_period_is_a_newsvendor(lost):
    """Poisson(20), purchase 4, shortage 10, holding 1, salvage 2: fractile (10 - 4) / (10 + 1 - 2)."""
    pmf = stats.poisson.pmf(np.arange(80), 20)
    given = create(pmf=constant(pmf, 1), purchase=4, shortage=10, holding=1, salvage=2, owed=0, lost=lost, states=100)
    orders = operational.plan(given)
    level = stats.poisson.ppf(6 / 9, 20)
    assert at(orders, 0) == [level] and at(orders, level + 3) == [0]
    cost = 4 * level + sum(p * (10 * max(d - level, 0) + (1 - 2) * max(level - d, 0)) for d, p in enumerate(pmf))
    assert orders.cost[int(-orders.low[0]), 0] == pytest.approx(cost) and orders.exact.all()


def test_in_the_long_run_s_and_S_are_those_of_zheng_and_federgruen():
    """All 24 printed means as items of one call, at the first of 320 periods. At mean 75, (66, 86) costs what (67, 86) does."""
    rows = published.read("zheng_federgruen1991")
    means = np.array([float(row["poisson_mean"]) for row in rows])
    pmf = stats.poisson.pmf(np.arange(140)[:, None], means)
    pmf[-1] += np.maximum(1 - pmf.sum(0), 0)
    given = create(pmf=np.repeat(pmf[None], 320, 0), fixed_order=64, holding=1, shortage=9, states=230)
    orders = operational.plan(given)
    ruled, s, up_to = (part[0] for part in orders.reorder_up_to())
    printed = np.array([[int(row["s_ver"]), int(row["S_ver"])] for row in rows])
    tie = means == 75
    assert ruled.all() and (up_to == printed[:, 1]).all() and (s == printed[:, 0])[~tie].all()
    assert set(s[tie]) <= {66, 67} and orders.exact.all()


@pytest.mark.parametrize("lead", [0, 2])
def test_known_demand_is_met_as_wagner_and_whitin_do(lead):
    """Three items of random demand, known; those with a lead time have in stock what comes before the first order."""
    random = np.random.default_rng(1)
    demand = random.integers(0, 15, (12, 3))
    pmf = (np.arange(16)[:, None] == demand[:, None]).astype(float)
    given = create(pmf=pmf, lead=lead, fixed_order=[10, 30, 60], purchase=2, holding=1, shortage=1000, owed=0, states=150)
    orders = operational.plan(given)
    plan = wagner_whitin(demand[lead:], holding=1.0, fixed_order=np.array([10.0, 30, 60]), purchase=2.0)
    start = demand[:lead].sum(0)
    early = sum(np.maximum(start - demand[: period + 1].sum(0), 0) for period in range(lead))  # held before the first arrival
    cost = orders.cost[start - given.low, np.arange(3)]
    assert cost == pytest.approx(plan.cost + early, rel=1e-12)


# brute force: other physics, no positions, no tables


def played(on_hand, pipeline, order, demand, lost, rates, last):
    """One period in plain numbers: stock and pipeline after it, and its money. The order of events is that of the README."""
    pipeline = (*pipeline, order)
    on_hand, pipeline = on_hand + pipeline[0], pipeline[1:]
    fixed, purchase, holding, shortage, salvage, owed = rates
    left = on_hand - demand
    money = (fixed if order else 0) + purchase * order + holding * max(left, 0) + shortage * max(-left, 0)
    money += last * (owed * max(-left, 0) - salvage * max(left, 0))
    return (max(left, 0) if lost else left), pipeline, money


def best(case, start):
    """The least expected money from `start` units on hand, by trying every order in every state."""
    pmf, lead, lost, rates, storage, limit = case
    if lost:
        rates = (*rates[:5], 0)

    @lru_cache(maxsize=None)
    def to_go(period, on_hand, pipeline):
        if period == len(pmf):
            return 0.0
        found = np.inf
        late = period + lead >= len(pmf)
        room = max(storage - on_hand - sum(pipeline), 0)
        for order in range(1 if late else int(min(limit[period], room)) + 1):
            money = 0.0
            for demand, chance in enumerate(pmf[period]):
                after = played(on_hand, pipeline, order, demand, lost, rates, period == len(pmf) - 1)
                money += chance * (after[2] + to_go(period + 1, *after[:2]))
            found = min(found, money)
        return found

    return to_go(0, start, (0,) * lead)


def random_cases(lost, leads, number):
    random = np.random.default_rng(7)
    for index in range(number):
        pmf = random.dirichlet(np.ones(3), 4)
        rates = random.uniform([0, 0, 0.1, 2, 0, 0], [6, 3, 2, 9, 0.1, 3]) * (random.uniform(size=6) < 0.8)
        rates[4] = min(rates[4], rates[1])
        yield pmf, leads[index % len(leads)], lost, tuple(rates), random.integers(3, 7), random.integers(0, 5, 4)


def as_stocking(cases, **more):
    pmf, lead, lost, rates, storage, limit = zip(*cases)
    money = dict(zip(("fixed_order", "purchase", "holding", "shortage", "salvage", "owed"), np.transpose(rates)))
    if lost[0]:
        money["owed"] = 0
    return create(pmf=np.moveaxis(pmf, 0, -1), lead=lead, lost=lost, storage=storage, limit=np.transpose(limit), **money | more)


@pytest.mark.parametrize("lost, leads, low", [(False, (0, 1, 2), -9), (True, (0,), 0), (True, (1,), 0), (True, (0, 1), 0)])
def test_nothing_beats_the_orders_on_tiny_instances_with_limits(lost, leads, low):
    """Four periods, demand 0 to 2, random money, and a storage and limits that bind."""
    cases = list(random_cases(lost, leads, 12))
    given = as_stocking(cases, low=low, states=20)
    orders = operational.plan(given)
    for item, case in enumerate(cases):
        for start in (0, 2):
            assert orders.cost[start - low, item] == pytest.approx(best(case, start), rel=1e-12, abs=1e-12)
    position = given.low + np.arange(20)[:, None]
    assert (orders.quantity <= given.limit[:, None]).all() and orders.quantity.any()
    assert (np.where(orders.quantity > 0, position + orders.quantity, 0) <= given.storage).all()


SEASON = seasonal_poisson.create(mean=4, annual=0.0, weekly=0.6, trend=0.0, items=1)
CASES = [(True, 0, 15.0), (True, 1, 0.0), (True, 1, 15.0), (False, 0, 0.0), (False, 1, 15.0), (False, 3, 0.0)]


def test_the_cost_is_that_of_the_exact_optimum():
    """Lost sales and backlog, several lead times, with and without a fixed cost: all items of one plan, each found alone."""
    periods = 9
    rows = [SEASON.pmf_at(t) for t in range(periods)]
    pmf = np.stack([np.pad(row, (0, max(map(len, rows)) - len(row))) for row in rows])
    lost, lead, fixed = map(np.array, zip(*CASES))
    given = create(
        pmf=np.repeat(pmf[..., None], len(CASES), 2), lost=lost, lead=lead, fixed_order=fixed, purchase=2, holding=1, shortage=8,
        salvage=1.5, owed=0, states=160,
    )  # fmt: skip
    orders = operational.plan(given)
    assert orders.exact.all()
    for item, (is_lost, wait, fixed_order) in enumerate(CASES):
        system = single.create(lead_time=wait, backlog=not is_lost, initial_stock=6)
        cost = CostModel(price=0.0, purchase=2.0, holding=1.0, shortage=8.0, fixed_order=fixed_order, salvage=1.5)
        found = optimum.find(Problem(SEASON, system, cost, periods, 0, 0, 0), horizon="finite")
        assert orders.cost[6 - orders.low[item], item] == pytest.approx(found.value, rel=1e-9)


# the policy


def test_played_in_the_simulator_the_orders_cost_what_the_plan_says():
    """Two items with different lead times would need two systems: here each is simulated alone, 20,000 paths, 4.5 errors."""
    pmf = np.array([0.2, 0.3, 0.3, 0.2])
    for lost, lead in ((False, 2), (True, 1), (True, 0)):
        given = create(
            pmf=constant(pmf, 8), lost=lost, lead=lead, fixed_order=3, purchase=1, holding=0.5, shortage=5, owed=0, states=40
        )
        orders = operational.plan(given)
        system = single.create(lead_time=lead, backlog=not lost, initial_stock=4)
        cost = CostModel(price=0.0, purchase=1.0, holding=0.5, shortage=5.0, fixed_order=3.0, salvage=0.0)
        problem = Problem(discrete.create(probabilities=list(pmf), items=1), system, cost, 8, 0, 0, 0)
        for policy in (orders.policy(), orders.policy(interpolated=True)):  # on the lattice there is nothing in between
            money = -np.asarray(problem.benefit(policy, problem.training_paths(root(0, "test"), 20_000)))
            error = money.std() / np.sqrt(money.size)
            assert abs(money.mean() - orders.cost[4 - orders.low[0], 0]) < 4.5 * error


def seen(position, time):
    position = jnp.asarray(position, jnp.float32)
    return Observation(position, position, jnp.zeros((0, *position.shape)), jnp.zeros((0, *position.shape)), jnp.asarray(time))


def two_items():
    """Steps of 1 and 10 units, periods 5, 6 and 7, no fixed cost, at most 12 and 1000 units an order."""
    pmf = constant(stats.poisson.pmf(np.arange(20), 3) / stats.poisson.cdf(19, 3), 3, 2)
    limit = np.broadcast_to([12.0, 1000.0], (3, 2))
    return operational.plan(create(pmf=pmf, step=[1, 10], holding=1, shortage=[9, 2], limit=limit, start=5, states=40, low=-8))


def test_the_lookup_takes_any_shape_and_keeps_to_limits_and_time():
    orders = two_items()
    policy = orders.policy()
    level = at(orders, 0)[0], at(orders, 0, 1)[0]
    position = np.array([[0, 0], [3, 20], [level[0] + 1, level[1] + 10]])
    assert np.asarray(policy.apply(policy.params, seen(position, 5), None)).tolist() == [
        [level[0], level[1]], [level[0] - 3, level[1] - 20], [0, 0],
    ]  # fmt: skip
    low = np.asarray(policy.apply(policy.params, seen([-50.0, -500.0], 5), None))
    assert low.tolist() == [12, level[1] + 500]  # below the tables up to the same, but never more than the limit
    for time in (4, 8):  # before and after the plan
        assert not np.asarray(policy.apply(policy.params, seen([0.0, 0.0], time), None)).any()


def test_between_positions_orders_fill_up_to_the_level():
    orders = two_items()
    level = at(orders, 0, 1)[0]
    for interpolated in (False, True):
        policy = orders.policy(interpolated)
        order = np.asarray(policy.apply(policy.params, seen([0.25, 14.0], 5), None))
        assert order == pytest.approx([at(orders, 0)[0] - 0.25, level - 14])


def several(seed):
    """Eleven items of all kinds."""
    random = np.random.default_rng(seed)
    return create(
        pmf=np.moveaxis(random.dirichlet(np.ones(6), (5, 11)), 1, 2), holding=random.uniform(0, 1, 11), shortage=9, states=30,
        lead=np.arange(11) % 3, lost=np.arange(11) % 2 == 0, fixed_order=random.uniform(0, 9, 11),
    )  # fmt: skip


def test_the_same_shapes_compile_once():
    operational.plan(several(1))
    compiled = operational_induction._spread._cache_size()
    operational.plan(several(2))
    assert operational_induction._spread._cache_size() == compiled


def test_the_figures_of_an_item_do_not_depend_on_those_beside_it(monkeypatch):
    one = operational.plan(several(3))
    monkeypatch.setattr(operational_induction, "BLOCK", 2)
    two = operational.plan(several(3))
    assert (one.quantity == two.quantity).all() and (one.cost == two.cost).all()


# what is said and what is refused


def test_what_is_not_exact_is_said():
    """Lost sales with a lead time of 2; limited orders; a table that ends below the best level; none of these."""
    pmf = constant(stats.poisson.pmf(np.arange(30), 5) / stats.poisson.cdf(29, 5), 10, 4)
    limit = np.full((10, 4), np.inf)
    limit[:, 1] = 7
    given = create(pmf=pmf, lead=[2, 2, 8, 2], lost=[True, False, False, False], holding=1, shortage=9, limit=limit, states=60)
    assert operational.plan(given).exact.tolist() == [False, False, False, True]
    assert given.approximated.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    "figures, sentence",
    [
        ({"pmf": np.full((2, 3, 1), 0.5)}, "operational.pmf must be probabilities >= 0 that sum to 1"),
        ({"holding": -1}, "operational.holding must be >= 0, got -1.0"),
        ({"lead": 0.5}, "operational.lead must be whole numbers, got 0.5"),
        ({"step": 0}, "operational.step must be > 0, got 0.0"),
        ({"salvage": 3}, "operational.salvage must be <= operational.purchase"),
        ({"low": -3, "lost": True}, "operational.low must be <= 0, and 0 for items that lose sales"),
        ({"shortage": [1, 2]}, "operational.shortage must be one number, or of shape (1,), got 'shape (2,)'"),
    ],
)
def test_what_makes_no_sense_is_refused(figures, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        create(**{"pmf": constant([0.5, 0.5], 2), "holding": 1, "shortage": 2} | figures)


def test_options_count_in_steps_that_the_tables_have_room_for():
    """At (0, 3) lead times and fixed costs, items of 2 and of 900 units a period; no table ends below what is ordered up to."""
    options = operational.create(window=20, states=120, support=60)
    mean = np.tile([2.0, 900.0, 40.0], (23, 1))
    given = options.stocking(
        mean=mean, std=0.3 * mean, lead=[0, 3, 2], holding=0.1, shortage=2, fixed_order=[0, 50, 20], purchase=3
    )
    orders = operational.plan(given)
    assert given.step[0] == 1 and 900 * 4 / 72 < given.step[1] < 150 and orders.exact.all()
    level = np.where(orders.quantity > 0, (orders.quantity + np.arange(120)[:, None] + orders.low) * orders.step, 0).max((0, 1))
    assert (level > mean[0] * (1 + given.lead)).all()
    policy = options.policy(given)
    assert (np.asarray(policy.apply(policy.params, seen(np.zeros(3), 0), None)) > 0).all()
    with pytest.raises(ValueError, match="planner.states must be a whole number >= 10, got 3"):
        operational.create(window=20, states=3, support=60)
