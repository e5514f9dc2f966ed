"""Single-echelon stock: lost sales or backlog, any lead time, optional order constraints and random lead time.

The order of events in a period t: 1. the order due arrives; 2. the policy observes; 3. it orders, and the order can meet
demand from period t + lead_time on (at once if that is 0); 4. demand is met from stock, the rest is lost or backlogged;
5. holding is charged on what is left, shortage on what was missed or is owed.
"""

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from invbench.checks import number, require, whole
from invbench.types import Array, Flows, Observation, State, WatchedState


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["initial_stock", "minimum_order", "batch", "capacity", "lead_time_distribution"],
    meta_fields=["lead_time", "backlog", "misses"],
)
@dataclass(frozen=True, eq=False)
class Single:
    """A stocking point for any number of items that do not interact. Make one with `create`.

    All of it is elementwise: [item] stands for any shape that ends in item, so a block of paths moves at once.

    An order is admitted as follows: below zero it is zero; below `minimum_order` it is raised to it; it is rounded up to
    whole batches; and if that would lift the inventory position above `capacity`, it is cut to the largest admissible
    order that fits (zero if none does).
    """

    lead_time: int  # periods; the longest, where it is random
    backlog: bool
    initial_stock: Array | float | None = 0.0  # None until the problem sets it from expected demand
    minimum_order: Array | float | None = None
    batch: Array | float | None = None
    capacity: Array | float | None = None
    lead_time_distribution: Array | None = None  # [lead_time + 1] probability of each draw, see `receive`
    misses: bool = False  # whether states keep a ring of the periods in which demand was missed, see `remembering`

    def initial(self, before: Array, start: Array | int, window: int) -> State | WatchedState:
        """The state before period `start`, after the demand `before` [>= window, item] was seen; nothing is on order."""
        seen = before[before.shape[0] - window :]
        on_hand = jnp.zeros_like(before, shape=before.shape[1:]) + self.initial_stock
        pipeline = jnp.zeros_like(before, shape=(self.lead_time, *before.shape[1:]))
        # slot s must hold the period whose number is s modulo window; seen[0] is period start - window
        history = jnp.roll(seen, start % window, axis=0) if window else seen
        parts = (on_hand, on_hand, pipeline, history, jnp.asarray(start, jnp.int32))
        return WatchedState(*parts, jnp.zeros_like(history)) if self.misses else State(*parts)  # no miss is known of before

    def observe(self, state: State, delay: Array | None = None) -> Observation:
        """What the policy sees in this period, once the order due has arrived."""
        received, pipeline = self.arrive(state, delay)
        outstanding = _oldest_first(pipeline, state.time)[1:]
        seen = (state.on_hand + received, state.position, outstanding, state.history, state.time)
        return Observation(*seen, misses=getattr(state, "misses", None))

    def arrive(self, state: State, delay: Array | None) -> tuple[Array, Array]:
        """What arrives at the start of the period [item], and the pipeline without it.

        With a random lead time, `delay` is the period's draw r: everything that was ordered at least r periods ago
        arrives, so orders never cross (Kaplan 1970, Management Science 16(7), 491-507).
        """
        if self.lead_time == 0:
            return jnp.zeros_like(state.on_hand), state.pipeline
        if delay is None:
            slot = state.time % self.lead_time  # not emptied here: today's order overwrites it
            return lax.dynamic_index_in_dim(state.pipeline, slot, 0, keepdims=False), state.pipeline
        age = (state.time - 1 - jnp.arange(self.lead_time)) % self.lead_time + 1
        arrives = jnp.expand_dims(age, range(1, state.pipeline.ndim)) >= jnp.asarray(delay)[..., None]
        return jnp.where(arrives, state.pipeline, 0).sum(0), jnp.where(arrives, 0, state.pipeline)

    def settle(self, state: State) -> State:
        """The same state with what is due on hand already: as it was observed, where the lead time is fixed."""
        received, pipeline = self.arrive(state, None)
        if self.lead_time:
            nothing = jnp.zeros_like(received)
            pipeline = lax.dynamic_update_index_in_dim(pipeline, nothing, state.time % self.lead_time, 0)
        return state._replace(on_hand=state.on_hand + received, pipeline=pipeline)

    def order_shape(self, items: int) -> tuple[int, ...]:
        """The shape of an order of one path."""
        return (items,)

    def admit(self, position: Array, order: Array) -> Array:
        """The order that the system accepts [item] when `order` is asked for at inventory position `position`."""
        order = jnp.maximum(order, 0)
        if self.minimum_order is not None:
            order = jnp.where(order > 0, jnp.maximum(order, self.minimum_order), 0)
        if self.batch is not None:
            order = jnp.ceil(order / self.batch) * self.batch
        if self.capacity is None:
            return order
        room = jnp.maximum(self.capacity - position, 0)
        room = room if self.batch is None else jnp.floor(room / self.batch) * self.batch
        room = room if self.minimum_order is None else jnp.where(room >= self.minimum_order, room, 0)
        return jnp.minimum(order, room)

    def transition(self, state: State, order: Array, demand: Array, delay: Array | None = None) -> tuple[State, Flows]:
        """One period: the state at the start of the next one, and what happened.

        order, demand: [item] units. delay: [] int32, this period's lead-time draw, or None where the lead time is fixed.
        """
        order = jnp.broadcast_to(self.admit(state.position, order), state.on_hand.shape).astype(state.on_hand.dtype)
        received, pipeline = self.arrive(state, delay)
        at_once, pipeline = self._send(pipeline, state.time, order, delay)
        received = received + at_once
        available = state.on_hand + received  # net
        if self.backlog:
            on_hand = available - demand
            held, owed = jnp.maximum(on_hand, 0), jnp.maximum(-on_hand, 0)
            sold = jnp.maximum(state.on_hand, 0) + received - held
            missed, lost, seen = jnp.minimum(owed, demand), jnp.zeros_like(demand), demand
        else:
            sold = jnp.minimum(available, demand)
            on_hand = held = available - sold
            missed = lost = demand - sold
            owed, seen = jnp.zeros_like(demand), sold
        position = state.position + order - seen
        flows = Flows(
            demand, order, (order > 0).astype(order.dtype), received, sold, missed, lost, owed, held, jnp.zeros_like(demand)
        )
        parts = (on_hand, position, pipeline, _remember(state, seen), state.time + 1)
        return WatchedState(*parts, _noted(state.misses, state.time, missed > 0)) if self.misses else State(*parts), flows

    def _send(self, pipeline: Array, time: Array, order: Array, delay: Array | None) -> tuple[Array, Array]:
        """Put today's order on its way: what of it arrives at once [item], and the pipeline with the rest."""
        if self.lead_time == 0:
            return order, pipeline
        at_once = jnp.zeros_like(order) if delay is None else jnp.where(jnp.asarray(delay)[..., None] == 0, order, 0)
        return at_once, lax.dynamic_update_index_in_dim(pipeline, order - at_once, time % self.lead_time, 0)

    def draw_delays(self, key: Array, horizon: int, n: int) -> Array | None:
        """[horizon, n] int32 draws of the random lead time; None where it is fixed."""
        if self.lead_time_distribution is None:
            return None
        uniform = jax.random.uniform(key, (horizon, n))
        return (uniform[..., None] >= jnp.cumsum(self.lead_time_distribution)[:-1]).sum(-1).astype(jnp.int32)


