"""A forecasting network taught on by money: the gradient of what its orders earn, through the physics, into the forecast.

Sources: Madeka et al. 2022, "Deep inventory management" (arXiv 2210.03137), and Alvo et al. 2023 (arXiv 2306.11246), for
gradients through the simulator; Bengio, Leonard and Courville 2013 (arXiv 1308.3432) for the slope of whether to order.

In turn: the policy as it is moves a block of paths through the horizon; then updates start from states on that way. What is seen
there is taken as given, also where demand is lost, so that one pass through the network reads all windows of an unroll.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from invbench.forecasts import neural, ordering
from invbench.keys import named
from invbench.learning import baseline, training
from invbench.problem import Problem
from invbench.types import Array, Policy

CHUNKS = 10  # of all updates: each has a block of paths of its own
SHORTEST_TAIL = 8  # periods after the last order that is learned from, which show what it costs
TAUGHT = "encoder", "layers"


@dataclass(frozen=True)
class Lessons:
    """What the training is told; hashable, because it is compiled in."""

    kind: str
    updates: int
    paths: int  # of a block, each with an item where there are many
    unroll: int  # periods of an update whose orders are learned from
    learning_rate: float
    width: float  # periods of mean demand over which the decision to order is smoothed for its slope
    validation_paths: int

    @property
    def chunk(self) -> int:
        """Updates on one block of paths."""
        return -(-self.updates // CHUNKS)


class Pupil(NamedTuple):
    """What training moves on."""

    weights: dict[str, Any]  # encoder, layers, z, periods
    moments: Any
    best: dict[str, Any]
    worth: Array  # [] money on validation paths


class Way(NamedTuple):
    """A block of paths and how the policy went through them."""

    seen: Array  # [window + period, n, item] what was seen of demand
    demand: Array  # [period, n, item]
    delay: Array | None
    states: Any  # before each period
    picks: Array  # [item] numbers of the items


def taught(problem: Problem, policy: Policy, lessons: Lessons, key: Array, log: Callable[[dict, int], None]) -> Policy:
    """The policy that earned most on validation paths, the untaught one among them. Raises `training.Diverged`."""
    count = max(2, lessons.validation_paths // problem.items)
    start = weights_of(policy.params)
    worth = jnp.float32(baseline.worth(problem, policy, count))
    log({"validation/untaught": float(worth)}, 0)
    pupil = Pupil(start, optimiser(lessons).init(start), start, worth)
    settings = dict(lessons=lessons, window=problem.window, horizon=problem.horizon)

    def advance(pupil: Pupil, number: int) -> tuple[Pupil, dict[str, Array]]:
        given = problem.scenario, problem.system, problem.cost, policy.params, jnp.int32(problem.start)
        pupil, lost = _advance(*given, pupil, jax.random.fold_in(key, number), **settings)
        earned = jnp.float32(baseline.worth(problem, policy._replace(params=with_weights(policy.params, pupil.weights)), count))
        worth, best = training.better(earned, pupil.weights, pupil.worth, pupil.best)
        return pupil._replace(best=best, worth=worth), {"train/money_loss": lost, training.WORTH: earned}

    said = [vars(lessons), problem.window, problem.horizon, np.asarray(jax.random.key_data(key)).tolist()]
    pupil = training.run(
        f"{lessons.kind} on money", pupil, advance, CHUNKS, log, steps=lessons.chunk, settings=said,
        advice="lower method.money_learning_rate",
    )  # fmt: skip
    return policy._replace(params=with_weights(policy.params, pupil.best))


def weights_of(params: dict[str, Any]) -> dict[str, Any]:
    """What is learned of the params of a policy."""
    forecaster = params["forecaster"]
    return {"encoder": forecaster.encoder, "layers": forecaster.layers, "z": params["z"], "periods": params["periods"]}


def with_weights(params: dict[str, Any], weights: dict[str, Any]) -> dict[str, Any]:
    """The params with other weights."""
    forecaster = replace(params["forecaster"], **{name: weights[name] for name in TAUGHT})
    return params | {"forecaster": forecaster, "z": weights["z"], "periods": jnp.maximum(weights["periods"], 0)}


def optimiser(lessons: Lessons) -> optax.GradientTransformation:
    """Adam with a rate that falls along a cosine."""
    decay = optax.cosine_decay_schedule(lessons.learning_rate, CHUNKS * lessons.chunk)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(decay))


@partial(jax.jit, static_argnames=("lessons", "window", "horizon"))
def _advance(scenario, system, cost, params, start, pupil, key, *, lessons, window, horizon) -> tuple[Pupil, Array]:
    """A block of paths, and updates that begin on it."""
    system = replace(system, minimum_order=None, batch=None)  # steps without a slope
    tail = max(SHORTEST_TAIL, 2 * system.lead_time)
    periods = max(horizon, lessons.unroll + tail)
    present = with_weights(params, pupil.weights)
    way = _walked(scenario, system, present, start, key, lessons, window, periods)
    items = scenario.items
    world = system, cost

    def update(pupil: Pupil, key: Array) -> tuple[Pupil, Array]:
        first = jax.random.randint(key, (), 0, periods - lessons.unroll - tail + 1)
        objective = lambda weights: _loss(  # noqa: E731
            _of(world, way.picks, items), with_weights(params, weights), way, first, start, lessons, window, tail
        )
        lost, slope = jax.value_and_grad(objective)(pupil.weights)
        change, moments = optimiser(lessons).update(slope, pupil.moments, pupil.weights)
        return pupil._replace(weights=optax.apply_updates(pupil.weights, change), moments=moments), lost

    pupil, curve = lax.scan(update, pupil, jax.random.split(named(key, "updates"), lessons.chunk))
    return pupil, curve.mean()


def _of(tree: Any, picks: Array, items: int) -> Any:
    """Systems, costs and levels of some items."""
    own = lambda leaf: leaf[..., picks] if jnp.shape(leaf)[-1:] == (items,) else leaf  # noqa: E731
    return jax.tree.map(own, tree)


def _for_some(params: dict[str, Any], picks: Array) -> dict[str, Any]:
    """The params of a policy for some items."""
    forecaster = params["forecaster"]
    items = forecaster.usual.shape[0]
    levels = _of({name: params[name] for name in ("z", "periods")}, picks, items)
    return params | levels | {"forecaster": replace(forecaster, usual=forecaster.usual[picks])}


def _walked(scenario, system, params, start, key, lessons, window, periods) -> Way:
    """Fresh paths, a few of each item where there are many, under the present orders."""
    items, kept = scenario.items, min(scenario.items, lessons.paths)
    n = max(2, lessons.paths // items)
    picks = jax.random.choice(named(key, "items"), items, (kept,), replace=False) if kept < items else jnp.arange(items)
    drawn = scenario.draw(named(key, "demand"), n, window + periods, start - window)[..., picks]
    delay = system.draw_delays(named(key, "delay"), periods, n)
    before, demand = drawn[:window], drawn[window:]
    own = _of(system, picks, items)
    _, states, sold = ordering.foretold(own, _for_some(params, picks), demand, before, delay, start, window=window)
    seen = demand if system.backlog else sold
    return lax.stop_gradient(Way(jnp.concatenate([before, seen]), demand, delay, states, picks))


def _loss(world, params, way: Way, first, start, lessons, window, tail) -> Array:
    """[] cost less revenue a period, in what a period's mean demand is worth; what is left at the end is worth what it cost."""
    system, cost = world
    params, span = _for_some(params, way.picks), lessons.unroll + tail
    parts = _forecasts(params["forecaster"], way.seen, first, start, window, span)
    parts = jnp.concatenate([parts[: lessons.unroll], lax.stop_gradient(parts[lessons.unroll :])])
    cut = lambda leaf: lax.dynamic_slice_in_dim(leaf, first, span)  # noqa: E731
    state = jax.tree.map(lambda leaf: leaf[first], way.states)
    usual = params["forecaster"].usual

    def period(state, today):
        demand, delay, parts = today
        order, placed = _smooth(params, parts, state.position, lessons.width * usual)
        state, flows = system.transition(state, order, demand, delay)
        return state, cost.charge(flows._replace(placed=placed)).benefit

    state, benefit = lax.scan(period, state, (*jax.tree.map(cut, (way.demand, way.delay)), parts))
    unit = usual * (cost.price + cost.purchase + cost.holding + cost.shortage) + cost.fixed_order
    earned = (benefit.sum(0) + cost.purchase * state.position) / jnp.where(unit > 0, unit, 1)
    return -earned.mean() / span


