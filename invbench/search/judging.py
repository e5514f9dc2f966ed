"""What a trial is worth: its method fitted, and judged on validation paths. Evaluation paths are out of reach here."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np

from invbench import run
from invbench.checks import require
from invbench.evaluation import report
from invbench.tracker import Log, Tracker
from invbench.types import Policy

HIGHER = "benefit net_benefit risk_adjusted cvar fill_rate ready_rate cycle_service no_stockout target_met turnover".split()
LOWER = "std average_cost holding shortage ordering purchase orders".split()
PREFIX = "validation/"
DIRECTIONS = {PREFIX + name: direction for names, direction in ((HIGHER, "maximize"), (LOWER, "minimize")) for name in names}
FIGURES = {"benefit": "operating_benefit"}  # an objective's name where that of the report is another
Config = dict[str, Any]


def fitted(plain: Config, place: Path) -> Policy:
    """The policy of a job's method, with the key that the job would have. place: where a training keeps its states."""
    log = Log(Tracker(), place)
    policy = _method(plain).fit(run.posed(plain)[0], run.key_of(plain), log)
    log.forget()
    return policy


def _method(plain: Config) -> Any:
    method = run.build(plain["method"])
    require(not getattr(method, "knows_paths", False), "method", "one that does not know the paths", plain["names"]["method"])
    return method


def values(plain: Config, policy: Policy, objectives: Sequence[str]) -> list[float]:
    """What a policy is worth on validation paths. Raises ValueError where a figure is no number."""
    (made, economics), own = run.posed(plain), plain["evaluation"]
    judged = report.evaluate(made, policy, made.validation_paths(own["validation_paths"]), run.key_of(plain))
    lost = int((~np.isfinite(judged.benefit)).sum())
    require(lost == 0, "what a policy orders", "numbers", f"a net benefit that is none on {lost} of {judged.benefit.size} paths")
    costs = economics.of(run.build(plain["method"]).family)
    figures = report.figures(judged, costs, own["risk_aversion"], own["target_fill_rate"])
    return [_value(objective, figures) for objective in objectives]


def _value(objective: str, figures: dict[str, Any]) -> float:
    name = objective.removeprefix(PREFIX)
    figure = figures[FIGURES.get(name, name)]
    value = figure.get("mean", figure.get("value"))
    known = isinstance(value, int | float) and math.isfinite(value)
    require(known, objective, "a number on the validation paths", figure.get("withheld", value))
    return float(value)


# trials that differ in rates alone, side by side


def rates(plain: Config) -> tuple[str, ...]:
    """Fields of the method that members of one training may have of their own; () where it has none, or no `fit_seeds`."""
    method = _method(plain)
    return tuple(getattr(method, "rates", ())) if hasattr(method, "fit_seeds") else ()


def alike(configs: Sequence[Config]) -> list[list[int]]:
    """Places of configs that one training can take together: equal but for their method's rates, each a number."""
    groups: dict[str, list[int]] = {}
    for place, plain in enumerate(configs):
        try:
            own = rates(plain)
        except Exception:  # it will fail by itself
            own = ()
        single = bool(own) and all(isinstance(plain["method"].get(name), int | float) for name in own)
        rest = plain | {"method": {name: value for name, value in plain["method"].items() if name not in own}}
        groups.setdefault(json.dumps([rest, "" if single else place], sort_keys=True), []).append(place)
    return list(groups.values())


def side_by_side(configs: Sequence[Config], place: Path) -> list[Policy]:
    """A policy for each config, trained in one program: with the keys, and the choice among seeds, that each alone would have."""
    made, own = run.posed(configs[0])[0], rates(configs[0])
    seeds = int(configs[0]["method"].get("seeds", 1))
    method = _method(configs[0])
    lists = {name: [float(plain["method"][name]) for plain in configs for _ in range(seeds)] for name in own}
    keys = jax.random.split(run.key_of(configs[0]), seeds)
    log = Log(Tracker(), place)
    again = jax.numpy.tile(keys, len(configs))
    policies = replace(method, **lists).fit_seeds(made, again, log)
    log.forget()
    paths = made.validation_paths(int(configs[0]["method"]["validation_paths"]))
    worth = lambda policy: float(np.asarray(made.benefit(policy, paths), np.float64).sum(1).mean())  # noqa: E731
    parts = [policies[first : first + seeds] for first in range(0, len(policies), seeds)]
    return [max(part, key=worth) if seeds > 1 else part[0] for part in parts]


def outcome(work: Callable[[], Any]) -> tuple[Any, str]:
    """What work returns and "", or None and the sentence of what went wrong: a trial that fails is part of a search."""
    try:
        return work(), ""
    except Exception as error:
        return None, run.sentence(error)
