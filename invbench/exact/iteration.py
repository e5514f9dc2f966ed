"""Value iteration on a lattice: relative and discounted with a proved bracket, and backward over a finite horizon.

One sweep is one matrix product: the expectation over demand acts on the stock alone, so the values of all that is on the way
are its columns. No transition matrix of the states is ever made. Float64 throughout.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.exact.lattice import DENSE, OUTSIDE, PART_VALUES, Lattice

FAR = 1e30  # the value of what is out of bounds: nothing leads there but with probability 0
LARGE = 1000.0  # money from which rounding asks for a wider bracket
STALLED = 200  # sweeps without progress after which the values are averaged with the last ones (a periodic chain)


class Tables(NamedTuple):
    """A lattice on the device; one period's probabilities are given apart."""

    left: jax.Array  # [after, demand]
    join: jax.Array  # [left, order], out of bounds: one past the last stock
    cost: jax.Array  # [after] expected money of a period
    expect: jax.Array  # [after, left] probabilities where dense, else [demand]
    order_cost: jax.Array  # [order]
    rush: jax.Array | None  # [after, order]
    rush_cost: jax.Array | None
    outside: jax.Array  # [states by stock and the rest] bool, states above the highest position


class Bracket(NamedTuple):
    """The optimum lies between these; money per period, or discounted money from the initial state."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Solved:
    """What value iteration found."""

    value: np.ndarray  # [stock, waiting orders …] relative value or cost to go, FAR out of bounds
    bracket: Bracket
    sweeps: int
    seconds: float


def tables(lattice: Lattice, probability: np.ndarray, cost: np.ndarray) -> Tables:
    """The lattice for demand with these probabilities [demand] and expected cost [after], money. In float64."""
    after, lefts = len(lattice.left), len(lattice.join)
    if lefts <= DENSE and after <= DENSE:
        expect = np.zeros((after, lefts))
        np.add.at(expect, (np.arange(after)[:, None], lattice.left), probability)
    else:
        expect = probability
    join = np.where(lattice.join == OUTSIDE, after, lattice.join)
    rush = None if lattice.rush is None else np.where(lattice.rush == OUTSIDE, after, lattice.rush)
    parts = (lattice.left, join, cost, expect, lattice.order_cost, rush, lattice.rush_cost, outside(lattice))
    return Tables(*(None if part is None else jnp.asarray(part) for part in parts))


def outside(lattice: Lattice) -> np.ndarray:
    """[stock, the rest] bool: states whose position exceeds the highest."""
    stock = _stock(lattice)
    waiting = np.zeros(1)
    for _ in range(lattice.waiting):
        waiting = np.add.outer(waiting, lattice.orders).ravel()
    return stock[:, None] + waiting > lattice.highest


def _stock(lattice: Lattice) -> np.ndarray:
    """[stock] units in the part of a state that is not on the way."""
    return lattice.position[lattice.join[:, 0]] if lattice.at_once else lattice.position


def solve(
    lattice: Lattice, probability: np.ndarray, cost: np.ndarray, discount: float, tolerance: float, sweeps: int, start: int,
    told: Callable[[int, float], None] = lambda done, span: None,
) -> Solved:  # fmt: skip
    """Sweep until the bracket is `tolerance` wide (more in proportion where the optimum exceeds `LARGE`), or `sweeps` are done.

    discount 1: average money per period, the bracket by least and largest difference of two sweeps (Odoni 1969, Operations
    Research 17(5); Puterman 1994, theorem 8.5.5); below 1: discounted money from state number `start`, by MacQueen's bounds
    (Puterman 1994, theorem 6.6.3). `told` hears the sweeps done and the width of the bracket.
    """
    started = time.perf_counter()
    with jax.enable_x64(True):
        given = tables(lattice, probability, cost)
        value = jnp.where(given.outside, jnp.float64(FAR), jnp.float64(0.0))  # not of a weak type, which would compile twice
        state = (value, jnp.float64(-jnp.inf), jnp.float64(jnp.inf), jnp.int64(0), jnp.float64(1.0))
        step, fresh, last_width, stall = 1, 0, np.inf, 0
        while True:
            begun = time.perf_counter()
            state = _sweeps(given, *state, discount, tolerance, start, min(sweeps, int(state[3]) + step), **_sizes(lattice))
            lower, upper, done = float(state[1]), float(state[2]), int(state[3])
            told(done, upper - lower)
            if upper - lower <= tolerance * max(1.0, abs(upper) / LARGE) or done >= sweeps:
                return Solved(np.asarray(state[0]), Bracket(lower, upper), done, time.perf_counter() - started)
            stall = stall + done - fresh if upper - lower > 0.99 * last_width else 0
            last_width = min(last_width, upper - lower)
            if stall > STALLED:
                state = (*state[:4], jnp.float64(0.5))
            fresh, spent = done, time.perf_counter() - begun
            step = int(np.clip(step * (4 if spent < 0.25 else 1 if spent < 1 else 0.5), 1, 64))


def backward(
    lattice: Lattice,
    probabilities: np.ndarray,
    costs: list[np.ndarray],
    discount: float,
    told: Callable[[int], None] = lambda done: None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cost to go from the first period [stock, the rest], and the best orders [period, supplier, stock, the rest].

    probabilities: [period, demand]; costs: [period][after] expected money.
    """
    found = []
    with jax.enable_x64(True):
        value = jnp.zeros(outside(lattice).shape)
        for period in reversed(range(len(probabilities))):
            given = tables(lattice, probabilities[period], costs[period])
            value, orders = _best(given, value, discount, **_sizes(lattice))
            found.append(np.asarray(orders))
            value = jnp.where(given.outside, FAR, value)
            told(len(found))
    return np.asarray(value), np.stack(found[::-1])


