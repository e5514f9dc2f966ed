"""The clairvoyant: it knows every path and orders best on it, which bounds what any policy can earn."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import PartitionSpec as Spec

from invbench import replay
from invbench.checks import require
from invbench.costs import CostModel
from invbench.dynamics.single import Single
from invbench.types import Array, Observation, Paths, Policy

LANES_PER_BLOCK = 64  # paths x items planned together on a CPU: all that a period looks at stays in the cache


class Orders(NamedTuple):
    """An order for each period of each path: the params of the policy."""

    orders: Array  # [horizon, n, item] units
    start: Array  # [n, 1] int32, absolute number of the first period


class Plan(NamedTuple):
    """What the clairvoyant would do, and what nobody can exceed."""

    policy: Policy
    bound: Array  # [n, item] net benefit of operations over the horizon, money
    exact: bool  # the policy attains the bound; else constraints on orders were left out
    system: Single  # without these constraints: here the policy attains the bound in any case


@dataclass(frozen=True)
class Clairvoyant:
    """The best orders on each path, demand and lead-time draws known in advance, for any `Single` system.

    `minimum_order`, `batch` and `capacity` are left out: the bound stays valid, and is then not exact.
    """

    family: ClassVar[str] = "bound"
    knows_paths: ClassVar[bool] = True  # it is given the paths to judge on: `plan` instead of `fit`

    def covers(self, problem) -> bool:
        """Whether this bound is known for the problem's system."""
        return isinstance(problem.system, Single)

    def plan(self, problem, paths: Paths) -> Plan:
        """Orders and bound for every path. Raises ValueError if the system is not a `Single` one."""
        system = problem.system
        require(isinstance(system, Single), "system", "a single stocking point for method clairvoyant", type(system).__name__)
        orders, bound = plan_orders(system, problem.cost, paths)
        start = jnp.full((paths.demand.shape[1], 1), paths.start, jnp.int32)
        exact = system.minimum_order is None and system.batch is None and system.capacity is None
        relaxed = replace(system, minimum_order=None, batch=None, capacity=None)
        return Plan(Policy(Orders(orders, start), planned_order, per_path=True), bound, exact, relaxed)


def planned_order(params: Orders, observation: Observation, key: Array | None) -> Array:
    """The order [n, item] that was planned for this period."""
    return lax.dynamic_index_in_dim(params.orders, observation.time - params.start.ravel()[0], 0, keepdims=False)


def plan_orders(system: Single, cost: CostModel, paths: Paths) -> tuple[Array, Array]:
    """The best orders [horizon, n, item] units without order constraints, and their net benefit [n, item] money; float32.

    Dynamic lot sizing (Wagner and Whitin 1958, Management Science 5(1), 89-96; with backlog Zangwill 1966, Management
    Science 13(1), 105-119), where demand may also stay unserved: lost, or owed to the end. Initial stock is used up first,
    whatever is ordered, so that only residual demand, which it does not cover, is planned. A receipt in period i serves
    what is owed and then residual demand up to some period k, the stop; what follows is lost, or waits for the next
    receipt. So a plan is a chain of receipts and stops. Against ordering nothing, a unit served in period t gains

        gain(t) = price - purchase + shortage * (horizon - t if backlog, else 1),

    less holding * (t - i) if it was received in i < t; all that is owed gains the same, however long it is owed. A receipt
    costs fixed_order. As salvage <= purchase, nothing is bought to be salvaged.

    Work per path and item: horizon x (the longest time worth holding a unit, + horizon if backlog). In float64, because
    what ordering nothing would cost is of the order of horizon squared.
    """
    delay = system.lead_time if paths.delay is None else paths.delay[..., None]
    ages = _ages(cost, system.backlog, len(paths.demand))
    with jax.enable_x64(True):
        return _plan(_Inputs(paths.demand, delay, system.initial_stock, cost), backlog=system.backlog, ages=ages)


def _ages(cost: CostModel, backlog: bool, horizon: int) -> int:
    """Periods after its receipt from which no unit is worth serving any more; a power of two, so that few sizes compile."""
    rates = (cost.price, cost.purchase, cost.holding, cost.shortage)
    price, purchase, holding, shortage = (np.asarray(rate, float) for rate in rates)
    most = price - purchase + shortage * (horizon if backlog else 1)
    loss = holding + shortage * backlog  # per period of age
    ages = np.where(loss > 0, np.maximum(most, 0) / np.where(loss > 0, loss, 1), horizon)
    count = 1 + int(np.minimum(ages, horizon).max())
    return min(horizon, 1 << (count - 1).bit_length())


