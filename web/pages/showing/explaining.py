"""Who sees a thing, group by group, in words and numbers; and why somebody does or does not."""

from dataclasses import dataclass

from starlette.responses import Response

from server.errors import DomainError, Forbidden
from server.explaining_words import changes, opens_space
from server.policy import Act
from server.policy_words import AUDIENCES, AUDIENCES_AT, spoken
from server.queries import audience, explanations, posts, readers, spaces
from server.queries.explanations import OF_POSTS, OF_SPACES, Thing, Told
from server.queries.posts import FileCard, PersonCard
from server.queries.readers import Readers
from server.refusals import N_
from server.viewer import Employee, Resident
from web.locale import Speech
from web.pages.showing.frame import Refused, refused_words, show, speech_for
from web.pages.showing.posts import heading_of, parts_of
from web.pages.visits import Visit

KINDS = (
    ("web", N_("un·e visiteur·se sans compte")),
    ("staff", N_("un·e collègue qui n’est pas membre")),
    ("guest", N_("un·e invité·e qui n’est pas membre")),
    ("fed", N_("une personne d’une autre instance")),
)
PARTNER = N_("une personne de %(host)s, pas membre")
RIGHT_WORDS = {
    "see": N_("voir"),
    "list": N_("trouver dans la liste"),
    "members": N_("compter les membres"),
    "organisations": N_("voir les organisations"),
    "names": N_("voir les noms"),
    "read": N_("lire ce qui s’y écrit"),
    "files": N_("ouvrir les fichiers"),
    "ask": N_("demander à entrer"),
    "join": N_("entrer librement"),
    "post": N_("publier"),
    "invite": N_("inviter quelqu’un"),
    "react": N_("réagir"),
    "reply": N_("répondre"),
    "relay": N_("relayer"),
}


RIGHTS_OF: dict[str, tuple[str, ...]] = {
    "space": OF_SPACES,
    "post": OF_POSTS,
    "file": ("files",),
    "person": ("see",),
}
"""What can be asked about each kind of thing."""


