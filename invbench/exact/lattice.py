"""What a dynamic programme walks on: stock and outstanding orders within bounds, tabulated through the system's own transition.

Demand touches the stock alone; orders on their way only move up. So a state is the stock after receipt with the orders that
arrive later, and all that must be tabulated is the stock's part: what each demand leaves over, and how that joins the next
receipt. Everything here is NumPy in float64, made once.
"""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.costs import CostModel
from invbench.dynamics.dual_source import DualSource
from invbench.dynamics.perishable import Perishable
from invbench.dynamics.single import Single
from invbench.exact import bounds
from invbench.problem import Problem
from invbench.progress import say
from invbench.types import Array

OUTSIDE = -1
SMALL = 200_000  # states
DENSE = 1024  # up to so many kinds of stock the expectation over demand is a dense matrix product
PART_VALUES = 2**22  # values that a part of a sweep makes at a time where it is not
WORTH_SAYING = 0.1  # GiB


@dataclass(frozen=True, eq=False)
class Lattice:
    """Tables of one period; see the module. `after` numbers the stock that meets demand, `left` what remains of it.

    With lead time 0 and in the reduction to the inventory position there is nothing on the way: a state is what is left,
    and the order joins it at once. Otherwise a state is the stock after receipt with `waiting` outstanding orders.
    """

    left: np.ndarray  # [after, demand] int32, what is left
    join: np.ndarray  # [left, order] int32, the stock after a receipt of so much; OUTSIDE where that is out of bounds
    money: np.ndarray  # [deep + after, demand] cost of a period, less revenue; without what orders cost
    final: np.ndarray  # [deep + after, demand] the same in the last period, where stock is salvaged
    orders: np.ndarray  # [order] units that can be ordered, 0 first
    order_cost: np.ndarray  # [order] money
    at_once: bool  # the order joins what is left
    waiting: int  # outstanding orders in the state
    position: np.ndarray  # [after] units, for the bound on the position
    highest: float  # states above this position are left out
    shape: tuple[int, ...]  # of the table that the policy looks up: axes of the stock, and of the orders on the way
    low: int  # units at the first index of the stock (single stock: may be below zero)
    rush: np.ndarray | None = None  # [after, order] int32, the stock after an expedited order of so much; dual source alone
    rush_cost: np.ndarray | None = None  # [order] money
    lag: int = 0  # periods between a decision and the cost that it is charged (the reduction to the position)
    deep: int = 0  # positions below the lowest that `money` has, for the demand of `lag` periods
    proved: bool = True  # the bounds leave no optimal policy out; else the caller widens them until nothing changes

    def cost(self, ahead: np.ndarray, discount: float, last: bool = False) -> np.ndarray:
        """[after] expected money that a decision is charged; ahead: [lag + 1, demand] probabilities from its period on."""
        now = (self.final if last else self.money) @ ahead[-1]
        gone = np.ones(1)
        for pmf in ahead[:-1]:
            gone = np.convolve(gone, pmf)
        return discount**self.lag * np.convolve(now, gone)[self.deep : self.deep + len(self.left)]

    @property
    def states(self) -> int:
        """How many there are, those out of bounds included."""
        base = self.join.shape[0] if self.at_once else self.left.shape[0]
        return base * len(self.orders) ** self.waiting


def build(problem: Problem, size: float, discount: float, periods: np.ndarray, memory: float) -> Lattice:
    """The lattice of a problem. periods: [period, support] probability of demand; size: factor on bounds without proof.

    Raises ValueError in one sentence where the problem is not one for exact methods.
    """
    system = problem.system
    makers = {Single: _single, DualSource: _dual, Perishable: _perishable}
    kinds = "lost_sales, backlog, dual_source or perishable"
    require(type(system) in makers, "system", f"one of {kinds} for an exact method", type(system).__name__)
    fixed = getattr(system, "lead_time_distribution", None) is None
    require(fixed, "system.lead_time_distribution", "null for an exact method (a fixed lead time)", "a distribution")
    for name in ("holding", "shortage", "fixed_order", "purchase", "price"):
        rate = getattr(problem.cost, name)
        require(np.ndim(rate) == 0, f"cost.{name}", "one number for an exact method", rate)
    return makers[type(system)](alike(problem), size, discount, periods, memory)


