"""What administrators look after: linked instances, how the instance fares, people, deliveries, deeds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.responses import Response

from server.actions.accounts import NewPerson
from server.clock import now_ms
from server.errors import DomainError
from server.openness import LinkState, Office
from server.queries.accounts import AccountRow
from server.queries.deliveries import STATES, DeliveryRow
from server.queries.health import Health, Queue
from server.queries.lag import Slot
from server.queries.linked import Linked as LinkDetail
from server.queries.links import LinkCard
from server.refusals import N_
from server.viewer import Employee
from web.locale import Speech
from web.pages.showing.frame import refused_words, show, speech_for
from web.pages.showing.linking import name_of, week_of, words_of
from web.pages.showing.own import status_for
from web.pages.visits import Visit

OFFICE_WORDS = {
    Office.MEMBER: N_("collègue"),
    Office.ADMIN: N_("administre l’instance"),
    Office.AUDITOR: N_("regarde le journal"),
    Office.GUEST: N_("de l’extérieur"),
}
LINK_WORDS = {
    LinkState.NONE: N_("aucune"),
    LinkState.OFFERED: N_("proposée, sans réponse encore"),
    LinkState.RECEIVED: N_("vous est proposée"),
    LinkState.CONFIRMED: N_("six mots à comparer"),
    LinkState.ACTIVE: N_("active"),
    LinkState.SUSPENDED: N_("suspendue par vous"),
    LinkState.ENDED: N_("terminée"),
}
CAUSE_WORDS = {
    "key": N_("suspendue : sa clé a changé"),
    "recall": N_("suspendue : elle a refusé un rappel"),
    "until": N_("terminée à sa date"),
}
HEALTH_WORDS = {
    "ok": N_("répond"),
    "backoff": N_("injoignable"),
    "paused": N_("refuse ce que nous lui envoyons"),
    "suspended": N_("silencieuse depuis une semaine"),
    "archived": N_("silencieuse depuis un mois"),
}
DELIVERY_WORDS = {
    "pending": N_("en route"),
    "sent": N_("reçu"),
    "dead": N_("mis de côté"),
    "skipped": N_("sans objet"),
}
DELIVERY_ICONS = {"pending": "clock", "sent": "tick", "dead": "warn", "skipped": "more"}
KIND_WORDS = {
    "post_published": N_("un message"),
    "post_edited": N_("un message modifié"),
    "post_withdrawn": N_("un message retiré"),
    "reacted": N_("une réaction"),
    "reaction_undone": N_("une réaction reprise"),
    "voted": N_("un vote"),
    "tallied": N_("le compte d’un sondage"),
    "follow_asked": N_("une demande pour suivre"),
    "follow_undone": N_("la fin d’un suivi"),
    "follow_accepted": N_("l’accord pour être suivi"),
    "follow_rejected": N_("le refus d’être suivi"),
    "invited": N_("une invitation"),
    "invitation_answered": N_("une réponse à une invitation"),
    "join_asked": N_("une demande d’entrée"),
    "join_answered": N_("une réponse à une demande d’entrée"),
    "left": N_("un départ"),
    "member_removed": N_("un membre retiré"),
    "recalled": N_("un rappel"),
    "item_recalled": N_("un message rappelé"),
    "recall_answered": N_("le reçu d’un rappel"),
    "space_changed": N_("un espace changé"),
    "person_changed": N_("un profil changé"),
    "person_erased": N_("une personne effacée"),
    "link_offered": N_("une liaison proposée"),
    "link_accepted": N_("une liaison acceptée"),
    "link_confirmed": N_("une liaison confirmée"),
    "link_ended": N_("une liaison terminée"),
    "link_rekeyed": N_("une nouvelle clé de notre instance"),
    "link_moved": N_("notre nouvelle adresse"),
    "members_disagree": N_("un désaccord sur les membres"),
    "consent_changed": N_("notre accord sur le passé"),
    "post_held": N_("un message mis en attente"),
    "post_approved": N_("un message accepté"),
    "post_refused": N_("un message refusé"),
}
UNPROVED = N_("envoyé en son nom, sans preuve que ce soit elle")
RULE_WORDS = {
    "RR1": N_("relais d’un espace qui n’est pas le sien, ou d’une ouverture dépassée"),
    "RR2": N_("relais d’un espace où personne d’ici n’est membre"),
    "RR3": N_("paroles sans preuve de leur auteur, ou pour un autre public"),
    "RR4": N_("modification de ce qui est à quelqu’un d’autre"),
    "I8": N_("action sur des personnes ou des espaces qui ne sont pas les siens"),
    "O24": N_("réponse à ce que personne n’a demandé"),
    "W2": N_("action que seule une liaison active permet"),
    "key": N_("clé différente de celle qui avait été comparée"),
    "move": N_("nouvelle adresse, sans que tout concorde"),
    "members": N_("liste de membres qui n’est pas la nôtre"),
    "digest": N_("fichier différent de celui que son auteur avait annoncé"),
    "malformed": N_("document illisible, trop gros ou ambigu"),
    "untrusted": N_("signature qui ne tient pas"),
    "untaken": N_("activité que cette instance ne connaît pas"),
    "hidden": N_("demande au sujet de ce qui n’est pas partagé avec elle"),
    "refused": N_("demande refusée"),
}
TRIED_NOW = N_("Rien n’était mis de côté pour %(host)s : nous essayons de la joindre maintenant.")
MOST_DRAWN = 30
"""Instances on the map; the table has them all."""
MOST_DIGITS = 9
QUEUES = (
    ("deliveries", N_("Envois en route vers d’autres instances"), N_("Rien n’attend d’être envoyé.")),
    ("receipts", N_("Reçus, pas encore traités"), N_("Tout ce qui est arrivé est traité.")),
    ("events", N_("Faits à répartir"), N_("Tout est réparti.")),
    ("jobs", N_("Travaux de fond"), N_("Rien ne reste à faire.")),
)


@dataclass(frozen=True, slots=True)
class Figure:
    """A queue in words: `since` is how long its oldest row has waited, '' when nothing waits."""

    words: str
    count: int
    since: str
    quiet: str


@dataclass(frozen=True, slots=True)
class Linked:
    """A link in words. `tone` and `icon` go with the state, never alone; `lag`, `silent`: how long something waits, and
    how long no answer came, '' when neither is so.
    """

    card: LinkCard
    name: str
    state: str
    tone: str
    icon: str
    lag: str
    silent: str


@dataclass(frozen=True, slots=True)
class About:
    """Which link a refused step was about, and the reason that was typed with it."""

    host: str
    reason: str


async def links(
    visit: Visit,
    found: Sequence[LinkCard],
    words: Mapping[str, Sequence[str]],
    denies_past: bool,
    *,
    refused: DomainError | None = None,
    about: About | None = None,
    host: str = "",
    until: str = "",
) -> Response:
    """Linked instances: what waits for an administrator, then all of them. `words`: six for each to compare.

    `denies_past`: what ours wrote elsewhere is not to be opened to more people.
    """
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return await show(
        visit,
        "links.html",
        "links",
        status=status_for(refused),
        rows=[linked(speaks, card) for card in found],
        drawn=[linked(speaks, card) for card in found if card.state is not LinkState.ENDED][:MOST_DRAWN],
        proposed=[card for card in found if card.state is LinkState.RECEIVED],
        comparing=[card for card in found if card.state is LinkState.CONFIRMED and not card.confirmed_here],
        theirs=[card for card in found if _waits_there(card)],
        words=words,
        denies_past=denies_past,
        refused=await refused_words(visit, refused),
        about=about,
        at_offer=visit.request.url.path.rstrip("/").endswith("/links"),
        host=host,
        until=until,
        here=visit.here.host,
    )


async def link(
    visit: Visit,
    found: LinkDetail,
    words: Sequence[str],
    slots: Sequence[Slot] = (),
    *,
    refused: DomainError | None = None,
    about: About | None = None,
) -> Response:
    """One linked instance: how it fares, what is shared with it, what it said that was refused. `slots`: how long what
    it was told waited.
    """
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return await show(
        visit,
        "link.html",
        "links",
        status=status_for(refused),
        row=linked(speaks, found.card),
        found=found,
        words=words,
        refused=await refused_words(visit, refused),
        about=about,
        rules={one.rule: speaks.gettext(rule_words(one.rule)) for one in found.incidents},
        skew=speaks.lasting(abs(found.card.skew_ms or 0)),
        told=words_of(speaks, found, bool(words) or found.card.state is LinkState.RECEIVED),
        week=week_of(speaks, slots) if slots else None,
        again=tried_again(speaks, visit.query("again"), found.card.host),
        may_retry=bool(found.card.dead) and found.card.state is LinkState.ACTIVE,
    )


def rule_words(rule: str) -> str:
    """What a rule that was broken is about, in words."""
    unproved = rule.startswith("unproved ")
    return UNPROVED if unproved else RULE_WORDS.get(rule, RULE_WORDS["refused"])


async def admin(visit: Visit, health: Health) -> Response:
    """How the instance fares, in sentences with figures."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    peers = [(speaks.gettext(HEALTH_WORDS.get(state, state)), count) for state, count in health.peers.items()]
    figures = [
        figure(speaks, speaks.gettext(name), getattr(health, key), speaks.gettext(quiet)) for key, name, quiet in QUEUES
    ]
    return await show(
        visit, "admin.html", "admin", figures=figures, dead=health.dead, aside=health.mail_aside, peers=peers
    )


