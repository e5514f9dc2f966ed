"""Features against plain numpy, the ring of stock-outs against the flows, and nothing of them before it happened."""

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import perishable, single
from invbench.keys import root
from invbench.learning import features
from invbench.methods.hdpo import HDPO
from invbench.methods.bounded import Bounded
from invbench.methods.ensemble import Ensemble
from invbench.methods.imitation import Imitation
from invbench.methods.learned_s_S import LearnedReorderUpTo
from invbench.methods.online import Online
from invbench.methods.residual_rl import Residual
from invbench.scenarios import autoregressive
from invbench.tuning import Budget
from invbench.types import Observation, Policy, State

PAST = ["on_hand", "averages", "momentum", "days_of_supply", "stockouts"]
CHANGED, HORIZON = 12, 24


def past_of(window, time, lanes=(5, 2), zeros=False):
    """What was seen, oldest first, and the observation that keeps it as a ring."""
    draws = np.random.default_rng(window)
    seen = np.zeros((window, *lanes)) if zeros else draws.poisson(6.0, (window, *lanes))
    missed = draws.random((window, *lanes)) < 0.3
    on_hand, position = draws.uniform(0, 40, (2, *lanes))
    rings = [jnp.roll(jnp.asarray(past, jnp.float32), time % window, axis=0) for past in (seen, missed)]
    parts = [jnp.asarray(part, jnp.float32) for part in (on_hand, position, np.zeros((1, *lanes)))]
    return seen, missed, Observation(*parts, rings[0], jnp.int32(time), misses=rings[1])


def by_hand(name, seen, missed, observation, scale):
    """[feature, ..., item] in plain numpy."""
    week, month = seen[-7:].mean(0), seen[-30:].mean(0)
    if name == "averages":
        return np.stack([week, month]) / scale
    if name == "momentum":
        return week[None] / seen.mean(0) - 1
    if name == "stockouts":
        return np.stack([missed[-7:].mean(0), missed.mean(0)])
    late = np.maximum(week, features.LEAST * scale)
    return np.clip(np.stack([observation.on_hand, observation.position]) / late, -20, 20)


@pytest.mark.parametrize("window", [5, 28, 56])
@pytest.mark.parametrize("name", features.OF_THE_PAST)
def test_what_is_made_of_the_past_is_what_numpy_makes_of_it(name, window):
    scale = np.array([3.0, 9.0])
    for time in (window, window + 3, 2 * window + 1):
        seen, missed, observation = past_of(window, time)
        found = jax.jit(features.stacked, static_argnums=1)(observation, (name,), jnp.asarray(scale))
        assert found.shape[0] == features.count([name], 3, window)
        np.testing.assert_allclose(found, by_hand(name, seen, missed, observation, scale), rtol=2e-5, atol=1e-6)


def test_nothing_seen_gives_finite_features_with_finite_slopes():
    _, _, observation = past_of(28, 40, zeros=True)
    names = ("averages", "momentum", "days_of_supply")

    def total(ring):
        return features.stacked(observation._replace(ring=ring), names, jnp.float32(6)).sum()

    found = features.stacked(observation, names, jnp.float32(6))
    np.testing.assert_array_equal(found[:3], 0)
    np.testing.assert_allclose(found[3], np.clip(np.asarray(observation.on_hand) / (0.05 * 6), -20, 20), rtol=1e-6)
    assert np.isfinite(jax.grad(total)(observation.ring)).all()


def test_a_policy_looks_back_no_further_than_its_features():
    assert [features.window([name], 56) for name in features.NAMES] == [0, 0, 0, 56, 0, 30, 56, 7, 56]
    assert features.window(PAST, 5) == 5 and features.window(["averages", "days_of_supply"], 56) == 30
    with pytest.raises(ValueError, match="^problem.window must be >= 1 for averages and momentum, got 0$"):
        features.window(["averages", "on_hand", "momentum"], 0)


# ---- the ring of stock-outs


def posed(items=2, window=14, backlog=False, lead_time=2, information="known"):
    """Demand of 10 that is correlated, and stock that often does not meet it."""
    demand = autoregressive.create(mean=10, cv=0.3, correlation=0.7, items=items)
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=3.0, fixed_order=0.0, salvage=0.0)
    given = dict(information=information, history=60, window=window, horizon=HORIZON, seed=0, evaluation_seed=0)
    return problem.create(demand, single.create(lead_time=lead_time, backlog=backlog, initial_stock=None), cost, **given)


def shown(params, observation, key):
    """Orders that say what is remembered: as many units as periods of the window with a stock-out, and a base."""
    return params["base"] + observation.misses.sum(0)


SHOWN = Policy({"base": jnp.full(1, 6.0)}, shown, window=5, misses=True)