def alike(problem: Problem) -> Problem:
    """The problem with one initial stock for all items: the largest."""
    stock = problem.system.initial_stock
    return replace(problem, system=replace(problem.system, initial_stock=0.0 if stock is None else float(np.max(stock))))


def require_room(states: int, stocks: int, periods: np.ndarray, memory: float) -> None:
    """Say what so many states take, before anything is made, and refuse what needs more than `memory` GiB.

    Values, the last ones, what is expected of them order by order in parts, and the policy; tables by stock and demand.
    """
    part = 3 * (states if stocks <= DENSE else PART_VALUES)
    policy = 4 * states * (len(periods) + 1)
    need = (8 * (3 * states + part) + policy + 28 * stocks * periods.shape[1]) / 2**30
    if need > WORTH_SAYING:
        say(f"optimum: {states:,} states, about {need:.2f} GiB")
    least = math.ceil(need * 100) / 100
    require(need <= memory, "method.memory", f"at least {least:g} GiB for {states:,} states", memory)


def _single(problem: Problem, size: float, discount: float, periods: np.ndarray, memory: float) -> Lattice:
    return (
        _position(problem, size, discount, periods, memory)
        if problem.system.backlog
        else _lost_sales(problem, size, discount, periods, memory)
    )


def _lost_sales(problem: Problem, size: float, discount: float, periods: np.ndarray, memory: float) -> Lattice:
    """On hand 0 … highest, orders 0 … the newsvendor's quantity (Morton 1969, Management Science 15; see `bounds`)."""
    system, demand = problem.system, np.arange(periods.shape[1])
    found = bounds.lost_sales(problem, periods, size)
    most, highest = found.order, found.position
    if system.capacity is not None:
        highest = min(highest, int(system.capacity))
    at_once = system.lead_time == 0
    waiting = 0 if at_once else system.lead_time - 1
    orders, stock = _rounded(_orders(system, min(most, highest)), highest, waiting)
    require_room(len(stock) * len(orders) ** waiting, len(stock), periods, memory)
    flows, after = _meet(system, stock[:, None], demand)
    receipt = stock[:, None] + orders
    return Lattice(
        left=after.on_hand.astype(np.int32), join=_within(receipt, stock[-1]), **_charged(problem, flows, discount),
        orders=orders, order_cost=_order_cost(problem, orders), at_once=at_once, waiting=waiting,
        position=stock, highest=highest, shape=(len(stock), *(len(orders),) * waiting), low=0, proved=found.proved,
    )  # fmt: skip


def _position(problem: Problem, size: float, discount: float, periods: np.ndarray, memory: float) -> Lattice:
    """Backlog: the inventory position is all of the state, and what is decided now is charged a lead time later.

    Demand of the lead time is convolved in by the caller, period by period (`lag`), so the tables are those of lead time 0.
    """
    system, demand = problem.system, np.arange(periods.shape[1])
    found = bounds.backlog(problem, periods, size)
    low, high = found.lowest, found.position
    if system.capacity is not None:
        high = min(high, int(system.capacity))
    position, deep = np.arange(low, high + 1), system.lead_time * (len(demand) - 1)
    require_room(len(position) * (high - low), len(position) + deep, periods, memory)  # each position with each order
    flows, _ = _meet(replace(system, lead_time=0), np.arange(low - deep, high + 1)[:, None], demand)
    orders = _orders(system, min(found.order, high - low))
    return Lattice(
        left=np.maximum(position[:, None] - demand - low, 0).astype(np.int32),
        join=_within(position[:, None] - low + orders, high - low),
        **_charged(problem, flows, discount), orders=orders, order_cost=_order_cost(problem, orders), at_once=True, waiting=0,
        position=position, highest=high, shape=(len(position),), low=low, lag=system.lead_time, deep=deep, proved=found.proved,
    )  # fmt: skip


