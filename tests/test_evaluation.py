"""Judging: intervals against scipy and simulation, risk against brute force, service by hand, comparisons by hand."""

import json
import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import problem
from invbench.costs import CostModel, MethodCosts, Money
from invbench.dynamics import single
from invbench.evaluation import breakeven, compare, report, risk, statistics
from invbench.evaluation.compare import Job
from invbench.evaluation.report import Report, evaluate, figures
from invbench.problem import paths_hash
from invbench.scenarios import poisson
from invbench.types import Policy

RETAIL = CostModel(price=20.0, purchase=10.0, holding=2.0, shortage=10.0, fixed_order=50.0, salvage=0.0)
NOTHING = MethodCosts(0, 0, 0, 0)


def contains(estimate, value):
    return estimate.lower <= value <= estimate.upper


# intervals


@pytest.mark.parametrize("count", [2, 3, 50])
def test_the_mean_over_paths_has_the_t_interval_of_scipy(count):
    values = np.random.default_rng(count).normal(100, 15, count)
    found = statistics.mean(values)
    expected = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert found.mean == pytest.approx(values.mean())
    assert (found.lower, found.upper) == pytest.approx(expected)
    assert statistics.mean(values[None]) == statistics.mean(values[:, None]) == found  # one seed, or one path


def test_one_value_has_no_interval_and_a_constant_has_an_empty_one():
    assert statistics.mean(np.array([7.0])) == (7, None, None)
    assert statistics.mean(np.full((3, 4), 7.0)) == (7, 7, 7)
    assert statistics.mean(np.array([7.0])).scaled(3) == (21, None, None)


def test_scaling_keeps_the_bounds_in_order():
    assert statistics.Estimate(1, -1, 4).scaled(2) == (2, -2, 8)
    assert statistics.Estimate(1, -1, 4).scaled(-2) == (-2, -8, 2)


def two_levels(generator, seeds, paths, by_seed, by_path, noise):
    """[seed, path] values around zero."""
    draw = generator.normal
    return by_seed * draw(size=(seeds, 1)) + by_path * draw(size=(1, paths)) + noise * draw(size=(seeds, paths))


EFFECTS = {"seeds and paths": (1, 1, 1), "paths": (0, 1, 1), "seeds": (1, 0, 0), "noise": (0, 0, 1)}


@pytest.mark.parametrize("effects", EFFECTS)
@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_two_level_interval_covers_the_truth_in_95_percent_of_cases(seeds, effects):
    # an interval of exactly 95 % fails this with probability 0.001
    generator, repetitions = np.random.default_rng(seeds), 1500
    draws = (two_levels(generator, seeds, 30, *EFFECTS[effects]) for _ in range(repetitions))
    covered = sum(contains(statistics.mean(values), 0) for values in draws)
    assert covered >= stats.binom.ppf(0.001, repetitions, 0.95)


@pytest.mark.parametrize("effects", EFFECTS)
def test_two_level_interval_is_never_narrower_than_pooling(effects):
    generator = np.random.default_rng(1)
    for seeds in (2, 3, 5) * 60:
        values = two_levels(generator, seeds, 30, *EFFECTS[effects])
        own, pooled = statistics.mean(values), statistics.mean(values.ravel())
        assert own.upper - own.lower >= (pooled.upper - pooled.lower) * (1 - 1e-9)


def test_p_value_is_that_of_scipy_and_agrees_with_the_interval():
    generator = np.random.default_rng(2)
    for shift in (0.0, 0.1, 1.0):
        values = generator.normal(shift, 1, 40)
        assert statistics.p_value(values) == pytest.approx(stats.ttest_1samp(values, 0).pvalue)
    agreed = [False, False]
    for shift in np.linspace(0, 1.5, 40):
        values = shift + two_levels(generator, 4, 20, 0.3, 1, 1)
        significant = statistics.p_value(values) < 0.05
        assert significant == (not contains(statistics.mean(values), 0))
        agreed[significant] = True
    assert all(agreed)  # both answers occurred


def test_p_value_of_constants_and_of_one_value():
    assert statistics.p_value(np.array([3.0])) is None
    assert statistics.p_value(np.full(5, 3.0)) == 0
    assert statistics.p_value(np.zeros((2, 5))) == 1


