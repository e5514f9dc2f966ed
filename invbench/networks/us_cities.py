"""The largest cities of a table: each is a customer, the largest of them are sites; great-circle distances."""

from pathlib import Path
from typing import Any

import numpy as np

from invbench.checks import number, require, whole
from invbench.networks.facilities import Facilities, create
from invbench.scenarios import csv_text

EARTH = 6371.0088  # km, mean radius (IUGG)
LIMITS = {"latitude": 90.0, "longitude": 360.0}  # degrees


def load(
    *, path: str, columns: dict[str, str], customers: int, sites: int, demand: float, transport: float, fixed: float,
    capacity: float | None,
) -> tuple[Facilities, ...]:  # fmt: skip
    """One network of the `customers` largest cities of a CSV, of which the `sites` largest may be opened.

    columns: the file's names of name, population, latitude and longitude (degrees). demand: units an inhabitant and period.
    transport: money per unit and km. fixed: money per open site and period. capacity: units a site and period; None: no limit.
    """
    customers, sites = whole("network.customers", customers, low=1), whole("network.sites", sites, low=1)
    require(sites <= customers, "network.sites", f"at most the {customers} customers", sites)
    rates = {"demand": demand, "transport": transport, "fixed": fixed}
    rates = {name: number(f"network.{name}", value, low=0) for name, value in rates.items()}
    room = np.inf if capacity is None else number("network.capacity", capacity, low=0, above=True)
    names, population, places = cities(Path(path), columns)
    require(customers <= len(names), "network.customers", f"at most the {len(names)} cities of the file", customers)
    largest = np.argsort(-population, kind="stable")[:customers]
    names, population, places = [names[city] for city in largest], population[largest], places[largest]
    distance = great_circle(places[:sites, None], places)
    units = rates["demand"] * population
    made = create(
        name=f"{Path(path).stem}_{sites}x{customers}", sites=names[:sites], customers=names, demand=units, capacity=room,
        fixed=rates["fixed"], cost=rates["transport"] * distance * units, distance=distance,
        places=(places[:sites], places), unit="km",
    )  # fmt: skip
    return (made,)


def cities(path: Path, columns: dict[str, str]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, inhabitants [city], and latitude and longitude [city, 2] in degrees. ValueError with file, row and column."""
    sheet = csv_text.read_sheet(path)
    for role in ("name", "population", *LIMITS):
        require(columns.get(role) in sheet.header, f"network.columns.{role}", f"a column of {sheet.name}", columns.get(role))
    population = csv_text.numbers(sheet, *sheet.block([columns["population"]]), "refuse")
    places = np.stack([_degrees(sheet, columns[axis], limit) for axis, limit in LIMITS.items()], axis=-1)
    return sheet.column(columns["name"]), population, places


def _degrees(sheet: Any, column: str, limit: float) -> np.ndarray:
    cells, place = sheet.block([column])
    degrees = csv_text.numbers(sheet, cells, place, "refuse", signed=True)
    beyond = np.flatnonzero(np.abs(degrees) > limit)
    if beyond.size:
        raise sheet.error(*place(beyond[0]), f"{cells[beyond[0]]!r} is beyond {limit:g} degrees")
    return degrees


def great_circle(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[...] km between places [..., 2] in degrees on a sphere (haversine; Sinnott 1984, Sky and Telescope 68(2))."""
    (latitude, longitude), (other, east) = np.moveaxis(np.radians(first), -1, 0), np.moveaxis(np.radians(second), -1, 0)
    part = np.sin((other - latitude) / 2) ** 2 + np.cos(latitude) * np.cos(other) * np.sin((east - longitude) / 2) ** 2
    return 2 * EARTH * np.arcsin(np.sqrt(np.clip(part, 0, 1)))
