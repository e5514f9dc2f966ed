"""The study of one network for all weights: its figures by hand, and the whole of it with tiny budgets."""

import csv

import numpy as np
import pytest

from invbench import run
from invbench.studies import front
from invbench.studies.all_tables import compose

FAST = [
    "~study.learners.ppo", "study.seeds=2", "study.weights=[0.5,1,4]", "evaluation.paths=16", "evaluation.horizon=24",
    "tuning.paths=32", "tuning.rounds=1", "tuning.candidates=16", "study.learners.hdpo.updates=20", "study.learners.hdpo.paths=4",
    "study.learners.hdpo.validation_paths=8", "study.learners.hdpo.hidden=[8]",
]  # fmt: skip


def composed(folder, *overrides):
    folder.mkdir(parents=True, exist_ok=True)
    return compose("front", [*FAST, *overrides], folder)


def test_points_by_hand():
    """A unit costs 20: at weight 4 each of the 2 and 5 that are missed costs 60 more."""
    point = front.Point(np.array([[100.0, 90.0]]), np.array([[2.0, 5.0]]), np.array([[40.0, 30.0]]))
    assert point.weighted(60).tolist() == [[-20, -210]] and point.weighted(0) is not point.benefit
    assert point.fill == pytest.approx(1 - 7 / 70)


def test_one_network_is_beside_those_of_one_weight_and_the_rule():
    """Twice as many are missed by one network, which costs it 20 x (weight - 1) more for each."""
    random = np.random.default_rng(0)
    benefit = random.normal(1000, 1, (3, 40))
    ours = front.Point(benefit, np.full((3, 40), 2.0), np.full((3, 40), 50.0))
    each, rule = ours._replace(missed=np.full((3, 40), 1.0)), ours._replace(benefit=benefit[:1] - 100)
    study = front.Front(seeds=3, weights=[1, 2], tuning=None, learners={"hdpo": None}, method=None)
    points = {"hdpo": {front.ONE: [ours, ours], front.EACH: [each, each]}, front.RULE: [rule, rule]}
    cells = {cell.place: cell for cell in study._cells(points, 20.0)}
    assert cells["weight 1", "hdpo: beside a network for each weight, %"].ours == pytest.approx(0)
    assert cells["weight 2", "hdpo: beside a network for each weight, %"].ours == pytest.approx(-100 * 20 / 980, rel=0.01)
    assert cells["weight 1", "hdpo: beside a rule tuned for each weight, %"].ours == pytest.approx(100 / 9, rel=0.01)
    assert cells["weight 2", "hdpo: fill rate, %"].ours == pytest.approx(96)


def test_the_whole_study_with_tiny_budgets(tmp_path):
    plain = composed(tmp_path / "study")
    assert run.build(plain["study"]).run(tmp_path / "study", plain) == 0
    with open(tmp_path / "study" / "published.csv") as file:
        rows = list(csv.DictReader(file))
    assert {row["instance"] for row in rows} == {"weight 0.5", "weight 1", "weight 4"}
    fills = [float(row["ours"]) for row in rows if row["quantity"] == "rule: fill rate, %"]
    assert fills == sorted(fills) and 50 < fills[0] < fills[-1] < 100
    page = (tmp_path / "study" / "index.html").read_text()
    assert page.count("<svg") == 1 and "fill rate" in page


@pytest.mark.parametrize(
    "given, said",
    [
        ("study.weights=[1]", "^study.weights must be a list of two numbers or more, got"),
        ("study.weights=[1,-1]", "^study.weights\\[1\\] must be a number > 0, got -1"),
        ("study.seeds=1", "^study.seeds must be a whole number >= 2, got 1"),
    ],
)
def test_fields_that_make_no_sense_are_named(tmp_path, given, said):
    plain = composed(tmp_path / "study", given)
    with pytest.raises(ValueError, match=said):
        run.build(plain["study"]).cells(plain)
