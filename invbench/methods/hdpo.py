"""Hindsight differentiable policy optimisation: a network trained by the gradient of cost through the physics itself.

Sources: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246); Madeka et al. 2022, "Deep inventory management" (arXiv 2210.03137).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import jax

from invbench.checks import number, require, whole
from invbench.dynamics.single import Single
from invbench.keys import named
from invbench.learning import baseline, features
from invbench.learning.imitation import Lesson
from invbench.learning.pathwise import train
from invbench.learning.residual import original
from invbench.learning.unrolls import CHUNKS, Training
from invbench.problem import Problem
from invbench.tuning import Budget
from invbench.types import Array, Policy

FAST = 10  # times fewer updates in fast mode


@dataclass(frozen=True)
class HDPO(Training):
    """A network from what is on hand and on order to what is ordered; the best of `seeds` and of the last checkpoints."""

    tuning: Budget  # of the rule that is shown beside
    seeds: int  # networks trained side by side
    fast_mode: bool  # a tenth of the updates: for a first look
    family: ClassVar[str] = "dl"
    tuned: ClassVar[bool] = False

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None) -> Policy:
        """Raises ValueError where a field or the system makes no sense, and `Diverged`."""
        learned = self._trained(problem, jax.random.split(key, whole("method.seeds", self.seeds, low=1)), log, lesson)
        return max(learned, key=lambda one: one.benefit).policy

    def fit_seeds(self, problem: Problem, keys: Array, log: Callable[[dict, int], None]) -> list[Policy]:
        """A policy for each key [seed], trained side by side."""
        return [one.policy for one in self._trained(problem, keys, log)]

    def _trained(self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None):
        checked = self.checked(problem)
        if lesson:
            beside = lesson.worth(problem, checked.validation_paths)
        else:
            plain = original(problem)
            rule = baseline.tuned(plain, self.tuning, named(keys[0], "baseline"))
            beside = baseline.worth(plain, rule, checked.validation_paths)
        return train(problem, [problem.cost] * len(keys), keys, checked, log, beside, lesson)

    def checked(self, problem: Problem) -> "HDPO":
        """The same with every field checked, lists as tuples, and the updates of fast mode."""
        system = original(problem).system
        require(isinstance(system, Single), "system", "lost_sales or backlog for hdpo", type(system).__name__)
        counts = {
            name: whole(f"method.{name}", getattr(self, name), low=1)
            for name in ("paths", "unroll", "updates", "validation_paths", "seeds")
        }
        counts |= {name: whole(f"method.{name}", getattr(self, name)) for name in ("warm_up", "tail")}
        rates = {
            name: number(f"method.{name}", getattr(self, name), low=0, above=True)
            for name in ("learning_rate", "clip", "fixed_width")
        }
        kept = whole("method.checkpoints", self.checkpoints, low=1)
        require(kept <= CHUNKS, "method.checkpoints", f"<= {CHUNKS}", kept)
        require(isinstance(self.hidden, list | tuple), "method.hidden", "a list of widths", self.hidden)
        widths = tuple(whole("method.hidden", width, low=1) for width in self.hidden)
        names = features.checked("method.features", self.features)
        shares = {name: number(f"method.{name}", getattr(self, name), low=0, high=1) for name in ("restart", "threshold")}
        counts["updates"] = -(-counts["updates"] // FAST) if self.fast_mode else counts["updates"]
        lists = dict(features=names, hidden=widths)
        return replace(self, **lists, **shares, **counts, **rates, checkpoints=kept, fast_mode=False)
