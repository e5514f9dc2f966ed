"""Learned methods tuned to beat the tuned rules: a search of each with as many trials, the best of each on the same paths."""

import csv
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from rich.console import Console

from invbench import configs, jobs, run, sweep
from invbench.checks import require, whole
from invbench.evaluation.compare import Job
from invbench.progress import say
from invbench.report import page, tables
from invbench.search import driver, request, space
from invbench.search.driver import Found

TITLE = "The best of each search"
COLUMNS = "space trials failed objective as_in_the_yaml best parameters tuned error".split()
NOT_OF_JOBS = "name", "outputs", "study"


@dataclass(frozen=True)
class OptimizeForDynamic:
    """Searches every space of `spaces`, trains the best config of each with every seed, and compares; `beside` are not searched.

    Searches are kept outside of the study's folder: the same command goes on where it stopped.
    """

    spaces: list[str]
    beside: list[str]  # methods as their YAML has them
    search: dict[str, Any]  # fields of `search` that are the same for all
    overrides: dict[str, list[str]]  # of single spaces or methods, as on the command line
    seeds: int  # trainings of each best config

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write table.csv, table.md, index.html and searches.csv; exit code 1 where a search or a job has no result."""
        self._check()
        wanted = _task(HydraConfig.get().overrides.task)
        home = config["name"] or folder.name
        found, done = {}, []
        for name in self.spaces:
            asked = self._asked(name, wanted, config, f"{home}/{name}")
            try:
                say(f"search of {name}: at most {asked.settings['trials']} trials")
                found[name] = driver.search(asked)
                done += [self._job(found[name], config["seed"], seed) for seed in range(self.seeds)]
            except driver.AllFailed as error:
                found[name] = str(error)
                done.append(Job(asked.plain, "failed", str(error), {}, {}, {}))
        done += [self._beside(name, wanted, config, home) for name in self.beside]
        self._write(folder, found, done)
        return 0 if all(job.status == "done" for job in done) else 1

    def _check(self) -> None:
        whole("study.seeds", self.seeds, low=1)
        different = bool(self.spaces) and len(set(self.spaces)) == len(self.spaces)
        require(different, "study.spaces", "a list of different spaces", self.spaces)
        unknown = sorted(self.overrides.keys() - {*self.spaces, *configs.groups()["space"], *configs.groups()["method"]})
        require(not unknown, "study.overrides", "by names of spaces or methods", ", ".join(unknown))

    def _asked(self, name: str, wanted: Sequence[str], config: dict[str, Any], place: str) -> request.Request:
        """The search of a space."""
        own, settings = space.load(name), [f"search.{field}={space.text(value)}" for field, value in self.search.items()]
        rest = [*wanted, *self.overrides.get(name, []), f"name={place}", f"outputs={config['outputs']}"]
        command = " ".join(["invbench search", f"+space={name}", *settings, *rest])
        return request.made(own, request.settings_of(own, settings), rest, command, digest=rest)

    def _job(self, found: Found, first: int, seed: int) -> Job:
        """The best config's job with a seed; the first is the search's own."""
        if seed == 0:
            return _loaded(found.job)
        asked = replace(found.request, base=(*_without(found.request.base, "seed"), f"seed={first + seed}"))
        plain = run.resolve(asked.config(found.best.params, f"{asked.name}/trial-{found.best.place + 1}-seed-{first + seed}"))
        return _ran(plain)

    def _beside(self, name: str, wanted: Sequence[str], config: dict[str, Any], home: str) -> Job:
        """The job of a method as its YAML has it."""
        composed, _ = configs.compose([*wanted, f"method={name}", *self.overrides.get(name, [])])
        OmegaConf.update(composed, "outputs", config["outputs"])
        OmegaConf.update(composed, "name", f"{home}/{name}")
        return _ran(run.resolve(composed))

    def _write(self, folder: Path, found: dict[str, Found | str], done: list[Job]) -> None:
        command = "invbench " + " ".join(sys.argv[1:])
        comparison = sweep.compare_jobs(done, TITLE, command)
        told = {f"search of {name}": _told(one) for name, one in found.items()}
        comparison = replace(comparison, settings={**comparison.settings, **told})
        tables.write_csv(comparison, folder / "table.csv")
        tables.write_markdown(comparison, folder / "table.md")
        jobs.write(folder / "searches.csv", searches(found))
        tables.print_table(comparison, Console(highlight=False))
        print(f"report page: {page.write_page(comparison, folder)}")


def _task(overrides: Sequence[str]) -> list[str]:
    """What the command line says about jobs, the study itself left out."""
    kept = [text for text in overrides if text.lstrip("+~").partition("=")[0].split(".")[0] not in NOT_OF_JOBS]
    return [*kept, "study=null"]


def _without(overrides: Sequence[str], name: str) -> list[str]:
    return [text for text in overrides if text.partition("=")[0] != name]


def _ran(plain: dict[str, Any]) -> Job:
    """A job, which is run unless it has been; what goes wrong is in the table."""
    say(f"{plain['names']['method']}, seed {plain['seed']}")
    try:
        return _loaded(run.run(OmegaConf.create(plain)))
    except jobs.Refused:
        raise
    except Exception as error:
        return Job(plain, "failed", run.sentence(error), {}, {}, {})


def _loaded(home: Path) -> Job:
    return sweep._load(home, "")


def _told(found: Found | str) -> str:
    """One line on a search."""
    if isinstance(found, str):
        return found
    trials, first = found.trials.all(), _first(found)
    before = "" if first is None else f" from {first:,.6g} as in the YAML"
    goal = found.request.settings["objectives"][0]
    return f"{len(trials)} trials, {goal}{before} to {found.best.values[0]:,.6g}; +tuned={jobs.slug(found.request.name)}"


def _first(found: Found) -> float | None:
    """What the config is worth that the method's YAML has; None where it is not in the space, or failed."""
    first = found.trials.all()[0]
    return first.values[0] if found.request.first is not None and first.values else None


def searches(found: dict[str, Found | str]) -> str:
    """One row per search with the columns `COLUMNS`, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for name, one in found.items():
        if isinstance(one, str):
            writer.writerow([name, *[""] * (len(COLUMNS) - 2), one])
            continue
        trials, first = one.trials.all(), _first(one)
        failed, parameters = sum(not trial.values for trial in trials), json.dumps(one.best.params, sort_keys=True)
        values = ["" if first is None else repr(first), repr(one.best.values[0])]
        tuned = jobs.slug(one.request.name)
        writer.writerow([name, len(trials), failed, one.request.settings["objectives"][0], *values, parameters, tuned, ""])
    return text.getvalue()
