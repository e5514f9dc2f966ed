"""The environments that have an id: settings of the literature, made with `gymnax.make(id, ...)`."""

from functools import partial
from typing import Any

import gymnax
import numpy as np

from invbench.checks import number, require
from invbench.costs import CostModel
from invbench.dynamics import dual_source, network, perishable, serial, single
from invbench.env.inventory import Inventory
from invbench.scenarios import gamma, poisson, uniform_discrete


def textbook(*, backlog: bool, mean: float = 5.0, lead_time: int = 4, shortage: float = 9.0, **settings: Any) -> Inventory:
    """What the registered ids make: Poisson demand and linear costs, as in Zipkin (2008), Operations Research 56(5), 937-944.

    mean: units per period; shortage: money per unit lost, or owed at the end of a period (holding: 1). settings: as in
    `Inventory`; by default horizon 100, and continuous orders up to 4 mean.
    """
    scenario = poisson.create(mean=mean, items=1)
    system = single.create(lead_time=lead_time, backlog=backlog, initial_stock=mean * (lead_time + 1))
    number("cost.shortage", shortage, low=0)
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=shortage, fixed_order=0.0, salvage=0.0)
    actions = {} if "order_grid" in settings else {"max_order": 4 * mean}
    return Inventory(scenario, system, cost, **({"horizon": 100} | actions | settings))


def two_suppliers(*, lead_time: int = 2, premium: float = 5.0, **settings: Any) -> Inventory:
    """What `InventoryDualSource-v0` makes: Gijsbrechts et al. (2022), M&SOM 24(3), with 0 to 4 units of demand, all alike.

    lead_time: periods, regular (expedited: at once); premium: money per unit expedited. settings: as in `Inventory`; by default
    horizon 100, and continuous orders up to 8 from either supplier.
    """
    scenario = uniform_discrete.create(low=0, high=4, items=1)
    system = dual_source.create(lead_time=lead_time, expedite_lead_time=0, backlog=True, initial_stock=2.0 * (lead_time + 1))
    rates = dict(price=0.0, purchase=100.0, holding=5.0, shortage=495.0, fixed_order=0.0, salvage=0.0)
    cost = CostModel(**rates, expedite=number("cost.expedite", premium, low=0))
    return Inventory(scenario, system, cost, **({"horizon": 100, "max_order": 8.0} | settings))


def expiring(*, life: int = 2, lead_time: int = 1, issuing: str = "fifo", waste: float = 7.0, **settings: Any) -> Inventory:
    """What `InventoryPerishable-v0` makes: De Moor et al. (2022), EJOR 301(2), 535-545, with gamma demand of mean 4 and CV 0.5.

    life, lead_time: periods; issuing: fifo or lifo; waste: money per unit expired. settings: as in `Inventory`; by default
    horizon 365, continuous orders up to 10, and stock by remaining life among the features.
    """
    system = perishable.create(lead_time=lead_time, life=life, issuing=issuing, maximum_order=10.0, initial_stock=0.0)
    rates = dict(price=0.0, purchase=3.0, holding=1.0, shortage=5.0, fixed_order=0.0, salvage=0.0)
    cost = CostModel(**rates, waste=number("cost.waste", waste, low=0))
    actions = {} if "order_grid" in settings else {"max_order": 10.0}
    usual = {"horizon": 365, "features": ("ages", "pipeline", "position", "calendar")}
    return Inventory(gamma.create(mean=4.0, cv=0.5, items=1), system, cost, **(usual | actions | settings))


def chain(*, mean: float = 5.0, lead_times: tuple[int, ...] = (1, 1, 2), **settings: Any) -> Inventory:
    """What `InventorySerial-v0` makes: Poisson demand and the rates of Snyder and Shen (2019), Example 6.1, for three stages.

    mean: units per period; lead_times: periods, of stage 0 (customers) first. settings: as in `Inventory`; by default horizon
    100, and continuous orders up to 4 mean at each stage.
    """
    system = serial.create(lead_times=lead_times, initial_stock=[mean * (lead_time + 1) for lead_time in lead_times])
    require(system.stages == 3, "system.lead_times", "three figures, or else make an Inventory", lead_times)
    holding, shortage, in_transit = (np.asarray(rates, np.float32) for rates in ((7, 4, 2), (37.12, 0, 0), (4, 2, 0)))
    rates = dict(price=0.0, purchase=0.0, holding=holding, shortage=shortage, fixed_order=0.0, salvage=0.0)
    cost = CostModel(**rates, in_transit=in_transit)
    return Inventory(poisson.create(mean=mean, items=1), system, cost, **({"horizon": 100, "max_order": 4 * mean} | settings))


def distribution(*, mean: float = 5.0, retailers: int = 3, allocation: str = "proportional", **settings: Any) -> Inventory:
    """What `Distribution-v0` makes: one warehouse, `retailers` with one customer each and two more that share a customer.

    A network with Poisson demand and lost sales; the warehouse is site 0, 2 periods from outside, and 1 from each of the others.
    mean: units per period and customer. settings: as in `Inventory`; by default horizon 100; orders up to 4 mean on arcs between
    sites and 4 mean for every customer from outside, shares up to 1 on arcs to customers.
    """
    customers, sites = retailers + 1, retailers + 3
    suppliers = [-1, *[0] * (sites - 1), *range(1, sites)]
    destinations = [*range(customers, customers + sites), *range(retailers), retailers, retailers]
    stock = [3 * mean * customers, *[2 * mean] * retailers, mean, mean]
    lead_times = [2, *[1] * (sites - 1), *[0] * (sites - 1)]
    system = network.create(
        customers=customers, sites=sites, suppliers=suppliers, destinations=destinations, lead_times=lead_times,
        allocation=allocation, initial_stock=stock,
    )  # fmt: skip
    holding = np.float32([0] * customers + [0.5] + [1] * (sites - 1))
    cost = CostModel(price=0.0, purchase=0.0, holding=holding, shortage=9.0, fixed_order=0.0, salvage=0.0)
    most = [4 * mean * customers, *[4 * mean] * (sites - 1), *[1.0] * (sites - 1)]
    return Inventory(poisson.create(mean=mean, items=customers), system, cost, **({"horizon": 100, "max_order": most} | settings))


def register() -> None:
    """Make the ids known to gymnax, unless they are."""
    games = {"InventoryLostSales-v0": partial(textbook, backlog=False), "InventoryBacklog-v0": partial(textbook, backlog=True)}
    games["InventoryDualSource-v0"] = two_suppliers
    games["InventoryPerishable-v0"] = expiring
    games["InventorySerial-v0"] = chain
    games["Distribution-v0"] = distribution
    for name, make in games.items():
        if name not in gymnax.registered_envs:
            gymnax.register(name, make)
