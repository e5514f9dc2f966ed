"""The second stage: customers of each scenario served from sites that are open, at a penalty for what is not.

One linear programme in units whose matrix is the same in every scenario, so that HiGHS goes from one to the next with the last
basis. Its prices at the customers give cuts on the first stage in the strong form: each site alone is a continuous knapsack.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np

from invbench.networks.facilities import Facilities
from invbench.planners.draft import Draft
from invbench.planners.linear import Linear
from invbench.planners.outlook import Scenarios


class Served(NamedTuple):
    """The best second stage of each scenario."""

    cost: np.ndarray  # [scenario] money of service and of what is unmet
    units: np.ndarray  # [scenario, site, customer]
    price: np.ndarray  # [scenario, customer] money of one unit more


class Recourse:
    """Service in every scenario, as far as it depends on the sites."""

    def __init__(self, facilities: Facilities, scenarios: Scenarios, penalty: float, room: np.ndarray):
        """penalty: money per unit that is not served. room [site, level]: units that a site can serve."""
        self.facilities, self.demand, self.penalty, self.room = facilities, scenarios.demand, penalty, room
        self.unit = unit_cost(facilities)

    def served(self, opened: np.ndarray) -> Served:
        """Every scenario at opened [site, level], how far each size of each site is built (from 0 to 1)."""
        there, room = np.minimum(opened.sum(1), 1), (opened * self.room).sum(1)
        return Served(*(np.stack(part) for part in zip(*(self._one(there, room, demand) for demand in self.demand))))

    def cuts(self, price: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[scenario] and [scenario, site, level]: at prices [scenario, customer] a scenario costs at least the first less the
        second of what is built. The best use of a site is the units that gain most, the last in part, until it is full.
        """
        gain = np.maximum(price[:, None] - self.unit, 0)
        order = np.argsort(-gain, axis=-1)
        best, most = np.take_along_axis(gain, order, -1), np.broadcast_to(self.demand[:, None], gain.shape)
        most = np.take_along_axis(most, order, -1)
        before = np.cumsum(most, -1) - most
        levels = range(self.room.shape[1])
        worth = [(best * np.clip(self.room[:, level, None] - before, 0, most)).sum(-1) for level in levels]
        return (price * self.demand).sum(-1), np.stack(worth, -1)

    def _one(self, there: np.ndarray, room: np.ndarray, demand: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        sites, customers = self.unit.shape
        upper = np.where(np.isfinite(self.unit), there[:, None] * demand, 0)
        rows = np.arange(customers + sites)
        low, high = np.r_[demand, np.full(sites, -np.inf)], np.r_[demand, room]
        self._linear.move(np.r_[upper.ravel(), demand], rows, low, high)
        self._linear.solve()
        units, price = self._linear.values[: upper.size].reshape(self.unit.shape), self._linear.prices[:customers]
        units = np.clip(units, 0, upper)
        unmet = np.maximum(demand - units.sum(0), 0)
        cost = (units[units > 0] * self.unit[units > 0]).sum() + self.penalty * unmet.sum()
        return float(cost), units, np.clip(price, 0, self.penalty)

    @cached_property
    def _linear(self) -> Linear:
        draft, customers = Draft(), self.unit.shape[1]
        units = draft.variables(np.where(np.isfinite(self.unit), self.unit, 0))
        unmet = draft.variables(np.full(customers, self.penalty))
        draft.rows("service", [(units.T, 1), (unmet[:, None], 1)], 0, 0)
        draft.rows("capacity", [(units, 1)], -np.inf, 0)
        return Linear(draft.model())


def unit_cost(facilities: Facilities) -> np.ndarray:
    """[site, customer] money of a unit; inf: cannot be served. 0 where the network has no demand."""
    demand = np.broadcast_to(facilities.demand, facilities.shape)
    there = np.divide(facilities.cost, demand, out=np.zeros(facilities.shape), where=demand > 0)
    return np.where(np.isfinite(facilities.cost), there, np.inf)