def test_ratio_agrees_with_the_bootstrap():
    generator = np.random.default_rng(3)
    demand = generator.gamma(4, 25, 300)
    met = demand * generator.beta(9, 1, 300)
    found = statistics.ratio(met, demand)
    assert found.mean == pytest.approx(met.sum() / demand.sum())
    rows = generator.integers(0, 300, (4000, 300))
    resampled = np.quantile(met[rows].sum(1) / demand[rows].sum(1), [0.025, 0.975])
    # 4000 resamples place each bound within about 3 % of the half width; the linearisation and skewness take the rest
    assert (found.lower, found.upper) == pytest.approx(resampled, abs=0.1 * (found.upper - found.mean))
    assert statistics.ratio(np.array([3.0]), np.array([4.0])) == (0.75, None, None)
    assert math.isnan(statistics.ratio(np.zeros(3), np.zeros(3)).mean)


def test_holm_by_hand():
    # sorted 0.005 x 4 = 0.02, 0.01 x 3 = 0.03, 0.03 x 2 = 0.06, 0.04 x 1 = 0.04, raised to 0.06
    assert statistics.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert statistics.holm([0.4, None, 0.9]) == [0.8, None, 0.9]  # 0.4 x 2; a missing one does not count
    assert statistics.holm([0.7, 0.6]) == [1, 1]
    assert statistics.holm([]) == []


# risk


