"""Proximal policy optimisation, straight on the system's transition: lanes of demand drawn ahead, members trained side by side.

Source: Schulman, Wolski, Dhariwal, Radford and Klimov 2017, "Proximal policy optimization algorithms". Time goes on for ever: an
episode is truncated, never terminated, so that what follows it is always worth what the critic says.
"""

import math
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

from invbench.checks import choice, number, require, whole
from invbench.keys import named
from invbench.learning import curriculum, features, imitation, networks, training
from invbench.learning.actions import Normal
from invbench.learning.advantages import Batch, batches, standardised
from invbench.learning.attention import Past, past_of
from invbench.learning.curriculum import Stage
from invbench.learning.decisions import act, heads, mean_order, median_of_grid, parameters, pupil, world_of
from invbench.learning.imitation import Lesson
from invbench.learning.rates import Rate, several
from invbench.learning.shaping import shaped, weight
from invbench.learning.stored import stored
from invbench.learning.trajectories import World, beside, collect, on_one_device, rollouts, windows, worth
from invbench.problem import Problem
from invbench.types import Array, Paths, Policy

AVERAGING = 0.05  # share of the newest update in the running mean of reward
CRITIC_FIRST = 0.05  # share of the updates that are the critic's alone, at least, where the actor begins as a teacher
FAST = {"members": 2, "updates": 120, "validations": 4, "validation_paths": 128}  # at most
COUNTS = ("members", "lanes", "steps", "updates", "epochs", "minibatches", "validations", "validation_paths")


class Rates(NamedTuple):
    """What each member may have its own of, [] or [member]: numbers, so that they compile once."""

    learning_rate: Array | tuple
    entropy: Array | tuple
    discount: Array | tuple
    trace: Array | tuple
    clip: Array | tuple
    gradient_norm: Array | tuple
    averaging: Array | tuple


