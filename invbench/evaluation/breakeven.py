"""When a method has paid for itself: the periods, or the items sharing its cost, at which it overtakes the baseline."""

import math

from invbench.costs import MethodCosts


def periods(gain: float, horizon: int, method: MethodCosts, baseline: MethodCosts) -> float:
    """Periods until the gain in operations has paid what the method costs more than the baseline; inf if it never does.

    gain: net benefit of operations over the horizon, more than the baseline's.
    """
    once = method.once() - baseline.once()
    rate = gain / horizon - (method.per_period() - baseline.per_period())
    if once <= 0 and rate >= 0:
        return 0.0
    return once / rate if rate > 0 and once > 0 else math.inf


def items(gain: float, horizon: int, count: int, method: MethodCosts, baseline: MethodCosts) -> float:
    """Items (each gaining like the average of `count` here) that must share the method's cost over the horizon; or inf."""
    extra = method.total(horizon) - baseline.total(horizon)
    if extra <= 0 and gain >= 0:
        return 1.0
    return math.ceil(round(extra * count / gain, 9)) if gain > 0 else math.inf


def roi(gain: float, investment: float) -> float | None:
    """Incremental net benefit per unit of money invested in the method; None where nothing is."""
    return gain / investment if investment > 0 else None


def roi_reference(net_benefit: float, total_cost: float) -> float | None:
    """The reference system's formula: net benefit over all costs; None where there are none."""
    return net_benefit / total_cost if total_cost > 0 else None
