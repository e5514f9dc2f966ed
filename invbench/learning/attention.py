"""Attention over the past: heads that choose, by what a network sees today, which of the last periods matter.

Source: Vaswani et al. 2017, "Attention is all you need" (arXiv 1706.03762), equation 1 and section 3.2.2, with today as the one
query. A past period's key and value are linear in what was seen in it and have a part for its place in the window, so that
no token is ever written down: all is products of small matrices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from invbench.checks import require, whole
from invbench.keys import named
from invbench.learning import features
from invbench.types import Array

WIDTH = 8  # of a head


class Past(NamedTuple):
    """Where the features of past periods stand, and how many heads read them."""

    first: int  # of all features
    window: int  # periods
    heads: int


def past_of(heads: int, names: Sequence[str], lead_time: int, window: int) -> Past | None:
    """What `heads` of attention read of the features `names`; None where there are none. Raises ValueError."""
    if not whole("method.attention", heads):
        return None
    require("history" in names and window > 0, "method.attention", "0 where no history is looked at", heads)
    before = names[: names.index("history")]
    return Past(features.count(before, lead_time, window), window, heads)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["query", "slope", "place", "worth", "worth_of_place"],
    meta_fields=["first"],
)
@dataclass(frozen=True, eq=False)
class Reader:
    """Heads of attention."""

    query: Array  # [head, width, feature] of all that is seen today
    slope: Array  # [head, width] of a key, by what was seen
    place: Array  # [head, width, period] the rest of it, by when
    worth: Array  # [head, width] of a value, by what was seen
    worth_of_place: Array  # [head, width, period]
    first: int  # feature that is the oldest period's


def initial(key: Array, past: Past, inputs: int) -> Reader:
    """Random heads for so many features; variances are 1 / inputs of what is summed (LeCun et al. 1998)."""
    draw = lambda name, *shape: jax.random.normal(named(key, name), (past.heads, WIDTH, *shape))  # noqa: E731
    query, place = draw("query", inputs) / inputs**0.5, draw("place", past.window)
    return Reader(query, draw("slope"), place, draw("worth"), 0.1 * draw("worth of place", past.window), past.first)


def outputs(past: Past | None) -> int:
    """How many rows `read` adds."""
    return past.heads * WIDTH if past else 0


def read(reader: Reader, rows: Array) -> Array:
    """[feature + head x width, row]: rows [feature, row] with what the heads found below."""
    heads, width, periods = reader.place.shape
    seen = rows[reader.first : reader.first + periods]
    query = (reader.query.reshape(heads * width, -1) @ rows).reshape(heads, width, -1)
    by_seen = (reader.slope[..., None] * query).sum(1)  # [head, row]
    scores = by_seen[:, None] * seen + jnp.einsum("hcp,hcr->hpr", reader.place, query)
    shares = jax.nn.softmax(scores / width**0.5, axis=1)
    found = reader.worth[..., None] * (shares * seen).sum(1)[:, None] + jnp.einsum("hcp,hpr->hcr", reader.worth_of_place, shares)
    return jnp.concatenate([rows, found.reshape(heads * width, -1)])
