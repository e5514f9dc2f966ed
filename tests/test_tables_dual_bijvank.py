"""Printed tables of dual sourcing and of lost sales with a fixed order cost, and the search for the best parameters of a rule."""

import ast
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from invbench import published, run
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.exact import best, chain, optimum
from invbench.keys import root
from invbench.methods import base_stock, s_S_q
from invbench.problem import Problem
from invbench.scenarios import poisson
from invbench.studies import bijvank2015, gijsbrechts2022_dual_sourcing
from invbench.studies.all_tables import compose
from invbench.studies.cells import tally
from invbench.studies.gijsbrechts2022_dual_sourcing import RULES
from invbench.types import Policy

DUAL, BIJVANK = "gijsbrechts2022_dual_sourcing", "bijvank2015"
PAPER = dict(lead_times=[2, 3, 4], expedited=[105.0, 110.0], regular=100.0, holding=5.0, shortage=495.0, low=0, high=4)
STUDY = gijsbrechts2022_dual_sourcing.GijsbrechtsDualSourcing(**PAPER, rules=list(RULES))
COLUMNS = {  # what published/ calls the parameters that it found for each rule; DI has a cap out of reach, TBS a zero
    "CDI": ("CDI_par(Se,Sr,cap)", [0, 1, 2]),
    "DI": ("DI_par", [0, 1]),
    "SI": ("SI_par(Se,Sr)", [0, 1]),
    "TBS": ("TBS_par(S,-,r)", [0, 2]),
}
PERIODS, WARM_UP, PATHS = 500, 100, 2000


def cells(name, folder, *overrides):
    plain = compose(name, list(overrides), folder / name)
    return run.build(plain["study"]).cells(plain)


def dual_rows():
    return [pytest.param(row, id=f"l_r {row['l_r']} c_e {row['c_e']}") for row in published.read(DUAL)]


def instance(row):
    return STUDY.problem(int(row["l_r"]), float(row["c_e"]))


def exact_cost(problem, rule, point):
    """With the capacity that makes every chain finite."""
    bounded = replace(problem, system=replace(problem.system, capacity=gijsbrechts2022_dual_sourcing.capacity(problem)))
    lower, upper, _ = chain.average(bounded, rule.policy_of(*(np.array([float(value)]) for value in point)))
    assert upper - lower < 1e-6
    return (lower + upper) / 2


@pytest.mark.parametrize("row", dual_rows())
def test_dual_sourcing_optimum_and_gaps_of_every_instance(row):
    problem = instance(row)
    least = optimum.find(problem)
    assert least.upper - least.lower < 2e-6
    assert least.value == pytest.approx(float(row["optimal_cost"]), abs=1e-5)
    for rule in RULES.values():
        name, places = COLUMNS[rule.label]
        point = ast.literal_eval(row[name])
        cost = exact_cost(problem, rule, [point[place] for place in places])
        assert cost == pytest.approx(float(row[f"{rule.label}_cost"]), abs=1e-5)
        assert cost >= least.lower
        assert abs(100 * (cost / least.value - 1) - float(row[f"{rule.label}_pub"])) < 0.01


def test_dual_sourcing_table_finds_the_parameters_and_agrees_to_a_unit(tmp_path):
    found = {
        (cell.instance, cell.quantity): cell for cell in cells(DUAL, tmp_path, "study.lead_times=[2]", "study.expedited=[105]")
    }
    assert not any(cell.fails for cell in found.values())
    name = "l_r 2 c_e 105"
    points = {"CDI": (4, 7, 2), "DI": (4, 7), "SI": (5, 6), "TBS": (4, 1)}  # published/: *_par
    for rule in RULES.values():
        ours = tuple(found[f"{name}, {rule.label}", symbol].ours for symbol in rule.parameters)
        assert ours == points[rule.label]
    # 216.782407, 217.022059, 218 and 216.903047 over 216.769802: 0.0058, 0.1164, 0.5675, 0.0615; print: 0.00, 0.11, 0.56, 0.06
    for rule in RULES.values():
        cell = found[f"{name}, {rule.label}", "gap %"]
        assert cell.agrees and abs(cell.deviation) <= 0.01 and not cell.misprint
    least = found[f"{name}, optimum", "cost"]
    assert least.published is None and least.lower <= least.ours <= least.upper
    assert least.row.endswith("(gap of A3C in print: 0.52)")