def greedy(lattice: Lattice, probability: np.ndarray, cost: np.ndarray, value: np.ndarray, discount: float) -> np.ndarray:
    """[supplier, stock, the rest] number of the best order in every state; 0 in states out of bounds."""
    with jax.enable_x64(True):
        given = tables(lattice, probability, cost)
        _, orders = _best(given, jnp.asarray(value), discount, **_sizes(lattice))
        return np.where(np.asarray(given.outside), 0, np.asarray(orders))


def _sizes(lattice: Lattice) -> dict:
    return {"at_once": lattice.at_once, "waiting": lattice.waiting}


@partial(jax.jit, static_argnames=("at_once", "waiting"), donate_argnums=1)
def _sweeps(given, value, lower, upper, done, damping, discount, tolerance, start, until, *, at_once, waiting):
    """Sweeps until the bracket is narrow enough or `until` are done."""

    def width_left(state):
        _, lower, upper, done, _ = state
        narrow = jnp.isfinite(upper) & (upper - lower <= tolerance * jnp.maximum(1.0, jnp.abs(upper) / LARGE))
        return (done < until) & ~narrow

    def one(state):
        value, _, _, done, damping = state
        new, _ = _sweep(given, value, discount, at_once, waiting, False)
        change = new - value
        least = jnp.where(given.outside, jnp.inf, change).min()
        most = jnp.where(given.outside, -jnp.inf, change).max()
        average = discount == 1
        tail = jnp.where(average, 0.0, discount / (1 - jnp.where(average, 0.0, discount)))
        at_start = jnp.where(average, 0.0, new.ravel()[start])
        lower, upper = (jnp.where(average, end, at_start + tail * end) for end in (least, most))
        new = value + damping * change - jnp.where(average, new.ravel()[0], 0.0)
        return jnp.where(given.outside, FAR, new), lower, upper, done + 1, damping

    return lax.while_loop(width_left, one, (value, lower, upper, done, damping))


@partial(jax.jit, static_argnames=("at_once", "waiting"))
def _best(given, value, discount, *, at_once, waiting):
    return _sweep(given, value, discount, at_once, waiting, True)


