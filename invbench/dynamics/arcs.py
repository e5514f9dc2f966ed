"""The arcs of a network by the nodes that they belong to: sums over them without a loop, a scatter or a dense matrix.

A sum over the arcs of each node is a gather into a table with a row for each node and as many columns as a node has arcs, and a
sum of its columns. Amounts in a table lie column by column, so that nodes are side by side. Nodes with about as many arcs (within
a power of two) share a table, so that one hub does not make it wide for all.
"""

from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench.types import Array

OUTSIDE = -1  # the supplier who never runs out


class Table(NamedTuple):
    """Some nodes, and the arcs of each in order of rank; where a node has fewer than there are columns, `real` is false."""

    nodes: np.ndarray  # [row]
    arcs: np.ndarray  # [row, column]
    real: np.ndarray  # [row, column] bool

    def lay(self, amounts: Array) -> Array:
        """[column, ..., row, product] of amounts [..., arc, product]; nothing where no arc is."""
        if _adjoin(self.arcs.ravel()):
            laid = rows(amounts, self.arcs.ravel())
            laid = jnp.moveaxis(laid.reshape(*laid.shape[:-2], *self.arcs.shape, laid.shape[-1]), -2, 0)
        else:
            laid = rows(amounts, self.arcs.T.ravel())
            laid = jnp.moveaxis(laid.reshape(*laid.shape[:-2], *self.arcs.T.shape, laid.shape[-1]), -3, 0)
        return laid if self.real.all() else jnp.where(self._real(laid.ndim), laid, 0)

    def _real(self, dimensions: int) -> np.ndarray:
        columns, nodes = self.real.T.shape
        return self.real.T.reshape(columns, *(1,) * (dimensions - 3), nodes, 1)


class Fan(NamedTuple):
    """All nodes of a kind with their arcs, in tables."""

    tables: tuple[Table, ...]
    rows: np.ndarray  # [node] its row where the tables lie one below the other
    cells: np.ndarray  # [arc] its cell in them, read column by column; 0 for an arc of no node

    def sum(self, amounts: Array) -> Array:
        """[..., node, product] sums over the arcs of each node, of amounts [..., arc, product]."""
        return self.by_node([table.lay(amounts).sum(0) for table in self.tables])

    def by_node(self, parts: list[Array]) -> Array:
        """[..., node, product] of one [..., row, product] for each table."""
        return rows(jnp.concatenate(parts, axis=-2), self.rows)

    def by_arc(self, parts: list[Array]) -> Array:
        """[..., arc, product] of one [column, ..., row, product] for each table."""
        return rows(jnp.concatenate([flat(part) for part in parts], axis=-2), self.cells)


def flat(laid: Array) -> Array:
    """[..., cell, product] of what lies in a table [column, ..., row, product]."""
    laid = jnp.moveaxis(laid, 0, -3)
    return laid.reshape(*laid.shape[:-3], laid.shape[-3] * laid.shape[-2], laid.shape[-1])


def _adjoin(index: np.ndarray) -> bool:
    return np.array_equal(index, np.arange(index[0], index[0] + len(index)))


def rows(amounts: Array, index: np.ndarray) -> Array:
    """[..., row, product] the rows of amounts [..., any, product] that `index` names; a slice where they lie side by side."""
    if len(index) == 0 or _adjoin(index):
        first = int(index[0]) if len(index) else 0
        return amounts if len(index) == amounts.shape[-2] else amounts[..., first : first + len(index), :]
    return jnp.asarray(amounts).at[..., index.astype(np.int32), :].get(mode="promise_in_bounds")


def fan(owner: np.ndarray, nodes: int, rank: np.ndarray, level: np.ndarray | None = None) -> Fan:
    """The arcs of nodes 0, 1, … where arc a belongs to node owner[a] (none if below 0); tables in order of the nodes' level."""
    own: list[list[int]] = [[] for _ in range(nodes)]
    for arc in np.lexsort((np.arange(len(owner)), rank)):
        if owner[arc] >= 0:
            own[owner[arc]].append(int(arc))
    level = np.zeros(nodes, int) if level is None else level
    kind = [(int(level[node]), max(len(arcs) - 1, 0).bit_length()) for node, arcs in enumerate(own)]
    tables = tuple(_table([node for node in range(nodes) if kind[node] == one], own) for one in sorted(set(kind)))
    place, cells, first = np.zeros(nodes, int), np.zeros(len(owner), int), 0
    place[np.concatenate([table.nodes for table in tables])] = np.arange(nodes)
    for table in tables:
        cells[table.arcs.T[table.real.T]] = first + np.flatnonzero(table.real.T)
        first += table.arcs.size
    return Fan(tables, place, cells)


