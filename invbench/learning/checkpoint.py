"""A tree of arrays as one safetensors file, and a JSON manifest beside it that says what it is. Policies and training states.

A tree is made of dicts (keys are text), tuples, lists, records (NamedTuples, and dataclasses that JAX knows) and None; its
leaves are JAX or numpy arrays, PRNG keys, Python numbers, and text where a record holds it beside its arrays. The tensors in
the file are named by JSON pointers into the tree (RFC 6901), such as /layers/0/weights.
"""

import hashlib
import importlib
import inspect
import json
import os
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError

from invbench import jobs
from invbench.jobs import Refused
from invbench.types import Policy

FORMAT = 1  # of the manifest
SUFFIX = ".safetensors"
NATIVE = set("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64".split())
VIEWED = {"bfloat16": "uint16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}  # numpy has no such types: stored as these
KINDS = "jax", "numpy", "number", "key"
KEYS = "threefry2x32", "rbg", "unsafe_rbg"  # implementations of PRNG keys
ARGUMENTS = ["params", "observation", "key"]  # of every policy's apply
REVISE = ["params", "observation"]  # of every policy's revise
FLAGS = {"window": int, "random": bool, "elementwise": bool, "per_path": bool, "every": int, "misses": bool}
NEWER = {"every": 0, "misses": False}  # what manifests of earlier versions do not have


class Saved(NamedTuple):
    """A policy as it was saved."""

    policy: Policy
    config: dict[str, Any]  # of the job that made it, resolved
    reads: dict[str, list[int]]  # shapes of the parts of one path's observation that it looks at
    sha256: str  # of the safetensors file


def save(path: Path, tree: Any, about: dict[str, Any]) -> None:
    """Write `tree` to `path` (*.safetensors), and its manifest with `about` (anything JSON can hold) beside it as *.json.

    Each file is written whole or not at all, the manifest last; the same tree gives the same bytes. Give a state that must
    outlive a crash a new name each time. Raises ValueError where the tree holds what cannot be stored.
    """
    stored, entries = {}, {}
    structure = _outline(tree, "", stored, entries)
    data = safetensors.numpy.save(stored)
    manifest = {
        "format": FORMAT, "sha256": hashlib.sha256(data).hexdigest(), "structure": structure, "arrays": entries, "about": about,
    }  # fmt: skip
    _write(path, data)
    jobs.write_json(manifest_of(path), manifest)


def load(path: Path, like: Any = None) -> tuple[Any, dict[str, Any]]:
    """The tree and what was said about it. like: a tree of arrays (or their shapes) that it must equal in structure and shapes.

    Records of other packages need `like`. Raises Refused, in one sentence, where the file or its manifest is not whole,
    or is not what was expected.
    """
    tree, manifest = _load(path, like)
    return tree, manifest["about"]


def save_policy(path: Path, policy: Policy, config: dict[str, Any], reads: dict[str, list[int]]) -> None:
    """Write a policy with the resolved config of its job; see `Saved`. Raises ValueError where its apply cannot be named."""
    functions = {"apply": _name_of("apply", policy.apply, ARGUMENTS)}
    if policy.revise is not None:
        functions["revise"] = _name_of("revise", policy.revise, REVISE)
    flags = {name: getattr(policy, name) for name in FLAGS}
    save(path, policy.params, {"policy": functions | flags, "config": config, "reads": reads})


def _name_of(role: str, function: Any, arguments: list[str]) -> str:
    text = f"{getattr(function, '__module__', '')}:{getattr(function, '__qualname__', '')}"
    if _named(text) is not function:
        raise ValueError(f"{role} of a policy must be a function of a module of invbench to be saved, got {function!r}")
    _check_arguments(role, function, text, arguments)
    return text


def load_policy(path: Path) -> Saved:
    """The policy in a file. Raises Refused, in one sentence, where it is not whole, or names code that is not invbench's."""
    params, manifest = _load(path, None)
    try:
        about = manifest["about"]
        flags = {name: (NEWER | about["policy"])[name] for name in FLAGS}
        apply, config, reads = about["policy"]["apply"], about["config"], about["reads"]
        sound = all(type(flags[name]) is kind for name, kind in FLAGS.items()) and isinstance(config, dict)
        sound &= all(isinstance(size, int) for shape in reads.values() for size in shape)
    except (KeyError, TypeError, AttributeError):
        sound = False
    if not sound:
        raise Refused(f"{manifest_of(path).name} is not the manifest of a policy")
    function = _function(path, "apply", apply, ARGUMENTS)
    revise = about["policy"].get("revise")
    flags["revise"] = None if revise is None else _function(path, "revise", revise, REVISE)
    leaves = jax.tree_util.tree_leaves_with_path(params)
    lost = [where for where, leaf in leaves if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) and jnp.isnan(leaf).any()]
    if lost:
        raise Refused(f"{path.name}: params{jax.tree_util.keystr(lost[0])} holds what is not a number")
    return Saved(Policy(params, function, **flags), config, reads, manifest["sha256"])


