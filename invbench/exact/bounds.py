"""How far a dynamic programme must look: bounds on orders and positions, proved where theory gives them.

Lost sales without a fixed cost: with G(y) the newsvendor's cost of the demand of so many periods, no order lifts a position
above the fractile u / (u + holding) of the demand that the position must last for (Morton 1969, Management Science 15(5);
Zipkin 2008, Operations Research 56(5), 937-944). With a fixed cost, in dual sourcing and for perishables the bounds are
generous guesses; the caller widens them until the optimum stays the same.
"""

from dataclasses import dataclass

import numpy as np

from invbench.checks import require
from invbench.problem import Problem


@dataclass(frozen=True)
class Bounds:
    """Units; `proved` where theory says that an optimal policy needs no more."""

    order: int  # the largest order
    position: int  # the highest position after ordering
    lowest: int = 0  # the lowest position
    proved: bool = True


def lost_sales(problem: Problem, periods: np.ndarray, size: float) -> Bounds:
    """periods: [period, support] probability of demand; size: factor on what is not proved."""
    cost, cover = problem.cost, problem.system.lead_time + 1
    underage = float(cost.shortage + cost.price) - float(cost.purchase)
    holding = _holding(problem)
    stock = _initial(problem)
    rule = "such that a lost sale costs more than its purchase saves (shortage + price > purchase), or nothing is worth ordering"
    require(underage > 0, "cost.shortage", rule, float(cost.shortage))
    ladder = [_highest_fractile(periods, count, underage / (underage + holding)) for count in range(1, cover + 1)]
    if not float(cost.fixed_order) and problem.system.batch is None and problem.system.minimum_order is None:
        return Bounds(ladder[0], max(ladder[-1], stock, 1))
    most = int(ladder[-1] + _lot(problem, periods) * size)
    return Bounds(most, max(most, stock), proved=False)


def backlog(problem: Problem, periods: np.ndarray, size: float) -> Bounds:
    """Positions around the best (s, S) bounds of Veinott 1966 (SIAM J. Applied Mathematics 14(5)), and a demand below."""
    cost, cover = problem.cost, problem.system.lead_time + 1
    shortage, holding = float(cost.shortage), _holding(problem)
    require(shortage > 0, "cost.shortage", "a number > 0 for an exact method with backlog", shortage)
    earned = shortage + float(cost.price)  # what is still owed at the end of a horizon is never paid for
    level = _highest_fractile(periods, cover, earned / (earned + holding))
    least = _lowest_fractile(periods, cover, shortage / (shortage + holding))
    room = _lot(problem, periods) * size
    lowest = int(least - room / shortage * holding - room - periods.shape[1])
    lowest = min(lowest, -periods.shape[1] * len(periods))  # towards the end of a horizon it may be best to order nothing
    top = max(int(level + room), _initial(problem))
    plain = float(cost.fixed_order) == 0 and problem.system.batch is None and problem.system.minimum_order is None
    plain = plain and problem.system.capacity is None
    return Bounds(top - lowest, top, lowest, proved=plain)


def dual_source(problem: Problem, periods: np.ndarray, size: float) -> Bounds:
    """Net stock from one period's highest demand below zero up to what the regular supplier would keep."""
    cost, cover, support = problem.cost, problem.system.lead_time + 1, periods.shape[1] - 1
    shortage, holding = float(cost.shortage), _holding(problem)
    require(shortage > 0, "cost.shortage", "a number > 0 for an exact method", shortage)
    high = _highest_fractile(periods, cover, shortage / (shortage + holding))
    return Bounds(
        int(np.ceil(support * size)),
        max(int(np.ceil(high * size)), _initial(problem)),
        -int(np.ceil(support * size)),
        proved=False,
    )


def perishable(problem: Problem, periods: np.ndarray, size: float) -> Bounds:
    """Orders up to the system's maximum, or up to what a lead time and a period would need without expiry."""
    system, cost = problem.system, problem.cost
    if system.maximum_order is not None:
        return Bounds(int(system.maximum_order), 0, proved=True)
    underage = max(float(cost.shortage + cost.price) - float(cost.purchase), 1e-9)
    level = _highest_fractile(periods, min(system.life, system.lead_time + 1), underage / (underage + _holding(problem)))
    return Bounds(int(np.ceil(level * size)), 0, proved=False)


def _holding(problem: Problem) -> float:
    return max(float(problem.cost.holding), 1e-6)


def _initial(problem: Problem) -> int:
    return int(np.ceil(problem.system.initial_stock))


def _lot(problem: Problem, periods: np.ndarray) -> float:
    """Units that a fixed cost can pay for: twice the economic order quantity and a period's highest mean, in whole batches."""
    mean = float((periods @ np.arange(periods.shape[1])).max())
    economic = np.sqrt(2 * float(problem.cost.fixed_order) * mean / _holding(problem))
    batch = float(problem.system.batch or 0) + float(problem.system.minimum_order or 0)
    return 0.0 if economic + batch == 0 else 2 * economic + mean + 2 * batch


def _highest_fractile(periods: np.ndarray, count: int, fractile: float) -> int:
    return max(_fractiles(periods, count, fractile))


def _lowest_fractile(periods: np.ndarray, count: int, fractile: float) -> int:
    return min(_fractiles(periods, count, fractile))


def _fractiles(periods: np.ndarray, count: int, fractile: float) -> list[int]:
    """The smallest whole y with P(demand of `count` periods in a row <= y) >= fractile, for every start."""
    found = []
    for first in range(max(len(periods) - count + 1, 1)):
        total = np.ones(1)
        for step in range(count):
            total = np.convolve(total, periods[min(first + step, len(periods) - 1)])
        found.append(int(np.searchsorted(np.cumsum(total), fractile - 1e-12)))
    return found
