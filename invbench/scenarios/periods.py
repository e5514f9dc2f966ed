"""Period labels of a table of sales (dates, months, numbers) as a time axis without gaps."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

DATE = re.compile(r"(\d{4}-\d\d-\d\d)(?:[ T]00:00:00)?", re.ASCII)
YEAR_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)
NAMED_MONTH = re.compile(
    "(jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
    r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)[-_ ]?(\d{4}|\d\d)",
    re.ASCII | re.IGNORECASE,
)
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NUMBERED = re.compile(r"((?:[a-z]+[-_]?)?)(\d{1,9})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Axis:
    labels: tuple[str, ...]
    dates: np.ndarray | None
    slots: np.ndarray  # int: where each label that was read stands in `labels`


def time_axis(sheet, labels, place, missing, series=None, items=()) -> Axis:
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
        raise sheet.error(
            *place(first[gaps[0]]), f"{after!r} follows {before!r}, more than the smallest step between periods: {absent}"
        )
    known = {position: labels[index] for position, index in zip(present.tolist(), first)}
    names = tuple(known.get(position) or _day(position) for position in complete.tolist())
    dates = complete.astype("datetime64[D]") if kind == "date" else None
    return Axis(names, dates, np.searchsorted(complete, positions))


def _positions(sheet, labels, place) -> tuple[str, np.ndarray]:
    """The kind of all labels and int [label] positions."""
    periods = {label: period_of(label) for label in dict.fromkeys(labels)}
    kind = (periods[labels[0]] or ("",))[0]
    for index, label in enumerate(labels):
        if periods[label] is None or periods[label][0] != kind:
            example = labels[0] if kind else "2024-12-31"
            raise sheet.error(*place(index), f"{label!r} is not a period such as {example!r}")
    return kind, np.array([periods[label][1] for label in labels])


def period_of(label) -> tuple[str, int] | None:
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
