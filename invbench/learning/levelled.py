"""Orders as levels to order up to: a system that any learner can be trained in, and the levels that come out of it.

Where orders have a fixed cost or stock is backlogged, what is best to order depends on stock through the inventory position alone
(Scarf 1960), and a network needs to look at demand only: it is right in every state of stock, also where it was never trained.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.keys import named
from invbench.problem import Problem
from invbench.tuning import is_whole, levels
from invbench.types import Array, Flows


@partial(jax.tree_util.register_dataclass, data_fields=["system", "base"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Levelled:
    """A system whose order x lifts the inventory position to `base` + x; everything else is as in the system inside."""

    system: Any
    base: Array  # [item] units: expected demand of the lead time, so that a learner begins where the period's demand comes on top

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(object.__getattribute__(self, "system"), name)

    def transition(self, state: Any, order: Array, demand: Array, delay: Array | None = None) -> tuple[Any, Flows]:
        """One period; see `Single.transition`."""
        short = jnp.maximum(self.base + order - state.position, 0)
        return self.system.transition(state, short, demand, delay)


def levelled(problem: Problem, key: Array) -> Problem:
    """The problem in which an order is a level."""
    mean, _ = levels(problem, named(key, "levels"))
    base = problem.system.lead_time * mean
    base = np.round(base) if is_whole(problem, named(key, "whole")) else base
    return replace(problem, system=Levelled(problem.system, jnp.asarray(base, jnp.float32)))
