"""What a missed unit weighs, as something a network sees: one training for all weights, so that one network is a whole front.

Source: Abels, Roijers, Lenaerts, Nowé and Steckelmacher 2019, "Dynamic weights in multi-objective deep reinforcement learning"
(arXiv 1809.07803): the weights of a scalarised reward are part of the state. Two objectives: units that are missed, and all other
money; the weight is that of the first, so that 1 is net benefit as it is.
"""

from collections import namedtuple
from dataclasses import dataclass, fields, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import require
from invbench.dynamics.single import Single
from invbench.formulas import underage
from invbench.learning.residual import Part, part_of
from invbench.problem import Problem
from invbench.types import Array, Flows, Observation, Policy

GOLDEN = (5**0.5 - 1) / 2  # multiples of it are spread evenly, however many are taken from wherever on


@partial(
    jax.tree_util.register_dataclass,
    data_fields=[
        "initial_stock", "minimum_order", "batch", "capacity", "lead_time_distribution", "least", "most", "as_is", "more",
    ],
    meta_fields=["lead_time", "backlog", "misses"],
)  # fmt: skip
@dataclass(frozen=True, eq=False)
class Preferring(Single):
    """A stocking point in which every lane has a weight of missed units, which is observed, and counts them accordingly.

    Stock moves as it does in `Single`. What is lost or owed is counted so many times that the costs of `posed` charge a missed
    unit with weight x what it costs.
    """

    least: Array | float = 1.0  # of the weights
    most: Array | float = 1.0
    as_is: Array | float = 1.0  # [item] a missed unit counts as_is + (weight - 1) x more
    more: Array | float = 1.0

    def initial(self, before: Array, start: Array | int, window: int) -> Any:
        """The state of `Single`, and the weights of its lanes [..., item]: evenly spread in their logarithm."""
        state = super().initial(before, start, window)
        lanes = state.on_hand.shape[-2:]
        place = jnp.arange(int(np.prod(lanes, dtype=int)), dtype=jnp.float32).reshape(lanes)
        weight = self.least * (self.most / self.least) ** ((0.5 + GOLDEN * place) % 1)
        return _with_weight(state, jnp.broadcast_to(weight, state.on_hand.shape))

    def observe(self, state: Any, delay: Array | None = None) -> Observation:
        """What is seen in `Single`, and the weight."""
        return super().observe(state, delay)._replace(weight=state.weight)

    def transition(self, state: Any, order: Array, demand: Array, delay: Array | None = None) -> tuple[Any, Flows]:
        """One period; see `Single.transition`. Flows are those of `Single`, but that lost and backlog are weighted."""
        after, flows = super().transition(state, order, demand, delay)
        times = self.as_is + (state.weight - 1) * self.more
        return _with_weight(after, state.weight), flows._replace(lost=times * flows.lost, backlog=times * flows.backlog)


def posed(problem: Problem, least: float, most: float) -> Problem:
    """The problem in which lanes weigh missed units from `least` to `most`.

    A missed unit costs `shortage`, and where it is lost also the margin (see `formulas.underage`). Raises ValueError where the
    system is no single stocking point, or such a unit costs nothing.
    """
    system, cost = problem.system, problem.cost
    alone = type(system) is Single
    require(alone, "system", "lost_sales or backlog for multi_objective", type(system).__name__)
    unit, shortage = underage(cost, system.backlog), np.asarray(cost.shortage, float)
    unit, shortage = np.broadcast_arrays(unit, shortage)
    require(np.all(unit > 0), "cost.shortage", "> 0 where a missed unit costs nothing else", cost.shortage)
    counted = np.where(shortage > 0, shortage, unit)  # a price to be multiplied, also where shortage itself is free
    given = {field.name: getattr(system, field.name) for field in fields(Single)}
    rates = {"least": least, "most": most, "as_is": shortage / counted, "more": unit / counted}
    rates = {name: jnp.asarray(rate, jnp.float32) for name, rate in rates.items()}
    counted = counted.astype(np.float32) if counted.ndim else float(counted)
    return replace(problem, system=Preferring(**given, **rates), cost=replace(cost, shortage=counted))


def composed(problem: Problem, learned: Policy, weight: float) -> Policy:
    """What a learner came to in a problem of `posed`, as a policy for the original one, with one weight."""
    own = part_of(learned._replace(window=0), "method.learner")  # what it looks back on is the whole policy's window
    ends = {name: getattr(problem.system, name).reshape(1) for name in ("least", "most")}
    params = ends | {"own": own, "weight": jnp.full(1, weight, jnp.float32)}
    return Policy(params, weighted, window=learned.window, misses=learned.misses)


def with_weight(policy: Policy, weight: float) -> Policy:
    """The same network with another weight: another point of the front."""
    return policy._replace(params=policy.params | {"weight": jnp.full(1, weight, jnp.float32)})


def weighted(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: what the network orders that is told the weight."""
    own: Part = params["own"]
    weight = jnp.broadcast_to(params["weight"], observation.on_hand.shape)
    return own.order(observation._replace(weight=weight), key)


def _with_weight(state: Any, weight: Array) -> Any:
    return _kind(type(state), state._fields)(*state, weight)


@lru_cache
def _kind(kind: type, names: tuple[str, ...]) -> type:
    """The record of a state with a weight."""
    return namedtuple(f"Weighted{kind.__name__}", (*names, "weight"))
