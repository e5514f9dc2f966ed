"""Demand processes against the distributions that they promise. Statistical tests: fixed keys, false-alarm rate 1e-4 each."""

from functools import lru_cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy import stats

from invbench import configs, costs, problem, run
from invbench.dynamics import single
from invbench.scenarios import (
    autoregressive,
    geometric,
    intermittent,
    negative_binomial,
    normal,
    poisson,
    profile,
    regime_switching,
    uniform_discrete,
)  # fmt: skip
from invbench.scenarios.base import cut, thresholds
from invbench.scenarios.discrete import from_pmf

ALARM = 1e-4
KEY = jax.random.key(11)
N, HORIZON, ITEMS = 4000, 20, 2  # the same for all, so that few shapes compile
PROFILES = ("stable", "seasonal", "trend", "trend_down", "dynamic")
DISCRETE = ("poisson", "geometric", "negative_binomial", "uniform_discrete", "intermittent")
NAMES = (*PROFILES, *DISCRETE, "normal", "autoregressive", "regime_switching")


FLAT = dict(mean=50, cv=0.2, annual=0, weekly=0, trend=0, distribution="normal", noise="proportional")
FIELDS = {
    "stable": FLAT,
    "seasonal": FLAT | dict(annual=0.2, weekly=0.1),
    "trend": FLAT | dict(trend=0.3),
    "trend_down": FLAT | dict(trend=-0.3),
    "dynamic": FLAT | dict(annual=0.3, weekly=0.1, trend=0.05),
    "poisson": dict(mean=5),
    "geometric": dict(mean=5),
    "negative_binomial": dict(mean=50, dispersion=4),
    "uniform_discrete": dict(low=0, high=100),
    "intermittent": dict(probability=0.2, size=5),
    "normal": dict(mean=50, std=10),
    "autoregressive": dict(mean=50, cv=0.2, correlation=0.7),
    "regime_switching": dict(means=[30, 50, 90], stay=0.95, cv=0.15),
}


def built(name, **changes):
    """The scenario of a YAML with the fields of this test, every one of them, and no others."""
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "scenario" / f"{name}.yaml"))
    given = FIELDS[name] | {"items": ITEMS} | changes
    assert {"_target_", *given} == set(plain)
    return run.build(plain | given)


@lru_cache
def drawn(name, start=0):
    """[n, period, item] float64."""
    return np.asarray(built(name).paths(KEY, N, HORIZON, start), np.float64)


def bound(tests=1):
    """How many standard errors one of so many two-sided tests may be off."""
    return stats.norm.isf(ALARM / 2 / tests)


# ---- what holds for every process


def test_every_scenario_with_a_yaml_is_tested():
    elsewhere = {
        "history",
        "gamma",
        "discrete",
        "seasonal_poisson",
        "given",
        "level_shift",
        "holidays",
    }  # these have tests of their own
    assert {*NAMES, *elsewhere} == set(configs.groups()["scenario"])


@pytest.mark.parametrize("name", NAMES)
def test_paths_have_their_shape_and_are_never_negative(name):
    paths = built(name).paths(KEY, N, HORIZON)
    assert paths.shape == (N, HORIZON, ITEMS) and paths.dtype == jnp.float32
    assert np.isfinite(paths).all() and (paths >= 0).all()
    assert len(np.unique(paths)) > 10


@pytest.mark.parametrize("name", NAMES)
def test_one_key_draws_the_same_bytes_and_another_key_others(name):
    np.testing.assert_array_equal(built(name).paths(KEY, N, HORIZON), drawn(name))
    assert (built(name).paths(jax.random.key(12), N, HORIZON) != drawn(name)).mean() > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_items_are_independent(name):
    """Correlation of the two items over independent paths."""
    period = drawn(name)[:, 5]
    assert abs(np.corrcoef(period.T)[0, 1]) < bound() / np.sqrt(N)


