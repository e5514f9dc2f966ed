"""Paired comparison of finished jobs: the baseline of each scenario, differences to it, and the rows of the table."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from invbench.costs import MethodCosts, Money
from invbench.evaluation import breakeven, statistics
from invbench.jobs import content, flatten

COLUMNS = (
    "scenario method family status net_benefit net_benefit_lower net_benefit_upper operating_benefit operating_benefit_lower"
    " operating_benefit_upper difference difference_lower difference_upper win_rate p_holm baseline std risk_adjusted cvar"
    " cvar_lower cvar_upper fill_rate ready_rate cycle_service no_stockout average_cost gap_to_clairvoyant closed turnover"
    " break_even break_even_items roi error"
).split()


@dataclass(frozen=True)
class Job:
    """One finished or failed job of a sweep."""

    config: dict[str, Any]
    status: str  # "done", "failed" or "missing"
    error: str
    report: dict[str, Any]  # report.json; {} unless done
    values: dict[str, np.ndarray]  # "benefit" and the money components, [unit]; {} unless done
    trajectory: dict[str, np.ndarray]
    curve: tuple[dict[str, float], ...] = ()  # of a learner: metrics by step


@dataclass(frozen=True)
class Group:
    """The jobs of one method on one setting: one a seed."""

    method: str
    scenario: str
    jobs: tuple[Job, ...]

    @property
    def done(self) -> bool:
        return all(job.status == "done" for job in self.jobs)

    @property
    def first(self) -> dict[str, Any]:
        return self.jobs[0].report

    @property
    def benefit(self) -> np.ndarray:
        """[seed, unit] net benefit of operations."""
        return np.stack([job.values["benefit"] for job in self.jobs])

    @property
    def scale(self) -> float:
        """Units that make the whole: 1 where a unit is a path, the number of items where it is a series."""
        return float(self.first["items"]) if self.first["interval_over"] == "series" else 1.0

    @property
    def costs(self) -> MethodCosts:
        return MethodCosts(**{name: self.first["method_cost"][name] for name in MethodCosts._fields})

    def validation(self) -> float:
        return float(np.mean([job.report["validation"]["value"] for job in self.jobs]))

    def value(self, name: str) -> float | None:
        """A figure of the reports, averaged over seeds; None where any lacks it."""
        figures = [job.report.get(name, {}) for job in self.jobs]
        found = [figure.get("mean", figure.get("value")) for figure in figures]
        return None if any(value is None for value in found) else float(np.mean(found))


def groups(jobs: list[Job]) -> list[Group]:
    """Jobs by scenario and method, seeds together, with names that tell settings apart that differ in more than these."""
    scenarios = _labels([_setting(job) for job in jobs], [job.config["names"]["scenario"] for job in jobs])
    methods = _labels([job.config["method"] for job in jobs], [job.config["names"]["method"] for job in jobs])
    found: dict[tuple[str, str], list[Job]] = {}
    for job, scenario, method in zip(jobs, scenarios, methods, strict=True):
        found.setdefault((scenario, method), []).append(job)
    return [Group(method, scenario, _by_seed(members)) for (scenario, method), members in found.items()]


def _by_seed(jobs: list[Job]) -> tuple[Job, ...]:
    """In the order of their seeds, so that methods are paired seed by seed."""
    return tuple(sorted(jobs, key=lambda job: job.config["seed"]))


def _setting(job: Job) -> dict[str, Any]:
    """What of a config is the same for every method that can be compared on it."""
    own = ("method", "forecast", "tuning", "seed", "fast_mode", "names")  # of a method
    return {name: part for name, part in content(job.config).items() if name not in own}


def _labels(parts: list[dict[str, Any]], names: list[str]) -> list[str]:
    """A name for each part: the given one, with what differs among parts of the same name."""
    labels = []
    for part, name in zip(parts, names, strict=True):
        others = [dict(flatten(other)) for other, own in zip(parts, names, strict=True) if own == name and other]
        varying = [leaf for leaf, value in flatten(part) if part and any(other.get(leaf) != value for other in others)]
        mine = dict(flatten(part))
        labels.append(" ".join([name, *(f"{leaf.removeprefix('scenario.')}={mine[leaf]}" for leaf in varying)]))
    return labels


def baseline(rivals: list[Group], wanted: str = "auto") -> Group | None:
    """The tuned classical method that did best on validation paths (never on evaluation paths), or the one asked for."""
    if wanted != "auto":
        return next((group for group in rivals if group.done and group.method.split()[0] == wanted), None)
    tuned = [group for group in rivals if group.done and group.first["family"] == "traditional" and group.first["tuned"]]
    return max(tuned, key=Group.validation, default=None)


def table(jobs: list[Job], wanted: str = "auto") -> list[tuple[str, str, list[tuple[Group, dict[str, Any]]]]]:
    """(scenario, baseline, [(group, row)]) for every scenario, in the order of the jobs."""
    found = groups(jobs)
    scenarios = list(dict.fromkeys(group.scenario for group in found))
    result = []
    for scenario in scenarios:
        rivals = [group for group in found if group.scenario == scenario]
        best = baseline(rivals, wanted)
        _same_paths([group for group in rivals if group.done])
        rows = [_row(group, best) for group in rivals]
        _correct(rows)
        result.append((scenario, best.method if best else "", list(zip(rivals, rows, strict=True))))
    return result


def _same_paths(done: list[Group]) -> None:
    hashes = {job.report["paths"]["hash"] for group in done for job in group.jobs}
    if len(hashes) > 1:
        raise ValueError(f"results on different paths cannot be compared: {', '.join(sorted(hashes))}")


def _correct(rows: list[dict[str, Any]]) -> None:
    """Holm's correction over the methods that are compared with the baseline in one scenario; bounds are no methods."""
    rivals = [row for row in rows if row["p_holm"] is not None and row["family"] != "bound"]
    for row, corrected in zip(rivals, statistics.holm([row["p_holm"] for row in rivals]), strict=True):
        row["p_holm"] = corrected
    for row in rows:
        if row["family"] == "bound":
            row["p_holm"] = None


