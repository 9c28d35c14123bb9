"""A TOML file, or a folder of them, to values and the places of their keys; what is wrong has its place, too.

A `Fault` says file, line, column, the key and what was expected, as words that are spoken later.
"""

import os
import re
import stat
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

from server.policy_words import Said, Tongue, spoken
from server.refusals import N_
from server.toml_places import Path, Place, Places, find

FILE_BYTES = 512 * 1024
MOST_FILES = 500
MOST_FAULTS = 100
BOM = b"\xef\xbb\xbf"

NOT_A_FILE = N_("attendu : un fichier TOML ou un dossier de fichiers .toml, lisible et sans lien symbolique")
NO_FILES = N_("attendu : au moins un fichier .toml dans ce dossier, et au plus %(most)s")
TOO_BIG = N_("attendu : au plus %(most)s octets")
HAS_BOM = N_("attendu : de l’UTF-8 sans marque d’ordre des octets au début")
NOT_UTF8 = N_("attendu : de l’UTF-8 ; cet octet n’en est pas")
HAS_NUL = N_("attendu : un texte sans caractère NUL")
TOO_DEEP = N_("attendu : moins de niveaux imbriqués")
TWICE = N_("attendu : une seule fois ; déjà à la ligne %(line)s")
SYNTAX = (
    ("Unterminated string", N_("attendu : des guillemets qui ferment le texte")),
    ("Expected '='", N_("attendu : « = » après la clé")),
    ("Expected ']'", N_("attendu : « ] » à la fin du titre de la table")),
    ("Expected newline", N_("attendu : la fin de la ligne après la valeur")),
    ("Invalid value", N_("attendu : une valeur (texte entre guillemets, nombre, true, false, date, liste ou table)")),
    ("Cannot", N_("attendu : une clé ou une table qui n’est pas déjà là")),
    ("Duplicate", N_("attendu : une clé ou une table qui n’est pas déjà là")),
    ("Unclosed", N_("attendu : « ] » ou « } » à la fin de la liste ou de la table")),
    ("Unescaped", N_("attendu : « \\\\ » pour une barre oblique inverse dans un texte")),
    ("Found invalid character", N_("attendu : un texte sans ce caractère")),
    ("Illegal character", N_("attendu : un texte sans ce caractère")),
    ("Invalid statement", N_("attendu : une clé, un titre de table entre crochets ou un commentaire")),
    ("Invalid initial", N_("attendu : une clé, un titre de table entre crochets ou un commentaire")),
    ("Exceeds the limit", N_("attendu : un nombre plus court")),
    ("", N_("attendu : du TOML")),
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in a file."""

    file: str
    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong where: `key` in full, `expected` in words."""

    spot: Spot
    key: str
    expected: Said

    def told(self, tongue: Tongue) -> str:
        """One line in the form that editors jump to."""
        head = f"{self.spot.file}:{self.spot.line}:{self.spot.column}: "
        return head + (f"{self.key}: " if self.key else "") + spoken(self.expected, tongue)

    def as_json(self, tongue: Tongue) -> dict[str, Any]:
        return {
            "file": self.spot.file,
            "line": self.spot.line,
            "column": self.spot.column,
            "key": self.key,
            "expected": spoken(self.expected, tongue),
        }


class WrongFile(Exception):
    """Nothing is declared: the faults, in the order of the files."""

    def __init__(self, faults: list[Fault]) -> None:
        self.faults = faults[:MOST_FAULTS]
        super().__init__(f"{len(faults)} faults")


_AT = re.compile(r"\(at line (\d+), column (\d+)\)$")
_LONG_NUMBER = re.compile(r"[0-9_]{4300}")


# --- files ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """One file that is TOML, with the places of its keys. `name`: as faults call it."""

    name: str
    folder: File
    values: dict[str, Any] = field(hash=False)
    places: Places = field(hash=False)

    def spot(self, path: Path) -> Spot:
        """Where a key stands, or the nearest one around it."""
        while path and path not in self.places.keys:
            path = path[:-1]
        place = self.places.keys.get(path, Place(1, 1))
        return Spot(self.name, place.line, place.column)


def texts_of(path: File) -> tuple[list[Text], list[Fault]]:
    """The files that a path names, parsed. Raises WrongFile when there is nothing to parse."""
    found, faults = [], []
    for file, name in _files(path):
        try:
            found.append(_parsed(file, name))
        except WrongFile as error:
            faults += error.faults
    return found, faults


def _files(path: File) -> Iterator[tuple[File, str]]:
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):
        mode = 0
    if not stat.S_ISDIR(mode):
        yield path, path.name if mode else str(path)
        return
    names = sorted(entry.name for entry in os.scandir(path) if entry.name.endswith(".toml"))
    if not 0 < len(names) <= MOST_FILES:
        raise WrongFile([Fault(Spot(path.name), "", Said(NO_FILES, {"most": MOST_FILES}))])
    for name in names:
        yield path / name, f"{path.name}/{name}"


