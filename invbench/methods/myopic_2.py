"""Myopic-2: the order that is best for the period in which it arrives and the next one (Zipkin 2008)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from invbench.checks import number
from invbench.exact import lookahead
from invbench.problem import Problem
from invbench.types import Array, Policy


@dataclass(frozen=True)
class MyopicTwo:
    """The order that minimises the expected cost of the period in which it arrives and, ordering myopically then, of the next.

    For lost sales with a pmf of demand; fixed costs are not looked at. See `exact.lookahead`.
    """

    discount: float  # of money, per period
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False
    needs: ClassVar[str] = "pmf"
    systems: ClassVar[tuple[str, ...]] = ("lost_sales",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        discount = number("method.discount", self.discount, low=0, high=1, above=True)
        return lookahead.policy(problem, "myopic_2", 2, discount)
