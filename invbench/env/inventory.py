"""A gymnax 1.0 environment over any dynamics: an order, a period, its money."""

import copy
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from gymnax.environments import environment, spaces
from jax import lax

from invbench.checks import choice, number, require, whole
from invbench.costs import CostModel
from invbench.keys import named, root
from invbench.problem import Problem
from invbench.scenarios.base import Scenario
from invbench.scenarios.profile import WEEK, YEAR
from invbench.types import Array, State

FEATURES = ("on_hand", "pipeline", "position", "history", "calendar", "ages")


@struct.dataclass
class EnvState(environment.EnvState):
    """An episode: its whole future, drawn at reset, and where it stands. `time` counts its periods from 0."""

    stock: State  # its own time is the period's absolute number
    demand: Array  # [horizon, item] units
    delay: Array | None  # [horizon + 1] int32 lead-time draws, the last for the final observation; None if lead time is fixed


@struct.dataclass(kw_only=True)
class EnvParams(environment.EnvParams):
    """Every number of an environment, as `jnp.float32(...)` (a bare float compiles again): one step serves all values."""

    scenario: Scenario
    system: Any
    cost: CostModel
    max_order: Array  # [action] units, the upper end of continuous actions
    order_grid: Array | None  # [action] units that a discrete action orders; None where actions are continuous
    start: Array  # [] int32, absolute number of the first period


