"""What every demand process offers: paths, and for discrete ones the probability mass function."""

import jax
import jax.numpy as jnp
import numpy as np

from invbench.types import Array


class Scenario:
    """A demand process; a pytree, so that one compiled draw serves every parameter value."""

    items: int

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        """[horizon, n, item] units for periods start, start + 1, …: pure, and time-major as the replay reads it."""
        raise NotImplementedError

    def paths(self, key: Array, n: int, horizon: int, start: int = 0) -> Array:
        """[n, horizon, item] units."""
        return jnp.swapaxes(draw(self, key, n, horizon, start), 0, 1)


@jax.jit(static_argnames=("n", "horizon"))
def draw(scenario: Scenario, key: Array, n: int, horizon: int, start: Array | int) -> Array:
    """`scenario.draw`, compiled."""
    return scenario.draw(key, n, horizon, start)


class DiscreteScenario(Scenario):
    """Independent whole-number demand, the same in every period: drawn by inverse CDF from a table.

    `thresholds` [support - 1] uint32 are the CDF scaled to 2^32; a draw counts those that 32 random bits reach.
    """

    first: int  # smallest demand
    thresholds: Array
    items: int

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        bits = jax.random.bits(key, (horizon, n, self.items))
        return (self.first + _count(bits, self.thresholds)).astype(jnp.float32)

    def pmf(self) -> np.ndarray:
        """[support] float64: probability of demand 0, 1, 2, …, cut where less than 1e-14 is left; sums to 1."""
        raise NotImplementedError


def thresholds(pmf: np.ndarray) -> tuple[int, Array]:
    """The smallest demand with positive probability, and the scaled CDF from there on. pmf: [support] float64."""
    scaled = np.round(np.cumsum(pmf) * 2.0**32)
    first = int(np.argmax(scaled > 0))
    return first, jnp.asarray(scaled[first:][scaled[first:] < 2.0**32].astype(np.uint32))


def _count(bits: Array, ladder: Array) -> Array:
    """How many steps of the ladder are <= bits: compared with all where few, by binary search where many. int32."""
    size = ladder.shape[0]
    if size <= 32:
        return sum(((bits >= ladder[step]).astype(jnp.int32) for step in range(size)), jnp.zeros_like(bits, jnp.int32))
    found = jnp.zeros_like(bits, jnp.int32)
    for jump in (1 << power for power in reversed(range(size.bit_length()))):
        reaches = (found + jump <= size) & (bits >= ladder[jnp.minimum(found + jump, size) - 1])
        found = jnp.where(reaches, found + jump, found)
    return found


def cut(pmf: np.ndarray, tail: float = 1e-14) -> np.ndarray:
    """A probability mass function without its negligible upper tail, scaled to sum to 1."""
    size = len(pmf) - int(np.argmax(np.cumsum(pmf[::-1]) > tail))
    return pmf[:size] / pmf[:size].sum()
