"""Money: charged by hand, linear in flows, refused at the door, and what methods themselves cost as it is printed."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import yaml

from invbench import costs, published
from invbench.costs import CostModel, MethodCosts, Money
from invbench.types import Flows

RETAIL = yaml.safe_load((Path(__file__).parents[1] / "conf" / "cost" / "retail_daily.yaml").read_text())
GIVEN = {name: value for name, value in RETAIL.items() if name != "_target_"}
FAMILY = {"safety_stock": "traditional", "eoq": "traditional", "lstm": "ml", "dqn": "rl"}


def flows(**given):
    """Flows with zeros where nothing is given."""
    return Flows(**{name: jnp.asarray(given.get(name, 0.0), jnp.float32) for name in Flows._fields})


def random_flows(generator, shape):
    parts = {name: generator.integers(0, 50, shape) for name in Flows._fields}
    return flows(**(parts | {"placed": generator.integers(0, 2, shape)}))


DAY = flows(demand=12, ordered=30, placed=1, received=5, sold=9, missed=3, lost=3, backlog=0, held=4, expired=2)


def test_ways_and_sites_by_hand_and_nothing_where_there_are_none():
    # 60 units x length at 0.5 = 30; a site in use at 7
    rates = GIVEN | {"transport": 0.5, "fixed_site": 7}
    money = costs.create(**rates).operations.charge(DAY._replace(carried=jnp.float32(60), used=jnp.float32(1)))
    assert (float(money.transport), float(money.sites)) == (30, 7)
    assert float(money.cost) == 388 + 30 + 7  # what the same day costs without, see below
    none = costs.create(**rates).operations.charge(DAY._replace(carried=None, used=None))
    assert (float(none.transport), float(none.sites), float(none.cost)) == (0, 0, 388)
    with pytest.raises(ValueError, match="^cost.fixed_site must be a number >= 0, got -1$"):
        costs.create(**(GIVEN | {"fixed_site": -1}))


def test_a_period_by_hand():
    # price 20 x 9 sold = 180; holding 2 x 4 held = 8; shortage 10 x 3 lost = 30; one order 50; purchase 10 x 30 ordered = 300
    money = costs.create(**GIVEN).operations.charge(DAY)
    assert Money(*map(float, money)) == Money(revenue=180, salvage=0, holding=8, shortage=30, ordering=50, purchase=300)
    assert float(money.cost) == 388  # 8 + 30 + 50 + 300
    assert float(money.benefit) == -208  # 180 + 0 - 388


def test_only_the_last_period_salvages_and_expired_stock_is_worth_nothing():
    model = CostModel(20.0, 10.0, 2.0, 10.0, 50.0, salvage=3.0)
    assert float(model.charge(DAY).salvage) == float(model.charge(DAY, 0.0).salvage) == 0
    last = model.charge(DAY, 1.0)
    assert float(last.salvage) == 12  # 3 x 4 held
    assert float(last.benefit - model.charge(DAY).benefit) == 12
    assert float(costs.benefit(DAY, 1.0, model)) == -196  # -208 + 12


def test_what_is_owed_pays_shortage_in_every_period_and_what_was_missed_is_not_charged_twice():
    # missed 3 of which none is lost, 7 owed in all: 10 x 7
    owed = flows(demand=5, sold=2, missed=3, backlog=7)
    assert float(costs.create(**GIVEN).operations.charge(owed).shortage) == 70


@pytest.mark.parametrize("order, cost", [(0.0, 0.0), (1.0, 60.0), (30.0, 350.0)])  # 10 x order, and 50 where there is one
def test_a_lot_costs_what_its_flows_cost(order, cost):
    model = costs.create(**GIVEN).operations
    money = model.charge(flows(ordered=order, placed=float(order > 0)))
    assert float(money.ordering + money.purchase) == cost


def test_money_is_linear_in_flows_and_each_item_has_its_own_prices():
    generator = np.random.default_rng(0)
    model = CostModel(*(jnp.asarray(generator.integers(0, 9, 4), jnp.float32) for _ in range(6)))
    one, other = random_flows(generator, (3, 5, 4)), random_flows(generator, (3, 5, 4))
    both = Flows(*(2 * a + 3 * b for a, b in zip(one, other, strict=True)))
    for last in (0.0, 1.0):
        parts = zip(model.charge(both, last), model.charge(one, last), model.charge(other, last), strict=True)
        assert all(np.array_equal(whole, 2 * a + 3 * b) for whole, a, b in parts)
    days = Flows(*(part.sum(1) for part in one))  # the money of the sum is the sum of the money
    np.testing.assert_array_equal(model.charge(days).benefit, model.charge(one).benefit.sum(1))
    item = CostModel(*(float(getattr(model, name)[2]) for name in "price purchase holding shortage fixed_order salvage".split()))
    alone = item.charge(Flows(*(part[..., 2] for part in one)), 1.0)
    np.testing.assert_array_equal(alone.benefit, model.charge(one, 1.0).benefit[..., 2])


def test_a_day_by_hand_component_by_component():
    money = costs.create(**GIVEN).operations.charge(DAY)
    assert [float(part) for part in money] == [180, 0, 8, 30, 50, 300, 0, 0, 0]


def without(family):
    return {name: figures for name, figures in GIVEN["methods"].items() if name != family}


REFUSED = [
    (dict(holding=-1), "cost.holding must be a number >= 0, got -1"),
    (dict(price=float("nan")), "cost.price must be a number >= 0, got nan"),
    (dict(purchase=float("inf")), "cost.purchase must be a number >= 0, got inf"),
    (dict(shortage="10"), "cost.shortage must be a number >= 0, got '10'"),
    (dict(fixed_order=True), "cost.fixed_order must be a number >= 0, got True"),
    (dict(salvage=10.5), "cost.salvage must be <= cost.purchase (10), or stock would be bought to be salvaged, got 10.5"),
    (
        dict(methods=without("ml") | {"ml": {"implementation": 1, "training": 2, "inference": 3}}),
        "cost.methods.ml must be given as implementation, training, inference, maintenance, "
        "got 'implementation, training, inference'",
    ),
    (
        dict(methods=without("rl") | {"rl": dict(implementation=1, training=2, inference=3, maintenance=-4)}),
        "cost.methods.rl.maintenance must be a number >= 0, got -4",
    ),
]


@pytest.mark.parametrize("wrong, sentence", REFUSED, ids=[next(iter(wrong)) for wrong, _ in REFUSED])
def test_refusals_name_the_field_and_the_value(wrong, sentence):
    with pytest.raises(ValueError) as refusal:
        costs.create(**(GIVEN | wrong))
    assert str(refusal.value) == sentence


def test_a_family_without_costs_is_refused():
    with pytest.raises(ValueError, match="method.family must be one of traditional, ml, rl, dl, bound, got 'magic'"):
        costs.create(**GIVEN).of("magic")


def test_what_a_method_costs_by_hand():
    own = MethodCosts(implementation=1000, training=200, inference=0.5, maintenance=10)
    assert (own.once(), own.per_period()) == (1200, 10.5)
    assert own.total(90) == 2145  # 1200 + 90 x 10.5
    assert own.total(0) == 1200


@pytest.mark.parametrize("row", published.read("reference_readme"), ids=lambda row: row["method"])
def test_costs_of_methods_over_90_days_are_those_printed(row):
    # traditional: 1000 + 0 + 90 x 0.1 + 90 x 10 = 1,909 = 17,407.36 - 15,498.36
    own = costs.create(**GIVEN).of(FAMILY[row["method"]])
    printed = {name: float(row[name]) for name in costs.FIELDS}
    assert own.implementation == printed["implementation"] and own.training == printed["training"]
    assert 90 * own.inference == pytest.approx(printed["inference"])
    assert 90 * own.maintenance == printed["maintenance"]
    assert own.total(90) == pytest.approx(sum(printed.values()))
    assert own.total(90) == pytest.approx(float(row["total_cost"]) - float(row["operational_cost"]), abs=0.01)


def test_a_bound_costs_nothing():
    assert costs.create(**GIVEN).of("bound").total(90) == 0
