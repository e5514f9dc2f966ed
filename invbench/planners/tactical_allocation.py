"""What a tactical plan is made for: sites, customers, products and periods, the demand, the money and the capacities."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from invbench.checks import require

MONEY = {"transport": "scp", "purchase": "sp", "holding": "sp", "unmet": "p", "overfull": "s", "below": "p"}
UNITS = {"demand": "tcp", "volume": "p", "initial": "sp", "on_the_way": "tsp", "target": "tsp"}
ROOM = {"storage": "ts", "throughput": "ts", "supply": "ts"}
SHAPES = MONEY | UNITS | ROOM  # axes of each field: t period, s site, c customer, p product
INFINITE = {"transport", "unmet", "overfull", "below", *ROOM}  # may be inf
DEFAULTS = {
    "holding": 0.0, "unmet": np.inf, "overfull": np.inf, "below": np.inf, "volume": 1.0, "storage": np.inf,
    "throughput": np.inf, "supply": np.inf, "initial": 0.0, "on_the_way": 0.0, "target": 0.0,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Allocation:
    """Several products over several periods; made by `create`, which checks.

    In each period: what was bought `lead` periods before arrives, customers are served from stock, and what is left is kept.
    What a customer does not get is lost. Volume is that of the products' `volume`: with volume 1 it is units.

    demand      [period, customer, product]  units
    transport   [site, customer, product]    money per unit served; inf: the site cannot serve the customer with it
    purchase    [site, product]              money per unit bought
    holding     [site, product]              money per unit in stock at the end of a period
    unmet       [product]                    money per unit of demand not served; inf: all of it must be
    volume      [product]                    volume of a unit
    storage     [period, site]               volume in stock at the end of a period; inf: no limit
    throughput  [period, site]               volume served in a period; inf: no limit
    supply      [period, site]               volume bought in a period; inf: no limit
    overfull    [site]                       money per volume above `storage` and period; inf: never above
    lead        [site]                       periods from buying to having; 0: at once
    initial     [site, product]              units in stock before the first period
    on_the_way  [period, site, product]      units bought before that arrive in a period
    target      [period, site, product]      units that should be in stock at the end of a period, such as safety stock
    below       [product]                    money per unit below the target and period; inf: never below
    """

    name: str
    sites: tuple[str, ...]
    customers: tuple[str, ...]
    products: tuple[str, ...]
    lead: np.ndarray
    demand: np.ndarray
    transport: np.ndarray
    purchase: np.ndarray
    holding: np.ndarray
    unmet: np.ndarray
    volume: np.ndarray
    storage: np.ndarray
    throughput: np.ndarray
    supply: np.ndarray
    overfull: np.ndarray
    initial: np.ndarray
    on_the_way: np.ndarray
    target: np.ndarray
    below: np.ndarray

    @property
    def sizes(self) -> dict[str, int]:
        """Lengths of the axes: t periods, s sites, c customers, p products."""
        sites, customers, products = self.transport.shape
        return {"t": len(self.demand), "s": sites, "c": customers, "p": products}

    @cached_property
    def links(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Site, customer and product of every way that may be used, each [link]."""
        return np.nonzero(np.isfinite(self.transport))

    def changed(self, **figures: Any) -> "Allocation":
        """The same with other figures, checked as in `create`; one that is new keeps its shape."""
        return replace(self, **_checked(figures, self.sizes))


def create(
    *,
    demand: Any,
    transport: Any,
    purchase: Any,
    lead: Any = 0,
    name: str = "allocation",
    sites: Any = None,
    customers: Any = None,
    products: Any = None,
    **figures: Any,
) -> Allocation:
    """Checked data; fields as in `Allocation`. Axes may be left out from the left: a product's price holds at every site.

    Where nothing is said, there are no limits, no stock and no targets, all demand must be met, and names are numbers from 1.
    `on_the_way` may be shorter than the plan. Raises ValueError in one sentence that names the field.
    """
    demand, transport = np.asarray(demand, float), np.asarray(transport, float)
    require(demand.ndim == 3 and demand.size > 0, "tactical.demand", "[period, customer, product]", f"shape {demand.shape}")
    served = transport.ndim == 3 and transport.shape[1:] == demand.shape[1:] and len(transport)
    require(served, "tactical.transport", f"[site, {demand.shape[1]}, {demand.shape[2]}]", f"shape {transport.shape}")
    sizes = {"t": len(demand), "s": len(transport), "c": demand.shape[1], "p": demand.shape[2]}
    known = {one.name for one in fields(Allocation)}
    require(not set(figures) - known, "tactical", "given by its fields", sorted(set(figures) - known))
    given = DEFAULTS | {field: value for field, value in figures.items() if value is not None}
    given |= {"demand": demand, "transport": transport, "purchase": purchase, "lead": lead}
    named = [_names(*one) for one in (("sites", sites, len(transport)), ("customers", customers, sizes["c"]))]
    return Allocation(name, *named, _names("products", products, sizes["p"]), **_checked(given, sizes))


def _checked(figures: dict[str, Any], sizes: dict[str, int]) -> dict[str, np.ndarray]:
    return {field: _lead(value, sizes) if field == "lead" else _figure(field, value, sizes) for field, value in figures.items()}


def _figure(field: str, value: Any, sizes: dict[str, int]) -> np.ndarray:
    """A figure in its full shape, >= 0."""
    values, shape = np.asarray(value, float), tuple(sizes[axis] for axis in SHAPES[field])
    if field == "on_the_way" and values.ndim == 3 and len(values) < shape[0]:
        values = np.concatenate([values, np.zeros((shape[0] - len(values), *values.shape[1:]))])
    try:
        values = np.broadcast_to(values, shape).copy()
    except ValueError:
        require(False, f"tactical.{field}", f"one number, or of shape {shape}", f"shape {values.shape}")
    wrong = values[~((values >= 0) & (np.isfinite(values) | (field in INFINITE)))]
    rule = ">= 0" if field in INFINITE else "a finite number >= 0"
    require(wrong.size == 0, f"tactical.{field}", rule, float(wrong[0]) if wrong.size else None)
    return values


def _lead(value: Any, sizes: dict[str, int]) -> np.ndarray:
    leads = np.asarray(value, float)
    require(
        leads.shape in ((), (sizes["s"],)), "tactical.lead", f"one number, or one for each of {sizes['s']} sites", leads.shape
    )
    wrong = leads[(leads < 0) | (leads != np.round(leads))].ravel()
    require(wrong.size == 0, "tactical.lead", "whole numbers of periods >= 0", float(wrong[0]) if wrong.size else None)
    return np.broadcast_to(leads, (sizes["s"],)).astype(int)


def _names(field: str, names: Any, size: int) -> tuple[str, ...]:
    names = tuple(str(name) for name in names) if names is not None else tuple(str(n + 1) for n in range(size))
    require(len(names) == size, f"tactical.{field}", f"names of {size}", len(names))
    return names
