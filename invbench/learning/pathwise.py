"""Training by the gradient of cost through the physics: stock moves by the system's transition, and orders learn from its slope.

Source: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246). Pure functions of scenario, system, costs and keys; a member is one network with a cost model
and a key of its own, and all members of a training are one program.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import PartitionSpec as Spec

from invbench.costs import CostModel
from invbench.keys import named, root
from invbench.learning import curriculum, features, imitation, networks, unrolls
from invbench.learning import training as host
from invbench.learning.curriculum import Stage
from invbench.learning.imitation import Lesson, Pupil
from invbench.learning.networks import Network, order
from invbench.learning.rates import apart, joined
from invbench.learning.unrolls import CHUNKS, Training, World, loss, moved_on, worth
from invbench.problem import Problem
from invbench.tuning import is_whole, levels
from invbench.types import Array, Policy

LEAST = -3e38  # worth of what was never tried: finite, so that it is no sign of divergence


class Learned(NamedTuple):
    """What one member of a training came to."""

    policy: Policy
    benefit: float  # mean net benefit of operations on validation paths, money


# training, for the host


class _Member(NamedTuple):
    """What training moves on."""

    params: Network
    optimiser: Any
    state: Any
    best: Network  # of the checkpoints so far, by validation paths
    worth: Array  # [] money: what it earned there


def train(
    problem: Problem, costs: list[CostModel], keys: Array, training: Training, log: Callable, baseline: float | None = None,
    lesson: Lesson | None = None, stages: tuple[Stage, ...] = (),
) -> list[Learned]:  # fmt: skip
    """One network for each cost model and key, all in one program; all cost models have a fixed cost of an order, or none has.

    After a lesson all of them begin as the teacher. stages: of a curriculum.
    Raises `training.Diverged`.
    """
    window, problem = features.window(training.features, problem.window), features.remembered(problem, training.features)
    world = unrolls.world(problem, training)
    money = jax.tree.map(lambda *rates: jnp.stack([jnp.asarray(rate, jnp.float32) for rate in rates]), *costs)
    said, blank = asdict(training) | {"keys": np.asarray(jax.random.key_data(keys)).tolist()}, _blank(problem, training, window)
    said |= {"curriculum": stages} if stages else {}
    world = curriculum.begun(world, problem, stages, root(problem.seed, "curriculum"))
    training, own = apart(training, training.rates, len(keys))
    settings = dict(training=training, window=window, horizon=problem.horizon, mesh=host.mesh(len(keys)))

    def advance(members: _Member, number_: int) -> tuple[_Member, dict[str, Array]]:
        members, first = host.spread(members, settings["mesh"]), jnp.int32(number_ * training.chunk)
        now = curriculum.staged(world, stages, number_ / CHUNKS)
        members, curve, value = _advance(now, money, keys, own, members, first, **settings)
        return members, {"train/benefit": curve, host.WORTH: value}

    start = _begin(world, keys, own, blank, training=training, window=window)
    start = _taught(start, lesson, problem, world, money, window, log) if lesson else start
    members = host.run("hdpo", start, advance, CHUNKS, log, steps=training.chunk, settings=said, baseline=baseline)
    found = zip(host.members(members.best), np.asarray(members.worth))
    return [
        Learned(Policy(best, order, window=window, misses=features.misses(training.features)), float(worth_))
        for best, worth_ in found
    ]


def _taught(members: _Member, lesson: Lesson, problem: Problem, world: World, costs: CostModel, window: int, log) -> _Member:
    """Members before the first update that all begin as the teacher, which is the best so far."""
    first = host.member(members.params, 0)
    pupil = Pupil(first.layers, networks.unlike, first.scale, first.features, first.scale)
    params = replace(first, layers=imitation.taught(lesson, problem, pupil, log))
    earned = _earned(world, costs, params, window=window)
    params = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(earned)), params)
    return members._replace(params=params, best=params, worth=earned)


@partial(jax.jit, static_argnames=("window",))
def _earned(world: World, costs: CostModel, params: Network, *, window: int) -> Array:
    """[member] money on validation paths, of one network with the costs of each."""
    return jax.vmap(lambda cost: worth(world, cost, params, window))(costs)


def _blank(problem: Problem, training: Training, window: int) -> Network:
    """A network's shape and scales; the layers are still zero."""
    key = root(problem.seed, "scale")  # not a member's own: it does not matter who trains beside it
    mean = levels(problem, key)[0]
    scale = jnp.asarray(np.where(mean > 0, mean, 1), jnp.float32)
    fixed = jnp.asarray(problem.cost.fixed_order) > 0
    least = jnp.where(fixed, jnp.log(2.0) * training.fixed_width, 0) * scale  # where the smoothed fixed cost is half of it
    sizes = (features.count(training.features, problem.system.lead_time, window), *training.hidden, 1)
    layers = networks.initial(jax.random.key(0), sizes, past=training.attention)
    blank = jax.tree.map(jnp.zeros_like, layers)
    return Network(blank, scale, least, jnp.float32(training.threshold), training.features, is_whole(problem, key))


