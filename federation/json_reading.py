"""JSON from strangers, read so that it means one thing.

What two parsers could read differently is refused before anybody looks at it (advisory S7): duplicate keys,
numbers that are not finite, lone surrogates; and what would keep us busy: size and depth. Otherwise this is
the standard parser, at its speed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from federation.errors import Malformed

__all__ = ["JsonLimits", "parse_json"]

_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}|\\u[dD][c-fC-F][0-9a-fA-F]{2}")


# An even number of backslashes before it are escaped themselves; PostgreSQL keeps no NUL, SQLite cuts at it.
_NUL_ESCAPE = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class JsonLimits:
    """`most_bytes` of the raw document; `deepest` counts nested objects and arrays, the outermost is 1."""

    most_bytes: int = 1_048_576
    deepest: int = 20


DEFAULT_LIMITS = JsonLimits()


def parse_json(raw: bytes, limits: JsonLimits = DEFAULT_LIMITS) -> dict[str, Any]:
    """The object in `raw`. Raises Malformed, with one clear sentence, for anything else."""
    if len(raw) > limits.most_bytes:
        raise Malformed("The document is too large.", f"{len(raw)} bytes")
    try:
        document = _DECODER.decode(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Malformed("The document is not UTF-8.", str(error)) from None
    except RecursionError:
        raise Malformed("The document is nested too deeply.") from None
    except ValueError as error:
        raise Malformed("The document is not JSON.", str(error)) from None
    if not isinstance(document, dict):
        raise Malformed("The document is not a JSON object.")
    if raw.count(b"{") + raw.count(b"[") > limits.deepest:
        _bound_depth(document, limits.deepest)
    if b"\\u0000" in raw and _NUL_ESCAPE.search(raw):
        raise Malformed("The document contains a NUL character.")
    if _SURROGATE_ESCAPE.search(raw):
        _refuse_lone_surrogates(document)
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("The document states a key twice in one object.")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        _refuse_constant(text)
    return number


def _refuse_constant(text: str) -> NoReturn:
    raise Malformed("The document contains a number that is not finite.", text[:40])


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_float=_finite, parse_constant=_refuse_constant)


def _bound_depth(document: dict[str, Any], deepest: int) -> None:
    level: list[Any] = [document]
    for _ in range(deepest):
        level = [child for node in level for child in _children(node) if isinstance(child, dict | list)]
        if not level:
            return
    raise Malformed("The document is nested too deeply.")


def _children(node: Any) -> Any:
    return node.values() if isinstance(node, dict) else node


def _refuse_lone_surrogates(document: dict[str, Any]) -> None:
    # Pairs have become one character by now; what is left alone cannot be written as UTF-8.
    try:
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("The document contains half a character.") from None
