"""Studies that are not one job: each a frozen dataclass whose `run(folder)` writes a CSV and returns an exit code."""
