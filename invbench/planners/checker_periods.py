"""Whether a plan over several periods is what it says: cost and every constraint worked out again, from plan and data alone."""

import math

import numpy as np

from invbench.networks.facilities import Facilities
from invbench.planners.checker import SHARE, claims
from invbench.planners.checker_stochastic import ways
from invbench.planners.periods import Periods, Plan


def check(plan: Plan, facilities: Facilities, options: Periods) -> list[str]:
    """What is wrong with a plan, one sentence each; [] if nothing is."""
    level, share = np.asarray(plan.level), np.asarray(plan.share, float)
    shape = len(options.demand), *facilities.shape
    if level.shape != shape[:2] or share.shape != shape or not np.isfinite(share).all():
        return [f"a plan must have a number for each of {shape[0]} periods, {shape[1]} sites and {shape[2]} customers"]
    if not np.isin(level, np.arange(len(options.levels.capacity) + 1)).all():
        return [f"a level must be a whole number from 0 to {len(options.levels.capacity)}, got {level.tolist()}"]
    faults = []
    for period, asked in enumerate(options.demand):
        units = np.broadcast_to(asked, facilities.demand.shape) * facilities.demand
        found = ways(share[period][None], level[period] > 0, facilities, options.radius)
        found += _customers(share[period], np.broadcast_to(asked, facilities.demand.shape) > 0, facilities)
        found += _period(share[period], level[period], units, facilities, options)
        faults += [f"period {period + 1}: {fault}" for fault in found]
    return faults + _reopened(level, facilities, options) + claims(plan.solution, _cost(level, share, facilities, options))


def _period(share: np.ndarray, level: np.ndarray, units: np.ndarray, facilities: Facilities, options: Periods) -> list[str]:
    """Within capacities, and from as many sites as asked for."""
    faults, sizes = [], (0.0, *options.levels.capacity)
    for site, name in enumerate(facilities.sites):
        load, limit = math.fsum(share[site] * units), facilities.capacity[site] * sizes[level[site]] if level[site] else 0.0
        if load > limit * (1 + SHARE) + SHARE:
            faults.append(f"site {name} serves {load:.8g} units, its capacity is {limit:.8g}")
    number = int(np.count_nonzero(level))
    if facilities.count is not None and number != facilities.count:
        faults.append(f"{number} sites are open, and {facilities.count} are asked for")
    return faults


def _customers(share: np.ndarray, there: np.ndarray, facilities: Facilities) -> list[str]:
    """Each customer that is there in full, others not at all."""
    faults = []
    for customer, name in enumerate(facilities.customers):
        if share[:, customer].min() < -SHARE or abs(math.fsum(share[:, customer]) - there[customer]) > SHARE:
            faults.append(f"customer {name} is served {math.fsum(share[:, customer]):.8g} of its demand")
    return faults


def _reopened(level: np.ndarray, facilities: Facilities, options: Periods) -> list[str]:
    if options.reopen:
        return []
    faults = []
    for site, name in enumerate(facilities.sites):
        was, closed = bool(options.start and options.start[site]), False
        for period, size in enumerate(level[:, site]):
            closed = closed or was and not size
            if closed and size:
                faults.append(f"period {period + 1}: site {name} is open again")
            was = bool(size)
    return faults


def _cost(level: np.ndarray, share: np.ndarray, facilities: Facilities, options: Periods) -> float:
    """Running, opening and closing money of every site, and of what is served, in money of the first period."""
    sizes, total = (0.0, *options.levels.fixed), []
    for period, asked in enumerate(options.demand):
        worth = (1 + options.interest) ** -period
        grown = np.broadcast_to(asked, facilities.demand.shape)
        used = zip(*np.nonzero(share[period]))
        total += [worth * share[period][way] * grown[way[1]] * facilities.cost[way] for way in used if grown[way[1]] > 0]
        for site, fixed in enumerate(facilities.fixed):
            before = level[period - 1, site] if period else options.start[site] if options.start else 0
            now, then = fixed * sizes[level[period, site]], fixed * sizes[before]
            total.append(worth * (now + options.opening * max(now - then, 0) + options.closing * max(then - now, 0)))
    return math.fsum(total)
