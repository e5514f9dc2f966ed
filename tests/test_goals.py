"""Goals beyond the mean, beside brute force or a formula: a fill rate that is held, worst paths, the worst level of demand."""

import csv
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import ignore, made, newsvendor, order, posed
from scipy import stats

from invbench import run
from invbench.dynamics import single
from invbench.keys import named, root
from invbench.learning import goals
from invbench.learning.stored import stored
from invbench.methods import base_stock
from invbench.methods.constrained import at_least
from invbench.scenarios import poisson, tilted
from invbench.studies.all_tables import compose
from invbench.studies.goals import cvar, cvar_gain, wilson
from invbench.types import Policy

LEVELS = np.arange(5, 16)
RULE = {
    "_target_": "invbench.methods.base_stock.BaseStock",
    "tuning": {"_target_": "invbench.tuning.budget", "paths": 512, "candidates": 32, "rounds": 2},
}
KEY = root(0, "method", "goal")


def aimed(name, **fields):
    """A method around the base-stock rule, as its YAML has it but for `fields`."""
    return made(name, **({"inner": RULE} | fields))


def neutral(problem):
    """The base-stock policy that is tuned for the mean."""
    return run.build(RULE).fit(problem, named(KEY, "neutral"), ignore)


def rules(problem):
    """A base-stock policy for each of LEVELS."""
    policy = neutral(problem)
    return [policy._replace(params=jax.tree.map(lambda leaf: jnp.full_like(leaf, units), policy.params)) for units in LEVELS]


def level(policy):
    """What a policy orders when there is nothing."""
    return order(policy, 0.0)


# ---- by hand


def test_shares_and_their_intervals():
    assert at_least(0, 3, 0.95) == 0
    assert at_least(3, 3, 0.95) == pytest.approx(0.05 ** (1 / 3))  # Clopper and Pearson: 1 - c = p^n
    assert at_least(9, 10, 0.95) == pytest.approx(0.6058, abs=1e-4)  # 10 p^9 - 9 p^10 = 0.05
    found = wilson(0.5, 10)
    assert (found.lower, found.upper) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_cvar_by_hand():
    values = np.arange(20.0)[::-1]
    assert cvar(values, 0.1) == 0.5 and cvar(values, 0.01) == 0 and cvar(values, 1.0) == 9.5
    gain = cvar_gain(values[None], values[None] + 5, 0.1)
    assert (gain.mean, gain.lower, gain.upper) == (5, 5, 5)


def test_goals_of_two_orders_by_hand():
    problem = replace(newsvendor(), horizon=1)
    policy = Policy({"level": jnp.array([[4.0], [6.0]])}, base_stock.order_up_to)
    paths = problem.as_paths(jnp.array([2.0, 4.0, 6.0, 8.0])[:, None, None])
    # order up to 4: hold 2, hold 0, miss 2, miss 4, at 4 each: -2, 0, -8, -16; up to 6: -4, -2, 0, -8
    worth = lambda *goal: goals.create(*goal).worth(problem, policy, paths)[:, 0]  # noqa: E731
    assert worth("mean", 0.5, [1.0]) == pytest.approx((-6.5, -3.5))
    assert worth("cvar", 0.5, [1.0]) == pytest.approx((-12, -6))
    # half of demand is 1, 2, 3, 4: up to 4: -3, -2, -1, 0; up to 6: -5, -4, -3, -2
    assert worth("worst_case", 0.5, [0.5]) == pytest.approx((-1.5, -3.5))
    assert worth("worst_case", 0.5, [0.5, 1.0]) == pytest.approx((-6.5, -3.5))


def test_a_tilted_scenario_draws_as_often_as_it_is_told():
    demand = np.arange(1, 4)[:, None, None] * np.array([1.0, 2.0, 3.0])[None, :, None]  # [period, path, item]
    scenario = tilted.create(demand, [1, 2, 1], first=5)
    drawn = np.asarray(scenario.draw(jax.random.key(0), 20_000, 5, 4))[..., 0]
    for units, chance in ((1, 0.25), (2, 0.5), (3, 0.25)):
        assert np.mean(drawn[0] == units) == pytest.approx(chance, abs=0.015)
    assert (drawn / drawn[0] == np.array([1, 1, 2, 3, 1])[:, None]).all()  # before what is written: its first period


