"""PPO on problems whose answer is known, and its advantages against a plain loop."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest
from probes import ignore, order, same

from invbench.dynamics import single
from invbench.exact import chain, optimum
from invbench.keys import root
from invbench.learning import actions, advantages, decisions, expected, networks, training
from invbench.methods import ppo
from invbench.scenarios import normal

SMALL = dict(
    features=["on_hand", "position", "pipeline"], hidden=[32, 32], members=1, lanes=64, steps=16, validations=4,
    validation_paths=256,
)  # fmt: skip
TINY = SMALL | dict(lanes=16, hidden=[8], updates=8, validations=2, members=2)


def made(**fields):
    return probes.made("ppo", **fields)


def fitted(problem, *given, **fields):
    return probes.fitted("ppo", problem, *given, **(SMALL | fields))


def trained(problem, **fields):
    """All members of a training."""
    plan, key = made(**(SMALL | fields)).checked(problem), root(0, "method", "ppo")
    world, choices, apply = decisions.world_of(problem, key, plan)
    return ppo.train(problem, replace(plan, choices=choices), world, apply, key, ignore)


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_one_period_and_a_known_price(actions):
    policy = fitted(probes.one_period(), updates=96, actions=actions)
    assert order(policy, 0) == 3


@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_a_newsvendor_orders_up_to_the_critical_fractile(actions):
    problem = probes.newsvendor()
    policy = fitted(problem, updates=192, actions=actions)
    assert order(policy, 0) == 7
    assert chain.average(problem, policy)[1] <= 1.01 * optimum.find(problem).value


def test_an_order_is_credited_across_the_lead_time():
    problem = probes.lead_time()
    policy = fitted(problem, updates=192)
    assert chain.average(problem, policy)[1] <= 1.03 * optimum.find(problem).value


def looped(reward, value, after, terminated, ended, discount, trace):
    """Advantages by the sum in their definition, from each period on to the end of its episode."""
    advantage = np.zeros_like(reward)
    for first in range(len(reward)):
        weight = 1.0
        for t in range(first, len(reward)):
            advantage[first] += weight * (reward[t] + discount * (0 if terminated[t] else after[t]) - value[t])
            weight *= discount * trace
            if ended[t]:
                break
    return advantage


def test_advantages_are_those_of_a_plain_loop():
    draws = np.random.default_rng(0)
    reward, value, after = draws.normal(size=(3, 20))
    terminated = draws.random(20) < 0.2
    ended = terminated | (draws.random(20) < 0.2)
    assert terminated.any() and (ended & ~terminated).any() and not ended[-1]
    parts = (jnp.asarray(part, jnp.float32) for part in (reward, value, after, terminated, ended))
    np.testing.assert_allclose(
        advantages.generalised(*parts, 0.9, 0.8), looped(reward, value, after, terminated, ended, 0.9, 0.8), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("terminated, worth", [(0.0, 10.0), (1.0, 1.0)])
def test_truncation_goes_on_and_termination_does_not(terminated, worth):
    """One unit of money a period at discount 0.9, in episodes of one period: 1 / (1 - 0.9) if truncated, 1 if terminated."""
    row = jnp.ones(1)
    learn = jax.jit(lambda value: value + advantages.generalised(row, value, value, terminated * row, row, 0.9, 0.95))
    value = jnp.zeros(1)
    for _ in range(200):
        value = learn(value)
    np.testing.assert_allclose(value, worth, rtol=1e-4)


def test_the_critic_values_what_follows_the_end_of_an_episode():
    """Reward 1 in every period whatever is ordered, discount 0.8: worth 1 / (1 - 0.8) = 5 from every state, the last too."""
    problem, key = probes.nothing_to_decide(), root(0, "method", "ppo")
    plan = made(**(SMALL | dict(average=False, discount=0.8, updates=160, foresight=0, episode=16))).checked(problem)
    world, choices, apply = decisions.world_of(problem, key, plan)
    world = world._replace(money=world.money._replace(center=-jnp.ones(1), scale=jnp.ones(1)))
    learners = ppo.train(problem, replace(plan, choices=choices), world, apply, key, ignore)
    x = jnp.asarray([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]).T  # on hand, position: in periods of mean demand
    np.testing.assert_allclose(networks.apply(training.member(learners.critic, 0), x)[0], 5.0, rtol=0.02)


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = (fitted(probes.lead_time(), seed, **TINY).params["layers"] for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)


class Heard:
    """A log with a place to keep states in, which may be cut off at a step."""

    def __init__(self, place, cut_at=None):
        self.place, self.cut_at, self.rows = place, cut_at, []

    def __call__(self, metrics, step):
        if step == self.cut_at:
            raise InterruptedError
        self.rows.append((step, metrics))


def test_training_that_was_cut_off_goes_on_to_the_same_bytes(tmp_path, monkeypatch):
    whole = Heard(None)
    policy = fitted(probes.lead_time(), log=whole, **TINY)
    with pytest.raises(InterruptedError):
        fitted(probes.lead_time(), log=Heard(tmp_path, cut_at=whole.rows[-1][0]), **TINY)
    advance, advanced = ppo._advance, []
    monkeypatch.setattr(ppo, "_advance", lambda *args, **fixed: advanced.append(args[4]) or advance(*args, **fixed))
    rest = Heard(tmp_path)
    assert same(fitted(probes.lead_time(), log=rest, **TINY).params, policy.params)
    assert [int(number) for number in advanced] == [1] and rest.rows == whole.rows  # the second of two chunks alone
    assert not same(fitted(probes.lead_time(), 1, log=Heard(tmp_path), **TINY).params, policy.params)  # of another seed: anew


def test_the_curve_is_logged_beside_a_classical_rule():
    heard = Heard(None)
    fitted(probes.lead_time(), log=heard, **TINY)
    (begin, rule), *curve = heard.rows
    assert begin == 0 and list(rule) == ["validation/baseline"]
    assert [step for step, _ in curve] == [4, 8]
    assert all({"validation/benefit", "train/value_loss", "train/entropy"} <= set(metrics) for _, metrics in curve)


def test_members_have_rates_of_their_own_and_compile_once():
    """Each learns as it does where all have its rate; the best layers of a member are those that earned most so far."""
    ppo._advance.clear_cache()
    both, slow, fast = (trained(probes.lead_time(), **TINY, learning_rate=rates) for rates in ([1e-3, 1e-2], 1e-3, 1e-2))
    assert ppo._advance._cache_size() == 1  # for all chunks of all of them
    first, second = (training.member(both, number) for number in (0, 1))
    assert same(first, training.member(slow, 0)) and same(second, training.member(fast, 1))
    assert not same(first.actor, training.member(fast, 0).actor)


def test_divergence_is_named():
    sentence = r"^ppo diverged: .* of member 0 is nan after 4 of 8 updates, lower method.learning_rate \(1e\+30\)$"
    with pytest.raises(training.Diverged, match=sentence):
        fitted(probes.lead_time(), **TINY, learning_rate=1e30)


def test_a_grid_that_cannot_cover_demand_is_warned_of():
    with pytest.warns(UserWarning, match=r"method.largest_order \(3\) is less than what is demanded in 1\d\.\d% of periods"):
        grid, count = actions.grid_for(probes.lead_time(), root(0, "grid"), np.full(1, 2.0), largest=3, choices=64)
    assert count == 4 and grid.step == 1  # P(D > 3) = 14.3 % for Poisson(2)


WRONG = [("actions", "both"), ("discount", 1.5), ("lanes", 30), ("learning_rate", 0), ("averaging", 2)]


@pytest.mark.parametrize("field, value", WRONG)
def test_a_field_that_makes_no_sense_is_named(field, value):
    with pytest.raises(ValueError, match=f"^method.{field} must be .*, got {value!r}$"):
        fitted(probes.lead_time(), **{field: value})


def test_items_are_decided_each_by_itself():
    problem = probes.lead_time()
    problem = replace(problem, scenario=replace(problem.scenario, items=2))
    policy = fitted(problem, **TINY)
    paths = problem.validation_paths(4)
    mirrored = paths._replace(demand=paths.demand[..., ::-1])
    orders = [np.asarray(problem.simulate(policy, one).ordered) for one in (paths, mirrored)]
    np.testing.assert_array_equal(orders[0], orders[1][..., ::-1])


def test_demand_without_probabilities_and_several_items():
    """Orders follow each item's own mean demand, and need not be whole where demand is not."""
    problem = probes.posed(normal.create(mean=50.0, std=10.0, items=3), single.create(lead_time=1, backlog=False))
    assert expected.support_of(problem) is None
    policy = fitted(problem, **TINY, actions="continuous")
    ordered = np.asarray(problem.simulate(policy, problem.validation_paths(8)).ordered)
    assert ordered.shape == (8, probes.HORIZON, 3) and (ordered % 1 > 0).any()
    assert (np.abs(ordered.mean((0, 1)) / 50 - 1) < 0.5).all()


def test_fast_mode_shrinks_the_budget():
    plan = made(fast_mode=True).checked(probes.lead_time())
    assert (plan.members, plan.updates, plan.validation_paths) == (2, 120, 128)
    assert made(fast_mode=True, updates=7).checked(probes.lead_time()).updates == 7  # never more than was asked for


def test_the_actor_waits_for_the_critic():
    problem = probes.newsvendor()
    learners = trained(problem, critic_first=1, updates=8, validations=1)
    begun = trained(problem, critic_first=1, updates=16, validations=1)
    assert probes.same(learners.actor, begun.actor) and not probes.same(learners.critic, begun.critic)
