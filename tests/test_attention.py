"""Attention over the past: what heads read, and learners that have them."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import probes
import pytest

from invbench.dynamics import single
from invbench.keys import root
from invbench.learning import attention, checkpoint, networks
from invbench.learning.attention import Past, Reader
from invbench.scenarios import autoregressive

SEEN = ["on_hand", "pipeline", "history", "calendar"]
SMALL = dict(features=SEEN, attention=2, hidden=[8], members=1, validations=2, validation_paths=16, lanes=8)
LEARNERS = {
    "ppo": SMALL | dict(steps=8, updates=6),
    "sac": SMALL | dict(rollouts=6, memory=1024, batch=32, updates=2),
    "dqn": SMALL | dict(rollouts=12, memory=1024, batch=64, updates=8, choices=8),
    "hdpo": dict(features=SEEN, attention=2, hidden=[8], paths=4, unroll=6, tail=4, updates=20, validation_paths=16, seeds=1),
}
TUNING = {"_target_": "invbench.tuning.budget", "paths": 32, "candidates": 8, "rounds": 1}
WINDOW = 9


def posed():
    demand = autoregressive.create(mean=20.0, cv=0.3, correlation=0.7, items=1)
    return replace(probes.posed(demand, single.create(lead_time=3, backlog=False)), window=WINDOW, horizon=24)


def small(name, **fields):
    own = LEARNERS[name] | ({"tuning": TUNING} if name == "hdpo" else {}) | fields
    return probes.made(name, **own)


def test_heads_read_what_plain_attention_reads():
    """Tokens written out one by one: key and value of a period are linear in what was seen in it, and have a part for its place."""
    past, inputs, rows = Past(first=2, window=5, heads=3), 8, 4
    reader = attention.initial(root(0, "reader"), past, inputs)
    x = np.asarray(jax.random.normal(root(0, "x"), (inputs, rows)))
    found = np.asarray(attention.read(reader, jnp.asarray(x)))
    np.testing.assert_array_equal(found[:inputs], x)
    for head in range(3):
        query, slope, place, worth, worth_of_place = (
            np.asarray(getattr(reader, name)[head]) for name in ("query", "slope", "place", "worth", "worth_of_place")
        )
        for row in range(rows):
            seen = x[2:7, row]
            scores = [(query @ x[:, row]) @ (slope * seen[t] + place[:, t]) / np.sqrt(attention.WIDTH) for t in range(5)]
            shares = np.exp(scores) / np.exp(scores).sum()
            wanted = sum(shares[t] * (worth * seen[t] + worth_of_place[:, t]) for t in range(5))
            ours = found[inputs + head * attention.WIDTH :, row][: attention.WIDTH]
            np.testing.assert_allclose(ours, wanted, rtol=2e-5, atol=1e-5)


def test_a_network_with_heads_has_the_widths_that_it_was_made_of():
    layers = networks.initial(root(0, "layers"), (8, 16, 2), past=Past(2, 5, 3))
    assert isinstance(layers[0], Reader) and networks.sizes(layers) == (8, 16, 2)
    assert networks.sizes(layers[1:]) == (8 + 3 * attention.WIDTH, 16, 2)
    assert networks.apply(layers, jnp.ones((8, 4, 3))).shape == (2, 4, 3)


def test_heads_find_the_period_that_a_feature_points_to():
    """The answer is what was seen in one of four periods, and another feature says in which: no dense layer of ours does that."""
    past, key = Past(first=4, window=4, heads=2), root(0, "pointing")
    layers = networks.initial(key, (8, 1), past=past)
    which = jax.random.randint(root(1, "which"), (512,), 0, 4)
    seen = jax.random.normal(root(1, "seen"), (4, 512))
    x, wanted = jnp.concatenate([jax.nn.one_hot(which, 4, axis=0), seen]), jnp.take_along_axis(seen, which[None], 0)
    error = lambda layers: jnp.square(networks.apply(layers, x) - wanted).mean()  # noqa: E731

    def lower(layers, _):
        slope = jax.grad(error)(layers)
        return jax.tree.map(lambda leaf, change: leaf - 0.2 * change, layers, slope), None

    dense = networks.initial(key, (8, 1))
    with_heads, without = (float(error(jax.lax.scan(lower, start, length=2000)[0])) for start in (layers, dense))
    assert with_heads < 0.05 and without > 0.5  # a linear layer takes the mean of the four: 1 - 1/4


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_with_heads_are_saved_and_never_look_ahead(name, tmp_path):
    problem = posed()
    policy = small(name).fit(problem, root(0, "method", name), probes.ignore)
    assert any(isinstance(part, Reader) for part in jax.tree.leaves(policy.params, is_leaf=lambda leaf: isinstance(leaf, Reader)))
    checkpoint.save_policy(tmp_path / "policy.safetensors", policy, {}, {})
    again = checkpoint.load_policy(tmp_path / "policy.safetensors").policy
    paths = problem.validation_paths(8)
    other = paths._replace(demand=paths.demand.at[12:].multiply(3.0))
    orders = [np.asarray(problem.simulate(one, which).ordered) for one, which in ((policy, paths), (again, paths), (again, other))]
    np.testing.assert_array_equal(orders[0], orders[1])
    np.testing.assert_array_equal(orders[0][:, :13], orders[2][:, :13])
    assert (orders[0][:, 13:] != orders[2][:, 13:]).any()


@pytest.mark.parametrize("name", LEARNERS)
def test_heads_need_something_to_read(name):
    with pytest.raises(ValueError, match="method.attention must be 0 where no history is looked at, got 2"):
        small(name, features=["on_hand", "pipeline"]).fit(posed(), root(0, "method", name), probes.ignore)


def test_heads_are_counted():
    with pytest.raises(ValueError, match="method.attention must be a whole number >= 0, got -1"):
        small("sac", attention=-1).fit(posed(), root(0, "x"), probes.ignore)
