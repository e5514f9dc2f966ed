"""The serial chain: stage 0 faces customers, each stage orders from the next one up. Any other network is network.py.

The order of events in a period t: 1. shipments that are due arrive, at every stage; 2. every stage observes; 3. all stages
order at once; 4. from the top down, each stage ships what it can of the orders that have reached it and of what it owes (the
outside supplier ships all), and a shipment can be used from period t + lead time of its destination on, at once if that is 0,
so that it can go on down in the same period; 5. customers' demand is met at stage 0, and what is left of stock and
debts is counted. Whatever a stage cannot ship waits until it can.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.checks import number, require, whole
from invbench.types import Array, Flows, Observation

Amount = float | list[float]


class StageState(NamedTuple):
    """A chain at the start of a period, before what is due arrives. Units; the last axis, item, is the stage."""

    on_hand: Array  # [item] net stock: below zero is what is owed to the next stage down (stage 0: to customers)
    position: Array  # [item] net stock + all that was ordered and not received, also what the supplier owes
    pipeline: Array  # [longest lead time, item] shipments to the stage: slot t % length is due in period t
    mail: Array  # [longest information delay, item] orders of the stage: slot t % length reaches its supplier in period t
    history: Array  # [window, item] ring: orders that reached the stage (stage 0: demand); slot time % window is the oldest
    time: Array  # [] int32, the period's absolute number


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["initial_stock", "initial_pipeline", "initial_orders"],
    meta_fields=["lead_times", "information_delays"],
)
@dataclass(frozen=True, eq=False)
class Serial:
    """A chain of stages with backlog everywhere. Make one with `create`.

    Demand is that of one item, [..., 1]; state, orders and flows are [..., stage], so a block of paths moves at once.
    """

    lead_times: tuple[int, ...]  # periods that a shipment to each stage takes; stage 0 faces customers
    information_delays: tuple[int, ...]  # periods that an order of each stage takes to reach its supplier
    initial_stock: Array | float | None = 0.0  # [stage]; None until the problem sets it from expected demand
    initial_pipeline: Array | float = 0.0  # [stage] units in each shipment that is on its way at the start
    initial_orders: Array | float = 0.0  # [stage] units in each order that is in the mail at the start
    backlog: ClassVar[bool] = True
    capacity: ClassVar[None] = None

    @property
    def stages(self) -> int:
        return len(self.lead_times)

    @property
    def lead_time(self) -> int:
        """Periods from the outside supplier to customers where no stage holds stock."""
        return sum(self.lead_times)

    def initial(self, before: Array, start: Array | int, window: int) -> StageState:
        """The state before period `start`, after the demand `before` [>= window, ..., 1] was seen, and ordered on by each stage.

        A shipment of `initial_pipeline` is due in each of the first periods up to the lead time, and likewise in the mail.
        """
        shape = (*before.shape[1:-1], self.stages)
        on_hand = jnp.zeros_like(before, shape=shape) + self.initial_stock
        pipeline = _filled(on_hand, self.lead_times, self.initial_pipeline, start)
        mail = _filled(on_hand, self.information_delays, self.initial_orders, start)
        seen = jnp.broadcast_to(before[before.shape[0] - window :], (window, *shape))
        # slot s must hold the period whose number is s modulo window; seen[0] is period start - window
        history = jnp.roll(seen, start % window, axis=0) if window else seen
        position = on_hand + pipeline.sum(0) + mail.sum(0)
        return StageState(on_hand, position, pipeline, mail, history, jnp.asarray(start, jnp.int32))

    def observe(self, state: StageState, delay: Array | None = None) -> Observation:
        """What each stage sees once shipments have arrived.

        on_hand: net stock; position: the stage's own, so that its sum from stage 0 up to a stage is that stage's echelon position
        (apart from orders in the mail below it); pipeline: [longest lead time - 1, ..., stage] shipments on their way, the next
        to arrive first; ring: orders that reached the stage.
        """
        on_hand = state.on_hand + _due(state.pipeline, state.time, state.on_hand)
        length = max(state.pipeline.shape[0], 1)
        on_the_way = jnp.roll(state.pipeline, -(state.time % length), axis=0)[1:]
        return Observation(on_hand, state.position, on_the_way, state.history, state.time)

    def settle(self, state: StageState) -> StageState:
        """The same state with what is due on hand already."""
        arrived = _due(state.pipeline, state.time, state.on_hand)
        pipeline = _moved(state.pipeline, state.time, jnp.zeros_like(arrived), self.lead_times)
        return state._replace(on_hand=state.on_hand + arrived, pipeline=pipeline)

    def order_shape(self, items: int) -> tuple[int, ...]:
        """The shape of an order of one path: one for each stage."""
        return (self.stages,)

    def transition(self, state: StageState, order: Array, demand: Array, delay: Array | None = None) -> tuple[StageState, Flows]:
        """One period: the state at the start of the next one, and what happened, each [..., stage].

        order: [..., stage] units, below zero is zero. demand: [..., 1] units, of stage 0, as what is sold and missed.
        `received` is what arrives at the stage, `backlog` what it owes at the end (stage 0: to customers, others: downstream),
        `in_transit` what is on its way to it at the end. `delay` is not used.
        """
        ordered = jnp.broadcast_to(jnp.maximum(order, 0), state.on_hand.shape).astype(state.on_hand.dtype)
        requests = _due(state.mail, state.time, ordered) + jnp.where(_zero(self.information_delays), ordered, 0)
        asked = jnp.concatenate([jnp.broadcast_to(demand, (*ordered.shape[:-1], 1)), requests[..., :-1]], -1)
        received, shipped, on_hand = self._ship(state, asked, requests[..., -1])
        pipeline = _moved(state.pipeline, state.time, shipped[..., 1:], self.lead_times)
        mail = _moved(state.mail, state.time, ordered, self.information_delays)
        held, owed = jnp.maximum(on_hand, 0), jnp.maximum(-on_hand, 0)
        faces, nothing = np.arange(self.stages) == 0, jnp.zeros_like(held)
        sold, missed = (jnp.where(faces, flow, 0) for flow in (shipped[..., :-1], jnp.minimum(owed, asked)))
        flows = Flows(
            jnp.where(faces, asked, 0), ordered, (ordered > 0).astype(ordered.dtype), received, sold, missed, nothing, owed,
            held, nothing, in_transit=pipeline.sum(0),
        )  # fmt: skip
        position = state.position + ordered - asked
        return StageState(on_hand, position, pipeline, mail, _remembered(state, asked), state.time + 1), flows

    def _ship(self, state: StageState, asked: Array, from_outside: Array) -> tuple[Array, Array, Array]:
        """Received and net stock at the end, each [..., stage], and shipped [..., stage + 1]: by each stage, and from outside.

        asked: [..., stage] the orders that reached the stage in this period.
        """
        arrived = _due(state.pipeline, state.time, state.on_hand)
        received, shipped, left = [], [from_outside], []  # the top stage first
        for stage in reversed(range(self.stages)):
            at_once = shipped[-1] if self.lead_times[stage] == 0 else 0
            received.append(arrived[..., stage] + at_once)
            left.append(state.on_hand[..., stage] + received[-1] - asked[..., stage])
            shipped.append(jnp.maximum(state.on_hand[..., stage], 0) + received[-1] - jnp.maximum(left[-1], 0))
        return tuple(jnp.stack(part[::-1], -1) for part in (received, shipped, left))

    def draw_delays(self, key: Array, horizon: int, n: int) -> None:
        """None: lead times are fixed."""
        return None


def _zero(lags: tuple[int, ...]) -> np.ndarray:
    """[stage] bool: where there is nothing to wait for."""
    return np.asarray(lags) == 0


def _ahead(ring: Array, time: Array | int) -> Array:
    """[length, ..., 1] in how many periods each slot of a ring is due."""
    length = ring.shape[0]
    return jnp.expand_dims((jnp.arange(length) - time) % max(length, 1), range(1, ring.ndim))


def _filled(like: Array, lags: tuple[int, ...], amount: Array | float, start: Array | int) -> Array:
    """A ring [longest lag, ..., stage] with `amount` [stage] in every slot that a stage of this lag has."""
    ring = jnp.zeros_like(like, shape=(max(lags), *like.shape))
    return jnp.where(_ahead(ring, start) < np.asarray(lags), amount, ring)


def _due(ring: Array, time: Array, like: Array) -> Array:
    """[..., stage] what is due now; nothing where the ring has no slots."""
    length = ring.shape[0]
    return lax.dynamic_index_in_dim(ring, time % length, 0, keepdims=False) if length else jnp.zeros_like(like)


def _moved(ring: Array, time: Array, sent: Array, lags: tuple[int, ...]) -> Array:
    """The ring without what is due now, and with `sent` [..., stage] in the slot that is due after the stage's lag.

    A stage with the longest lag reuses the slot that is due now; for any other that slot stays empty until its turn comes.
    """
    if ring.shape[0] == 0:
        return ring
    ahead, length = _ahead(ring, time), ring.shape[0]
    lags = np.asarray(lags)
    put = (ahead == lags % length) & (lags > 0)
    return jnp.where(put, sent, jnp.where(ahead == 0, 0, ring))


def _remembered(state: StageState, asked: Array) -> Array:
    window = state.history.shape[0]
    return lax.dynamic_update_index_in_dim(state.history, asked, state.time % window, 0) if window else state.history


def create(
    *,
    lead_times: list[int],
    information_delays: int | list[int] = 0,
    initial_stock: Amount | None = 0.0,
    initial_pipeline: Amount = 0.0,
    initial_orders: Amount = 0.0,
) -> Serial:
    """A checked chain. Periods and units as in `Serial`; a single figure is that of every stage.

    Raises ValueError in one sentence that names the config field.
    """
    is_list = isinstance(lead_times, list | tuple) and len(lead_times) > 0
    require(is_list, "system.lead_times", "a list with the lead time of each stage", lead_times)
    leads = tuple(whole(f"system.lead_times[{stage}]", lead) for stage, lead in enumerate(lead_times))
    delays = [whole(field, delay) for field, delay in _each("information_delays", information_delays, len(leads))]
    stock = None if initial_stock is None else _amounts("initial_stock", initial_stock, len(leads))
    pipeline, orders = (
        _amounts(*given, len(leads)) for given in (("initial_pipeline", initial_pipeline), ("initial_orders", initial_orders))
    )
    return Serial(leads, tuple(delays), stock, pipeline, orders)


def _amounts(name: str, given: Amount, stages: int) -> np.ndarray:
    return np.asarray([number(field, amount, low=0) for field, amount in _each(name, given, stages)], np.float32)


def _each(name: str, given: Any, stages: int) -> list[tuple[str, Any]]:
    """Field and value for each stage."""
    if not isinstance(given, list | tuple):
        return [(f"system.{name}", given)] * stages
    require(len(given) == stages, f"system.{name}", f"one figure, or one for each of {stages} stages", given)
    return [(f"system.{name}[{stage}]", value) for stage, value in enumerate(given)]
