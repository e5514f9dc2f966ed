"""The best of a search as a delta to any config: written by the search, used as `+tuned=NAME`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from invbench import configs, jobs, run
from invbench.jobs import Refused
from invbench.saved import FITTED

FOLDER, SUFFIX = "tuned", ".yaml"


def delta(overrides: Sequence[str]) -> dict[str, Any]:
    """What overrides say about the method, as a config of deltas: groups in its defaults, then fields."""
    groups, fields = [], OmegaConf.create({})
    for one in OverridesParser.create().parse_overrides(list(overrides)):
        key = one.key_or_group
        if key.split(".")[0] not in FITTED:
            continue
        if one.package is not None or key in configs.groups():
            name = f"/{key}" if one.package is None else f"/{key}@{one.package}"
            groups.append({f"override {name}": one.value()})
        else:
            OmegaConf.update(fields, key, one.value(), force_add=True)
    return {"defaults": groups, **OmegaConf.to_container(fields)}


def write(path: Path, overrides: Sequence[str], remark: str) -> None:
    """A file of deltas with a remark above; what comes later replaces what comes before."""
    text = yaml.safe_dump(delta(overrides), sort_keys=False, allow_unicode=True)
    jobs.write(path, "".join(f"# {line}\n" for line in remark.splitlines()) + text)


def arguments(given: Sequence[str]) -> list[str]:
    """The arguments of a command, with each choice of +tuned=NAME made known to Hydra; NAME may be a file.

    Raises Refused where there is none, where it names code that is not ours, or where another method is asked for beside.
    """
    values = {text.lstrip("+~").partition("=")[0]: text.partition("=")[2] for text in given}
    if "tuned" not in values:
        return list(given)
    root = Path(values.get("outputs", "outputs").strip("'\"")) / FOLDER
    names = [name.strip("'\"") for name in values["tuned"].split(",")]
    slugs = [_registered(_found(name, root), name, values.get("method")) for name in names]
    chosen = f"+tuned={','.join(slugs)}"
    return [chosen if text.lstrip("+~").partition("=")[0] == "tuned" else text for text in given]


def _found(name: str, root: Path) -> Path:
    path = Path(name) if name.endswith(SUFFIX) else root / f"{name}{SUFFIX}"
    if path.is_file():
        return path
    there = ", ".join(sorted(one.stem for one in root.glob(f"*{SUFFIX}"))) or "nothing yet (invbench search writes there)"
    raise Refused(f"there is no tuned={name}; in {root} there is {there}, or give a file NAME{SUFFIX}")


def _registered(path: Path, name: str, method: str | None) -> str:
    """Make a file known to Hydra; what it is called there."""
    try:
        node = jobs.read_yaml(path)
        groups = {key: value for one in node["defaults"] for key, value in one.items()}
    except (UnicodeDecodeError, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise Refused(f"{path} is not a file that invbench search wrote") from error
    run.check_targets(node)
    own = groups.get("override /method")
    if method is not None and method != own:
        raise Refused(f"method={method} cannot be given beside tuned={name}, which is of method={own}")
    slug = jobs.slug(name.removesuffix(SUFFIX)).replace(".", "-").replace("=", "-")
    configs.register_delta(FOLDER, slug, OmegaConf.create(node))
    return slug
