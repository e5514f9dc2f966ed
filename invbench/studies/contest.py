"""Learned methods against the best tuned classical one of each setting: ordinary jobs, then one comparison and a verdict.

The baseline of a setting is the tuned classical method that is best on validation paths, the challenger the learned one that is
best there; evaluation paths are looked at once, by every job for itself. All p-values are corrected together (Holm 1979).
"""

import csv
import io
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from invbench import configs, jobs, run, sweep
from invbench.checks import require, whole
from invbench.evaluation import breakeven, compare, statistics
from invbench.evaluation.compare import Group, Job
from invbench.progress import say, track
from invbench.report import page, tables, verdicts

COLUMNS = (
    "setting method counted seeds baseline challenger difference difference_lower difference_upper percent percent_lower"
    " percent_upper p_holm verdict closed break_even break_even_items benefit baseline_benefit baseline_cost clairvoyant"
).split()
KEPT = ("evaluation", "tuning", "problem", "fast_mode")  # what jobs take from the study's config, where nothing else is said
WIDTH = 160  # columns of a table that no terminal limits


@dataclass(frozen=True)
class Contest:
    """Runs `methods` on `settings`, each given by overrides as on the command line; learned methods once a seed."""

    settings: dict[str, list[str]]  # that the verdict counts
    beside: dict[str, list[str]]  # that are shown beside
    methods: dict[str, list[str]]
    seeds: int  # trainings of each learned method; where a history is observed also histories, for all methods
    tolerated: float  # per cent of the baseline's cost that a challenger may lose

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write contest.csv, table.csv, table.md and index.html into the folder; exit code 1 where a job failed."""
        whole("study.seeds", self.seeds, low=1)
        both = sorted(self.settings.keys() & self.beside.keys())
        require(not both, "study.beside", "settings that study.settings does not have", ", ".join(both))
        found = [job for name in track([*self.settings, *self.beside], "contest") for job in self._jobs(name, folder, config)]
        rows = judged(found, self.settings, config["evaluation"]["horizon"])
        jobs.write(folder / "contest.csv", csv_text(rows, COLUMNS))
        comparison = sweep.compare_jobs(found, folder.name, f"invbench +experiment={config['names']['experiment']}")
        tables.write_csv(comparison, folder / "table.csv")
        text = self.verdict(rows)
        heads, cells = list(HEADS.values()), list(map(_cells, rows))
        jobs.write(folder / "table.md", f"{markdown(heads, cells, READING)}\n{text}\n")
        page.write_page(comparison, folder, _opening(rows, text))
        show(TITLE, heads, cells, (READING, text))
        return 0 if all(job.status == "done" for job in found) else 1

    def verdict(self, rows: list[dict[str, Any]]) -> str:
        """One sentence on the challengers."""
        counted = [row for row in rows if row["challenger"] and row["counted"]]
        better = [row for row in counted if row["verdict"] == "better"]
        worst = min(counted, key=lambda row: row["percent"], default=None)
        if worst is None:
            return "no learned method was run"
        lost = f"the worst is {worst['setting']} with {worst['percent']:+.2f} % of the baseline's cost"
        lost += f" ({self.tolerated:g} % tolerated)"
        return f"challengers are significantly better on {len(better)} of {len(counted)} settings; {lost}"

    def _jobs(self, setting: str, folder: Path, config: dict[str, Any]) -> list[Job]:
        """Every job of a setting."""
        given = [*inherited(config), *(self.settings | self.beside)[setting], f"names.scenario={quoted(setting)}"]
        found = []
        for name, method in self.methods.items():
            for seed in range(self.seeds):
                own = [*given, *method, f"names.method={quoted(name)}", f"seed={config['seed'] + seed}"]
                found.append(settled([*own, "tracker=none", f"outputs={quoted(str(folder))}", "name=null"]))
                if found[-1].status == "done" and not _varies(found[-1].report):
                    break
        return found


def _varies(report: dict[str, Any]) -> bool:
    """Whether another seed is another result worth having: of what is trained, and where a history is observed."""
    return report["information"] == "history" or report["training"] is not None


def settled(overrides: list[str]) -> Job:
    """The job of these overrides, finished or failed; what is finished is not run again."""
    config, _ = configs.compose(overrides)
    plain = run.resolve(config)
    home = run.place(config, plain)[0]
    try:
        run.run(config)
    except Exception as error:
        say(f"failed: {plain['names']['method']} on {plain['names']['scenario']}: {run.sentence(error)}")
        return Job(plain, "failed", run.sentence(error), {}, {}, {})
    return sweep.finished(home)


def inherited(config: dict[str, Any]) -> list[str]:
    """What the study's config says of judging and tuning, as overrides."""
    parts = jobs.flatten({name: config[name] for name in KEPT})
    return [f"{name}={quoted(value)}" for name, value in parts if not name.endswith("_target_")]


def quoted(value: Any) -> str:
    """A value as an override says it."""
    if isinstance(value, str):
        return "'" + value.replace("'", "\\'") + "'"
    return json.dumps(value) if value is None or isinstance(value, bool) else str(value)


def judged(found: list[Job], counted: Any, horizon: int) -> list[dict[str, Any]]:
    """A row for every learned method on every setting, p-values corrected over all of them."""
    groups, rows = compare.groups(found), []
    for setting in dict.fromkeys(group.scenario for group in groups):
        rivals = [group for group in groups if group.scenario == setting and group.done]
        best = compare.baseline(rivals)
        learned = [group for group in rivals if group.first["family"] not in ("traditional", "bound")]
        first = max(learned, key=Group.validation, default=None)
        rows += [
            _row(group, best, horizon) | {"counted": setting in counted, "challenger": group is first}
            for group in learned
            if best
        ]
    correct(rows)
    return rows


