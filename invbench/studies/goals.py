"""Methods fitted for a goal beside the same methods fitted for the mean: a fill rate held on most paths, or the worst paths."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from invbench import jobs, sweep
from invbench.checks import choice, number, require, whole
from invbench.evaluation import statistics
from invbench.evaluation.compare import Group, Job
from invbench.evaluation.statistics import Estimate
from invbench.progress import track
from invbench.report import page, tables, verdicts
from invbench.studies.contest import csv_text, effect, inherited, markdown, opening, quoted, settled, show

GOALS = ("service", "cvar")
RESAMPLES, CHUNK = 1000, 50  # of paths; at a time
NORMAL = 1.959964  # the 97.5 % quantile of the normal distribution
COLUMNS = (
    "setting method goal seeds paths plain reached lower upper worst_seed better difference difference_lower difference_upper"
    " percent percent_lower percent_upper p_holm plain_benefit benefit"
).split()
HEADS = {
    "service": ("setting", "method", "fill rate is held on, % of paths: plain", "constrained", "95 % interval", "worst training",
                "net benefit changes by", "% of its cost"),
    "cvar": ("setting", "method", "CVaR: plain", "gain by risk aversion", "95 % interval", "least of a training",
             "mean net benefit changes by", "% of its cost"),
}  # fmt: skip
READING = {
    "service": "Share of unseen paths on which at least {target:.0%} of the horizon's demand is met from stock; the interval is"
    " Wilson's, over paths. What the constraint costs is paired, path by path, with 95 % intervals over paths and seeds.",
    "cvar": "CVaR: mean net benefit of operations of the worst {tail:.0%} of paths. Gains are paired: the interval is over"
    " resampled paths, and over seeds where there are several. The mean, too, is paired, path by path.",
}


@dataclass(frozen=True)
class GoalStudy:
    """Fits every method of `methods` for the mean and for the goal, on every setting; every field is explained in its YAML."""

    goal: str
    target: float
    tail: float
    seeds: int
    settings: dict[str, list[str]]
    methods: dict[str, dict[str, Any]]  # name: {plain: overrides, or the name of a method that has them; aimed: overrides}

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write goals.csv, table.csv, table.md and index.html into the folder; exit code 1 where a job failed."""
        choice("study.goal", self.goal, GOALS)
        whole("study.seeds", self.seeds, low=1)
        for name in ("target", "tail"):
            number(f"study.{name}", getattr(self, name), low=0, high=1, above=True)
        for name, given in self.methods.items():
            other = given["plain"]
            known = not isinstance(other, str) or isinstance(self.methods.get(other, {}).get("plain"), list)
            require(known, f"study.methods.{name}.plain", "overrides, or a method of study.methods that has them", other)
        tasks = [(setting, method) for setting in self.settings for method in self.methods]
        pairs = [self._pair(*task, folder, config) for task in track(tasks, self.goal)]
        rows = [self._row(task[1], *pair) for task, pair in zip(tasks, pairs) if all(group.done for group in pair)]
        jobs.write(folder / "goals.csv", csv_text(rows, COLUMNS))
        groups = {(group.scenario, group.method): group for pair in pairs for group in pair}  # some share what is plain
        found = [job for group in groups.values() for job in group.jobs]
        comparison = sweep.compare_jobs(found, folder.name, f"invbench +experiment={config['names']['experiment']}")
        tables.write_csv(comparison, folder / "table.csv")
        heads, cells, text = HEADS[self.goal], [self._cells(row) for row in rows], self.verdict(rows)
        reading = READING[self.goal].format(target=self.target, tail=self.tail)
        jobs.write(folder / "table.md", f"{markdown(heads, cells, reading)}\n{text}\n")
        page.write_page(comparison, folder, opening(text, self._picture(rows), heads, cells, reading))
        show(f"Fitted for {self.goal} beside fitted for the mean", heads, cells, (reading, text))
        return 0 if all(job.status == "done" for job in found) else 1

    def verdict(self, rows: list[dict[str, Any]]) -> str:
        """One sentence on all rows."""
        reached = sum(row["better"] for row in rows)
        if self.goal == "service":
            held = [row["reached"] for row in rows]
            sentence = (
                f"a fill rate of {self.target:.0%} is held on at least 95 % of unseen paths in {reached} of {len(rows)} rows"
            )
            return sentence + (f", on {min(held):.1%} of them at the least" if rows else "")
        return f"CVaR is better by more than chance in {reached} of {len(rows)} rows"

    def _pair(self, setting: str, method: str, folder: Path, config: dict[str, Any]) -> tuple[Group, Group]:
        """The jobs of a method as it is, and of the one with the goal."""
        groups = []
        shared = self.methods[method]["plain"]
        plain = shared if isinstance(shared, str) else method
        for kind, one, name in (("plain", plain, plain), ("aimed", method, f"{method}, {self.goal}")):
            given = [*inherited(config), *self.settings[setting], *self.methods[one][kind]]
            given += [f"names.scenario={quoted(setting)}", f"names.method={quoted(name)}", "tracker=none", "name=null"]
            found = []
            for seed in range(self.seeds):
                own = [*given, f"seed={config['seed'] + seed}", f"outputs={quoted(str(folder))}"]
                found.append(settled(own))
                if found[-1].status == "done" and not _varies(found[-1].report):
                    break
            groups.append(Group(name, setting, tuple(found)))
        return tuple(groups)

    def _row(self, method: str, plain: Group, aimed: Group) -> dict[str, Any]:
        cost = effect(aimed, plain)
        found = self._service(plain, aimed) if self.goal == "service" else self._cvar(plain, aimed)
        row = dict(setting=aimed.scenario, method=method, goal=self.goal, seeds=len(aimed.jobs))
        row |= {"paths": aimed.benefit.shape[1], "plain_benefit": cost["baseline_benefit"]}
        return row | found | {name: cost[name] for name in COLUMNS if name in cost}

    def _service(self, plain: Group, aimed: Group) -> dict[str, Any]:
        before, after = (np.stack([_fill(job) >= self.target for job in group.jobs]) for group in (plain, aimed))
        share = wilson(float(after.mean()), after.shape[1])
        found = dict(plain=float(before.mean()), reached=share.mean, lower=share.lower, upper=share.upper)
        return found | dict(worst_seed=float(after.mean(1).min()), better=share.mean >= 0.95)

    def _cvar(self, plain: Group, aimed: Group) -> dict[str, Any]:
        before = np.broadcast_to(plain.benefit, aimed.benefit.shape) if len(plain.jobs) == 1 else plain.benefit
        gain = cvar_gain(before, aimed.benefit, self.tail)
        each = cvar(aimed.benefit, self.tail) - cvar(before, self.tail)
        found = dict(plain=float(cvar(before, self.tail).mean()), reached=gain.mean, lower=gain.lower, upper=gain.upper)
        return found | dict(worst_seed=float(each.min()), better=gain.lower > 0)

    def _cells(self, row: dict[str, Any]) -> list[str]:
        share = (lambda value: f"{100 * value:.1f}") if self.goal == "service" else (lambda value: f"{value:,.0f}")
        change = f"{row['difference']:+,.0f} [{row['difference_lower']:+,.0f}, {row['difference_upper']:+,.0f}]"
        reached = share(row["reached"]) + " *" * row["better"]
        interval = f"[{share(row['lower'])}, {share(row['upper'])}]"
        return [row["setting"], row["method"], share(row["plain"]), reached, interval, share(row["worst_seed"]), change,
                f"{row['percent']:+.1f}"]  # fmt: skip

    def _picture(self, rows: list[dict[str, Any]]) -> str:
        """What the goal gains: shares of paths beside the share that is asked for, or CVaR in % of what it was."""
        if not rows:
            return ""
        names = [f"{row['setting']}: {row['method']}" for row in rows]
        if self.goal == "service":
            drawn = [_drawn(row, lambda value: 100 * value - 95) for row in rows]
            return f"<figure>{verdicts.forest(names, drawn, 'paths on which it is held, percentage points beside 95 %')}</figure>"
        drawn = [_drawn(row, lambda value, row=row: 100 * value / abs(row["plain"])) for row in rows]
        return f"<figure>{verdicts.forest(names, drawn, 'gain of CVaR, % of what it is without')}</figure>"


