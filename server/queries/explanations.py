"""Why somebody sees a thing, or does not: asked by whoever may know of the thing, about whom they may ask.

A thing is a space, a post, a file or a person. It is found by the asker's own right first, so what they may not know
is not found, whatever they ask about it. What it is to somebody else is told as far as the asker may know who is in
the space: kinds of readers to everybody, partners to whoever sees organisations, people to whoever sees names.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from server import database as db
from server.clock import now_ms
from server.errors import DomainError, Forbidden, Invalid, NotFound
from server.explaining import Barred, Case, Change, Changes, Explanation, Step, explain
from server.explaining_words import BARRED, Reason, chain, changes, verdict
from server.ids import Addresses
from server.openness import LinkState, MemberState, Office, Visibility
from server.policy import Act
from server.policy_words import Said, Tongue, spoken
from server.queries import people, posts, sides, spaces
from server.queries.accounts import viewer_of_row
from server.queries.people import Person
from server.queries.posts import SeenPost, person_card
from server.queries.spaces import SeenSpace
from server.refusals import N_, SENTENCES
from server.sql import Clause
from server.viewer import (
    Anonymous,
    Employee,
    Guest,
    Operator,
    PeerServer,
    RemotePerson,
    Viewer,
    peer_side,
    side_of,
)

NOBODY_KNOWN = N_("« %(who)s » n’est ni un genre de lecteur, ni une personne ou une instance connue ici.")
NO_RIGHT = N_("« %(right)s » n’est pas un droit : essayez %(rights)s.")
ONLY_READ = N_("D’une personne, on ne demande que si on la voit : « see ».")
MOST_CHARACTERS = 600
MOST_OWNERS = 5
NOBODY = 0

RIGHTS: dict[str, Act] = {
    "see": Act.SEE,
    "existence": Act.SEE,
    "list": Act.LIST,
    "members": Act.COUNT_MEMBERS,
    "organisations": Act.SEE_ORGANISATIONS,
    "names": Act.NAME_MEMBERS,
    "read": Act.READ,
    "files": Act.OPEN_FILE,
    "ask": Act.ASK_TO_JOIN,
    "join": Act.JOIN,
    "react": Act.REACT,
    "reply": Act.REPLY,
    "post": Act.POST,
    "invite": Act.INVITE,
    "relay": Act.RELAY,
    "edit": Act.EDIT_POST,
    "withdraw": Act.WITHDRAW_POST,
    "admit": Act.ADMIT_MEMBERS,
    "openness": Act.CHANGE_POLICY,
}
"""The rights that can be asked about, by the word that asks."""

OF_SPACES = ("see", "list", "members", "organisations", "names", "read", "files", "ask", "join", "post", "invite")
OF_POSTS = ("read", "files", "react", "reply", "relay")


@dataclass(frozen=True, slots=True)
class Thing:
    """What is asked about, as whoever asks has found it. `word`: how it is named in addresses and commands."""

    kind: str  # space, post, file, person
    word: str
    title: str
    address: str
    space: SeenSpace | None = None
    post_id: int | None = None
    person: Person | None = None
    owner_id: int | None = None  # of a file that no post carries


@dataclass(frozen=True, slots=True)
class Subject:
    """About whom it is asked. `title`: a name, '' for a kind of reader."""

    word: str
    viewer: Viewer
    title: str = ""
    barred: Barred | None = None
    one: bool = False  # a certain person
    host: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """The answer: what decides (`reason`, a stable word), the chain in words, what would be enough, who could do it.

    `owners`: names, when the asker may know them.
    """

    thing: Thing
    subject: Subject
    right: str
    allowed: bool
    reason: str
    verdict: Said
    chain: tuple[Reason, ...]
    would_change_if: tuple[Changes, ...]
    owners: tuple[str, ...] = ()


async def tell(viewer: Viewer, thing: str, who: str, right: str, here: Addresses) -> Told:
    """Why. Raises NotFound for a thing that the asker may not know, Invalid for whom or what is no word of ours,
    Forbidden for somebody about whom they may not ask.
    """
    found = await find_thing(viewer, thing, here)
    subject = await find_subject(viewer, who)
    return await tell_of(viewer, found, subject, right)


async def tell_of(viewer: Viewer, thing: Thing, subject: Subject, right: str = "read") -> Told:
    """The same for a thing and a subject that are found already. Raises Invalid or Forbidden."""
    await _demand_asking(viewer, thing, subject)
    if thing.kind == "person":
        if right not in ("see", "read", ""):
            raise Invalid(ONLY_READ, field="right")
        return await _of_person(thing, subject)
    act = _act(thing, right)
    if thing.post_id is None and thing.space is None:
        return _of_own_file(thing, subject)
    told = explain(await _case(thing, subject, act))
    owners = await _owners(viewer, thing) if told.would_change_if else ()
    return _told(thing, subject, right or "read", told, owners)


def _act(thing: Thing, right: str) -> Act:
    """Raises Invalid, naming the rights that there are."""
    right = right or "read"
    if right not in RIGHTS:
        raise Invalid(NO_RIGHT, field="right", params={"right": right[:40], "rights": ", ".join(RIGHTS)})
    return Act.OPEN_FILE if thing.kind == "file" and right == "read" else RIGHTS[right]


def _told(thing: Thing, subject: Subject, right: str, told: Explanation, owners: tuple[str, ...]) -> Told:
    reason = told.decision.stop.value if told.decision.stop else told.decision.reason
    return Told(
        thing,
        subject,
        right,
        bool(told.decision),
        reason,
        verdict(told),
        tuple(chain(told)),
        told.would_change_if,
        owners,
    )


async def _case(thing: Thing, subject: Subject, act: Act) -> Case:
    """What the policy is asked: the facts of the thing and what the subject is to it."""
    viewer, now = subject.viewer, now_ms()
    if thing.post_id is not None:
        post = await posts.of(viewer, thing.post_id)
        if post is None:
            raise NotFound(detail="gone meanwhile")
        named, over = await _naming(viewer, post.space.id if post.space else None)
        facts = post.space.facts if post.space else None
        return Case(viewer, act, post.standing, facts, post.facts, now, subject.barred, named, over)
    assert thing.space is not None
    space = (await spaces.around(viewer, [thing.space.id]))[thing.space.id]
    named, over = await _naming(viewer, space.id)
    return Case(viewer, act, space.standing, space.facts, None, now, subject.barred, named, over)


async def _naming(viewer: Viewer, space_id: int | None) -> tuple[bool, bool]:
    """Whether a space names the viewer's instance without that counting now, and whether because a date is past."""
    if space_id is None or not isinstance(viewer, (RemotePerson, PeerServer)):
        return False, False
    row = await db.fetch_one(
        "SELECT until_at FROM space_partner WHERE space_id = $1 AND peer_id = $2", space_id, viewer.peer_id
    )
    over = row is not None and row["until_at"] is not None and row["until_at"] < now_ms()
    return (row is not None and not viewer.linked), over


