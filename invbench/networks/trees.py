"""Supply chains given as tables of stages with the stages above each, as the networks of Willems are kept.

Source: Willems 2008, "Data set: real-world multiechelon supply chains used for inventory optimization", Manufacturing & Service
Operations Management 10(1), 19-23; Graves and Willems 2000, M&SOM 2(1), 68-83, for what the columns mean.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from invbench.checks import require
from invbench.costs import CostModel
from invbench.dynamics import network
from invbench.dynamics.arcs import OUTSIDE
from invbench.dynamics.network import Network
from invbench.dynamics.single import Single
from invbench.scenarios import apportioned
from invbench.scenarios.base import Scenario

COLUMNS = (
    "stage_id", "lead_time", "max_s_time", "cost", "risk_pool",
    "ext_demand_mean", "ext_demand_std", "ext_demand_thres", "up_stages",
)  # fmt: skip
COSTS = ("cost", "cost_rate")


@dataclass(frozen=True)
class Tree:
    """Stages, and which supply which. nan where a table leaves a cell empty.

    lead_time     [stage] periods that the stage itself takes once its inputs are there
    service_time  [stage] periods that its customers accept to wait at most (max_s_time)
    cost          [stage] money per unit, of the kind that `cost_kind` says: cost (added by the stage) or cost_rate
    risk_pool     [stage] the exponent by which the spreads of pooled demand add up (2: independent)
    mean, std     [stage] demand of customers outside the chain, units a period
    threshold     [stage] standard deviations that its safety stock covers
    arcs          [arc, 2] numbers of the stage above and of the stage that it supplies
    quantity      [arc] units of the one in a unit of the other
    """

    name: str
    stages: tuple[str, ...]
    lead_time: np.ndarray
    service_time: np.ndarray
    cost: np.ndarray
    cost_kind: str
    risk_pool: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    threshold: np.ndarray
    arcs: np.ndarray
    quantity: np.ndarray

    @property
    def demanded(self) -> np.ndarray:
        """[customer] numbers of the stages that have customers."""
        return np.flatnonzero(np.isfinite(self.mean))

    @property
    def demand(self) -> np.ndarray:
        """[customer] units a period, on average."""
        return self.mean[self.demanded]


def placed(tree: Tree, process: Scenario, single: Any, money: CostModel) -> tuple[Scenario, Network, CostModel]:
    """Scenario, system and costs of a single stocking point as those of the tree: where demand is, its mean is the tree's.

    A unit is bought once, from outside; all other rates hold at every stage. Lead times are the tree's.
    """
    require(isinstance(single, Single), "system", "lost_sales or backlog where there is a network", type(single).__name__)
    chain = system(tree, backlog=single.backlog, initial_stock=None, storage=single.capacity)
    bought = np.zeros(chain.nodes, np.float32)
    bought[[below for above, below in zip(chain.suppliers, chain.destinations) if above == OUTSIDE]] = 1
    return apportioned.create(process, tree.demand), chain, replace(money, purchase=bought * np.asarray(money.purchase))


def load(*, path: str) -> tuple[Tree, ...]:
    """The tree of a file, or those of all files *.txt of a folder in order of name."""
    place = Path(path)
    require(place.exists(), "network.path", "a file or a folder that exists", path)
    files = sorted(place.glob("*.txt")) if place.is_dir() else [place]
    require(bool(files), "network.path", "a folder with files *.txt", path)
    return tuple(read(file) for file in files)


def system(tree: Tree, **settings: Any) -> Network:
    """The network in which the tree is simulated: a site for each stage, a customer for each that has demand of its own.

    settings: as in `network.create`. Raises ValueError where a stage is assembled: units of several stages in one of its own.
    """
    above = np.bincount(tree.arcs[:, 1], minlength=len(tree.stages)) if len(tree.arcs) else np.zeros(len(tree.stages), int)
    for stage in np.flatnonzero(above > 1):
        raise ValueError(f"{tree.name}: stage {tree.stages[stage]} is assembled from {above[stage]} stages; what is simulated is "
                         "chains and distribution trees alone")  # fmt: skip
    for arc in np.flatnonzero(tree.quantity != 1):
        raise ValueError(f"{tree.name}: stage {tree.stages[tree.arcs[arc, 1]]} takes {tree.quantity[arc]:g} units of "
                         f"{tree.stages[tree.arcs[arc, 0]]}; what is simulated takes one for one")  # fmt: skip
    supplier = np.full(len(tree.stages), -1)
    supplier[tree.arcs[:, 1]] = tree.arcs[:, 0]
    customers, stages = len(tree.demanded), len(tree.stages)
    return network.create(
        customers=[f"customers of {tree.stages[stage]}" for stage in tree.demanded],
        sites=list(tree.stages),
        suppliers=[*supplier.tolist(), *tree.demanded.tolist()],
        destinations=[*range(customers, customers + stages), *range(customers)],
        lead_times=[*tree.lead_time.tolist(), *[0] * customers],
        **settings,
    )


def read(path: Path) -> Tree:
    """The tree of one file. Raises ValueError with file, line and column where it is malformed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ValueError(f"{path.name}, line {line}: a byte that is not UTF-8 text") from None
    rows = [_Row(path.name, number, [cell.strip() for cell in text.split(",")]) for number, text in enumerate(lines, 1) if text]
    if not rows:
        raise ValueError(f"{path.name}, line 1: the file is empty")
    kind = _header(rows[0])
    stages = _stages(rows[1:], rows[0])
    figures = {name: np.asarray([row.figure(name) for row in rows[1:]]) for name in COLUMNS[2:8]}
    lead_time = np.asarray([int(row.figure("lead_time", empty=False, whole=True)) for row in rows[1:]])
    for row in rows[1:]:
        row.demand()
    arcs, quantity = _arcs(rows[1:], stages)
    if not np.isfinite(figures["ext_demand_mean"]).any():
        raise rows[0].error("ext_demand_mean", "given for one stage at least", "none")
    return Tree(
        path.stem, tuple(stages), lead_time, figures["max_s_time"], figures["cost"], kind, figures["risk_pool"],
        figures["ext_demand_mean"], figures["ext_demand_std"], figures["ext_demand_thres"], arcs, quantity,
    )  # fmt: skip


