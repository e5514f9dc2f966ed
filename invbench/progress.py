"""A progress bar on stderr for long work, silent where another one is already shown or nobody looks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

_shown: list[Progress] = []


@contextmanager
def told(what: str) -> Iterator[Callable[[str], None]]:
    """Shows `what`, the seconds so far, and the last text that it was told: `with told("value iteration") as tell: tell("3")`."""
    console = Console(stderr=True)
    if _shown or not console.is_terminal:
        yield lambda text: None
        return
    columns = TextColumn("{task.description}"), TimeElapsedColumn(), TextColumn("{task.fields[text]}")
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(what, total=None, text="")
        _shown.append(bar)
        try:
            yield lambda text: bar.update(task, text=text)
        finally:
            _shown.remove(bar)