@pytest.mark.parametrize("count", [500, 580, 1000])
def test_cvar_is_the_mean_of_the_worst_twentieth(count):
    values = np.random.default_rng(count).normal(size=count) ** 3
    assert risk.cvar(values).mean == pytest.approx(np.sort(values)[: count // 20].mean())


def test_cvar_is_withheld_under_500_paths():
    assert risk.cvar(np.arange(499.0)) is None
    assert risk.cvar(np.arange(500.0)).mean == 12  # 0 … 24


@pytest.mark.parametrize("count, least", [(500, 0.90), (2000, 0.92)])
def test_cvar_interval_covers_the_truth(count, least):
    # Standard normal: CVaR = -pdf(z) / 0.05. The summands are skewed, so a 95 % interval covers 92 % at 500 paths and 94 %
    # at 2000 (20,000 repetitions); with these figures the test fails by chance with probability below 0.02.
    truth = -stats.norm.pdf(stats.norm.ppf(0.05)) / 0.05
    draws = np.random.default_rng(4).normal(size=(1000, count))
    assert np.mean([contains(risk.cvar(values), truth) for values in draws]) >= least


def test_risk_adjusted_by_hand():
    values = np.array([1.0, 2.0, 3.0, 4.0])  # mean 2.5; standard deviation sqrt(5 / 3), ddof 1
    assert risk.spread(values) == pytest.approx(math.sqrt(5 / 3))
    assert risk.risk_adjusted(values, 0.5) == pytest.approx(2.5 - 0.5 * math.sqrt(5 / 3))
    assert risk.risk_adjusted(values, 0) == 2.5
    assert risk.spread(np.array([1.0])) is None and risk.risk_adjusted(np.array([1.0]), 0.5) is None


# break-even: the method costs 1,200 once and 10 a period, the baseline 200 once and 1 a period

METHOD, PLAIN = MethodCosts(1000, 200, 0.5, 9.5), MethodCosts(200, 0, 0, 1)


def test_break_even_periods_by_hand():
    # gain 1,900 over 100 periods: 19 - 9 = 10 a period more, against 1,000 more at the start
    assert breakeven.periods(1900, 100, METHOD, PLAIN) == 100
    assert breakeven.periods(2900, 100, METHOD, PLAIN) == 50
    assert breakeven.periods(900, 100, METHOD, PLAIN) == math.inf  # 9 - 9 = 0 a period
    assert breakeven.periods(-1, 100, METHOD, METHOD) == math.inf
    assert breakeven.periods(0, 100, METHOD, METHOD) == breakeven.periods(500, 100, METHOD, METHOD) == 0
    assert breakeven.periods(-500, 100, PLAIN, METHOD) == 0  # cheaper at the start, and loses 5 a period but saves 9


def test_break_even_items_by_hand():
    # over 100 periods the method costs 1,000 + 9 x 100 = 1,900 more; 10 items gain 190, that is 19 each
    assert breakeven.items(190, 100, 10, METHOD, PLAIN) == 100
    assert breakeven.items(200, 100, 10, METHOD, PLAIN) == 95
    assert breakeven.items(210, 100, 10, METHOD, PLAIN) == 91  # 90.48 rounded up
    assert breakeven.items(0, 100, 10, METHOD, PLAIN) == breakeven.items(-5, 100, 10, METHOD, PLAIN) == math.inf
    assert breakeven.items(0, 100, 10, METHOD, METHOD) == 1
    assert breakeven.items(0.3, 100, 3, MethodCosts(3, 0, 0, 0), NOTHING) == 30  # 3 / 0.1, whatever 0.3 / 3 rounds to


def test_roi_by_hand():
    assert breakeven.roi(300, 1200) == 0.25
    assert breakeven.roi(300, 0) is None
    assert breakeven.roi_reference(78452.64, 17407.36) == pytest.approx(4.5069, abs=1e-4)
    assert breakeven.roi_reference(1, 0) is None


# reports


def planned(params, observation, key):
    """The order that was written down for the period, from [horizon, item]."""
    return params["orders"][observation.time]


def order_up_to(params, observation, key):
    return params["level"] - observation.position


def anything(params, observation, key):
    return jax.random.randint(key, observation.position.shape, 0, params["most"]).astype(jnp.float32)


def made(horizon, items=1, cost=RETAIL, **system):
    system = single.create(**(dict(lead_time=1, backlog=False) | system))
    given = dict(information="known", history=0, window=0, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(poisson.create(mean=5, items=items), system, cost, **given)


def by_hand(demand, orders, **system):
    """The report of written-down orders on one path of one item."""
    setting = made(len(demand), **system)
    policy = Policy({"orders": jnp.asarray(orders, jnp.float32)[:, None]}, planned)
    return evaluate(setting, policy, setting.as_paths(np.asarray(demand, np.float32)[None, :, None]))


def rates(judged):
    found = figures(judged, NOTHING, 0.5, 0.95)
    return {name: found[name]["mean"] for name in ("fill_rate", "ready_rate", "cycle_service", "no_stockout", "turnover")}


def test_service_by_hand_with_lost_sales():
    # initial 5, L = 1    period   0  1  2  3  4  5
    #                   received   0  4  0  5  0  0
    #                     demand   3  4  2  6  0  1   = 16
    #                       held   2  2  0  0  0  0   = 4
    #                     missed   0  0  0  1  0  1   = 2
    judged = by_hand([3, 4, 2, 6, 0, 1], [4, 0, 5, 0, 0, 0], initial_stock=5)
    found = rates(judged)
    assert found["fill_rate"] == 14 / 16  # met / demand
    assert found["ready_rate"] == pytest.approx(2 / 6)  # stock is left in periods 0 and 1
    assert found["no_stockout"] == pytest.approx(4 / 6)  # all but periods 3 and 5
    assert found["cycle_service"] == pytest.approx(2 / 3)  # [0], [1, 2], [3, 4, 5]: the last one ran out
    assert found["turnover"] == pytest.approx(21)  # 14 sold / (4 / 6 held on average)
    # revenue 20 x 14; purchase 10 x 9; holding 2 x 4; shortage 10 x 2; two orders 2 x 50: 280 - 90 - 8 - 20 - 100
    assert judged.benefit.tolist() == [62]
    assert {name: value.tolist() for name, value in judged.money.items()} == dict(
        revenue=[280],
        salvage=[0],
        holding=[8],
        shortage=[20],
        ordering=[100],
        purchase=[90],
        waste=[0],
        transport=[0],
        sites=[0],
    )


def test_service_by_hand_with_backlog():
    # initial 2, L = 1: period 0 owes 1 of 3; the 4 of period 1 serve it and the demand of 1, and 2 are left
    judged = by_hand([3, 1], [4, 0], initial_stock=2, backlog=True)
    found = rates(judged)
    assert found["fill_rate"] == 3 / 4  # late is not met
    assert found["ready_rate"] == found["no_stockout"] == found["cycle_service"] == 1 / 2
    assert judged.benefit.tolist() == [20 * 4 - 10 * 4 - 2 * 2 - 10 * 1 - 50]  # the late one is sold in period 1


def test_what_arrives_in_the_first_period_opens_the_first_cycle():
    # L = 0, an order of 2 in each of three periods, demand 2, 3, 3: three cycles, and two of them run out
    judged = by_hand([2, 3, 3], [2, 2, 2], lead_time=0)
    assert rates(judged)["cycle_service"] == pytest.approx(1 / 3)


def test_no_demand_is_no_failure():
    judged = by_hand([0, 0], [0, 0], initial_stock=1)
    found = figures(judged, NOTHING, 0.5, 0.95)
    assert found["fill_rate"] == {"mean": None, "lower": None, "upper": None}  # 0 / 0
    assert found["target_met"]["mean"] == found["no_stockout"]["mean"] == 1


def base_stock_report(n=40, items=2, horizon=12, cost=RETAIL):
    setting = made(horizon, items, cost, initial_stock=8)
    return setting, Policy({"level": jnp.asarray([12.0])}, order_up_to), setting.evaluation_paths(n)


def same(one, other):
    for name in ("unit", "horizon", "items", "hash", "paths"):
        assert getattr(one, name) == getattr(other, name)
    for mine, theirs in ((one.money, other.money), (one.counts, other.counts)):
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[name], theirs[name]) for name in mine)


def test_chunks_give_what_the_whole_gives(monkeypatch):
    setting, policy, paths = base_stock_report()
    whole = evaluate(setting, policy, paths)
    monkeypatch.setattr(report, "CHUNK_VALUES", 7 * 12 * 2)  # 7 paths at a time, and 5 in the end
    same(evaluate(setting, policy, paths), whole)
    assert whole.hash == paths_hash(paths) and whole.paths == 40


def test_chunks_give_a_policy_that_plans_each_path_its_own_plan(monkeypatch):
    setting, _, paths = base_stock_report()
    orders = jnp.asarray(np.random.default_rng(5).integers(0, 9, (12, 40, 2)), jnp.float32)
    policy = Policy({"orders": orders}, planned, per_path=True)
    whole = evaluate(setting, policy, paths)
    np.testing.assert_array_equal(whole.money["purchase"], 10 * np.asarray(orders).sum((0, 2)))
    monkeypatch.setattr(report, "CHUNK_VALUES", 7 * 12 * 2)
    same(evaluate(setting, policy, paths), whole)


def test_chunks_give_a_random_policy_the_same_draws(monkeypatch):
    setting, _, paths = base_stock_report()
    policy = Policy({"most": jnp.asarray(9)}, anything, random=True, elementwise=False)
    whole = evaluate(setting, policy, paths, jax.random.key(1))
    monkeypatch.setattr(report, "CHUNK_VALUES", 7 * 12 * 2)
    same(evaluate(setting, policy, paths, jax.random.key(1)), whole)


def test_one_path_of_many_items_is_judged_by_series():
    setting, policy, paths = base_stock_report(n=1, items=2)
    judged = evaluate(setting, policy, paths)
    assert judged.unit == "series" and judged.benefit.shape == (2,)
    found = figures(judged, METHOD, 0.5, 0.95)
    assert found["operating_benefit"]["mean"] == pytest.approx(judged.benefit.sum())  # all items together
    assert found["net_benefit"]["mean"] == pytest.approx(judged.benefit.sum() - (1200 + 12 * 10))
    assert found["operating_benefit"]["lower"] is not None  # over series
    assert found["std"] == found["cvar"] == {"withheld": "one path"}  # risk is over paths


def test_prices_need_no_new_simulation():
    setting, policy, paths = base_stock_report(cost=CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0))
    others = CostModel(31.0, 7.0, 1.0, 4.0, 0.0, 0.0)
    money = others.charge(setting.totals(policy, paths))
    again = evaluate(replace(setting, cost=others), policy, paths)
    for name in Money._fields:
        np.testing.assert_allclose(np.asarray(getattr(money, name)).sum(1), again.money[name], rtol=1e-6)


