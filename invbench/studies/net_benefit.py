"""The reference system's net benefit study on its own demand: every method, every figure, on 10 paths as printed and on 1,000."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from invbench import jobs, sweep
from invbench.checks import require, whole
from invbench.evaluation.compare import Job
from invbench.progress import track
from invbench.report import page, tables, verdicts
from invbench.report.tables import amount, share
from invbench.studies import contest, rejudged
from invbench.studies.rejudged import COLUMNS, View

TITLE = "Net benefit on the reference's demand"
GAIN = "gain in net benefit of operations, % of the cost of the best tuned classical method"


@dataclass(frozen=True)
class NetBenefit:
    """Fits `methods` once on `setting`, both given by overrides, and judges each over all `days` on all numbers of `paths`."""

    setting: list[str]
    methods: dict[str, list[str]]
    days: list[int]  # the first: what is fitted for
    paths: list[int]  # the first: what verdicts are read from
    seeds: int

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write rows.csv, table.csv, table.md, timing.csv and index.html into the folder; exit code 1 where a job failed."""
        found = self.judged(folder, config)
        rows = rejudged.rows(found)
        jobs.write(folder / "rows.csv", contest.csv_text(rows, list(COLUMNS)))
        jobs.write(folder / "timing.csv", rejudged.timing(folder))
        shown = rejudged.named({view: members for view, members in found.items() if view.paths == self.paths[0]})
        comparison = sweep.compare_jobs(shown, folder.name, f"invbench +experiment={config['names']['experiment']}")
        tables.write_csv(comparison, folder / "table.csv")
        told, parts = [verdict(rows, days, self.paths) for days in self.days], list(self.tables(rows))
        text = "".join(f"### {title}\n\n{contest.markdown(heads, cells, note)}\n" for title, heads, cells, note in parts)
        jobs.write(folder / "table.md", f"{text}{' '.join(told)}\n")
        page.write_page(comparison, folder, self._opening(rows, told, parts))
        for title, heads, cells, note in parts:
            contest.show(title, heads, cells, (note,))
        print(" ".join(told))
        return 0 if all(job.status == "done" for members in found.values() for job in members) else 1

    def judged(self, folder: Path, config: dict[str, Any]) -> dict[View, list[Job]]:
        """Every job by its view; ValueError where days, paths or seeds are none."""
        views = views_of(self.days, self.paths, self.seeds)
        given, found = [*contest.inherited(config), *self.setting], {view: [] for view in views}
        for name, method in track(list(self.methods.items()), "methods"):
            for seed in range(self.seeds):
                own = [*given, *method, f"names.method={contest.quoted(name)}", f"seed={config['seed'] + seed}"]
                for view, job in zip(views, rejudged.judged(own, views, folder), strict=True):
                    found[view].append(job)
        return found

    def tables(self, rows: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[list[str]], str]]:
        """(title, heads, cells, how to read it) of every table for people."""
        for days in self.days:
            own = by_rank(rejudged.pick(rows, days=days, paths=self.paths[0]))
            for title, columns, note in TABLES:
                cells = [[_name(row), *(write(row) for write in columns.values())] for row in own]
                yield f"{title}, {days} days, {self.paths[0]:,} paths", ["method", *columns], cells, note
            if len(self.paths) > 1:
                yield self._few(rows, own, days)

    def _few(self, rows: list[dict[str, Any]], own: list[dict[str, Any]], days: int) -> Any:
        """What few paths say beside what many say."""
        many, few = self.paths[0], self.paths[-1]
        other = {row["method"]: row for row in rejudged.pick(rows, days=days, paths=few)}
        counts = [f"{few:,} paths", f"{many:,} paths"]
        heads = ["method", *(f"{what}, {count}" for what in ("rank", "net benefit", "interval width") for count in counts)]
        names = ("rank", "net_benefit", "width")
        cells = [[_name(row), *(amount_or_rank(one, n) for n in names for one in (other[row["method"]], row))] for row in own]
        return f"{few:,} paths beside {many:,}, {days} days", heads, cells, FEW

    def _opening(self, rows: list[dict[str, Any]], told: list[str], parts: list[Any]) -> str:
        days = self.days[0]
        names, gains = [], []
        for row in by_rank(rejudged.pick(rows, days=days, paths=self.paths[0])):
            both = [row, *(one for n in self.paths[1:] for one in rejudged.pick(rows, days=days, paths=n, method=row["method"]))]
            both = [one for one in both if one["percent"] is not None and one["family"] != "bound"]
            gains += both
            names += [f"{_name(one)}, {one['paths']:,} paths" for one in both]
        picture = f"<figure><h3>{days} days</h3>{verdicts.forest(names, gains, GAIN)}</figure>" if gains else ""
        body = "".join(f"<h3>{escape(title)}</h3>" + boxed(heads, cells, note) for title, heads, cells, note in parts)
        return f'<h2 id="verdict">Verdict</h2>{"".join(f"<p>{escape(text)}</p>" for text in told)}{picture}{body}'


