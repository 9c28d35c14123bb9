"""The words of openness: levels, audiences, rights, fields, doors, and the sentences that tell a change apart.

Everything here is a msgid in French with its values; whoever shows it gives the language (`spoken`). Values may be
words of their own, so that a sentence is translated as a whole and its parts with it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from server.bounds import Problem
from server.openness import (
    AfterClose,
    Audience,
    Existence,
    Files,
    History,
    Identity,
    Invite,
    Join,
    Level,
    Members,
    Notices,
    PartnerView,
    Reach,
    Read,
    Relay,
    TakePart,
)
from server.refusals import N_
from server.rights import Less
from server.space_policy import MOST_DAYS, CellChange, PartnerTerms, SpacePolicy


class Tongue(Protocol):
    """A language, as whoever shows a sentence speaks it."""

    def gettext(self, sentence: str) -> str: ...

    def day(self, ms: int) -> str: ...


@dataclass(frozen=True, slots=True)
class Day:
    """A moment that is told by its day. Milliseconds."""

    ms: int


@dataclass(frozen=True, slots=True)
class Listed:
    """Words one after the other."""

    parts: tuple["Said", ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A sentence or some words: a msgid, and what stands in its places."""

    sentence: str
    params: Mapping[str, "Word"] = field(default_factory=dict)


Word = Said | Day | Listed | str | int


def spoken(word: Word, tongue: Tongue) -> str:
    """A sentence in a language, with the words inside it."""
    if isinstance(word, Said):
        sentence = tongue.gettext(word.sentence)
        return (
            sentence % {name: spoken(part, tongue) for name, part in word.params.items()} if word.params else sentence
        )
    if isinstance(word, Listed):
        return ", ".join(spoken(part, tongue) for part in word.parts)
    return tongue.day(word.ms) if isinstance(word, Day) else str(word)


# --- the vocabulary -------------------------------------------------------------------------------

