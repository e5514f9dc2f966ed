"""The command from outside: jobs, sweeps that survive, refusals, the wheel."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from command import Done, invbench

SMALL = ["evaluation.paths=20", "evaluation.horizon=20", "evaluation.validation_paths=20", "tuning.paths=16"]
SMALL += ["tuning.candidates=16", "tuning.rounds=1", "tracker=none"]
SWEEP = ["-m", "method=s_S,eoq,clairvoyant", "scenario=stable,seasonal", *SMALL]


def own_process(folder: Path, *arguments: str, environment: dict | None = None) -> subprocess.CompletedProcess:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "invbench", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env={**os.environ, **(environment or {})}, timeout=300
    )


def written(done: Done | subprocess.CompletedProcess) -> Path:
    """The folder that a command names in its last line."""
    assert done.returncode in (0, 1), done.stderr
    return Path(done.stdout.rstrip("\n").splitlines()[-1])


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A small sweep, run once: the place it ran in, and its folder."""
    place = tmp_path_factory.mktemp("sweep")
    done = own_process(place, *SWEEP)
    assert done.returncode == 0, done.stderr
    return place, written(done)


def test_help_names_groups_choices_and_commands(tmp_path):
    done = own_process(tmp_path, "--help")
    assert done.returncode == 0
    for group, choice in (
        ("method", "s_S"),
        ("scenario", "seasonal"),
        ("cost", "retail_daily"),
        ("experiment", "reference"),
        ("sweep", "methods"),
    ):
        line = next(line for line in done.stdout.splitlines() if line.strip().startswith(f"{group}  "))
        assert choice in line
    assert done.stdout.count("  invbench ") >= 3


def test_a_job_writes_its_folder_last_and_a_report_with_stable_keys(tmp_path):
    done = invbench(tmp_path, *SMALL, "seed=3")
    folder = written(done)
    assert folder.parent.parent == tmp_path / "outputs"
    report = json.loads((folder / "report.json").read_text())
    assert (report["method"], report["scenario"], report["seed"]) == ("s_S", "seasonal", 3)
    assert report["paths"]["number"] == 20 and len(report["paths"]["hash"]) == 16
    for name in ("net_benefit", "operating_benefit", "average_cost", "fill_rate"):
        assert set(report[name]) == {"mean", "lower", "upper"}
        assert report[name]["lower"] <= report[name]["mean"] <= report[name]["upper"]
    assert "withheld" in report["cvar"]
    values = np.load(folder / "values.npz")
    assert values["benefit"].shape == (20,)
    assert report["operating_benefit"]["mean"] == pytest.approx(values["benefit"].mean())


def test_done_jobs_are_not_run_again(swept):
    place, folder = swept
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")}
    again = invbench(place, *SWEEP)
    assert written(again) == folder and again.returncode == 0
    assert {path: path.stat().st_mtime_ns for path in folder.glob("*/report.json")} == before and len(before) == 6


def test_the_table_has_a_row_for_each_job_and_no_seconds(swept):
    _, folder = swept
    table = rows(folder)
    assert {(row["scenario"], row["method"]) for row in table} == {
        (s, m) for s in ("stable", "seasonal") for m in ("s_S", "eoq", "clairvoyant")
    }
    assert all(row["status"] == "done" for row in table)
    assert not [name for name in table[0] if "second" in name or "time" in name]
    assert {row["method"] for row in table if row["baseline"] == "true"} == {"s_S"}
    assert (folder / "timing.csv").exists() and (folder / "index.html").exists() and (folder / "table.md").exists()


def test_a_failed_job_is_shown_and_the_others_go_on(tmp_path):
    done = invbench(tmp_path, "-m", "method=eoq", "system.lead_time=0,-1,1", *SMALL)
    assert done.returncode == 1
    table = rows(written(done))
    assert sorted(row["status"] for row in table) == ["done", "done", "failed"]
    assert "system.lead_time must be a whole number >= 0, got -1" in next(
        row["error"] for row in table if row["status"] == "failed"
    )
    assert "failed: eoq on seasonal" in done.stderr


def test_killed_at_any_point_the_same_command_gives_the_same_table(swept, tmp_path):
    """kill -9 several times, at different moments, then once more to the end: the bytes of the uninterrupted sweep."""
    _, folder = swept
    for wait in (4.0, 6.5):
        process = subprocess.Popen(
            [sys.executable, "-m", "invbench", *SWEEP], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
    done = own_process(tmp_path, *SWEEP)
    assert done.returncode == 0, done.stderr
    assert (written(done) / "table.csv").read_bytes() == (folder / "table.csv").read_bytes()
    assert (written(done) / "table.md").read_bytes() == (folder / "table.md").read_bytes()


def test_two_processes_on_one_sweep_take_turns(swept, tmp_path):
    _, folder = swept
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "invbench", *SWEEP], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("waiting for another process" in error for _, error in ends) == 1
    table = tmp_path / "outputs" / folder.name / "table.csv"
    assert table.read_bytes() == (folder / "table.csv").read_bytes()


