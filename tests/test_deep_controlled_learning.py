"""Deep controlled learning: what orders lose by halving, tables and labels against the exact optimum, the same bytes again."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from probes import lead_time, newsvendor, nothing_to_decide, one_period
from scipy import stats

from invbench.costs import CostModel
from invbench.dynamics import perishable
from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.learning import classifier, rollouts, training
from invbench.learning.classifier import Menu
from invbench.learning.imitation import Lesson
from invbench.learning.rollouts import Effort
from invbench.learning.shaping import Potential
from invbench.methods import deep_controlled_learning as learning
from invbench.methods.deep_controlled_learning import DeepControlledLearning
from invbench.methods.optimal import Optimal
from invbench.problem import Problem
from invbench.scenarios import poisson, profile, uniform_discrete
from invbench.studies.demoor2022 import PRINTED
from invbench.studies.dual_sourcing_learned import DualSourcingLearned
from invbench.studies.gijsbrechts2022_dual_sourcing import GijsbrechtsDualSourcing
from invbench.studies.perishable_learned import PerishableLearned
from invbench.studies.zipkin2008 import posed
from invbench.tuning import Budget
from invbench.types import Policy

SMALL = dict(
    tuning=Budget(256, 64, 2), start="base_stock", features=["on_hand", "pipeline"], generations=2, states=1024, orders=32,
    paths=32, periods=12, discount=1.0, warm_up=30, explore=0.1, restart=0.01, softness=1.0, hidden=[32, 32], updates=1000,
    batch=128, learning_rate=3e-3, held_out=0.1, fast_mode=False,
)  # fmt: skip
LOOKS = ("on_hand", "pipeline")
COSTS = ("price", "purchase", "holding", "shortage", "fixed_order", "salvage")
VISITS = Effort(orders=11, paths=1, periods=1, warm_up=30, explore=0.0, restart=0.0, discount=1.0)


def tiny(lead_time=1, shortage=4.0):
    """Poisson(5) demand, lost sales, holding 1 (an instance of Zipkin 2008 where the lead time is 1)."""
    return posed(poisson.create(mean=5.0, items=1), lead_time, 1.0, shortage)


def two_suppliers(lead_time=2):
    """A setting of Gijsbrechts et al. 2022, with a smaller price of being late."""
    study = GijsbrechtsDualSourcing([lead_time], [110.0], 100.0, 5.0, 95.0, 0, 4, ["dual_index"])
    return replace(study.problem(lead_time, 110.0), horizon=60)


def ageing(lead_time=1):
    """Uniform demand on 0, …, 4; what is left after two periods is thrown away."""
    cost = CostModel(price=0.0, purchase=3.0, holding=1.0, shortage=9.0, fixed_order=0.0, salvage=0.0, waste=7.0)
    system = perishable.create(lead_time=lead_time, life=2, issuing="fifo", maximum_order=6, initial_stock=0)
    return Problem(uniform_discrete.create(low=0, high=4, items=1), system, cost, 60, 0, 0, 0)


@lru_cache
def best(lead_time=1):
    return optimum.find(tiny(lead_time))


def fitted(seed=0, problem=None, heard=None, **changes):
    heard = [] if heard is None else heard
    method = DeepControlledLearning(**SMALL | changes)
    policy = method.fit(problem or tiny(), root(seed, "method", "dcl"), lambda metrics, step: heard.append((step, metrics)))
    return policy, heard


usual = lru_cache(fitted)


def gap(problem, policy):
    """Above the least long-run cost, as a share of it; exact."""
    return chain.average(problem, policy)[1] / optimum.find(problem).lower - 1


def menu(count):
    return Menu(jnp.ones(1), jnp.full(1, count, jnp.int32))


# ---- sequential halving


def test_each_round_halves_the_orders_and_takes_no_more_rollouts_than_the_first():
    assert rollouts.rounds(8, 10) == [(8, 10), (4, 20), (2, 40)]
    assert rollouts.rounds(11, 4) == [(11, 4), (6, 7), (3, 14), (2, 22)]  # 44 // 6, 44 // 3, 44 // 2
    assert rollouts.rounds(1, 10) == []


def means():
    """11 orders in 64 x 2 states, each with means 0, …, 10 in some order."""
    return jax.random.permutation(jax.random.key(1), jnp.arange(11.0)[:, None, None] + jnp.zeros((11, 64, 2)), independent=True)


def test_halving_finds_the_best_mean_under_noise_that_all_have_in_common():
    def benefit(left, paths, key):
        common, own = jax.random.normal(key, (2, 11, paths, 64, 2))
        drawn = jnp.take_along_axis(means(), left, 0)[:, None] + 1000 * common[:1] + own[: len(left)]
        return drawn.sum(1)

    regret = jax.jit(lambda key: rollouts.halve(benefit, 11, 64, key, (64, 2)))(jax.random.key(0))
    # the best leads by 1; the difference of two means of at least 64 paths has deviation sqrt(2 / 64) = 0.18
    np.testing.assert_array_equal(regret.argmin(0), means().argmax(0))


def test_an_order_that_was_dropped_is_compared_on_the_paths_that_it_saw():
    def benefit(left, paths, key):
        return paths * (jnp.take_along_axis(means(), left, 0) + 64 * jax.random.randint(key, (1, 64, 2), -50, 50))

    regret = rollouts.halve(benefit, 11, 4, jax.random.key(0), (64, 2))  # every round has luck of its own
    np.testing.assert_allclose(regret, means().max(0) - means(), atol=0.01)


def test_of_equal_orders_the_smallest_is_taken():
    found = rollouts.halve(lambda left, paths, key: jnp.where(left >= 3, 1.0, 0.0) * paths, 9, 4, jax.random.key(0), (5,))
    np.testing.assert_array_equal(found, np.repeat([1.0, 0.0], [3, 6])[:, None] * np.ones(5))
    assert (found.argmin(0) == 3).all()


# ---- labels


def labelled(problem, policy, states, effort, looks=LOOKS, **changes):
    world = rollouts.world_of(problem, menu(11), jnp.ones(1))._replace(**changes)
    return rollouts.labels(problem, world, policy, looks, states, effort, jax.random.key(0))


def test_labels_are_the_optimal_orders_of_the_states_that_are_often_visited():
    effort = replace(VISITS, paths=512, periods=20)
    found = labelled(tiny(), best().policy, 512, effort)
    stock, label = found.x[0], found.regret.argmin(0)
    often = [units for units in np.unique(stock) if (stock == units).mean() > 0.05]
    optimal = {units: int(best().policy.params["orders"][int(units), 0]) for units in often}
    assert len(often) >= 5 and len(set(optimal.values())) >= 4
    assert {units: int(np.median(label[stock == units])) for units in often} == optimal


def test_states_come_as_often_as_the_policy_visits_them():
    found = labelled(tiny(2), best(2).policy, 4096, VISITS)
    rows = found.x.T
    walk = chain.follow(tiny(2), best(2).policy)
    share = np.full(len(walk.cost), 1 / len(walk.cost))
    for _ in range(200):
        share = share @ walk.matrix
    seen = (rows[:, None] == np.delete(walk.states, 1, 1)).all(-1)  # without what is due, which has arrived
    assert seen.any(1).all()
    counts, expected = seen.sum(0), share * len(rows)
    large = expected > 10
    joined = [np.append(part[large], part[~large].sum()) for part in (counts, expected)]
    assert stats.chisquare(*joined).pvalue > 1e-4  # false alarm: one seed in ten thousand


def test_softer_labels_leave_near_ties_open():
    found = classifier.soft(jnp.array([[0.0], [0.1], [5.0]]), 1.0)[:, 0]
    np.testing.assert_allclose(found, np.exp([0, -0.1, -5]) / np.exp([0, -0.1, -5]).sum(), rtol=1e-6)
    np.testing.assert_allclose(classifier.soft(jnp.zeros((4, 1)), 0.0), 0.25)


def test_pairs_of_orders_are_numbered():
    pairs = Menu(jnp.array([[1.0], [2.0]]), jnp.array([[3], [2]]))
    found = pairs.order(jnp.arange(6)[:, None])[..., 0].T
    assert found.tolist() == [[0, 0], [0, 2], [1, 0], [1, 2], [2, 0], [2, 2]]


def test_restarts_lose_the_stock_and_keep_the_past():
    """A rule that orders nothing in fresh states with 5 on hand: what is seen in the last period is a sale all the same."""
    made = replace(tiny(), scenario=uniform_discrete.create(low=1, high=1, items=1), window=3)
    made = replace(made, system=replace(made.system, initial_stock=5.0))
    nothing = Policy({"level": jnp.zeros(1), "cap": jnp.full(1, 9.0)}, learning.capped_order)
    effort = replace(VISITS, restart=1.0, window=3)
    x = labelled(made, nothing, 64, effort, ("on_hand", "history")).x
    np.testing.assert_array_equal(x, np.repeat([5.0, 1.0, 1.0, 1.0], 64).reshape(4, 64)[:, : x.shape[1]])


def test_a_potential_adds_its_value_at_the_end_and_nothing_else():
    """Demand 1, one period, lead time 0, nothing on hand: of 0 … 10 units ordered, what is left but the one that is sold."""
    made = replace(tiny(0), scenario=uniform_discrete.create(low=1, high=1, items=1), cost=CostModel(**dict.fromkeys(COSTS, 0.0)))
    nothing = Policy({"level": jnp.zeros(1), "cap": jnp.full(1, 9.0)}, learning.capped_order)
    effort = replace(VISITS, paths=16, discount=0.5)
    plain = labelled(made, nothing, 8, effort)
    told = labelled(made, nothing, 8, effort, potential=Potential(jnp.full(1, 3.0), jnp.full(1, 2.0), jnp.full(1, 5.0)))
    np.testing.assert_array_equal(plain.regret, 0)
    left = np.maximum(np.arange(11) - 1, 0)
    np.testing.assert_allclose(told.regret, (0.5 * np.where(left > 3, 2 * (left - 3), 5 * (3 - left)))[:, None] + 0 * told.regret)


# ---- tables


def test_a_network_as_a_table_orders_the_same():
    policy, _ = usual()
    table = classifier.tabulated(policy, tiny(), menu(11), 30)
    assert table.apply is not policy.apply and len(np.unique(table.params["orders"])) >= 4
    np.testing.assert_allclose(chain.average(tiny(), table)[:2], chain.average(tiny(), policy)[:2], rtol=1e-8)
    assert classifier.tabulated(policy, tiny(9), menu(11), 30) is policy  # 31 x 11^8 states: too many


def rule(problem):
    """A rule, the menu that it orders from, and a number that its stock does not exceed."""
    if hasattr(problem.system, "expedite_lead_time"):
        params = dict(level=jnp.full(1, 7.0), expedite=jnp.full(1, 3.0), cap=jnp.full(1, 2.0), lead_time=jnp.zeros(1, jnp.int32))
        return Policy(params, learning.dual_index), Menu(jnp.ones((2, 1)), jnp.full((2, 1), 8, jnp.int32)), 60
    return Policy({"level": jnp.full(1, 6.0), "cap": jnp.full(1, 6.0)}, learning.capped_order), menu(7), 60


@pytest.mark.parametrize("problem", [tiny(3), two_suppliers(3), ageing(1), ageing(2)], ids=["lost", "dual", "age1", "age2"])
def test_a_table_orders_as_its_rule_and_knows_what_a_period_earns(problem):
    policy, choices, highest = rule(problem)
    table = classifier.tabulated(policy, problem, choices, highest)
    paths = problem.validation_paths(64)
    made, again = problem.simulate(policy, paths), problem.simulate(table, paths)
    jax.tree.map(np.testing.assert_array_equal, made, again)
    assert len(np.unique(made.ordered)) >= 3
    walk = chain.follow(problem, policy)
    shapes = tuple(chain._Walk(problem, policy, np.zeros(1), np.ones(1)).shapes.items())
    state = chain._state(problem.system, walk.states.astype(np.float32), shapes)
    money = classifier.tabled_money(table.params, problem.system.observe(state))[..., 0]
    # the chain charges a price when demand comes, the table when it is met; there is none here
    np.testing.assert_allclose(money, -walk.cost, rtol=1e-4, atol=1e-3)


# ---- the method


@pytest.mark.parametrize("problem, order", [(one_period(), 3), (newsvendor(), 7)])
def test_what_is_known_by_hand_is_learned(problem, order):
    policy, _ = fitted(problem=problem)
    observation = problem.system.observe(problem.system.initial(jnp.zeros((0, 1, 1)), 0, 0))
    assert float(policy.apply(policy.params, observation, None).squeeze()) == order  # from empty: all of it


@pytest.mark.parametrize(
    "problem, most", [(lead_time(), 0.01), (two_suppliers(), 0.02), (ageing(), 0.02)], ids=["lost", "dual", "age"]
)
def test_a_small_budget_comes_close_to_the_optimum(problem, most):
    policy, _ = fitted(problem=problem)
    assert -1e-6 <= gap(problem, policy) <= most


KNOWS = Optimal("infinite", 1.0, 1e-6, 20_000, 4.0)
SETTINGS = [
    DualSourcingLearned(
        lead_times=[2], expedited=[110.0], regular=100.0, holding=5.0, shortage=495.0, low=0, high=4, rules=["dual_index"],
        periods=60, seeds={"knows": 1}, learners={"knows": KNOWS},
    ),
    PerishableLearned(
        lives=[2], lead_times=[1], issuing=["fifo"], wastes=[7.0], **PRINTED, highest_level=12, tolerance=1e-3, memory=4.0,
        rules=["Base-stock"], seeds={"knows": 1}, learners={"knows": replace(KNOWS, discount=0.99)},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "study, rule, worse", [(SETTINGS[0], "DI", 0.178), (SETTINGS[1], "Base-stock", 1.185)], ids=["dual", "age"]
)
def test_studies_measure_gaps_that_are_published_and_none_where_the_optimum_is_learned(study, rule, worse):
    found = {cell.place: cell.ours for cell in study.cells({"seed": 0})}
    rows = {row for row, _ in found}
    assert len(rows) == 2 and "average of the settings" in rows
    for row in rows:
        np.testing.assert_allclose(found[row, rule], worse, atol=6e-4)  # the digits of published/*.csv
        np.testing.assert_allclose(found[row, "knows"], 0, atol=1e-4)


def test_where_nothing_is_lost_there_is_still_a_policy():
    policy, heard = fitted(problem=nothing_to_decide(), generations=1, updates=40)
    assert all(np.isfinite(value) for _, metrics in heard for value in metrics.values())
    assert np.isfinite(policy.params.layers[0]["weights"]).all()


def test_curves_show_losses_that_fall_and_what_is_earned_beside_the_rule():
    policy, heard = usual()
    assert 0 <= gap(tiny(), policy) <= 0.01
    rows = [(step, metrics) for step, metrics in heard if "dcl/loss" in metrics]
    assert [step for step, _ in rows] == list(range(250, 2001, 250))  # 4 looks at each of 2 generations of 1000 updates
    losses = [metrics["dcl/held_out_loss"] for _, metrics in rows]
    assert losses[3] < losses[0] and losses[7] < losses[4]
    earned = [metrics["validation/benefit"] for _, metrics in rows if "validation/benefit" in metrics]
    (baseline,) = [metrics["validation/baseline"] for _, metrics in heard if "validation/baseline" in metrics]
    assert len(earned) == 2 and min(earned) > baseline


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_network():
    first, again, other = usual()[0], fitted()[0], fitted(seed=1)[0]
    jax.tree.map(np.testing.assert_array_equal, first.params, again.params)
    assert not np.array_equal(first.params.layers[0]["weights"], other.params.layers[0]["weights"])


class Interrupted(Exception):
    pass


class Log:
    """Keeps states in a folder; a training ends at `stop` updates."""

    def __init__(self, place, stop=None):
        self.place, self.stop = place, stop

    def __call__(self, metrics, step):
        if step == self.stop and "dcl/loss" in metrics:
            raise Interrupted


def test_an_interrupted_fit_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    method, key = DeepControlledLearning(**SMALL), root(0, "method", "dcl")
    with pytest.raises(Interrupted):
        method.fit(tiny(), key, Log(tmp_path, stop=1500))  # after the second look of the second generation
    parts, whole = [], classifier.advance
    monkeypatch.setattr(classifier, "advance", lambda *args, **rest: parts.append(1) or whole(*args, **rest))
    policy = method.fit(tiny(), key, Log(tmp_path))
    assert len(parts) == 3  # the look that was not kept, and two more
    jax.tree.map(np.testing.assert_array_equal, policy.params, usual()[0].params)


def test_orders_are_whole_and_the_same_for_a_block_of_paths():
    policy, _ = usual()
    flows = tiny().simulate(policy, tiny().validation_paths(16))
    one = tiny().simulate(policy._replace(elementwise=False), tiny().validation_paths(16))
    np.testing.assert_array_equal(flows.ordered, np.rint(flows.ordered))
    np.testing.assert_array_equal(flows.ordered, one.ordered)


def test_an_earlier_generation_is_kept_only_where_it_surely_earns_more():
    noise = np.where(np.arange(100) % 2, 1.0, -1.0)  # deviation 1 over 100 paths: standard error 0.1005
    assert learning.last_unless_worse(np.stack([noise + 0.2, np.zeros(100)])) == 1
    assert learning.last_unless_worse(np.stack([noise + 0.4, np.zeros(100)])) == 0


PAST = ["on_hand", "pipeline", "history", "averages", "momentum", "days_of_supply", "stockouts", {"holidays": [3]}]


def test_it_looks_at_the_past_and_is_saved_with_it():
    made = replace(tiny(2), window=4)
    policy, _ = fitted(problem=made, features=PAST, states=128, updates=40, paths=8)
    assert (policy.window, policy.misses) == (4, True)
    assert policy.params.layers[0]["weights"].shape[1] == 1 + 1 + 4 + 2 + 1 + 2 + 2 + 8
    orders = made.simulate(policy, made.validation_paths(16)).ordered
    assert np.isfinite(orders).all() and len(np.unique(orders)) > 1


@pytest.mark.parametrize("features, low, high", [(["on_hand"], 0.5, 2), (["on_hand", "history"], 0, 0.1)])
def test_the_season_is_learned_from_the_past_alone(features, low, high):
    """A week's wave of 2 to 18 units without noise, lead time 0: who has seen the last week knows this day's demand."""
    wave = profile.create(mean=10, cv=0, annual=0, weekly=0.8, trend=0, distribution="normal", noise="constant", items=1)
    made = replace(tiny(0), scenario=wave, window=7)
    policy, _ = fitted(problem=made, features=features, states=2048, paths=4)
    cost = -np.asarray(made.benefit(policy, made.validation_paths(2))).mean() / made.horizon
    days = 10 * (1 + 0.8 * np.sin(2 * np.pi * np.arange(7) / 7))
    level = np.linspace(2, 18, 161)[:, None]  # the best of these costs 7.4 a period
    constant = (np.maximum(level - days, 0) + 4 * np.maximum(days - level, 0)).mean(1).min()
    assert low * constant <= cost <= high * constant


def test_a_teacher_is_not_taken_for_a_table_as_it_may_know_the_season(monkeypatch):
    tabled, whole = [], classifier.tabulated
    monkeypatch.setattr(classifier, "tabulated", lambda policy, *rest: tabled.append(policy) or whole(policy, *rest))
    given = dict(generations=2, states=64, updates=40, paths=8)
    teacher, _, _ = rule(tiny())
    method = DeepControlledLearning(**SMALL | given)
    method.fit(tiny(), root(0, "dcl"), lambda *_: None, Lesson(teacher, None, None))
    assert tabled and all(policy is not teacher for policy in tabled)
    tabled.clear()
    fitted(**given)
    assert any(policy.apply is learning.capped_order for policy in tabled)  # its own rule is one of stock alone


@pytest.mark.parametrize("changes", [{"curriculum": [{"share": 0.5, "wave": 0, "noise": 0.2}]}, {"shaping": 0.5}])
def test_switches_change_what_is_learned_and_the_optimum_is_still_found(changes):
    policy, _ = fitted(problem=lead_time(), **changes)
    plain, _ = fitted(problem=lead_time())
    assert not np.array_equal(plain.params.layers[0]["weights"], policy.params.layers[0]["weights"])
    assert -1e-6 <= gap(lead_time(), policy) <= 0.01


def test_fast_mode_shrinks_every_budget():
    usual, fast = (DeepControlledLearning(**SMALL | {"fast_mode": fast, "generations": 5}).checked() for fast in (False, True))
    assert (fast.states, fast.updates, fast.generations) == (128, 128, 2)  # 1024 / 8; 1000 / 8 = 125, in fours
    assert (usual.states, usual.updates, usual.generations) == (1024, 1000, 5)


def test_training_that_diverges_is_named():
    with pytest.raises(training.Diverged, match="^deep_controlled_learning diverged: .* lower method.learning_rate"):
        fitted(learning_rate=1e30, updates=40)


@pytest.mark.parametrize(
    "field, value",
    [
        ("start", "s_S"), ("generations", 0), ("orders", 1), ("explore", 1.5), ("hidden", []), ("held_out", 0), ("restart", -1),
        ("softness", 0), ("discount", 1.1), ("features", ["history"]), ("shaping", 0), ("curriculum", []), ("fast_mode", 1),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_named_at_the_door(field, value):
    with pytest.raises(ValueError, match=f"^method.{field} must be"):
        fitted(**{field: value})
