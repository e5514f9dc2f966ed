"""Why no tactical plan is feasible, in one sentence: which capacity, of which site, in which period, and which demand."""

from collections.abc import Sequence

import numpy as np

from invbench.planners.solve import Infeasible
from invbench.planners.tactical_allocation import Allocation
from invbench.planners.tactical_formulation import CAPACITIES, Linear
from invbench.planners.tactical_solve import by_linprog

SMALL = 1e-7  # units, and prices, that count as none
SHOWN = 3  # names of one kind that a sentence has
WORDS = {"unmet": "units of demand", "overfull": "of volume above storage", "below": "units below the target"}


def served(given: Allocation) -> None:
    """Raise Infeasible where a customer must get what no site can serve."""
    wanted = (given.demand.sum(0) > 0) & ~np.isfinite(given.transport).any(0) & ~np.isfinite(given.unmet)
    if wanted.any():
        customers, products = (listed(names, wanted.any(axis)) for names, axis in ((given.customers, 1), (given.products, 0)))
        raise Infeasible(f"no plan of {given.name} is feasible: no site can serve customer {customers} with product {products}")


def conflict(given: Allocation, linear: Linear) -> str:
    """One sentence. The model is made elastic: what must not happen costs 1 a unit, and nothing else costs anything.

    The prices of that optimum are a certificate (Farkas): the constraints that have one cannot hold together.
    """
    cost, high = np.zeros_like(linear.cost), linear.high.copy()
    for name, penalty in (("unmet", given.unmet), ("overfull", given.overfull), ("below", given.below)):
        forced = linear.columns[name][..., ~np.isfinite(penalty)]
        cost[forced], high[forced] = 1, np.inf
    values, duals, _ = by_linprog(linear, cost, high)
    broken = {name: float((cost * values)[numbers].sum()) for name, numbers in linear.columns.items() if name in WORDS}
    amounts = " and ".join(f"{amount:.6g} {WORDS[name]}" for name, amount in broken.items() if amount > SMALL)
    asked = _asked(given, linear, duals)
    return f"no plan of {given.name} is feasible: {amounts}{asked} cannot be planned: {_causes(given, linear, duals)}"


def _asked(given: Allocation, linear: Linear, duals: np.ndarray) -> str:
    """The demand that is part of the conflict: of customers, for products, in periods."""
    priced = duals[linear.rows["demand"]] > SMALL
    priced &= given.demand > 0
    if not priced.any():
        return ""
    customers = listed(given.customers, priced.any((0, 2)))
    products = listed(given.products, priced.any((0, 1)))
    return f" of customer {customers} for product {products} in {_periods(priced.any((1, 2)))}"


def _causes(given: Allocation, linear: Linear, duals: np.ndarray) -> str:
    """The capacities that are part of the conflict; without any, what keeps stock from arriving in time."""
    parts = []
    for name in CAPACITIES:
        priced = duals[linear.rows[name]] < -SMALL
        if priced.any():
            parts.append(f"{name} of {_sites(given, priced.any(0))} in {_periods(priced.any(1))}")
    if parts:
        return " and ".join(parts) + " is too small"
    waiting = (duals[linear.rows["balance"]] < -SMALL).any((0, 2))
    soonest = given.lead[waiting].min(initial=given.sizes["t"])
    when = f"before period {soonest + 1}" if soonest < given.sizes["t"] else "within the plan"
    return f"nothing that is bought now arrives {when} at {_sites(given, waiting)}"


def _sites(given: Allocation, chosen: np.ndarray) -> str:
    return "all sites" if chosen.all() and len(chosen) > 1 else f"site {listed(given.sites, chosen)}"


def listed(names: Sequence[str], chosen: np.ndarray) -> str:
    """The first few of the names that are chosen, bool [name], and how many more."""
    found = [name for name, one in zip(names, chosen) if one]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more


def _periods(chosen: np.ndarray) -> str:
    """Periods in words, numbered from 1; runs of them as first to last."""
    numbers = np.flatnonzero(chosen) + 1
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    told = [f"{run[0]}" if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs]
    more = f" and {len(told) - SHOWN} more" if len(told) > SHOWN else ""
    return f"period{'s' * (len(numbers) > 1)} {', '.join(told[:SHOWN])}{more}"
