"""What may not be decided about a space: the bounds of its level and the guardrails of this instance, in words.

A dial never leaves its level (I4): the sentence says which level allows what is wanted. Pure.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from server.limits import LATEST_MS, LATEST_YEAR
from server.openness import Audience, History, Level, Reach
from server.refusals import N_
from server.rights import HISTORIES, NARROWED_AS, TABLE
from server.space_policy import (
    DAY_MS,
    MOST_DAYS,
    MOST_MODERATED,
    MOST_PARTNERS,
    NARROWABLE_AUDIENCES,
    ORDERED,
    TEXT_CHARACTERS,
    Guardrails,
    PartnerTerms,
    SpacePolicy,
    cell_of,
    compare,
    lengthens,
    widens_outside,
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a policy is refused: the field, and a sentence (a msgid) with its values."""

    field: str
    sentence: str
    params: Mapping[str, object] = dataclasses.field(default_factory=dict)


TOO_CLOSED = N_("Un espace au niveau Fermé ou Interne n’a pas de partenaires : choisissez le niveau Partenaires.")
ONLY_PARTNERS = N_("« %(field)s » n’a de sens qu’au niveau Partenaires : choisissez ce niveau.")
NO_HISTORY = N_("À ce niveau, les membres de l’extérieur ne peuvent pas lire « %(history)s » en arrière.")
DAYS_WANTED = N_("Dites sur combien de jours, de 1 à %(most)s.")
NO_INDEXING = N_("Seul un espace Public peut être indexé par les moteurs de recherche.")
ENDS_BEFORE = N_("La date de fin (%(field)s) vient avant le début, ou elle est déjà passée.")
TOO_FAR = N_("Cette date est trop lointaine : au plus tard le 31 décembre %(year)s.")
PARTNER_ENDS_BEFORE = N_("La date de fin de %(host)s vient avant le début, ou elle est déjà passée.")
THEN_WIDER = N_("Le niveau d’après (%(then)s) ne peut pas être plus ouvert que le niveau de l’espace.")
THEN_NEEDS_END = N_("« %(field)s » dit ce qui suit la date de fin : donnez aussi cette date.")
ABOVE_GUARDRAIL = N_("Cette instance n’ouvre aucun espace au-delà du niveau %(level)s.")
END_REQUIRED = N_("À partir du niveau %(level)s, cette instance demande une date de fin.")
TOO_LONG_OPEN = N_("Cette instance n’ouvre pas un espace plus de %(days)s jours.")
OUT_OF_RANGE = N_("« %(field)s » va de 0 à %(most)s.")
TOO_LONG = N_("« %(field)s » a au plus %(limit)s caractères.")
TOO_MANY_PARTNERS = N_("Un espace nomme au plus %(limit)s partenaires.")
PARTNER_TWICE = N_("« %(host)s » est nommé deux fois.")
NOT_NARROWABLE = N_("On ne retire pas de droits à « %(audience)s ».")
ORDER_BROKEN = N_(
    "« %(greater)s » aurait moins de droits (%(right)s) que « %(lesser)s », qui est plus loin : "
    "il suffirait de les retirer d’abord à « %(lesser)s »."
)


def problems(wanted: SpacePolicy, guardrails: Guardrails, now: int, before: SpacePolicy | None = None) -> list[Problem]:
    """Everything that stands against a policy. `before`: what is already so is not refused again; narrowing is
    never held up by a guardrail.
    """
    found = [*_level(wanted), *_dates(wanted, now, before), *_figures(wanted), *_narrowing(wanted)]
    if before is None or widens_outside(compare(before, wanted)) or wanted.closes_at != before.closes_at:
        found += _guardrails(wanted, guardrails, now)
    return found


def _level(wanted: SpacePolicy) -> Iterator[Problem]:
    if wanted.partners and wanted.level.rank < Level.PARTNERS.rank:
        yield Problem("partners", TOO_CLOSED)
    hosts = [terms.host for terms in wanted.partners]
    for host in sorted({host for host in hosts if hosts.count(host) > 1}):
        yield Problem("partners", PARTNER_TWICE, {"host": host})
    if len(hosts) > MOST_PARTNERS:
        yield Problem("partners", TOO_MANY_PARTNERS, {"limit": MOST_PARTNERS})
    if wanted.level is not Level.PARTNERS:
        if wanted.partner_view == "blind":
            yield Problem("partner_view", ONLY_PARTNERS, {"field": "partner_view"})
        if wanted.staff_read:
            yield Problem("staff_read", ONLY_PARTNERS, {"field": "staff_read"})
    if wanted.history not in HISTORIES[wanted.variant]:
        yield Problem("history", NO_HISTORY, {"history": wanted.history.value})
    if wanted.history is History.DAYS and not 1 <= wanted.history_days <= MOST_DAYS:
        yield Problem("history_days", DAYS_WANTED, {"most": MOST_DAYS})
    if wanted.indexing and wanted.level is not Level.PUBLIC:
        yield Problem("indexing", NO_INDEXING)


