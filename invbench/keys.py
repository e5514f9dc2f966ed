"""Randomness by name: a key belongs to what it is for, so that adding a method moves no other method's numbers."""

import hashlib

import jax


def stable_hash(text: str) -> int:
    """A 32-bit hash of text that is the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def named(key: jax.Array, *names: str) -> jax.Array:
    """The key for `names` under `key`: one fold per name."""
    for name in names:
        key = jax.random.fold_in(key, stable_hash(name))
    return key


def root(seed: int, *names: str) -> jax.Array:
    """The key for `names` under the run's seed."""
    return named(jax.random.key(seed), *names)
