"""A search from its arguments to its best config: trials in turn or side by side, then one job on evaluation paths."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from invbench import jobs, run
from invbench.progress import say, track
from invbench.search import judging, trials, tuned
from invbench.search.request import Request
from invbench.search.trials import Trial, Trials

DATABASE, BEST, FINISHED = "study.db", "best.yaml", "finished.json"


@dataclass(frozen=True)
class Found:
    """What came of a search. `job` is the folder of the best config's evaluation."""

    request: Request
    trials: Trials
    best: Trial
    job: Path


class AllFailed(ValueError):
    """No trial of a search has a value."""


def search(request: Request) -> Found:
    """Run what is missing of a search, then judge its best config once; a finished search runs nothing.

    Raises Refused where the folder holds another search, `AllFailed` where no trial has a value.
    """
    directions = [judging.DIRECTIONS[goal] for goal in request.settings["objectives"]]
    with jobs.turn(request.folder, say):
        request.check_same()
        kept = trials.opened(request.folder / DATABASE, request.space, request.settings, directions, request.first)
        ran = _run_missing(request, kept)
        best = kept.best()
        if best is None:
            _write(request, kept, None)
            raise AllFailed(f"all {len(kept.all())} trials failed, the first because: {kept.all()[0].reason}")
        job = _judged(request, best)
        if ran or jobs.read_json(request.folder / FINISHED) != _finished(kept, best):
            _conclude(request, kept, best, job)
        else:
            say(f"{request.name} is finished: {len(kept.all())} trials, nothing to do")
    return Found(request, kept, best, job)


def _run_missing(request: Request, kept: Trials) -> int:
    """Run trials until there are as many as wanted; how many ran."""
    ran = 0
    for batch in track(_Batches(kept), f"search of {request.space.name}"):
        _run_batch(request, kept, batch)
        kept.tell(batch)
        ran += len(batch)
        _tell(kept, batch)
    return ran


class _Batches(Sequence):
    """The batches that are still to run, for a bar: each is asked for when its turn comes."""

    def __init__(self, kept: Trials):
        self._kept = kept

    def __len__(self) -> int:
        closed = sum(one.state != trials.OPEN for one in self._kept.all())
        return max(0, -(-(self._kept.total - closed) // self._kept.settings["batch"]))

    def __getitem__(self, place: int) -> list[Trial]:
        raise IndexError("batches come one after the other")

    def __iter__(self) -> Iterator[list[Trial]]:
        while batch := self._kept.batch():
            yield batch


def _tell(kept: Trials, batch: Sequence[Trial]) -> None:
    """A line on stderr for every trial."""
    best, now = kept.best(), {one.place: one for one in kept.all()}
    for one in (now[trial.place] for trial in batch):
        found = ", ".join(f"{value:,.6g}" for value in one.values) or f"failed: {one.reason}"
        beside = f" (best: trial {best.place + 1}, {best.values[0]:,.6g})" if best else ""
        say(f"trial {one.place + 1} of {kept.total}: {found}{beside}")


def _run_batch(request: Request, kept: Trials, batch: Sequence[Trial]) -> None:
    """Find out what every trial of a batch is worth, and keep it."""
    open_ = [one for one in batch if not kept.noted(one) and not _given_up(request, kept, one)]
    composed = {one.place: judging.outcome(lambda one=one: run.resolve(request.config(one.params))) for one in open_}
    for one in open_:
        if composed[one.place][0] is None:
            kept.note(one, None, composed[one.place][1])
    left = [one for one in open_ if composed[one.place][0] is not None]
    for group in judging.alike([composed[one.place][0] for one in left]):
        _run_group(request, kept, [(left[place], composed[left[place].place][0]) for place in group])


def _given_up(request: Request, kept: Trials, trial: Trial) -> bool:
    """Whether the process has ended too often in this trial, which has then failed."""
    times, most = kept.attempt(trial), request.settings["attempts"]
    if times > most:
        kept.note(trial, None, f"the process ended in it {most} times")
    return times > most


def _run_group(request: Request, kept: Trials, group: Sequence[tuple[Trial, dict[str, Any]]]) -> None:
    """Trials that differ in rates are trained in one program; where that fails, each by itself, to see which one it was."""
    places, goals = request.folder / "training", request.settings["objectives"]
    policies: list[Any] = [None] * len(group)
    if len(group) > 1:
        name = "-".join(str(one.place) for one, _ in group)
        found, _ = judging.outcome(lambda: judging.side_by_side([plain for _, plain in group], places / name))
        policies = policies if found is None else found
    for (one, plain), policy in zip(group, policies, strict=True):
        own = lambda plain=plain, policy=policy, one=one: judging.values(  # noqa: E731
            plain, judging.fitted(plain, places / str(one.place)) if policy is None else policy, goals
        )
        kept.note(one, *judging.outcome(own))


def _judged(request: Request, best: Trial) -> Path:
    """The folder of the best config's job on evaluation paths, which is run unless it has been."""
    plain = run.resolve(request.config(best.params, f"{request.name}/trial-{best.place + 1}"))
    return run.run(OmegaConf.create(plain))


def _finished(kept: Trials, best: Trial) -> dict[str, Any]:
    return {"trials": len(kept.all()), "best": best.place, "weights": kept.settings["weights"]}


def _conclude(request: Request, kept: Trials, best: Trial, job: Path) -> None:
    """Write the best config, the table and the page."""
    overrides = [*request.base, *request.space.overridden(best.params)]
    worth = ", ".join(f"{goal} {value:,.6g}" for goal, value in zip(request.settings["objectives"], best.values))
    use = jobs.slug(request.name)
    remark = f"Trial {best.place + 1} of {len(kept.all())} of {request.name}: {worth}.\nUse: invbench +tuned={use}"
    tuned.write(request.folder / BEST, overrides, remark)
    tuned.write(request.outputs / tuned.FOLDER / f"{use}{tuned.SUFFIX}", overrides, remark)
    _write(request, kept, Found(request, kept, best, job))
    jobs.write_json(request.folder / FINISHED, _finished(kept, best))


def _write(request: Request, kept: Trials, found: Found | None) -> None:
    """The table of trials and the page, whatever there is."""
    from invbench.report import searching

    searching.write(searching.of(request, kept, found), request.folder)
