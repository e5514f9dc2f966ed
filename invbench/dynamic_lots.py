"""Lots for known demand that changes from period to period: the algorithm of Wagner and Whitin."""

from typing import NamedTuple

import numpy as np

from invbench.checks import require

Values = np.ndarray | list | float


class Plan(NamedTuple):
    """A plan of orders. Without an item axis in the demand there is none here."""

    quantity: np.ndarray  # [period, item] units to order
    next_order: np.ndarray  # [period, item] if an order is placed in this period: when the next one is, at most `periods`
    cost: np.ndarray  # [item] money over all periods


def wagner_whitin(demand: Values, *, holding: Values, fixed_order: Values, purchase: Values = 0.0) -> Plan:
    """The cheapest orders that meet all demand in time, from no stock, with no stock left.

    demand: [period] or [period, item] units, >= 0. holding: money per unit left at the end of a period; fixed_order: money
    per order; purchase: money per unit ordered in a period; each >= 0 and of a shape that broadcasts to the demand's. An
    order is there at once. ValueError where this does not hold.

    By dynamic programming from the last period back, O(period^2) for each item. Some cheapest plan orders only in periods
    that start without stock, so with T(s) the cost from period s on without stock (Wagner and Whitin 1958, Management
    Science 5(1), 89-96; Snyder and Shen 2019, equation 3.39 and algorithm 3.1):

        T(t) = min over s > t of fixed_order(t) + sum over i = t, ..., s - 1 of demand(i) x (purchase(t) + the holding of
               periods t, ..., i - 1) + T(s), or T(t + 1) if that is less and nothing is needed in t.

    Of equally cheap plans, the one whose orders cover fewer periods.
    """
    demand, holding, fixed_order, purchase = _checked(demand, holding, fixed_order, purchase)
    periods = len(demand)
    before = np.zeros((1, *demand.shape[1:]))
    total = np.concatenate([before, demand.cumsum(0)])  # demand of the periods before each
    carry = np.concatenate([before, holding.cumsum(0)])[:-1]  # what it costs to carry a unit from period 0 to each
    carried = np.concatenate([before, (demand * carry).cumsum(0)])
    rest = np.zeros_like(total)  # T
    next_order, places = np.zeros(demand.shape, int), np.zeros(demand.shape, bool)
    for t in reversed(range(periods)):
        units = total[t + 1 :] - total[t]
        costs = purchase[t] * units + carried[t + 1 :] - carried[t] - carry[t] * units + rest[t + 1 :]
        best = costs.argmin(0)
        ordering = fixed_order[t] + np.take_along_axis(costs, best[None], 0)[0]
        places[t] = (demand[t] > 0) | (ordering < rest[t + 1])
        next_order[t], rest[t] = t + 1 + best, np.where(places[t], ordering, rest[t + 1])
    return Plan(_quantities(total, next_order, places), next_order, rest[0])


def _quantities(total: np.ndarray, next_order: np.ndarray, places: np.ndarray) -> np.ndarray:
    """[period, item] what each order covers, along the chain of orders from period 0."""
    quantity, empty = np.zeros(next_order.shape), np.zeros(next_order.shape[1:], int)  # empty: when stock is used up
    for t in range(len(quantity)):
        orders = (empty <= t) & places[t]
        until = np.take_along_axis(total, next_order[t][None], 0)[0]
        quantity[t] = np.where(orders, until - total[t], 0)
        empty = np.where(orders, next_order[t], empty)
    return quantity


def _checked(demand: Values, holding: Values, fixed_order: Values, purchase: Values) -> list[np.ndarray]:
    """All four of the shape of the demand, float64."""
    shape = np.shape(demand)
    require(len(shape) in (1, 2), "demand", "of shape [period] or [period, item]", shape)
    given = {"demand": demand, "holding": holding, "fixed_order": fixed_order, "purchase": purchase}
    made = []
    for name, value in given.items():
        values = np.asarray(value, np.float64)
        require(bool(np.all(np.isfinite(values) & (values >= 0))), name, "numbers >= 0", value)
        sizes = zip(values.shape[::-1], shape[::-1], strict=False)
        fits = values.ndim <= len(shape) and all(size in (1, whole) for size, whole in sizes)
        require(fits, name, f"of a shape that broadcasts to the demand's {shape}", values.shape)
        made.append(np.broadcast_to(values, shape))
    return made
