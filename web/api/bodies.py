"""JSON bodies of our own API: every key is known, every value fits, or the whole is refused by name (A26)."""

import re
from typing import TypeVar

import msgspec

from server.errors import Invalid
from server.refusals import N_
from web.api.fields import NOT_JSON

UNKNOWN_KEY = N_("« %(name)s » n’est pas une clé connue.")
MISSING_KEY = N_("« %(name)s » manque.")
WRONG_VALUE = N_("« %(name)s » a une valeur qui ne convient pas.")

T = TypeVar("T")
_QUOTED = re.compile(r"`([^`$.\[\]]+)`")
_PLACE = re.compile(r"at `\$\.?([^`]*)`")


class Body(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What every body of our own API inherits."""


def decode(raw: bytes, kind: type[T]) -> T:
    """Raises Invalid with the field's name."""
    try:
        found = msgspec.json.decode(raw or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Invalid(NOT_JSON) from None
    _refuse_nul(found)
    return found


def _invalid(message: str) -> Invalid:
    place = _PLACE.search(message)
    name = place[1] if place else ""
    if message.startswith("Object contains unknown field"):
        quoted = _QUOTED.search(message)
        name, sentence = (quoted[1] if quoted else name)[:80], UNKNOWN_KEY
    elif message.startswith("Object missing required field"):
        quoted = _QUOTED.search(message)
        name, sentence = quoted[1] if quoted else name, MISSING_KEY
    else:
        sentence = WRONG_VALUE if name else NOT_JSON
    return Invalid(sentence, field=name, params={"name": name})


def _refuse_nul(found: object) -> None:
    """PostgreSQL keeps no text with a NUL in it."""
    for name, value in msgspec.to_builtins(found).items():
        if "\0" in str(value):
            raise Invalid(WRONG_VALUE, field=name, params={"name": name})
