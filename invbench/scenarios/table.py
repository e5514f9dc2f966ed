"""Reads a CSV of sales (wide, long or one row a date) into arrays, and refuses, naming file, row
and column, every cell that it would have to guess at."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from invbench.scenarios.csv_text import ACCEPT, covariate, flags, numbers, placed, read_sheet
from invbench.scenarios.periods import Axis, period_of, time_axis

DATE_NAMES = ("date", "ds", "timestamp", "day", "week", "period")  # the first one found is taken
VALUE_NAMES = ("value", "demand", "sales", "quantity", "qty", "units", "y")
ID_NAMES = (
    "id",
    "item",
    "item_id",
    "product",
    "product_id",
    "sku",
    "store",
    "store_id",
    "site",
    "unique_id",
    "series",
    "stockcode",
)
IN_STOCK_NAMES = ("in_stock", "instock", "available")
PRICE_NAMES = ("price", "sell_price", "unit_price")
CALENDAR_NAMES = re.compile(
    "weekday|wday|month|year|quarter|weekend|is_.*|.*holiday.*|.*closed.*|wind|clouds|rain|sunshine"
    "|temperature|snow|humidity|promotion.*|event.*|snap.*"
)
OPTIONS = {
    "wide": ("id", "in_stock_path"),
    "long": ("date", "id", "value", "in_stock", "price", "calendar"),
    "dates_down": ("date", "calendar", "items"),
}


@dataclass(frozen=True)
class Table:
    """Sales of many items on one time axis. Where missing="zero" accepted a gap, sales are 0, the
    item is in stock, its price and numeric covariates are NaN and text covariates ""."""

    items: tuple[str, ...]  # one name per series: its id columns joined by "/"
    ids: dict[str, tuple[str, ...]]  # id (and in a wide file attribute) columns as text, [item]
    periods: tuple[str, ...]  # labels as the file has them
    dates: np.ndarray | None  # datetime64[D] [period]; None where labels are not dates
    sales: np.ndarray  # float32 [period, item], units
    in_stock: np.ndarray | None  # bool [period, item]; False = stocked out (censored)
    price: np.ndarray | None  # float32 [period, item]
    calendar: dict[str, np.ndarray]  # covariates, float64 or text [period]


def read_table(
    path,
    *,
    layout="auto",
    date=None,
    id=None,
    value=None,
    in_stock=None,
    price=None,
    calendar=None,
    items=None,
    in_stock_path=None,
    calendar_path=None,
    missing="refuse",
) -> Table:
    """Read sales from a .csv or .csv.gz.

    layout: "wide" (a row per item, ids first, then a column per period), "long" (a row per item
        and date), "dates_down" (a row per date, a column per item) or "auto".
    date, value, in_stock, price: a column; id, calendar, items: a column or a list of them. What
        is not named is found by its usual names (DATE_NAMES, ...). Without id, the items of a wide
        file are named by as many of its first columns as make them unique.
    in_stock_path: a wide file of True/False/1/0 with the ids and periods of the wide sales;
        periods after the last one of the sales are ignored.
    calendar_path: covariates, a row per period, with a column of the dates or period labels.
    missing: "refuse", or "zero": empty cells, NA texts and missing dates are 0 units.

    Raises ValueError, one sentence with file, row (line of the file; the header is 1) and column;
    FileNotFoundError.
    """
    if missing not in ("refuse", "zero"):
        raise ValueError(f"missing must be 'refuse' or 'zero', not {missing!r}")
    given = {
        "date": date,
        "id": id,
        "value": value,
        "in_stock": in_stock,
        "price": price,
        "calendar": calendar,
        "items": items,
        "in_stock_path": in_stock_path,
    }
    given = {option: names for option, names in given.items() if names is not None}
    sheet = read_sheet(path)
    layout = _guess_layout(sheet, given) if layout == "auto" else layout
    readers = {"wide": _read_wide, "long": _read_long, "dates_down": _read_dates_down}
    if layout not in readers:
        raise ValueError(f"layout must be 'auto', 'wide', 'long' or 'dates_down', not {layout!r}")
    for option in given:
        if option not in OPTIONS[layout]:
            raise ValueError(f"{sheet.name} has layout {layout!r}, which does not use {option}=")
    table = readers[layout](sheet, given, missing)
    return table if calendar_path is None else _add_calendar(table, calendar_path, missing)


def _guess_layout(sheet, given) -> str:
    usual = [name.lower() for name in sheet.header]
    if "date" not in given and not any(name in DATE_NAMES for name in usual):
        return "wide"
    # ids beside dates mean a long table, even where its value column has an unusual name
    long = "value" in given or any(name in VALUE_NAMES + ID_NAMES for name in usual)
    if long and "items" not in given:
        return "long"
    return "dates_down" if "date" in given or usual[0] in DATE_NAMES else "wide"


def _read_wide(sheet, given, missing) -> Table:
    start = _first_period(sheet)
    labels = sheet.header[start:]
    axis = time_axis(sheet, labels, lambda index: (1, labels[index]), missing)
    columns, items = _wide_items(sheet, sheet.header[:start], given)
    shape = len(axis.labels), len(items)
    sales = numbers(sheet, *sheet.block(labels), missing).reshape(len(items), -1).T
    in_stock = None
    if "in_stock_path" in given:
        available = _read_in_stock(given["in_stock_path"], labels, columns, items)
        in_stock = placed(available, axis.slots, shape, True)
    return Table(
        items,
        {name: tuple(sheet.column(name)) for name in sheet.header[:start]},
        axis.labels,
        axis.dates,
        placed(sales.astype(np.float32), axis.slots, shape, 0),
        in_stock,
        None,
        {},
    )


def _first_period(sheet) -> int:
    """Where the trailing run of period columns of one kind starts."""
    header = sheet.header
    kinds = [None if name.isdigit() else (period_of(name) or [None])[0] for name in header]
    if kinds[-1] is None:
        raise sheet.error(1, header[-1], "no period columns (the last header is not a period such as 2024-12-31, d_1 or JAN96)")
    start = len(header)
    while start and kinds[start - 1] == kinds[-1]:
        start -= 1
    if start == 0:
        raise sheet.error(1, header[0], "no id column before the period columns")
    if kinds[-1] in kinds[:start]:
        raise sheet.error(1, header[start - 1], "not a period, but between period columns")
    return start


def _wide_items(sheet, leading, given) -> tuple[list[str], tuple[str, ...]]:
    """The id columns that are needed and the names that they give to the items."""
    prefixes = [leading[:count] for count in range(1, len(leading) + 1)]
    unique = [names for names in prefixes if len(set(sheet.keys(names))) == len(sheet.rows)]
    columns = sheet.listed(given, "id") if given.get("id") else (unique or prefixes[-1:])[0]
    return columns, _item_names(sheet, columns, sheet.keys(columns), sheet.lines)


def _item_names(sheet, columns, keys, lines) -> tuple[str, ...]:
    """One name per item from its id cells; lines: where each item first stands."""
    first_line, spelled = {}, {}
    for key, line in zip(keys, lines):
        name = "/".join(key)
        if "" in key:
            raise sheet.error(line, columns[key.index("")], "the id is blank")
        if name in first_line:
            problem = f"id {name!r} occurs twice (first in row {first_line[name]})"
            raise sheet.error(line, columns[0], problem)
        first_line[name] = line
        for column, text in zip(columns, key):
            other = spelled.setdefault((column, text.lstrip("0")), text)
            if other != text:
                raise sheet.error(
                    line, column, f"ids {other!r} and {text!r} differ only by leading zeros: leading zeros of ids lost?"
                )
    return tuple(first_line)


def _read_in_stock(path, labels, columns, items) -> np.ndarray:
    """bool [label, item] from a wide file that has the labels and items of the sales."""
    sheet = read_sheet(path)
    start = _first_period(sheet)
    for own, label in zip_longest(sheet.header[start : start + len(labels)], labels):
        if own != label:
            raise sheet.error(1, own or label, f"period {own!r} where the sales have {label!r}")
    for column in columns:
        if column not in sheet.header[:start]:
            raise sheet.error(1, column, "the sales have this id column, this file has not")
    names = ["/".join(key) for key in sheet.keys(columns)]
    bare = [[re.sub(r"(^|/)0+", r"\1", name) for name in either] for either in (names, items)]
    lost = ": leading zeros were lost in one of the files" if bare[0] == bare[1] else ""
    for row, (own, item) in enumerate(zip_longest(names, items)):
        if own != item:
            line = sheet.lines[min(row, len(names) - 1)]
            problem = f"id {own!r} where the sales have {item!r}{lost}"
            raise sheet.error(line, columns[0], problem)
    return flags(sheet, *sheet.block(labels)).reshape(len(items), -1).T


def _read_long(sheet, given, missing) -> Table:
    date = sheet.need(given, "date", DATE_NAMES)
    value = sheet.need(given, "value", VALUE_NAMES)
    in_stock = sheet.find(given, "in_stock", IN_STOCK_NAMES)
    price = sheet.find(given, "price", PRICE_NAMES)
    columns = [name for name in sheet.header if name.lower() in ID_NAMES and name != value]
    columns = sheet.listed(given, "id") if "id" in given else columns
    series, items, ids = _series(sheet, columns, value)
    axis = time_axis(sheet, *sheet.block([date]), missing, series, items)
    if missing == "refuse":
        _check_complete(sheet, date, axis, series, items)

    where, shape = (axis.slots, series), (len(axis.labels), len(items))
    sales = numbers(sheet, *sheet.block([value]), missing)
    sales = placed(sales.astype(np.float32), where, shape, 0)
    available = prices = None
    if in_stock is not None:
        available = placed(flags(sheet, *sheet.block([in_stock])), where, shape, True)
    if price is not None:
        prices = numbers(sheet, *sheet.block([price]), missing, fill=np.nan)
        prices = placed(prices.astype(np.float32), where, shape, np.nan)
    taken = {date, value, in_stock, price, *columns}
    covariates = _long_calendar(sheet, given, taken, axis, missing)
    return Table(items, ids, axis.labels, axis.dates, sales, available, prices, covariates)


def _series(sheet, columns, value) -> tuple[np.ndarray, tuple[str, ...], dict]:
    """int [row] item of each row, names and ids of the items; without id columns all rows are one
    item, named by the value column."""
    if not columns:
        return np.zeros(len(sheet.rows), int), (value,), {"item": (value,)}
    codes, first_rows = {}, []
    series = np.empty(len(sheet.rows), int)
    for row, key in enumerate(sheet.keys(columns)):
        if key not in codes:
            codes[key] = len(codes)
            first_rows.append(row)
        series[row] = codes[key]
    items = _item_names(sheet, columns, codes, [sheet.lines[row] for row in first_rows])
    return series, items, dict(zip(columns, zip(*codes)))


def _check_complete(sheet, date, axis, series, items) -> None:
    """Refuse an item without a row for some period; a file cut short ends in such items."""
    found = np.zeros((len(items), len(axis.labels)), bool)
    found[series, axis.slots] = True
    if found.all():
        return
    item, slot = np.argwhere(~found)[0]
    rows = np.flatnonzero(series == item)
    before = rows[axis.slots[rows] < slot]
    last = before[-1] if before.size else rows[0]
    cut = "" if found[item, slot:].any() else " nor later: the file looks truncated"
    raise sheet.error(sheet.lines[last], date, f"item {items[item]!r} has no row for {axis.labels[slot]}{cut} {ACCEPT}")


def _long_calendar(sheet, given, taken, axis, missing) -> dict[str, np.ndarray]:
    """The covariates that the caller named, or all that are the same for all items on a date."""
    columns = [name for name in sheet.header if name not in taken]
    columns = sheet.listed(given, "calendar") if "calendar" in given else columns
    slots, first_rows, of_row = np.unique(axis.slots, return_index=True, return_inverse=True)
    calendar = {}
    for column in columns:
        cells = np.array(sheet.column(column))
        expected = cells[first_rows][of_row]
        differs = np.flatnonzero(cells != expected)
        if not differs.size:
            calendar[column] = covariate(sheet, column, first_rows, slots, axis, missing)
        elif "calendar" in given:
            row = differs[0]
            raise sheet.error(
                sheet.lines[row], column, f"{str(cells[row])!r} where another item has {str(expected[row])!r} on that date"
            )
    return calendar


def _read_dates_down(sheet, given, missing) -> Table:
    date = sheet.need(given, "date", DATE_NAMES)
    axis = time_axis(sheet, *sheet.block([date]), missing)
    others = [name for name in sheet.header if name != date]
    calendar = [name for name in others if CALENDAR_NAMES.fullmatch(name.lower())]
    calendar = sheet.listed(given, "calendar") if "calendar" in given else calendar
    items = [name for name in others if name not in calendar]
    items = sheet.listed(given, "items") if "items" in given else items
    if not items:
        raise sheet.error(1, date, "no column of an item beside the calendar")
    sales = numbers(sheet, *sheet.block(items), missing).reshape(-1, len(items))
    sales = placed(sales.astype(np.float32), axis.slots, (len(axis.labels), len(items)), 0)
    rows = range(len(sheet.rows))
    covariates = {name: covariate(sheet, name, rows, axis.slots, axis, missing) for name in calendar if name not in items}
    return Table(tuple(items), {"item": tuple(items)}, axis.labels, axis.dates, sales, None, None, covariates)


def _add_calendar(table, path, missing) -> Table:
    """The table with the covariates of a file that has a row per period, in any order."""
    sheet = read_sheet(path)
    date = next((name for name in sheet.header if name.lower() == "date"), None)
    labels = table.periods if table.dates is None else table.dates.astype(str).tolist()
    key = date
    if date is None or table.dates is None:  # by the column that knows the most labels
        key = max(sheet.header, key=lambda name: len({*sheet.column(name)}.intersection(labels)))
    rows = _rows_of(sheet, key, labels)
    axis = Axis(table.periods, table.dates, np.arange(len(rows)))
    if date is not None and table.dates is None:
        dates, place = sheet.block([date], rows)
        axis = time_axis(sheet, dates, place, "refuse")
    covariates = dict(table.calendar)
    for name in sheet.header:
        if name in covariates:
            raise sheet.error(1, name, "the sales file has a covariate of this name too")
        if name not in (date, key):
            covariates[name] = covariate(sheet, name, rows, axis.slots, axis, missing)
    return replace(table, dates=axis.dates, calendar=covariates)


def _rows_of(sheet, key, labels) -> list[int]:
    """The row of each label in column `key`."""
    row_of, repeats = {}, {}
    for row, text in enumerate(sheet.column(key)):
        if row_of.setdefault(text, row) != row:
            repeats[text] = row
    for label in labels:
        if label not in row_of:
            raise sheet.error(sheet.lines[-1], key, f"period {label!r} of the sales has no row")
        if label in repeats:
            raise sheet.error(sheet.lines[repeats[label]], key, f"{label!r} occurs twice")
    return [row_of[label] for label in labels]
