"""Poisson demand around a profile: whole units whose mean moves with the trend, the year and the week."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from invbench.checks import number
from invbench.scenarios import profile
from invbench.scenarios.base import Scenario, cut
from invbench.scenarios.profile import Profile
from invbench.types import Array


@partial(jax.tree_util.register_dataclass, data_fields=["around"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class SeasonalPoisson(Scenario):
    """Independent Poisson demand, in each period with the mean of the profile. Make one with `create`."""

    around: Profile

    @property
    def items(self) -> int:
        return self.around.items

    def profile(self, periods: Array) -> Array:
        """[period] expected demand in the given absolute periods, units."""
        return self.around.profile(periods)

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        level = self.profile(start + jnp.arange(horizon, dtype=jnp.float32))[:, None, None]
        return jax.random.poisson(key, level, (horizon, n, self.items)).astype(jnp.float32)

    def pmf_at(self, period: int) -> np.ndarray:
        """[support] float64: probability of demand 0, 1, 2, … in this absolute period; cut as `DiscreteScenario.pmf` is."""
        distribution = stats.poisson(float(self.profile(jnp.float32(period))))
        return cut(distribution.pmf(np.arange(int(distribution.isf(1e-15)) + 2)))


def create(*, mean: float, annual: float, weekly: float, trend: float, items: int) -> SeasonalPoisson:
    """A checked scenario; the fields are those of `profile.create`. CV in a period = 1 / sqrt(its mean)."""
    mean = number("scenario.mean", mean, low=0, high=1e6, above=True)
    shape = dict(annual=annual, weekly=weekly, trend=trend, items=items)
    return SeasonalPoisson(profile.create(mean=mean, cv=0, distribution="normal", noise="proportional", **shape))
