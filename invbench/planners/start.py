"""Plans without a solver: customers assigned to sites that are open, a greedy choice of sites, and exchanges of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.optimize import linprog

from invbench.networks.facilities import Facilities
from invbench.planners.lagrangean import Bound

NEIGHBOURS, EVALUATIONS = 40, 200  # with capacities: exchanges tried from one plan, and in all
FITS = 1e-9  # share of its capacity by which a site may be overfull, for rounding


class Served(NamedTuple):
    """The best use of open sites that was found."""

    cost: float  # money of sites and service; inf if there is no way
    share: np.ndarray | None  # [site, customer] of the customer's demand


Evaluate = Callable[[np.ndarray], float]  # bool [site] -> cost of the best plan with these sites open; inf if there is none
NONE = Served(np.inf, None)


def serve(facilities: Facilities, opened: np.ndarray, single_source: bool = False) -> Served:
    """Customers served from open sites (bool [site]): the nearest, or a transportation problem, or whole customers by turns."""
    if not opened.any():
        return NONE
    if not facilities.capacitated:
        return _filled(facilities, opened, _nearest(facilities, opened))
    if facilities.room[opened].sum() < facilities.demand.sum() * (1 - FITS):
        return NONE
    return _filled(facilities, opened, (_whole if single_source else _transported)(facilities, opened))


def _filled(facilities: Facilities, opened: np.ndarray, share: np.ndarray | None) -> Served:
    """The cost of shares [open site, customer], and the shares of all sites."""
    if share is None or not np.isfinite(facilities.cost[opened][share > 0]).all():
        return NONE
    full = np.zeros(facilities.shape)
    full[opened] = share
    return Served(cost_of(facilities, opened, full), full)


def cost_of(facilities: Facilities, opened: np.ndarray, share: np.ndarray) -> float:
    """Money of open sites (bool [site]) and of shares [site, customer]."""
    return float(facilities.fixed[opened].sum() + (facilities.cost[share > 0] * share[share > 0]).sum())


def _nearest(facilities: Facilities, opened: np.ndarray) -> np.ndarray:
    cost = facilities.cost[opened]
    return (np.arange(len(cost))[:, None] == cost.argmin(0)).astype(float)


def _transported(facilities: Facilities, opened: np.ndarray) -> np.ndarray | None:
    """The transportation problem of open sites, by linear programming."""
    cost, (sites, customers) = facilities.cost[opened], facilities.cost[opened].shape
    loads = sparse.kron(sparse.eye_array(sites), facilities.demand[None], format="csr")
    whole = sparse.kron(np.ones((1, sites)), sparse.eye_array(customers), format="csr")
    reach = np.isfinite(cost).ravel()
    found = linprog(
        np.where(reach, cost.ravel(), 0), loads, facilities.room[opened], whole, np.ones(customers),
        np.stack([np.zeros(reach.size), reach], axis=1),
    )  # fmt: skip
    return np.clip(found.x, 0, 1).reshape(cost.shape) if found.status == 0 else None


def _whole(facilities: Facilities, opened: np.ndarray) -> np.ndarray | None:
    """Large customers first, each to the cheapest site with room: quick, and not always successful."""
    cost, room = facilities.cost[opened], facilities.room[opened] * (1 + FITS)
    share = np.zeros(cost.shape)
    for customer in np.argsort(-facilities.demand, kind="stable"):
        able = np.where(room >= facilities.demand[customer], cost[:, customer], np.inf)
        site = int(able.argmin())
        if not np.isfinite(able[site]):
            return None
        share[site, customer], room[site] = 1, room[site] - facilities.demand[customer]
    return share


def greedy(facilities: Facilities) -> np.ndarray:
    """bool [site]: one more site as long as it pays, or as there are fewer than asked for, or too little capacity."""
    cost, opened = finite(facilities.cost), np.zeros(facilities.shape[0], bool)
    served = np.full(facilities.shape[1], cost.max() + facilities.fixed.max() + 1)
    while not opened.all():
        change = np.where(opened, np.inf, facilities.fixed - np.maximum(served - cost, 0).sum(1))
        few = opened.sum() < facilities.count if facilities.count else facilities.room[opened].sum() < facilities.demand.sum()
        best = int(change.argmin())
        if not few and (facilities.count or change[best] >= 0):
            break
        opened[best] = True
        served = np.minimum(served, cost[best])
    return opened


def finite(cost: np.ndarray) -> np.ndarray:
    """Costs with more than any plan can cost in place of inf."""
    reach = np.isfinite(cost)
    return np.where(reach, cost, 1 + 10 * np.where(reach, cost, 0).max(0).sum())


def interchange(facilities: Facilities, opened: np.ndarray) -> np.ndarray:
    """bool [site]: sites opened, closed and exchanged while that pays, without capacities (Teitz and Bart 1968, OR 16(5))."""
    cost, opened = finite(facilities.cost), opened.copy()
    while True:
        inside, changes = np.flatnonzero(opened), _changes(facilities, cost, opened)
        site, gone = np.unravel_index(changes.argmin(), changes.shape)
        if changes[site, gone] >= -1e-9 * cost[inside].min(0).sum():
            return opened
        if gone < len(inside):
            opened[inside[gone]] = False
        if site < len(opened):
            opened[site] = True


def _changes(facilities: Facilities, cost: np.ndarray, opened: np.ndarray) -> np.ndarray:
    """[site + 1, open site + 1] money by which the cost rises if one is opened and the other closed; the last of each: none."""
    inside = np.flatnonzero(opened)
    ordered = np.sort(cost[inside], axis=0)
    first, second = ordered[0], ordered[min(1, len(inside) - 1)] if len(inside) > 1 else np.full(cost.shape[1], cost.max() + 1)
    nearest = (cost[inside].argmin(0)[:, None] == np.arange(len(inside))).astype(float)  # [customer, open site]
    lost = (np.minimum(second, cost) - np.minimum(first, cost)) @ nearest
    opening = np.where(opened, np.inf, facilities.fixed - np.maximum(first - cost, 0).sum(1))
    changes = np.full((len(opened) + 1, len(inside) + 1), np.inf)
    changes[:-1, :-1] = opening[:, None] + lost - facilities.fixed[inside]
    if facilities.count is None:
        changes[:-1, -1] = opening
        changes[-1, :-1] = (second - first) @ nearest - facilities.fixed[inside] if len(inside) > 1 else np.inf
    return changes


def exchange(bound: Bound, opened: np.ndarray, cost: float, evaluate: Evaluate) -> tuple[np.ndarray, float]:
    """Sites and cost after one open site at a time was exchanged while that pays, the most promising for the bound first."""
    left = EVALUATIONS
    while left > 0:
        for other in _exchanged(bound, opened)[:left]:
            left -= 1
            found = evaluate(other)
            if found < cost * (1 - FITS):
                opened, cost = other, found
                break
        else:
            break
    return opened, cost


def _exchanged(bound: Bound, opened: np.ndarray) -> list[np.ndarray]:
    """Neighbours, bool [site] each, in order of what the bound says of the site that comes and the one that goes."""
    inside, outside = np.flatnonzero(opened), np.flatnonzero(~opened)
    change = bound.rise[outside] - bound.rise[inside][:, None]
    found = []
    for gone, site in zip(*np.unravel_index(np.argsort(change, axis=None)[:NEIGHBOURS], change.shape)):
        other = opened.copy()
        other[inside[gone]], other[outside[site]] = False, True
        found.append(other)
    return found
