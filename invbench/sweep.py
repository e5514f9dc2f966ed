"""Sweeps: what is swept, what of it is done, and the comparison at the end."""

from pathlib import Path
from typing import Any

import numpy as np
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from invbench import configs, jobs
from invbench.evaluation import compare
from invbench.evaluation.compare import Job
from invbench.jobs import Refused

PLAN = "sweep.json"


def named(arguments: list[str]) -> tuple[list[str], Path, str]:
    """The arguments with the sweep's folder name and without parameters given twice; the output root; the name."""
    given = {argument.lstrip("+~").split("=")[0]: argument.partition("=")[2] for argument in arguments if "=" in argument}
    root, name = Path(given.get("outputs", "outputs")), given.get("name")
    for key in _params(given.get("sweep")):
        if key in given:  # what the command line says replaces what the sweep file says
            arguments = [*arguments, f"~hydra.sweeper.params.{key}"]
    if name is None:
        what = sorted(a for a in arguments if not a.startswith("-") and not jobs.elsewhere(a))
        name = f"{jobs.slug(given.get('sweep', 'sweep'))}-{jobs.digest(what)}"
        arguments = [*arguments, f"name={name}"]
    return arguments, root, name


def _params(sweep: str | None) -> dict[str, str]:
    """What the sweep file sweeps over."""
    path = configs.deltas("sweep") / f"{sweep}.yaml"
    if sweep is None or not path.exists():
        return {}
    return OmegaConf.to_container(OmegaConf.select(OmegaConf.load(path), "hydra.sweeper.params") or OmegaConf.create({}))


def plan(arguments: list[str], folder: Path) -> list[str]:
    """What each job of the sweep is called, in order; refused where the folder holds another sweep."""
    texts = [argument for argument in arguments if not argument.startswith("-")]
    given = {text.lstrip("+~").split("=")[0] for text in texts if "=" in text}
    sweep = next((text.partition("=")[2] for text in texts if text.lstrip("+").startswith("sweep=")), None)
    params = [f"{key}={value}" for key, value in _params(sweep).items() if key not in given]
    tasks = [text for text in texts if not text.lstrip("+~").startswith(("hydra.", "hydra/"))]
    overrides = OverridesParser.create().parse_overrides([*params, *tasks])
    combinations = [job for batch in BasicSweeper.split_arguments(overrides, None) for job in batch]
    labels = [",".join(sorted(text for text in job if not jobs.elsewhere(text))) for job in combinations]
    before = jobs.read_json(folder / PLAN)
    if before is not None and before["jobs"] != labels:
        raise Refused(
            f"{folder.name} holds another sweep; give another name=, or delete it. What changed:\n"
            + jobs.diff(before["jobs"], labels)
        )
    jobs.write_json(folder / PLAN, {"jobs": labels})
    return labels


def load(folder: Path, labels: list[str]) -> list[Job]:
    """The jobs of a sweep in order: finished, failed, or missing."""
    return [_load(jobs.home(folder, label), label) for label in labels]


def _load(home: Path | None, label: str) -> Job:
    if home is None:
        return Job(_guess(label), "missing", "the job did not start", {}, {}, {})
    config = jobs.read_yaml(home / jobs.CONFIG) if (home / jobs.CONFIG).exists() else _guess(label)
    wrong = jobs.damage(home) if home.exists() else "unfinished"
    if wrong:
        failed = jobs.read_json(home / jobs.FAILED)
        return Job(config, "failed" if failed else "missing", failed["error"] if failed else wrong, {}, {}, {})
    return finished(home, config)


def finished(home: Path, config: dict[str, Any] | None = None) -> Job:
    """A job whose files are all written; its config where that is read already."""
    config = config or jobs.read_yaml(home / jobs.CONFIG)
    found = jobs.read_json(home / "report.json")
    curve = jobs.read_json(home / "curve.json") or ()
    return Job(config, "done", "", found, _arrays(home / "values.npz"), _arrays(home / "trajectory.npz"), tuple(curve))


def _guess(label: str) -> dict[str, Any]:
    """The names of a job that left no config, from its overrides."""
    given = dict(text.split("=", 1) for text in label.split(",") if "=" in text)
    names = {group: given.get(group, "?") for group in ("method", "scenario", "system", "cost")}
    return {"names": names, "method": {}, "seed": 0}


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return dict(stored)


