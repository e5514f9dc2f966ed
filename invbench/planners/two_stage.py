"""Two-stage location as mixed-integer linear models: the extensive form, and a first stage with cuts for the second (Benders).

Birge and Louveaux 2011, Introduction to Stochastic Programming, chapters 2 and 5; one cut for each scenario (Birge and Louveaux
1988, EJOR 34(3)); CVaR as linear rows (Rockafellar and Uryasev 2000, J. Risk 2(3)).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from invbench.networks.facilities import Facilities
from invbench.planners import cuts
from invbench.planners.draft import Draft, Terms, rows_of
from invbench.planners.levels import Levels
from invbench.planners.outlook import Scenarios
from invbench.planners.recourse import Recourse, Served, unit_cost
from invbench.planners.risk import Risk
from invbench.planners.solve import Model

BROKEN = 1e-8  # share of a scenario's cost by which a cut must be broken to be added


@dataclass(frozen=True)
class TwoStage:
    """Sites and sizes before demand is known, service after; the first variables of every model are [site, level]."""

    facilities: Facilities
    scenarios: Scenarios
    levels: Levels
    penalty: float  # money per unit that is not served
    risk: Risk
    budget: float | None = None  # money a period for fixed costs

    @cached_property
    def room(self) -> np.ndarray:
        """[site, level] units."""
        return self.levels.room(self.facilities, float(self.scenarios.demand.sum(1).max()))

    @cached_property
    def recourse(self) -> Recourse:
        """The second stage."""
        return Recourse(self.facilities, self.scenarios, self.penalty, self.room)

    @property
    def running(self) -> np.ndarray:
        """[site, level] money a period."""
        return self.levels.running(self.facilities)

    def cost(self, opened: np.ndarray, served: Served) -> float:
        """The objective of sites (bool or 0 to 1, [site, level]) and of the second stages they lead to."""
        return float((opened * self.running).sum() + self.risk.of(served.cost, self.scenarios.probability))

    def extensive(self) -> Model:
        """Every scenario's service beside the sites, in the strong form: no share of a customer from more than is open."""
        draft, demand = Draft(), self.scenarios.demand
        built = self._sites(draft)
        unit = unit_cost(self.facilities)
        reach = np.isfinite(unit)
        money = demand[:, None] * np.where(reach, unit, 0)  # [scenario, site, customer]
        lost = demand * self.penalty
        weight = self._mean_weight()
        share = draft.variables(weight[:, None, None] * money, np.broadcast_to(reach, money.shape))
        unmet = draft.variables(weight[:, None] * lost, 1)
        count, (sites, customers) = len(demand), reach.shape
        whole = np.concatenate([share, unmet[:, None]], 1).transpose(0, 2, 1).reshape(-1, sites + 1)
        draft.rows("service", [(whole, 1)], 1, 1)
        self._only_from_open(draft, share, built)
        loads = share.reshape(-1, customers), np.repeat(demand, sites, 0)
        if (self.room < demand.sum(1).max()).any():
            draft.rows("capacity", [loads, (np.tile(built, (count, 1)), -np.tile(self.room, (count, 1)))], -np.inf, 0)
        spent = share.reshape(count, -1), money.reshape(count, -1)
        self._tail(draft, [spent, (unmet, lost)])
        return draft.model()

    def master(self) -> Model:
        """The sites alone, with one variable for what each scenario's service costs."""
        draft = Draft()
        self._sites(draft)
        service = draft.variables(self._mean_weight())
        self._tail(draft, [(service[:, None], 1)])
        return draft.model()

    def separate(self, values: np.ndarray) -> cuts.Separated:
        """Cuts of every scenario whose service costs more than the master says, at any values of the master [variable]."""
        size, count = self.room.size, len(self.scenarios.demand)
        opened, said = values[:size].reshape(self.room.shape), values[size : size + count]
        served = self.recourse.served(opened)
        low, worth = self.recourse.cuts(served.price)
        factors = np.concatenate([worth.reshape(count, -1), np.ones((count, 1))], 1)
        columns = np.concatenate([np.tile(np.arange(size), (count, 1)), size + np.arange(count)[:, None]], 1)
        missing = low - (worth * opened).sum((1, 2)) - said
        broken = missing > BROKEN * np.maximum(1, served.cost)
        found = cuts.cuts_of(rows_of(columns, factors, len(values)), low, broken)
        return cuts.Separated(found, self._filled(opened, served, len(values)), self.cost(opened, served))

    def _filled(self, opened: np.ndarray, served: Served, size: int) -> np.ndarray:
        """Values of the master for sites and what they lead to."""
        values = np.r_[opened.ravel(), served.cost]
        if self.risk.weight > 0:
            probability, alpha = self.scenarios.probability, self.risk.alpha
            order = np.argsort(served.cost)
            passed = np.searchsorted(np.cumsum(probability[order]), alpha - 1e-12)
            quantile = served.cost[order[min(passed, len(order) - 1)]]
            values = np.r_[values, quantile, np.maximum(served.cost - quantile, 0)]
        return values

    def _sites(self, draft: Draft) -> np.ndarray:
        """Sites of at most one size each, as many and as dear as is allowed."""
        built, facilities = draft.variables(self.running, 1, whole=True), self.facilities
        if built.shape[1] > 1:
            draft.rows("one size for site", [(built, 1)], -np.inf, 1, facilities.sites, shown=False)
        if facilities.count is not None:
            draft.rows(
                "number of sites", [(built.reshape(1, -1), 1)], facilities.count, facilities.count, (f"= {facilities.count}",)
            )
        if self.budget is not None:
            draft.rows(
                "budget", [(built.reshape(1, -1), self.running.reshape(1, -1))], -np.inf, self.budget, (f"<= {self.budget:g}",)
            )
        return built

    def _only_from_open(self, draft: Draft, share: np.ndarray, built: np.ndarray) -> None:
        reach = np.isfinite(self.facilities.cost) & (self.facilities.demand > 0)
        links = share[:, reach].reshape(-1, 1)
        there = np.tile(built[np.nonzero(reach)[0]], (len(share), 1))
        draft.rows("only from open sites", [(links, 1), (there, -1)], -np.inf, 0)

    def _mean_weight(self) -> np.ndarray:
        """[scenario] of a scenario's cost in the objective, apart from its tail."""
        return (1 - self.risk.weight) * self.scenarios.probability

    def _tail(self, draft: Draft, spent: Terms) -> None:
        """A quantile and what each scenario costs beyond it: at least its spending [scenario, term] less the quantile."""
        if self.risk.weight == 0:
            return
        weight, probability = self.risk.weight, self.scenarios.probability
        quantile = draft.variables([weight])
        beyond = draft.variables(weight * probability / (1 - self.risk.alpha))
        count = len(probability)
        less = [(variables, -np.broadcast_to(factors, variables.shape)) for variables, factors in spent]
        draft.rows("tail", [(beyond[:, None], 1), (np.tile(quantile, (count, 1)), 1), *less], 0, np.inf)
