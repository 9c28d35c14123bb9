"""French and English: sentences, dates, numbers, sizes.

The sentences in the code are French; the English ones stand in `sentences/en/parvis.po`, read once at start, so
that no compiled file has to be kept. A sentence without a translation is shown in French rather than not at all;
a test of the house refuses one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache

from babel.core import Locale
from babel.dates import format_date, format_datetime, format_time, format_timedelta
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from server.clock import now_ms
from server.settings import LANGUAGES
from web.reasons import SENTENCES, reasons

DAY_MS = 24 * 3600 * 1000
HEADER_CHARACTERS = 500
WEIGHT = re.compile(r"(?:\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*)?")
NARROW = "\u202f"
NO_BREAK = "\u00a0"


@dataclass(frozen=True, slots=True)
class Speech:
    """One language, as pages speak it."""

    language: str
    singular: Mapping[str, str] = field(repr=False)
    plural: Mapping[str, tuple[str, ...]] = field(repr=False)
    locale: Locale = field(repr=False)

    def gettext(self, sentence: str) -> str:
        return self.singular.get(sentence) or sentence

    def ngettext(self, one: str, many: str, count: int) -> str:
        """The form for a number: in French 0 and 1 are singular, in English 1 alone."""
        forms = self.plural.get(one, (one, many))
        alone = count == 1 if self.language == "en" else abs(count) < 2
        return forms[0] if alone else forms[1]

    def reason(self, kept: str) -> str:
        """Why something failed between instances: kept in English, or as a sentence of the domain."""
        return reasons(self.language).spoken(self.gettext(kept))

    def day(self, ms: int) -> str:
        """« 31 mars 2027 », “31 March 2027”; in French the first of a month is « 1er »."""
        said = format_date(_at(ms), "d MMMM y", locale=self.locale)
        return said.replace("1 ", "1er ", 1) if self.language == "fr" and said.startswith("1 ") else said

    def moment(self, ms: int) -> str:
        """The day and the time, 24 hours, with the zone that all of it is in."""
        return f"{self.day(ms)}, {format_time(_at(ms), 'HH:mm', locale=self.locale)}{NO_BREAK}UTC"

    def ago(self, ms: int) -> str:
        """« il y a 4 min »; after a week the day."""
        passed = now_ms() - ms
        if passed >= 7 * DAY_MS:
            return self.day(ms)
        since = timedelta(milliseconds=-max(passed, 1000))
        return format_timedelta(since, add_direction=True, format="short", locale=self.locale)

    def lasting(self, ms: int) -> str:
        """« 3 heures »: a time that passes, in its largest unit; a second at least."""
        return format_timedelta(timedelta(milliseconds=max(ms, 1000)), locale=self.locale)

    def iso(self, ms: int) -> str:
        """For `datetime` attributes."""
        return format_datetime(_at(ms), "yyyy-MM-dd'T'HH:mm:ss'Z'", locale="en")

    def number(self, value: float) -> str:
        return format_decimal(value, locale=self.locale)

    def percent(self, share: float) -> str:
        """« 40 % », “40%”: a share of 1 in whole percent."""
        return format_percent(share, locale=self.locale)

    def size(self, count: int) -> str:
        """Bytes in the unit that people read."""
        units = ("o", "ko", "Mo", "Go") if self.language == "fr" else ("B", "kB", "MB", "GB")
        value, unit = float(count), 0
        while value >= 1000 and unit < len(units) - 1:
            value, unit = value / 1000, unit + 1
        shown = round(value, 1) if value < 10 and unit else round(value)
        return f"{self.number(shown)}{NARROW if self.language == 'fr' else NO_BREAK}{units[unit]}"


@cache
def speech(language: str) -> Speech:
    """The speech of a language: fr or en."""
    singular: dict[str, str] = {}
    plural: dict[str, tuple[str, ...]] = {}
    path = SENTENCES / language / "parvis.po"
    if path.exists():
        with path.open("rb") as file:
            for message in read_po(file, locale=language):
                if isinstance(message.id, tuple):
                    plural[message.id[0]] = tuple(str(form) for form in message.string or ())
                elif message.id and message.string:
                    singular[str(message.id)] = str(message.string)
    return Speech(language, singular, plural, Locale.parse("fr" if language == "fr" else "en_GB"))


def choose(account_language: str, accept_language: str, default: str) -> Speech:
    """The person's own choice, else the browser's, else the instance's."""
    if account_language in LANGUAGES:
        return speech(account_language)
    return speech(next((language for language in _wanted(accept_language) if language in LANGUAGES), default))


def _wanted(accept_language: str) -> list[str]:
    """The languages of the header without their regions, the dearest first (RFC 9110, section 12.5.4).

    What follows after `HEADER_CHARACTERS` is not read; a weight that is none counts as 0, which means never.
    """
    weighed = []
    for part in accept_language[:HEADER_CHARACTERS].split(","):
        tag, _, said = part.partition(";")
        weight = WEIGHT.fullmatch(said)
        weighed.append((float(weight[1] or 1) if weight else 0.0, tag.strip().lower().partition("-")[0]))
    return [language for weight, language in sorted(weighed, key=lambda one: -one[0]) if weight]


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)
