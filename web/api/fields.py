"""What a client sends, by name: query, form or JSON alike, each value bounded and typed before anybody uses it.

Client libraries of the field send lists as `ids[]=1&ids[]=2`, as `ids[0]=1` or as JSON lists; all of them are one
list here, so whoever checks a list checks every entry of it (O28). A single value that is given twice is refused:
two readers could each take the other one.
"""

import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from server.errors import Invalid, TooLarge
from server.limits import DOCUMENT_BYTES
from server.refusals import N_

MOST_FIELDS = 200
LARGEST = 2**63 - 1
_INDEX = re.compile(r"\[\d{0,3}\]$")

NOT_JSON = N_("Le corps de la requête n’est pas un objet JSON valide.")
NOT_A_FORM = N_("Le corps de la requête n’est pas un formulaire valide.")
TOO_LONG_BODY = N_("Le corps de la requête dépasse %(limit)s octets.")
TWICE = N_("« %(name)s » est donné plusieurs fois.")
NOT_TEXT = N_("« %(name)s » doit être un texte.")
TOO_LONG = N_("« %(name)s » a plus de %(limit)s caractères.")
NOT_WHOLE = N_("« %(name)s » doit être un nombre entier de %(low)s à %(high)s.")
NOT_FLAG = N_("« %(name)s » doit être true ou false.")
NOT_AN_OBJECT = N_("« %(name)s » doit être un objet.")
TOO_MANY = N_("« %(name)s » a plus de %(limit)s entrées.")

TRUE = frozenset({"true", "1", "on", "t", "yes"})
FALSE = frozenset({"false", "0", "off", "f", "no", ""})


@dataclass(frozen=True, slots=True)
class Fields:
    """Values by name. Reading one raises Invalid, with the name, when it does not fit."""

    values: Mapping[str, list[Any]] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return bool(self.values.get(name))

    def text(self, name: str, limit: int, default: str = "") -> str:
        """A text of at most `limit` characters."""
        value = self._one(name)
        return default if value is None else _text(value, name, limit)

    def whole(self, name: str, low: int, high: int) -> int | None:
        """A whole number, written as a number or in digits."""
        value = self._one(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
            value = int(value)
        if value is not None and (type(value) is not int or not low <= value <= high):
            raise Invalid(NOT_WHOLE, field=name, params={"name": name, "low": low, "high": high})
        return value

    def identifier(self, name: str) -> int | None:
        """An id as we hand them out, in digits."""
        return self.whole(name, 0, LARGEST)

    def flag(self, name: str) -> bool | None:
        value = self._one(name)
        if value is None or isinstance(value, bool):
            return value
        word = str(value).lower()
        if word not in TRUE | FALSE:
            raise Invalid(NOT_FLAG, field=name, params={"name": name})
        return word in TRUE

    def texts(self, name: str, most: int, limit: int = 100) -> list[str]:
        """A list of texts, each once, at most `most`."""
        entries = self.values.get(name, [])
        if len(entries) > most:
            raise Invalid(TOO_MANY, field=name, params={"name": name, "limit": most})
        return list(dict.fromkeys(_text(entry, name, limit) for entry in entries))

    def identifiers(self, name: str, most: int) -> list[int]:
        """A list of ids, each once, at most `most`."""
        return [Fields({name: [text]}).identifier(name) or 0 for text in self.texts(name, most, 20)]

    def inside(self, name: str) -> "Fields | None":
        """What stands inside a field, given as an object or as `name[part]`; None when it is not given."""
        value = self._one(name)
        if value is None:
            parts = {key[len(name) + 1 : -1]: found for key, found in self.values.items() if _within(name, key)}
            return Fields(parts) if parts else None
        if not isinstance(value, dict):
            raise Invalid(NOT_AN_OBJECT, field=name, params={"name": name})
        values: dict[str, list[Any]] = {}
        _gather(values, [(key, inner) for key, inner in value.items() if inner is not None])
        return Fields(values)

    def _one(self, name: str) -> Any:
        values = self.values.get(name, [])
        if len(values) > 1:
            raise Invalid(TWICE, field=name, params={"name": name})
        return values[0] if values else None


def _within(name: str, key: str) -> bool:
    return key.startswith(f"{name}[") and key.endswith("]")


def _text(value: Any, name: str, limit: int) -> str:
    if type(value) is int:
        value = str(value)
    if not isinstance(value, str) or "\0" in value:
        raise Invalid(NOT_TEXT, field=name, params={"name": name})
    if len(value) > limit:
        raise Invalid(TOO_LONG, field=name, params={"name": name, "limit": limit})
    return value


async def read(request: Request) -> Fields:
    """The fields of query and body together. Raises Invalid or TooLarge; files are refused here."""
    values: dict[str, list[Any]] = {}
    _gather(values, _pairs(request.url.query))
    if request.method not in ("GET", "HEAD"):
        _gather(values, await _of_body(request))
    return Fields(values)


async def read_body(request: Request, most: int = DOCUMENT_BYTES) -> bytes:
    """The body, counted while it arrives. Raises TooLarge."""
    pieces, size = [], 0
    async for piece in request.stream():
        size += len(piece)
        if size > most:
            raise TooLarge(TOO_LONG_BODY, params={"limit": most})
        pieces.append(piece)
    return b"".join(pieces)


async def _of_body(request: Request) -> list[tuple[str, Any]]:
    body = await read_body(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not body:
        return []
    if kind == "application/json":
        return _of_json(body)
    if kind == "multipart/form-data":
        return await _of_parts(request, body)
    try:
        return _pairs(body.decode())
    except UnicodeDecodeError:
        raise Invalid(NOT_A_FORM) from None


def _of_json(body: bytes) -> list[tuple[str, Any]]:
    try:
        told = msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(NOT_JSON) from None
    return [(name, value) for name, value in told.items() if value is not None]


async def _of_parts(request: Request, body: bytes) -> list[tuple[str, Any]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(request.headers, stream(), max_files=0, max_fields=MOST_FIELDS)
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError):
        raise Invalid(NOT_A_FORM) from None
    return [(name, value) for name, value in form.multi_items() if not isinstance(value, UploadFile)]


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError:
        raise Invalid(NOT_A_FORM) from None


def _gather(values: dict[str, list[Any]], pairs: list[tuple[str, Any]]) -> None:
    for name, value in pairs:
        entries = value if isinstance(value, list) else [value]
        values.setdefault(_INDEX.sub("", name), []).extend(entries)
