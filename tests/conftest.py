"""Import invbench before JAX: it sets the number of devices and the compilation cache."""

import invbench  # noqa: F401
