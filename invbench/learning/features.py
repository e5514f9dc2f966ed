"""What a learned policy looks at: parts of an observation on a new leading axis, in periods of mean demand."""

from collections.abc import Sequence

import jax.numpy as jnp

from invbench.checks import choice, require
from invbench.types import Array, Observation

NAMES = ("on_hand", "position", "pipeline", "history", "calendar")
CYCLES = (7.0, 365.25)  # periods of the calendar, where a period is a day: a week, a year


def stacked(observation: Observation, names: Sequence[str], scale: Array | float) -> Array:
    """[feature, ..., item] of the parts `names` of an observation, in the order given.

    on_hand and position: one feature each; pipeline: one for each outstanding order, the next to arrive first; history: one
    for each period of the window, oldest first; calendar: sine and cosine of the week and the year. Units are divided by
    `scale` ([] or [item], mean demand a period, say). A system without a part (no pipeline at lead time 1) has no such feature.
    """
    return jnp.concatenate([_part(observation, name, scale) for name in names])


def count(names: Sequence[str], lead_time: int, window: int) -> int:
    """How many features `stacked` makes of one stocking point with one supplier."""
    sizes = {"on_hand": 1, "position": 1, "pipeline": max(lead_time - 1, 0), "history": window, "calendar": 2 * len(CYCLES)}
    return sum(sizes[name] for name in names)


def checked(field: str, names: Sequence[str]) -> tuple[str, ...]:
    """The names of a config. Raises ValueError in one sentence that names the field."""
    require(isinstance(names, list | tuple) and len(names) > 0, field, "a list of features", names)
    return tuple(choice(field, name, NAMES) for name in names)


def window(names: Sequence[str], past: int) -> int:
    """Past periods that a policy with these features looks at, of the `past` that the problem keeps."""
    return past if "history" in names else 0


def _part(observation: Observation, name: str, scale: Array | float) -> Array:
    """[feature, ..., item]."""
    if name == "calendar":
        return _calendar(observation)
    part = getattr(observation, name)
    return (part if part.ndim > observation.on_hand.ndim else part[None]) / scale


def _calendar(observation: Observation) -> Array:
    angles = 2 * jnp.pi * observation.time / jnp.asarray(CYCLES, observation.on_hand.dtype)
    waves = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)])
    shape = observation.on_hand.shape
    return jnp.broadcast_to(waves.reshape(-1, *(1,) * len(shape)), (waves.shape[0], *shape))
