"""The command as its entry point has it, in this process: a start of Python for every call would take minutes."""

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest

from invbench import cli


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def invbench(folder: Path, *arguments: str) -> Done:
    """`invbench ARGUMENTS` in a folder."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err), patch.object(sys, "argv", ["invbench", *arguments]):
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return Done(ended.value.code, out.getvalue(), err.getvalue())