LEVELS = {
    Level.CLOSED: N_("Fermé"),
    Level.INTERNAL: N_("Interne"),
    Level.PARTNERS: N_("Partenaires"),
    Level.NETWORK: N_("Réseau"),
    Level.PUBLIC: N_("Public"),
}
LEVEL_SENTENCES = {
    Level.CLOSED: N_("Seuls les membres lisent."),
    Level.INTERNAL: N_("Tous les collègues lisent et participent. Personne d’extérieur."),
    Level.PARTNERS: N_("Les membres, dont des invités et des personnes des partenaires nommés."),
    Level.NETWORK: N_("Toute personne identifiée d’une instance non bloquée."),
    Level.PUBLIC: N_("Tout le monde, sans compte."),
}
AUDIENCES = {
    Audience.STAFF_MEMBER: N_("Membres, collègues"),
    Audience.STAFF: N_("Autres collègues"),
    Audience.KIN: N_("Collègues d’une instance sœur"),
    Audience.GUEST_MEMBER: N_("Membres, invités"),
    Audience.GUEST: N_("Autres invités"),
    Audience.PARTNER_MEMBER: N_("Membres, chez un partenaire nommé"),
    Audience.PARTNER: N_("Autres personnes d’un partenaire nommé"),
    Audience.PARTNER_UNINVITED: N_("Personnes non invitées d’un partenaire sur invitation"),
    Audience.FED_MEMBER: N_("Membres d’une autre instance"),
    Audience.FED: N_("Personnes d’une autre instance"),
    Audience.WEB: N_("Visiteurs sans compte"),
}
AUDIENCES_AT = {
    Audience.PARTNER_MEMBER: N_("Membres, chez %(host)s"),
    Audience.PARTNER: N_("Autres personnes de %(host)s"),
}
REACHES = {Reach.INVITED: N_("sur invitation"), Reach.EVERYONE: N_("tout le monde là-bas")}
VIEWS = {
    PartnerView.EVERYONE: N_("les partenaires se voient entre eux"),
    PartnerView.ORGANISATIONS: N_("les partenaires ne voient que le nom des autres organisations"),
    PartnerView.BLIND: N_("les partenaires ne se voient pas entre eux"),
}
HISTORY = {
    History.LEVEL: N_("comme le niveau le prévoit"),
    History.SINCE_JOINING: N_("depuis leur arrivée"),
    History.SINCE_OPENING: N_("depuis l’ouverture"),
    History.DAYS: N_("un nombre de jours"),
    History.ALL: N_("tout"),
}
IDENTITIES = {
    Identity.LEVEL: N_("comme le niveau le prévoit"),
    Identity.FULL: N_("nom complet"),
    Identity.FIRST_NAME: N_("prénom et fonction"),
    Identity.FUNCTION: N_("fonction seule"),
}
AFTER_CLOSE = {
    AfterClose.KEEP: N_("on continue à y écrire"),
    AfterClose.FREEZE: N_("on n’y écrit plus"),
    AfterClose.PURGE: N_("le contenu est effacé"),
}
RIGHTS = {
    "existence": N_("voir l’espace"),
    "members": N_("voir les membres"),
    "read": N_("lire"),
    "files": N_("fichiers"),
    "join": N_("entrer"),
    "take_part": N_("participer"),
    "invite": N_("inviter"),
    "relay": N_("relayer"),
    "notices": N_("notifications"),
    "before_opening": N_("ce qui précède leur ouverture"),
    "days": N_("jours en arrière"),
    "unmoderated": N_("publier sans modération"),
    "others": N_("voir les autres partenaires"),
}
VALUES: dict[str, dict[int, str]] = {
    "existence": {
        Existence.HIDDEN: N_("rien, pas même son existence"),
        Existence.CARD: N_("une carte, avec le lien"),
        Existence.LISTED: N_("l’espace dans la liste"),
    },
    "members": {
        Members.NONE: N_("non"),
        Members.COUNT: N_("leur nombre"),
        Members.ORGANISATIONS: N_("les organisations et leur nombre"),
        Members.NAMES: N_("les noms"),
    },
    "read": {
        Read.NONE: N_("non"),
        Read.TITLES: N_("les titres"),
        Read.LIMITED: N_("le passé récent, ou depuis leur arrivée"),
        Read.ALL: N_("oui"),
    },
    "files": {Files.NONE: N_("non"), Files.VIEW: N_("les voir"), Files.DOWNLOAD: N_("les télécharger")},
    "join": {
        Join.NONE: N_("non"),
        Join.INVITED: N_("sur invitation"),
        Join.ASK: N_("en le demandant"),
        Join.FREELY: N_("librement"),
    },
    "take_part": {
        TakePart.NONE: N_("non"),
        TakePart.REACT: N_("réagir"),
        TakePart.REPLY: N_("réagir, répondre"),
        TakePart.POST: N_("réagir, répondre, publier"),
        TakePart.EDIT: N_("réagir, répondre, publier, modifier les pages"),
    },
    "invite": {
        Invite.NONE: N_("non"),
        Invite.OWN_ORGANISATION: N_("leur organisation"),
        Invite.ANYONE: N_("qui ils veulent"),
    },
    "relay": {
        Relay.NONE: N_("non"),
        Relay.SAME_AUDIENCE: N_("aux mêmes lecteurs"),
        Relay.FREE: N_("librement"),
    },
    "notices": {
        Notices.NOTHING: N_("rien"),
        Notices.SOMETHING_NEW: N_("qu’il y a du nouveau"),
        Notices.EXCERPT: N_("un extrait"),
        Notices.TEXT: N_("le texte"),
    },
    "before_opening": {0: N_("non"), 1: N_("oui")},
    "others": {0: N_("non"), 1: N_("les organisations"), 2: N_("oui")},
}
FIELDS = {
    "level": N_("Niveau"),
    "listed": N_("Dans la liste"),
    "reach": N_("Chez les partenaires"),
    "staff_read": N_("Lecture par les autres collègues"),
    "partners": N_("Partenaires nommés"),
    "partner_view": N_("Entre partenaires"),
    "history": N_("Le passé, pour les membres de l’extérieur"),
    "history_days": N_("Nombre de jours"),
    "less": N_("Droits retirés"),
    "identity_outside": N_("Nos noms à l’extérieur"),
    "first_posts_moderated": N_("Premiers messages modérés"),
    "opens_at": N_("Ouvre le"),
    "closes_at": N_("Ouvert jusqu’au"),
    "until": N_("Ouvert jusqu’au"),
    "then_level": N_("Ensuite"),
    "then": N_("Ensuite"),
    "review_days": N_("À revoir tous les (jours)"),
    "retention_days": N_("Conservation (jours)"),
    "after_close": N_("Après la fin"),
    "seats": N_("Places"),
    "charter": N_("Charte"),
    "tone": N_("Ton"),
    "frame": N_("Cadre"),
    "language": N_("Langue"),
    "objectives": N_("Objectifs"),
    "indexing": N_("Moteurs de recherche"),
    "proofs": N_("Preuves jointes aux messages"),
}
DOORS = {
    "page": N_("par la page"),
    "api": N_("par l’API"),
    "command": N_("en ligne de commande"),
    "file": N_("par %(source)s"),
    "timer": N_("à la date prévue"),
}


