"""Histories that say little: too short, all constant, or without any demand are refused; beside other series they are not."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import invbench

SMALL = ["evaluation.paths=8", "evaluation.horizon=12", "evaluation.validation_paths=8", "tracker=none"]
SMALL += ["tuning.paths=8", "tuning.candidates=8", "tuning.rounds=1"]
LEARNED = ["hdpo", "ppo", "sac", "dqn", "lstm", "transformer", "lstm_money", "learned_s_S", "online", "ensemble", "generalist"]
BUDGETS = {
    "hdpo": ["method.updates=20", "method.paths=8", "method.seeds=1", "method.validation_paths=16"],
    "lstm": ["method.width=8", "method.paths=16", "method.updates=40", "method.batch=32"],
}
FEATURES = "method.features=[on_hand,pipeline,history,calendar]"
SERIES = {"constant": [6], "nothing": [0], "one": [1], "weekly": [2, 2, 3, 3, 4, 6, 8]}


def csv(folder: Path, **series: list[int]) -> str:
    """Seventy-two days of the same sales again and again, as an override of the scenario."""
    days = np.datetime64("2024-01-01") + np.arange(72)
    rows = [[str(units[place % len(units)]) for units in series.values()] for place in range(len(days))]
    rows = ["date," + ",".join(series), *(f"{day}," + ",".join(row) for day, row in zip(days, rows))]
    path = folder / "sales.csv"
    path.write_text("\n".join(rows) + "\n")
    return f"scenario.path={path}"


@pytest.mark.parametrize("method", BUDGETS)
def test_constant_series_and_one_without_demand_are_ordered_sensibly(tmp_path, method):
    """In twelve days some 132 are asked for; no more than a few times that is bought, and money is finite."""
    more = [FEATURES] if method == "hdpo" else []
    data = csv(tmp_path, **SERIES)
    done = invbench(tmp_path, f"method={method}", "scenario=history", data, *BUDGETS[method], *more, *SMALL)
    assert done.returncode == 0, done.stderr
    report = json.loads((Path(done.stdout.rstrip().splitlines()[-1]) / "report.json").read_text())
    assert np.isfinite(report["operating_benefit"]["mean"]) and report["items"] == 4
    bought = report["purchase"]["mean"] / 10  # money a unit
    assert 0 < bought < 4 * 132


@pytest.mark.parametrize("method", LEARNED)
def test_a_history_without_any_demand_is_refused_in_a_sentence(tmp_path, method):
    done = invbench(tmp_path, f"method={method}", "scenario=history", csv(tmp_path, nothing=[0]), *SMALL)
    assert done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1
    assert "the observed history must be demand in at least one period" in done.stderr


@pytest.mark.parametrize("method", LEARNED)
def test_a_history_that_is_constant_is_refused_in_a_sentence(tmp_path, method):
    done = invbench(tmp_path, f"method={method}", "scenario=history", csv(tmp_path, one=[7], other=[3]), *SMALL)
    assert done.returncode != 0 and len(done.stderr.strip().splitlines()) == 1
    assert "the observed history must be sales that vary, got '7, 3 in each of 60 periods'" in done.stderr


@pytest.mark.parametrize("method", LEARNED)
def test_a_history_shorter_than_the_window_is_refused_in_a_sentence(tmp_path, method):
    """The window is 28 periods."""
    more = [FEATURES] if method == "hdpo" else []
    for periods, sentence in (
        (5, "problem.history must be a whole number >= 14, got 5"),
        (20, "problem.window must be <= the 20"),
    ):
        given = ["problem.information=history", f"problem.history={periods}", *more]
        done = invbench(tmp_path, f"method={method}", *given, *SMALL)
        assert done.returncode != 0 and sentence in done.stderr and len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("method", ["lstm", "transformer", "lstm_money", "transformer_money"])
def test_a_history_that_no_window_can_be_cut_from_is_refused_in_a_sentence(tmp_path, method):
    """Window 28, lead time 2 and the period itself: 31 periods."""
    done = invbench(tmp_path, f"method={method}", "problem.information=history", "problem.history=30", *SMALL)
    assert done.returncode != 0 and "problem.history must be >= problem.window + system.lead_time + 1 (31), got 30" in done.stderr
