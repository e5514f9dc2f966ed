"""Demand with holidays against plain numpy, the feature that tells of them, and learners that use it."""

import command
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from invbench.learning import features
from invbench.scenarios import holidays, profile
from invbench.types import Observation

DAYS = (0, 43, 364)
KEY = jax.random.key(5)


def demand(items=2, **changes):
    base = profile.create(
        mean=50, cv=0.2, annual=0.2, weekly=0.1, trend=0, distribution="normal", noise="proportional", items=items
    )
    return holidays.create(**dict(base=base, days=list(DAYS), lift=0.8, items=items) | changes)


def by_hand(time):
    return [int(np.floor(one % 365.25)) in DAYS for one in time]


def test_every_year_has_each_holiday_once():
    time = np.arange(4 * 1461)  # sixteen years
    found = np.asarray(holidays.falls(jnp.asarray(time), DAYS))
    np.testing.assert_array_equal(found, by_hand(time))
    assert found.sum() == 16 * len(DAYS)


def test_demand_is_that_of_the_base_and_more_on_holidays():
    made = demand()
    base, lifted = (np.asarray(one.draw(KEY, 4, 800, 30)) for one in (made.base, made))
    factor = np.where(by_hand(np.arange(30, 830)), 1.8, 1.0)[:, None, None]
    assert base.shape == lifted.shape == (800, 4, 2) and (factor > 1).sum() == 7
    np.testing.assert_allclose(lifted, base * factor, rtol=1e-6)


@pytest.mark.parametrize("time", [0, 36, 43, 44, 358, 364, 700])
def test_the_feature_tells_of_this_period_and_the_next_seven(time):
    names = features.checked("method.features", ["on_hand", {"holidays": [364, 0, 43, 0]}])
    assert names == ("on_hand", "holidays:0,43,364") and features.count(names, 2, 28) == 9
    stock = jnp.full((3, 2), 12.0)
    seen = Observation(stock, stock, stock[None], jnp.zeros((1, 3, 2)), jnp.int32(time))
    found = jax.jit(features.stacked, static_argnums=1)(seen, names, jnp.float32(6))
    assert found.shape == (9, 3, 2)
    np.testing.assert_array_equal(found[0], 2)
    np.testing.assert_array_equal(found[1:], np.broadcast_to(np.reshape(by_hand(range(time, time + 8)), (8, 1, 1)), (8, 3, 2)))


def test_the_order_of_features_is_one_whatever_is_given():
    assert features.ordered(["holidays:0,9", "calendar", "on_hand", "calendar"]) == ("on_hand", "calendar", "holidays:0,9")
    assert features.window(["holidays:0,9", "days_of_supply"], 28) == 7


@pytest.mark.parametrize(
    "given, sentence",
    [
        (["holidays"], r"^method.features must be \{holidays: \[days of the year, 0 is the first\]\}, got 'holidays'$"),
        ([{"holidays": []}], r"^method.features.holidays must be a list of days of the year, 0 is the first, got \[\]$"),
        ([{"holidays": [3, 365]}], r"^method.features.holidays must be days within 0 … 364, got 365$"),
        (
            [{"festivals": [3]}],
            r"^method.features must be one of on_hand, .*, \{holidays: \[...\]\}, got \{'festivals': \[3\]\}$",
        ),
    ],
)
def test_features_that_are_refused(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        features.checked("method.features", given)


@pytest.mark.parametrize(
    "changes, sentence",
    [
        (dict(days=[]), r"^scenario.days must be a list of days of the year"),
        (dict(days=[1.5]), r"^scenario.days\[0\] must be "),
        (dict(lift=-1.1), r"^scenario.lift must be "),
        (dict(base=None), r"^scenario.base must be a scenario"),
        (dict(items=3), r"^scenario.items must be 2"),
    ],
)
def test_calendars_that_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        demand(**(dict(base=demand().base) | changes))


@pytest.mark.parametrize("name", ["hdpo", "sac"])
def test_learners_are_told_of_holidays_and_their_policies_are_judged_again(name, tmp_path):
    told = "method.features=[on_hand,pipeline,{holidays:${scenario.days}}]"
    small = ["scenario=holidays", "evaluation.paths=16", "evaluation.horizon=60", "evaluation.validation_paths=16"]
    small += ["tuning.paths=32", "tuning.candidates=8", "tuning.rounds=1", "tracker=none", "fast_mode=true"]
    small += ["method.updates=200"] if name == "hdpo" else ["method.rollouts=16", "method.validations=2"]
    done = command.invbench(tmp_path, f"method={name}", told, *small)
    assert done.returncode == 0, done.stderr
    folder = done.stdout.split()[-1]
    again = command.invbench(tmp_path, "evaluate", f"policy={folder}/policy.safetensors")
    assert again.returncode == 0, again.stderr
