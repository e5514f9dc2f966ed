"""Money, counted from flows after the fact: the cost model of operations, and what a method itself costs."""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from invbench.checks import number, require
from invbench.types import Array, Flows


class Money(NamedTuple):
    """Operating money by component, never netted: revenue and salvage come in, the rest goes out."""

    revenue: Array
    salvage: Array
    holding: Array
    shortage: Array
    ordering: Array
    purchase: Array
    waste: Array | float = 0.0
    transport: Array | float = 0.0
    sites: Array | float = 0.0

    @property
    def cost(self) -> Array:
        """What operations cost: holding + shortage + ordering + purchase + waste + transport + sites."""
        spent = self.holding + self.shortage + self.ordering + self.purchase + self.waste
        return spent + self.transport + self.sites

    @property
    def benefit(self) -> Array:
        """Net benefit of operations: revenue + salvage - cost."""
        return self.revenue + self.salvage - self.cost


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "price",
        "purchase",
        "holding",
        "shortage",
        "fixed_order",
        "salvage",
        "waste",
        "expedite",
        "in_transit",
        "transport",
        "fixed_site",
    ],
    meta_fields=[],
)
@dataclass(frozen=True, eq=False)
class CostModel:
    """Prices per unit ([] or [item]); linear in flows, so that it prices one period or the sum of many alike."""

    price: Array | float  # money per unit sold
    purchase: Array | float  # money per unit ordered
    holding: Array | float  # money per unit on hand at the end of a period
    shortage: Array | float  # money per unit lost, or owed at the end of a period
    fixed_order: Array | float  # money per order placed
    salvage: Array | float  # money per unit in stock at the end of the horizon
    waste: Array | float = 0.0  # money per unit expired
    expedite: Array | float = 0.0  # money per unit from the fast supplier, on top of purchase
    in_transit: Array | float = 0.0  # money per unit on the way at the end of a period, where the system counts it
    transport: Array | float = 0.0  # money per unit and unit of length, where ways have a length
    fixed_site: Array | float = 0.0  # money per period for a site in use, where sites can be closed

    def charge(self, flows: Flows, last: Array | float = 0.0) -> Money:
        """Money by component, of the shape of the flows; `last` is 1 in the last period, where stock is salvaged."""
        holding, purchase = self.holding * flows.held, self.purchase * flows.ordered
        nothing = 0 * flows.held  # of its own kind: numbers of numpy stay in double precision
        return Money(
            revenue=self.price * flows.sold,
            salvage=self.salvage * flows.held * last,
            holding=holding if flows.in_transit is None else holding + self.in_transit * flows.in_transit,
            shortage=self.shortage * (flows.lost + flows.backlog),
            ordering=self.fixed_order * flows.placed,
            purchase=purchase if flows.expedited is None else purchase + self.expedite * flows.expedited,
            waste=self.waste * flows.expired,
            transport=nothing if flows.carried is None else self.transport * flows.carried,
            sites=nothing if flows.used is None else self.fixed_site * flows.used,
        )


def benefit(flows: Flows, last: Array, cost: CostModel) -> Array:
    """Net benefit of operations in one period [item]: the measure that tuning maximises."""
    return cost.charge(flows, last).benefit


def money(flows: Flows, last: Array, cost: CostModel) -> Money:
    """Money by component in one period, each [item]."""
    return cost.charge(flows, last)


class MethodCosts(NamedTuple):
    """What using a method costs, whoever is judged: an assumption, so it is always reported apart."""

    implementation: float  # money, once
    training: float  # money, once
    inference: float  # money per period
    maintenance: float  # money per period

    def once(self) -> float:
        return self.implementation + self.training

    def per_period(self) -> float:
        return self.inference + self.maintenance

    def total(self, periods: int) -> float:
        return self.once() + periods * self.per_period()


@dataclass(frozen=True)
class Economics:
    """The cost model of operations with the costs of each family of methods."""

    operations: CostModel
    methods: dict[str, MethodCosts]

    def of(self, family: str) -> MethodCosts:
        """The costs of methods of `family`; raises ValueError if the cost model does not list it."""
        require(family in self.methods, "method.family", "one of " + ", ".join(self.methods), family)
        return self.methods[family]


Rate = float | list[float]
FIELDS = ("implementation", "training", "inference", "maintenance")


def create(
    *,
    price: Rate,
    purchase: Rate,
    holding: Rate,
    shortage: Rate,
    fixed_order: Rate,
    salvage: Rate,
    waste: Rate = 0.0,
    expedite: Rate = 0.0,
    in_transit: Rate = 0.0,
    transport: Rate = 0.0,
    fixed_site: Rate = 0.0,
    methods: dict[str, dict[str, float]],
) -> Economics:
    """Checked economics; every figure in money per unit (and period), as in `CostModel` and `MethodCosts`.

    A rate is one number, or a list with one for each item (in a serial system: each stage; in a network: each node
    and product, customers first). `fixed_site` may have one for each site.
    """
    given = dict(price=price, purchase=purchase, holding=holding, shortage=shortage, fixed_order=fixed_order, salvage=salvage)
    given |= dict(waste=waste, expedite=expedite, in_transit=in_transit, transport=transport, fixed_site=fixed_site)
    rates = {name: _rate(f"cost.{name}", value) for name, value in given.items()}
    affordable = np.all(np.asarray(salvage) <= np.asarray(purchase))
    require(affordable, "cost.salvage", f"<= cost.purchase ({purchase}), or stock would be bought to be salvaged", salvage)
    return Economics(CostModel(**rates), {family: _method_costs(family, figures) for family, figures in methods.items()})


def _rate(field: str, value: Rate) -> float | np.ndarray:
    if not isinstance(value, list | tuple):
        return number(field, value, low=0)
    return np.asarray([number(f"{field}[{i}]", rate, low=0) for i, rate in enumerate(value)], np.float32)


def _method_costs(family: str, figures: dict[str, float]) -> MethodCosts:
    field = f"cost.methods.{family}"
    require(sorted(figures) == sorted(FIELDS), field, "given as " + ", ".join(FIELDS), ", ".join(figures))
    return MethodCosts(**{name: number(f"{field}.{name}", figures[name], low=0) for name in FIELDS})
