"""A contest of learned methods with the best tuned classical one: who is compared with whom, in which unit, and what goes on."""

import csv
from pathlib import Path

import numpy as np
import pytest

from invbench import configs, run
from invbench.evaluation.compare import Job
from invbench.studies import contest

SMALL = ["evaluation.paths=40", "evaluation.horizon=20", "evaluation.validation_paths=40", "tuning.paths=32"]
SMALL += ["tuning.candidates=8", "tuning.rounds=1", "evaluation.bound=null", "tracker=none"]
LEARNER = ["method=hdpo", "method.updates=20", "method.paths=8", "method.seeds=1", "method.validation_paths=16"]
COSTS = {"implementation": 0.0, "training": 0.0, "inference": 0.0, "maintenance": 0.0}


def job(method, family, benefit, validation, seed=0, demand=100.0, setting="a"):
    """A finished job whose margin of all demand is 10 a unit."""
    report = {
        "family": family, "tuned": family == "traditional", "validation": {"value": validation}, "interval_over": "path",
        "items": 1, "periods": 20, "method_cost": COSTS, "clairvoyant": {"mean": 900.0}, "information": "known",
        "training": None, "paths": {"hash": "x"},
    }  # fmt: skip
    names = {"method": method, "scenario": setting, "system": "", "cost": ""}
    config = {"names": names, "method": {"_target_": method}, "seed": seed, "cost": {"price": 30, "purchase": 20}}
    values = {"benefit": np.asarray(benefit, float), "demand": np.full(len(benefit), demand)}
    return Job(config, "done", "", report, values, {})


def rows_of(*jobs):
    return contest.judged(list(jobs), {"a"}, 20)


def test_the_rival_is_chosen_on_validation_paths_and_the_unit_is_what_it_leaves_of_the_margin():
    """Margin 1,000; the classical rule that validates best earns 600 and leaves 400; 40 more is 10 % of it."""
    noise = np.random.default_rng(0).normal(0, 5, 100)
    flattered = job("worse_on_validation", "traditional", 700 + noise, 10.0)
    rival = job("rule", "traditional", 600 + noise, 20.0)
    (row,) = rows_of(flattered, rival, job("learner", "dl", 640 + noise, 1.0))
    assert row["baseline"] == "rule" and row["challenger"] and row["counted"]
    assert row["baseline_cost"] == pytest.approx(400, rel=0.01) and row["percent"] == pytest.approx(10, rel=0.01)
    assert row["verdict"] == "better" and row["closed"] == pytest.approx(100 * 40 / 300, rel=0.02)


def test_verdicts_are_corrected_over_all_comparisons():
    rng = np.random.default_rng(1)
    base = rng.normal(600, 20, 50)
    rival = [job("rule", "traditional", base, 1.0, setting=name) for name in "abcdef"]
    gain = 2.2 * 6 / np.sqrt(50)  # p is about 0.03 alone, and above 0.05 with five others beside
    noise = rng.normal(0, 6, 50)
    noise = (noise - noise.mean()) / noise.std(ddof=1) * 6
    learned = [job("learner", "dl", base + noise + (gain if name == "a" else 0), 1.0, setting=name) for name in "abcdef"]
    alone = rows_of(rival[0], learned[0])
    together = rows_of(*rival, *learned)
    assert alone[0]["verdict"] == "better" and together[0]["verdict"] == "even"
    assert together[0]["p_holm"] == pytest.approx(6 * alone[0]["p_holm"])


def test_a_worse_learner_is_said_to_be_worse_and_the_sentence_names_the_worst():
    noise = np.random.default_rng(2).normal(0, 5, 100)
    rows = rows_of(job("rule", "traditional", 600 + noise, 1.0), job("learner", "rl", 590 + 0.5 * noise, 1.0))
    assert rows[0]["verdict"] == "worse" and rows[0]["percent"] == pytest.approx(-2.5, abs=0.3)
    text = contest.Contest({"a": []}, {}, {}, 1, 1.5).verdict(rows)
    assert text.startswith("challengers are significantly better on 0 of 1 settings; the worst is a with -2.")


def test_an_override_says_a_value_as_it_is():
    texts = [contest.quoted(value) for value in (0, 1, True, None, 0.5, "a, b", [1, 2])]
    assert texts == ["0", "1", "true", "null", "0.5", "'a, b'", "[1, 2]"]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contest") / "study"
    settings = {"seasonal, free orders": ["scenario=seasonal", "cost.fixed_order=0"]}
    beside = {"history": ["scenario=seasonal", "problem.information=history", "problem.history=60"]}
    methods = {"s_S": ["method=s_S"], "a learner": LEARNER, "broken": ["method=s_S", "method.formula=false", "tuning.paths=1"]}
    study = contest.Contest(settings, beside, methods, seeds=2, tolerated=1.5)
    config = run.resolve(configs.compose(SMALL)[0])
    return study, folder, config, study.run(folder, config)


def test_jobs_are_ordinary_jobs_and_what_fails_is_told(ran):
    _, folder, _, code = ran
    assert code == 1  # one method is broken
    done = sorted(path.parent.name for path in folder.glob("runs/*/done.json"))
    rules, learners = [name for name in done if name.startswith("s_S-")], [name for name in done if "a-learner" in name]
    assert len(rules) == 3 and len(learners) == 4  # a rule once where the process is known, and once a history
    with open(folder / "contest.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["setting"], row["counted"], row["seeds"]) for row in rows] == [
        ("seasonal, free orders", "True", "2"), ("history", "False", "2"),
    ]  # fmt: skip
    assert {row["baseline"] for row in rows} == {"s_S"}
    page = (folder / "index.html").read_text()
    assert 'id="verdict"' in page and "broken" in page and "tuning.paths must be a whole number" in page


def test_the_same_command_runs_nothing_again_and_writes_the_same(ran):
    study, folder, config, _ = ran
    files = ("contest.csv", "table.csv", "table.md", "index.html")
    before = {name: (folder / name).read_bytes() for name in files}
    times = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/done.json")}
    study.run(folder, config)
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/done.json")}
    assert before == {name: (folder / name).read_bytes() for name in files}


def test_settings_must_be_told_apart(tmp_path):
    config = run.resolve(configs.compose(SMALL)[0])
    with pytest.raises(ValueError, match="study.beside must be settings that study.settings does not have, got 'a'"):
        contest.Contest({"a": []}, {"a": []}, {"s_S": ["method=s_S"]}, 1, 1.5).run(Path(tmp_path), config)
