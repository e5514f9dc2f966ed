"""Reward shaping: sums telescope, the greedy policy of exact values stays, and learners still find what is known to be best."""

import jax.numpy as jnp
import numpy as np
import probes
import pytest

from invbench.keys import root
from invbench.learning import decisions, experience, trajectories
from invbench.learning.shaping import Potential, potential_of, shaped
from invbench.types import Observation

DISCOUNT, STOCKS, ORDERS = 0.9, 16, 9


def potentials(on_hand):
    """2 for each unit above 3 and 5 for each below, of stock with nothing on the way."""
    stock = jnp.asarray(on_hand, jnp.float32)
    seen = Observation(stock, stock, stock[:0], stock[:0], jnp.int32(0))
    return np.asarray(Potential(jnp.full(1, 3.0), jnp.full(1, 2.0), jnp.full(1, 5.0)).of(seen))


def test_a_potential_by_hand():
    np.testing.assert_array_equal(potentials([0.0, 2.0, 3.0, 5.0]), [-15, -5, 0, -4])


@pytest.mark.parametrize("discount", [1.0, 0.5])
def test_what_is_added_telescopes_exactly(discount):
    """Whole numbers and powers of two: not even a rounding is left."""
    draws = np.random.default_rng(0)
    reward, potential = draws.integers(-9, 9, (12, 3, 2)).astype(np.float32), draws.integers(-9, 0, (13, 3, 2)).astype(np.float32)
    worth = discount ** np.arange(12.0)[:, None, None]
    added = (worth * (np.asarray(shaped(reward, potential, discount), np.float64) - reward)).sum(0)
    np.testing.assert_array_equal(added, discount**12 * potential[-1] - potential[0])
    assert shaped(reward, None, discount) is reward


@pytest.mark.parametrize("steps, lag", [(1, 0), (3, 2)])
def test_transitions_of_several_periods_are_shaped_alike(steps, lag):
    count, shape = 8, (8 + steps + lag, 3, 2)
    draws = np.random.default_rng(1)
    parts = [jnp.asarray(draws.normal(size=shape), jnp.float32) for _ in range(3)]
    rows = experience.Row(jnp.zeros((shape[0], 1, 3, 2)), *parts, jnp.zeros(shape))
    potential = jnp.asarray(draws.normal(size=shape), jnp.float32)
    made = (rows, rows._replace(potential=potential))
    plain, told = (experience.transitions(one, count, steps, lag, DISCOUNT, 1.0, jnp.ones(count) > 0) for one in made)
    added = sum(DISCOUNT**k * (DISCOUNT * potential[k + 1 : k + 1 + count] - potential[k : k + count]) for k in range(steps))
    np.testing.assert_allclose(told.reward - plain.reward, added.reshape(-1), atol=1e-5)


def exact(potential, taken_off=1.0):
    """[stock] the greedy order of exact discounted values, and [stock, order] these: lost sales, lead time 0, Poisson(5)."""
    problem = probes.newsvendor()
    pmf = np.asarray(problem.scenario.pmf())[:STOCKS]
    stock, order, demand = np.meshgrid(np.arange(STOCKS), np.arange(ORDERS), np.arange(STOCKS), indexing="ij")
    after = np.minimum(np.maximum(stock + order - demand, 0), STOCKS - 1)
    reward = -1.0 * np.maximum(stock + order - demand, 0) - 4.0 * np.maximum(demand - stock - order, 0)
    reward = reward + DISCOUNT * potential[after] - taken_off * potential[stock]
    value = np.zeros(STOCKS)
    for _ in range(400):
        worth = (reward + DISCOUNT * value[after]) @ (pmf / pmf.sum())
        value = worth.max(1)
    return worth.argmax(1), worth


def test_the_optimum_stays():
    """Ng et al. 1999, theorem 1: values are lower by the potential, for every order alike."""
    potential = potentials(np.arange(STOCKS))
    (plain, worth), (told, other) = exact(np.zeros(STOCKS)), exact(potential)
    np.testing.assert_array_equal(plain, told)
    np.testing.assert_allclose(other, worth - potential[:, None], atol=1e-9)
    assert plain[0] == 7 and plain[5] == 2  # up to the critical fractile of probes.newsvendor()


def test_a_bonus_that_is_no_potential_moves_the_optimum():
    """Half of what a potential takes off: so the test above can fail."""
    whole = potentials(np.arange(STOCKS))
    assert (exact(whole, taken_off=0.5)[0] != exact(whole)[0]).any()


def test_the_target_is_what_a_rule_leaves_after_a_period():
    problem = probes.newsvendor()
    rule = trajectories.myopic(problem, root(0, "rule"))
    found = potential_of(problem, rule, 0.5, jnp.full(1, 2.0), root(0, "mean"))
    assert float(rule.params["level"][0]) == 7
    np.testing.assert_allclose(found.target, 2.0, atol=0.1)  # 7 less a mean demand of 5
    assert (float(found.above[0]), float(found.below[0])) == (0.25, 1.0)  # 0.5 x 1 / 2, 0.5 x 4 / 2


SMALL = dict(features=["on_hand", "position"], hidden=[32, 32], members=1, lanes=64, validation_paths=256, shaping=0.5)
BUDGETS = {
    "ppo": dict(steps=16, updates=192, validations=4),
    "sac": dict(rollouts=240, memory=8192, batch=256, tau=0.02, validations=5),
    "dqn": dict(rollouts=240, memory=8192, batch=256, tau=0.02, validations=5),
}


@pytest.mark.parametrize("name", BUDGETS)
def test_learners_still_find_the_newsvendor(name):
    policy = probes.fitted(name, probes.newsvendor(), **(SMALL | BUDGETS[name]))
    assert probes.order(policy, 0) == 7


def test_shaping_reaches_what_is_learned_from():
    plan = probes.made("sac", shaping=0.5).checked(probes.newsvendor())
    world = decisions.world_of(probes.newsvendor(), root(0, "world"), plan)[0]
    plain = decisions.world_of(probes.newsvendor(), root(0, "world"), probes.made("sac").checked(probes.newsvendor()))[0]
    assert plain.potential is None and world.potential is not None
    np.testing.assert_allclose(world.potential.below, 4 * world.potential.above)  # shortage costs 4, holding 1
    with pytest.raises(ValueError, match="^method.shaping must be a number > 0, got 0$"):
        probes.made("dqn", shaping=0).checked(probes.newsvendor())
