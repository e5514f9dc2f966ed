"""Perishable stock: units live `life` periods, the oldest or the freshest are handed out first, unmet demand is lost.

The order of events in a period t: 1. the order due arrives, fresh, with `life` periods to live; 2. the policy observes; 3. it
orders, and the order can meet demand from period t + lead_time on (at once if that is 0); 4. demand is met from stock, the rest
is lost; 5. what is left of the oldest units expires, the rest ages by one period; holding is charged on what is left then,
waste on what expired. De Moor et al. 2022 and Farrington et al. 2025 let an order arrive at the end of the day, after holding is
charged and before the next day's demand: that is the same, with the same lead time.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from invbench.checks import choice, number, require, whole
from invbench.dynamics.single import _oldest_first, _remember
from invbench.types import Array, Flows, Observation


class PerishableState(NamedTuple):
    """Perishable stock at the start of a period, before the order that is due arrives. Units."""

    ages: Array  # [life, item] on hand by remaining life, the oldest first; the last, fresh, is empty after the first period
    position: Array  # [item] on hand + on order; carried, because summing costs more
    pipeline: Array  # [lead_time, item] ring: slot time % lead_time arrives now and takes today's order
    history: Array  # [window, item] ring: what was sold; slot time % window is the oldest
    time: Array  # [] int32, the period's absolute number


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["initial_stock", "maximum_order"],
    meta_fields=["lead_time", "life", "issuing"],
)
@dataclass(frozen=True, eq=False)
class Perishable:
    """A stocking point for any number of perishable items that do not interact. Make one with `create`.

    All of it is elementwise: [item] stands for any shape that ends in item, so a block of paths moves at once. What is received
    and the initial stock = what is sold, expired and held.
    """

    lead_time: int  # periods
    life: int  # periods in which a unit can meet demand, that of its arrival included
    issuing: str  # fifo: the oldest units first; lifo: the freshest first
    initial_stock: Array | float | None = 0.0  # fresh units; None until the problem sets it from expected demand
    maximum_order: Array | float | None = None  # units that an order is cut to
    backlog: ClassVar[bool] = False
    minimum_order: ClassVar[None] = None  # constraints of single.py that perishable stock does without
    batch: ClassVar[None] = None
    capacity: ClassVar[None] = None

    def initial(self, before: Array, start: Array | int, window: int) -> PerishableState:
        """The state before period `start`, after the demand `before` [>= window, item] was seen; nothing is on order."""
        seen = before[before.shape[0] - window :]
        fresh = jnp.zeros_like(before, shape=before.shape[1:]) + self.initial_stock
        older = jnp.zeros_like(before, shape=(self.life - 1, *before.shape[1:]))
        pipeline = jnp.zeros_like(before, shape=(self.lead_time, *before.shape[1:]))
        # slot s must hold the period whose number is s modulo window; seen[0] is period start - window
        history = jnp.roll(seen, start % window, axis=0) if window else seen
        return PerishableState(
            jnp.concatenate([older, fresh[None]]), fresh, pipeline, history, jnp.asarray(start, jnp.int32)
        )  # fmt: skip

    def observe(self, state: PerishableState, delay: None = None) -> Observation:
        """What the policy sees in this period, once the order due has arrived."""
        received = self._due(state)
        outstanding = _oldest_first(state.pipeline, state.time)[1:]
        ages = _put(state.ages, self.life - 1, state.ages[-1] + received)
        on_hand = sum((state.ages[age] for age in range(self.life)), start=received)
        return Observation(on_hand, state.position, outstanding, state.history, state.time, ages)

    def settle(self, state: PerishableState) -> PerishableState:
        """The same state with what is due on hand already: as it was observed."""
        received = self._due(state)
        pipeline = self._send(state, jnp.zeros_like(received))
        ages = _put(state.ages, self.life - 1, state.ages[-1] + received)
        return state._replace(ages=ages, pipeline=pipeline)

    def order_shape(self, items: int) -> tuple[int, ...]:
        """The shape of an order of one path."""
        return (items,)

    def admit(self, position: Array, order: Array) -> Array:
        """The order that the system accepts [item] when `order` is asked for: from 0 to `maximum_order`, at any position."""
        order = jnp.maximum(order, 0)
        return order if self.maximum_order is None else jnp.minimum(order, self.maximum_order)

    def transition(
        self, state: PerishableState, order: Array, demand: Array, delay: None = None
    ) -> tuple[PerishableState, Flows]:
        """One period: the state at the start of the next one, and what happened.

        order, demand: [item] units. delay: None, the lead time is fixed.
        """
        order = self.admit(state.position, order)
        order = jnp.broadcast_to(order, state.position.shape).astype(state.position.dtype)
        received = order if self.lead_time == 0 else self._due(state)
        fresh = state.ages[-1] + received
        left, lost = issue([*(state.ages[age] for age in range(self.life - 1)), fresh], demand, self.issuing)
        expired, sold, none = left[0], demand - lost, jnp.zeros_like(demand)
        held = sum(left[1:], start=none)
        ages = state.ages
        for age, units in enumerate([*left[1:], jnp.zeros_like(left[0])]):
            ages = _put(ages, age, units)
        placed = (order > 0).astype(order.dtype)
        flows = Flows(demand, order, placed, received, sold, lost, lost, none, held, expired)
        position = state.position + order - sold - expired
        after = PerishableState(ages, position, self._send(state, order), _remember(state, sold), state.time + 1)
        return after, flows

    def _due(self, state: PerishableState) -> Array:
        """[item] what arrives at the start of the period."""
        if self.lead_time == 0:
            return jnp.zeros_like(state.position)
        return lax.dynamic_index_in_dim(state.pipeline, state.time % self.lead_time, 0, keepdims=False)

    def _send(self, state: PerishableState, order: Array) -> Array:
        """The pipeline with today's order in place of what was due."""
        if self.lead_time == 0:
            return state.pipeline
        return lax.dynamic_update_index_in_dim(state.pipeline, order, state.time % self.lead_time, 0)

    def draw_delays(self, key: Array, horizon: int, n: int) -> None:
        """None: the lead time is fixed."""
        return None


def issue(ages: list[Array], demand: Array, issuing: str) -> tuple[list[Array], Array]:
    """What demand [item] leaves of each age [item], the oldest first in the list, and what is left of the demand itself."""
    left = list(ages)
    for age in range(len(left)) if issuing == "fifo" else reversed(range(len(left))):
        taken = jnp.minimum(left[age], demand)
        left[age], demand = left[age] - taken, demand - taken
    return left, demand


def _put(ages: Array, age: int, units: Array) -> Array:
    """[life, item] `ages` with `units` [item] at one of them: age by age is faster than a new array."""
    return lax.dynamic_update_index_in_dim(ages, units, age, 0)


def create(
    *,
    lead_time: int,
    life: int,
    issuing: str,
    maximum_order: float | None = None,
    initial_stock: float | None = 0.0,
) -> Perishable:
    """A checked system. Units and periods as in `Perishable`. Raises ValueError in one sentence that names the config field."""
    lead_time, life = whole("system.lead_time", lead_time), whole("system.life", life, low=1)
    require(life <= 100, "system.life", "<= 100 periods (what keeps longer is lost_sales)", life)
    choice("system.issuing", issuing, ("fifo", "lifo"))
    if maximum_order is not None:
        maximum_order = number("system.maximum_order", maximum_order, low=0, above=True)
    initial_stock = None if initial_stock is None else number("system.initial_stock", initial_stock, low=0)
    return Perishable(lead_time, life, issuing, initial_stock, maximum_order)
