"""Exact (s, S) and (r, Q) rules for Poisson demand, by review every period and by continuous review."""

from typing import NamedTuple

import numpy as np
from scipy import stats

from invbench.checks import number, whole
from invbench.formulas import Stationary
from invbench.newsvendor_formulas import newsvendor_poisson, poisson_cost


class ReorderUpTo(NamedTuple):
    """Order up to `level` where the inventory position is at or below `reorder_point`."""

    reorder_point: int
    level: int
    cost: float  # expected money per period


class ReorderLots(NamedTuple):
    """Order `quantity` when the inventory position falls to `reorder_point`."""

    reorder_point: int
    quantity: int
    cost: float  # expected money per unit of time


def reorder_up_to_poisson(*, holding: float, shortage: float, fixed_order: float, mean: float, lead_time: int = 0) -> ReorderUpTo:
    """The best (s, S) by review in every period: Snyder and Shen 2019, algorithm 4.2 (Zheng and Federgruen 1991).

    holding, shortage: money per unit and period, > 0; fixed_order: money per order, >= 0; mean: units per period, > 0;
    lead_time: whole periods (0: an order meets the demand of its own period). ValueError where they are not.
    """
    holding, shortage, mean = _positive(holding=holding, shortage=shortage, mean=mean)
    fixed_order, lead_time = number("fixed_order", fixed_order, low=0), whole("lead_time", lead_time)
    demand = stats.poisson(mean)
    pmf = demand.pmf(np.arange(int(demand.isf(1e-16)) + 2))
    return ReorderUpTo(*Stationary(pmf, lead_time, holding, shortage, fixed_order).reorder_up_to())


def reorder_lots_poisson(*, holding: float, shortage: float, fixed_order: float, mean: float, lead_time: float) -> ReorderLots:
    """The best (r, Q) by continuous review of a Poisson process: Snyder and Shen 2019, equation 5.48.

    The inventory position is uniform on r + 1, …, r + Q and orders come at the rate mean / Q, so with G(y) the cost of
    position y against the demand of the lead time the cost is [K mean + G(r + 1) + … + G(r + Q)] / Q. From the position
    that costs least the cheaper neighbour is added for as long as it costs less than the average (Federgruen and Zheng
    1992, Operations Research 40(4), 808-813).

    holding, shortage: money per unit and time; fixed_order: money per order; mean: units per time; lead_time: time, not
    necessarily whole; all > 0, or ValueError.
    """
    holding, shortage, fixed_order = _positive(holding=holding, shortage=shortage, fixed_order=fixed_order)
    mean, lead_time = _positive(mean=mean, lead_time=lead_time)
    rates = dict(holding=holding, shortage=shortage, mean=mean * lead_time)
    low = high = newsvendor_poisson(**rates).level
    spent = fixed_order * mean + float(poisson_cost(low, **rates))
    while True:
        below, above = poisson_cost(np.array([low - 1, high + 1]), **rates).tolist()
        size = high - low + 1
        if min(below, above) >= spent / size:
            return ReorderLots(low - 1, size, spent / size)
        low, high = (low - 1, high) if below < above else (low, high + 1)
        spent += min(below, above)


def _positive(**given: float) -> list[float]:
    return [number(name, value, low=0, above=True) for name, value in given.items()]
