"""Tactical plans: figures by hand, brute force over whole units, two solvers, slopes by perturbation, and what is refused."""

import re
from itertools import product

import numpy as np
import pytest
from scipy.optimize import linprog

from invbench.planners import tactical
from invbench.planners.solve import Infeasible
from invbench.planners.tactical_allocation import create
from invbench.planners.tactical_checker import check
from invbench.planners.tactical_formulation import CAPACITIES, formulate
from invbench.studies.tactical_growth import generate


def single(demand, **figures):
    """One site, one customer, one product; demand by period."""
    return create(demand=np.reshape(demand, (-1, 1, 1)), transport=[[[0.0]]], **{"purchase": 5.0, "holding": 1.0} | figures)


def checked(given):
    """The plan by linprog, checked, and found again by HiGHS."""
    plan = tactical.plan(given)
    assert check(plan, given) == []
    assert tactical.Rolling(given).plan().solution.objective == pytest.approx(plan.solution.objective, rel=1e-9, abs=1e-9)
    return plan


# by hand


def test_without_limits_everything_is_bought_when_it_is_needed():
    plan = checked(single([10, 0, 30, 5]))
    assert plan.supply.ravel() == pytest.approx([10, 0, 30, 5]) and plan.solution.objective == pytest.approx(5 * 45)


def test_a_season_is_built_up_before_it_under_a_tight_supply():
    """Demand 10, 10, 40 and 20 a period at most: 60 in all, so 20 each; 10 and 20 are kept, which costs 30."""
    plan = checked(single([10, 10, 40], supply=20))
    assert plan.stock.ravel() == pytest.approx([10, 20, 0]) and plan.solution.objective == pytest.approx(5 * 60 + 30)
    assert plan.worth.supply.ravel() == pytest.approx([0, 1, 2])  # one more in period 3 is two periods' holding less


def test_a_storage_that_is_too_small_for_the_season_costs_a_lost_unit_each():
    """Supply 20; storage 8: 28 of 40 are met. One more of storage: 50 for a unit that is served, less 5 + 1."""
    plan = checked(single([10, 10, 40], supply=20, storage=8, unmet=50))
    assert plan.unmet.ravel() == pytest.approx([0, 0, 12])
    assert plan.solution.objective == pytest.approx(5 * 48 + 8 + 12 * 50)
    assert plan.worth.storage.ravel() == pytest.approx([0, 44, 0]) and plan.worth.demand[2, 0, 0] == pytest.approx(50)


def test_supply_takes_its_lead_time():
    """Two periods: 10 in stock and 7 that arrive in period 2 meet the first 17 units, and what is bought now is there in 3."""
    plan = checked(single([10, 7, 9, 4], lead=2, initial=10, on_the_way=[[[0.0]], [[7.0]]]))
    assert plan.supply.ravel() == pytest.approx([9, 4, 0, 0]) and plan.stock.ravel() == pytest.approx([0, 0, 0, 0])


def test_a_target_is_met_unless_it_costs_more_than_it_is_worth():
    target = np.array([0, 0, 6.0]).reshape(3, 1, 1)
    assert checked(single([4, 4, 4], target=target)).stock.ravel() == pytest.approx([0, 0, 6])
    dear = checked(single([4, 4, 4], target=target, below=5.5))  # a unit costs 5 to buy and 1 to hold
    assert dear.below.ravel() == pytest.approx([0, 0, 6]) and dear.solution.objective == pytest.approx(60 + 33)


def test_a_transportation_problem_with_a_known_optimum():
    """Winston 2004, Operations Research, 4th edition, chapter 7, Powerco: four cities, three plants, 1,020."""
    cost = [[8, 6, 10, 9], [9, 12, 13, 7], [14, 9, 16, 5]]
    demand, capacity = [45, 20, 30, 30], [35, 50, 40]
    given = create(demand=np.reshape(demand, (1, 4, 1)), transport=np.array(cost)[..., None], purchase=0, throughput=capacity)
    assert checked(given).solution.objective == pytest.approx(1020)


