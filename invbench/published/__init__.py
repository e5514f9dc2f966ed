"""Figures as they are printed elsewhere, as CSV with their sources."""

import csv
from pathlib import Path


def read(name: str) -> list[dict[str, str]]:
    """The rows of a published table."""
    with open(Path(__file__).parent / f"{name}.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
