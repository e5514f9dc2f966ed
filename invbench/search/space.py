"""What a search may change: parameters of a job's config, each with its range or its choices."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from invbench import configs
from invbench.checks import require
from invbench.jobs import Refused

FIELDS = {"low", "high", "log", "step", "choices", "when"}


@dataclass(frozen=True)
class Parameter:
    """One field or group of the config. A range is of whole numbers where both of its ends are."""

    name: str  # as in an override: method.learning_rate, or a group such as forecast
    low: float | None = None
    high: float | None = None
    log: bool = False  # even on a logarithmic scale
    step: float | None = None
    choices: tuple[str, ...] = ()  # as texts of overrides
    when: tuple[str, str] | None = None  # another parameter and its choice: without it this one is left alone

    @property
    def is_whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int) and isinstance(self.step, int | None)

    @property
    def is_number(self) -> bool:
        return not self.choices

    @property
    def distribution(self) -> Any:
        """The same as optuna has it."""
        if self.choices:
            return CategoricalDistribution(self.choices)
        if self.is_whole:
            return IntDistribution(self.low, self.high, log=self.log, step=self.step or 1)
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def points(self, count: int) -> list[Any]:
        """Values for a grid: every choice, every step, else at most `count` over the range."""
        if self.choices:
            return list(self.choices)
        if self.step:
            steps = math.floor((self.high - self.low) / self.step + 1e-9)
            found = [self.low + place * self.step for place in range(steps + 1)]
        else:
            spaced = np.geomspace if self.log else np.linspace
            found = spaced(self.low, self.high, count).clip(self.low, self.high).tolist()
        return sorted({round(value) for value in found}) if self.is_whole else [float(f"{value:.12g}") for value in found]

    def allows(self, value: Any) -> bool:
        """Whether a value of the config is one that the search could give."""
        if self.choices:
            return text(value) in self.choices
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not self.low <= value <= self.high or (self.is_whole and value != int(value)):
            return False
        steps = (value - self.low) / self.step if self.step else 0
        return abs(steps - round(steps)) < 1e-9


@dataclass(frozen=True)
class Space:
    """The parameters of one method."""

    name: str
    method: str
    overrides: tuple[str, ...]  # that come before what the command line says
    parameters: tuple[Parameter, ...]
    settings: dict[str, Any]  # fields of `search` that differ from the usual ones

    def without(self, names: Sequence[str]) -> "Space":
        """The space without what the command line fixes."""
        left = tuple(one for one in self.parameters if one.name not in names)
        if not left:
            raise Refused(f"space {self.name} has nothing left to search: every parameter is given")
        return Space(self.name, self.method, self.overrides, left, self.settings)

    def overridden(self, values: dict[str, Any]) -> list[str]:
        """The overrides of a job for values of the parameters; those that do not apply are left out."""
        applies = lambda one: one.when is None or values.get(one.when[0]) == one.when[1]  # noqa: E731
        chosen = [one for one in self.parameters if applies(one) and one.name in values]
        return [f"{one.name}={text(values[one.name])}" for one in sorted(chosen, key=lambda one: "." in one.name)]

    def grid(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Every combination of the parameters' points, in an order of the seed, so that the first ones are spread out."""
        names = [one.name for one in self.parameters]
        cells = [dict(zip(names, values)) for values in product(*(one.points(count) for one in self.parameters))]
        return [cells[place] for place in np.random.default_rng(seed).permutation(len(cells))]


def text(value: Any) -> str:
    """A value as the command line has it."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))


def load(name: str) -> Space:
    """The space NAME, or the one in a file. Raises Refused where there is none, or it cannot be read as one."""
    path = Path(name) if name.endswith(".yaml") else configs.spaces() / f"{name}.yaml"
    if not path.is_file():
        raise Refused(f"there is no space {name!r}; there are {', '.join(configs.groups()['space'])}, or give a file NAME.yaml")
    try:
        given = OmegaConf.to_container(OmegaConf.load(path))
        return _checked(path.stem, given)
    except Refused:
        raise
    except Exception as error:
        raise Refused(f"space {path.name}: {' '.join(str(error).split())}") from error


def _checked(name: str, given: Any) -> Space:
    needed, known = {"method", "parameters"}, {"method", "parameters", "overrides", "search"}
    fields = given.keys() if isinstance(given, dict) else set()
    require(needed <= fields <= known, "a space", f"a mapping with {', '.join(sorted(known))}", sorted(fields))
    require(isinstance(given["parameters"], dict) and given["parameters"], "parameters", "a mapping", given["parameters"])
    found = tuple(_parameter(*one) for one in given["parameters"].items())
    switches = {one.name for one in found if one.choices}
    for one in found:
        require(one.when is None or one.when[0] in switches, f"{one.name}.when", "about a parameter with choices", one.when)
    return Space(name, given["method"], tuple(given.get("overrides") or ()), found, given.get("search") or {})


def _parameter(name: str, given: dict[str, Any]) -> Parameter:
    """Checked: a range {low, high, log, step} or {choices}, and {when}."""
    require(isinstance(given, dict) and given.keys() <= FIELDS, name, f"a mapping with {', '.join(sorted(FIELDS))}", given)
    when = given.get("when")
    when = None if when is None else next((name, text(value)) for name, value in when.items())
    if "choices" in given:
        require(not given.keys() - {"choices", "when"} and len(given["choices"]) > 0, name, "choices without a range", given)
        return Parameter(name, choices=tuple(text(value) for value in given["choices"]), when=when)
    low, high, log, step = given.get("low"), given.get("high"), given.get("log", False), given.get("step")
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    require(numbers and low < high, name, "a range with low < high", given)
    require(isinstance(log, bool) and not (log and (low <= 0 or step)), name, "a range above 0 without a step where log", given)
    require(step is None or step > 0, f"{name}.step", "> 0", step)
    return Parameter(name, low, high, log, step, when=when)