def level(value: Level | None) -> Said:
    """A level's name; none: nothing is planned."""
    return Said(LEVELS[value]) if value is not None else Said(N_("rien de prévu"))


def audience(who: Audience, host: str = "") -> Said:
    """Some readers, at one partner when it is of one."""
    if host and who in AUDIENCES_AT:
        return Said(AUDIENCES_AT[who], {"host": host})
    return Said(AUDIENCES.get(who, who.value))


def value(right: str, amount: int) -> Word:
    """How much of a right."""
    if right == "days":
        return Said(N_("sans limite")) if amount > MOST_DAYS else amount
    words = VALUES.get(right, {})
    return Said(words[amount]) if amount in words else amount


def door(name: str, source: str) -> Said:
    """By which way a change came."""
    words = DOORS.get(name, name)
    return Said(words, {"source": source}) if "%(source)s" in words else Said(words)


# --- who gains and loses --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shift:
    """What some readers gain, or lose."""

    who: Said
    host: str
    grows: bool
    rights: tuple[Said, ...]


def shifts(cells: Sequence[CellChange]) -> list[Shift]:
    """The changes of the table, reader by reader: first what each gains, then what they lose."""
    found: dict[tuple[Audience, str, bool], list[Said]] = {}
    for cell in cells:
        before, after = value(cell.right, cell.before), value(cell.right, cell.after)
        words: dict[str, Word] = {"right": Said(RIGHTS[cell.right]), "before": before, "after": after}
        said = Said(N_("%(right)s, de « %(before)s » à « %(after)s »"), words)
        if cell.right == "unmoderated":
            said = Said(RIGHTS[cell.right])
        found.setdefault((cell.audience, cell.host, cell.grows), []).append(said)
    return [Shift(audience(who, host), host, grows, tuple(rights)) for (who, host, grows), rights in found.items()]


def shift(told: Shift) -> Said:
    """One of them, as a sentence."""
    words: dict[str, Word] = {"who": told.who, "rights": Listed(told.rights)}
    if told.grows:
        return Said(N_("%(who)s gagnent : %(rights)s."), words)
    return Said(N_("%(who)s perdent : %(rights)s."), words)


# --- what differs ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a policy that changes, in words."""

    field: str
    words: Said


def differences(before: SpacePolicy, after: SpacePolicy) -> list[Difference]:
    """Everything that changes between two policies, field by field, in the order of a page."""
    found = []
    for name, tell in _TOLD.items():
        if getattr(before, name) != getattr(after, name):
            found += [Difference(name, said) for said in tell(before, after)]
    return found


Tell = Callable[[SpacePolicy, SpacePolicy], Iterator[Said]]


def _turned(name: str, words: Callable[[Any], Word]) -> Tell:
    """« Champ : avant → après »."""

    def tell(before: SpacePolicy, after: SpacePolicy) -> Iterator[Said]:
        one, other = words(getattr(before, name)), words(getattr(after, name))
        places: dict[str, Word] = {"field": Said(FIELDS[name]), "before": one, "after": other}
        yield Said(N_("%(field)s : %(before)s → %(after)s"), places)

    return tell


