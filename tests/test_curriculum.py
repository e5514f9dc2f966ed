"""A curriculum: eased demand by hand, stages by the host without compiling anew, the real demand at last and in validation."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import probes
import pytest
from test_hdpo import TINY as GRADIENT

from invbench import problem
from invbench.costs import CostModel
from invbench.dynamics import single
from invbench.keys import root
from invbench.learning import curriculum, decisions, experience, offpolicy, pathwise, training
from invbench.learning.curriculum import Stage
from invbench.methods import ppo
from invbench.scenarios import poisson, profile

STAGES = (Stage(0.5, 0.0, 0.5),)
SAID = [{"share": 0.5, "wave": 0, "noise": 0.5}]


def posed(scenario, horizon=40, window=0):
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=4.0, fixed_order=0.0, salvage=0.0)
    given = dict(information="known", history=60, window=window, horizon=horizon, seed=0, evaluation_seed=0)
    return problem.create(scenario, single.create(lead_time=1, backlog=False, initial_stock=None), cost, **given)


def waves(items=1, distribution="normal"):
    noise = dict(distribution=distribution, noise="constant")
    return profile.create(mean=50, cv=0.1, annual=0, weekly=0.4, trend=0, items=items, **noise)


def eased(made, stages=STAGES, done=0.0):
    """The world of a learner so far on."""
    plan = probes.made("sac", features=["on_hand"]).checked(made)
    world = decisions.world_of(made, root(0, "world"), plan)[0]
    return curriculum.staged(curriculum.begun(world, made, stages, root(0, "curriculum")), stages, done)


def drawn(world, periods=35, start=0):
    """[period, n] demand of the first item."""
    return np.asarray(world.scenario.draw(root(0, "demand"), 4000, periods, start))[..., 0]


def test_shares_of_wave_and_noise():
    """The week swings by 40 % around 50, the noise has deviation 5."""
    made = posed(waves())
    real = np.asarray(made.scenario.draw(root(0, "demand"), 4000, 35, 0))[..., 0]
    swing = 50 + 20 * np.sin(2 * np.pi * np.arange(35) / 7)
    np.testing.assert_allclose(real.mean(1), swing, atol=0.4)
    for wave, noise in ((0.0, 0.5), (0.5, 0.0), (1.0, 2.0)):
        found = drawn(eased(made, (Stage(1.0, wave, noise),)))
        np.testing.assert_allclose(found.mean(1), 50 + wave * (swing - 50), atol=1.5)  # the profile is a mean of 1,024 paths
        np.testing.assert_allclose(found.std(1), 5 * noise, atol=0.3)
    np.testing.assert_allclose(drawn(eased(made, done=0.5)), real, rtol=1e-5)  # after the last stage


def test_whole_demand_stays_whole_and_is_the_real_one_after_the_stages():
    made = posed(poisson.create(mean=5.0, items=2))
    real = np.asarray(made.scenario.draw(root(0, "demand"), 4000, 9, 3))[..., 0]
    easy = drawn(eased(made), 9, 3)
    np.testing.assert_array_equal(easy, np.rint(5 + 0.5 * (real - 5)))
    np.testing.assert_array_equal(drawn(eased(made, done=0.5), 9, 3), real)


def test_what_is_expected_is_what_is_drawn():
    """Probabilities of eased demand: its mean square by the support is that of draws; futures are of eased demand, too."""
    world = eased(posed(poisson.create(mean=5.0, items=2)))
    values, probability = world.support
    assert values.shape == probability.shape
    by_support = float((probability * values**2).sum())
    assert by_support == pytest.approx((drawn(world) ** 2).mean(), rel=0.01)
    futures = experience.hypercube(world.support, root(0, "futures"), 1, 4096)
    assert float((futures**2).mean()) == pytest.approx(by_support, rel=0.01)


def test_the_profile_begins_where_the_window_does_and_its_last_period_is_held():
    made = posed(waves(), window=7)
    world = eased(made, (Stage(1.0, 1.0, 0.0),))
    late = made.horizon + curriculum.BEYOND
    first = world.scenario.draw(root(0, "d"), 1, 7, -7)[:, 0, 0]
    np.testing.assert_allclose(first, 50 + 20 * np.sin(2 * np.pi * np.arange(-7, 0) / 7), atol=1.5)
    assert len(np.unique(world.scenario.draw(root(0, "d"), 1, 5, late))) == 1


SMALL = dict(features=["on_hand", "position"], hidden=[8], members=1, validations=4, validation_paths=16, lanes=16)
LEARNERS = {"ppo": dict(steps=8, updates=20), "sac": dict(rollouts=20, memory=1024, batch=32, updates=2)}


@pytest.mark.parametrize("name", LEARNERS)
def test_stages_change_what_is_learned_and_compile_nothing(name, monkeypatch):
    made = posed(waves())
    seen, staged = [], curriculum.staged
    monkeypatch.setattr(curriculum, "staged", lambda *given: seen.append(staged(*given)) or seen[-1])
    given = SMALL | LEARNERS[name]
    program = ppo._advance if name == "ppo" else offpolicy._chunk
    plain = probes.fitted(name, made, **given)
    program.clear_cache()
    policy = probes.fitted(name, made, **given, curriculum=SAID)
    assert program._cache_size() == 1
    noise = [float(world.scenario.noise) for world in seen if isinstance(world.scenario, curriculum.Eased)]
    assert noise == [0.5, 0.5, 1.0, 1.0]
    assert not probes.same(plain.params["layers"], policy.params["layers"])


def test_gradients_go_through_eased_demand():
    made = posed(waves())
    plain = GRADIENT.fit(made, root(0, "hdpo"), probes.ignore)
    pathwise._advance.clear_cache()
    policy = replace(GRADIENT, curriculum=SAID).fit(made, root(0, "hdpo"), probes.ignore)
    assert pathwise._advance._cache_size() == 1
    assert not probes.same(plain.params.layers, policy.params.layers)


WRONG = [
    ([], "curriculum must be null or a list of stages {share, wave, noise}, got []"),
    ([{"share": 0.5}], "curriculum must be null or a list of stages {share, wave, noise}, got [{'share': 0.5}]"),
    (
        [SAID[0], SAID[0], SAID[0]],
        "curriculum.share must be in (0, 1] over all stages, what is left is on the real demand, got 1.5",
    ),
    ([SAID[0] | {"noise": -1}], "curriculum.noise must be a number >= 0, got -1"),
]


@pytest.mark.parametrize("given, sentence", WRONG)
def test_stages_are_checked(given, sentence):
    with pytest.raises(ValueError) as refusal:
        curriculum.checked("curriculum", given)
    assert str(refusal.value) == sentence


# ---- seeds side by side


@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_seeds_side_by_side_are_seeds_apart(name):
    """But for the scale of money, which is that of the first seed: so the first is as it is alone, to the byte."""
    made, given = posed(waves()), SMALL | LEARNERS[name] | dict(members=2)
    keys = jnp.stack([root(seed, "method", name) for seed in (0, 1)])
    first, second = probes.made(name, **given).fit_seeds(made, keys, probes.ignore)
    assert probes.same(first.params["layers"], probes.fitted(name, made, 0, **given).params["layers"])
    assert not probes.same(first.params["layers"], second.params["layers"])


def test_the_best_member_of_each_seed_is_kept():
    tree, worth = {"number": np.arange(6)}, np.array([1.0, 3.0, 2.0, 9.0, 5.0, 7.0])
    assert [int(one["number"]) for one in training.best_of(tree, worth, 2)] == [1, 3]
