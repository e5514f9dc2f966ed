"""A network from lists: every field checked, one sentence for what cannot be. What moves in it is in network_physics.py."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from invbench.checks import choice, number, require, whole
from invbench.dynamics.allocation import RULES
from invbench.dynamics.arcs import OUTSIDE
from invbench.dynamics.network_physics import Network
from invbench.dynamics.shares import Split, split

__all__ = ["Network", "Split", "create", "split"]

Amount = float | list[float]
Limit = float | list[float | None] | None


def create(
    *,
    customers: int | list[str],
    sites: int | list[str],
    suppliers: list[int | str],
    destinations: list[int | str],
    lead_times: int | list[int],
    products: int = 1,
    shares: list[float] | None = None,
    ranks: list[int] | None = None,
    backlog: bool | list[bool] = False,
    allocation: str = "proportional",
    initial_stock: Amount | None = 0.0,
    distances: Amount | None = None,
    arc_throughput: Limit = None,
    site_throughput: Limit = None,
    storage: Limit = None,
) -> Network:
    """A checked network. Units and periods as in `Network`; one figure is that of all.

    customers, sites: how many, or their names. suppliers, destinations: of each arc, a name or a number: a supplier is
    "outside" or a site (from 0), a destination a customer or a site (a node: customers from 0, then sites). lead_times: of each
    arc; or one for all arcs to sites. shares: of each arc, of the orders of its destination; None: alike. ranks: None: the order
    of the arcs. Limits: one figure or a list; None, there or in the list: no limit. Raises ValueError in one sentence.
    """
    names = tuple(_names(field, given) for field, given in (("customers", customers), ("sites", sites)))
    known = names[0] + names[1]
    require(len(set(known)) == len(known), "system.sites", "names that no customer and no other site has", list(known))
    products, count = whole("system.products", products, low=1), len(suppliers)
    require(
        len(destinations) == count > 0, "system.destinations", f"one for each of {count} arcs, at least one", len(destinations)
    )
    above = [_number("suppliers", arc, one, names[1], names[1] + ("outside",)) for arc, one in enumerate(suppliers)]
    below = [_number("destinations", arc, one, known, known) for arc, one in enumerate(destinations)]
    leads = _lead_times(lead_times, below, len(names[0]))
    share = _checked_shares(shares, below, known)
    order = range(count) if ranks is None else _list("ranks", ranks, count, whole)
    waits = _list("backlog", backlog, len(names[1]), _flag)
    limits = {
        "arc_throughput": _limits("arc_throughput", arc_throughput, count),
        "site_throughput": _limits("site_throughput", site_throughput, len(names[1])),
        "storage": _limits("storage", storage, len(names[1])),
    }
    made = Network(
        len(names[0]), len(names[1]), products, tuple(above), tuple(below), leads, tuple(order), tuple(waits),
        choice("system.allocation", allocation, tuple(RULES)), share, **limits,
        distance=None if distances is None else _figures("distances", distances, count),
    )  # fmt: skip
    _require_connected(made, known)
    stock = None if initial_stock is None else _stock(initial_stock, made)
    return replace(made, initial_stock=stock)


def _names(field: str, given: int | list[str]) -> tuple[str, ...]:
    """Names; numbered ones where there is a count."""
    if isinstance(given, list | tuple):
        require(len(given) > 0 and all(isinstance(name, str) for name in given), f"system.{field}", "names", given)
        require("outside" not in given, f"system.{field}", "names other than outside, who is the supplier of all", given)
        return tuple(given)
    return tuple(f"{field[:-1]} {number}" for number in range(whole(f"system.{field}", given, low=1)))


def _number(field: str, arc: int, given: Any, known: tuple[str, ...], options: tuple[str, ...]) -> int:
    """The number of a node that is given by number or name; `OUTSIDE` too where it is an option."""
    lowest = OUTSIDE if "outside" in options else 0
    if isinstance(given, int | np.integer) and not isinstance(given, bool):
        require(lowest <= given < len(known), f"system.{field}[{arc}]", f"from {lowest} to {len(known) - 1}", given)
        return int(given)
    choice(f"system.{field}[{arc}]", given, options)
    return OUTSIDE if given == "outside" else known.index(given)


def _lead_times(given: int | list[int], below: list[int], customers: int) -> tuple[int, ...]:
    if not isinstance(given, list | tuple):
        alike = whole("system.lead_times", given)
        return tuple(alike if node >= customers else 0 for node in below)
    leads = tuple(_list("lead_times", given, len(below), whole))
    late = [arc for arc, (lead, node) in enumerate(zip(leads, below)) if lead and node < customers]
    require(
        not late, f"system.lead_times[{late[0] if late else 0}]", "0, as on every arc to a customer", [leads[a] for a in late]
    )
    return leads


def _checked_shares(given: list[float] | None, below: list[int], known: tuple[str, ...]) -> np.ndarray:
    """[arc] float32; those of each destination sum to 1."""
    sums = np.bincount(below, minlength=len(known))
    alone = [known[node] for node in np.flatnonzero(sums == 0)]
    require(not alone, "system.destinations", "a list with every customer and site", f"none of {', '.join(alone)}")
    if given is None:
        return (1 / sums[below]).astype(np.float32)
    share = np.asarray(_list("shares", given, len(below), partial(number, low=0, high=1)))
    sums = np.bincount(below, share, len(known))
    odd = np.flatnonzero(np.abs(sums - 1) > 1e-4)
    require(
        not odd.size, "system.shares", "1 in sum for every destination", f"{known[odd[0]]}: {sums[odd[0]]:g}" if odd.size else 1
    )
    return (share / sums[below]).astype(np.float32)


def _require_connected(made: Network, known: tuple[str, ...]) -> None:
    """Every node is reached from outside, and none from itself."""
    above, below = np.asarray(made.suppliers), np.asarray(made.destinations)
    made.layout  # raises where sites supply each other in a circle
    reached = np.zeros(made.nodes, bool)
    for _ in range(made.nodes):
        reached[below[(above == OUTSIDE) | reached[made.customers :][above]]] = True
    lost = [known[node] for node in np.flatnonzero(~reached)]
    require(not lost, "system.suppliers", "a way from outside to every customer and site", f"none to {', '.join(lost)}")
    direct = [arc for arc in range(len(above)) if above[arc] == OUTSIDE and below[arc] < made.customers]
    require(not direct, f"system.suppliers[{direct[0] if direct else 0}]", "a site where a customer is served", "outside")


def _list(field: str, given: Any, size: int, check: Any) -> list[Any]:
    """Checked values, one for each; a single one is that of all."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, list | tuple):
        return [check(f"system.{field}", given)] * size
    require(len(given) == size, f"system.{field}", f"one figure, or one for each of {size}", given)
    return [check(f"system.{field}[{place}]", value) for place, value in enumerate(given)]


def _figures(field: str, given: Amount, size: int) -> np.ndarray:
    return np.asarray(_list(field, given, size, partial(number, low=0)), np.float32)


def _limits(field: str, given: Limit, size: int) -> np.ndarray | None:
    """[size] float32, infinite where there is no limit; None where there is none at all."""
    limit = lambda name, value: np.inf if value is None or value == np.inf else number(name, value, low=0)  # noqa: E731
    limits = np.asarray(_list(field, given, size, limit), np.float32)
    return None if np.isinf(limits).all() else limits


def _flag(field: str, given: Any) -> bool:
    require(isinstance(given, bool), field, "true or false", given)
    return given


def _stock(given: Amount, made: Network) -> np.ndarray:
    """[site item] units; a list has one for each site, or one for each product of each site."""
    size = made.sites * made.products
    spread = made.products if np.size(given) == made.sites else 1
    stock = _figures("initial_stock", np.repeat(given, spread) if np.size(given) > 1 else given, size)
    full = made.storage is None or (stock.reshape(made.sites, -1).sum(1) <= made.storage).all()
    require(full, "system.initial_stock", "at most system.storage at every site, over its products", given)
    return stock
