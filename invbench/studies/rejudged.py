"""Policies that are fitted once and judged several times: over fewer days, on fewer paths, on demand of another level.

A fit is an ordinary job; every other judgement is the job that `invbench evaluate` makes of the policy which that one saved.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from invbench import configs, jobs, run, saved
from invbench.evaluation import compare
from invbench.evaluation.compare import Group, Job
from invbench.evaluation.statistics import LEVEL
from invbench.studies import contest

LEVELS = ("mean", "means", "size")  # fields of a scenario that are its level of demand
FORECAST = ("accuracy", "mase", "pinball_90", "bias", "coverage")
MONEY = ("revenue", "purchase", "holding", "shortage", "ordering", "implementation", "training", "inference", "maintenance")
COLUMNS = {  # of the long table: a row for every scenario, judgement and method; money is over the days that were judged
    "scenario": "demand that the policy was fitted to",
    "days": "days judged",
    "paths": "futures judged on",
    "level": "level of demand in judging, as a share of the level that was fitted to",
    "method": "name of the method",
    "family": "traditional, ml, rl, dl or bound",
    "label": "remark, as fast mode",
    "status": "done or failed",
    "seeds": "trainings that the figures are a mean of",
    "rank": "place by net benefit, 1 is most; no bound has one",
    "rank_operating": "place by net benefit of operations",
    "net_benefit": "revenue less all costs, those of the method among them, money",
    "net_benefit_lower": "its 95 % interval over paths",
    "net_benefit_upper": "and its upper end",
    "width": "upper less lower end",
    "operating_benefit": "net benefit before what the method itself costs, money",
    "roi_reference": "net benefit over all costs, the reference system's formula",
    "fill_rate": "share of demanded units met from stock",
    "no_stockout": "share of days without a stock-out",
    **{f"forecast_{name}": f"{name} of the forecast at the fit; empty where the method makes none" for name in FORECAST},
    **{name: "money" for name in MONEY},
    "std": "standard deviation of operating benefit over paths, money",
    "risk_adjusted": "operating benefit less evaluation.risk_aversion standard deviations, money",
    "cvar": "mean operating benefit of the worst 5 % of paths; empty under 500 paths",
    "baseline": "tuned classical method that is best on validation paths",
    "difference": "operating benefit more than the baseline's, same paths, money",
    "percent": "the same in per cent of what the baseline leaves of the margin of all demand",
    "percent_lower": "its 95 % interval",
    "percent_upper": "and its upper end",
    "p_holm": "that there is no difference, corrected over the methods of this judgement",
    "verdict": "better, worse or even, at 5 %",
    "closed": "per cent of the way from the baseline to the clairvoyant bound",
    "break_even": "days after which the method has paid for itself, against the baseline; empty: never",
    "break_even_items": "items that must share its costs for it to pay within the days judged; empty: no number does",
}


@dataclass(frozen=True)
class View:
    """One way to judge."""

    days: int
    paths: int
    level: float = 1.0

    @property
    def label(self) -> str:
        """What tables say: days, and the level where it is another one."""
        return f"{self.days} days" + (f", level {100 * self.level - 100:+.0f} %" if self.level != 1 else "")

    def overrides(self, scenario: dict[str, Any]) -> list[str]:
        """The same as overrides."""
        shift = [] if self.level == 1 else [f"evaluation.shift={literal(scaled(scenario, self.level))}"]
        return [f"evaluation.horizon={self.days}", f"evaluation.paths={self.paths}", *shift]


def scaled(scenario: dict[str, Any], factor: float) -> dict[str, Any]:
    """The fields of a scenario that raise its level to `factor` times what it is. Raises ValueError where it has no level."""
    if "base" in scenario:
        return {"base": scenario["base"] | scaled(scenario["base"], factor)}
    found = {name: scenario[name] for name in LEVELS if name in scenario}
    if not found:
        raise ValueError(f"study.levels must be for scenarios with {', '.join(LEVELS)} or base, got {sorted(scenario)}")
    return {name: [factor * one for one in value] if isinstance(value, list) else factor * value for name, value in found.items()}


def literal(value: Any) -> str:
    """A value of any depth as an override says it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{literal(one)}" for name, one in value.items()) + "}"
    return contest.quoted(value)


def judged(overrides: Sequence[str], views: Sequence[View], folder: Path) -> list[Job]:
    """A job for every view; the first one is fitted, the others judge its policy. A bound has none: it is found anew."""
    place = ["tracker=none", f"outputs={contest.quoted(str(folder))}", "name=null"]
    config, _ = configs.compose([*overrides, *place])
    plain = run.resolve(config)
    first = contest.settled([*overrides, *views[0].overrides(plain["scenario"]), *place])
    if first.status != "done":
        return [_seen(replace(first, config=plain), view, first) for view in views]
    home, found = _home([*overrides, *views[0].overrides(plain["scenario"]), *place]), [_seen(first, views[0], first)]
    for view in views[1:]:
        own = view.overrides(plain["scenario"])
        fresh = first.report["family"] == "bound"
        given = [*overrides, *own] if fresh else saved.arguments([f"policy={home / saved.NAME}", *own])
        found.append(_seen(contest.settled([*given, *place]), view, first))
    return found


