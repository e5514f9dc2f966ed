"""What a tactical plan says: who gets what from where and when, what is bought and kept, and what capacity is worth."""

from typing import Any, NamedTuple

import numpy as np

from invbench.planners.solve import Solution
from invbench.planners.tactical_allocation import Allocation
from invbench.planners.tactical_formulation import CAPACITIES, DECISIONS, Linear


class Worth(NamedTuple):
    """Dual prices: what the cost of the best plan would change by, per unit; where it has a kink, one of the slopes there.

    storage, throughput, supply  [period, site]  >= 0: money saved by one more volume of this capacity; 0 where it does not bind
    stock   [period, site, product]      money saved by one more unit that arrives (in the first period: or is there already)
    demand  [period, customer, product]  money that one more unit of demand costs
    """

    storage: np.ndarray
    throughput: np.ndarray
    supply: np.ndarray
    stock: np.ndarray
    demand: np.ndarray


class Plan(NamedTuple):
    """A tactical plan, in units; volume where it says so."""

    name: str
    flows: np.ndarray  # [period, site, customer, product] served
    supply: np.ndarray  # [period, site, product] bought; it arrives `lead` periods later
    stock: np.ndarray  # [period, site, product] at the end of the period
    unmet: np.ndarray  # [period, customer, product] of demand
    overfull: np.ndarray  # [period, site] volume above storage
    below: np.ndarray  # [period, site, product] short of the target
    solution: Solution  # status, objective, bound by the dual prices, seconds
    worth: Worth

    def used(self, given: Allocation) -> dict[str, np.ndarray]:
        """[period, site] the volume that takes up each capacity."""
        volumes = self.stock, self.flows.sum(2), self.supply
        return dict(zip(CAPACITIES, (units @ given.volume for units in volumes)))

    def summary(self, given: Allocation) -> dict[str, Any]:
        """As report.json has it: the solution, what is not met, and the dearest unit of each capacity."""
        solution = self.solution
        told = {"objective": solution.objective, "bound": solution.bound, "gap": solution.gap, "status": solution.status}
        told |= {"seconds": solution.seconds, "unmet_units": float(self.unmet.sum()), "worth": {}}
        for name in CAPACITIES:
            prices = getattr(self.worth, name)
            period, site = np.unravel_index(prices.argmax(), prices.shape)
            told["worth"][name] = {"site": given.sites[site], "period": int(period) + 1, "money": float(prices.max())}
        return told


def read(given: Allocation, linear: Linear, values: np.ndarray, duals: np.ndarray, seconds: float) -> Plan:
    """The plan of the model's values [variable] and of the duals [constraint], the change of cost per unit of each limit."""
    values = np.clip(values, linear.low, linear.high)  # a solver keeps to these to a tolerance
    cost = float(linear.cost @ values)
    solution = Solution("optimal", cost, min(bound(linear, duals), cost), 0, seconds, None)
    decided = {name: values[linear.columns[name]] for name in DECISIONS}
    flows = np.zeros((given.sizes["t"], *given.transport.shape))
    flows[:, *given.links] = decided.pop("flow")
    return Plan(given.name, flows, **decided, solution=solution, worth=_worth(linear, duals))


def _worth(linear: Linear, duals: np.ndarray) -> Worth:
    saved = {name: np.maximum(-duals[linear.rows[name]], 0) for name in CAPACITIES}
    return Worth(**saved, stock=-duals[linear.rows["balance"]] + 0.0, demand=duals[linear.rows["demand"]])


def bound(linear: Linear, duals: np.ndarray) -> float:
    """No plan costs less, by weak duality: the cost of the Lagrangean relaxation at these prices of the constraints.

    Prices that the solver's tolerance leaves on the wrong side, where a limit is infinite, count as zero.
    """
    reduced = linear.cost - duals @ linear.matrix
    return _least(duals, linear.row_low, linear.row_high) + _least(reduced, linear.low, linear.high)


def _least(price: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """The least of price @ what lies between low and high."""
    end = np.where(price > 0, low, high)
    return float(np.sum(price * np.where(np.isfinite(end), end, 0)))
