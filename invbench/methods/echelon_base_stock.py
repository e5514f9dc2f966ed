"""Echelon base-stock: every stage of a serial system orders up to a level of its echelon position. Optimal there.

Source: Clark and Scarf 1960, "Optimal policies for a multi-echelon inventory problem", Management Science 6(4), 475-490.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp

from invbench import echelon
from invbench.checks import choice
from invbench.problem import Problem
from invbench.types import Array, Observation, Policy


@dataclass(frozen=True)
class EchelonBaseStock:
    """The exact optimum of the long run, for serial systems where the probabilities of demand are known; see echelon.py.

    levels: "optimal", or "newsvendor" for the middle between two newsvendor levels (Shang and Song 2003).
    """

    levels: str = "optimal"
    family: ClassVar[str] = "traditional"
    tuned: ClassVar[bool] = False
    systems: ClassVar[tuple[str, ...]] = ("serial",)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Logs the cost a period that is expected in the long run."""
        choice("method.levels", self.levels, ("optimal", "newsvendor"))
        books = echelon.chain(problem, "echelon_base_stock")
        levels = books.optimum().levels if self.levels == "optimal" else books.heuristic()
        log({"formula/average_cost": echelon.average_cost(problem, books, levels)}, 0)
        return Policy({"levels": jnp.asarray(levels, jnp.float32)}, order_up_to_echelon)


def order_up_to_echelon(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """What lifts the echelon position of each stage, its own and those of the stages below, to its level; [stage]."""
    return params["levels"] - jnp.cumsum(observation.position, axis=-1)