def _row(group: Group, best: Group | None) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS)
    row |= {"scenario": group.scenario, "method": group.method, "baseline": group is best}
    if not group.done:
        bad = next(job for job in group.jobs if job.status != "done")
        return row | {"status": bad.status, "error": bad.error, "family": bad.report.get("family", "")}
    values = group.benefit
    operating = statistics.mean(values).scaled(group.scale)
    spent = group.costs.total(group.first["periods"])
    row |= {"status": "done", "family": group.first["family"]}
    row |= _spread("operating_benefit", operating)
    row |= _spread("net_benefit", operating, -spent)
    for name in ("std", "risk_adjusted", "cvar"):  # of each seed's own paths: their mean would hide what one policy risks
        row[name] = group.value(name)
    if len(group.jobs) == 1:
        row |= {f"cvar_{end}": group.first["cvar"].get(end) for end in ("lower", "upper")}
    for name in ("fill_rate", "ready_rate", "cycle_service", "no_stockout", "average_cost", "gap_to_clairvoyant", "turnover"):
        row[name] = group.value(name)
    return row | (_against(group, best) if best is not None and group is not best else {})


def _spread(name: str, estimate: statistics.Estimate, shift: float = 0.0) -> dict[str, float | None]:
    shifted = [None if bound is None else bound + shift for bound in estimate]
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), shifted, strict=True))


def _against(group: Group, best: Group) -> dict[str, Any]:
    """The paired difference to the baseline, seed by seed and path by path."""
    values = group.benefit - _match(best.benefit, len(group.jobs))
    difference = statistics.mean(values).scaled(group.scale)
    horizon = group.first["periods"]
    periods = breakeven.periods(difference.mean, horizon, group.costs, best.costs)
    items = breakeven.items(difference.mean, horizon, group.first["items"], group.costs, best.costs)
    return {
        **_spread("difference", difference),
        "win_rate": float((values.mean(0) > 0).mean()),
        "p_holm": statistics.p_value(values),
        "closed": _closed(group, best, difference.mean),
        "break_even": None if math.isinf(periods) else periods,
        "break_even_items": None if math.isinf(items) else items,
        "roi": breakeven.roi(difference.mean, group.costs.total(horizon)),
    }


def _closed(group: Group, best: Group, gain: float) -> float | None:
    """The share of the way from the baseline to the clairvoyant bound that a method's gain goes; None without a bound."""
    bound = group.value("clairvoyant")
    room = None if bound is None else bound - float(best.benefit.mean()) * best.scale
    return gain / room if room and room > 0 else None


def _match(values: np.ndarray, seeds: int) -> np.ndarray:
    """The baseline's values for as many seeds: its own where it has as many, else their mean for each."""
    return values if len(values) == seeds else np.repeat(values.mean(0, keepdims=True), seeds, axis=0)


def components(group: Group) -> dict[str, float]:
    """Mean money over the horizon by component, with what the method costs; all >= 0."""
    if not group.done:
        return {}
    parts = {name: float(np.mean([job.values[name].mean() for job in group.jobs])) * group.scale for name in Money._fields}
    costs, periods = group.costs, group.first["periods"]
    return parts | {
        "implementation": costs.implementation,
        "training": costs.training,
        "inference": costs.inference * periods,
        "maintenance": costs.maintenance * periods,
    }
