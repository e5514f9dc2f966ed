"""What to order, each day and for each item: exact dynamic programmes of many items in one call, under the plan's limits.

Time-varying demand, a finite horizon, fixed order cost, lead times, backlog or lost sales. Stock is counted in steps of the
item's own size, so that a slow and a fast seller take as many states.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench.checks import require, whole
from invbench.planners import operational_stocking
from invbench.planners.operational_demand import fitted, steps
from invbench.planners.operational_induction import Found, after_receipt, by_position
from invbench.planners.operational_stocking import Stocking
from invbench.types import Array, Observation, Policy

SHARE = 0.6  # of the states, that are above zero even where the tables begin a third below it


@dataclass(frozen=True)
class Operational:
    """How far the plan looks, and how finely it counts stock; made by `create`, which checks."""

    window: int  # periods, beyond the longest lead time
    states: int  # positions in the tables of an item
    support: int  # steps of demand in a period
    interpolated: bool = False  # between two positions of the table, the mean of what they order

    def stocking(self, *, mean: Any, std: Any, lead: Any, holding: Any, fixed_order: Any = 0.0, **figures: Any) -> Stocking:
        """Items with this demand, [period, item] units, counted in the smallest whole steps that the tables have room for.

        That is room for six standard deviations of the demand that an order must last for, and for one and a half of the
        economic order quantities of its mean (Harris 1913). Other figures as in `operational_stocking.create`.
        """
        mean, std = np.asarray(mean, float), np.asarray(std, float)
        lead, holding = (np.broadcast_to(np.asarray(figure), mean.shape[1:]) for figure in (lead, holding))
        lot = np.sqrt(2 * np.asarray(fixed_order) * mean.mean(0) / np.maximum(holding, 1e-12))
        room = (most(mean, lead) + 6 * np.sqrt(most(std**2, lead)) + 1.5 * lot) / (SHARE * self.states)
        step = np.maximum(steps(mean, std, self.support), np.ceil(room))
        pmf = fitted(mean, std, self.support, step)
        more = {"fixed_order": fixed_order, "holding": holding, "lead": lead, "states": self.states}
        return operational_stocking.create(pmf=pmf, step=step, **more, **figures)

    def policy(self, given: Stocking) -> Policy:
        """The best orders as a policy."""
        return plan(given).policy(self.interpolated)


def create(*, window: int, states: int, support: int, interpolated: bool = False) -> Operational:
    """Checked options. Raises ValueError where one makes no sense."""
    require(isinstance(interpolated, bool), "planner.interpolated", "true or false", interpolated)
    counts = {"window": (window, 1), "states": (states, 10), "support": (support, 2)}
    checked = {name: whole(f"planner.{name}", value, low=low) for name, (value, low) in counts.items()}
    return Operational(**checked, interpolated=interpolated)


def most(figures: np.ndarray, lead: np.ndarray) -> np.ndarray:
    """[item] the largest sum of figures [period, item] over lead + 1 periods in a row."""
    total = np.concatenate([np.zeros_like(figures[:1]), np.cumsum(figures, 0)])
    end = np.minimum(np.arange(len(figures))[:, None] + lead + 1, len(figures))
    return (np.take_along_axis(total, end, 0) - total[:-1]).max(0)


class Orders(NamedTuple):
    """What the programme found. Axes [period, state, item], so that items come last as in every policy."""

    quantity: np.ndarray  # [period, state, item] int16: steps to order at position low + state, both in steps
    cost: np.ndarray  # [state, item] expected money over all periods from this net stock, nothing on the way
    low: np.ndarray  # [item] the lowest position in the tables, in steps
    step: np.ndarray  # [item] units of a step
    limit: np.ndarray  # [period, item] units that can be ordered
    exact: np.ndarray  # [item] bool: no other orders in whole steps are better; see `plan`
    start: int = 0  # absolute number of the first period

    def reorder_up_to(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[period, item] each: whether the table is an (s, S) rule, and its s and S in units; without orders, s is -inf.

        s is the highest position from which an order is placed.
        """
        state = np.arange(self.quantity.shape[1])[:, None]
        orders = self.quantity > 0
        last = np.where(orders, state, -1).max(1)
        target = np.where(orders, state + self.quantity, -1).max(1)
        rule = np.where(state <= last[:, None], target[:, None] - state, 0)
        position = lambda index: (index + self.low) * self.step  # noqa: E731
        return (rule == self.quantity).all(1), np.where(last < 0, -np.inf, position(last)), position(target)

    def policy(self, interpolated: bool = False) -> Policy:
        """The orders as a policy; interpolated: in between two positions of the table, the mean of what they order."""
        params = {"quantity": self.quantity * self.step, "low": self.low * self.step, "step": self.step, "limit": self.limit}
        params = {name: jnp.asarray(leaf, jnp.float32) for name, leaf in params.items()}
        start = jnp.asarray([self.start], jnp.int32)
        return Policy(params | {"start": start}, order_between if interpolated else order_at_nearest)


