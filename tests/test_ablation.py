"""The study of switches: effects against the plain learner by hand, and the whole of it with tiny budgets."""

import csv

import numpy as np
import pytest

from invbench import run
from invbench.evaluation.statistics import mean
from invbench.learning import features
from invbench.studies import ablation
from invbench.studies.all_tables import compose

FAST = [
    "~study.learners.ppo", "study.seeds=2", "evaluation.paths=16", "evaluation.horizon=24", "tuning.paths=32", "tuning.rounds=1",
    "tuning.candidates=16", "study.longer=2", "study.learners.hdpo.updates=20", "study.learners.hdpo.paths=4",
    "study.learners.hdpo.validation_paths=8", "~study.learners.sac",
    "~study.around.imitation", "~study.around.residual", "~study.around.cvar", "~study.around.worst_case",
    "~study.around.weights", "study.around.service.target=0.1", "study.around.service.share=0.5", "study.around.service.paths=64",
    *(f"~study.changes.{name}" for name in ("calendar", "history", "averages", "momentum", "days_of_supply")),
    *(f"~study.changes.{name}" for name in ("stockouts", "all_features", "shaping", "discounted")),
    *(f"~study.changes.{name}" for name in ("average_reward", "continuous", "attention", "discount")),
]  # fmt: skip


def composed(folder, *overrides):
    folder.mkdir(parents=True, exist_ok=True)
    return compose("ablation", [*FAST, *overrides], folder)


def test_effects_are_paired_with_the_plain_learner():
    draws = np.random.default_rng(0)
    plain, rule = draws.normal(100, 20, (3, 50)), draws.normal(90, 20, (1, 50))
    more, same = (plain + draws.normal(effect, 0.1, (3, 50)) for effect in (2, 0))
    fill = np.where(np.arange(50) < 40, 0.95, 0.94) * np.ones((3, 1))
    named = {"plain": (plain, fill), "more": (more, 0 * fill + 1), "same": (same, fill)}
    done = {name: ablation.Outcome(*parts, seconds=1.0) for name, parts in named.items()}
    cells = {cell.place: cell for cell in ablation._of_learner("ppo", done, rule)}
    assert cells["plain", "ppo, net benefit"].ours == pytest.approx(plain.mean())
    assert cells["more", "ppo, effect"].ours == pytest.approx(2, abs=0.05)
    assert cells["more", "ppo, effect"].lower > 1.8  # though net benefit itself has a deviation of 20
    assert cells["more", "ppo, %"].ours == pytest.approx(100 * cells["more", "ppo, effect"].ours / plain.mean())
    assert cells["tuned rule", "ppo, effect"].upper == pytest.approx(mean(rule - plain).upper)
    held = [cells[name, "ppo, % of paths at 95 % fill rate"] for name in ("plain", "more")]
    assert [one.ours for one in held] == [80, 100] and held[0].lower == pytest.approx(66.96, abs=0.01)  # Wilson, 40 of 50
    assert cells["more", "ppo, p"].ours < 0.01 < cells["same", "ppo, p"].ours


def test_one_change_at_a_time_and_only_of_fields_that_a_learner_has(tmp_path):
    study = run.build(compose("ablation", [], tmp_path)["study"])
    ppo, hdpo = (study.variants(study.learners[name]) for name in ("ppo", "hdpo"))
    assert ppo.keys() - hdpo.keys() == {"discounted", "average_reward", "continuous"}
    assert hdpo.keys() - ppo.keys() == {"discount"} and hdpo["shaping"].shaping == 0.3 and hdpo["attention"].attention == 2
    assert ppo["longer training"].updates == 3 * ppo["plain"].updates and ppo["shaping"].shaping == 0.3
    assert ppo["bounds"].learner is ppo["plain"] and ppo["imitation"].learner is ppo["plain"]
    assert ppo["weights"].learner is ppo["plain"] and ppo["service"].inner.learner is ppo["plain"]
    assert study.variants(study.learners["sac"])["longer training"].rollouts == 480
    assert "continuous" not in study.variants(study.learners["sac"]) and ppo["cvar"].inner is ppo["plain"]
    assert not ppo["discounted"].average and ppo["discounted"].features == ppo["plain"].features


def test_learners_are_left_out_unless_there_are_no_others(tmp_path):
    chosen = lambda *given: list(run.build(compose("ablation", list(given), tmp_path)["study"]).chosen())  # noqa: E731
    assert chosen() == ["ppo", "sac"] and chosen("study.left_out=[ppo,sac]") == ["hdpo"]
    assert chosen("~study.learners.ppo", "~study.learners.sac") == ["hdpo"] and len(chosen("study.left_out=[]")) == 3
    assert chosen("~study.learners.hdpo") == ["ppo", "sac"]


def test_what_is_put_upon_a_learner_takes_what_it_has_learned(tmp_path):
    study = run.build(compose("ablation", [], tmp_path)["study"])
    learned = ablation.Learned(policy=None)
    ensemble = ablation._around(study.upon["ensemble"], learned)
    assert ensemble.members.keys() == {"forecast_base_stock", "s_S", "learner"} and ensemble.members["learner"] is learned
    assert ablation._around(study.upon["online"], learned).learner is learned


def test_the_whole_study_with_tiny_budgets(tmp_path):
    plain = composed(tmp_path / "study")
    plain["names"]["experiment"] = "ablation_holidays"  # which is the same study, with a config of its own
    assert run.build(plain["study"]).run(tmp_path / "study", plain) == 0
    with open(tmp_path / "study" / "published.csv") as file:
        rows = list(csv.DictReader(file))
    effects = {row["instance"]: row for row in rows if row["quantity"] == "hdpo, effect"}
    names = {"tuned rule", "curriculum", "longer training", "bounds", "service", "ensemble", "online"}
    assert effects.keys() == names
    assert all(float(row["lower"]) < float(row["ours"]) < float(row["upper"]) for row in effects.values())
    page = (tmp_path / "study" / "index.html").read_text()
    assert page.count("<svg") == 1 and "effect on net benefit" in page and "invbench +experiment=ablation_holidays" in page
    timing = (tmp_path / "study" / "timing.csv").read_text().splitlines()
    assert timing[0] == "learner,change,seeds,seconds" and len(timing) == 2 + len(names)


def test_a_change_of_a_field_that_no_learner_has_is_refused(tmp_path):
    plain = composed(tmp_path / "study", "+study.changes.typo={featurs: [on_hand]}")
    with pytest.raises(ValueError, match="^study.changes must be of fields that a learner has, got 'featurs'$"):
        run.build(plain["study"]).cells(plain)


def test_what_a_calendar_is_worth_is_asked_where_demand_follows_one(tmp_path):
    config = compose("ablation_holidays", [], tmp_path)
    study, days = run.build(config["study"]), config["scenario"]["days"]
    assert study.chosen().keys() == {"ppo", "sac", "hdpo"} and len(days) == 17
    for learner in study.learners.values():
        found = study.variants(learner)
        assert found.keys() == {"plain", *study.changes, "longer training"} and len(study.changes) == 4
        told = features.checked("method.features", found["calendar_and_holidays"].features)
        assert f"holidays:{','.join(map(str, days))}" in told and "calendar" in told
        assert not any("calendar" in found[name].features for name in ("plain", "holidays"))
