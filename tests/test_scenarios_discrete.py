"""Rounded gamma demand, given probabilities, and Poisson demand around a profile, against the distributions that they promise.

Statistical tests: fixed keys, false-alarm rate 1e-4 each.
"""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy import stats

from invbench import configs, run
from invbench.scenarios import discrete, gamma, seasonal_poisson

ALARM = 1e-4
KEY = jax.random.key(11)
N, HORIZON, ITEMS, START = 4000, 20, 2, 80  # the same for all, so that few shapes compile
FIELDS = {
    "gamma": dict(mean=4, cv=0.5),
    "discrete": dict(probabilities=[0.05, 0, 0.3, 0.25, 0.4]),
    "seasonal_poisson": dict(mean=12, annual=0.3, weekly=0.4, trend=0.2),
}


def built(name, **changes):
    """The scenario of a YAML with the fields of this test, every one of them, and no others."""
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "scenario" / f"{name}.yaml"))
    given = FIELDS[name] | {"items": ITEMS} | changes
    assert {"_target_", *given} == set(plain)
    return run.build(plain | given)


@lru_cache
def drawn(name):
    """[n, period, item] float64."""
    return np.asarray(built(name).paths(KEY, N, HORIZON, START), np.float64)


def bound(tests=1):
    """How many standard errors one of so many two-sided tests may be off."""
    return stats.norm.isf(ALARM / 2 / tests)


def fits(demand, pmf):
    """p of a chi-square test; values of which fewer than 5 are expected are one class."""
    counts = np.bincount(demand.ravel().astype(int), minlength=len(pmf))
    assert counts[len(pmf) :].sum() == 0 and counts[: len(pmf)][pmf == 0].sum() == 0
    expected = demand.size * pmf
    rare = expected < 5
    observed, expected = (np.append(part[~rare], part[rare].sum()) for part in (counts[: len(pmf)], expected))
    kept = expected > 0
    return stats.chisquare(observed[kept], expected[kept] / expected.sum() * observed.sum()).pvalue


# ---- what holds for all of them


@pytest.mark.parametrize("name", FIELDS)
def test_paths_are_whole_numbers_of_their_shape_and_the_same_again(name):
    paths = built(name).paths(KEY, N, HORIZON, START)
    assert paths.shape == (N, HORIZON, ITEMS) and paths.dtype == jnp.float32
    assert (paths >= 0).all() and (paths == jnp.round(paths)).all()
    np.testing.assert_array_equal(paths, drawn(name))
    assert (built(name).paths(jax.random.key(12), N, HORIZON, START) != drawn(name)).mean() > 0.3


@pytest.mark.parametrize("name", FIELDS)
def test_periods_and_items_are_independent(name):
    """Correlation over independent paths: of two items, and of neighbouring periods."""
    first, second = drawn(name)[:, 5], drawn(name)[:, 6]
    for pair in (first.T, (first[:, 0], second[:, 0])):
        assert abs(np.corrcoef(*pair)[0, 1]) < bound(2) / np.sqrt(N)


def test_the_files_as_they_are():
    for name in FIELDS:
        plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "scenario" / f"{name}.yaml"))
        assert run.build(plain).paths(KEY, 2, 3).shape == (2, 3, 1)


# ---- the same in every period


def erlang(x):
    """The CDF of a gamma with mean 4 and CV 0.5: shape 1 / 0.25 = 4 and scale 4 x 0.25 = 1."""
    return 1 - np.exp(-x) * (1 + x + x**2 / 2 + x**3 / 6)


def test_gamma_is_rounded_to_the_nearest_unit():
    pmf, units = built("gamma").pmf(), np.arange(8)
    np.testing.assert_allclose(pmf[0], erlang(0.5), rtol=1e-12)
    np.testing.assert_allclose(pmf[1:8], (erlang(units + 0.5) - erlang(units - 0.5))[1:], rtol=1e-12)
    # e^-3.5 (1 + 3.5 + 6.125 + 7.1458333) - e^-4.5 (1 + 4.5 + 10.125 + 15.1875) = 0.5366327 - 0.3422960
    np.testing.assert_allclose(pmf[4], 0.1943367, atol=1e-7)
    assert pmf.dtype == np.float64 and abs(pmf.sum() - 1) < 1e-12 and 1 - erlang(len(pmf) - 0.5) < 2e-14


def test_rounding_gamma_keeps_the_mean_and_adds_a_twelfth_to_the_variance():
    """Sheppard's correction: a smooth density spread over many units."""
    pmf = built("gamma", mean=40, cv=0.4).pmf()
    units = np.arange(len(pmf))
    mean = pmf @ units
    np.testing.assert_allclose([mean, pmf @ units**2 - mean**2], [40, 16**2 + 1 / 12], rtol=1e-6)


