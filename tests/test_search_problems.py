"""Searching where the process is not known, and where there are many items."""

import numpy as np
import pytest

from invbench import jobs
from invbench.problem import Problem
from invbench.search import driver, judging, request

SMALL = ["evaluation.paths=8", "evaluation.horizon=12", "evaluation.validation_paths=8", "tracker=none"]
HISTORY = ["problem.information=history", "problem.history=60", "problem.simulators=2"]
HDPO = ["method.updates=20", "method.paths=4", "method.validation_paths=8", "tuning.paths=8", "tuning.candidates=8"]
HDPO += ["tuning.rounds=1", "method.hidden=[4]", "method.unroll=4"]


def searched(folder, *arguments):
    return driver.search(request.parsed([*arguments, *SMALL, f"outputs={folder}"], "invbench search"))


def told(found):
    """The report of the best config's job."""
    return jobs.read_json(found.job / "report.json")


@pytest.mark.parametrize("more", [["scenario.items=3"], [*HISTORY, "scenario.items=3"]], ids=["known", "history"])
def test_a_trial_is_worth_what_the_job_of_its_config_says(tmp_path, more):
    found = searched(tmp_path, "+space=base_stock", "search.trials=3", "name=a", "tuning.paths=64", "tuning.candidates=8", *more)
    report, trials = told(found), found.trials.all()
    assert [one.state for one in trials] == ["done"] * 3
    assert report["information"] == ("history" if HISTORY[0] in more else "known")
    assert report["items"] == 3
    assert found.best.values[0] == pytest.approx(report["validation"]["value"], rel=1e-6)


def test_trials_on_a_history_know_the_history_alone(tmp_path, monkeypatch):
    """What a trial is given holds no true process; the job that judges the best gets it back."""
    seen, values = [], judging.values
    fitting = Problem.validation_paths
    monkeypatch.setattr(Problem, "validation_paths", lambda self, n: seen.append(self) or fitting(self, n))
    within = lambda *given: (values(*given), seen.append("trial"))[0]  # noqa: E731
    monkeypatch.setattr(judging, "values", within)
    found = searched(tmp_path, "+space=eoq", "search.trials=2", "name=blind", *HISTORY)
    trials = [one for one in seen[: len(seen) - seen[::-1].index("trial")] if one != "trial"]
    assert len(trials) == 2 and all(one.judged_on is None and one.history is not None for one in trials)
    assert len(trials[0].history.sales) == 60 and told(found)["information"] == "history"


def test_networks_of_many_items_are_searched_side_by_side_on_a_history(tmp_path):
    """Money is that of all items together."""
    more = ["search.trials=2", "search.batch=2", "search.sampler=random", "scenario.items=3", *HISTORY, *HDPO]
    found = searched(tmp_path, "+space=hdpo_rates", "name=beside", *more)
    values = [one.values[0] for one in found.trials.all()]
    assert len(set(values)) == 2 and np.isfinite(values).all()
    assert max(values) == pytest.approx(told(found)["validation"]["value"], rel=1e-4) and told(found)["items"] == 3
