"""Imitation: a network that has had its lesson orders as its teacher does, learns on from there, and never ends worse."""

from dataclasses import replace
from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.learning import imitation, networks
from invbench.learning.imitation import Effort
from invbench.methods.capped_base_stock import policy_of
from invbench.methods.eoq import economic_lot
from invbench.methods.imitation import Imitation
from invbench.methods.residual_rl import Residual
from invbench.types import Policy

RULE = policy_of(jnp.asarray([6.0]), jnp.asarray([3.0]))  # 5.9 % above the optimum of lead_time()
EFFORT = Effort(paths=64, periods=48, explore=0.1, updates=4000, batch=128, learning_rate=5e-3)
BARELY = {  # so few updates that little is learned after the lesson
    "ppo": dict(hidden=[32], lanes=16, steps=8, updates=4, validations=1, validation_paths=64, members=1, learning_rate=1e-5),
    "sac": dict(hidden=[32], lanes=16, rollouts=4, updates=1, batch=32, memory=4096, validations=1, validation_paths=64),
    "dqn": dict(hidden=[32], lanes=16, rollouts=4, updates=1, batch=32, memory=4096, validations=1, validation_paths=64),
    "hdpo": dict(hidden=[16], paths=8, updates=20, seeds=1, validation_paths=64, learning_rate=1e-6, unroll=4, tail=2),
}  # fmt: skip
BARELY = {name: fields | {"features": ["on_hand", "pipeline"]} for name, fields in BARELY.items()}


class Given:
    """A method that is fitted already."""

    def __init__(self, policy):
        self.policy = policy

    def fit(self, problem, key, log):
        return self.policy


def warm(learner, teacher=RULE, effort=EFFORT):
    if isinstance(learner, str):
        learner = probes.made(learner, **({"tuning": None} if learner == "hdpo" else {}), **BARELY[learner])
    return Imitation(*vars(effort).values(), Given(teacher), learner)


def gap(policy, rule):
    """By how much less than `rule` a policy costs in the long run, as a share of what is above the optimum."""
    problem = probes.lead_time()
    best = optimum.find(problem).value
    above = [np.mean(chain.average(problem, one)[:2]) - best for one in (policy, rule)]
    return above[0] / above[1]


@lru_cache
def begun(name):
    return warm(name).fit(probes.lead_time(), root(0, "method", "imitation"), probes.ignore)


@pytest.mark.parametrize("name", BARELY)
def test_a_learner_begins_as_its_teacher(name):
    problem = probes.lead_time()
    paths = problem.training_paths(root(1, "other"), 64)
    own, rule = (np.asarray(problem.simulate(policy, paths).ordered)[:, 2:] for policy in (begun(name), RULE))
    assert (own == rule).mean() > 0.9
    assert gap(begun(name), RULE) < 1.2


def test_the_exact_policy_can_teach():
    problem = probes.lead_time()
    policy = warm("hdpo", optimum.find(problem).policy).fit(problem, root(0, "method", "imitation"), probes.ignore)
    assert gap(policy, RULE) < 0.2


def test_a_learner_goes_on_from_there():
    learner = probes.made("hdpo", tuning=None, **BARELY["hdpo"] | dict(updates=300, paths=32, learning_rate=5e-3, unroll=12))
    policy = warm(learner).fit(probes.lead_time(), root(0, "method", "imitation"), probes.ignore)
    assert gap(policy, RULE) < 0.5


def test_what_is_best_on_validation_paths_is_no_worse_than_the_lesson():
    problem, kept = probes.lead_time(), {}
    learner = probes.made("ppo", **BARELY["ppo"] | dict(updates=64, validations=4, learning_rate=5.0))  # leaves all reason
    logged = lambda row, step: kept.setdefault(step, row)  # noqa: E731
    policy = warm(learner).fit(problem, root(0, "method", "imitation"), logged)
    paths = problem.validation_paths(64)
    earned = np.asarray(problem.benefit(policy, paths)).sum(1).mean()
    assert earned == pytest.approx(np.asarray(problem.benefit(begun("ppo"), paths)).sum(1).mean())
    assert min(row.get("validation/benefit", 0) for row in kept.values()) < earned


def test_changes_of_a_rule_can_begin_as_a_teacher():
    problem, rule = probes.lead_time(), policy_of(jnp.asarray([4.0]), jnp.asarray([9.0]))
    policy = Residual(Given(rule), warm("ppo")).fit(problem, root(0, "method", "residual_rl"), probes.ignore)
    paths = problem.training_paths(root(1, "other"), 64)
    own, teacher = (np.asarray(problem.simulate(each, paths).ordered)[:, 2:] for each in (policy, RULE))
    assert (own == teacher).mean() > 0.85


def test_the_error_falls_and_is_logged():
    problem, rows = probes.lead_time(), []
    key = root(0, "lesson")
    layers = networks.initial(key, (3, 16, 1))
    pupil = imitation.Pupil(layers, networks.unlike, jnp.ones(1), ("on_hand", "position", "pipeline"), jnp.asarray([2.0]))
    lesson = imitation.lesson_of(RULE, EFFORT, key)
    imitation.taught(lesson, problem, pupil, lambda row, step: rows.append(row))
    assert rows[0]["imitation/error"] < 0.05 * rows[0]["imitation/error_at_first"]


@pytest.mark.parametrize(
    "change, sentence",
    [
        (dict(explore=1.5), "method.explore must be .* got 1.5"),
        (dict(updates=0), "method.updates must be a whole number >= 1, got 0"),
        (dict(learning_rate=-1.0), "method.learning_rate must be a number > 0, got -1.0"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        warm("hdpo", effort=replace(EFFORT, **change)).fit(probes.lead_time(), root(0, "m"), probes.ignore)


def test_a_learner_that_cannot_begin_as_another_is_refused():
    with pytest.raises(ValueError, match="method.learner must be a learner that can begin as another policy .* got 'Residual'"):
        warm(Residual(Given(RULE), None)).fit(probes.lead_time(), root(0, "m"), probes.ignore)


def test_teachers_that_know_the_future_or_look_back_where_nothing_is_kept_are_refused():
    seer = RULE._replace(per_path=True)
    with pytest.raises(ValueError, match="method.teacher must be a rule of what is observed"):
        warm("hdpo", seer).fit(probes.lead_time(), root(0, "m"), probes.ignore)
    back = Policy({name: jnp.ones(1) for name in ("cover", "fixed_order", "holding")}, economic_lot, window=4)
    with pytest.raises(ValueError, match="method.teacher must be a rule of what is observed today, .* got 'economic_lot'"):
        Residual(Given(RULE), warm("hdpo", back)).fit(probes.lead_time(), root(0, "m"), probes.ignore)


@pytest.mark.parametrize("name, fields", [("ppo", dict(learning_rate=0.01)), ("hdpo", dict(learning_rate=0.01, updates=60))])
def test_seeds_have_one_teacher_and_differ_by_what_they_learn(name, fields):
    problem, teacher = probes.lead_time(), Given(RULE)
    calls = []
    teacher.fit = lambda problem, key, log: calls.append(key) or RULE
    keys = jax.random.split(root(0, "method", "imitation"), 2)
    learner = probes.made(name, **({"tuning": None} if name == "hdpo" else {}), **BARELY[name] | fields)
    method = replace(warm(learner, effort=replace(EFFORT, updates=40)), teacher=teacher)
    one, two = (jax.tree.leaves(policy.params) for policy in method.fit_seeds(problem, keys, probes.ignore))
    assert len(calls) == 1 and any(not np.array_equal(a, b) for a, b in zip(one, two))