def _forecasts(forecaster, seen, first, start, window, span) -> Array:
    """[period, part, n, item] of `span` periods from the `first` on, all windows in one pass."""
    rows = first + jnp.arange(span) + jnp.arange(window)[:, None]  # row 0 of `seen` is period start - window
    lanes = seen.shape[1:]
    time = jnp.repeat(start + first + jnp.arange(span), lanes[0] * lanes[1])
    usual = jnp.broadcast_to(forecaster.usual, (span, *lanes)).reshape(-1)
    parts, _ = neural.forecast(forecaster, seen[rows].reshape(window, -1), time, usual)
    return jnp.moveaxis(parts.reshape(-1, span, *lanes), 1, 0)


def _smooth(params: dict[str, Any], parts: Array, position: Array, width: Array) -> tuple[Array, Array]:
    """Order [n, item] and whether one is placed, as `ordering.units` has them; their slope is that of a smooth decision."""
    forecaster = params["forecaster"]
    gap = neural.level(forecaster, parts, params["z"]) - position
    more = params["periods"] * neural.mean(forecaster, parts) / forecaster.cover
    rounded = lambda amount: amount + lax.stop_gradient(jnp.where(params["grain"] > 0, jnp.rint(amount) - amount, 0))  # noqa: E731
    gap, more = rounded(gap), rounded(more)
    chance = jax.nn.sigmoid(gap / width)
    placed = chance + lax.stop_gradient((gap >= 0) - chance)
    return placed * jnp.maximum(gap + more, 0), placed