class _Inputs(NamedTuple):
    """What a plan depends on: of shapes that broadcast to [n, item], and then of paths x items side by side, [lanes]."""

    demand: Array  # [horizon, lanes] units
    delay: Array | int  # [horizon, lanes] or [lanes]: what was ordered so many periods ago has arrived
    initial_stock: Array | float  # [lanes] units
    cost: CostModel  # [lanes]


@partial(jax.jit, static_argnames=("backlog", "ages"))
def _plan(inputs, *, backlog, ages):
    """Orders [horizon, n, item] and bound [n, item]: each core takes a share of the lanes, block by block."""
    shape = inputs.demand.shape
    count = shape[1] * shape[2]
    share = -(-count // len(jax.devices()))
    blocks = -(-share // LANES_PER_BLOCK) if jax.default_backend() == "cpu" else 1
    size = -(-share // blocks)

    def plan_share(lanes):
        def plan_block(first):
            take = partial(lax.dynamic_slice_in_dim, start_index=first, slice_size=size, axis=-1)
            return _plan_lanes(jax.tree.map(take, lanes), backlog, ages)

        orders, bound = lax.map(plan_block, jnp.arange(0, blocks * size, size))
        return jnp.moveaxis(orders, 0, 1).reshape(shape[0], -1), bound.reshape(-1)

    lanes = _side_by_side(inputs, size * blocks * len(jax.devices()))
    specs = jax.tree.map(lambda leaf: Spec(*(None,) * (leaf.ndim - 1), replay.AXIS), lanes)
    outputs = (Spec(None, replay.AXIS), Spec(replay.AXIS))
    orders, bound = jax.shard_map(plan_share, mesh=replay.mesh(), in_specs=(specs,), out_specs=outputs, check_vma=False)(lanes)
    return orders[:, :count].reshape(shape), bound[:count].reshape(shape[1:])


def _side_by_side(inputs, count):
    """The lanes, and the last one again and again up to `count`."""

    def flat(leaf):
        shape = inputs.demand.shape[-2:] if jnp.ndim(leaf) < 3 else inputs.demand.shape
        leaf = jnp.broadcast_to(leaf, shape).reshape(*shape[:-2], -1)
        return jnp.pad(leaf, [(0, 0)] * (leaf.ndim - 1) + [(0, count - leaf.shape[-1])], mode="edge")

    return jax.tree.map(flat, inputs)


def _plan_lanes(inputs, backlog, ages):
    """Orders [horizon, lanes] and bound [lanes] of one block."""
    cumulative = jnp.cumsum(inputs.demand.astype(jnp.float64), axis=0)
    residual = jnp.maximum(cumulative - inputs.initial_stock, 0)  # cumulative demand that initial stock does not cover
    levels = jnp.concatenate([jnp.zeros_like(residual[:1]), residual])  # slot k + 1 of horizon + 1: that up to period k
    newest, arrives = _arrivals(inputs)
    gained, final, stops, ages_at_stop = _forward(inputs.cost, backlog, levels, arrives, ages)
    received = _backward(backlog, levels, final, stops, ages_at_stop)
    columns = jnp.arange(received.shape[1])
    orders = jnp.zeros_like(received).at[newest, columns].add(received)  # received is zero unless the newest just arrives
    bound = _without_orders(inputs, backlog, cumulative, residual) + gained
    return orders.astype(jnp.float32), bound.astype(jnp.float32)


def _arrivals(inputs):
    """For each period [horizon, lanes]: the period of the newest order that has arrived by then, and if it arrives just then.

    With draws r(t), everything ordered up to t - r(t) has arrived in t (see `Single.arrive`). Orders that arrive together
    may as well be one, the newest: a receipt is possible in the periods in which the newest changes.
    """
    newest = lax.cummax(jnp.arange(len(inputs.demand), dtype=jnp.int32)[:, None] - inputs.delay, axis=0)
    before = jnp.concatenate([jnp.full_like(newest[:1], -1), newest[:-1]])
    return jnp.maximum(newest, 0), newest > jnp.maximum(before, -1)


def _forward(cost, backlog, levels, arrives, ages):
    """The most that can be gained, the slot of the last stop, and for each period the best decisions [horizon, lanes]:
    the slot of the stop before a receipt now, and the age of the receipt that a stop now served from.
    """
    horizon = arrives.shape[0]
    never = jnp.full_like(levels[0], -jnp.inf)

    def period(carry, today):
        serving, stopped = carry  # serving: a ring [ages, lanes], slot i % ages was received in period i
        time, can_arrive = today
        gain = cost.price - cost.purchase + cost.shortage * (horizon - time if backlog else 1)
        demand = levels[time + 1] - levels[time]
        start, stop = _best_stop(backlog, stopped, gain, levels, time)
        received = jnp.where(can_arrive, start - cost.fixed_order, never)
        serving = lax.dynamic_update_index_in_dim(serving, received, time % ages, 0)
        age = ((time - jnp.arange(ages)) % ages)[:, None]
        serving = serving + (gain - cost.holding * age) * demand
        value, slot = _best(serving)
        return (serving, _record(backlog, stopped, value, time)), (stop, (time - slot) % ages)

    nothing = (jnp.zeros_like(never), jnp.zeros(never.shape, jnp.int32))
    stopped = jnp.full_like(levels, -jnp.inf).at[0].set(0) if backlog else nothing
    serving = jnp.broadcast_to(never, (ages, *never.shape))
    (_, stopped), (stops, ages_at_stop) = lax.scan(period, (serving, stopped), (jnp.arange(horizon, dtype=jnp.int32), arrives))
    gained, final = _best_stop(backlog, stopped, jnp.zeros(()), levels, horizon)
    return gained, final, stops, ages_at_stop


def _best_stop(backlog, stopped, gain, levels, time):
    """The best state in which to receive in period `time`: what was gained by then, with what is owed, and its slot.

    Lost sales: `stopped` is the best value and slot so far. Backlog: the value of each slot [horizon + 1, lanes], since
    what is owed from a stop on is served by the next receipt.
    """
    return _best(stopped + gain * (levels[time] - levels)) if backlog else stopped


def _record(backlog, stopped, value, time):
    """`stopped` with the value of stopping after period `time`."""
    if backlog:
        return lax.dynamic_update_index_in_dim(stopped, value, time + 1, 0)
    best, slot = stopped
    return jnp.maximum(best, value), jnp.where(value > best, time + 1, slot)


def _best(values):
    """The maximum over the first axis and its index, int32; as two reductions, which are faster than argmax."""
    best = values.max(0)
    index = jnp.arange(values.shape[0], dtype=jnp.int32)[:, None]
    return best, jnp.where(values == best, index, 0).max(0)


def _backward(backlog, levels, final, stops, ages_at_stop):
    """The units received in each period [horizon, lanes]: the decisions followed back from the last stop."""
    # what a receipt need not cover: all residual demand up to the stop before it, or before it where that was lost
    covered = jnp.take_along_axis(levels, stops, 0) if backlog else levels[:-1]

    def period(carry, today):
        end, receipt, level = carry  # slot of the stop ahead in this backward walk; the receipt that serves it; up to what
        time, stop, age, level_now, level_covered = today
        stops_here = end == time + 1
        receipt = jnp.where(stops_here, time - age, receipt)
        level = jnp.where(stops_here, level_now, level)
        arrives = receipt == time
        return (jnp.where(arrives, stop, end), receipt, level), jnp.where(arrives, level - level_covered, 0)

    times = jnp.arange(stops.shape[0], dtype=jnp.int32)
    carry = (final, jnp.full_like(final, -1), jnp.zeros_like(levels[0]))
    return lax.scan(period, carry, (times, stops, ages_at_stop, levels[1:], covered), reverse=True)[1]


def _without_orders(inputs, backlog, cumulative, residual):
    """Net benefit of ordering nothing [lanes], money: initial stock is sold, held and salvaged, the rest is missed."""
    cost = inputs.cost
    left = jnp.maximum(inputs.initial_stock - cumulative, 0)
    missed = residual.sum(0) if backlog else residual[-1]
    income = cost.price * jnp.minimum(cumulative[-1], inputs.initial_stock) + cost.salvage * left[-1]
    return income - cost.holding * left.sum(0) - cost.shortage * missed
