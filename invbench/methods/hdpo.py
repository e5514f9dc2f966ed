"""Hindsight differentiable policy optimisation: a network trained by the gradient of cost through the physics itself.

Sources: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246); Madeka et al. 2022, "Deep inventory management" (arXiv 2210.03137).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import jax
import numpy as np

from invbench.checks import number, require, whole
from invbench.dynamics.single import Single
from invbench.keys import named
from invbench.learning import baseline, curriculum, features, residual, shaping
from invbench.learning.bounds import original
from invbench.learning.curriculum import Stage
from invbench.learning.imitation import Effort, Lesson, lesson_of
from invbench.learning.pathwise import train
from invbench.learning.rates import several
from invbench.learning.stored import stored
from invbench.learning.unrolls import CHUNKS, Training
from invbench.problem import Problem
from invbench.tuning import Budget
from invbench.types import Array, Policy

LESSON = Effort(paths=256, periods=64, explore=0.1, updates=4000, batch=256, learning_rate=5e-3)  # where orders have a fixed cost
SHORTEST_TAIL = 8  # periods, where the tail follows from the lead time
FAST = 10  # times fewer updates in fast mode


@dataclass(frozen=True)
class HDPO(Training):
    """A network from what is on hand and on order to what is ordered; the best of `seeds` and of the last checkpoints.

    Where an order has a fixed cost, gradients lead to one of many local optima (whether to order has no slope): there the network
    begins as the tuned (s, S) rule, and ends no worse on validation paths than what it made of that.
    """

    tuning: Budget  # of the rule that is shown beside
    seeds: int  # networks trained side by side
    fast_mode: bool  # a tenth of the updates, on futures that are written down once: for a first look
    curriculum: list[dict[str, float]] | tuple[Stage, ...] | None = None  # see `learning.curriculum`
    family: ClassVar[str] = "dl"
    tuned: ClassVar[bool] = False

    @property
    def simulates(self) -> int:
        """Periods that each network of a training moves through, forward and backward, where the lead time is short."""
        updates = -(-self.updates // FAST) if self.fast_mode else self.updates
        tail = SHORTEST_TAIL if self.tail is None else self.tail
        return self.paths * (self.warm_up + self.unroll + tail) * updates

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None) -> Policy:
        """Raises ValueError where a field or the system makes no sense, and `Diverged`."""
        learned = self._trained(problem, jax.random.split(key, whole("method.seeds", self.seeds, low=1)), log, lesson)
        return max(learned, key=lambda one: one.benefit).policy

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed], trained side by side."""
        return [one.policy for one in self._trained(problem, keys, log)]

    def _trained(self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None):
        checked = self.checked(problem)
        problem = stored(problem) if self.fast_mode else problem
        if lesson is None:
            plain = original(problem)
            rule = baseline.tuned(plain, self.tuning, named(keys[0], "baseline"))
            beside = baseline.worth(plain, rule, checked.validation_paths)
            if np.any(np.asarray(problem.cost.fixed_order) > 0):
                lesson = lesson_of(residual.as_change(problem, rule), LESSON, named(keys[0], "lesson"))
        else:
            beside = baseline.worth(problem, lesson.teacher, checked.validation_paths)
        stages, plan = checked.curriculum, replace(checked, curriculum=None)  # they are no part of what is compiled
        return train(problem, [problem.cost] * len(keys), keys, plan, log, beside, lesson, stages)

    def checked(self, problem: Problem) -> "HDPO":
        """The same with every field checked, lists as tuples, and the updates of fast mode."""
        system = original(problem).system
        require(isinstance(system, Single), "system", "lost_sales or backlog for hdpo", type(system).__name__)
        counts = {
            name: whole(f"method.{name}", getattr(self, name), low=1)
            for name in ("paths", "unroll", "updates", "validation_paths", "seeds")
        }
        counts["warm_up"] = whole("method.warm_up", self.warm_up)
        shown = max(SHORTEST_TAIL, 2 * system.lead_time)  # or what an order costs in the end would not be seen
        counts["tail"] = shown if self.tail is None else whole("method.tail", self.tail)
        rates = {name: several(f"method.{name}", getattr(self, name)) for name in ("learning_rate", "clip")}
        rates["restart"] = several("method.restart", self.restart, high=1, above=False)
        kept = whole("method.checkpoints", self.checkpoints, low=1)
        require(kept <= CHUNKS, "method.checkpoints", f"<= {CHUNKS}", kept)
        require(isinstance(self.hidden, list | tuple), "method.hidden", "a list of widths", self.hidden)
        widths = tuple(whole("method.hidden", width, low=1) for width in self.hidden)
        names = features.checked("method.features", self.features)
        width = number("method.fixed_width", self.fixed_width, low=0, above=True)
        threshold = number("method.threshold", self.threshold, low=0, high=1)
        counts["updates"] = -(-counts["updates"] // FAST) if self.fast_mode else counts["updates"]
        single = dict(features=names, hidden=widths, fixed_width=width, threshold=threshold, checkpoints=kept, fast_mode=False)
        single["discount"] = number("method.discount", self.discount, low=0, high=1, above=True)
        single["shaping"] = shaping.weight("method.shaping", self.shaping)
        single["curriculum"] = curriculum.checked("method.curriculum", self.curriculum)
        return replace(self, **single, **counts, **rates)
