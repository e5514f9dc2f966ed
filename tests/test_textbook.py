"""Single-echelon formulas: every printed figure, brute force, costs by definition, another library, and refusals."""

import csv
import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from scipy import integrate, optimize, stats

from invbench import configs, dynamic_lots, lot_sizing, newsvendor_formulas, published, reorder_formulas, run
from invbench.studies import textbook

ROWS = published.read("textbook")
PRICES = dict(breakpoints=[0, 400, 800], unit_costs=[0.75, 0.72, 0.68])  # of example 3.5
RATES = [(0.5, 2.0), (1.0, 9.0), (3.0, 1.0), (200.0, 270.0)]  # holding, shortage


@lru_cache
def study(*overrides):
    configs.register()
    with initialize_config_dir(str(configs.home()), version_base="1.3"):
        config = compose("config", ["+experiment=textbook", *overrides])
    return run.build(OmegaConf.to_container(config.study, resolve=True))


def close(ours, theirs, rel=1e-9):
    assert ours == pytest.approx(theirs, rel=rel)


# the table


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['instance']} {row['quantity']}")
def test_every_printed_figure(row):
    result = study().instances[textbook.name_of(row["instance"])]
    ours = getattr(result, textbook.FIELDS[row["quantity"]])
    close(ours, float(row["published"]))
    close(ours, float(row["verified"]), rel=1e-11)  # the digits beyond print, by another program


