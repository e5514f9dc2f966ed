"""Whether a plan for several scenarios is what it says: cost and every constraint worked out again, from plan and data alone."""

import math

import numpy as np

from invbench.networks.facilities import Facilities
from invbench.planners.checker import MONEY, SHARE, claims
from invbench.planners.outlook import Scenarios
from invbench.planners.stochastic import Plan, Stochastic


def check(plan: Plan, facilities: Facilities, options: Stochastic, scenarios: Scenarios) -> list[str]:
    """What is wrong with a plan, one sentence each; [] if nothing is."""
    level, share = np.asarray(plan.level), np.asarray(plan.share, float)
    shape = len(scenarios.demand), *facilities.shape
    if level.shape != shape[1:2] or share.shape != shape or not np.isfinite(share).all():
        return [f"a plan must have a number for each of {shape[0]} scenarios, {shape[1]} sites and {shape[2]} customers"]
    if not np.isin(level, np.arange(len(options.levels.capacity) + 1)).all():
        return [f"a level must be a whole number from 0 to {len(options.levels.capacity)}, got {level.tolist()}"]
    faults = ways(share, level > 0, facilities, options.radius)
    for number, demand in enumerate(scenarios.demand):
        faults += [f"scenario {number + 1}: {fault}" for fault in _scenario(share[number], level, demand, facilities, options)]
    costs = [_cost(served, level, demand, facilities, options) for served, demand in zip(share, scenarios.demand)]
    return faults + _sites(level, facilities, options) + _costs(plan, costs) + claims(
        plan.solution, _objective(costs, scenarios.probability.tolist(), options)
    )  # fmt: skip


def ways(share: np.ndarray, opened: np.ndarray, facilities: Facilities, radius: float | None) -> list[str]:
    """No customer is served from a site that is closed or too far, or that cannot serve it; share [any, site, customer]."""
    faults = []
    for site, customer in zip(*np.nonzero((np.abs(share) > SHARE).any(0))):
        source = f"customer {facilities.customers[customer]} is served from site {facilities.sites[site]}"
        if not opened[site]:
            faults.append(f"{source}, which is closed")
        if not math.isfinite(facilities.cost[site, customer]):
            faults.append(f"{source}, which cannot serve it")
        if radius is not None and facilities.distance[site, customer] > radius:
            faults.append(f"{source}, which is {facilities.distance[site, customer]:.8g} away, and radius is {radius:g}")
    return faults


def _scenario(share: np.ndarray, level: np.ndarray, demand: np.ndarray, facilities: Facilities, options: Stochastic) -> list[str]:
    """No customer gets more than it asks for, no site gives more than it has."""
    faults = []
    for customer, name in enumerate(facilities.customers):
        if share[:, customer].min() < -SHARE or math.fsum(share[:, customer]) > 1 + SHARE:
            faults.append(f"customer {name} is served {math.fsum(share[:, customer]):.8g} of its demand")
    sizes = 0.0, *options.levels.capacity
    for site, name in enumerate(facilities.sites):
        load = math.fsum(share[site] * demand)
        limit = facilities.capacity[site] * sizes[level[site]] if level[site] else 0.0
        if load > limit * (1 + SHARE) + SHARE:
            faults.append(f"site {name} serves {load:.8g} units, its capacity is {limit:.8g}")
    return faults


def _sites(level: np.ndarray, facilities: Facilities, options: Stochastic) -> list[str]:
    faults, number = [], int(np.count_nonzero(level))
    if facilities.count is not None and number != facilities.count:
        faults.append(f"{number} sites are open, and {facilities.count} are asked for")
    spent = _fixed(level, facilities, options)
    if options.budget is not None and spent > options.budget * (1 + MONEY):
        faults.append(f"open sites cost {spent:.8g}, the budget is {options.budget:g}")
    return faults


def _fixed(level: np.ndarray, facilities: Facilities, options: Stochastic) -> float:
    shares = 0.0, *options.levels.fixed
    return math.fsum(facilities.fixed[site] * shares[size] for site, size in enumerate(level))


def _cost(share: np.ndarray, level: np.ndarray, demand: np.ndarray, facilities: Facilities, options: Stochastic) -> float:
    """Money of open sites, of what is served in one scenario, and of what is not."""
    used = [(site, customer) for site, customer in zip(*np.nonzero(share)) if demand[customer] > 0]
    grown = {customer: demand[customer] / facilities.demand[customer] for _, customer in used}
    service = math.fsum(share[way] * grown[way[1]] * facilities.cost[way] for way in used)
    missing = math.fsum(demand * (1 - share.sum(0)))
    return _fixed(level, facilities, options) + service + options.penalty * missing


def _costs(plan: Plan, costs: list[float]) -> list[str]:
    told = np.asarray(plan.cost, float)
    if told.shape != (len(costs),):
        return [f"a plan must have a cost for each of {len(costs)} scenarios"]
    wrong = [number for number, cost in enumerate(costs) if not abs(told[number] - cost) <= 10 * MONEY * max(1.0, abs(cost))]
    return [f"scenario {number + 1} is said to cost {told[number]:.12g}, it costs {costs[number]:.12g}" for number in wrong]


def _objective(costs: list[float], probability: list[float], options: Stochastic) -> float:
    """(1 - weight) mean + weight times the mean of the dearest share, taken from the dearest scenario on."""
    mean = math.fsum(cost * chance for cost, chance in zip(costs, probability))
    left, tail, share = 1 - options.risk.alpha, [], 1 - options.risk.alpha
    for cost, chance in sorted(zip(costs, probability), reverse=True):
        taken = min(chance, left)
        tail, left = [*tail, taken * cost], left - taken
    return (1 - options.risk.weight) * mean + options.risk.weight * math.fsum(tail) / share
