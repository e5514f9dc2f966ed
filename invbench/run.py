"""One job, from config to outputs: the only place where a config is turned into objects."""

import json
import logging
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import hydra.utils
import jax
import numpy as np
from hydra.errors import InstantiationException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from invbench import jobs, problem, rolling, saved
from invbench.checks import require
from invbench.costs import Economics
from invbench.evaluation import report
from invbench.evaluation.statistics import mean
from invbench.jobs import Refused
from invbench.keys import root
from invbench.networks import distribution, trees
from invbench.networks.facilities import Facilities
from invbench.problem import Problem
from invbench.scenarios import apportioned
from invbench.tracker import Careful, Log
from invbench.types import Paths, Policy

LOG = logging.getLogger("invbench")
PACKAGE = "invbench"
STORY = "demand", "ordered", "received", "held", "missed"  # what is shown of a path
PLACES = "network_map", "site_stock"  # what is drawn of a network
SMALL = 16  # fitted parameters with at most so many values are written into the report


@dataclass(frozen=True)
class Setting:
    """A problem with what every method is judged by on it."""

    problem: Problem
    economics: Economics
    evaluation: Paths
    bound: np.ndarray | None  # [n, item] clairvoyant net benefit of operations
    exact: bool


def run(config: DictConfig) -> Path:
    """Run one job unless it is finished; returns its folder. Raises after writing down what went wrong."""
    plain = resolve(config)
    folder, label = place(config, plain)
    if not jobs.prepare(folder, plain, label):
        return folder
    tracker = Careful(build(plain["tracker"]))
    tracker.start(folder, folder.parent.name, plain["names"]["method"], jobs.content(plain))
    code = 1
    try:
        work(plain, folder, tracker)
        jobs.finish(folder)
        code = 0
    except Exception as error:
        fail(folder, error)
        raise
    finally:
        tracker.finish(code)
    return folder


def resolve(config: DictConfig) -> dict[str, Any]:
    """The config as plain data, every interpolation resolved; refused where it names code that is not ours."""
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise Refused(f"{missing[0]} must be given, as in {missing[0]}=VALUE")
    plain = OmegaConf.to_container(config, resolve=True)
    check_targets(plain)
    return plain


def check_targets(plain: dict[str, Any]) -> None:
    """Refuse plain data that names code which is not ours, at any depth."""
    for name, value in jobs.flatten(plain):
        if name.split(".")[-1] == "_target_":
            check_target(name, value)


def check_target(name: str, target: Any) -> None:
    """Refuse a `_target_` that is not a class or function defined in this package, before anything is imported for it."""
    sentence = f"{name} must be a class or function of {PACKAGE}, got {target!r}"
    if not isinstance(target, str) or not target.startswith(f"{PACKAGE}."):
        raise Refused(sentence)
    try:
        found = hydra.utils.get_object(target)
    except Exception as error:
        raise Refused(sentence) from error
    if not callable(found) or not getattr(found, "__module__", "").startswith(f"{PACKAGE}."):
        raise Refused(sentence)


def build(part: dict[str, Any]) -> Any:
    """The object that a part of a checked config describes."""
    try:
        return hydra.utils.instantiate(OmegaConf.create(part), _convert_="all")
    except InstantiationException as error:
        raise error.__cause__ or error from None  # the sentence of the check at the door, not Hydra's around it


def place(config: DictConfig, plain: dict[str, Any]) -> tuple[Path, str]:
    """The job's folder, and what the job is called in its sweep."""
    from hydra.core.hydra_config import HydraConfig

    sweep = HydraConfig.initialized() and HydraConfig.get().mode is not None and HydraConfig.get().mode.name == "MULTIRUN"
    names = plain["names"]
    title = f"{names['method']}-{names['scenario']}" if plain["study"] is None else names["experiment"] or "study"
    title = f"evaluate-{title}" if "policy" in plain else title
    own = jobs.slug(f"{title}-{jobs.digest(jobs.content(plain) | _files(plain))}")
    parent = jobs.inside(Path(plain["outputs"]), plain["name"] or "runs")
    label = ",".join(sorted(text for text in HydraConfig.get().overrides.task if not jobs.elsewhere(text))) if sweep else ""
    return parent / own, label if sweep else (own if plain["name"] is None else "")