def _oldest_first(ring: Array, time: Array) -> Array:
    """A ring buffer in order of age: the slot of `time`, which is overwritten next, comes first."""
    size = ring.shape[0]
    return jnp.roll(ring, -(time % size), axis=0) if size else ring


def _remember(state: State, seen: Array) -> Array:
    return _noted(state.history, state.time, seen)


def _noted(ring: Array, time: Array, value: Array) -> Array:
    """The ring [window, item] with what is noted of period `time` in place of the oldest."""
    window = ring.shape[0]
    if window == 0:
        return ring
    value = jnp.broadcast_to(value, ring.shape[1:]).astype(ring.dtype)
    return lax.dynamic_update_index_in_dim(ring, value, time % window, 0)


def remembering(system: Any) -> Any:
    """The system, or the one inside another, whose states keep the periods in which demand was missed. Raises ValueError."""
    if hasattr(system, "system"):
        return replace(system, system=remembering(system.system))
    require(isinstance(system, Single), "method.features", "without stockouts in this system", type(system).__name__)
    return replace(system, misses=True)


def create(
    *,
    lead_time: int,
    backlog: bool,
    initial_stock: float | None = 0.0,
    minimum_order: float | None = None,
    batch: float | None = None,
    capacity: float | None = None,
    lead_time_distribution: list[float] | None = None,
) -> Single:
    """A checked system. Units and periods as in `Single`; `lead_time_distribution` has the probability of each draw 0, 1, ….

    Raises ValueError in one sentence that names the config field.
    """
    lead_time = whole("system.lead_time", lead_time)
    require(isinstance(backlog, bool), "system.backlog", "true or false", backlog)
    initial_stock = None if initial_stock is None else number("system.initial_stock", initial_stock, low=0)
    minimum_order = _optional("system.minimum_order", minimum_order)
    batch = _optional("system.batch", batch)
    capacity = _optional("system.capacity", capacity)
    if capacity is not None:
        require(capacity >= (initial_stock or 0), "system.capacity", f">= system.initial_stock ({initial_stock})", capacity)
        least = math.ceil((minimum_order or batch) / batch) * batch if batch else minimum_order or 0
        require(
            capacity >= least, "system.capacity", f">= {least:g}, the smallest order that minimum_order and batch admit", capacity
        )
    if lead_time_distribution is None:
        return Single(lead_time, backlog, initial_stock, minimum_order, batch, capacity)
    field = "system.lead_time_distribution"
    require(isinstance(lead_time_distribution, list | tuple), field, "a list of probabilities", lead_time_distribution)
    weights = [number(f"{field}[{i}]", p, low=0, high=1) for i, p in enumerate(lead_time_distribution)]
    require(abs(sum(weights) - 1) < 1e-6, field, "probabilities that sum to 1", lead_time_distribution)
    longest = max(i for i, weight in enumerate(weights) if weight > 0)
    require(lead_time == longest, "system.lead_time", f"the longest draw of {field} ({longest})", lead_time)
    draws = jnp.asarray(weights[: longest + 1], jnp.float32)
    return Single(lead_time, backlog, initial_stock, minimum_order, batch, capacity, draws)


def _optional(field: str, value: float | None) -> float | None:
    return None if value is None else number(field, value, low=0, above=True)
