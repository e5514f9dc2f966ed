"""How fast optima are found: each workload in a process of its own, compilation included, beside other exact solvers.

Lost sales are Zipkin's (Poisson or geometric demand with mean 5, holding 1), perishable stock is De Moor's. A peer solves the
same instance, and its optimum must be ours.
"""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from invbench.costs import CostModel
from invbench.problem import Problem
from invbench.scenarios import gamma, geometric, poisson

TOLERANCE = 1e-6  # width of the bracket on the average cost


class Measured(NamedTuple):
    """One workload of one tool in a fresh process."""

    workload: str
    tool: str
    seconds: float
    memory: float  # GiB, the most that the process held
    found: float  # the optimum, or the sum of the optima


class Work(NamedTuple):
    """A workload: what it is called, and for each tool the function that does it and returns the optimum."""

    workload: str
    tools: dict[str, Callable[[], float]]
    agree: float = 1e-5  # how far a peer's optimum may be from ours


def workloads(peers: bool) -> Iterator[Work]:
    """Ours first; peers where they are installed."""
    here = lambda name: peers and find_spec(name) is not None  # noqa: E731
    dynaplex = {f"dynaplex {version('dynaplex')}": dynaplex_optimum} if here("dynaplex") else {}
    mdpax = {f"mdpax {version('mdpax')}": mdpax_optimum} if here("mdpax") else {}
    yield Work("12 optima, Poisson, L = 2-4", {"invbench": partial(lost_sales, ("poisson",), (2, 3, 4))})
    yield Work("32 optima, L = 1-4", {"invbench": partial(lost_sales, ("poisson", "geometric"), (1, 2, 3, 4))})
    yield Work("optimum, L = 4, p = 9", {"invbench": partial(lost_sales, ("poisson",), (4,), (9.0,)), **dynaplex})
    yield Work("optimum, L = 6, p = 39", {"invbench": partial(lost_sales, ("poisson",), (6,), (39.0,))})
    yield Work("optimum, perishable, life 3, L = 2", {"invbench": partial(perishable_optimum, 3), **mdpax}, agree=1e-3)
    yield Work("optimum, perishable, life 5, L = 2", {"invbench": partial(perishable_optimum, 5)})
    yield Work("24 best (s,S), Zheng and Federgruen", {"invbench": zheng_federgruen})


def measure(work: Work) -> list[Measured]:
    """Each tool of a workload in turn. Raises RuntimeError where a peer finds another optimum."""
    found = [Measured(work.workload, tool, *_fresh(solve)) for tool, solve in work.tools.items()]
    for other in found[1:]:
        if abs(other.found - found[0].found) > work.agree * max(1.0, abs(found[0].found)):
            raise RuntimeError(
                f"{other.tool} disagrees with invbench on {work.workload}: {other.found:.6g}, not {found[0].found:.6g}"
            )
    return found


def _fresh(solve: Callable[[], float]) -> tuple[float, float, float]:
    """Seconds, GiB and result in a new process, with nothing compiled before; what is imported is not counted."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (solve,))


def _timed(solve: Callable[[], float]) -> tuple[float, float, float]:
    import jax

    jax.config.update("jax_enable_compilation_cache", False)
    jax.block_until_ready(jax.numpy.zeros(1))  # the backend is up
    began = time.perf_counter()
    found = solve()
    seconds = time.perf_counter() - began
    return seconds, peak_memory(), found


def peak_memory() -> float:
    """GiB that this process has held at most. On Linux not by `getrusage`, which counts what the parent held at the fork."""
    if sys.platform == "linux":
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30


def lost_sales(
    demands: tuple[str, ...], lead_times: tuple[int, ...], shortages: tuple[float, ...] = (4.0, 9.0, 19.0, 39.0)
) -> float:
    """The sum of the optimal average costs."""
    from invbench.exact import optimum
    from invbench.studies.zipkin2008 import posed

    makers = {"poisson": poisson.create, "geometric": geometric.create}
    problems = [
        posed(makers[demand](mean=5, items=1), lead_time, 1.0, shortage)
        for demand in demands
        for lead_time in lead_times
        for shortage in shortages
    ]
    return sum(optimum.find(one, tolerance=TOLERANCE).value for one in problems)


def perishable_optimum(life: int) -> float:
    """The discounted cost of a year from an empty start, of the policy that value iteration finds."""
    from invbench.exact import optimum

    found = optimum.find(de_moor(life), discount=0.99, tolerance=1e-3)
    return _followed(np.asarray(found.policy.params["orders"])[..., 0]) if life == 3 else found.value


def _followed(orders: np.ndarray) -> float:
    """What the table of orders costs in a year: life 3, L = 2."""
    from invbench.exact import chain, table
    from invbench.types import Policy

    params = {"orders": orders[..., None], "low": np.zeros(1, np.int32), "start": np.zeros(1, np.int32)}
    return chain.follow(de_moor(3), Policy(params, table.by_state)).horizon(365, 0.99)


def de_moor(life: int) -> Problem:
    """FIFO, L = 2, waste 7, an empty start."""
    from invbench.dynamics import perishable

    system = perishable.create(lead_time=2, life=life, issuing="fifo", maximum_order=10, initial_stock=0)
    cost = CostModel(price=0.0, purchase=3.0, holding=1.0, shortage=5.0, fixed_order=0.0, salvage=0.0, waste=7.0)
    problem = Problem(gamma.create(mean=4, cv=0.5, items=1), system, cost, 365, 0, 0, 0)
    return problem


def zheng_federgruen() -> float:
    """The sum of the costs of the 24 printed rows."""
    from invbench import published
    from invbench.formulas import Stationary

    means = [float(row["poisson_mean"]) for row in published.read("zheng_federgruen1991")]
    return sum(Stationary(poisson.create(mean=mean, items=1).pmf(), 0, 1.0, 9.0, 64.0).reorder_up_to()[2] for mean in means)


def dynaplex_optimum() -> float:
    """Its own model and exact solver: L = 4, p = 9."""
    from dynaplex import ExactSolver
    from dynaplex.modelling import DiscreteDist
    from dynaplex.models.lost_sales import LostSalesMDP

    return ExactSolver(LostSalesMDP(9.0, 1.0, 4, DiscreteDist.poisson(5.0)), epsilon=TOLERANCE).solve().cost


def mdpax_optimum() -> float:
    """Its own model and value iteration in float64; it stops on the span, so that its policy is what is compared.

    The policy is followed as a chain here, which is not timed by itself: it takes a hundredth of the whole.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    from loguru import logger
    from mdpax.problems.perishable_inventory.de_moor_single_product import DeMoorSingleProductPerishable
    from mdpax.solvers.value_iteration import ValueIteration

    logger.remove()
    support = len(gamma.create(mean=4, cv=0.5, items=1).pmf()) - 1
    model = DeMoorSingleProductPerishable(
        max_demand=support, demand_gamma_mean=4.0, demand_gamma_cov=0.5, max_useful_life=3, lead_time=2, max_order_quantity=10,
        variable_order_cost=3.0, shortage_cost=5.0, wastage_cost=7.0, holding_cost=1.0, issue_policy="fifo",
    )  # fmt: skip
    solver = ValueIteration(model, gamma=0.99, epsilon=1e-3, max_batch_size=1024, jax_double_precision=True, verbose=0)
    solver.solve(max_iterations=2000)
    orders = (
        np.asarray(solver.policy)[:, 0].reshape(11, 11, 11, 11).transpose(3, 2, 1, 0)
    )  # its state begins with the newest order
    return _followed(orders)