def _home(overrides: list[str]) -> Path:
    config, _ = configs.compose(overrides)
    return run.place(config, run.resolve(config))[0]


def _seen(job: Job, view: View, first: Job) -> Job:
    """The job as it is compared: on the setting of its view, whether it was fitted there or not; with its fit's forecast."""
    config = {name: part for name, part in job.config.items() if name != "policy"}
    config["evaluation"] = first.config["evaluation"] | {"horizon": view.days, "paths": view.paths, "shift": view.level}
    return replace(job, config=config, report=job.report and job.report | {"forecast": first.report["forecast"]})


def rows(found: dict[View, list[Job]]) -> list[dict[str, Any]]:
    """The long table: a row with `COLUMNS` for every view, scenario and method."""
    return [row for view, members in found.items() for row in _view(view, members)]


def _view(view: View, members: list[Job]) -> Iterable[dict[str, Any]]:
    for scenario, baseline, pairs in compare.table(members):
        best = next((group for group, _ in pairs if group.method == baseline), None)
        own = [_row(view, group, row, best) | {"scenario": scenario, "baseline": baseline} for group, row in pairs]
        for rank, by in (("rank", "net_benefit"), ("rank_operating", "operating_benefit")):
            ranked(own, rank, by)
        yield from own


def ranked(members: list[dict[str, Any]], rank: str, by: str) -> None:
    """Write places into rows, 1 for the largest; what failed and bounds have none."""
    rivals = [row for row in members if row["status"] == "done" and row["family"] != "bound"]
    for place, row in enumerate(sorted(rivals, key=lambda row: -row[by]), 1):
        row[rank] = place


def _row(view: View, group: Group, row: dict[str, Any], best: Group | None) -> dict[str, Any]:
    found: dict[str, Any] = dict.fromkeys(COLUMNS)
    found |= {name: row[name] for name in COLUMNS if name in row}
    found |= {"days": view.days, "paths": view.paths, "level": view.level, "seeds": len(group.jobs)}
    if not group.done:
        return found
    found |= {name: value for name, value in compare.components(group).items() if name in MONEY}
    found |= {"label": group.first["label"], "roi_reference": group.value("roi_reference")}
    found |= {f"forecast_{name}": forecast(group, name) for name in FORECAST}
    if None not in (found["net_benefit_lower"], found["net_benefit_upper"]):
        found["width"] = found["net_benefit_upper"] - found["net_benefit_lower"]
    return found | (_against(group, best, found["p_holm"]) if best is not None else {})


def forecast(group: Group, name: str) -> float | None:
    """A figure of the forecast that the method made when it was fitted, averaged over seeds; None where it makes none."""
    values = [((job.report.get("forecast") or {}).get(name) or {}).get("value") for job in group.jobs]
    return None if None in values else float(np.mean(values))


def _against(group: Group, best: Group, chance: float | None) -> dict[str, Any]:
    bound, ours, theirs = group.value("clairvoyant"), float(group.benefit.mean()), float(best.benefit.mean())
    found = {"closed": closed(ours, theirs, bound)}
    if group is best:
        return found
    effect = contest.effect(group, best)
    sure = chance is not None and chance < 1 - LEVEL
    verdict = ("better" if effect["difference"] > 0 else "worse") if sure else "even"
    return found | {name: effect[name] for name in ("percent", "percent_lower", "percent_upper")} | {"verdict": verdict}


def closed(benefit: float, baseline: float, bound: float | None) -> float | None:
    """Per cent of the way from the baseline to the bound; None where there is no way or no bound."""
    return None if bound is None or bound <= baseline else 100 * (benefit - baseline) / (bound - baseline)


def pick(table: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The rows with these values."""
    return [row for row in table if all(row[name] == value for name, value in wanted.items())]


def named(found: dict[View, list[Job]]) -> list[Job]:
    """The jobs of these views for the page of a sweep, each setting under the name of its scenario and view."""
    title = lambda job, view: job.config["names"] | {"scenario": f"{job.config['names']['scenario']}, {view.label}"}  # noqa: E731
    both = [(view, job) for view, members in found.items() for job in members]
    return [replace(job, config=job.config | {"names": title(job, view)}) for view, job in both]


def timing(folder: Path) -> str:
    """CSV: seconds that each finished job in the folder took, by job."""
    parts = [(path.parent.name, jobs.read_json(path)) for path in sorted(folder.glob("runs/*/timing.json"))]
    lines = [f"{name},{one['fit']:.2f},{one['evaluate']:.2f}" for name, one in parts]
    return "\n".join(["job,fit,evaluate", *lines]) + "\n"
