"""Constant order, capped and vector base-stock, (s, S, q): orders by hand, printed levels, printed costs, and what is tuned."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from invbench import costs, problem, replay, tuning
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.methods import base_stock, capped_base_stock, constant_order, r_Q, s_S, s_S_q, vector_base_stock
from invbench.methods.capped_base_stock import CappedBaseStock
from invbench.methods.constant_order import ConstantOrder
from invbench.methods.s_S_q import CappedReorderUpTo
from invbench.methods.vector_base_stock import VectorBaseStock
from invbench.scenarios import geometric, normal, poisson
from invbench.types import Observation, Policy

SCENARIOS = {"poisson": poisson, "geometric": geometric}
BUDGET = tuning.budget(1000, 256, 4)


def made(scenario, lead_time, shortage, fixed_order=0.0, horizon=365, stock=15.0):
    """Lost sales at holding cost 1, as the papers have it."""
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=shortage, fixed_order=fixed_order, salvage=0.0)
    given = dict(information="known", history=0, window=0, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario, single.create(lead_time=lead_time, backlog=False, initial_stock=stock), cost, **given)


def of_table(demand, lead_time, shortage, fixed_order=0.0, horizon=365, items=1):
    """The setting of Zipkin 2008 and of Bijvank et al. 2015: mean demand 5."""
    return made(SCENARIOS[demand].create(mean=5, items=items), lead_time, shortage, fixed_order, horizon)


def ignore(metrics, step):
    pass


def orders(policy, on_hand, *on_order):
    """Orders [state] for the states with on_hand [state] after receipt and on_order [state], the next to arrive first."""
    x = jnp.asarray(on_hand, jnp.float32)
    waiting = jnp.asarray(on_order, jnp.float32).reshape(len(on_order), len(x))
    return policy.apply(policy.params, Observation(x, x + waiting.sum(0), waiting, jnp.zeros((0, 1)), 0), None).tolist()


# orders by hand


def test_the_constant_order_is_the_same_in_every_state():
    assert orders(constant_order.policy_of([4.0]), [0, 7, 100], [3, 0, 50]) == [4, 4, 4]


def test_capped_base_stock_by_hand():
    # positions 30, 22, 19, 15, 0: 26 - position is -4, 4, 7, 11, 26
    assert orders(capped_base_stock.policy_of([26.0], [8.0]), [30, 20, 10, 5, 0], [0, 2, 9, 10, 0]) == [0, 4, 7, 8, 8]


def test_capped_reorder_up_to_by_hand():
    # s = 17, S = 23, q = 7; positions 18, 17, 16, 15, 0: 23 - position is 5 (not yet), 6, 7, 8, 23
    assert orders(s_S_q.policy_of([17.0], [6.0], [7.0]), [18, 10, 16, 15, 0], [0, 7, 0, 0, 0]) == [0, 6, 7, 7, 7]


def test_vector_base_stock_by_hand():
    # L = 3, s = (24, 18, 13, 7), states (x, q_1, q_2); 24 - x - q_1 - q_2, 18 - q_1 - q_2, 13 - q_2 and 7 are
    # (4, 5, 6): 9, 7, 7, 7 | (10, 5, 6): 3, … | (0, 9, 8): 7, 1, 5, 7 | (2, 1, 12): 9, 5, 1, 7 | (20, 9, 8): -13 | (0, 0, 0): 7
    policy = vector_base_stock.policy_of(np.array([[24.0], [18.0], [13.0], [7.0]]))
    states = np.array([(4, 5, 6), (10, 5, 6), (0, 9, 8), (2, 1, 12), (20, 9, 8), (0, 0, 0)]).T
    assert orders(policy, *states) == [7, 3, 1, 1, 0, 7]


@pytest.mark.parametrize("case", ["no cap", "no level", "one lot", "no lot", "L = 0", "L = 1"])
def test_rules_contain_each_other(case):
    """On every path of a simulation."""
    far, level, cap, point, lot = (jnp.asarray([value]) for value in (1e6, 14.0, 6.0, 11.0, 5.0))
    first, second, lead_time = {
        "no cap": (capped_base_stock.policy_of(level, far), Policy({"level": level}, base_stock.order_up_to), 3),
        "no level": (capped_base_stock.policy_of(far, cap), constant_order.policy_of(cap), 3),
        "one lot": (s_S_q.policy_of(point, lot, far), Policy({"reorder_point": point, "lot": lot}, s_S.reorder_up_to), 3),
        "no lot": (s_S_q.policy_of(level, 0 * lot, cap), capped_base_stock.policy_of(level, cap), 3),
        "L = 0": (vector_base_stock.policy_of(level[None]), Policy({"level": level}, base_stock.order_up_to), 0),
        "L = 1": (vector_base_stock.policy_of(jnp.stack([level, cap])), capped_base_stock.policy_of(level, cap), 1),
    }[case]
    setting = of_table("poisson", lead_time, 4.0, horizon=50)
    paths = setting.evaluation_paths(50)
    ordered = setting.simulate(first, paths).ordered
    np.testing.assert_array_equal(ordered, setting.simulate(second, paths).ordered)
    assert ordered.any()


CANDIDATES = {  # three of each, for two items
    "constant_order": constant_order.policy_of([[3, 4], [4, 5], [5, 3]]),
    "capped_base_stock": capped_base_stock.policy_of([[20, 21], [22, 18], [25, 24]], [[5, 6], [7, 5], [6, 8]]),
    "s_S_q": s_S_q.policy_of([[17, 16], [20, 15], [18, 19]], [[6, 5], [3, 8], [0, 4]], [[7, 7], [6, 9], [8, 5]]),
    "vector_base_stock": vector_base_stock.policy_of(np.array([[[21, 20], [16, 15], [11, 10], [5, 6]]]) + [[[0]], [[2]], [[3]]]),
}


@pytest.mark.parametrize("name", CANDIDATES)
def test_many_candidates_at_once_are_the_candidates_one_by_one(name):
    setting = of_table("poisson", 3, 9.0, 5.0, horizon=40, items=2)
    paths, policy = setting.evaluation_paths(64), CANDIDATES[name]
    together = setting.benefits(policy, paths)
    alone = [
        setting.benefit(policy._replace(params={key: leaf[i] for key, leaf in policy.params.items()}), paths) for i in range(3)
    ]
    np.testing.assert_array_equal(together, alone)  # whole units at whole prices: no rounding
    assert len(np.unique(np.asarray(together).mean(1))) == 6


# the levels of vector base-stock. Source: exact recomputation of Zipkin 2008, Operations Research 56(5), 1256-1263, Tables 3
# and 4, whose θ is 1 - fractile (given to five digits); where θ is None, the standard one: 1 / (1 + shortage)

LEVELS = [  # demand, shortage, lead time, θ, s_0, …, s_L
    ("geometric", 4, 4, None, (34, 28, 22, 15, 8)),
    ("geometric", 39, 3, None, (46, 38, 30, 20)),
    ("poisson", 4, 2, None, (18, 13, 7)),
    ("poisson", 19, 4, None, (33, 28, 22, 15, 9)),
    ("geometric", 4, 1, 0.27908, (13, 6)),  # P(D > 6) = (5/6)^7 = 0.279082
    ("geometric", 4, 4, 0.42434, (25, 20, 15, 10, 4)),
    ("geometric", 19, 3, 0.11647, (33, 26, 19, 11)),
    ("poisson", 4, 2, 0.38404, (16, 11, 5)),  # P(D > 5) = 0.384039
    ("poisson", 39, 4, 0.06809, (33, 27, 21, 15, 8)),
]


@pytest.mark.parametrize("demand, shortage, lead_time, theta, levels", LEVELS)
def test_printed_vectors_of_levels(demand, shortage, lead_time, theta, levels):
    pmf = of_table(demand, lead_time, shortage).scenario.pmf()
    fractile = shortage / (1 + shortage) if theta is None else 1 - theta - 6e-6  # just below the step, whatever was rounded
    assert vector_base_stock.levels_of(pmf, lead_time, np.array(fractile)).tolist() == list(levels)
    assert list(levels) in vector_base_stock.vectors(pmf, lead_time).tolist()


def test_every_vector_by_hand():
    # demand 0 or 1: P(D <= 0) = 1/2; two periods: 1/4, 3/4. Fractiles up to 1/4, 1/2, 3/4, 1
    found = vector_base_stock.vectors(np.array([0.5, 0.5]), 1)
    assert found.tolist() == [[0, 0], [1, 0], [1, 1], [2, 1]]
    assert vector_base_stock.vectors(np.array([0, 0, 1.0]), 2).tolist() == [[0, 0, 0], [6, 4, 2]]  # always 2


def test_vectors_rise_and_differ():
    found = vector_base_stock.vectors(poisson.create(mean=5, items=1).pmf(), 4)
    steps = np.diff(found, axis=0)
    assert (steps >= 0).all() and (steps.sum(1) > 0).all()


def fitted_levels(setting, fractile):
    return np.asarray(VectorBaseStock(BUDGET, fractile).fit(setting, jax.random.key(0), ignore).params["levels"])


def test_standard_levels_are_at_the_critical_ratio():
    setting = of_table("geometric", 4, 4.0, items=2)
    assert fitted_levels(setting, "standard").tolist() == [[s, s] for s in (34, 28, 22, 15, 8)]
    dear = replace(setting, cost=replace(setting.cost, shortage=np.array([4.0, 19.0])))
    assert fitted_levels(dear, "standard").T.tolist() == [[34, 28, 22, 15, 8], [48, 41, 33, 25, 16]]  # printed, too
    assert fitted_levels(of_table("poisson", 0, 9.0), "standard").tolist() == [[8]]  # P(D <= 7) = 0.867, P(D <= 8) = 0.932


def test_levels_where_demand_is_continuous():
    # 256 paths of 60 periods hold 256 x 60 / k independent sums of k periods; the standard error of the quantile at 0.8 of a
    # normal distribution is sqrt(0.8 x 0.2 / n) / 0.27996 of its standard deviation
    setting, cover = made(normal.create(mean=50, std=8, items=2), 2, 4.0, horizon=60), np.array([[3], [2], [1]])
    spread = 8 * np.sqrt(cover)
    error = np.sqrt(0.8 * 0.2 / (256 * 60 / cover)) / 0.27996 * spread
    assert np.all(np.abs(fitted_levels(setting, 0.8) - (50 * cover + 0.841621 * spread)) < 4 * error)
    np.testing.assert_array_equal(fitted_levels(setting, "standard"), fitted_levels(setting, 0.8))


@pytest.mark.parametrize("fractile", ["best", 0.0, 1.0, True, None, 1.2])
def test_other_fractiles_are_refused(fractile):
    with pytest.raises(ValueError) as refusal:
        VectorBaseStock(BUDGET, fractile).fit(of_table("poisson", 2, 4.0), jax.random.key(0), ignore)
    assert str(refusal.value) == f"method.fractile must be better, standard or a number between 0 and 1, got {fractile!r}"


# printed costs, by simulation. Figures: exact recomputations of Zipkin 2008 (capped base-stock: of the rule of Xin 2021 in the
# same setting) and of Bijvank, Bhulai and Huh 2015, European Journal of Operational Research, Table 1; each agrees with print.


def lots(reorder_point, lot):
    params = {"reorder_point": jnp.asarray([reorder_point], jnp.float32), "lot": jnp.asarray([lot], jnp.float32)}
    return {"s_S": Policy(params, s_S.reorder_up_to), "r_Q": Policy(params, r_Q.reorder_lots)}


def levels(*values):
    return vector_base_stock.policy_of(np.array(values)[:, None])


COSTS = [  # demand, shortage, lead time, fixed cost, policy, cost
    ("poisson", 4, 2, 0, levels(18, 13, 7), 4.804132),
    ("poisson", 4, 2, 0, levels(16, 11, 5), 4.446461),
    ("poisson", 19, 2, 0, levels(21, 15, 8), 7.761384),
    ("geometric", 4, 1, 0, levels(13, 6), 9.873812),
    ("poisson", 4, 2, 0, capped_base_stock.policy_of([17], [5]), 4.405732),
    ("geometric", 4, 1, 0, capped_base_stock.policy_of([13], [5]), 9.871236),
    ("poisson", 4, 2, 0, constant_order.policy_of([4]), 5.2748),
    ("geometric", 4, 1, 0, constant_order.policy_of([3]), 11.0),
    ("poisson", 14, 2, 5, lots(17, 23 - 17)["s_S"], 11.618150),
    ("poisson", 14, 2, 5, lots(17, 7)["r_Q"], 11.555217),
    ("poisson", 14, 2, 5, s_S_q.policy_of([17], [23 - 17], [7]), 11.497398),
]


def average(setting, policy, warm_up, n):
    """[n] cost per period of each path after the warm-up, which ends the influence of the initial stock."""
    benefit = replay.flows(setting.system, policy, setting.evaluation_paths(n), costs.benefit, (setting.cost,))
    return -np.asarray(benefit[:, warm_up:, 0], np.float64).mean(1)


@pytest.mark.parametrize("demand, shortage, lead_time, fixed, policy, cost", COSTS)
def test_simulated_costs_are_those_of_the_papers(demand, shortage, lead_time, fixed, policy, cost):
    found = average(of_table(demand, lead_time, float(shortage), float(fixed), horizon=1200), policy, 200, 2000)
    error = stats.sem(found)
    assert error < 0.0015 * cost  # so that it can tell one rule from another
    assert abs(found.mean() - cost) < stats.norm.isf(0.0005) * error  # the 99.9 % interval


# tuning


@pytest.mark.parametrize(
    "method, shortage, fixed, cost",
    [
        (ConstantOrder(BUDGET), 4, 0, 5.2748),
        (CappedBaseStock(BUDGET), 4, 0, 4.405732),
        (VectorBaseStock(BUDGET), 4, 0, 4.446461),
        (CappedReorderUpTo(BUDGET), 14, 5, 11.497398),
    ],
    ids=lambda value: type(value).__name__,
)
def test_tuned_rules_are_within_one_percent_of_the_best_of_their_kind(method, shortage, fixed, cost):
    setting = of_table("poisson", 2, float(shortage), float(fixed))
    policy = method.fit(setting.for_fitting(), jax.random.key(0), ignore)
    for leaf in policy.params.values():
        np.testing.assert_array_equal(leaf, np.round(leaf))
    found = average(of_table("poisson", 2, float(shortage), float(fixed), horizon=1200), policy, 200, 2000)
    assert found.mean() - cost < 0.01 * cost


def test_coarse_to_fine_finds_what_trying_every_vector_finds():
    setting = of_table("geometric", 3, np.array([1.0, 19.0]), horizon=60, items=2)
    key, paths = jax.random.key(0), setting.training_paths(jax.random.key(0), 64)
    table = vector_base_stock.every_vector(setting, key)
    assert 300 < len(table) < 10_000
    worth = []
    for budget in (tuning.budget(64, len(table), 1), tuning.budget(64, 24, 6)):
        chosen = vector_base_stock.best(setting, table, budget, key, ignore)
        assert all(chosen[:, item].tolist() in table[:, :, item].tolist() for item in range(2))
        worth.append(np.asarray(setting.benefit(vector_base_stock.policy_of(chosen), paths)).mean(0))
    every, closer = worth
    assert np.all(closer <= every) and np.all(closer > every - 0.005 * np.abs(every))
    assert (chosen[:, 0] < chosen[:, 1]).all()  # each item by itself


def test_nothing_more_is_tried_once_every_vector_was():
    lines = []
    setting = of_table("poisson", 1, 4.0, horizon=30)
    VectorBaseStock(tuning.budget(64, 1000, 5)).fit(setting, jax.random.key(0), lambda metrics, step: lines.append(step))
    assert lines == [0]


def test_three_parameters_are_tuned_with_no_more_simulations():
    lines = []
    setting = of_table("poisson", 1, 4.0, 5.0, horizon=30)
    CappedReorderUpTo(tuning.budget(64, 256, 4)).fit(setting, jax.random.key(0), lambda metrics, step: lines.append(step))
    assert lines == list(range(7)) and 7 * 5**3 <= 4 * 256
    lines.clear()
    CappedReorderUpTo(tuning.budget(64, 64, 2)).fit(setting, jax.random.key(0), lambda metrics, step: lines.append(step))
    assert lines == [0, 1]
