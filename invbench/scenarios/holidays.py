"""Demand with holidays: any process, times 1 + lift on some days of the year."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require, whole
from invbench.scenarios.base import Scenario
from invbench.types import Array

YEAR = 365.25  # periods
LAST = 364  # the day that every year has


def falls(time: Array, days: Array | Sequence[int]) -> Array:
    """[...] bool: whether absolute periods [...] are holidays; days [holiday] of the year, 0 is that of period 0."""
    day = jnp.floor(jnp.mod(jnp.asarray(time, jnp.float32), YEAR))
    return (day[..., None] == jnp.asarray(days, jnp.float32)).any(-1)


def checked(field: str, days: Sequence[int]) -> tuple[int, ...]:
    """Days of the year in their order, each once. Raises ValueError in one sentence that names the field."""
    require(isinstance(days, list | tuple) and len(days) > 0, field, "a list of days of the year, 0 is the first", days)
    found = {whole(f"{field}[{place}]", day) for place, day in enumerate(days)}
    require(max(found) <= LAST, field, f"days within 0 … {LAST}", max(found))
    return tuple(sorted(found))


@partial(jax.tree_util.register_dataclass, data_fields=["base", "days", "lift"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Holidays(Scenario):
    """Demand of `base`, more or less of it on holidays. Make one with `create`."""

    base: Scenario
    days: Array  # [holiday] of the year
    lift: Array | float  # share of the level

    @property
    def items(self) -> int:
        return self.base.items

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        lifted = falls(start + jnp.arange(horizon), self.days)[:, None, None]
        return self.base.draw(key, n, horizon, start) * jnp.where(lifted, 1 + self.lift, 1)


def create(*, base: Scenario, days: Sequence[int], lift: float, items: int) -> Holidays:
    """A checked calendar. base: any process; days: of the year, 0 is that of period 0; lift: share of the level, -1 or more;
    items: those of the base."""
    require(isinstance(base, Scenario), "scenario.base", "a scenario", type(base).__name__)
    require(base.items == items, "scenario.items", f"{base.items}, as scenario.base has", items)
    return Holidays(base, np.asarray(checked("scenario.days", days), np.float32), number("scenario.lift", lift, low=-1))