def _table(nodes: list[int], own: list[list[int]]) -> Table:
    columns = max(1, *(len(own[node]) for node in nodes))
    padded = np.asarray([own[node] + [0] * (columns - len(own[node])) for node in nodes])
    real = np.arange(columns) < np.asarray([len(own[node]) for node in nodes])[:, None]
    return Table(np.asarray(nodes), padded, real)


class Layout(NamedTuple):
    """What follows from who supplies whom. Sites are numbered from 0, and so are nodes: customers first, then sites."""

    out: Fan  # arcs by the site that ships; what takes no time goes down in the order of its tables
    into: Fan  # arcs by the site that receives
    serving: Fan  # arcs by the customer
    landing: Fan  # those of `moving` by the site that receives
    moving: np.ndarray  # arcs on which units spend time
    lead_times: np.ndarray  # [moving] periods
    outside: np.ndarray  # arcs from outside
    cells: np.ndarray  # [arc] its place among arcs from outside, and then the cells of `out`
    instant: tuple[Table | None, ...]  # for each table of `out`: the places of what its sites receive at once
    to_customer: np.ndarray  # [arc] bool
    depth: int  # most arcs on a way from outside to a customer
    lead_time: int  # periods on the slowest way


@lru_cache(maxsize=64)
def layout(
    customers: int, sites: int, suppliers: tuple[int, ...], destinations: tuple[int, ...], lead_times: tuple[int, ...],
    ranks: tuple[int, ...],
) -> Layout:  # fmt: skip
    """The layout of an acyclic network; ranks: [arc], the lowest is served first."""
    supplier, destination, lead, rank = (np.asarray(part, int) for part in (suppliers, destinations, lead_times, ranks))
    receives = np.where(destination >= customers, destination - customers, -1)
    level = _longest(sites, supplier, receives, np.where(lead == 0, 1.0, -np.inf))
    out = fan(supplier, sites, rank, level)
    moving, outside = np.flatnonzero(lead > 0), np.flatnonzero(supplier == OUTSIDE)
    cells = np.where(supplier == OUTSIDE, np.cumsum(supplier == OUTSIDE) - 1, len(outside) + out.cells)
    return Layout(
        out=out,
        into=fan(receives, sites, rank),
        serving=fan(np.where(destination < customers, destination, -1), customers, rank),
        landing=fan(receives[moving], sites, rank[moving]),
        moving=moving,
        lead_times=lead[moving],
        outside=outside,
        cells=cells,
        instant=tuple(_instant(table, np.where(lead == 0, receives, -1), cells) for table in out.tables),
        to_customer=destination < customers,
        depth=int(_longest(sites, supplier, receives, np.ones(len(lead))).max(initial=0)) + 1,
        lead_time=int(_longest(sites, np.where(supplier < 0, sites, supplier), receives, lead, sites + 1).max()),
    )


def _instant(table: Table, receives: np.ndarray, cells: np.ndarray) -> Table | None:
    """For the sites of a table, the cells of arcs on which they receive without delay."""
    own = [cells[np.flatnonzero(receives == site)].tolist() for site in table.nodes]
    return _table(list(range(len(own))), own) if any(own) else None


def _longest(sites: int, supplier: np.ndarray, receives: np.ndarray, length: np.ndarray, starts: int | None = None) -> np.ndarray:
    """[site] the longest way that ends there over arcs between sites; starts: number of places from which arcs lead."""
    far = np.zeros(starts or sites)
    inner = np.flatnonzero((supplier >= 0) & (receives >= 0))
    for _ in range(sites + 1):
        further = far.copy()
        np.maximum.at(further, receives[inner], far[supplier[inner]] + length[inner])
        if np.array_equal(further, far):
            return far[:sites].astype(int)
        far = further
    raise ValueError("system.suppliers must be above their destinations, got a circle of sites")
