"""What methods with a forecasting network share: their fields, checked, and a fit from windows to levels to money."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from invbench.checks import choice, number, require, whole
from invbench.dynamics.single import Single
from invbench.forecasts import heads, ordering
from invbench.forecasts.heads import Head
from invbench.keys import named
from invbench.learning import curriculum, money, windows
from invbench.learning.curriculum import Stage
from invbench.learning.forecasting import Plan, trained
from invbench.learning.stored import stored
from invbench.problem import Problem
from invbench.scenarios import holidays
from invbench.tuning import Budget
from invbench.types import Array, Policy

WEEK = 7  # periods without which a series has no scale that is free of weekdays
FAST = 10  # times fewer updates in fast mode
FEW_WINDOWS = 1024  # that validate in fast mode
FEW, FEWER_PATHS = 64, 500  # candidates of a round in fast mode, and paths, at most


@dataclass(frozen=True)
class Foresight:
    """A network that forecasts lead-time demand, and orders by it; every field is explained in the YAML."""

    tuning: Budget
    head: str
    quantiles: list[float]
    width: int
    blocks: int
    attention_heads: int
    paths: int
    updates: int
    batch: int
    history_share: float
    learning_rate: float
    clip: float
    money_updates: int
    money_paths: int
    money_unroll: int
    money_learning_rate: float
    money_width: float
    validation_paths: int
    fast_mode: bool
    holidays: list[int] | None = None
    curriculum: list[dict[str, float]] | None = None
    family: ClassVar[str] = "dl"
    tuned: ClassVar[bool] = True
    kind: ClassVar[str] = ""

    @property
    def simulates(self) -> int:
        """Windows of a period that the network learns from, and periods of a path that it learns money on."""
        return self._fewer(self.updates) * self.batch + self._fewer(self.money_updates) * self.money_paths * self.money_unroll

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field or the system makes no sense, and `training.Diverged`."""
        plan, lessons, stages = self.plan(), self.lessons(), self.stages()
        self._suits(problem)
        problem = stored(problem) if self.fast_mode else problem
        forecaster = trained(problem, plan, named(key, "forecast"), whole("method.paths", self.paths, low=1), log, stages)
        policy = ordering.tuned(problem, forecaster, self._budget(), named(key, "tuning"), log)
        return money.taught(problem, policy, lessons, named(key, "money"), log) if lessons.updates else policy

    def _budget(self) -> Budget:
        """What may be simulated to choose the levels: in fast mode a fraction of it."""
        return self.tuning.at_most(paths=FEWER_PATHS, candidates=FEW, rounds=2) if self.fast_mode else self.tuning

    def _suits(self, problem: Problem) -> None:
        """Raise ValueError where the problem is none for such a network."""
        require(
            isinstance(problem.system, Single), "system", f"lost_sales or backlog for {self.kind}", type(problem.system).__name__
        )
        require(
            problem.window >= WEEK,
            "problem.window",
            f">= {WEEK} for {self.kind}, whose scale is the mean over it",
            problem.window,
        )
        if problem.history is not None:
            least, seen = windows.least_history(problem), len(problem.history.sales)
            require(seen >= least, "problem.history", f">= problem.window + system.lead_time + 1 ({least})", seen)

    def plan(self) -> Plan:
        """What the training on windows is told. Raises ValueError in one sentence that names the field."""
        counts = {name: whole(f"method.{name}", getattr(self, name), low=1) for name in ("width", "blocks", "updates", "batch")}
        counts["updates"] = self._fewer(counts["updates"])
        heads_ = whole("method.attention_heads", self.attention_heads, low=1)
        require(counts["width"] % heads_ == 0, "method.width", f"a multiple of method.attention_heads ({heads_})", self.width)
        share = number("method.history_share", self.history_share, low=0, high=1)
        rate, clip = (number(f"method.{name}", getattr(self, name), low=0, above=True) for name in ("learning_rate", "clip"))
        counts |= {"validated": FEW_WINDOWS} if self.fast_mode else {}
        counts |= {} if self.holidays is None else {"holidays": holidays.checked("method.holidays", self.holidays)}
        return Plan(self.kind, self._head(), heads=heads_, history_share=share, learning_rate=rate, clip=clip, **counts)

    def stages(self) -> tuple[Stage, ...]:
        """Those of the curriculum. Raises ValueError in one sentence that names the field."""
        return curriculum.checked("method.curriculum", self.curriculum)

    def _head(self) -> Head:
        choice("method.head", self.head, heads.DISTRIBUTIONS)
        require(
            isinstance(self.quantiles, list | tuple) and len(self.quantiles) > 1,
            "method.quantiles",
            "a list of two or more",
            self.quantiles,
        )
        found = tuple(number(f"method.quantiles[{i}]", level, low=0, above=True) for i, level in enumerate(self.quantiles))
        ascending = bool(np.all(np.diff(found) > 0)) and found[-1] < 1
        require(ascending, "method.quantiles", "probabilities below 1 in ascending order", self.quantiles)
        return Head(self.head, found)

    def lessons(self) -> money.Lessons:
        """What the training on money is told; no updates: there is none."""
        counts = {
            name: whole(f"method.{name}", getattr(self, name), low=1)
            for name in ("money_paths", "money_unroll", "validation_paths")
        }
        updates = self._fewer(whole("method.money_updates", self.money_updates))
        rate, width = (
            number(f"method.{name}", getattr(self, name), low=0, above=True) for name in ("money_learning_rate", "money_width")
        )
        return money.Lessons(
            self.kind, updates, counts["money_paths"], counts["money_unroll"], rate, width, counts["validation_paths"]
        )

    def _fewer(self, updates: int) -> int:
        return -(-updates // FAST) if self.fast_mode else updates
