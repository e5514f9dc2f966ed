"""The loop around every learner: curves, divergence, and going on after an interruption to the same bytes."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench.learning import training
from invbench.tracker import Log, Tracker

CHUNKS, STEPS = 6, 10


class State(NamedTuple):
    value: jax.Array  # [member]
    key: jax.Array


def start():
    return State(jnp.zeros(2), jax.random.key(7))


def advance(state, number):
    """A random walk of two members: what comes depends on the state and the number alone."""
    value = state.value + jax.random.normal(jax.random.fold_in(state.key, number), (2,))
    return state._replace(value=value), {"train/loss": value**2, training.WORTH: value}


def run(log, advance=advance, settings=None, **given):
    return training.run("walk", start(), advance, CHUNKS, log, steps=STEPS, settings=settings or {"rate": 1}, **given)


def kept(place):
    return sorted(path.name for path in place.iterdir())


def test_the_curve_has_the_best_of_the_members_and_the_baseline():
    log = Log(Tracker())
    state, values = start(), []
    for number in range(CHUNKS):
        state, metrics = advance(state, number)
        values.append(metrics)
    final = run(log, baseline=3.5)
    np.testing.assert_array_equal(final.value, state.value)
    assert log.curve[0] == {"step": 0, "validation/baseline": 3.5}
    assert [row["step"] for row in log.curve[1:]] == [STEPS * (number + 1) for number in range(CHUNKS)]
    np.testing.assert_allclose([row[training.WORTH] for row in log.curve[1:]], [m[training.WORTH].max() for m in values])
    np.testing.assert_allclose([row["train/loss"] for row in log.curve[1:]], [m["train/loss"].mean() for m in values], rtol=1e-6)


@pytest.mark.parametrize("last", [0, 3])
def test_an_interrupted_training_goes_on_to_the_same_bytes(tmp_path, last):
    whole, calls = Log(Tracker()), []
    expected = run(whole)

    def interrupted(state, number):
        calls.append(number)
        if number == last and calls.count(last) == 1:
            raise KeyboardInterrupt
        return advance(state, number)

    with pytest.raises(KeyboardInterrupt):
        run(Log(Tracker(), tmp_path / "states"), interrupted)
    again = Log(Tracker(), tmp_path / "states")
    found = run(again, interrupted)
    assert calls == [*range(last + 1), *range(last, CHUNKS)]
    assert np.asarray(found.value).tobytes() == np.asarray(expected.value).tobytes()
    assert again.curve == whole.curve
    assert len(kept(tmp_path / "states")) == 2  # one state and its manifest


def test_a_state_of_another_training_is_left_alone(tmp_path):
    run(Log(Tracker(), tmp_path), settings={"rate": 2})
    before, seen = kept(tmp_path), []
    run(Log(Tracker(), tmp_path), lambda state, number: (seen.append(number), advance(state, number))[1])
    assert seen == list(range(CHUNKS)) and set(before) < set(kept(tmp_path))


def test_divergence_names_the_member_and_leaves_the_last_good_state(tmp_path):
    def diverging(state, number):
        state, metrics = advance(state, number)
        return state, metrics | {"train/loss": jnp.where(jnp.arange(2) == 1, jnp.nan if number == 2 else 0.0, 0.0)}

    with pytest.raises(training.Diverged, match=r"^walk diverged: train/loss of member 1 is nan after 30 of 60 updates, lower "):
        run(Log(Tracker(), tmp_path), diverging)
    assert all("-00002." in name for name in kept(tmp_path)) and len(kept(tmp_path)) == 2


def test_members_are_taken_apart_and_the_better_one_is_kept():
    tree = {"a": jnp.arange(6.0).reshape(2, 3), "b": jnp.asarray([1, 2])}
    first, second = training.members(tree)
    np.testing.assert_array_equal(second["a"], [3, 4, 5])
    assert int(first["b"]) == 1 and int(training.member(tree, 1)["b"]) == 2
    worth, best = training.better(jnp.float32(2.0), {"a": jnp.ones(1)}, jnp.float32(2.0), {"a": jnp.zeros(1)})
    assert float(worth) == 2 and float(best["a"][0]) == 0
    worth, best = training.better(jnp.float32(2.1), {"a": jnp.ones(1)}, jnp.float32(2.0), {"a": jnp.zeros(1)})
    assert float(best["a"][0]) == 1
