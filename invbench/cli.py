"""The command `invbench`: Hydra runs and sweeps, and the verbs beside them. Its last line on stdout is the folder written."""

import copy
import gc
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from invbench import jobs
from invbench.jobs import Refused

ERRORS = Console(stderr=True, highlight=False, soft_wrap=True)
VERBS = "report", "verify", "rerun"
HELD = 1000  # composed configs of a sweep that wait for their jobs, at most
RARELY = 100_000, 20, 20  # objects after which garbage is looked for: what JAX and Hydra keep is much to walk through
HELP = """\
[bold]invbench[/]: the benchmark for inventory decisions.

  invbench \\[GROUP=CHOICE …] \\[FIELD=VALUE …]      one job
  invbench -m +sweep=NAME \\[…]                     a sweep: commas give alternatives, e.g. method=s_S,eoq
  invbench +experiment=NAME \\[…]                   a study or a printed table
  invbench search +space=NAME \\[search.trials=N …] a hyperparameter search, on validation paths
  invbench +tuned=NAME \\[…]                        a job, or a sweep, with the best config of a search
  invbench report FOLDER                           the tables and the page of a sweep, again
  invbench verify FOLDER                           whether every result is as it was written
  invbench rerun FOLDER                            a finished job once more, compared byte by byte
  invbench evaluate policy=FILE \\[…]               a job's policy.safetensors judged again, on its problem or a changed one

Three to start with:

  invbench method=forecast_s_S scenario=dynamic cost=fixed_order
  invbench -m +sweep=methods scenario=seasonal evaluation.horizon=365
  invbench +experiment=reference
"""


def main() -> None:
    """The entry point: exit code 0, 1 where a job failed, 2 where the command was refused."""
    arguments = sys.argv[1:]
    gc.set_threshold(*RARELY)
    try:
        code = _main(arguments)
    except Refused as error:
        code = _complain(error, 2)
    except Exception as error:
        code = _complain(_told(error), 1)
    except KeyboardInterrupt:
        code = _complain("interrupted; the same command goes on where it stopped", 130)
    sys.stdout.flush()
    sys.exit(code)


def _told(error: Exception) -> str:
    """An error in one sentence; one that is no fault of the input with the place where its traceback can be seen."""
    from invbench import run

    if isinstance(error, ValueError | FileNotFoundError) or os.environ.get("HYDRA_FULL_ERROR") != "1":
        return run.sentence(error)
    raise error


def _complain(problem: Any, code: int) -> int:
    ERRORS.print(f"invbench: {problem}", markup=False)
    return code


def _main(arguments: list[str]) -> int:
    if any(argument in ("-h", "--help") for argument in arguments):
        return _help()
    if arguments and arguments[0] in VERBS:
        from invbench import verbs

        return getattr(verbs, arguments[0])(arguments[1:])
    guard(arguments)
    arguments = _known(arguments)
    if arguments and arguments[0] == "search":
        from invbench import verbs

        return verbs.search(arguments[1:])
    if arguments and arguments[0] == "evaluate":
        from invbench import saved

        return _single(saved.arguments(arguments[1:]))
    if any(argument in ("-m", "--multirun") for argument in arguments):
        return _sweep(arguments)
    return _single(arguments)


def guard(arguments: list[str]) -> None:
    """Refuse overrides that would run foreign code or write elsewhere, before Hydra sees them."""
    for argument in arguments:
        name, _, value = argument.partition("=")
        name = name.lstrip("+~")
        if name.split(".")[-1] == "_target_" and not value.startswith("invbench."):
            raise Refused(f"{name} must be a class or function of invbench, got {value!r}")
        if name in ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir"):
            raise Refused(f"{name} is fixed: give outputs=DIR for the root of all output and name=NAME for the folder in it")
        if name == "name" and value not in ("", "null"):
            jobs.inside(Path("outputs"), value.strip("'\""))


def _known(arguments: list[str]) -> list[str]:
    """The arguments with the choices of +tuned made known; refused where a space is given without the verb."""
    names = {argument.lstrip("+~").partition("=")[0] for argument in arguments}
    if "tuned" in names:
        from invbench.search import tuned

        arguments = tuned.arguments(arguments)
    if "space" in names and arguments[0] != "search":
        raise Refused("a space is searched by: invbench search +space=NAME")
    return arguments


def _single(arguments: list[str]) -> int:
    """One job, or one study."""
    done: list[Path] = []
    _hydra(arguments, lambda config: done.append(_one(config)))
    return _closing(done)


def _closing(done: list[Path]) -> int:
    if not done:
        return 0  # Hydra was asked for something else, such as its configuration
    study = jobs.read_json(done[0] / "study.json")
    print(done[0])
    return 0 if study is None else int(study["exit_code"])


