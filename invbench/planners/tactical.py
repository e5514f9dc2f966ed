"""What to buy, keep and send where over the next periods: several products, capacities and seasons, by linear programming."""

import time
from dataclasses import dataclass, replace
from typing import Any

from invbench.checks import number, whole
from invbench.planners import tactical_allocation
from invbench.planners.solve import Infeasible
from invbench.planners.tactical_allocation import Allocation
from invbench.planners.tactical_conflict import conflict, served
from invbench.planners.tactical_formulation import formulate, limits
from invbench.planners.tactical_plan import Plan, read
from invbench.planners.tactical_solve import Kept, by_linprog


@dataclass(frozen=True)
class Tactical:
    """How far the plan looks, and what it does where something is short; made by `create`, which checks."""

    window: int  # periods
    unmet: float | None = None  # money per unit of demand not served; None: all of it must be
    overfull: float | None = None  # money per volume above storage and period; None: never above
    below: float | None = None  # money per unit below target and period; None: never below
    volume: float = 1.0  # of a unit, where products have none of their own

    def allocation(self, **figures: Any) -> Allocation:
        """The data of a plan, as `tactical_allocation.create`, with these options where nothing else is said."""
        options = {name: getattr(self, name) for name in ("unmet", "overfull", "below", "volume")}
        return tactical_allocation.create(**options | figures)

    def plan(self, given: Allocation) -> Plan:
        """The best plan, once. Raises Infeasible, which says what conflicts."""
        return plan(given)


def create(
    *, window: int, unmet: float | None = None, overfull: float | None = None, below: float | None = None, volume: float = 1.0
) -> Tactical:
    """Checked options. Raises ValueError where one makes no sense."""
    given = {"unmet": unmet, "overfull": overfull, "below": below}
    prices = {name: None if price is None else number(f"planner.{name}", price, low=0) for name, price in given.items()}
    volume = number("planner.volume", volume, low=0, above=True)
    return Tactical(whole("planner.window", window, low=1), volume=volume, **prices)


def plan(given: Allocation) -> Plan:
    """The best plan, by scipy's linprog. Raises Infeasible, which names the capacity, site, period and demand that conflict."""
    began = time.perf_counter()
    served(given)
    linear = formulate(given)
    values, duals, _ = by_linprog(linear)
    if values is None:
        raise Infeasible(conflict(given, linear))
    return read(given, linear, values, duals, time.perf_counter() - began)


class Rolling:
    """The same plan again and again as time goes on: the model stays in HiGHS, and each solve starts from the last optimum.

    Sites, customers, products, ways, lead times, money and volumes are those of the first; demand, stock, what is on the way,
    targets and capacities may change.
    """

    CHANGING = frozenset(("demand", "initial", "on_the_way", "target", "storage", "throughput", "supply"))

    def __init__(self, given: Allocation):
        """The model of the first plan."""
        served(given)
        self.given, self.linear = given, formulate(given)
        self.kept = Kept(self.linear)

    def plan(self, **figures: Any) -> Plan:
        """The best plan with these figures, fields of `Allocation`, in place of the last ones.

        Starting where the last plan ended is 4 times faster than starting from it moved on by the periods that went by.
        Raises Infeasible as `plan`, after which other figures may be tried, and ValueError for a field that may not change.
        """
        began = time.perf_counter()
        for field in sorted(set(figures) - self.CHANGING):
            raise ValueError(f"tactical.{field} must be one of {', '.join(sorted(self.CHANGING))} to change, got it")
        self.given = self.given.changed(**figures)
        served(self.given)
        ends = limits(self.given, self.linear.columns, self.linear.rows)
        self.linear = replace(self.linear, **dict(zip(("low", "high", "row_low", "row_high"), ends)))
        self.kept.change(self.linear)
        values, duals, _ = self.kept.solve()
        if values is None:
            raise Infeasible(conflict(self.given, self.linear))
        return read(self.given, self.linear, values, duals, time.perf_counter() - began)