# --- the thing ------------------------------------------------------------------------------------

_PATH = re.compile(r"/(posts|spaces|media)/([^/?#]+)|/@([^/?#]+)")
_KIND = re.compile(r"(space|post|file|person):(.+)")


async def find_thing(viewer: Viewer, text: str, here: Addresses) -> Thing:
    """A post (its id or address), a space (its slug), a file (its id), a person (name, name@host). Raises NotFound."""
    word = text.strip()[:MOST_CHARACTERS]
    if here.is_ours(word):
        found = _PATH.match(word[len(here.base) :])
        if found is None:
            raise NotFound(detail="no thing of ours")
        place = {"posts": "post", "spaces": "space", "media": "file", None: "person"}[found[1]]
        return await _find(viewer, place, found[2] or found[3], here)
    if word.startswith(("http://", "https://")):
        return await _find_by_uri(viewer, word, here)
    if kind := _KIND.fullmatch(word):
        return await _find(viewer, kind[1], kind[2], here)
    kinds = ("post", "file") if word.isdecimal() else ("person",) if word.startswith("@") else ("space", "person")
    for place in kinds:
        try:
            return await _find(viewer, place, word, here)
        except NotFound:
            continue
    raise NotFound(detail="nothing of that name")


async def _find(viewer: Viewer, kind: str, word: str, here: Addresses) -> Thing:
    if kind == "space":
        return of_space(await spaces.find(viewer, word.lower()))
    if kind == "person":
        name, _, host = word.removeprefix("@").partition("@")
        person = await people.find(viewer, name, "" if host == here.host else host.lower())
        return of_person(person)
    if not (word.isascii() and word.isdecimal() and len(word) <= 18):
        raise NotFound(detail="not an id")
    return await (_file(viewer, int(word)) if kind == "file" else _post(viewer, int(word)))


