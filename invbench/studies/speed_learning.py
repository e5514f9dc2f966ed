"""How fast learners learn: environment steps a second of whole trainings, compilation apart, and what the cache saves.

The problem is Zipkin's with Poisson demand, L = 4 and p = 9. A training counts from the call to the policy: drawing demand,
acting, learning and validation. Each is run twice with different keys, and the second one counts, for which all is compiled.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, NamedTuple

import jax
from omegaconf import OmegaConf

from invbench import configs, run
from invbench.keys import root
from invbench.problem import Problem
from invbench.scenarios import poisson
from invbench.studies import zipkin2008

FEATURES = ["on_hand", "position", "pipeline"]
GROUP = [0.004, 0.006, 0.008, 0.01]  # learning rates of four members
TUNING = {"_target_": "invbench.tuning.budget", "paths": 64, "candidates": 16, "rounds": 1}
ROLLED, PERIODS = 65536, 365  # paths and periods of greedy roll-outs
RUNS = "ppo", "sac", "dqn"  # trained alone
TRAINED = ["method=ppo", "method.fast_mode=true", "scenario=poisson", "cost=average_cost", "tracker=none", "evaluation.paths=100"]


class Rate(NamedTuple):
    """One figure: steps or periods a second, or seconds."""

    workload: str
    tool: str
    value: float
    unit: str
    ratio: float


def workloads(peers: bool) -> Iterator[tuple[str, Callable[[], list[Rate]]]]:
    """What is measured, and the function that does it."""
    for name in RUNS:
        yield name, lambda name=name: one_run(name, peers and name == "ppo" and find_spec("stable_baselines3") is not None)
    group = dict(members=len(GROUP), learning_rate=GROUP)
    yield "ppo group", lambda: [_own("train ppo, group of 4 learning rates", "ppo", **group)]
    yield "hdpo", lambda: [hdpo_rate()]
    yield "greedy roll-outs", lambda: [greedy_rate()]
    yield "warm start", warm_start


def problem(horizon: int = 90) -> Problem:
    """L = 4, p = 9."""
    return replace(zipkin2008.posed(poisson.create(mean=5.0, items=1), 4, 1.0, 9.0), horizon=horizon)


def method_of(name: str, **changes: Any) -> Any:
    """A learner as its YAML has it, but for the calendar and `changes`."""
    plain = OmegaConf.to_container(OmegaConf.load(configs.home() / "method" / f"{name}.yaml"), resolve=False)
    known = {"tuning": TUNING, "features": FEATURES, "fast_mode": False}
    return run.build(plain | {field: value for field, value in known.items() if field in plain} | changes)


def trained(method: Any) -> tuple[float, Any]:
    """Seconds of a training for which everything is compiled, and its policy."""
    for number in range(2):
        started = time.perf_counter()
        policy = method.fit(problem(), root(0, "speed", f"training {number}"), _ignore)
        jax.block_until_ready(policy.params)
    return time.perf_counter() - started, policy


def one_run(name: str, beside: bool) -> list[Rate]:
    """A single training; beside: stable-baselines3's on the gymnasium adapter, too."""
    own = _own(f"train {name}, one run", name, members=1)
    if not beside:
        return [own]
    steps = 8192
    rate = steps / trained(method_of("stable_baselines3", steps=steps))[0] / 1e3
    tool = f"stable-baselines3 {version('stable_baselines3')} on the adapter"
    return [own, Rate(own.workload, tool, rate, own.unit, own.value / rate)]


def _own(workload: str, name: str, **changes: Any) -> Rate:
    """Environment steps a second of all members together."""
    method = method_of(name, **changes)
    return Rate(workload, "invbench", method.simulates / trained(method)[0] / 1e3, "k steps/s", 1.0)


def hdpo_rate() -> Rate:
    """Periods a second, forward and backward, of four networks."""
    method = method_of("hdpo", seeds=4)
    return Rate(
        "train hdpo, four networks", "invbench", method.seeds * method.simulates / trained(method)[0] / 1e6, "M periods/s", 1.0
    )


def greedy_rate() -> Rate:
    """Periods a second of a network on stored paths."""
    _, policy = trained(method_of("hdpo", seeds=4, updates=20))
    long = problem(PERIODS)
    paths, spent = long.validation_paths(ROLLED), []
    for _ in range(4):
        started = time.perf_counter()
        jax.block_until_ready(long.benefit(policy, paths))
        spent.append(time.perf_counter() - started)
    return Rate(
        "greedy roll-outs of a network", "invbench", ROLLED * PERIODS / statistics.median(spent[1:]) / 1e6, "M periods/s", 1.0
    )


def warm_start() -> list[Rate]:
    """Seconds of a whole process that trains: nothing compiled before, and all of it. ratio: how many times faster the latter."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "invbench", *TRAINED]
        seconds = [_timed([*command, f"outputs={place}/{name}"], place) for name in ("cold", "warm")]
    return [
        Rate("training process, cold", "invbench", seconds[0], "s", 1.0),
        Rate("training process, warm cache", "invbench", seconds[1], "s", seconds[0] / seconds[1]),
    ]


def _timed(command: list[str], cache: str) -> float:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=kept | {"XDG_CACHE_HOME": cache})
    return time.perf_counter() - started


def _ignore(metrics: dict, step: int) -> None:
    """Nobody watches."""
