"""Demand that is data: a CSV of sales. The last periods are held out and judged on, everything before them may be fitted to."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp

from invbench.checks import choice, require
from invbench.scenarios.fit import History
from invbench.scenarios.table import Table, read_table
from invbench.types import Array


@dataclass(frozen=True, eq=False)
class Data:
    """One real path of many series. It is no process: methods get a simulator that is fitted to what was observed.

    What is judged takes sales for demand, also where the shelf was empty: in-stock flags correct the fit alone.
    """

    table: Table
    digest: str  # sha256 of the files, so that a result belongs to what was in them

    @property
    def items(self) -> int:
        return len(self.table.items)

    def observed(self, horizon: int) -> History:
        """Everything before the last `horizon` periods."""
        kept = len(self.table.sales) - horizon
        require(kept > 0, "evaluation.horizon", f"< the {len(self.table.sales)} periods of the data", horizon)
        flags = self.table.in_stock
        return History(self.table.sales[:kept], None if flags is None else flags[:kept])

    def held_out(self, horizon: int, window: int) -> tuple[Array, Array]:
        """Demand [window, 1, item] just before the last `horizon` periods, and [horizon, 1, item] in them."""
        sales = jnp.asarray(self.table.sales)[:, None]
        return sales[-horizon - window : -horizon], sales[-horizon:]


def create(
    *,
    path: str,
    layout: str,
    date: str | None,
    id: str | list[str] | None,
    value: str | None,
    items: list[str] | None,
    in_stock: str | None,
    price: str | None,
    calendar: list[str] | None,
    in_stock_path: str | None,
    calendar_path: str | None,
    missing: str,
) -> Data:
    """Read the data; every field as in `table.read_table`. Raises ValueError naming file, row and column."""
    choice("scenario.layout", layout, ("auto", "wide", "long", "dates_down"))
    choice("scenario.missing", missing, ("refuse", "zero"))
    columns = dict(date=date, id=id, value=value, in_stock=in_stock, price=price)
    columns |= dict(calendar=calendar, items=items, in_stock_path=in_stock_path, calendar_path=calendar_path)
    table = read_table(path, layout=layout, missing=missing, **columns)
    files = [name for name in (path, in_stock_path, calendar_path) if name is not None]
    return Data(table, hashlib.sha256(b"".join(Path(name).read_bytes() for name in files)).hexdigest())