def _function(path: Path, role: str, text: Any, arguments: list[str]) -> Any:
    """The function that a manifest names."""
    function = _named(text)
    if not inspect.isfunction(function):
        raise Refused(f"{role} in {manifest_of(path).name} must be a function of a module of invbench, got {text!r}")
    _check_arguments(role, function, text, arguments)
    return function


def manifest_of(path: Path) -> Path:
    """Where the manifest of a file is."""
    return path.with_suffix(".json")


def _outline(tree: Any, pointer: str, stored: dict[str, np.ndarray], entries: dict[str, dict[str, Any]]) -> Any:
    """The structure of a tree as JSON: its leaves by pointer. Their content goes to `stored`, what they are to `entries`."""
    inner = lambda name, part: _outline(part, f"{pointer}/{_escaped(name, pointer)}", stored, entries)  # noqa: E731
    if tree is None:
        return None
    if isinstance(tree, dict):
        return {"dict": {name: inner(name, part) for name, part in tree.items()}}
    if isinstance(tree, str):
        return {"text": tree}
    parts = None if jax.tree_util.all_leaves([tree]) else _fields(type(tree))
    if parts is not None:
        named = f"{type(tree).__module__}:{type(tree).__qualname__}"
        return {"record": named, "fields": {name: inner(name, getattr(tree, name)) for name in parts}}
    if type(tree) in (tuple, list):
        return {type(tree).__name__: [inner(str(number), part) for number, part in enumerate(tree)]}
    stored[pointer], entries[pointer] = _leaf(tree, pointer)
    return pointer


