"""What learners from a memory share: lanes act side by side, what came of it is remembered, a few minibatches are learned from.

A chunk of training is one compiled program; members with keys of their own are spread over the cores. Time goes on for ever: an
episode is truncated, never terminated, so that what follows it is always worth what the learner says.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.sharding import PartitionSpec as Spec

from invbench.checks import number, require, whole
from invbench.keys import named
from invbench.learning import curriculum, experience, features
from invbench.learning.attention import Past, past_of
from invbench.learning.curriculum import Stage
from invbench.learning.decisions import parameters, world_of
from invbench.learning.experience import Row, Transition
from invbench.learning.imitation import Lesson
from invbench.learning.rates import Rate, apart, joined, several
from invbench.learning.shaping import weight
from invbench.learning.stored import stored
from invbench.learning.training import CORE, WORTH, best_of, better, member, member_keys, mesh, planned, run, spread
from invbench.learning.trajectories import World, beside, futures, on_one_device, worth
from invbench.problem import Problem
from invbench.types import Array, Paths, Policy

AVERAGING = 0.01  # share of the newest rollout in the running mean of reward
FAST = {
    "members": 2,
    "lanes": 64,
    "rollouts": 60,
    "updates": 4,
    "batch": 128,
    "validations": 3,
    "validation_paths": 64,
}  # at most
FAST_TAU = 0.02  # at least, as few updates must do
COUNTS = ("members", "lanes", "periods", "rollouts", "memory", "batch", "updates", "steps", "validations", "validation_paths")


@dataclass(frozen=True)
class Plan:
    """What every such learner is told, explained in its YAML. Hashable once `checked`, because it is compiled in."""

    largest_order: float | None
    features: list[str] | tuple[str, ...]
    attention: int | Past | None  # once checked, what its heads read
    hidden: list[int] | tuple[int, ...]
    members: int
    lanes: int
    periods: int
    rollouts: int
    episode: int | None
    memory: int
    batch: int
    updates: int
    steps: int
    lag: int | None
    futures: int
    discount: Rate
    average: bool
    shaping: float | None
    curriculum: list[dict[str, float]] | tuple[Stage, ...] | None
    tau: Rate
    learning_rate: Rate
    gradient_norm: Rate
    validations: int
    validation_paths: int
    fast_mode: bool
    rates: ClassVar[tuple[str, ...]] = ("discount", "tau", "learning_rate", "gradient_norm")  # each may differ between members

    @property
    def simulates(self) -> int:
        """Periods that all members of a training move through, futures and validation apart."""
        return planned(self, ("members", "lanes", "periods", "rollouts"), FAST)

    def checked(self, problem: Problem) -> "Plan":
        """The same with every shared field checked. Raises ValueError in one sentence that names the field."""
        require(tuple(problem.system.order_shape(1)) == (1,), "system", "one with a single order an item", problem.system)
        for name in ("average", "fast_mode"):
            require(isinstance(getattr(self, name), bool), f"method.{name}", "true or false", getattr(self, name))
        counts = {name: whole(f"method.{name}", getattr(self, name), low=1) for name in COUNTS}
        counts |= {name: min(most, counts[name]) for name, most in FAST.items()} if self.fast_mode else {}
        rates = {name: several(f"method.{name}", getattr(self, name)) for name in ("learning_rate", "gradient_norm")}
        rates["tau"] = several("method.tau", self.tau, high=1)
        rates["tau"] = tuple(max(tau, FAST_TAU) for tau in rates["tau"]) if self.fast_mode else rates["tau"]
        rates["discount"] = several("method.discount", self.discount, high=1, above=False)
        require(self.average or max(rates["discount"]) < 1, "method.discount", "< 1 without method.average", self.discount)
        shortest = shortest_lead_time(problem.system)
        lag = shortest if self.lag is None else whole("method.lag", self.lag)
        require(lag <= shortest, "method.lag", f"<= the shortest lead time ({shortest})", lag)
        require(isinstance(self.hidden, list | tuple), "method.hidden", "a list of widths", self.hidden)
        chosen, seen = features.checked("method.features", self.features), (problem.system.lead_time, problem.window)
        return replace(
            self, **counts, **rates, lag=lag, shaping=weight("method.shaping", self.shaping),
            curriculum=curriculum.checked("method.curriculum", self.curriculum), futures=whole("method.futures", self.futures),
            episode=whole("method.episode", problem.horizon if self.episode is None else self.episode, low=1),
            features=features.ordered(chosen), attention=past_of(self.attention, features.ordered(chosen), *seen),
            hidden=tuple(whole("method.hidden", width, low=1) for width in self.hidden),
        )  # fmt: skip


def pair(field: str, value: Any) -> tuple[float, float]:
    """Two numbers above 0: at first, and at last."""
    require(isinstance(value, list | tuple) and len(value) == 2, field, "two numbers, at first and at last", value)
    return tuple(number(field, one, low=0, above=True) for one in value)


def worth_next(plan: Plan, batch: Transition, following: Array) -> Array:
    """[row] what the values that follow are worth now; without a discount, how they differ from their mean.

    Values of average reward are known but for a constant: taken off, it cannot drift (relative value iteration, Abounadi,
    Bertsekas and Borkar 2001, "Learning algorithms for Markov decision processes with average cost", section 2.2).
    """
    drift = jnp.where(jnp.asarray(plan.discount) < 1, 0.0, experience.mean(following, batch))
    return batch.continues * (following - drift)


def faded(ends: tuple[float, float], left: Array) -> Array:
    """[] between the first of two numbers, where `left` is 1, and the last, where it is 0: by the same share a period."""
    return ends[1] * (ends[0] / ends[1]) ** left


def shortest_lead_time(system: Any) -> int:
    """Periods until an order can arrive at the earliest."""
    chances = getattr(system, "lead_time_distribution", None)
    return system.lead_time if chances is None else int(np.argmax(np.asarray(chances) > 0))


class Rules(NamedTuple):
    """What one learner does, as module-level functions; `left` falls from 1 to 0 over the training."""

    begin: Callable  # (plan, world, inputs, key) -> learner
    act: Callable  # (plan, world, learner, x, key, left) -> actions [lane, item]
    order: Callable  # (world, actions) -> units
    improve: Callable  # (plan, world, learner, batch, key, left) -> learner, metrics
    teach: Callable  # (learner, problem, world, lesson, log) -> learner that begins as the teacher
    layers: Callable  # learner -> the layers that are judged
    apply: Callable  # of the policy


class Course(NamedTuple):
    """How a training is cut, in whole numbers."""

    rollouts: int  # in an episode
    episodes: int  # in a chunk
    chunks: int
    window: int  # past periods that are looked at
    wait: int  # periods until a reward has happened
    futures: int  # that are looked ahead into instead

    @property
    def steps(self) -> int:
        """Rollouts in a chunk."""
        return self.rollouts * self.episodes


class Member(NamedTuple):
    """All that training changes of one member. Leaves of several members have their axis first."""

    learner: Any
    memory: Transition
    average: Array  # [] running mean of reward
    best: tuple  # the layers that earned most on validation paths
    worth: Array  # [] money: what they earned


# ---- for the host


def fitted(name: str, problem: Problem, plan: Plan, rules: Rules, keys: Array, log: Callable, lesson: Lesson | None = None):
    """A policy for each key [seed], that of its best member by validation paths. Raises `training.Diverged`."""
    problem = stored(problem) if plan.fast_mode else problem
    problem = features.remembered(problem, plan.features)
    world, choices, _ = world_of(problem, named(keys[0], "world"), plan)
    plan = replace(plan, choices=choices) if plan.actions == "discrete" else plan
    members = train(name, problem, plan, rules, world, keys, log, lesson)
    window, misses = features.window(plan.features, problem.window), features.misses(plan.features)
    best = best_of(members.best, members.worth, len(keys))
    return [Policy(parameters(world, layers), rules.apply, window=window, misses=misses) for layers in best]


def train(
    name: str, problem: Problem, plan: Plan, rules: Rules, world: World, key: Array, log: Callable, lesson: Lesson | None = None
) -> Member:
    """All members [member, ...] of one key or of each of several, validated after every chunk. Raises `training.Diverged`."""
    course, stages, seeds = course_of(problem, plan, world), plan.curriculum, key.reshape(-1)
    keys = member_keys(seeds, plan.members)
    paths = on_one_device(problem.validation_paths(plan.validation_paths))
    settings = [asdict(plan), np.asarray(jax.random.key_data(key)).tolist()]
    advice = f"lower method.learning_rate ({max(plan.learning_rate):g})"
    world = curriculum.begun(world, problem, stages, named(seeds[0], "curriculum"))
    plan, own = apart(replace(plan, shaping=None, curriculum=()), plan.rates, plan.members)  # these are in the world by now
    own = {title: jnp.tile(leaf, len(seeds)) for title, leaf in own.items()}
    compiled_in = dict(plan=plan, rules=rules, course=course, mesh=mesh(len(keys)))

    def advance(members, number):
        now = curriculum.staged(world, stages, number / course.chunks)
        return _chunk(now, paths, keys, own, spread(members, compiled_in["mesh"]), jnp.int32(number), **compiled_in)

    inputs = features.count(plan.features, problem.system.lead_time, problem.window)
    start = _begin(world, keys, own, plan=plan, rules=rules, inputs=inputs, block=plan.lanes * plan.periods * problem.items)
    start = _taught(start, lesson, problem, world, rules, course.window, paths, log) if lesson else start
    updates = course.steps * plan.updates
    rule = beside(problem, named(seeds[0], "myopic"), plan.validation_paths, lesson)
    return run(name, start, advance, course.chunks, log, steps=updates, settings=settings, advice=advice, baseline=rule)


def _taught(members: Member, lesson: Lesson, problem: Problem, world: World, rules: Rules, window: int, paths: Paths, log):
    """Untrained members that all begin as the teacher, which is the best so far."""
    learner = rules.teach(member(members.learner, 0), problem, world, lesson, log)
    layers = rules.layers(learner)
    earned = worth(world.system, world.money.cost, Policy(parameters(world, layers), rules.apply, window), paths).sum()
    whole = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(members.worth)), (learner, layers, earned))
    return members._replace(**dict(zip(("learner", "best", "worth"), whole)))


def course_of(problem: Problem, plan: Plan, world: World) -> Course:
    """Whole rollouts to an episode, and whole episodes to a chunk: about as many rollouts in all as planned."""
    rollouts = -(-plan.episode // plan.periods)
    episodes = max(1, round(plan.rollouts / rollouts / plan.validations))
    count = plan.futures if experience.foreseeable(world) else 0
    window = features.window(plan.features, problem.window)
    return Course(rollouts, episodes, plan.validations, window, 0 if count else plan.lag, count)


# ---- compiled


@partial(jax.jit, static_argnames=("plan", "rules", "inputs", "block"))
def _begin(world: World, keys: Array, own: dict[str, Array], *, plan: Plan, rules: Rules, inputs: int, block: int) -> Member:
    """Untrained members, one for each key."""

    def one(key, own):
        learner = rules.begin(joined(plan, own), world, inputs, named(key, "network"))
        memory = experience.empty(inputs, max(1, plan.memory // block) * block)
        return Member(learner, memory, jnp.zeros(()), rules.layers(learner), jnp.float32(-jnp.inf))

    return jax.vmap(one)(keys, own)


@partial(jax.jit, static_argnames=("plan", "rules", "course", "mesh"))
def _chunk(world: World, paths: Paths, keys: Array, own: dict, members: Member, number: Array, *, plan, rules, course, mesh):
    """Every member through a few episodes, then a look at the validation paths; metrics are [member]."""

    def one(args):
        key, own, member = args
        numbers = number * course.episodes + jnp.arange(course.episodes)
        step = partial(episode, world, joined(plan, own), rules, course, named(key, "training"))
        member, metrics = lax.scan(step, member, numbers)
        member, benefit = validated(world, rules, course.window, paths, member)
        return member, jax.tree.map(lambda leaf: leaf.mean(), metrics) | {WORTH: benefit}

    part = Spec(CORE)
    share = lambda world, paths, *members: lax.map(one, members)  # noqa: E731 - one by one fills a core's units
    mapped = jax.shard_map(share, mesh=mesh, in_specs=(Spec(), Spec(), *(part,) * 3), out_specs=part, check_vma=False)
    return mapped(world, paths, keys, own, members)


def episode(world: World, plan: Plan, rules: Rules, course: Course, key: Array, member: Member, number: Array):
    """A path of demand for each lane, drawn ahead, walked through in rollouts; a few updates after each."""
    key, periods = jax.random.fold_in(key, number), course.rollouts * plan.periods
    before, demand, delay = futures(world, named(key, "future"), periods, plan.lanes, course.window, 0)
    state = world.system.initial(before, world.start, course.window)
    shaped = world.potential is not None
    pending = experience.nothing(member.memory.x.shape[-1], course.wait + plan.steps, demand.shape[1:], shaped)
    cut = lambda leaf: leaf[:periods].reshape(course.rollouts, plan.periods, *leaf.shape[1:])  # noqa: E731
    keys, delay = jax.random.split(named(key, "rollouts"), course.rollouts), delay if delay is None else cut(delay)
    today = (jnp.arange(course.rollouts), keys, cut(demand), delay)
    step = partial(rollout, world, plan, rules, course, number * course.rollouts)
    (member, *_), metrics = lax.scan(step, (member, state, pending), today)
    return member, metrics


def rollout(world: World, plan: Plan, rules: Rules, course: Course, before: Array, carry: tuple, today: tuple):
    """A few periods, what came of earlier ones remembered, and a few updates. before: rollouts before this episode."""
    member, state, pending = carry
    number, key, demand, delay = today
    done = before + number
    left = 1 - done / (course.chunks * course.steps)
    act, keys = partial(rules.act, plan, world, member.learner, left=left), jax.random.split(named(key, "act"), plan.periods)
    foreseen, seen = partial(experience.prospect, world, plan.lag, course.futures), partial(experience.happened, world)
    reward = foreseen if course.futures else seen
    state, rows = experience.walked(world, state, demand, delay, keys, act, partial(rules.order, world), reward)
    earned = (rows.at_once + rows.later).mean((0, 1))  # [item]
    rows = jax.tree.map(lambda *parts: jnp.concatenate(parts), pending, rows)
    member = remembered(plan, course, member, rows, number, done)
    moved = member.average + AVERAGING * (earned.mean() - member.average)
    member = member._replace(average=moved if plan.average else member.average)
    learner, metrics = learned(world, plan, rules, member, named(key, "learn"), done, left)
    money = (earned * world.money.scale + world.money.center).mean()  # less what demand is worth
    metrics = {f"train/{title}": values.mean() for title, values in metrics.items()} | {"train/money_a_period": money}
    return (member._replace(learner=learner), state, jax.tree.map(lambda leaf: leaf[plan.periods :], rows)), metrics


def remembered(plan: Plan, course: Course, member: Member, rows: Row, number: Array, done: Array) -> Member:
    """The member with the transitions whose reward has happened by now; an episode's first rows are of none."""
    valid = number * plan.periods + jnp.arange(plan.periods) >= course.wait + plan.steps
    fade = 1.0 if plan.average else plan.discount**plan.lag  # the order's own cost comes so much earlier
    found = experience.transitions(rows, plan.periods, plan.steps, course.wait, plan.discount, fade, valid)
    return member._replace(memory=experience.kept(member.memory, found, done))


