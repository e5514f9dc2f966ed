"""The replay engine: policies on stored paths, in blocks that fit the cache, on all cores. Physics and money come from elsewhere.

A measure is a module-level function `measure(flows, last, *arguments) -> pytree of [item]`; it is summed over periods in the
scan, so that nothing else is ever stored. Paths are shared by policies and candidates; each core takes its own share.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as Spec

from invbench import rolling
from invbench.dynamics.single import remembering
from invbench.keys import named
from invbench.types import Array, Flows, Observation, Paths, Policy

LANES_PER_BLOCK = 1024  # paths x items that move together: their state stays in the second-level cache
AXIS = "core"


def identity(flows: Flows, last: Array) -> Flows:
    """The measure that keeps the flows themselves."""
    return flows


def mesh() -> Mesh:
    """All devices in one row."""
    return Mesh(np.array(jax.devices()), (AXIS,))


def spread(paths: Paths) -> Paths:
    """Paths placed on the devices as `total` and `flows` read them, so that no call has to copy them."""
    share = NamedSharding(mesh(), Spec(None, AXIS) if paths.demand.shape[1] % len(jax.devices()) == 0 else Spec())
    return Paths(*(None if part is None else jax.device_put(part, share) for part in paths[:3]), paths.start)


def total(system, policy: Policy, paths: Paths, measure: Callable, arguments: tuple = (), key: Array | None = None) -> Any:
    """The measure summed over periods: a pytree of [n, item]."""
    return _run(system, policy, paths, measure, arguments, key, keep=False)


def flows(
    system,
    policy: Policy,
    paths: Paths,
    measure: Callable = identity,
    arguments: tuple = (),
    key: Array | None = None,
    first: int = 0,
) -> Any:
    """The measure period by period: a pytree of [n, horizon, item]. first: the number of the first path, for random policies."""
    return _run(system, policy, paths, measure, arguments, key, keep=True, first=first)


def candidates(
    system,
    policy: Policy,
    paths: Paths,
    measure: Callable,
    arguments: tuple = (),
    key: Array | None = None,
    shared: dict | None = None,
) -> Any:
    """`total` for many parameter values at once: a pytree of [candidate, n, item].

    Leaves of `policy.params` are [candidate, ...]; `shared` are further params that all candidates have in common.
    """
    system = _asked(system, policy)
    count, n, items = jax.tree.leaves(policy.params)[0].shape[0], *paths.demand.shape[1:]
    path_blocks, path_size = _tiles(n, 1, items)
    candidate_blocks, size = _tiles(count, len(jax.devices()), path_size * items)
    params = jax.tree.map(lambda leaf: _pad(jnp.asarray(leaf), 0, candidate_blocks * size), policy.params)
    padded = _pad_paths(paths, path_blocks * path_size)
    own = _beside(jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((2, *leaf.shape[1:]), leaf.dtype), params), shared)
    result = _candidates(
        system, params, shared, padded[:3], paths.start, arguments, key,
        static=_Static(policy, measure, False, _loop_free(system, policy._replace(params=own), items, (2, 2))),
        size=size, path_size=path_size,
    )  # fmt: skip
    return jax.tree.map(lambda leaf: leaf[:count, :n], result)


def drawn(
    system, policy: Policy, scenario, key: Array, n: int, horizon: int, measure: Callable, arguments: tuple = (), start: int = 0
):
    """`total` on paths that are drawn block by block on the way and never stored: a pytree of [n, item].

    Block b of the paths has the key `fold_in(key, b)`, so that the result does not depend on the number of cores.
    """
    system, size = _asked(system, policy), max(1, min(LANES_PER_BLOCK // scenario.items, n))
    blocks = -(-n // (size * len(jax.devices()))) * len(jax.devices())
    result = _drawn(
        system, policy.params, scenario, key, start, arguments,
        static=_Static(policy, measure, False, _loop_free(system, policy, scenario.items, (2,))),
        blocks=blocks, size=size, horizon=horizon,
    )  # fmt: skip
    return jax.tree.map(lambda leaf: leaf[:n], result)


class _Static:
    """What a compiled replay depends on beside shapes; equal values compile once."""

    def __init__(self, policy: Policy, measure: Callable, keep: bool, loop_free: bool):
        self.parts = (policy.apply, policy.window, policy.random, policy.elementwise, policy.per_path, measure, keep, loop_free)
        self.apply, self.window, self.random, self.elementwise, self.per_path, self.measure, self.keep, self.loop_free = (
            self.parts
        )

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Static) and self.parts == other.parts


def _tiles(count: int, shares: int, width: int) -> tuple[int, int]:
    """Blocks in all and lanes in each, for `count` lanes of `width` values over `shares` cores."""
    if jax.default_backend() != "cpu":
        return shares, -(-count // shares)
    share = -(-count // shares)
    blocks = -(-share // max(1, LANES_PER_BLOCK // width))
    blocks = next((more for more in range(blocks, 2 * blocks + 1) if share % more == 0), blocks)  # or the paths must be padded
    return blocks * shares, -(-share // blocks)


def _pad(leaf: Array, axis: int, size: int) -> Array:
    missing = size - leaf.shape[axis]
    return leaf if missing == 0 else jnp.pad(leaf, [(0, missing if a == axis else 0) for a in range(leaf.ndim)], mode="edge")


def _pad_paths(paths: Paths, size: int) -> Paths:
    return Paths(*(None if part is None else _pad(jnp.asarray(part), 1, size) for part in paths[:3]), paths.start)


def _asked(system, policy: Policy) -> Any:
    """The system with states that keep what the policy asks for."""
    return remembering(system) if policy.misses else system


def _run(system, policy, paths, measure, arguments, key, keep, first=0):
    system = _asked(system, policy)
    if policy.revise is not None:
        return rolling.run(system, policy, paths, measure, arguments, keep)
    n, items = paths.demand.shape[1:]
    blocks, size = _tiles(n, len(jax.devices()), items)
    params = (
        jax.tree.map(lambda leaf: _pad(leaf, leaf.ndim - 2, blocks * size), policy.params) if policy.per_path else policy.params
    )
    result = _paths(
        system, params, _pad_paths(paths, blocks * size)[:3], paths.start, first, arguments, key,
        static=_Static(policy, measure, keep, _loop_free(system, policy, items, (2,))), size=size,
    )  # fmt: skip
    return jax.tree.map(lambda leaf: leaf[:n], result) if blocks * size != n else result


def _shard(body: Callable, inputs: Any, outputs: Any) -> Callable:
    return jax.shard_map(body, mesh=mesh(), in_specs=inputs, out_specs=outputs, check_vma=False)


class _Entry:
    """A compiled entry point, once as it is and once without copies of the ring buffers in every period (up to twice as fast).

    XLA's region analysis, which saves the copies, overlooks that a loop inside the scan still reads a ring buffer (jaxlib
    0.10: the policy would see today's demand), so it is used only where a policy has no loop.
    """

    def __init__(self, body: Callable, static: tuple[str, ...]):
        self.inner = jax.jit(body, static_argnames=static)  # inside another jit: that one's options count
        self.plain, self.fast = (
            jax.jit(body, static_argnames=static, compiler_options={"xla_cpu_copy_insertion_use_region_analysis": fast})
            for fast in (False, True)
        )

    def __call__(self, system, params, *arguments, static, **settings):
        traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((system, params, arguments)))
        program = self.inner if traced or jax.default_backend() != "cpu" else self.fast if static.loop_free else self.plain
        return program(system, params, *arguments, static=static, **settings)

    def _cache_size(self) -> int:
        return sum(program._cache_size() for program in (self.inner, self.plain, self.fast))


def _loop_free(system, policy: Policy, items: int, lanes: tuple[int, ...]) -> bool:
    """Whether a policy compiles to no loop: neither one of its own nor the one inside JAX's random numbers."""
    if policy.random or not policy.elementwise:
        return False
    leaves, structure = jax.tree.flatten(policy.params)
    shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    return not _loops(policy.apply, policy.window, structure, shapes, (*lanes, items), _Sized(system))


