"""A saved policy in place of a fitted one: every job keeps its policy, and `invbench evaluate` judges it, here or elsewhere."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from invbench import configs
from invbench.jobs import NOT_CONTENT, Refused
from invbench.learning import checkpoint
from invbench.problem import Problem
from invbench.types import Observation, Policy

NAME = f"policy{checkpoint.SUFFIX}"
FILES = NAME, "policy.json"
LARGEST = 64 * 2**20  # bytes of parameters: a policy with more, such as the table of a large optimum, is not kept
USAGE = "usage: invbench evaluate policy=FILE [GROUP=CHOICE …] [FIELD=VALUE …]"
FITTED = "method", "tuning", "forecast"  # what the policy was made by: parts of the config that stay as they were
NOT_PARTS = (*NOT_CONTENT, "policy", "study", "hydra", "defaults")  # what is never taken from a saved config
NEEDED = {"seed", "problem", "tuning", "names", "scenario", "system", "cost", "method", "evaluation"}
OTHER_WORK = "study", "experiment", "sweep"


def keep(folder: Path, policy: Policy, problem: Problem, config: dict[str, Any]) -> None:
    """Write a job's policy into its folder, unless it is a plan for each path, or too large.

    config: what the job's results depend on.
    """
    size = sum(jnp.asarray(leaf).nbytes for leaf in jax.tree.leaves(policy.params))
    if not policy.per_path and size <= LARGEST:
        checkpoint.save_policy(folder / NAME, policy, config, reads(policy, problem))


def reads(policy: Policy, problem: Problem) -> dict[str, list[int]]:
    """Shapes of the parts of one path's observation that a policy looks at, and of the orders that the system takes."""
    return {**traced(policy, problem)[0], "order": list(problem.system.order_shape(problem.items))}


def traced(policy: Policy, problem: Problem) -> tuple[dict[str, list[int]], tuple[int, ...]]:
    """What a policy looks at, as its program has it: shapes of parts of the observation; and the shape of its order."""
    seen = observed(policy, problem)
    key = jax.random.key(0) if policy.random else None
    program, order = jax.make_jaxpr(lambda seen, params: policy.apply(params, seen, key), return_shape=True)(seen, policy.params)
    used = [variable for equation in program.eqns for variable in equation.invars] + program.jaxpr.outvars
    names = [name for name in seen._fields if getattr(seen, name) is not None]
    given = dict(zip(names, program.jaxpr.invars, strict=False))  # the parts come first, then the params
    looked = {name: list(variable.aval.shape) for name, variable in given.items() if any(variable is one for one in used)}
    return looked, order.shape


def observed(policy: Policy, problem: Problem) -> Observation:
    """What a policy is shown of one path, as shapes."""
    before = jax.ShapeDtypeStruct((policy.window, problem.items), jnp.float32)
    show = lambda system, before: system.observe(system.initial(before, 0, policy.window))  # noqa: E731
    return jax.eval_shape(show, problem.system, before)


def restored(config: dict[str, Any], problem: Problem) -> Policy:
    """The policy that the config of an evaluation names. Raises Refused where it is another, or none for this problem."""
    found = checkpoint.load_policy(Path(config["policy"]["path"]))
    if found.sha256 != config["policy"]["sha256"]:
        raise Refused(f"{config['policy']['path']} holds another policy than when it was named (sha256)")
    for part in FITTED:
        if config.get(part) != found.config.get(part):
            raise Refused(f"{part} must be left as it was when {config['policy']['path']} was fitted")
    check(found, problem)
    return found.policy


def check(found: checkpoint.Saved, problem: Problem) -> None:
    """Refuse a problem in which a policy would see, or order, something of another shape."""
    if found.policy.window > problem.window:
        raise Refused(f"problem.window must be >= {found.policy.window} for this policy, got {problem.window}")
    seen = observed(found.policy, problem)
    for name, shape in found.reads.items():
        part = getattr(seen, name, None)
        if name != "order" and (part is None or list(part.shape[:-1]) != shape[:-1]):
            now = "nothing" if part is None else f"shape {list(part.shape)}"
            raise Refused(f"system must show the policy a {name} of shape {shape}, as where it was fitted, got {now}")
    wanted, taken = problem.system.order_shape(problem.items), found.reads.get("order", [])
    try:
        fits = jnp.broadcast_shapes(traced(found.policy, problem)[1], wanted) == wanted and list(wanted[:-1]) == taken[:-1]
    except (TypeError, ValueError, KeyError, IndexError):
        fits = False
    if not fits:
        raise Refused(f"system and scenario.items must take orders of shape {taken}, as where it was fitted, got {list(wanted)}")


def arguments(given: list[str]) -> list[str]:
    """The arguments of a job for those of `invbench evaluate`: the policy's own config comes first, the rest changes it."""
    files = [text.partition("=")[2].strip("'\"") for text in given if text.startswith("policy=")]
    rest = [text for text in given if not text.startswith("policy=")]
    names = {text.lstrip("+~").partition("=")[0] for text in rest}
    if len(files) != 1 or not files[0] or names & {"-m", "--multirun"}:
        raise Refused(USAGE)
    if other := sorted(name for name in names if name.split(".")[0] in OTHER_WORK):
        raise Refused(f"{other[0]} cannot be given to evaluate: it judges one policy on one problem")
    found = checkpoint.load_policy(Path(files[0]))
    parts = {name: part for name, part in found.config.items() if name not in NOT_PARTS}
    if not NEEDED <= parts.keys() or not isinstance(parts["names"], dict):
        raise Refused(f"the config in the manifest of {files[0]} is not that of a job")
    groups = [group for group in configs.groups() if group in parts]
    kept = {name: part for name, part in parts.items() if name not in groups or name not in names}
    kept["names"] = {group: choice for group, choice in parts["names"].items() if group not in names}
    _register(kept | {"policy": {"path": files[0], "sha256": found.sha256}})
    return ["+policy=saved", *(f"~{group}" for group in groups if group not in names), *rest]


def _register(parts: dict[str, Any]) -> None:
    """Make a saved config known to Hydra as what it starts from."""
    ConfigStore.instance().store(group="policy", name="saved", node=OmegaConf.create(parts), package="_global_")
