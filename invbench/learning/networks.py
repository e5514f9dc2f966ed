"""Dense networks as plain pytrees; features come first, so that a block of paths and items is one matrix product per layer."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp

from invbench.checks import require
from invbench.keys import named
from invbench.learning import attention, features
from invbench.learning.attention import Past, Reader
from invbench.types import Array, Observation

ONE = math.log(math.e - 1)  # softplus of it is 1: so much bias orders the mean demand
Layers = tuple[dict[str, Array] | Reader, ...]  # of each layer: weights [out, in], bias [out]; before them perhaps attention


def initial(key: Array, sizes: Sequence[int], scale_last: float = 1.0, past: Past | None = None) -> Layers:
    """Random layers of widths sizes = (in, hidden, …, out); `scale_last` shrinks the weights of the last one.

    past: what heads of attention read before the first layer; None: there are none.
    Normal with variance 2 / in and bias 0 (He et al. 2015, "Delving deep into rectifiers", equation 10). Raises ValueError
    where there is nothing to look at.
    """
    require(sizes[0] > 0, "method.features", "at least one feature that this problem has (history: problem.window >= 1)", "none")
    if past:
        wider = (sizes[0] + attention.outputs(past), *sizes[1:])
        return (attention.initial(named(key, "attention"), past, sizes[0]), *initial(key, wider, scale_last))
    keys, last = jax.random.split(key, len(sizes) - 1), len(sizes) - 2
    return tuple(
        _layer(keys[i], sizes[i], sizes[i + 1], (2.0 / sizes[i]) ** 0.5 * (scale_last if i == last else 1.0))
        for i in range(len(sizes) - 1)
    )


def sizes(layers: Layers) -> tuple[int, ...]:
    """The widths that `initial` made them of."""
    dense = layers[1:] if isinstance(layers[0], Reader) else layers
    inputs = layers[0].query.shape[-1] if dense is not layers else layers[0]["weights"].shape[1]
    return (inputs, *(layer["bias"].shape[0] for layer in dense))


def _layer(key: Array, inputs: int, outputs: int, scale: float) -> dict[str, Array]:
    return {"weights": scale * jax.random.normal(key, (outputs, inputs)), "bias": jnp.zeros(outputs)}


def apply(layers: Layers, x: Array, activation: Callable[[Array], Array] = jax.nn.relu) -> Array:
    """[out, ...] of x [in, ...]; the activation follows every layer but the last."""
    rows = x.reshape(x.shape[0], -1)  # products of two matrices: half as long as with more axes
    if isinstance(layers[0], Reader):
        rows, layers = attention.read(layers[0], rows), layers[1:]
    for layer in layers[:-1]:
        rows = activation(_dense(layer, rows))
    return _dense(layers[-1], rows).reshape(-1, *x.shape[1:])


def _dense(layer: dict[str, Array], rows: Array) -> Array:
    return layer["weights"] @ rows + layer["bias"][:, None]


@partial(
    jax.tree_util.register_dataclass, data_fields=["layers", "scale", "least", "threshold"], meta_fields=["features", "whole"]
)
@dataclass(frozen=True, eq=False)
class Network:
    """The params of a policy that orders what a network says: what is learned, and what is known of the problem."""

    layers: Layers
    scale: Array  # [item] mean demand a period, units: inputs are divided by it and outputs multiplied
    least: Array  # [item] units: a smaller order is not placed
    threshold: Array  # [] a part of a unit from which on it is ordered whole
    features: tuple[str, ...]  # what the network looks at, see features.stacked
    whole: bool  # orders are rounded to whole units


def order(params: Network, observation: Observation, key: Array | None) -> Array:
    """[..., item] what the network orders, in whole units where demand is whole; too small an order is not placed."""
    units = amount(params, observation)
    units = jnp.floor(units + 1 - params.threshold) if params.whole else units
    return jnp.where(units >= params.least, units, 0)


def amount(params: Network, observation: Observation) -> Array:
    """[..., item] the same before rounding: softplus of the network's output, in periods of mean demand.

    The hidden layers have ELU, as in the settings published with Alvo et al. 2023 (arXiv 2306.11246): no unit dies.
    """
    return params.scale * _periods(params.layers, features.stacked(observation, params.features, params.scale))


def unlike(layers: Layers, scale: Array, x: Array, order: Array) -> Array:
    """[] mean squared distance from orders [row, item], in periods of mean demand; x [feature, row, item]."""
    return jnp.square(_periods(layers, x) - order / scale).mean()


def _periods(layers: Layers, x: Array) -> Array:
    """Orders [...] in periods of mean demand, of features x [feature, ...]."""
    return jax.nn.softplus(apply(layers, x - 1, jax.nn.elu)[0])  # about zero near the mean demand
