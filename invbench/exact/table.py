"""A policy as a table: the order for every state, looked up from what is observed."""

import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.exact.lattice import Lattice
from invbench.types import Array, Observation, Policy


def policy(lattice: Lattice, numbers: np.ndarray, start: int = 0) -> Policy:
    """The policy that orders number `numbers` [supplier, stock, the rest], or [period, supplier, …] from period `start` on."""
    timed = numbers.ndim == 4
    names = ("orders", "expedited") if lattice.rush is not None else ("orders",)
    tables = {}
    for supplier, name in enumerate(names):
        own = numbers[:, supplier] if timed else numbers[supplier]
        units = lattice.orders[own] if name == "orders" else own
        shape = (len(numbers), *lattice.shape) if timed else lattice.shape
        tables[name] = jnp.asarray(units.astype(np.int16 if units.max() < 2**15 else np.int32).reshape(*shape, 1))
    params = {**tables, "low": jnp.full((1,), lattice.low, jnp.int32), "start": jnp.full((1,), start, jnp.int32)}
    if lattice.at_once and lattice.lag + (lattice.low < 0):
        return Policy(params, timed_by_position if timed else by_position)
    return Policy(params, timed_by_state if timed else by_state)


def by_state(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The order [item] ([supplier, item]) for stock after receipt, by age where it has ages, and outstanding orders."""
    parts = [observation.on_hand] if observation.ages is None else list(observation.ages)
    tables = [params[name][..., 0] for name in ("orders", "expedited") if name in params]
    if tables[0].ndim == len(parts) + observation.pipeline.shape[0] - 1:
        parts = parts[:-1]  # nothing fresh can be there before the order, which comes at once
    index = [parts[0] - params["low"], *parts[1:], *observation.pipeline[::-1]]
    found = [_at(table, index).astype(observation.position.dtype) for table in tables]
    return found[0] if len(found) == 1 else jnp.stack(found)


def by_position(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """The order [item] for the inventory position; below the table what is missing to its lowest, too."""
    table, above = params["orders"][..., 0], observation.position - params["low"]
    return _at(table, [above]).astype(above.dtype) + jnp.maximum(-above, 0)


def timed_by_state(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """`by_state` with the table of this period."""
    return by_state(_today(params, observation), observation, key)


def timed_by_position(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """`by_position` with the table of this period."""
    return by_position(_today(params, observation), observation, key)


def _today(params: dict[str, Array], observation: Observation) -> dict[str, Array]:
    period = observation.time - params["start"][0]
    take = lambda table: lax.dynamic_index_in_dim(table, jnp.clip(period, 0, table.shape[0] - 1), 0, keepdims=False)  # noqa: E731
    return params | {name: take(params[name]) for name in ("orders", "expedited") if name in params}


def _at(table: Array, index: list[Array]) -> Array:
    """The entry for units along each axis, those beyond the ends taken as the ends."""
    flat = jnp.zeros_like(index[0], jnp.int32)
    for size, units in zip(table.shape, index, strict=True):
        flat = flat * size + jnp.clip(jnp.rint(units), 0, size - 1).astype(jnp.int32)
    return table.ravel()[flat]