def test_trackers_do_not_change_results(swept, tmp_path, monkeypatch):
    _, folder = swept
    monkeypatch.setenv("WANDB_MODE", "offline")
    tables = []
    for tracker in ("files", "wandb"):
        arguments = [argument for argument in SWEEP if not argument.startswith("tracker=")]
        done = invbench(tmp_path, *arguments, f"tracker={tracker}", f"outputs={tracker}")
        assert done.returncode == 0, done.stderr
        tables.append((written(done) / "table.csv").read_bytes())
        logs = written(done) / "logs"
        assert len(list(logs.glob("*.jsonl"))) == 6 if tracker == "files" else list(logs.glob("wandb/offline-run-*"))
    assert tables == [(folder / "table.csv").read_bytes()] * 2


def test_a_changed_config_under_one_name_is_refused_with_a_diff(tmp_path):
    assert invbench(tmp_path, *SMALL, "name=mine").returncode == 0
    again = invbench(tmp_path, *SMALL, "name=mine", "cost.holding=3")
    assert again.returncode == 2
    assert "-  holding: 2" in again.stderr and "+  holding: 3" in again.stderr
    swept = invbench(tmp_path, "-m", "method=eoq,newsvendor", *SMALL, "name=both")
    assert swept.returncode == 0, swept.stderr
    other = invbench(tmp_path, "-m", "method=eoq,newsvendor", *SMALL, "name=both", "cost.holding=3")
    assert other.returncode == 2 and "cost.holding=3" in other.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["name=../elsewhere"],
        ["name=/elsewhere"],
        ["-m", "method=eoq", "name=../elsewhere"],
        ["hydra.run.dir=../elsewhere"],
        ["-m", "method=eoq", "hydra.sweep.dir=../elsewhere"],
        ["-m", "method=eoq", "hydra.sweep.subdir=../elsewhere"],
    ],
)
def test_no_override_leads_outside_the_output_folder(tmp_path, arguments):
    home = tmp_path / "home"
    home.mkdir()
    done = invbench(home, *SMALL, *arguments)
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


@pytest.mark.parametrize(
    "override",
    [
        "method._target_=os.system",
        "+scenario.extra._target_=pathlib.Path.touch",
        "+method.deep.deeper._target_=subprocess.run",
        "method._target_=invbench.jobs.os.system",
        "method._target_=invbench.run.hydra.utils.get_object",
        "+hydra.callbacks.canary._target_=os.system",
        "study={_target_:pathlib.Path.touch,self:canary}",
        "evaluation.bound._target_=pathlib.Path",
    ],
)
def test_foreign_targets_are_refused(tmp_path, override):
    done = invbench(tmp_path, *SMALL, override)
    assert done.returncode != 0
    assert "must be a class or function of invbench" in done.stderr
    assert not list(tmp_path.rglob("canary"))


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("cost.holding=-1", "cost.holding must be a number >= 0, got -1"),
        ("cost.salvage=11", "cost.salvage must be <= cost.purchase (10)"),
        ("system.lead_time=1.5", "system.lead_time must be a whole number >= 0, got 1.5"),
        ("evaluation.paths=1", "evaluation.paths must be a whole number >= 2, got 1"),
        ("evaluation.horizon=0", "evaluation.horizon must be a whole number >= 1, got 0"),
        ("problem.information=guess", "problem.information must be one of auto, known, history, got 'guess'"),
        ("scenario.mean=abc", "scenario.mean must be a number > 0, got 'abc'"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path, override, sentence):
    done = invbench(tmp_path, *SMALL, override)
    assert done.returncode != 0 and sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_typo_is_an_error_at_composition(tmp_path):
    done = invbench(tmp_path, *SMALL, "scenario.maen=5")
    assert done.returncode != 0 and "maen" in done.stderr and not (tmp_path / "outputs").exists()


def test_verify_and_rerun(swept):
    _, folder = swept
    assert invbench(folder, "verify", ".").returncode == 0
    job = next(folder.glob("s_S-stable-*"))
    again = invbench(folder, "rerun", str(job))
    assert again.returncode == 0 and "the same bytes again" in again.stdout, again.stderr


def test_verify_finds_a_changed_result(swept, tmp_path):
    done = invbench(tmp_path, *SMALL)
    folder = written(done)
    report = json.loads((folder / "report.json").read_text())
    (folder / "report.json").write_text(json.dumps({**report, "net_benefit": {"value": 1e9}}))
    checked = invbench(tmp_path, "verify", str(folder))
    assert checked.returncode == 1 and "changed or missing: report.json" in checked.stdout


