"""Whether a tactical plan is what it says: every constraint and its cost worked out again, from the plan and the data alone."""

import numpy as np

from invbench.planners.tactical_allocation import Allocation
from invbench.planners.tactical_formulation import CAPACITIES, late
from invbench.planners.tactical_plan import Plan

UNITS = 1e-6  # share of what is asked for, or of a capacity, that may be missing or too much
MONEY = 1e-8  # share of the cost by which it may differ


def check(plan: Plan, given: Allocation) -> list[str]:
    """What is wrong with a plan, one sentence for each kind, with its worst place; [] if nothing is."""
    return [*_amounts(plan, given), *_balance(plan, given), *_limits(plan, given), *_claims(plan, given)]


def _amounts(plan: Plan, given: Allocation) -> list[str]:
    """Nothing below zero, nothing on a way that there is not, nothing bought too late, and nothing short that must not be."""
    faults = []
    for name in ("flows", "supply", "stock", "unmet", "overfull", "below"):
        amounts = getattr(plan, name)
        if not (np.isfinite(amounts).all() and amounts.min() >= -UNITS):
            faults.append(f"{name} has a number below zero, or none at all")
    if plan.flows[:, ~np.isfinite(given.transport)].any():
        faults.append("a customer is served from a site that cannot serve it")
    if plan.supply[late(given)].any():
        faults.append("something is bought that arrives after the plan")
    for name, penalty in (("unmet", given.unmet), ("overfull", given.overfull), ("below", given.below)):
        if (getattr(plan, name)[..., ~np.isfinite(penalty)] > UNITS).any():
            faults.append(f"{name} is above zero where it must not be")
    return faults


def _balance(plan: Plan, given: Allocation) -> list[str]:
    """Customers get what they ask for but for what is unmet, and stock is what came less what went, site by site."""
    faults = _compare("customer is served", plan.flows.sum(1) + plan.unmet, given.demand)
    stock = given.initial.copy()
    for period, served in enumerate(plan.flows.sum(2)):
        bought = np.zeros_like(stock)
        for site, lead in enumerate(given.lead):
            if period >= lead:
                bought[site] = plan.supply[period - lead, site]
        stock = stock + given.on_the_way[period] + bought - served
        faults += _compare(f"stock in period {period + 1} is", plan.stock[period], stock)
    return faults


def _compare(what: str, said: np.ndarray, right: np.ndarray) -> list[str]:
    wrong = np.abs(said - right) - UNITS * np.maximum(1, np.abs(right))
    place = np.unravel_index(wrong.argmax(), wrong.shape)
    numbers = ", ".join(str(number + 1) for number in place)
    return [f"{what} {said[place]:.8g} in place of {right[place]:.8g} (number {numbers})"] if wrong[place] > 0 else []


def _limits(plan: Plan, given: Allocation) -> list[str]:
    """No capacity exceeded, and no stock further below its target than the plan says."""
    faults = []
    used = plan.used(given)
    used["storage"] = used["storage"] - plan.overfull
    for name in CAPACITIES:
        room = getattr(given, name)
        over = used[name] - room - UNITS * np.maximum(1, np.where(np.isfinite(room), room, 1))
        period, site = np.unravel_index(over.argmax(), over.shape)
        if over[period, site] > 0:
            where = f"of site {given.sites[site]} in period {period + 1}"
            faults.append(f"{name} {where} is {room[period, site]:.8g}, the plan uses {used[name][period, site]:.8g}")
    short = given.target - plan.stock - plan.below - UNITS * np.maximum(1, given.target)
    if short.max() > 0:
        faults.append(f"stock is {short.max():.8g} units further below its target than the plan says")
    return faults


def _claims(plan: Plan, given: Allocation) -> list[str]:
    """The objective is the cost, and the bound proves it the least."""
    reach = np.isfinite(given.transport)
    cost = (plan.flows[:, reach] * given.transport[reach]).sum() + (plan.supply * given.purchase).sum()
    cost += (plan.stock * given.holding).sum()
    for amounts, penalty in ((plan.unmet, given.unmet), (plan.overfull, given.overfull), (plan.below, given.below)):
        cost += (amounts * np.where(np.isfinite(penalty), penalty, 0)).sum()
    faults, slack, solution = [], MONEY * max(1.0, abs(cost)), plan.solution
    if not abs(solution.objective - cost) <= slack:
        faults.append(f"the objective is said to be {solution.objective:.12g}, the plan costs {cost:.12g}")
    if solution.bound > cost + slack or solution.bound < cost - 100 * slack:
        faults.append(f"the bound {solution.bound:.12g} does not prove the cost {cost:.12g}")
    return faults
