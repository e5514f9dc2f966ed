"""Intervals: means, ratios and tail means over paths, and over training seeds where there are several."""

from typing import NamedTuple

import numpy as np
from scipy import special  # scipy.stats takes a second to import

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
    that of the paths' means over paths (slightly more than the truth: the interaction counts twice). Each level has its own
    t quantile and they add in quadrature; one quantile for both (Satterthwaite 1946) covers only 88 % with two seeds and
    93 % with three. Paths of different seeds are never pooled as if they were independent: the interval is at least as wide.
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    center = float(values.mean())
    if values.size < 2:
        return Estimate(center, None, None)
    half = _half(values, (1 - LEVEL) / 2)
    return Estimate(center, center - half, center + half)


def _half(values: np.ndarray, tail: float) -> float:
    """Half the width of the interval of the mean of [seed, path] that leaves `tail` on each side."""
    levels = [part for part in (values.mean(1), values.mean(0)) if len(part) > 1]
    return max(_quadrature(levels, tail), _quadrature([values.ravel()], tail))


def _quadrature(parts: list[np.ndarray], tail: float) -> float:
    return float(np.sqrt(sum(special.stdtrit(len(part) - 1, tail) ** 2 * part.var(ddof=1) / len(part) for part in parts)))


def p_value(values: np.ndarray) -> float | None:
    """Two-sided p of the mean of [path] or [seed, path] being zero: the interval of `mean` at level 1 - p ends at zero."""
    from scipy import optimize  # here, because it is slow to import

    values = np.atleast_2d(np.asarray(values, np.float64))
    if values.size < 2:
        return None
    center, smallest = abs(float(values.mean())), 1e-100
    if center == 0:
        return 1.0
    if _half(values, smallest) <= center:
        return 0.0
    beyond = lambda log_tail: _half(values, np.exp(log_tail)) - center  # noqa: E731
    return float(2 * np.exp(optimize.brentq(beyond, np.log(smallest), np.log(0.5), xtol=1e-12)))


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
    half = _quadrature([residual], (1 - LEVEL) / 2)
    return Estimate(value, value - half, value + half)


def holm(p_values: list[float | None]) -> list[float | None]:
    """Holm's step-down correction (Holm 1979); None stays None and does not count."""
    known = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    corrected, highest = list(p_values), 0.0
    for rank, (p, i) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        corrected[i] = highest
    return corrected
