"""The environment for agents that speak gymnasium."""

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnax.environments import spaces

from invbench.checks import require
from invbench.env.inventory import EnvParams, Inventory


class GymnasiumEnv(gymnasium.Env):
    """An `Inventory` for agents that speak gymnasium: numpy in and out, and no reset of its own.

    In the last period `step` returns truncated and the final observation; then the caller resets. `reset(seed=...)` starts the
    stream of episodes anew, `reset()` goes on with it. Information: "flows" and "money", each a dict of arrays [item].
    """

    metadata = {"render_modes": []}

    def __init__(self, game: Inventory, params: EnvParams | None = None):
        self._game, self._params, self._state = game, params or game.default_params, None
        self.action_space = spaces.gymnax_space_to_gym_space(game.action_space(self._params))
        self.observation_space = spaces.gymnax_space_to_gym_space(game.observation_space(self._params))

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """The first observation of the next episode; there are no options."""
        super().reset(seed=seed)
        require(not options, "options", "left out", options)
        self._key = jax.random.key(int(self.np_random.integers(2**31)))
        observation, self._state = self._game.reset(self._key, self._params)
        return np.array(observation), {}

    def step(self, action: np.ndarray | int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One period. Raises ResetNeeded between episodes, and ValueError where the action is not finite."""
        if self._state is None:
            raise gymnasium.error.ResetNeeded("No episode is under way: call reset before step.")
        require(bool(np.isfinite(action).all()), "action", "finite", action)
        moved = self._game.step(self._key, self._state, action, self._params)
        reward, terminated, truncated, information = jax.device_get(moved[2:])
        self._state = None if truncated else moved[1]  # of the episode that gymnax has begun, nothing is used
        happened = {part: _given(information[part]) for part in ("flows", "money")}
        return np.array(information["final_observation"]), float(reward), bool(terminated), bool(truncated), happened


def _given(record: Any) -> dict[str, np.ndarray]:
    return {name: value for name, value in record._asdict().items() if value is not None}
