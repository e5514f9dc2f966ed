"""A CSV file as checked text: its cells as numbers, flags and covariates; every refusal names file, row and column."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)
MISSING_TEXTS = ("", "nan", "na", "n/a", "<na>", "null", "none")
LARGEST = float(np.finfo(np.float32).max)
ACCEPT = "(missing='zero' accepts it)"


def numbers(sheet, cells, place, missing, fill=0.0, signed=False) -> np.ndarray:
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


def flags(sheet, cells, place) -> np.ndarray:
    """bool [cell]."""
    meaning = {"true": True, "1": True, "false": False, "0": False}
    meant = [meaning.get(cell.lower()) for cell in cells]
    if None in meant:
        index = meant.index(None)
        raise sheet.error(*place(index), f"{cells[index]!r} is not True, False, 1 or 0")
    return np.array(meant)


def covariate(sheet, column, rows, slots, axis, missing) -> np.ndarray:
    """The cells of `rows` at `slots` of the axis: float64 where all are numbers, else text."""
    cells, place = sheet.block([column], rows)
    filled = [cell for cell in cells if not _is_missing(cell)]
    values = np.array(cells)
    if filled and all(map(NUMBER.fullmatch, filled)):
        values = numbers(sheet, cells, place, missing, fill=np.nan, signed=True)
    return placed(values, slots, len(axis.labels), np.nan if values.dtype == float else "")


def placed(values, where, shape, default) -> np.ndarray:
    """An array full of `default`, with `values` at `where`."""
    grid = np.full(shape, default, values.dtype)
    grid[where] = values
    return grid


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
        return cells, lambda cell: (self.lines[rows[cell // len(columns)]], columns[cell % len(columns)])

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
            raise self.error(1, self.header[0], f"no {option} column found: pass {option}= or layout=")
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


def read_sheet(path) -> _Sheet:
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
    sheet = _Sheet(path.name, records[0], records[1:], lines[1 : len(records)])
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