KEYS = """
    net_benefit operating_benefit method_cost revenue salvage holding shortage ordering purchase waste transport sites
    average_cost std risk_adjusted cvar fill_rate ready_rate cycle_service no_stockout target_met turnover roi_reference orders
""".split()


@pytest.mark.parametrize("n", [1, 40])
def test_figures_have_stable_names_and_can_be_written_as_json(n):
    setting, policy, paths = base_stock_report(n=n, items=1)
    found = figures(evaluate(setting, policy, paths), METHOD, 0.5, 0.95)
    assert sorted(found) == sorted(KEYS)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["method_cost"] == dict(value=1320, implementation=1000, training=200, inference=0.5, maintenance=9.5)
    cost = sum(found[name]["mean"] for name in ("holding", "shortage", "ordering", "purchase"))
    assert found["average_cost"]["mean"] == pytest.approx(cost / 12)
    assert found["operating_benefit"]["mean"] == pytest.approx(found["revenue"]["mean"] - cost)
    assert found["roi_reference"]["value"] == pytest.approx(found["net_benefit"]["mean"] / (cost + 1320))


# comparisons


CONFIG = {
    "system": {"lead_time": 2}, "cost": {"price": 20}, "forecast": {"alphas": [0.1, 0.2]}, "problem": {"window": 56},
    "evaluation": {"paths": 4, "seed": 0, "shift": {}}, "tuning": {"paths": 100}, "study": None,
    "outputs": "outputs", "tracker": {"project": "invbench"}, "name": None,
}  # fmt: skip