@pytest.mark.parametrize("name", [*PROFILES, *DISCRETE, "normal"])
def test_periods_are_independent(name):
    """Correlation of neighbouring periods, each seen over independent paths."""
    now, next_one = drawn(name)[:, 5, 0], drawn(name)[:, 6, 0]
    assert abs(np.corrcoef(now, next_one)[0, 1]) < bound() / np.sqrt(N)


# mean and CV: by hand from FIELDS and the formula of each docstring
MOMENTS = {
    "poisson": (5, 5**-0.5),
    "geometric": (5, (1 + 1 / 5) ** 0.5),
    "negative_binomial": (50, (4 / 50) ** 0.5),
    "uniform_discrete": (50, ((101**2 - 1) / 12) ** 0.5 / 50),
    "intermittent": (0.2 * 5, ((2 * 5 - 1) / (0.2 * 5) - 1) ** 0.5),
    "normal": (50, 10 / 50),
    "autoregressive": (50, 0.2),
    # (30^2 + 50^2 + 90^2) / 3 (1 + 0.15^2) = 3919.58; mean 170 / 3; variance 3919.58 - 3211.11 = 708.47
    "regime_switching": (170 / 3, 708.4722**0.5 / (170 / 3)),
}


@pytest.mark.parametrize("name", MOMENTS)
def test_moments(name):
    """Mean and CV of one period over independent paths; the last one too, because processes are stationary."""
    mean, cv = MOMENTS[name]
    for period in (0, HORIZON - 1):
        demand = drawn(name)[:, period].ravel()
        std, kurtosis = demand.std(), stats.kurtosis(demand, fisher=False)
        assert abs(demand.mean() - mean) < bound(4) * std / np.sqrt(demand.size)
        # delta method: the standard error of the standard deviation is std sqrt((kurtosis - 1) / 4n)
        assert abs(std - cv * mean) < bound(4) * std * np.sqrt((kurtosis - 1) / (4 * demand.size))


def test_regimes_say_their_own_moments():
    np.testing.assert_allclose(built("regime_switching").moments(), MOMENTS["regime_switching"], rtol=1e-6)


# ---- profiles


@pytest.mark.parametrize("name, period, expected", [
    ("stable", 200, 50),
    ("seasonal", 365.25 / 4, 50 * (1 + 0.2 + 0.1 * np.sin(2 * np.pi * 365.25 / 28))),  # the top of the annual wave
    ("seasonal", 3, 50 * (1 + 0.2 * np.sin(6 * np.pi / 365.25) + 0.1 * np.sin(6 * np.pi / 7))),
    ("trend", 365.25, 50 * 1.3),
    ("trend", 2 * 365.25, 50 * 1.69),
    ("trend_down", 365.25, 50 * 0.7),
    ("dynamic", 365.25, 50 * 1.05 * (1 + 0.1 * np.sin(2 * np.pi * 365.25 / 7))),  # the annual wave is at zero
    ("dynamic", -7, 50 * 1.05 ** (-7 / 365.25) * (1 + 0.3 * np.sin(-14 * np.pi / 365.25))),  # the weekly one is
])  # fmt: skip
def test_profile_by_hand(name, period, expected):
    np.testing.assert_allclose(built(name).profile(jnp.array([period]))[0], expected, rtol=1e-5)


@pytest.mark.parametrize("name", PROFILES)
def test_demand_lies_around_its_profile(name):
    """Mean of every period, and Kolmogorov-Smirnov: the noise is normal with CV 0.2 of the profile."""
    scenario, start = built(name), 91
    level = np.asarray(scenario.profile(start + jnp.arange(HORIZON, dtype=jnp.float32)), np.float64)[:, None]
    noise = (drawn(name, start) / level - 1) / 0.2  # cut off at -5, where 3e-7 are
    assert (np.abs(noise.mean(0)) < bound(HORIZON * ITEMS) / np.sqrt(N)).all()
    assert stats.kstest(noise.ravel(), "norm").pvalue > ALARM