def _fields(kind: type) -> tuple[str, ...] | None:
    """The fields of a class of records; None where it is none."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    return getattr(kind, "_fields", None) if issubclass(kind, tuple) else None


def _escaped(name: Any, pointer: str) -> str:
    if not isinstance(name, str):
        raise ValueError(f"keys in {pointer or 'the tree'} must be text to be saved, got {name!r}")
    return name.replace("~", "~0").replace("/", "~1")


def _leaf(leaf: Any, pointer: str) -> tuple[np.ndarray | None, dict[str, Any]]:
    """What is stored of a leaf (None: of a shape, nothing), and its entry in the manifest."""
    kind = "numpy" if isinstance(leaf, np.ndarray | np.generic) else "number" if isinstance(leaf, bool | int | float) else "jax"
    leaf = np.asarray(leaf) if kind == "number" else leaf
    if not isinstance(leaf, jax.Array | np.ndarray | np.generic | jax.ShapeDtypeStruct):
        raise ValueError(f"{pointer or 'the tree'} must be an array, a number or None to be saved, got {type(leaf).__name__}")
    entry = {"shape": list(leaf.shape), "dtype": str(leaf.dtype), "kind": kind}
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return None, entry
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(jax.random.key_data(leaf)), entry | {"kind": "key", "implementation": str(jax.random.key_impl(leaf))}
    if entry["dtype"] not in NATIVE | VIEWED.keys():
        raise ValueError(f"{pointer or 'the tree'} must be of numbers to be saved, got dtype {entry['dtype']}")
    array = np.array(leaf, order="C")  # safetensors takes the memory as it lies
    return (array.view(VIEWED[entry["dtype"]]) if entry["dtype"] in VIEWED else array), entry


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with open(partial, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def _load(path: Path, like: Any) -> tuple[Any, dict[str, Any]]:
    if path.suffix != SUFFIX or path.is_dir():
        raise Refused(f"{path} is not a {SUFFIX} file")
    if not path.is_file():
        raise Refused(f"there is no file {path}")
    manifest, data = _manifest(manifest_of(path)), path.read_bytes()
    if hashlib.sha256(data).hexdigest() != manifest["sha256"]:
        raise Refused(f"{path.name} is not as it was written: its sha256 is not the one in {manifest_of(path).name}")
    try:
        arrays = safetensors.numpy.load(data)
    except (SafetensorError, KeyError, ValueError) as error:
        raise Refused(f"{path.name} cannot be read: {error}") from None
    entries = manifest["arrays"]
    if arrays.keys() != entries.keys():
        raise Refused(f"{path.name} holds other arrays than {manifest_of(path).name} says")
    leaves = {pointer: _restored(array, entries[pointer], f"{path.name}: {pointer}") for pointer, array in arrays.items()}
    if like is not None:
        _compare(manifest, like, path.name)
    return _built(manifest["structure"], leaves, like, path.name), manifest


def _manifest(path: Path) -> dict[str, Any]:
    """The content of a manifest, of the right types at the top."""
    if not path.is_file():
        raise Refused(f"{path.name} is missing: the manifest must lie beside the {SUFFIX} file")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        raise Refused(f"{path.name} is not JSON") from None
    types = {"format": int, "sha256": str, "structure": dict | str | None, "arrays": dict, "about": dict}
    sound = isinstance(found, dict) and all(name in found and isinstance(found[name], kind) for name, kind in types.items())
    if not sound or found["format"] != FORMAT:
        raise Refused(f"{path.name} is not a manifest of format {FORMAT}")
    return found


def _restored(array: np.ndarray, entry: Any, where: str) -> Any:
    """The leaf that was stored as `array`."""
    parts = isinstance(entry, dict) and [entry.get(name) for name in ("shape", "dtype", "kind")]
    if not parts or parts[2] not in KINDS or (parts[2] == "key" and entry.get("implementation") not in KEYS):
        raise Refused(f"{where} is not described in the manifest as an array")
    shape, dtype, kind = parts
    if isinstance(dtype, str) and VIEWED.get(dtype) == str(array.dtype):
        array = array.view(jnp.dtype(dtype))
    if kind == "key":
        array = _key(array, entry["implementation"], where)
    if (list(array.shape), str(array.dtype)) != (shape, dtype) or (kind == "number" and shape):
        raise Refused(f"{where} must be {dtype} {shape} as the manifest says, got {array.dtype} {list(array.shape)}")
    if kind == "jax":
        with jax.enable_x64(True):  # or a float64 array would come back as float32
            return jnp.array(array)
    return array.item() if kind == "number" else np.array(array) if kind == "numpy" else array


def _key(data: np.ndarray, implementation: str, where: str) -> jax.Array:
    try:
        return jax.random.wrap_key_data(jnp.array(data), impl=implementation)
    except (TypeError, ValueError):
        raise Refused(f"{where} holds no PRNG keys of {implementation}") from None


def _compare(manifest: dict[str, Any], like: Any, name: str) -> None:
    """Refuse a tree whose structure, shapes or dtypes are not those of `like`."""
    expected: dict[str, dict[str, Any]] = {}
    if _outline(like, "", {}, expected) != manifest["structure"]:
        raise Refused(f"{name} holds a tree of another structure than expected")
    for pointer, entry in expected.items():
        wanted, found = ((one["dtype"], one["shape"]) for one in (entry, manifest["arrays"][pointer]))
        if wanted != found:
            raise Refused(f"{name}: {pointer} must be {wanted[0]} {wanted[1]}, got {found[0]} {found[1]}")


def _built(node: Any, leaves: dict[str, Any], like: Any, name: str) -> Any:
    """The tree whose structure is `node`; records are of the classes in `like`, or of invbench."""
    inner = lambda part, where: _built(part, leaves, where, name)  # noqa: E731
    if node is None or (isinstance(node, str) and node in leaves):
        return None if node is None else leaves[node]
    kind, parts = _container(node)
    if kind == "text":
        return parts
    if kind == "dict":
        return {key: inner(part, None if like is None else like[key]) for key, part in parts.items()}
    if kind in ("tuple", "list"):
        content = [inner(part, None if like is None else like[number]) for number, part in enumerate(parts)]
        return content if kind == "list" else tuple(content)
    if kind == "fields":
        record = _record(node["record"], parts, name) if like is None else type(like)
        return record(**{key: inner(part, None if like is None else getattr(like, key)) for key, part in parts.items()})
    raise Refused(f"the structure in the manifest of {name} is not that of a tree")


def _container(node: Any) -> tuple[str, Any]:
    """The kind of a node with its parts; "" where it is none."""
    for kind, names, content in (
        ("dict", {"dict"}, dict), ("tuple", {"tuple"}, list), ("list", {"list"}, list), ("fields", {"record", "fields"}, dict),
        ("text", {"text"}, str),
    ):  # fmt: skip
        if isinstance(node, dict) and node.keys() == names and isinstance(node[kind], content):
            return kind, node[kind]
    return "", None


def _record(text: Any, parts: dict[str, Any], name: str) -> type:
    """The class of records of invbench that is called `text`."""
    found = _named(text)
    expected = _fields(found) if isinstance(found, type) else None
    if expected is None or set(expected) != parts.keys():
        raise Refused(f"{name} holds a record that is none of invbench with these fields, got {text!r}")
    return found


def _named(text: Any) -> Any:
    """What "module:name" names where it is defined in that module of invbench; else None, and nothing foreign is imported."""
    found = re.fullmatch(r"(invbench(?:\.\w+)+):(\w+)", text) if isinstance(text, str) else None
    if found is None:
        return None
    try:
        named = getattr(importlib.import_module(found[1]), found[2], None)
    except ImportError:
        return None
    own = getattr(named, "__module__", None) == found[1] and getattr(named, "__qualname__", None) == found[2]
    return named if own else None


def _check_arguments(role: str, function: Any, text: str, arguments: list[str]) -> None:
    """Refuse a function that is no policy's, whatever it would do."""
    if list(inspect.signature(function).parameters) != arguments:
        raise Refused(f"{role} of a policy must be a function of {', '.join(arguments)}, got {text!r}")