def judged(benefit, unit="path"):
    """A report whose every unit earned `benefit`: revenue 100 more than that, and 100 for holding."""
    benefit = np.asarray(benefit, float)
    nothing, one = np.zeros_like(benefit), np.ones_like(benefit)
    money = dict.fromkeys(Money._fields, nothing) | {"revenue": benefit + 100, "holding": 100 * one}
    names = (
        "demand",
        "met",
        "sold",
        "held",
        "orders",
        "ready",
        "no_stockout",
        "periods",
        "ready_periods",
        "cycles",
        "good_cycles",
    )
    return Report(money, dict.fromkeys(names, one), unit, 10, len(benefit) if unit == "series" else 1, "", 4, None)


def job(
    method, benefit, validation=0.0, family="traditional", tuned=True, *, seed=0, hash="same", mean=50, own=None, costs=NOTHING,
    unit="path",
):  # fmt: skip
    """A finished job as the run writes it and the sweep loads it."""
    names = {"method": method, "scenario": "poisson", "system": "lost_sales", "cost": "retail_daily", "experiment": None}
    config = CONFIG | {"scenario": {"mean": mean}, "method": {"_target_": method} | (own or {}), "seed": seed, "names": names}
    found = judged(benefit, unit)
    document = figures(found, costs, 0.5, 0.95) | {
        "family": family, "tuned": tuned, "periods": 10, "items": found.items, "paths": {"number": 4, "hash": hash},
        "interval_over": unit, "validation": {"value": validation},
    }  # fmt: skip
    return Job(config, "done", "", document, {"benefit": found.benefit, **found.money}, {})


def broken(method, status="failed", error="it did not work", config=None):
    return Job(config or job(method, [0, 0]).config, status, error, {}, {}, {})


def rows_of(jobs, wanted="auto"):
    """Rows of the only scenario by method."""
    ((_, best, rows),) = compare.table(jobs, wanted)
    return best, {group.method: row for group, row in rows}


BASE = job("base_stock", [9, 10, 16, 15], validation=5)


def test_the_baseline_is_the_tuned_classical_rule_that_validates_best():
    better_when_judged = job("s_S", [90, 90, 90, 91], validation=4)
    untuned = job("eoq", [9, 9, 9, 9], validation=9, tuned=False)
    learned = job("sac", [9, 9, 9, 9], validation=9, family="rl")
    bound = job("clairvoyant", [99, 99, 99, 99], validation=None, family="bound", tuned=False)
    listed = [better_when_judged, untuned, learned, bound, BASE]
    best, rows = rows_of(listed)
    assert best == "base_stock" and [name for name, row in rows.items() if row["baseline"]] == ["base_stock"]
    assert rows_of(listed[:-1])[0] == "s_S"
    assert rows_of([untuned, learned, bound])[0] == ""
    assert rows_of(listed, "sac")[0] == "sac"
    assert rows_of([*listed, broken("r_Q")], "r_Q")[0] == ""