def test_lognormal_noise():
    noise = built("seasonal", distribution="lognormal", cv=0.8)
    paths = np.asarray(noise.paths(KEY, N, HORIZON), np.float64)
    ratios = paths / np.asarray(noise.profile(jnp.arange(HORIZON, dtype=jnp.float32)))[:, None]
    sigma = np.sqrt(np.log(1 + 0.8**2))
    assert stats.kstest(ratios.ravel(), stats.lognorm(sigma, scale=np.exp(-(sigma**2) / 2)).cdf).pvalue > ALARM
    assert abs(ratios.mean() - 1) < bound() * 0.8 / np.sqrt(ratios.size)


def test_constant_noise_is_a_share_of_the_mean():
    scenario = built("dynamic", noise="constant", cv=0.15)
    level = np.asarray(scenario.profile(91 + jnp.arange(HORIZON, dtype=jnp.float32)))[:, None]
    deviations = (np.asarray(scenario.paths(KEY, N, HORIZON, 91), np.float64) - level) / (0.15 * 50)
    assert stats.kstest(deviations.ravel(), "norm").pvalue > ALARM


@pytest.mark.parametrize("name", ["seasonal", "trend", "dynamic"])
def test_a_later_start_goes_on_with_the_profile(name):
    scenario = built(name)
    ratios = [drawn(name, start) / np.asarray(scenario.profile(start + jnp.arange(HORIZON)))[:, None] for start in (0, 91)]
    np.testing.assert_allclose(*ratios, rtol=1e-5)
    assert not np.allclose(drawn(name), drawn(name, 91), rtol=1e-2)


# ---- discrete demand

MASSES = {
    "poisson": (stats.poisson(5), 0),
    "geometric": (stats.geom(1 / 6, loc=-1), 0),
    "negative_binomial": (stats.nbinom(50 / 3, 1 / 4), 0),
    "uniform_discrete": (stats.randint(0, 101), 0),
    "intermittent": (stats.geom(1 / 5), 0.8),  # the second: probability of none beside the distribution
}
LARGE = {
    "poisson of 10,000": (poisson.create(mean=10_000, items=ITEMS), stats.poisson(10_000)),
    "poisson of 0.01": (poisson.create(mean=0.01, items=ITEMS), stats.poisson(0.01)),
    "geometric of 10,000": (geometric.create(mean=10_000, items=ITEMS), stats.geom(1 / 10_001, loc=-1)),
    "geometric of 0.05": (geometric.create(mean=0.05, items=ITEMS), stats.geom(1 / 1.05, loc=-1)),
    "negative binomial of 300": (negative_binomial.create(mean=300, dispersion=40, items=ITEMS), stats.nbinom(300 / 39, 1 / 40)),
    "uniform from 40 on": (uniform_discrete.create(low=40, high=45, items=ITEMS), stats.randint(40, 46)),
}


def fits(demand, cdf):
    """p of a chi-square test on at most 60 classes, as equally likely as they can be. cdf: of 0, 1, 2, …"""
    edges = np.unique(np.searchsorted(cdf, np.arange(1, 60) / 60))  # the last value of each class
    chance = np.diff(np.concatenate([[0], cdf[edges], [1]]))
    counts = np.bincount(np.searchsorted(edges, demand.ravel()), minlength=len(chance))
    kept = chance * demand.size > 5
    assert counts[~kept].sum() <= 20
    return stats.chisquare(counts[kept], chance[kept] / chance[kept].sum() * counts[kept].sum()).pvalue


@pytest.mark.parametrize("name", MASSES)
def test_discrete_demand_has_its_distribution(name):
    distribution, none = MASSES[name]
    pmf = built(name).pmf()
    expected = (1 - none) * distribution.pmf(np.arange(len(pmf)))
    expected[0] += none
    np.testing.assert_allclose(pmf, expected, rtol=1e-9, atol=1e-13)
    assert pmf.dtype == np.float64 and abs(pmf.sum() - 1) < 1e-12
    assert fits(drawn(name), np.cumsum(expected)) > ALARM


