"""One value of the declarative file: what it means, or what was expected instead. Pure."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from enum import IntEnum, StrEnum
from typing import Any

from server.actions.spaces import SLUG
from server.limits import EARLIEST_YEAR, LATEST_YEAR
from server.openness import (
    AfterClose,
    Audience,
    Files,
    History,
    Identity,
    Invite,
    Level,
    Members,
    Notices,
    PartnerView,
    Reach,
    Relay,
    TakePart,
)
from server.policy_words import Said
from server.refusals import N_
from server.rights import NARROWABLE, Less, taken
from server.space_policy import (
    CUSTODY_CHARACTERS,
    DAY_MS,
    MOST_DAYS,
    MOST_MODERATED,
    NARROWABLE_AUDIENCES,
    TEXT_CHARACTERS,
)

A_TEXT = N_("attendu : un texte d’au plus %(most)s caractères, entre guillemets")
A_FLAG = N_("attendu : true ou false")
A_WHOLE = N_("attendu : un nombre entier de %(low)s à %(high)s")
ONE_OF = N_("attendu : l’un de %(values)s, entre guillemets")
A_DATE = N_('attendu : une date (2027-01-31), un instant avec son fuseau (2027-01-31T18:00:00Z), ou "" pour aucune')
A_HISTORY = N_('attendu : "", "since_joining", "since_opening", "all" ou "days:N", N de 1 à %(most)s')
A_HOST = N_('attendu : le nom d’une instance, comme "kestrel.example"')
A_KEY = N_('attendu : l’empreinte de la clé épinglée, "sha256:" et 64 chiffres hexadécimaux')
A_NAME = N_("attendu : le nom d’une personne de cette instance")
A_SLUG = N_("attendu : 1 à 64 lettres minuscules, chiffres ou tirets")
RIGHTS = N_("attendu : une table de droits parmi %(rights)s, par public parmi %(audiences)s")
OBJECTIVES = N_("attendu : une liste d’au plus %(most)s tables avec text, metric, target et date, en textes")

MOST_OBJECTIVES = 20
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,62}[a-z0-9_])?")
_KEY = re.compile(r"sha256:[0-9a-f]{64}")

KINDS: dict[str, type[IntEnum]] = {
    "members": Members,
    "files": Files,
    "take_part": TakePart,
    "invite": Invite,
    "relay": Relay,
    "notices": Notices,
}
"""Rights that a dial takes, by their names in the file."""


class Unfit(Exception):
    """A value that is not what was expected."""

    def __init__(self, sentence: str, **params: str | int) -> None:
        self.expected = Said(sentence, dict(params))
        super().__init__(sentence)


Read = Callable[[Any], Any]


def a_text(most: int) -> Read:
    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > most or "\0" in value:
            raise Unfit(A_TEXT, most=most)
        return value

    return read


def a_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise Unfit(A_FLAG)
    return value


def whole(low: int, high: int) -> Read:
    def read(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Unfit(A_WHOLE, low=low, high=high)
        return value

    return read


def one_of(kind: type[StrEnum]) -> Read:
    def read(value: Any) -> StrEnum:
        if not isinstance(value, str) or value not in set(kind):
            raise Unfit(ONE_OF, values=", ".join(f'"{one.value}"' for one in kind))
        return kind(value)

    return read


def one_of_or_none(kind: type[StrEnum]) -> Read:
    """The same, with an empty text for none."""
    read = one_of(kind)
    return lambda value: None if value == "" and isinstance(value, str) else read(value)


def at_most(right: str) -> Read:
    """How much of a right is left, by name."""
    kind = KINDS[right]

    def read(value: Any) -> int:
        names = {one.name.lower(): int(one) for one in kind}
        if not isinstance(value, str) or value not in names:
            raise Unfit(ONE_OF, values=", ".join(f'"{name}"' for name in names))
        return names[value]

    return read


def named_in(right: str, value: int) -> str:
    """The name of how much is left of a right."""
    return KINDS[right](value).name.lower()


def first_moment(value: Any) -> int | None:
    """Milliseconds; a day is its beginning, in UTC; '' is None."""
    if value == "" and isinstance(value, str):
        return None
    if not isinstance(value, date) or not EARLIEST_YEAR <= value.year <= LATEST_YEAR:
        raise Unfit(A_DATE)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise Unfit(A_DATE)
        return round(value.timestamp() * 1000)
    return int(datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1000)


def last_moment(value: Any) -> int | None:
    """The same, but a day is its end: what holds until a day holds on that day."""
    moment = first_moment(value)
    return moment if moment is None or isinstance(value, datetime) else moment + DAY_MS - 1


def a_history(value: Any) -> tuple[History, int]:
    if isinstance(value, str):
        name, _, days = value.partition(":")
        if name == History.DAYS and days.isascii() and days.isdigit() and len(days) < 6 and 1 <= int(days) <= MOST_DAYS:
            return History.DAYS, int(days)
        if value in set(History) - {History.DAYS}:
            return History(value), 0
    raise Unfit(A_HISTORY, most=MOST_DAYS)


def _matching(pattern: re.Pattern[str], sentence: str) -> Read:
    def read(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise Unfit(sentence)
        return value

    return read


a_host = _matching(_HOST, A_HOST)
a_key = _matching(_KEY, A_KEY)
a_name = _matching(_NAME, A_NAME)
a_slug = _matching(SLUG, A_SLUG)


def rights_taken(value: Any) -> tuple[tuple[Audience, Less], ...]:
    """Rights taken, by audience: `less.partner_member = { files = "view" }`."""
    names = {who.value: who for who in NARROWABLE_AUDIENCES}
    unfit = Unfit(RIGHTS, rights=", ".join(KINDS), audiences=", ".join(names))
    if not isinstance(value, dict) or not set(value) <= set(names):
        raise unfit
    found = []
    for who, rights in value.items():
        if not isinstance(rights, dict) or not set(rights) <= set(KINDS):
            raise unfit
        found.append((names[who], taken((right, at_most(right)(one)) for right, one in rights.items())))
    return tuple(sorted((one for one in found if one[1]), key=lambda one: one[0].value))


def objectives(value: Any) -> tuple[dict[str, str], ...]:
    unfit = Unfit(OBJECTIVES, most=MOST_OBJECTIVES)
    if not isinstance(value, list) or len(value) > MOST_OBJECTIVES:
        raise unfit
    for one in value:
        if not isinstance(one, dict) or not set(one) <= {"text", "metric", "target", "date"}:
            raise unfit
        if any(not isinstance(text, str) or len(text) > 500 or "\0" in text for text in one.values()):
            raise unfit
    return tuple(value)


# --- every key of the file -------------------------------------------------------------------------

LANGUAGES = ("fr", "en")
POLICY: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "level": ("level", one_of(Level)),
    "listed": ("listed", a_flag),
    "reach": ("reach", one_of(Reach)),
    "staff_read": ("staff_read", a_flag),
    "partner_view": ("partner_view", one_of(PartnerView)),
    "history": ("history", a_history),
    "less": ("less", rights_taken),
    "identity_outside": ("identity_outside", one_of(Identity)),
    "first_posts_moderated": ("first_posts_moderated", whole(0, MOST_MODERATED)),
    "opens": ("opens_at", first_moment),
    "until": ("closes_at", last_moment),
    "then": ("then_level", one_of_or_none(Level)),
    "review_days": ("review_days", whole(0, MOST_DAYS)),
    "retention_days": ("retention_days", whole(0, 36_500)),
    "after_close": ("after_close", one_of(AfterClose)),
    "seats": ("seats", whole(0, 1_000_000)),
    "tone": ("tone", a_text(TEXT_CHARACTERS["tone"])),
    "frame": ("frame", a_text(TEXT_CHARACTERS["frame"])),
    "language": ("language", a_text(TEXT_CHARACTERS["language"])),
    "objectives": ("objectives", objectives),
    "indexing": ("indexing", a_flag),
    "proofs": ("proofs", a_flag),
}
"""Keys of a space that are fields of its policy: which one, and what its value means."""

FIELD_OF = {name: field for name, (field, _) in POLICY.items()} | {"charter": "charter", "partners": "partners"}
KEY_OF = {field: name for name, field in FIELD_OF.items()} | {"history_days": "history"}
SPACE_KEYS = (*POLICY, "charter", "partners", "name", "description", "owner", "stewards", "manage")
PARTNER_KEYS: dict[str, Callable[[Any], Any]] = {
    "key": a_key,
    "sponsor": a_name,
    "ceiling": one_of(Level),
    "until": last_moment,
    "kin": a_flag,
}
TERMS_KEYS: dict[str, Callable[[Any], Any]] = {
    "host": a_host,
    "reach": one_of_or_none(Reach),
    "until": last_moment,
    "people_max": whole(0, 1_000_000),
    "sponsor": a_name,
    "custody": a_text(CUSTODY_CHARACTERS),
    **{right: at_most(right) for right in NARROWABLE},
}
GUARDRAIL_KEYS: dict[str, Callable[[Any], Any]] = {
    "max_level": one_of(Level),
    "require_until_from": one_of_or_none(Level),
    "require_second_person_from": one_of_or_none(Level),
    "openings_a_week": whole(0, 10_000),
    "max_days_open": whole(0, MOST_DAYS),
}
ROOT_KEYS = ("schema", "guardrails", "partner", "space")
