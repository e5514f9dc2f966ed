"""A service constraint on any method: the cheapest price on missed units with which the fill rate is held, path after path.

The constraint is priced (Lagrange): every missed unit costs so much more while the method inside is fitted, and the price is the
multiplier, searched for by bracketing and bisection (Altman 1999, Constrained Markov decision processes, chapter 3, for its dual;
no duality gap is closed by mixing policies here: the policy is one that the method inside can be). Whether the constraint is held
is asked on paths of its own, with an exact one-sided bound on the share of paths (Clopper and Pearson 1934, Biometrika 26).
A method that is told what missed units cost (`multi_objective`) is fitted once, and asked again for each price.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy import special

from invbench.checks import number, require, whole
from invbench.keys import named
from invbench.learning.wrapper import AroundMethod
from invbench.problem import Problem
from invbench.tracker import Apart
from invbench.types import Array, Paths, Policy

STEP = 2.0  # the first price, in what a unit is worth, and how fast prices grow until one suffices


class Trial(NamedTuple):
    """What a price came to."""

    price: float  # money per missed unit, on top of the problem's own
    policy: Policy
    held: float  # share of paths that reach the target, at least, at the confidence asked for
    benefit: float  # money, at the problem's own prices


@dataclass(frozen=True)
class Constrained(AroundMethod):
    """Any method, held to a fill rate on most paths; every field is explained in its YAML."""

    inner: Any
    target: float
    share: float
    confidence: float
    paths: int
    rounds: int

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field makes no sense, or no price that is tried suffices."""
        self._check()
        own = named(key, "inner")
        if hasattr(self.inner, "priced"):
            return self._held(problem, key, _once(self.inner.priced(problem, own.reshape(1), log)[0]), log)
        again = lambda problem, price, log: self.inner.fit(_dearer(problem, price), own, log)  # noqa: E731
        return self._held(problem, key, again, log)

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed]; the first fits of the method inside are made side by side, where it can."""
        self._check()
        own = jax.vmap(lambda key: named(key, "inner"))(keys)
        if hasattr(self.inner, "priced"):
            again = [_once(priced) for priced in self.inner.priced(problem, own, log)]
        elif hasattr(self.inner, "fit_seeds"):
            again = [self._after(first, key) for first, key in zip(self.inner.fit_seeds(problem, own, log), own, strict=True)]
        else:
            return [self.fit(problem, key, log) for key in keys]
        return [self._held(problem, *one, log) for one in zip(keys, again, strict=True)]

    def _after(self, first: Policy, key: Array) -> Callable[[Problem, float, Callable], Policy]:
        """(problem, price, log) -> fit, where that without a price is there already."""
        again = lambda problem, log: self.inner.fit_seeds(problem, key.reshape(1), log)[0]  # noqa: E731
        return lambda problem, price, log: again(_dearer(problem, price), log) if price else first

    def _held(self, problem: Problem, key: Array, priced: Callable[[Problem, float, Callable], Policy], log: Callable) -> Policy:
        """The policy of the cheapest price that suffices. priced: (problem, price, log) -> fit."""
        paths = problem.training_paths(named(key, "service"), self.paths)
        last = None

        def tried(price: float, round_: int) -> Trial:
            nonlocal last
            policy = priced(problem, price, Apart(log, f"price-{round_}") if round_ else log)
            last = self._tried(problem, paths, price, policy, key)
            said = {"price": last.price, "held": last.held, "benefit": last.benefit}
            log({f"service/{name}": value for name, value in said.items()}, round_)
            return last

        found = self._cheapest(tried, _worth_of_a_unit(problem))
        require(
            found is not None, "method.target", f"a fill rate that method.inner can hold on {self.share:.0%} of paths",
            f"{self.target:g}, held on {last.held:.1%} at a price of {last.price:g} a unit",
        )  # fmt: skip
        return found.policy

    def _check(self) -> None:
        for name in ("target", "share", "confidence"):
            number(f"method.{name}", getattr(self, name), low=0, high=1, above=True)
        whole("method.rounds", self.rounds, low=1)
        fewest = int(np.ceil(np.log1p(-min(self.confidence, 1 - 1e-9)) / np.log(min(self.share, 1 - 1e-9))))
        whole("method.paths", self.paths, low=max(2, fewest))  # with fewer not even all of them would be sure enough

    def _cheapest(self, tried: Callable[[float, int], Trial], unit: float) -> Trial | None:
        """No price, then higher ones until one suffices, then between the last that does not and the first that does."""
        found = tried(0.0, 0)
        if found.held >= self.share:
            return found
        low, price, best = 0.0, unit / STEP, None
        for round_ in range(1, self.rounds):
            found = tried(price, round_)
            low, best = (low, found) if found.held >= self.share else (price, best)
            price = STEP * price if best is None else (np.sqrt(low * best.price) if low else best.price / STEP**2)
        return best

    def _tried(self, problem: Problem, paths: Paths, price: float, policy: Policy, key: Array) -> Trial:
        flows = problem.totals(policy, paths, named(key, "orders"))
        demand, missed = (np.asarray(part, np.float64).sum(1) for part in (flows.demand, flows.missed))
        reached = int((demand - missed >= self.target * demand).sum())
        benefit = float(np.asarray(problem.benefit(policy, paths, named(key, "orders")), np.float64).sum(1).mean())
        return Trial(price, policy, at_least(reached, len(demand), self.confidence), benefit)


def _once(priced: Callable[[float], Policy]) -> Callable[[Problem, float, Callable], Policy]:
    """(problem, price, log) -> policy, of a method that is fitted once for all prices."""
    return lambda problem, price, log: priced(price)


def _dearer(problem: Problem, price: float) -> Problem:
    """The problem in which a missed unit costs so much more."""
    return replace(problem, cost=replace(problem.cost, shortage=np.asarray(problem.cost.shortage) + price))


def _worth_of_a_unit(problem: Problem) -> float:
    """Money that a missed unit costs at the problem's own prices, margin included; that of holding one where it costs nothing."""
    cost = problem.cost
    lost = np.asarray(cost.shortage) + np.maximum(np.asarray(cost.price) - np.asarray(cost.purchase), 0)
    return float(np.max(np.where(lost > 0, lost, np.maximum(np.asarray(cost.holding), 1e-3))))


def at_least(successes: int, trials: int, confidence: float) -> float:
    """The lower end of the exact one-sided interval of a share (Clopper and Pearson 1934)."""
    return 0.0 if successes == 0 else float(special.betaincinv(successes, trials - successes + 1, 1 - confidence))
