"""OR-Library files (Beasley 1990, JORS 41(11)): capacitated warehouse location and p-median, told apart by their first line."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from invbench.checks import number, require
from invbench.networks.facilities import Facilities, create
from invbench.networks.numbers import Numbers


def load(*, path: str, capacity: Mapping[str, list[float]] | None = None) -> tuple[Facilities, ...]:
    """Every instance of a file, or of all files *.txt of a folder in order of name.

    capacity: units of each site, by the file's name, for files that have the word "capacity" where others have a number;
    several values make as many instances, named NAME_VALUE. ValueError with file and line where a file is malformed.
    """
    place, given = Path(path), dict(capacity or {})
    require(place.exists(), "network.path", "a file or a folder that exists", path)
    files = sorted(place.glob("*.txt"), key=_order) if place.is_dir() else [place]
    require(bool(files), "network.path", "a folder with files *.txt", path)
    return tuple(made for file in files for made in read(file, given.get(file.stem, ())))


def _order(path: Path) -> tuple[str, int]:
    """pmed2 before pmed10."""
    letters = path.stem.rstrip("0123456789")
    return letters, int(path.stem[len(letters) :] or 0)


def read(path: Path, capacities: tuple[float, ...] | list[float] = ()) -> list[Facilities]:
    """The instances of one file: two numbers in its first line are warehouses and customers, three a graph and p."""
    numbers = Numbers.read(path)
    head = len(numbers.first)
    if head == 2:
        return warehouses(numbers, capacities)
    if head == 3:
        return [medians(numbers)]
    raise numbers.error(1, "two whole numbers (warehouses, customers) or three (vertices, edges, p)", " ".join(numbers.first))


def warehouses(numbers: Numbers, capacities: tuple[float, ...] | list[float] = ()) -> list[Facilities]:
    """Sites with capacity and fixed cost; then each customer's demand, and the cost of serving all of it from each site."""
    sites, customers = numbers.whole("warehouses"), numbers.whole("customers")
    limits, fixed = np.empty(sites), np.empty(sites)
    for site in range(sites):
        limits[site] = numbers.one(f"the capacity of warehouse {site + 1}", word="capacity")
        fixed[site] = numbers.one(f"the fixed cost of warehouse {site + 1}")
    demand, cost = np.empty(customers), np.empty((sites, customers))
    for customer in range(customers):
        demand[customer] = numbers.one(f"the demand of customer {customer + 1}")
        cost[:, customer] = numbers.several(f"the costs of customer {customer + 1}", sites)
    numbers.end()
    made = dict(demand=demand, fixed=fixed, cost=cost)
    if not np.isnan(limits).any():
        return [create(name=numbers.name, capacity=limits, **made)]
    require(bool(capacities), f"network.capacity.{numbers.name}", "units of each site, as the file has a word", None)
    values = [number(f"network.capacity.{numbers.name}", value, low=0, above=True) for value in capacities]
    filled = [(value, np.where(np.isnan(limits), value, limits)) for value in values]
    return [create(name=f"{numbers.name}_{value:g}", capacity=limit, **made) for value, limit in filled]


def medians(numbers: Numbers) -> Facilities:
    """An undirected graph whose every vertex is a customer with one unit of demand and a site; p of them are to be open.

    A vertex is served over the shortest way. Of edges that are given twice, the last one counts, as the library says.
    """
    vertices, edges, count = (numbers.whole(what) for what in ("vertices", "edges", "p"))
    if count > vertices:
        raise numbers.error(1, f"p <= {vertices} vertices", count)
    length = np.full((vertices, vertices), math.inf)
    for edge in range(edges):
        ends = [numbers.whole(f"an end of edge {edge + 1}", high=vertices) - 1 for _ in range(2)]
        length[ends[0], ends[1]] = length[ends[1], ends[0]] = numbers.one(f"the length of edge {edge + 1}")
    numbers.end()
    np.fill_diagonal(length, 0)
    ways = shortest(length)
    return create(
        name=numbers.name, demand=np.ones(vertices), capacity=math.inf, fixed=0.0, cost=ways, distance=ways, count=count
    )


def shortest(length: np.ndarray) -> np.ndarray:
    """[vertex, vertex] lengths of shortest ways (Floyd 1962); inf where there is none. length: of edges, inf for none."""
    ways = length.copy()
    for between in range(len(ways)):
        np.minimum(ways, ways[:, between, None] + ways[between], out=ways)
    return ways
