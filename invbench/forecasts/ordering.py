"""Orders by a network's forecast: up to a quantile of lead-time demand, or (s, S) that moves with it; and the search for levels.

A search tries many levels on the same paths. The network is asked once for each path and period, not once more for each level:
where demand is seen in full, what it says does not depend on what is ordered. Where demand is lost it does, a little: there the
forecasts are those that a rule with levels near the best comes to see.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import NormalDist
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench import costs
from invbench.forecasts import neural
from invbench.forecasts.neural import Forecaster
from invbench.formulas import critical_fractile
from invbench.keys import named
from invbench.problem import Problem
from invbench.tuning import Budget, is_whole, levels, lot, search
from invbench.types import Array, Observation, Policy

HIGHEST = 6.0  # standard deviations above the mean that are tried, and below it where orders have a fixed cost
LANES = 4096  # candidates x paths x items that move together
VALUES = 2**25  # numbers that the forecasts of a search may hold (128 MiB)
LOOPED, LOOPED_CANDIDATES, LOOPED_PERIODS = 64, 36, 120  # paths, levels and periods of a search that asks the network throughout
TOLERATED = 0.02  # of what the search for levels promised: a policy may earn so much less once it sees its own sales
FIRST_ROUNDS = 1  # of the search whose winner is who sees, where demand is lost


def order_by_forecast(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] where the position is at or below the level at z: up to it, and `periods` periods of demand more."""
    forecaster = params["forecaster"]
    return units(params, forecaster, neural.observed(forecaster, observation), observation.position)


def units(params: dict[str, Array], forecaster: Forecaster, parts: Array, position: Array) -> Array:
    """[..., item] the same, of a forecast parts [part, ..., item] that has been made; whole units where `grain` is 1."""
    gap = neural.level(forecaster, parts, params["z"]) - position
    more = params["periods"] * neural.mean(forecaster, parts) / forecaster.cover
    rounded = lambda amount: jnp.where(params["grain"] > 0, jnp.rint(amount), amount)  # noqa: E731
    gap = rounded(gap)
    return jnp.where(gap >= 0, gap + rounded(more), 0)


def tuned(problem: Problem, forecaster: Forecaster, budget: Budget, key: Array, log: Callable[[dict, int], None]) -> Policy:
    """The policy whose levels earn most on training paths."""
    mean = levels(problem, key)[0]
    fixed = np.any(np.asarray(problem.cost.fixed_order) > 0)
    grain = jnp.full(1, float(is_whole(problem, key)))
    policy = Policy({"forecaster": forecaster, "grain": grain} | _start(problem, mean), order_by_forecast, window=problem.window)
    most = np.minimum(lot(problem, mean) / np.maximum(mean, 1e-9), problem.horizon)
    names, high = ("z", "periods")[: 2 if fixed else 1], np.stack([np.full(problem.items, HIGHEST), most])[: 2 if fixed else 1]
    low = np.stack([np.full(problem.items, -4.0 if fixed else -3.0), np.zeros(problem.items)])[: 2 if fixed else 1]
    rounds = [budget] if getattr(problem.system, "backlog", False) else [Budget(*_first(budget)), budget]
    for own in rounds:
        policy, promised = _searched(Foretold(problem, policy), policy, names, low, high, own, key, log)
    if len(rounds) == 1:
        return policy
    return _in_the_loop(problem, policy, names, low, high, promised, budget, named(key, "loop"), log)


def _in_the_loop(
    problem: Problem, policy: Policy, names: tuple[str, ...], low: np.ndarray, high: np.ndarray, promised: float, budget: Budget,
    key: Array, log: Callable[[dict, int], None],
) -> Policy:  # fmt: skip
    """The policy, or where it earns less than `promised` once it sees the sales that its own orders lead to, the best that does.

    Where much is lost, more stock is more sales, and these are higher forecasts: what is best on the forecasts that another rule
    saw may be far off. Levels are then searched for with the network in every period.
    """
    paths = problem.training_paths(named(key, "paths"), budget.at_most(paths=LOOPED).paths)
    worth = lambda one: float(np.asarray(problem.benefit(one, paths), np.float64).sum(1).mean())  # noqa: E731
    earned = worth(policy)
    log({"tuning/promised": promised, "tuning/earned": earned}, 0)
    if earned >= promised - TOLERATED * abs(promised):
        return policy
    own = budget.at_most(paths=LOOPED, candidates=LOOPED_CANDIDATES)
    shorter = replace(problem, horizon=min(problem.horizon, LOOPED_PERIODS))  # levels are relative to the forecast, so they keep
    other, _ = _searched(shorter, policy, names, low, high, own, named(key, "search"), log)
    return max((policy, other), key=worth)


