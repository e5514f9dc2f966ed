"""Experience straight from the system's own transition: lanes of paths side by side, demand drawn ahead, money in fixed scale."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from invbench.formulas import critical_fractile
from invbench.keys import named
from invbench.learning import baseline, features
from invbench.learning.bounds import original
from invbench.learning.expected import Support, mean_of
from invbench.learning.imitation import Lesson
from invbench.learning.shaping import Potential
from invbench.problem import Problem
from invbench.types import Array, Flows, Observation, Paths, Policy

REFERENCE = 256  # paths of the myopic rule that gives the scale of money


class Money(NamedTuple):
    """How money becomes reward. Subtracting what demand is worth changes no decision, as no order can change demand."""

    cost: Any
    margin: Array  # [item] money per unit of demand that perfect foresight would earn
    center: Array  # [item] money a period of the myopic rule, less margin
    scale: Array  # [item] money, its deviation from period to period

    def reward(self, flows: Flows) -> Array:
        """[..., item] of one period, about 0 with deviation 1 for the myopic rule."""
        return (self.cost.charge(flows).benefit - self.margin * flows.demand - self.center) / self.scale

    def expected(
        self, system: Any, state: Any, order: Array, delay: Array | None, flows: Flows, support: Support | None
    ) -> Array:
        """[lane, item] the same on average over today's demand, where its probabilities are known; else that of `flows`.

        It leaves the rare and dear shortages out of what a critic has to average: they drown a squared error, and an error
        that makes little of them, such as Huber's, would be biased.
        """
        return self.reward(flows) if support is None else mean_of(self.reward, system, state, order, delay, support)


class World(NamedTuple):
    """Where a learner acts: everything that a compiled program takes as an argument."""

    system: Any
    scenario: Any
    money: Money
    scales: dict[str, Array]  # of each feature [item], see `features.stacked`
    actions: Any  # `Grid` or `Normal`
    cap: Array  # [item] units: orders that would lift the inventory position above it are cut
    start: Array  # [] int32 absolute number of the first period
    support: Support | None = None  # of demand, see `expected.support_of`
    potential: Potential | None = None  # of stock, where reward is shaped

    def promise(self, observation: Observation) -> Array | None:
        """[..., item] potential of what is observed; None where reward is as it is."""
        return None if self.potential is None else self.potential.of(observation)


class Trajectory(NamedTuple):
    """What happened in consecutive periods; no episode ends within them."""

    x: Array  # [period + 1, feature, lane, item] the last of them is the final observation
    action: Array  # [period, lane, item]
    log_probability: Array  # [period, lane, item] when it was chosen
    reward: Array  # [period, lane, item]
    potential: Array | None = None  # [period + 1, lane, item], where reward is shaped


def stacked(scales: dict[str, Array], observation: Observation) -> Array:
    """[feature, ..., item] of the features that have a scale, in the order of `features.NAMES`."""
    names = features.ordered(scales)
    return features.stacked(observation, names, scales[names[0]])


def capped(order: Array, observation: Observation, cap: Array) -> Array:
    """The order, or what of it lifts the inventory position to `cap`: a network says anything where it has never been."""
    return jnp.minimum(order, jnp.maximum(cap - observation.position, 0))


def futures(world: World, key: Array, periods: int, lanes: int, window: int, beyond: int) -> tuple[Array, Array, Array | None]:
    """Demand before [window, lane, item] and in an episode and beyond [period, lane, item], and delays [period + 1, lane]."""
    drawn = world.scenario.draw(named(key, "demand"), lanes, window + periods + beyond, world.start - window)
    return drawn[:window], drawn[window:], world.system.draw_delays(named(key, "delay"), periods + 1, lanes)


def rollouts(
    world: World, key: Array, periods: int, steps: int, lanes: int, window: int, beyond: int
) -> tuple[Any, tuple[Array, Array | None, Array]]:
    """An episode drawn ahead: its first state, and demand, delays and noise in consecutive rollouts of `steps` periods.

    Demand is [rollout, steps + beyond, lane, item], delays [rollout, steps + 1, lane], noise [rollout, steps, lane, item].
    """
    before, demand, delay = futures(world, named(key, "future"), periods, lanes, window, beyond)
    noise = world.actions.noise(named(key, "noise"), (periods, *demand.shape[1:]))
    cut = lambda leaf, size: windows(leaf, periods // steps, steps, size)  # noqa: E731
    drawn = cut(demand, steps + beyond), None if delay is None else cut(delay, steps + 1), cut(noise, steps)
    return world.system.initial(before, world.start, window), drawn


def dealt(leaf: Array, count: int) -> Array:
    """[count, ..., lane, item]: the lanes of leaf [..., lane, item] dealt to so many minibatches."""
    return jnp.moveaxis(leaf.reshape(*leaf.shape[:-2], count, -1, leaf.shape[-1]), -3, 0)


def windows(leaf: Array, count: int, stride: int, size: int) -> Array:
    """[count, size, ...] of `size` rows each, `stride` rows apart, of leaf [row, ...]."""
    return leaf[stride * jnp.arange(count)[:, None] + jnp.arange(size)]


def collect(world: World, state: Any, demand: Array, delay: Array | None, noise: Array, act: Callable) -> tuple[Any, Trajectory]:
    """The state after, and what happened. demand, noise: [period, lane, item]; delay: [period + 1, lane] or None.

    act: (features, noise) -> (action, log-probability), each [lane, item].
    """
    now, following = (None, None) if delay is None else (delay[:-1], delay[-1])

    def period(state, today):
        demand, delay, noise = today
        observation = world.system.observe(state, delay)
        x = stacked(world.scales, observation)
        action, log_probability = act(x, noise)
        order = capped(world.actions.order(action), observation, world.cap)
        after, flows = world.system.transition(state, order, demand, delay)
        reward = world.money.expected(world.system, state, order, delay, flows, world.support)
        return after, (x, action, log_probability, reward, world.promise(observation))

    state, (x, *rest, promised) = lax.scan(period, state, (demand, now, noise))
    last = world.system.observe(state, following)
    x = jnp.concatenate([x, stacked(world.scales, last)[None]])
    return state, Trajectory(x, *rest, None if promised is None else jnp.concatenate([promised, world.promise(last)[None]]))


def worth(system: Any, cost: Any, policy: Policy, paths: Paths) -> Array:
    """[item] mean net benefit of operations over paths; inside a compiled program."""
    horizon = paths.demand.shape[0]
    state = system.initial(paths.before, paths.start, policy.window)

    def period(state, today):
        number, demand, delay = today
        order = policy.apply(policy.params, system.observe(state, delay), None)
        state, flows = system.transition(state, order, demand, delay)
        benefit = cost.charge(flows, (number == horizon - 1).astype(demand.dtype)).benefit
        return state, benefit.mean(0)

    return lax.scan(period, state, (jnp.arange(horizon), paths.demand, paths.delay))[1].sum(0)


def on_one_device(paths: Paths) -> Paths:
    """Paths as a program of its own takes them: the replay's lie spread over the cores."""
    return Paths(*(None if part is None else jnp.asarray(np.asarray(part)) for part in paths[:3]), paths.start)