def _switched(name: str, on: str, off: str) -> Tell:
    def tell(before: SpacePolicy, after: SpacePolicy) -> Iterator[Said]:
        yield Said(on if getattr(after, name) else off)

    return tell


def _rewritten(name: str) -> Tell:
    def tell(before: SpacePolicy, after: SpacePolicy) -> Iterator[Said]:
        words = N_("%(field)s : texte réécrit") if getattr(after, name) else N_("%(field)s : texte effacé")
        yield Said(words, {"field": Said(FIELDS[name])})

    return tell


def _day(ms: int | None) -> Word:
    return Day(ms) if ms is not None else Said(N_("sans date"))


def _days(count: int) -> Word:
    return count or Said(N_("jamais"))


def _limit(count: int) -> Word:
    return count or Said(N_("sans limite"))


def _partners(before: SpacePolicy, after: SpacePolicy) -> Iterator[Said]:
    for terms in after.partners:
        was = before.partner(terms.host)
        if was is None:
            words: dict[str, Word] = {"host": terms.host, "terms": terms_words(terms, after.reach)}
            yield Said(N_("%(host)s est ajouté : %(terms)s"), words)
        elif was != terms:
            one, other = terms_words(was, before.reach), terms_words(terms, after.reach)
            yield Said(N_("%(host)s : %(before)s → %(after)s"), {"host": terms.host, "before": one, "after": other})
    for terms in before.partners:
        if after.partner(terms.host) is None:
            yield Said(N_("%(host)s est retiré"), {"host": terms.host})


def terms_words(terms: PartnerTerms, reach: Reach) -> Listed:
    """What a space grants to one partner, in a row of words."""
    said = [Said(REACHES[Reach.INVITED if terms.reach == Reach.INVITED else reach])]
    if terms.until_at is not None:
        said.append(Said(N_("jusqu’au %(day)s"), {"day": Day(terms.until_at)}))
    if terms.people_max:
        said.append(Said(N_("au plus %(count)s personnes"), {"count": terms.people_max}))
    if terms.sponsor:
        said.append(Said(N_("parrainé par %(who)s"), {"who": terms.sponsor}))
    if terms.custody:
        said.append(Said(N_("convenu pour les copies : « %(custody)s »"), {"custody": terms.custody}))
    return Listed((*said, *less_words(terms.less)))


def less_words(less: Less) -> list[Said]:
    """Rights taken: to what each is reduced."""
    return [
        Said(N_("%(right)s : %(value)s"), {"right": Said(RIGHTS[right]), "value": value(right, most)})
        for right, most in less
    ]


def _less(before: SpacePolicy, after: SpacePolicy) -> Iterator[Said]:
    old, new = dict(before.less), dict(after.less)
    for who in Audience:
        if new.get(who, ()) == old.get(who, ()):
            continue
        if new.get(who):
            words: dict[str, Word] = {"who": audience(who), "rights": Listed(tuple(less_words(new[who])))}
            yield Said(N_("%(who)s, au plus : %(rights)s"), words)
        else:
            yield Said(N_("%(who)s : tout ce que le niveau permet"), {"who": audience(who)})


_TOLD: dict[str, Tell] = {
    "level": _turned("level", level),
    "listed": _switched(
        "listed", N_("L’espace est dans la liste des collègues."), N_("L’espace n’est pas dans la liste des collègues.")
    ),
    "reach": _turned("reach", lambda one: Said(REACHES[one])),
    "staff_read": _switched(
        "staff_read", N_("Les collègues qui ne sont pas membres lisent."), N_("Seuls les membres lisent.")
    ),
    "partners": _partners,
    "partner_view": _turned("partner_view", lambda one: Said(VIEWS[one])),
    "history": _turned("history", lambda one: Said(HISTORY[one])),
    "history_days": _turned("history_days", _limit),
    "less": _less,
    "identity_outside": _turned("identity_outside", lambda one: Said(IDENTITIES[one])),
    "first_posts_moderated": _turned("first_posts_moderated", lambda one: int(one)),
    "seats": _turned("seats", _limit),
    "opens_at": _turned("opens_at", _day),
    "closes_at": _turned("closes_at", _day),
    "then_level": _turned("then_level", level),
    "review_days": _turned("review_days", _days),
    "retention_days": _turned("retention_days", _limit),
    "after_close": _turned("after_close", lambda one: Said(AFTER_CLOSE[one])),
    "charter": _rewritten("charter"),
    "tone": _rewritten("tone"),
    "frame": _rewritten("frame"),
    "language": _rewritten("language"),
    "objectives": _rewritten("objectives"),
    "indexing": _switched(
        "indexing",
        N_("Les moteurs de recherche peuvent indexer l’espace."),
        N_("Les moteurs de recherche n’indexent pas l’espace."),
    ),
    "proofs": _switched(
        "proofs", N_("Les messages portent une preuve de leur auteur."), N_("Les messages ne portent pas de preuve.")
    ),
}


