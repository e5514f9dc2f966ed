"""Fits made ahead of their jobs: the same policies, taken once, with their errors in their turn."""

import threading
import time

import jax
import numpy as np
import pytest
from command import invbench
from omegaconf import OmegaConf

from invbench import ahead, configs, jobs, run
from invbench.ahead import Ahead

QUICK = ["method=hdpo", "method.updates=40", "fast_mode=true", "evaluation.paths=20", "evaluation.validation_paths=20"]
QUICK += ["evaluation.horizon=20", "tracker=none"]


@pytest.fixture
def open_ahead():
    found = Ahead()
    yield found
    found.close()


def composed(*overrides):
    """The config of a job as Hydra composes it for a sweep, and its plain data."""
    config, choices = configs.compose([*QUICK, *overrides])
    plain = OmegaConf.to_container(config)
    return OmegaConf.create({**plain, "hydra": {"runtime": {"choices": {"method": choices["method"]}}}}), plain


def until(true):
    for _ in range(6000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("waited for a minute")


def test_a_fit_made_ahead_is_that_of_the_job(open_ahead):
    config, plain = composed()
    open_ahead.offer(config)
    until(lambda: not open_ahead._waiting)
    made, said = open_ahead.take(plain), []
    method, setting = run.build(plain["method"]), run.setting(plain)
    policy, _, _ = run.fit(method, setting, run.key_of(plain), lambda metrics, step: said.append((metrics, step)))
    assert jax.tree.all(jax.tree.map(np.array_equal, made.policy.params, policy.params))
    assert list(made.said) == said and len(said) > 1
    assert open_ahead.take(plain) is None  # once


def test_what_has_not_begun_is_left_to_the_job(open_ahead, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(ahead, "_fitted", lambda plain: gate.wait(60) and ahead.Fitted(plain["seed"], (), 0.0))
    (first, one), (second, two) = composed("seed=1"), composed("seed=2")
    open_ahead.offer(first)
    until(lambda: open_ahead._now is not None)
    open_ahead.offer(second)
    assert open_ahead.take(two) is None
    threading.Timer(0.2, gate.set).start()
    assert open_ahead.take(one).policy == 1  # waited for
    assert open_ahead.take(two) is None  # and the other was not made after all
    assert not open_ahead._waiting and not open_ahead._found


@pytest.mark.parametrize("what", ["a whole budget", "a saved policy", "a rule"])
def test_other_jobs_are_left_alone(open_ahead, what):
    config, _ = composed()
    if what == "a whole budget":
        config.method.fast_mode = False
    elif what == "a saved policy":
        config.policy = "saved"
    else:
        del config.method["fast_mode"]  # as a rule has none
    open_ahead.offer(config)
    assert not open_ahead._waiting and open_ahead._now is None


def test_an_error_is_the_jobs(open_ahead):
    config, plain = composed("method.learning_rate=-1")
    open_ahead.offer(config)
    until(lambda: not open_ahead._waiting)
    with pytest.raises(ValueError, match="method.learning_rate"):
        open_ahead.take(plain)


def test_a_sweep_has_the_same_bytes_as_its_jobs_alone(tmp_path):
    swept = invbench(tmp_path, "-m", *QUICK, "scenario=stable,poisson", "name=swept")
    assert swept.returncode == 0, swept.stderr
    for scenario in ("stable", "poisson"):
        alone = invbench(tmp_path, *QUICK, f"scenario={scenario}", f"name=alone_{scenario}")
        assert alone.returncode == 0, alone.stderr
        beside = next((tmp_path / "outputs" / "swept").glob(f"hdpo-{scenario}-*"))
        single = next((tmp_path / "outputs" / f"alone_{scenario}").glob(f"hdpo-{scenario}-*"))
        found = (jobs.hashes(one).items() for one in (beside, single))
        left, right = ({k: v for k, v in one if k not in ("timing.json", "config.yaml")} for one in found)
        assert left == right and "policy.safetensors" in left and "curve.json" in left


def test_a_job_of_a_sweep_whose_fit_fails_says_why(tmp_path):
    done = invbench(tmp_path, "-m", *QUICK, "scenario=stable", "method.learning_rate=0.001,-1")
    assert done.returncode == 1 and "method.learning_rate" in done.stderr
    assert any((tmp_path / "outputs").rglob("failed.json")) and any((tmp_path / "outputs").rglob("done.json"))


def test_a_thread_shows_no_bar(capsys):
    from invbench.progress import told

    def work():
        with told("beside") as tell:
            tell("nothing")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert capsys.readouterr().err == ""
