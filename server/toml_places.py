"""Where each key of a TOML text stands, which `tomllib` does not say.

It reads only as much of the language as is needed to find keys, and reads it before `tomllib` does: a text that is
nested deeper than DEEPEST, or repeats a key, is known with its place before a recursive parser sees it. What it does
not understand it leaves alone: whether the text is TOML is decided by `tomllib`.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass, field

DEEPEST = 12
"""Tables within tables, lists within lists and parts of a dotted key, together."""

Path = tuple[str | int, ...]

_BLANK = re.compile(r"[ \t]*")
_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_BASIC = re.compile(r'"((?:[^"\\\n]|\\[^\n])*)"')
_LITERAL = re.compile(r"'([^'\n]*)'")
_LONG = (re.compile(r'"""(?:[^"\\]|\\[\s\S]|"(?!""))*"{3,5}'), re.compile(r"'''(?:[^']|'(?!''))*'{3,5}"))
_SCALAR = re.compile(r"[^,\]}#\n]+")
_ESCAPE = re.compile(r'\\(?:u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|([btnfr"\\]))')
_LETTERS = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Place:
    """A line and a column, both from 1; columns count characters."""

    line: int
    column: int


@dataclass(slots=True)
class Places:
    """Keys by their path (elements of lists have numbers), keys that are there twice, and where it is too deep."""

    keys: dict[Path, Place] = field(default_factory=dict)
    twice: list[tuple[Path, Place, Place]] = field(default_factory=list)  # the path, where again, where first
    too_deep: tuple[Path, Place] | None = None
    seen: list[tuple[int, Path]] = field(default_factory=list)  # every key in turn, by offset

    def before(self, offset: int) -> Path:
        """The key that was last begun at an offset: what a syntax fault is about."""
        number = bisect_right(self.seen, offset, key=lambda one: one[0])
        return self.seen[number - 1][1] if number else ()


class _Stop(Exception):
    """The rest is not understood."""


def find(text: str) -> Places:
    """The places of all keys, as far as the text can be understood; `text` has \\n at the ends of its lines."""
    reader = _Reader(text)
    try:
        reader.document()
    except _Stop:
        pass
    return reader.found


class _Reader:
    """One text, read once from its beginning."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.found = Places()
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self._tables: set[Path] = set()
        self._lists: dict[Path, int] = {}  # arrays of tables: how many tables so far
        self._values: dict[Path, Place] = {}

    def place(self, offset: int) -> Place:
        line = bisect_right(self._lines, offset)
        return Place(line, offset - self._lines[line - 1] + 1)

    def document(self) -> None:
        table: Path = ()
        while True:
            self._skip(_SPACE)
            if self.at >= len(self.text):
                return
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table, len(table))
            self._skip(_BLANK)
            if self.at < len(self.text) and self.text[self.at] not in "#\n":
                raise _Stop

    def _header(self) -> Path:
        many = self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        self._skip(_BLANK)
        start, parts = self.at, self._key()
        self._expect("]]" if many else "]")
        path = self._resolved(parts)
        if many:
            number = self._lists.get(path, 0)
            if number == 0 and (path in self._tables or path in self._values):
                self._again(path, parts[-1][1])
            self._lists[path] = number + 1
            self._name(path, parts)
            path = (*path, number)
            self.found.keys.setdefault(path, self.place(start))
            return path
        if path in self._tables or path in self._values or path in self._lists:
            self._again(path, parts[-1][1])
        self._tables.add(path)
        self._name(path, parts)
        return path

    def _resolved(self, parts: list[tuple[str, int]]) -> Path:
        """The path of a header: in an array of tables, its last table."""
        path: Path = ()
        for number, (name, _) in enumerate(parts):
            path = (*path, name)
            if path in self._lists and number < len(parts) - 1:
                path = (*path, self._lists[path] - 1)
        return path

    def _pair(self, table: Path, depth: int) -> None:
        parts = self._key()
        path = (*table, *(name for name, _ in parts))
        if len(parts) + depth > DEEPEST:
            self._deep(path, parts[0][1])
        if path in self._values or path in self._tables:
            self._again(path, parts[-1][1])
        self._values.setdefault(path, self.place(parts[-1][1]))
        self._name(path, parts)
        self._expect("=")
        self._skip(_BLANK)
        self._value(path, depth + len(parts))

    def _name(self, path: Path, parts: list[tuple[str, int]]) -> None:
        """Remembers where each part of a key stands, the first time."""
        names = [number for number, part in enumerate(path) if isinstance(part, str)][-len(parts) :]
        for number, (_, offset) in zip(names, parts, strict=True):
            self.found.keys.setdefault(path[: number + 1], self.place(offset))
        self.found.seen.append((parts[0][1], path))
        if len(path) > DEEPEST:
            self._deep(path, parts[0][1])

    def _again(self, path: Path, offset: int) -> None:
        self.found.twice.append((path, self.place(offset), self.found.keys.get(path, self.place(offset))))

    def _deep(self, path: Path, offset: int) -> None:
        self.found.too_deep = (path[:DEEPEST], self.place(offset))
        raise _Stop

    def _key(self) -> list[tuple[str, int]]:
        parts = []
        while True:
            start = self.at
            parts.append((self._part(), start))
            if len(parts) > DEEPEST:
                self._deep(tuple(name for name, _ in parts), parts[0][1])
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return parts
            self.at += 1
            self._skip(_BLANK)

    def _part(self) -> str:
        if bare := _BARE.match(self.text, self.at):
            self.at = bare.end()
            return bare[0]
        quoted = _BASIC.match(self.text, self.at)
        if quoted is not None:
            self.at = quoted.end()
            return _ESCAPE.sub(_unescaped, quoted[1])
        literal = _LITERAL.match(self.text, self.at)
        if literal is None:
            raise _Stop
        self.at = literal.end()
        return literal[1]

    def _value(self, path: Path, depth: int) -> None:
        if depth > DEEPEST:
            self._deep(path, self.at)
        for string in (*_LONG, _BASIC, _LITERAL):
            if match := string.match(self.text, self.at):
                self.at = match.end()
                return
        opening = self.text[self.at : self.at + 1]
        if opening == "[":
            self._list(path, depth)
        elif opening == "{":
            self._inline(path, depth)
        elif scalar := _SCALAR.match(self.text, self.at):
            if scalar[0][0] in "\"'":
                raise _Stop
            self.at = scalar.end()
        else:
            raise _Stop

    def _list(self, path: Path, depth: int) -> None:
        self.at += 1
        number = 0
        while True:
            self._skip(_SPACE)
            if self.text.startswith("]", self.at):
                self.at += 1
                return
            element = (*path, number)
            self.found.keys[element] = self.place(self.at)
            self._value(element, depth + 1)
            self._skip(_SPACE)
            number += 1
            if self.text.startswith(",", self.at):
                self.at += 1
            elif not self.text.startswith("]", self.at):
                raise _Stop

    def _inline(self, path: Path, depth: int) -> None:
        self.at += 1
        self._skip(_BLANK)
        if self.text.startswith("}", self.at):
            self.at += 1
            return
        while True:
            self._skip(_BLANK)
            self._pair(path, depth)
            self._skip(_BLANK)
            if self.text.startswith("}", self.at):
                self.at += 1
                return
            self._expect(",")

    def _skip(self, what: re.Pattern[str]) -> None:
        match = what.match(self.text, self.at)
        assert match is not None
        self.at = match.end()

    def _expect(self, sign: str) -> None:
        if not self.text.startswith(sign, self.at):
            raise _Stop
        self.at += len(sign)


def _unescaped(match: re.Match[str]) -> str:
    if match[3]:
        return _LETTERS[match[3]]
    number = int(match[1] or match[2], 16)
    return chr(number) if number < 0x110000 else match[0]
