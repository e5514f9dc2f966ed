"""Intervals: means, ratios and tail means over paths, and over training seeds where there are several."""

from typing import NamedTuple

import numpy as np
from scipy import stats

LEVEL = 0.95


class Estimate(NamedTuple):
    """A figure with its 95 % interval; the bounds are None where there is nothing to judge them by."""

    mean: float
    lower: float | None
    upper: float | None

    def scaled(self, factor: float) -> "Estimate":
        """The estimate times a constant."""
        if self.lower is None:
            return Estimate(self.mean * factor, None, None)
        low, high = sorted((self.lower * factor, self.upper * factor))
        return Estimate(self.mean * factor, low, high)


def mean(values: np.ndarray) -> Estimate:
    """The mean of values [path], or of [seed, path] in two levels, with a t interval.

    Two levels: every seed faces the same paths, so the variance of the mean is that of the seeds' means over seeds plus
    that of the paths' means over paths (slightly more than the truth: the interaction counts twice); degrees of freedom by
    Satterthwaite 1946. Paths of different seeds are never pooled as if they were independent.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    parts = [axis for axis in (values.mean(1), values.mean(0)) if len(axis) > 1]
    variances = np.array([part.var(ddof=1) / len(part) for part in parts])
    return _interval(float(values.mean()), variances, np.array([len(part) - 1 for part in parts]))


def _interval(center: float, variances: np.ndarray, freedoms: np.ndarray) -> Estimate:
    if len(variances) == 0:
        return Estimate(center, None, None)
    half = _quantile(variances, freedoms) * np.sqrt(variances.sum())
    return Estimate(center, center - float(half), center + float(half))


def _freedom(variances: np.ndarray, freedoms: np.ndarray) -> float:
    total = variances.sum()
    return float(total**2 / (variances**2 / freedoms).sum()) if total > 0 else float(freedoms.max())


def _quantile(variances: np.ndarray, freedoms: np.ndarray) -> float:
    return float(stats.t.ppf(0.5 + LEVEL / 2, _freedom(variances, freedoms)))


def p_value(values: np.ndarray) -> float | None:
    """Two-sided p of the mean of [path] or [seed, path] being zero, on the variance of `mean`; None for one value."""
    values = np.atleast_2d(np.asarray(values, np.float64))
    parts = [axis for axis in (values.mean(1), values.mean(0)) if len(axis) > 1]
    if not parts:
        return None
    variances = np.array([part.var(ddof=1) / len(part) for part in parts])
    if variances.sum() == 0:
        return 1.0 if values.mean() == 0 else 0.0
    freedom = _freedom(variances, np.array([len(part) - 1 for part in parts]))
    return float(2 * stats.t.sf(abs(values.mean()) / np.sqrt(variances.sum()), freedom))


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> Estimate:
    """Sum over sum of [path] with a linearised interval (Cochran 1977, Sampling Techniques, section 6.4); nan for 0 / 0."""
    numerator, denominator = (np.asarray(part, np.float64).ravel() for part in (numerator, denominator))
    total = denominator.sum()
    if total == 0:
        return Estimate(float("nan"), None, None)
    value = float(numerator.sum() / total)
    residual = (numerator - value * denominator) / denominator.mean()
    if len(residual) < 2:
        return Estimate(value, None, None)
    return _interval(value, np.array([residual.var(ddof=1) / len(residual)]), np.array([len(residual) - 1]))


def holm(p_values: list[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979); None stays None and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected, highest = list(p_values), 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[i] = highest
    return corrected
