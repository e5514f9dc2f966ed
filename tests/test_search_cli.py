"""`invbench search` and `+tuned=` from outside: what is written, what is refused, what a kill leaves."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from command import Done, invbench

from invbench import jobs

SMALL = ["evaluation.paths=8", "evaluation.horizon=12", "evaluation.validation_paths=8", "tracker=none"]
EOQ = ["search", "+space=eoq", "search.sampler=random", "scenario=stable", *SMALL]


def written(done: Done) -> Path:
    """The folder that a command names in its last line."""
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.rstrip("\n").splitlines()[-1])


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "trials.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A search of twelve trials, run once: the place that it ran in, and its folder."""
    place = tmp_path_factory.mktemp("search")
    return place, written(invbench(place, *EOQ, "search.trials=12", "name=mine"))


def test_a_search_writes_trials_page_best_config_and_its_job(searched):
    place, folder = searched
    table = rows(folder)
    assert len(table) == 12 and {row["state"] for row in table} == {"done"}
    best = max(table, key=lambda row: float(row["validation/benefit"]))
    assert best["best"] == "true" and table[0]["method.periods"] == "28"  # as in the YAML, first
    delta = yaml.safe_load((folder / "best.yaml").read_text())
    assert delta == {"defaults": [{"override /method": "eoq"}], "method": {"periods": int(best["method.periods"])}}
    assert (place / "outputs" / "tuned" / "mine.yaml").read_bytes() == (folder / "best.yaml").read_bytes()
    job = next(folder.glob("trial-*/eoq-stable-*"))
    assert jobs.damage(job) == "" and json.loads((job / "report.json").read_text())["validation"]["value"] == pytest.approx(
        float(best["validation/benefit"])
    )
    page = (folder / "index.html").read_text()
    assert page.count("<svg") >= 2 and "invbench search +space=eoq" in page and str(job.relative_to(folder)) in page


def test_the_same_command_again_does_nothing_and_more_trials_go_on(searched):
    place, folder = searched
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.parent.name != "index"}
    kept = [path for path in before if not path.name.startswith((".lock", "study.db", "search.json"))]
    again = invbench(place, *EOQ, "search.trials=12", "name=mine")
    assert written(again) == folder and "finished: 12 trials, nothing to do" in again.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == {path: before[path] for path in kept}
    first = rows(folder)
    assert written(invbench(place, *EOQ, "search.trials=14", "name=mine")) == folder
    drop = lambda table: [{name: value for name, value in row.items() if name not in ("front", "best")} for row in table]  # noqa: E731
    assert drop(rows(folder))[:12] == drop(first) and len(rows(folder)) == 14


def test_equal_searches_write_equal_tables(searched, tmp_path):
    _, folder = searched
    other = written(invbench(tmp_path, *EOQ, "search.trials=14"))
    assert other.name.startswith("search-eoq-")
    strip = lambda path: (path / "trials.csv").read_bytes()  # noqa: E731
    assert len(rows(folder)) == 14 and strip(other) == strip(folder)


def test_killed_and_started_again_there_are_as_many_trials(tmp_path):
    """kill -9 after a few trials, then once more to the end: the bytes of a search that was not killed."""
    command = [*EOQ, "search.trials=12", "search.sampler=tpe", "search.startup=4", "name=killed"]
    process = subprocess.Popen(
        [sys.executable, "-m", "invbench", *command], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for line in process.stderr:
        if "trial 4 of 12" in line:
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "outputs" / "killed" / "best.yaml").exists()
    folder = written(invbench(tmp_path, *command))
    assert len(rows(folder)) == 12 and {row["state"] for row in rows(folder)} == {"done"}
    assert (folder / "best.yaml").exists() and (tmp_path / "outputs" / "tuned" / "killed.yaml").exists()
    whole = written(invbench(tmp_path, *command[:-1], "name=whole"))
    assert (whole / "trials.csv").read_bytes() == (folder / "trials.csv").read_bytes()


