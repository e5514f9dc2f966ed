"""What all classical forecasters share: a profile of expected demand, scaled by a weighted mean of what was seen lately.

Lead-time demand is what arrives from the period of ordering until the order itself can be used up: lead time + 1 periods.
The forecast is base x (1 + gain x (level - 1)), where level is the weighted mean of seen / expected over the window.
"""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.problem import Problem
from invbench.types import Array, Observation, weighted_history

Z90 = 1.2815515655446004  # the standard normal's 90 % quantile


@dataclass(frozen=True)
class Forecast:
    """A fitted forecaster: params for `lead_time_demand`, and how good it was on what it was fitted to."""

    params: dict[str, Array]
    accuracy: dict[str, float]


def lead_time_demand(params: dict[str, Array], observation: Observation) -> tuple[Array, Array]:
    """[item] expected lead-time demand, and [item] the standard deviation of its forecast error, in units."""
    period = observation.time - params["start"][0]
    expected = lax.dynamic_slice_in_dim(params["profile"], period, observation.ring.shape[0])
    level = weighted_history(observation, params["weights"] / expected)
    base = params["base"][period]
    return base * (1 + params["gain"] * (level - 1)), base * params["spread"]


def calibrate(problem: Problem, demand: np.ndarray, profile: np.ndarray, weights: np.ndarray, adaptive: bool) -> Forecast:
    """Gain and spread of a forecaster with this profile and these weights.

    demand: [window + horizon + lead_time + 1, n, item] from period start - window on; profile: [the same periods, item];
    weights: [window], oldest first, summing to 1. adaptive: choose the gain by least squares, else it is 1. Where a
    history was observed, it is what gain and spread are taken from, because the simulator fitted to it does not drift.
    """
    window, cover = len(weights), problem.system.lead_time + 1
    profile = np.maximum(profile, 0.05 * profile.mean(0) + 1e-9)
    ahead = _ahead(profile, cover)[window : window + problem.horizon]
    seen, future, expected = _backtest(problem, demand, profile, weights, cover)
    deviation, surprise = seen - 1, future - 1
    gain = _gain(deviation, surprise) if adaptive else np.ones(profile.shape[1])
    errors = surprise - gain * deviation
    params = {
        "base": ahead,
        "profile": profile[: window + problem.horizon],
        "weights": np.repeat(weights[:, None], problem.items, axis=1),
        "gain": gain,
        "spread": np.sqrt((errors**2).mean((0, 1))) + 1e-6,
        "rate": ahead / cover,
    }
    params = {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}
    return Forecast(
        {**params, "start": jnp.asarray([problem.start], jnp.int32)}, _accuracy(errors * expected, future * expected, cover)
    )


def _backtest(problem: Problem, demand, profile, weights, cover) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """[period, n, item] the level seen and lead-time demand over its profile, for every period that has both; that profile."""
    if problem.history is not None and len(problem.history.sales) >= 2 * (len(weights) + cover):
        seen = problem.history.sales if problem.history.demand is None else problem.history.demand
        demand = np.asarray(seen)[-730:, None]
        profile = np.asarray(problem.scenario.profile(problem.start - len(demand) + np.arange(len(demand))))
        profile = np.maximum(profile, 0.05 * profile.mean(0) + 1e-9)
    periods = np.arange(len(weights), len(demand) - cover + 1)
    look_back = np.zeros((len(periods), len(demand)), np.float32)  # one matrix product weights every window at once
    look_back[np.arange(len(periods))[:, None], periods[:, None] - np.arange(len(weights), 0, -1)] = weights
    level = np.tensordot(look_back, (demand / profile[:, None]).astype(np.float32), axes=1)
    expected = _ahead(profile, cover)[:, None][periods]
    return level, _ahead(demand, cover)[periods] / expected, expected


def _ahead(demand: np.ndarray, cover: int) -> np.ndarray:
    """Sums over `cover` periods from each period on; one row for each period that has so many."""
    total = np.concatenate([np.zeros_like(demand[:1], dtype=np.float64), np.cumsum(demand, axis=0, dtype=np.float64)])
    return total[cover:] - total[:-cover]


def _gain(deviation: np.ndarray, surprise: np.ndarray) -> np.ndarray:
    """[item] least-squares share of the deviation seen that lasts, in [0, 1.2]; shrunk to 0 where it could be chance."""
    cross, square = (deviation * surprise).sum((0, 1)), (deviation**2).sum((0, 1)) + 1e-9
    gain = cross / square
    residual = ((surprise - gain * deviation) ** 2).mean((0, 1))
    chance = residual * 10 / square  # neighbouring periods share most of their window: count one in ten
    return np.clip(gain * gain**2 / (gain**2 + chance + 1e-12), 0, 1.2)


def _accuracy(errors: np.ndarray, future: np.ndarray, cover: int) -> dict[str, float]:
    """How good the forecast of lead-time demand was on what it was fitted to; errors and demand in units [period, n, item].

    1 - WAPE; MASE against lead-time demand being what it was one lead time and period ago (Hyndman and Koehler 2006); the
    pinball loss of the 90 % quantile, in units, with the error taken as normal.
    """
    naive = np.abs(future[cover:] - future[:-cover]).mean() if len(future) > cover else np.nan
    above = errors - Z90 * errors.std((0, 1))
    return {
        "forecast/accuracy": float(1 - np.abs(errors).sum() / max(np.abs(future).sum(), 1e-9)),
        "forecast/mase": float(np.abs(errors).mean() / naive) if naive > 0 else float("nan"),
        "forecast/pinball_90": float(np.maximum(0.9 * above, -0.1 * above).mean()),
        "forecast/bias": float(errors.mean()),
    }


def flat(window: int, within: int) -> np.ndarray:
    """[window] equal weights on the last `within` periods."""
    return np.where(np.arange(window) >= window - within, 1 / within, 0.0)


def fading(window: int, alpha: float) -> np.ndarray:
    """[window] exponential smoothing with constant alpha: the weights of a window, scaled to sum to 1."""
    weights = alpha * (1 - alpha) ** np.arange(window)[::-1]
    return weights / weights.sum()