def conclude(folder: Path, labels: list[str], command: str) -> int:
    """Write and print the comparison; returns the exit code: 1 where a job is not done."""
    from rich.console import Console

    from invbench.report import page, tables

    found = load(folder, labels)
    comparison = compare_jobs(found, folder.name, command)
    tables.write_csv(comparison, folder / "table.csv")
    tables.write_markdown(comparison, folder / "table.md")
    _write_timing(folder, labels)
    path = page.write_page(comparison, folder)
    tables.print_table(comparison, Console(highlight=False))
    print(f"report page: {path}")
    return 0 if all(job.status == "done" for job in found) else 1


def _write_timing(folder: Path, labels: list[str]) -> None:
    """Seconds by job: apart from the results, because they are never the same twice."""
    lines = ["job,fit,evaluate,compile,decision"]
    for label in labels:
        home = jobs.home(folder, label)
        timing = jobs.read_json(home / "timing.json") if home else None
        if timing:
            lines.append(",".join([home.name, *(f"{timing[name]:.6g}" for name in ("fit", "evaluate", "compile", "decision"))]))
    jobs.write(folder / "timing.csv", "\n".join(lines) + "\n")


def compare_jobs(found: list[Job], title: str, command: str) -> Any:
    """The comparison of jobs as the report shows it."""
    from invbench.report.tables import Comparison, ScenarioResults

    wanted = next((job.config["evaluation"]["baseline"] for job in found if "evaluation" in job.config), "auto")
    scenarios = [
        ScenarioResults(scenario, best, tuple(_result(group, row) for group, row in rows), _note([group for group, _ in rows]))
        for scenario, best, rows in compare.table(found, wanted)
    ]
    return Comparison(title, command, tuple(scenarios), tuple(compare.COLUMNS), _settings(found), "")


def _result(group: compare.Group, row: dict[str, Any]) -> Any:
    from invbench.report.tables import Result

    if not group.done:
        return Result(group.method, row["family"] or "", "", row["status"], row["error"], row, np.zeros(0), {}, {}, 0.0, 0.0, 0)
    costs, first = group.costs, group.first
    return Result(
        group.method, first["family"], first["label"], "done", "", row, group.benefit.mean(0) * group.scale,
        compare.components(group), group.jobs[0].trajectory, costs.once(), costs.per_period(), first["periods"],
        group.jobs[0].curve,
    )  # fmt: skip


def picture_of(folder: Path) -> Any:
    """One job as the figures show it, from the files in its folder."""
    from invbench.report.tables import ScenarioResults

    job = finished(folder)
    scenario, best, rows = compare.table([job])[0]
    return ScenarioResults(scenario, best, tuple(_result(group, row) for group, row in rows), "")


def _note(groups: list[compare.Group]) -> str:
    done = [group for group in groups if group.done]
    if not done:
        return ""
    first, seeds = done[0].first, len(done[0].jobs)
    what = (
        f"{first['items']} series, one real path: intervals are over series"
        if first["interval_over"] == "series"
        else (f"{first['paths']['number']} paths, {first['items']} item{'s' if first['items'] > 1 else ''}")
    )
    return f"{what}, {first['periods']} periods, information {first['information']}, {seeds} seed{'s' if seeds > 1 else ''}"


def _settings(found: list[Job]) -> dict[str, str]:
    config = next((job.config for job in found if "evaluation" in job.config), None)
    if config is None:
        return {}
    cost = {name: value for name, value in config["cost"].items() if name not in ("_target_", "methods")}
    told = (job.report.get("training") and (job.config["names"]["method"], job.report["training"]["periods"]) for job in found)
    learners = dict(filter(None, told))
    learned = "".join(f"; a training of {name} moves through {periods / 1e6:.3g} M periods" for name, periods in learners.items())
    tuning = {name: value for name, value in config["tuning"].items() if name != "_target_"}
    return {
        "system": f"{config['names']['system']}, "
        + ", ".join(
            f"{name} {_figure(value)}" for name, value in config["system"].items() if "lead_time" in name and value is not None
        ),
        "cost": f"{config['names']['cost']}: " + ", ".join(f"{name} {_figure(value)}" for name, value in cost.items()),
        "tuning": "each tuned method may simulate " + ", ".join(f"{name} {value}" for name, value in tuning.items()) + learned,
        "judging": f"{config['evaluation']['paths']} evaluation paths, {config['evaluation']['horizon']} periods",
    }


def _figure(value: float | list[float]) -> str:
    return "/".join(f"{one:g}" for one in value) if isinstance(value, list) else f"{value:g}"
