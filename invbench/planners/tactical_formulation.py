"""A tactical plan as a sparse linear model: its variables, its constraints, and where each of them stands."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from invbench.planners.tactical_allocation import Allocation

EQUATIONS = ("demand", "balance")
CAPACITIES = ("storage", "throughput", "supply")
DECISIONS = ("flow", "supply", "stock", "unmet", "overfull", "below")


@dataclass(frozen=True, eq=False)
class Linear:
    """Minimise cost @ values, where low <= values <= high and row_low <= matrix @ values <= row_high.

    `columns` and `rows` have the numbers of variables and constraints by name, in the shape of what they stand for:
    flow [period, link], supply, stock and below [period, site, product], unmet [period, customer, product], overfull
    [period, site]; demand [period, customer, product], balance and target [period, site, product], the capacities [period,
    site].
    """

    cost: np.ndarray
    low: np.ndarray
    high: np.ndarray
    matrix: sparse.csr_array
    row_low: np.ndarray
    row_high: np.ndarray
    columns: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    @property
    def equations(self) -> slice:
        """The constraints that are equations: they come first."""
        return slice(0, sum(self.rows[name].size for name in EQUATIONS))


def formulate(given: Allocation) -> Linear:
    """The model. Its matrix and its cost do not depend on demand, stock, capacities or targets: see `limits`."""
    columns, rows = _columns(given), _rows(given)
    low, high, row_low, row_high = limits(given, columns, rows)
    return Linear(_costs(given, columns), low, high, _matrix(given, columns, rows), row_low, row_high, columns, rows)


def limits(given: Allocation, columns: dict, rows: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lower and upper ends of variables and of constraints: all that changes as a plan rolls on."""
    low, high = np.zeros(_count(columns)), np.full(_count(columns), np.inf)
    high[columns["supply"][late(given)]] = 0
    for name, penalty, axes in (("unmet", given.unmet, 3), ("overfull", given.overfull, 2), ("below", given.below, 3)):
        high[columns[name][..., ~np.isfinite(penalty)]] = 0
    row_low, row_high = np.full(_count(rows), -np.inf), np.full(_count(rows), np.inf)
    row_low[rows["demand"]] = row_high[rows["demand"]] = given.demand
    started = given.on_the_way.copy()
    started[0] += given.initial
    row_low[rows["balance"]] = row_high[rows["balance"]] = started
    for name in CAPACITIES:
        row_high[rows[name]] = getattr(given, name)
    row_low[rows["target"]] = given.target
    return low, high, row_low, row_high


def late(given: Allocation) -> np.ndarray:
    """[period, site] bool: what is bought here arrives after the last period."""
    return np.arange(given.sizes["t"])[:, None] + given.lead >= given.sizes["t"]


def _columns(given: Allocation) -> dict[str, np.ndarray]:
    axes = {"flow": "tk", "supply": "tsp", "stock": "tsp", "unmet": "tcp", "overfull": "ts", "below": "tsp"}
    return _numbered({name: axes[name] for name in DECISIONS}, given.sizes | {"k": len(given.links[0])})


def _rows(given: Allocation) -> dict[str, np.ndarray]:
    axes = {"demand": "tcp", "balance": "tsp"} | dict.fromkeys(CAPACITIES, "ts") | {"target": "tsp"}
    return _numbered(axes, given.sizes)


def _numbered(axes: dict[str, str], sizes: dict[str, int]) -> dict[str, np.ndarray]:
    """Consecutive numbers in arrays of these axes."""
    shapes = {name: tuple(sizes[axis] for axis in letters) for name, letters in axes.items()}
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes.values())])
    return {name: start + np.arange(np.prod(shape)).reshape(shape) for start, (name, shape) in zip(ends, shapes.items())}


def _count(numbers: dict[str, np.ndarray]) -> int:
    return sum(part.size for part in numbers.values())


def _costs(given: Allocation, columns: dict[str, np.ndarray]) -> np.ndarray:
    cost = np.zeros(_count(columns))
    prices = {"flow": given.transport[given.links], "supply": given.purchase, "stock": given.holding}
    for name, price in (prices | {"unmet": given.unmet, "overfull": given.overfull, "below": given.below}).items():
        cost[columns[name]] = np.where(np.isfinite(price), price, 0)
    return cost


def _matrix(given: Allocation, columns: dict[str, np.ndarray], rows: dict[str, np.ndarray]) -> sparse.csr_array:
    """All constraints; each part is (rows, columns, factors), broadcast to one shape.

    demand: what is served from all sites and what is not is the demand. balance: stock is what there was before and what
    arrives, less what is served. The capacities count volume. target: stock and what it is short of the target is at least it.
    """
    site, customer, product = given.links
    volume, sites = given.volume, np.arange(given.sizes["s"])
    on_time, arrival = _arrivals(given)
    parts = [
        (rows["demand"][:, customer, product], columns["flow"], 1),
        (rows["demand"], columns["unmet"], 1),
        (rows["balance"], columns["stock"], 1),
        (rows["balance"][1:], columns["stock"][:-1], -1),
        (rows["balance"][:, site, product], columns["flow"], 1),
        (rows["balance"][arrival, sites][on_time], columns["supply"][on_time], -1),
        (rows["storage"][..., None], columns["stock"], volume),
        (rows["storage"], columns["overfull"], -1),
        (rows["throughput"][:, site], columns["flow"], volume[product]),
        (rows["supply"][..., None], columns["supply"], volume),
        (rows["target"], columns["stock"], 1),
        (rows["target"], columns["below"], 1),
    ]
    flat = [[np.ravel(one) for one in np.broadcast_arrays(*part)] for part in parts]
    row, column, factor = (np.concatenate(one) for one in zip(*flat))
    return sparse.csr_array((factor.astype(float), (row, column)), shape=(_count(rows), _count(columns)))


def _arrivals(given: Allocation) -> tuple[np.ndarray, np.ndarray]:
    """[period, site] whether what is bought here arrives within the plan, and when."""
    arrival = np.arange(given.sizes["t"])[:, None] + given.lead
    return ~late(given), np.minimum(arrival, given.sizes["t"] - 1)
