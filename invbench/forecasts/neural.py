"""A forecast of lead-time demand by a network that reads the window of what was seen: one network for all items and paths."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from invbench.forecasts import heads
from invbench.forecasts.heads import Head
from invbench.learning import networks, sequence
from invbench.learning.features import AHEAD, CYCLES
from invbench.scenarios import holidays
from invbench.types import Array, Observation

WAVES = 2 * len(CYCLES)
FLOOR = 0.1  # least scale of a series, as a share of the item's mean demand
STATIC = 2 + WAVES  # beside the code of the window and the window: two logarithms and today's calendar


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["encoder", "layers", "usual"],
    meta_fields=["kind", "distribution", "quantiles", "cover", "heads", "holidays"],
)
@dataclass(frozen=True, eq=False)
class Forecaster:
    """What is learned, and what its numbers mean."""

    encoder: sequence.Encoder
    layers: networks.Layers  # from the code of a window to the outputs of the head
    usual: Array  # [item] mean demand a period, units
    kind: str  # see sequence.KINDS
    distribution: str  # see heads.DISTRIBUTIONS
    quantiles: tuple[float, ...]
    cover: int  # periods of lead-time demand: lead time + 1
    heads: int  # of attention
    holidays: tuple[int, ...] = ()  # days of the year that it is told of

    @property
    def head(self) -> Head:
        """What the outputs mean."""
        return Head(self.distribution, self.quantiles)


def observed(forecaster: Forecaster, observation: Observation) -> Array:
    """[part, ..., item] the forecast of lead-time demand for what a policy sees."""
    seen = observation.history
    lanes = seen.shape[1:]
    usual = jnp.broadcast_to(forecaster.usual, lanes).reshape(-1)
    told, _ = forecast(forecaster, seen.reshape(seen.shape[0], -1), observation.time[None], usual)
    return told.reshape(-1, *lanes)


def forecast(forecaster: Forecaster, seen: Array, time: Array, usual: Array) -> tuple[Array, Array]:
    """[part, lane] the forecast of demand in periods time … time + cover - 1, and [lane] the unit that it was made in.

    seen: [window, lane] units, before `time` [lane or 1]; usual: [lane] mean demand a period. The window itself goes past the
    encoder, whose code is bounded, to the last layers: so that a forecast follows what was never seen so high (Lai et al. 2018,
    "LSTNet", arXiv 1703.07015, section 3.6).
    """
    scale = jnp.maximum(seen.mean(0), FLOOR * usual)
    periods = time + jnp.arange(-seen.shape[0], 1)[:, None]
    waves = _waves(periods.astype(seen.dtype))
    ratio = seen / scale - 1
    code = sequence.encode(forecaster.kind, forecaster.encoder, ratio, waves[:, :-1], forecaster.heads)
    known = jnp.stack([jnp.log(scale / usual), 0.3 * (jnp.log(usual) - 3)])  # about one, whatever is sold
    today = jnp.broadcast_to(waves[:, -1], (WAVES, seen.shape[1]))
    told = [code, known, today, ratio, *([_coming(forecaster, time, seen)] if forecaster.holidays else [])]
    outputs = networks.apply(forecaster.layers, jnp.concatenate(told), jax.nn.elu)
    unit = scale * forecaster.cover
    return heads.parts(forecaster.head, outputs, unit), unit


def level(forecaster: Forecaster, parts: Array, z: Array) -> Array:
    """[..., item] units that lead-time demand does not exceed with probability P(Z <= z); parts [part, ..., item]."""
    z = jnp.asarray(z).reshape(*(1,) * (parts.ndim - 1 - jnp.ndim(z)), *jnp.shape(z))
    return (heads.weights(forecaster.head, z) * parts).sum(0)


def mean(forecaster: Forecaster, parts: Array) -> Array:
    """[...] expected lead-time demand, units."""
    return jnp.tensordot(jnp.asarray(heads.mean_weights(forecaster.head)), parts, axes=1)


def _coming(forecaster: Forecaster, time: Array, seen: Array) -> Array:
    """[AHEAD, lane] 1 where the period `time` [lane or 1], or the next one and so on, is a holiday, else 0."""
    told = holidays.falls(time + jnp.arange(AHEAD)[:, None], forecaster.holidays).astype(seen.dtype)
    return jnp.broadcast_to(told, (AHEAD, seen.shape[1]))


def _waves(periods: Array) -> Array:
    """[wave, ...] sine and cosine of the week and the year."""
    angles = 2 * jnp.pi * periods / jnp.asarray(CYCLES, periods.dtype).reshape(-1, *(1,) * periods.ndim)
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
