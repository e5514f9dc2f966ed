"""A gap and a lot around what a learner orders: where orders have a fixed cost, fewer and larger ones make up for it.

The learner's target moves with what it sees; when to order and how much more are two numbers that are tuned, as s and S are
(Scarf 1960).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from invbench.keys import named
from invbench.learning.residual import part_of
from invbench.problem import Problem
from invbench.tuning import Budget, is_whole, levels, lot, search, simulated_paths
from invbench.types import Array, Observation, Policy

DEEPEST = 4.0  # periods of mean demand that the reorder point may lie below the learner's target
FEWEST = 250  # paths: each simulation calls the network, so that fewer are simulated than for a rule
TRIED = 100  # gaps and lots in a round, for the same reason
CALLS = 4e8  # of the network, in all: with many items fewer gaps and lots are tried


def costs_to_order(problem: Problem) -> bool:
    """Whether orders have a fixed cost."""
    return bool(np.any(np.asarray(problem.cost.fixed_order) > 0))


def free_orders(problem: Problem) -> Problem:
    """The problem in which they have none: what a learner's target is learned in."""
    return replace(problem, cost=replace(problem.cost, fixed_order=0.0 * np.asarray(problem.cost.fixed_order)))


def periods_of_a_lot(problem: Problem, key: Array) -> float:
    """How long the economic order quantity (Harris 1913) lasts, on average over the items."""
    mean = np.maximum(levels(problem, key)[0], 1e-9)
    fixed, holding = (np.asarray(rate, float) for rate in (problem.cost.fixed_order, problem.cost.holding))
    return float(np.mean(np.sqrt(2 * fixed / (mean * np.maximum(holding, 1e-9)))))


def with_lots(
    problem: Problem, learned: Policy, base: Array | None, budget: Budget, key: Array, log: Callable[[dict, int], None]
) -> tuple[Policy, float]:
    """The policy with the gap and the lot that earn most on training paths, and what it earns there, money.

    learned: of a problem of `free_orders`. base: [item] units, of a problem of levels (see `levelled`); None: it orders.
    Gap and lot are tuned with names of `key`: levels, whole, tuning.
    """
    mean, _ = levels(problem, named(key, "levels"))
    fixed = {"target": part_of(learned._replace(window=0)), "unit": jnp.asarray(np.maximum(mean, 1e-6), jnp.float32)}
    fixed |= {"whole": jnp.full(1, is_whole(problem, named(key, "whole")))} | ({} if base is None else {"base": base})
    template = learned._replace(params=fixed, apply=reorder if base is None else reorder_to_level)
    most = lot(problem, mean) / np.maximum(mean, 1e-6)
    low = np.stack([np.full(problem.items, -DEEPEST), np.zeros(problem.items)])
    high = np.stack([np.full(problem.items, 0.0 if base is None else DEEPEST), most])
    names = ("shift", "lot")
    affordable = _affordable(problem, budget)
    found = search(problem, template, names, low, high, np.zeros(2, bool), affordable, named(key, "tuning"), log)
    params = {name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)}
    return template._replace(params=fixed | params), float(found.value.sum())


def _affordable(problem: Problem, budget: Budget) -> Budget:
    """The budget, or so much of it that the network is called about `CALLS` times; never less than a coarse grid, twice."""
    each = simulated_paths(problem, budget) * problem.items * problem.horizon
    if each * budget.candidates * budget.rounds <= CALLS:
        return budget
    return budget.at_most(candidates=max(16, int(CALLS / each / 2)), rounds=2)


def reorder(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: what the learner orders with `shift`, and `lot` more, each in mean demand; nothing below zero."""
    gap = params["target"].order(observation, key) + params["shift"] * params["unit"]
    return _lot(params, gap)


def reorder_to_level(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] units: the same with a learner of levels."""
    level = params["base"] + params["target"].order(observation, key)
    gap = level + params["shift"] * params["unit"] - observation.position
    return _lot(params, gap)


def _lot(params: dict[str, Any], gap: Array) -> Array:
    """The gap and a lot where there is one, in whole units where demand is whole."""
    order = jnp.where(gap >= 0, gap + params["lot"] * params["unit"], 0)
    return jnp.where(params["whole"], jnp.rint(order), order)
