"""The verbs beside Hydra runs: report, verify, rerun, search; and what a single job prints."""

import filecmp
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from invbench import jobs
from invbench.jobs import Refused

NOT_COMPARED = {jobs.CONFIG, "timing.json"}  # files of a job that a second run need not write the same
SHOWN = {
    "net_benefit": "net benefit",
    "operating_benefit": "net benefit of operations",
    "method_cost": "cost of the method",
    "average_cost": "operating cost per period",
    "std": "standard deviation",
    "cvar": "CVaR 5 %",
    "fill_rate": "fill rate",
    "ready_rate": "ready rate",
    "cycle_service": "cycle service",
    "clairvoyant": "clairvoyant bound",
}


def show(folder: Path) -> None:
    """Print the main figures of a finished job."""
    report = jobs.read_json(folder / "report.json")
    remark = f" ({report['label']})" if report["label"] else ""
    title = f"{report['method']}{remark} on {report['scenario']}: {report['paths']['number']} paths, {report['periods']} periods"
    table = Table("", "value", "95 % interval", title=title, title_justify="left")
    for name, text in SHOWN.items():
        if name in report:
            table.add_row(text, *_cells(report[name]))
    if report.get("optimum"):
        table.add_row(*_optimum(report["optimum"], jobs.read_json(folder / "timing.json")["optimum"]))
    if report["parameters"]:
        table.add_row("parameters", ", ".join(f"{name} {_short(value)}" for name, value in report["parameters"].items()), "")
    Console(highlight=False).print(table)


def _optimum(found: dict[str, float], seconds: float) -> tuple[str, str, str]:
    """The optimum that was computed, its bracket, and what it took."""
    kind = "discounted" if found["discount"] < 1 else "" if "periods" in found else "per period"
    kind = f"{kind}, over the horizon".strip(", ") if "periods" in found else kind
    bracket = f"{found['lower']:,.9g} … {found['upper']:,.9g}" + (" (proved)" if found["proved"] else "")
    return (
        f"optimal cost {kind}\n(less revenue)\n{found['states']:,.0f} states, {seconds:.1f} s",
        f"{found['value']:,.6g}",
        bracket,
    )


def _cells(figure: dict[str, Any]) -> tuple[str, str]:
    value = figure.get("mean", figure.get("value"))
    if value is None:
        return figure.get("withheld", "–"), ""
    bounded = figure.get("lower") is not None
    return f"{value:,.4g}" if abs(
        value
    ) < 1000 else f"{value:,.0f}", f"{figure['lower']:,.6g} … {figure['upper']:,.6g}" if bounded else ""


def _short(value: Any) -> str:
    return (
        ", ".join(f"{number:.4g}" for number in value)
        if isinstance(value, list) and all(not isinstance(v, list) for v in value)
        else "…"
    )


def _folder(arguments: list[str], verb: str) -> Path:
    if len(arguments) != 1:
        raise Refused(f"usage: invbench {verb} FOLDER")
    folder = Path(arguments[0])
    if not folder.is_dir():
        raise Refused(f"{arguments[0]} is not a folder")
    return folder.resolve()


def _same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and filecmp.cmp(one, other, shallow=False)


def report(arguments: list[str]) -> int:
    """Write and print the comparison of a sweep's folder again."""
    from invbench import sweep

    folder = _folder(arguments, "report")
    planned = jobs.read_json(folder / sweep.PLAN)
    if planned is None:
        raise Refused(f"{folder.name} is not the folder of a sweep (it has no {sweep.PLAN})")
    code = sweep.conclude(folder, planned["jobs"], f"invbench report {arguments[0]}")
    print(folder)
    return code


def verify(arguments: list[str]) -> int:
    """Check every finished job in a folder against the hashes written when it finished."""
    folder = _folder(arguments, "verify")
    homes = [folder] if (folder / jobs.CONFIG).exists() else sorted(path.parent for path in folder.glob(f"*/{jobs.CONFIG}"))
    if not homes:
        raise Refused(f"{folder.name} holds no jobs")
    wrong = {home.name: text for home in homes if (text := jobs.damage(home))}
    for name, text in wrong.items():
        print(f"{name}: {text}")
    print(f"{len(homes) - len(wrong)} of {len(homes)} jobs are as they were written")
    print(folder)
    return 1 if wrong else 0


def rerun(arguments: list[str]) -> int:
    """Run a finished job once more from its saved config and compare every result file byte by byte."""
    from invbench import run
    from invbench.tracker import Careful, Tracker

    folder = _folder(arguments, "rerun")
    if jobs.damage(folder):
        raise Refused(f"{folder.name} is no finished job: {jobs.damage(folder)}")
    plain = jobs.read_yaml(folder / jobs.CONFIG)
    run.check_targets(plain)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".rerun-") as place:
        again = Path(place)
        run.work(plain, again, Careful(Tracker()))
        names = sorted((jobs.hashes(folder).keys() | jobs.hashes(again).keys()) - NOT_COMPARED)
        differ = [name for name in names if not _same(folder / name, again / name)]
    print("the same bytes again" if not differ else f"differs: {', '.join(differ)}", file=sys.stdout)
    print(folder)
    return 1 if differ else 0


def search(arguments: list[str]) -> int:
    """Search a space of a method's settings; prints what was found, and what judging the best on evaluation paths says."""
    from invbench.search import driver, request

    found = driver.search(request.parsed(arguments, " ".join(["invbench", "search", *arguments])))
    show(found.job)
    Console(highlight=False).print(found_table(found))
    print(f"report page: {found.request.folder / 'index.html'}")
    print(f"in any job: invbench +tuned={jobs.slug(found.request.name)}")
    print(found.request.folder)
    return 0


def found_table(found: Any) -> Table:
    """The best trial of a search beside the first one."""
    goals, trials = found.request.settings["objectives"], found.trials.all()
    first = found.request.first is not None and trials[0].values
    title = f"{found.request.name}: {len(trials)} trials, {sum(not one.values for one in trials)} failed"
    table = Table("", f"best: trial {found.best.place + 1}", "as in the YAML", title=title, title_justify="left")
    for place, goal in enumerate(goals):
        table.add_row(goal, f"{found.best.values[place]:,.6g}", f"{trials[0].values[place]:,.6g}" if first else "")
    for name, value in found.best.params.items():
        beside = trials[0].params[name] if found.request.first is not None else ""
        table.add_row(name, *(f"{one:.4g}" if isinstance(one, float) else str(one) for one in (value, beside)))
    return table
