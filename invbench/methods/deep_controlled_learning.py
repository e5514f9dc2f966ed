"""Deep controlled learning: a classifier learns the best order of rollouts, and is then the policy that is rolled out.

Source: Temizöz, Imdahl, Dijkman, Lamghari-Idrissi and van Jaarsveld 2025, "Deep controlled learning for inventory control",
European Journal of Operational Research 324, 104-117. Three things are ours: a label is not the best order but
probabilities that fall with what an order was found to lose; where demand has few values, a period earns the mean over them; and
where there are few states, the network is looked up in a table of its orders.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import choice, number, require, whole
from invbench.dynamics.dual_source import DualSource, expedited_position
from invbench.keys import named
from invbench.learning import classifier, curriculum, features, networks, rollouts, shaping, training
from invbench.learning.classifier import Classifier, Menu, Training, best_order
from invbench.learning.curriculum import Stage
from invbench.learning.imitation import Lesson
from invbench.learning.rollouts import Effort, World
from invbench.learning.trajectories import myopic
from invbench.problem import Problem
from invbench.tuning import Budget, highest_level, integers, is_whole, levels, search
from invbench.types import Array, Flows, Observation, Policy

VALIDATED = 2**20  # periods x items that each generation is judged on
SURE = 3.0  # standard errors
LOOKS = 4  # at the losses of a generation's classifier
FAST = 8  # times less of everything in fast mode
ALL = 1e9  # units: no cap
COUNTS = ("generations", "states", "paths", "periods", "warm_up", "updates", "batch")


@dataclass(frozen=True)
class DeepControlledLearning:
    """Approximate policy iteration from a classical rule; every field is explained in its YAML."""

    tuning: Budget
    start: str
    features: list[str] | tuple[str, ...]
    generations: int
    states: int
    orders: int
    paths: int
    periods: int
    discount: float
    warm_up: int
    explore: float
    restart: float
    softness: float
    hidden: list[int] | tuple[int, ...]
    updates: int
    batch: int
    learning_rate: float
    held_out: float
    fast_mode: bool
    curriculum: list[dict[str, float]] | tuple[Stage, ...] | None = None  # see `learning.curriculum`
    shaping: float | None = None
    family: ClassVar[str] = "rl"
    tuned: ClassVar[bool] = True

    @property
    def simulates(self) -> int:
        """Periods of all rollouts at most: as many states, orders and paths as there may be; validation apart."""
        states, generations = (
            (-(-self.states // FAST), min(2, self.generations)) if self.fast_mode else (self.states, self.generations)
        )
        labelled = -(-states // 2 ** (generations - 1)) * (2**generations - 1)
        return labelled * sum(count * width for count, width in rollouts.rounds(self.orders, self.paths)) * self.periods

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None], lesson: Lesson | None = None) -> Policy:
        """Raises ValueError where a field makes no sense, and `training.Diverged`. Of a lesson it starts from the teacher."""
        known = problem.system.order_shape(1) in ((1,), (2, 1))
        require(known, "system", "a single stocking point for deep_controlled_learning", type(problem.system).__name__)
        problem = features.remembered(problem, features.checked("method.features", self.features))
        blind = not (lesson and lesson.teacher.window)
        require(blind, "method.teacher", "a rule of what is observed today, as rollouts carry no history", "one that looks back")
        course = _Course.of(self.checked(), problem, key, log, lesson.teacher if lesson else None)
        method, looks = course.method, course.method.generations * LOOKS
        worth = float(validated(problem, course.start).mean())
        told = asdict(method) | {"key": jax.random.key_data(key).tolist(), "baseline": worth}
        done = training.run(
            "deep_controlled_learning", course.begin(), course.advance, looks, log,
            steps=method.updates // LOOKS, settings=told, baseline=worth,
        )  # fmt: skip
        return course.policy(training.member(done["kept"], last_unless_worse(np.asarray(done["benefit"], np.float64))))

    def checked(self) -> "DeepControlledLearning":
        """The same with every field checked, lists as tuples, and less of everything in fast mode."""
        choice("method.start", self.start, ("base_stock", "capped_base_stock"))
        counts = {name: whole(f"method.{name}", getattr(self, name), low=1) for name in COUNTS}
        shares = {name: number(f"method.{name}", getattr(self, name), low=0, high=1) for name in ("explore", "restart")}
        positive = {
            name: number(f"method.{name}", getattr(self, name), low=0, above=True) for name in ("learning_rate", "softness")
        }
        names = features.checked("method.features", self.features)
        require(isinstance(self.hidden, list | tuple) and len(self.hidden) > 0, "method.hidden", "a list of widths", self.hidden)
        require(isinstance(self.fast_mode, bool), "method.fast_mode", "true or false", self.fast_mode)
        for name in ("states", "updates") if self.fast_mode else ():
            counts[name] = -(-counts[name] // FAST)
        counts["generations"] = min(2, counts["generations"]) if self.fast_mode else counts["generations"]
        counts["updates"] = -(-counts["updates"] // LOOKS) * LOOKS
        return replace(
            self, **counts, **shares, **positive, features=names, orders=whole("method.orders", self.orders, low=2),
            hidden=tuple(whole(f"method.hidden[{i}]", width, low=1) for i, width in enumerate(self.hidden)),
            discount=number("method.discount", self.discount, low=0, high=1, above=True),
            held_out=number("method.held_out", self.held_out, low=0.01, high=0.9),
            curriculum=curriculum.checked("method.curriculum", self.curriculum),
            shaping=shaping.weight("method.shaping", self.shaping),
        )  # fmt: skip


# ---- the loop over generations


class _Course(NamedTuple):
    """What all generations have in common."""

    method: DeepControlledLearning
    problem: Problem
    key: Array
    start: Policy  # the rule that the first generation follows
    own_start: bool  # whether that is a rule of stock alone, as the method's own ones are
    world: World  # that rollouts are in
    menu: Menu
    choices: int
    highest: int  # units of stock that are hardly ever exceeded
    scale: Array  # [item] units
    looks: tuple[str, ...]  # features
    window: int  # past periods that they are made of
    quick: bool  # whether a table can stand for the network

    @classmethod
    def of(cls, method: DeepControlledLearning, problem: Problem, key: Array, log: Callable, start: Policy | None) -> "_Course":
        mean, spread = levels(problem, named(key, "levels"))
        own_start, window = start is None, features.window(method.features, problem.window)
        start = start or start_policy(problem, method.start, method.tuning, named(key, "start"), mean, spread, log)
        made = problem.simulate(start, problem.training_paths(named(key, "menu"), 64))
        menu, in_units = menu_of(problem, made, named(key, "menu"), method.orders, mean, spread)
        seen = _observed(problem, 0)
        looks = tuple("ages" if name == "on_hand" and seen.ages is not None else name for name in method.features)
        scale, quick = (
            jnp.asarray(np.maximum(mean, 1e-6), jnp.float32),
            in_units and problem.items == 1 and set(looks) <= set(features.OF_STOCK),
        )
        return cls(
            method, problem, key, start, own_start, _world(problem, menu, scale, method, key), menu, int(np.prod(menu.count)),
            highest_of(problem, made, mean, spread), scale, looks, window, quick,
        )  # fmt: skip

    def begin(self) -> dict[str, Any]:
        """The state of training before the first generation; `kept` and `benefit` have one row for each."""
        method, paths = self.method, _validation_paths(self.problem)
        layers = self._initial(0)
        kept = jax.tree.map(lambda leaf: jnp.zeros((method.generations, *leaf.shape)), layers)
        x, target = (jnp.zeros((rows, self.labelled(method.generations - 1))) for rows in (self._inputs(), self.choices))
        student = classifier.begin(layers, self._training())
        return {"student": student, "kept": kept, "benefit": jnp.zeros((method.generations, paths)), "x": x, "target": target}

    def advance(self, state: dict[str, Any], number: int) -> tuple[dict[str, Any], dict[str, Array]]:
        """A part of the training of a generation's classifier; before the first part its states are labelled."""
        generation, look = divmod(number, LOOKS)
        own = named(self.key, f"generation {generation}")
        state = state if look else self._labelled(state, generation, own)
        held, count = self._held_out(generation), self.labelled(generation)
        parts = [state[name] for name in ("x", "target")]
        student, metrics = classifier.advance(
            state["student"], *(part[:, held:count] for part in parts), tuple(part[:, :held] for part in parts),
            named(own, f"look {look}"), training=self._training(), updates=self.method.updates // LOOKS,
        )  # fmt: skip
        state, metrics = state | {"student": student}, {f"dcl/{name}": value for name, value in metrics.items()}
        return (state, metrics) if look < LOOKS - 1 else self._judged(state, generation, metrics)

    def policy(self, layers: networks.Layers) -> Policy:
        """The policy of a network."""
        params = Classifier(layers, self.scale, self.menu, self.looks)
        return Policy(params, best_order, window=self.window, misses=features.misses(self.looks))

    def labelled(self, generation: int) -> int:
        """Examples of a generation: twice as many as of the one before, as the last labels matter most."""
        return -(-self.method.states // 2 ** (self.method.generations - 1)) * 2**generation * self.problem.items

    def _labelled(self, state: dict[str, Any], generation: int, key: Array) -> dict[str, Any]:
        """With the examples of this generation and a new student. In parts, which compile once."""
        method = self.method
        policy = self.start if generation == 0 else self.policy(training.member(state["kept"], generation - 1))
        tabled = not method.curriculum and (generation > 0 or self.own_start)  # a table knows neither eased demand nor the time
        effort = Effort(
            self.choices, method.paths, self.problem.system.lead_time + method.periods, method.warm_up,
            method.explore, method.restart, method.discount, self.window,
        )  # fmt: skip
        world = curriculum.staged(self.world, method.curriculum, generation / method.generations)
        part, keys = self.labelled(0), jax.random.split(named(key, "label"), 2**generation)
        policy = self.quickly(policy) if tabled else policy
        given = (self.problem, world, policy, self.looks, part // self.problem.items, effort)
        found = [jax.tree.map(lambda leaf: leaf[:, :part], rollouts.labels(*given, one)) for one in keys]
        x, regret = (np.concatenate(leaves, -1) for leaves in zip(*found))
        order = np.asarray(jax.random.permutation(named(key, "held out"), x.shape[-1]))
        target = classifier.soft(jnp.asarray(regret), method.softness * np.sort(regret, 0)[1].mean())
        fill = lambda old, new: jnp.asarray(np.concatenate([new[:, order], np.asarray(old)[:, new.shape[1] :]], -1))  # noqa: E731
        student = classifier.begin(self._initial(generation), self._training())
        return state | {"x": fill(state["x"], x), "target": fill(state["target"], np.asarray(target)), "student": student}

    def _judged(self, state: dict[str, Any], generation: int, metrics: dict) -> tuple[dict[str, Any], dict]:
        """The network of this generation kept, and what it earns."""
        layers = state["student"].layers
        benefit = validated(self.problem, self.quickly(self.policy(layers)))
        kept = jax.tree.map(lambda rows, leaf: rows.at[generation].set(leaf), state["kept"], layers)
        state = state | {"kept": kept, "benefit": state["benefit"].at[generation].set(benefit)}
        return state, metrics | {training.WORTH: benefit.mean()}

    def quickly(self, policy: Policy) -> Policy:
        """The policy as rollouts follow it: a network as a table, where there are few states."""
        return classifier.tabulated(policy, self.problem, self.menu, self.highest) if self.quick else policy

    def _initial(self, generation: int) -> networks.Layers:
        sizes = (self._inputs(), *self.method.hidden, self.choices)
        return networks.initial(named(self.key, f"generation {generation}", "initial"), sizes)

    def _inputs(self) -> int:
        return features.stacked(_observed(self.problem, self.window), self.looks, self.scale).shape[0]

    def _held_out(self, generation: int) -> int:
        return max(1, int(self.method.held_out * self.labelled(generation)))

    def _training(self) -> Training:
        return Training(self.method.updates, self.method.batch, self.method.learning_rate)


def _world(problem: Problem, menu: Menu, scale: Array, method: DeepControlledLearning, key: Array) -> World:
    """Where rollouts are, with demand that can be eased and a potential, where the method has them."""
    world = rollouts.world_of(problem, menu, scale)
    if method.shaping is not None:
        potential = shaping.potential_of(problem, myopic(problem, named(key, "target")), method.shaping, 1, named(key, "mean"))
        world = world._replace(potential=potential)
    return curriculum.begun(world, problem, method.curriculum, named(key, "curriculum"))


def _observed(problem: Problem, window: int) -> Observation:
    """What is seen of one path at first."""
    return problem.system.observe(problem.system.initial(jnp.zeros((window, 1, problem.items)), 0, window))


def _validation_paths(problem: Problem) -> int:
    return max(64, VALIDATED // (problem.horizon * problem.items))


def validated(problem: Problem, policy: Policy) -> Array:
    """[path] net benefit over the horizon on paths that nothing is fitted on, the same for every generation."""
    paths = problem.validation_paths(_validation_paths(problem))
    return jnp.asarray(np.asarray(problem.benefit(policy, paths)).sum(1))


def last_unless_worse(benefit: np.ndarray) -> int:
    """The last generation, or an earlier one that surely earns more: by `SURE` standard errors of the difference.

    benefit: [generation, path]. Near the optimum generations differ by less than paths can tell, and the last one has learned
    from the best labels.
    """
    kept = len(benefit) - 1
    for earlier in reversed(range(len(benefit) - 1)):
        more = benefit[earlier] - benefit[kept]
        if more.mean() > SURE * more.std(ddof=1) / np.sqrt(len(more)):
            kept = earlier
    return kept


# ---- the rule that it starts from, and the orders that it chooses from


def start_policy(problem, name, budget, key, mean, spread, log) -> Policy:
    """Base-stock, or base-stock with a cap (Xin 2021), tuned on training paths; of two suppliers the (capped) dual index."""
    fixed, apply, high = {}, capped_order, {"level": highest_level(problem, mean, spread)}
    if name == "capped_base_stock":
        high["cap"] = 2 * mean + 6 * spread + 2
    else:
        fixed["cap"] = jnp.full(1, ALL, jnp.float32)
    if isinstance(problem.system, DualSource):
        lead_time, apply = problem.system.expedite_lead_time, dual_index
        high["expedite"] = 2 * mean * (lead_time + 1) + 6 * spread + 2
        fixed["lead_time"] = jnp.full(1, lead_time, jnp.int32)
    names, most = tuple(high), np.stack(list(high.values()))
    found = search(
        problem, Policy(fixed, apply), names, np.zeros_like(most), most, integers(problem, key, len(names)), budget, key, log
    )  # fmt: skip
    tuned = {name: jnp.asarray(found.point[i], jnp.float32) for i, name in enumerate(names)}
    return Policy(fixed | tuned, apply)


def capped_order(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """min((level - position)+, cap); each [item]."""
    return jnp.clip(params["level"] - observation.position, 0, params["cap"])


def dual_index(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """[2, item] expedites up to a level of what arrives as soon, and orders the rest as `capped_order`."""
    expedited = jnp.maximum(params["expedite"] - expedited_position(observation, params["lead_time"]), 0)
    rest = jnp.clip(params["level"] - observation.position - expedited, 0, params["cap"])
    return jnp.stack([rest, expedited])


def highest_of(problem: Problem, made: Flows, mean: np.ndarray, spread: np.ndarray) -> int:
    """Units of stock, or owed, that are hardly ever exceeded: half as much again as the start comes to, or four deviations.

    Generous, as a table takes what is above for `highest`, and would charge too little for it.
    """
    cover = problem.system.lead_time + 1
    usual = (cover * mean + 4 * np.sqrt(cover) * spread).max()
    return int(np.ceil(max(usual, 1.5 * np.max(made.held), 1.5 * np.max(made.backlog)))) + 1


def menu_of(problem: Problem, made: Flows, key: Array, most: int, mean: np.ndarray, spread: np.ndarray) -> tuple[Menu, bool]:
    """At most `most` orders, and whether they are whole units. made: flows of the start.

    They go up to the largest of: those of the start, mean + 2 deviations of demand (or the most demand), two economic lots.
    """
    orders = [made.ordered] if made.expedited is None else [made.ordered - made.expedited, made.expedited]
    settled = np.stack([np.asarray(one[:, one.shape[1] // 2 :]).max((0, 1)) for one in orders])  # the first order fills it all up
    fixed, holding = (np.asarray(rate, float) for rate in (problem.cost.fixed_order, problem.cost.holding))
    lot = 2 * np.sqrt(2 * fixed * mean / np.maximum(holding, 1e-12))
    usual = np.minimum(mean + 2 * spread, problem.outlook(named(key, "most"))[problem.window :].max((0, 1)))
    largest = np.ceil(np.maximum(np.maximum(settled, usual), np.maximum(lot, 1)))  # [supplier, item]
    limit = getattr(problem.system, "maximum_order", None)
    largest = largest if limit is None else np.minimum(largest, np.asarray(limit))
    in_units = is_whole(problem, key)
    count = np.minimum(int(most ** (1 / len(largest)) + 1e-9), largest.max(-1, keepdims=True) + 1).astype(np.int32)
    unit = largest / (count - 1)
    unit = np.ceil(unit) if in_units else unit
    one = (lambda part: part[0]) if len(largest) == 1 else (lambda part: part)
    return Menu(jnp.asarray(one(unit), jnp.float32), jnp.asarray(one(count))), in_units
