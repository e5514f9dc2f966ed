"""A stocking point with two suppliers: a regular one, and an expedited one that is faster and dearer.

The order of events in a period: 1. what is due arrives; 2. the policy observes; 3. it orders from both; what is expedited with
lead time 0 can meet today's demand; 4. demand is met, the rest is lost or backlogged; 5. the period is charged. Sources:
Veeraraghavan and Scheller-Wolf 2008, Operations Research 56(4), 850-864; Gijsbrechts et al. 2022, M&SOM 24(3), 1349-1368.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from invbench.checks import require, whole
from invbench.dynamics import single
from invbench.types import Array, Flows, Observation, State

SUPPLIERS = 2  # of an order [supplier, item]: the regular one, then the expedited one


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["initial_stock", "capacity"],
    meta_fields=["lead_time", "expedite_lead_time", "backlog"],
)
@dataclass(frozen=True, eq=False)
class DualSource:
    """Items that do not interact, each from either supplier. Make one with `create`.

    It is `Single` with a second way into the pipeline: the ring has a slot for each period of the regular lead time, and what is
    expedited joins the slot of the period in which it arrives. Of either order, what is below zero is zero; if both would lift
    the inventory position above `capacity`, the regular one is cut first.
    """

    lead_time: int  # periods, of the regular supplier
    expedite_lead_time: int  # periods, fewer
    backlog: bool
    initial_stock: Array | float | None = 0.0  # None until the problem sets it from expected demand
    capacity: Array | float | None = None

    @property
    def regular(self) -> single.Single:
        """The same stocking point with the regular supplier alone."""
        return single.Single(self.lead_time, self.backlog, self.initial_stock, capacity=self.capacity)

    def initial(self, before: Array, start: Array | int, window: int) -> State:
        """The state before period `start`, after the demand `before` [>= window, item] was seen; nothing is on order."""
        return self.regular.initial(before, start, window)

    def observe(self, state: State, delay: Array | None = None) -> Observation:
        """What the policy sees once the orders due have arrived: outstanding orders of both suppliers as one."""
        return self.regular.observe(state)

    def settle(self, state: State) -> State:
        """The same state with what is due on hand already: as it was observed."""
        return self.regular.settle(state)

    def order_shape(self, items: int) -> tuple[int, ...]:
        """The shape of an order of one path."""
        return (SUPPLIERS, items)

    def transition(self, state: State, order: Array, demand: Array, delay: Array | None = None) -> tuple[State, Flows]:
        """One period: the state at the start of the next one, and what happened.

        order: [2, item] units, regular and expedited; or [item], all of it regular. demand: [item] units. There is no delay.
        """
        alone = jnp.ndim(order) <= state.on_hand.ndim
        regular, expedited = (order, jnp.zeros_like(state.on_hand)) if alone else (order[0], order[1])
        expedited = self.regular.admit(state.position, expedited)
        expedited = jnp.broadcast_to(expedited, state.on_hand.shape).astype(state.on_hand.dtype)
        state, flows = self.regular.transition(self._expedite(state, expedited), regular, demand)
        both = flows.ordered + expedited
        placed = flows.placed + (expedited > 0).astype(expedited.dtype)
        return state, flows._replace(ordered=both, placed=placed, expedited=expedited)

    def _expedite(self, state: State, expedited: Array) -> State:
        """The state with this order among what arrives so many periods from now; with lead time 0 that is what is due today."""
        slot = (state.time + self.expedite_lead_time) % self.lead_time
        due = lax.dynamic_index_in_dim(state.pipeline, slot, 0, keepdims=False)
        pipeline = lax.dynamic_update_index_in_dim(state.pipeline, due + expedited, slot, 0)
        return state._replace(position=state.position + expedited, pipeline=pipeline)

    def draw_delays(self, key: Array, horizon: int, n: int) -> None:
        """Lead times are fixed."""


def expedited_position(observation: Observation, lead_time: Array) -> Array:
    """[item] net stock with all that arrives within the expedited lead time: all that an expedited order adds to when it comes.

    lead_time: [item] or [1] periods. Source: Veeraraghavan and Scheller-Wolf 2008, section 2.
    """
    outstanding = observation.pipeline
    ahead = jnp.expand_dims(jnp.arange(1, outstanding.shape[0] + 1), range(1, outstanding.ndim))
    return observation.on_hand + jnp.where(ahead <= lead_time, outstanding, 0).sum(0)


def require_dual_source(system: Any, method: str) -> None:
    """Raises ValueError in one sentence unless the system has two suppliers, as the method needs."""
    require(isinstance(system, DualSource), "system", f"dual_source for method {method}", type(system).__name__)


def create(
    *,
    lead_time: int,
    expedite_lead_time: int,
    backlog: bool,
    initial_stock: float | None = 0.0,
    capacity: float | None = None,
) -> DualSource:
    """A checked system. Units and periods as in `DualSource`. Raises ValueError in one sentence that names the config field."""
    regular = single.create(
        lead_time=whole("system.lead_time", lead_time, low=1), backlog=backlog, initial_stock=initial_stock, capacity=capacity
    )
    faster = whole("system.expedite_lead_time", expedite_lead_time)
    require(faster < regular.lead_time, "system.expedite_lead_time", f"< system.lead_time ({regular.lead_time})", faster)
    return DualSource(regular.lead_time, faster, backlog, regular.initial_stock, regular.capacity)
