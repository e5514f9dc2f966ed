"""Demand around a profile: level x trend x annual and weekly waves, with noise. Stable, seasonal, trend and dynamic demand."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from invbench.checks import choice, number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array

YEAR, WEEK = 365.25, 7.0  # periods


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["mean", "cv", "annual", "weekly", "trend"],
    meta_fields=["items", "distribution", "noise"],
)
@dataclass(frozen=True, eq=False)
class Profile(Scenario):
    """Independent noise around a profile. Make one with `create`."""

    mean: Array | float
    cv: Array | float
    annual: Array | float
    weekly: Array | float
    trend: Array | float
    items: int
    distribution: str
    noise: str

    def profile(self, periods: Array) -> Array:
        """[period] expected demand in the given absolute periods, units."""
        waves = self.annual * jnp.sin(2 * jnp.pi * periods / YEAR) + self.weekly * jnp.sin(2 * jnp.pi * periods / WEEK)
        return self.mean * (1 + self.trend) ** (periods / YEAR) * (1 + waves)

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        level = self.profile(start + jnp.arange(horizon, dtype=jnp.float32))[:, None, None]
        normal = jax.random.normal(key, (horizon, n, self.items))
        if self.distribution == "normal":
            return jnp.maximum(level + self.cv * (self.mean if self.noise == "constant" else level) * normal, 0)
        spread = jnp.log1p(self.cv**2)
        return level * jnp.exp(jnp.sqrt(spread) * normal - spread / 2)


def create(
    *, mean: float, cv: float, annual: float, weekly: float, trend: float, distribution: str, noise: str, items: int
) -> Profile:
    """A checked profile.

    mean: units per period; annual, weekly: amplitude as a share of the mean, over 365.25 and 7 periods; trend: growth a
    year as a share (negative: decline); cv: standard deviation of the noise as a share of the profile (noise
    "proportional") or of the mean (noise "constant"); distribution: "normal", cut off at zero, or "lognormal".
    """
    mean = number("scenario.mean", mean, low=0, above=True)
    cv = number("scenario.cv", cv, low=0, high=10)
    annual, weekly = number("scenario.annual", annual, low=0, high=1), number("scenario.weekly", weekly, low=0, high=1)
    require(annual + weekly < 1, "scenario.annual + scenario.weekly", "< 1, or demand would be negative", annual + weekly)
    trend = number("scenario.trend", trend, low=-0.99, high=10)
    choice("scenario.distribution", distribution, ("normal", "lognormal"))
    choice("scenario.noise", noise, ("proportional", "constant"))
    require(noise == "proportional" or distribution == "normal", "scenario.noise", "proportional with lognormal noise", noise)
    require(noise == "proportional" or trend >= 0, "scenario.noise", "proportional where demand declines", noise)
    lowest = 1.0 if noise == "proportional" else 1 - annual - weekly
    require(
        distribution == "lognormal" or cv <= lowest / 3,
        "scenario.cv",
        f"<= {lowest / 3:.3g} with normal noise, or cutting off at zero would break the promised CV (use lognormal)",
        cv,
    )
    return Profile(mean, cv, annual, weekly, trend, whole("scenario.items", items, low=1), distribution, noise)
