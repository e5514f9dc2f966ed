"""Wagner-Whitin: the algorithm against all plans there are, and the method against the algorithm."""

from dataclasses import dataclass
from functools import partial
from itertools import product

import hypothesis
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import strategies as st

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamic_lots import wagner_whitin
from invbench.dynamics import single
from invbench.methods.wagner_whitin import WagnerWhitin
from invbench.scenarios import normal, profile
from invbench.scenarios.base import Scenario
from invbench.types import Array, Observation

# the algorithm

PLANS = [  # Snyder and Shen 2019, example 3.9, problems 3.27 and 3.29; as in stockpyl@0bae176c tests/test_wagner_whitin.py
    ([90, 120, 80, 70], 2, 500, [210, 0, 150, 0], 1380),
    ([150, 100, 80, 200], 0.8, 120, [150, 180, 0, 200], 424),
    ([730, 580, 445, 650, 880], 0.1, 100, [1310, 0, 1095, 0, 880], 423),
]


@pytest.mark.parametrize("demand, holding, fixed_order, quantity, cost", PLANS)
def test_plans_of_the_textbook(demand, holding, fixed_order, quantity, cost):
    plan = wagner_whitin(demand, holding=holding, fixed_order=fixed_order)
    assert plan.quantity.tolist() == quantity and plan.cost == pytest.approx(cost, rel=1e-12)


def test_a_plan_where_the_price_changes_by_hand():
    # 400 units at 3, then all the rest at 1, each order for 100: 100 + 1,200 + 100 + 3,000, and 0.1 to hold 500 one period,
    # 1,100 two and 900 three: 50 + 220 + 270
    plan = wagner_whitin([400, 500, 500, 1100, 900], holding=0.1, fixed_order=100, purchase=[3, 1, 4, 6, 6])
    assert plan.quantity.tolist() == [400, 3000, 0, 0, 0] and plan.cost == pytest.approx(4400 + 540)


def priced(quantity, demand, holding, fixed_order, purchase):
    """What a plan costs, by its definition; infinite where demand is not met."""
    stock, cost = 0, 0.0
    for period, units in enumerate(quantity):
        stock += units - demand[period]
        cost += fixed_order[period] * (units > 0) + purchase[period] * units + holding[period] * stock
        if stock < 0:
            return np.inf
    return cost


@st.composite
def instances(draw, periods=4, most=3):
    """Demand, holding, fixed order and purchase, each [period]."""
    count = draw(st.integers(1, periods))
    few = lambda values: draw(st.lists(values, min_size=count, max_size=count))  # noqa: E731
    money = st.integers(0, 20).map(lambda quarters: quarters / 4)
    return few(st.integers(0, most)), few(money), few(money.map(lambda value: 3 * value)), few(money)


@hypothesis.settings(max_examples=60, deadline=None, derandomize=True)
@hypothesis.given(instances(most=2))
def test_no_plan_at_all_is_cheaper(instance):
    """All plans in whole units, whether or not they order only without stock."""
    demand, *prices = instance
    least = min(priced(quantity, demand, *prices) for quantity in product(range(sum(demand) + 1), repeat=len(demand)))
    plan = wagner_whitin(demand, **dict(zip(("holding", "fixed_order", "purchase"), prices, strict=True)))
    assert plan.cost == pytest.approx(least, abs=1e-9)
    assert priced(plan.quantity, demand, *prices) == pytest.approx(plan.cost, abs=1e-9)
    assert plan.quantity.sum() == sum(demand)


def test_items_are_planned_one_by_one():
    random = np.random.default_rng(0)
    demand, fixed_order = random.integers(0, 9, (20, 3)), random.uniform(5, 40, 3)
    together = wagner_whitin(demand, holding=[0.5, 1, 2], fixed_order=fixed_order)
    for item, holding in enumerate([0.5, 1, 2]):
        alone = wagner_whitin(demand[:, item], holding=holding, fixed_order=fixed_order[item])
        for part, whole in zip(alone, together, strict=True):
            np.testing.assert_array_equal(part, whole[..., item])
    assert together.quantity.shape == together.next_order.shape == (20, 3) and together.cost.shape == (3,)


def test_nothing_is_ordered_for_nothing():
    for demand in ([0, 0, 0], []):
        plan = wagner_whitin(demand, holding=1, fixed_order=10)
        assert plan.cost == 0 and plan.quantity.tolist() == [0] * len(demand)
    assert wagner_whitin([0, 3, 0], holding=0, fixed_order=10).quantity.tolist() == [0, 3, 0]


