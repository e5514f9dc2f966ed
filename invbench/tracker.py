"""Trackers: Weights & Biases, files, or none. They watch a run; one that fails never changes or stops it."""

import json
import logging
import shutil
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from invbench.checks import choice

LOG = logging.getLogger("invbench")
CURVES = "train/", "validation/"  # metrics of learning curves


class Tracker:
    """Watches one job and keeps nothing. Others override what they need."""

    pictures = False  # whether figures are worth drawing for it

    def start(self, folder: Path, group: str, job_type: str, config: dict[str, Any]) -> None:
        """A job begins: `group` is its sweep, `job_type` its method."""

    def log(self, metrics: dict[str, float], step: int) -> None:
        """Numbers at a step of fitting."""

    def summary(self, figures: dict[str, Any]) -> None:
        """The final numbers."""

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        """A table by name."""

    def picture(self, name: str, svg: str) -> None:
        """A figure by name."""

    def finish(self, exit_code: int) -> None:
        """The job ends; 0 is success."""


@dataclass
class Files(Tracker):
    """One line of JSON for each event, beside the job's folder."""

    def start(self, folder: Path, group: str, job_type: str, config: dict[str, Any]) -> None:
        path = folder.parent / "logs" / f"{folder.name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed in finish

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._file.write(json.dumps({"step": step, **metrics}) + "\n")

    def summary(self, figures: dict[str, Any]) -> None:
        self._file.write(json.dumps({"summary": figures}) + "\n")

    def finish(self, exit_code: int) -> None:
        self._file.write(json.dumps({"exit_code": exit_code}) + "\n")
        self._file.close()


@dataclass
class WeightsAndBiases(Tracker):
    """W&B; offline needs no account, no network and no wait. `wandb sync` uploads an offline run later."""

    project: str
    mode: str
    pictures = True

    def start(self, folder: Path, group: str, job_type: str, config: dict[str, Any]) -> None:
        import wandb

        self._wandb = wandb
        _list_packages_once(wandb)
        settings = wandb.Settings(
            console="off",
            silent=True,
            disable_git=True,
            disable_code=True,
            x_disable_stats=True,
            x_disable_meta=True,
            init_timeout=10,  # seconds: a network that does not answer must not hold up the run
        )
        home = folder.parent / "logs"
        home.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=self.project, mode=self.mode, dir=str(home), group=group, job_type=job_type, name=folder.name,
            config=config, settings=settings,
        )  # fmt: skip

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._run.log({**metrics, "step": step})

    def summary(self, figures: dict[str, Any]) -> None:
        self._run.summary.update(figures)

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        cells = [[str(cell) if cell is not None else "" for cell in row] for row in rows]
        self._run.log({name: self._wandb.Table(columns=columns, data=cells)})

    def picture(self, name: str, svg: str) -> None:
        self._run.log({name: self._wandb.Html(svg, inject=False)})

    def finish(self, exit_code: int) -> None:
        self._run.finish(exit_code=exit_code)


def _list_packages_once(wandb: Any) -> None:
    """W&B lists the installed packages for every run, which takes a tenth of a second: in one process they stay the same."""
    packages = getattr(wandb.util, "working_set", None)
    if packages is not None and not hasattr(packages, "cache_info"):
        wandb.util.working_set = cache(lambda: tuple(packages()))


class Careful(Tracker):
    """Any tracker, made harmless: after its first failure it is left alone, with one warning."""

    def __init__(self, inner: Tracker):
        self._inner, self._failed = inner, False
        self.pictures = inner.pictures

    def _do(self, name: str, *arguments: Any) -> None:
        if self._failed:
            return
        try:
            getattr(self._inner, name)(*arguments)
        except Exception as error:  # whatever a tracker does, the run goes on
            self._failed = True
            LOG.warning("the tracker failed and is left out from here on: %s", error)

    def start(self, folder: Path, group: str, job_type: str, config: dict[str, Any]) -> None:
        self._do("start", folder, group, job_type, config)

    def log(self, metrics: dict[str, float], step: int) -> None:
        self._do("log", metrics, step)

    def summary(self, figures: dict[str, Any]) -> None:
        self._do("summary", figures)

    def table(self, name: str, columns: list[str], rows: list[list[Any]]) -> None:
        self._do("table", name, columns, rows)

    def picture(self, name: str, svg: str) -> None:
        self._do("picture", name, svg)

    def finish(self, exit_code: int) -> None:
        self._do("finish", exit_code)


class Log:
    """What a method says while it is fitted: for the tracker, and kept. `place`: where it may keep states to go on from."""

    def __init__(self, tracker: Tracker, place: Path | None = None):
        self._tracker, self.place, self.curve = tracker, place, []
        self._last: dict[str, float] = {}

    def __call__(self, metrics: dict[str, float], step: int) -> None:
        self._last.update(metrics)
        learning = {name: value for name, value in metrics.items() if name.startswith(CURVES)}
        if learning:
            self.curve.append({"step": step, **learning})
        self._tracker.log(metrics, step)

    def forget(self) -> None:
        """Remove the states: the method is fitted."""
        if self.place is not None and self.place.exists():
            shutil.rmtree(self.place)
            with suppress(OSError):  # others are in training
                self.place.parent.rmdir()

    def heard(self, part: str) -> dict[str, float]:
        """The last value of every metric called part/name, by name."""
        return {name.split("/")[1]: value for name, value in self._last.items() if name.startswith(f"{part}/")}


class Apart:
    """A log for one of several trainings of a method: its states have a folder of their own, and its curve is not shown."""

    def __init__(self, log: Any, name: str):
        self._log, place = log, getattr(log, "place", None)
        self.place = None if place is None else place / name

    def __call__(self, metrics: dict[str, float], step: int) -> None:
        told = {name: value for name, value in metrics.items() if not name.startswith(CURVES)}
        if told:
            self._log(told, step)


def none() -> Tracker:
    """No tracker."""
    return Tracker()


def files() -> Tracker:
    """Lines of JSON in the sweep's folder `logs`."""
    return Files()


def wandb(*, project: str, mode: str) -> Tracker:
    """Weights & Biases. mode: "offline", "online" or "disabled"."""
    return WeightsAndBiases(project, choice("tracker.mode", mode, ("offline", "online", "disabled")))
