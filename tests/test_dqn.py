"""DQN on problems whose answer is known; and experience, which it shares with SAC, against plain loops."""

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
from invbench.learning import decisions, experience, offpolicy, training
from invbench.methods import dqn
from invbench.scenarios import seasonal_poisson

SMALL = dict(
    features=["on_hand", "position", "pipeline"], hidden=[32, 32], members=1, lanes=64, rollouts=160, memory=8192, batch=256,
    tau=0.02, validations=5, validation_paths=256,
)  # fmt: skip
TINY = SMALL | dict(lanes=16, hidden=[8], rollouts=16, batch=64, validations=2)


def made(**fields):
    return probes.made("dqn", **fields)


def fitted(problem, *given, **fields):
    return probes.fitted("dqn", problem, *given, **(SMALL | fields))


# ---- probes


def test_one_period_and_a_known_price():
    assert order(fitted(probes.one_period()), 0) == 3


def test_a_newsvendor_orders_up_to_the_critical_fractile():
    problem = probes.newsvendor()
    policy = fitted(problem, rollouts=320)
    assert order(policy, 0) == 7
    assert chain.average(problem, policy)[1] <= 1.01 * optimum.find(problem).value


@pytest.mark.parametrize(
    "fields", [{}, {"futures": 0}, {"lag": 0, "rollouts": 640}], ids=["futures", "what happened", "bootstrapped"]
)
def test_an_order_is_credited_across_the_lead_time(fields):
    """With the money that it is the first to change, expected or as it happens; or by values alone, period by period."""
    problem = probes.lead_time()
    policy = fitted(problem, **({"rollouts": 320} | fields))
    assert chain.average(problem, policy)[1] <= 1.01 * optimum.find(problem).value


def trained(problem, reward=lambda money: money, **fields):
    """All members after a training."""
    plan = made(**(SMALL | fields)).checked(problem)
    world, choices, _ = decisions.world_of(problem, root(0, "world"), plan)
    world = world._replace(money=reward(world.money))
    return offpolicy.train("dqn", problem, replace(plan, choices=choices), dqn.RULES, world, root(0, "any"), ignore)


def learner_of(problem, **fields):
    """The learner after a training in which every period earns 1."""
    constant = lambda money: money._replace(center=-jnp.ones(1), scale=jnp.ones(1))  # noqa: E731
    return training.member(trained(problem, constant, **fields).learner, 0)


def test_the_end_of_an_episode_is_truncation():
    """Reward 1 in every period whatever is ordered, discount 0.8: worth 1 / (1 - 0.8) = 5 from every state, the last too."""
    learner = learner_of(probes.nothing_to_decide(), average=False, discount=0.8, episode=16, rollouts=240)
    x = jnp.asarray([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]).T  # on hand, position: in periods of mean demand
    np.testing.assert_allclose(dqn.values(learner.target, x).max(0), 5.0, rtol=0.02)


def test_average_reward_needs_no_discount():
    """Reward 1 in every period: no state is better than another, and no value drifts. And the best order is found.

    The running mean of reward has come to 1 - 0.99^240 = 0.91: what is left of 1 is all that a value can be.
    """
    learner = learner_of(probes.nothing_to_decide(), discount=1, episode=16, rollouts=240)
    x = jnp.asarray([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]).T
    found = np.asarray(dqn.values(learner.target, x).max(0))
    assert np.ptp(found) < 0.05 and np.abs(found).max() < 0.2
    problem = probes.lead_time()
    policy = fitted(problem, discount=1, rollouts=320)
    assert chain.average(problem, policy)[1] <= 1.01 * optimum.find(problem).value


# ---- what is learned from


def rows_of(draws, periods, lanes, items):
    """Rows with numbers of their own; every tenth period terminates."""
    shape = (periods, lanes, items)
    x = draws.normal(size=(periods, 2, lanes, items))
    parts = (draws.normal(size=shape) for _ in range(3))
    return experience.Row(*(jnp.asarray(part, jnp.float32) for part in (x, *parts, draws.random(shape) < 0.1)))


