"""A policy as a finite Markov chain: what it costs in the long run or over a horizon, exactly, and from any start.

The states are those that the policy reaches from a start through the system's own transition, found breadth first; the
policy is the one that is simulated, applied to all states at once. Its transition matrix is sparse: a row has at most one
entry for each demand.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from invbench.checks import require
from invbench.exact.lattice import alike, credit, spent
from invbench.problem import Problem
from invbench.types import Array, Policy

CHUNKS = (2**13, 2**16, 2**20)  # states x demands that move at once: as few as there are, in sizes that compile once


class TooMany(ValueError):
    """A policy reaches more states than were allowed."""


@dataclass(frozen=True, eq=False)
class Chain:
    """Money is cost less revenue, per period; with backlog, what is demanded is paid for at once (see `lattice.spent`)."""

    matrix: sparse.csr_matrix  # [state, state] probabilities
    cost: np.ndarray  # [state] expected money of a period
    credit: np.ndarray  # [state] expected price of what is owed at its end: not yet earned
    states: np.ndarray  # [state, part] units: stock by age or in total, then outstanding orders
    start: int  # the state that it began with

    def average(self, tolerance: float = 1e-9, sweeps: int = 100_000) -> tuple[float, float]:
        """Lower and upper bound on the long-run average cost a period, at most `tolerance` apart (relative above 1).

        By relative value iteration: the average lies between the least and the largest change of a sweep (Puterman 1994,
        theorem 8.5.5). Half of each step is taken once the bracket has stopped shrinking, in case the chain is periodic.
        """
        value, share, width, stalled = np.zeros(len(self.cost)), 1.0, np.inf, 0
        for _ in range(sweeps):
            change = self.cost + self.matrix @ value - value
            lower, upper = change.min(), change.max()
            if upper - lower <= tolerance * max(1.0, abs(upper)):
                break
            stalled = 0 if upper - lower < width * 0.999 else stalled + 1
            width = min(width, upper - lower)
            share = 0.5 if stalled > 50 else share
            value = value + share * change
            value -= value[self.start]
        return float(lower), float(upper)

    def horizon(self, periods: int, discount: float = 1.0, warm_up: int = 0) -> float:
        """Expected discounted cost of `periods` periods after `warm_up` uncounted ones, from the start."""
        value = np.zeros(len(self.cost))
        for period in range(periods):
            early = self.credit if period == 0 else (1 - discount) * self.credit  # backwards: the last period comes first
            value = self.cost + early + discount * (self.matrix @ value)
        for _ in range(warm_up):
            value = self.matrix @ value
        return float(value[self.start])


def follow(problem: Problem, policy: Policy, limit: int = 3_000_000, start: float | None = None) -> Chain:
    """The chain of a policy that looks at no history, on a problem with one item and a pmf of demand.

    start: units on hand in the first state (the system's initial stock by default), nothing on order. Raises `TooMany` where
    more than `limit` states are reached, and ValueError where the policy or the demand is not of this kind.
    """
    require(policy.window == 0 and not policy.random and not policy.per_path, "method", "a rule of the state alone", policy.apply)
    require(hasattr(problem.scenario, "pmf"), "scenario", "one with a pmf for an exact method", type(problem.scenario).__name__)
    require(problem.system.order_shape(1)[-1] == 1, "system", "a single stocking point for an exact method", "a chain of stages")
    pmf = problem.scenario.pmf()
    support = np.flatnonzero(pmf)
    with jax.enable_x64(True):
        return _explore(_Walk(problem, policy, support, pmf[support]), limit, start)


class _Walk:
    """One period from many states: for each demand the state after, and the expected money."""

    def __init__(self, problem: Problem, policy: Policy, demand: np.ndarray, probability: np.ndarray):
        self.problem, self.policy = alike(problem), policy
        self.demand, self.probability = demand.astype(np.float64), probability
        self.sizes = [max(1, chunk // len(demand)) for chunk in CHUNKS]
        self.params = jax.tree.map(jnp.asarray, policy.params)
        empty = self.problem.system.initial(jnp.zeros((0, 1, 1)), 0, 0)
        self.parts = [name for name in empty._fields if name not in ("position", "history", "time")]
        self.shapes = {name: getattr(empty, name).shape[:-2] for name in self.parts}

    def start(self, units: float | None) -> np.ndarray:
        """[1, part] the first state."""
        system = self.problem.system
        row = self.row(system.settle(system.initial(jnp.zeros((0, 1, 1)), 0, 0)))
        if units is not None:
            row[...] = 0
            row[:, max(np.prod(self.shapes[self.parts[0]], dtype=int), 1) - 1] = units  # the freshest, where stock has ages
        return np.asarray(row)

    def row(self, state: Any) -> np.ndarray:
        """[lane, part] whole numbers of a settled state at time 0."""
        flat = [np.asarray(getattr(state, name)) for name in self.parts]
        flat = [part.reshape(-1, *part.shape[-2:]) if part.ndim > 2 else part[None] for part in flat]
        return np.rint(np.concatenate(flat)[..., 0].T).astype(np.int64)

    def step(self, rows: np.ndarray, coder: "_Coder") -> tuple[np.ndarray, np.ndarray]:
        """Codes of the rows after [state, demand], expected money and credit [state, 2], for rows [state, part]."""
        padded = np.repeat(rows[:1], min(size for size in self.sizes if size >= len(rows)), 0)
        padded[: len(rows)] = rows
        codes, fits, money = _step(
            self.problem.system, self.problem.cost, self.params, padded.astype(np.float64), self.demand, self.probability,
            coder.shifts, coder.offset, apply=self.policy.apply, shapes=tuple(self.shapes.items()),
        )  # fmt: skip
        if not fits:
            raise TooMany(f"the policy reaches stocks or orders beyond {int(coder.offset):,} units")
        return np.asarray(codes)[: len(rows)], np.asarray(money)[: len(rows)]


@partial(jax.jit, static_argnames=("apply", "shapes"))
def _step(system, cost, params, rows, demand, probability, shifts, offset, *, apply, shapes):
    """See `_Walk.step`: the policy decides for each state, then every demand comes."""
    state = _state(system, rows, shapes)
    observation = system.observe(state)
    order = apply(params, observation, None)
    wide = jax.tree.map(lambda leaf: leaf if leaf.ndim < 2 else jnp.expand_dims(leaf, -2), state)  # [..., state, 1, item]
    shape = (rows.shape[0], demand.shape[0], 1)
    wide = jax.tree.map(lambda leaf: leaf if leaf.ndim < 2 else jnp.broadcast_to(leaf, (*leaf.shape[:-3], *shape)), wide)
    order = jnp.broadcast_to(jnp.expand_dims(order, -2), (*order.shape[:-2], *shape))
    after, flows = system.transition(wide, order, jnp.broadcast_to(demand[:, None], shape))
    shape = flows.demand.shape[:-1]
    parts = (spent(cost, flows, system.backlog), credit(cost, flows))
    money = jnp.stack([jnp.broadcast_to(part[..., 0], shape) @ probability for part in parts], -1)
    lifted = jnp.rint(_rows(system.settle(_turned(after)), shapes)).astype(jnp.int64) + offset  # [part, state, demand]
    fits = (lifted.min() >= 0) & (lifted.max() < 2 * offset)
    return (lifted << shifts[:, None, None]).sum(0), fits, money


def _state(system: Any, rows: Array, shapes: tuple) -> Any:
    """The settled state at time 0 of each row."""
    lanes = rows.shape[0]
    state = system.initial(jnp.zeros((0, lanes, 1)), 0, 0)
    parts, first = {}, 0
    for name, shape in shapes:
        size = int(np.prod(shape, dtype=int))
        parts[name] = rows[:, first : first + size].T.reshape(*shape, lanes, 1)
        first += size
    return state._replace(position=sum(part.reshape(-1, lanes, 1).sum(0) for part in parts.values()), **parts)


def _turned(state: Any) -> Any:
    """The same state as if it were time 0: the ring turned so that what is due now lies in its first slot."""
    pipeline = state.pipeline
    return state._replace(
        pipeline=jnp.roll(pipeline, -1, axis=0) if pipeline.shape[0] else pipeline, time=jnp.zeros_like(state.time)
    )


def _rows(state: Any, shapes: tuple) -> Array:
    flat = [getattr(state, name) for name, _ in shapes]
    flat = [part.reshape(-1, *part.shape[-3:]) for part in flat]
    return jnp.concatenate(flat)[..., 0]


def _explore(walk: _Walk, limit: int, start: float | None) -> Chain:
    """Breadth first from the start."""
    first = walk.start(start)
    coder = _Coder(first.shape[1])
    known = coder.encode(first)
    frontier, rows, codes_after, shares, counts, costs, order = first, [], [], [], [], [], []
    while len(frontier):
        found = []
        for begin in range(0, len(frontier), walk.sizes[-1]):
            part = frontier[begin : begin + walk.sizes[-1]]
            codes, money = walk.step(part, coder)
            codes, share, count = _merged(codes, walk.probability)
            codes_after.append(codes), shares.append(share), counts.append(count), costs.append(money), order.append(part)
            found.append(np.unique(codes))
        fresh = np.setdiff1d(np.unique(np.concatenate(found)), known, assume_unique=True)
        known = np.union1d(known, fresh)
        if len(known) > limit:
            raise TooMany(f"the policy reaches more than {limit:,} states")
        frontier = coder.decode(fresh)
    rows = np.concatenate(order)
    codes = coder.encode(rows)
    place = np.argsort(codes)
    columns = place[np.searchsorted(codes[place], np.concatenate(codes_after))]
    pointers = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    matrix = sparse.csr_matrix((np.concatenate(shares), columns, pointers), shape=(len(rows), len(rows)))
    return Chain(matrix, *np.concatenate(costs).T, rows, 0)


def _merged(codes: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes [state, demand] as runs of equal ones: codes and probabilities [entry], and entries of each state."""
    begins = np.ones(codes.shape, bool)
    begins[:, 1:] = codes[:, 1:] != codes[:, :-1]
    at = np.flatnonzero(begins)
    shares = np.add.reduceat(np.broadcast_to(probability, codes.shape).ravel(), at)
    return codes.ravel()[at], shares, begins.sum(1)


class _Coder:
    """Rows of whole numbers as one number each."""

    def __init__(self, parts: int):
        self.bits = np.int64(62 // parts)
        self.offset = np.int64(1) << (self.bits - 1)
        self.shifts = self.bits * np.arange(parts, dtype=np.int64)

    def encode(self, rows: np.ndarray) -> np.ndarray:
        """[...] codes of rows [..., part]."""
        return ((rows + self.offset) << self.shifts).sum(-1)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """[state, part] rows of codes [state]."""
        return ((codes[:, None] >> self.shifts) & (2 * self.offset - 1)) - self.offset


def average(problem: Problem, policy: Policy, tolerance: float = 1e-9, limit: int = 3_000_000) -> tuple[float, float, int]:
    """Lower and upper bound on the long-run average cost of a policy, and the number of states it reaches."""
    chain = follow(problem, policy, limit)
    return *chain.average(tolerance), len(chain.cost)
