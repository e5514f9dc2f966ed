"""Training one network on many settings at once, by the gradient of cost through the physics; each lane has a setting of its own.

Source: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246), here over settings as in Madeka et al. 2022, "Deep inventory management" (arXiv 2210.03137).
A lead time is a system of its own, and the network is shared. Money is in units of what the newsvendor pays on lead-time demand,
so that no setting counts for more than another.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.scipy import stats
from jax.sharding import PartitionSpec as Spec

from invbench.dynamics.single import Single
from invbench.keys import named
from invbench.learning import conditioned, settings
from invbench.learning import training as host
from invbench.learning.conditioned import Stock, Told
from invbench.learning.networks import Layers
from invbench.learning.settings import Ranges
from invbench.learning.unrolls import CHUNKS
from invbench.types import Array, State

LEAST = -3e38  # worth of what was never tried
START = 2.0  # times lead-time demand: the most that a lane begins with


@dataclass(frozen=True)
class Plan:
    """What a training is told; hashable, because it is compiled in."""

    ranges: Ranges
    hidden: tuple[int, ...]  # widths of the hidden layers
    lanes: int  # settings of each lead time that move together; all are drawn anew after every twentieth of the updates
    unroll: int  # periods of an update whose orders are learned from
    tail: int  # periods after them that only show what those orders cost in the end
    restart: float  # share of the lanes that begin an update with random stock, the others with what they had
    updates: int
    learning_rate: float  # Adam's; falls to zero along a cosine
    clip: float  # the largest norm of a gradient
    threshold: float  # part of a unit from which on a whole one is ordered
    checkpoints: int  # the last ones (of 20), of which the best on validation settings is kept
    validation_periods: int  # of each validation setting, after as many that do not count as the longest lead time has, doubled

    @property
    def chunk(self) -> int:
        """Updates between two looks at the curve."""
        return -(-self.updates // CHUNKS)

    @property
    def longest(self) -> int:
        """Periods."""
        return self.ranges.lead_times[1]


class Lanes(NamedTuple):
    """Settings of one lead time, each [lane, 1]."""

    told: Told
    shortage: Array  # money per unit lost; holding is 1
    unit: Array  # what the newsvendor pays a period on lead-time demand
    table: Array  # [lane, point] quantiles of demand, units


class Member(NamedTuple):
    """What training moves on."""

    layers: Layers
    optimiser: Any
    best: Layers  # of the checkpoints so far, by validation settings
    worth: Array  # []


def train(keys: Array, plan: Plan, log: Callable[[dict, int], None]) -> tuple[list[Layers], list[float]]:
    """A network for each key [member], side by side, and its worth: less the cost on validation settings. Raises `Diverged`."""
    said = asdict(plan) | {"keys": np.asarray(jax.random.key_data(keys)).tolist()}
    validation, mesh = drawn(plan, "validation"), host.mesh(len(keys))

    def advance(members: Member, number: int) -> tuple[Member, dict[str, Array]]:
        lanes = drawn(plan, f"chunk {number}", keys[0])
        first = jnp.int32(number * plan.chunk)
        members = host.spread(members, mesh)
        members, cost, worth = _advance(lanes, validation, keys, members, first, plan=plan, mesh=mesh)
        return members, {"train/cost": cost, host.WORTH: worth}

    start = _begin(keys, plan=plan)
    members = host.run("generalist", start, advance, CHUNKS, log, steps=plan.chunk, settings=said)
    return host.members(members.best), np.asarray(members.worth).tolist()


def drawn(plan: Plan, name: str, key: Array | None = None) -> tuple[Lanes, ...]:
    """The settings of every lead time of the plan, drawn by a name; with their demand."""
    key = named(jax.random.key(0) if key is None else key, "settings", name)
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    return tuple(_lanes(plan.ranges.drawn(random, np.full(plan.lanes, span))) for span in plan.ranges.spans)


def _lanes(given: settings.Settings) -> Lanes:
    column = lambda part: jnp.asarray(part, jnp.float32)[:, None]  # noqa: E731
    shortage, mean, cv, cover = (column(part) for part in (given.shortage, given.mean, given.cv, given.lead_time + 1))
    z = stats.norm.ppf(shortage / (1 + shortage))
    unit = (1 + shortage) * stats.norm.pdf(z) * cv * mean * cover**0.5
    table = jnp.asarray(settings.quantiles(given), jnp.float32)
    return Lanes(Told(z, mean, cv, jnp.asarray(given.whole)[:, None]), shortage, unit, table)


@partial(jax.jit, static_argnames="plan")
def _begin(keys: Array, *, plan: Plan) -> Member:
    def one(key):
        layers = conditioned.initial(named(key, "network"), plan.longest, plan.hidden)
        return Member(layers, _optimiser(plan).init(layers), layers, jnp.float32(LEAST))

    return jax.vmap(one)(keys)


@partial(jax.jit, static_argnames=("plan", "mesh"))
def _advance(lanes, validation, keys, members, first, *, plan: Plan, mesh) -> tuple[Member, Array, Array]:
    """A chunk of updates: members, their cost a period, and their worth, each [member]."""

    def one(args):
        key, member = args
        begin = tuple(_fresh(named(key, f"start {i}"), part, _system(plan, i)) for i, part in enumerate(lanes))
        steps = first + jnp.arange(plan.chunk)
        (member, _), costs = lax.scan(partial(_update, lanes, key, plan), (member, begin), steps)
        value = worth(validation, member.layers, plan)
        candidate = first >= (CHUNKS - plan.checkpoints) * plan.chunk
        most, best = host.better(jnp.where(candidate, value, LEAST), member.layers, member.worth, member.best)
        return member._replace(best=best, worth=most), costs.mean(), value

    def share(lanes, validation, *members):
        return lax.map(one, members)

    part = Spec(host.CORE)
    mapped = jax.shard_map(share, mesh=mesh, in_specs=(Spec(), Spec(), part, part), out_specs=part, check_vma=False)
    return mapped(lanes, validation, keys, members)


def _system(plan: Plan, place: int) -> Single:
    return Single(plan.ranges.spans[place], backlog=False)


def _optimiser(plan: Plan) -> optax.GradientTransformation:
    decay = optax.cosine_decay_schedule(plan.learning_rate, CHUNKS * plan.chunk)
    return optax.chain(optax.clip_by_global_norm(plan.clip), optax.adam(decay))


def _fresh(key: Array, lanes: Lanes, system: Single) -> State:
    """Lanes with random stock on hand and nothing on order, in whole units where demand is."""
    stock = START * jax.random.uniform(key, lanes.unit.shape) * lanes.told.mean * (system.lead_time + 1)
    state = system.initial(jnp.zeros((0, *stock.shape)), 0, 0)
    stock = jnp.where(lanes.told.whole, jnp.round(stock), stock)
    return state._replace(on_hand=stock, position=stock)


def _update(lanes, key, plan: Plan, carry: tuple, step: Array) -> tuple[tuple, Array]:
    """One step of the optimiser, and the cost a period that it saw."""
    member, states = carry
    key = jax.random.fold_in(named(key, "training"), step)
    states = tuple(_again(jax.random.fold_in(key, i), plan, *pair, _system(plan, i)) for i, pair in enumerate(zip(lanes, states)))
    today = _future(named(key, "demand"), lanes, plan.unroll + plan.tail)
    (cost, states), gradient = jax.value_and_grad(partial(_loss, lanes, plan), has_aux=True)(member.layers, states, today)
    change, optimiser = _optimiser(plan).update(gradient, member.optimiser, member.layers)
    return (member._replace(layers=optax.apply_updates(member.layers, change), optimiser=optimiser), states), cost


def _again(key: Array, plan: Plan, lanes: Lanes, state: State, system: Single) -> State:
    """Some lanes begin anew. The others have their outstanding orders where a ring that begins at period 0 has them."""
    fresh, pipeline = _fresh(key, lanes, system), state.pipeline
    state = state._replace(
        pipeline=jnp.roll(pipeline, -state.time, axis=0) if pipeline.shape[0] else pipeline, time=jnp.zeros_like(state.time)
    )
    again = jax.random.uniform(named(key, "restart"), lanes.unit.shape) < plan.restart
    return jax.tree.map(lambda new, old: jnp.where(again, new, old) if new.ndim else old, fresh, state)


def _future(key: Array, lanes: tuple[Lanes, ...], periods: int) -> tuple:
    """Of every lead time, demand and a number in [0, 1) that rounds by chance, each [period, lane, 1]."""
    found = []
    for i, part in enumerate(lanes):
        first, second = jax.random.split(jax.random.fold_in(key, i))
        point = jax.random.randint(first, (periods, len(part.table)), 0, part.table.shape[1])
        demand = part.table[jnp.arange(len(part.table)), point]
        found.append((demand[..., None], jax.random.uniform(second, (periods, len(part.table), 1))))
    return tuple(found)


def _loss(lanes, plan: Plan, layers: Layers, states: tuple, today: tuple) -> tuple[Array, tuple]:
    """Mean cost a period, and the states after the periods that are learned from."""
    cut = lambda low, high: jax.tree.map(lambda part: part[low:high], today)  # noqa: E731
    states, taught = lax.scan(partial(_period, lanes, plan, layers), states, cut(0, plan.unroll))
    _, shown = lax.scan(partial(_period, lanes, plan, lax.stop_gradient(layers)), states, cut(plan.unroll, None))
    return (taught.sum() + shown.sum()) / (plan.unroll + plan.tail), lax.stop_gradient(states)


def _period(lanes, plan: Plan, layers: Layers, states: tuple, today: tuple) -> tuple[tuple, Array]:
    """One period of every lead time: the states after, and the mean cost.

    Where demand is whole, a part of a unit is the probability of a whole one, and the gradient goes past the rounding (Bengio,
    Leonard and Courville 2013, arXiv 1308.3432).
    """
    units = _decided(lanes, plan, layers, states)
    rounded = [
        jnp.where(part.told.whole, amount + lax.stop_gradient(jnp.floor(amount + dither) - amount), amount)
        for part, amount, (_, dither) in zip(lanes, units, today)
    ]
    return _moved(lanes, plan, states, rounded, [demand for demand, _ in today])


def _decided(lanes, plan: Plan, layers: Layers, states: tuple) -> list[Array]:
    """Orders of every lead time [lane, 1] before rounding; one product of matrices for all lanes."""
    seen = [_system(plan, i).observe(state) for i, state in enumerate(states)]
    stocks = [Stock(one.on_hand, one.position, one.pipeline) for one in seen]
    spans = plan.ranges.spans
    rows = [conditioned.features(part.told, stock, span, plan.longest) for part, stock, span in zip(lanes, stocks, spans)]
    said = conditioned.networks.apply(layers, jnp.concatenate(rows, axis=1), jax.nn.elu)
    parts = jnp.split(said, np.cumsum([row.shape[1] for row in rows])[:-1], axis=1)
    return [conditioned.amounts_of(*one) for one in zip(parts, [part.told for part in lanes], stocks, spans)]


def _moved(lanes, plan: Plan, states: tuple, units: list[Array], demand: list[Array]) -> tuple[tuple, Array]:
    """The states after, and the mean cost over lanes and lead times, each in its own unit."""
    moved = [_system(plan, i).transition(*parts) for i, parts in enumerate(zip(states, units, demand))]
    costs = [(flows.held + part.shortage * flows.lost) / part.unit for part, (_, flows) in zip(lanes, moved)]
    return tuple(state for state, _ in moved), sum(cost.mean() for cost in costs) / len(costs)


def worth(lanes: tuple[Lanes, ...], layers: Layers, plan: Plan) -> Array:
    """[] less the mean cost a period of the judged orders on validation settings."""
    key, warm_up = jax.random.key(1), 2 * (plan.longest + 1)
    today = _future(key, lanes, plan.validation_periods + warm_up)
    begin = tuple(_fresh(jax.random.fold_in(key, i), part, _system(plan, i)) for i, part in enumerate(lanes))

    def period(states, today):
        units = _decided(lanes, plan, layers, states)
        whole = [jnp.where(part.told.whole, jnp.floor(one + 1 - plan.threshold), one) for part, one in zip(lanes, units)]
        return _moved(lanes, plan, states, whole, [demand for demand, _ in today])

    return -lax.scan(period, begin, today)[1][warm_up:].mean()
