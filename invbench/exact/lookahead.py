"""Myopic rules for lost sales: the order that is best for the period in which it arrives, or for that one and the next.

Zipkin 2008, Operations Research 56(5), 1256-1263 (myopic and myopic-2; Morton 1971, Operations Research 19(7)). With a unit
price to pay, what is left over is worth what it cost, so that purchase falls on units sold alone.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.dynamics.single import Single
from invbench.exact import iteration, lattice, table
from invbench.exact.iteration import FAR, Tables
from invbench.problem import Problem
from invbench.types import Policy

VALUES = 2**27  # values that a look-ahead may hold (1 GiB)


def policy(problem: Problem, name: str, periods: int, discount: float = 1.0) -> Policy:
    """The myopic rule that looks at `periods` (1 or 2) periods from the arrival of today's order on, as a table.

    Raises ValueError in one sentence (`name`: the method's) unless sales are lost and demand has a pmf.
    """
    lost = isinstance(problem.system, Single) and not problem.system.backlog
    require(lost, "system", f"lost_sales for method {name}", type(problem.system).__name__)
    has_pmf = hasattr(problem.scenario, "pmf")
    require(has_pmf, "scenario", f"one whose demand has a pmf for method {name}", type(problem.scenario).__name__)
    pmf = problem.scenario.pmf()
    given = lattice.build(problem, 1.0, discount, pmf[None], memory=4.0)
    values = given.states * len(given.orders)
    require(
        values <= VALUES, "system.lead_time", f"shorter for method {name}: it needs {values:,} values here", given.waiting + 1
    )
    sold = given.position[:, None] - given.position[given.join[given.left, 0]]
    cost = (given.money + float(problem.cost.purchase) * sold) @ pmf
    with jax.enable_x64(True):
        tables = iteration.tables(given, pmf, cost)
        numbers = _orders(tables, discount, receipts=problem.system.lead_time, periods=periods)
        return table.policy(given, np.where(np.asarray(tables.outside), 0, np.asarray(numbers))[None])


@partial(jax.jit, static_argnames=("receipts", "periods"))
def _orders(given: Tables, discount: float, *, receipts: int, periods: int) -> jax.Array:
    """[stock, the rest] number of the best order in every state."""
    if receipts == 0:  # the order joins what is left at once
        now = _padded(given.cost[:, None])[given.join, 0]
        then = discount * iteration.expected(given, now.min(1)[:, None])
        return (now + (periods - 1) * _padded(then)[given.join, 0]).argmin(1)[:, None]
    arrival = given.cost[:, None]  # what the period of the arrival costs, by the stock after it
    for _ in range(receipts):
        arrival = discount * _before(given, arrival)
    by_order = arrival.reshape(len(arrival), len(given.order_cost), -1)  # the newest receipt is today's order
    if periods == 2:
        by_order = by_order + discount * _before(given, by_order.min(1)).reshape(by_order.shape)
    return by_order.argmin(1)


def _before(given: Tables, value: jax.Array) -> jax.Array:
    """[stock, column, receipt] expected values a period earlier, for each receipt that comes in between."""
    by_receipt = jax.vmap(lambda receipt: iteration.expected(given, _padded(value)[given.join[:, receipt]]), out_axes=-1)
    return by_receipt(jnp.arange(len(given.order_cost))).reshape(len(given.left), -1)


def _padded(value: jax.Array) -> jax.Array:
    return jnp.concatenate([value, jnp.full_like(value[:1], FAR)])