def test_tuned_is_used_by_any_job(searched, tmp_path):
    place, folder = searched
    best = yaml.safe_load((folder / "best.yaml").read_text())["method"]["periods"]
    for arguments in (["+tuned=mine", f"outputs={place / 'outputs'}"], [f"+tuned={folder / 'best.yaml'}"]):
        job = written(invbench(tmp_path, *arguments, "scenario=trend", *SMALL))
        config = yaml.safe_load((job / jobs.CONFIG).read_text())
        assert (config["names"]["method"], config["method"]["periods"]) == ("eoq", best)
        assert config["names"]["scenario"] == "trend"
    changed = written(invbench(tmp_path, f"+tuned={folder / 'best.yaml'}", "method.periods=3", *SMALL))
    assert yaml.safe_load((changed / jobs.CONFIG).read_text())["method"]["periods"] == 3
    swept = invbench(tmp_path, "-m", f"+tuned={folder / 'best.yaml'}", "scenario=stable,trend", *SMALL)
    assert swept.returncode == 0, swept.stderr


def test_another_search_under_the_same_name_is_refused_and_nothing_is_lost(searched):
    place, folder = searched
    before = (folder / "study.db").stat().st_mtime_ns, (folder / "best.yaml").read_bytes()
    others = (["cost.holding=3"], ["search.seed=1"], ["search.objectives=[validation/fill_rate]"])
    for other in others:
        done = invbench(place, *EOQ, "search.trials=12", "name=mine", *other)
        assert done.returncode == 2 and "mine holds another search; give another name=" in done.stderr
        assert "\n+ " in done.stderr and ("holding: 3" in done.stderr) == (other == others[0])
    space = place / "eoq.yaml"
    space.write_text("method: eoq\nparameters: {method.periods: {low: 2, high: 9}}\n")
    assert invbench(place, "search", f"+space={space}", *EOQ[2:], "name=mine").returncode == 2
    assert ((folder / "study.db").stat().st_mtime_ns, (folder / "best.yaml").read_bytes()) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["search"], "usage: invbench search +space=NAME"),
        (["search", "+space=nothing"], "there is no space 'nothing'; there are base_stock, "),
        (["search", "+space=eoq", "search.trails=3"], "trails"),
        (["search", "+space=eoq", "search.trials=0"], "search.trials must be a whole number >= 1, got 0"),
        (["search", "+space=eoq", "search.sampler=best"], "search.sampler must be one of tpe, nsgaii, random, grid, got 'best'"),
        (["search", "+space=eoq", "search.objectives=[evaluation/benefit]"], "search.objectives must be a list of validation/"),
        (["search", "+space=eoq", "search.weights=[1,2]"], "search.weights must be 1 numbers, one for each objective"),
        (["search", "+space=eoq", "method=s_S"], "method must be eoq with +space=eoq, got 's_S'"),
        (["search", "+space=eoq", "method.periods=3"], "space eoq has nothing left to search"),
        (["search", "+space=eoq", "scenario.maen=5"], "maen"),
        (["search", "+space=eoq", "-m"], "-m cannot be given to search"),
        (["search", "+space=eoq", "name=../elsewhere"], "name must stay inside the output folder"),
        (["search", "+space=eoq", "+experiment=speed"], "an experiment that is a study cannot be searched"),
        (["search", "+space=eoq", "+method.deep._target_=os.system"], "must be a class or function of invbench"),
        (["+space=eoq"], "a space is searched by: invbench search +space=NAME"),
        (["+tuned=nothing"], "there is no tuned=nothing; in outputs/tuned there is nothing yet"),
    ],
)
def test_bad_input_gets_one_sentence_and_writes_nothing(tmp_path, arguments, sentence):
    done = invbench(tmp_path, *arguments)
    assert done.returncode == 2 and sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and not (tmp_path / "outputs").exists()


def test_a_tuned_file_that_names_foreign_code_or_another_method_is_refused(tmp_path):
    home = tmp_path / "outputs" / "tuned"
    home.mkdir(parents=True)
    (home / "bad.yaml").write_text("defaults: [{override /method: eoq}]\nmethod: {_target_: pathlib.Path.touch, self: canary}\n")
    (home / "good.yaml").write_text("defaults: [{override /method: eoq}]\nmethod: {periods: 3}\n")
    (home / "odd.yaml").write_text("just text\n")
    foreign = invbench(tmp_path, "+tuned=bad", *SMALL)
    assert foreign.returncode == 2 and "must be a class or function of invbench" in foreign.stderr
    other = invbench(tmp_path, "+tuned=good", "method=s_S", *SMALL)
    assert other.returncode == 2 and "method=s_S cannot be given beside tuned=good, which is of method=eoq" in other.stderr
    assert "is not a file that invbench search wrote" in invbench(tmp_path, "+tuned=odd", *SMALL).stderr
    assert "there is bad, good, odd" in invbench(tmp_path, "+tuned=none", *SMALL).stderr


