"""SAC on problems whose answer is known, and its equations by hand."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from probes import ignore, order, same

from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.learning import decisions, offpolicy, training
from invbench.learning.experience import Transition
from invbench.methods import sac

SMALL = dict(
    features=["on_hand", "position", "pipeline"], hidden=[32, 32], members=1, lanes=64, rollouts=240, memory=8192, batch=256,
    tau=0.02, validations=5, validation_paths=256,
)  # fmt: skip
TINY = SMALL | dict(lanes=16, hidden=[8], rollouts=16, batch=64, validations=2)


def made(**fields):
    return probes.made("sac", **fields)


def fitted(problem, *given, **fields):
    return probes.fitted("sac", problem, *given, **(SMALL | fields))


# ---- probes


def test_one_period_and_a_known_price():
    assert order(fitted(probes.one_period()), 0) == 3


def test_a_newsvendor_orders_up_to_the_critical_fractile():
    problem = probes.newsvendor()
    policy = fitted(problem)
    assert order(policy, 0) == 7
    assert chain.average(problem, policy)[1] <= 1.01 * optimum.find(problem).value


def test_an_order_is_credited_across_the_lead_time():
    problem = probes.lead_time()
    policy = fitted(problem, rollouts=320)
    assert chain.average(problem, policy)[1] <= 1.01 * optimum.find(problem).value


def member_of(problem, **fields):
    """The member after a training in which every period earns 1."""
    plan = made(**(SMALL | fields)).checked(problem)
    world = decisions.world_of(problem, root(0, "world"), plan)[0]
    world = world._replace(money=world.money._replace(center=-jnp.ones(1), scale=jnp.ones(1)))
    return training.member(offpolicy.train("sac", problem, plan, sac.RULES, world, root(0, "any"), ignore), 0)


def test_the_end_of_an_episode_is_truncation():
    """Reward 1 whatever is ordered, discount 0.8, and entropy that is worth nothing: 1 / (1 - 0.8) = 5 for all that was seen.

    As orders are noisier than they must be, the log of the temperature falls by about the sum of 3,840 falling rates, 3.8.
    """
    settled = dict(episode=16, rollouts=480, deviation=[1e-3, 1e-3])
    found = member_of(probes.nothing_to_decide(), average=False, discount=0.8, **settled)
    assert jnp.exp(found.learner.now.heat) < 0.01
    for value in sac.both(found.learner.targets, found.memory.x.T, found.memory.action):
        error = np.abs(value - 5)[found.memory.weight > 0]
        assert len(error) > 1000 and error.mean() < 0.05


def test_average_reward_needs_no_discount():
    """Reward 1 in every period: no order is better than another, and no value drifts. And the best order is found."""
    found = member_of(probes.nothing_to_decide(), discount=1, episode=16, rollouts=480, deviation=[1e-3, 1e-3])
    for value in sac.both(found.learner.targets, found.memory.x.T, found.memory.action):
        assert np.abs(value)[found.memory.weight > 0].mean() < 0.1  # once the running mean of reward is 0.99
    problem = probes.lead_time()
    assert chain.average(problem, fitted(problem, discount=1, rollouts=320))[1] <= 1.01 * optimum.find(problem).value


def test_the_noise_of_orders_is_kept_where_it_is_wanted():
    rows = []
    fitted(probes.newsvendor(), log=lambda metrics, step: rows.append(metrics), deviation=[0.2, 0.2], rollouts=480)
    wanted = np.log(0.2) + 0.5 * np.log(2 * np.pi * np.e)  # entropy of a normal distribution
    np.testing.assert_allclose(rows[-1]["train/entropy"], wanted, atol=0.1)
    assert {"validation/benefit", "train/loss", "train/temperature", "train/money_a_period"} <= set(rows[-1])


# ---- equations


def constant(*outputs):
    """A network that says the same of every state."""
    return ({"weights": jnp.zeros((len(outputs), 1)), "bias": jnp.asarray(outputs, jnp.float32)},)


def by_hand(heat):
    """Orders of mean 2 and deviation 0.5; critics that say 7 and 5, running means of them that say 4 and 6."""
    now = sac.Learned(constant(2, np.log(0.5)), wider(constant(7), constant(5)), jnp.log(heat))
    return sac.Learner(now, now.actor, wider(constant(4), constant(6)), None)


def wider(*networks):
    """Critics see the order, too."""
    return tuple(({"weights": jnp.zeros((1, 2)), "bias": layers[0]["bias"]},) for layers in networks)


def test_targets_take_the_lower_value_add_entropy_and_stop_at_termination():
    one, x = jnp.ones(4000), jnp.zeros((1, 4000))
    continues = jnp.where(jnp.arange(4000) < 2000, 0.9, 0.0)
    found = sac.targets(made(**SMALL), by_hand(0.1), Transition(x, one, one, x, continues, one), root(0, "draw"))
    entropy = np.log(0.5) + 0.5 * np.log(2 * np.pi * np.e)
    np.testing.assert_allclose(found[:2000].mean(), 1 + 0.9 * (4 + 0.1 * entropy), rtol=2e-3)
    np.testing.assert_array_equal(found[2000:], 1)


def test_densities_are_those_of_the_normal_distribution():
    action, log_probability, center = sac.drawn(constant(2, np.log(0.5)), jnp.zeros((1, 5)), root(0, "draw"))
    np.testing.assert_array_equal(center, 2)
    density = np.exp(-0.5 * ((np.asarray(action) - 2) / 0.5) ** 2) / (0.5 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(np.exp(log_probability), density, rtol=1e-4)
    np.testing.assert_allclose(sac.entropy_of(0.5), np.log(0.5 * np.sqrt(2 * np.pi * np.e)), rtol=1e-5)


@pytest.mark.parametrize("center, slope", [(-1.0, -2.0), (1.0, 0.0), (99.0, 1)])
def test_a_mean_that_no_order_can_follow_is_drawn_back(center, slope):
    """Critics that care for nothing, entropy worth nothing: the slope is that of the square of what lies beyond 0 … largest."""
    problem = probes.newsvendor()
    world = decisions.world_of(problem, root(0, "world"), made(**SMALL).checked(problem))[0]
    most = float(world.actions.largest[0] / world.actions.unit[0])
    now, one, x = by_hand(1e-9).now, jnp.ones(3), jnp.zeros((1, 3))
    batch = Transition(x, one, one, x, one, one)
    found = jax.grad(lambda actor: sac.actor_loss(actor, world, now, batch, root(0, "draw"))[0])(constant(center, 0.0))
    slope = 2 * (center - most) if center > most else slope
    np.testing.assert_allclose(found[0]["bias"][0], slope, rtol=1e-4, atol=1e-4)


def test_orders_are_learned_from_as_they_come_and_judged_in_whole_units():
    problem = probes.lead_time()
    policy, world = fitted(problem, **TINY), decisions.world_of(problem, root(0, "world"), made(**SMALL).checked(problem))[0]
    np.testing.assert_allclose(
        sac.order(world, jnp.asarray([-1.0, 0.7, 1e6])), [0, 0.7 * world.actions.unit[0], world.actions.largest[0]]
    )
    ordered = np.asarray(problem.simulate(policy, problem.validation_paths(4)).ordered)
    assert ordered.sum() > 0 and (ordered == np.round(ordered)).all()
    assert policy.params["layers"][-1]["weights"].shape == (1, 8)


# ---- the contract


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = (fitted(probes.lead_time(), seed, **TINY).params["layers"] for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)


def test_all_chunks_compile_once():
    offpolicy._chunk.clear_cache()
    fitted(probes.lead_time(), **(TINY | {"members": 2}))
    assert offpolicy._chunk._cache_size() == 1


def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path):
    class Halt(Exception):
        pass

    def log(metrics, step):
        log.heard.append(step)
        if log.stop and len(log.heard) == 3:  # the rule beside, a chunk, and a second one that is not kept
            raise Halt

    log.place, log.heard, log.stop = tmp_path, [], True
    with pytest.raises(Halt):
        fitted(probes.lead_time(), log=log, **TINY)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    log.stop = False
    assert same(fitted(probes.lead_time(), log=log, **TINY).params, fitted(probes.lead_time(), **TINY).params)


def test_divergence_is_named():
    with pytest.raises(
        training.Diverged, match=r"^sac diverged: .* of member 0 is .* updates, lower method.learning_rate \(1e\+30\)$"
    ):
        fitted(probes.lead_time(), **(TINY | {"learning_rate": 1e30, "gradient_norm": 1e30}))


@pytest.mark.parametrize(
    "field, value", [("deviation", [0.3, 0]), ("deviation", 0.3), ("lag", -1), ("batch", 0.5), ("discount", -1)]
)
def test_a_field_that_makes_no_sense_is_named(field, value):
    with pytest.raises(ValueError, match=f"^method.{field}"):
        fitted(probes.lead_time(), **{field: value})


def test_items_are_decided_each_by_itself():
    problem = probes.lead_time()
    problem = replace(problem, scenario=replace(problem.scenario, items=2))
    even = lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape) if leaf.shape == (2,) else leaf  # noqa: E731
    policy, paths = fitted(problem, **TINY), problem.validation_paths(4)
    policy = policy._replace(params=jax.tree.map(even, policy.params))  # scales are estimated for each item
    mirrored = paths._replace(demand=paths.demand[..., ::-1])
    orders = [np.asarray(problem.simulate(policy, one).ordered) for one in (paths, mirrored)]
    np.testing.assert_array_equal(orders[0], orders[1][..., ::-1])
    assert orders[0].sum() > 0