async def admin_people(
    visit: Visit,
    found: Sequence[AccountRow],
    *,
    more: bool,
    refused: DomainError | None = None,
    new: NewPerson | None = None,
    extending: tuple[int, str] | None = None,
    link: str = "",
    whom: str = "",
) -> Response:
    """All accounts. `link`: a one-time link for `whom`, shown on this page only. `extending`: whose last day was
    refused, and the day as it was typed.
    """
    me = visit.viewer.account_id if isinstance(visit.viewer, Employee) else 0
    return await show(
        visit,
        "admin_people.html",
        "admin",
        status=status_for(refused),
        found=found,
        onward=f"/admin/people?{urlencode({'after': found[-1].name})}" if more and found else "",
        refused=await refused_words(visit, refused),
        new=new or NewPerson(""),
        adding=new is not None,
        extending=extending,
        link=link,
        whom=whom,
        offices=OFFICE_WORDS,
        me_id=me,
    )


async def admin_deliveries(visit: Visit, found: Sequence[DeliveryRow], state: str, *, more: bool) -> Response:
    """What was told to other instances, newest first; `state` '' is all."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    host = visit.query("host")
    asked = {name: value for name, value in (("state", state), ("host", host)) if value}
    return await show(
        visit,
        "admin_deliveries.html",
        "admin",
        found=found,
        state=state,
        host=host,
        states=STATES,
        state_words=DELIVERY_WORDS,
        state_icons=DELIVERY_ICONS,
        kinds=KIND_WORDS,
        again=tried_again(speaks, visit.query("again"), host),
        older=f"/admin/deliveries?{urlencode({**asked, 'before': found[-1].id})}" if more and found else "",
    )


def tried_again(speaks: Speech, count: str, host: str) -> str:
    """What became of asking to try once more, as the address of the page that follows says it; '' when nobody did."""
    if not host or not (count.isascii() and count.isdecimal() and len(count) <= MOST_DIGITS):
        return ""
    if not int(count):
        return speaks.gettext(TRIED_NOW) % {"host": host}
    sentence = speaks.ngettext(
        "%(n)s envoi repart vers %(host)s, et nous essayons de la joindre maintenant.",
        "%(n)s envois repartent vers %(host)s, et nous essayons de la joindre maintenant.",
        int(count),
    )
    return sentence % {"n": speaks.number(int(count)), "host": host}


def linked(speaks: Speech, card: LinkCard) -> Linked:
    """A link with its state in words: an active one is as healthy as its deliveries are."""
    words, tone, icon = LINK_WORDS[card.state], "internal", "tick"
    if card.state is LinkState.CONFIRMED and card.confirmed_here:
        words, tone, icon = N_("attend leur confirmation"), "network", "clock"
    elif card.state is LinkState.ACTIVE and card.health != "ok":
        words, tone, icon = HEALTH_WORDS.get(card.health, card.health), "network", "warn"
    elif card.state in (LinkState.SUSPENDED, LinkState.ENDED):
        words, tone, icon = CAUSE_WORDS.get(card.cause, words), "closed", "warn" if card.cause else "more"
    elif card.state is not LinkState.ACTIVE:
        tone, icon = "network", "clock"
    lag = speaks.lasting(card.oldest_ms) if card.waiting else ""
    silent = speaks.lasting(now_ms() - card.failing_since_at) if card.failing_since_at else ""
    return Linked(card, name_of(card), speaks.gettext(words), tone, icon, lag, silent)


def figure(speaks: Speech, words: str, queue: Queue, quiet: str) -> Figure:
    """A queue with how long its oldest row has waited."""
    since = speaks.lasting(queue.oldest_ms) if queue.waiting else ""
    return Figure(words, queue.waiting, since, quiet)


def _waits_there(card: LinkCard) -> bool:
    return card.state is LinkState.OFFERED or (card.state is LinkState.CONFIRMED and card.confirmed_here)
