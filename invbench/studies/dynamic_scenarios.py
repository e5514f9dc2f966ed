"""The reference's dynamic scenarios: one fit for each method and demand, judged by risk-adjusted benefit, and off its level."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from invbench import jobs, sweep
from invbench.checks import number
from invbench.evaluation.compare import Job
from invbench.progress import track
from invbench.report import page, tables
from invbench.report.tables import amount
from invbench.studies import contest, rejudged
from invbench.studies.net_benefit import boxed, views_of
from invbench.studies.rejudged import COLUMNS, View

MONEY = "Net benefit of operations, money over the days judged. † the tuned classical method that is best on validation paths."
RISK = "Mean less evaluation.risk_aversion standard deviations of net benefit of operations over paths, money."
PERCENT = (
    "Net benefit of operations more than that of the tuned classical method that is best on validation paths (†), in per cent of"
    " what that one leaves of the margin of all demand; * p < 0.05 (Holm, over the methods of this row)."
)
OFF = "The same policies, fitted to the old level, judged on demand of another one. " + PERCENT


@dataclass(frozen=True)
class DynamicScenarios:
    """Fits `methods` once on each of `scenarios`, all given by overrides, and judges each policy in every way."""

    setting: list[str]
    scenarios: dict[str, list[str]]
    methods: dict[str, list[str]]
    days: list[int]  # the first: what is fitted for
    paths: list[int]  # the first: what verdicts are read from
    levels: list[float]  # of demand in judging, as shares of the level that was fitted to; over the first days and paths
    seeds: int

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write rows.csv, table.csv, table.md, timing.csv and index.html into the folder; exit code 1 where a job failed."""
        found = self.judged(folder, config)
        rows = rejudged.rows(found)
        jobs.write(folder / "rows.csv", contest.csv_text(rows, list(COLUMNS)))
        jobs.write(folder / "timing.csv", rejudged.timing(folder))
        first = View(self.days[0], self.paths[0])
        comparison = sweep.compare_jobs(found[first], folder.name, f"invbench +experiment={config['names']['experiment']}")
        tables.write_csv(comparison, folder / "table.csv")
        told, parts = list(self.verdicts(rows)), list(self.tables(rows))
        text = "".join(f"### {title}\n\n{contest.markdown(heads, cells, note)}\n" for title, heads, cells, note in parts)
        jobs.write(folder / "table.md", f"{text}{' '.join(told)}\n")
        body = "".join(f"<h3>{escape(title)}</h3>" + boxed(heads, cells, note) for title, heads, cells, note in parts)
        opening = f'<h2 id="verdict">Verdict</h2>{"".join(f"<p>{escape(text)}</p>" for text in told)}{body}'
        page.write_page(comparison, folder, opening)
        for title, heads, cells, note in parts:
            contest.show(title, heads, cells, (note,))
        print(" ".join(told))
        return 0 if all(job.status == "done" for members in found.values() for job in members) else 1

    def views(self) -> list[View]:
        """Every way to judge. Raises ValueError where one is none."""
        levels = [number("study.levels", level, low=0, above=True) for level in self.levels]
        shifted = [View(self.days[0], self.paths[0], level) for level in levels if level != 1]
        return views_of(self.days, self.paths, self.seeds) + shifted

    def judged(self, folder: Path, config: dict[str, Any]) -> dict[View, list[Job]]:
        """Every job by its view; one fit for each scenario, method and seed."""
        views = self.views()
        found: dict[View, list[Job]] = {view: [] for view in views}
        pairs = [(scenario, method) for scenario in self.scenarios for method in self.methods]
        for scenario, method in track(pairs, "fits"):
            names = [f"names.scenario={contest.quoted(scenario)}", f"names.method={contest.quoted(method)}"]
            given = [*contest.inherited(config), *self.setting, *self.scenarios[scenario], *self.methods[method], *names]
            for seed in range(self.seeds):
                own = rejudged.judged([*given, f"seed={config['seed'] + seed}"], views, folder)
                for view, job in zip(views, own, strict=True):
                    found[view].append(job)
        return found

    def tables(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[list[str]], str]]:
        """(title, heads, cells, how to read it) of every table for people: scenarios down, methods across."""
        most = self.paths[0]
        for days in self.days:
            yield self._table(rows, f"Net benefit, {days} days, {most:,} paths", MONEY, mean, View(days, most))
            yield self._table(rows, f"Against the best tuned classical method, {days} days", PERCENT, gain, View(days, most))
            for paths in self.paths:
                yield self._table(rows, f"Risk-adjusted, {days} days, {paths:,} paths", RISK, adjusted, View(days, paths))
        for view in self.views():
            if view.level != 1:
                yield self._table(rows, f"Out of distribution: {view.label}", OFF, gain, view)

    def _table(self, rows: list[dict[str, Any]], title: str, note: str, write: Callable, view: View) -> Any:
        own = rejudged.pick(rows, days=view.days, paths=view.paths, level=view.level)
        remarks = {row["method"]: f" ({row['label']})" * bool(row["label"]) for row in own}
        at = {(row["scenario"], row["method"]): write(row) for row in own}
        cells = [[name, *(at.get((name, method), "–") for method in self.methods)] for name in self.scenarios]
        return title, ["scenario", *(method + remarks.get(method, "") for method in self.methods)], cells, note

    def verdicts(self, rows: list[dict[str, Any]]) -> Iterator[str]:
        """A sentence on each way to judge with the most paths, and one on what few paths say."""
        for view in self.views():
            if view.paths == self.paths[0]:
                yield verdict(rejudged.pick(rows, days=view.days, paths=view.paths, level=view.level), view)
        for days in self.days if len(self.paths) > 1 else ():
            most, few = (
                winners(rejudged.pick(rows, days=days, paths=paths, level=1.0)) for paths in (self.paths[0], self.paths[-1])
            )
            other = sum(few.get(name) != best for name, best in most.items())
            named = f"{self.paths[-1]} paths name another best method on {other} of {len(most)} scenarios"
            yield f"By risk-adjusted benefit over {days} days, {named}."


