"""Settings of one stocking point, drawn from ranges: what a unit short costs, the lead time, the mean and the spread of demand.

The unit of money is what holding one unit for one period costs, and sales that stock cannot meet are lost.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from invbench.checks import number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array

POINTS, FINE = 2**10, 2**14  # quantiles that a demand is drawn from in training, and where policies are judged


class Settings(NamedTuple):
    """One setting for each place of the arrays, which are all of one shape."""

    shortage: Array  # money per unit lost
    mean: Array  # units a period
    cv: Array  # standard deviation of a period's demand as a share of its mean
    whole: Array  # bool: demand comes in whole units
    lead_time: Array  # periods


@dataclass(frozen=True)
class Ranges:
    """What is drawn from; every pair holds the least and the largest."""

    lead_times: tuple[int, int]  # periods
    shortages: tuple[float, float]  # money per unit lost, logarithmically uniform
    cvs: tuple[float, float]  # where demand is not whole: uniform
    means: tuple[float, float]  # units a period where demand is whole (else only ratios to it matter): logarithmically uniform

    @property
    def spans(self) -> tuple[int, ...]:
        """Every lead time of the range."""
        return tuple(range(self.lead_times[0], self.lead_times[1] + 1))

    def drawn(self, random: np.random.Generator, lead_times: np.ndarray) -> Settings:
        """A setting for each lead time given [n].

        Half have gamma demand of mean 1, a quarter Poisson demand, a quarter negative binomial demand, whose CV lies between
        that of Poisson demand and the largest (Poisson where there is no room between them).
        """
        n = len(lead_times)
        shortage, means = (np.exp(random.uniform(*np.log(pair), n)) for pair in (self.shortages, self.means))
        kind, share, spread = random.integers(0, 4, n), random.uniform(size=n), random.uniform(*self.cvs, n)
        least = 1 / np.sqrt(means)
        counted = np.where(kind == 2, least, least + share * np.maximum(self.cvs[1] - least, 0))
        mean, cv = np.where(kind < 2, 1.0, means), np.where(kind < 2, spread, counted)
        return Settings(shortage, mean, cv, kind >= 2, np.asarray(lead_times))


def create(
    *, lead_times: list[int], shortages: list[float], cvs: list[float], means: list[float], field: str = "method.ranges"
) -> Ranges:
    """Checked ranges. Raises ValueError in one sentence that names the field."""
    leads = tuple(whole(f"{field}.lead_times", one) for one in _pair(f"{field}.lead_times", lead_times))
    pairs = {"shortages": shortages, "cvs": cvs, "means": means}
    checked = {
        name: tuple(number(f"{field}.{name}", one, low=0, above=True) for one in _pair(f"{field}.{name}", pair))
        for name, pair in pairs.items()
    }
    return Ranges(leads, **checked)


def _pair(field: str, given: list) -> list:
    fits = isinstance(given, list | tuple) and len(given) == 2 and given[0] <= given[1]
    require(fits, field, "a list of the least and the largest", given)
    return given


def quantiles(settings: Settings, points: int = POINTS) -> np.ndarray:
    """[n, points] quantiles of a period's demand at the middle of equal shares, units; a share as likely as any other.

    Demand that is not whole has its mean exactly, though its tail is cut off at the last of them.
    """
    shares = (np.arange(points) + 0.5) / points
    mean, cv, counted = (np.asarray(part)[:, None] for part in (settings.mean, settings.cv, settings.whole))
    shape = 1 / cv**2
    smooth = special.gammaincinv(shape, shares[None]) / shape
    table = np.where(counted, 0.0, mean * smooth / smooth.mean(1, keepdims=True))
    rows = np.flatnonzero(settings.whole)
    table[rows] = _counted(mean[rows], cv[rows], shares)
    return table


def _counted(mean: np.ndarray, cv: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """[n, point] quantiles of negative binomial demand, of Poisson demand where the CV is no larger than that one's."""
    excess = mean * cv**2 - 1  # variance / mean, less that of Poisson demand
    most = int(np.max(mean + 12 * mean * cv + 20, initial=1))
    units = np.arange(most)
    size = mean / np.maximum(excess, 1e-6)
    binomial = special.betainc(size, units + 1, size / (size + mean))
    below = np.where(excess > 1e-6, binomial, special.pdtr(units, mean))  # [n, unit] P(demand <= unit)
    return (below[:, None, :] < shares[:, None]).sum(-1)


@partial(jax.tree_util.register_dataclass, data_fields=["table"], meta_fields=["items"])
@dataclass(frozen=True, eq=False)
class Varied(Scenario):
    """Independent demand in every period, each item of a setting of its own: its quantiles, all as likely."""

    table: Array  # [item, point] units
    items: int

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        point = jax.random.randint(key, (horizon, n, self.items), 0, self.table.shape[1])
        return self.table[jnp.arange(self.items), point]


def varied(settings: Settings) -> Varied:
    """The scenario of settings [item]: ten times quicker to draw from than gamma and Poisson deviates."""
    return Varied(jnp.asarray(quantiles(settings, FINE), jnp.float32), len(settings.mean))
