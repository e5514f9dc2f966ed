"""What a network says about lead-time demand: quantiles, or a negative binomial distribution. Both are linear in their parts.

A forecast is `parts` [part, ...] in units; the level that is not exceeded with probability P(Z <= z), Z standard normal, is the
sum of `weights(z)` x parts, and the mean is the sum of `mean_weights` x parts: a forecast is made once and read at many levels.
"""

from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaln

from invbench.types import Array

DISTRIBUTIONS = "quantile", "negative_binomial"
LEAST = 1e-3  # dispersion of the negative binomial distribution, and a step between quantiles at first
SLICES = 4000  # of the probabilities that a mean is taken over


class Head(NamedTuple):
    """What the outputs of a network mean; hashable."""

    distribution: str
    quantiles: tuple[float, ...]  # ascending; of no use to the negative binomial

    @property
    def outputs(self) -> int:
        """How many the network has."""
        return len(self.quantiles) if self.distribution == "quantile" else 2

    @property
    def knots(self) -> np.ndarray:
        """[quantile] of the standard normal distribution."""
        return np.asarray([NormalDist().inv_cdf(level) for level in self.quantiles])


def parts(head: Head, outputs: Array, unit: Array) -> Array:
    """[part, ...] units, of outputs [output, ...] and the `unit` [...] that they are in.

    Quantiles: themselves, each a positive step above the one before, so that they never cross (Gasthaus et al. 2019).
    Negative binomial with mean m and variance m + a m^2: m, the standard deviation, and that times the skewness, 1 + 2 a m.
    """
    positive = jax.nn.softplus(outputs)
    if head.distribution == "quantile":
        return unit * jnp.cumsum(positive, axis=0)
    mean, dispersion = unit * positive[0] + 1e-6, positive[1] + LEAST
    return jnp.stack([mean, jnp.sqrt(mean + dispersion * mean**2), 1 + 2 * dispersion * mean])


def weights(head: Head, z: Array) -> Array:
    """[part, ...] of the level at z [...].

    Quantiles: a straight line in z between two of them, as for a normal distribution, and on beyond the outermost. Negative
    binomial: Cornish and Fisher's expansion to the third moment (1938).
    """
    if head.distribution == "negative_binomial":
        return jnp.stack([jnp.ones_like(z), z, (z**2 - 1) / 6])
    knots = head.knots
    low, high = knots[:-1].copy(), knots[1:]
    way = [(z - below) / (above - below) for below, above in zip(low, high, strict=True)]
    last = len(way) - 1
    way = [jnp.clip(t, -jnp.inf if i == 0 else 0, jnp.inf if i == last else 1) for i, t in enumerate(way)]
    return jnp.stack([1 - way[0], *(before - after for before, after in zip(way, way[1:], strict=False)), way[-1]])


def mean_weights(head: Head) -> np.ndarray:
    """[part] of the mean: the level averaged over all probabilities."""
    if head.distribution == "negative_binomial":
        return np.asarray([1, 0, 0], np.float32)
    chances = (np.arange(SLICES) + 0.5) / SLICES
    z = np.asarray([NormalDist().inv_cdf(chance) for chance in chances], np.float32)
    with jax.ensure_compile_time_eval():
        return np.asarray(weights(head, jnp.asarray(z))).mean(1)


def loss(head: Head, parts: Array, demand: Array, unit: Array) -> Array:
    """[...] what a forecast is taught by; demand [...] in units.

    Quantiles: the pinball loss in `unit`s, over all of them (Koenker and Bassett 1978). Negative binomial: minus the
    log-likelihood, which also serves demand that is not whole (Salinas et al. 2020, "DeepAR").
    """
    if head.distribution == "quantile":
        levels = jnp.asarray(head.quantiles).reshape(-1, *(1,) * demand.ndim)
        short = (demand - parts) / unit
        return jnp.maximum(levels * short, (levels - 1) * short).mean(0)
    mean, size = parts[0], 2 * parts[0] / (parts[2] - 1)  # 1 / a
    chance = gammaln(demand + size) - gammaln(size) - gammaln(demand + 1)
    return -(chance - size * jnp.log1p(mean / size) + demand * (jnp.log(mean) - jnp.log(size + mean)))


def bias(head: Head, demand: np.ndarray) -> Array:
    """[output] of the last layer, with which a network that says nothing else forecasts `demand` [n], in units of its own."""
    if head.distribution == "quantile":
        steps = np.diff(np.quantile(demand, head.quantiles), prepend=0)
    else:
        mean = demand.mean()
        steps = np.asarray([mean, demand.var() / max(mean, LEAST) ** 2])
    return jnp.asarray(np.log(np.expm1(np.maximum(steps, LEAST))), jnp.float32)