@dataclass(frozen=True)
class _Row:
    """A line of the file in cells."""

    file: str
    line: int
    cells: list[str]

    def error(self, column: str, rule: str, value: Any) -> ValueError:
        return ValueError(f"{self.file}, line {self.line}, column {column}: must be {rule}, got {value!r}")

    def text(self, column: str) -> str:
        place = COLUMNS.index(column)
        return self.cells[place] if place < len(self.cells) else ""

    def figure(self, column: str, empty: bool = True, whole: bool = False) -> float:
        """A number >= 0; nan where the cell is empty and may be."""
        return self.number(column, self.text(column), empty, whole)

    def number(self, column: str, text: str, empty: bool = False, whole: bool = False) -> float:
        if empty and not text:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0 and (value.is_integer() or not whole)) or "_" in text:
            raise self.error(column, "a whole number >= 0" if whole else "a number >= 0", text)
        return value

    def demand(self) -> None:
        """Mean and standard deviation come together."""
        if bool(self.text("ext_demand_mean")) != bool(self.text("ext_demand_std")):
            raise self.error("ext_demand_std", "given where ext_demand_mean is, and there alone", self.text("ext_demand_std"))

    def above(self) -> list[tuple[str, float]]:
        """The stages above with their quantities; cells that are empty at the end of the line are none."""
        cells = self.cells[COLUMNS.index("up_stages") :]
        while cells and not cells[-1]:
            cells.pop()
        if len(cells) % 2:
            raise self.error("up_stages", "pairs of a stage and a quantity", cells[-1])
        pairs = [(name, self.number("up_stages", text)) for name, text in zip(cells[::2], cells[1::2])]
        for name, quantity in pairs:
            if quantity == 0:
                raise self.error("up_stages", f"a quantity > 0 of {name}", 0)
        return pairs


def _header(row: _Row) -> str:
    """What the cost column is called."""
    kind = row.cells[3] if len(row.cells) > 3 else ""
    expected = [kind if name == "cost" and kind in COSTS else name for name in COLUMNS]
    if row.cells != expected:
        wrong = next((place for place, pair in enumerate(zip(row.cells, expected)) if pair[0] != pair[1]), len(expected) - 1)
        got = row.cells[wrong] if wrong < len(row.cells) else ""
        raise row.error(str(wrong + 1), expected[wrong] if wrong != 3 else "cost or cost_rate", got)
    return kind


def _stages(rows: list[_Row], header: _Row) -> dict[str, int]:
    """The number of each stage."""
    stages: dict[str, int] = {}
    for row in rows:
        name = row.text("stage_id")
        if not name or name in stages:
            raise row.error("stage_id", "a name that no line above has", name)
        stages[name] = len(stages)
    if not stages:
        raise header.error("stage_id", "followed by a line for each stage", "none")
    return stages


def _arcs(rows: list[_Row], stages: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """[arc, 2] stage above and stage, and [arc] quantity; in the order of the file."""
    arcs, quantities = [], []
    for stage, row in enumerate(rows):
        for name, quantity in row.above():
            if name not in stages:
                raise row.error("up_stages", "a stage of the file", name)
            if (stages[name], stage) in arcs:
                raise row.error("up_stages", "different stages", name)
            arcs.append((stages[name], stage))
            quantities.append(quantity)
    _require_order(rows, arcs)
    return np.asarray(arcs, int).reshape(-1, 2), np.asarray(quantities)


def _require_order(rows: list[_Row], arcs: list[tuple[int, int]]) -> None:
    """No stage supplies itself, however far round."""
    left = set(range(len(rows)))
    while free := [stage for stage in left if not any(below == stage and above in left for above, below in arcs)]:
        left -= set(free)
    if left:
        stage = min(left)
        raise rows[stage].error("up_stages", "stages that this one does not supply itself", rows[stage].text("stage_id"))