def _one(config: Any) -> Path:
    """Run a single job and print what it found."""
    from invbench import run, verbs

    if config.study is not None:
        return run.study(config)
    folder, _ = run.place(config, run.resolve(config))
    with jobs.turn(folder.parent, _say, folder.name):
        run.run(config)
    verbs.show(folder)
    return folder


def _say(text: str) -> None:
    ERRORS.print(text, markup=False)


def _sweep(arguments: list[str]) -> int:
    """A sweep: every job that is missing, in turn with any other process on it, then the comparison."""
    from invbench import sweep

    arguments, root, name = sweep.named(arguments)
    folder = jobs.inside(root, name)
    with ExitStack() as stack:
        stack.enter_context(jobs.turn(folder, _say))
        planned = sweep.plan(arguments, folder)
        bar = stack.enter_context(_progress())
        task = bar.add_task("sweep", total=len(planned), what="")
        stack.enter_context(_composed_once())
        _hydra(arguments, lambda config: _member(config, bar, task))
        bar.update(task, what="report")
        code = sweep.conclude(folder, planned, "invbench " + " ".join(sys.argv[1:]))
    print(folder)
    return code


@contextmanager
def _composed_once() -> Iterator[None]:
    """Hydra composes every job of a sweep to check it, and again to run it: here the second time it takes the first's.

    Every file of the config is read once, too.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.config_repository import ConfigRepository

    compose, checked = ConfigLoaderImpl.load_sweep_config, {}
    read, files = ConfigRepository.load_config, {}

    def load(self: Any, master_config: Any, sweep_overrides: list[str]) -> Any:
        job = tuple(sweep_overrides)
        if job in checked:
            return checked.pop(job)
        config = compose(self, master_config, sweep_overrides)
        if len(checked) < HELD:
            checked[job] = config
        return config

    def read_once(self: Any, config_path: str) -> Any:
        if config_path not in files:
            files[config_path] = read(self, config_path)
        return copy.deepcopy(files[config_path])  # Hydra changes what it is given

    ConfigLoaderImpl.load_sweep_config, ConfigRepository.load_config = load, read_once
    try:
        yield
    finally:
        ConfigLoaderImpl.load_sweep_config, ConfigRepository.load_config = compose, read


def _member(config: Any, bar: Progress, task: Any) -> None:
    """One job of a sweep: what goes wrong is written down, shown in the table, and does not stop the others."""
    from invbench import run

    bar.update(task, what=f"{config.names.method} · {config.names.scenario}")
    try:
        run.run(config)
    except Refused as error:
        sys.exit(_complain(error, 2))  # another config under this name: nothing of this sweep can be trusted
    except Exception as error:
        ERRORS.print(f"failed: {config.names.method} on {config.names.scenario}: {run.sentence(error)}", markup=False)
    bar.advance(task)


def _progress() -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[what]}"),
    )
    return Progress(*columns, console=ERRORS, transient=not ERRORS.is_terminal)


def _hydra(arguments: list[str], task: Callable[[Any], None]) -> None:
    """Hand over to Hydra: composition, overrides, launchers."""
    import hydra

    from invbench import configs

    configs.register()
    before = sys.argv
    sys.argv = [before[0], *arguments]
    os.environ.setdefault("HYDRA_FULL_ERROR", "0")

    here.task, here.raised = task, None
    try:
        hydra.main(version_base="1.3", config_path=configs.location(), config_name="config")(application)()
    finally:
        sys.argv, here.task = before, None
    if here.raised:
        raise here.raised


class here:
    """What this process does with a config; a launcher's worker process has nothing but the config."""

    task: Callable[[Any], None] | None = None
    raised: Exception | None = None


def application(config: Any) -> None:
    """What Hydra and its launchers call with each config; a function of this module, so that workers find it by name."""
    try:
        (here.task or _alone)(config)
    except Exception as error:  # Hydra would print it in its own words
        here.raised = error


def _alone(config: Any) -> None:
    """One job of a sweep in a worker process: what goes wrong is in the job's folder."""
    from invbench import run

    try:
        run.run(config)
    except Exception as error:
        ERRORS.print(f"failed: {config.names.method} on {config.names.scenario}: {run.sentence(error)}", markup=False)


def _help() -> int:
    from invbench import configs

    console = Console(highlight=False)
    console.print(HELP)
    console.print("Groups and their choices (any field: GROUP.FIELD=VALUE; each YAML says what its fields mean):\n")
    for group, choices in configs.groups().items():
        console.print(f"  [bold]{group}[/]  " + ", ".join(choices), soft_wrap=True)
    console.print(
        "\nEverywhere: seed=S outputs=DIR name=NAME evaluation.paths=N evaluation.horizon=T problem.information=known|history"
    )
    return 0