def _dual(problem: Problem, size: float, discount: float, periods: np.ndarray, memory: float) -> Lattice:
    """Net stock between bounds, orders on their way, and an expedited order that joins the stock at once."""
    system, demand = problem.system, np.arange(periods.shape[1])
    require(system.expedite_lead_time == 0, "system.expedite_lead_time", "0 for an exact method", system.expedite_lead_time)
    found = bounds.dual_source(problem, periods, size)
    low, high = found.lowest, found.position
    stock = np.arange(low, high + 1)
    orders = np.arange(found.order + 1)
    require_room(len(stock) * len(orders) ** (system.lead_time - 1), len(stock), periods, memory)
    flows, after = _meet(system, stock[:, None], demand)
    rush = np.arange(high - low + 1)
    return Lattice(
        left=np.clip(after.on_hand - low, 0, None).astype(np.int32), join=_within(stock[:, None] - low + orders, high - low),
        **_charged(problem, flows, discount), orders=orders, order_cost=_order_cost(problem, orders), at_once=False,
        waiting=system.lead_time - 1, position=stock, highest=high, shape=(len(stock), *(len(orders),) * (system.lead_time - 1)),
        low=low, rush=_within(stock[:, None] - low + rush, high - low), rush_cost=_order_cost(problem, rush, expedited=True),
        proved=False,
    )  # fmt: skip


def _perishable(problem: Problem, size: float, discount: float, periods: np.ndarray, memory: float) -> Lattice:
    """Units by remaining life, each class at most one order; what is left has lost its oldest class."""
    system, demand = problem.system, np.arange(periods.shape[1])
    found = bounds.perishable(problem, periods, size)
    orders = np.arange(found.order + 1)
    count = len(orders)
    at_once = system.lead_time == 0
    waiting = 0 if at_once else system.lead_time - 1
    afters = count**system.life
    require_room((count ** (system.life - 1) if at_once else afters) * count**waiting, afters, periods, memory)
    older = np.array(list(product(range(count), repeat=system.life - 1)), np.int64)
    older = older.reshape(count ** (system.life - 1), system.life - 1)
    ages = np.concatenate([np.repeat(older, count, 0), np.tile(orders, len(older))[:, None]], 1)  # [after, life], oldest first
    left, charged = np.empty((len(ages), len(demand)), np.int32), {"money": [], "final": []}
    radix = count ** np.arange(system.life - 2, -1, -1)
    for first in range(0, len(ages), 8192):  # in parts: the flows of all would need too much memory
        flows, after = _meet_ages(system, ages[first : first + 8192], demand)
        left[first : first + 8192] = np.tensordot(radix, after[:-1], (0, 0)) if system.life > 1 else 0
        for name, part in _charged(problem, flows, discount).items():
            charged[name].append(part)
    table = (count,) * (system.life - 1 if at_once else system.life) or (1,)
    return Lattice(
        left=left, join=np.arange(len(ages), dtype=np.int32).reshape(len(older), count),
        **{name: np.concatenate(parts) for name, parts in charged.items()}, orders=orders,
        order_cost=_order_cost(problem, orders), at_once=at_once, waiting=waiting, position=ages.sum(1), highest=np.inf,
        shape=(*table, *(count,) * waiting), low=0, proved=found.proved,
    )  # fmt: skip


