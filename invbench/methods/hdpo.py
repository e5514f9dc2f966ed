"""Hindsight differentiable policy optimisation: a network trained by the gradient of cost through the physics itself.

Sources: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246); Madeka et al. 2022, "Deep inventory management" (arXiv 2210.03137).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import jax

from invbench.checks import choice, number, require, whole
from invbench.dynamics.single import Single
from invbench.keys import named
from invbench.learning import baseline, curriculum, features, residual, shaping
from invbench.learning.attention import past_of
from invbench.learning.bounds import original
from invbench.learning.curriculum import Stage
from invbench.learning.imitation import Effort, Lesson, lesson_of
from invbench.learning.levelled import levelled
from invbench.learning.lots import FEWEST, TRIED, costs_to_order, free_orders, periods_of_a_lot, with_lots
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
LONG = 1.5  # periods of demand in an economic lot from which on levels are learned
TUNED, SMOOTHED = FIXED_COSTS = "tuned", "smoothed"


@dataclass(frozen=True)
class HDPO(Training):
    """A network from what is on hand and on order to what is ordered; the best of `seeds` and of the last checkpoints.

    Where an order has a fixed cost, gradients lead to one of many local optima (whether to order has no slope). `fixed_cost` says
    what is done about it. tuned: the network learns what to order if orders cost nothing, and a gap and a lot around it are tuned.
    smoothed: it begins as the tuned (s, S) rule, learns on with a fixed cost that is smoothed, and ends no worse on validation
    paths than what it made of that. So it does, too, where it has a teacher, or orders are those of a rule and a change.
    """

    tuning: Budget  # of the rule that is shown beside
    seeds: int  # networks trained side by side
    fast_mode: bool  # a tenth of the updates, on futures that are written down once: for a first look
    fixed_cost: str = TUNED
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
        keys = jax.random.split(key, whole("method.seeds", self.seeds, low=1))
        if not self._apart(problem, lesson):
            return max(self._trained(problem, keys, log, lesson), key=lambda one: one.benefit).policy
        learner, free = self._free(problem, key)
        best = max(learner._trained(free, keys, log), key=lambda one: one.benefit).policy
        return self._with_lots(problem, free, best, key, log)

    def fit_seeds(
        self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None
    ) -> list[Policy]:
        """A policy for each key [seed], trained side by side."""
        if not self._apart(problem, lesson):
            return [one.policy for one in self._trained(problem, keys, log, lesson)]
        learner, free = self._free(problem, keys[0])
        learned = [one.policy for one in learner._trained(free, keys, log)]
        return [self._with_lots(problem, free, one, key, log) for one, key in zip(learned, keys)]

    def _apart(self, problem: Problem, lesson: Lesson | None) -> bool:
        """Whether a gap and a lot are tuned around the network, which learns as if orders cost nothing."""
        tuned = choice("method.fixed_cost", self.fixed_cost, FIXED_COSTS) == TUNED
        return tuned and lesson is None and isinstance(problem.system, Single) and costs_to_order(problem)

    def _free(self, problem: Problem, key: Array) -> tuple["HDPO", Problem]:
        """Who learns what if orders cost nothing: orders, or where a lot lasts for periods, levels to order up to.

        With large lots stock on its way is nothing that was met while orders were free; a level looks at demand alone.
        """
        free, names = free_orders(problem), features.checked("method.features", self.features)
        of_demand = [name for name in names if name not in (*features.OF_STOCK, "days_of_supply")]
        seen = features.count(of_demand, problem.system.lead_time, problem.window)
        if not seen or periods_of_a_lot(problem, named(key, "lots", "levels")) < LONG:
            return self, free
        given = [self.features[names.index(name)] for name in of_demand]
        return replace(self, features=given), levelled(free, named(key, "lots", "base"))

    def _with_lots(self, problem: Problem, free: Problem, policy: Policy, key: Array, log: Callable) -> Policy:
        budget = self.tuning.at_most(FEWEST, TRIED, 2 if self.fast_mode else 3)
        return with_lots(problem, policy, getattr(free.system, "base", None), budget, named(key, "lots"), log)[0]

    def _trained(self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None):
        checked = self.checked(problem)
        problem = stored(problem) if self.fast_mode else problem
        if lesson is None:
            plain = original(problem)
            rule = baseline.tuned(plain, self.tuning, named(keys[0], "baseline"))
            beside = baseline.worth(plain, rule, checked.validation_paths)
            if costs_to_order(problem):
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
        single["attention"] = past_of(self.attention, names, system.lead_time, problem.window)
        single["curriculum"] = curriculum.checked("method.curriculum", self.curriculum)
        return replace(self, **single, **counts, **rates)
