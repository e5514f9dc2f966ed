"""A facility network as stock moves in it: every site may be stocked from outside, and serve every customer that it reaches.

Which sites are used, and who serves whom, is decided by orders: a site that is never ordered for and never asked costs nothing.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from invbench.checks import require
from invbench.costs import CostModel
from invbench.dynamics import network
from invbench.dynamics.arcs import OUTSIDE
from invbench.dynamics.single import Single
from invbench.networks.facilities import Facilities
from invbench.scenarios import apportioned
from invbench.scenarios.base import Scenario


class Links(NamedTuple):
    """The ways from sites to customers, site by site; in an order they come after one arc to each site from outside."""

    site: np.ndarray  # [link]
    customer: np.ndarray  # [link]


def links(facilities: Facilities) -> Links:
    """Every way that may be used."""
    return Links(*np.nonzero(np.isfinite(facilities.cost)))


def rates(facilities: Facilities) -> np.ndarray:
    """[site, customer] money per unit served; inf: it cannot be."""
    units = np.where(facilities.demand > 0, facilities.demand, 1)
    return facilities.cost / units


def system(facilities: Facilities, given: Any) -> network.Network:
    """The network with lead time, backlog and capacity (of storage, at each site) of a single stocking point; empty at first.

    The capacity of a site is what it can send in a period. By default each customer is served by its nearest site.
    """
    require(isinstance(given, Single), "system", "lost_sales or backlog where there is a network", type(given).__name__)
    for field in ("minimum_order", "batch", "lead_time_distribution"):
        require(getattr(given, field) is None, f"system.{field}", "null where there is a network", getattr(given, field))
    ways, (sites, customers) = links(facilities), facilities.shape
    alone = np.setdiff1d(np.arange(customers), ways.customer)
    if alone.size:
        names = ", ".join(facilities.customers[customer] for customer in alone[:3])
        raise ValueError(f"network must be one where a site reaches every customer, got none to {names}")
    nearest = rates(facilities).argmin(0)
    return network.create(
        customers=customers, sites=sites, suppliers=[*[OUTSIDE] * sites, *ways.site.tolist()],
        destinations=[*range(customers, customers + sites), *ways.customer.tolist()],
        lead_times=[given.lead_time] * sites + [0] * len(ways.site),
        shares=[1.0] * sites + (nearest[ways.customer] == ways.site).astype(float).tolist(), backlog=given.backlog,
        initial_stock=0.0, distances=[0.0] * sites + rates(facilities)[ways].tolist(), storage=given.capacity,
        site_throughput=[None if np.isinf(limit) else float(limit) for limit in facilities.capacity],
    )  # fmt: skip


def cost(facilities: Facilities, given: CostModel) -> CostModel:
    """The cost model with the money of sites and ways: the length of a way is what a unit costs on it."""
    return replace(given, transport=1.0, fixed_site=np.asarray(facilities.fixed, np.float32))


def placed(
    facilities: Facilities, process: Scenario, single: Any, money: CostModel
) -> tuple[Scenario, network.Network, CostModel]:
    """Scenario, system and costs of a single stocking point as those of the network."""
    return apportioned.create(process, facilities.demand), system(facilities, single), cost(facilities, money)


def picture(facilities: Facilities, system: network.Network, orders: np.ndarray, flows: Any) -> dict[str, np.ndarray]:
    """What a map shows of one path; empty where places are unknown. orders: [period, arc]; flows: each [period, node].

    map_flow: [site, customer] units asked for in a period, on average; map_open: [site] share of periods in use; map_stock:
    [period, site] on hand at the end; map_limit: [site] units that it can send in a period.
    """
    if facilities.places is None:
        return {}
    ways, (sites, customers) = links(facilities), facilities.shape
    share = np.zeros((len(orders), sites, customers), np.float32)
    share[:, ways.site, ways.customer] = orders[:, sites:]
    demand = np.asarray(flows.demand)[:, :customers]
    return {
        "map_site": facilities.places[0], "map_customer": facilities.places[1], "map_names": np.asarray(facilities.sites),
        "map_flow": np.einsum("tsc,tc->sc", share, demand) / len(orders), "map_demand": demand.mean(0),
        "map_open": np.asarray(flows.used)[:, customers:].mean(0), "map_stock": np.asarray(flows.held)[:, customers:],
        "map_limit": facilities.capacity,
    }  # fmt: skip
