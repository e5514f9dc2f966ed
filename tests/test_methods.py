"""Classical methods: textbook figures, printed optimal policies, orders by hand; and the tuning that they share."""

import csv
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import costs, formulas, problem, replay, tuning
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.evaluation import statistics
from invbench.forecasts.seasonal_smoothing import SeasonalSmoothing
from invbench.methods import eoq, newsvendor, safety_stock
from invbench.methods.base_stock import BaseStock, order_up_to
from invbench.methods.eoq import EconomicOrderQuantity
from invbench.methods.forecast_base_stock import ForecastBaseStock
from invbench.methods.forecast_s_S import ForecastReorderUpTo
from invbench.methods.newsvendor import Newsvendor
from invbench.methods.r_Q import ReorderLots, reorder_lots
from invbench.methods.s_S import ReorderUpTo, reorder_up_to
from invbench.methods.safety_stock import SafetyStock
from invbench.scenarios import normal, profile
from invbench.scenarios.base import Scenario
from invbench.types import Array, Observation, Paths, Policy, recent_mean, weighted_history


def golden(name):
    """Rows of a table in tests/golden, numbers as numbers."""
    with open(Path(__file__).parent / "golden" / f"{name}.csv", newline="", encoding="utf-8") as file:
        return [{key: _number(value) for key, value in row.items()} for row in csv.DictReader(file)]


def _number(text):
    try:
        return float(text)
    except ValueError:
        return text


TEXTBOOK, PRINTED, ZIPKIN = golden("textbook"), golden("s_S"), golden("zipkin2008")


def column(rows, name):
    return np.array([row[name] for row in rows])


def rates(holding, shortage, fixed_order=0.0):
    """Holding, shortage and fixed cost alone, each [item], as papers have it."""
    parts = dict(price=0, purchase=0, holding=holding, shortage=shortage, fixed_order=fixed_order, salvage=0)
    return CostModel(**{name: jnp.zeros(len(holding)) + jnp.asarray(value, jnp.float32) for name, value in parts.items()})


def ignore(metrics, step):
    pass