async def _find_by_uri(viewer: Viewer, uri: str, here: Addresses) -> Thing:
    row = await db.fetch_one("SELECT id FROM post WHERE uri = $1", uri)
    if row is not None:
        return await _post(viewer, row["id"])
    row = await db.fetch_one("SELECT kind, name, host FROM actor WHERE uri = $1", uri)
    if row is not None and row["kind"] == "group":
        return of_space(await spaces.find_by_uri(viewer, uri))
    if row is not None and row["kind"] == "person":
        return await _find(viewer, "person", f"{row['name']}@{row['host'] or here.host}", here)
    raise NotFound(detail="no such address")


def of_space(space: SeenSpace) -> Thing:
    """A space that its asker has found."""
    return Thing("space", f"space:{space.slug}", space.name, f"/spaces/{space.slug}", space)


def of_post(post: SeenPost) -> Thing:
    """A post that its asker has found."""
    return Thing("post", f"post:{post.id}", "", f"/posts/{post.id}", post.space, post.id)


def of_person(person: Person) -> Thing:
    """A person whom their asker has found."""
    card = person.card
    return Thing("person", f"person:{card.handle}", card.display_name or card.name, f"/@{card.handle}", person=person)


async def _post(viewer: Viewer, post_id: int) -> Thing:
    """The command line arranges posts without reading them, and so may ask about any."""
    if not isinstance(viewer, Operator):
        return of_post(await posts.find(viewer, post_id))
    post = await posts.of(viewer, post_id)
    if post is None:
        raise NotFound(detail="no such post")
    return of_post(post)


async def _file(viewer: Viewer, file_id: int) -> Thing:
    row = await db.fetch_one("SELECT id, name, post_id, owner_id FROM attachment WHERE id = $1", file_id)
    if row is None:
        raise NotFound(detail="no such file")
    name = "" if isinstance(viewer, Operator) else row["name"]
    if row["post_id"] is None:
        if not isinstance(viewer, Operator) and getattr(viewer, "actor_id", None) != row["owner_id"]:
            raise NotFound(detail="somebody else's file")
        return Thing("file", f"file:{file_id}", name, "", owner_id=row["owner_id"])
    post = await _post(viewer, row["post_id"])
    return replace(post, kind="file", word=f"file:{file_id}", title=name)


# --- whom -----------------------------------------------------------------------------------------


async def find_subject(viewer: Viewer, who: str) -> Subject:
    """Whom a word means: web, fed, staff, guest, me; partner:HOST, server:HOST; guest:NAME, a name, name@host.

    Raises Invalid, naming `as`: in the same words for who is unknown and for whom this asker may not know.
    """
    word = who.strip()[:300]
    kinds: dict[str, Viewer] = {
        "web": Anonymous(),
        "fed": RemotePerson(NOBODY, NOBODY),
        "staff": Employee(NOBODY, NOBODY),
        "guest": Guest(NOBODY, NOBODY),
    }
    if word in kinds:
        return Subject(word, kinds[word])
    if word == "me":
        return Subject(word, viewer, one=True)
    kind, _, rest = word.partition(":")
    found: Subject | None
    if kind in ("partner", "server") and rest:
        found = await _instance(viewer, word, kind, rest.lower())
    else:
        found = await _person(viewer, word, rest if kind in ("guest", "staff") and rest else word)
    if found is None:
        raise Invalid(NOBODY_KNOWN, field="as", params={"who": word[:80]})
    return found


async def _instance(viewer: Viewer, word: str, kind: str, host: str) -> Subject | None:
    row = await db.fetch_one(
        "SELECT q.id, q.title, q.blocked_at, l.state FROM peer q LEFT JOIN link l ON l.peer_id = q.id"
        " WHERE q.host = $1",
        host,
    )
    known = isinstance(viewer, (Employee, Operator)) or (row is not None and side_of(viewer) == peer_side(row["id"]))
    if row is None or not known:
        return None
    linked = row["state"] == LinkState.ACTIVE
    server: Viewer = PeerServer(row["id"], linked)
    seen = server if kind == "server" else spaces.stranger_at(row["id"], linked)
    return Subject(word, seen, row["title"] or host, Barred.BLOCKED if row["blocked_at"] else None, host=host)


