"""Job folders: named by content, finished by one atomic rename, never outside the output folder. What a sweep rests on."""

import difflib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout

DONE, FAILED, CONFIG, INDEX = "done.json", "failed.json", "config.yaml", "index"
NOT_CONTENT = ("outputs", "tracker", "name")  # where results go and how they are watched does not change them


class Refused(ValueError):
    """What the user asked for cannot be done; the message is one sentence, or a sentence and a diff."""


def digest(content: Any) -> str:
    """A short hash of anything that JSON can hold, the same in every process."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def content(config: dict[str, Any]) -> dict[str, Any]:
    """The part of a resolved config that results depend on."""
    return {name: part for name, part in config.items() if name not in NOT_CONTENT}


def elsewhere(override: str) -> bool:
    """Whether an override says where and how jobs run, and not what they are."""
    name = override.lstrip("+~").split("=")[0]
    return name.split(".")[0] in NOT_CONTENT or name.startswith(("hydra.launcher", "hydra/launcher"))


def slug(text: str) -> str:
    """Text as part of a folder name."""
    return re.sub(r"[^A-Za-z0-9_.=+-]+", "-", text).strip("-.") or "run"


def inside(root: Path, name: str) -> Path:
    """The folder `name` in `root`; refused where it would lie outside."""
    root = root.resolve()
    folder = (root / name).resolve()
    if folder == root or root not in folder.parents:
        raise Refused(f"name must stay inside the output folder {root.name}, got {name!r}")
    return folder


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def write_json(path: Path, value: Any) -> None:
    """JSON with sorted keys, two spaces, and no NaN."""
    write(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, read by libyaml where there is one: ten times as fast."""
    return yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def read_json(path: Path) -> Any:
    """The content of a JSON file, or None where there is none that is whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every result file in a job's folder, by name."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".") and path.name != DONE)
    return {path.name: hash_file(path) for path in files}


def hash_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def finish(folder: Path) -> None:
    """Declare a job finished: the last thing that is written, by atomic rename."""
    write_json(folder / DONE, {"files": hashes(folder)})


def damage(folder: Path) -> str:
    """What is wrong with a finished job's files, in a few words; "" if nothing is, "unfinished" if it is not finished."""
    done = read_json(folder / DONE)
    if done is None:
        return "unfinished"
    now = hashes(folder)
    wrong = [name for name, value in done["files"].items() if now.get(name) != value]
    return f"changed or missing: {', '.join(wrong)}" if wrong else ""


def prepare(folder: Path, config: dict[str, Any], label: str) -> bool:
    """Make a job's folder ready; False if the job is finished. Refused where `label` stood for another config here.

    label: what the job is called in its sweep (its overrides), so that a config that changed under the same name is seen.
    """
    before = home(folder.parent, label)
    if before is not None and before.name != folder.name:
        raise Refused(_changed(folder.parent, before.name, config))
    write_json(_owner(folder.parent, label), {"folder": folder.name, "label": label})
    if damage(folder) == "":
        return False
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write(folder / CONFIG, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return True


def _owner(sweep: Path, label: str) -> Path:
    return sweep / INDEX / f"{digest(label)}.json"


def home(sweep: Path, label: str) -> Path | None:
    """The folder of the job that is called `label` in a sweep; None if it has not started."""
    owner = read_json(_owner(sweep, label))
    return None if owner is None else sweep / owner["folder"]


def _changed(parent: Path, old: str, config: dict[str, Any]) -> str:
    path = parent / old / CONFIG
    before = read_yaml(path) if path.exists() else {}
    changed = diff(content(before), content(config)) or "not the config: the data files that it names"
    return f"{parent.name} holds results of another config; give another name=, or delete it. What changed:\n{changed}"


def diff(before: Any, now: Any) -> str:
    """The lines that differ between two values written as YAML."""
    lines = [yaml.safe_dump(value, sort_keys=True).splitlines() for value in (before, now)]
    return "\n".join(difflib.unified_diff(*lines, "before", "now", lineterm="", n=1))


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, leaf) for every leaf of nested dictionaries and lists."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if children is None or not value:
        yield prefix, value
        return
    for name, child in children:
        yield from flatten(child, f"{prefix}.{name}" if prefix else str(name))


@contextmanager
def turn(folder: Path, wait: Callable[[str], None], name: str = "") -> Iterator[None]:
    """Hold a folder, or `name` in it, for this process: two on one sweep take turns. The lock goes when the process does."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f".lock{name}")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        wait(f"waiting for another process to finish {name or folder.name}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
