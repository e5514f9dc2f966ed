"""Lots for a constant, known demand rate: the economic order quantity, with backorders, production, or quantity discounts.

Costs are per unit of time and every rate refers to the same unit of time. Equations are those of Snyder and Shen 2019,
Fundamentals of Supply Chain Theory, 2nd edition.
"""

import math
from typing import NamedTuple

import numpy as np

from invbench.checks import number, require


class Lot(NamedTuple):
    """The best lot and what it costs."""

    quantity: float  # units per order
    cost: float  # money per unit of time


class BackorderedLot(NamedTuple):
    """The best lot where customers may wait."""

    quantity: float  # units per order
    backordered: float  # share of demand that waits for the next order
    cost: float  # money per unit of time


class DiscountedLot(NamedTuple):
    """The best lot where the unit cost depends on its size."""

    quantity: float  # units per order
    tier: int  # number of the unit cost that is paid, from 0
    cost: float  # money per unit of time, the purchase included


def economic_order_quantity(*, fixed_order: float, holding: float, demand: float) -> Lot:
    """Q = sqrt(2 K d / h), cost sqrt(2 K d h): equations 3.4 and 3.5 (Harris 1913).

    fixed_order K: money per order; holding h: money per unit and time; demand d: units per time; all > 0, or ValueError.
    """
    fixed_order, holding, demand = _positive(fixed_order=fixed_order, holding=holding, demand=demand)
    return Lot(math.sqrt(2 * fixed_order * demand / holding), math.sqrt(2 * fixed_order * demand * holding))


def economic_order_quantity_backorders(*, fixed_order: float, holding: float, shortage: float, demand: float) -> BackorderedLot:
    """Q = sqrt(2 K d (h + p) / (h p)), x = h / (h + p), cost sqrt(2 K d h p / (h + p)): equations 3.27 to 3.29.

    shortage p: money per unit owed and time; the rest as in `economic_order_quantity`; all > 0, or ValueError.
    """
    holding, shortage = _positive(holding=holding, shortage=shortage)
    share = holding / (holding + shortage)
    quantity, cost = economic_order_quantity(fixed_order=fixed_order, holding=shortage * share, demand=demand)
    return BackorderedLot(quantity, share, cost)


def economic_production_quantity(*, fixed_order: float, holding: float, demand: float, production: float) -> Lot:
    """Q = sqrt(2 K d / (h (1 - r))), cost sqrt(2 K d h (1 - r)) with r = d / production: equations 3.31 and 3.32.

    production: units per time while the lot is made, > demand; the rest as in `economic_order_quantity`. Stock grows only
    by what is made and not sold at once, so a unit of the lot is held for a share 1 - r of the time.
    """
    holding, demand, production = _positive(holding=holding, demand=demand, production=production)
    require(production > demand, "production", f"> demand ({demand:g})", production)
    return economic_order_quantity(fixed_order=fixed_order, holding=holding * (1 - demand / production), demand=demand)


def all_units_discount(
    *, fixed_order: float, holding_rate: float, demand: float, breakpoints: list[float], unit_costs: list[float]
) -> DiscountedLot:
    """The lot where every unit costs c_j if the lot is in [b_j, b_j+1): equations 3.18 and 3.19, section 3.4.1.

    With c_j the best lot from b_j on is sqrt(2 K d / (i c_j)), or b_j if that is more; the cheapest of these is best, since
    one that lies beyond its tier is cheaper still in the next.

    fixed_order K: money per order; holding_rate i: holding cost of a unit and time as a share of what it cost; demand d:
    units per time; breakpoints b: units, rising from 0; unit_costs c: money per unit, falling. ValueError where they are
    not.
    """
    fixed_order, holding_rate, demand = _positive(fixed_order=fixed_order, holding_rate=holding_rate, demand=demand)
    low, unit = _tiers(breakpoints, unit_costs)
    lots = np.maximum(np.sqrt(2 * fixed_order * demand / (holding_rate * unit)), low)
    costs = unit * demand + fixed_order * demand / lots + holding_rate * unit * lots / 2
    return _cheapest(lots, costs)


def incremental_discount(
    *, fixed_order: float, holding_rate: float, demand: float, breakpoints: list[float], unit_costs: list[float]
) -> DiscountedLot:
    """The lot where c_j is paid for the units beyond b_j alone: equations 3.20 to 3.22, section 3.4.2.

    What the first b_j units cost more than c_j each, e_j, acts as a fixed cost: in tier j the best lot is
    sqrt(2 (K + e_j) d / (i c_j)), and the cheapest of these is best: a lot never costs less by another tier's terms than by
    its own. Arguments as in `all_units_discount`.
    """
    fixed_order, holding_rate, demand = _positive(fixed_order=fixed_order, holding_rate=holding_rate, demand=demand)
    low, unit = _tiers(breakpoints, unit_costs)
    extra = np.concatenate([[0.0], np.cumsum(unit[:-1] * np.diff(low))]) - unit * low
    lots = np.sqrt(2 * (fixed_order + extra) * demand / (holding_rate * unit))
    costs = unit * demand + (fixed_order + extra) * demand / lots + holding_rate * (extra + unit * lots) / 2
    return _cheapest(lots, costs)


def _positive(**given: float) -> list[float]:
    return [number(name, value, low=0, above=True) for name, value in given.items()]


def _tiers(breakpoints: list[float], unit_costs: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Where each tier begins, and what a unit costs in it, each [tier]."""
    low = np.array([number(f"breakpoints[{i}]", value, low=0) for i, value in enumerate(breakpoints)])
    unit = np.array([number(f"unit_costs[{i}]", value, low=0, above=True) for i, value in enumerate(unit_costs)])
    require(len(low) > 0 and low[0] == 0 and np.all(np.diff(low) > 0), "breakpoints", "rising from 0", list(breakpoints))
    require(len(unit) == len(low), "unit_costs", f"one for each of the {len(low)} breakpoints", list(unit_costs))
    require(bool(np.all(np.diff(unit) < 0)), "unit_costs", "falling, as a discount is", list(unit_costs))
    return low, unit


def _cheapest(lots: np.ndarray, costs: np.ndarray) -> DiscountedLot:
    tier = int(costs.argmin())
    return DiscountedLot(float(lots[tier]), tier, float(costs[tier]))