def test_paired_difference_by_hand():
    # differences 1, 2, -2, 5: mean 1.5, variance 25 / 3, standard error sqrt(25 / 12); t(3 degrees of freedom) = 3.1824
    costs = MethodCosts(1, 0.5, 0, 0.05)
    best, rows = rows_of([BASE, job("s_S", [10, 12, 14, 20], costs=costs)])
    row, half = rows["s_S"], 3.182446 * math.sqrt(25 / 12)
    assert row["difference"] == 1.5
    assert (row["difference_lower"], row["difference_upper"]) == pytest.approx((1.5 - half, 1.5 + half))
    assert row["win_rate"] == 0.75
    assert row["p_holm"] == pytest.approx(stats.ttest_rel([10, 12, 14, 20], [9, 10, 16, 15]).pvalue)
    assert row["break_even"] == pytest.approx(1.5 / 0.1)  # 0.15 - 0.05 a period against 1.5 once
    assert row["break_even_items"] == 2 and row["roi"] == 0.75  # 1.5 an item, against 1.5 + 10 x 0.05 = 2
    assert row["operating_benefit"] == 14 and row["net_benefit"] == 14 - 1.5 - 10 * 0.05
    assert all(rows["base_stock"][name] is None for name in ("difference", "win_rate", "p_holm", "break_even"))
    assert list(row) == list(compare.COLUMNS)


def test_the_way_to_the_bound_by_hand():
    """The baseline earns 12.5 and the bound 20.5: a gain of 1.5 goes 1.5 / 8 of the way; without a bound nobody knows."""
    rivals = [BASE, job("s_S", [10, 12, 14, 20])]
    known = [replace(one, report=one.report | {"clairvoyant": {"mean": 20.5}}) for one in rivals]
    assert rows_of(known)[1]["s_S"]["closed"] == 1.5 / 8
    assert rows_of(rivals)[1]["s_S"]["closed"] is None


def test_series_are_scaled_to_all_items():
    best, rows = rows_of([job("base_stock", [1, 2, 3], unit="series"), job("s_S", [2, 4, 6], unit="series")])
    assert rows["s_S"]["operating_benefit"] == 12 and rows["s_S"]["difference"] == 6
    assert rows["s_S"]["win_rate"] == 1
    assert rows["s_S"]["std"] is rows["s_S"]["cvar"] is None  # one path has no risk to be seen


def test_results_on_other_paths_are_refused_within_a_scenario_only():
    with pytest.raises(ValueError, match="results on different paths cannot be compared: other, same"):
        compare.table([BASE, job("s_S", [1, 2, 3, 4], hash="other")])
    assert len(compare.table([BASE, job("s_S", [1, 2, 3, 4], hash="other", mean=75)])) == 2


def test_failed_jobs_keep_their_rows():
    best, rows = rows_of([BASE, broken("ppo", error="the loss is not a number"), job("s_S", [10, 12, 14, 20])])
    assert list(rows) == ["base_stock", "ppo", "s_S"]
    assert (rows["ppo"]["status"], rows["ppo"]["error"]) == ("failed", "the loss is not a number")
    assert rows["ppo"]["net_benefit"] is None and rows["ppo"]["difference"] is None
    assert rows["s_S"]["difference"] == 1.5 and best == "base_stock"


def test_a_job_that_never_started_keeps_its_row_beside_the_others():
    guessed = {"names": BASE.config["names"] | {"method": "ppo"}, "method": {}, "seed": 0}  # all that a sweep knows of it
    found = compare.table([BASE, broken("ppo", "missing", "the job did not start", guessed)])
    assert {scenario: [group.method for group, _ in rows] for scenario, _, rows in found} == {"poisson": ["base_stock", "ppo"]}


def test_a_method_with_a_failed_seed_is_failed():
    best, rows = rows_of([BASE, job("ppo", [1, 2, 3, 4], family="rl"), broken("ppo", config=job("ppo", [0], seed=1).config)])
    assert rows["ppo"]["status"] == "failed" and rows["ppo"]["operating_benefit"] is None


