"""Trackers watch and never touch: one that fails is left out with one warning, and nothing else changes."""

import json
import logging

import pytest

from invbench.tracker import Careful, Files, Tracker, files, none, wandb

METHODS = ["start", "log", "summary", "table", "picture", "finish"]


def drive(tracker, folder):
    """All that a job does with its tracker."""
    tracker.start(folder, "sweep", "s_S", {"seed": 0})
    tracker.log({"tuning/benefit": 1.5}, 0)
    tracker.summary({"net_benefit": 2.0})
    tracker.table("figures", ["figure", "value"], [["net_benefit", 2.0], ["cvar", None]])
    tracker.picture("trajectory", "<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    tracker.finish(0)


@pytest.mark.parametrize("broken", METHODS)
def test_one_that_fails_is_left_out_with_one_warning(broken, tmp_path, caplog):
    called = []

    class Broken(Tracker):
        pass

    def method(name):
        def call(self, *arguments):
            called.append(name)
            if name == broken:
                raise RuntimeError("no luck")

        return call

    for name in METHODS:
        setattr(Broken, name, method(name))
    with caplog.at_level(logging.WARNING, "invbench"):
        drive(Careful(Broken()), tmp_path / "job")
    assert called == METHODS[: METHODS.index(broken) + 1]
    assert [record.getMessage() for record in caplog.records] == ["the tracker failed and is left out from here on: no luck"]


def test_files_hold_a_line_for_each_event(tmp_path):
    drive(files(), tmp_path / "job")
    lines = [json.loads(line) for line in (tmp_path / "logs" / "job.jsonl").read_text().splitlines()]
    assert lines == [{"step": 0, "tuning/benefit": 1.5}, {"summary": {"net_benefit": 2.0}}, {"exit_code": 0}]


def test_wandb_offline_writes_one_run_a_job(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    for job in ("first", "second"):  # the second must not go on with the first one's run
        drive(wandb(project="invbench", mode="offline"), tmp_path / job)
    assert len(list((tmp_path / "logs" / "wandb").glob("offline-run-*/run-*.wandb"))) == 2


def test_none_writes_nothing(tmp_path):
    drive(none(), tmp_path / "job")
    assert not list(tmp_path.iterdir())


def test_only_pictures_that_are_wanted_are_drawn():
    trackers = none(), Files(), wandb(project="x", mode="disabled")
    assert [Careful(tracker).pictures for tracker in trackers] == [False, False, True]


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match="tracker.mode must be one of offline, online, disabled, got 'loud'"):
        wandb(project="x", mode="loud")


def test_packages_are_listed_once_in_a_process():
    from types import SimpleNamespace

    from invbench.tracker import _list_packages_once

    asked = []
    fake = SimpleNamespace(util=SimpleNamespace(working_set=lambda: (asked.append(1), iter(["numpy", "jax"]))[1]))
    for _ in range(3):
        _list_packages_once(fake)
        assert list(fake.util.working_set()) == ["numpy", "jax"]
    assert len(asked) == 1
    _list_packages_once(SimpleNamespace(util=SimpleNamespace()))  # one that has no such list is left as it is
