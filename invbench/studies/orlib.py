"""OR-Library: facility location and p-median to proved optimality, beside the printed optima and beside HiGHS."""

import time
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from invbench import jobs, published, run
from invbench.networks.facilities import Facilities
from invbench.planners import solve
from invbench.planners.checker import check
from invbench.planners.solve import Infeasible, NoPlan, Solution
from invbench.planners.strategic import Plan, Posed, Strategic
from invbench.progress import told
from invbench.studies import pages, printed
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed, track

ROUNDING = 0.01  # money by which an optimum may differ from print
ALL = "all instances"
SECONDS = "HiGHS gets the model that SCIP gets, without what the search has ruled out, but no start; both build it anew"


class Result(NamedTuple):
    """What became of one instance."""

    facilities: Facilities
    plan: Plan | None = None
    highs: Solution | None = None
    error: str = ""  # why there is no plan

    @property
    def scip_seconds(self) -> float:
        """Without the search."""
        return self.plan.solution.seconds - self.plan.search_seconds


@dataclass(frozen=True)
class OrLibrary(Printed):
    """Plans every instance of the config's network by `planner`, and by HiGHS on the same model where `highs` says so."""

    planner: Strategic
    highs: bool
    title: ClassVar[str] = "OR-Library (Beasley 1990, JORS 41(11)): warehouse location and p-median, optima and seconds"
    table: ClassVar[str] = "orlib"

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Optimum, what is proved, and seconds of every instance."""
        return self.laid_out(self.results(config))

    def results(self, config: dict[str, Any]) -> list[Result]:
        """Every instance in turn. Where there is only one, and it has no plan, the sentence that says why is raised."""
        instances = run.build(config["network"])
        if len(instances) == 1:
            return [self._planned(instances[0])]
        return [self._tried(facilities) for facilities in track(instances, self.table)]

    def run(self, folder: Any, config: dict[str, Any]) -> int:
        """Write published.csv, table.md, index.html and report.json; exit code 1 where a printed optimum is not met."""
        started, results = time.perf_counter(), self.results(config)
        cells = self.laid_out(results)
        code = self.write(folder, cells)
        plans = {result.facilities.name: result.plan.summary(result.facilities) for result in results if result.plan}
        jobs.write_json(folder / "report.json", {"plans": plans} if len(results) > 1 else {"plan": next(iter(plans.values()))})
        files = "published.csv", "table.md", "report.json"
        seconds = time.perf_counter() - started
        outcome = pages.Outcome(self.table, self.title, tuple(cells), seconds, code, files=files, beside=True)
        jobs.write(folder / "index.html", pages.html(self.title, [outcome]))
        printed.show(self.title, cells)
        return code

    def _tried(self, facilities: Facilities) -> Result:
        try:
            return self._planned(facilities)
        except (Infeasible, NoPlan) as error:
            return Result(facilities, error=str(error))

    def _planned(self, facilities: Facilities) -> Result:
        """The plan of one instance, checked. Raises ArithmeticError where a plan breaks what it says."""
        with told(f"planning {facilities.name}"):
            posed = self.planner.posed(facilities)
            plan = self.planner.solve(posed)
        faults = check(plan, facilities, self.planner)
        if faults:
            raise ArithmeticError(f"the plan of {facilities.name} is wrong: {faults[0]}")
        return Result(facilities, plan, self._compared(posed) if self.highs else None)

    def _compared(self, posed: Posed) -> Solution:
        with told(f"{posed.facilities.name} by HiGHS"):
            return solve.highs(posed.model, self.planner.limits)

    def laid_out(self, results: list[Result]) -> list[Cell]:
        """The cells of all instances, and their seconds in sum."""
        planned = [result for result in results if result.plan]
        total = self._seconds(ALL, planned) if len(planned) > 1 else []
        return [cell for result in results for cell in self._of(result)] + total

    def _of(self, result: Result) -> list[Cell]:
        name, row = result.facilities.name, self._printed().get(result.facilities.name, {})
        value = float(row["published"]) if row else None
        tolerance = max(ROUNDING, self.planner.limits.gap * (value or 0))
        told = {"source": row.get("source", "")}
        if result.plan is None:
            return [Cell(name, "optimum", value, float("nan"), tolerance, note=result.error, **told)]
        found = result.plan.solution
        note = "" if found.status == "optimal" else f"{found.status}: lower is proved, upper is the plan"
        cells = [
            Cell(name, "optimum", value, found.objective, tolerance, found.bound, found.objective, note=note, **told),
            Cell(name, "gap %", None, round(100 * found.gap, 6)),
            Cell(name, "sites", None, int(result.plan.opened.sum())),
            Cell(name, "nodes", None, found.nodes),
        ]
        return cells + self._other(name, result.highs, value, tolerance, told) + self._seconds(name, [result])

    def _other(self, name: str, highs: Solution | None, value: float | None, tolerance: float, told: dict) -> list[Cell]:
        """HiGHS beside print; where it stopped at a limit, its figure is only shown."""
        if highs is None or highs.objective is None:
            return []
        done = highs.status == "optimal"
        note = "" if done else f"HiGHS stopped at its limit: {highs.status}"
        return [Cell(name, "by HiGHS", value if done else None, highs.objective, tolerance, highs.bound, note=note, **told)]

    def _seconds(self, name: str, results: list[Result]) -> list[Cell]:
        """In all, of SCIP, of HiGHS on the same model, and how much longer that takes."""
        scip = sum(result.scip_seconds for result in results)
        figures = {"seconds": sum(result.plan.solution.seconds for result in results), "SCIP seconds": scip}
        if all(result.highs for result in results):
            highs = sum(result.highs.seconds for result in results)
            figures |= {"HiGHS seconds": highs, "HiGHS / SCIP": highs / scip}
        return [
            Cell(name, quantity, None, round(value, 3), note=SECONDS if "HiGHS" in quantity else "")
            for quantity, value in figures.items()
        ]

    def _printed(self) -> dict[str, dict[str, str]]:
        """Printed optima by instance; none where options make it another problem."""
        plain = not self.planner.single_source and self.planner.budget is None and self.planner.radius is None
        return {row["instance"]: row for row in published.read(self.table)} if plain else {}
