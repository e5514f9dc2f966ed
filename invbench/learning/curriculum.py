"""A curriculum: demand that swings and varies less at first, and as it really does in the end.

Source: Bengio, Louradour, Collobert and Weston 2009, "Curriculum learning" (ICML). Only what is learned from is eased: policies
are validated on the real demand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require
from invbench.keys import named
from invbench.problem import Problem
from invbench.scenarios.base import Scenario, draw
from invbench.tuning import is_whole
from invbench.types import Array

BEYOND = 128  # periods after the horizon whose profile is looked at, too
VALUES = 2**22  # demand values that the profile is a mean of
FIELDS = ("share", "wave", "noise")


class Stage(NamedTuple):
    """A part of the training."""

    share: float  # of the training
    wave: float  # share of the swing of expected demand around its mean over time
    noise: float  # share of what demand is around its expectation


@partial(
    jax.tree_util.register_dataclass, data_fields=["inside", "profile", "first", "wave", "noise"], meta_fields=["whole"]
)  # fmt: skip
@dataclass(frozen=True, eq=False)
class Eased(Scenario):
    """Demand whose wave and noise are shares of the real ones; with shares of 1 it is the real demand, but for rounding."""

    inside: Scenario
    profile: Array  # [period, item] expected demand from period `first` on; the last is held
    first: Array  # [] absolute number of a period
    wave: Array  # [] a leaf, so that another one compiles nothing
    noise: Array  # []
    whole: bool  # demand comes in whole units

    @property
    def items(self) -> int:
        return self.inside.items

    def draw(self, key: Array, n: int, horizon: int, start: Array | int) -> Array:
        last = self.profile.shape[0] - 1
        expected = self.profile[jnp.clip(start + jnp.arange(horizon) - self.first, 0, last)][:, None]
        return self.eased(self.inside.draw(key, n, horizon, start), expected)

    def eased(self, demand: Array, expected: Array) -> Array:
        """[..., item] max(mean + wave x (expected - mean) + noise x (demand - expected), 0), whole where demand is."""
        mean = self.profile.mean(0)
        demand = jnp.maximum(mean + self.wave * (expected - mean) + self.noise * (demand - expected), 0)
        return jnp.rint(demand) if self.whole else demand


def checked(field: str, given: Sequence[dict[str, float]] | None) -> tuple[Stage, ...]:
    """The stages of a config, none where it is null. Raises ValueError in one sentence that names the field."""
    if given is None:
        return ()
    sound = isinstance(given, list | tuple) and all(isinstance(one, dict) and sorted(one) == sorted(FIELDS) for one in given)
    require(sound and len(given) > 0, field, "null or a list of stages {share, wave, noise}", given)
    stages = tuple(Stage(*(number(f"{field}.{name}", one[name], low=0) for name in FIELDS)) for one in given)
    total = sum(stage.share for stage in stages)
    require(0 < total <= 1, f"{field}.share", "in (0, 1] over all stages, what is left is on the real demand", total)
    return stages


def begun(world: Any, problem: Problem, stages: tuple[Stage, ...], key: Array) -> Any:
    """The world of a learner with demand that can be eased; as it is where there are no stages."""
    return world._replace(scenario=_real(world.scenario, problem, key)) if stages else world


def _real(scenario: Scenario, problem: Problem, key: Array) -> Eased:
    """Demand that can be eased, and is not yet."""
    expected, whole = _profile(problem, key), is_whole(problem, named(key, "whole"))
    one, first = jnp.float32(1), jnp.int32(problem.start - problem.window)
    return Eased(scenario, jnp.asarray(expected, jnp.float32), first, one, one, whole)


def eased(problem: Problem, stages: tuple[Stage, ...], key: Array) -> list[tuple[float, Problem]]:
    """For each stage the share of the training with which it ends, and the problem with its demand."""
    if not stages:
        return []
    real, ends = _real(problem.scenario, problem, key), accumulate(stage.share for stage in stages)
    demand = [replace(real, wave=jnp.float32(stage.wave), noise=jnp.float32(stage.noise)) for stage in stages]
    return [(end, replace(problem, scenario=one)) for end, one in zip(ends, demand)]


def staged(world: Any, stages: tuple[Stage, ...], done: float) -> Any:
    """The world as it is after a share `done` of the training, in numbers alone: nothing is compiled anew.

    The values of demand that an expectation is taken over are eased as demand is (it has no wave where they are known).
    """
    if not stages:
        return world
    ends = accumulate(stage.share for stage in stages)
    wave, noise = next(((stage.wave, stage.noise) for stage, end in zip(stages, ends) if done < end - 1e-9), (1.0, 1.0))
    scenario = replace(world.scenario, wave=jnp.float32(wave), noise=jnp.float32(noise))
    if world.support is None:
        return world._replace(scenario=scenario)
    values, probability = world.support
    return world._replace(scenario=scenario, support=(scenario.eased(values, scenario.profile[0, 0])[..., :1], probability))


def _profile(problem: Problem, key: Array) -> np.ndarray:
    """[period, item] expected demand from period start - window on: exact where probabilities are known, else a mean of paths."""
    scenario = problem.scenario
    if hasattr(scenario, "pmf"):
        pmf = scenario.pmf()
        return np.full((1, problem.items), pmf @ np.arange(len(pmf)))
    periods = problem.window + problem.horizon + BEYOND
    n = int(np.clip(VALUES // (periods * problem.items), 64, 1024))
    return np.asarray(draw(scenario, named(key, "profile"), n, periods, problem.start - problem.window)).mean(1)