def _searched(
    problem: Any, policy: Policy, names: tuple[str, ...], low: np.ndarray, high: np.ndarray, budget: Budget, key: Array,
    log: Callable[[dict, int], None],
) -> tuple[Policy, float]:  # fmt: skip
    """The policy with the levels that earn most, and what they earn, money."""
    template = policy._replace(params={name: leaf for name, leaf in policy.params.items() if name not in names})
    found = search(problem, template, names, low, high, np.zeros(len(names), bool), budget, key, log)
    best = {name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)}
    return policy._replace(params=policy.params | best), float(found.value.sum())


def _first(budget: Budget) -> tuple[int, int, int]:
    return budget.paths, budget.candidates, FIRST_ROUNDS


def _start(problem: Problem, mean: np.ndarray) -> dict[str, Array]:
    """Levels before the search: the critical fractile of lead-time demand, and the economic lot (Harris 1913) on top."""
    fractile = np.broadcast_to(critical_fractile(problem.cost, getattr(problem.system, "backlog", False)), (problem.items,))
    z = [NormalDist().inv_cdf(float(level)) for level in fractile]
    fixed, holding = (
        np.broadcast_to(np.asarray(rate, float), mean.shape) for rate in (problem.cost.fixed_order, problem.cost.holding)
    )
    periods = np.sqrt(2 * fixed / np.maximum(holding * mean, 1e-9))
    periods = np.where(fixed > 0, np.minimum(periods, problem.horizon), 0)
    return {"z": jnp.asarray(z, jnp.float32), "periods": jnp.asarray(periods, jnp.float32)}


class Told(NamedTuple):
    """Paths, and what the network says on them."""

    demand: Array  # [horizon, n, item]
    before: Array  # [window, n, item]
    delay: Array | None
    start: int
    parts: Array  # [horizon, part, n, item] forecasts of lead-time demand


@dataclass(frozen=True)
class Foretold:
    """A problem as `tuning.search` needs one, in which forecasts are made before levels are tried."""

    problem: Problem
    seer: Policy  # whose orders the forecasts are made under

    @property
    def items(self) -> int:
        """As of the problem."""
        return self.problem.items

    def training_paths(self, key: Array, n: int) -> Told:
        """So many paths, fewer where forecasts for them would need too much memory."""
        most = VALUES // (self.problem.horizon * self.problem.items * self.seer.params["forecaster"].head.outputs)
        paths = self.problem.training_paths(key, max(8, min(n, most)))
        parts = jax.tree.map(np.asarray, tuple(paths[:3]))
        said = foretold(self.problem.system, self.seer.params, *parts, paths.start, window=self.problem.window)[0]
        return Told(*(None if part is None else jnp.asarray(part) for part in parts), paths.start, said)

    def benefits(self, policy: Policy, paths: Told, shared: dict[str, Any]) -> Array:
        """[candidate, n, item] net benefit of operations over the horizon, money."""
        together = max(1, LANES // (paths.demand.shape[1] * self.items))
        return _benefits(self.problem.system, self.problem.cost, policy.params, shared, paths, together=together)


@partial(jax.jit, static_argnames=("window",))
def foretold(system, params, demand, before, delay, start, *, window) -> tuple[Array, Any, Array]:
    """Under the orders of params: [period, part, n, item] forecasts, the state before each period, and [period, n, item] sales.

    Of the state's history nothing is kept.
    """

    def period(state, today):
        demand, delay = today
        observation = system.observe(state, delay)
        parts = neural.observed(params["forecaster"], observation)
        after, flows = system.transition(state, units(params, params["forecaster"], parts, observation.position), demand, delay)
        return after, (parts, state._replace(history=state.history[:0]), flows.sold)

    state = system.initial(before[before.shape[0] - window :], start, window)
    return lax.scan(period, state, (demand, delay))[1]


@partial(jax.jit, static_argnames=("together",))
def _benefits(system, cost, own, shared, paths: Told, *, together) -> Array:
    """Money of each candidate, a few at a time."""
    final = paths.start + paths.demand.shape[0] - 1

    def one(own):
        def period(carry, today):
            state, total = carry
            demand, delay, parts = today
            order = units(shared | own, shared["forecaster"], parts, state.position)
            last = (state.time == final).astype(demand.dtype)
            state, flows = system.transition(state, order, demand, delay)
            return (state, total + costs.benefit(flows, last, cost)), None

        state = system.initial(paths.before[:0], paths.start, 0)
        return lax.scan(period, (state, jnp.zeros(paths.demand.shape[1:])), (paths.demand, paths.delay, paths.parts))[0][1]

    return lax.map(one, own, batch_size=together)
