"""Model predictive control: today's order is chosen anew in every period, by what it comes to on futures of the simulator.

A few orders are tried on the same sampled futures, each followed by a tuned rule, and those around the best one again. One step
ahead of a rule is never worse than the rule, but for sampling (rollout: Bertsekas 2022, "Lessons from AlphaZero for optimal,
model predictive, and adaptive control"), which is why an order must beat the rule's by more than chance. No gradient is needed: a
fixed cost and whole units are taken as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.checks import number, require, whole
from invbench.costs import CostModel
from invbench.dynamics.single import Single
from invbench.forecasts.linear import lead_time_demand
from invbench.keys import named
from invbench.problem import Problem
from invbench.scenarios.base import draw
from invbench.tuning import is_whole, levels
from invbench.types import Array, Observation, Policy, State

SHORTEST, LONGEST = 6, 30  # periods beyond the lead time, where the horizon follows from the problem
NEEDED = {"base", "rate", "gain", "spread", "weights", "profile", "start", "z"}  # of the rule's params


@dataclass(frozen=True)
class ModelPredictive:
    """Plans on sampled futures; every field is explained in its YAML."""

    rule: Any  # a method
    samples: int
    horizon: int | None
    candidates: int
    rounds: int
    reach: float
    caution: float
    family: ClassVar[str] = "ml"
    tuned: ClassVar[bool] = True

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field, the rule or the system makes no sense."""
        self._check(problem)
        rule = self.rule.fit(problem, named(key, "rule"), log)
        follows = isinstance(rule.params, dict) and rule.params.keys() >= NEEDED
        require(follows, "method.rule", "forecast_s_S or forecast_base_stock", rule.apply.__name__)
        ahead, items = self._ahead(problem, key), (problem.items,)
        futures = draw(problem.scenario, named(key, "futures"), self.samples, problem.horizon + ahead, problem.start)
        rates = jax.tree.map(lambda rate: jnp.broadcast_to(jnp.asarray(rate, jnp.float32), items), problem.cost)
        counted = jnp.full(items, is_whole(problem, named(key, "whole")))
        stock = jnp.broadcast_to(jnp.asarray(problem.system.initial_stock, jnp.float32), items)
        system = replace(problem.system, initial_stock=stock, lead_time_distribution=None)
        tried = jnp.linspace(-self.reach, self.reach, self.candidates)[:, None]
        forecast = {"periods": jnp.zeros(items)} | rule.params
        counts = jnp.zeros((self.rounds, 1)), jnp.zeros((ahead, 1))
        params = Planner(forecast, system, rates, futures, counted, tried, *counts, jnp.full(1, self.caution, jnp.float32))
        return Policy(params, plan, window=problem.window)

    def _check(self, problem: Problem) -> None:
        require(isinstance(problem.system, Single), "system", "lost_sales or backlog", type(problem.system).__name__)
        for name, low in (("samples", 1), ("candidates", 2), ("rounds", 1)):
            whole(f"method.{name}", getattr(self, name), low=low)
        number("method.reach", self.reach, low=0, above=True)
        number("method.caution", self.caution, low=0)

    def _ahead(self, problem: Problem, key: Array) -> int:
        """Periods that are looked ahead: the lead time, and two cycles of the economic order quantity or a few periods."""
        lead_time = problem.system.lead_time
        if self.horizon is not None:
            return lead_time + whole("method.horizon", self.horizon, low=1)
        mean = np.maximum(levels(problem, named(key, "levels"))[0], 1e-9)
        fixed, holding = (np.asarray(rate, float) for rate in (problem.cost.fixed_order, problem.cost.holding))
        cycle = np.sqrt(2 * fixed / np.maximum(holding, 1e-9) / mean)
        return lead_time + int(np.clip(np.ceil(2 * cycle).max(), SHORTEST, LONGEST))


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["rule", "system", "cost", "futures", "whole", "tried", "rounds", "ahead", "caution"],
    meta_fields=[],
)
@dataclass(frozen=True, eq=False)
class Planner:
    """The params of the policy."""

    rule: dict[str, Array]  # of a forecast rule: what follows today's order
    system: Single
    cost: CostModel  # [item]
    futures: Array  # [period, sample, item] demand from the first period judged on, units
    whole: Array  # [item] bool: demand is whole
    tried: Array  # [candidate, 1] orders beside the best so far, in standard deviations of lead-time demand
    rounds: Array  # [round, 1] as long as there are rounds
    ahead: Array  # [period, 1] as long as the look ahead
    caution: Array  # [1] standard errors