def test_when_every_trial_fails_the_search_fails_in_a_sentence(tmp_path):
    space = tmp_path / "bad.yaml"
    space.write_text("method: eoq\nparameters: {method.periods: {low: -9, high: -1}}\n")
    command = ["search", f"+space={space}", "search.trials=3", "name=bad", *SMALL]
    for _ in range(2):
        done = invbench(tmp_path, *command)
        assert done.returncode == 1 and "all 3 trials failed" in done.stderr and "method.periods must be" in done.stderr
    assert [row["state"] for row in rows(tmp_path / "outputs" / "bad")] == ["failed"] * 3
    assert not (tmp_path / "outputs" / "tuned").exists()


def test_two_objectives_give_a_front(tmp_path):
    folder = written(
        invbench(
            tmp_path, "search", "+space=safety_stock", "search.objectives=[validation/benefit,validation/fill_rate]",
            "search.trials=8", "search.sampler=random", "search.weights=[0,1]", *SMALL,
        )
    )  # fmt: skip
    table = rows(folder)
    values = [(float(row["validation/benefit"]), float(row["validation/fill_rate"])) for row in table]
    front = {n for n, one in enumerate(values) if not any(b != one and b[0] >= one[0] and b[1] >= one[1] for b in values)}
    assert {n for n, row in enumerate(table) if row["front"] == "true"} == front
    best = next(n for n, row in enumerate(table) if row["best"] == "true")
    assert values[best][1] == max(value for _, value in values)
    assert "Trade-off" in (folder / "index.html").read_text()


def test_the_help_names_the_verb_and_the_spaces(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "invbench", "--help"], cwd=tmp_path, capture_output=True, text=True, env=dict(os.environ)
    )
    assert "invbench search +space=NAME" in done.stdout and "+tuned=NAME" in done.stdout
    assert "hdpo" in next(line for line in done.stdout.splitlines() if line.strip().startswith("space  "))


def test_the_wheel_has_spaces_settings_and_the_search(tmp_path):
    root = Path(__file__).parent.parent
    source = tmp_path / "source"
    source.mkdir()
    for part in ("invbench", "conf", "experiments", "sweeps", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(root / part), f"{source}/"], check=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(tmp_path), str(source)], check=True, capture_output=True)
    names = set(zipfile.ZipFile(next(tmp_path.glob("invbench-*.whl"))).namelist())
    yamls = [path.relative_to(root) for path in (root / "sweeps").rglob("*.yaml")]
    assert len(yamls) > 20 and {f"invbench/{path}" for path in yamls} <= names
    assert "invbench/search/driver.py" in names


def test_the_best_of_each_search_is_compared_and_the_same_command_finds_it_done(tmp_path):
    command = ["+experiment=optimize_for_dynamic", "study.search.trials=2", "study.spaces=[eoq,s_S]", "study.seeds=2", *SMALL]
    command += ["tuning.candidates=8", "tuning.rounds=1", "tuning.paths=8", "name=best"]
    folder = written(invbench(tmp_path, *command))
    with open(folder / "table.csv", newline="") as file:
        table = {row["method"]: row for row in csv.DictReader(file)}
    assert table.keys() == {"eoq", "s_S", "clairvoyant"} and table["s_S"]["baseline"] == "true"
    assert float(table["eoq"]["p_holm"]) <= 1 and table["eoq"]["difference_lower"]
    with open(folder / "searches.csv", newline="") as file:
        assert [row["space"] for row in csv.DictReader(file) if row["trials"] == "2"] == ["eoq", "s_S"]
    assert "search of eoq" in (folder / "index.html").read_text()
    (folder / jobs.DONE).unlink(missing_ok=True)
    again = invbench(tmp_path, *command)
    assert written(again) == folder and again.stderr.count("nothing to do") == 2