@dataclass(frozen=True)
class PPO:
    """The best of a few members by validation paths; every field is explained in its YAML."""

    actions: str
    choices: int
    largest_order: float | None
    features: list[str] | tuple[str, ...]
    attention: int | Past | None  # once checked, what its heads read
    hidden: list[int] | tuple[int, ...]
    members: int
    lanes: int
    steps: int
    updates: int
    episode: int | None
    critic_first: float
    epochs: int
    minibatches: int
    foresight: int
    discount: Rate
    average: bool
    shaping: float | None
    curriculum: list[dict[str, float]] | tuple[Stage, ...] | None
    trace: Rate
    clip: Rate
    value_clip: float | None
    entropy: Rate
    learning_rate: Rate
    gradient_norm: Rate
    averaging: Rate
    validations: int
    validation_paths: int
    fast_mode: bool
    family: ClassVar[str] = "rl"
    tuned: ClassVar[bool] = False

    @property
    def simulates(self) -> int:
        """Periods that all members of a training move through, validation apart."""
        return training.planned(self, ("members", "lanes", "steps", "updates"), FAST)

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None) -> Policy:
        """Raises ValueError where a field makes no sense, `training.Diverged` where training leaves the finite numbers.

        After a lesson it begins as the teacher, and its critic learns first.
        """
        return self._fitted(problem, key.reshape(1), log, lesson)[0]

    def fit_seeds(
        self, problem: Problem, keys: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None
    ) -> list[Policy]:
        """A policy for each key [seed], the best of as many members; all are trained side by side, with money in one scale."""
        return self._fitted(problem, keys, log, lesson)

    def _fitted(self, problem: Problem, keys: Array, log: Callable, lesson: Lesson | None) -> list[Policy]:
        plan = self.checked(problem)
        problem = stored(problem) if self.fast_mode else problem
        problem = features.remembered(problem, plan.features)
        plan = replace(plan, critic_first=max(plan.critic_first, CRITIC_FIRST)) if lesson else plan
        world, choices, _ = world_of(problem, named(keys[0], "world"), plan)
        apply = median_of_grid if plan.actions == "discrete" else mean_order
        learners = train(problem, replace(plan, choices=choices), world, apply, keys, log, lesson)
        window, misses = features.window(plan.features, problem.window), features.misses(plan.features)
        best = training.best_of(learners.best, learners.worth, len(keys))
        return [Policy(parameters(world, layers), apply, window=window, misses=misses) for layers in best]

    def checked(self, problem: Problem) -> "PPO":
        """The same with every field checked, and as one compiled program depends on it."""
        require(
            tuple(problem.system.order_shape(1)) == (1,),
            "system",
            "one with a single order an item",
            type(problem.system).__name__,
        )
        choice("method.actions", self.actions, ("discrete", "continuous"))
        for name in ("average", "fast_mode"):
            require(isinstance(getattr(self, name), bool), f"method.{name}", "true or false", getattr(self, name))
        counts = {name: whole(f"method.{name}", getattr(self, name), low=1) for name in COUNTS}
        counts |= {
            "foresight": whole("method.foresight", self.foresight),
            "choices": whole("method.choices", self.choices, low=2),
        }
        counts |= {name: min(most, counts[name]) for name, most in FAST.items()} if self.fast_mode else {}
        rates = {name: several(f"method.{name}", getattr(self, name), **_range(name)) for name in Rates._fields}
        require(counts["lanes"] % counts["minibatches"] == 0, "method.lanes", "a multiple of minibatches", self.lanes)
        counts["lanes"] = counts["minibatches"] * max(1, counts["lanes"] // (counts["minibatches"] * problem.items))
        require(self.average or max(rates["discount"]) < 1, "method.discount", "< 1 without method.average", self.discount)
        parts = -(-whole("method.episode", self.episode or problem.horizon, low=1) // counts["steps"])
        chosen, seen = set(features.checked("method.features", self.features)), (problem.system.lead_time, problem.window)
        return replace(
            self, **counts, **rates, episode=parts * counts["steps"],
            critic_first=number("method.critic_first", self.critic_first, low=0, high=1),
            shaping=weight("method.shaping", self.shaping), curriculum=curriculum.checked("method.curriculum", self.curriculum),
            value_clip=self.value_clip and number("method.value_clip", self.value_clip, low=0),
            features=features.ordered(chosen), attention=past_of(self.attention, features.ordered(chosen), *seen),
            hidden=tuple(whole("method.hidden", width, low=1) for width in self.hidden),
        )  # fmt: skip


def _range(name: str) -> dict[str, Any]:
    """Where a rate may lie."""
    high = 1 if name in ("discount", "trace", "averaging") else math.inf
    return {"high": high, "above": name not in ("discount", "trace", "entropy")}


class Learner(NamedTuple):
    """One member: all that training changes, and its own rates. Leaves of several members have their axis first."""

    actor: dict[str, Any]  # layers, and the log deviation of continuous orders
    critic: tuple
    moments: tuple  # of the optimiser
    average: Array  # [item] running mean of reward
    updates: Array  # [] int32 so far
    rates: Rates
    judged: tuple  # running mean of the layers of the actor
    best: tuple  # layers of the actor that earned most on validation paths
    worth: Array  # [] money: what it earned


def train(
    problem: Problem, plan: PPO, world: World, apply: Callable, key: Array, log: Callable, lesson: Lesson | None = None
) -> Learner:
    """All members of one key or of each of several, chunk by chunk: what each has learned is validated after every chunk."""
    paths = problem.validation_paths(plan.validation_paths)
    seeds, stages = key.reshape(-1), plan.curriculum
    rule = beside(problem, named(seeds[0], "myopic"), plan.validation_paths, lesson)
    episodes = max(1, round(plan.updates * plan.steps / plan.episode / plan.validations))  # of a chunk
    steps, advice = episodes * plan.episode // plan.steps, f"lower method.learning_rate ({max(plan.learning_rate):g})"
    settings = [asdict(plan), np.asarray(jax.random.key_data(key)).tolist()]
    each = lambda name: jnp.resize(jnp.asarray(getattr(plan, name), jnp.float32), plan.members)  # noqa: E731
    rates = Rates(*(jnp.tile(each(name), len(seeds)) for name in Rates._fields))
    world = curriculum.begun(world, problem, stages, named(seeds[0], "curriculum"))
    keys, paths = training.member_keys(seeds, plan.members), on_one_device(paths)
    plan = replace(plan, **dict.fromkeys(Rates._fields, ()), shaping=None, curriculum=(), updates=steps * plan.validations)
    mesh = training.mesh(len(keys))  # and the plan is now as it is compiled in
    fixed = dict(plan=plan, window=features.window(plan.features, problem.window), apply=apply, episodes=episodes, mesh=mesh)
    inputs = features.count(plan.features, problem.system.lead_time, problem.window)
    start = _begin(world, keys, rates, plan=plan, inputs=inputs)
    start = _taught(start, lesson, problem, world, apply, fixed["window"], paths, log) if lesson else start

    def advance(learners: Learner, number: int) -> tuple[Learner, dict[str, Array]]:
        now = curriculum.staged(world, stages, number / plan.validations)
        return _advance(now, paths, keys, training.spread(learners, mesh), jnp.int32(number), **fixed)

    return training.run(
        "ppo", start, advance, plan.validations, log, steps=steps, settings=settings, baseline=rule, advice=advice
    )


@partial(jax.jit, static_argnames=("plan", "inputs"))
def _begin(world: World, keys: Array, rates: Rates, *, plan: PPO, inputs: int) -> Learner:
    """Untrained members, one for each key."""
    return jax.vmap(partial(beginner, world, plan, inputs))(keys, rates)


def _taught(learners: Learner, lesson: Lesson, problem: Problem, world: World, apply: Callable, window: int, paths: Paths, log):
    """Untrained members that all begin as the teacher, which is the best so far."""
    layers = imitation.taught(lesson, problem, pupil(training.member(learners.actor["layers"], 0), world), log)
    earned = worth(world.system, world.money.cost, Policy(parameters(world, layers), apply, window), paths).sum()
    layers, earned = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(learners.worth)), (layers, earned))
    return learners._replace(actor=learners.actor | {"layers": layers}, judged=layers, best=layers, worth=earned)


