"""One network for every setting of a stocking point: trained across costs, lead times and demands, and used without training.

Sources: Alvo, Russo, Kanoria and Jin 2023, "Neural inventory control in networks via hindsight differentiable policy
optimization" (arXiv 2306.11246); Madeka et al. 2022, "Deep inventory management" (arXiv 2210.03137).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

from invbench.checks import number, require, whole
from invbench.dynamics.single import Single
from invbench.formulas import critical_fractile, quantile
from invbench.jobs import Refused
from invbench.keys import named
from invbench.learning import across, checkpoint
from invbench.learning.across import Plan
from invbench.learning.conditioned import Conditioned, order_by_forecast, order_by_profile, sizes
from invbench.learning.networks import Layers
from invbench.learning.unrolls import CHUNKS
from invbench.problem import Problem
from invbench.tuning import is_whole
from invbench.types import Array, Policy

FAST = 10  # times fewer updates in fast mode


@dataclass(frozen=True)
class Generalist(Plan):
    """A network trained on settings drawn from `ranges`, told what the problem at hand is; every field is explained in its YAML.

    It was trained for lost sales without a fixed cost of an order; where there is one, the economic order quantity is added.
    """

    policy: str | None  # a file
    forecast: Any  # a forecaster, or None
    weight: float
    seeds: int
    fast_mode: bool
    family: ClassVar[str] = "dl"
    tuned: ClassVar[bool] = False

    @property
    def simulates(self) -> int:
        """Periods that each network of a training moves through, forward and backward; none where there is a network already."""
        plan = self.plan()
        return (
            0
            if self.policy is not None
            else len(plan.ranges.spans) * plan.lanes * (plan.unroll + plan.tail) * CHUNKS * plan.chunk
        )

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where a field or the system makes no sense, and `Diverged`."""
        plan = self.plan()
        self.check(problem, plan)
        layers = self.trained(key, log) if self.policy is None else restored(self.policy, plan)
        return self.told(problem, layers, key, log)

    def plan(self) -> Plan:
        """What training is told, checked."""
        for name in ("lanes", "unroll", "updates", "checkpoints", "validation_periods", "seeds"):
            whole(f"method.{name}", getattr(self, name), low=1)
        whole("method.tail", self.tail)
        require(self.checkpoints <= CHUNKS, "method.checkpoints", f"<= {CHUNKS}", self.checkpoints)
        for name in ("restart", "threshold"):
            number(f"method.{name}", getattr(self, name), low=0, high=1)
        for name in ("learning_rate", "clip", "weight"):
            number(f"method.{name}", getattr(self, name), low=0, above=True)
        require(isinstance(self.hidden, list | tuple), "method.hidden", "a list of widths", self.hidden)
        given = {field.name: getattr(self, field.name) for field in fields(Plan)}
        given["hidden"] = tuple(whole("method.hidden", width, low=1) for width in self.hidden)
        given["updates"] = -(-self.updates // FAST) if self.fast_mode else self.updates
        return Plan(**given)

    def check(self, problem: Problem, plan: Plan) -> None:
        """Raises ValueError where the problem is none that the network was trained for."""
        system = problem.system
        require(isinstance(system, Single), "system", "lost_sales for generalist", type(system).__name__)
        require(not system.backlog, "system.backlog", "false for generalist (base_stock is the best where sales wait)", True)
        low, high = plan.ranges.lead_times
        within = f"within method.ranges.lead_times ({low} to {high})"
        require(low <= system.lead_time <= high, "system.lead_time", within, system.lead_time)

    def trained(self, key: Array, log: Callable[[dict, int], None]) -> Layers:
        """The best network of `seeds`: of validation settings, whatever the problem."""
        networks, worth = across.train(jax.random.split(key, self.seeds), self.plan(), log)
        return networks[int(np.argmax(worth))]

    def told(self, problem: Problem, layers: Layers, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """The policy of a network on a problem: what it is told is read off the problem, and nothing is trained."""
        shape = np.broadcast_shapes((problem.items,), np.shape(problem.cost.holding), np.shape(problem.cost.shortage))
        fractile = np.broadcast_to(critical_fractile(problem.cost, backlog=False), shape)
        fractile = quantile(self.weight * fractile, 1 - fractile)  # as if a unit short cost `weight` times as much
        holding = np.maximum(np.asarray(problem.cost.holding, float), 1e-9)
        fixed = np.broadcast_to(np.asarray(problem.cost.fixed_order, float) / holding, shape)
        demand = expected(problem, key)
        if self.forecast is not None:
            found = self.forecast.fit(problem, named(key, "forecast"))
            log(found.accuracy, 0)
            demand = found.params
        known = {"z": special.ndtri(fractile), "fixed": fixed, "threshold": np.full(1, self.threshold)}
        known = {name: jnp.asarray(part, jnp.float32) for name, part in known.items()}
        counted = jnp.full(shape, is_whole(problem, named(key, "whole")))
        params = Conditioned(
            layers, whole=counted, demand=demand, lead_time=problem.system.lead_time, longest=self.ranges.lead_times[1], **known
        )
        if self.forecast is None:
            return Policy(params, order_by_profile)
        return Policy(params, order_by_forecast, window=problem.window)


def expected(problem: Problem, key: Array) -> dict[str, Array]:
    """Mean demand [period, item] of a period in the lead time that begins then, and its CV [1, item] were periods independent.

    From the outlook. How the mean moves is shrunk to nothing where it could be chance (James and Stein 1961).
    """
    cover = problem.system.lead_time + 1
    demand = problem.outlook(named(key, "expected"))[problem.window :].astype(np.float64)
    total = np.cumsum(np.concatenate([np.zeros_like(demand[:1]), demand]), axis=0)
    ahead = (total[cover:] - total[:-cover])[: problem.horizon]  # [period, n, item] demand of lead time + 1 periods
    mean, spread = ahead.mean(1), ahead.std(1)
    overall = mean.mean(0)
    moves = np.maximum((mean**2).mean(0) - overall**2, 1e-12)
    chance = (spread**2).mean(0) / ahead.shape[1]
    mean = overall + (mean - overall) * np.maximum(1 - 2 * chance / moves, 0)
    mean = np.maximum(mean, 0.02 * overall + 1e-9)
    cv = np.sqrt((spread**2 / mean**2).mean(0) * cover)
    found = {"mean": mean / cover, "cv": cv[None]}
    return {name: jnp.asarray(part, jnp.float32) for name, part in found.items()} | {
        "start": jnp.asarray([problem.start], jnp.int32)
    }


def restored(path: str, plan: Plan) -> Layers:
    """The network of a policy that was saved. Raises Refused where it is none of a generalist with these widths."""
    params = checkpoint.load_policy(Path(path)).policy.params
    if not isinstance(params, Conditioned) or params.longest != plan.longest:
        raise Refused(f"method.policy must be one of a generalist for lead times up to {plan.longest}, got {path}")
    wanted, found = sizes(plan.longest, plan.hidden), [layer["weights"].shape[1] for layer in params.layers]
    if list(wanted[:-1]) != found:
        raise Refused(f"method.hidden must be {found[1:]} for {path}, got {list(plan.hidden)}")
    return params.layers


def with_weight(method: Generalist, weight: float) -> Generalist:
    """The same with another weight of shortage against holding: another point of the front, from the same network."""
    return replace(method, weight=weight)
