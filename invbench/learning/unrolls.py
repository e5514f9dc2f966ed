"""An unroll: a block of paths through the physics with a network's orders, what it earns, and a loss that has a slope.

Source: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246). Pure functions, compiled by what calls them.
"""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.costs import CostModel
from invbench.keys import named, root
from invbench.learning.attention import Past
from invbench.learning.expected import Support, mean_of, support_of
from invbench.learning.networks import Network, amount, order
from invbench.learning.rates import Rate
from invbench.learning.shaping import Potential, potential_of
from invbench.learning.trajectories import myopic
from invbench.problem import Problem
from invbench.types import Array, Flows

CHUNKS = 20  # of all updates: between them the host looks at the curve


@dataclass(frozen=True)
class Training:
    """What a training is told; hashable, because it is compiled in.

    Each update moves `paths` futures on from where the last one left their stock: `warm_up` periods that teach nothing,
    `unroll` periods whose orders are learned from, and `tail` periods that only show what those orders cost in the end.
    """

    features: tuple[str, ...]  # see learning.features
    hidden: tuple[int, ...]  # widths of the hidden layers
    paths: int
    warm_up: int  # periods
    unroll: int  # periods
    tail: int | None  # periods; None only before it is checked
    restart: Rate  # share of the paths that begin an update with the initial stock
    updates: int
    learning_rate: Rate  # Adam's; falls to zero along a cosine
    clip: Rate  # the largest norm of a gradient, once cost is divided by what a period's mean demand is worth
    fixed_width: float  # fixed costs are smoothed over orders up to about so many periods of mean demand
    threshold: float  # part of a unit from which on a whole one is ordered, where demand is whole
    checkpoints: int  # the last ones, of which the best on validation paths is kept
    validation_paths: int
    discount: float = field(default=1.0, kw_only=True)  # of money, per period from the first one that is learned from
    attention: int | Past | None = field(default=0, kw_only=True)  # heads; once checked, what they read
    shaping: float | None = field(default=None, kw_only=True)  # weight of a potential, see `learning.shaping`
    rates: ClassVar[tuple[str, ...]] = ("restart", "learning_rate", "clip")  # each may differ between members

    @property
    def chunk(self) -> int:
        """Updates between two looks at the curve."""
        return -(-self.updates // CHUNKS)

    @property
    def steps(self) -> int:
        """All updates: rounded up to whole chunks."""
        return CHUNKS * self.chunk


class World(NamedTuple):
    """What all members share."""

    scenario: Any
    system: Any  # to learn in
    judged: Any  # to be judged in: with whole batches and a least order
    start: Array  # absolute period that judging begins with
    support: Support | None  # of demand, see `expected.support_of`
    validation: tuple  # demand, before, delay; see Paths
    potential: Potential | None = None  # of the stock that an update ends with, money, where reward is shaped


def world(problem: Problem, training: Training) -> World:
    """What training needs of a problem; demand is weighed by its probabilities where they are known and few."""
    paths = problem.validation_paths(training.validation_paths)
    validation = jax.tree.map(np.asarray, tuple(paths[:3]))  # as they are on the host: not spread over the devices
    system = _smooth(problem.system)
    start, own = jnp.int32(problem.start), root(problem.seed, "potential")
    potential = None if training.shaping is None else potential_of(problem, myopic(problem, own), training.shaping, 1, own)
    return World(problem.scenario, system, problem.system, start, support_of(problem), validation, potential)


def _smooth(system: Any) -> Any:
    """The system without whole batches and a least order: steps without a slope are left to judging."""
    if hasattr(system, "system"):  # one inside another
        return replace(system, system=_smooth(system.system))
    return replace(system, minimum_order=None, batch=None)


def moved_on(world: World, key: Array, training: Training, window: int, horizon: int, state: Any) -> tuple:
    """Where the paths begin: at a period of the horizon, with the stock they had, or with the initial one where they restart."""
    periods = training.warm_up + training.unroll + training.tail
    start = world.start + jax.random.randint(named(key, "start"), (), 0, horizon)
    items = state.on_hand.shape[-1:]
    drawn = world.scenario.draw(named(key, "demand"), training.paths, window + periods, start - window)
    delay = world.system.draw_delays(named(key, "delay"), periods, training.paths)
    dither = jax.random.uniform(named(key, "dither"), drawn[window:].shape)
    fresh = world.system.initial(jnp.broadcast_to(drawn[:window], (window, training.paths, *items)), start, window)
    again = jax.random.uniform(named(key, "restart"), (training.paths, 1)) < training.restart
    turned = lambda ring: jnp.roll(ring, start - state.time, axis=0) if ring.shape[0] else ring  # noqa: E731
    keep = lambda new, old: jnp.where(again, new, old)  # noqa: E731
    kept = {name: keep(getattr(fresh, name), getattr(state, name)) for name in ("on_hand", "position")}
    rings = [name for name in ("pipeline", "misses") if hasattr(state, name)]
    kept |= {name: keep(getattr(fresh, name), turned(getattr(state, name))) for name in rings}
    state = fresh._replace(**kept)
    return state, (drawn[window:], delay, dither)


def loss(world, cost, training, params, state, drawn) -> tuple[Array, tuple[Any, Array]]:
    """What gradient descent lowers: cost less revenue a period; also the state after, and the benefit a period in money.

    What is left at the end is worth what it cost, so that the end of an unroll teaches nobody to run stock down. A potential
    telescopes: its value at the end is what of it has a slope (Ng et al. 1999, see `shaping`).
    """
    cut = np.cumsum([training.warm_up, training.unroll])
    parts = [jax.tree.map(lambda leaf: leaf[low:high], drawn) for low, high in zip((0, *cut), (*cut, None))]
    fixed = lax.stop_gradient(params)
    state, _ = _through(world, cost, training, fixed, state, parts[0])
    state, taught = _through(world, cost, training, params, lax.stop_gradient(state), parts[1])
    state, shown = _through(world, cost, training, fixed, state, parts[2])
    counted = training.unroll + training.tail
    left = cost.purchase * state.position + (0 if world.potential is None else world.potential.of(state))
    earned = _discounted(taught, training.discount, 0) + _discounted(shown, training.discount, training.unroll)
    earned = earned + training.discount**counted * left.mean(-2)
    unit = params.scale * (cost.price + cost.purchase + cost.holding + cost.shortage) + cost.fixed_order
    lost = -(earned / jnp.where(unit > 0, unit, 1)).sum() / counted
    return lost, (lax.stop_gradient(state), (taught.sum() + shown.sum()) / counted)


def _discounted(benefit: Array, discount: float, first: int) -> Array:
    """[item] the sum of benefits [period, item], of which the first one comes after so many periods."""
    if discount == 1:
        return benefit.sum(0)
    return jnp.tensordot(jnp.asarray(discount ** (first + np.arange(len(benefit))), benefit.dtype), benefit, 1)


def _through(world, cost, training, params, state, today) -> tuple[Any, Array]:
    """The state after some periods, and the mean benefit of each [period, item]."""
    if today[0].shape[0] == 0:
        return state, jnp.zeros((0, state.on_hand.shape[-1]))
    return lax.scan(partial(_period, world, cost, training, params), state, today)


def _period(world, cost, training, params, state, today) -> tuple[Any, Array]:
    """One period: the state after, and the mean benefit [item].

    Where demand is whole, so are orders: a part of a unit is the probability of a whole one, and the gradient goes past the
    rounding (Bengio, Leonard and Courville 2013, arXiv 1308.3432): the stocks that are learned from are those of judging.
    """
    demand, delay, dither = today
    units = amount(params, world.system.observe(state, delay))
    if params.whole:
        units = units + lax.stop_gradient(jnp.floor(units + dither) - units)
    after, flows = world.system.transition(state, units, demand, delay)
    if world.support is None:
        return after, _money(cost, training, params, flows).mean(-2)
    money = partial(_money, cost, training, params)
    return after, mean_of(money, world.system, state, units, delay, world.support).mean(-2)


def _money(cost, training, params, flows: Flows) -> Array:
    """Net benefit with a fixed cost that has a slope: 1 - exp(-order / width) in place of the step at zero."""
    placed = -jnp.expm1(-flows.ordered / (training.fixed_width * params.scale))
    return cost.charge(flows._replace(placed=placed)).benefit


def worth(world: World, cost: CostModel, params: Network, window: int) -> Array:
    """[] mean net benefit of the judged orders on the validation paths, money."""
    demand, before, delay = world.validation
    state = world.judged.initial(before[before.shape[0] - window :], world.start, window)
    last = (jnp.arange(demand.shape[0]) == demand.shape[0] - 1).astype(demand.dtype)

    def period(state, today):
        demand, delay, last = today
        units = order(params, world.judged.observe(state, delay), None)
        state, flows = world.judged.transition(state, units, demand, delay)
        return state, cost.charge(flows, last).benefit.mean(0).sum()

    return lax.scan(period, state, (demand, delay, last))[1].sum()
