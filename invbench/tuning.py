"""Tuning by simulation: the whole grid in one call, on common paths, refined around the best point, item by item."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from invbench.checks import whole as whole_number
from invbench.problem import Problem
from invbench.types import Array, Paths, Policy

PATH_VALUES = 2**15  # paths x items: with many items each needs fewer paths of its own


@dataclass(frozen=True)
class Budget:
    """How much a method may simulate to tune itself: the same for every method of a comparison."""

    paths: int  # training paths, where there is one item
    candidates: int  # parameter values tried in each round, per item
    rounds: int  # each looks closer around the best so far

    def at_most(self, paths: int | None = None, candidates: int | None = None, rounds: int | None = None) -> "Budget":
        """The same, or less where it is more than that."""
        cut = {"paths": paths, "candidates": candidates, "rounds": rounds}
        return replace(self, **{name: min(getattr(self, name), most) for name, most in cut.items() if most is not None})


@dataclass(frozen=True)
class Tuned:
    """The best point found, and what it is worth on the training paths."""

    point: np.ndarray  # [parameter, item]
    value: np.ndarray  # [item] mean net benefit of operations, money
    tried: int  # parameter values simulated, per item
    paths: int


def search(
    problem: Problem,
    policy: Policy,
    names: tuple[str, ...],
    low: np.ndarray,
    high: np.ndarray,
    whole: np.ndarray,
    budget: Budget,
    key: Array,
    log: Callable[[dict, int], None],
    worth: Callable[..., Array] | None = None,
) -> Tuned:
    """The values of the parameters `names` within [low, high] ([parameter, item]) that earn most on training paths.

    worth: as `Goal.worth` of learning/goals.py; None: the mean.

    `policy.params` holds what is not tuned; each candidate adds `names` as leaves [item]. whole: [parameter] bool,
    parameters that are whole numbers.
    """
    count = simulated_paths(problem, budget)
    paths = problem.training_paths(key, count)
    low, high = (np.broadcast_to(bound, (len(names), problem.items)).astype(float) for bound in (low, high))
    side = max(4, int(budget.candidates ** (1 / len(names)) + 1e-9))
    reach, best, value = (high - low) / 2, None, None
    lower, upper = low, high
    for step in range(budget.rounds):
        points = _grid(lower, upper, side)  # [candidate, parameter, item]
        points = np.where(whole[:, None], np.clip(np.round(points), np.ceil(low), np.floor(high)), points)
        points = points if best is None else np.concatenate([best[None], points])
        found = _worth(problem, policy, names, points, paths, worth or mean_benefit)
        winner = found.argmax(0)
        best = np.take_along_axis(points, winner[None, None, :], 0)[0]
        value = found.max(0)
        log({"tuning/benefit": float(value.sum())}, step)
        reach = 2.5 * reach / (side - 1)  # 1.25 steps of the grid: the optimum lies within one step of the best point
        lower, upper = np.maximum(best - reach, low), np.minimum(best + reach, high)
    return Tuned(best, value, budget.rounds * side ** len(names), count)


def simulated_paths(problem: Problem, budget: Budget) -> int:
    """Training paths that a budget comes to: fewer where there are many items."""
    return max(64, min(budget.paths, PATH_VALUES // problem.items))


def _grid(low: np.ndarray, high: np.ndarray, side: int) -> np.ndarray:
    """[candidate, parameter, item]: every combination of `side` values of each parameter."""
    axes = np.meshgrid(*[np.linspace(0, 1, side)] * len(low), indexing="ij")
    unit = np.stack([axis.ravel() for axis in axes], axis=1)
    return low + unit[:, :, None] * (high - low)


def mean_benefit(problem: Problem, policy: Policy, paths: Paths, shared: dict) -> Array:
    """[candidate, item] mean net benefit of operations over paths, money."""
    return problem.benefits(policy, paths, shared=shared).mean(1)


def _worth(
    problem: Problem, policy: Policy, names: tuple[str, ...], points: np.ndarray, paths: Paths, worth: Callable[..., Array]
) -> np.ndarray:
    """[candidate, item] what every point is worth, in as many calls as memory asks for (one, where items are few)."""
    rows = max(2, 2**26 // (paths.demand.shape[1] * problem.items))
    parts = []
    for first in range(0, len(points), rows):
        chunk = points[first : first + rows]
        own = {name: jnp.asarray(chunk[:, i], jnp.float32) for i, name in enumerate(names)}
        parts.append(np.asarray(worth(problem, policy._replace(params=own), paths, policy.params), np.float64))
    return np.concatenate(parts)


def is_whole(problem: Problem, key: Array) -> bool:
    """Whether demand comes in whole units, judged by training paths: then order levels are whole, too."""
    demand = np.asarray(problem.training_paths(key, 64).demand)
    return bool(np.all(demand == np.round(demand)))


def integers(problem: Problem, key: Array, parameters: int) -> np.ndarray:
    """[parameter] bool for `search`: whole levels where demand is whole."""
    return np.full(parameters, is_whole(problem, key))


def levels(problem: Problem, key: Array) -> tuple[np.ndarray, np.ndarray]:
    """[item] mean and standard deviation of the demand of one period, over the whole horizon."""
    demand = problem.outlook(key, 512)[problem.window :]
    return demand.mean((0, 1)), demand.std((0, 1))


def highest_level(problem: Problem, mean: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """[item] a generous upper bound on the levels worth ordering up to: twice lead-time demand and six deviations more."""
    cover = problem.system.lead_time + 1
    return 2 * cover * mean + 6 * np.sqrt(cover) * spread + 2


def lot(problem: Problem, mean: np.ndarray) -> np.ndarray:
    """[item] a generous upper bound on what is worth ordering at once: four times the economic order quantity."""
    fixed, holding = (np.asarray(rate, float) for rate in (problem.cost.fixed_order, problem.cost.holding))
    with np.errstate(divide="ignore", invalid="ignore"):
        economic = np.sqrt(2 * fixed * mean / holding)
    return np.minimum(4 * np.where(np.isfinite(economic), economic, 0) + 4 * mean, mean * problem.horizon) + 2


def budget(paths: int, candidates: int, rounds: int) -> Budget:
    """A checked budget."""
    return Budget(
        whole_number("method.tuning.paths", paths, low=2),
        whole_number("method.tuning.candidates", candidates, low=4),
        whole_number("method.tuning.rounds", rounds, low=1),
    )