class _Sized:
    """A system by the sizes of its parts alone."""

    def __init__(self, system):
        leaves, structure = jax.tree.flatten(system)
        self.system, self.sizes = system, (structure, tuple(jnp.shape(leaf) for leaf in leaves))

    def __hash__(self) -> int:
        return hash(self.sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sized) and self.sizes == other.sizes


@lru_cache(maxsize=256)
def _loops(apply: Callable, window: int, structure: Any, shapes: tuple, lanes: tuple[int, ...], sized: "_Sized") -> bool:
    before = jax.ShapeDtypeStruct((window, *lanes), jnp.float32)
    observe = lambda system, before: system.observe(system.initial(before, 0, window))  # noqa: E731
    observation = jax.eval_shape(observe, sized.system, before)
    params = jax.tree.unflatten(structure, [jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in shapes])
    return "while" in jax.jit(apply).lower(params, observation, None).as_text()


def _entry(*static: str) -> Callable:
    return lambda body: _Entry(body, ("static", *static))


@_entry("size")
def _paths(system, params, parts, start, first_path, arguments, key, *, static, size):
    """One policy on all paths: each core takes a share of the paths, block by block."""
    count = parts[0].shape[1]
    numbers = first_path + jnp.arange(count)

    def share(system, params, parts, numbers, start, arguments, key):
        def block(first):
            take = partial(lax.dynamic_slice_in_dim, start_index=first, slice_size=size)
            mine = jax.tree.map(lambda leaf: take(leaf, axis=leaf.ndim - 2), params) if static.per_path else params
            demand, before, delay = jax.tree.map(partial(take, axis=1), parts)
            return _scan(system, mine, demand, before, delay, take(numbers), start, arguments, key, static)

        blocks = lax.map(block, jnp.arange(0, numbers.shape[0], size))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), blocks)

    whole, by_path = Spec(), Spec(AXIS)
    planned = jax.tree.map(lambda leaf: Spec(*(None,) * (leaf.ndim - 2), AXIS), params) if static.per_path else whole
    inputs = (whole, planned, Spec(None, AXIS), by_path, whole, whole, whole)
    return _shard(share, inputs, by_path)(system, params, parts, numbers, start, arguments, key)