def test_after_what_is_written_the_last_weeks_come_again():
    demand = np.arange(23.0)[:, None, None]  # three whole weeks are periods 2 … 22
    drawn = np.asarray(tilted.create(demand, [1], first=5).draw(jax.random.key(0), 1, 50, 3))[:, 0, 0]
    assert drawn.tolist() == [0, 0, *range(23), *range(2, 23), *range(2, 6)]


# ---- beside brute force and a formula


def test_a_fill_rate_is_held_by_the_lowest_level_that_holds_it():
    problem = newsvendor()
    paths = problem.training_paths(jax.random.key(1), 20_000)
    flows = [problem.totals(policy, paths) for policy in rules(problem)]
    held = np.array([float(jnp.mean((one.demand - one.missed).sum(1) >= 0.98 * one.demand.sum(1))) for one in flows])
    lowest = LEVELS[np.argmax(held >= 0.95)]
    policy = aimed("constrained", target=0.98, paths=1000, rounds=10).fit(problem, KEY, ignore)
    assert level(neutral(problem)) == 7 < lowest == level(policy)


def test_a_constraint_that_costs_nothing_changes_nothing():
    problem = newsvendor()
    policy = aimed("constrained", target=0.8, paths=500, rounds=1).fit(problem, KEY, ignore)
    assert level(policy) == 7


def test_a_target_that_is_out_of_reach_is_named():
    method = aimed("constrained", target=1.0, share=0.99, paths=500, rounds=2)
    with pytest.raises(ValueError) as refusal:
        method.fit(newsvendor(), KEY, ignore)
    said = "method.target must be a fill rate that method.inner can hold on 99% of paths, got '1, held on "
    assert str(refusal.value).replace("got 1", "got '1").startswith(said)


def test_the_cvar_of_a_newsvendor_has_a_smaller_fractile():
    """Without penalties it is tail x (p - c) / p in place of (p - c) / p (Gotoh and Takano 2007, EJOR 179)."""
    prices = dict(price=5.0, purchase=1.0, holding=0.0, shortage=0.0)
    problem = posed(poisson.create(mean=100.0, items=1), single.create(lead_time=0, backlog=False), **prices)
    problem = replace(problem, horizon=1)
    policy = aimed("risk_averse", goal="cvar", tail=0.5, paths=4000, rounds=1, reach=0.5).fit(problem, KEY, ignore)
    plain, averse = stats.poisson(100).ppf([0.8, 0.5 * 0.8])
    assert plain - averse > 10
    assert level(neutral(problem)) == pytest.approx(plain, abs=2) and level(policy) == pytest.approx(averse, abs=2)


def test_the_worst_case_looks_at_the_worst_level():
    """Missed units are dear: where demand may be 40 % higher, one orders for that."""
    problem = replace(newsvendor(), horizon=1)
    paths = problem.training_paths(jax.random.key(2), 20_000)
    least = [min(float(problem.benefit(one, goals.raised(paths, size)).mean()) for size in (1.0, 1.4)) for one in rules(problem)]
    policy = aimed("risk_averse", goal="worst_case", levels=[1.0, 1.4], paths=4000, rounds=0, reach=2).fit(problem, KEY, ignore)
    assert level(policy) == LEVELS[np.argmax(least)] > level(neutral(problem))


class Several:
    """A rule that can be fitted with several keys at once."""

    def fit_seeds(self, problem, keys, log):
        return [run.build(RULE).fit(problem, key, log) for key in keys]

    def fit(self, problem, key, log):
        return self.fit_seeds(problem, key.reshape(1), log)[0]


