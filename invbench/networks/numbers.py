"""A text file as a stream of numbers, each with its line: every refusal names file and line."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass
class Numbers:
    """Words of a file in turn; `one`, `whole` and `several` take the next and check them. Numbers must be >= 0 and finite."""

    name: str  # of the file, without its ending
    file: str
    words: list[str]
    lines: list[int]  # of each word, from 1
    last: int  # line of the file
    place: int = 0

    @classmethod
    def read(cls, path: Path) -> "Numbers":
        """All words of a text file. Raises ValueError where it is empty or not text."""
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise ValueError(f"{path.name}, line {line}: a byte that is not UTF-8 text") from None
        found = [(word, line) for line, row in enumerate(text.split("\n"), 1) for word in row.split()]
        if not found:
            raise ValueError(f"{path.name}, line 1: the file is empty")
        words, lines = (list(part) for part in zip(*found))
        return cls(path.stem, path.name, words, lines, lines[-1])

    @property
    def first(self) -> list[str]:
        """The words of the first line that has any."""
        return [word for word, line in zip(self.words, self.lines) if line == self.lines[0]]

    def error(self, line: int, rule: str, value: Any) -> ValueError:
        """What stands in a line is not what it must be."""
        return ValueError(f"{self.file}, line {line}: must be {rule}, got {value!r}")

    def one(self, what: str, word: str = "") -> float:
        """The next number; nan where the word `word` stands in its place."""
        if self.place == len(self.words):
            raise ValueError(f"{self.file}, line {self.last}: the file ends before {what}")
        text, line = self.words[self.place], self.lines[self.place]
        self.place += 1
        if word and text == word:
            return math.nan
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= 0) or "_" in text:
            raise self.error(line, f"{what}, a number >= 0", text)
        return value

    def whole(self, what: str, low: int = 1, high: float = math.inf) -> int:
        """The next number, which must be whole and from low to high."""
        value = self.one(what)
        if not (value.is_integer() and low <= value <= high):
            rule = f"{what}, a whole number from {low}" + (f" to {high}" if math.isfinite(high) else "")
            raise self.error(self.lines[self.place - 1], rule, self.words[self.place - 1])
        return int(value)

    def several(self, what: str, count: int) -> list[float]:
        """The next `count` numbers."""
        return [self.one(what) for _ in range(count)]

    def end(self) -> None:
        """Raises ValueError where the file goes on."""
        if self.place < len(self.words):
            raise self.error(self.lines[self.place], "the end of the file", self.words[self.place])
