"""A link in sentences and as a picture: what is well, what is not, and what to do next."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from urllib.parse import quote

from server.actions.link_lag import BEHIND_MS
from server.clock import now_ms
from server.openness import LinkState
from server.queries.lag import Slot
from server.queries.linked import Linked
from server.queries.links import LinkCard
from server.refusals import N_
from web.locale import DAY_MS, Speech

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
OK, WARN, DANGER = "ok", "", "danger"

STOPPED = {
    "key": (
        N_("Plus rien ne circule : %(name)s a montré une autre clé que celle que vous aviez comparée."),
        N_("Appelez son administrateur, à un numéro que vous connaissez déjà, avant de reprendre."),
    ),
    "recall": (
        N_("Plus rien ne circule : %(name)s a refusé un rappel, ou signé un reçu qui ne peut pas être vrai."),
        N_("Lisez le rappel, puis appelez son administrateur."),
    ),
    "": (
        N_("Vous avez suspendu cette liaison : plus rien ne circule, et rien n’est perdu."),
        N_("Ce qui attend partira quand vous la reprendrez, au bas de cette page."),
    ),
}
UNHEARD = {
    "backoff": (
        N_("%(name)s ne répond plus depuis %(since)s. Rien n’est perdu : ce qui attend partira dès qu’elle répondra."),
        N_("Vous n’avez rien à faire ; si cela dure, prévenez son administrateur."),
    ),
    "paused": (
        N_("%(name)s refuse ce que nous lui envoyons, depuis %(since)s. Tout est gardé."),
        N_("Appelez son administrateur : il a peut-être suspendu la liaison de son côté, ou bloqué notre instance."),
    ),
    "suspended": (
        N_("%(name)s se tait depuis plus d’une semaine. Ce qui attend est gardé, et nous essayons encore."),
        N_("Demandez à son administrateur si son instance existe encore ; sinon, mettez fin à la liaison."),
    ),
    "archived": (
        N_("%(name)s se tait depuis plus d’un mois : nous n’essayons plus, et tout reprendra si elle nous parle."),
        N_("Demandez à son administrateur si son instance existe encore ; sinon, mettez fin à la liaison."),
    ),
}
ENDED = N_("Cette liaison est terminée depuis le %(day)s : plus rien ne circule.")
ASKED_BACK = N_("Ce que %(name)s avait reçu lui a été redemandé : les rappels disent ce qu’elle a rendu.")
OFFERED = N_("Votre proposition attend la réponse de %(name)s.")
OFFERED_UNTIL = N_("Votre proposition attend la réponse de %(name)s, jusqu’au %(day)s.")
TELL_THEM = N_("Dites à son administrateur de regarder sa page des instances liées.")
THEIRS_TO_CONFIRM = N_("Vous avez confirmé les six mots. Leur administrateur doit encore le faire de son côté.")
BEHIND = N_("%(name)s répond, mais des envois attendent depuis %(lag)s.")
BEHIND_MORE = N_("Si leur nombre ne baisse pas, regardez ce qui attend, et le journal du service.")
CLOCK = N_("L’horloge de %(name)s n’est pas à l’heure : %(skew)s d’écart avec la nôtre.")
CLOCK_MORE = N_("Demandez à son administrateur de la régler, avant que ses messages soient refusés.")
FROZEN = N_(
    "Personne ici ne lit plus l’espace « %(space)s » : "
    "%(name)s ne compte pas les mêmes membres que nous, ou n’en montre plus la liste."
)
FROZEN_MORE = N_("Appelez son administrateur : les deux instances doivent s’accorder sur la liste.")
QUIET = N_("La liaison est active. Rien n’a encore circulé.")
WELL = N_("Tout va bien : ce que nous envoyons à %(name)s arrive, et rien n’attend.")
ON_ITS_WAY = N_("Tout va bien : ce que nous envoyons à %(name)s arrive.")
ALL_SOON = N_("Ces sept derniers jours, rien n’a attendu plus d’une minute.")
AT_MOST = N_("Ces sept derniers jours, l’attente la plus longue a été de %(lag)s, le %(day)s.")
NOTHING_TOLD = N_("Rien ne lui a été envoyé ces sept derniers jours.")


@dataclass(frozen=True, slots=True)
class Word:
    """One thing to know of a link, the gravest first. `more`: what to do; `to`, `there`: an address and its words."""

    tone: str
    sentence: str
    more: str = ""
    to: str = ""
    there: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """A quarter of a day: how tall, in steps from 0 (nothing was sent) to 3 (something waited more than an hour)."""

    step: int
    said: str


@dataclass(frozen=True, slots=True)
class Day:
    at: int
    told: int
    longest: str


@dataclass(frozen=True, slots=True)
class Week:
    """The last seven days: a bar for each quarter of a day, and the same by day in words."""

    sentence: str
    bars: Sequence[Bar]
    days: Sequence[Day]


def words_of(speaks: Speech, found: Linked, waits_for_us: bool) -> list[Word]:
    """What an administrator should know of a link. `waits_for_us`: something else on the page asks for an answer."""
    card = found.card
    if card.state is not LinkState.ACTIVE:
        return [] if waits_for_us else list(_not_active(speaks, card))
    grave = [*_unheard(speaks, card), *_put_aside(speaks, card), *_apart(speaks, found)]
    return grave or [_well(speaks, card)]


def name_of(card: LinkCard) -> str:
    """How people call an instance."""
    return card.title or card.host


def _not_active(speaks: Speech, card: LinkCard) -> Iterator[Word]:
    told = {"name": name_of(card), "day": speaks.day(card.changed_at)}
    if card.state is LinkState.ENDED:
        yield _word(speaks, WARN, ENDED, ASKED_BACK, told, "/admin/recalls", N_("Voir les rappels"))
    elif card.state is LinkState.SUSPENDED:
        sentence, more = STOPPED.get(card.cause, STOPPED[""])
        to = ("/admin/recalls", N_("Voir les rappels")) if card.cause == "recall" else ("", "")
        yield _word(speaks, DANGER if card.cause else WARN, sentence, more, told, *to)
    elif card.state is LinkState.OFFERED and card.offer_until_at:
        yield _word(speaks, WARN, OFFERED_UNTIL, TELL_THEM, told | {"day": speaks.day(card.offer_until_at)})
    elif card.state is LinkState.OFFERED:
        yield _word(speaks, WARN, OFFERED, TELL_THEM, told)
    elif card.state is LinkState.CONFIRMED and card.confirmed_here:
        yield _word(speaks, WARN, THEIRS_TO_CONFIRM, TELL_THEM, told)


def _unheard(speaks: Speech, card: LinkCard) -> Iterator[Word]:
    told = {"name": name_of(card), "lag": speaks.lasting(card.oldest_ms)}
    waiting = f"/admin/deliveries?state=pending&host={quote(card.host)}"
    there = N_("Voir ce qui attend") if card.waiting else ""
    if card.health in UNHEARD:
        sentence, more = UNHEARD[card.health]
        since = now_ms() - (card.failing_since_at or now_ms())
        tone = WARN if card.health == "backoff" and since < DAY_MS else DANGER
        yield _word(speaks, tone, sentence, more, told | {"since": speaks.lasting(since)}, waiting, there)
    elif card.waiting and card.oldest_ms >= BEHIND_MS:
        yield _word(speaks, WARN, BEHIND, BEHIND_MORE, told, waiting, there)


def _put_aside(speaks: Speech, card: LinkCard) -> Iterator[Word]:
    if card.dead:
        sentence = speaks.ngettext(
            "%(n)s envoi est mis de côté : %(name)s l’a refusé.",
            "%(n)s envois sont mis de côté : %(name)s les a refusés.",
            card.dead,
        )
        aside = f"/admin/deliveries?state=dead&host={quote(card.host)}"
        told = {"n": speaks.number(card.dead), "name": name_of(card)}
        yield Word(DANGER, sentence % told, "", aside, speaks.gettext(N_("Voir pourquoi")))


def _apart(speaks: Speech, found: Linked) -> Iterator[Word]:
    told = {"name": name_of(found.card), "skew": speaks.lasting(abs(found.card.skew_ms or 0))}
    if found.card.clock_off:
        yield _word(speaks, WARN, CLOCK, CLOCK_MORE, told)
    for space in found.spaces:
        if space.frozen_at:
            yield _word(speaks, DANGER, FROZEN, FROZEN_MORE, told | {"space": space.name})


def _well(speaks: Speech, card: LinkCard) -> Word:
    heard = card.last_ok_at or card.last_heard_at
    sentence = QUIET if not heard else ON_ITS_WAY if card.waiting else WELL
    return _word(speaks, OK, sentence, "", {"name": name_of(card)})


def _word(
    speaks: Speech, tone: str, sentence: str, more: str, told: dict[str, str], to: str = "", there: str = ""
) -> Word:
    said = [speaks.gettext(words) % told if words else "" for words in (sentence, more)]
    return Word(tone, said[0], said[1], to if there else "", speaks.gettext(there) if there else "")


def week_of(speaks: Speech, slots: Sequence[Slot]) -> Week:
    """The last week of what we tell a partner."""
    worst = max(slots, key=lambda slot: slot.longest_ms)
    if worst.longest_ms > MINUTE_MS:
        sentence = speaks.gettext(AT_MOST) % {
            "lag": speaks.lasting(worst.longest_ms),
            "day": speaks.day(worst.from_at),
        }
    else:
        sentence = speaks.gettext(ALL_SOON if any(slot.told for slot in slots) else NOTHING_TOLD)
    by_day = groupby(slots, key=lambda slot: slot.from_at // DAY_MS)
    return Week(sentence, [_bar(speaks, slot) for slot in slots], [_day(speaks, list(day)) for _, day in by_day])


def _bar(speaks: Speech, slot: Slot) -> Bar:
    step = 0
    if slot.told or slot.longest_ms:
        step = 1 + (slot.longest_ms > MINUTE_MS) + (slot.longest_ms > HOUR_MS)
    longest = speaks.lasting(slot.longest_ms) if step else "–"
    return Bar(step, f"{speaks.moment(slot.from_at)} : {speaks.number(slot.told)} · {longest}")


def _day(speaks: Speech, slots: Sequence[Slot]) -> Day:
    longest = max(slot.longest_ms for slot in slots)
    return Day(slots[0].from_at, sum(slot.told for slot in slots), speaks.lasting(longest) if longest else "")
