"""Networks that read a window of past periods: an LSTM and a causal transformer, as plain pytrees.

A window is `ratio` [period, lane] (what was seen, in units of the series' own scale, about zero) and `waves` [wave, period, lane]
(the calendar; one lane stands for all where their periods are the same). The code of a window is [width, lane]. Lanes come last,
so that what is small is looped over and what is many fills the vector units.
"""

import jax
import jax.numpy as jnp
from jax import lax

from invbench.keys import named
from invbench.types import Array

KINDS = "lstm", "transformer"
EXPANSION = 2  # width of a block's dense layer, as a multiple of the network's
EPSILON = 1e-5
Encoder = dict[str, Array | tuple]


def initial(kind: str, key: Array, *, width: int, waves: int, window: int, blocks: int) -> Encoder:
    """A random encoder; `window` and `blocks` matter to the transformer alone."""
    return _initial_lstm(key, width, waves) if kind == "lstm" else _initial_transformer(key, width, waves, window, blocks)


def encode(kind: str, encoder: Encoder, ratio: Array, waves: Array, heads: int) -> Array:
    """[width, lane] of windows ratio [period, lane] and waves [wave, period, lane or 1]."""
    return _lstm(encoder, ratio, waves) if kind == "lstm" else _transformer(encoder, ratio, waves, heads)


def _random(key: Array, name: str, *shape: int) -> Array:
    """Normal with variance 1 / inputs (LeCun et al. 1998), inputs being the last axis."""
    return jax.random.normal(named(key, name), shape) / shape[-1] ** 0.5


# LSTM


def _initial_lstm(key: Array, width: int, waves: int) -> Encoder:
    """Forget gates begin open, or nothing early in the window would have a slope (Jozefowicz et al. 2015)."""
    bias = jnp.zeros((4, width, 1)).at[1].set(1.0).reshape(-1, 1)
    state, calendar = _random(key, "state", 4 * width, width), 0.3 * _random(key, "calendar", 4 * width, waves)
    return {"state": state, "seen": 0.5 * _random(key, "seen", 4 * width, 1), "calendar": calendar, "bias": bias}


def _lstm(encoder: Encoder, ratio: Array, waves: Array) -> Array:
    """The state after the last period (Hochreiter and Schmidhuber 1997; forget gates of Gers et al. 2000)."""
    width = encoder["state"].shape[1]

    def step(carry: tuple[Array, Array], today: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        hidden, cell = carry
        known = encoder["calendar"] @ today[1] + encoder["bias"]
        gates = encoder["state"] @ hidden + encoder["seen"] * today[0] + known
        taken, kept, new, shown = gates.reshape(4, width, -1)
        cell = jax.nn.sigmoid(kept) * cell + jax.nn.sigmoid(taken) * jnp.tanh(new)
        return (jax.nn.sigmoid(shown) * jnp.tanh(cell), cell), None

    nothing = jnp.zeros((width, ratio.shape[1]), ratio.dtype)
    return lax.scan(step, (nothing, nothing), (ratio, jnp.moveaxis(waves, 1, 0)))[0][0]


# transformer


def _initial_transformer(key: Array, width: int, waves: int, window: int, blocks: int) -> Encoder:
    return {
        "seen": _random(key, "seen", width, 1),
        "calendar": _random(key, "calendar", width, waves),
        "position": 0.3 * jax.random.normal(named(key, "position"), (width, window, 1)),
        "blocks": tuple(_initial_block(named(key, f"block {number}"), width) for number in range(blocks)),
        "gain": jnp.ones((width, 1, 1)),
    }


def _initial_block(key: Array, width: int) -> Encoder:
    """What is added to the tokens begins small, so that depth costs no slope."""
    ones, inner = jnp.ones((width, 1, 1)), EXPANSION * width
    given = {name: _random(key, name, width, width) for name in ("query", "key", "value")}
    given |= {"out": 0.3 * _random(key, "out", width, width), "wide": _random(key, "wide", inner, width)}
    given |= {"wide_bias": jnp.zeros((inner, 1)), "narrow": 0.3 * _random(key, "narrow", width, inner)}
    return given | {"narrow_bias": jnp.zeros((width, 1)), "gain": ones, "gain_dense": ones}


def _transformer(encoder: Encoder, ratio: Array, waves: Array, heads: int) -> Array:
    """The last period's token after pre-norm blocks (Vaswani et al. 2017; Xiong et al. 2020, "On layer normalization").

    A period's token attends to that period and earlier ones. In the last block only the last token is needed.
    """
    known = _dense(encoder["calendar"], waves) + encoder["position"]
    tokens = encoder["seen"][..., None] * ratio + known
    for block in encoder["blocks"][:-1]:
        tokens = _block(block, tokens, tokens.shape[1], heads)
    return _norm(_block(encoder["blocks"][-1], tokens, 1, heads), encoder["gain"])[:, 0]


def _block(block: Encoder, tokens: Array, last: int, heads: int) -> Array:
    """[width, last, lane] tokens of the last periods after attention and a dense layer; tokens [width, period, lane]."""
    normed = _norm(tokens, block["gain"])
    tokens = tokens[:, -last:] + _dense(block["out"], _attention(block, normed, last, heads))
    wide = jax.nn.gelu(_dense(block["wide"], _norm(tokens, block["gain_dense"])) + block["wide_bias"][..., None])
    return tokens + _dense(block["narrow"], wide) + block["narrow_bias"][..., None]


def _attention(block: Encoder, tokens: Array, last: int, heads: int) -> Array:
    """[width, last, lane] what the last periods take from those up to themselves; tokens [width, period, lane]."""
    width, periods, lanes = tokens.shape
    split = lambda name, some: _dense(block[name], some).reshape(heads, width // heads, some.shape[1], lanes)  # noqa: E731
    query, key, value = split("query", tokens[:, -last:]), split("key", tokens), split("value", tokens)
    scores = jnp.einsum("hctn,hcsn->nhts", query, key) * (heads / width) ** 0.5
    asked = jnp.arange(periods - last, periods)[:, None]
    shares = jax.nn.softmax(jnp.where(jnp.arange(periods) <= asked, scores, -jnp.inf), axis=-1)
    return jnp.einsum("nhts,hcsn->hctn", shares, value).reshape(width, last, lanes)


def _dense(weights: Array, x: Array) -> Array:
    """[out, ...] of x [in, ...] as one product of two matrices."""
    return (weights @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])


def _norm(tokens: Array, gain: Array) -> Array:
    """Tokens of mean square 1 over their width (Zhang and Sennrich 2019)."""
    return tokens * lax.rsqrt(jnp.square(tokens).mean(0, keepdims=True) + EPSILON) * gain