@pytest.mark.parametrize("name", LARGE)
def test_discrete_demand_far_from_the_usual(name):
    scenario, distribution = LARGE[name]
    pmf = scenario.pmf()
    np.testing.assert_allclose(pmf, distribution.pmf(np.arange(len(pmf))), rtol=1e-9, atol=1e-13)
    assert abs(pmf.sum() - 1) < 1e-12
    demand = np.asarray(scenario.paths(KEY, N, HORIZON))
    assert (demand == np.round(demand)).all()
    assert fits(demand, distribution.cdf(np.arange(int(demand.max()) + 2))) > ALARM


def test_any_probability_mass_function_is_drawn():
    pmf = np.array([0, 0.5, 0, 0.2, 0.3, 0])
    scenario = from_pmf(pmf, ITEMS)
    demand = np.asarray(scenario.paths(KEY, N, HORIZON)).astype(int)
    counts = np.bincount(demand.ravel(), minlength=6)
    assert (counts[[0, 2, 5]] == 0).all()
    assert stats.chisquare(counts[[1, 3, 4]], demand.size * pmf[[1, 3, 4]]).pvalue > ALARM
    np.testing.assert_array_equal(from_pmf(np.array([0, 0, 1.0]), ITEMS).paths(KEY, N, HORIZON), np.full((N, HORIZON, ITEMS), 2))


def test_thresholds_and_tail_by_hand():
    # CDF 0, 1/4, 3/4, 1 in units of 2^-32: demand starts at 1; below 2^30 bits it is 1, below 3 2^30 it is 2, else 3
    first, ladder = thresholds(np.array([0, 0.25, 0.5, 0.25]))
    assert first == 1 and ladder.tolist() == [2**30, 3 * 2**30]
    np.testing.assert_allclose(cut(np.array([0.5, 0.4, 0.1 - 1e-15, 1e-15, 0])), [0.5, 0.4, 0.1], rtol=1e-12)


# ---- processes with memory


@pytest.mark.parametrize("correlation", [0.7, -0.5])
def test_autoregressive_demand_forgets_at_its_rate(correlation):
    """Correlation r over one period, r^2 over two, from the first period on; the noise is normal (Kolmogorov-Smirnov)."""
    paths = np.asarray(built("autoregressive", correlation=correlation).paths(KEY, N, HORIZON), np.float64)
    noise = (paths[:, :, 0] - 50) / 10
    for first, lag in ((0, 1), (HORIZON - 3, 1), (0, 2), (HORIZON - 3, 2)):
        products = noise[:, first] * noise[:, first + lag]
        assert abs(products.mean() - correlation**lag) < bound(4) * products.std() / np.sqrt(N)
    assert stats.kstest(noise[:, 0], "norm").pvalue > ALARM / 2 and stats.kstest(noise[:, -1], "norm").pvalue > ALARM / 2


def test_regimes_stay_and_jump_as_they_should():
    """Chi-square on all pairs of neighbouring periods without noise: stay 0.95, else to each other regime alike."""
    means = np.array([30, 50, 90])
    paths = np.asarray(built("regime_switching", cv=0).paths(KEY, N, HORIZON))[:, :, 0]
    regimes = np.searchsorted(means, paths)
    np.testing.assert_array_equal(means[regimes], paths)
    for period in (0, HORIZON - 1):
        assert stats.chisquare(np.bincount(regimes[:, period], minlength=3)).pvalue > ALARM / 3
    jumps = ((regimes[:, 1:] - regimes[:, :-1]) % 3).ravel()
    assert stats.chisquare(np.bincount(jumps, minlength=3), jumps.size * np.array([0.95, 0.025, 0.025])).pvalue > ALARM / 3


def test_regimes_that_never_change_and_always_change():
    stays, moves = (np.asarray(built("regime_switching", cv=0, stay=stay).paths(KEY, N, HORIZON)) for stay in (1, 0))
    assert (stays[:, 1:] == stays[:, :-1]).all() and (moves[:, 1:] != moves[:, :-1]).all()


# ---- out of distribution