@pytest.mark.parametrize(
    "given, sentence",
    [
        (dict(demand=[1, -1], holding=1, fixed_order=1), "demand must be numbers >= 0, got [1, -1]"),
        (dict(demand=[1, 1], holding=-1, fixed_order=1), "holding must be numbers >= 0, got -1"),
        (
            dict(demand=[1, 1], holding=1, fixed_order=[1, 2, 3]),
            "fixed_order must be of a shape that broadcasts to the demand's (2,), got (3,)",
        ),
        (dict(demand=3, holding=1, fixed_order=1), "demand must be of shape [period] or [period, item], got ()"),
    ],
)
def test_plans_are_refused_by_name(given, sentence):
    with pytest.raises(ValueError) as refusal:
        wagner_whitin(**given)
    assert str(refusal.value) == sentence


# the method, where demand is known: it pays what the algorithm says

HORIZON, HOLDING, WINDOW = 60, 2.0, 3


@partial(jax.tree_util.register_dataclass, data_fields=["demand"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class Known(Scenario):
    """The same demand on every path."""

    demand: Array  # [period, item] from period -WINDOW on
    items: int

    def draw(self, key, n, horizon, start):
        periods = WINDOW + start + jnp.arange(horizon)
        return jnp.broadcast_to(self.demand[periods, None], (horizon, n, self.items))


def known(items=2):
    """Whole numbers, so that float32 is exact; in every third period or so nothing."""
    random = np.random.default_rng(0)
    demand = random.integers(1, 200, (WINDOW + HORIZON + 9, items)) * (random.uniform(size=(WINDOW + HORIZON + 9, items)) < 0.7)
    return Known(jnp.asarray(demand, jnp.float32), items)


def posed(scenario, fixed_order=300.0, horizon=HORIZON, **system):
    cost = CostModel(price=0.0, purchase=0.0, holding=HOLDING, shortage=1000.0, fixed_order=fixed_order, salvage=0.0)
    given = dict(information="known", history=0, window=WINDOW, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario, single.create(**system), cost, **given)


def fitted(setting, service_level=0.95):
    return WagnerWhitin(service_level).fit(setting.for_fitting(), jax.random.key(0), lambda metrics, step: None)


def run(setting):
    """Orders [period, item] and cost [item] of the method, and the demand [period, item] that it met."""
    paths = setting.evaluation_paths(2)
    flows = setting.simulate(fitted(setting), paths)
    assert not np.asarray(flows.missed).any()
    cost = np.asarray(setting.cost.charge(flows).cost, np.float64).sum(1)
    return np.asarray(flows.ordered[0], np.float64), cost[0], np.asarray(paths.demand[:, 0], np.float64)


@pytest.mark.parametrize("backlog", [False, True])
@pytest.mark.parametrize("fixed_order", [0.0, 40.0, 300.0, 5000.0])
def test_known_demand_costs_what_the_algorithm_says(fixed_order, backlog):
    ordered, cost, demand = run(posed(known(), fixed_order, lead_time=0, backlog=backlog, initial_stock=0))
    plan = wagner_whitin(demand, holding=HOLDING, fixed_order=fixed_order)
    np.testing.assert_array_equal(ordered, plan.quantity)
    np.testing.assert_array_equal(cost, plan.cost)


def test_demand_in_fractions_causes_no_order_by_rounding():
    waves = dict(annual=0.3, weekly=0.5, trend=8.0)
    scenario = profile.create(mean=37.3, cv=0, **waves, distribution="normal", noise="proportional", items=1)
    setting = posed(scenario, lead_time=0, backlog=True, initial_stock=0)
    paths = setting.evaluation_paths(1)
    ordered = np.asarray(setting.simulate(fitted(setting), paths).ordered[0])
    plan = wagner_whitin(np.asarray(paths.demand[:, 0]), holding=HOLDING, fixed_order=300.0)
    np.testing.assert_array_equal(ordered > 0, plan.quantity > 0)
    np.testing.assert_allclose(ordered, plan.quantity, rtol=1e-5)


def test_with_a_lead_time_orders_are_placed_as_much_earlier():
    demand = np.asarray(known().demand[WINDOW : WINDOW + HORIZON], np.float64)
    scenario, first = Known(known().demand[:, :1], 1), demand[:3, 0]  # which no order can reach: the initial stock is for them
    ordered, cost, _ = run(posed(scenario, lead_time=3, backlog=False, initial_stock=float(first.sum())))
    plan = wagner_whitin(demand[3:, :1], holding=HOLDING, fixed_order=300.0)
    np.testing.assert_array_equal(ordered[:-3], plan.quantity)
    assert not ordered[-3:].any()  # they would arrive after the horizon
    np.testing.assert_array_equal(cost, plan.cost + HOLDING * (first[1] + 2 * first[2]))


def test_what_no_order_can_reach_is_left_alone():
    ordered, _, _ = run(posed(known(), horizon=2, lead_time=3, backlog=False, initial_stock=400))
    assert not ordered.any()
    policy = fitted(posed(known(), lead_time=3, backlog=True, initial_stock=0))
    orders = [policy.apply(policy.params, seen(-50, time, 2), None) for time in range(HORIZON)]
    assert (np.stack(orders) > 0).all(1).tolist() == [True] * (HORIZON - 3) + [False] * 3  # whatever is owed


# the method, where stock is not what was planned: it does what planning anew would


def seen(position, time, items):
    position = jnp.full(items, position, jnp.float32)
    return Observation(position, position, jnp.zeros((0, items)), jnp.zeros((WINDOW, items)), jnp.asarray(time))


@pytest.mark.parametrize("lead_time", [0, 2])
def test_every_order_is_that_of_a_new_plan_for_what_is_not_covered(lead_time):
    setting = posed(known(items=1), lead_time=lead_time, backlog=True, initial_stock=100)
    policy, demand = fitted(setting), np.asarray(setting.evaluation_paths(1).demand[:, 0, 0], np.float64)
    random, placed = np.random.default_rng(0), []
    for _ in range(150):
        time = int(random.integers(HORIZON - lead_time))
        position = float(random.uniform(-60, 200))
        total = demand[time:].cumsum()
        missing = np.maximum(total - position, 0)  # of the demand up to each period from this one on
        needs = np.diff(missing[lead_time:], prepend=0)  # what falls due before an order can arrive is due when it does
        new = wagner_whitin(needs, holding=HOLDING, fixed_order=300.0).quantity[0]
        order = float(policy.apply(policy.params, seen(position, time, 1), None)[0])
        assert order == pytest.approx(new, rel=1e-4, abs=1e-2)
        placed.append(order > 0)
    assert 20 < sum(placed) < 130


# what protects against demand above the expected


def noisy(mean=50, std=5):
    return normal.create(mean=mean, std=std, items=1)


def test_the_allowance_is_that_of_the_periods_that_a_level_is_for():
    # an order for one period costs 100 and the next 2 x 50 to hold, so two are never better than one (100 + 100 = 200);
    # L = 2, so three periods: mean 150, and 1.644854 x 5 x sqrt(3) = 14.24 on top of it for level and reorder point alike
    setting = posed(noisy(), fixed_order=99.0, lead_time=2, backlog=True, initial_stock=150)
    bare, safe = (np.asarray(fitted(setting, level).params["level"]) for level in (0.5, 0.95))
    np.testing.assert_allclose(bare[: HORIZON - 2], 150, rtol=0.01)
    np.testing.assert_allclose((safe - bare)[: HORIZON - 2], 14.24, rtol=0.15)  # the spread of 1,024 paths, in each period
    assert abs((safe - bare)[: HORIZON - 2].mean() - 14.24) < 0.3
    points = np.asarray(fitted(setting).params["reorder_point"])[: HORIZON - 2]
    np.testing.assert_allclose(points, safe[: HORIZON - 2], rtol=1e-4)


def test_the_safer_plan_misses_less_and_holds_more():
    setting = posed(noisy(std=15), lead_time=2, backlog=False, initial_stock=150)
    paths = setting.evaluation_paths(200)
    totals = [setting.totals(fitted(setting, level), paths) for level in (0.5, 0.9, 0.99)]
    missed, held = (np.array([np.asarray(getattr(total, name)).mean() for total in totals]) for name in ("missed", "held"))
    assert np.all(np.diff(missed) < 0) and np.all(np.diff(held) > 0) and missed[-1] < 0.1 * missed[0]


@pytest.mark.parametrize("level", [0.3, 1.0])
def test_a_service_level_out_of_range_is_refused(level):
    with pytest.raises(ValueError, match="^method.service_level must be a number >= 0.5 and <= 0.9999, got"):
        fitted(posed(noisy(), lead_time=0, backlog=True), level)
