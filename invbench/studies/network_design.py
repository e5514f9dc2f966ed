"""Where to build, asked in four ways of one network; each plan is checked, and mean cost is laid beside its tail."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from invbench import jobs, run
from invbench.checks import number, require
from invbench.networks.facilities import Facilities
from invbench.planners import checker, checker_location_inventory, checker_periods, checker_stochastic
from invbench.planners.risk import Risk
from invbench.planners.solve import Infeasible, NoPlan
from invbench.progress import told
from invbench.studies import pages, printed
from invbench.studies.cells import Cell
from invbench.studies.printed import Printed

PLANNERS = {
    "strategic": checker.check,
    "stochastic": lambda plan, facilities, planner: checker_stochastic.check(
        plan, facilities, planner, planner.scenarios.of(facilities)
    ),
    "periods": checker_periods.check,
    "location_inventory": checker_location_inventory.check,
}
Check = Callable[[Any, Facilities, Any], list[str]]


class Question(NamedTuple):
    """One plan that is asked for."""

    facilities: Facilities
    row: str
    planner: Any
    check: Check
    weight: float | None = None  # of the CVaR, for points of the front


class Answer(NamedTuple):
    """What became of it."""

    question: Question
    plan: Any = None
    error: str = ""  # why there is no plan


@dataclass(frozen=True)
class NetworkDesign(Printed):
    """Plans every network of the config by each of `planners`, and by the stochastic one at each weight of the CVaR."""

    planners: dict[str, Any]  # of `PLANNERS`
    weights: list[float]
    title: ClassVar[str] = "Network design: demand as it is, in scenarios, over periods, and with stock at the sites"
    table: ClassVar[str] = "network_design"

    def cells(self, config: dict[str, Any]) -> list[Cell]:
        """Cost, proof, effort and sites of every plan."""
        return [cell for answer in self.answers(config) for cell in _cells(answer)]

    def answers(self, config: dict[str, Any]) -> list[Answer]:
        """Every plan in turn. Where none at all can be made, the sentence that says why is raised."""
        self._check()
        answers = [_answered(question) for question in self._questions(run.build(config["network"]))]
        if not any(answer.plan for answer in answers):
            raise Infeasible(answers[0].error)
        return answers

    def run(self, folder: Any, config: dict[str, Any]) -> int:
        """Write published.csv, table.md, index.html and report.json; exit code 1 where a plan cannot be made."""
        started, answers = time.perf_counter(), self.answers(config)
        cells = [cell for answer in answers for cell in _cells(answer)]
        code = self.write(folder, cells)
        plans = {answer.question.row: _summary(answer) for answer in answers}
        jobs.write_json(folder / "report.json", {"plans": plans})
        files, seconds = ("published.csv", "table.md", "report.json"), time.perf_counter() - started
        figures = tuple(_figures(answers))
        outcome = pages.Outcome(self.table, self.title, tuple(cells), seconds, code, "", files, figures, beside=True)
        jobs.write(folder / "index.html", pages.html(self.title, [outcome]))
        printed.show(self.title, cells)
        return code

    def _check(self) -> None:
        for name in self.planners:
            require(name in PLANNERS, "study.planners", "some of " + ", ".join(PLANNERS), name)
        for weight in self.weights:
            number("study.weights", weight, low=0, high=1)
        require(len(set(self.weights)) == len(self.weights), "study.weights", "different numbers", self.weights)

    def _questions(self, networks: tuple[Facilities, ...]) -> Iterator[Question]:
        for facilities in networks:
            before = f"{facilities.name}, " if len(networks) > 1 else ""
            for name, planner in self.planners.items():
                yield Question(facilities, f"{before}{name}", planner, PLANNERS[name])
            for weight in self.weights if "stochastic" in self.planners else ():
                base = self.planners["stochastic"]
                planner = replace(base, risk=Risk(float(weight), base.risk.alpha), worth=False)
                yield Question(facilities, f"{before}CVaR weight {weight:g}", planner, PLANNERS["stochastic"], float(weight))


def _answered(question: Question) -> Answer:
    """The plan, checked. Raises ArithmeticError where it breaks what it says."""
    try:
        with told(f"planning {question.row}"):
            plan = question.planner.plan(question.facilities)
    except (Infeasible, NoPlan) as error:
        return Answer(question, error=str(error))
    faults = question.check(plan, question.facilities, question.planner)
    if faults:
        raise ArithmeticError(f"the plan {question.row} of {question.facilities.name} is wrong: {faults[0]}")
    return Answer(question, plan)


def _summary(answer: Answer) -> dict[str, Any]:
    return answer.plan.summary(answer.question.facilities) if answer.plan else {"error": answer.error}


def _cells(answer: Answer) -> list[Cell]:
    """One row of the table: what the plan costs and what is proved; mean, tail and worth where there are scenarios."""
    row = answer.question.row
    if answer.plan is None:
        return [Cell(row, "objective", None, float("nan"), note=answer.error)]
    summary, found = _summary(answer), answer.plan.solution
    note = "" if found.status == "optimal" else f"{found.status}: no plan costs less than the bound"
    figures = {
        "objective": found.objective, "bound": found.bound, "gap %": round(100 * found.gap, 6), "nodes": found.nodes,
        "seconds": round(found.seconds, 3), "sites": int(np.atleast_2d(answer.plan.opened).any(0).sum()),
    }  # fmt: skip
    figures |= {title: summary[name] for name, title in MORE.items() if name in summary}
    return [
        Cell(row, name, None, value, note=note if name == "objective" else NOTES.get(name, "")) for name, value in figures.items()
    ]


MORE = {"mean": "mean", "cvar": "CVaR", "vss": "VSS", "evpi": "EVPI"}
NOTES = {
    "sites": "sites that are open, over several periods in any of them",
    "CVaR": "the mean of the dearest share of scenarios, as planner.risk.alpha says",
    "VSS": "what the sites that are best for mean demand cost more (value of the stochastic solution)",
    "EVPI": "what could be saved if the scenario were known before building (expected value of perfect information)",
}


def _figures(answers: list[Answer]) -> Iterator[tuple[str, str]]:
    """The front of each network, with its caption."""
    points: dict[str, list[tuple[float, Any]]] = {}
    for answer in answers:
        if answer.question.weight is not None and answer.plan:
            points.setdefault(answer.question.facilities.name, []).append((answer.question.weight, answer.plan))
    for name, found in points.items():
        if len(found) > 1:
            plans = [(weight, plan.mean, plan.tail) for weight, plan in sorted(found, key=lambda pair: pair[0])]
            yield f"{name}: mean cost and CVaR of the best plan at each weight of the CVaR", front(name, plans)


def front(name: str, points: list[tuple[float, float, float]]) -> str:
    """SVG of weight, mean and CVaR of each plan; plans that are the same share a point, named by its weights."""
    import matplotlib
    from matplotlib.figure import Figure

    from invbench.report import figures

    with matplotlib.rc_context(figures.STYLE | {"svg.hashsalt": name}):
        axes = figures._axes(figure := Figure((figures.WIDTH / 72, 300 / 72), dpi=72), 76)
        shared = _shared(points)
        spots = np.array(list(shared))
        axes.plot(*spots.T, "o", color=figures.PALETTE[0], markersize=8)
        axes.set(xlabel="mean cost, money a period", ylabel="CVaR of cost, money a period")
        axes.set(**{f"{axis}lim": figures._limits(ends, ends[:, None], 0.3) for axis, ends in zip("xy", spots.T)})
        figures._name_points(axes, spots, [_named(weights) for weights in shared.values()], [])
        return figures._svg(figure)


def _shared(points: list[tuple[float, float, float]]) -> dict[tuple[float, float], list[float]]:
    found: dict[tuple[float, float], list[float]] = {}
    for weight, mean, tail in points:
        found.setdefault((float(f"{mean:.9g}"), float(f"{tail:.9g}")), []).append(weight)
    return found


def _named(weights: list[float]) -> str:
    return f"weight {weights[0]:g}" + f" to {weights[-1]:g}" * (len(weights) > 1)
