"""Whether a plan is what it says: its cost and every constraint worked out again, from the plan and the data alone."""

import math

import numpy as np

from invbench.networks.facilities import Facilities
from invbench.planners.solve import Solution
from invbench.planners.strategic import Plan, Strategic

SHARE = 1e-6  # of a customer's demand, or of a capacity, that may be missing or too much
MONEY = 1e-8  # share of the cost by which it may differ


def check(plan: Plan, facilities: Facilities, options: Strategic) -> list[str]:
    """What is wrong with a plan, one sentence each; [] if nothing is."""
    opened, share = np.asarray(plan.opened), np.asarray(plan.share, float)
    if opened.shape != facilities.shape[:1] or share.shape != facilities.shape or not np.isfinite(share).all():
        return [f"a plan must have a number for each of {facilities.shape[0]} sites and {facilities.shape[1]} customers"]
    faults = _customers(opened, share, facilities, options)
    for site in range(len(opened)):
        load = sum(share[site, customer] * facilities.demand[customer] for customer in range(share.shape[1]))
        if load > facilities.capacity[site] * (1 + SHARE) + SHARE:
            limit = f"its capacity is {facilities.capacity[site]:.8g}"
            faults.append(f"site {facilities.sites[site]} serves {load:.8g} units, {limit}")
    return faults + _sites(opened, facilities, options) + claims(plan.solution, _cost(opened, share, facilities))


def _customers(opened: np.ndarray, share: np.ndarray, facilities: Facilities, options: Strategic) -> list[str]:
    """Each customer in full, from open sites that it can be served from, from one where that is asked for."""
    faults = []
    for customer, name in enumerate(facilities.customers):
        parts = {site: share[site, customer] for site in range(len(opened)) if abs(share[site, customer]) > SHARE}
        if abs(math.fsum(share[:, customer]) - 1) > SHARE or min(parts.values(), default=0) < 0:
            faults.append(f"customer {name} is served {math.fsum(share[:, customer]):.8g} of its demand")
        if options.single_source and len(parts) > 1:
            faults.append(f"customer {name} is served from {len(parts)} sites, and single_source asks for one")
        for site in parts:
            source = f"customer {name} is served from site {facilities.sites[site]}"
            if not opened[site]:
                faults.append(f"{source}, which is closed")
            if not math.isfinite(facilities.cost[site, customer]):
                faults.append(f"{source}, which cannot serve it")
            if options.radius is not None and facilities.distance[site, customer] > options.radius:
                away = f"{facilities.distance[site, customer]:.8g}"
                faults.append(f"{source}, which is {away} away, and radius is {options.radius:g}")
    return faults


def _sites(opened: np.ndarray, facilities: Facilities, options: Strategic) -> list[str]:
    """As many sites as asked for, within the budget."""
    faults, number = [], int(np.count_nonzero(opened))
    if facilities.count is not None and number != facilities.count:
        faults.append(f"{number} sites are open, and {facilities.count} are asked for")
    spent = math.fsum(facilities.fixed[site] for site in range(len(opened)) if opened[site])
    if options.budget is not None and spent > options.budget * (1 + MONEY):
        faults.append(f"open sites cost {spent:.8g}, the budget is {options.budget:g}")
    return faults


def _cost(opened: np.ndarray, share: np.ndarray, facilities: Facilities) -> float:
    """Money of open sites and of what is served."""
    fixed = math.fsum(facilities.fixed[site] for site in range(len(opened)) if opened[site])
    return fixed + math.fsum(share[used] * facilities.cost[used] for used in zip(*np.nonzero(share)))


def claims(solution: Solution, cost: float) -> list[str]:
    """The objective is the cost, no bound is above it, and what is called optimal is proved."""
    faults = []
    if not abs(solution.objective - cost) <= MONEY * max(1.0, abs(cost)):
        faults.append(f"the objective is said to be {solution.objective:.12g}, the plan costs {cost:.12g}")
    if solution.bound > cost + MONEY * max(1.0, abs(cost)):
        faults.append(f"the bound {solution.bound:.12g} is above the cost {cost:.12g}")
    if solution.status == "optimal" and solution.gap > SHARE:
        faults.append(f"the plan is called optimal, and {solution.gap:.2%} of its cost is not proved")
    return faults