def _drawn(row: dict[str, Any], scale: Any) -> dict[str, Any]:
    ends = dict(zip(("percent", "percent_lower", "percent_upper"), (scale(row[name]) for name in ("reached", "lower", "upper"))))
    return ends | {"verdict": "better" if row["better"] else "worse" if ends["percent_upper"] < 0 else "even"}


def _varies(report: dict[str, Any]) -> bool:
    """Whether another seed is another result worth having."""
    return report["information"] == "history" or report["training"] is not None


def _fill(job: Job) -> np.ndarray:
    """[path] the share of demand that stock met; 1 where there was none."""
    demand = job.values["demand"]
    return np.where(demand > 0, job.values["met"] / np.maximum(demand, 1e-12), 1.0)


def wilson(share: float, trials: int) -> Estimate:
    """A share with its 95 % score interval (Wilson 1927, Journal of the American Statistical Association 22)."""
    spread = NORMAL**2 / trials
    centre = (share + spread / 2) / (1 + spread)
    half = NORMAL * np.sqrt(share * (1 - share) / trials + spread / (4 * trials)) / (1 + spread)
    return Estimate(share, float(centre - half), float(centre + half))


def cvar(values: np.ndarray, tail: float) -> np.ndarray:
    """[...] the mean of the lowest share `tail` of values [..., path]."""
    count = max(1, int(np.ceil(tail * values.shape[-1] - 1e-9)))
    return np.partition(values, count - 1, axis=-1)[..., :count].mean(-1)


def cvar_gain(before: np.ndarray, after: np.ndarray, tail: float) -> Estimate:
    """How much more the CVaR of `after` is than that of `before`, both [seed, path] on the same paths.

    The interval: paths are resampled together for both and all seeds (paired bootstrap, Efron and Tibshirani 1993, section 8),
    and the seeds' differences have a t interval; the two add in quadrature, as in `statistics.mean`.
    """
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    each = cvar(after, tail) - cvar(before, tail)
    drawn = np.concatenate(list(_resampled(before, after, tail)))
    half = NORMAL * drawn.std(ddof=1)
    if len(each) > 1:
        t = -float(special.stdtrit(len(each) - 1, (1 - statistics.LEVEL) / 2))
        half = np.hypot(half, t * each.std(ddof=1) / np.sqrt(len(each)))
    return Estimate(float(each.mean()), float(each.mean() - half), float(each.mean() + half))


def _resampled(before: np.ndarray, after: np.ndarray, tail: float) -> Iterable[np.ndarray]:
    """[resample] mean differences over seeds, a chunk at a time."""
    generator, paths = np.random.default_rng(0), before.shape[1]
    for _ in range(RESAMPLES // CHUNK):
        chosen = generator.integers(paths, size=(CHUNK, paths))
        yield (cvar(after[:, chosen], tail) - cvar(before[:, chosen], tail)).mean(0)