async def _person(viewer: Viewer, word: str, handle: str) -> Subject | None:
    name, _, host = handle.removeprefix("@").partition("@")
    row = await db.fetch_one(
        """SELECT a.id AS actor_id, a.name, a.host, a.peer_id, a.display_name, a.suspended_at, a.gone_at,
           c.id, c.office, c.organisation, c.until_at, c.suspended_at AS shut_at, q.blocked_at, l.state
           FROM actor a LEFT JOIN account c ON c.actor_id = a.id LEFT JOIN peer q ON q.id = a.peer_id
           LEFT JOIN link l ON l.peer_id = q.id WHERE a.kind = 'person' AND a.host = $1 AND a.name = $2""",
        host.lower(),
        name if host else name.lower(),
    )
    if row is None or not await _is_known(viewer, row):
        return None
    if row["peer_id"] is not None:
        seen: Viewer = RemotePerson(row["actor_id"], row["peer_id"], row["state"] == LinkState.ACTIVE)
    elif row["id"] is not None:
        seen = viewer_of_row(row)
    else:
        return None
    return Subject(word, seen, row["display_name"] or row["name"], _barred(row), True, row["host"])


async def _is_known(viewer: Viewer, row: dict[str, Any]) -> bool:
    """Whether the asker may know that this person exists; those who are shut out are known to our own people."""
    if isinstance(viewer, (Employee, Operator)) or getattr(viewer, "actor_id", None) == row["actor_id"]:
        return True
    try:
        await people.find_by_id(viewer, row["actor_id"])
    except NotFound:
        return False
    return True


def _barred(row: dict[str, Any]) -> Barred | None:
    if row["blocked_at"] is not None:
        return Barred.BLOCKED
    if row["suspended_at"] is not None or row["gone_at"] is not None or row["shut_at"] is not None:
        return Barred.SUSPENDED
    over = row["office"] == Office.GUEST and row["until_at"] is not None and row["until_at"] < now_ms()
    return Barred.ENDED if over else None


async def _demand_asking(viewer: Viewer, thing: Thing, subject: Subject) -> None:
    """Raises Forbidden: about who is in a space, to those who may not see it; about who follows, to all but authors."""
    mine = getattr(viewer, "actor_id", None)
    myself = mine is not None and mine == getattr(subject.viewer, "actor_id", None)
    if isinstance(viewer, Operator) or subject.viewer == viewer or myself or not (subject.one or subject.host):
        return
    space = thing.space
    if space is None:
        if thing.post_id is not None and not await _hears_of_followers(viewer, thing.post_id):
            raise Forbidden(SENTENCES["members_hidden"], detail="members_hidden")
        return
    space.demand(viewer, Act.NAME_MEMBERS if subject.one else Act.SEE_ORGANISATIONS)
    if not await _is_before(viewer, space, subject):
        raise Forbidden(SENTENCES["members_hidden"], detail="members_hidden")


async def _is_before(viewer: Viewer, space: SeenSpace, subject: Subject) -> bool:
    """Whether blind partners, and those who do not name one another, are not asked about by each other."""
    seen = subject.viewer
    whose = await (sides.named if subject.one else sides.counted)(viewer, space)
    if whose == sides.EVERYBODY or isinstance(seen, Employee) or side_of(seen) == space.standing.side:
        return True
    query = Clause("SELECT m.id FROM membership m WHERE m.space_id = ? AND m.actor_id = ?")
    asked = Clause(query.text, (space.id, getattr(seen, "actor_id", NOBODY))).and_(whose)
    return await db.fetch_one(*asked.statement()) is not None


async def _hears_of_followers(viewer: Viewer, post_id: int) -> bool:
    """Who follows an author or is named is the author's to know."""
    post = await posts.of(viewer, post_id)
    if post is None:
        return False
    to_all = post.visibility in (Visibility.PUBLIC, Visibility.COLLEAGUES)
    return to_all or getattr(viewer, "actor_id", None) == post.author_id


