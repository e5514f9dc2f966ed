"""Reads a CSV of sales (wide, long or one row a date) into arrays, and refuses, naming file, row
and column, every cell that it would have to guess at."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np

DATE_NAMES = ("date", "ds", "timestamp", "day", "week", "period")  # the first one found is taken
VALUE_NAMES = ("value", "demand", "sales", "quantity", "qty", "units", "y")
ID_NAMES = ("id", "item", "item_id", "product", "product_id", "sku", "store", "store_id", "site",
            "unique_id", "series", "stockcode")
IN_STOCK_NAMES = ("in_stock", "instock", "available")
PRICE_NAMES = ("price", "sell_price", "unit_price")
CALENDAR_NAMES = re.compile(
    "weekday|wday|month|year|quarter|weekend|is_.*|.*holiday.*|.*closed.*|wind|clouds|rain|sunshine"
    "|temperature|snow|humidity|promotion.*|event.*|snap.*")
OPTIONS = {"wide": ("id", "in_stock_path"),
           "long": ("date", "id", "value", "in_stock", "price", "calendar"),
           "dates_down": ("date", "calendar", "items")}

DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T]00:00:00)?", re.ASCII)
YEAR_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
NAMED_MONTH = re.compile(
    "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)[-_ ]?(\d{4}|\d\d)", re.ASCII | re.IGNORECASE)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NUMBERED = re.compile(r"((?:[a-z]+[-_]?)?)(\d{1,9})", re.ASCII | re.IGNORECASE)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
MISSING_TEXTS = ("", "nan", "na", "n/a", "<na>", "null", "none")
LARGEST = float(np.finfo(np.float32).max)
ACCEPT = "(missing='zero' accepts it)"


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


def read_table(path, *, layout="auto", date=None, id=None, value=None, in_stock=None, price=None,
               calendar=None, items=None, in_stock_path=None, calendar_path=None,
               missing="refuse") -> Table:
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
    given = {"date": date, "id": id, "value": value, "in_stock": in_stock, "price": price,
             "calendar": calendar, "items": items, "in_stock_path": in_stock_path}
    given = {option: names for option, names in given.items() if names is not None}
    sheet = _read_sheet(path)
    layout = _guess_layout(sheet, given) if layout == "auto" else layout
    readers = {"wide": _read_wide, "long": _read_long, "dates_down": _read_dates_down}
    if layout not in readers:
        raise ValueError(f"layout must be 'auto', 'wide', 'long' or 'dates_down', not {layout!r}")
    for option in given:
        if option not in OPTIONS[layout]:
            raise ValueError(f"{sheet.name} has layout {layout!r}, which does not use {option}=")
    table = readers[layout](sheet, given, missing)
    return table if calendar_path is None else _add_calendar(table, calendar_path, missing)


# ---- the three layouts


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
    axis = _axis(sheet, labels, lambda index: (1, labels[index]), missing)
    columns, items = _wide_items(sheet, sheet.header[:start], given)
    shape = len(axis.labels), len(items)
    sales = _numbers(sheet, *sheet.block(labels), missing).reshape(len(items), -1).T
    in_stock = None
    if "in_stock_path" in given:
        flags = _read_in_stock(given["in_stock_path"], labels, columns, items)
        in_stock = _placed(flags, axis.slots, shape, True)
    return Table(items, {name: tuple(sheet.column(name)) for name in sheet.header[:start]},
                 axis.labels, axis.dates, _placed(sales.astype(np.float32), axis.slots, shape, 0),
                 in_stock, None, {})


def _first_period(sheet) -> int:
    """Where the trailing run of period columns of one kind starts."""
    header = sheet.header
    kinds = [None if name.isdigit() else (_period(name) or [None])[0] for name in header]
    if kinds[-1] is None:
        raise sheet.error(1, header[-1], "no period columns (the last header is not a period such "
                                         "as 2024-12-31, d_1 or JAN96)")
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
                raise sheet.error(line, column, f"ids {other!r} and {text!r} differ only by "
                                                "leading zeros: leading zeros of ids lost?")
    return tuple(first_line)


def _read_in_stock(path, labels, columns, items) -> np.ndarray:
    """bool [label, item] from a wide file that has the labels and items of the sales."""
    sheet = _read_sheet(path)
    start = _first_period(sheet)
    for own, label in zip_longest(sheet.header[start:start + len(labels)], labels):
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
    return _flags(sheet, *sheet.block(labels)).reshape(len(items), -1).T


def _read_long(sheet, given, missing) -> Table:
    date = sheet.need(given, "date", DATE_NAMES)
    value = sheet.need(given, "value", VALUE_NAMES)
    in_stock = sheet.find(given, "in_stock", IN_STOCK_NAMES)
    price = sheet.find(given, "price", PRICE_NAMES)
    columns = [name for name in sheet.header if name.lower() in ID_NAMES and name != value]
    columns = sheet.listed(given, "id") if "id" in given else columns
    series, items, ids = _series(sheet, columns, value)
    axis = _axis(sheet, *sheet.block([date]), missing, series, items)
    if missing == "refuse":
        _check_complete(sheet, date, axis, series, items)

    where, shape = (axis.slots, series), (len(axis.labels), len(items))
    sales = _numbers(sheet, *sheet.block([value]), missing)
    sales = _placed(sales.astype(np.float32), where, shape, 0)
    flags = prices = None
    if in_stock is not None:
        flags = _placed(_flags(sheet, *sheet.block([in_stock])), where, shape, True)
    if price is not None:
        prices = _numbers(sheet, *sheet.block([price]), missing, fill=np.nan)
        prices = _placed(prices.astype(np.float32), where, shape, np.nan)
    taken = {date, value, in_stock, price, *columns}
    covariates = _long_calendar(sheet, given, taken, axis, missing)
    return Table(items, ids, axis.labels, axis.dates, sales, flags, prices, covariates)


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
    raise sheet.error(sheet.lines[last], date, f"item {items[item]!r} has no row for "
                                               f"{axis.labels[slot]}{cut} {ACCEPT}")


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
            calendar[column] = _covariate(sheet, column, first_rows, slots, axis, missing)
        elif "calendar" in given:
            row = differs[0]
            raise sheet.error(sheet.lines[row], column, f"{str(cells[row])!r} where another item "
                                                        f"has {str(expected[row])!r} on that date")
    return calendar


def _read_dates_down(sheet, given, missing) -> Table:
    date = sheet.need(given, "date", DATE_NAMES)
    axis = _axis(sheet, *sheet.block([date]), missing)
    others = [name for name in sheet.header if name != date]
    calendar = [name for name in others if CALENDAR_NAMES.fullmatch(name.lower())]
    calendar = sheet.listed(given, "calendar") if "calendar" in given else calendar
    items = [name for name in others if name not in calendar]
    items = sheet.listed(given, "items") if "items" in given else items
    if not items:
        raise sheet.error(1, date, "no column of an item beside the calendar")
    sales = _numbers(sheet, *sheet.block(items), missing).reshape(-1, len(items))
    sales = _placed(sales.astype(np.float32), axis.slots, (len(axis.labels), len(items)), 0)
    rows = range(len(sheet.rows))
    covariates = {name: _covariate(sheet, name, rows, axis.slots, axis, missing)
                  for name in calendar if name not in items}
    return Table(tuple(items), {"item": tuple(items)}, axis.labels, axis.dates, sales, None, None,
                 covariates)


def _add_calendar(table, path, missing) -> Table:
    """The table with the covariates of a file that has a row per period, in any order."""
    sheet = _read_sheet(path)
    date = next((name for name in sheet.header if name.lower() == "date"), None)
    labels = table.periods if table.dates is None else table.dates.astype(str).tolist()
    key = date
    if date is None or table.dates is None:  # by the column that knows the most labels
        key = max(sheet.header, key=lambda name: len({*sheet.column(name)}.intersection(labels)))
    rows = _rows_of(sheet, key, labels)
    axis = _Axis(table.periods, table.dates, np.arange(len(rows)))
    if date is not None and table.dates is None:
        dates, place = sheet.block([date], rows)
        axis = _axis(sheet, dates, place, "refuse")
    covariates = dict(table.calendar)
    for name in sheet.header:
        if name in covariates:
            raise sheet.error(1, name, "the sales file has a covariate of this name too")
        if name not in (date, key):
            covariates[name] = _covariate(sheet, name, rows, axis.slots, axis, missing)
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


# ---- the time axis


@dataclass(frozen=True)
class _Axis:
    labels: tuple[str, ...]
    dates: np.ndarray | None
    slots: np.ndarray  # int: where each label that was read stands in `labels`


def _axis(sheet, labels, place, missing, series=None, items=()) -> _Axis:
    """The axis on which `labels` stand; series: int [label], the index in `items` of each."""
    kind, positions = _positions(sheet, labels, place)
    series = np.zeros(len(labels), int) if series is None else series
    _check_order(sheet, labels, place, positions, series, items)
    present, first = np.unique(positions, return_index=True)
    complete = _without_gaps(kind, present)
    size = min(len(complete), len(present))
    gaps = np.flatnonzero(complete[:size] != present[:size])
    if gaps.size and (missing == "refuse" or not np.isin(present, complete).all()):
        before, after = labels[first[gaps[0] - 1]], labels[first[gaps[0]]]
        absent = f"{_day(complete[gaps[0]])} is missing" if kind == "date" else "a gap"
        raise sheet.error(*place(first[gaps[0]]), f"{after!r} follows {before!r}, more than the "
                                                  f"smallest step between periods: {absent}")
    known = {position: labels[index] for position, index in zip(present.tolist(), first)}
    names = tuple(known.get(position) or _day(position) for position in complete.tolist())
    dates = complete.astype("datetime64[D]") if kind == "date" else None
    return _Axis(names, dates, np.searchsorted(complete, positions))


def _positions(sheet, labels, place) -> tuple[str, np.ndarray]:
    """The kind of all labels and int [label] positions."""
    periods = {label: _period(label) for label in dict.fromkeys(labels)}
    kind = (periods[labels[0]] or ("",))[0]
    for index, label in enumerate(labels):
        if periods[label] is None or periods[label][0] != kind:
            example = labels[0] if kind else "2024-12-31"
            raise sheet.error(*place(index), f"{label!r} is not a period such as {example!r}")
    return kind, np.array([periods[label][1] for label in labels])


def _period(label) -> tuple[str, int] | None:
    """The kind of a period label and its position among those of that kind, None for other text."""
    if match := DATE.fullmatch(label):
        try:
            return "date", int(np.datetime64(match[1], "D").astype(int))
        except ValueError:  # 2021-02-30
            return None
    if match := YEAR_MONTH.fullmatch(label):
        return "month", int(match[1]) * 12 + int(match[2]) - 1
    if match := NAMED_MONTH.fullmatch(label):
        year = int(match[2])
        if len(match[2]) == 2:
            year += 1900 if year >= 69 else 2000  # as POSIX reads years of two digits
        return "month", year * 12 + MONTHS.index(match[1][:3].lower())
    match = NUMBERED.fullmatch(label)
    return (f"number {match[1]}", int(match[2])) if match else None


def _day(position) -> str:
    return str(np.datetime64(int(position), "D"))


def _check_order(sheet, labels, place, positions, series, items) -> None:
    """Refuse an item's period that does not come after the item's period before it."""
    last = {}
    for index, (item, position) in enumerate(zip(series.tolist(), positions.tolist())):
        if position <= last.get(item, position - 1):
            repeats = position in positions[:index][series[:index] == item]
            problem = "occurs twice" if repeats else "comes after a later period: sort them"
            whose = f" for item {items[item]!r}" if items else ""
            several = "; several items? name their id columns" if len(items) == 1 else ""
            raise sheet.error(*place(index), f"{labels[index]!r} {problem}{whose}{several}")
        last[item] = position


def _without_gaps(kind, present) -> np.ndarray:
    """All positions from the first of `present` on, at its smallest step (labels that are not
    dates: 1). Dates on one day of the month, or all at its end, step by months."""
    if kind != "date" or len(present) == 1:
        return present[0] + np.arange(len(present))
    step = np.diff(present).min()
    months = present.astype("datetime64[D]").astype("datetime64[M]")
    for shift in (0, 1):  # days counted from the first of the month, or back from the next one
        offset = present - (months + shift).astype("datetime64[D]").astype(int)
        if step >= 28 and (offset == offset[0]).all():
            months = np.arange(months[0], months[-1] + 1, np.diff(months).min()) + shift
            return months.astype("datetime64[D]").astype(int) + offset[0]
    return np.arange(present[0], present[-1] + 1, step)


# ---- cells


def _numbers(sheet, cells, place, missing, fill=0.0, signed=False) -> np.ndarray:
    """float64 [cell]; place(index) is the row and column of a cell, for errors."""
    joined = ",".join(cells)
    if "_" not in joined and joined.isascii():  # float() takes 1_000 and digits of other scripts
        try:
            values = np.fromiter(map(float, cells), float, len(cells)) + 0.0  # no -0.0
            if (np.abs(values) <= LARGEST).all() and (signed or (values >= 0).all()):
                return values
        except ValueError:
            pass
    values = np.full(len(cells), fill)
    for index, cell in enumerate(cells):  # slow: find the wrong cell, or the missing ones
        if problem := _problem(cell, missing, signed):
            raise sheet.error(*place(index), problem)
        if not _is_missing(cell):
            values[index] = float(cell)
    return values + 0.0


def _problem(cell, missing, signed) -> str | None:
    """What is wrong with a cell that should be a number."""
    if _is_missing(cell):
        what = f"{cell!r} is not a number" if cell else "the cell is empty"
        return f"{what} {ACCEPT}" if missing == "refuse" else None
    if THOUSANDS.fullmatch(cell):
        return f"{cell!r} is not a plain number (write {cell.replace(',', '')})"
    if cell.lower().lstrip("+-") in ("inf", "infinity"):
        return f"{cell!r} is not finite"
    if not NUMBER.fullmatch(cell):
        return f"{cell!r} is not a plain number"
    if abs(float(cell)) > LARGEST:
        return f"{cell!r} is too large"
    return f"{cell!r} is negative" if float(cell) < 0 and not signed else None


def _is_missing(cell) -> bool:
    return cell.lower() in MISSING_TEXTS


def _flags(sheet, cells, place) -> np.ndarray:
    """bool [cell]."""
    meaning = {"true": True, "1": True, "false": False, "0": False}
    flags = [meaning.get(cell.lower()) for cell in cells]
    if None in flags:
        index = flags.index(None)
        raise sheet.error(*place(index), f"{cells[index]!r} is not True, False, 1 or 0")
    return np.array(flags)


def _covariate(sheet, column, rows, slots, axis, missing) -> np.ndarray:
    """The cells of `rows` at `slots` of the axis: float64 where all are numbers, else text."""
    cells, place = sheet.block([column], rows)
    filled = [cell for cell in cells if not _is_missing(cell)]
    values = np.array(cells)
    if filled and all(map(NUMBER.fullmatch, filled)):
        values = _numbers(sheet, cells, place, missing, fill=np.nan, signed=True)
    return _placed(values, slots, len(axis.labels), np.nan if values.dtype == float else "")


def _placed(values, where, shape, default) -> np.ndarray:
    """An array full of `default`, with `values` at `where`."""
    grid = np.full(shape, default, values.dtype)
    grid[where] = values
    return grid


# ---- the file as text


@dataclass(frozen=True)
class _Sheet:
    name: str
    header: list[str]
    rows: list[list[str]]  # cells without the spaces around them
    lines: list[int]  # the line of the file on which each row starts

    def error(self, row, column, problem) -> ValueError:
        return ValueError(f"{self.name}, row {row}, column {column!r}: {problem}")

    def column(self, name) -> list[str]:
        index = self.header.index(name)
        return [row[index] for row in self.rows]

    def keys(self, columns) -> list[tuple[str, ...]]:
        return list(zip(*map(self.column, columns)))

    def block(self, columns, rows=None):
        """The cells of some columns, row by row, and place(index): row and column of a cell."""
        rows = range(len(self.rows)) if rows is None else rows
        picked = [self.header.index(name) for name in columns]
        cells = [self.rows[row][index] for row in rows for index in picked]
        return cells, lambda cell: (self.lines[rows[cell // len(columns)]],
                                    columns[cell % len(columns)])

    def find(self, given, option, usual_names) -> str | None:
        """The column named by the caller, else the one with a usual name, else None."""
        if option in given:
            return self.listed(given, option)[0]
        found = [name for name in self.header if name.lower() in usual_names]
        if len(found) > 1 and option != "date":
            raise self.error(1, found[1], f"this column or {found[0]!r}? Name one with {option}=")
        return min(found, key=lambda name: usual_names.index(name.lower()), default=None)

    def need(self, given, option, usual_names) -> str:
        name = self.find(given, option, usual_names)
        if name is None:
            raise self.error(1, self.header[0], f"no {option} column found: pass {option}= "
                                                 "or layout=")
        return name

    def listed(self, given, option) -> list[str]:
        """The columns named by the caller, as one name or a list."""
        names = [given[option]] if isinstance(given[option], str) else list(given[option])
        for name in names:
            if name not in self.header:
                raise self.error(1, name, f"{option}= names this column, the file has none")
            if names.count(name) > 1:
                raise self.error(1, name, f"{option}= names this column twice")
        return names


def _read_sheet(path) -> _Sheet:
    path = Path(path)
    text = _decode(path.name, _read_bytes(path))
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    records, lines, line = [], [], 1
    try:
        for record in reader:
            records.append(list(map(str.strip, record)))
            lines.append(line)
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path.name}, row {line}: not a CSV record ({error})") from None
    while records and not records[-1]:  # blank lines at the end
        records.pop()
    if not records:
        raise ValueError(f"{path.name}, row 1, column 1: the file is empty")
    sheet = _Sheet(path.name, records[0], records[1:], lines[1:len(records)])
    _check_shape(sheet)
    return sheet


def _read_bytes(path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} does not exist") from None
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path.name} is truncated or damaged: {error}") from None


def _decode(name, data) -> str:
    try:
        text, bad, what = data.decode("utf-8-sig"), data.find(b"\0"), "a NUL byte"
    except UnicodeDecodeError as error:
        text, bad, what = "", error.start, "a byte that is not UTF-8 text"
    if bad < 0:
        return text
    before = data[:bad].split(b"\n")
    column = before[-1].count(b",") + 1
    raise ValueError(f"{name}, row {len(before)}, column {column}: {what}")


def _check_shape(sheet) -> None:
    header, width = sheet.header, len(sheet.header)
    for index, name in enumerate(header):
        if not name:
            raise sheet.error(1, index + 1, "the header is blank")
        if header.index(name) < index:
            raise sheet.error(1, name, f"the header occurs twice (again as column {index + 1})")
    if not sheet.rows:
        raise sheet.error(2, header[0], "no rows below the header")
    for line, row in zip(sheet.lines, sheet.rows):
        if len(row) != width:
            column = header[len(row)] if len(row) < width else width + 1
            raise sheet.error(line, column, f"{len(row)} cells where the header has {width}")