def winners(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The method with the highest risk-adjusted benefit on each scenario, no bound among them."""
    rivals = [row for row in rows if row["status"] == "done" and row["family"] != "bound"]
    return {row["scenario"]: row["method"] for row in sorted(rivals, key=lambda row: row["risk_adjusted"])}


def verdict(rows: list[dict[str, Any]], view: View) -> str:
    """How often each learned method is better and worse than the best tuned classical one."""
    learned = [row for row in rows if row["status"] == "done" and row["family"] not in ("traditional", "bound")]
    parts = []
    for method in dict.fromkeys(row["method"] for row in learned):
        own = [row["verdict"] for row in learned if row["method"] == method]
        parts.append(f"{method} {own.count('better')} / {own.count('worse')}")
    of = len({row["scenario"] for row in rows})
    return (
        f"{view.label}: significantly better / worse than the best tuned classical method, of {of}: {', '.join(parts) or 'none'}."
    )


def mean(row: dict[str, Any]) -> str:
    """A cell: net benefit of operations, with a dagger on the baseline."""
    return amount(row["operating_benefit"]) + " †" * (row["method"] == row["baseline"])


def adjusted(row: dict[str, Any]) -> str:
    """A cell: the risk-adjusted benefit."""
    return amount(row["risk_adjusted"])


def gain(row: dict[str, Any]) -> str:
    """A cell: per cent of the baseline's cost with a star where it is no chance."""
    if row["percent"] is None:
        return "†" if row["method"] == row["baseline"] else "–"
    return f"{row['percent']:+.1f}" + " *" * (row["verdict"] in ("better", "worse") and row["family"] != "bound")
