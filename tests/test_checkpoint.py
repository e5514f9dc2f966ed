"""Trees of arrays as files: they come back as they were, and what is not whole or not ours is refused in one sentence."""

import json
from hashlib import sha256

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from invbench.jobs import Refused
from invbench.learning import checkpoint
from invbench.learning.networks import Network
from invbench.methods.clairvoyant import Orders
from invbench.methods.s_S import reorder_up_to
from invbench.types import Policy

POLICY = Policy({"reorder_point": jnp.asarray([3.0, 4.0]), "lot": jnp.asarray([5.0, 6.0])}, reorder_up_to)


def tree():
    """One of everything that can be stored."""
    with jax.enable_x64(True):
        precise = jnp.asarray([1 / 3, 2 / 3])
    layers = ({"weights": jnp.arange(6.0).reshape(2, 3), "bias": None}, [jnp.zeros((0, 4)), np.zeros((3, 0), np.int16)])
    return {
        "layers": layers,
        "network": Network(layers, jnp.ones(2), jnp.zeros(1), jnp.asarray(0.5), ("on_hand", "pipeline"), True),
        "plan": Orders(jnp.ones((2, 1)), jnp.asarray([7], jnp.int32)),
        "nothing": {"dict": {}, "tuple": (), "list": [], "none": None},
        "precise": (precise, np.asarray(np.pi)),
        "narrow": (jnp.asarray([1.5, -2.25], jnp.bfloat16), np.asarray(0.1, np.float16), jnp.asarray(300, jnp.int16)),
        "numbers": (3, -0.1, True, np.float64(0.2)),
        "flags": np.asarray([True, False]),
        "turned": np.arange(12, dtype=np.int64).reshape(3, 4).T,
        "a/b": np.asarray(1),
        "a": {"b": np.asarray(2), "~1": np.asarray(3)},
        "keys": (jax.random.key(3), jax.random.split(jax.random.key(4, impl="rbg"), 2)),
    }


def plain(leaf):
    is_key = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if is_key else leaf)


def assert_same(found, given):
    assert jax.tree.structure(found) == jax.tree.structure(given)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(given), strict=True):
        assert isinstance(one, jax.Array) == isinstance(other, jax.Array)
        assert getattr(one, "dtype", type(one)) == getattr(other, "dtype", type(other))
        np.testing.assert_array_equal(plain(one), plain(other))
        assert plain(one).shape == plain(other).shape


def test_every_kind_of_tree_comes_back_as_it_was(tmp_path):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, tree(), {"update": 7})
    found, about = checkpoint.load(path)
    assert_same(found, tree())
    assert about == {"update": 7} and sorted(file.name for file in tmp_path.iterdir()) == ["state.json", "state.safetensors"]


@pytest.mark.parametrize("single", [None, {}, (), np.zeros((0, 2)), jnp.asarray(1.0)])
def test_the_smallest_trees_come_back(tmp_path, single):
    checkpoint.save(tmp_path / "state.safetensors", single, {})
    assert_same(checkpoint.load(tmp_path / "state.safetensors")[0], single)


def test_the_file_is_plain_safetensors_and_the_same_bytes_again(tmp_path):
    paths = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for path in paths:
        checkpoint.save(path, tree(), {})
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert checkpoint.manifest_of(paths[0]).read_bytes() == checkpoint.manifest_of(paths[1]).read_bytes()
    stored = safetensors.numpy.load_file(paths[0])
    np.testing.assert_array_equal(stored["/layers/0/weights"], np.arange(6, dtype=np.float32).reshape(2, 3))
    assert [int(stored[name]) for name in ("/a~1b", "/a/b", "/a/~01")] == [1, 2, 3]  # RFC 6901: ~1 is /, ~0 is ~


