"""Risk aversion for any method: fitted to futures in which bad paths come more often, with a margin of stock tuned for the goal.

CVaR is the mean under the worst of all reweightings of paths that raise none by more than 1 / tail (Rockafellar and Uryasev 2002,
Journal of Banking and Finance 26). Each round fits the method to the reweighting that is worst for the one before, mixed with
paths as they are (fictitious play of the two: Brown 1951); a margin of stock is then tuned for the goal itself, and what is worth
most on other paths is kept. The risk-neutral fit, without a margin, is among them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require, whole
from invbench.keys import named
from invbench.learning import goals
from invbench.learning.goals import Goal
from invbench.learning.wrapper import AroundMethod
from invbench.problem import Problem
from invbench.scenarios import tilted
from invbench.tracker import Apart
from invbench.tuning import Budget, is_whole, levels, search
from invbench.types import Array, Paths, Policy

TAIL = 64  # periods that a training may look beyond the horizon


@dataclass(frozen=True)
class RiskAverse(AroundMethod):
    """Any method with a goal beyond the mean; every field is explained in its YAML."""

    inner: Any
    goal: str
    tail: float
    levels: list[float]
    rounds: int
    mix: float
    reach: float
    paths: int
    tuning: Budget

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field makes no sense, or the method inside gives no policy for each item by itself."""
        again = lambda problem, log: self.inner.fit(problem, named(key, "inner"), log)  # noqa: E731
        return self._goal_reached(problem, key, again(problem, log), again, log)

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed]; the first fits of the method inside are made side by side, where it can."""
        if not hasattr(self.inner, "fit_seeds"):
            return [self.fit(problem, key, log) for key in keys]
        own = jax.vmap(lambda key: named(key, "inner"))(keys)
        first = self.inner.fit_seeds(problem, own, log)
        again = [lambda problem, log, key=key: self.inner.fit_seeds(problem, key.reshape(1), log)[0] for key in own]
        return [self._goal_reached(problem, *one, log) for one in zip(keys, first, again, strict=True)]

    def _goal_reached(
        self, problem: Problem, key: Array, fitted: Policy, again: Callable, log: Callable[[dict, int], None]
    ) -> Policy:
        """What is best for the goal of the first fit and those to harder futures. again: (problem, log) -> fit."""
        goal = goals.create(self.goal, self.tail, self.levels)
        for name, low in (("rounds", 0), ("paths", 2)):
            whole(f"method.{name}", getattr(self, name), low=low)
        number("method.mix", self.mix, low=0, high=1), number("method.reach", self.reach, low=0)
        bank, choice = _bank(problem, named(key, "bank"), self.paths), problem.training_paths(named(key, "choice"), self.paths)
        candidates = []
        for round_ in range(self.rounds + 1):
            plain, adjusted = self._adjusted(problem, goal, fitted, key, log)
            candidates += [(self._worth(problem, goal, one, choice), one) for one in (plain, adjusted)]
            log({"risk/worth": candidates[-1][0]}, round_)
            if round_ < self.rounds:
                hard = replace(problem, scenario=self._harder(problem, goal, adjusted, bank))
                fitted = again(hard, Apart(log, f"round-{round_ + 1}"))
        return max(candidates, key=lambda one: one[0])[1]

    def _adjusted(self, problem: Problem, goal: Goal, policy: Policy, key: Array, log: Callable) -> tuple[Policy, Policy]:
        """The policy as it is, and with the margin that is best for the goal."""
        plain = not (policy.random or policy.per_path or policy.every) and policy.elementwise
        require(plain, "method.inner", "one whose policy is for each item by itself, and not revised", policy.apply.__name__)
        template, mean = goals.with_margin(policy), levels(problem, named(key, "levels"))[0]
        own, whole_units = named(key, "margin"), np.full(1, is_whole(problem, named(key, "whole")))
        reach = (self.reach * mean)[None]
        found = search(problem, template, ("margin",), -reach, reach, whole_units, self.tuning, own, log, goal.worth)
        none, best = (jnp.asarray(units, jnp.float32) for units in (0 * mean, found.point[0]))
        return tuple(template._replace(params=template.params | {"margin": units}) for units in (none, best))

    def _worth(self, problem: Problem, goal: Goal, policy: Policy, paths: Paths) -> float:
        own = {"margin": policy.params["margin"][None]}
        shared = {"own": policy.params["own"]}
        return float(np.asarray(goal.worth(problem, policy._replace(params=own), paths, shared), np.float64).sum())

    def _harder(self, problem: Problem, goal: Goal, policy: Policy, bank: tuple[Paths, tilted.Tilted]) -> tilted.Tilted:
        """The bank with more weight on what is worst for a policy: its worst paths, or the level of demand that is."""
        paths, scenario = bank
        if goal.kind == "worst_case":
            worths = [np.asarray(problem.benefit(policy, goals.raised(paths, level))).mean() for level in goal.levels]
            level = goal.levels[int(np.argmin(worths))]
            return replace(scenario, demand=scenario.demand * (1 - self.mix + self.mix * level))
        earned = np.asarray(problem.benefit(policy, paths), np.float64).sum(1)
        worst = np.argsort(earned, kind="stable")[: goal.worst(len(earned))]
        weights = np.full(len(earned), (1 - self.mix) / len(earned))
        weights[worst] += self.mix / len(worst)
        return tilted.create(scenario.demand, weights, int(scenario.first))


def _bank(problem: Problem, key: Array, count: int) -> tuple[Paths, tilted.Tilted]:
    """Futures as paths to simulate, and the same futures as a scenario, each as likely as any other."""
    longer = replace(problem, horizon=problem.horizon + TAIL).training_paths(key, count)
    demand = jnp.concatenate([longer.before, longer.demand])
    delay = None if longer.delay is None else longer.delay[: problem.horizon]
    paths = longer._replace(demand=longer.demand[: problem.horizon], delay=delay)
    return paths, tilted.create(demand, np.ones(count), problem.start - problem.window)