def _sweep(given, value, discount, at_once, waiting, wanted):
    """The new values, and the numbers of the best orders [supplier, …] if `wanted` (else the values again, unused)."""
    if at_once:
        return _order_joins(given, value, discount, wanted)
    new, regular = _order_waits(given, value, discount, waiting, wanted)
    if given.rush is None:
        return new, regular[None] if wanted else None
    padded = jnp.concatenate([new, jnp.full_like(new[:1], FAR)])
    options = lambda number: padded[given.rush[:, number]] + given.rush_cost[number]  # noqa: E731

    def better(number, best):
        found, which = best
        option = options(number)
        return jnp.minimum(found, option), jnp.where(option < found, number.astype(jnp.int32), which)

    start = (options(0), jnp.zeros(new.shape, jnp.int32))
    best, expedited = lax.fori_loop(1, len(given.rush_cost), better, start)
    if not wanted:
        return best, None
    after = jnp.take_along_axis(given.rush, expedited, 1)  # the regular order is that of the stock after expediting
    return best, jnp.stack([jnp.take_along_axis(regular, after, 0), expedited])


def _order_joins(given, value, discount, wanted):
    """Lead time 0, or the position as state: [left] by the best order that joins what is left."""
    reach = given.cost + discount * expected(given, value[:, :1])[:, 0]
    reach = jnp.concatenate([reach, jnp.full((1,), FAR)])[given.join] + given.order_cost
    return reach.min(1, keepdims=True), (reach.argmin(1).astype(jnp.int32)[None, :, None] if wanted else None)


def _order_waits(given, value, discount, waiting, wanted):
    """[stock, the rest] by the best order that joins those on the way; the oldest of these is received in the next period."""
    orders = len(given.order_cost)
    padded = jnp.concatenate(
        [value, jnp.full_like(value[:1], FAR)]
    )  # rows: stock after receipt; columns: on the way, newest first

    def choose(cost, expected):
        """[stock, order, the rest] expected values, to the best order."""
        options = expected.reshape(expected.shape[0], orders, -1) + given.order_cost[:, None]
        which = options.argmin(1).astype(jnp.int32) if wanted else jnp.zeros(len(cost), jnp.int32)
        return cost[:, None] + options.min(1), which

    if waiting == 0:  # today's order is itself received in the next period
        return choose(given.cost, discount * expected(given, padded[:, 0][given.join]))
    if given.expect.ndim == 1:  # many kinds of stock: parts of the stock
        return _by_parts(given, choose, discount, jnp.moveaxis(padded[given.join], 1, -1).reshape(len(given.join), -1))
    by_receipt = lambda oldest: choose(given.cost, discount * expected(given, padded[given.join[:, oldest]]))  # noqa: E731
    best, which = lax.map(by_receipt, jnp.arange(orders))
    turn = lambda part: jnp.moveaxis(part, 0, -1).reshape(value.shape)  # noqa: E731
    return turn(best), turn(which) if wanted else which


def _by_parts(given, choose, discount, columns):
    """The same, part of the stock by part, where the expectation gathers rows."""
    stock, size = given.left.shape[0], max(1, PART_VALUES // columns.shape[1])
    parts = -(-stock // size)
    size = -(-stock // parts)
    rows = jnp.pad(given.left, [(0, parts * size - stock), (0, 0)]).reshape(parts, size, -1)
    cost = jnp.pad(given.cost, (0, parts * size - stock)).reshape(parts, size)

    def part(mine):
        rows, cost = mine
        own = given._replace(left=rows, cost=cost)
        return choose(cost, discount * expected(own, columns))

    best, which = lax.map(part, (rows, cost))
    together = lambda found: found.reshape(parts * size, *found.shape[2:])[:stock]  # noqa: E731
    return together(best), together(which)


def expected(given, columns):
    """[after, column] the expectation over demand of values [left, column]."""
    if given.expect.ndim == 2:
        return given.expect @ columns

    def add(number, total):
        return total + given.expect[number] * columns[given.left[:, number]]

    return lax.fori_loop(0, len(given.expect), add, jnp.zeros((given.left.shape[0], columns.shape[1])))
