"""Newsvendor and base-stock in closed form: normal, lognormal, Poisson, or any discrete demand.

Equations are those of Snyder and Shen 2019, Fundamentals of Supply Chain Theory, 2nd edition. In all of them holding h and
shortage p are money per unit left and per unit missing, and stock S costs h (S - mean) + (h + p) E[(D - S)+] (equation
4.24, with the loss functions of appendix C).
"""

import math
from typing import NamedTuple

import numpy as np
from scipy import stats

from invbench.checks import number, require, whole


class Level(NamedTuple):
    """The best stock and what it costs."""

    level: float  # units on hand, or of the inventory position, once the order is placed
    cost: float  # expected money per period


def critical_fractile(*, holding: float, shortage: float) -> float:
    """p / (h + p), the probability with which the best stock meets demand: equation 4.27. Both > 0, or ValueError."""
    holding, shortage = number("holding", holding, low=0, above=True), number("shortage", shortage, low=0, above=True)
    return shortage / (shortage + holding)


def newsvendor_normal(*, holding: float, shortage: float, mean: float, std: float, lead_time: int = 0) -> Level:
    """S = m + z s, cost (h + p) s phi(z) with z the normal fractile: equations 4.30 and 4.37.

    m and s are the mean and the standard deviation of the demand of lead_time + 1 periods, which is what the inventory
    position must cover where stock is reviewed in every period and demand waits: the base-stock level, as in example 4.4.
    mean, std: units per period, std > 0; lead_time: whole periods; ValueError where they are not.
    """
    mean, std = number("mean", mean, low=0), number("std", std, low=0, above=True)
    cover = whole("lead_time", lead_time) + 1
    z, spread = stats.norm.ppf(critical_fractile(holding=holding, shortage=shortage)), std * math.sqrt(cover)
    return Level(float(mean * cover + z * spread), float((holding + shortage) * spread * stats.norm.pdf(z)))


def newsvendor_lognormal(*, holding: float, shortage: float, log_mean: float, log_std: float) -> Level:
    """S = exp(m + z s), z the normal fractile: equations 4.27 and 4.102.

    E[(D - S)+] = exp(m + s^2 / 2) P(Z <= s - z) - S P(Z > z). log_mean m, log_std s: mean and standard deviation of the
    logarithm of demand, s > 0; ValueError where they are not.
    """
    log_mean, log_std = number("log_mean", log_mean), number("log_std", log_std, low=0, above=True)
    z = stats.norm.ppf(critical_fractile(holding=holding, shortage=shortage))
    level, mean = math.exp(log_mean + z * log_std), math.exp(log_mean + log_std**2 / 2)
    missing = mean * stats.norm.cdf(log_std - z) - level * stats.norm.sf(z)
    return Level(level, float(_cost(level, mean, missing, holding, shortage)))


def newsvendor_poisson(*, holding: float, shortage: float, mean: float) -> Level:
    """The smallest S with P(D <= S) >= the fractile, for Poisson demand; mean: units, > 0, or ValueError."""
    mean = number("mean", mean, low=0, above=True)
    level = int(stats.poisson.ppf(critical_fractile(holding=holding, shortage=shortage), mean))
    return Level(level, float(poisson_cost(level, holding=holding, shortage=shortage, mean=mean)))


def poisson_cost(level: np.ndarray | int, *, holding: float, shortage: float, mean: float) -> np.ndarray:
    """Expected cost of each whole level, of its shape, for Poisson demand: E[(D - S)+] by equations C.41 and C.42."""
    level = np.asarray(level)
    missing = (mean - level) * stats.poisson.sf(level, mean) + mean * stats.poisson.pmf(level, mean)
    return _cost(level, mean, missing, holding, shortage)


def newsvendor_discrete(*, holding: float, shortage: float, pmf: list[float] | np.ndarray) -> Level:
    """The smallest S with P(D <= S) >= the fractile; pmf: [support] probability of demand 0, 1, 2, ….

    Equations C.36 and C.37. ValueError where probabilities are below 0 or do not sum to 1.
    """
    chances = np.array([number(f"pmf[{i}]", chance, low=0, high=1) for i, chance in enumerate(pmf)])
    require(abs(chances.sum() - 1) < 1e-9, "pmf", "probabilities that sum to 1", float(chances.sum()))
    fractile, demand = critical_fractile(holding=holding, shortage=shortage), np.arange(len(chances))
    level = int(np.searchsorted(chances.cumsum(), fractile - 1e-12))  # sums of probabilities are off by rounding
    missing = chances @ np.maximum(demand - level, 0)
    return Level(level, float(_cost(level, chances @ demand, missing, holding, shortage)))


def _cost(level: np.ndarray | float, mean: float, missing: np.ndarray | float, holding: float, shortage: float) -> np.ndarray:
    return holding * (level - mean) + (holding + shortage) * missing
