"""Facility location as a mixed-integer linear model, in its strong formulation."""

from typing import NamedTuple

import numpy as np
from scipy import sparse

from invbench.networks.facilities import Facilities
from invbench.planners.lagrangean import Left
from invbench.planners.solve import Model, Rows


def formulate(facilities: Facilities, left: Left, single_source: bool, budget: float | None) -> Model:
    """The strong formulation: one variable for each site, then one for each link (site by site), link <= site row by row.

    Daskin 2013, Network and Discrete Location, chapters 6 to 8. All these rows at once are solved faster than with rows that
    are added as they are violated (capa: 11 s to more than 60). Two rows that capacities imply are added, for the bound.
    """
    sites = facilities.shape[0]
    site, customer = np.nonzero(left.links)
    links = Links(facilities, site, customer, sites + len(site))
    whole = np.r_[np.ones(sites, bool), np.full(len(site), single_source and facilities.capacitated)]
    lower, upper = np.r_[left.must, np.zeros(len(site))].astype(float), np.r_[left.maybe, np.ones(len(site))].astype(float)
    cost = np.r_[facilities.fixed, facilities.cost[left.links]]
    rows = [links.service(), links.only_if_open(), *(links.capacity() if facilities.capacitated else [])]
    everywhere = np.ones(sites)
    if facilities.count is not None:
        rows.append(links.total("number of sites", everywhere, facilities.count, facilities.count, f"= {facilities.count}"))
    if budget is not None:
        rows.append(links.total("budget", facilities.fixed, -np.inf, budget, f"<= {budget:g}"))
    return Model(cost, lower, upper, whole, tuple(rows), tight=not facilities.capacitated)


class Links(NamedTuple):
    """The constraints of a model over the links that are left."""

    facilities: Facilities
    site: np.ndarray  # [link]
    customer: np.ndarray  # [link]
    size: int  # variables

    def service(self) -> Rows:
        """Every customer is served in full."""
        ends = np.ones(self.facilities.shape[1])
        matrix = self._matrix(np.ones(len(self.site)), self.customer, self._variables(), len(ends))
        return Rows("service of customer", matrix, ends, ends, self.facilities.customers)

    def only_if_open(self) -> Rows:
        """No customer is served from a site that is closed."""
        row, ones = np.arange(len(self.site)), np.ones(len(self.site))
        matrix = self._matrix(np.r_[ones, -ones], np.r_[row, row], np.r_[self._variables(), self.site], len(row))
        ends = np.full(len(row), -np.inf), np.zeros(len(row))
        return Rows("only from open sites", matrix, *ends, labels=[""] * len(row), shown=False)

    def capacity(self) -> list[Rows]:
        """No site serves more than it can; and, implied, the open ones can serve all, and are as many as that takes."""
        facilities, sites = self.facilities, np.arange(self.facilities.shape[0])
        loads = np.r_[facilities.demand[self.customer], -facilities.room]
        matrix = self._matrix(loads, np.r_[self.site, sites], np.r_[self._variables(), sites], len(sites))
        each = Rows("capacity of site", matrix, np.full(len(sites), -np.inf), np.zeros(len(sites)), facilities.sites)
        demand, fewest, ones = facilities.demand.sum(), facilities.fewest, np.ones(len(sites))
        cover = self.total("total capacity", facilities.room, demand * (1 - 1e-12), np.inf, f">= demand of {demand:g}")
        return [each, cover, self.total("number of sites", ones, fewest, np.inf, f">= {fewest}, as demand needs")]

    def total(self, kind: str, factors: np.ndarray, low: float, high: float, label: str) -> Rows:
        """One row over the sites."""
        sites = np.arange(len(factors))
        return Rows(kind, self._matrix(factors, 0 * sites, sites, 1), np.array([low]), np.array([high]), (label,))

    def _variables(self) -> np.ndarray:
        return self.facilities.shape[0] + np.arange(len(self.site))

    def _matrix(self, values: np.ndarray, row: np.ndarray, column: np.ndarray, rows: int) -> sparse.csr_array:
        return sparse.csr_array((np.asarray(values, float), (row, column)), shape=(rows, self.size))