@pytest.mark.parametrize(
    "override",
    [["study.lead_times=[1]"], ["study.lead_times=[2]", "study.holding=6"]],
    ids=["another lead time", "another holding cost"],
)
def test_what_is_not_printed_for_dual_sourcing_is_ours_alone(override, tmp_path):
    found = cells(DUAL, tmp_path, "study.expedited=[105]", "study.rules=[tailored_base_surge]", *override)
    assert len(found) == 1 + 4  # the optimum; gap, cost and two parameters
    assert all(cell.published is None and not cell.row and not cell.fails for cell in found[1:])
    assert "print" not in found[0].row


def test_dual_index_is_optimal_where_lead_times_differ_by_one_period(tmp_path):
    # Veeraraghavan and Scheller-Wolf 2008: with l_e = 0 and l_r = 1 the rule of two levels is the optimum
    changes = ["study.lead_times=[1]", "study.expedited=[108]", "study.shortage=40", "study.high=6", "study.rules=[dual_index]"]
    gap = {cell.quantity: cell for cell in cells(DUAL, tmp_path, *changes)}["gap %"]
    assert gap.lower <= 1e-9 and gap.upper <= 2e-6 and gap.published is None


@pytest.mark.parametrize(
    "name, override, sentence",
    [
        (DUAL, "study.lead_times=[0]", "study.lead_times must be a whole number >= 1, got 0"),
        (DUAL, "study.expedited=[99]", "study.expedited must be a number >= 100, got 99"),
        (DUAL, "study.rules=[other]", "study.rules must be some of capped_dual_index, .*, got 'other'"),
        (DUAL, "study.high=0", "study.high must be a whole number >= 1, got 0"),
        (DUAL, "study.shortage=0", "study.shortage must be a number > 0, got 0"),
        (BIJVANK, "study.mean=0", "study.mean must be a number > 0, got 0"),
        (BIJVANK, "study.rules=[s_S,s_S]", "study.rules must be a list of different ones of s_S, r_Q, s_S_q, got"),
        (BIJVANK, "study.lead_time=-1", "study.lead_time must be a whole number >= 0, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(name, override, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        cells(name, tmp_path, override)


def test_bijvank_agrees_and_finds_the_parameters(tmp_path):
    found = cells(BIJVANK, tmp_path)
    assert not any(cell.fails for cell in found) and str(tally(found)).startswith("11 of 11 agree")
    costs = {cell.row: cell for cell in found if cell.quantity == "cost"}
    for row in published.read(BIJVANK):
        cell = costs[row["policy"].split("=")[0]]
        assert cell.ours == pytest.approx(float(row["verified"]), abs=1e-5)
        assert cell.lower <= cell.ours <= cell.upper and cell.upper - cell.lower < 2e-6


def test_what_is_not_printed_for_bijvank_is_ours_alone(tmp_path):
    found = cells(BIJVANK, tmp_path, "study.lead_time=1", "study.rules=[r_Q]")
    assert len(found) == 5 and all(cell.published is None and not cell.fails for cell in found)


def simulated(problem, policy):
    """Mean and 99.9 % half-width of the cost per period over paths, without the warm-up."""
    paths = replace(problem, horizon=WARM_UP + PERIODS).training_paths(root(7, "judging"), PATHS)
    cost = np.asarray(problem.cost.charge(problem.simulate(policy, paths)).cost, np.float64)[:, WARM_UP:].sum(-1).mean(1)
    return cost.mean(), stats.t.ppf(0.9995, PATHS - 1) * cost.std(ddof=1) / math.sqrt(PATHS)


@pytest.mark.parametrize("name", [DUAL, BIJVANK])
def test_simulation_of_the_optimal_policy_meets_its_bracket(name):
    problem = STUDY.problem(3, 110.0) if name == DUAL else bijvank().problem()
    least = optimum.find(problem)
    mean, half = simulated(problem, least.policy)
    assert half < 0.005 * least.value
    assert least.lower - half <= mean <= least.upper + half


def bijvank():
    return bijvank2015.Bijvank(**bijvank2015.PRINTED, rules=["s_S_q"])


def test_best_takes_the_brief_look_at_many_points_and_none_beside_it_is_better():
    problem, ranges = bijvank().problem(), (range(8, 25), range(1, 13), range(3, 20))
    found = best.find(problem, s_S_q.policy_of, ranges, root(1, "best"), candidates=300, paths=24, periods=600)
    assert found.point == (17, 6, 7) and found.screened == 17 * 12 * 17  # published/: s 17, S 23, q 7
    costs = {}
    for point in best.beside(found.point, ranges):
        lower, upper, _ = chain.average(problem, s_S_q.policy_of(*(np.array([float(value)]) for value in point)))
        costs[point] = (lower + upper) / 2
    assert len(costs) == 6 + 12 and min(costs.values()) >= found.lower
    assert found.exact >= len(costs) + 1


def up_to(level):
    return Policy({"level": level}, base_stock.order_up_to)


def backlog(**rates):
    system = single.create(lead_time=1, backlog=True, initial_stock=4)
    cost = CostModel(**dict(price=0.0, purchase=0.0, fixed_order=0.0, salvage=0.0) | rates)
    return Problem(poisson.create(mean=3.0, items=1), system, cost, 1, 0, 0, 0)


def test_best_base_stock_level_is_the_newsvendor_fractile():
    problem = backlog(holding=1.0, shortage=9.0)
    found = best.find(problem, up_to, (range(30),), root(0, "best"), paths=8, periods=200)
    demand = stats.poisson(6)  # of two periods
    level = int(demand.ppf(0.9))
    short = demand.expect(lambda d: np.maximum(d - level, 0))
    assert found.point == (level,)
    assert found.value == pytest.approx((level - 6 + short) + 9 * short, abs=1e-6)


def test_discounted_cost_of_a_level_by_hand_and_its_best():
    # L = 1, from 4 units: period 0 costs G(4; 1 period); later ones start from the level, so that each costs G(level; 2 periods)
    # as long as the level is at least 4: cost = G(4; 1) + γ / (1 - γ) G(level; 2)
    problem, discount = backlog(holding=1.0, shortage=9.0), 0.9

    def expected(level, mean):
        short = stats.poisson(mean).expect(lambda d: np.maximum(d - level, 0))
        return level - mean + 10 * short

    found = best.find(problem, up_to, (range(4, 30),), root(0, "best"), paths=8, periods=200, discount=discount)
    level = found.point[0]
    assert found.value == pytest.approx(expected(4, 3) + 9 * expected(level, 6), abs=1e-5)
    followed = chain.follow(problem, up_to(np.array([float(level)])))
    assert found.value == pytest.approx(followed.horizon(400, discount), abs=1e-6)
    assert found.upper - found.lower < 1e-6
    assert level == int(stats.poisson(6).ppf(0.9))


def test_best_refuses_an_empty_range_and_rules_without_end():
    problem = backlog(holding=1.0, shortage=9.0)
    with pytest.raises(ValueError, match="ranges must be a range with a value for each parameter"):
        best.find(problem, up_to, (range(0),), root(0, "best"))
    with pytest.raises(ValueError, match="limit must be more states than a rule with these parameters reaches, got 3"):
        best.find(problem, up_to, (range(5, 6),), root(0, "best"), paths=2, periods=10, limit=3)
