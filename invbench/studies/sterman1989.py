"""Sterman 1989: the cost of every stage in the beer game, played by the anchor-and-adjust rule that does best, by simulation."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from invbench import published, run
from invbench.checks import require
from invbench.keys import root
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed

INSTANCE = "36 weeks"


@dataclass(frozen=True)
class Sterman(Printed):
    """Plays the setting and the method of the config, and lays the cost of each stage and of all beside what is printed."""

    stages: list[str]  # names as printed, the one that faces customers first
    title: ClassVar[str] = "Sterman 1989, Management Science 35(3): the beer game, cost of each stage under the best parameters"
    table: ClassVar[str] = "sterman1989"

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """The cost of each stage and the total: all digits, because demand is given. ValueError where a stage has no row."""
        rows = {row["stage"]: row for row in published.read(self.table)}
        require(sorted([*self.stages, "total"]) == sorted(rows), "study.stages", "those of " + ", ".join(rows), self.stages)
        costs = _costs(config)
        require(len(costs) == len(self.stages), "study.stages", f"one name for each of {len(costs)} stages", self.stages)
        figures = dict(zip(self.stages, costs, strict=True)) | {"total": costs.sum()}
        return [_cell(name, float(cost), rows[name]) for name, cost in figures.items()]


def _costs(config: dict[str, Any]) -> np.ndarray:
    """[stage] the cost of the whole game."""
    setting = run.setting(config)
    method = run.build(config["method"])
    policy = method.fit(setting.problem.for_fitting(), root(config["seed"], "method", "sterman1989"), lambda metrics, step: None)
    flows = setting.problem.simulate(policy, setting.evaluation)
    return np.asarray(setting.problem.cost.charge(flows).cost, np.float64)[0].sum(0)


def _cell(name: str, cost: float, row: dict[str, str]) -> Cell:
    return Cell(INSTANCE, name, float(row["published"]), cost, 0.0, source=row["source"])