@pytest.mark.parametrize("backlog", [False, True])
@pytest.mark.parametrize("elementwise", [False, True])
def test_the_ring_holds_the_periods_that_missed_demand(backlog, elementwise):
    made = posed(backlog=backlog)
    flows = made.simulate(SHOWN._replace(elementwise=elementwise), made.evaluation_paths(8))
    missed = np.asarray(flows.missed) > 0
    expected = [6 + missed[:, max(t - 5, 0) : t].sum(1) for t in range(HORIZON)]
    np.testing.assert_array_equal(flows.ordered, np.stack(expected, 1))
    assert 0.1 < missed.mean() < 0.9


def test_candidates_and_paths_drawn_on_the_way_remember_too():
    made, paths = posed(), posed().evaluation_paths(8)
    many = SHOWN._replace(params={"base": jnp.asarray([[6.0], [8.0]])})
    for number, base in enumerate((6.0, 8.0)):
        alone = made.benefit(SHOWN._replace(params={"base": jnp.full(1, base)}), paths)
        np.testing.assert_allclose(made.benefits(many, paths)[number], alone, rtol=1e-6)


def test_nothing_is_kept_that_nobody_asks_for():
    state = posed().system.initial(jnp.zeros((5, 3, 2)), 0, 5)
    assert type(state) is State and posed().system.observe(state).misses is None
    kept = single.remembering(posed().system).initial(jnp.zeros((5, 3, 2)), 0, 5)
    assert kept.misses.shape == kept.history.shape and not kept.misses.any()
    with pytest.raises(ValueError, match="^method.features must be without stockouts in this system, got 'Perishable'$"):
        single.remembering(perishable.create(lead_time=1, life=3, issuing="fifo"))


# ---- through every learner

SMALL = dict(features=PAST, hidden=[8], members=1, validations=2, validation_paths=16, lanes=8)
LEARNERS = {
    "ppo": dict(steps=8, updates=6),
    "sac": dict(rollouts=6, memory=1024, batch=32, updates=2),
    "dqn": dict(rollouts=12, memory=1024, batch=64, updates=8, tau=0.3, learning_rate=0.01, choices=8),
}
GRADIENT = HDPO(
    features=PAST, hidden=(8,), paths=4, warm_up=0, unroll=6, tail=4, restart=0.1, updates=20, learning_rate=0.02, clip=1.0,
    fixed_width=0.5, threshold=0.6, checkpoints=2, validation_paths=16, seeds=1, fast_mode=False, tuning=Budget(32, 8, 1),
)  # fmt: skip


class Given:
    """A method that is fitted already."""

    def fit(self, problem, key, log):
        return Policy({"level": jnp.full(1, 33.0)}, up_to)


def up_to(params, seen, key):
    return params["level"] - seen.position


def method(name):
    return GRADIENT if name == "hdpo" else probes.made(name, **(SMALL | LEARNERS[name]))


def cut(made, policy):
    """Orders up to the period of a change, and from then on, on the paths as they are and as they are changed."""
    paths = made.evaluation_paths(8)
    other = paths._replace(demand=paths.demand.at[CHANGED:].set(3 * paths.demand[CHANGED:] + 7))
    orders = [np.asarray(made.simulate(policy, one).ordered) for one in (paths, other)]
    return [one[:, : CHANGED + 1] for one in orders], [one[:, CHANGED + 1 :] for one in orders]


@pytest.mark.parametrize("name", ["hdpo", *LEARNERS])
def test_learners_look_at_the_past_and_never_ahead(name):
    """With nothing to fit to but a history."""
    made = posed(information="history")
    policy = method(name).fit(made.for_fitting(), root(0, "method", name), probes.ignore)
    assert policy.misses and policy.window == 14
    before, after = cut(made, policy)
    np.testing.assert_array_equal(*before)
    assert (after[0] != after[1]).any()


AROUND = [
    Residual(rule=Given(), learner=GRADIENT),
    Bounded(rule=Given(), learner=GRADIENT, below=1.0, above=1.0),
    Online(learner=GRADIENT, shift=1.5, alarm=5, memory=20, trust=5),
    Ensemble(members={"rule": Given(), "learner": GRADIENT}, steps=2, paths=8),
    LearnedReorderUpTo(targets=["orders"], learner=GRADIENT, stock=GRADIENT, tuning=Budget(32, 8, 1)),
]


@pytest.mark.parametrize("method", AROUND, ids=lambda method: type(method).__name__)
def test_what_is_around_a_learner_remembers_for_it(method):
    made = posed()
    policy = method.fit(made, root(0, "around"), probes.ignore)
    assert policy.misses
    assert np.isfinite(made.simulate(policy, made.evaluation_paths(4)).ordered).all()


def test_a_learner_that_begins_as_a_teacher_remembers():
    made = posed()
    warm = Imitation(teacher=Given(), learner=GRADIENT, paths=4, periods=8, explore=0.1, updates=5, batch=16, learning_rate=1e-3)
    assert warm.fit(made, root(0, "warm"), probes.ignore).misses
