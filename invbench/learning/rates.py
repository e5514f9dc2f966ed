"""Numbers that each member of a training may have of its own: they are compiled once for all values, and mapped over members."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import jax.numpy as jnp

from invbench.checks import number, require
from invbench.types import Array

Rate = float | list[float] | tuple[float, ...]
Plan = TypeVar("Plan")


def several(field: str, given: Rate, low: float = 0, high: float = math.inf, above: bool = True) -> tuple[float, ...]:
    """The numbers of a field that may be one or a list, of which the members take one each in turn."""
    listed = given if isinstance(given, list | tuple) else [given]
    require(len(listed) > 0, field, "a number or a list of numbers", given)
    return tuple(number(field, one, low=low, high=high, above=above) for one in listed)


def apart(plan: Plan, names: Sequence[str], members: int) -> tuple[Plan, dict[str, Array]]:
    """The plan as it is compiled in, without these fields, and the fields [member]."""
    own = {name: jnp.resize(jnp.asarray(getattr(plan, name), jnp.float32), members) for name in names}
    return replace(plan, **dict.fromkeys(names, ())), own


def joined(plan: Plan, own: dict[str, Array]) -> Plan:
    """The plan of one member, inside a compiled program: own has one number [] for each field that was taken apart."""
    return replace(plan, **own)