def test_judging_on_a_shifted_scenario():
    """The same file with another mean: methods see 50, the evaluation 60 (z-test on the mean of all paths)."""
    cost = costs.CostModel(20.0, 10.0, 2.0, 10.0, 50.0, 0.0)
    system = single.create(lead_time=1, backlog=False)
    rest = dict(information="known", history=60, window=7, horizon=HORIZON, seed=0, evaluation_seed=0)
    made = problem.create(built("stable"), system, cost, judged_on=built("stable", mean=60), **rest)
    for paths, mean in ((made.training_paths(KEY, 500), 50), (made.validation_paths(500), 50), (made.evaluation_paths(500), 60)):
        values = np.asarray(paths.demand, np.float64)
        assert abs(values.mean() - mean) < bound(3) * 0.2 * mean / np.sqrt(values.size)


# ---- refusals

GIVEN = {
    profile.create: FIELDS["seasonal"],
    normal.create: FIELDS["normal"],
    poisson.create: FIELDS["poisson"],
    geometric.create: FIELDS["geometric"],
    negative_binomial.create: FIELDS["negative_binomial"],
    uniform_discrete.create: FIELDS["uniform_discrete"],
    intermittent.create: FIELDS["intermittent"],
    autoregressive.create: FIELDS["autoregressive"],
    regime_switching.create: FIELDS["regime_switching"],
}
NAN = float("nan")
WRONG = [  # one field, and values that it must not have
    *[(create, "items", (0, 1.5, "2", None, True)) for create in GIVEN],
    *[(create, "mean", (0, -1, NAN, "5", None)) for create, given in GIVEN.items() if "mean" in given],
    (poisson.create, "mean", (1e7,)),
    (geometric.create, "mean", (1e5,)),
    (negative_binomial.create, "mean", (1e6,)),
    (profile.create, "cv", (-0.1, 0.34, NAN, None)),
    (profile.create, "annual", (-0.1, 1.1, NAN, "0.1")),
    (profile.create, "weekly", (-0.1, 1.1, NAN, "0.1")),
    (profile.create, "trend", (-1, 11, NAN)),
    (profile.create, "distribution", ("gamma", None)),
    (profile.create, "noise", ("white", None)),
    (normal.create, "std", (-1, 17, NAN, None)),
    (negative_binomial.create, "dispersion", (1, 0.5, 1e5, NAN)),
    (uniform_discrete.create, "low", (-1, 0.5, None)),
    (uniform_discrete.create, "high", (-1, 0, 2.5, NAN)),
    (intermittent.create, "probability", (0, 1.1, -0.2, NAN)),
    (intermittent.create, "size", (0.9, 1e5, NAN)),
    (autoregressive.create, "cv", (-0.1, 0.34, NAN)),
    (autoregressive.create, "correlation", (1, -1, 1.2, NAN, None)),
    (regime_switching.create, "means", ([30], 30)),
    (regime_switching.create, "stay", (-0.1, 1.1, NAN)),
    (regime_switching.create, "cv", (-0.1, 0.34, NAN)),
]
REFUSED = [(create, {field: value}, field) for create, field, values in WRONG for value in values] + [
    (profile.create, dict(cv=11, distribution="lognormal"), "cv"),
    (profile.create, dict(noise="constant", cv=0.24), "cv"),  # at the bottom of the waves 0.7 is left: at most 0.7 / 3
    (profile.create, dict(noise="constant", cv=0.2, trend=-0.9), "(cv|trend|noise)"),  # in a year the level is below the noise
    (profile.create, dict(noise="constant", distribution="lognormal"), "noise"),
    (profile.create, dict(annual=0.9, weekly=0.1), r"annual \+ scenario.weekly"),
    (uniform_discrete.create, dict(low=101), "high"),
    (regime_switching.create, dict(means=[0, 30]), r"means\[0\]"),
    (regime_switching.create, dict(means=[30, NAN]), r"means\[1\]"),
]


@pytest.mark.parametrize("create, wrong, field", REFUSED, ids=lambda part: getattr(part, "__module__", str(part)))
def test_refused_naming_the_field(create, wrong, field):
    create(**GIVEN[create], items=1)
    with pytest.raises(ValueError, match=rf"^scenario\.{field} must be "):
        create(**GIVEN[create] | {"items": 1} | wrong)