def test_the_study_writes_a_cell_for_each_row_and_fails_on_a_figure_that_is_off(tmp_path, capsys):
    assert study().run(tmp_path, {}) == 0
    with open(tmp_path / "published.csv", newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [(row["instance"], row["quantity"]) for row in written] == [(row["instance"], row["quantity"]) for row in ROWS]
    assert {row["agrees"] for row in written} == {"true"}
    other = study("study.instances.problem_4_8a_newsvendor_poisson.mean=18.001")
    assert other.run(tmp_path, {}) == 1
    assert [cell.quantity for cell in other.cells({}) if cell.fails] == ["cost"]  # 19 units are still best


def test_an_instance_that_is_none_of_the_tables_or_is_missing_is_refused():
    instances = study().instances
    fewer = {name: result for name, result in instances.items() if name != "example_3_1_eoq"}
    for given in (fewer, instances | {"example_3_1": instances["example_3_1_eoq"]}):
        with pytest.raises(ValueError, match="^study.instances must be those of the table: example_3_1_eoq, "):
            replace(study(), instances=given).cells({})


# lots: costs by their definition, minimised by search


def cheapest(cost, low=1e-3, high=1e6):
    found = optimize.minimize_scalar(lambda log: cost(math.exp(log)), bounds=(math.log(low), math.log(high)), method="bounded")
    return found.fun


@pytest.mark.parametrize("fixed_order, holding, demand", [(8, 0.225, 1300), (0.5, 3, 2), (900, 0.01, 40)])
def test_lots_cost_least_of_all_lots(fixed_order, holding, demand):
    given = dict(fixed_order=fixed_order, holding=holding, demand=demand)

    def cost(quantity, share=1.0):
        return fixed_order * demand / quantity + share * holding * quantity / 2  # orders, and half a lot on hand

    lot = lot_sizing.economic_order_quantity(**given)
    close(lot.cost, cost(lot.quantity))
    close(lot.cost, cheapest(cost), rel=1e-6)
    made = lot_sizing.economic_production_quantity(**given, production=4 * demand)
    close(made.cost, cost(made.quantity, 0.75))  # a quarter of what is made is sold meanwhile
    close(made.cost, cheapest(lambda quantity: cost(quantity, 0.75)), rel=1e-6)


def test_backordered_lots_cost_least_of_all_lots_and_shares():
    given = dict(fixed_order=8, holding=0.225, shortage=5, demand=1300)
    best = lot_sizing.economic_order_quantity_backorders(**given)

    def cost(point):
        quantity, share = point
        return 8 * 1300 / quantity + (0.225 * (1 - share) ** 2 + 5 * share**2) * quantity / 2  # triangles of stock and of debt

    close(best.cost, cost(best[:2]))
    close(best.cost, optimize.minimize(cost, [100, 0.5], bounds=[(1, 1e4), (0, 1)], tol=1e-12).fun, rel=1e-6)
    assert lot_sizing.economic_order_quantity_backorders(**given | {"shortage": 1e12}).backordered < 1e-12
    close(lot_sizing.economic_order_quantity_backorders(**given | {"shortage": 1e12}).cost, 68.41052550594827)  # example 3.1


def purchase_of(quantity, breakpoints, unit_costs, incremental):
    """[quantity] money for each lot, tier by tier."""
    ends = [*breakpoints[1:], np.inf]
    if incremental:
        return sum(
            cost * np.clip(quantity - low, 0, high - low) for low, high, cost in zip(breakpoints, ends, unit_costs, strict=True)
        )
    return quantity * np.asarray(unit_costs)[np.searchsorted(breakpoints, quantity, side="right") - 1]


@pytest.mark.parametrize("incremental", [False, True], ids=["all units", "incremental"])
@pytest.mark.parametrize("fixed_order", [1, 8, 20, 60, 150])
def test_discounted_lots_cost_least_of_all_lots(fixed_order, incremental):
    given = dict(fixed_order=fixed_order, holding_rate=0.3, demand=1300)
    function = lot_sizing.incremental_discount if incremental else lot_sizing.all_units_discount
    best = function(**given, **PRICES)

    def cost(quantity):
        unit = purchase_of(quantity, **PRICES, incremental=incremental) / quantity
        return 1300 * unit + fixed_order * 1300 / quantity + 0.3 * unit * quantity / 2

    close(best.cost, cost(np.array(best.quantity)))
    lots = np.arange(1, 12_000, 0.25)
    assert best.cost <= cost(lots).min() + 1e-9
    close(best.cost, cost(lots).min(), rel=1e-6)
    assert PRICES["breakpoints"][best.tier] <= best.quantity < [*PRICES["breakpoints"][1:], np.inf][best.tier]


# newsvendor: expected cost by its definition


@pytest.mark.parametrize("holding, shortage", RATES)
def test_newsvendor_costs_are_the_expected_ones_and_the_least(holding, shortage):
    rates = dict(holding=holding, shortage=shortage)
    known = [
        (newsvendor_formulas.newsvendor_normal(**rates, mean=50, std=8, lead_time=3), stats.norm(200, 16)),
        (newsvendor_formulas.newsvendor_lognormal(**rates, log_mean=2, log_std=0.5), stats.lognorm(0.5, scale=math.exp(2))),
    ]
    for best, demand in known:

        def cost(level, demand=demand):
            ends = demand.ppf([1e-13, 1 - 1e-13])
            left = integrate.quad(lambda units: (level - units) * demand.pdf(units), ends[0], level, limit=200)[0]
            missing = integrate.quad(lambda units: (units - level) * demand.pdf(units), level, ends[1], limit=200)[0]
            return holding * left + shortage * missing

        close(best.cost, cost(best.level), rel=1e-7)
        assert best.cost < min(cost(best.level * 1.02), cost(best.level * 0.98))


@pytest.mark.parametrize("holding, shortage", RATES)
def test_discrete_newsvendor_costs_least_of_all_levels(holding, shortage):
    demand, chances = np.arange(80), stats.poisson(6).pmf(np.arange(80))
    gap = np.arange(40)[:, None] - demand
    costs = (np.where(gap > 0, holding * gap, -shortage * gap) * chances).sum(1)
    for best in (
        newsvendor_formulas.newsvendor_poisson(holding=holding, shortage=shortage, mean=6),
        newsvendor_formulas.newsvendor_discrete(holding=holding, shortage=shortage, pmf=chances),
    ):
        close(best.cost, costs.min())
        assert best.level == costs.argmin()


def test_a_fractile_that_is_reached_exactly_is_not_passed():
    # ratio 4 / 5, and 0.1 + 0.7 is 0.7999999999999999 in floating point: one unit is enough, for 1 x 0.1 + 4 x 0.2
    best = newsvendor_formulas.newsvendor_discrete(holding=1, shortage=4, pmf=[0.1, 0.7, 0.2])
    assert best.level == 1 and best.cost == pytest.approx(0.9)


# (r, Q) by continuous review


@pytest.mark.parametrize("fixed_order, lead_time", [(4, 0.5), (100, 2), (0.01, 1.3)])
def test_reorder_lots_are_the_best_of_all_pairs(fixed_order, lead_time):
    rates = dict(holding=4, shortage=28)
    best = reorder_formulas.reorder_lots_poisson(**rates, fixed_order=fixed_order, mean=6, lead_time=lead_time)
    positions, demand = np.arange(-60, 90), np.arange(120)
    gap = positions[:, None] - demand
    costs = (np.where(gap > 0, 4 * gap, -28 * gap) * stats.poisson(6 * lead_time).pmf(demand)).sum(1)
    total = np.concatenate([[0], costs.cumsum()])
    pairs = {
        (int(positions[low]) - 1, size): (6 * fixed_order + total[low + size] - total[low]) / size
        for size in range(1, 70)
        for low in range(len(positions) - size)
    }
    close(best.cost, min(pairs.values()))
    assert best[:2] == min(pairs, key=pairs.get)


# another library, on settings that are not in the table


@pytest.mark.parametrize("seed", range(8))
def test_stockpyl_finds_the_same(seed):
    eoq, rq, ss, newsvendor, lots = (
        pytest.importorskip(f"stockpyl.{name}") for name in ("eoq", "rq", "ss", "newsvendor", "wagner_whitin")
    )
    random = np.random.default_rng(seed)
    fixed_order, demand = (float(value) for value in random.uniform([1, 2], [60, 12]))
    holding, shortage, rate, wait = (float(value) for value in random.uniform([0.5, 2, 0.1, 0.2], [2, 20, 0.4, 2]))
    ours, discounts = dict(fixed_order=fixed_order, demand=demand), list(PRICES.values())
    close(lot_sizing.economic_order_quantity(**ours, holding=holding), eoq.economic_order_quantity(fixed_order, holding, demand))
    close(
        lot_sizing.economic_order_quantity_backorders(**ours, holding=holding, shortage=shortage),
        eoq.economic_order_quantity_with_backorders(fixed_order, holding, shortage, demand),
    )
    close(
        lot_sizing.economic_production_quantity(**ours, holding=holding, production=20),
        eoq.economic_production_quantity(fixed_order, holding, demand, 20),
    )
    ours["demand"] = scaled = 1000 * demand
    theirs = eoq.economic_order_quantity_with_all_units_discounts(fixed_order, rate, scaled, *discounts)
    close(lot_sizing.all_units_discount(**ours, holding_rate=rate, **PRICES), theirs)
    theirs = eoq.economic_order_quantity_with_incremental_discounts(fixed_order, rate, scaled, *discounts)
    close(lot_sizing.incremental_discount(**ours, holding_rate=rate, **PRICES), theirs)
    rates = dict(holding=holding, shortage=shortage)
    theirs = newsvendor.newsvendor_normal(holding, shortage, 50, 8, lead_time=2)
    close(newsvendor_formulas.newsvendor_normal(**rates, mean=50, std=8, lead_time=2), theirs)
    theirs = newsvendor.newsvendor_poisson(holding, shortage, demand)
    close(newsvendor_formulas.newsvendor_poisson(**rates, mean=demand), theirs)
    ours = rates | dict(fixed_order=fixed_order, mean=demand)
    close(reorder_formulas.reorder_up_to_poisson(**ours), ss.s_s_discrete_exact(holding, shortage, fixed_order, True, demand))
    theirs = rq.r_q_poisson_exact(holding, shortage, fixed_order, demand, wait)
    close(reorder_formulas.reorder_lots_poisson(**ours, lead_time=wait), theirs)
    units = random.integers(0, 20, 9).tolist()
    quantity, cost, *_ = lots.wagner_whitin(9, holding, fixed_order, units)
    plan = dynamic_lots.wagner_whitin(units, holding=holding, fixed_order=fixed_order)
    close(plan.cost, cost)
    np.testing.assert_allclose(plan.quantity, quantity[1:])


# the door


LOT = dict(fixed_order=8, holding=0.225, demand=1300)
TIERS = dict(fixed_order=8, holding_rate=0.3, demand=1300)
PAIR = dict(holding=1, shortage=4)


@pytest.mark.parametrize(
    "function, given, sentence",
    [
        (lot_sizing.economic_order_quantity, LOT | {"holding": 0}, "holding must be a number > 0, got 0"),
        (lot_sizing.economic_order_quantity, LOT | {"demand": math.nan}, "demand must be a number > 0, got nan"),
        (lot_sizing.economic_production_quantity, LOT | {"production": 1300}, "production must be > demand (1300), got 1300.0"),
        (
            lot_sizing.economic_order_quantity_backorders,
            LOT | {"shortage": -1},
            "shortage must be a number > 0, got -1",
        ),
        (
            lot_sizing.all_units_discount,
            TIERS | {"breakpoints": [0, 5, 5], "unit_costs": [3, 2, 1]},
            "breakpoints must be rising from 0, got [0, 5, 5]",
        ),
        (
            lot_sizing.incremental_discount,
            TIERS | {"breakpoints": [0, 5], "unit_costs": [3, 3]},
            "unit_costs must be falling, as a discount is, got [3, 3]",
        ),
        (
            lot_sizing.incremental_discount,
            TIERS | {"breakpoints": [0, 5], "unit_costs": [3]},
            "unit_costs must be one for each of the 2 breakpoints, got [3]",
        ),
        (newsvendor_formulas.newsvendor_poisson, PAIR | {"mean": 0}, "mean must be a number > 0, got 0"),
        (newsvendor_formulas.critical_fractile, PAIR | {"shortage": 0}, "shortage must be a number > 0, got 0"),
        (
            newsvendor_formulas.newsvendor_normal,
            PAIR | {"mean": 5, "std": 1, "lead_time": 0.5},
            "lead_time must be a whole number >= 0, got 0.5",
        ),
        (newsvendor_formulas.newsvendor_discrete, PAIR | {"pmf": [0.5, 0.4]}, "pmf must be probabilities that sum to 1, got 0.9"),
        (
            reorder_formulas.reorder_lots_poisson,
            PAIR | {"fixed_order": 1, "mean": 5, "lead_time": 0},
            "lead_time must be a number > 0, got 0",
        ),
    ],
)
def test_refusals_name_the_field_and_the_value(function, given, sentence):
    with pytest.raises(ValueError) as refusal:
        function(**given)
    assert str(refusal.value) == sentence
