"""Risk of net benefit over paths: spread, risk-adjusted mean, and the mean of the worst paths."""

import numpy as np

from invbench.evaluation.statistics import Estimate, mean

FEWEST_PATHS = 500  # under this many, a 5 % tail has too few paths to say anything


def spread(values: np.ndarray) -> float | None:
    """Standard deviation over paths [path] (ddof 1); None for one path."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def risk_adjusted(values: np.ndarray, aversion: float) -> float | None:
    """mean - aversion x standard deviation."""
    deviation = spread(values)
    return None if deviation is None else float(np.mean(values) - aversion * deviation)


def cvar(values: np.ndarray, tail: float = 0.05) -> Estimate | None:
    """Mean of the worst `tail` share of paths, with its interval; None (withheld) under 500 paths.

    max over eta of eta - E[(eta - X)+] / tail (Rockafellar and Uryasev 2000, Journal of Risk 2, 21-41), reached at the
    tail quantile; the interval is that of the mean of what stands in the brackets there.
    """
    if len(values) < FEWEST_PATHS:
        return None
    values = np.asarray(values, np.float64)
    eta = np.quantile(values, tail, method="inverted_cdf")
    return mean(eta - np.maximum(eta - values, 0) / tail)