def beginner(world: World, plan: PPO, inputs: int, key: Array, rates: Rates) -> Learner:
    """An untrained member, whose orders lie around mean demand."""
    mean = world.scales[plan.features[0]]
    layers = networks.initial(named(key, "actor"), (inputs, *plan.hidden, plan.choices), 0.01, plan.attention)
    actor = {"layers": world.actions.begin(layers, mean)}
    if isinstance(world.actions, Normal):
        actor["log_deviation"] = jnp.full(1, math.log(0.5), jnp.float32)
    critic = networks.initial(named(key, "critic"), (inputs + plan.foresight, *plan.hidden, 1), 0.1, plan.attention)
    moments = (optimiser(rates).init(actor), optimiser(rates).init(critic))
    first, nothing, least = actor["layers"], jnp.zeros((), jnp.int32), jnp.full((), -jnp.inf, jnp.float32)
    return Learner(actor, critic, moments, jnp.zeros_like(mean), nothing, rates, first, first, least)


IN_ORDER = {"xla_cpu_enable_concurrency_optimized_scheduler": False}  # its matrices are too small to share: 7 % faster


@partial(jax.jit, static_argnames=("plan", "window", "apply", "episodes", "mesh"), compiler_options=IN_ORDER)
def _advance(world, paths, keys, learners, number, *, plan, window, apply, episodes, mesh):
    """Every member through a few episodes, then a look at the validation paths; metrics are [member]."""

    def member(learner, key):
        key = jax.random.fold_in(key, number)
        learner, metrics = lax.scan(partial(episode, world, plan, window), learner, jax.random.split(key, episodes))
        learner, benefit = validated(world, apply, window, paths, learner)
        return learner, jax.tree.map(jnp.mean, metrics) | {training.WORTH: benefit}

    own = Spec(training.CORE)
    share = lambda *members: lax.map(lambda one: member(*one), members)  # noqa: E731 - one by one: its matrices fill a core
    return jax.shard_map(share, mesh=mesh, in_specs=(own, own), out_specs=own, check_vma=False)(learners, keys)


def episode(world: World, plan: PPO, window: int, learner: Learner, key: Array) -> tuple[Learner, dict]:
    """A path of demand for each lane, drawn ahead, walked through in rollouts; an update after each."""
    state, drawn = rollouts(world, key, plan.episode, plan.steps, plan.lanes, window, plan.foresight)
    (learner, _), metrics = lax.scan(partial(update, world, plan), (learner, state), drawn)
    return learner, metrics