def test_seeds_side_by_side_come_to_what_each_comes_to():
    problem = replace(newsvendor(), horizon=1)
    method = replace(aimed("risk_averse", goal="cvar", tail=0.2, paths=500, rounds=1), inner=Several())
    keys = jax.random.split(KEY, 2)
    together = method.fit_seeds(problem, keys, ignore)
    for policy, key in zip(together, keys, strict=True):
        alone = method.fit(problem, key, ignore)
        for one, other in zip(jax.tree.leaves(policy.params), jax.tree.leaves(alone.params), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "name, fields, field",
    [
        ("constrained", {"target": 1.2}, "method.target"),
        ("constrained", {"share": 0}, "method.share"),
        ("constrained", {"rounds": 0}, "method.rounds"),
        ("constrained", {"paths": 20}, "method.paths"),
        ("risk_averse", {"goal": "gain"}, "method.goal"),
        ("risk_averse", {"tail": 0}, "method.tail"),
        ("risk_averse", {"levels": []}, "method.levels"),
        ("risk_averse", {"levels": [1, -1]}, "method.levels[1]"),
        ("risk_averse", {"mix": 2}, "method.mix"),
        ("risk_averse", {"rounds": -1}, "method.rounds"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(name, fields, field):
    with pytest.raises(ValueError) as refusal:
        aimed(name, **fields).fit(newsvendor(), KEY, ignore)
    assert str(refusal.value).startswith(f"{field} must be") and "\n" not in str(refusal.value)


def test_fast_mode_learns_from_paths_of_the_process():
    problem = replace(newsvendor(), window=2)
    found = stored(problem)
    drawn = np.asarray(found.training_paths(KEY, 2000).demand)
    assert found.scenario.demand.shape[:2] == (2 + problem.horizon + problem.system.lead_time + 1, 512)
    assert abs(drawn.mean() - np.asarray(problem.training_paths(KEY, 2000).demand).mean()) < 0.15
    assert set(np.unique(drawn)) <= set(np.unique(found.scenario.demand)) and found.system is problem.system


# ---- the study


SMALL = [
    "evaluation.paths=64", "evaluation.horizon=30", "tuning.paths=64", "tuning.candidates=16", "tuning.rounds=1", "study.seeds=2",
    "~study.settings", "+study.settings={quiet: ['scenario=poisson', 'scenario.mean=5', 'cost.fixed_order=0']}",
    "~study.methods",
]  # fmt: skip
AIMED = "'method=constrained', 'method@method.inner=base_stock'"
RULES = {
    "rule": f"{{plain: ['method=base_stock'], aimed: [{AIMED}, 'method.paths=100']}}",
    "again": f"{{plain: rule, aimed: [{AIMED}, 'method.paths=200']}}",
}


def study(folder, **rules):
    folder.mkdir(parents=True, exist_ok=True)
    plain = compose("service_constrained", [*SMALL, *(f"+study.methods.{name}={given}" for name, given in rules.items())], folder)
    return run.build(plain["study"]), plain


def test_the_whole_study_and_a_method_that_shares_what_is_plain(tmp_path):
    made, plain = study(tmp_path / "study", **RULES)
    assert made.run(tmp_path / "study", plain) == 0
    with open(tmp_path / "study" / "goals.csv") as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["rule", "again"] and rows["rule"]["plain"] == rows["again"]["plain"]
    assert all(float(row["reached"]) >= float(row["plain"]) for row in rows.values())
    jobs_done = list((tmp_path / "study").rglob("report.json"))
    assert len(jobs_done) == 3  # one plain, two that are constrained: rules do not depend on the seed
    assert (tmp_path / "study" / "index.html").read_text().count("<svg") >= 1


def test_what_is_shared_must_be_there(tmp_path):
    made, plain = study(tmp_path / "study", again=RULES["again"])
    with pytest.raises(ValueError, match="^study.methods.again.plain must be overrides, or a method of study.methods that has"):
        made.run(tmp_path / "study", plain)
