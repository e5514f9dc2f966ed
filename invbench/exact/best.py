"""The best whole-number parameters of a rule: all candidates by simulation, then exactly as chains, from the best of them uphill.

    found = best.find(problem, policy_of, (range(1, 9), range(1, 20)), key)
    found.point, found.lower, found.upper, found.states

`policy_of` takes one array for each parameter, [candidate, 1] or [1], and returns the rule with such leaves ([candidate, item] or
[item]), as the `policy_of` of the methods do. Simulation only says where to begin: what is reported is exact, and so is that none
of the points beside it is better.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from invbench.checks import require
from invbench.exact import chain
from invbench.exact.chain import Chain
from invbench.keys import named
from invbench.problem import Problem
from invbench.types import Array, Paths, Policy

AT_ONCE = 2**24  # candidates x paths in one call
WARM_UP = 8  # periods that count for each at first that does not
BRIEF = 6  # a brief look has so many times fewer paths, and fewer periods

Point = tuple[int, ...]


@dataclass(frozen=True)
class Best:
    """The best point, and what it costs less revenue: a period, or in all where it is discounted."""

    point: Point
    lower: float  # money; the cost of the point lies in [lower, upper]
    upper: float
    states: int  # that the rule reaches there
    exact: int  # points that were followed exactly
    screened: int  # points that were simulated

    @property
    def value(self) -> float:
        """The middle of the bracket."""
        return (self.lower + self.upper) / 2


def find(
    problem: Problem,
    policy_of: Callable[..., Policy],
    ranges: Sequence[range],
    key: Array,
    *,
    discount: float | None = None,
    paths: int = 64,
    periods: int = 2000,
    candidates: int = 4000,
    starts: int = 5,
    tolerance: float = 1e-9,
    limit: int = 3_000_000,
) -> Best:
    """The point of `ranges` (one for each parameter) with the least long-run average cost, or discounted cost from the start.

    discount: None for the average. paths, periods: what a candidate is simulated on; where the ranges hold more than `candidates`
    points, a brief simulation of all says which. starts: how many of the best so far are followed exactly; from the best of these
    it goes to the best point beside it (one step up or down in one parameter or in two) until none is better. The ranges are hard
    limits. A rule must reach finitely many states (where nothing else bounds its stock, give the system a capacity); a point with
    more than `limit` is left out. ValueError where a range is empty or no point is left.
    """
    require(bool(ranges) and all(map(len, ranges)), "ranges", "a range with a value for each parameter", list(ranges))
    judge = _Judge(problem, policy_of, discount, tolerance, limit)
    points = grid(ranges)
    ranked = screen(problem, policy_of, points, key, paths, periods, candidates)
    best = judge.best(ranked[:starts])
    while (better := judge.best([best, *beside(best, ranges)])) != best:
        best = better
    lower, upper, states = judge.known[best]
    require(np.isfinite(upper), "limit", "more states than a rule with these parameters reaches", limit)
    return Best(best, lower, upper, states, len(judge.known), len(points))


def screen(
    problem: Problem,
    policy_of: Callable[..., Policy],
    points: np.ndarray,
    key: Array,
    paths: int,
    periods: int,
    candidates: int,
) -> list[Point]:
    """The best of points [candidate, parameter] in order of their simulated long-run cost, at most `candidates` of them."""
    if len(points) > candidates:
        points = _ranked(problem, policy_of, points, named(key, "brief"), max(2, paths // BRIEF), max(2, periods // BRIEF))
    ranked = _ranked(problem, policy_of, points[:candidates], key, paths, periods)
    return [tuple(point) for point in ranked.tolist()]


def _ranked(
    problem: Problem, policy_of: Callable[..., Policy], points: np.ndarray, key: Array, paths: int, periods: int
) -> np.ndarray:
    """The points, those that cost least in a simulation of so many paths and periods first."""
    warm_up = max(1, periods // WARM_UP)
    long = replace(problem, horizon=warm_up + periods)
    cost = _simulated(long, policy_of, points, long.training_paths(key, paths), warm_up)
    return points[np.argsort(cost, kind="stable")]


def grid(ranges: Sequence[range]) -> np.ndarray:
    """[point, parameter] whole numbers: every combination."""
    return np.stack([axis.ravel() for axis in np.meshgrid(*map(np.array, ranges), indexing="ij")], axis=1)


def _simulated(
    problem: Problem, policy_of: Callable[..., Policy], points: np.ndarray, futures: Paths, warm_up: int
) -> np.ndarray:
    """[candidate] mean cost less revenue a period of points [candidate, parameter], without the first `warm_up` periods."""
    first = futures._replace(demand=futures.demand[:warm_up], delay=None if futures.delay is None else futures.delay[:warm_up])
    rows, parts = max(2, AT_ONCE // futures.demand.shape[1]), []
    for begin in range(0, len(points), rows):
        policy = policy_of(*points[begin : begin + rows].T[:, :, None].astype(np.float32))
        total = [np.asarray(problem.benefits(policy, part).sum(-1).mean(1), np.float64) for part in (futures, first)]
        parts.append(total[1] - total[0])
    return np.concatenate(parts) / (problem.horizon - warm_up)


def beside(point: Point, ranges: Sequence[range]) -> list[Point]:
    """The points one step up or down in one parameter, or in two at once, within the ranges."""
    numbers = range(len(point))
    moves = [dict([step]) for step in product(numbers, (-1, 1))]
    moves += [dict(zip(pair, steps)) for pair in combinations(numbers, 2) for steps in product((-1, 1), repeat=2)]
    moved = [tuple(value + move.get(number, 0) * ranges[number].step for number, value in enumerate(point)) for move in moves]
    return [other for other in moved if all(value in spread for value, spread in zip(other, ranges))]


class _Judge:
    """Exact costs of points, each followed once."""

    def __init__(self, problem: Problem, policy_of: Callable[..., Policy], discount: float | None, tolerance: float, limit: int):
        self.problem, self.policy_of, self.limit = problem, policy_of, limit
        self.discount, self.tolerance = discount, tolerance
        self.known: dict[Point, tuple[float, float, int]] = {}

    def best(self, points: Sequence[Point]) -> Point:
        """The point that costs least; the first of those that cost the same within the tolerance."""
        cost = [sum(self.of(point)[:2]) / 2 for point in points]
        same = self.tolerance * max(1.0, abs(min(cost)))
        return next(point for point, value in zip(points, cost) if value <= min(cost) + same)

    def of(self, point: Point) -> tuple[float, float, int]:
        """Lower and upper bound on its cost, infinite where it has too many states, and their number."""
        if point not in self.known:
            self.known[point] = self._follow(point)
        return self.known[point]

    def _follow(self, point: Point) -> tuple[float, float, int]:
        policy = self.policy_of(*(np.array([value], np.float32) for value in point))
        try:
            found = chain.follow(self.problem, policy, self.limit)
        except chain.TooMany:
            return np.inf, np.inf, self.limit
        bracket = found.average(self.tolerance) if self.discount is None else discounted(found, self.discount, self.tolerance)
        return *bracket, len(found.cost)


def discounted(found: Chain, discount: float, tolerance: float = 1e-9, sweeps: int = 1_000_000) -> tuple[float, float]:
    """Lower and upper bound on the discounted cost from the start over an infinite horizon.

    The value lies between that of a sweep plus discount / (1 - discount) times its least, and its largest, change
    (Puterman 1994, theorem 6.3.3 and equation 6.6.3).
    """
    require(0 <= discount < 1, "discount", "a number >= 0 and < 1", discount)
    value = np.zeros(len(found.cost))
    for _ in range(sweeps):
        after = found.cost + discount * (found.matrix @ value)
        change, value = after - value, after
        least, most = (discount / (1 - discount) * end for end in (change.min(), change.max()))
        middle = value[found.start]
        if most - least <= tolerance * max(1.0, abs(middle)):
            break
    return float(middle + least), float(middle + most)
