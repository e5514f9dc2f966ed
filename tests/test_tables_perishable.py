"""Printed tables of perishable stock, each as its command computes it; and the optimum against a plain dynamic programme."""

from dataclasses import replace
from itertools import product

import jax
import numpy as np
import pytest

from invbench import published, run
from invbench.costs import CostModel
from invbench.dynamics import perishable
from invbench.exact import chain, optimum
from invbench.problem import Problem
from invbench.scenarios import discrete
from invbench.studies.all_tables import compose
from invbench.studies.demoor2022 import Instance, order_up_to

DEMOOR, HENDRIX = published.read("demoor2022"), published.read("hendrix2019")


def study(name, folder, *overrides):
    """The study and its whole config."""
    plain = compose(name, list(overrides), folder / name)
    return run.build(plain["study"]), plain


# ---- De Moor et al. 2022

PARTS = [
    ("2", "1", ("7.0", "10.0")),
    ("2", "2", ("7.0", "10.0")),
    ("3", "2", ("10.0",)),
]


@pytest.mark.parametrize("life, lead_time, wastes", PARTS)
def test_de_moor(life, lead_time, wastes, tmp_path):
    """Ours is exact, so it is held to all three decimals of the recomputation (which agrees with print)."""
    chosen = [f"study.lives=[{life}]", f"study.lead_times=[{lead_time}]", f"study.wastes=[{','.join(wastes)}]"]
    made, config = study("demoor2022", tmp_path, *chosen, "study.highest_level=12")
    cells = made.cells(config)
    rows = [row for row in DEMOOR if (row["m"], row["L"]) == (life, lead_time) and row["waste_cost"] in wastes]
    titles = [f"m = {life}, L = {lead_time}, {row['issuing'].upper()}, waste {float(row['waste_cost']):g}" for row in rows]
    assert len(rows) == 2 * len(wastes) and list(dict.fromkeys(cell.instance for cell in cells)) == titles
    found = {(cell.instance, cell.quantity): cell for cell in cells}
    for title, row in zip(titles, rows):
        for quantity, name in {"Optimal": "VI", "Base-stock": "base_stock", "Gap, %": "gap_pct"}.items():
            cell = found[title, quantity]
            assert cell.ours == pytest.approx(float(row[f"verified_{name}"]), abs=6e-4), cell
            assert cell.agrees and not cell.misprint and cell.published == float(row[f"published_{name}"])
        assert found[title, "S"].ours == int(row["best_S"])
        conscious, plain, best = (found[title, name].ours for name in ("Base-stock less waste", "Base-stock", "Optimal"))
        assert plain < conscious < best  # counting waste pays, a little, in every row


def test_the_misprints_are_what_levels_up_to_ten_give(tmp_path):
    """m = 4, L = 2, FIFO: print has -1453 in both rows; the best of S <= 10 is S = 10, and S = 11 is better."""
    made, _ = study("demoor2022", tmp_path)
    for row in DEMOOR:
        if row["note"] and row["m"] == "4":
            problem = made.problem(Instance(4, 2, "fifo", float(row["waste_cost"])))
            worth = {level: made.worth(problem, order_up_to(problem, level)) for level in (9, 10, 11, 12)}
            assert worth[10] == pytest.approx(float(row["published_base_stock"]), abs=2)
            assert worth[11] == pytest.approx(float(row["verified_base_stock"]), abs=6e-4)
            assert worth[9] < worth[10] < worth[11] > worth[12]
    assert sum(bool(row["note"]) for row in DEMOOR) == 4


def test_the_optimal_policy_of_de_moor_simulated(tmp_path):
    """4,000 paths of 100 + 365 days from empty; the money is discounted here. The interval is one of 99.9 %."""
    made, _ = study("demoor2022", tmp_path)
    problem = made.problem(Instance(3, 1, "lifo", 7.0))
    policy = optimum.find(problem, discount=0.99, tolerance=1e-3).policy
    longer = replace(problem, horizon=465)
    money = longer.cost.charge(longer.simulate(policy, longer.training_paths(jax.random.key(5), 4000))).benefit
    returns = np.asarray(money, np.float64)[:, 100:, 0] @ 0.99 ** np.arange(365)
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    assert abs(returns.mean() - made.worth(problem, policy)) < 3.29 * error < 5