@partial(jax.tree_util.register_dataclass, data_fields=["mean"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class Mixed(Scenario):
    """Poisson demand whose mean differs by item."""

    mean: Array  # [item]
    items: int

    def draw(self, key, n, horizon, start):
        return jax.random.poisson(key, self.mean, (horizon, n, self.items)).astype(jnp.float32)


def mixed(means):
    return Mixed(jnp.asarray(means, jnp.float32), len(means))


def made(scenario, cost, horizon, window=0, **system):
    given = dict(information="known", history=0, window=window, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario, single.create(**system), cost, **given)


# textbook figures


def of_rule(rule):
    return [row for row in TEXTBOOK if row["rule"] == rule]


@pytest.mark.parametrize("row", of_rule("eoq"), ids=lambda row: f"{row['instance']} {row['quantity']}")
def test_economic_order_quantity_of_the_textbook(row):
    function = {"quantity": eoq.order_quantity, "cost": eoq.cost_rate}[row["quantity"]]
    assert float(function(row["fixed_order"], row["mean"], row["holding"])) == pytest.approx(row["figure"], rel=1e-6)


def textbook_quantile(row, fractile):
    if row["distribution"] == "poisson":
        return stats.poisson.ppf(fractile, row["mean"])
    if row["distribution"] == "lognormal":
        return stats.lognorm.ppf(fractile, row["std"], scale=np.exp(row["mean"]))
    cover = row["lead_time"] + 1
    return float(safety_stock.order_up_to_level(row["mean"], row["std"], cover, stats.norm.ppf(fractile)))


@pytest.mark.parametrize("row", of_rule("newsvendor"), ids=lambda row: row["instance"])
def test_newsvendor_levels_of_the_textbook(row):
    fractile = formulas.quantile(row["shortage"], row["holding"])
    assert textbook_quantile(row, fractile) == pytest.approx(row["figure"], rel=1e-6)


def test_critical_fractile_by_hand():
    retail = CostModel(20.0, 10.0, np.array([2.0, 5.0]), 10.0, 50.0, 0.0)
    assert formulas.critical_fractile(retail, backlog=False) == pytest.approx([20 / 22, 20 / 25])  # 10 + (20 - 10)
    assert formulas.critical_fractile(retail, backlog=True) == pytest.approx([10 / 12, 10 / 15])
    no_margin = replace(retail, price=4.0)
    assert formulas.critical_fractile(no_margin, backlog=False) == pytest.approx([10 / 12, 10 / 15])
    assert formulas.critical_fractile(replace(retail, holding=0.0), backlog=True) == 1 - 1e-4  # some quantile is highest


def test_newsvendor_fits_the_level_of_example_4_4():
    (row,) = [row for row in TEXTBOOK if row["instance"] == "example_4_4"]
    setting = made(normal.create(mean=50, std=8, items=2), rates([0.18, 0.18], 0.7), 60, lead_time=4, backlog=True)
    levels = np.asarray(Newsvendor().fit(setting, jax.random.key(0), ignore).params["levels"])
    # a quantile of 1024 draws has standard error 0.80, and 60 periods share 5 periods of demand: 0.23 for their mean
    assert levels.shape == (60, 2)
    assert levels.mean(0) == pytest.approx(row["figure"], abs=4 * 0.23)


# printed policies


def exact_cost(reorder_point, order_up_to, mean, fixed_order, holding, shortage):
    """Average cost of ordering up to S where the position is at or below s, with Poisson demand, L = 0 and backlog.

    (K + sum of m(j) G(S - j)) / sum of m(j), j < S - s, with m the renewal density of demand (Zheng and Federgruen 1991).
    """
    span, demand = int(order_up_to - reorder_point), np.arange(400)
    chance = stats.poisson.pmf(demand, mean)
    visits = np.zeros(span)
    for gone in range(span):
        visits[gone] = ((gone == 0) + visits[:gone] @ chance[gone:0:-1]) / (1 - chance[0])
    left = order_up_to - np.arange(span)[:, None] - demand
    charge = (holding * np.maximum(left, 0) + shortage * np.maximum(-left, 0)) @ chance
    return (fixed_order + visits @ charge) / visits.sum()


def printed(row, shift=0):
    terms = [row[name] for name in ("mean", "fixed_order", "holding", "shortage")]
    return exact_cost(row["reorder_point"] + shift, row["order_up_to"], *terms)


@pytest.mark.parametrize("row", PRINTED, ids=lambda row: row["instance"])
def test_printed_policies_order_at_the_reorder_point_and_below(row):
    # The printed figure is that of ordering at or below s, as reorder_up_to does; ordering only below s is another policy.
    assert printed(row) == pytest.approx(row["cost"], abs=6e-4)
    assert printed(row, shift=-1) > row["cost"] + 0.04


def average_costs(system, policy, cost, means, periods, warm_up, n):
    """[n, item] simulated cost per period after the warm-up."""
    demand = np.random.default_rng(0).poisson(means, (periods, n, len(means)))
    paths = Paths(jnp.asarray(demand, jnp.float32), jnp.zeros((0, n, len(means))))
    benefit = replay.flows(system, policy, paths, costs.benefit, (cost,))
    return -np.asarray(benefit, np.float64)[:, warm_up:].mean(1)


def test_simulated_s_S_costs_what_is_printed():
    levels = jnp.asarray(column(PRINTED, "order_up_to"), jnp.float32)
    points = jnp.asarray(column(PRINTED, "reorder_point"), jnp.float32)
    policy = Policy({"reorder_point": points, "lot": levels - points}, reorder_up_to)
    cost = rates(*(column(PRINTED, name) for name in ("holding", "shortage", "fixed_order")))
    found = average_costs(single.Single(0, True, levels), policy, cost, column(PRINTED, "mean"), 600, 100, 500)
    error = stats.sem(found)
    assert np.all(error < 0.0012 * column(PRINTED, "cost"))  # so that it can tell one policy from another
    assert np.all(np.abs(found.mean(0) - column(PRINTED, "cost")) < 3.5 * error)  # four at once: 0.2 % by chance


def test_tuned_s_S_is_within_one_percent_of_the_printed_optimum():
    rows = PRINTED[:2]
    cost = rates(*(column(rows, name) for name in ("holding", "shortage", "fixed_order")))
    setting = made(mixed(column(rows, "mean")), cost, 300, lead_time=0, backlog=True, initial_stock=30)
    params = ReorderUpTo(tuning.budget(256, 144, 3)).fit(setting, jax.random.key(0), ignore).params
    for item, row in enumerate(rows):
        point, lot = float(params["reorder_point"][item]), float(params["lot"][item])
        assert point == round(point) and lot == round(lot)
        terms = [row[name] for name in ("mean", "fixed_order", "holding", "shortage")]
        assert exact_cost(point, point + lot, *terms) <= 1.01 * row["cost"]


def test_tuned_base_stock_with_backlog_is_the_newsvendor_of_lead_time_and_review():
    # P(D <= 19) = 0.875 < 0.9 <= 0.917 = P(D <= 20) for Poisson 15, and 0.785 < 0.8 <= 0.830 at 41 for Poisson 36
    means, shortage = np.array([5.0, 12.0]), np.array([9.0, 4.0])
    setting = made(mixed(means), rates([1, 1], shortage), 100, lead_time=2, backlog=True, initial_stock=15)
    policy = BaseStock(tuning.budget(1000, 64, 2)).fit(setting, jax.random.key(0), ignore)
    expected = stats.poisson.ppf(formulas.quantile(shortage, 1.0), 3 * means)
    assert policy.params["level"].tolist() == expected.tolist() == [20, 41]


def test_base_stock_with_lost_sales_is_that_of_zipkin():
    means, cost = column(ZIPKIN, "mean"), rates(column(ZIPKIN, "holding"), column(ZIPKIN, "shortage"))
    setting = made(mixed(means), cost, 200, lead_time=2, backlog=False, initial_stock=15)
    policy = BaseStock(tuning.budget(2000, 64, 2)).fit(setting, jax.random.key(0), ignore)
    assert policy.params["level"].tolist() == column(ZIPKIN, "level").tolist()
    found = average_costs(setting.system, policy, cost, means, 200, 50, 2000)
    error = stats.sem(found)
    assert np.all(error < 0.003 * column(ZIPKIN, "cost"))
    assert np.all(np.abs(found.mean(0) - column(ZIPKIN, "cost")) < 3.5 * error)
    assert np.round(column(ZIPKIN, "cost"), 2).tolist() == column(ZIPKIN, "printed").tolist()


# orders by hand. The ring of four periods at time 6: slot 6 % 4 = 2 is the oldest, so what was seen is 10, 14, 12, 8, mean 11

SEEN = jnp.asarray([12.0, 8.0, 10.0, 14.0])[:, None]


def seen(position, ring=SEEN, time=6):
    position = jnp.atleast_1d(jnp.asarray(position, jnp.float32))
    ring = jnp.broadcast_to(ring, (len(ring), len(position)))
    return Observation(position, position, jnp.zeros((1, len(position))), ring, time)


def retail(fixed_order=50.0):
    return CostModel(20.0, 10.0, 2.0, 10.0, fixed_order, 0.0)


def textbook_problem(window=4):
    return made(normal.create(mean=50, std=8, items=1), retail(), 6, window, lead_time=2, backlog=False, initial_stock=0)


def test_economic_lots_by_hand():
    # Q = sqrt(2 x 50 x 11 / 2) = sqrt(550) = 23.45; reorder at or below 11 x (2 + 1) = 33, and never less than what is missing
    policy = EconomicOrderQuantity(periods=4).fit(textbook_problem(), None, ignore)
    orders = policy.apply(policy.params, seen([34, 33, 30, 9, 0]), None)
    assert policy.window == 4
    np.testing.assert_allclose(orders, [0, np.sqrt(550), np.sqrt(550), 24, 33], rtol=1e-6)


def test_safety_stock_by_hand():
    # deviations -1, 3, 1, -3: variance 20 / 3; level 3 x 11 + 1.644854 x sqrt(20 / 3) x sqrt(3) = 33 + 7.355992
    policy = SafetyStock(service_level=0.95, periods=4).fit(textbook_problem(), None, ignore)
    orders = policy.apply(policy.params, seen([0, 30, 50]), None)
    assert policy.window == 4
    np.testing.assert_allclose(orders, [40.355992, 10.355992, -9.644008], rtol=1e-5)  # below zero: nothing is ordered


def test_newsvendor_orders_up_to_the_level_of_the_period():
    params = {"levels": jnp.asarray([[10.0], [20.0], [30.0]]), "start": jnp.asarray([5])}
    assert newsvendor.order_up_to_today(params, seen([4, 25]), None).tolist() == [16, -5]  # time 6 is the second period


def test_reorder_up_to_by_hand():
    params = {"reorder_point": jnp.asarray([10.0]), "lot": jnp.asarray([25.0])}  # S = 35
    assert reorder_up_to(params, seen([11, 10.5, 10, 4, -3]), None).tolist() == [0, 0, 25, 31, 38]


def test_lots_lift_the_position_above_the_reorder_point_and_no_further():
    params = {"reorder_point": jnp.asarray([10.0]), "lot": jnp.asarray([4.0])}
    # from 10 one lot to 14; from 7 one to 11; from 6 one would reach 10, which is not above: two to 14; from -2 four to 14
    assert reorder_lots(params, seen([11, 10, 7, 6, -2]), None).tolist() == [0, 4, 4, 8, 16]
    positions = np.arange(-40, 30)
    for lot in (1, 3, 7, 50):
        lifted = positions + np.asarray(reorder_lots(params | {"lot": jnp.asarray([float(lot)])}, seen(positions), None))
        assert np.all((lifted - positions) % lot == 0)
        assert np.all(lifted > 10) and np.all(lifted[positions > 10] == positions[positions > 10])
        assert np.all(lifted[positions <= 10] - lot <= 10)


REFUSED = [
    (EconomicOrderQuantity(periods=5), "method.periods must be <= problem.window (4), got 5"),
    (EconomicOrderQuantity(periods=0), "method.periods must be a whole number >= 1, got 0"),
    (SafetyStock(service_level=0.95, periods=5), "method.periods must be <= problem.window (4), got 5"),
    (SafetyStock(service_level=0.95, periods=1), "method.periods must be a whole number >= 2, got 1"),
    (SafetyStock(service_level=0.3, periods=4), "method.service_level must be a number >= 0.5 and <= 0.9999, got 0.3"),
]


@pytest.mark.parametrize("method, sentence", REFUSED)
def test_refusals_name_the_field_and_the_value(method, sentence):
    with pytest.raises(ValueError) as refusal:
        method.fit(textbook_problem(), None, ignore)
    assert str(refusal.value) == sentence


# what was seen


@pytest.mark.parametrize("shape", [(2,), (5, 2)], ids=["one path", "a block of paths"])
@pytest.mark.parametrize("columns", [1, 2])
def test_weighted_history_is_the_weighted_sum_at_every_time(columns, shape):
    generator, window = np.random.default_rng(0), 5
    weights = jnp.asarray(generator.normal(size=(window, columns)), jnp.float32)
    past = generator.normal(size=(30, *shape)).astype(np.float32)  # demand of periods 0, 1, …
    weigh = jax.jit(weighted_history)
    for time in range(window, 3 * window + 1):
        ring = np.zeros((window, *shape), np.float32)
        for period in range(time - window, time):
            ring[period % window] = past[period]
        observation = Observation(past[0], past[0], jnp.zeros((0, *shape)), jnp.asarray(ring), jnp.asarray(time))
        recent = past[time - window : time]  # oldest first
        expected = (np.asarray(weights).reshape(window, *(1,) * (len(shape) - 1), columns) * recent).sum(0)
        np.testing.assert_allclose(weigh(observation, weights), expected, atol=1e-5)
        np.testing.assert_allclose(recent_mean(observation), recent.mean(0), atol=1e-6)
        np.testing.assert_array_equal(observation.history, recent)


# tuning. Toy: demand 10.3 in every period, L = 1, backlog, so that level 20.6 costs nothing and any other something


def toy(mean=10.3, items=1, stock=None, cost=None):
    scenario = profile.create(mean=mean, cv=0, annual=0, weekly=0, trend=0, distribution="normal", noise="constant", items=items)
    stock = mean if stock is None else stock
    return made(scenario, cost or rates([1.0], 9.0), 12, lead_time=1, backlog=True, initial_stock=stock)


def find(setting, low=0.0, high=50.0, whole=False, candidates=16, rounds=3, log: Callable = ignore):
    template, budget = Policy({}, order_up_to), tuning.budget(64, candidates, rounds)
    low, high, whole = np.array([low]), np.array([high]), np.array([whole])
    return tuning.search(setting, template, ("level",), low, high, whole, budget, jax.random.key(0), log)


def test_search_closes_in_on_the_optimum_wherever_the_grid_falls():
    # a level too low costs nine times as much as one too high, so the best of a grid may be almost a step above the optimum
    setting = toy()
    found = [find(setting, high=float(high), rounds=6) for high in range(40, 56, 2)]
    np.testing.assert_allclose([tuned.point[0, 0] for tuned in found], 20.6, atol=0.01)
    assert found[0].point.shape == (1, 1) and found[0].value.shape == (1,)
    assert (found[0].tried, found[0].paths) == (6 * 16, 64)


def test_search_finds_whole_levels_where_demand_is_whole():
    setting = toy(mean=10)
    assert tuning.is_whole(setting, jax.random.key(1)) and not tuning.is_whole(toy(), jax.random.key(1))
    found = find(setting, whole=True)
    assert found.point[0, 0] == 20 and found.value[0] == 0
    policy = BaseStock(tuning.budget(64, 16, 3)).fit(setting, jax.random.key(0), ignore)
    assert policy.params["level"].tolist() == [20]


@pytest.mark.parametrize("whole", [False, True])
def test_search_stays_within_its_bounds(whole):
    assert find(toy(), 0, 15, whole).point[0, 0] == 15
    assert find(toy(), 25, 50, whole).point[0, 0] == 25
    for low, high in ((0, 15.6), (22.4, 50)):  # the nearest whole numbers, 16 and 22, lie outside
        assert low <= find(toy(), low, high, whole).point[0, 0] <= high


def test_search_treats_every_item_by_itself():
    setting = replace(toy(items=2), cost=rates([1.0, 1.0], [9.0, 0.0]))  # nobody minds if the second item is owed
    found = find(setting)
    assert found.point[0, 0] == pytest.approx(20.6, abs=0.2) and found.point[0, 1] <= 20.6
    np.testing.assert_array_equal(found.value[1], 0)


def test_more_rounds_are_never_worse_on_the_training_paths():
    setting = made(mixed([5, 12]), rates([1, 1], 9.0), 12, lead_time=1, backlog=True, initial_stock=10)
    values = np.array([find(setting, 0, 200, candidates=8, rounds=rounds).value for rounds in range(1, 6)])
    assert np.all(np.diff(values, axis=0) >= 0)
    assert np.all(values[-1] > values[0])


def test_search_logs_every_round():
    lines = []
    found = find(toy(), log=lambda metrics, step: lines.append((step, metrics)))
    assert [step for step, _ in lines] == [0, 1, 2]
    assert lines[-1][1] == {"tuning/benefit": pytest.approx(found.value.sum())}


def test_two_parameters_find_the_best_cycle():
    # demand 10, L = 0, K = 45, h = 1, nothing may be owed: an order for 1, 2, 3, 4 periods costs 45, 27.5, 25, 26.25 a period
    # ((45 + 10 n (n - 1) / 2) / n), so four orders of 30 cost 300 in 12 periods
    setting = replace(toy(mean=10, stock=0), cost=rates([1.0], 1000.0, 45.0), system=single.create(lead_time=0, backlog=True))
    policy = ReorderUpTo(tuning.budget(64, 256, 3)).fit(setting, jax.random.key(0), ignore)
    flows = setting.simulate(policy, setting.training_paths(jax.random.key(2), 64))
    assert np.unique(flows.ordered[0, :, 0]).tolist() == [0, 30]
    assert setting.cost.charge(flows).benefit.sum(1)[0, 0] == -300


@pytest.mark.parametrize(
    "given, sentence",
    [
        ((1, 4, 1), "method.tuning.paths must be a whole number >= 2, got 1"),
        ((2, 3, 1), "method.tuning.candidates must be a whole number >= 4, got 3"),
        ((2, 4, 0), "method.tuning.rounds must be a whole number >= 1, got 0"),
        ((2.5, 4, 1), "method.tuning.paths must be a whole number >= 2, got 2.5"),
    ],
)
def test_budgets_are_refused_by_name(given, sentence):
    with pytest.raises(ValueError) as refusal:
        tuning.budget(*given)
    assert str(refusal.value) == sentence


# methods against each other on seasonal demand, and what they may know

HORIZON, CHANGED = 90, 40
BUDGET = tuning.budget(128, 64, 2)
FORECAST = SeasonalSmoothing(alphas=(0.05, 0.3))
METHODS = {
    "base_stock": BaseStock(BUDGET),
    "s_S": ReorderUpTo(BUDGET),
    "r_Q": ReorderLots(BUDGET),
    "forecast_base_stock": ForecastBaseStock(FORECAST, BUDGET),
    "forecast_s_S": ForecastReorderUpTo(FORECAST, BUDGET),
    "eoq": EconomicOrderQuantity(periods=28),
    "safety_stock": SafetyStock(service_level=0.95, periods=28),
    "newsvendor": Newsvendor(),
}


@lru_cache
def seasonal(fixed_order):
    noise = dict(cv=0.2, distribution="normal", noise="proportional")
    scenario = profile.create(mean=50, annual=0.4, weekly=0.2, trend=0, items=1, **noise)
    setting = made(scenario, retail(fixed_order), HORIZON, 28, lead_time=2, backlog=False, initial_stock=150)
    return setting, setting.evaluation_paths(300)


@lru_cache
def simulated(name, fixed_order):
    """The fitted policy, and its flows on the evaluation paths."""
    setting, paths = seasonal(fixed_order)
    policy = METHODS[name].fit(setting.for_fitting(), jax.random.key(0), ignore)
    return policy, setting.simulate(policy, paths)


def paired(name, other, fixed_order):
    """The difference in net benefit of two methods, as a share of what the first one earns."""
    cost = seasonal(fixed_order)[0].cost
    earned = [np.asarray(cost.charge(simulated(which, fixed_order)[1]).benefit.sum((1, 2))) for which in (name, other)]
    return statistics.mean(earned[0] - earned[1]).scaled(1 / earned[0].mean())


@pytest.mark.parametrize(
    "name, other, fixed_order, share",
    [
        ("s_S", "base_stock", 500, 0.5),  # which pays the fixed cost in every period
        ("r_Q", "base_stock", 500, 0.5),
        ("s_S", "eoq", 500, 0.1),  # which has no safety stock
        ("forecast_s_S", "s_S", 500, 0.05),
        ("forecast_base_stock", "base_stock", 50, 0.05),
    ],
)
def test_what_fits_the_problem_earns_clearly_more(name, other, fixed_order, share):
    """The lower bound of the paired difference."""
    assert paired(name, other, fixed_order).lower > share


@pytest.mark.parametrize("name", METHODS)
def test_no_order_depends_on_demand_that_comes_later(name):
    setting, paths = seasonal(500)
    policy, before = simulated(name, 500)
    other = paths._replace(demand=paths.demand.at[CHANGED:].set(3 * paths.demand[CHANGED:] + 7))
    after = setting.simulate(policy, other)
    np.testing.assert_array_equal(before.ordered[:, : CHANGED + 1], after.ordered[:, : CHANGED + 1])  # demand follows the order
    assert np.any(before.ordered[:, CHANGED + 1 :] != after.ordered[:, CHANGED + 1 :])