@pytest.mark.parametrize("steps, lag", [(1, 0), (1, 2), (3, 2)])
def test_transitions_are_those_of_a_plain_loop(steps, lag):
    count, lanes, items, discount, fade = 12, 3, 2, 0.9, 0.8
    rows = jax.tree.map(np.asarray, rows_of(np.random.default_rng(0), count + steps + lag, lanes, items))
    assert 0 < rows.terminated[:count].sum() < 30
    found = experience.transitions(
        jax.tree.map(jnp.asarray, rows), count, steps, lag, discount, fade, jnp.arange(count) >= steps + lag
    )
    number = 0
    for t in range(count):
        for lane in range(lanes):
            for item in range(items):
                at = lambda leaf, later: leaf[t + later, lane, item]  # noqa: B023, E731
                reward, going = 0.0, 1.0
                for step in range(steps):
                    reward += going * (at(rows.at_once, step) + fade * at(rows.later, step + lag))
                    going *= discount * (1 - at(rows.terminated, step))
                np.testing.assert_allclose(found.reward[number], reward, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(found.continues[number], going, rtol=1e-6)
                np.testing.assert_array_equal(found.x[number], rows.x[t, :, lane, item])
                np.testing.assert_array_equal(found.following[number], rows.x[t + steps, :, lane, item])
                assert found.action[number] == at(rows.action, 0) and found.weight[number] == (t >= steps + lag)
                number += 1


def test_memory_forgets_the_oldest_and_draws_only_what_it_holds():
    memory = experience.empty(2, 12)
    for number in range(4):
        block = jax.tree.map(lambda leaf: jnp.full((4, *leaf.shape[1:]), number + 1.0), memory)  # noqa: B023
        memory = experience.kept(memory, block, jnp.int32(number))
        drawn = experience.drawn(memory, root(number, "draw"), 200, jnp.int32(min(4 * number + 4, 12)))
        assert set(np.unique(drawn.reward)) == set(range(max(1, number - 1), number + 2))  # the newest three blocks
        assert drawn.x.shape == (2, 200) and (drawn.x == drawn.reward).all()


def world_of(problem):
    return decisions.world_of(problem, root(0, "world"), made(**SMALL).checked(problem))[0]


def test_futures_expect_what_an_order_is_the_first_to_change():
    """The money of the period in which an order arrives, by enumeration of all demand until then."""
    problem = probes.lead_time()
    world = world_of(problem)
    state = world.system.initial(jnp.zeros((0, 2, 1)), 0, 0)
    state = state._replace(on_hand=jnp.asarray([[2.0], [5.0]]), pipeline=jnp.asarray([[[1.0], [0.0]], [[3.0], [0.0]]]))
    order, pmf = jnp.asarray([[2.0], [4.0]]), problem.scenario.pmf()[:14]
    flows = world.system.transition(state, order, jnp.ones((2, 1)))[1]
    found = experience.prospect(world, 2, 4096, state, order, None, flows, root(0, "futures"))
    for lane, (stock, first, second, last) in enumerate(((2, 1, 3, 2), (5, 0, 0, 4))):
        money = 0.0
        for chance, demand in (
            (p * q * r, (a, b, c)) for a, p in enumerate(pmf) for b, q in enumerate(pmf) for c, r in enumerate(pmf)
        ):
            left = max(max(stock + first - demand[0], 0) + second - demand[1], 0) + last - demand[2]
            money -= chance * (max(left, 0) + 4 * max(-left, 0))  # holding 1, shortage 4
        scaled = (money - float(world.money.center[0])) / float(world.money.scale[0])
        np.testing.assert_allclose(found[lane, 0], scaled, atol=0.01)


def test_what_orders_cost_and_the_rest_are_the_reward():
    problem = probes.posed(
        probes.lead_time().scenario, single.create(lead_time=1, backlog=True), price=9, purchase=2, fixed_order=3
    )
    world = world_of(problem)
    state = world.system.initial(jnp.zeros((0, 3, 1)), 0, 0)
    flows = world.system.transition(state, jnp.asarray([[0.0], [1.0], [4.0]]), jnp.full((3, 1), 2.0))[1]
    at_once = experience.ordering(world, flows)
    np.testing.assert_allclose(at_once * world.money.scale, [[0], [-5], [-11]], rtol=1e-5)  # 3 + 2 a unit
    np.testing.assert_allclose(at_once + experience.rest(world, flows), world.money.reward(flows), rtol=1e-4, atol=1e-5)


def test_the_money_of_an_order_lags_by_the_shortest_lead_time():
    assert offpolicy.shortest_lead_time(single.create(lead_time=3, backlog=False)) == 3
    chances = dict(lead_time=3, lead_time_distribution=[0.0, 0.2, 0.0, 0.8])
    assert offpolicy.shortest_lead_time(single.create(backlog=False, **chances)) == 1


# ---- the rule of learning


def test_orders_are_drawn_by_the_exponential_of_their_value():
    merits = jnp.asarray([0.0, 2.0, -1.0, 50.0, 1.0])[:, None] * jnp.asarray([[1.0, 0.02]])
    uniform = jnp.broadcast_to((jnp.arange(10_000) + 0.5)[:, None] / 10_000, (10_000, 2))
    drawn = dqn.boltzmann(jnp.broadcast_to(merits[:, None], (5, 10_000, 2)), uniform)
    shares = np.stack([(np.asarray(drawn) == number).mean(0) for number in range(5)])
    np.testing.assert_allclose(shares, jax.nn.softmax(merits, axis=0), atol=2e-4)


def table(*outputs):
    """A network that says the same of every state: its value, and how orders rank."""
    return ({"weights": jnp.zeros((len(outputs), 1)), "bias": jnp.asarray(outputs, jnp.float32)},)


def test_targets_are_double_and_stop_at_termination():
    """Online prefers order 1 (0, 2, 1); the other network values it 10 + 3 - mean(5, 3, 1) = 10."""
    learner = dqn.Learner(table(0, 0, 2, 1), table(10, 5, 3, 1), None)
    one, x = jnp.ones(2), jnp.zeros((1, 2))
    batch = experience.Transition(x, one, one, x, jnp.asarray([0.9, 0.0]), one)
    np.testing.assert_allclose(dqn.targets(made(**SMALL), learner, batch), [1 + 0.9 * 10, 1])
    assert jax.tree.map(np.shape, dqn.judged(learner)) == ({"weights": (3, 1), "bias": (3,)},)


# ---- the contract


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = (fitted(probes.lead_time(), seed, **TINY).params["layers"] for seed in (0, 0, 1))
    assert same(first, again) and not same(first, other)


def test_members_have_rates_of_their_own_and_compile_once():
    """Each learns as it does where all have its rates."""
    offpolicy._chunk.clear_cache()
    given = [dict(learning_rate=[1e-3, 1e-2], epsilon=[0.1, 0.2]), dict(learning_rate=1e-3, epsilon=0.1)]
    both, slow = (trained(probes.lead_time(), **(TINY | {"members": 2} | rates)) for rates in given)
    assert offpolicy._chunk._cache_size() == 1  # for all chunks of both
    assert same(training.member(both, 0), training.member(slow, 0))
    assert not same(training.member(both, 1).learner, training.member(slow, 1).learner)


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
    log.heard, log.stop = [], False
    resumed = fitted(probes.lead_time(), log=log, **TINY)
    assert same(resumed.params, fitted(probes.lead_time(), **TINY).params)
    assert len(log.heard) == 3 and len(list(tmp_path.glob("*.safetensors"))) == 1


def test_divergence_is_named():
    with pytest.raises(
        training.Diverged, match=r"^dqn diverged: .* of member 0 is .* updates, lower method.learning_rate \(1e\+30\)$"
    ):
        fitted(probes.lead_time(), **(TINY | {"learning_rate": 1e30, "gradient_norm": 1e30}))


def test_a_grid_that_cannot_cover_demand_is_warned_of():
    problem = probes.lead_time()
    plan = made(**SMALL, largest_order=3).checked(problem)
    with pytest.warns(UserWarning, match=r"method.largest_order \(3\) is less than what is demanded in 1\d\.\d% of periods"):
        assert decisions.world_of(problem, root(0, "world"), plan)[1] == 4  # P(D > 3) = 14.3 % for Poisson(2)


@pytest.mark.parametrize(
    "field, value",
    [("choices", 1), ("epsilon", 0), ("temperature", [0.1]), ("discount", 1.1), ("lag", 3), ("tau", 2), ("futures", -1)]
    + [("features", ["age"]), ("hidden", 64), ("lanes", 0), ("episode", 0), ("average", 1), ("learning_rate", "fast")],
)  # fmt: skip
def test_a_field_that_makes_no_sense_is_named(field, value):
    with pytest.raises(ValueError, match=f"^method.{field} must be "):
        fitted(probes.lead_time(), **{field: value})


def test_without_a_discount_the_average_must_be_taken_off():
    with pytest.raises(ValueError, match="^method.discount must be < 1 without method.average"):
        fitted(probes.lead_time(), discount=[0.9, 1], average=False)


def test_fast_mode_is_small():
    plan = made(fast_mode=True).checked(probes.lead_time())
    assert {name: getattr(plan, name) for name in offpolicy.FAST} == offpolicy.FAST


OTHERS = {
    "random lead time": probes.posed(
        replace(probes.lead_time().scenario, items=2),
        single.create(lead_time=2, backlog=False, lead_time_distribution=[0.2, 0.3, 0.5]),
    ),
    "demand of no known probabilities": probes.posed(
        seasonal_poisson.create(mean=5, annual=0.3, weekly=0.2, trend=0, items=2), single.create(lead_time=1, backlog=True)
    ),
}


@pytest.mark.parametrize("problem", OTHERS.values(), ids=OTHERS)
def test_items_are_decided_each_by_itself(problem):
    policy, paths = fitted(problem, **TINY), problem.validation_paths(4)
    mirrored = paths._replace(demand=paths.demand[..., ::-1])
    orders = [np.asarray(problem.simulate(policy, one).ordered) for one in (paths, mirrored)]
    np.testing.assert_array_equal(orders[0], orders[1][..., ::-1])
    assert orders[0].sum() > 0