def _files(plain: dict[str, Any]) -> dict[str, str]:
    """A hash of every data file that scenario and network name: the same name with other data is another job."""
    parts = (plain["scenario"], plain.get("network") or {})
    named = [Path(value) for part in parts for name, value in part.items() if name.endswith("path") and value]
    files = [file for path in named for file in (sorted(path.glob("*.txt")) if path.is_dir() else [path])]
    return {str(file): jobs.hash_file(file) for file in files if file.is_file()}


def work(plain: dict[str, Any], folder: Path, tracker: Careful) -> None:
    """Fit (or take a saved policy), judge, write."""
    made = setting(plain)
    method = build(plain["method"])
    fits = not hasattr(made.problem.system, "demand_items") or "network" in getattr(method, "systems", ())
    require(fits, "method", "one for networks, as hierarchical or installation_base_stock", plain["names"]["method"])
    key = key_of(plain)
    log, started = Log(tracker, _states(folder)), time.perf_counter()
    if "policy" in plain:
        policy, label = saved.restored(plain, made.problem), remark(method)
    else:
        policy, made, label = fit(method, made, key, log)
    jax.block_until_ready(policy.params)
    fitted = time.perf_counter()
    judged = report.evaluate(made.problem, policy, made.evaluation, key)
    lost = int((~np.isfinite(judged.benefit)).sum())
    require(lost == 0, "what a policy orders", "numbers", f"a net benefit that is none on {lost} of {judged.benefit.size} paths")
    timing = {"fit": fitted - started, "evaluate": time.perf_counter() - fitted}
    costs = made.economics.of(method.family)
    document = describe(plain, made, method, policy, judged, label) | report.figures(
        judged, costs, plain["evaluation"]["risk_aversion"], plain["evaluation"]["target_fill_rate"]
    )
    document["forecast"] = {
        name: {"value": value if math.isfinite(value) else None} for name, value in log.heard("forecast").items()
    } or None
    optimum = log.heard("optimum")
    timing |= {"optimum": optimum.pop("seconds")} if optimum else {}
    document["optimum"] = optimum or None
    document |= _validation(plain, made, method, policy, key) | _gap(made, judged)
    counted = {name: judged.counts[name] for name in ("demand", "met")}
    np.savez(folder / "values.npz", benefit=judged.benefit, **counted, **judged.money)
    np.savez(folder / "trajectory.npz", **trajectory(made, policy, judged))
    saved.keep(folder, policy, made.problem, jobs.content(plain))
    if log.curve:
        jobs.write_json(folder / "curve.json", log.curve)
    jobs.write_json(folder / "report.json", document)
    jobs.write_json(folder / "timing.json", timing | _decisions(made, policy, key, timing["evaluate"]))
    if isinstance(made.problem.network, Facilities):
        _draw(folder)
    _track(tracker, document, folder)
    log.forget()


def _states(folder: Path) -> Path:
    """Where a training that was cut off goes on from; outside of the job's folder, which begins anew."""
    return folder.parent / "training" / folder.name


def _draw(folder: Path) -> None:
    """The pictures of a network beside its figures, as *.svg."""
    from invbench.report import figures
    from invbench.sweep import picture_of

    for name, svg in figures.all(picture_of(folder)).items():
        if name in PLACES:
            jobs.write(folder / f"{name}.svg", svg)


def _track(tracker: Careful, document: dict[str, Any], folder: Path) -> None:
    """Show the tracker what was found: the summary, the table of figures, and pictures if it wants them."""
    found = {
        name: figure for name, figure in document.items() if isinstance(figure, dict) and ("mean" in figure or "value" in figure)
    }
    tracker.summary({name: _headline(figure) for name, figure in found.items()})
    rows = [[name, _headline(figure), figure.get("lower"), figure.get("upper")] for name, figure in found.items()]
    tracker.table("figures", ["figure", "value", "lower", "upper"], rows)
    if tracker.pictures:
        from invbench.report import figures
        from invbench.sweep import picture_of

        for name, svg in figures.all(picture_of(folder)).items():
            tracker.picture(name, svg)


def key_of(plain: dict[str, Any]) -> jax.Array:
    """The key that a method is fitted with."""
    return root(plain["seed"], "method", plain["names"]["method"])


def setting(plain: dict[str, Any]) -> Setting:
    """The problem of a config with what it is judged by; the same object for all methods of one process."""
    return _setting(*_parts(plain))


