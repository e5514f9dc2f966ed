"""Anchor and adjust: how people order in the beer game. What is expected, and what is missing of a stock that they want.

Source: Sterman 1989, "Modeling managerial behavior", Management Science 35(3), 321-339.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require, whole
from invbench.dynamics.serial import Serial
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy, weighted_history

Figure = float | Sequence[float]  # one for every stage, or a list


@dataclass(frozen=True)
class AnchorAndAdjust:
    """O = max(0, expected + adjustment x (target - stock - supply_line_weight x supply line)) at each stage of a serial system.

    Stock is net of what is owed; the supply line is what was ordered and has not been received. What is expected of incoming
    orders is smoothed exponentially: expected = smoothing x last + (1 - smoothing) x expected before, beginning with `expected`.
    """

    target: Figure  # units that stock and supply line are steered to (S'); "expected" comes on top
    adjustment: Figure  # share of the gap that is ordered in a period (alpha)
    supply_line_weight: Figure  # share of the supply line that is taken into account (beta)
    smoothing: Figure  # weight of the last incoming order (theta)
    expected: Figure  # units of incoming orders a period that are expected at the start
    opening: int = 0  # first periods, in which `expected` is ordered, whatever happens
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False
    systems: ClassVar[tuple[str, ...]] = ("serial",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        system = problem.system
        require(isinstance(system, Serial), "system", "serial for method anchor_and_adjust", type(system).__name__)
        limits = {"target": np.inf, "adjustment": 1, "supply_line_weight": 1, "smoothing": 1, "expected": np.inf}
        given = {name: _each(name, getattr(self, name), high, system.stages) for name, high in limits.items()}
        smoothing, window = given.pop("smoothing"), problem.window
        require(window > 0 or not smoothing.any(), "problem.window", "> 0, or method.smoothing 0", window)
        window = window if smoothing.any() else 0
        params = {name: jnp.asarray(values, jnp.float32) for name, values in given.items()}
        opened = jnp.full(system.stages, problem.start + whole("method.opening", self.opening), jnp.int32)
        return Policy(params | _memory(smoothing, window) | {"opened": opened}, anchor_and_adjust, window)


def _each(name: str, given: Any, high: float, stages: int) -> np.ndarray:
    """[stage] a figure for each stage."""
    if not isinstance(given, Sequence):
        return np.full(stages, number(f"method.{name}", given, low=0, high=high))
    require(len(given) == stages, f"method.{name}", f"one figure, or one for each of {stages} stages", list(given))
    return np.asarray([number(f"method.{name}[{stage}]", one, low=0, high=high) for stage, one in enumerate(given)])


def _memory(smoothing: np.ndarray, window: int) -> dict[str, Array]:
    """Weights [window, stage] of what was seen, oldest first, and that of the first expectation: all that is older."""
    age = np.arange(window)[::-1, None]
    weights = smoothing * (1 - smoothing) ** age
    return {"weights": jnp.asarray(weights, jnp.float32), "trust": jnp.asarray((1 - smoothing) ** window, jnp.float32)}


def anchor_and_adjust(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The order of each stage; [stage]. weights: [window, stage], the rest [stage]."""
    expected = params["trust"] * params["expected"]
    if params["weights"].shape[0]:
        expected = expected + weighted_history(observation, params["weights"])
    supply_line = observation.position - observation.on_hand
    gap = params["target"] - observation.on_hand - params["supply_line_weight"] * supply_line
    order = jnp.maximum(expected + params["adjustment"] * gap, 0)
    return jnp.where(observation.time < params["opened"], params["expected"], order)
