"""Demand in whole steps with a given mean and standard deviation, for many periods and items at once."""

from typing import Any

import numpy as np

from invbench.checks import require, whole

SMALL = 1e-9


def fitted(mean: Any, std: Any, support: int, step: Any = 1.0) -> np.ndarray:
    """Probabilities [period, support, item] of 0, 1, 2, … steps; mean, std: [period, item] units, step: [item] units.

    With c the coefficient of variation and a = c^2 - 1 / mean, both in steps: negative binomial for a > 0, Poisson for a = 0, a
    mixture of two binomials for a < 0 (Adan, van Eenige and Resing 1995, Probability in the Engineering and Informational
    Sciences 9(4), 623-632, who mix two negative binomials in place of one whose number of successes is not whole). Mean and
    std are met but for two things: what lies beyond the support counts as its last step (see `steps`), and whole steps
    have at least the variance f (1 - f), where f is the fraction of a step in the mean. Raises ValueError.
    """
    mean, std, step = np.asarray(mean, float), np.asarray(std, float), np.asarray(step, float)
    support = whole("operational.support", support, low=2)
    require(mean.ndim == 2 and mean.shape == std.shape, "operational.std", f"of the mean's shape {mean.shape}", std.shape)
    require(bool((mean >= 0).all() and np.isfinite(mean).all()), "operational.mean", ">= 0", float(np.min(mean)))
    require(bool((std >= 0).all() and np.isfinite(std).all()), "operational.std", ">= 0", float(np.min(std)))
    mean, variance = mean / step, (std / step) ** 2
    fraction = mean % 1
    variance = np.maximum(variance, fraction * (1 - fraction))
    pmf = np.empty((len(mean), support, mean.shape[1]))
    for family, chosen in ((_dispersed, variance >= mean), (_concentrated, variance < mean)):
        period, item = np.nonzero(chosen)
        pmf[period, :, item] = family(mean[chosen], variance[chosen], support)
    pmf[:, -1] += np.maximum(1 - pmf.sum(1), 0)
    pmf /= pmf.sum(1, keepdims=True)
    return pmf


def steps(mean: Any, std: Any, support: int) -> np.ndarray:
    """[item] the least whole number of units such that mean and six standard deviations of every period fit the support."""
    return np.maximum(1, np.ceil((np.asarray(mean) + 6 * np.asarray(std)).max(0) / (support - 1)))


def _dispersed(mean: np.ndarray, variance: np.ndarray, support: int) -> np.ndarray:
    """Negative binomial with r = mean^2 / (variance - mean); Poisson where these are equal. By the ratio of neighbours."""
    more = np.maximum(variance - mean, 0)
    safe = np.maximum(variance, SMALL)
    rate = np.maximum(mean, SMALL)
    poisson = more <= SMALL * rate
    number = rate**2 / np.where(poisson, 1, more)
    none = np.where(poisson, -rate, number * np.log(np.minimum(rate / safe, 1)))
    k = np.arange(support - 1)
    ratio = np.where(poisson[:, None], rate[:, None], (rate**2 / safe)[:, None] + k * (more / safe)[:, None]) / (k + 1)
    return _chained(none, ratio)


def _concentrated(mean: np.ndarray, variance: np.ndarray, support: int) -> np.ndarray:
    """A mixture of binomials of k and k + 1 trials, where -1/k <= a < -1/(k + 1)."""
    rate = np.maximum(mean, SMALL)
    a = np.minimum(variance / rate**2 - 1 / rate, -SMALL)
    k = np.maximum(np.floor(-1 / a * (1 + 1e-12)), 1)
    inner = np.sqrt(np.maximum(-a * k * (1 + k) - k, 0))
    single = 1 + a <= SMALL  # one trial: the mean is at most 1, and the variance the least there is
    share = np.where(single, 1, np.clip((1 + a * (1 + k) + inner) / np.where(single, 1, 1 + a), 0, 1))
    chance = np.clip(rate / (k + 1 - share), 0, 1)
    pair = (_binomial(trials, chance, support) for trials in (k, k + 1))
    return share[:, None] * next(pair) + (1 - share[:, None]) * next(pair)


def _binomial(trials: np.ndarray, chance: np.ndarray, support: int) -> np.ndarray:
    inside = np.clip(chance, SMALL**2, 1 - 1e-15)
    k = np.arange(support - 1)
    ratio = np.maximum(trials[:, None] - k, 0) / (k + 1) * (inside / (1 - inside))[:, None]
    return _chained(trials * np.log1p(-inside), ratio)


def _chained(first: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """Probabilities [case, support] from the logarithm of the first [case] and the ratios of neighbours [case, support - 1]."""
    with np.errstate(divide="ignore"):
        logs = np.cumsum(np.concatenate([first[:, None], np.log(ratio)], 1), 1)
    return np.exp(logs)