def _dates(wanted: SpacePolicy, now: int, before: SpacePolicy | None) -> Iterator[Problem]:
    begins = max(now, wanted.opens_at or 0)
    for name in ("opens_at", "closes_at"):
        if (getattr(wanted, name) or 0) > LATEST_MS:
            yield Problem(name, TOO_FAR, {"year": LATEST_YEAR})
    if wanted.closes_at is not None and wanted.closes_at <= begins:
        if before is None or before.closes_at != wanted.closes_at:
            yield Problem("closes_at", ENDS_BEFORE, {"field": "until"})
    if wanted.then_level is not None:
        if wanted.then_level.rank > wanted.level.rank:
            yield Problem("then_level", THEN_WIDER, {"then": wanted.then_level.value})
        if wanted.closes_at is None and not wanted.review_days:
            yield Problem("then_level", THEN_NEEDS_END, {"field": "then"})
    for terms in wanted.partners:
        same = before is not None and before.partner(terms.host) == terms
        if (terms.until_at or 0) > LATEST_MS:
            yield Problem("partners", TOO_FAR, {"year": LATEST_YEAR})
        if terms.until_at is not None and terms.until_at <= begins and not same:
            yield Problem("partners", PARTNER_ENDS_BEFORE, {"host": terms.host})


def _figures(wanted: SpacePolicy) -> Iterator[Problem]:
    most = {
        "first_posts_moderated": MOST_MODERATED,
        "history_days": MOST_DAYS,
        "review_days": MOST_DAYS,
        "retention_days": 100 * 365,
        "seats": 1_000_000,
    }
    for name, limit in most.items():
        if not 0 <= getattr(wanted, name) <= limit:
            yield Problem(name, OUT_OF_RANGE, {"field": name, "most": limit})
    for name, limit in TEXT_CHARACTERS.items():
        if len(getattr(wanted, name)) > limit:
            yield Problem(name, TOO_LONG, {"field": name, "limit": limit})


# --- rights taken ---------------------------------------------------------------------------------

_NEARER = (
    (Audience.WEB, Audience.FED),
    (Audience.WEB, Audience.GUEST),
    (Audience.FED, Audience.PARTNER_UNINVITED),
    (Audience.FED, Audience.PARTNER),
    (Audience.PARTNER_UNINVITED, Audience.PARTNER),
    (Audience.PARTNER, Audience.KIN),
    (Audience.PARTNER, Audience.STAFF),
    (Audience.GUEST, Audience.STAFF),
    (Audience.FED, Audience.FED_MEMBER),
    (Audience.PARTNER_UNINVITED, Audience.PARTNER_MEMBER),
    (Audience.PARTNER, Audience.PARTNER_MEMBER),
    (Audience.GUEST, Audience.GUEST_MEMBER),
)
"""(lesser, greater): who is nearer to us never has less (I1), nor has a member (I2)."""


def _narrowing(wanted: SpacePolicy) -> Iterator[Problem]:
    for who, _ in wanted.less:
        if who not in NARROWABLE_AUDIENCES:
            yield Problem("less", NOT_NARROWABLE, {"audience": who.value})
    taken_from = {who for who, less in wanted.less if less}
    touched = {who for who in Audience if NARROWED_AS.get(who, who) in taken_from}
    for lesser, greater in _NEARER:
        if greater in touched:
            yield from _order(wanted, lesser, greater, "less")
    for terms in wanted.partners:
        if terms.less:
            yield from _order(wanted, Audience.FED, Audience.PARTNER, "partners", terms)


def _order(
    wanted: SpacePolicy, lesser: Audience, greater: Audience, where: str, terms: PartnerTerms | None = None
) -> Iterator[Problem]:
    """The rights of which the lesser would keep more, where the table does not mean it so."""
    one, other = cell_of(wanted, lesser), cell_of(wanted, greater, terms)
    meant = TABLE[wanted.variant, lesser], TABLE[wanted.variant, greater]
    for right in ORDERED:
        if right == "join" or getattr(one, right) <= getattr(other, right):
            continue
        if getattr(meant[0], right) <= getattr(meant[1], right):
            named = terms.host if terms else greater.value
            words: dict[str, object] = {"greater": named, "lesser": lesser.value, "right": right}
            yield Problem(where, ORDER_BROKEN, words)


# --- guardrails -----------------------------------------------------------------------------------


def _guardrails(wanted: SpacePolicy, rails: Guardrails, now: int) -> Iterator[Problem]:
    rank = wanted.level.rank
    if rank > rails.max_level.rank:
        yield Problem("level", ABOVE_GUARDRAIL, {"level": rails.max_level.value})
    required = rails.require_until_from
    if required is not None and rank >= required.rank and wanted.closes_at is None:
        yield Problem("closes_at", END_REQUIRED, {"level": required.value})
    if rails.max_days_open and rank >= Level.PARTNERS.rank and wanted.closes_at is not None:
        if wanted.closes_at > max(now, wanted.opens_at or 0) + rails.max_days_open * DAY_MS:
            yield Problem("closes_at", TOO_LONG_OPEN, {"days": rails.max_days_open})


def needs_second_person(wanted: SpacePolicy, before: SpacePolicy, rails: Guardrails, past: bool) -> bool:
    """Whether a change waits for somebody else: it gives people outside more, or for longer, at a level that the
    guardrail names.

    What narrows never waits.
    """
    level = rails.require_second_person_from
    if level is None or wanted.level.rank < level.rank:
        return False
    return past or widens_outside(compare(before, wanted)) or lengthens(before, wanted)


def everyone_by_default(wanted: SpacePolicy) -> bool:
    """Whether people of a named partner come in without being invited one by one."""
    return wanted.level is Level.PARTNERS and wanted.reach is Reach.EVERYONE