def test_seeds_are_one_row():
    seeds = [job("sac", [8, 12, 14, 20], family="rl"), job("sac", [12, 12, 16, 22], family="rl", seed=1)]
    best, rows = rows_of([BASE, *seeds])
    assert list(rows) == ["base_stock", "sac"]
    assert rows["sac"]["operating_benefit"] == 14.5  # 13.5 and 15.5
    assert rows["sac"]["difference"] == 2  # 14.5 - 12.5
    expected = statistics.mean(np.array([[-1, 2, -2, 5], [3, 2, 0, 7]]))
    assert (rows["sac"]["difference_lower"], rows["sac"]["difference_upper"]) == pytest.approx(expected[1:])


def test_seeds_are_paired_by_their_number_in_whatever_order_they_come():
    base = [job("base_stock", [0, 0, 0, 1], seed=0), job("base_stock", [10, 10, 10, 12], seed=1)]
    other = [job("s_S", [1, 1, 1, 3], -1, seed=0), job("s_S", [11, 11, 11, 14], -1, seed=1)]
    forward, backward = (rows_of(listed)[1]["s_S"] for listed in ([*base, *other], [*base, *other[::-1]]))
    names = ("difference", "difference_lower", "difference_upper", "p_holm")
    assert [backward[name] for name in names] == pytest.approx([forward[name] for name in names])


def test_labels_tell_settings_apart_by_what_differs():
    listed = [job("s_S", [1, 2], mean=50), job("s_S", [1, 2], mean=75), job("s_S", [2, 3], mean=75, own={"grid": 9})]
    found = compare.table(listed)
    methods = {scenario: [group.method for group, _ in rows] for scenario, _, rows in found}
    assert list(methods) == ["poisson mean=50", "poisson mean=75"]
    assert len(set(methods["poisson mean=75"])) == 2 and methods["poisson mean=75"][1] == "s_S grid=9"
    ((scenario, _, rows),) = compare.table([job("s_S", [1, 2]), job("s_S", [1, 2], seed=1)])  # seeds are no setting
    assert scenario == "poisson" and [group.method for group, _ in rows] == ["s_S"]


def test_holm_counts_methods_and_no_bound():
    generator = np.random.default_rng(6)
    base, noise = generator.normal(0, 1, 30), [generator.normal(mean, 1, 30) for mean in (0.3, 0.4, 0.0)]
    bound = job("clairvoyant", base + noise[2], None, family="bound", tuned=False)
    best, rows = rows_of([job("base_stock", base, 5), job("r_Q", base + noise[0]), job("s_S", base + noise[1]), bound])
    raw = [stats.ttest_1samp(values, 0).pvalue for values in noise]
    assert [rows[name]["p_holm"] for name in ("r_Q", "s_S")] == pytest.approx(statistics.holm(raw[:2]))
    assert statistics.holm(raw[:2]) != pytest.approx(statistics.holm(raw)[:2])  # it would show if the bound counted
    assert rows["clairvoyant"]["p_holm"] is None and rows["clairvoyant"]["difference"] == pytest.approx(noise[2].mean())


def test_methods_on_a_small_budget_are_compared_with_all_others():
    quick = job("ppo", [10, 11, 17, 17], family="rl", own={"fast_mode": True})
    quick = replace(quick, config=quick.config | {"fast_mode": True})
    best, rows = rows_of([replace(BASE, config=BASE.config | {"fast_mode": False}), quick])
    assert best == "base_stock" and rows["ppo"]["difference"] == 1.25


def test_components_add_up_to_the_net_benefit():
    (group,) = compare.groups([job("s_S", [10, 12, 14, 20], costs=METHOD)])
    parts = compare.components(group)
    assert parts["holding"] == 100 and parts["inference"] == 5 and parts["maintenance"] == 95
    spent = sum(value for name, value in parts.items() if name not in ("revenue", "salvage"))
    assert parts["revenue"] + parts["salvage"] - spent == 14 - 1200 - 10 * 10
    assert compare.components(compare.groups([broken("ppo")])[0]) == {}