def learned(world: World, plan: Plan, rules: Rules, member: Member, key: Array, done: Array, left: Array) -> tuple[Any, dict]:
    """The learner after a few updates from memory, and their metrics [update]."""
    filled = jnp.minimum((done + 1) * plan.lanes * plan.periods * world.money.scale.size, member.memory.weight.shape[0])
    level = member.average * sum(plan.discount**step for step in range(plan.steps))

    def update(learner, key):
        batch = experience.drawn(member.memory, named(key, "batch"), plan.batch, filled)
        return rules.improve(plan, world, learner, batch._replace(reward=batch.reward - level), named(key, "improve"), left)

    return lax.scan(update, member.learner, jax.random.split(key, plan.updates))


def optimiser(plan: Plan, left: Array | float) -> optax.GradientTransformation:
    """Adam with the whole gradient's norm cut, and a rate that falls to zero."""
    rate = -plan.learning_rate * left
    return optax.chain(optax.clip_by_global_norm(plan.gradient_norm), optax.scale_by_adam(), optax.scale(rate))


def followed(behind: Any, tree: Any, tau: float) -> Any:
    """A running mean of trees, moved on by the share `tau` of the newest one."""
    return jax.tree.map(lambda old, new: old + tau * (new - old), behind, tree)


def validated(world: World, rules: Rules, window: int, paths: Paths, member: Member) -> tuple[Member, Array]:
    """The member with its best layers so far, and what the present ones earn on the validation paths."""
    layers = rules.layers(member.learner)
    benefit = worth(world.system, world.money.cost, Policy(parameters(world, layers), rules.apply, window), paths).sum()
    most, best = better(benefit, layers, member.worth, member.best)
    return member._replace(best=best, worth=most), benefit