def order_at_nearest(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """Up to where the nearest position of the table orders up to, if it orders; never more than the limit. [item] units.

    quantity: [period, state, item] units; low, step: [item] units; limit: [period, item] units; start: [1] period. Positions
    below the table order up to the same, and nothing is ordered after its last period.
    """
    state, quantity, limit = _today(params, observation)
    nearest = jnp.clip(jnp.floor(state + 0.5), 0, quantity.shape[0] - 1)
    found = _look_up(quantity, nearest)
    order = jnp.where(found > 0, found + (nearest - state) * params["step"], 0)
    return jnp.clip(order, 0, limit)


def order_between(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """As `order_at_nearest`, but in between two positions what they order is interpolated: where there is no fixed cost."""
    state, quantity, limit = _today(params, observation)
    inside = jnp.clip(state, 0, quantity.shape[0] - 1)
    under = jnp.floor(inside)
    over = jnp.minimum(under + 1, quantity.shape[0] - 1)
    order = _look_up(quantity, under) + (inside - under) * (_look_up(quantity, over) - _look_up(quantity, under))
    beyond = jnp.where(state < 0, -state * params["step"], 0)
    return jnp.clip(jnp.where(order > 0, order + beyond, 0), 0, limit)


def _today(params: dict[str, Array], observation: Observation) -> tuple[Array, Array, Array]:
    """Where the position stands in the table, the period's orders [state, item], and its limit [item]."""
    quantity, limit = params["quantity"], params["limit"]
    period = observation.time - params["start"][0]
    within = (period >= 0) & (period < len(quantity))
    today = jnp.clip(period, 0, len(quantity) - 1)
    state = (observation.position - params["low"]) / params["step"]
    return state, quantity[today], jnp.where(within, limit[today], 0)


def _look_up(table: Array, state: Array) -> Array:
    """table [state, item] at state [..., item]."""
    return table[state.astype(jnp.int32), jnp.arange(table.shape[1])]


def plan(given: Stocking) -> Orders:
    """The best orders of every item, in one compiled call (two where some items lose sales with a lead time of 1).

    Backward induction (Puterman 1994, chapter 4). With backlog, an order is charged for the demand up to the end of the
    period in which it can first meet demand, and the state is the inventory position (Scarf 1960). Equal shapes compile once;
    the longest lead time is part of the shape.

    `Orders.exact`: the orders are the best there are in whole steps, from every position of the table. Three things make
    it False. The item is one of `Stocking.approximated`. Or values of positions below the table are not on a straight line,
    as they are taken to be: below all reorder points they are, but where orders are limited there is a kink, which only matters
    where the table ends so high that demand leaves it. Or an order lifts the position to the table's end, not the storage's.
    """
    alone = given.lost & (given.lead == 1)
    parts = []
    if not alone.all():
        data = given.data(~alone)
        parts.append((~alone, by_position(data, given.states, max(int(given.lead[~alone].max()), 1))))
    if alone.any():
        data = given.data(alone)
        parts.append((alone, after_receipt(data, given.states)))
    return _orders(given, _joined(parts))


def _joined(parts: list[tuple[np.ndarray, Found]]) -> Found:
    """Found for all items, from that of those that are marked [item]."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([np.flatnonzero(marked) for marked, _ in parts]))
    return Found(*(np.concatenate(leaves, -1)[..., order] for leaves in zip(*(found for _, found in parts))))


def _orders(given: Stocking, found: Found) -> Orders:
    state = np.arange(given.states)[:, None]
    top = np.where(found.quantity > 0, found.quantity + state.astype(np.int16), 0).max((0, 1))
    enclosed = (top < given.states - 1) | (np.floor(given.storage / given.step) <= given.low + given.states - 1)
    exact = found.straight & enclosed & ~given.approximated
    return Orders(found.quantity, found.cost, given.low, given.step, given.limit, exact, given.start)
