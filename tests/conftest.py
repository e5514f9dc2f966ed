"""Import invbench before JAX: it sets the number of devices and the compilation cache."""

import invbench  # noqa: F401  # isort: skip
import gc

import jax
import pytest

from invbench.cli import RARELY

gc.set_threshold(*RARELY)


@pytest.fixture(autouse=True, scope="module")
def forget_programs():
    """Compiled programs are let go after each file: the whole suite's would need more memory maps than a process may have."""
    yield
    jax.clear_caches()
