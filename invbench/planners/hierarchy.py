"""Three layers, each within what the one above decided: which sites, who is served from where, and how much to order each day.

The strategic layer opens sites for expected demand. The tactical one, a linear programme over months, says what each open site
serves, within what it can send and store, and what should be in stock at the end of the month. The operational one orders every
day by the dynamic programme of the site's own demand and lead time. Each may be replaced by a rule of thumb.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from invbench.networks import distribution
from invbench.networks.facilities import Facilities
from invbench.planners import operational, operational_demand, operational_stocking, tactical_allocation
from invbench.planners.tactical import Rolling
from invbench.problem import Problem
from invbench.types import Array, Observation

DRAWS = 512  # futures that give expected demand
SUPPORT, STATES = 64, 192  # steps of a site's demand in a period, and of its position
QUIET = 0.05  # share of a site's usual demand that the operational tables are made for at least
FLEXIBLE = 5.0  # by how much more or less than that a month may ask of a site
LIMITS = "throughput", "supply"  # a period
LEVEL = 0.5, 2.0  # by how much what was seen may change the forecast


class Outlook(NamedTuple):
    """Demand as the fit expects it, from period start - window on."""

    mean: np.ndarray  # [period, customer] units
    std: np.ndarray  # [period, customer]


class Money(NamedTuple):
    """What a unit costs, as the layers see it."""

    purchase: np.ndarray  # [site]
    holding: np.ndarray  # [site] per period
    lost: np.ndarray  # [customer] with its margin
    fixed_order: np.ndarray  # [site] per order
    salvage: np.ndarray  # [site]


def outlook(problem: Problem, key: Array) -> Outlook:
    """From many futures."""
    drawn = problem.outlook(key, DRAWS)
    return Outlook(drawn.mean(1, dtype=np.float64), drawn.std(1, dtype=np.float64))


def money(problem: Problem) -> Money:
    """From the cost model, node by node."""
    system, cost = problem.system, problem.cost
    node = lambda rate: np.broadcast_to(np.asarray(rate, np.float64), (system.nodes,))  # noqa: E731
    site, customer = slice(system.customers, None), slice(system.customers)
    lost = node(cost.price) + node(cost.shortage)
    return Money(
        node(cost.purchase)[site],
        node(cost.holding)[site],
        lost[customer],
        node(cost.fixed_order)[site],
        node(cost.salvage)[site],
    )


# ---- strategic


def largest(facilities: Facilities, customers_per_site: int) -> np.ndarray:
    """[site] bool: rule of thumb: a site for every so many customers, those with most demand nearest to them."""
    nearest = distribution.rates(facilities).argmin(0)
    demand = np.bincount(nearest, facilities.demand, facilities.shape[0])
    count = -(-facilities.shape[1] // customers_per_site)
    opened = np.zeros(facilities.shape[0], bool)
    opened[np.argsort(-demand, kind="stable")[:count]] = True
    return opened


# ---- tactical


def nearest_share(facilities: Facilities, opened: np.ndarray) -> np.ndarray:
    """[site, customer] rule of thumb: 1 for the nearest open site."""
    rates = np.where(opened[:, None], distribution.rates(facilities), np.inf)
    reached = np.isfinite(rates).any(0)
    return ((np.arange(len(opened))[:, None] == rates.argmin(0)) & reached).astype(float)


def tactics(problem: Problem, opened: np.ndarray, books: Money, near: int) -> dict[str, np.ndarray]:
    """What the tactical programme knows of the open sites, as `tactical_allocation.create` takes it, but limits a period.

    near: how many open sites a customer may be served from, the nearest ones.
    """
    system, sites = problem.system, np.flatnonzero(opened)
    rates = distribution.rates(problem.network)[sites]
    rates = np.where(np.argsort(np.argsort(rates, axis=0, kind="stable"), axis=0) < near, rates, np.inf)
    limit = lambda figure: np.full(len(sites), np.inf) if figure is None else np.asarray(figure, np.float64)[sites]  # noqa: E731
    lost = books.lost.min(keepdims=True)  # the programme has one figure for all customers
    return dict(
        transport=rates[..., None], purchase=books.purchase[sites, None], holding=books.holding[sites, None], unmet=lost,
        overfull=books.lost.max(), throughput=limit(system.site_throughput), supply=limit(system.arc_throughput),
        storage=limit(system.storage),
    )  # fmt: skip


def programme(known: dict[str, np.ndarray], daily: np.ndarray, every: int, count: int) -> tuple[Rolling, np.ndarray, int]:
    """The linear programme of the next months, their demand [month, customer], and how many periods the first of them has.

    known: see `tactics`; daily: [period, customer] expected demand from now to the end of the horizon: the last month may be cut
    short. Beyond it there is neither demand nor capacity.
    """
    demand = months(daily, every, count)
    days = np.clip(len(daily) - every * np.arange(count), 0, every)[:, None]
    limits = {name: np.where(np.isinf(known[name]), np.inf, np.nan_to_num(known[name], posinf=0) * days) for name in LIMITS}
    figures = {name: known[name] for name in ("transport", "purchase", "unmet", "overfull", "storage")}
    given = tactical_allocation.create(demand=demand[..., None], holding=known["holding"] * every, **figures, **limits)
    return Rolling(given), demand, int(days[0, 0])


def months(daily: np.ndarray, every: int, count: int) -> np.ndarray:
    """[month, customer] sums of daily [period, customer]; what lies beyond its end is nothing."""
    rows = np.zeros((count * every, daily.shape[1]))
    part = daily[: count * every]
    rows[: len(part)] = part
    return rows.reshape(count, every, -1).sum(1)


class Month(NamedTuple):
    """What the tactical layer says about the coming month, for the open sites."""

    share: np.ndarray  # [site, customer] of the customer's demand
    daily: np.ndarray  # [site] units that the site is to send in a period, on average
    stock: np.ndarray  # [site] units that should be left at the end of the month
    worth: np.ndarray  # [site] money that one more unit sent in the month would save: the dual price of its capacity


def first_month(rolling: Rolling, demand: np.ndarray, stock: np.ndarray, days: int) -> Month:
    """The plan for demand [month, customer] and what is there or on its way [site]: its first month, of so many days.

    What a limit leaves unserved is asked for all the same, from where the rest of the customer comes from.
    """
    plan = rolling.plan(demand=demand[..., None], initial=stock[:, None])
    flows, asked = plan.flows[0, :, :, 0], demand[0]
    total = flows.sum(0)
    share = np.divide(flows, total, out=np.zeros_like(flows), where=total > 0)
    return Month(share, (share * asked).sum(1) / days, plan.stock[0, :, 0], plan.worth.throughput[0])


# ---- operational


def tables(problem: Problem, opened: np.ndarray, books: Money, load: np.ndarray, spread: np.ndarray) -> operational.Orders:
    """The dynamic programme of every open site for its demand, mean `load` and deviation `spread` [period, open site]."""
    system, sites = problem.system, np.flatnonzero(opened)
    load = np.maximum(load, QUIET * load.mean(0) + 1e-9)
    step = np.maximum(
        (load + 6 * spread).max(0) * (system.lead_time + 2) / (STATES - 1), (load + 6 * spread).max(0) / (SUPPORT - 1)
    )
    pmf = operational_demand.fitted(load, spread, SUPPORT, step)
    arrives = None if system.arc_throughput is None else np.broadcast_to(np.asarray(system.arc_throughput)[sites], load.shape)
    given = operational_stocking.create(
        pmf=pmf, step=step, lead=system.lead_time, lost=not any(system.backlog), fixed_order=books.fixed_order[sites],
        purchase=books.purchase[sites], holding=books.holding[sites], shortage=books.lost.min(), salvage=books.salvage[sites],
        storage=None if system.storage is None else np.asarray(system.storage)[sites], limit=arrives, states=STATES,
        start=problem.start,
    )  # fmt: skip
    return operational.plan(given)


def cover(load: np.ndarray, lead_time: int, days: int) -> np.ndarray:
    """[period, site] rule of thumb: order up to the demand of the lead time, today, and so many days of supply."""
    ahead = np.concatenate([load, np.repeat(load[-1:], lead_time + days, axis=0)])
    total = np.cumsum(np.concatenate([np.zeros_like(load[:1]), ahead]), axis=0)
    return (total[lead_time + 1 + days :] - total[: -lead_time - 1 - days])[: len(load)]


# ---- together: what happens every month, and every day


def revise(params: dict[str, Array], observation: Observation) -> dict[str, Array]:
    """The coming month's plan of each path, from its own stock and from the demand that it has seen.

    One linear programme after another, each from the last one's optimum; paths of equal stock and demand are planned once.
    """
    data = {name: np.asarray(leaf, np.float64) for name, leaf in params["plan"].items()}
    every, count = (int(value) for value in data["sizes"])
    customers, sites = data["mean"].shape[1], np.flatnonzero(data["opened"])
    first = int(observation.time) - int(data["start"])
    position = np.atleast_2d(np.asarray(observation.position, np.float64))[:, customers + sites]
    known = np.c_[_level(data, observation, first), np.maximum(position, 0)]
    known, which = np.unique(np.round(known, 6), axis=0, return_inverse=True)
    rolling, demand, days = programme(data, data["mean"][first + int(data["window"]) :], every, count)
    plans = [first_month(rolling, one[0] * demand, one[1:], days) for one in known]
    return params | _instructions(data, plans, first, days, np.ravel(which))


def _level(data: dict[str, np.ndarray], observation: Observation, first: int) -> np.ndarray:
    """[path] what was seen of demand in the window over what was expected."""
    window, customers = int(data["window"]), data["mean"].shape[1]
    paths = np.atleast_2d(np.asarray(observation.position)).shape[0]
    if not data["learns"] or window == 0 or first == 0:
        return np.ones(paths)
    seen = np.asarray(observation.ring, np.float64).reshape(window, paths, -1)[..., :customers].sum((0, 2))
    expected = data["mean"][first : first + window].sum()
    return np.clip(seen / expected if expected > 0 else np.ones(paths), *LEVEL)


def _instructions(data: dict[str, np.ndarray], plans: list[Month], first: int, days: int, which: np.ndarray) -> dict[str, Array]:
    """Params of the coming month, [path, ...]."""
    sites, links = np.flatnonzero(data["opened"]), data["links"].astype(int)
    share = np.zeros((len(plans), len(data["opened"]), data["mean"].shape[1]))
    share[:, sites] = [plan.share for plan in plans]
    usual = data["load"][first : first + days].mean(0)
    ratio = np.asarray([plan.daily for plan in plans]) / np.maximum(usual, 1e-9)
    stock = np.asarray([plan.stock for plan in plans])
    figures = {
        "share": share[:, links[0], links[1]],
        "ratio": _on_all(data, np.clip(ratio, 1 / FLEXIBLE, FLEXIBLE) * (ratio > 0)),
        "stock": _on_all(data, stock),
    }
    month = {"first": jnp.asarray([float(first)]), "days": jnp.asarray([float(days)])}
    return {name: jnp.asarray(leaf[which], jnp.float32) for name, leaf in figures.items()} | month


def _on_all(data: dict[str, np.ndarray], figures: np.ndarray) -> np.ndarray:
    """[..., site] from [..., open site]; 0 where a site is closed."""
    every = np.zeros((*figures.shape[:-1], len(data["opened"])))
    every[..., np.flatnonzero(data["opened"])] = figures
    return every


def by_programme(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """[..., arc item] orders by the tables of the dynamic programme, as far as the month's load is from theirs; and shares."""
    tables, ratio = params["tables"], params["ratio"]
    scale = jnp.where(ratio > 0, ratio, 1)
    position = observation.position[..., -ratio.shape[-1] :]
    scaled = observation._replace(position=position / scale)
    return _orders(params, observation, scale * operational.order_at_nearest(tables, scaled, None), position)


def by_cover(params: dict[str, Array], observation: Observation, key: Array | None) -> Array:
    """[..., arc item] orders up to days of supply; and shares."""
    position = observation.position[..., -params["ratio"].shape[-1] :]
    level = params["level"][jnp.clip(observation.time - params["start"][0], 0, len(params["level"]) - 1)]
    return _orders(params, observation, params["ratio"] * level - position, position)


def _orders(params: dict[str, Array], observation: Observation, order: Array, position: Array) -> Array:
    """What is ordered for open sites, at least what builds up the month's stock day by day; and the shares of customers."""
    today = jnp.clip(observation.time - params["start"][0], 0, len(params["reach"]) - 1)
    passed = jnp.clip((today - params["first"][0] + 1) / params["days"][0], 0, 1)
    reach = params["stock"] * passed + params["ratio"] * params["reach"][today]
    order = jnp.maximum(order, jnp.where(params["stock"] > 0, reach - position, 0))
    order = jnp.where(params["ratio"] > 0, jnp.maximum(order, 0), 0)
    share = jnp.broadcast_to(params["share"], (*order.shape[:-1], params["share"].shape[-1]))
    return jnp.concatenate([order, share], -1)