# training, compiled


@partial(jax.jit, static_argnames=("training", "window"))
def _begin(world: World, keys: Array, own: dict, blank: Network, *, training: Training, window: int) -> _Member:
    """Members [member, ...] before the first update."""

    def one(key, own):
        layers = networks.initial(named(key, "network"), networks.sizes(blank.layers), 0.1, training.attention)
        layers = (*layers[:-1], layers[-1] | {"bias": layers[-1]["bias"] + networks.ONE})
        before = jnp.zeros((window, training.paths, blank.scale.shape[0]))
        state = world.system.initial(before, world.start, window)
        params = replace(blank, layers=layers)
        return _Member(params, _optimiser(joined(training, own)).init(layers), state, params, jnp.float32(LEAST))

    return jax.vmap(one)(keys, own)


@partial(jax.jit, static_argnames=("training", "window", "horizon", "mesh"))
def _advance(
    world: World, costs: CostModel, keys: Array, own: dict, members: _Member, first: Array, *, training, window, horizon, mesh
) -> tuple[_Member, Array, Array]:
    """A chunk of updates: members, their benefit a period, and what they are worth on validation paths, each [member]."""

    def one(args):
        cost, key, own, member = args
        steps = first + jnp.arange(training.chunk)
        member, curve = lax.scan(partial(_update, world, cost, key, joined(training, own), window, horizon), member, steps)
        candidate = first >= (CHUNKS - training.checkpoints) * training.chunk
        value = worth(world, cost, member.params, window)
        most, best = host.better(jnp.where(candidate, value, LEAST), member.params, member.worth, member.best)
        return member._replace(best=best, worth=most), curve.mean(), value

    def share(world, *members):
        return lax.map(one, members)  # one by one: a member's block of paths fills a core's vector units

    part = Spec(host.CORE)
    mapped = jax.shard_map(share, mesh=mesh, in_specs=(Spec(), *(part,) * 4), out_specs=part, check_vma=False)
    return mapped(world, costs, keys, own, members)


def _optimiser(training: Training) -> optax.GradientTransformation:
    decay = optax.cosine_decay_schedule(training.learning_rate, training.steps)
    return optax.chain(optax.clip_by_global_norm(training.clip), optax.adam(decay))


def _update(world, cost, key, training, window, horizon, member: _Member, step: Array) -> tuple[_Member, Array]:
    """One step of the optimiser, and the benefit a period that it saw."""
    key = jax.random.fold_in(named(key, "training"), step)
    state, drawn = moved_on(world, named(key, "paths"), training, window, horizon, member.state)
    objective = lambda layers: loss(world, cost, training, replace(member.params, layers=layers), state, drawn)  # noqa: E731
    (_, (state, benefit)), gradient = jax.value_and_grad(objective, has_aux=True)(member.params.layers)
    change, optimiser = _optimiser(training).update(gradient, member.optimiser, member.params.layers)
    layers = optax.apply_updates(member.params.layers, change)
    return member._replace(params=replace(member.params, layers=layers), optimiser=optimiser, state=state), benefit