def posed(plain: dict[str, Any]) -> tuple[Problem, Economics]:
    """The problem of a config as methods may see it, and its prices; made once in a process."""
    made, economics = _posed(*_parts(plain))
    return made.for_fitting(), economics


def study(config: DictConfig) -> Path:
    """Run a study in place of a job: it writes its own files and says its exit code."""
    plain = resolve(config)
    folder, _ = place(config, plain)
    with jobs.turn(folder.parent, LOG.warning, folder.name):
        jobs.prepare(folder, plain, folder.name)
        code = build(plain["study"]).run(folder, plain)
        jobs.write_json(folder / "study.json", {"exit_code": code})
    return folder


def _headline(figure: dict[str, Any]) -> Any:
    return figure.get("mean", figure.get("value"))


def fit(method: Any, setting: Setting, key: jax.Array, log: Callable[[dict, int], None]) -> tuple[Policy, Setting, str]:
    """The method's policy, the setting to judge it in, and a remark.

    A method that knows the paths plans the evaluation paths; where its bound leaves constraints on orders out, so does the
    setting that it is judged in, and the remark says so.
    """
    if not getattr(method, "knows_paths", False):
        return method.fit(setting.problem.for_fitting(), key, log), setting, remark(method)
    plan = method.plan(setting.problem, setting.evaluation)
    if plan.exact:
        return plan.policy, setting, ""
    relaxed = replace(setting, problem=replace(setting.problem, system=plan.system))
    return plan.policy, relaxed, "order constraints left out"


def remark(method: Any) -> str:
    """What every table says beside the method's name."""
    return "fast mode" if getattr(method, "fast_mode", False) else ""


@lru_cache(maxsize=2)
def _setting(*parts: Any) -> Setting:
    """What all methods on one setting share, made once in a process; parts: see `_parts`."""
    (made, economics), evaluation = _posed(*parts), json.loads(parts[4])
    paths = made.evaluation_paths(problem.whole("evaluation.paths", evaluation["paths"], low=2))
    if evaluation["bound"] is None or not build(evaluation["bound"]).covers(made):
        return Setting(made, economics, paths, None, True)
    plan = build(evaluation["bound"]).plan(made, paths)
    return Setting(made, economics, paths, np.asarray(plan.bound, np.float64), plan.exact)


@lru_cache(maxsize=4)
def _posed(
    scenario: str, system: str, cost: str, given: str, evaluation: str, network: str, seed: int, data: str
) -> tuple[Problem, Economics]:
    """The problem with what it is judged by, and its prices. data: hashes of the files that it reads."""
    scenario, given, evaluation, network = (json.loads(part) for part in (scenario, given, evaluation, network))
    economics, facilities = build(json.loads(cost)), _facilities(network)
    scenario = scenario if facilities is None else scenario | {"items": len(facilities.demand)}
    shifted = build(scenario | evaluation["shift"]) if evaluation["shift"] else None
    parts = build(scenario), build(json.loads(system)), economics.operations
    if facilities is not None:
        placed = trees.placed if isinstance(facilities, trees.Tree) else distribution.placed
        parts, shifted = placed(facilities, *parts), shifted and apportioned.create(shifted, facilities.demand)
    made = problem.create(
        *parts, **given, horizon=evaluation["horizon"], seed=seed, evaluation_seed=evaluation["seed"], judged_on=shifted,
        network=facilities,
    )  # fmt: skip
    return made, economics


def _parts(plain: dict[str, Any]) -> tuple[Any, ...]:
    """What a problem depends on, as texts."""
    texts = (json.dumps(plain[name]) for name in ("scenario", "system", "cost", "problem", "evaluation"))
    return *texts, json.dumps(plain.get("network")), plain["seed"], json.dumps(_files(plain))


def _facilities(network: dict[str, Any] | None) -> Any:
    """The network that a config names: one; None where it names none."""
    if network is None:
        return None
    found = build(network)
    require(len(found) == 1, "network.path", "one file where a network is simulated", f"a folder with {len(found)} instances")
    return found[0]