def test_volumes_count():
    """Products of volume 1 and 3 through a throughput of 10 that can pass 4 + 3 x 2; the dearer to lose goes first."""
    demand = np.array([4.0, 4.0]).reshape(1, 1, 2)
    given = create(demand=demand, transport=[[[0, 0]]], purchase=1, volume=[1, 3], throughput=10, unmet=[10, 10])
    assert checked(given).unmet.ravel() == pytest.approx([0, 2])


# brute force and other solvers


def random_case(seed):
    """Two sites, two customers, one or two products, three periods, tight enough for every kind of limit to bind."""
    random = np.random.default_rng(seed)
    products, periods = random.integers(1, 3), 3
    transport = random.integers(0, 9, (2, 2, products)).astype(float)
    transport[random.uniform(size=transport.shape) < 0.15] = np.inf
    demand = random.integers(0, 7, (periods, 2, products))
    room = {name: random.integers(2, 10, (periods, 2)) for name in CAPACITIES}
    return create(
        demand=demand, transport=transport, purchase=random.integers(1, 6, (2, products)),
        unmet=random.integers(15, 40, products), holding=random.integers(0, 3, (2, products)),
        volume=random.integers(1, 3, products), lead=random.integers(0, 2, 2),
        initial=random.integers(0, 3, (2, products)), overfull=random.integers(5, 9, 2), below=random.integers(1, 20, products),
        target=random.integers(0, 4, (periods, 2, products)), on_the_way=random.integers(0, 2, (1, 2, products)), **room,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_two_solvers_a_model_written_out_and_the_checker_agree(seed):
    given = random_case(seed)
    plan = checked(given)
    assert plan.solution.objective == pytest.approx(written_out(given), rel=1e-9)
    assert plan.solution.gap < 1e-9


def written_out(given):
    """The least cost, from a dense model with one loop for everything, stock replaced by what came less what went."""
    periods, sites, customers, products = (given.sizes[axis] for axis in "tscp")
    names = [("flow", *one) for one in product(range(periods), range(sites), range(customers), range(products))]
    names += [("buy", *one) for one in product(range(periods), range(sites), range(products))]
    names += [("over", *one) for one in product(range(periods), range(sites))]
    names += [("short", *one) for one in product(range(periods), range(sites), range(products))]
    at, size, rows, ends, constant = {name: i for i, name in enumerate(names)}, len(names), [], [], 0.0
    cost, top = np.zeros(size), np.full(size, np.inf)
    for t, s, c, p in product(range(periods), range(sites), range(customers), range(products)):
        free = np.isfinite(given.transport[s, c, p])
        cost[at["flow", t, s, c, p]] = (given.transport[s, c, p] if free else 0) - given.unmet[p]
        top[at["flow", t, s, c, p]] = np.inf if free else 0
    constant += (given.demand * given.unmet).sum()
    for t, c, p in product(range(periods), range(customers), range(products)):
        row = np.zeros(size)
        row[[at["flow", t, s, c, p] for s in range(sites)]] = 1
        rows.append(row), ends.append(given.demand[t, c, p])
    for t, s in product(range(periods), range(sites)):
        full, through, bought = np.zeros(size), np.zeros(size), np.zeros(size)
        filled = 0.0
        for p in range(products):
            stock, there = np.zeros(size), given.initial[s, p] + given.on_the_way[: t + 1, s, p].sum()
            for before in range(t + 1):
                stock[[at["flow", before, s, c, p] for c in range(customers)]] -= 1
                if before + given.lead[s] <= t:
                    stock[at["buy", before, s, p]] += 1
            rows.append(-stock), ends.append(there)
            short = -stock.copy()
            short[at["short", t, s, p]] = -1
            rows.append(short), ends.append(there - given.target[t, s, p])
            cost += given.holding[s, p] * stock
            constant += given.holding[s, p] * there
            cost[at["short", t, s, p]] = given.below[p]
            full, filled = full + given.volume[p] * stock, filled + given.volume[p] * there
            through[[at["flow", t, s, c, p] for c in range(customers)]] = given.volume[p]
            bought[at["buy", t, s, p]] = given.volume[p]
            cost[at["buy", t, s, p]] += given.purchase[s, p]
        full[at["over", t, s]], cost[at["over", t, s]] = -1, given.overfull[s]
        rows += [full, through, bought]
        ends += [given.storage[t, s] - filled, given.throughput[t, s], given.supply[t, s]]
    found = linprog(cost, np.array(rows), ends, bounds=np.stack([np.zeros(size), top], 1))
    return found.fun + constant


def test_whole_units_tried_one_by_one():
    """Every way to buy 0 to 5 and serve 0 to 4 at two sites in two periods."""
    for seed in range(6):
        random = np.random.default_rng(seed)
        demand, limit = random.integers(0, 4, 2), random.integers(1, 4, (2, 2))
        ship, buy, hold = random.integers(0, 5, 2), random.integers(1, 5, 2), random.integers(1, 3, 2)
        given = create(
            demand=demand.reshape(2, 1, 1), transport=ship.reshape(2, 1, 1), purchase=buy.reshape(2, 1), unmet=9.0,
            holding=hold.reshape(2, 1), supply=limit, storage=2,
        )  # fmt: skip
        least = np.inf
        for bought in product(*(range(most + 1) for most in limit.ravel())):
            for served in product(range(4), repeat=4):
                got, gave = np.reshape(bought, (2, 2)), np.reshape(served, (2, 2))
                stock = np.cumsum(got - gave, 0)
                if (stock >= 0).all() and (stock <= 2).all() and (gave.sum(1) <= demand).all():
                    money = (got * buy).sum() + (gave * ship).sum() + (stock * hold).sum() + 9 * (demand - gave.sum(1)).sum()
                    least = min(least, money)
        assert checked(given).solution.objective == pytest.approx(least)


# prices


@pytest.mark.parametrize("seed", [1, 4, 9])
def test_every_price_lies_between_what_a_little_less_and_a_little_more_change(seed):
    given, little = random_case(seed), 1e-4
    plan, rolling = tactical.plan(given), tactical.Rolling(given)
    prices = {name: getattr(plan.worth, name) for name in CAPACITIES} | {"on_the_way": plan.worth.stock}
    for field, price in (prices | {"demand": -plan.worth.demand}).items():
        figures = getattr(given, field)
        for place in product(*map(range, figures.shape)):
            change = little * (np.indices(figures.shape) == np.reshape(place, (-1, *[1] * figures.ndim))).all(0)
            more = plan.solution.objective - rolling.plan(**{field: figures + change}).solution.objective
            assert more <= little * price[place] + 1e-8
            if figures[place] >= little:
                less = rolling.plan(**{field: figures - change}).solution.objective - plan.solution.objective
                assert less >= little * price[place] - 1e-8
        rolling.plan(**{field: figures})
    assert all((prices[name] >= 0).all() for name in CAPACITIES) and any(prices[name].any() for name in CAPACITIES)


# time goes on


def test_what_is_planned_again_is_what_a_new_plan_would_be_and_takes_fewer_steps():
    given = generate(8, 3, 10, seed=3)
    rolling = tactical.Rolling(given)
    plan, first = rolling.plan(), rolling.kept.steps
    random = np.random.default_rng(0)
    for _ in range(4):
        way = np.zeros_like(given.on_the_way)
        way[:-1] = given.on_the_way[1:]
        for site in np.flatnonzero(given.lead):
            way[given.lead[site] - 1, site] += plan.supply[0, site]
        demand = np.roll(given.demand, -1, 0) * random.uniform(0.9, 1.1, given.demand.shape)
        figures = {"demand": demand, "initial": plan.stock[0], "on_the_way": way}
        given, plan = given.changed(**figures), rolling.plan(**figures)
        assert plan.solution.objective == pytest.approx(tactical.plan(given).solution.objective, rel=1e-9)
        assert check(plan, given) == [] and rolling.kept.steps < 0.6 * first


def test_a_plan_that_is_not_feasible_does_not_spoil_the_next():
    rolling = tactical.Rolling(single([10, 10, 40], supply=20))
    cost = rolling.plan().solution.objective
    with pytest.raises(Infeasible):
        rolling.plan(supply=10)
    assert rolling.plan(supply=20).solution.objective == pytest.approx(cost)
    with pytest.raises(ValueError, match="tactical.purchase must be one of demand, initial"):
        rolling.plan(purchase=3)


# what is refused, and what is caught

TWO = {"transport": np.zeros((2, 2, 1)), "purchase": 1.0, "sites": ["north", "south"], "customers": ["ann", "bob"]}
FAR = np.array([[[0.0], [np.inf]], [[0.0], [np.inf]]])


@pytest.mark.parametrize(
    "given, sentence",
    [
        (single([10, 10, 50], supply=20, name="mill"), "no plan of mill is feasible: 10 units of demand of customer 1 for "
         "product 1 in periods 1 to 3 cannot be planned: supply of site 1 in periods 1 to 3 is too small"),
        (create(demand=np.full((2, 2, 1), 9.0), throughput=[[20, 20], [3, 4]], **TWO), "feasible: 11 units "
         "of demand of customer ann, bob for product 1 in period 2 cannot be planned: throughput of all sites in period 2"),
        (single([5, 5, 5], lead=2, initial=7), "3 units of demand of customer 1 for product 1 in periods 1 to 2 cannot be "
         "planned: nothing that is bought now arrives before period 3 at site 1"),
        (create(demand=np.ones((1, 2, 1)), **TWO | {"transport": FAR}), "no site can serve customer bob with product 1"),
        (single([5, 5], initial=50, storage=20), "45 of volume above storage cannot be planned: storage of site 1"),
    ],
    ids=["supply", "all sites", "lead time", "disconnected", "storage"],
)  # fmt: skip
def test_what_is_not_feasible_is_said_in_a_sentence(given, sentence):
    with pytest.raises(Infeasible, match=re.escape(sentence)):
        tactical.plan(given)
    with pytest.raises(Infeasible, match=re.escape(sentence)):
        tactical.Rolling(given).plan()


@pytest.mark.parametrize(
    "figures, sentence",
    [
        ({"purchase": -1}, "tactical.purchase must be a finite number >= 0, got -1.0"),
        ({"holding": np.nan}, "tactical.holding must be a finite number >= 0, got nan"),
        ({"lead": 1.5}, "tactical.lead must be whole numbers of periods >= 0, got 1.5"),
        ({"storage": [1, 2, 3]}, "tactical.storage must be one number, or of shape (2, 1), got 'shape (3,)'"),
        ({"price": 3}, "tactical must be given by its fields, got ['price']"),
        ({"sites": ["a", "b"]}, "tactical.sites must be names of 1, got 2"),
    ],
)
def test_what_makes_no_sense_is_refused(figures, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        single([1, 2], **figures)


def test_options_are_checked_and_stand_in_for_what_is_not_said():
    options = tactical.create(window=4, unmet=30, volume=2)
    given = options.allocation(demand=np.ones((4, 1, 1)), transport=[[[0]]], purchase=1)
    assert given.unmet == 30 and given.volume == 2 and np.isinf(given.overfull) and options.plan(given).unmet.sum() == 0
    with pytest.raises(ValueError, match="planner.window must be a whole number >= 1, got 0"):
        tactical.create(window=0)


def test_the_checker_catches_what_is_wrong():
    given = generate(5, 2, 6, seed=1)
    plan = tactical.plan(given)
    flows = plan.flows.copy()
    period, site, customer, one = np.unravel_index(flows.argmax(), flows.shape)
    flows[period, site, customer, one] += 3
    faults = check(plan._replace(flows=flows), given)
    assert any("is served" in fault for fault in faults) and any("stock" in fault for fault in faults)
    assert any("objective" in fault for fault in check(plan._replace(solution=plan.solution._replace(objective=1.0)), given))
    assert any("below zero" in fault for fault in check(plan._replace(supply=plan.supply - 1), given))
    tight = given.changed(throughput=given.throughput * 0.8, storage=given.storage * 0.5)
    assert any("throughput" in fault for fault in check(plan, tight))


def test_the_model_is_the_size_that_it_should_be():
    linear = formulate(random_case(0))
    assert linear.matrix.shape == (sum(part.size for part in linear.rows.values()), len(linear.cost))