def plan(params: Planner, observation: Observation, key: Array | None) -> Array:
    """[..., item] units: of the orders that are tried, the one that earns most on the mean of the futures."""
    rule, now = params.rule, observation.time - params.rule["start"][0]
    mean, error = lead_time_demand(rule, observation)
    factor = mean / rule["base"][now]
    usual = jnp.maximum(_by_rule(rule, factor, now, observation.position), 0)
    at_once = jnp.maximum(mean + rule["z"] * error + rule["periods"] * rule["rate"][now] * factor - observation.position, 0)
    found, step = usual, error
    for _ in range(params.rounds.shape[0]):  # a few
        orders = found + jnp.expand_dims(params.tried, range(1, usual.ndim)) * step
        orders = jnp.concatenate([jnp.stack([found, jnp.zeros_like(found), at_once]), orders])
        orders = jnp.where(params.whole, jnp.round(orders), orders)
        found = _best(params, observation, factor, jnp.maximum(orders, 0))
        step = step * 2 / params.tried.shape[0]
    return found


def _by_rule(rule: dict[str, Array], factor: Array, period: Array, position: Array) -> Array:
    """[..., item] the rule's order in a period, where demand goes on at today's level."""
    base = rule["base"][period]
    gap = base * (factor + rule["z"] * rule["spread"]) - position
    return jnp.where(gap >= 0, gap + rule["periods"] * rule["rate"][period], 0)


def _best(params: Planner, observation: Observation, factor: Array, orders: Array) -> Array:
    """[..., item] the order of `orders` [candidate, ..., item] that surely earns most beside the first; of equals the first."""
    earned = _earned(params, observation, factor, orders)
    gain = earned - earned[:1]  # on the same futures
    sure = gain.mean(1) - params.caution * gain.std(1) / np.sqrt(gain.shape[1])
    return jnp.take_along_axis(orders, sure.argmax(0)[None], 0)[0]


def _earned(params: Planner, observation: Observation, factor: Array, orders: Array) -> Array:
    """[candidate, sample, ..., item] net benefit of the periods ahead, with what is left worth what it cost."""
    system, rule, samples = params.system, params.rule, params.futures.shape[1]
    shape = (orders.shape[0], samples, *orders.shape[1:])
    now, last = observation.time - rule["start"][0], rule["base"].shape[0] - 1
    wide = lambda leaf: jnp.broadcast_to(leaf, shape)  # noqa: E731
    due = [jnp.zeros((1, *observation.on_hand.shape)), observation.pipeline][: 2 * min(system.lead_time, 1)]
    ring = jnp.concatenate([*due, jnp.zeros((0, *observation.on_hand.shape))])
    ring = jnp.broadcast_to(ring[:, None, None], (ring.shape[0], *shape))
    state = State(wide(observation.on_hand), wide(observation.position), ring, jnp.zeros((0, *shape)), jnp.int32(0))
    future = lax.dynamic_slice_in_dim(params.futures, now, params.ahead.shape[0])
    between = range(2, 1 + orders.ndim - 1) if orders.ndim > 2 else ()
    future = jnp.expand_dims(future, between)

    def period(carry, today):
        state, total = carry
        demand, number = today
        usual = _by_rule(rule, factor, jnp.minimum(now + number, last), state.position)
        order = jnp.where(number == 0, orders[:, None], usual)
        state, flows = system.transition(state, order, jnp.broadcast_to(demand * factor, shape))
        return (state, total + params.cost.charge(flows).benefit), None

    numbers = jnp.arange(params.ahead.shape[0])
    (state, total), _ = lax.scan(period, (state, jnp.zeros(shape)), (future, numbers))
    return total + params.cost.purchase * state.position
