"""A simulator fitted to a history: level, trend, weekly and annual profile, known holidays, and the noise as it was seen.

The profile is a log-linear model fitted by iteratively reweighted least squares (quasi-Poisson; McCullagh and Nelder 1989,
ch. 9), so that low and intermittent demand needs no other model. Each part is kept, item by item, only where the Bayesian
information criterion says that it earns its parameters, counting autocorrelated periods for what they are worth. Where the
last weeks say that the level has moved, by more than chance, the level follows them. The noise is what the profile leaves:
ratios of demand to profile, drawn in blocks of consecutive periods (moving-block bootstrap, Kunsch 1989, Annals of Statistics
17), so that dispersion, intermittency and autocorrelation are those of the history. Where sales were cut off by an empty shelf,
demand is what is to be expected above them (see censored.py).
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.scenarios import censored
from invbench.scenarios import holidays as calendar
from invbench.scenarios.base import Scenario
from invbench.scenarios.profile import WEEK, YEAR
from invbench.types import Array

MEMORY = 730  # periods: what is older than that tells more about the past than about the future
BLOCK = 14  # periods that are drawn together
GROUPS = {"trend": slice(1, 2), "weekly": slice(2, 8), "annual": slice(8, 10), "holidays": slice(10, 11)}
QUICK = "weekly", "holidays"  # parts that a short history shows often enough
ROUNDS = 8
RESTORED = 4  # rounds of profile and restored demand, of which each improves the other
MONTH = 28
RECENT = 28  # periods, the half-life of the weights of the recent level
RIDGE = 1e-3


class History(NamedTuple):
    """What was observed before anything is judged, periods 0, 1, …"""

    sales: np.ndarray  # [period, item] units
    in_stock: np.ndarray | None  # [period, item] bool: False where sales may be less than demand; None if never
    demand: np.ndarray | None = None  # [period, item] sales, restored where they were cut off; None: sales
    holidays: tuple[int, ...] = ()  # days of the year, 0 is that of period 0, that everybody knows


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["coefficients", "ratios", "dispersion", "zeros", "length"],
    meta_fields=["items", "holidays"],
)
@dataclass(frozen=True, eq=False)
class Fitted(Scenario):
    """A fitted simulator. Make one with `fit`."""

    coefficients: Array  # [feature, item] of the logarithm of the profile
    ratios: Array  # [observed period, item] demand / profile, mean 1
    dispersion: Array  # [item] coefficient of variation of the ratios
    zeros: Array  # [item] share of periods without demand
    length: Array | int  # observed periods: the trend is held from there on
    items: int
    holidays: tuple[int, ...] = ()  # days of the year

    def profile(self, periods: Array) -> Array:
        """[period, item] expected demand in the given absolute periods."""
        return jnp.exp(features(periods, self.length, jnp, self.holidays) @ self.coefficients)

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        blocks = -(-horizon // BLOCK)
        observed = self.ratios.shape[0]
        first = jax.random.randint(key, (blocks, 1, n), 0, observed)
        rows = (first + jnp.arange(BLOCK)[None, :, None]).reshape(-1, n)[:horizon] % observed
        return self.profile(start + jnp.arange(horizon))[:, None] * self.ratios[rows]


def features(periods: Array, length: Array | int, xp=np, holidays: tuple[int, ...] = ()) -> Array:
    """[period, feature]: 1, trend (held after the history), six of the seven weekdays, annual sine and cosine, holiday.

    Without `holidays` the last of them is left out.
    """
    trend = xp.minimum(periods, length) / YEAR
    weekday = (periods % int(WEEK))[:, None] == xp.arange(1, int(WEEK))
    wave = 2 * np.pi * periods[:, None] / YEAR
    parts = [xp.ones((len(periods), 1)), trend[:, None], weekday - 1 / WEEK, xp.sin(wave), xp.cos(wave)]
    parts += [calendar.falls(xp.asarray(periods), holidays)[:, None]] if holidays else []
    return xp.concatenate([xp.asarray(part, "float32" if xp is jnp else "float64") for part in parts], axis=1)


def _named(units: np.ndarray) -> str:
    """What every period sold, for a sentence."""
    return ", ".join(f"{one:g}" for one in units[:3]) + (", …" if len(units) > 3 else "")


def fit(history: History) -> Fitted:
    """The simulator of a history. Raises ValueError where there is nothing to fit: too short, no demand, or no variation."""
    sales = np.asarray(history.sales, np.float64)
    length, items = sales.shape
    require(length >= 2 * BLOCK, "problem.history", f">= {2 * BLOCK} periods to fit a simulator", length)
    require(bool(sales.sum() > 0), "the observed history", "demand in at least one period", "none at all")
    varied = bool((sales != sales[0]).any())
    require(varied, "the observed history", "sales that vary", f"{_named(sales[0])} in each of {length} periods")
    demand, weights = _seen(history)
    design = features(np.arange(length)[-MEMORY:], length, holidays=history.holidays)
    demand, weights = demand[-MEMORY:], weights[-MEMORY:]
    coefficients = _proven(design, demand, weights)
    profile = np.exp(design @ coefficients)
    ratios = _uncensored(_ratios(demand, profile, weights), weights)
    if history.in_stock is not None:
        seen = np.asarray(history.in_stock, bool)[-MEMORY:]
        ratios = censored.drawn(_ratios(sales[-MEMORY:], profile, weights), seen, ratios)
    ratios = ratios / np.where(ratios.mean(0) > 0, ratios.mean(0), 1)
    coefficients[0] += np.log(_moved(demand, profile, weights))
    as_float32 = partial(jnp.asarray, dtype=jnp.float32)
    return Fitted(
        as_float32(coefficients), as_float32(ratios), as_float32(ratios.std(0)), as_float32((demand == 0).mean(0)), length, items,
        history.holidays,
    )  # fmt: skip


def restored(history: History) -> History:
    """The history with demand in it: sales, and what is to be expected of demand where sales were cut off."""
    return history if history.in_stock is None else history._replace(demand=_seen(history)[0])


def _seen(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Demand [period, item], restored where sales were cut off, and weights: 0 where nothing at all is known of it.

    Profile and restored demand improve each other for a few rounds (Buckley and James 1979, Biometrika 66(3), 429-436).
    """
    sales = np.asarray(history.sales, np.float64)
    if history.demand is not None:
        sales = np.asarray(history.demand, np.float64)
    if history.in_stock is None:
        return sales, np.ones_like(sales)
    seen = np.asarray(history.in_stock, bool)
    weights = (seen | (np.asarray(history.sales) > 0)).astype(float)
    if history.demand is not None:
        return sales, weights
    design = features(np.arange(len(sales)), len(sales), holidays=history.holidays)
    demand, known = sales, seen.astype(float)
    for _ in range(RESTORED if (weights > known).any() else 0):
        full, _ = _solve(design, demand, known, np.ones((design.shape[1], sales.shape[1]), bool))
        profile = np.exp(np.clip(design @ full, -20, 20))
        profile = np.maximum(profile, 0.2 * profile.mean(0))
        demand = np.where(seen, sales, censored.expected(sales / profile, seen) * profile)
        known = weights
    return demand, weights


