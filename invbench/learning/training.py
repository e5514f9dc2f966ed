"""The loop around a learner's compiled chunks: progress, curves, divergence, and a state on disk that training goes on from."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from invbench import jobs
from invbench.keys import named
from invbench.learning import checkpoint
from invbench.progress import told
from invbench.types import Array

WORTH = "validation/benefit"  # the metric that members are compared by
CORE = "core"  # the axis that members are spread over
Metrics = dict[str, Array]  # each [member], or [] where all members share it


class Diverged(RuntimeError):
    """Training left the finite numbers."""


def run(
    name: str, start: Any, advance: Callable[[Any, int], tuple[Any, Metrics]], chunks: int, log: Callable[[dict, int], None],
    *, steps: int, settings: Any, baseline: float | None = None, advice: str = "lower method.learning_rate",
) -> Any:  # fmt: skip
    """The state after `chunks` calls of `state, metrics = advance(state, number)`; a chunk is `steps` updates.

    The mean over members of each metric is logged, of `WORTH` the best. Where `log` has a `place` (a folder), the state is kept
    there after every chunk, and a later call with equal `settings` (anything JSON can hold) goes on from it, to the same bytes.
    baseline: what a classical rule earns on the validation paths, shown beside. Raises `Diverged`; the last good state stays.
    """
    place, digest = getattr(log, "place", None), jobs.digest([name, chunks, steps, settings])
    state, rows = _resumed(place, digest, start)
    if baseline is not None:
        log({"validation/baseline": baseline}, 0)
    for number, row in enumerate(rows):
        log(row, (number + 1) * steps)
    with told(name) as tell:
        for number in range(len(rows), chunks):
            state, metrics = advance(state, number)
            done = (number + 1) * steps
            row = _row(name, metrics, done, chunks * steps, advice)
            rows = [*rows, row]
            log(row, done)
            tell(_text(row, done, chunks * steps, baseline))
            _keep(place, digest, state, rows)
    return state


def better(worth: Array, params: Any, best_worth: Array, best: Any) -> tuple[Array, Any]:
    """What is worth more of two trees of one member, with its worth; of equals the one before."""
    won = worth > best_worth
    return jnp.where(won, worth, best_worth), jax.tree.map(lambda new, old: jnp.where(won, new, old), params, best)


def planned(method: Any, fields: tuple[str, ...], most: dict[str, int]) -> int:
    """The product of fields of a method, each at most `most` in fast mode: periods that a training simulates."""
    caps = most if method.fast_mode else {}
    return math.prod(min(getattr(method, name), caps.get(name, getattr(method, name))) for name in fields)


def mesh(members: int) -> Mesh:
    """As many devices as share the members evenly, in one row called `CORE`."""
    shares = max(count for count in range(1, len(jax.devices()) + 1) if members % count == 0)
    return Mesh(np.array(jax.devices()[:shares]), (CORE,))


def spread(tree: Any, mesh: Mesh) -> Any:
    """A tree [member, ...] on the devices that share the members: from the first chunk on, or the second would compile again."""
    return jax.device_put(tree, NamedSharding(mesh, Spec(CORE)))


def members(tree: Any) -> list[Any]:
    """Each member of a tree [member, ...], free of the devices that the training was spread over."""
    leaves, structure = jax.tree.flatten(jax.tree.map(np.asarray, tree))
    return [jax.tree.unflatten(structure, [jnp.asarray(leaf[i]) for leaf in leaves]) for i in range(len(leaves[0]))]


def member(tree: Any, number: int) -> Any:
    """One of them."""
    return members(tree)[number]


def member_keys(seeds: Array, members: int) -> Array:
    """[seed x member] the keys of so many members of each seed, the same whatever other seeds there are."""
    return jax.vmap(lambda seed: jax.random.split(named(seed, "members"), members))(seeds).reshape(-1)


def best_of(tree: Any, worth: Array, seeds: int) -> list[Any]:
    """Of trees [seed x member]: for each seed that of the member that is worth most."""
    rows = np.asarray(worth).reshape(seeds, -1)
    found = members(tree)
    return [found[seed * rows.shape[1] + int(number)] for seed, number in enumerate(rows.argmax(1))]


def _row(name: str, metrics: Metrics, done: int, updates: int, advice: str) -> dict[str, float]:
    """Each metric as one number. Raises `Diverged` where one of a member is not finite."""
    found = {title: np.atleast_1d(np.asarray(values, np.float64)) for title, values in metrics.items()}
    for title, values in found.items():
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise Diverged(
                f"{name} diverged: {title} of member {bad[0]} is {values[bad[0]]} after {done} of {updates} updates, {advice}"
            )
    return {title: float(values.max() if title == WORTH else values.mean()) for title, values in found.items()}


def _text(row: dict[str, float], done: int, updates: int, baseline: float | None) -> str:
    beside = "" if baseline is None else f" (baseline {baseline:,.5g})"
    return f"{done:,} of {updates:,} updates" + (f", validation {row[WORTH]:,.5g}{beside}" if WORTH in row else "")


def _resumed(place: Path | None, digest: str, start: Any) -> tuple[Any, list[dict[str, float]]]:
    """The last state that was kept of this very training, and its curve so far; the start where there is none."""
    if place is None or not place.is_dir():
        return start, []
    kept = sorted(path.with_suffix(checkpoint.SUFFIX) for path in place.glob(f"{digest}-*.json"))
    if not kept:
        return start, []
    state, about = checkpoint.load(kept[-1], start)
    return state, about["curve"]


def _keep(place: Path | None, digest: str, state: Any, rows: list[dict[str, float]]) -> None:
    """Write the state under a name of its own, then drop the one before: there is always a whole one."""
    if place is None:
        return
    name = lambda count: place / f"{digest}-{count:05d}{checkpoint.SUFFIX}"  # noqa: E731
    checkpoint.save(name(len(rows)), state, {"curve": rows})
    for path in (checkpoint.manifest_of(name(len(rows) - 1)), name(len(rows) - 1)):
        path.unlink(missing_ok=True)