def test_another_setting_of_de_moor_is_ours_alone(tmp_path):
    small = ["study.lives=[2]", "study.lead_times=[1]", "study.wastes=[7,8]", "study.highest_level=8"]
    made, config = study("demoor2022", tmp_path, *small, "study.issuing=[fifo]")
    printed = {cell.instance: cell.published for cell in made.cells(config) if cell.quantity == "Optimal"}
    assert printed == {"m = 2, L = 1, FIFO, waste 7": -1457, "m = 2, L = 1, FIFO, waste 8": None}
    made, config = study("demoor2022", tmp_path, *small, "study.warm_up=99")
    assert all(cell.published is None for cell in made.cells(config))


@pytest.mark.parametrize(
    "override, sentence",
    [
        ("study.lives=[]", r"study.lives must be a list of different values, got \[\]"),
        ("study.lives=[0]", "study.lives must be a whole number >= 1, got 0"),
        ("study.lead_times=[1,1]", "study.lead_times must be a list of different values"),
        ("study.issuing=[random]", "study.issuing must be one of lifo, fifo, got 'random'"),
        ("study.wastes=[-1]", "study.wastes must be a number >= 0, got -1"),
        ("study.discount=1", "study.discount must be a number > 0 and <= 0.9999, got 1"),
        ("study.cv=0", "study.cv must be a number > 0 and <= 3, got 0"),
        ("study.maximum_order=2.5", "study.maximum_order must be a whole number >= 1, got 2.5"),
        ("study.highest_level=0", "study.highest_level must be a whole number >= 1, got 0"),
        ("study.tolerance=0", "study.tolerance must be a number > 0, got 0"),
    ],
)
def test_de_moor_refuses_what_makes_no_sense(override, sentence, tmp_path):
    made, config = study("demoor2022", tmp_path, override)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        made.cells(config)


# ---- Hendrix et al. 2019


def test_hendrix(tmp_path):
    """The recomputation has five decimals, and is itself known to a span; ours lies in a bracket of 1e-6."""
    made, config = study("hendrix2019", tmp_path)
    cells = made.cells(config)
    assert [cell.instance for cell in cells] == ["m = 2", "m = 3", "m = 4"]
    for cell, row in zip(cells, HENDRIX, strict=True):
        assert abs(cell.ours - float(row["verified_pi"])) <= float(row["span"]) + 5e-6
        assert cell.agrees and cell.published == float(row["published_pi"])
        assert cell.lower <= cell.ours <= cell.upper <= cell.lower + 1e-6


def test_another_setting_of_hendrix_is_ours_alone(tmp_path):
    made, config = study("hendrix2019", tmp_path, "study.lives=[2]", "study.lead_time=0")
    (cell,) = made.cells(config)
    assert cell.published is None and cell.ours > 2.2  # an order that comes before the demand of its day is worth more
    with pytest.raises(ValueError, match="^study.issuing must be one of fifo, lifo, got 'random'"):
        made, config = study("hendrix2019", tmp_path, "study.issuing=random")
        made.cells(config)


@pytest.mark.parametrize("lead_time", [0, 1, 2])
def test_what_lives_one_day_is_the_newsvendor(lead_time, tmp_path):
    """P(d <= 4) = 0.4405 < 1/2 <= P(d <= 5), so 5 units: E min(d, 5) - 5/2 = 5 (1 - P(d = 5)) - 5/2, P(d = 5) = 0.17546737."""
    made, config = study("hendrix2019", tmp_path, "study.lives=[1]", f"study.lead_time={lead_time}")
    (cell,) = made.cells(config)
    assert cell.ours == pytest.approx(2.5 - 5 * 0.1754673698, abs=1e-6)
    policy = optimum.find(made.problem(1)).policy
    assert chain.follow(made.problem(1), policy).average()[0] == pytest.approx(-cell.ours, abs=1e-6)


# ---- the optimum against a plain dynamic programme


