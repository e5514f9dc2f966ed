"""Fits of later jobs of a sweep, in a thread beside its jobs: for learners in fast mode, most of whose time is compilation.

XLA compiles on one core and leaves Python alone meanwhile, so that the other can compose, judge and draw. A fit depends on nothing
but its config: whether it was made ahead or in its turn, the job's files are the same bytes.
"""

import time
from threading import Condition, Thread
from typing import Any, NamedTuple

import jax
from omegaconf import DictConfig, OmegaConf

from invbench import jobs
from invbench.types import Policy

PARTS = "scenario", "system", "cost", "problem", "evaluation", "network", "seed", "method"  # of a config: what a fit depends on
FARTHEST = 48  # fits that wait for their jobs, at most


class Fitted(NamedTuple):
    """What a method has learned, and what it said meanwhile."""

    policy: Policy
    said: tuple[tuple[dict[str, float], int], ...]  # (metrics, step)
    seconds: float  # it took, beside other work


class Ahead:
    """Configs are offered in the order of their jobs, and fitted in that order, a few jobs ahead; each fit is taken once."""

    def __init__(self) -> None:
        self._changed, self._open = Condition(), True
        self._waiting: dict[str, dict[str, Any]] = {}
        self._now: str | None = None
        self._found: dict[str, Fitted | Exception] = {}
        self._thread = Thread(target=self._work, name="ahead", daemon=True)
        self._thread.start()

    def offer(self, config: DictConfig) -> None:
        """A config as Hydra composed it for a job to come; one that is not for fitting ahead is left alone."""
        if config.get("study") is not None or "policy" in config or not _quick(config):
            return
        chosen = config.hydra.runtime.choices.method
        plain = {part: _resolved(config, part) for part in PARTS} | {"names": {"method": chosen}}
        with self._changed:
            self._waiting[_key(plain)] = plain
            self._changed.notify_all()

    def take(self, plain: dict[str, Any]) -> Fitted | None:
        """The fit of a job's config, waited for where it has begun; None where it has not. Raises what the fit raised."""
        key = _key(plain)
        with self._changed:
            if self._waiting.pop(key, None) is not None:
                return None
            self._changed.wait_for(lambda: self._now != key)
            found = self._found.pop(key, None)
            self._changed.notify_all()
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """No more fits: returns when the one under way has ended."""
        with self._changed:
            self._open = False
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: not self._open or (self._waiting and len(self._found) < FARTHEST))
                if not self._open:
                    return
                self._now = next(iter(self._waiting))
                plain = self._waiting.pop(self._now)
            found = _fitted(plain)
            with self._changed:
                self._found[self._now], self._now = found, None
                self._changed.notify_all()


def _quick(config: DictConfig) -> bool:
    """Whether the method of a config is a learner in fast mode."""
    return config.method.get("fast_mode") is True


def _resolved(config: DictConfig, part: str) -> Any:
    value = config.get(part)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _key(plain: dict[str, Any]) -> str:
    return jobs.digest({part: plain.get(part) for part in PARTS} | {"name": plain["names"]["method"]})


def _fitted(plain: dict[str, Any]) -> Fitted | Exception:
    """The fit, or what it raised."""
    from invbench import run

    said: list[tuple[dict[str, float], int]] = []
    started = time.perf_counter()
    try:
        run.check_targets(plain)
        policy, _, _ = run.fit(
            run.build(plain["method"]), run.setting(plain), run.key_of(plain), lambda metrics, step: said.append((metrics, step))
        )
        jax.block_until_ready(policy.params)
    except Exception as error:  # the job says it, in its turn
        return error
    return Fitted(policy, tuple(said), time.perf_counter() - started)