def test_a_training_state_comes_back_in_the_classes_of_its_template(tmp_path):
    params = {"weights": jnp.ones((2, 3))}
    state = (params, optax.adam(1e-3).init(params))
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, state, {})
    assert_same(checkpoint.load(path, like=state)[0], state)
    assert_same(checkpoint.load(path, like=jax.eval_shape(lambda: state))[0], state)
    with pytest.raises(Refused, match="^state.safetensors holds a record that is none of invbench.*'optax"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "like, sentence",
    [
        ({"w": np.zeros((2, 4)), "k": jax.random.key(0)}, r"/w must be float64 \[2, 4\], got float64 \[2, 3\]"),
        ({"w": np.zeros((2, 3), np.float32), "k": jax.random.key(0)}, r"/w must be float32 \[2, 3\], got float64 \[2, 3\]"),
        ({"w": np.zeros((2, 3)), "k": jax.random.key(0, impl="rbg")}, r"/k must be key<rbg> \[\], got key<fry> \[\]"),
        ({"w": np.zeros((2, 3))}, "another structure"),
        ((np.zeros((2, 3)), jax.random.key(0)), "another structure"),
    ],
)
def test_another_tree_than_expected_is_refused(tmp_path, like, sentence):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"w": np.zeros((2, 3)), "k": jax.random.key(0)}, {})
    with pytest.raises(Refused, match=sentence):
        checkpoint.load(path, like=like)