def update(world: World, plan: PPO, carry: tuple, drawn: tuple) -> tuple[tuple, dict]:
    """One rollout, and a few epochs of minibatches on it."""
    learner, state = carry
    demand, delay, noise = drawn
    state, trajectory = collect(world, state, demand[: plan.steps], delay, noise, partial(act, world, learner.actor))
    share = AVERAGING if plan.average else 0.0
    learner = learner._replace(average=learner.average + share * (trajectory.reward.mean((0, 1)) - learner.average))
    coming = windows(demand, plan.steps + 1, 1, plan.foresight) / world.scales[plan.features[0]]
    rates = learner.rates
    taught = trajectory._replace(reward=shaped(trajectory.reward, trajectory.potential, rates.discount))
    dealt = batches(learner.critic, taught, coming, learner.average, rates.discount, rates.trace, plan.minibatches)
    step = partial(descend, world, plan, 1 - learner.updates / plan.updates)
    epoch = lambda learner, _: lax.scan(step, learner, dealt)  # noqa: E731
    learner, losses = lax.scan(epoch, learner, None, length=plan.epochs)
    money = (trajectory.reward * world.money.scale + world.money.center).mean()
    blend = lambda old, new: old + rates.averaging * (new - old)  # noqa: E731
    judged = jax.tree.map(blend, learner.judged, learner.actor["layers"])
    metrics = {f"train/{name}": values.mean() for name, values in losses.items()} | {"train/money_a_period": money}
    return (learner._replace(judged=judged, updates=learner.updates + 1), state), metrics


def descend(world: World, plan: PPO, left: Array, learner: Learner, batch: Batch) -> tuple[Learner, dict]:
    """One step of both networks down the gradient of a minibatch; left: share of the updates that is still to come."""
    rates = learner.rates._replace(learning_rate=left * learner.rates.learning_rate, entropy=left * learner.rates.entropy)
    slope, metrics = jax.grad(actor_loss, has_aux=True)(learner.actor, world, rates, batch)
    value_loss, other = jax.value_and_grad(critic_loss)(learner.critic, plan, batch)
    own = rates._replace(learning_rate=jnp.where(left <= 1 - plan.critic_first, rates.learning_rate, 0))
    actor, first = stepped(own, learner.actor, slope, learner.moments[0])
    critic, second = stepped(rates, learner.critic, other, learner.moments[1])
    return learner._replace(actor=actor, critic=critic, moments=(first, second)), metrics | {"value_loss": value_loss}


def stepped(rates: Rates, params: Any, slope: Any, moments: Any) -> tuple[Any, Any]:
    """The parameters after a step, and the optimiser's moments."""
    change, moments = optimiser(rates).update(slope, moments)
    return jax.tree.map(lambda leaf, change: leaf - rates.learning_rate * change, params, change), moments


def optimiser(rates: Rates) -> optax.GradientTransformation:
    """Adam's direction, of a gradient whose norm is cut."""
    return optax.flatten(optax.chain(optax.clip_by_global_norm(rates.gradient_norm), optax.scale_by_adam(eps=1e-5)))


def actor_loss(actor: dict, world: World, rates: Rates, batch: Batch) -> tuple[Array, dict]:
    """The clipped objective (equation 7 of the source), less a bonus for entropy."""
    outputs = heads(actor, batch.x)
    ratio = jnp.exp(world.actions.log_probability(outputs, batch.action) - batch.log_probability)
    advantage = standardised(batch.advantage)
    gain = jnp.minimum(ratio * advantage, jnp.clip(ratio, 1 - rates.clip, 1 + rates.clip) * advantage).mean()
    entropy = world.actions.entropy(outputs).mean()
    metrics = {"entropy": entropy, "clipped": (jnp.abs(ratio - 1) > rates.clip).mean(), "gain": gain}
    return -gain - rates.entropy * entropy, metrics


def critic_loss(critic: tuple, plan: PPO, batch: Batch) -> Array:
    """Squared error (Huber's would make little of rare dear shortages); a value that moved `value_clip` is not pushed on."""
    value = networks.apply(critic, batch.y)[0]
    loss = optax.squared_error(value, batch.target)
    if plan.value_clip:
        near = batch.value + jnp.clip(value - batch.value, -plan.value_clip, plan.value_clip)
        loss = jnp.maximum(loss, optax.squared_error(near, batch.target))
    return loss.mean()


def validated(world: World, apply: Callable, window: int, paths: Paths, learner: Learner) -> tuple[Learner, Array]:
    """The learner with its best layers so far, and what the present ones earn on the validation paths."""
    layers = learner.judged
    benefit = worth(world.system, world.money.cost, Policy(parameters(world, layers), apply, window), paths).sum()
    best_worth, best = training.better(benefit, layers, learner.worth, learner.best)
    return learner._replace(best=best, worth=best_worth), benefit
