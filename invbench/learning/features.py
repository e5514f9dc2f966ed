"""What a learned policy looks at: parts of an observation on a new leading axis, in periods of mean demand."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.dynamics.single import remembering
from invbench.learning.bounds import original
from invbench.learning.preferences import Preferring
from invbench.problem import Problem
from invbench.scenarios import holidays
from invbench.types import Array, Observation

PLAIN = ("on_hand", "position", "pipeline", "history", "calendar")
OF_THE_PAST = ("averages", "momentum", "days_of_supply", "stockouts")  # made of what was seen
NAMES = (*PLAIN, *OF_THE_PAST)
OF_STOCK = ("on_hand", "ages", "position", "pipeline")  # alike at any time
CYCLES = (7.0, 365.25)  # periods of the calendar, where a period is a day: a week, a year
HOLIDAYS = "holidays"  # in full with its days, as holidays:0,358
WEIGHT = "weight"  # of missed units: what multi_objective adds
AHEAD = 8  # periods that it looks ahead, this one among them: the calendar is known
WEEK, MONTH = 7, 30  # periods that averages are taken over
WHOLE = 10**6  # periods: the whole window
LOOKS_BACK = {"history": WHOLE, "averages": MONTH, "momentum": WHOLE, "days_of_supply": WEEK, "stockouts": WHOLE}
LEAST = 0.05  # of mean demand: demand of late is taken to be at least so much where stock is divided by it
MOST = 20.0  # periods: more days of supply than that look alike


def stacked(observation: Observation, names: Sequence[str], scale: Array | float) -> Array:
    """[feature, ..., item] of the parts `names` of an observation, in the order given.

    on_hand and position: one feature each; pipeline: one for each outstanding order, the next to arrive first; history: one
    for each period of the window, oldest first; calendar: sine and cosine of the week and the year; averages, momentum,
    days_of_supply, stockouts: see the functions of these names; weight: its logarithm. Units are divided by `scale` ([] or
    [item], mean demand a period, say). A system without a part (no pipeline at lead time 1) has no such feature.
    """
    return jnp.concatenate([_part(observation, name, scale) for name in names])


def count(names: Sequence[str], lead_time: int, window: int) -> int:
    """How many features `stacked` makes of one stocking point with one supplier."""
    sizes = {"on_hand": 1, "position": 1, "pipeline": max(lead_time - 1, 0), "history": window, "calendar": 2 * len(CYCLES)}
    sizes |= {"averages": 2, "momentum": 1, "days_of_supply": 2, "stockouts": 2, HOLIDAYS: AHEAD, WEIGHT: 1}
    return sum(sizes[_kind(name)] for name in names)


def checked(field: str, names: Sequence[Any]) -> tuple[str, ...]:
    """The names of a config, {holidays: [0, 358]} as holidays:0,358. Raises ValueError in one sentence that names the field."""
    require(isinstance(names, list | tuple) and len(names) > 0, field, "a list of features", names)
    return tuple(_checked(field, name) for name in names)


def ordered(names: Iterable[str]) -> tuple[str, ...]:
    """Each name once, in the order of `NAMES`."""
    return tuple(sorted(set(names), key=lambda name: ((*NAMES, HOLIDAYS, WEIGHT).index(_kind(name)), name)))


def _checked(field: str, name: Any) -> str:
    if isinstance(name, Mapping) and list(name) == [HOLIDAYS]:
        return f"{HOLIDAYS}:{','.join(map(str, holidays.checked(f'{field}.{HOLIDAYS}', name[HOLIDAYS])))}"
    require(name != HOLIDAYS, field, f"{{{HOLIDAYS}: [days of the year, 0 is the first]}}", name)
    require(name in (*NAMES, WEIGHT), field, f"one of {', '.join(NAMES)}, {{{HOLIDAYS}: [...]}}", name)
    return name


def _kind(name: str) -> str:
    return name.partition(":")[0]


def window(names: Sequence[str], past: int) -> int:
    """Past periods that a policy with these features looks at, of the `past` that the problem keeps. Raises ValueError."""
    made = [name for name in names if name in OF_THE_PAST]
    require(past > 0 or not made, "problem.window", f">= 1 for {' and '.join(made)}", past)
    return min(past, max((LOOKS_BACK.get(name, 0) for name in names), default=0))


def misses(names: Sequence[str]) -> bool:
    """Whether they ask for the periods in which demand was missed."""
    return "stockouts" in names


def remembered(problem: Problem, names: Sequence[str]) -> Problem:
    """The problem whose states keep what these features ask for. Raises ValueError where the system cannot."""
    known = WEIGHT not in names or isinstance(original(problem).system, Preferring)
    require(known, "method.features", f"without {WEIGHT}: multi_objective adds it", ", ".join(names))
    return replace(problem, system=remembering(problem.system)) if misses(names) else problem


def _part(observation: Observation, name: str, scale: Array | float) -> Array:
    """[feature, ..., item]."""
    if name in MADE:
        return MADE[name](observation, scale)
    if name == WEIGHT:
        return jnp.log10(observation.weight)[None]
    if _kind(name) == HOLIDAYS:
        return coming(observation, [int(day) for day in name.partition(":")[2].split(",")])
    part = getattr(observation, name)
    return (part if part.ndim > observation.on_hand.ndim else part[None]) / scale


def calendar(observation: Observation, scale: Array | float) -> Array:
    """Sine and cosine of the week and the year."""
    angles = 2 * jnp.pi * observation.time / jnp.asarray(CYCLES, observation.on_hand.dtype)
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
    shape = observation.on_hand.shape
    return jnp.broadcast_to(waves.reshape(-1, *(1,) * len(shape)), (waves.shape[0], *shape))


def coming(observation: Observation, days: Sequence[int]) -> Array:
    """Whether this period and each of the next ones is one of these days of the year."""
    told = holidays.falls(observation.time + jnp.arange(AHEAD), days).astype(observation.on_hand.dtype)
    shape = observation.on_hand.shape
    return jnp.broadcast_to(told.reshape(-1, *(1,) * len(shape)), (AHEAD, *shape))


def averages(observation: Observation, scale: Array | float) -> Array:
    """Means of what was seen in the last week and month, or in the window where that is shorter."""
    return _means(observation.ring, observation.time, (WEEK, MONTH)) / scale


def momentum(observation: Observation, scale: Array | float) -> Array:
    """Mean of what was seen in the last week over that of the window, less 1; 0 where nothing was seen at all."""
    late, usual = _means(observation.ring, observation.time, (WEEK, WHOLE))
    seen = usual > 0
    return jnp.where(seen, late / jnp.where(seen, usual, 1) - 1, 0)[None]


def days_of_supply(observation: Observation, scale: Array | float) -> Array:
    """Periods that what is on hand, and the position, last at the mean of the last week; within -20 … 20."""
    late = jnp.maximum(_means(observation.ring, observation.time, (WEEK,))[0], LEAST * scale)
    return jnp.clip(jnp.stack([observation.on_hand, observation.position]) / late, -MOST, MOST)


def stockouts(observation: Observation, scale: Array | float) -> Array:
    """Share of the last week, and of the window, in which demand was missed: where sales alone are seen, they do not say."""
    return _means(observation.misses, observation.time, (WEEK, WHOLE))


def _means(ring: Array, time: Array, spans: Sequence[int]) -> Array:
    """[span, ..., item] means over the last so many periods of a ring [window, ..., item]. Turns the weights, not the ring."""
    size = ring.shape[0]
    within = [min(span, size) for span in spans]
    weights = np.stack([np.where(np.arange(size) >= size - span, 1 / span, 0) for span in within])  # oldest first
    return jnp.tensordot(jnp.roll(jnp.asarray(weights, ring.dtype), time % size, axis=1), ring, axes=1)


MADE = {
    "calendar": calendar,
    "averages": averages,
    "momentum": momentum,
    "days_of_supply": days_of_supply,
    "stockouts": stockouts,
}
