"""Pieces of SQL that carry their own values, so that a narrowing can be put into any query."""

import itertools
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple


class Clause(NamedTuple):
    """SQL text with `?` for each value, and the values."""

    text: str
    values: tuple[Any, ...] = ()

    def then(self, text: str, *values: Any) -> "Clause":
        """This clause, followed by more text with its own values."""
        return Clause(f"{self.text} {text}", (*self.values, *values))

    def and_(self, other: "Clause") -> "Clause":
        return Clause(f"{self.text} AND ({other.text})", (*self.values, *other.values))

    def join(self, other: "Clause") -> "Clause":
        return Clause(f"{self.text} {other.text}", (*self.values, *other.values))

    def statement(self) -> tuple[Any, ...]:
        """The text with $1, $2, … and then its values: what `database.fetch` takes."""
        return (_numbered(self.text), *self.values)


@lru_cache(maxsize=2048)
def _numbered(text: str) -> str:
    count = itertools.count(1)
    return re.sub(r"\?", lambda _: f"${next(count)}", text)


def any_of(clauses: Iterable[Clause]) -> Clause:
    """Any of these holds; none at all means never."""
    parts = list(clauses)
    if not parts:
        return Clause("1 = 0")
    values = tuple(value for part in parts for value in part.values)
    return Clause("(" + " OR ".join(f"({part.text})" for part in parts) + ")", values)


def one_of(column: str, values: Iterable[Any]) -> Clause:
    """The column is one of these values; of none means never."""
    listed = tuple(values)
    if not listed:
        return Clause("1 = 0")
    return Clause(f"{column} IN ({', '.join('?' * len(listed))})", listed)


def among(column: str, values: Iterable[Any]) -> Clause:
    """The same as `one_of` where lists of many lengths are asked, in one of a few texts: databases know those already.

    The last value is said again until there are 1, 2, 4, 8… of them.
    """
    listed = tuple(values)
    if len(listed) > 2:
        listed += (listed[-1],) * ((1 << (len(listed) - 1).bit_length()) - len(listed))
    return one_of(column, listed)