def _proven(design: np.ndarray, sales: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[feature, item] coefficients; the slow parts only where they also foretell the end of the history from its beginning."""
    known = tuple(name for name, group in GROUPS.items() if group.stop <= design.shape[1])
    quick = tuple(name for name in QUICK if name in known)
    if len(sales) < 4 * BLOCK:  # too short to keep an end for the test
        return _select(design, sales, weights, quick)
    kept = len(sales) - max(2 * BLOCK, min(90, len(sales) // 4))
    errors = []
    for groups in (quick, known):
        past = _select(design[:kept], sales[:kept], weights[:kept], groups)
        profile = np.exp(np.clip(design @ past, -20, 20))
        profile = profile * _moved(sales[:kept], profile[:kept], weights[:kept])
        errors.append((weights * (sales - profile) ** 2)[kept:].sum(0))
    plain, whole = (_select(design, sales, weights, groups) for groups in (quick, known))
    return np.where(errors[1] < errors[0], whole, plain)


def _select(design: np.ndarray, sales: np.ndarray, weights: np.ndarray, groups: tuple[str, ...]) -> np.ndarray:
    """[feature, item] coefficients with the parts that the information criterion keeps for each item, added greedily."""
    items = sales.shape[1]
    active = np.zeros((design.shape[1], items), bool)
    active[0] = True
    full, _ = _solve(design, sales, weights, np.ones_like(active))
    worth = _worth(_ratios(sales, np.exp(design @ full), weights), weights)
    noise = _dispersion(sales, np.exp(np.clip(design @ full, -20, 20)), weights, len(active))
    best, _ = _solve(design, sales, weights, active)
    criterion = _criterion(design, sales, weights, best, active, worth, noise)
    for _ in groups:
        options = [_with(active, GROUPS[group]) for group in groups]
        trials = [_solve(design, sales, weights, option) for option in options]
        scores = np.stack([_criterion(design, sales, weights, *trial, worth, noise) for trial in trials])  # [part, item]
        choice = scores.argmin(0)
        better = scores.min(0) < criterion
        if not better.any():
            break
        pick = np.arange(items)
        best = np.where(better, np.stack([beta for beta, _ in trials])[choice, :, pick].T, best)
        active = np.where(better, np.stack(options)[choice, :, pick].T, active)
        criterion = np.where(better, scores.min(0), criterion)
    return best


def _with(active: np.ndarray, group: slice) -> np.ndarray:
    wider = active.copy()
    wider[group] = True
    return wider


def _solve(design: np.ndarray, sales: np.ndarray, weights: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quasi-Poisson fit of every item: [feature, item] coefficients, and which of them are active."""
    seen = weights.sum(0)
    level = np.maximum((weights * sales).sum(0) / np.maximum(seen, 1), 1e-6)
    count = design.shape[1]
    products = (design[:, :, None] * design[:, None, :]).reshape(len(design), -1)
    coefficients = np.zeros((count, sales.shape[1]))
    coefficients[0] = np.log(level)
    for _ in range(ROUNDS):
        mean = np.exp(np.clip(design @ coefficients, -20, 20))
        response = design @ coefficients + (sales - mean) / np.maximum(mean, 1e-9)
        leverage = weights * mean
        normal = (leverage.T @ products).reshape(-1, count, count)
        right = (leverage * response).T @ design
        mask = active.T.astype(float)
        normal = normal * mask[:, :, None] * mask[:, None, :] + np.eye(count) * (
            RIDGE * level[:, None, None] + (1 - mask)[:, :, None]
        )
        coefficients = np.clip(np.linalg.solve(normal, (right * mask)[..., None])[..., 0].T, -15, 15)
    return coefficients, active


def _criterion(design, sales, weights, coefficients, active, worth, noise) -> np.ndarray:
    """[item] quasi-likelihood information criterion: deviance / dispersion + k log n, n the periods that the history is worth."""
    mean = np.exp(np.clip(design @ coefficients, -20, 20))
    surprise = np.where(sales > 0, sales * np.log(np.maximum(sales, 1e-12) / mean), 0) - (sales - mean)
    deviance = 2 * (weights * surprise).sum(0)
    return worth / np.maximum(weights.sum(0), 1) * deviance / noise + active.sum(0) * np.log(worth)


def _dispersion(sales: np.ndarray, mean: np.ndarray, weights: np.ndarray, parameters: int) -> np.ndarray:
    """[item] Pearson's estimate of variance / mean around the full model (McCullagh and Nelder 1989, section 9.2.4)."""
    pearson = (weights * (sales - mean) ** 2 / np.maximum(mean, 1e-9)).sum(0)
    return np.maximum(pearson / np.maximum(weights.sum(0) - parameters, 1), 1e-9)


def _worth(ratios: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[item] how many independent periods the history is worth, judged by how much means of four weeks still move."""
    blocks = len(ratios) // MONTH
    if blocks < 2:
        return np.maximum(weights.sum(0), 3)
    seen = weights[-blocks * MONTH :].reshape(blocks, MONTH, -1).sum(1)
    level = ratios.mean(0)
    noise = np.where(weights > 0, ratios - level, 0)
    means = noise[-blocks * MONTH :].reshape(blocks, MONTH, -1).sum(1) / np.maximum(seen, 1)
    alone = (noise**2).sum(0) / np.maximum(weights.sum(0), 1) / MONTH  # what independent periods would give
    return weights.sum(0) * np.clip(alone / np.maximum((means**2).mean(0), 1e-12), 3 / len(ratios), 1)


def _ratios(sales: np.ndarray, profile: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Demand / profile; where the profile is next to nothing, a fifth of its mean stands in for it."""
    level = (weights * profile).sum(0) / np.maximum(weights.sum(0), 1)
    return sales / np.maximum(profile, 0.2 * level)


def _moved(sales: np.ndarray, profile: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[item] the recent level as a multiple of the profile, shrunk to 1 by what chance would give (James and Stein 1961)."""
    recent = 0.5 ** (np.arange(len(sales))[::-1, None] / RECENT) * weights
    level = np.maximum((recent * sales).sum(0) / np.maximum((recent * profile).sum(0), 1e-12), 0.02)
    ratios = _ratios(sales, profile, weights)
    worth = _worth(ratios, weights) / np.maximum(weights.sum(0), 1)
    independent = worth * recent.sum(0) ** 2 / np.maximum((recent**2).sum(0), 1e-12)
    chance = ratios.var(0) / np.maximum(independent, 1)
    return 1 + (level - 1) * np.maximum(1 - chance / np.maximum((level - 1) ** 2, 1e-12), 0)


def _uncensored(ratios: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ratios whose censored periods are filled, in order, with uncensored ones of the same item."""
    filled = ratios.copy()
    for item in np.flatnonzero((weights == 0).any(0) & (weights > 0).any(0)):
        gone = weights[:, item] == 0
        filled[gone, item] = np.resize(ratios[~gone, item], gone.sum())
    return filled
