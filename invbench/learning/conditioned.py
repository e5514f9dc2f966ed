"""A network that orders for any setting of one stocking point: it is told the setting, and sees stock in its units.

The network says by how much to depart from the newsvendor's level for lead-time demand, and how much to order at most: the form
of a capped base-stock rule (Xin 2021, Operations Research 69(1)), with a level and a cap that depend on the whole state.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from invbench.forecasts.linear import lead_time_demand
from invbench.learning import networks
from invbench.learning.networks import Layers
from invbench.types import Array, Observation

STATE = 6  # features of a state and a setting, beside the pipeline and the lead time
FAR = 8.0  # standard deviations beyond which all stocks are alike
CVS = 0.02, 3.0  # outside of it a CV is taken as its nearest end


class Told(NamedTuple):
    """What the network is told of a setting, each [..., item] or of fewer axes."""

    z: Array  # the standard normal's quantile at shortage / (shortage + holding)
    mean: Array  # units a period
    cv: Array  # of a period's demand
    whole: Array  # bool: demand comes in whole units


class Stock(NamedTuple):
    """What it sees, in units."""

    on_hand: Array  # [..., item] once what is due has arrived
    position: Array  # [..., item] inventory position
    pipeline: Array  # [lead_time - 1, ..., item] outstanding orders, the next to arrive first


def sizes(longest: int, hidden: tuple[int, ...]) -> tuple[int, ...]:
    """Widths of the layers of a network for lead times up to `longest`."""
    return STATE + max(longest - 1, 0) + longest + 1, *hidden, 2


def initial(key: Array, longest: int, hidden: tuple[int, ...]) -> Layers:
    """Random layers that order about as the newsvendor's level says."""
    return networks.initial(key, sizes(longest, hidden), scale_last=0.1)


def features(told: Told, stock: Stock, lead_time: int, longest: int) -> Array:
    """[feature, ..., item]: stock in periods of mean demand, how far it is from where a rule would have it, and the setting.

    Outstanding orders are aligned by when they arrive, and zero beyond the lead time.
    """
    spread = told.cv * told.mean
    gap = (level(told, lead_time) - stock.position) / (spread * (lead_time + 1) ** 0.5)
    cover = (stock.on_hand - told.mean) / spread
    units = jnp.where(told.whole, jnp.log(told.mean), 4.0) / 4  # as if demand were large where it is not whole
    rows = [stock.on_hand / told.mean, jnp.clip(gap, -FAR, FAR), jnp.clip(cover, -FAR, FAR), told.z, told.cv, units]
    rows = jnp.stack([jnp.broadcast_to(row, stock.on_hand.shape) for row in rows])
    missing = max(longest - 1, 0) - stock.pipeline.shape[0]
    coming = jnp.concatenate([stock.pipeline / told.mean, jnp.zeros((missing, *stock.on_hand.shape))])
    which = jnp.zeros((longest + 1, *stock.on_hand.shape)).at[lead_time].set(1.0)
    return jnp.concatenate([rows, coming, which])


def level(told: Told, lead_time: int) -> Array:
    """[..., item] units: the newsvendor's level for the demand of lead time + 1 periods, taken as normal."""
    cover = lead_time + 1
    return told.mean * (cover + told.z * told.cv * cover**0.5)


def amounts(layers: Layers, x: Array, told: Told, stock: Stock, lead_time: int) -> Array:
    """[..., item] units to order, before rounding; x: `features`."""
    return amounts_of(networks.apply(layers, x, jax.nn.elu), told, stock, lead_time)


def amounts_of(said: Array, told: Told, stock: Stock, lead_time: int) -> Array:
    """The same from what the network said [2, ..., item]."""
    spread = told.cv * told.mean
    wanted = level(told, lead_time) + said[0] * spread * (lead_time + 1) ** 0.5 - stock.position
    most = told.mean + spread * jax.nn.softplus(said[1] + 2)
    return jnp.clip(wanted, 0, most)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["layers", "z", "whole", "fixed", "threshold", "demand"],
    meta_fields=["lead_time", "longest"],
)
@dataclass(frozen=True, eq=False)
class Conditioned:
    """The params of a policy: a network that was trained on many settings, and what it is told of this one."""

    layers: Layers
    z: Array  # [item] see `Told`
    whole: Array  # [item] bool
    fixed: Array  # [item] what an order costs, in what holding a unit for a period costs
    threshold: Array  # [1] a part of a unit from which on it is ordered whole
    demand: dict[str, Array]  # of a forecast, or: mean [period, item] units, cv [1, item], start [1]
    lead_time: int
    longest: int  # lead time that the network was trained for


def order_by_profile(params: Conditioned, observation: Observation, key: Array | None) -> Array:
    """[..., item] units, for the demand that was expected of each period when the policy was made."""
    mean = params.demand["mean"][observation.time - params.demand["start"][0]]
    return _order(params, observation, mean, params.demand["cv"][0])


def order_by_forecast(params: Conditioned, observation: Observation, key: Array | None) -> Array:
    """[..., item] units, for the demand that the forecast says."""
    total, error = lead_time_demand(params.demand, observation)
    cover = params.lead_time + 1
    total = jnp.maximum(total, 1e-3 * error + 1e-6)
    return _order(params, observation, total / cover, error / total * cover**0.5)


def _order(params: Conditioned, observation: Observation, mean: Array, cv: Array) -> Array:
    """Where an order has a fixed cost, the economic order quantity beyond a period's demand is ordered on top, and less than
    half a period's demand waits: the network was trained without such a cost."""
    told = Told(params.z, mean, jnp.clip(cv, *CVS), params.whole)
    stock = Stock(observation.on_hand, observation.position, observation.pipeline)
    x = features(told, stock, params.lead_time, params.longest)
    units = amounts(params.layers, x, told, stock, params.lead_time)
    lot = jnp.maximum(jnp.sqrt(2 * params.fixed * mean) - mean, 0)
    units = jnp.where(params.fixed > 0, jnp.where(units >= mean / 2, units + lot, 0), units)
    return jnp.where(params.whole, jnp.floor(units + 1 - params.threshold), units)
