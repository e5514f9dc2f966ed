"""`invbench evaluate`: a job's policy from its file, judged as the job was, on its own problem or on another."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from command import Done, invbench

from invbench import run, saved
from invbench.costs import CostModel
from invbench.dynamics import dual_source, single
from invbench.exact import optimum
from invbench.jobs import Refused
from invbench.learning import checkpoint
from invbench.methods.base_stock import order_up_to
from invbench.methods.constant_order import order_always
from invbench.methods.eoq import economic_lot
from invbench.problem import Problem
from invbench.scenarios import uniform_discrete
from invbench.types import Policy

SMALL = ["evaluation.paths=16", "evaluation.horizon=20", "evaluation.validation_paths=16", "tuning.paths=16"]
SMALL += ["tuning.candidates=16", "tuning.rounds=1", "tracker=none"]
JOBS = {
    "s_S": ["scenario.mean=40", "cost.holding=3", "seed=2"],
    "optimal": ["scenario=poisson", "scenario.mean=2", "cost=average_cost", "system.lead_time=2"],
}
RESULTS = "report.json", "values.npz", "trajectory.npz"


def written(done: Done) -> Path:
    """The folder that a command names in its last line."""
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.rstrip("\n").splitlines()[-1])


def report(folder: Path) -> dict:
    return json.loads((folder / "report.json").read_text())


def finished(place: Path, method: str) -> Path:
    return written(invbench(place, f"method={method}", *SMALL, *JOBS[method]))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A finished job of s_S."""
    return finished(tmp_path_factory.mktemp("s_S"), "s_S")


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A finished job of the optimum, whose policy is a table."""
    return finished(tmp_path_factory.mktemp("optimal"), "optimal")


@pytest.fixture(params=["tuned", "exact"])
def job(request):
    return request.getfixturevalue(request.param)


def evaluate(job: Path, *overrides: str) -> Done:
    return invbench(job.parent, "evaluate", f"policy={job / 'policy.safetensors'}", "tracker=none", *overrides)


def test_a_policy_judged_again_on_its_problem_gives_the_bytes_of_its_job(job):
    done = evaluate(job)
    again = written(done)
    found, before = report(again), report(job)
    assert again.parent == job.parent / "outputs" / "runs"
    assert again.name.startswith(f"evaluate-{found['method']}-{found['scenario']}-")
    assert found["net_benefit"]["mean"] == before["net_benefit"]["mean"] and f"{found['method']} on " in done.stdout
    fits = ("optimum", "forecast")  # said by the fit alone, and there was none
    assert all(found[name] is None for name in fits) and found.keys() == before.keys()
    texts = [json.dumps({**one, **dict.fromkeys(fits)}, indent=2, sort_keys=True) + "\n" for one in (found, before)]
    assert texts[0] == texts[1] == (again / "report.json").read_text()
    for name in ("values.npz", "trajectory.npz", "policy.safetensors"):
        assert (again / name).read_bytes() == (job / name).read_bytes()


def test_policies_are_covered_by_the_hashes_and_come_again_the_same(job):
    files = json.loads((job / "done.json").read_text())["files"]
    for name in saved.FILES:
        assert files[name] == sha256((job / name).read_bytes()).hexdigest()
    for folder in (job, written(evaluate(job))):
        again = invbench(job.parent, "rerun", str(folder))
        assert again.returncode == 0 and "the same bytes again" in again.stdout, again.stderr
    with open(job / "policy.json", "a") as file:
        file.write(" ")
    assert "changed or missing: policy.json" in invbench(job.parent, "verify", str(job)).stdout
    (job / "policy.json").write_text((job / "policy.json").read_text()[:-1])


def test_a_table_keeps_its_type(tmp_path):
    posed = problem(lead_time=2)
    policy = optimum.find(posed).policy
    saved.keep(tmp_path, policy, posed, {})
    found = checkpoint.load_policy(tmp_path / saved.NAME)
    assert found.policy.params["orders"].dtype == policy.params["orders"].dtype == jnp.int16
    np.testing.assert_array_equal(found.policy.params["orders"], policy.params["orders"])
    assert found.reads == {"on_hand": [1], "pipeline": [1, 1], "order": [1]}


def test_a_shifted_scenario_changes_the_figures_and_not_the_policy(tuned):
    before = report(tuned)
    higher, other = (report(written(evaluate(tuned, *given))) for given in (["scenario.mean=60"], ["scenario=poisson"]))
    for found in (higher, other):
        assert found["parameters"] == before["parameters"] and found["paths"]["hash"] != before["paths"]["hash"]
    assert higher["fill_rate"]["upper"] < before["fill_rate"]["lower"]  # levels for 40 a period meet less of 60
    assert (higher["scenario"], other["scenario"], other["seed"]) == ("seasonal", "poisson", 2)


def test_what_is_not_given_is_as_in_the_job(tuned):
    folder = written(evaluate(tuned, "evaluation.paths=24", "system.lead_time=4", "name=other"))
    config, before = (yaml.safe_load((one / "config.yaml").read_text()) for one in (folder, tuned))
    assert folder.parent.name == "other" and report(folder)["paths"]["number"] == 24
    assert (config["evaluation"].pop("paths"), config["system"].pop("lead_time")) == (24, 4)
    before["evaluation"].pop("paths"), before["system"].pop("lead_time")
    parts = before.keys() - {"name"}
    assert {name: config[name] for name in parts} == {name: before[name] for name in parts}
    assert config["policy"] == {
        "path": str(tuned / "policy.safetensors"), "sha256": sha256((tuned / "policy.safetensors").read_bytes()).hexdigest(),
    }  # fmt: skip
    assert report(folder)["fill_rate"]["mean"] < report(tuned)["fill_rate"]["mean"]  # the same levels, waiting longer


@pytest.mark.parametrize(
    "overrides, sentence",
    [
        (["method=eoq"], "method must be left as it was when"),
        (["tuning.paths=9"], "tuning must be left as it was when"),
        (["cost.holding=-1"], "cost.holding must be a number >= 0, got -1"),
        (["study={_target_:pathlib.Path.touch,self:canary}"], "study cannot be given to evaluate"),
        (["name=../elsewhere"], "name must stay inside the output folder"),
        (["scenario._target_=os.system"], "must be a class or function of invbench"),
        (["scenario.maen=5"], "maen"),
    ],
)
def test_what_evaluate_cannot_do_is_refused(tuned, overrides, sentence):
    before = files_in(tuned)
    done = evaluate(tuned, *overrides)
    assert done.returncode in (1, 2) and sentence in done.stderr
    assert "Traceback" not in done.stderr and files_in(tuned) == before


@pytest.mark.parametrize("given", ["-m", "--multirun", "policy=other", "+experiment=reference", "+sweep=methods", "study.x=1"])
def test_evaluate_does_no_other_work(tuned, given):
    with pytest.raises(Refused, match="^usage: invbench evaluate policy=FILE|cannot be given to evaluate"):
        saved.arguments([f"policy={tuned / 'policy.safetensors'}", given])


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_without_a_whole_policy_nothing_happens(tuned, tmp_path):
    for path in saved.FILES:
        shutil.copy(tuned / path, tmp_path / path)
    path = tmp_path / "policy.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    before = files_in(tmp_path)
    cases = {
        "policy=policy.safetensors": "policy.safetensors is not as it was written",
        "policy=none.safetensors": "there is no file none.safetensors",
        "tracker=none": "usage: invbench evaluate policy=FILE",
    }
    for given, sentence in cases.items():
        done = invbench(tmp_path, "evaluate", given)
        assert done.returncode == 2 and done.stderr.startswith(f"invbench: {sentence}")
        assert len(done.stderr.strip().splitlines()) == 1 and files_in(tmp_path) == before


@pytest.mark.parametrize("name", ["hydra", "defaults", "study", "scenario", "method"])
def test_the_config_in_a_manifest_runs_no_foreign_code(tuned, tmp_path, name):
    foreign = {"_target_": "pathlib.Path.touch", "self": "canary"}
    bad = {"hydra": {"callbacks": {"canary": foreign}}, "defaults": [{"override hydra/launcher": "canary"}]}.get(name, foreign)
    for path in saved.FILES:
        shutil.copy(tuned / path, tmp_path / path)
    manifest = json.loads((tmp_path / "policy.json").read_text())
    manifest["about"]["config"][name] = bad
    (tmp_path / "policy.json").write_text(json.dumps(manifest))
    done = invbench(tmp_path, "evaluate", "policy=policy.safetensors", "tracker=none")
    if name in ("scenario", "method"):
        assert done.returncode == 2 and "must be a class or function of invbench" in done.stderr
    else:  # not among what is taken from a saved config
        assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("canary"))


def test_parameters_that_are_no_numbers_are_refused(tuned, tmp_path):
    found = checkpoint.load_policy(tuned / "policy.safetensors")
    lost = found.policy._replace(params={name: jnp.full_like(leaf, jnp.nan) for name, leaf in found.policy.params.items()})
    about = json.loads((tuned / "policy.json").read_text())["about"]
    checkpoint.save_policy(tmp_path / "policy.safetensors", lost, about["config"], about["reads"])
    done = invbench(tmp_path, "evaluate", "policy=policy.safetensors", "tracker=none")
    assert done.returncode == 2 and done.stderr.startswith("invbench: policy.safetensors: params['")
    assert done.stderr.endswith("'] holds what is not a number\n")


def test_a_plan_for_each_path_is_not_kept(tmp_path):
    folder = written(invbench(tmp_path, *SMALL, "method=clairvoyant"))
    assert not [path for path in folder.iterdir() if path.name.startswith("policy")]


# ---- which problems a policy is for


def problem(items=1, lead_time=1, window=4, system=None):
    demand = uniform_discrete.create(low=0, high=4, items=items)
    cost = CostModel(price=0.0, purchase=0.0, holding=1.0, shortage=9.0, fixed_order=0.0, salvage=0.0)
    system = system or single.create(lead_time=lead_time, backlog=False, initial_stock=4)
    return Problem(demand, system, cost, 20, 0, window, 0)


def restored(folder, policy, made, judged):
    """The policy of one problem, taken to another."""
    saved.keep(folder, policy, made, {})
    config = {"policy": {"path": str(folder / saved.NAME), "sha256": checkpoint.load_policy(folder / saved.NAME).sha256}}
    return saved.restored(config, judged)


def level(items):
    return Policy({"level": jnp.full(items, 9.0)}, order_up_to)


DUAL = dual_source.create(lead_time=2, expedite_lead_time=0, backlog=True, initial_stock=0)


@pytest.mark.parametrize(
    "policy, made, judged",
    [
        (level(1), problem(), problem(items=5, lead_time=4)),  # one level for all; of the position alone
        (level(3), problem(3), problem(3, lead_time=0)),
        (Policy({"quantity": jnp.asarray(2.0)}, order_always), problem(), problem(3, lead_time=4)),
    ],
)
def test_a_policy_can_be_taken_where_it_sees_what_it_reads(tmp_path, policy, made, judged):
    found = restored(tmp_path, policy, made, judged)
    flows = judged.simulate(found, jnp.ones((2, 20, judged.items)))
    assert flows.ordered.shape == (2, 20, judged.items)


@pytest.mark.parametrize(
    "policy, made, judged, sentence",
    [
        ("optimal", problem(lead_time=2), problem(lead_time=3), r"a pipeline of shape \[1, 1\], .* got shape \[2, 1\]$"),
        ("optimal", problem(lead_time=2), problem(lead_time=0), r"a pipeline of shape \[1, 1\], .* got shape \[0, 1\]$"),
        (level(3), problem(3), problem(5), r"take orders of shape \[3\], .* got \[5\]$"),
        (level(3), problem(3), problem(1), r"take orders of shape \[3\], .* got \[1\]$"),
        (level(1), problem(), problem(system=DUAL), r"take orders of shape \[1\], .* got \[2, 1\]$"),
        (
            Policy({name: jnp.ones(1) for name in ("cover", "fixed_order", "holding")}, economic_lot, window=4),
            problem(), problem(window=3), r"problem.window must be >= 4 for this policy, got 3$",
        ),
    ],
)  # fmt: skip
def test_a_system_that_shows_or_takes_another_shape_is_refused(tmp_path, policy, made, judged, sentence):
    policy = optimum.find(made).policy if policy == "optimal" else policy
    with pytest.raises(Refused, match=sentence):
        restored(tmp_path, policy, made, judged)


def test_another_policy_under_the_same_name_is_refused(tmp_path):
    saved.keep(tmp_path, level(1), problem(), {})
    with pytest.raises(Refused, match="holds another policy than when it was named"):
        saved.restored({"policy": {"path": str(tmp_path / saved.NAME), "sha256": "0"}}, problem())


def test_a_policy_that_is_too_large_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(saved, "LARGEST", 11)
    saved.keep(tmp_path, level(3), problem(3), {})  # 3 x 4 bytes
    assert not list(tmp_path.iterdir())
    monkeypatch.setattr(saved, "LARGEST", 12)
    saved.keep(tmp_path, level(3), replace(problem(3), horizon=5), {})
    assert (tmp_path / saved.NAME).exists()


def test_a_job_whose_orders_are_no_numbers_fails_and_says_so(tmp_path, monkeypatch):
    lost = Policy({"level": jnp.full(1, jnp.nan)}, order_up_to)
    monkeypatch.setattr(run, "fit", lambda method, made, key, log: (lost, made, ""))
    done = invbench(tmp_path, *SMALL, "method=base_stock")
    assert done.returncode == 1
    assert done.stderr == "invbench: what a policy orders must be numbers, got 'a net benefit that is none on 16 of 16 paths'\n"
