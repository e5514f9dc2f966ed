"""Sizes in which a site can be built, as shares of its capacity and of its fixed cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invbench.checks import number, require
from invbench.networks.facilities import Facilities


@dataclass(frozen=True)
class Levels:
    """Sizes from small to large; made by `create`, which checks. Level 0 is a closed site, level n the n-th size."""

    capacity: tuple[float, ...] = (1.0,)  # [level] of the network's capacity of a site
    fixed: tuple[float, ...] = (1.0,)  # [level] of the network's fixed cost of a site

    def room(self, facilities: Facilities, most: float) -> np.ndarray:
        """[site, level] units a period that a site of each size can serve, at most `most`, which is all that is asked for."""
        return np.minimum(facilities.capacity[:, None] * np.array(self.capacity), most)

    def running(self, facilities: Facilities) -> np.ndarray:
        """[site, level] money a period for an open site."""
        return facilities.fixed[:, None] * np.array(self.fixed)


def create(*, capacity: Sequence[Any] = (1.0,), fixed: Sequence[Any] = (1.0,)) -> Levels:
    """Checked levels. Raises ValueError where a share makes no sense, or where a larger size has less capacity."""
    sizes = tuple(number("planner.levels.capacity", share, low=0, above=True) for share in capacity)
    money = tuple(number("planner.levels.fixed", share, low=0) for share in fixed)
    require(len(sizes) > 0, "planner.levels.capacity", "at least one size", list(capacity))
    require(all(np.diff(sizes) > 0), "planner.levels.capacity", "rising from size to size", list(capacity))
    require(len(money) == len(sizes), "planner.levels.fixed", f"one share for each of {len(sizes)} sizes", list(fixed))
    return Levels(sizes, money)
