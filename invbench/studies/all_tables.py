"""Every printed table in one run: each experiment in turn, a page with all of them, and a summary."""

import csv
import io
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf, open_dict
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from invbench import configs, jobs, run
from invbench.checks import require
from invbench.studies import pages
from invbench.studies.pages import Outcome
from invbench.studies.printed import WIDTH, Printed

SUMMARY = "table agree of misprints largest_deviation seconds exit_code error".split()
TITLE = "Printed tables beside ours"


@dataclass(frozen=True)
class AllTables:
    """Runs `tables` in turn, as `invbench +experiment=NAME` would, each into a subfolder of its name.

    overrides: of single tables, by name, as on the command line. A table that raises is reported, and the others still run.
    """

    tables: list[str]
    overrides: dict[str, list[str]] = field(default_factory=dict)

    def run(self, folder: Path, config: dict[str, Any]) -> int:
        """Write the tables, index.html, summary.csv and summary.md; exit code 1 if a table fails or raises."""
        self._check()
        outcomes = []
        for place, name in enumerate(self.tables):
            _say(f"{name} ({place + 1} of {len(self.tables)})")
            outcomes.append(_outcome(name, self.overrides.get(name, []), folder / name))
            _say(f"  {outcomes[-1].verdict}; {outcomes[-1].seconds:.1f} s")
        jobs.write(folder / "summary.csv", as_csv(outcomes))
        jobs.write(folder / "summary.md", markdown(outcomes))
        jobs.write(folder / "index.html", pages.html(TITLE, outcomes))
        _show(outcomes)
        return max(outcome.exit_code for outcome in outcomes)

    def _check(self) -> None:
        different = bool(self.tables) and len(set(self.tables)) == len(self.tables)
        plain = all(isinstance(name, str) and jobs.slug(name) == name for name in self.tables)
        require(different and plain, "study.tables", "a list of names of different experiments", self.tables)
        unknown = sorted(set(self.overrides) - set(self.tables))
        require(not unknown, "study.overrides", "of tables that study.tables lists", ", ".join(unknown))


def _say(text: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(text, markup=False)


def _outcome(name: str, overrides: list[str], folder: Path) -> Outcome:
    """Run one experiment; whatever goes wrong is written into its folder, and told in one sentence."""
    started = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        plain = compose(name, overrides, folder)
        jobs.write(folder / jobs.CONFIG, yaml.safe_dump(plain, sort_keys=False, allow_unicode=True))
        study = run.build(plain["study"]) if plain["study"] else None
        require(isinstance(study, Printed), "study.tables", "a list of printed tables", name)
        cells = study.cells(plain)
        code = study.write(folder, cells)
    except Exception as error:
        run.fail(folder, error)
        return Outcome(name, seconds=time.perf_counter() - started, error=run.sentence(error), files=_files(folder))
    jobs.write_json(folder / "study.json", {"exit_code": code})
    return Outcome(name, study.title, tuple(cells), time.perf_counter() - started, code, files=_files(folder))


def _files(folder: Path) -> tuple[str, ...]:
    return tuple(name for name in (jobs.CONFIG, "published.csv", "table.md", "traceback.txt") if (folder / name).exists())


def compose(name: str, overrides: list[str], folder: Path) -> dict[str, Any]:
    """The resolved config of an experiment whose results lie in `folder`. Raises ValueError where there is no such experiment."""
    choices = configs.groups()["experiment"]
    require(name in choices, "study.tables", "among the experiments " + ", ".join(choices), name)
    with _hydra():
        config = hydra.compose("config", [f"+experiment={name}", *overrides], return_hydra_config=True)
        HydraConfig.instance().set_config(config)  # the names of what was chosen are read from it
        with open_dict(config):
            del config["hydra"]
            OmegaConf.update(config, "outputs", str(folder.parent))
            OmegaConf.update(config, "name", folder.name)
        return run.resolve(config)


@contextmanager
def _hydra() -> Iterator[None]:
    """Composition beside the run under way, whose settings come back afterwards."""
    before, where = HydraConfig.instance().cfg, configs.location()
    start = hydra.initialize_config_module if where.startswith("pkg://") else hydra.initialize_config_dir
    with ExitStack() as stack:
        if not GlobalHydra.instance().is_initialized():  # outside of the command
            configs.register()
            stack.enter_context(start(where.removeprefix("pkg://"), version_base="1.3"))
        stack.callback(setattr, HydraConfig.instance(), "cfg", before)
        yield


def as_csv(outcomes: Sequence[Outcome]) -> str:
    """One row per table with the columns `SUMMARY`; the counts are empty where a table raised."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUMMARY)
    for outcome in outcomes:
        counts = ["", "", "", ""]
        if not outcome.error:
            found = outcome.tally
            counts = [found.agree, found.of, found.misprints, "" if found.largest is None else f"{found.largest:.10g}"]
        writer.writerow([outcome.table, *counts, f"{outcome.seconds:.2f}", outcome.exit_code, outcome.error])
    return text.getvalue()


def markdown(outcomes: Sequence[Outcome]) -> str:
    """The summary as GitHub Markdown: each table with the command that prints it."""
    lines = [["table", "command", *pages.HEADS], ["---", "---", *["---:"] * len(pages.HEADS)]]
    for outcome, row in zip(outcomes, pages.summary(outcomes)):
        lines.append([outcome.title or outcome.table, f"`invbench +experiment={outcome.table}`", *row])
    text = "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)
    errors = "".join(f"- {outcome.table} {outcome.verdict}\n" for outcome in outcomes if outcome.error)
    return f"{text}\n{errors}{chr(10) * bool(errors)}{pages.total(outcomes)}\n"


def _show(outcomes: Sequence[Outcome]) -> None:
    """Print the summary and, as the last line, the verdict over all tables."""
    table = Table("table", box=SIMPLE_HEAD, padding=(0, 1), show_edge=False)
    for head in pages.HEADS:
        table.add_column(head, justify="right")
    for outcome, row in zip(outcomes, pages.summary(outcomes)):
        table.add_row(Text(outcome.table), *row, style="red" if outcome.exit_code else "")
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDTH)
    console.print(table)
    for outcome in outcomes:
        if outcome.error:
            console.print(Text(f"{outcome.table} {outcome.verdict}"), soft_wrap=True)
    console.print(Text(f"\n{pages.total(outcomes)}"), soft_wrap=True)
