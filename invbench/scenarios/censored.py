"""Demand behind sales that were cut off: the distribution that cut-off values come from, and what lies above each of them.

Source: Kaplan and Meier 1958, "Nonparametric estimation from incomplete observations", Journal of the American Statistical
Association 53(282), 457-481; the largest value counts as seen (Efron 1967).
"""

import numpy as np

GOLDEN = (5**0.5 - 1) / 2  # its multiples spread evenly over (0, 1)


def masses(values: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows in rising order [period, item], and the probability [period, item] of each of them so ordered.

    values: [period, item]; seen: bool, False where the true value is this or more.
    """
    order = np.lexsort((~seen, values), axis=0)  # of equals those that were seen first
    events = np.take_along_axis(seen, order, 0)
    events[-1] = True
    left = 1 - events / np.arange(len(values), 0, -1)[:, None]
    survival = np.cumprod(left, axis=0)
    before = np.concatenate([np.ones_like(survival[:1]), survival[:-1]])
    return order, before - survival


def expected(values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """[period, item] the values, and where they were cut off the mean of what lies above (the value itself if nothing does)."""
    order, mass = masses(values, seen)
    ranked = np.take_along_axis(values, order, 0)
    above, weighted = (_after(part) for part in (mass, mass * ranked))
    means = np.where(above > 1e-12, weighted / np.maximum(above, 1e-12), ranked)
    means = np.where(np.take_along_axis(seen, order, 0), ranked, np.maximum(means, ranked))
    found = np.empty_like(ranked)
    np.put_along_axis(found, order, means, 0)
    return found


def drawn(values: np.ndarray, seen: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """[period, item] the values, and where they were cut off values from what lies above, spread evenly over its distribution.

    otherwise: [period, item] what stands in for values of which nothing is known (cut off at 0).
    """
    found = np.where(seen, values, otherwise)
    order, mass = masses(values, seen)
    for item in np.flatnonzero((~seen & (values > 0)).any(0)):
        cumulated = np.cumsum(mass[:, item])
        ranks = np.flatnonzero(~seen[order[:, item], item] & (values[order[:, item], item] > 0))
        below = cumulated[ranks]
        wanted = below + (np.arange(1, len(ranks) + 1) * GOLDEN % 1) * (cumulated[-1] - below)
        picked = np.minimum(np.searchsorted(cumulated, wanted), len(values) - 1)
        found[order[ranks, item], item] = values[order[np.maximum(picked, ranks), item], item]
    return found


def _after(parts: np.ndarray) -> np.ndarray:
    """Sums of all rows after each row."""
    return np.cumsum(parts[::-1], axis=0)[::-1] - parts