def money_of(problem: Problem, key: Array) -> Money:
    """Reward in the scale of a myopic rule, see `myopic`."""
    system, cost, items = problem.system, problem.cost, problem.items
    margin = np.broadcast_to(np.asarray(cost.price) - np.asarray(cost.purchase), items)
    paths = problem.training_paths(named(key, "myopic"), REFERENCE)
    flows = original(problem).simulate(myopic(problem, named(key, "outlook")), paths)
    earned = np.asarray(cost.charge(flows).benefit - margin * flows.demand, np.float64)
    earned = earned[:, min(system.lead_time + 1, problem.horizon // 2) :]  # nothing has arrived before
    center, scale = earned.mean((0, 1)), earned.std((0, 1))
    scale = np.where(scale > 1e-6 * np.abs(center), scale, np.abs(center))  # one that never varies
    return Money(cost, *(jnp.asarray(part, jnp.float32) for part in (margin, center, np.where(scale > 0, scale, 1.0))))


def myopic(problem: Problem, key: Array) -> Policy:
    """Order up to the critical fractile of what demand is in a lead time and a period."""
    demand = problem.outlook(key, REFERENCE)
    spans = np.lib.stride_tricks.sliding_window_view(demand, problem.system.lead_time + 1, axis=0).sum(-1)
    fractile = np.broadcast_to(critical_fractile(problem.cost, getattr(problem.system, "backlog", False)), problem.items)
    levels = [np.quantile(spans[..., item], fractile[item], method="higher") for item in range(problem.items)]
    return Policy({"level": jnp.asarray(levels, jnp.float32)}, _up_to)


def myopic_worth(problem: Problem, key: Array, paths: int) -> float:
    """Mean net benefit of operations of the myopic rule on so many validation paths, money: what a curve is shown beside."""
    plain = original(problem)
    return float(plain.benefit(myopic(plain, key), plain.validation_paths(paths)).mean(0).sum())


def beside(problem: Problem, key: Array, paths: int, lesson: Lesson | None) -> float:
    """What a curve is shown beside: the teacher, where there is one."""
    return baseline.worth(problem, lesson.teacher, paths) if lesson else myopic_worth(problem, key, paths)


def _up_to(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    return params["level"] - observation.position