@pytest.mark.parametrize(
    "bad, sentence",
    [
        ({1: np.zeros(1)}, "keys in the tree must be text"),
        ({"a": {1, 2}}, "/a must be an array, a number or None"),
        ({"a": [np.asarray([None])]}, "/a/0 must be of numbers to be saved, got dtype object"),
        ({"a": 2**70}, "/a must be of numbers"),
        ({"a": np.zeros(1, ">f4")}, "/a must be of numbers to be saved, got dtype >f4"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_what_was_there_stays(tmp_path, bad, sentence):
    path = tmp_path / "state.safetensors"
    checkpoint.save(path, {"a": np.ones(2)}, {})
    with pytest.raises(ValueError, match=sentence):
        checkpoint.save(path, bad, {})
    assert_same(checkpoint.load(path)[0], {"a": np.ones(2)})


# ---- what is not as it was written


@pytest.fixture
def path(tmp_path):
    checkpoint.save_policy(tmp_path / "policy.safetensors", POLICY, {"seed": 1}, {"position": [2]})
    return tmp_path / "policy.safetensors"


def change(path, edit):
    """Edit the manifest of a file."""
    manifest = json.loads(path.with_suffix(".json").read_text())
    edit(manifest)
    path.with_suffix(".json").write_text(json.dumps(manifest))


def replace_data(path, data):
    """Other bytes with the hash that fits them."""
    path.write_bytes(data)
    change(path, lambda manifest: manifest.update(sha256=sha256(data).hexdigest()))


def refused(path, sentence):
    with pytest.raises(Refused, match=sentence) as error:
        checkpoint.load_policy(path)
    assert "\n" not in str(error.value)


def test_a_policy_comes_back(path):
    found = checkpoint.load_policy(path)
    assert_same(found.policy.params, POLICY.params)
    assert found.policy[1:] == POLICY[1:] and (found.config, found.reads) == ({"seed": 1}, {"position": [2]})
    assert found.sha256 == sha256(path.read_bytes()).hexdigest()


def test_a_file_that_is_not_there_or_of_another_kind_is_refused(path, tmp_path):
    refused(tmp_path / "other.safetensors", "^there is no file .*other.safetensors$")
    refused(path.with_suffix(".json"), "policy.json is not a .safetensors file$")
    refused(tmp_path, "is not a .safetensors file$")


@pytest.mark.parametrize(
    "content, sentence",
    [
        (None, "^policy.json is missing: the manifest must lie beside the .safetensors file$"),
        (b"{", "^policy.json is not JSON$"),
        (b"\xff\xfe", "^policy.json is not JSON$"),
        (b"[" * 100_000, "^policy.json is not JSON$"),
        (b"[]", "^policy.json is not a manifest of format 1$"),
        (b'{"format": 2}', "^policy.json is not a manifest of format 1$"),
    ],
)
def test_a_manifest_that_is_none_is_refused(path, content, sentence):
    manifest = path.with_suffix(".json")
    manifest.unlink() if content is None else manifest.write_bytes(content)
    refused(path, sentence)


@pytest.mark.parametrize("cut", [0, 4, 20, -1])
def test_a_truncated_or_changed_file_is_refused(path, cut):
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    refused(path, "^policy.safetensors is not as it was written: its sha256 is not the one in policy.json$")
    replace_data(path, whole[:cut])  # even with a hash that fits
    refused(path, "^policy.safetensors cannot be read: ")
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    refused(path, "is not as it was written")


@pytest.mark.parametrize(
    "edit, sentence",
    [
        (lambda m: m["arrays"]["/lot"].update(shape=[1]), r"/lot must be float32 \[1\] as the manifest says, got float32 \[2\]$"),
        (lambda m: m["arrays"]["/lot"].update(dtype="float64"), r"/lot must be float64 \[2\] as the manifest says"),
        (lambda m: m["arrays"]["/lot"].update(kind="pickle"), "/lot is not described in the manifest as an array$"),
        (lambda m: m["arrays"]["/lot"].update(kind="number"), "/lot must be"),
        (lambda m: m["arrays"]["/lot"].update(kind="key", implementation="rbg"), "/lot holds no PRNG keys of rbg$"),
        (lambda m: m["arrays"].pop("/lot"), "holds other arrays than policy.json says$"),
        (lambda m: m.update(structure={"set": []}), "the structure in the manifest of policy.safetensors is not that of a tree$"),
        (lambda m: m.update(structure={"record": "invbench.jobs:Path", "fields": {}}), "none of invbench.*'invbench.jobs:Path'$"),
        (lambda m: m.update(structure={"dict": {"lot": "/other"}}), "is not that of a tree$"),
        (lambda m: m.update(structure={"record": "os:stat_result", "fields": {}}), "none of invbench.*'os:stat_result'$"),
        (lambda m: m["about"].pop("config"), "policy.json is not the manifest of a policy$"),
        (lambda m: m["about"]["policy"].update(window="3"), "policy.json is not the manifest of a policy$"),
        (lambda m: m["about"].update(reads={"position": 3}), "policy.json is not the manifest of a policy$"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(path, edit, sentence):
    change(path, edit)
    refused(path, sentence)


@pytest.mark.parametrize(
    "apply",
    [
        "os:system",
        "canary:apply",
        "invbench:os.system",
        "invbench.jobs:os",  # foreign, seen through a module of ours
        "invbench.canary:apply",
        "invbench.methods.s_S:search",  # ours, but defined elsewhere
        "invbench.methods.s_S:ReorderUpTo",  # no function
        "invbench.methods.s_S:ReorderUpTo.fit",
        "invbench.methods.s_S:nothing",
        "invbench.methods.s_S.reorder_up_to",
        None,
    ],
)
def test_a_policy_whose_function_is_not_ours_is_refused_before_anything_is_imported(path, tmp_path, monkeypatch, apply):
    (tmp_path / "canary.py").write_text(
        f"open({str(tmp_path / 'sung')!r}, 'w').close()\ndef apply(params, observation, key): 0\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    change(path, lambda manifest: manifest["about"]["policy"].update(apply=apply))
    refused(path, "apply in policy.json must be a function of a module of invbench")
    assert not (tmp_path / "sung").exists()


def test_a_function_of_ours_that_is_no_policy_is_refused(path):
    change(path, lambda manifest: manifest["about"]["policy"].update(apply="invbench.jobs:prepare"))
    refused(path, "^apply of a policy must be a function of params, observation, key, got 'invbench.jobs:prepare'$")


def not_ours(params, observation, key):
    return params["level"]


@pytest.mark.parametrize("apply", [not_ours, lambda params, observation, key: 0, jnp.add])
def test_a_policy_that_could_not_be_found_again_is_not_saved(tmp_path, apply):
    with pytest.raises(ValueError, match="^apply of a policy must be a function of a module of invbench to be saved"):
        checkpoint.save_policy(tmp_path / "policy.safetensors", POLICY._replace(apply=apply), {}, {})
    assert not list(tmp_path.iterdir())
