"""Words as people look for them: without case and accents, the same on both databases."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from server import database as db
from server.sql import Clause, any_of

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_LIGATURES = {"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "’": "'"}
_SPELLINGS = {
    "a": "àáâãäå",
    "c": "ç",
    "d": "đ",
    "e": "èéêë",
    "i": "ìíîï",
    "l": "ł",
    "n": "ñ",
    "o": "òóôõöø",
    "u": "ùúûü",
    "y": "ýÿ",
    "'": "’",
}
_JOINED = {"oe": "œ", "ae": "æ", "ss": "ß"}


def folded(text: str) -> str:
    """Small letters without accents: « Où êtes-vous » and “ou etes-vous” are the same."""
    small = text.casefold()
    return small if small.isascii() else _NOT_ASCII.sub(_bare, small)


def _bare(letters: re.Match[str]) -> str:
    """Letters outside ASCII, each by itself: accents that stand alone belong to what came before, and go."""
    return "".join(map(_bare_letter, letters[0]))


@lru_cache(maxsize=4096)
def _bare_letter(letter: str) -> str:
    apart = unicodedata.normalize("NFKD", _LIGATURES.get(letter, letter))
    return "".join(character for character in apart if not unicodedata.combining(character))


def like(word: str) -> str:
    """A word as what follows `LIKE`, found anywhere; used with `ESCAPE '!'`."""
    escaped = word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def named(columns: Sequence[str], word: str) -> Clause:
    """One of these short columns (names, kept as they are written) holds this folded word, however spelled."""
    joined = word
    for apart, ligature in _JOINED.items():
        joined = joined.replace(apart, ligature)
    sqlite = db.engine_name() == "sqlite"
    patterns = {_glob(spelling) if sqlite else _regex(spelling) for spelling in (word, joined)}
    operator = "GLOB" if sqlite else "~"
    return any_of(Clause(f"{column} {operator} ?", (pattern,)) for column in columns for pattern in sorted(patterns))


def _glob(word: str) -> str:
    """The SQLite pattern: a class of spellings for each letter, the word anywhere."""
    return f"*{''.join(_class(c) if _is_letter(c) else _plain_in_glob(c) for c in word)}*"


def _plain_in_glob(character: str) -> str:
    return f"[{character}]" if character in "*?[" else character


def _regex(word: str) -> str:
    """The PostgreSQL pattern, the same."""
    return "".join(_class(c) if _is_letter(c) else c if c.isalnum() else f"\\{c}" for c in word)


def _is_letter(character: str) -> bool:
    return character.isalpha() or character in _SPELLINGS


def _class(letter: str) -> str:
    spellings = letter + _SPELLINGS.get(letter, "")
    both = dict.fromkeys(spellings + "".join(s for s in spellings.upper() if s not in spellings))
    return f"[{''.join(both)}]"
