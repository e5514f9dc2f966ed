"""Checks at the door: one sentence that names the config field and the value. Nothing is checked after it."""

import math
from typing import Any

import numpy as np


def require(holds: bool, field: str, rule: str, value: Any) -> None:
    """Raise ValueError "<field> must be <rule>, got <value>" unless `holds`."""
    if not holds:
        raise ValueError(f"{field} must be {rule}, got {value!r}")


def number(field: str, value: Any, low: float = -math.inf, high: float = math.inf, above: bool = False) -> float:
    """A finite number in [low, high]; in (low, high] if `above`."""
    bounds = f"a number {'>' if above else '>='} {low:g}" if math.isfinite(low) else "a number"
    bounds += f" and <= {high:g}" if math.isfinite(high) else ""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and math.isfinite(value)
    require(is_number and (value > low if above else value >= low) and value <= high, field, bounds, value)
    return float(value)


def whole(field: str, value: Any, low: int = 0) -> int:
    """A whole number >= low."""
    is_whole = isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and float(value).is_integer()
    require(is_whole and value >= low, field, f"a whole number >= {low}", value)
    return int(value)


def choice(field: str, value: Any, options: tuple[str, ...]) -> str:
    """One of `options`."""
    require(value in options, field, "one of " + ", ".join(options), value)
    return value