# --- how it is ------------------------------------------------------------------------------------


def describe(policy: SpacePolicy) -> list[tuple[Said, Word]]:
    """What a policy says beside its level: each dial that says something at this level, and what it says."""
    found: list[tuple[str, Word]] = []
    outside = policy.level.rank >= Level.PARTNERS.rank
    if policy.level in (Level.CLOSED, Level.PARTNERS):
        found.append(("listed", Said(N_("oui") if policy.listed else N_("non"))))
    if policy.level is Level.PARTNERS:
        found.append(("reach", Said(REACHES[policy.reach])))
        found.append(("staff_read", Said(N_("oui") if policy.staff_read else N_("non"))))
        found.append(("partner_view", Said(VIEWS[policy.partner_view])))
    if outside:
        found.append(("history", Said(HISTORY[policy.history])))
        found.append(("identity_outside", Said(IDENTITIES[policy.identity_outside])))
        found.append(("first_posts_moderated", policy.first_posts_moderated))
    found += [(name, _day(moment)) for name, moment in (("opens_at", policy.opens_at),) if moment is not None]
    if policy.closes_at is not None or outside:
        found.append(("closes_at", _day(policy.closes_at)))
    if policy.then_level is not None:
        found.append(("then_level", level(policy.then_level)))
    if policy.review_days:
        found.append(("review_days", policy.review_days))
    if policy.seats:
        found.append(("seats", policy.seats))
    for who, less in policy.less:
        if less:
            words: dict[str, Word] = {"who": audience(who), "rights": Listed(tuple(less_words(less)))}
            found.append(("less", Said(N_("%(who)s, au plus : %(rights)s"), words)))
    return [(Said(FIELDS[name]), words) for name, words in found]


_EFFECTS = {
    "people_let_go": N_("Personnes sorties de l’espace : %(count)s"),
    "opened_items": N_("Messages plus anciens ouverts : %(count)s"),
    "feeds_ended": N_("Abonnements par flux arrêtés : %(count)s"),
}


def effects(found: Mapping[str, Any]) -> list[Said]:
    """What a change did at once, as its version keeps it: only what counts something."""
    told = [Said(words, {"count": int(found[name])}) for name, words in _EFFECTS.items() if found.get(name)]
    if (left_out := found.get("left_out") or {}).get("items"):
        told.append(
            Said(N_("Messages laissés de côté, faute de consentement : %(count)s"), {"count": int(left_out["items"])})
        )
    taken_back = found.get("taken_back") or {}
    if isinstance(taken_back, Mapping):
        for host, count in sorted(taken_back.items()):
            told.append(Said(N_("Repris à %(host)s : %(count)s"), {"host": host, "count": str(count)}))
    return told


# --- what stands in the way -----------------------------------------------------------------------


def problem(found: Problem) -> Said:
    """Why a policy is refused, with the words that people know for its values."""
    return Said(found.sentence, {name: _of_problem(name, told) for name, told in found.params.items()})


def _of_problem(name: str, told: object) -> Word:
    text = str(told)
    if name in ("level", "then") and text in set(Level):
        return level(Level(text))
    if name in ("audience", "greater", "lesser") and text in set(Audience):
        return audience(Audience(text))
    if name == "right" and text in RIGHTS:
        return Said(RIGHTS[text])
    if name == "history" and text in set(History):
        return Said(HISTORY[History(text)])
    if name == "field" and text in FIELDS:
        return Said(FIELDS[text])
    return text