@_entry("size", "path_size")
def _candidates(system, params, shared, parts, start, arguments, key, *, static, size, path_size):
    """Many parameter values on all paths: each core takes a share of the candidates."""
    n = parts[0].shape[1]

    def share(system, params, shared, parts, start, arguments, key):
        def tile(first_candidate, first_path):
            mine = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, first_candidate, size), params)
            demand, before, delay = jax.tree.map(lambda part: lax.dynamic_slice_in_dim(part, first_path, path_size, 1), parts)
            numbers = first_path + jnp.arange(path_size)
            return _scan_many(system, mine, shared, demand, before, delay, numbers, start, arguments, key, static)

        def row(first_candidate):
            tiles = lax.map(partial(tile, first_candidate), jnp.arange(0, n, path_size))  # [path block, candidate, path, item]
            return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1).reshape(size, n, *leaf.shape[3:]), tiles)

        rows = lax.map(row, jnp.arange(0, jax.tree.leaves(params)[0].shape[0], size))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), rows)

    inputs = (Spec(), Spec(AXIS), Spec(), Spec(), Spec(), Spec(), Spec())
    return _shard(share, inputs, Spec(AXIS))(system, params, shared, parts, start, arguments, key)


@_entry("blocks", "size", "horizon")
def _drawn(system, params, scenario, key, start, arguments, *, static, blocks, size, horizon):
    """One policy on paths drawn on the way."""

    def share(numbers, system, params, scenario, key, start, arguments):
        def block(number):
            own = jax.random.fold_in(key, number)
            periods = scenario.draw(named(own, "demand"), size, static.window + horizon, start - static.window)
            delay = system.draw_delays(named(own, "delay"), horizon, size)
            paths = number * size + jnp.arange(size)
            before, demand = periods[: static.window], periods[static.window :]
            return _scan(system, params, demand, before, delay, paths, start, arguments, named(own, "policy"), static)

        results = lax.map(block, numbers)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)

    inputs = (Spec(AXIS), *(Spec(),) * 6)
    return _shard(share, inputs, Spec(AXIS))(jnp.arange(blocks), system, params, scenario, key, start, arguments)