class Inventory(environment.Environment[EnvState, EnvParams]):
    """One step is one period: the agent has observed, it orders, demand comes, and the period is charged.

    Action: the order [item] in units, continuous and clipped to 0 … `max_order`; or, with `order_grid` (one item only), the
    index of an order quantity. With two suppliers it is [2 x item], the regular one first; in a serial system there is one for
    each stage, in a network one for each arc and product: units on an arc to a site, on an arc to a customer the share of its
    demand of today that goes there. The system then admits the order as it does for any policy.

    Observation: one float32 vector of the `features`, in the order given; in units, but for the calendar:
        on_hand    [item] net stock after this period's receipt
        pipeline   [max(lead_time - 1, 0), item] outstanding orders, the next to arrive first
        position   [item] inventory position
        history    [window, item] what was seen of demand, oldest first (not among the default features)
        ages       [life, item] on hand by remaining life (perishable systems only)
        In a network [item] is each node and product, customers first (0, or less what is owed to them), then sites; the
        pipeline is [longest lead time - 1, arc and product], and the history of a site is what was asked of it.
        calendar   [4] sine and cosine of the week (7 periods), sine and cosine of the year (365.25 periods)

    Reward: net benefit of operations of the period, summed over items, in money; in the last period with salvage.
    Information: "flows" (`Flows`) and "money" (`Money`), each [item], "discount" (1), and what gymnax adds.

    An episode is truncated after `horizon` periods and never terminates. A learner that bootstraps from the final observation
    values the stock that is left, which salvage has paid for already: `money.salvage` is there to be taken back.
    """

    default_params: EnvParams | None = None  # the numbers that the environment was made with
    num_actions: int = 0  # discrete: the number of order quantities; continuous: the number of items
    _supports_transition_gradients = True

    def __init__(
        self, scenario: Scenario, system: Any, cost: CostModel, *, horizon: int, start: int = 0, window: int = 0,
        max_order: float | list[float] | None = None, order_grid: list[float] | None = None,
        features: tuple[str, ...] = ("on_hand", "pipeline", "position", "calendar"),
    ):  # fmt: skip
        """horizon, window: periods; start: number of the first one; max_order, or else order_grid: units. Raises ValueError."""
        self.horizon, self.window = whole("environment.horizon", horizon, low=1), whole("environment.window", window)
        self.items = scenario.items
        self.features = tuple(choice("environment.features", feature, FEATURES) for feature in features)
        require(
            "ages" not in features or hasattr(system, "life"), "environment.features", "without ages where stock keeps", features
        )
        require(len(features) > 0, "environment.features", "one or more of " + ", ".join(FEATURES), features)
        require(system.initial_stock is not None, "system.initial_stock", "a number of units", None)
        self.order_shape = tuple(system.order_shape(self.items))
        most, grid = _checked_actions(max_order, order_grid, math.prod(self.order_shape))
        self.discrete, self.num_actions = grid is not None, len(most) if grid is None else len(grid)
        params = EnvParams(
            scenario=scenario, system=system, cost=cost, max_order=most, order_grid=grid,
            start=whole("environment.start", start), max_steps_in_episode=self.horizon,
        )  # fmt: skip
        self.default_params = jax.tree.map(lambda leaf: jnp.array(leaf, jnp.result_type(leaf)), params)  # one kind, one compile

    def _static(self) -> tuple:
        sizes = (self.horizon, self.window, self.items, self.num_actions, self.order_shape)
        return *sizes, self.features, self.discrete, self._transition_gradients_enabled

    def __hash__(self) -> int:
        return hash(self._static())

    def __eq__(self, other: object) -> bool:
        """Equal sizes and the very same default parameters: a program compiled for an environment may contain them."""
        return isinstance(other, Inventory) and self._static() == other._static() and self.default_params is other.default_params

    def _bare(self) -> "Inventory":
        """A copy without default parameters: equal for all environments of equal sizes, which so compile once."""
        other = copy.copy(self)
        other.default_params = None
        return other

    def action_space(self, params: EnvParams | None = None) -> spaces.Box | spaces.Discrete:
        """Box(0, max_order, [item]) in units, or Discrete(number of order quantities)."""
        if self.discrete:
            return spaces.Discrete(self.num_actions)
        ends = (
            (self.num_actions,) if self.num_actions > 1 else ()
        )  # one bound must be a scalar, or gymnax makes no gymnasium space of it
        return spaces.Box(
            jnp.zeros(ends), (params or self.default_params).max_order.reshape(ends), (self.num_actions,), jnp.float32
        )

    def observation_space(self, params: EnvParams | None = None) -> spaces.Box:
        """An unbounded Box of the observation vector."""
        return _space(jax.eval_shape(self.reset_env, jax.random.key(0), params or self.default_params)[0])

    def state_space(self, params: EnvParams | None = None) -> spaces.Dict:
        """`EnvState` by field, and `stock` by field too; without what is None."""
        return _space(jax.eval_shape(self.reset_env, jax.random.key(0), params or self.default_params)[1])

    def reset(self, key: Array, params: EnvParams | None = None) -> tuple[Array, EnvState]:
        """The first observation and state of the episode that belongs to `key`."""
        return environment.Environment.reset(self._bare(), key, params or self.default_params)

    def step(self, key: Array, state: EnvState, action: Array, params: EnvParams | None = None) -> tuple:
        """(observation, state, reward, terminated, truncated, information), and a new episode where one ends.

        It is gymnax's own `step` value for value, but futures are drawn only when an episode of the batch ends.
        """
        return _step(self._bare(), key, state, action, params or self.default_params)

    def reset_env(self, key: Array, params: EnvParams) -> tuple[Array, EnvState]:
        """Draws the future of an episode, demand and lead times, before anyone decides."""
        periods = params.scenario.draw(key, 1, self.window + self.horizon, params.start - self.window)[:, 0]
        stock = params.system.initial(periods[: self.window], params.start, self.window)
        delays = params.system.draw_delays(named(key, "delay"), self.horizon, 1)
        if delays is not None:
            delays = jnp.concatenate([delays, params.system.draw_delays(named(key, "final delay"), 1, 1)])[:, 0]
        state = EnvState(jnp.zeros((), jnp.int32), stock, periods[self.window :], delays)
        return self.observe(key, state, None, params), state

    def step_env(self, key: Array, state: EnvState, action: Array, params: EnvParams) -> tuple:
        """(observation, state, reward, terminated, information) of one period, without reset. `key` is not used."""
        demand, delay = jax.tree.map(lambda path: path[state.time], (state.demand, state.delay))
        stock, flows = params.system.transition(state.stock, self.order(action, params), demand, delay)
        after = state.replace(time=state.time + 1, stock=stock)
        money = params.cost.charge(flows, self.is_truncated(after, params).astype(jnp.float32))
        observation, after = self._apply_transition_gradient_policy(self.observe(key, after, action, params), after)
        information = {"flows": flows, "money": money, "discount": self.discount(after, params)}
        return observation, after, money.benefit.sum(), self.is_terminated(after, params), information

    def order(self, action: Array, params: EnvParams) -> Array:
        """[item] units that an action asks for ([2, item] from two suppliers)."""
        if self.discrete:
            return params.order_grid[jnp.reshape(action, (1,))]
        asked = jnp.reshape(jnp.asarray(action, jnp.float32), (self.num_actions,))
        return jnp.clip(asked, 0, params.max_order).reshape(self.order_shape)

    def observe(self, key: Array, state: EnvState, action: Array | None, params: EnvParams) -> Array:
        """The observation vector; see the class. Neither `key` nor `action` is used."""
        seen = params.system.observe(state.stock, None if state.delay is None else state.delay[state.time])
        parts = [_calendar(seen.time) if feature == "calendar" else getattr(seen, feature) for feature in self.features]
        return jnp.concatenate([jnp.ravel(part) for part in parts])

    def is_terminated(self, state: EnvState, params: EnvParams) -> Array:
        """Never: the horizon is not the end of the world."""
        return jnp.zeros((), bool)

    def is_truncated(self, state: EnvState, params: EnvParams) -> Array:
        """After `max_steps_in_episode` periods, and at the latest when the path that was drawn is used up."""
        return state.time >= jnp.minimum(params.max_steps_in_episode, self.horizon)