@pytest.mark.parametrize("name", ["gamma", "discrete"])
def test_the_distribution_is_drawn(name):
    pmf = built(name).pmf()
    if name == "discrete":
        np.testing.assert_allclose(pmf, FIELDS[name]["probabilities"], rtol=1e-12)
    assert fits(drawn(name), pmf) > ALARM
    units, demand = np.arange(len(pmf)), drawn(name).ravel()
    mean = pmf @ units
    std, fourth = np.sqrt(pmf @ (units - mean) ** 2), pmf @ (units - mean) ** 4
    assert abs(demand.mean() - mean) < bound(2) * std / np.sqrt(demand.size)
    # the standard error of the sample variance is sqrt((fourth moment - variance^2) / n)
    assert abs(demand.var() - std**2) < bound(2) * np.sqrt((fourth - std**4) / demand.size)


@pytest.mark.parametrize("mean, cv", [(0.2, 1.5), (5000, 0.1), (30, 3)])
def test_gamma_far_from_the_usual(mean, cv):
    scenario = gamma.create(mean=mean, cv=cv, items=ITEMS)
    distribution = stats.gamma(1 / cv**2, scale=mean * cv**2)
    demand = np.asarray(scenario.paths(KEY, N, HORIZON))
    values = np.arange(int(demand.max()) + 1)
    assert abs(scenario.pmf().sum() - 1) < 1e-12
    # Kolmogorov-Smirnov on whole numbers errs on the side of no alarm
    distance = np.abs(np.cumsum(np.bincount(demand.ravel().astype(int))) / demand.size - distribution.cdf(values + 0.5)).max()
    assert stats.kstwo.sf(distance, demand.size) > ALARM


# ---- around a profile


def level(period, mean=12, annual=0.3, weekly=0.4, trend=0.2):
    """Expected demand by hand, from the formula of the profile."""
    waves = annual * np.sin(2 * np.pi * period / 365.25) + weekly * np.sin(2 * np.pi * period / 7)
    return mean * (1 + trend) ** (period / 365.25) * (1 + waves)


@pytest.mark.parametrize("period", [0, 80, 83, 1000, -7])
def test_the_probabilities_of_a_period_are_poisson_around_the_profile(period):
    pmf = built("seasonal_poisson").pmf_at(period)
    assert pmf.dtype == np.float64 and abs(pmf.sum() - 1) < 1e-12
    mean = pmf @ np.arange(len(pmf))
    # the profile is a float32: of an angle of 2 pi 1000 / 7 = 898 it knows 2^-24 x 898 = 5e-5
    np.testing.assert_allclose(mean, level(period), rtol=1e-5 if abs(period) < 100 else 1e-4)
    np.testing.assert_allclose(pmf, stats.poisson(mean).pmf(np.arange(len(pmf))), rtol=1e-7, atol=1e-13)
    assert stats.poisson(mean).sf(len(pmf) - 1) < 1e-13


@pytest.mark.parametrize("mean", [0.5, 12, 400])
def test_every_period_has_its_own_distribution(mean):
    scenario = built("seasonal_poisson", mean=mean)
    demand = np.asarray(scenario.paths(KEY, N, HORIZON, START))
    chances = [fits(demand[:, time], _long(scenario.pmf_at(START + time), demand.max())) for time in range(HORIZON)]
    assert min(chances) > ALARM / HORIZON
    means = np.array([level(START + time, mean=mean) for time in range(HORIZON)])[:, None]
    assert (np.abs(demand.mean(0) - means) < bound(HORIZON * ITEMS) * np.sqrt(means / N)).all()
    assert means.max() / means.min() > 1.8


def _long(pmf, largest):
    """With as many values as demand has."""
    return np.pad(pmf, (0, max(0, int(largest) + 1 - len(pmf))))


# ---- refusals

NAN = float("nan")
GIVEN = {gamma.create: FIELDS["gamma"], discrete.create: FIELDS["discrete"], seasonal_poisson.create: FIELDS["seasonal_poisson"]}
WRONG = [
    *[(create, "items", (0, 1.5, "2", None, True)) for create in GIVEN],
    *[(create, "mean", (0, -1, NAN, "5", None, 1e7)) for create in (gamma.create, seasonal_poisson.create)],
    (gamma.create, "cv", (0, -0.1, 4, NAN, None)),
    (discrete.create, "probabilities", (0.5, None, [], [0.5, 0.4], [0.7, 0.4], [1.0], "half")),
    (seasonal_poisson.create, "annual", (-0.1, 1.1, NAN, "0.1")),
    (seasonal_poisson.create, "weekly", (-0.1, 1.1, NAN, "0.1")),
    (seasonal_poisson.create, "trend", (-1, 11, NAN)),
]
REFUSED = [(create, {field: value}, field) for create, field, values in WRONG for value in values] + [
    (discrete.create, dict(probabilities=[-0.5, 1.5]), r"probabilities\[0\]"),
    (discrete.create, dict(probabilities=[0.5, NAN]), r"probabilities\[1\]"),
    (seasonal_poisson.create, dict(annual=0.7, weekly=0.3), r"annual \+ scenario.weekly"),
]


@pytest.mark.parametrize("create, wrong, field", REFUSED, ids=lambda part: getattr(part, "__module__", str(part)))
def test_refused_naming_the_field(create, wrong, field):
    create(**GIVEN[create], items=1)
    with pytest.raises(ValueError, match=rf"^scenario\.{field} must be "):
        create(**GIVEN[create] | {"items": 1} | wrong)