def test_what_the_command_line_sweeps_replaces_what_the_sweep_file_says(tmp_path):
    done = invbench(tmp_path, "-m", "+sweep=methods", "scenario=poisson", "method=eoq,newsvendor", *SMALL)
    assert done.returncode == 0, done.stderr
    assert [(row["scenario"], row["method"]) for row in rows(written(done))] == [("poisson", "eoq"), ("poisson", "newsvendor")]


def test_the_wheel_runs_outside_the_checkout(tmp_path):
    root = Path(__file__).parent.parent
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    copy = tmp_path / "source"
    subprocess.run(["git", "clone", "--quiet", str(root), str(copy)], check=True) if (root / ".git").exists() else None
    for changed in ("invbench", "conf", "experiments", "sweeps", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        subprocess.run(["cp", "-r", str(root / changed), f"{copy}/"], check=True)
    subprocess.run(
        [*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), str(copy)],
        check=True,
        capture_output=True,
    )
    wheel = next(tmp_path.glob("invbench-*.whl"))
    subprocess.run(
        [*pip, "install", "--no-deps", "--target", str(tmp_path / "site"), str(wheel)], check=True, capture_output=True
    )
    away = tmp_path / "away"
    away.mkdir()
    environment = {"PYTHONPATH": str(tmp_path / "site")}
    where = subprocess.run(
        [sys.executable, "-c", "import invbench; print(invbench.__file__)"],
        cwd=away,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert str(tmp_path / "site") in where.stdout
    assert "reference" in own_process(away, "--help", environment=environment).stdout
    done = own_process(away, *SMALL, environment=environment)
    assert done.returncode == 0, done.stderr
    swept = own_process(away, "-m", "+sweep=methods", "method=eoq", "scenario=stable", *SMALL, environment=environment)
    assert swept.returncode == 0, swept.stderr
    assert yaml.safe_load(next(written(swept).glob("eoq-*/config.yaml")).read_text())["names"]["scenario"] == "stable"


def test_judging_on_a_shifted_scenario_changes_the_paths_and_not_the_fit(tmp_path):
    found = [
        json.loads((written(invbench(tmp_path, *SMALL, *shift)) / "report.json").read_text())
        for shift in ([], ["evaluation.shift={mean:60}"])
    ]
    assert found[0]["parameters"] == found[1]["parameters"]
    assert found[0]["paths"]["hash"] != found[1]["paths"]["hash"]
    assert found[1]["shortage"]["lower"] > found[0]["shortage"]["upper"]  # the fit did not see the higher demand coming


def test_the_clairvoyant_attains_its_bound_with_order_constraints_left_out(tmp_path):
    done = invbench(tmp_path, *SMALL, "method=clairvoyant", "system.batch=24")
    report = json.loads((written(done) / "report.json").read_text())
    assert report["clairvoyant"]["exact"] is False and report["label"] == "order constraints left out"
    assert report["operating_benefit"]["mean"] == pytest.approx(report["clairvoyant"]["mean"], rel=1e-5)


def test_a_launcher_that_runs_jobs_in_other_processes(swept, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher is not installed (extra joblib)")
    _, folder = swept
    done = own_process(tmp_path, *SWEEP, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert (written(done) / "table.csv").read_bytes() == (folder / "table.csv").read_bytes()


def test_the_same_file_name_with_other_data_is_another_job(tmp_path):
    def history(factor):
        lines = [",".join(["id", *(f"d_{day}" for day in range(1, 101))])]
        lines += [",".join([f"item{item}", *(str(factor * (1 + (day * item) % 5)) for day in range(100))]) for item in (1, 2)]
        (tmp_path / "sales.csv").write_text("\n".join(lines) + "\n")

    command = [*SMALL, "method=eoq", "scenario=history", "scenario.path=sales.csv"]
    history(1)
    first = written(invbench(tmp_path, *command))
    assert written(invbench(tmp_path, *command)) == first
    history(2)
    second = written(invbench(tmp_path, *command))
    assert second != first
    sold = [json.loads((folder / "report.json").read_text())["revenue"]["mean"] for folder in (first, second)]
    assert sold[1] > 1.5 * sold[0]


def test_a_sweep_composes_each_job_once(monkeypatch):
    """Hydra asks for every config twice, to check it and to run it; the second time for the same one, and that is all."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    from invbench import cli

    composed = []
    monkeypatch.setattr(ConfigLoaderImpl, "load_sweep_config", lambda self, master, job: composed.append(job) or list(job))
    plain = ConfigLoaderImpl.load_sweep_config
    with cli._composed_once():
        load = ConfigLoaderImpl.load_sweep_config
        first, second = (load(None, None, [name]) for name in "ab")
        assert load(None, None, ["b"]) is second and load(None, None, ["a"]) is first
        assert load(None, None, ["a"]) is not first and composed == [["a"], ["b"], ["a"]]
    assert ConfigLoaderImpl.load_sweep_config is plain
