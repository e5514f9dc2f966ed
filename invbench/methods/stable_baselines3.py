"""An agent from outside: stable-baselines3's PPO, trained on the gymnasium adapter, judged like every other policy.

Source: Raffin, Hill, Gleave, Kanervisto, Ernestus and Dormann 2021, "Stable-Baselines3: reliable reinforcement learning
implementations", Journal of Machine Learning Research 22(268). Needs the extra `peers`.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from invbench.checks import number, require, whole
from invbench.env import inventory
from invbench.keys import named
from invbench.learning import features, networks
from invbench.problem import Problem
from invbench.tuning import highest_level, levels
from invbench.types import Array, Observation, Policy

FAST = 20  # times fewer steps in fast mode
FEATURES = ("on_hand", "pipeline", "position")


@dataclass(frozen=True)
class StableBaselines3:
    """PPO with a grid of order quantities; every field is explained in its YAML."""

    steps: int
    choices: int
    hidden: list[int] | tuple[int, ...]
    rollout: int
    episode: int
    discount: float
    trace: float
    learning_rate: float
    entropy: float
    fast_mode: bool
    family: ClassVar[str] = "rl"
    tuned: ClassVar[bool] = False

    @property
    def simulates(self) -> int:
        """Periods that the agent moves through."""
        return -(-self.steps // FAST) if self.fast_mode else self.steps

    def fit(self, problem: Problem, key: Array, log: Callable[[dict, int], None]) -> Policy:
        """Raises ValueError where the package is missing, a field makes no sense, or there are several items."""
        self._check(problem)
        mean, spread = levels(problem, named(key, "levels"))
        mean, cap = np.maximum(mean, 1e-6), np.ceil(highest_level(problem, mean, spread))
        capped = replace(problem, system=replace(problem.system, capacity=float(cap[0])))  # or it drowns in stock at first
        agent = self._trained(capped, mean, int(jax.random.randint(named(key, "seed"), (), 0, 2**31 - 1)), log)
        units = {"scale": mean, "grid": _grid(self, mean), "cap": cap}
        params = {"layers": _layers(agent)} | {name: jnp.asarray(value, jnp.float32) for name, value in units.items()}
        return Policy(params, likeliest)

    def _check(self, problem: Problem) -> None:
        require(find_spec("stable_baselines3") is not None, "method", "installed: pip install 'invbench[peers]'", "no package")
        require(problem.items == 1, "scenario.items", "1 for stable_baselines3", problem.items)
        require(tuple(problem.system.order_shape(1)) == (1,), "system", "one with a single order", problem.system)
        for name in ("steps", "choices", "rollout", "episode"):
            whole(f"method.{name}", getattr(self, name), low=2)
        for width in self.hidden:
            whole("method.hidden", width, low=1)
        for name in ("discount", "trace"):
            number(f"method.{name}", getattr(self, name), low=0, high=1)
        number("method.learning_rate", self.learning_rate, low=0, above=True)
        number("method.entropy", self.entropy, low=0)

    def _trained(self, problem: Problem, mean: np.ndarray, seed: int, log: Callable[[dict, int], None]) -> Any:
        import torch
        from stable_baselines3 import PPO

        torch.set_num_threads(1)  # small networks: more would wait for each other
        agent = PPO(
            "MlpPolicy", _environment(problem, mean, _grid(self, mean), self.episode), n_steps=self.rollout, seed=seed,
            gamma=self.discount, gae_lambda=self.trace, learning_rate=self.learning_rate, ent_coef=self.entropy, device="cpu",
            policy_kwargs={"net_arch": list(self.hidden), "activation_fn": torch.nn.Tanh},
        )  # fmt: skip
        return agent.learn(self.simulates, callback=_watching(log))


def _grid(method: StableBaselines3, mean: np.ndarray) -> np.ndarray:
    """[choice] whole units from 0 to about twice mean demand: an agent begins with orders that are evenly spread."""
    step = max(1, round(2 * float(mean[0]) / (method.choices - 1)))
    return (step * np.arange(method.choices)).astype(np.float32)


def _environment(problem: Problem, mean: np.ndarray, grid: np.ndarray, episode: int) -> Any:
    """The adapter, with observations in periods of mean demand and rewards of about one."""
    from gymnasium.wrappers import TransformObservation, TransformReward

    from invbench.env.adapter import GymnasiumEnv

    game = inventory.from_problem(replace(problem, horizon=episode), order_grid=grid.tolist(), features=FEATURES)
    env = GymnasiumEnv(game)
    rate = float(np.max(problem.cost.holding) + np.max(problem.cost.shortage))
    scaled = TransformObservation(env, lambda seen: seen / np.float32(mean[0]), env.observation_space)
    return TransformReward(scaled, lambda reward: reward / (rate * float(mean[0])))


def _watching(log: Callable[[dict, int], None]) -> Any:
    """A callback that logs the mean reward of every rollout."""
    from stable_baselines3.common.callbacks import BaseCallback

    class Watching(BaseCallback):
        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            log({"train/reward": float(self.locals["rollout_buffer"].rewards.mean())}, self.num_timesteps)

    return Watching()


def _layers(agent: Any) -> networks.Layers:
    """The actor's layers as ours."""
    linear = [part for part in agent.policy.mlp_extractor.policy_net if hasattr(part, "weight")] + [agent.policy.action_net]
    arrays = lambda part: {name: jnp.asarray(leaf.detach().numpy()) for name, leaf in part.named_parameters()}  # noqa: E731
    return tuple({"weights": found["weight"], "bias": found["bias"]} for found in map(arrays, linear))


def likeliest(params: dict[str, Any], observation: Observation, key: Array | None) -> Array:
    """[..., item] the order quantity that the actor thinks best."""
    outputs = networks.apply(params["layers"], features.stacked(observation, FEATURES, params["scale"]), jnp.tanh)
    return jnp.minimum(params["grid"][jnp.argmax(outputs, axis=0)], jnp.maximum(params["cap"] - observation.position, 0))