@dataclass(frozen=True, slots=True)
class Row:
    """Some readers in words. `word`: what asks about them; `count`: how many, '' when they cannot be counted."""

    word: str
    who: str
    reads: bool
    count: str
    why: str
    enough: str
    people: tuple[PersonCard, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    words: str


@dataclass(frozen=True, slots=True)
class Step:
    """One rule of the chain; `mark`: tick, refused or nothing."""

    words: str
    mark: str


@dataclass(frozen=True, slots=True)
class Answer:
    """Why somebody does or does not. `openness`: where the owner would do it, '' elsewhere."""

    who: str
    verdict: str
    allowed: bool
    steps: tuple[Step, ...]
    enough: tuple[str, ...]
    owners: str
    openness: str


async def who_sees(visit: Visit, thing: Thing, told: Told | None, refused: DomainError | None) -> Response:
    """The whole page, of whatever thing."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    rows, heading, sentences, may_count = await readers_of(visit, speaks, thing)
    words: Refused | None = await refused_words(visit, refused)
    rights = RIGHTS_OF[thing.kind]
    return await show(
        visit,
        "who_sees.html",
        "spaces" if thing.kind == "space" else "people" if thing.kind == "person" else "home",
        status=200 if refused is None else 403 if isinstance(refused, Forbidden) else 422,
        thing=thing,
        heading=heading,
        sentences=sentences,
        reading=[row for row in rows if row.reads],
        others=[row for row in rows if not row.reads],
        counted=may_count,
        files=await _files(visit, thing),
        answer=_answer(speaks, thing, told) if told else None,
        refused=words,
        may_ask=isinstance(visit.viewer, Resident),
        kinds=await _kinds(visit, speaks, thing),
        rights=[Choice(right, speaks.gettext(RIGHT_WORDS[right])) for right in rights],
        asked={
            "as": visit.query("as"),
            "who": visit.query("who"),
            "right": told.right if told else visit.query("right") or rights[0],
        },
    )


async def readers_of(visit: Visit, speaks: Speech, thing: Thing) -> tuple[list[Row], str, list[str], bool]:
    """Groups of readers, what heads them, sentences where there are no groups, and whether they may be counted."""
    if thing.post_id is not None:
        post = await posts.find(visit.viewer, thing.post_id)
        count = await audience.of_post(visit.viewer, post)
        groups = await readers.of_post(visit.viewer, post) if post.space is not None else []
        sentences = [] if post.space is not None else parts_of(speaks, count)
        return [_row(speaks, one) for one in groups], heading_of(speaks, count, thing.kind), sentences, True
    if thing.space is not None:
        if not thing.space.may(visit.viewer, Act.COUNT_MEMBERS):
            return [], thing.space.name, [], False
        count = await audience.of_space(visit.viewer, thing.space)
        groups = await readers.of_space(visit.viewer, thing.space)
        return [_row(speaks, one) for one in groups], heading_of(speaks, count, "space"), [], True
    if thing.person is not None:
        card = explanations.SEEN_CARD if not thing.person.card.until_at else explanations.NOT_MET
        return [], thing.title, [speaks.gettext(explanations.SEEN_WHOLE), speaks.gettext(card)], False
    return [], thing.title, [speaks.gettext(explanations.NOT_PUBLISHED)], False


def _row(speaks: Speech, one: Readers) -> Row:
    enough = spoken(changes(one.would_change_if[0]), speaks) if one.would_change_if else ""
    more = max(0, (one.count or 0) - len(one.people)) if one.people else 0
    return Row(
        one.word,
        _who(speaks, one),
        one.reads,
        _count(speaks, one),
        "" if one.reads else spoken(one.why.said, speaks),
        enough,
        one.people,
        more,
    )


def _who(speaks: Speech, one: Readers) -> str:
    """« Membres, chez kestrel.example », « Membres, invités (Atelier) »."""
    if one.host and one.audience in AUDIENCES_AT:
        return speaks.gettext(AUDIENCES_AT[one.audience]) % {"host": one.host}
    words = speaks.gettext(AUDIENCES.get(one.audience, one.audience.value))
    return f"{words} ({one.title})" if one.title else words


def _count(speaks: Speech, one: Readers) -> str:
    if one.count is None:
        return ""
    if not one.at_most:
        return speaks.number(one.count)
    if one.attested_at is None:
        return speaks.gettext("au plus %(n)s") % {"n": speaks.number(one.count)}
    words = {"n": speaks.number(one.count), "day": speaks.day(one.attested_at)}
    return speaks.gettext("au plus %(n)s, attesté le %(day)s") % words


def _answer(speaks: Speech, thing: Thing, told: Told) -> Answer:
    marks = {True: "tick", False: "warn", None: ""}
    kinds = dict(KINDS)
    who = told.subject.title or speaks.gettext(kinds.get(told.subject.word, told.subject.word))
    if told.subject.host and not told.subject.one:
        who = speaks.gettext(PARTNER) % {"host": told.subject.host}
    may_open = thing.space is not None and any(opens_space(made) for made in told.would_change_if)
    return Answer(
        who=who,
        verdict=spoken(told.verdict, speaks),
        allowed=told.allowed,
        steps=tuple(Step(spoken(one.said, speaks), marks[one.holds]) for one in told.chain),
        enough=tuple(spoken(changes(made), speaks) for made in told.would_change_if),
        owners=", ".join(told.owners),
        openness=f"/spaces/{thing.space.slug}/openness" if may_open and thing.space is not None else "",
    )


async def _kinds(visit: Visit, speaks: Speech, thing: Thing) -> list[Choice]:
    """Kinds of readers, and the partners of the space that this reader may know."""
    choices = [Choice(word, speaks.gettext(words)) for word, words in KINDS]
    if thing.space is not None and isinstance(visit.viewer, Employee):
        for partner in await spaces.partners(visit.viewer, thing.space):
            words = speaks.gettext(PARTNER) % {"host": partner.host}
            choices.append(Choice(f"partner:{partner.host}", words))
    return choices


async def _files(visit: Visit, thing: Thing) -> tuple[FileCard, ...]:
    """The files of a post, each of which may be asked about."""
    if thing.kind != "post" or thing.post_id is None:
        return ()
    cards = await posts.cards(visit.viewer, [thing.post_id])
    return cards[0].files if cards else ()
