"""Progress bars on stderr for long work, silent where another one is already shown or nobody looks."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn

Work = TypeVar("Work")
_shown: list[Progress] = []


def say(text: str) -> None:
    """One line on stderr, above a bar if there is one."""
    console = _shown[-1].console if _shown else Console(stderr=True)
    console.print(text, highlight=False, soft_wrap=True)


@contextmanager
def told(what: str) -> Iterator[Callable[[str], None]]:
    """Shows `what`, the seconds so far, and the last text that it was told: `with told("value iteration") as tell: tell("3")`."""
    columns = TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("{task.fields[text]}")
    with _bar(*columns) as bar:
        task = bar.add_task(what, total=None, text="")
        yield lambda text: bar.update(task, text=text)


def track(work: Iterable[Work], what: str) -> Iterator[Work]:
    """Each piece of work in turn, with a bar while it lasts: `for row in track(rows, self.table)`."""
    with _bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()) as bar:
        yield from bar.track(work, description=what, total=len(work) if isinstance(work, Sequence) else None)


@contextmanager
def _bar(*columns: ProgressColumn) -> Iterator[Progress]:
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=bool(_shown) or not console.is_terminal) as bar:
        _shown.append(bar)
        try:
            yield bar
        finally:
            _shown.remove(bar)