def correct(rows: list[dict[str, Any]]) -> None:
    """Correct the p-values of effects together (Holm 1979), in place, and say what each then is: better, worse or even."""
    for row, corrected in zip(rows, statistics.holm([row["p_holm"] for row in rows]), strict=True):
        sure = corrected is not None and corrected < 1 - statistics.LEVEL
        row |= {"p_holm": corrected, "verdict": ("better" if row["difference"] > 0 else "worse") if sure else "even"}


def _row(group: Group, best: Group, horizon: int) -> dict[str, Any]:
    found = effect(group, best)
    bounds = [job.report.get("clairvoyant", {}).get("mean") for job in group.jobs]
    bound = float(np.mean(bounds)) if None not in bounds else None
    gain, room = found["difference"], None if bound is None else bound - found["baseline_benefit"]
    periods = breakeven.periods(gain, horizon, group.costs, best.costs)
    items = breakeven.items(gain, horizon, group.first["items"], group.costs, best.costs)
    found |= dict(setting=group.scenario, method=group.method, seeds=len(group.jobs), baseline=best.method)
    found |= dict(closed=100 * gain / room if room else None, clairvoyant=bound)
    return found | dict(break_even=_finite(periods), break_even_items=_finite(items))


def effect(group: Group, best: Group) -> dict[str, Any]:
    """What a method gains over another one on the same paths: money, and per cent of what that one's operations cost.

    Intervals are over paths and seeds (`statistics.mean`), seed by seed where both have as many; p_holm is not yet corrected.
    """
    rival = best.benefit if len(best.jobs) == len(group.jobs) else best.benefit.mean(0, keepdims=True)
    gain = statistics.mean(group.benefit - rival)
    cost = float(np.mean([_cost(job) for job in best.jobs]))
    ends = [None if end is None else 100 * end / cost for end in gain]
    found = dict(zip(("difference", "difference_lower", "difference_upper"), gain, strict=True))
    found |= dict(zip(("percent", "percent_lower", "percent_upper"), ends, strict=True))
    found |= dict(p_holm=statistics.p_value(group.benefit - rival), benefit=float(group.benefit.mean()))
    return found | dict(baseline_benefit=float(rival.mean()), baseline_cost=cost)


def _cost(job: Job) -> float:
    """What a method leaves of the margin of all demand, money over the horizon: holding, shortage, orders, lost margin."""
    price, purchase = (float(job.config["cost"][name]) for name in ("price", "purchase"))
    return float(((price - purchase) * job.values["demand"] - job.values["benefit"]).mean())


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


# what people see

HEADS = {
    "setting": "setting", "method": "learned method", "baseline": "best tuned classical", "percent": "% of its cost",
    "p": "p (Holm)",
    "verdict": "", "closed": "way to clairvoyant, %", "break_even": "pays after, periods", "break_even_items": "or items",
}  # fmt: skip


def _cells(row: dict[str, Any]) -> list[str]:
    some = lambda value, digits=0: "–" if value is None else f"{value:,.{digits}f}"  # noqa: E731
    return [
        row["setting"] + " (beside)" * (not row["counted"]), row["method"] + " *" * row["challenger"],
        row["baseline"], percent(row), chance(row), row["verdict"],
        some(row["closed"]), some(row["break_even"]), some(row["break_even_items"]),
    ]  # fmt: skip


def percent(row: dict[str, Any]) -> str:
    """An effect in per cent with half its interval."""
    half = None if row["percent_lower"] is None else (row["percent_upper"] - row["percent_lower"]) / 2
    return f"{row['percent']:+.2f}" + (f" ± {half:.2f}" if half is not None else "")


def chance(row: dict[str, Any]) -> str:
    """The corrected p of an effect."""
    return "–" if row["p_holm"] is None else f"{row['p_holm']:.1g}"


READING = (
    "Net benefit of operations, against the tuned classical method that is best on validation paths; + is better. Per cent of"
    " what that one leaves of the margin of all demand; ± is half the 95 % interval over paths and seeds. * the learned method"
    " that is best on validation paths. With the methods' own costs it pays after so many periods, or at once over the horizon if"
    " so many items share it."
)


TITLE = "Learned methods beside the best tuned classical one"
GAIN = "gain, % of the cost of the best tuned classical method"


def _opening(rows: list[dict[str, Any]], text: str) -> str:
    names = [f"{row['setting']}: {row['method']}" for row in rows]
    picture = f"<figure>{verdicts.forest(names, rows, GAIN)}</figure>" if rows else ""
    return opening(text, picture, list(HEADS.values()), list(map(_cells, rows)), READING)


def markdown(heads: Sequence[str], cells: Sequence[Sequence[str]], reading: str) -> str:
    """A table with a note on how to read it below."""
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in cells), "", reading, ""])


def show(title: str, heads: Sequence[str], cells: Sequence[Sequence[str]], notes: Sequence[str]) -> None:
    """The same on the terminal."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    table = Table(*heads, title=title, title_justify="left")
    for row in cells:
        table.add_row(*row)
    console.print(table)
    console.print("\n".join(notes), soft_wrap=True)


def opening(text: str, pictures: str, heads: Sequence[str], cells: Sequence[Sequence[str]], reading: str) -> str:
    """The verdict at the head of the page: a sentence, a picture, a table."""
    top = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    body = "".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in cells
    )
    table = f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    return f'<h2 id="verdict">Verdict</h2><p>{escape(text)}.</p>{pictures}{table}<p class="faint">{escape(reading)}</p>'


def csv_text(rows: list[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as CSV; what is None is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(row[name]) for name in columns} for row in rows)
    return text.getvalue()


def _plain(value: Any) -> Any:
    return f"{value:.10g}" if isinstance(value, float) else "" if value is None else value