@partial(jax.jit, static_argnames="game")
def _step(game: Inventory, key: Array, state: EnvState, action: Array, params: EnvParams) -> tuple:
    key_step, key_reset = jax.random.split(key)
    final, after, reward, terminated, information = game.step_env(key_step, state, action, params)
    truncated = game.is_truncated(after, params)
    done = terminated | truncated

    def restart():
        return jax.tree.map(partial(lax.select, done), game.reset_env(key_reset, params), (final, after))

    observation, after = lax.cond(_anywhere(done), restart, lambda: (final, after))
    ended = {"terminated": terminated, "truncated": truncated, "final_observation": final}
    return observation, after, reward, terminated, truncated, information | ended


@jax.custom_batching.custom_vmap
def _anywhere(done: Array) -> Array:
    """`done`; under `vmap`, whether any of the batch is. That is not batched, so that a `cond` on it remains a choice."""
    return done


_anywhere.def_vmap(lambda size, batched, done: (_anywhere(done.any(0) if batched[0] else done), False))


def _calendar(time: Array) -> Array:
    angles = [2 * jnp.pi * (time % cycle / cycle) for cycle in (WEEK, YEAR)]
    return jnp.stack([wave(angle) for angle in angles for wave in (jnp.sin, jnp.cos)])


def _space(part: Any) -> spaces.Box | spaces.Dict:
    """The unbounded space of an array, or of a record by its fields."""
    if hasattr(part, "shape"):
        return spaces.Box(-jnp.inf, jnp.inf, part.shape, part.dtype)
    fields = part._asdict() if isinstance(part, tuple) else vars(part)
    return spaces.Dict({name: _space(field) for name, field in fields.items() if field is not None})


def _checked_actions(max_order: Any, order_grid: list[float] | None, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The highest order [action], and the order quantities [action] or None; count: orders of one period."""
    require((max_order is None) != (order_grid is None), "environment.max_order", "given, or else order_grid", max_order)
    if order_grid is not None:
        require(count == 1, "environment.order_grid", f"left out where there are {count} items", order_grid)
        grid = np.asarray([number("environment.order_grid", quantity, low=0) for quantity in order_grid], np.float32)
        require(grid.any(), "environment.order_grid", "a list with a quantity > 0", order_grid)
        return grid.max(keepdims=True), grid
    most = list(max_order) if np.ndim(max_order) else [max_order] * count
    require(len(most) == count, "environment.max_order", f"one number, or one for each of {count} items", max_order)
    return np.asarray([number("environment.max_order", amount, low=0, above=True) for amount in most], np.float32), None


def from_problem(problem: Problem, *, max_order: float | list[float] | None = None, **settings: Any) -> Inventory:
    """The environment in which a method may learn `problem`: episodes come from what fitting may know.

    max_order: units; by default the highest demand over a lead time and a period in the fit's outlook (give more where a high
    cost per order asks for rare, large ones). settings: `order_grid` and `features` as in `Inventory`.
    """
    if max_order is None and settings.get("order_grid") is None:
        demand = problem.outlook(root(problem.seed, "highest demand"), 256)
        spans = np.lib.stride_tricks.sliding_window_view(demand, problem.system.lead_time + 1, axis=0)
        most = np.maximum(np.ceil(spans.sum(-1).max((0, 1))), 1)
        if hasattr(problem.system, "highest_order"):
            max_order = problem.system.highest_order(most).tolist()
        else:
            max_order = np.broadcast_to(most, problem.system.order_shape(problem.items)).ravel().tolist()
    sizes = dict(horizon=problem.horizon, start=problem.start, window=problem.window)
    return Inventory(problem.scenario, problem.system, problem.cost, max_order=max_order, **sizes, **settings)