def step(old, fresh, way, order, demand, system, rates):
    """One day of units that live two days, with whole numbers: the next (old, fresh, way), and the cost of the day.

    way: what is to come after today, the next to arrive first; lead time 0 has nothing, and its order is there at once.
    """
    if system["lead_time"] == 0:
        fresh = order
    else:
        way = (*way, order)
    first, second = (old, fresh) if system["issuing"] == "fifo" else (fresh, old)
    from_first = min(first, demand)
    from_second = min(second, demand - from_first)
    sold = from_first + from_second
    first, second = first - from_first, second - from_second
    wasted, kept = (first, second) if system["issuing"] == "fifo" else (second, first)
    cost = rates["purchase"] * order + rates["fixed_order"] * (order > 0) + rates["holding"] * kept
    cost += rates["waste"] * wasted + rates["shortage"] * (demand - sold) - rates["price"] * sold
    arrives, way = (0, ()) if not way else (way[0], way[1:])
    return (kept, arrives, way), cost


def programme(system, rates, pmf):
    """Every state's options: for each order, its expected cost and the states after with their probabilities."""
    orders, lead_time = range(system["maximum_order"] + 1), system["lead_time"]
    ways = list(product(orders, repeat=max(lead_time - 1, 0)))
    states = [(old, fresh, way) for old in orders for fresh in (orders if lead_time else (0,)) for way in ways]
    table = {}
    for state in states:
        table[state] = []
        for order in orders:
            days = [(chance, *step(*state, order, demand, system, rates)) for demand, chance in enumerate(pmf) if chance]
            table[state].append((sum(chance * cost for chance, _, cost in days), [(chance, after) for chance, after, _ in days]))
    return table


def swept(table, value, discount):
    return {
        state: min(cost + discount * sum(chance * value[after] for chance, after in days) for cost, days in options)
        for state, options in table.items()
    }


def discounted_by_hand(table, discount, start):
    value = dict.fromkeys(table, 0.0)
    for _ in range(250):  # 0.9^250 = 4e-12
        value = swept(table, value, discount)
    return value[start]


def average_by_hand(table):
    """Half steps, in case the best policy is periodic; the bracket is that of the whole step."""
    value = dict.fromkeys(table, 0.0)
    for _ in range(3000):
        new = swept(table, value, 1.0)
        change = [new[state] - value[state] for state in table]
        if max(change) - min(change) < 1e-7:
            break
        value = {state: (new[state] + value[state]) / 2 for state in table}
    return min(change), max(change)


@pytest.mark.parametrize("lead_time", [0, 1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_is_that_of_a_plain_dynamic_programme(seed, lead_time):
    rng = np.random.default_rng([seed, lead_time])
    names = ("price", "purchase", "holding", "shortage", "fixed_order", "waste")
    rates = {name: float(rng.integers(0, most)) / 4 for name, most in zip(names, (20, 12, 8, 40, 8, 20))}
    pmf = rng.dirichlet(np.ones(3)) * (rng.random(3) < 0.8)
    pmf = np.array([0.3, 0.3, 0.4]) if pmf.sum() == 0 else pmf / pmf.sum()
    system = dict(lead_time=lead_time, issuing=str(rng.choice(["fifo", "lifo"])), maximum_order=int(rng.integers(1, 3)))
    stock = int(rng.integers(0, system["maximum_order"] + 1)) if lead_time else 0
    made = perishable.create(life=2, initial_stock=stock, **system)
    problem = Problem(discrete.from_pmf(pmf, 1), made, CostModel(**rates, salvage=0.0), 90, 0, 0, 0)
    table = programme(system, rates, pmf)

    found = optimum.find(problem, discount=0.9, tolerance=1e-8)
    expected = discounted_by_hand(table, 0.9, (0, stock, (0,) * max(lead_time - 1, 0)))
    assert found.value == pytest.approx(expected, abs=1e-6)
    assert chain.follow(problem, found.policy).horizon(250, 0.9) == pytest.approx(expected, abs=1e-6)

    found, (lower, upper) = optimum.find(problem, tolerance=1e-8), average_by_hand(table)
    assert upper - lower < 1e-7
    assert lower - 1e-6 < found.value < upper + 1e-6
    assert chain.follow(problem, found.policy).average()[1] == pytest.approx(upper, abs=1e-6)