def describe(
    plain: dict[str, Any], setting: Setting, method: Any, policy: Policy, judged: report.Report, label: str
) -> dict[str, Any]:
    """What was judged, as report.json has it."""
    names = plain["names"]
    given = policy.params if isinstance(policy.params, dict) else {}
    small = {name: np.asarray(leaf) for name, leaf in given.items() if hasattr(leaf, "shape")}
    return {
        **{name: names[name] for name in ("method", "scenario", "system", "cost")},
        "family": method.family,
        "tuned": bool(getattr(method, "tuned", False)),
        "label": label,
        "seed": plain["seed"],
        "information": "known" if setting.problem.history is None else "history",
        "periods": judged.horizon,
        "items": judged.items,
        "paths": {"number": judged.paths, "hash": judged.hash},
        "interval_over": judged.unit,
        "tuning": plain["tuning"] if getattr(method, "tuned", False) else None,
        "training": {"periods": method.simulates} if hasattr(method, "simulates") else None,
        "parameters": {name: leaf.tolist() for name, leaf in small.items() if leaf.size <= SMALL},
    }


def _validation(plain: dict[str, Any], setting: Setting, method: Any, policy: Policy, key: jax.Array) -> dict[str, Any]:
    """Mean net benefit of operations on validation paths: what methods may be chosen by."""
    if getattr(method, "knows_paths", False):
        return {"validation": {"value": None}}
    paths = setting.problem.validation_paths(plain["evaluation"]["validation_paths"])
    return {"validation": {"value": float(report.evaluate(setting.problem, policy, paths, key).benefit.mean())}}


def _gap(setting: Setting, judged: report.Report) -> dict[str, Any]:
    """The clairvoyant bound, and how far below it the policy stays, as a share of it."""
    if setting.bound is None:
        return {}
    bound = setting.bound[0] if judged.unit == "series" else setting.bound.sum(1)
    estimate = mean(bound).scaled(judged.total)
    gap = (bound.mean() - judged.benefit.mean()) / abs(bound.mean()) if bound.mean() else None
    return {"clairvoyant": {**estimate._asdict(), "exact": setting.exact}, "gap_to_clairvoyant": {"value": gap}}


def trajectory(setting: Setting, policy: Policy, judged: report.Report) -> dict[str, np.ndarray]:
    """Flows of the first path, summed over items: each [horizon]."""
    if not isinstance(setting.problem.network, Facilities):
        return {name: getattr(judged.first, name).sum(-1) for name in STORY}
    first = Paths(*(None if part is None else part[:, :1] for part in setting.evaluation[:3]), setting.evaluation.start)
    if policy.per_path:
        policy = policy._replace(params=jax.tree.map(lambda leaf: leaf[..., :1, :], policy.params))
    return pictured(setting.problem, policy, first)


def pictured(made: Problem, policy: Policy, path: Paths) -> dict[str, np.ndarray]:
    """Flows of one path [horizon], and what a map of the network shows of it: places, who is served from where, stock."""
    orders, flows = rolling.followed(made.system, policy, path)
    told = {name: np.asarray(getattr(flows, name))[:, 0].sum(-1) for name in STORY}
    return told | distribution.picture(
        made.network, made.system, np.asarray(orders)[:, 0], jax.tree.map(lambda leaf: leaf[:, 0], flows)
    )


def _decisions(setting: Setting, policy: Policy, key: jax.Array, spent: float) -> dict[str, float]:
    """Seconds for one decision in a warm simulation, and what of the seconds `spent` on judging was compilation.

    A policy that is planned anew on the host compiles next to nothing, and is not followed once more.
    """
    size = setting.evaluation.demand.size
    once = spent / size if policy.revise else report.decision(setting.problem, policy, setting.evaluation, key)
    return {"compile": max(spent - once * size, 0.0), "decision": once}


def fail(folder: Path, error: Exception) -> None:
    """Write down why a job failed: one sentence, and the traceback beside it."""
    jobs.write(folder / "traceback.txt", "".join(traceback.format_exception(error)))
    jobs.write_json(folder / jobs.FAILED, {"error": sentence(error)})


def sentence(error: BaseException) -> str:
    """An error in one line; what is not a refusal of input is named by its kind."""
    lines = str(error).strip().splitlines() or [""]
    text = lines[0] if isinstance(error, OmegaConfBaseException) else " ".join(str(error).split())
    return text if isinstance(error, ValueError | OSError | OmegaConfBaseException) else f"{type(error).__name__}: {text}"