def _parsed(file: File, name: str) -> Text:
    raw = read_plain(file, FILE_BYTES)
    if raw is None:
        raise WrongFile([Fault(Spot(name), "", Said(NOT_A_FILE))])
    if len(raw) > FILE_BYTES:
        raise WrongFile([Fault(Spot(name), "", Said(TOO_BIG, {"most": FILE_BYTES}))])
    if raw.startswith(BOM):
        raise WrongFile([Fault(Spot(name), "", Said(HAS_BOM))])
    try:
        text = raw.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise _at_offset(raw[: error.start].decode().replace("\r\n", "\n"), name, NOT_UTF8) from None
    if "\0" in text:
        raise _at_offset(text[: text.index("\0")], name, HAS_NUL)
    places = find(text)
    if places.too_deep is not None:
        path, place = places.too_deep
        raise WrongFile([Fault(Spot(name, place.line, place.column), told_path(path), Said(TOO_DEEP))])
    if places.twice:
        raise WrongFile(
            [
                Fault(Spot(name, again.line, again.column), told_path(path), Said(TWICE, {"line": first.line}))
                for path, again, first in places.twice[:MOST_FAULTS]
            ]
        )
    try:
        return Text(name, file.parent, tomllib.loads(text), places)
    except (ValueError, RecursionError) as error:  # a number too long to be read is no TOMLDecodeError
        raise WrongFile([_syntax(str(error), text, name, places)]) from None


def read_plain(file: File, most: int) -> bytes | None:
    """At most one byte more than allowed of a plain file; None when it is none, or a symbolic link."""
    try:
        number = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    with open(number, "rb") as opened:
        return opened.read(most + 1) if stat.S_ISREG(os.fstat(number).st_mode) else None


def _at_offset(before: str, name: str, sentence: str) -> WrongFile:
    """A fault behind some text, with the key that was begun last."""
    line = before.count("\n") + 1
    column = len(before) - (before.rfind("\n") + 1) + 1
    key = told_path(find(before).before(len(before)))
    return WrongFile([Fault(Spot(name, line, column), key, Said(sentence))])


def _syntax(message: str, text: str, name: str, places: Places) -> Fault:
    """What tomllib says, in our words; its sentences end with the place."""
    sentence = next(said for begins, said in SYNTAX if message.startswith(begins))
    if at := _AT.search(message):
        line, column = int(at[1]), int(at[2])
        offset = sum(len(one) + 1 for one in text.split("\n")[: line - 1]) + column - 1
    else:
        number = _LONG_NUMBER.search(text) if message.startswith("Exceeds") else None
        offset = number.start() if number else len(text)
        line, column = text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)
    return Fault(Spot(name, line, column), told_path(places.before(offset)), Said(sentence))


def told_path(path: Path) -> str:
    """A key as it is written in full: `partner."kestrel.example".until`, `partners[2]`."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part + 1}]"
        else:
            plain = part and all((sign.isalnum() and sign.isascii()) or sign in "-_" for sign in part)
            shown = part if plain else '"' + part[:80].encode("unicode_escape").decode().replace('"', '\\"') + '"'
            said += f".{shown}" if said else shown
    return said
