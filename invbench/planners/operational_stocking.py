"""What an operational plan is made for: items with their demand, lead times, money, and the limits of the tactical plan."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from invbench.checks import require, whole
from invbench.planners.operational_induction import Data

RATES = ("fixed_order", "purchase", "holding", "shortage", "salvage", "owed")
ROUNDING = 1e-9  # of a step


@dataclass(frozen=True, eq=False)
class Stocking:
    """Items over some periods; made by `create`, which checks. Item comes last everywhere.

    pmf          [period, demand, item]  probability of a demand of 0, 1, 2, … steps
    step         [item]          units of a step, in which stock, demand and orders are counted
    lead         [item]          periods: an order placed in t can meet demand from t + lead on
    lost         [item]          bool: demand that stock cannot meet is lost; else it waits
    fixed_order  [item]          money per order
    purchase     [item]          money per unit ordered
    holding      [item]          money per unit in stock at the end of a period
    shortage     [item]          money per unit lost (with its margin: the plan knows no revenue), or owed at the end of a period
    salvage      [item]          money that a unit in stock at the end is worth
    owed         [item]          money per unit owed at the end, on top of shortage
    storage      [item]          units that an order may lift the inventory position to; inf: no limit
    limit        [period, item]  units that may be ordered; inf: no limit
    low          [item]          the lowest position of the tables, in steps, <= 0
    states       positions in the tables: low, low + 1, …
    start        absolute number of the first period
    """

    pmf: np.ndarray
    step: np.ndarray
    lead: np.ndarray
    lost: np.ndarray
    fixed_order: np.ndarray
    purchase: np.ndarray
    holding: np.ndarray
    shortage: np.ndarray
    salvage: np.ndarray
    owed: np.ndarray
    storage: np.ndarray
    limit: np.ndarray
    low: np.ndarray
    states: int
    start: int

    @property
    def items(self) -> int:
        return len(self.step)

    @property
    def approximated(self) -> np.ndarray:
        """[item] bool: lost sales with a lead time above 1, where the exact state has every outstanding order.

        These items are planned as if what is missed waited, at the shortage less the purchase that a lost unit saves: the
        better the more a lost unit costs (Huh, Janakiraman, Muckstadt and Rusmevichientong 2009, Management Science 55(3)).
        """
        return self.lost & (self.lead > 1)

    @property
    def highest(self) -> np.ndarray:
        """[item] the highest state that an order may lift the position to."""
        most = np.floor(self.storage / self.step + ROUNDING) - self.low
        return np.minimum(most, self.states - 1)

    def data(self, items: np.ndarray) -> Data:
        """The items that are asked for (bool or numbers), in steps."""
        waits = self.approximated
        shortage = np.where(waits, np.maximum(self.shortage - self.purchase, 0), self.shortage)
        rates = {name: getattr(self, name) * self.step for name in RATES} | {"shortage": shortage * self.step}
        rates["fixed_order"] = self.fixed_order
        steps = np.minimum(np.floor(self.limit / self.step + ROUNDING), self.states)
        figures = dict(pmf=self.pmf, limit=steps, highest=self.highest, low=self.low, lead=self.lead, lost=self.lost & ~waits)
        return Data(**{name: figure[..., items] for name, figure in (figures | rates).items()})


def create(
    *,
    pmf: Any,
    step: Any = 1.0,
    lead: Any = 0,
    lost: Any = False,
    fixed_order: Any = 0.0,
    purchase: Any = 0.0,
    holding: Any,
    shortage: Any,
    salvage: Any = 0.0,
    owed: Any = None,
    storage: Any = None,
    limit: Any = None,
    low: Any = None,
    states: int = 150,
    start: int = 0,
) -> Stocking:
    """Checked items; fields as in `Stocking`, one number holds for all items. States: the more, the longer it takes.

    owed None: the purchase, since what is owed at the end must still be bought. low None: 0 for items that lose sales; else
    a step below where waiting costs more than an order, and at least an eighth of the states. Raises ValueError in one
    sentence that names the field.
    """
    pmf = _probabilities(pmf)
    items, states = pmf.shape[-1], whole("operational.states", states, low=2)
    figures = dict(fixed_order=fixed_order, purchase=purchase, holding=holding, shortage=shortage, salvage=salvage)
    figures["owed"] = purchase if owed is None else owed
    made = {name: _each(name, value, (items,)) for name, value in figures.items()}
    made["step"] = _each("step", step, (items,))
    require(bool((made["step"] > 0).all()), "operational.step", "> 0", float(made["step"].min()))
    made["lead"] = _whole("lead", _each("lead", lead, (items,)))
    made["lost"] = np.broadcast_to(np.asarray(lost, bool), (items,)).copy()
    made["storage"] = _each("storage", np.inf if storage is None else storage, (items,), infinite=True)
    made["limit"] = _each("limit", np.inf if limit is None else limit, (len(pmf), items), infinite=True)
    rule = "<= operational.purchase, or stock would be bought to be salvaged"
    require(bool((made["salvage"] <= made["purchase"]).all()), "operational.salvage", rule, float(made["salvage"].max()))
    made["low"] = _lowest(made, states) if low is None else _low(low, made["lost"] & (made["lead"] <= 1), items)
    return Stocking(pmf, states=states, start=whole("operational.start", start), **made)


def _probabilities(pmf: Any) -> np.ndarray:
    pmf = np.asarray(pmf, float)
    require(pmf.ndim == 3 and pmf.size > 0, "operational.pmf", "[period, demand, item]", f"shape {pmf.shape}")
    wrong = pmf.size and not (pmf.min() >= 0 and np.abs(pmf.sum(1) - 1).max() <= 1e-6)
    require(not wrong, "operational.pmf", "probabilities >= 0 that sum to 1 for every period and item", "others")
    return pmf


def _each(field: str, value: Any, shape: tuple[int, ...], infinite: bool = False) -> np.ndarray:
    values = np.asarray(value, float)
    try:
        values = np.broadcast_to(values, shape).copy()
    except ValueError:
        require(False, f"operational.{field}", f"one number, or of shape {shape}", f"shape {values.shape}")
    wrong = values[~((values >= 0) & (infinite | np.isfinite(values)))]
    require(wrong.size == 0, f"operational.{field}", ">= 0", float(wrong[0]) if wrong.size else None)
    return values


def _whole(field: str, values: np.ndarray) -> np.ndarray:
    wrong = values[values != np.round(values)]
    require(wrong.size == 0, f"operational.{field}", "whole numbers", float(wrong[0]) if wrong.size else None)
    return values.astype(int)


def _low(low: Any, empty: np.ndarray, items: int) -> np.ndarray:
    values = np.broadcast_to(np.asarray(low, float), (items,))
    right = np.where(empty, values == 0, values <= 0)
    rule = "<= 0, and 0 for items that lose sales with a lead time of 0 or 1"
    require(bool(right.all()), "operational.low", rule, float(values[~right][0]) if not right.all() else None)
    return _whole("low", values)


def _lowest(made: dict[str, np.ndarray], states: int) -> np.ndarray:
    """Where items wait: the position at which what waits costs as much as an order; no more than a third of the states."""
    a_step = np.maximum(made["shortage"] * made["step"], 1e-12)
    deep = np.clip(np.ceil(made["fixed_order"] / a_step) + 1, states // 8, states // 3)
    return np.where(made["lost"] & (made["lead"] <= 1), 0, -deep).astype(int)
