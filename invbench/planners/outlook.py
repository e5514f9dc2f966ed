"""What demand may be: scenarios with probabilities, drawn around the demand of a network or given as shares of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from invbench.checks import number, require, whole
from invbench.keys import stable_hash
from invbench.networks.facilities import Facilities

SUM = 1e-9  # by which probabilities may miss 1


@dataclass(frozen=True)
class Scenarios:
    """Demand of every customer in each scenario."""

    demand: np.ndarray  # [scenario, customer] units a period
    probability: np.ndarray  # [scenario]

    @property
    def mean(self) -> "Scenarios":
        """The one scenario in which every customer asks for what it asks for on average."""
        return Scenarios((self.probability @ self.demand)[None], np.ones(1))

    def alone(self, scenario: int) -> "Scenarios":
        """One scenario, for certain."""
        return Scenarios(self.demand[scenario][None], np.ones(1))


@dataclass(frozen=True)
class Drawn:
    """Scenarios drawn at random, all as likely: lognormal shares of each customer's demand, of mean 1."""

    count: int  # scenarios
    variation: float  # standard deviation of a customer's share
    common: float  # correlation of the logarithms of any two customers' shares
    seed: int

    def of(self, facilities: Facilities) -> Scenarios:
        """The scenarios of a network; each customer's draws depend on the seed and on its place in the list alone."""
        random = np.random.default_rng([self.seed, stable_hash("scenarios")])
        everywhere, each = random.normal(size=(self.count, 1)), random.normal(size=(len(facilities.demand), self.count)).T
        spread = np.sqrt(np.log1p(self.variation**2))
        normal = np.sqrt(self.common) * everywhere + np.sqrt(1 - self.common) * each
        shares = np.exp(spread * normal - spread**2 / 2)
        return scenarios(facilities, facilities.demand * shares, np.full(self.count, 1 / self.count))


@dataclass(frozen=True)
class Given:
    """Scenarios as they are written: shares of the network's demand, one for all customers or one for each."""

    shares: tuple[Any, ...]  # [scenario] or [scenario, customer]
    probability: tuple[float, ...]  # [scenario]

    def of(self, facilities: Facilities) -> Scenarios:
        """The scenarios of a network. Raises ValueError where shares do not fit its customers."""
        fits = all(np.shape(share) in ((), facilities.demand.shape) for share in self.shares)
        rule = f"one share a scenario, or one for each of {len(facilities.demand)} customers"
        require(fits, "planner.scenarios.shares", rule, list(self.shares))
        demand = np.stack([facilities.demand * np.asarray(share, float) for share in self.shares])
        return scenarios(facilities, demand, np.array(self.probability))


def drawn(*, count: int, variation: float, common: float, seed: int) -> Drawn:
    """Checked. Raises ValueError where a field makes no sense."""
    return Drawn(
        whole("planner.scenarios.count", count, low=1),
        number("planner.scenarios.variation", variation, low=0),
        number("planner.scenarios.common", common, low=0, high=1),
        whole("planner.scenarios.seed", seed),
    )


def given(*, shares: Sequence[Any], probability: Sequence[Any]) -> Given:
    """Checked. Raises ValueError where a field makes no sense; probabilities must sum to 1."""
    require(len(shares) > 0, "planner.scenarios.shares", "at least one scenario", list(shares))
    rule = f"one number for each of {len(shares)} scenarios"
    require(len(probability) == len(shares), "planner.scenarios.probability", rule, list(probability))
    return Given(tuple(shares), _probable(probability))


def scenarios(facilities: Facilities, demand: Any, probability: Any) -> Scenarios:
    """Checked scenarios of a network: demand [scenario, customer] in units a period, probability [scenario].

    Raises ValueError where a shape or a sign is wrong, probabilities do not sum to 1, or a customer asks for something to whom
    the network has no demand (and so no cost of a unit).
    """
    demand, probability = np.asarray(demand, float), np.array(_probable(probability))
    shape = len(probability), len(facilities.demand)
    require(demand.shape == shape, "planner.scenarios.demand", f"of shape {shape}", demand.shape)
    wrong = demand[~(np.isfinite(demand) & (demand >= 0))]
    require(wrong.size == 0, "planner.scenarios.demand", ">= 0", float(wrong[0]) if wrong.size else None)
    strange = np.flatnonzero(((facilities.demand == 0) & (demand > 0)).any(0))
    sentence = "0 for customers to whom the network has no demand"
    require(strange.size == 0, "planner.scenarios.demand", sentence, [facilities.customers[place] for place in strange[:3]])
    return Scenarios(demand, probability)


def _probable(values: Any) -> tuple[float, ...]:
    found = tuple(number("planner.scenarios.probability", value, low=0, high=1) for value in np.asarray(values).tolist())
    require(abs(sum(found) - 1) <= SUM, "planner.scenarios.probability", "numbers that sum to 1", list(found))
    return found
