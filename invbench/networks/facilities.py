"""What a facility location problem is made of: sites, customers, and the money between them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from invbench.checks import require, whole

ROUNDING = 1e-12  # of sums of units


@dataclass(frozen=True)
class Facilities:
    """Sites that may be opened, and customers that they serve; made by `create`, which checks.

    demand    [customer]        units a period
    capacity  [site]            units a period that an open site can serve; inf: no limit
    fixed     [site]            money a period for an open site
    cost      [site, customer]  money a period for serving all of the customer's demand from the site; inf: cannot be served
    distance  [site, customer]  length of the way, in `unit`; None where the data have none
    places    [site], [customer]  each [n, 2] latitude and longitude in degrees, or coordinates in `unit`; None where unknown
    count     how many sites must be open (p-median); None: as many as pay
    """

    name: str
    sites: tuple[str, ...]
    customers: tuple[str, ...]
    demand: np.ndarray
    capacity: np.ndarray
    fixed: np.ndarray
    cost: np.ndarray
    distance: np.ndarray | None = None
    places: tuple[np.ndarray, np.ndarray] | None = None
    count: int | None = None
    unit: str = ""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of sites and of customers."""
        return self.cost.shape

    @property
    def capacitated(self) -> bool:
        """Whether any site could run short of capacity."""
        return bool((self.capacity < self.demand.sum()).any())

    @property
    def room(self) -> np.ndarray:
        """[site] units that a site can serve at most: no more than all demand."""
        return np.minimum(self.capacity, self.demand.sum())

    @property
    def fewest(self) -> int:
        """How many sites demand needs at least: the largest that cover it; more than there are sites if none do."""
        covered = np.cumsum(np.sort(self.room)[::-1])
        return int(np.searchsorted(covered, self.demand.sum() * (1 - ROUNDING))) + 1


def create(*, name: str, demand: Any, capacity: Any, fixed: Any, cost: Any, **more: Any) -> Facilities:
    """Checked facilities; sites and customers without names are numbered from 1.

    Raises ValueError in one sentence where a shape or a sign is wrong: money and units must be >= 0.
    """
    cost = np.asarray(cost, float)
    require(cost.ndim == 2 and cost.size > 0, "network.cost", "a number for each site and customer", f"shape {cost.shape}")
    sites, customers = cost.shape
    made = {
        "demand": _each("demand", demand, customers),
        "capacity": _each("capacity", capacity, sites, infinite=True),
        "fixed": _each("fixed", fixed, sites),
        "cost": _signed("cost", cost, infinite=True),
    }
    more["sites"] = _names("sites", more.get("sites"), sites)
    more["customers"] = _names("customers", more.get("customers"), customers)
    if more.get("count") is not None:
        count = whole("network.count", more["count"], low=1)
        require(count <= sites, "network.count", f"at most the {sites} sites", count)
    return Facilities(name, **made, **more)


def _each(field: str, value: Any, size: int, infinite: bool = False) -> np.ndarray:
    values = np.asarray(value, float)
    fits = values.ndim == 0 or values.shape == (size,)
    require(fits, f"network.{field}", f"one number, or one for each of {size}", f"shape {values.shape}")
    return _signed(field, np.broadcast_to(values, (size,)).copy(), infinite)


def _signed(field: str, values: np.ndarray, infinite: bool = False) -> np.ndarray:
    wrong = values[~((values >= 0) & (infinite | np.isfinite(values)))]
    require(wrong.size == 0, f"network.{field}", ">= 0", float(wrong[0]) if wrong.size else None)
    return values


def _names(field: str, names: Any, size: int) -> tuple[str, ...]:
    names = tuple(str(name) for name in names) if names is not None else tuple(str(n + 1) for n in range(size))
    require(len(names) == size, f"network.{field}", f"names of {size}", len(names))
    return names
