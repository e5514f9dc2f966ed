"""Whether a plan with stock is what it says: cost and every constraint worked out again, from plan and data alone."""

import math

import numpy as np

from invbench.networks.facilities import Facilities
from invbench.planners.checker import SHARE, claims
from invbench.planners.checker_stochastic import ways
from invbench.planners.location_inventory import LocationInventory, Plan


def check(plan: Plan, facilities: Facilities, options: LocationInventory) -> list[str]:
    """What is wrong with a plan, one sentence each; [] if nothing is."""
    opened, share = np.asarray(plan.opened), np.asarray(plan.share, float)
    if opened.shape != facilities.shape[:1] or share.shape != facilities.shape or not np.isfinite(share).all():
        return [f"a plan must have a number for each of {facilities.shape[0]} sites and {facilities.shape[1]} customers"]
    faults = ways(share[None], opened, facilities, options.radius)
    for customer, name in enumerate(facilities.customers):
        if sorted(share[:, customer]) != [0.0] * (len(opened) - 1) + [1.0]:
            faults.append(f"customer {name} is not served by one site in full")
    for site, name in enumerate(facilities.sites):
        load = math.fsum(share[site] * facilities.demand)
        if load > facilities.capacity[site] * (1 + SHARE) + SHARE:
            faults.append(f"site {name} serves {load:.8g} units, its capacity is {facilities.capacity[site]:.8g}")
    number = int(np.count_nonzero(opened))
    if facilities.count is not None and number != facilities.count:
        faults.append(f"{number} sites are open, and {facilities.count} are asked for")
    return faults + claims(plan.solution, _cost(opened, share, facilities, options))


def _cost(opened: np.ndarray, share: np.ndarray, facilities: Facilities, options: LocationInventory) -> float:
    """Fixed cost, service, and for each site its orders, its half order in stock, and its safety stock."""
    total = math.fsum(facilities.fixed[site] for site in range(len(opened)) if opened[site])
    total += math.fsum(share[way] * facilities.cost[way] for way in zip(*np.nonzero(share)))
    held = options.stock
    for site in range(len(opened)):
        served = [(share[site, customer], units) for customer, units in enumerate(facilities.demand) if units > 0]
        mean = math.fsum(part * units for part, units in served)
        variance = math.fsum(part * held.ratio * units**held.power for part, units in served)
        if mean > 0 and held.holding > 0 and held.ordering > 0:
            quantity = math.sqrt(2 * held.ordering * mean / held.holding)
            total += held.ordering * mean / quantity + held.holding * quantity / 2
        total += held.holding * held.safety_factor * math.sqrt(held.lead_time * max(variance, 0.0))
    return total