def _scan_many(system, params, shared, demand, before, delay, numbers, start, arguments, key, static):
    """Every candidate on a block of paths [candidate, n, item]; elementwise policies move side by side in one scan."""
    scan = partial(
        _scan, system, demand=demand, delay=delay, numbers=numbers, start=start, arguments=arguments, key=key, static=static
    )
    if not static.elementwise:
        return jax.vmap(lambda own: scan(own if shared is None else {**shared, **own}, before=before))(params)
    size = jax.tree.leaves(params)[0].shape[0]
    before = jnp.broadcast_to(before[:, None], (before.shape[0], size, *before.shape[1:]))
    sums = scan(_beside(params, shared), before=before)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (size, *before.shape[2:3], *leaf.shape[-1:])), sums)


def _beside(params: Any, shared: dict | None) -> Any:
    """Leaves [candidate, ..., item] as [..., candidate, 1, item], so that they broadcast; shared ones as they are."""
    turn = lambda leaf: jnp.expand_dims(jnp.moveaxis(leaf, 0, -2), -2)  # noqa: E731
    shape_only = any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(params))
    own = jax.tree.map(partial(jax.eval_shape, turn) if shape_only else turn, params)
    return own if shared is None else {**shared, **own}


def _scan(system, params, demand, before, delay, numbers, start, arguments, key, static):
    """A block of paths through all periods: sums [..., n, item], or every period [n, horizon, item]."""
    keys = jax.vmap(lambda number: jax.random.fold_in(key, number))(numbers) if static.random else None
    state = system.initial(before, start, static.window)
    final = start + demand.shape[0] - 1

    def move(state, demand, delay):
        order = _decide(static, params, system.observe(state, delay), keys)
        last = (state.time == final).astype(demand.dtype)
        state, happened = system.transition(state, order, demand, delay)
        return state, static.measure(happened, last, *arguments)

    def period(carry, today):
        state, sums = carry
        state, measured = move(state, *today)
        return (state, sums if static.keep else jax.tree.map(jnp.add, sums, measured)), measured if static.keep else None

    shapes = None if static.keep else jax.eval_shape(lambda: move(state, *jax.tree.map(lambda part: part[0], (demand, delay)))[1])
    zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    (_, sums), measured = lax.scan(period, (state, zeros), (demand, delay))
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), measured) if static.keep else sums


def _decide(static, params, observation, keys):
    """The orders of a block of paths."""
    if static.elementwise:
        return static.apply(params, observation, None)
    aged = None if observation.ages is None else 1
    missed = None if observation.misses is None else 1
    axes = Observation(on_hand=0, position=0, pipeline=1, ring=1, time=None, ages=aged, misses=missed)
    own = jax.tree.map(lambda leaf: leaf.ndim - 2, params) if static.per_path else None
    today = None if keys is None else jax.vmap(lambda key: jax.random.fold_in(key, observation.time))(keys)
    orders = jax.vmap(static.apply, in_axes=(own, axes, None if keys is None else 0))(params, observation, today)
    return jnp.moveaxis(orders, 0, -2)  # [supplier, n, item], where an order is [supplier, item]
