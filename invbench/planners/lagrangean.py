"""A bound for facility location without a solver: demand is relaxed, so that every site alone is a continuous knapsack.

Geoffrion and McBride 1978, AIIE Transactions 10(1); Beasley 1993, EJOR 65(3). What the bound says of single sites and links
rules most of them out, and the solver sees what is left.
"""

from typing import NamedTuple

import numpy as np

from invbench.networks.facilities import Facilities

ROUNDS = 400  # of subgradient steps, at most
PATIENCE = 15  # rounds without a better bound, after which steps are halved
LONGEST, SHORTEST = 2.0, 1e-3  # steps, as shares of the way to the plan's cost (Held, Wolfe and Crowder 1974)
CLOSED = 1e-9  # share of the cost by which bound and plan may differ and count as equal, and that reductions leave for rounding


class Bound(NamedTuple):
    """What the relaxation says at one price for each customer."""

    value: float  # no plan costs less
    rise: np.ndarray  # [site] > 0: the bound rises so much if the site is opened; < 0: if it is closed
    chosen: np.ndarray  # bool [site]
    served: np.ndarray  # [customer] how often each is served
    prices: np.ndarray  # [customer] money for serving each


class Left(NamedTuple):
    """What a plan that costs at most a given amount can look like."""

    maybe: np.ndarray  # bool [site] may be open
    must: np.ndarray  # bool [site] has to be open
    links: np.ndarray  # bool [site, customer] may be used


class Steps:
    """Subgradient steps on the prices, toward a cost that some plan has."""

    def __init__(self, facilities: Facilities):
        """Prices begin at each customer's least cost and a share of the cost of a site."""
        sites, customers = facilities.shape
        self.facilities, self.step, self.waited = facilities, LONGEST, 0
        self.best = self.now = relaxed(facilities, facilities.cost.min(0) + facilities.fixed.mean() * sites / customers / 4)

    def run(self, cost: float) -> Bound:
        """The best bound; cost: of a plan, inf if none is known."""
        for _ in range(ROUNDS):
            slope = 1 - self.now.served
            length = float(slope @ slope)
            if length < CLOSED or self.step < SHORTEST or cost - self.best.value <= CLOSED * abs(cost):
                break
            goal = min(cost, self.best.value + 0.2 * abs(self.best.value) + 1)
            self.now = relaxed(self.facilities, self.now.prices + self.step * (goal - self.now.value) / length * slope)
            self._judge()
        return self.best

    def _judge(self) -> None:
        self.waited = 0 if self.now.value > self.best.value else self.waited + 1
        if not self.waited:
            self.best = self.now
        elif self.waited % PATIENCE == 0:
            self.step, self.now = self.step / 2, self.best


def relaxed(facilities: Facilities, prices: np.ndarray) -> Bound:
    """The bound at some prices [customer]: their sum, and the worth of the sites that are chosen."""
    reduced = facilities.cost - prices
    if facilities.capacitated:
        worth, share = _knapsacks(facilities, reduced)
    else:
        worth, share = facilities.fixed + np.minimum(reduced, 0).sum(1), reduced < 0
    value, rise, opened = _choice(facilities, worth)
    return Bound(float(prices.sum() + value), rise, opened > 0, opened @ share, prices)


def _knapsacks(facilities: Facilities, reduced: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """[site] the worth of each, and [site, customer] the shares that it would serve: the best per unit first, until full."""
    per_unit = np.divide(reduced, facilities.demand, out=np.where(reduced < 0, -np.inf, np.inf), where=facilities.demand > 0)
    order = np.argsort(per_unit, axis=1)
    ordered, demand = np.take_along_axis(reduced, order, 1), facilities.demand[order]
    before = np.cumsum(demand, 1) - demand
    room = np.divide(facilities.capacity[:, None] - before, demand, out=np.ones_like(demand), where=demand > 0)
    taken = np.clip(room, 0, 1) * (ordered < 0)
    share = np.zeros_like(reduced)
    np.put_along_axis(share, order, taken, 1)
    return facilities.fixed + (np.minimum(ordered, 0) * taken).sum(1), share


def _choice(facilities: Facilities, worth: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Money of the best choice of sites, `rise` of `Bound`, and [site] how far each is opened."""
    if facilities.count is not None:
        return _exactly(worth, facilities.count)
    if not facilities.capacitated:
        return float(np.minimum(worth, 0).sum()), worth, (worth < 0).astype(float)
    return max(_at_least(worth, facilities.fewest), _covering(facilities, worth), key=lambda choice: choice[0])


def _exactly(worth: np.ndarray, count: int) -> tuple[float, np.ndarray, np.ndarray]:
    """The `count` sites of least worth; one more opened takes the place of the last, one closed makes way for the next."""
    order = np.argsort(worth, kind="stable")
    opened = np.zeros(len(worth))
    opened[order[:count]] = 1
    following = worth[order[count]] if count < len(worth) else np.inf
    return float(worth[order[:count]].sum()), worth - np.where(opened > 0, following, worth[order[count - 1]]), opened


def _at_least(worth: np.ndarray, fewest: int) -> tuple[float, np.ndarray, np.ndarray]:
    """Every site that is worth it, and so many in all as the demand needs at least."""
    if (worth < 0).sum() < fewest:
        return _exactly(worth, fewest)
    return float(np.minimum(worth, 0).sum()), worth, (worth < 0).astype(float)


def _covering(facilities: Facilities, worth: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Every site that is worth it, and of the others the cheapest per unit of capacity, the last in part, to cover the demand."""
    room, opened = facilities.room, (worth < 0).astype(float)
    short, price = facilities.demand.sum() - room @ opened, 0.0
    for site in np.argsort(np.where((opened > 0) | (room <= 0), np.inf, worth / np.maximum(room, CLOSED))):
        if short <= 0 or opened[site] or room[site] <= 0:
            break
        opened[site] = min(1.0, short / room[site])
        short, price = short - room[site], worth[site] / room[site]
    return float(worth @ opened), worth - price * room, opened


def left(facilities: Facilities, bound: Bound, cost: float) -> Left:
    """What a plan of at most `cost` may use: sites and links whose use alone raises the bound above it are out.

    Links are ruled out only where each customer is served by one site, so without capacities.
    """
    ceiling = cost + CLOSED * abs(cost)
    maybe, must = bound.value + bound.rise <= ceiling, bound.value - bound.rise > ceiling
    links = np.broadcast_to(maybe[:, None], facilities.shape).copy() & np.isfinite(facilities.cost)
    if not facilities.capacitated:
        more = np.maximum(facilities.cost - bound.prices, 0)
        links &= bound.value + np.maximum(bound.rise, 0)[:, None] + more <= ceiling
    return Left(maybe, must, links)