def views_of(days: list[int], paths: list[int], seeds: int) -> list[View]:
    """All days with all numbers of paths. Raises ValueError where one is no number that can be judged."""
    require(bool(days), "study.days", "one number of days or more", days)
    require(bool(paths), "study.paths", "one number of paths or more", paths)
    require(days == sorted(days, reverse=True), "study.days", "longest first, as that is what is fitted for", days)
    require(paths == sorted(paths, reverse=True), "study.paths", "largest first, as that is what verdicts are read from", paths)
    whole("study.seeds", seeds, low=1)
    return [View(whole("study.days", one, low=2), whole("study.paths", number, low=2)) for one in days for number in paths]


def by_rank(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in the order of net benefit; bounds and what failed at the end."""
    return sorted(rows, key=lambda row: (row["rank"] is None, row["rank"] or 0))


def verdict(rows: list[dict[str, Any]], days: int, paths: list[int]) -> str:
    """Who is first before and after the methods' own costs, what learned methods are worth, and what few paths would say."""
    own = [row for row in rejudged.pick(rows, days=days, paths=paths[0]) if row["rank"]]
    if not own:
        return f"{days} days: no method has a result."
    first, before = (min(own, key=lambda row: row[name]) for name in ("rank", "rank_operating"))
    learned = [row for row in own if row["family"] != "traditional"]
    count = {kind: sum(row["verdict"] == kind for row in learned) for kind in ("better", "worse")}
    pays = [row["method"] for row in learned if row["break_even"] is not None and row["break_even"] <= days]
    text = f"{days} days: {first['method']} has the highest net benefit; before the methods' own costs it is {before['method']}."
    text += f" Before those costs {count['better']} of {len(learned)} learned methods are significantly better than the best"
    text += f" tuned classical one ({first['baseline']}) and {count['worse']} significantly worse;"
    text += f" for one item {', '.join(pays) or 'none'} pays for itself within these days."
    return text + _moved(own, rejudged.pick(rows, days=days, paths=paths[-1]), paths)


def _moved(own: list[dict[str, Any]], few: list[dict[str, Any]], paths: list[int]) -> str:
    """How the ranking and the intervals of few paths differ."""
    pairs = [(row, other) for row in own for other in few if other["method"] == row["method"] and other["rank"]]
    if len(paths) < 2 or not pairs:
        return ""
    moved = [abs(row["rank"] - other["rank"]) for row, other in pairs]
    wider = sum(other["width"] for _, other in pairs) / sum(row["width"] for row, _ in pairs)
    return (
        f" On {paths[-1]} paths {sum(map(bool, moved))} of {len(pairs)} methods have another rank (by up to {max(moved)}), and"
        f" intervals are {wider:.0f} times as wide."
    )


def _name(row: dict[str, Any]) -> str:
    return row["method"] + f" ({row['label']})" * bool(row["label"]) + " †" * (row["method"] == row["baseline"])


def amount_or_rank(row: dict[str, Any], name: str) -> str:
    """A cell: a rank as it is, money as amounts are written."""
    value = row[name]
    return "–" if value is None else str(value) if name == "rank" else amount(value)


def _spread(row: dict[str, Any]) -> str:
    if row["width"] is None:
        return amount(row["net_benefit"])
    return f"{amount(row['net_benefit'])} ± {amount(row['width'] / 2)}"


def _money(name: str) -> Any:
    return lambda row: amount(row[name])


def _points(name: str, digits: int = 2) -> Any:
    return lambda row: "–" if row[name] is None else f"{row[name]:.{digits}f}"


FEW = "Ranks by net benefit; width of the 95 % interval of net benefit, money."
TABLES = (
    (
        "Net benefit",
        {
            "net benefit": _spread, "before method costs": _money("operating_benefit"), "ROI": _points("roi_reference", 3),
            "fill rate": lambda row: share(row["fill_rate"]), "no stock-out": lambda row: share(row["no_stockout"]),
            "1 − WAPE": lambda row: share(row["forecast_accuracy"]), "MASE": _points("forecast_mase"),
            "pinball 90 %": _points("forecast_pinball_90"), "coverage 90 %": lambda row: share(row["forecast_coverage"]),
        },
        "± half the 95 % interval over paths. ROI is net benefit over all costs, the reference's formula. Forecasts are those"
        " that the method made for itself when it was fitted; – it makes none. † the tuned classical method that is best on"
        " validation paths.",
    ),
    (
        "Where the money goes",
        {name: _money(name) for name in rejudged.MONEY},
        "Money over the days judged. What a method itself costs, from implementation on, is an assumption of the cost model.",
    ),
    (
        "Risk, and when it pays",
        {
            "std": _money("std"), "mean − 0.5 std": _money("risk_adjusted"), "CVaR 5 %": _money("cvar"),
            "gain, % of cost": lambda row: "–" if row["percent"] is None else contest.percent(row),
            "p (Holm)": contest.chance, "pays after, days": _points("break_even", 0), "or items": _points("break_even_items", 0),
            "way to clairvoyant, %": _points("closed", 1),
        },
        "Of net benefit of operations. The gain is over the tuned classical method that is best on validation paths (†), in per"
        " cent of what that one leaves of the margin of all demand; with the methods' own costs it pays after so many days, or at"
        " once over these days if so many items share it; – never.",
    ),
)  # fmt: skip


def boxed(heads: list[str], cells: list[list[str]], note: str) -> str:
    """A table of the page in its box, with how to read it."""
    whole_part = contest.opening("", "", heads, cells, note)
    return whole_part[whole_part.index('<div class="scroll">') :]
