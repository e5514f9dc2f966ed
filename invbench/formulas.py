"""Exact optima of stationary rules: independent whole-number demand, backlog, fixed lead time, average cost a period.

An order placed in t can meet demand from t + L on, so what is decided in t is charged over the demand of L + 1 periods:
G(y) = E[holding (y - D)+ + shortage (D - y)+] at inventory position y after ordering. Revenue and purchase do not depend
on the rule: every unit of demand is bought and sold in the end.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from invbench.costs import CostModel
from invbench.problem import Problem


@dataclass(frozen=True, eq=False)
class Stationary:
    """One item: demand of a period, and what holding, shortage and ordering cost."""

    pmf: np.ndarray  # [support] of demand 0, 1, 2, …
    lead_time: int
    holding: float
    shortage: float
    fixed_order: float

    @cached_property
    def cover(self) -> np.ndarray:
        """Probabilities of the demand of lead time + 1 periods."""
        total = np.ones(1)
        for _ in range(self.lead_time + 1):
            total = np.convolve(total, self.pmf)
        return total

    def cost(self, low: int, high: int) -> np.ndarray:
        """G(y) for y = low, …, high."""
        demand, levels = np.arange(len(self.cover)), np.arange(low, high + 1)
        gap = levels[:, None] - demand
        return (np.where(gap > 0, self.holding * gap, -self.shortage * gap) * self.cover).sum(1)

    def base_stock(self) -> int:
        """The smallest y with P(D <= y) >= shortage / (shortage + holding) (Snyder and Shen 2019, section 4.3.4)."""
        return int(np.searchsorted(np.cumsum(self.cover), self.shortage / (self.shortage + self.holding) - 1e-12))

    def reorder_up_to(self) -> tuple[int, int, float]:
        """The best (s, S) and its cost: order up to S where the position is <= s.

        Algorithm of Zheng and Federgruen 1991, Operations Research 39(4), 654-665; here s is the highest position at which
        an order is placed, theirs too.
        """
        best_level = self.base_stock()
        low = best_level - len(self.pmf) - 1
        table = _Table(self, low, best_level + len(self.cover) + 64)
        s, up_to = best_level, best_level
        while True:  # the best s for this S
            s -= 1
            if table.average(s, up_to) <= table.at(s):
                break
        best, best_up_to = table.average(s, up_to), up_to
        up_to += 1
        while table.at(up_to) <= best:
            if table.average(s, up_to) < best:
                best_up_to = up_to
                while table.average(s, up_to) <= table.at(s + 1):
                    s += 1
                best = table.average(s, up_to)
            up_to += 1
        return s, best_up_to, float(best)

    def lots(self) -> tuple[int, int, float]:
        """The best (r, nQ) and its cost: as many lots of Q as lift the position above r where it is <= r.

        The position after ordering is uniform on r + 1, …, r + Q, and an order is placed in a share E[min(D, Q)] / Q of the
        periods (Zheng and Chen 1992, Naval Research Logistics 39). For each Q the window of positions with least cost is
        grown around the base-stock level; the search ends when fixed costs can no longer pay for a larger lot.
        """
        level = self.base_stock()
        low = high = level
        spent, best = 0.0, (level - 1, 1, np.inf)
        tail = 1 - np.cumsum(self.pmf)  # P(D > j)
        for size in range(1, 100_000):
            below, above = (float(self.cost(y, y)[0]) for y in (low - 1, high + 1)) if size > 1 else (0.0, 0.0)
            if size > 1:
                added, low, high = (below, low - 1, high) if below <= above else (above, low, high + 1)
            else:
                added = float(self.cost(level, level)[0])
            spent += added
            average = spent / size + self.fixed_order * tail[:size].sum() / size
            if average < best[2] - 1e-12:
                best = (low - 1, size, float(average))
            elif added > best[2]:  # every further position costs more than the average that it would have to lower
                return best
        return best


class _Table:
    """Costs of (s, S) rules by renewal: between orders the position falls from S by demand until it is <= s."""

    def __init__(self, item: Stationary, low: int, high: int):
        self.item = item
        self._fill(low, high)

    def _fill(self, low: int, high: int) -> None:
        self.low, self.costs = low, self.item.cost(low, high)
        self.renewals = _renewals(self.item.pmf, high - low + 1)

    def at(self, y: int) -> float:
        """G(y); the table grows where it is too short."""
        while y < self.low or y >= self.low + len(self.costs):
            size = len(self.costs)
            self._fill(self.low - size, self.low + 2 * size)
        return float(self.costs[y - self.low])

    def average(self, s: int, up_to: int) -> float:
        """[K + sum_j m(j) G(S - j)] / sum_j m(j) over j = 0, …, S - s - 1 (Zheng and Federgruen 1991, equation 2)."""
        self.at(s), self.at(up_to)
        count = up_to - s
        weights = self.renewals[:count]
        levels = self.costs[up_to - self.low - np.arange(count)]
        return float((self.item.fixed_order + weights @ levels) / weights.sum())


def _renewals(pmf: np.ndarray, size: int) -> np.ndarray:
    """m(j): expected periods that the position spends at S - j before the next order."""
    expected = np.zeros(size)
    expected[0] = 1 / (1 - pmf[0])
    for j in range(1, size):
        reach = min(j, len(pmf) - 1)
        expected[j] = expected[0] * (pmf[1 : reach + 1] @ expected[j - np.arange(1, reach + 1)])
    return expected


def stationary(problem: Problem) -> Stationary | None:
    """The problem as these formulas take it; None where they do not apply."""
    system, cost, scenario = problem.system, problem.cost, problem.scenario
    free = all(getattr(system, name, 0) is None for name in ("minimum_order", "batch", "capacity", "lead_time_distribution"))
    scalar = all(np.ndim(rate) == 0 for rate in (cost.holding, cost.shortage, cost.fixed_order))
    if not (hasattr(scenario, "pmf") and getattr(system, "backlog", False) and free and scalar):
        return None
    if not (cost.holding > 0 and cost.shortage > 0):
        return None
    return Stationary(scenario.pmf(), system.lead_time, float(cost.holding), float(cost.shortage), float(cost.fixed_order))


def critical_fractile(cost: CostModel, backlog: bool) -> np.ndarray:
    """[] or [item] probability of meeting demand at which a unit more costs as much as it earns."""
    return np.clip(quantile(underage(cost, backlog), np.asarray(cost.holding)), 1e-4, 1 - 1e-4)


def underage(cost: CostModel, backlog: bool) -> np.ndarray:
    """[] or [item] money that a missed unit costs: what is charged for it, and its margin where it is lost."""
    return np.asarray(cost.shortage) + (0 if backlog else np.maximum(np.asarray(cost.price) - np.asarray(cost.purchase), 0))


def quantile(under: np.ndarray | float, over: np.ndarray | float) -> np.ndarray:
    """under / (under + over); money per unit too few and too many."""
    return under / np.maximum(np.asarray(under) + over, 1e-12)
