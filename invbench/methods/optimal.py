"""The optimum: value iteration straight over the system's transition and the pmf of demand, with a proved bracket.

Relative value iteration for the average money per period, discounted value iteration, or backward induction over the horizon
that is judged, where demand differs from period to period (Puterman 1994, chapters 4, 6 and 8).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from invbench.checks import choice, number, whole
from invbench.exact import optimum
from invbench.problem import Problem
from invbench.types import Array, Policy


@dataclass(frozen=True)
class Optimal:
    """The best policy there is, for one kind of item with a pmf of demand; see `exact.optimum`."""

    horizon: str  # infinite, finite (the periods that are judged) or auto: finite where demand differs from period to period
    discount: float  # of money, per period; 1: the average per period (infinite) or plain sums (finite)
    tolerance: float  # money; width of the bracket at which iteration ends (in proportion where the optimum exceeds 1000)
    sweeps: int  # at most
    memory: float  # GiB that may be used; more is refused before it starts
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False
    needs: ClassVar[str] = "pmf"
    systems: ClassVar[tuple[str, ...]] = ("lost_sales", "backlog", "dual_source", "perishable")

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        found = optimum.find(
            problem,
            horizon=choice("method.horizon", self.horizon, ("auto", "infinite", "finite")),
            discount=number("method.discount", self.discount, low=0, high=1, above=True),
            tolerance=number("method.tolerance", self.tolerance, low=0, above=True),
            sweeps=whole("method.sweeps", self.sweeps, low=1),
            memory=number("method.memory", self.memory, low=0, above=True),
        )
        log({f"optimum/{name}": value for name, value in found.figures().items()}, found.sweeps)
        return found.policy
