"""`invbench +experiment=network_design`: every planner on one network, the front, and what cannot be planned."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import invbench
from planning import generate

from invbench import configs, run
from invbench.planners import checker, checker_location_inventory, checker_periods, checker_stochastic

RUN = "+experiment=network_design", "tracker=none"
SMALL = "network.sites=5", "network.customers=8", "study.planners.stochastic.scenarios.count=5"
OTHERS = {"tactical", "operational"}  # which plan for sites that are open
CHOICES = sorted({path.name[:-5] for path in (configs.home() / "planner").iterdir()} - OTHERS)
CAP = "2 3\n10 100\n10 50\n5 1 9\n5 9 2\n5 8 4\n"  # two sites for 10 units each, three customers of 5


def folder_of(done):
    return Path(done.stdout.rstrip("\n").splitlines()[-1])


def report(done):
    return json.loads((folder_of(done) / "report.json").read_text())["plans"]


def cells(done):
    with open(folder_of(done) / "published.csv", newline="", encoding="utf-8") as file:
        return {(row["instance"], row["quantity"]): row for row in csv.DictReader(file)}


def test_every_planner_plans_one_network_and_the_front_trades_mean_for_tail(tmp_path):
    done = invbench(tmp_path, *RUN, *SMALL)
    assert done.returncode == 0, done.stderr
    plans, found = report(done), cells(done)
    weights = [name for name in plans if name.startswith("CVaR")]
    assert set(plans) - set(weights) == set(CHOICES) and len(weights) == 5
    for name, plan in plans.items():
        assert plan["status"] == "optimal" and plan["bound"] <= plan["objective"] and plan["gap"] <= 1e-6 and plan["open"]
        assert float(found[name, "objective"]["ours"]) == pytest.approx(plan["objective"])
        assert {quantity for row, quantity in found if row == name} >= {"bound", "gap %", "nodes", "seconds", "sites"}
    assert plans["stochastic"]["evpi"] >= -1e-6 and plans["stochastic"]["vss"] >= -1e-6
    assert plans["stochastic"]["objective"] == pytest.approx(plans["CVaR weight 0"]["objective"])
    means, tails = np.transpose([(plans[name]["mean"], plans[name]["cvar"]) for name in weights])
    assert (np.diff(means[:-1]) >= -1e-6).all() and (np.diff(tails) <= 1e-6).all()
    assert plans["location_inventory"]["objective"] > plans["strategic"]["objective"]
    page = (folder_of(done) / "index.html").read_text()
    assert page.count("<svg") == 1 and "CVaR of cost" in page and "stochastic" in (folder_of(done) / "table.md").read_text()


def test_a_plan_that_cannot_be_made_fails_in_its_row_and_the_others_are_made(tmp_path):
    """Three customers of 5 units at two sites of 10: 15 units fit, 1.5 times as many do not, and three cannot be two whole."""
    (tmp_path / "one.txt").write_text(CAP)
    given = "network=orlib", f"network.path={tmp_path / 'one.txt'}", "~network.sites", "~network.customers"
    done = invbench(tmp_path, *RUN, *given, "study.planners.periods.demand=[1,1.5]", "study.weights=[]")
    assert done.returncode == 1, done.stderr
    plans, found = report(done), cells(done)
    assert plans["periods"]["error"] == "no plan of one is feasible: the capacity of all sites is 20, demand in period 2 is 22.5"
    assert found["periods", "objective"]["ours"] == "nan" and "22.5" in found["periods", "objective"]["note"]
    assert plans["strategic"]["objective"] == pytest.approx(157)
    assert "<svg" not in (folder_of(done) / "index.html").read_text()


STOCHASTIC = "study.planners.stochastic"


@pytest.mark.parametrize(
    "given, sentence",
    [
        ((f"{STOCHASTIC}.penalty=-1",), "planner.penalty must be a number >= 0, got -1"),
        ((f"{STOCHASTIC}.risk.kind=var",), "planner.risk.kind must be one of neutral, cvar, got 'var'"),
        (("study.planners.periods.levels.capacity=[1,0.5]",), "planner.levels.capacity must be rising .*"),
        (("study.planners.location_inventory.stock.holding=-1",), "planner.stock.holding must be a number >= 0, got -1"),
        (("study.weights=[0,2]",), "study.weights must be a number >= 0 and <= 1, got 2"),
        (("study.weights=[1,1]",), r"study.weights must be different numbers, got \[1, 1\]"),
        (
            (
                f"~{STOCHASTIC}.scenarios",
                f"+{STOCHASTIC}.scenarios={{_target_:invbench.planners.outlook.given,shares:[1,2],probability:[0.5,0.4]}}",
            ),
            r"planner.scenarios.probability must be numbers that sum to 1, got \[0.5, 0.4\]",
        ),
        (
            ("~study.planners.strategic", f"~{STOCHASTIC}", "~study.planners.periods", "network.tightness=0.5"),
            "no plan of generated_5x8_0 is feasible: the capacity of all sites is .*, demand is .*",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_sentence(given, sentence, tmp_path):
    done = invbench(tmp_path, *RUN, *SMALL, *given)
    assert done.returncode != 0 and re.fullmatch(f"invbench: {sentence}\n", done.stderr), done.stderr


CHECKS = {
    "strategic": checker.check,
    "stochastic": lambda plan, network, made: checker_stochastic.check(plan, network, made, made.scenarios.of(network)),
    "periods": checker_periods.check,
    "location_inventory": checker_location_inventory.check,
}


@pytest.mark.parametrize("name", CHOICES)
def test_every_choice_of_the_group_plans_a_network(name):
    network = generate(5, 10, 2, tightness=4)
    made = run.build(fields_of(name))
    plan = made.plan(network)
    assert CHECKS[name](plan, network, made) == []


def fields_of(name):
    """A choice of conf/planner, as the config has it where the seed is 0."""
    text = (configs.home() / "planner" / f"{name}.yaml").read_text()
    return yaml.safe_load(text.replace("${seed}", "0"))