async def _owners(viewer: Viewer, thing: Thing) -> tuple[str, ...]:
    """Who could do it: the space's owners and stewards, by name before those who may know them."""
    space = thing.space
    if space is None or not space.hosted_here or not space.may(viewer, Act.NAME_MEMBERS):
        return ()
    query = (
        Clause(
            "SELECT a.* FROM membership m JOIN actor a ON a.id = m.actor_id"
            " WHERE m.space_id = ? AND m.state = ? AND m.role = 'owner' AND a.suspended_at IS NULL",
            (space.id, MemberState.MEMBER.value),
        )
        .and_(await sides.named(viewer, space))
        .then("ORDER BY m.id LIMIT ?", MOST_OWNERS)
    )
    cards = [person_card(row) for row in await db.fetch(*query.statement())]
    return tuple(card.display_name or card.name for card in cards)


# --- persons, and files that are nowhere yet ------------------------------------------------------

SEEN_WHOLE = N_("Les collègues voient le profil entier : présentation, fonction, espaces en commun.")
SEEN_CARD = N_("Hors de l’instance, et pour les invités, on ne voit qu’une carte : le nom et l’adresse.")
NOT_MET = N_("Les invités, et les personnes d’ailleurs, ne sont vus que dans les espaces où on les rencontre.")
PERSON_SEEN = N_("Oui : peut voir cette personne.")
PERSON_HIDDEN = N_("Non : ne peut pas voir cette personne.")
NOT_PUBLISHED = N_("Ce fichier n’est joint à aucun message : seule la personne qui l’a déposé l’ouvre.")
FILE_OPENED = N_("Oui : peut ouvrir ce fichier.")
FILE_KEPT = N_("Non : ne peut pas ouvrir ce fichier.")


async def _of_person(thing: Thing, subject: Subject) -> Told:
    """Whether somebody finds a person: the same lookup that their page makes."""
    assert thing.person is not None
    allowed, seen = False, subject.viewer
    enough: tuple[Changes, ...] = ()
    chained: tuple[Reason, ...]
    if subject.barred is not None:
        chained = (Reason("door", False, Said(BARRED[subject.barred])),)
    else:
        allowed = await _finds(seen, thing.person)
        whole = isinstance(seen, (Employee, Operator))
        said = SEEN_WHOLE if whole else SEEN_CARD if allowed else NOT_MET
        chained = (Reason("whole" if whole else "card" if allowed else "not_met", allowed, Said(said)),)
        enough = () if allowed else ((Change(Step.MEET),),)
    words = Said(PERSON_SEEN if allowed else PERSON_HIDDEN)
    return Told(thing, subject, "see", allowed, chained[-1].rule, words, chained, enough)


async def _finds(viewer: Viewer, person: Person) -> bool:
    if isinstance(viewer, Operator):
        return True
    try:
        await people.find_by_id(viewer, person.card.id)
    except DomainError:
        return False
    return True


def _of_own_file(thing: Thing, subject: Subject) -> Told:
    allowed = subject.barred is None and getattr(subject.viewer, "actor_id", None) == thing.owner_id
    reason = Reason("not_published", allowed, Said(NOT_PUBLISHED))
    enough: tuple[Changes, ...] = () if allowed else ((Change(Step.PUBLISH),),)
    words = Said(FILE_OPENED if allowed else FILE_KEPT)
    return Told(thing, subject, "files", allowed, reason.rule, words, (reason,), enough)


def as_json(told: Told, tongue: Tongue) -> dict[str, Any]:
    """For programs: stable words, and sentences in a language."""
    return {
        "thing": {"kind": told.thing.kind, "thing": told.thing.word, "address": told.thing.address},
        "as": told.subject.word,
        "right": told.right,
        "allowed": told.allowed,
        "reason": told.reason,
        "verdict": spoken(told.verdict, tongue),
        "chain": [{"rule": one.rule, "holds": one.holds, "said": spoken(one.said, tongue)} for one in told.chain],
        "would_change_if": [
            {"steps": [{"step": one.step.value, "to": one.to} for one in made], "said": spoken(changes(made), tongue)}
            for made in told.would_change_if
        ],
        "owners": list(told.owners),
    }
