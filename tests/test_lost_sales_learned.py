"""The study of learned policies: exact gaps by seed, curves on its page, and trainings that are not done twice."""

import csv

import pytest

from invbench import run
from invbench.studies.all_tables import compose
from invbench.studies.learned import Trainings

OTHERS = "hdpo_wide", "deep_controlled_learning", "ppo", "sac", "dqn", "stable_baselines3"
FAST = [
    "study.lead_times=[2]", "study.shortages=[9]", "study.rules=[Myopic-2]", "study.long_lead_times=[]", "study.seeds.hdpo=2",
    "~study.only.stable_baselines3", "~study.only.hdpo_wide", "study.long_learners=[hdpo]",
    *(f"~study.{part}.{name}" for part in ("learners", "seeds") for name in OTHERS),
    "study.learners.hdpo.fast_mode=true", "study.learners.hdpo.updates=1000", "study.learners.hdpo.validation_paths=16",
]  # fmt: skip


def composed(folder, *overrides):
    folder.mkdir(parents=True, exist_ok=True)
    return compose("lost_sales_learned", [*FAST, *overrides], folder)


def test_the_table_has_gaps_of_every_seed_and_the_page_a_curve(tmp_path):
    plain = composed(tmp_path / "study")
    assert run.build(plain["study"]).run(tmp_path / "study", plain) == 0
    with open(tmp_path / "study" / "published.csv") as file:
        found = list(csv.DictReader(file))
    rows = {row["quantity"]: row for row in found if row["instance"] == "L = 2, p = 9"}
    average = {row["quantity"]: float(row["ours"]) for row in found if row["instance"] == "average of the settings"}
    assert float(rows["Optimal"]["lower"]) <= float(rows["Optimal"]["ours"]) <= float(rows["Optimal"]["upper"])
    # Zipkin 2008, Table 3: the optimum 6.09, myopic-2 6.10 (L = 2, p = 9)
    assert abs(float(rows["Optimal"]["ours"]) - 6.09) <= 0.005 and 0 < float(rows["Myopic-2"]["ours"]) < 0.3
    name = "hdpo (fast mode)"
    gap, worst = float(rows[name]["ours"]), float(rows[f"{name}, worst seed"]["ours"])
    assert 0 <= gap <= worst < 2 and float(rows[name]["lower"]) < gap < float(rows[name]["upper"])
    assert average[name] == pytest.approx(gap) and average[f"{name}, worst seed"] == pytest.approx(worst)
    # 100 updates of 64 paths, 24 + 8 periods each
    assert rows[name]["note"].endswith("hdpo: one setting for all rows, 0.205 M periods simulated in a training")
    page = (tmp_path / "study" / "index.html").read_text()
    assert page.count("<svg") == 1 and "L = 2, p = 9: benefit on validation paths" in page and "fast mode" in page
    assert not (tmp_path / "training").exists()  # what was kept on the way is gone


def test_a_finished_training_is_not_done_again(tmp_path):
    def once(log):
        log({"validation/benefit": 1.5}, 3)
        return [1.0, 2.0]

    def never(log):
        raise AssertionError("trained twice")

    first = Trainings(tmp_path).of("learner", "L = 2, p = 4", {"a": 1}, once)
    again = Trainings(tmp_path).of("learner", "L = 2, p = 4", {"a": 1}, never)
    assert again == first and first.curve == [{"step": 3, "validation/benefit": 1.5}]
    with pytest.raises(AssertionError, match="trained twice"):
        Trainings(tmp_path).of("learner", "L = 2, p = 4", {"a": 2}, never)
    assert Trainings(None).of("learner", "x", {}, lambda log: [float(log.place is None)]).values == [1.0]


@pytest.mark.parametrize(
    "override, sentence",
    [
        ("~study.seeds.hdpo", "study.seeds must be given for the learners in study.learners, and for no other, got 'hdpo'"),
        ("study.seeds={hdpo:0}", "study.seeds.hdpo must be a whole number >= 1, got 0"),
        ("study.rules=[Mine]", "study.rules must be one of"),
        ("study.long_learners=[none]", "study.long_learners must be one of hdpo, got 'none'"),
        ("study.shortages=[]", "study must be given lead times and shortages"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, override, sentence):
    plain = composed(tmp_path / "study", override)
    with pytest.raises(ValueError, match=sentence):
        run.build(plain["study"]).run(tmp_path / "study", plain)
