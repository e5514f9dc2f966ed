"""Training a forecasting network on windows: Adam, its rate along a cosine; the best checkpoint on other windows stays."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from invbench.forecasts import heads, neural
from invbench.forecasts.heads import Head
from invbench.forecasts.neural import STATIC, WAVES, Forecaster
from invbench.keys import named
from invbench.learning import curriculum, networks, sequence, training, windows
from invbench.learning.curriculum import Stage
from invbench.learning.features import AHEAD
from invbench.learning.windows import Pool, Windows
from invbench.problem import Problem
from invbench.types import Array

CHUNKS = 20  # of all updates: between them the network is validated
Z90 = 1.2815515655446004  # the standard normal's 90 % quantile


@dataclass(frozen=True)
class Plan:
    """What a training is told; hashable, because it is compiled in."""

    kind: str  # see sequence.KINDS
    head: Head
    width: int
    blocks: int
    heads: int
    updates: int
    batch: int  # windows of an update
    history_share: float  # of a batch, from the observed history, where there is one
    learning_rate: float
    clip: float
    validated: int = 4096  # windows that checkpoints are chosen by
    holidays: tuple[int, ...] = ()  # days of the year that it is told of

    @property
    def chunk(self) -> int:
        """Updates between two validations."""
        return -(-self.updates // CHUNKS)


class Learner(NamedTuple):
    """What training moves on."""

    now: Forecaster
    moments: Any  # of the optimiser
    best: Forecaster
    worth: Array  # [] minus its loss on validation windows


class Sources(NamedTuple):
    """Where windows come from: simulated, and of the observed history (None where there is none)."""

    simulated: Pool
    observed: Pool | None


def trained(
    problem: Problem, plan: Plan, key: Array, paths: int, log: Callable[[dict, int], None], stages: tuple[Stage, ...] = ()
) -> Forecaster:
    """The forecaster that did best on validation windows; how well it does there is logged. Raises `training.Diverged`.

    stages: of a curriculum, in which windows of the simulator are of milder demand; those of an observed history are as they are.
    """
    learned, validated = _sources(problem, key, paths)
    easy = curriculum.eased(problem, stages, named(key, "curriculum"))
    easy = [(end, learned._replace(simulated=windows.simulated(one, named(key, "windows"), paths))) for end, one in easy]
    start = begin(problem, plan, named(key, "network"), learned.simulated)
    settings = dict(plan=plan, window=problem.window)

    def advance(learner: Learner, number: int) -> tuple[Learner, dict[str, Array]]:
        now = next((sources for end, sources in easy if number / CHUNKS < end - 1e-9), learned)
        learner, lost, loss = _advance(learner, now, validated, key, jnp.int32(number * plan.chunk), **settings)
        return learner, {"train/loss": lost, "validation/loss": loss}

    said = [_plain(plan), problem.window, np.asarray(jax.random.key_data(key)).tolist(), *([stages] if stages else [])]
    learner = training.run(plan.kind, start, advance, CHUNKS, log, steps=plan.chunk, settings=said)
    log(accuracy(learner.best, validated.simulated, problem.window), CHUNKS * plan.chunk)
    return learner.best


def _plain(plan: Plan) -> dict[str, Any]:
    return {**vars(plan), "head": list(plan.head)}


def _sources(problem: Problem, key: Array, paths: int) -> tuple[Sources, Sources]:
    """To learn from, and to validate on; validation windows are those of the validation paths, the same for all methods."""
    seen = (None, None) if problem.history is None else windows.observed(problem)
    pools = windows.simulated(problem, named(key, "windows"), paths), windows.validation(problem)
    return tuple(Sources(pool, past) for pool, past in zip(pools, seen, strict=True))


def begin(problem: Problem, plan: Plan, key: Array, pool: Pool) -> Learner:
    """An untrained network: it forecasts what lead-time demand is over all periods, in units of what was seen."""
    encoder = sequence.initial(
        plan.kind, named(key, "encoder"), width=plan.width, waves=WAVES, window=problem.window, blocks=plan.blocks
    )
    sizes = plan.width + STATIC + (AHEAD if plan.holidays else 0) + problem.window, 2 * plan.width, plan.head.outputs
    layers = networks.initial(named(key, "layers"), sizes, scale_last=0.1)
    cover = problem.system.lead_time + 1
    ratios = np.asarray((pool.future / pool.usual)[pool.low : pool.high]) / cover
    layers = (*layers[:-1], layers[-1] | {"bias": heads.bias(plan.head, ratios)})
    usual = jnp.asarray(windows.usual_demand(problem))
    told = plan.kind, plan.head.distribution, plan.head.quantiles, cover, plan.heads, plan.holidays
    now = Forecaster(encoder, layers, usual, *told)
    return Learner(now, optimiser(plan).init((encoder, layers)), now, jnp.float32(-3e38))


def optimiser(plan: Plan) -> optax.GradientTransformation:
    """Adam behind a limit on the norm of gradients."""
    decay = optax.cosine_decay_schedule(plan.learning_rate, CHUNKS * plan.chunk)
    return optax.chain(optax.clip_by_global_norm(plan.clip), optax.adam(decay))


def loss(weights: tuple, forecaster: Forecaster, batch: Windows) -> Array:
    """[] mean over the windows whose lead-time demand is known; weights: encoder and layers."""
    forecaster = replace(forecaster, encoder=weights[0], layers=weights[1])
    parts, unit = neural.forecast(forecaster, batch.seen, batch.time, batch.usual)
    lost = heads.loss(forecaster.head, parts, batch.future, unit)
    return (batch.told * lost).sum() / jnp.maximum(batch.told.sum(), 1)


@partial(jax.jit, static_argnames=("plan", "window"))
def _advance(learner, learned, validated, key, first, *, plan, window) -> tuple[Learner, Array, Array]:
    """A chunk of updates: the learner, its mean loss on the way, and that on validation windows after it."""
    learner, curve = lax.scan(partial(_update, learned, key, plan, window), learner, first + jnp.arange(plan.chunk))
    now = learner.now
    value = _mixed(
        validated, jax.random.key(0), plan, plan.validated, window, lambda batch: loss((now.encoder, now.layers), now, batch)
    )
    worth, best = training.better(-value, now, learner.worth, learner.best)
    return learner._replace(best=best, worth=worth), curve.mean(), value


def _update(learned: Sources, key: Array, plan: Plan, window: int, learner: Learner, step: Array) -> tuple[Learner, Array]:
    """One step of the optimiser."""
    now = learner.now
    weights = now.encoder, now.layers
    own = jax.random.fold_in(named(key, "updates"), step)
    objective = lambda weights: _mixed(learned, own, plan, plan.batch, window, lambda batch: loss(weights, now, batch))  # noqa: E731
    lost, slope = jax.value_and_grad(objective)(weights)
    change, moments = optimiser(plan).update(slope, learner.moments, weights)
    encoder, layers = optax.apply_updates(weights, change)
    return learner._replace(now=replace(now, encoder=encoder, layers=layers), moments=moments), lost


def _mixed(sources: Sources, key: Array, plan: Plan, count: int, window: int, loss: Callable[[Windows], Array]) -> Array:
    """[] a loss over windows of both sources, each by its share."""
    share = 0 if sources.observed is None else plan.history_share
    past = round(share * count)
    parts = [((1 - share), sources.simulated, count - past, "simulated"), (share, sources.observed, past, "observed")]
    told = [part * loss(windows.drawn(pool, named(key, name), n, window)) for part, pool, n, name in parts if n]
    return sum(told)


def accuracy(forecaster: Forecaster, pool: Pool, window: int) -> dict[str, float]:
    """How good the forecast of lead-time demand is on every window of a pool, by its mean and its 90 % quantile.

    1 - WAPE; MASE against lead-time demand being what it was one lead time and period ago (Hyndman and Koehler 2006; none
    where that is never wrong); pinball loss and bias in units; coverage: share of lead-time demands up to the 90 % quantile.
    """
    low = max(int(pool.low), forecaster.cover)
    mean, upper = (
        np.asarray(part, np.float64) for part in _every(forecaster, pool, jnp.int32(low), window=window, count=pool.high - low)
    )
    future = np.asarray(pool.future, np.float64)
    now, before = future[low : pool.high], future[low - forecaster.cover : pool.high - forecaster.cover]
    errors, above, naive = now - mean, now - upper, np.abs(now - before).mean()
    return {
        "forecast/accuracy": float(1 - np.abs(errors).sum() / max(np.abs(now).sum(), 1e-9)),
        "forecast/mase": float(np.abs(errors).mean() / naive) if naive > 0 else float("nan"),
        "forecast/pinball_90": float(np.maximum(0.9 * above, -0.1 * above).mean()),
        "forecast/bias": float(errors.mean()),
        "forecast/coverage": float((above <= 0).mean()),
    }


@partial(jax.jit, static_argnames=("window", "count"))
def _every(forecaster: Forecaster, pool: Pool, low: Array, *, window: int, count: int) -> tuple[Array, Array]:
    """[period, lane] mean and 90 % quantile of the forecasts of `count` periods from row `low` on."""

    def one(row: Array) -> tuple[Array, Array]:
        seen = lax.dynamic_slice_in_dim(pool.seen, row - window, window)
        parts, _ = neural.forecast(forecaster, seen, (pool.first + row)[None], pool.usual)
        return neural.mean(forecaster, parts), neural.level(forecaster, parts, jnp.float32(Z90))

    return lax.map(one, low + jnp.arange(count))