def _rounded(orders: np.ndarray, highest: int, waiting: int) -> tuple[np.ndarray, np.ndarray]:
    """Orders and stock [0 … highest or more], small lattices in sizes that many problems share, so that few programs compile."""
    count, size = -(-len(orders) // 12) * 12, -(-(highest + 1) // 48) * 48
    if size * count**waiting < SMALL and np.array_equal(orders, np.arange(len(orders))):
        return np.arange(count), np.arange(size)
    return orders, np.arange(highest + 1)


def _meet(system: Any, stock: np.ndarray, demand: np.ndarray) -> tuple[Any, Any]:
    """One period of the system with nothing ordered and nothing on the way, for every stock and demand: flows and state after."""
    with jax.enable_x64(True):
        flows, after = _period(system, {"on_hand": stock.ravel().astype(np.float64)}, demand.astype(np.float64))
        return jax.tree.map(np.asarray, (flows, after))


def _meet_ages(system: Any, ages: np.ndarray, demand: np.ndarray) -> tuple[Any, np.ndarray]:
    """The same for stock by remaining life [stock, life]; the second part is ages after the period [life, stock, demand]."""
    with jax.enable_x64(True):
        flows, after = _period(system, {"ages": ages.T.astype(np.float64)}, demand.astype(np.float64))
        return jax.tree.map(np.asarray, (flows, after.ages))


@jax.jit
def _period(system: Any, stock: dict[str, Array], demand: Array) -> tuple[Any, Any]:
    """Flows and state after [..., stock, demand], for stock [..., stock] in the field of the state that it is given for."""
    units = next(iter(stock.values()))
    shape = (units.shape[-1], demand.shape[0], 1)
    wide = {name: jnp.broadcast_to(units[..., None, None], (*units.shape[:-1], *shape)) for name in stock}
    position = jnp.broadcast_to(units.reshape(-1, units.shape[-1]).sum(0)[:, None, None], shape)
    state = system.settle(system.initial(jnp.zeros((0, *shape)), 0, 0)._replace(**wide, position=position))
    order = jnp.zeros((*system.order_shape(1)[:-1], *shape))
    after, flows = system.transition(state, order, jnp.broadcast_to(demand[:, None], shape))
    return jax.tree.map(lambda leaf: leaf[..., 0] if leaf.ndim > 1 else leaf, (flows, after))


def money_of(problem: Problem, stock: np.ndarray, demand: np.ndarray, discount: float) -> np.ndarray:
    """[stock, demand] cost less revenue of a period that begins with this net stock, nothing ordered."""
    flows, _ = _meet(replace(problem.system, lead_time=0), stock[:, None], demand)
    return _charged(problem, flows, discount)["money"]


def _charged(problem: Problem, flows: Any, discount: float) -> dict[str, np.ndarray]:
    """Cost less revenue of the period for every stock and demand, without what orders cost: in between, and at the end."""
    between = spent(problem.cost, flows, problem.system.backlog) + (1 - discount) * credit(problem.cost, flows)
    final = spent(problem.cost, flows, problem.system.backlog, 1.0) + credit(problem.cost, flows)
    return {"money": np.broadcast_to(between, flows.demand.shape), "final": np.broadcast_to(final, flows.demand.shape)}


def spent(cost: CostModel, flows: Any, backlog: bool, last: float = 0.0) -> Any:
    """Cost less revenue of a period, of the shape of the flows; with backlog, all that is demanded is paid for at once.

    A state after receipt does not say what was owed before, so that what is handed out late cannot be counted from it.
    `credit` is what customers have then paid too early: it is given back, and paid again a period later.
    """
    return -cost.charge(flows._replace(sold=flows.demand) if backlog else flows, last).benefit


def credit(cost: CostModel, flows: Any) -> Any:
    """The price of what is owed at the end of a period."""
    return cost.price * flows.backlog


def _orders(system: Any, most: int) -> np.ndarray:
    """What can be ordered at once: the whole numbers that the system admits as they are."""
    orders = np.arange(most + 1)
    with jax.enable_x64(True):
        admitted = np.asarray(jax.tree.map(lambda value: value, system.admit(-jnp.inf, jnp.asarray(orders, jnp.float64))))
    return orders[admitted == orders]


def _order_cost(problem: Problem, orders: np.ndarray, expedited: bool = False) -> np.ndarray:
    """Money that orders cost, whatever happens to them."""
    cost = problem.cost
    unit = float(cost.purchase) + (float(cost.expedite) if expedited else 0.0)
    return float(cost.fixed_order) * (orders > 0) + unit * orders


def _within(index: np.ndarray, highest: float) -> np.ndarray:
    return np.where((index >= 0) & (index <= highest), index, OUTSIDE).astype(np.int32)
