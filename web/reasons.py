"""Why something failed between instances, in the reader's language.

What is kept with a link, a delivery or a recall is the English of logs, or one word: it is the same for every
reader, for programs and for whoever looks it up elsewhere. It gets its words where it is shown, from
`sentences/LANGUAGE/reasons.po`; what stands there in brackets, or in a place, stays as it is.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

SENTENCES = Path(__file__).with_name("sentences")
PLACE = re.compile(r"%\((\w+)\)s")
WITH_DETAIL = re.compile(r"(?P<sentence>.+?[.!?]) \((?P<detail>.+)\)", re.DOTALL)
NESTED = "why"
"""The place where a whole reason stands inside another."""


@dataclass(frozen=True, slots=True)
class Reasons:
    """The words of one language: of whole sentences, and of those that have places."""

    plain: Mapping[str, str]
    shaped: tuple[tuple[re.Pattern[str], str], ...]

    def spoken(self, kept: str) -> str:
        """A reason in this language; one that is not known stays as it is."""
        if kept in self.plain:
            return self.plain[kept]
        for shape, words in self.shaped:
            if found := shape.fullmatch(kept):
                return words % {
                    name: self.spoken(part) if name == NESTED else part for name, part in found.groupdict().items()
                }
        found = WITH_DETAIL.fullmatch(kept)
        if found and (said := self.plain.get(found["sentence"])):
            return f"{said} ({found['detail']})"
        return kept


@cache
def reasons(language: str) -> Reasons:
    """The reasons of a language: fr or en."""
    plain, shaped = {}, []
    for kept, words in _read(language):
        if PLACE.search(kept):
            shaped.append((_shape(kept), words))
        else:
            plain[kept] = words
    return Reasons(plain, tuple(shaped))


def _read(language: str) -> Iterator[tuple[str, str]]:
    with (SENTENCES / language / "reasons.po").open("rb") as file:
        for message in read_po(file, locale=language):
            if message.id and message.string:
                yield str(message.id), str(message.string)


def _shape(kept: str) -> re.Pattern[str]:
    """What a sentence with places looks like once they are filled."""
    parts = PLACE.split(kept)
    return re.compile(
        "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL
    )
