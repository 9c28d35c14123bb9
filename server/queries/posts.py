"""Posts as one viewer sees them: one of them by its right, or many of them in a fixed number of queries."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from server import database as db
from server.clock import now_ms
from server.errors import NotFound
from server.explaining import Case
from server.explaining_words import refused
from server.openness import Audience, History, Level, Variant, Visibility
from server.policy import Act, Decision, Kept, PostFacts, Standing, may_post, scope_posts
from server.queries import identity, polls, sides, spaces
from server.queries.cards import PersonCard as PersonCard
from server.queries.former import moves
from server.queries.polls import PollCard
from server.sql import Clause, one_of
from server.viewer import Employee, Guest, PeerServer, RemotePerson, Viewer

GUEST_UNTIL = "(SELECT c.until_at FROM account c WHERE c.actor_id = a.id AND c.office = 'guest') AS guest_until"
"""Beside the columns of an actor a: until when they are here, if they are a guest."""

READABLE = "FROM post p LEFT JOIN space s ON s.id = p.space_id"

KEPT = "p.kept_at, p.kept_history, p.kept_days"
"""The columns of a post p that `kept_of` reads."""


@dataclass(frozen=True, slots=True)
class SpaceCard:
    """The space around a post."""

    id: int
    slug: str
    name: str
    level: Level
    host: str
    uri: str


@dataclass(frozen=True, slots=True)
class FileCard:
    """An attachment, without its bytes. `width`, `height`: in pixels, of a picture with a small one; otherwise 0."""

    id: int
    name: str
    media_type: str
    size: int
    description: str
    state: str
    sha256: str = ""
    digest: str = ""
    source_uri: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class ReactionCount:
    emoji: str
    count: int
    mine: bool


@dataclass(frozen=True, slots=True)
class Tick:
    """How far a post got with one instance.

    `state`: pending, sent (it is kept there), taken (there it took effect), refused (there it did not: `reason`, a
    word of `server.verdicts`), dead (given up here) or skipped.
    """

    host: str
    state: str
    reason: str = ""


TICKS = ("pending", "dead", "refused", "skipped", "sent", "taken")
"""From the worst on: with several deliveries the worst one counts."""


@dataclass(frozen=True, slots=True)
class PostCard:
    """Everything that a page or a client shows of a post to one viewer."""

    id: int
    uri: str
    author: PersonCard
    space: SpaceCard | None
    visibility: str
    html: str
    source: str
    summary: str
    language: str
    published_at: int
    edited_at: int | None
    reply_to_id: int | None
    reply_to_author: PersonCard | None
    root_id: int | None
    reply_count: int
    reactions: tuple[ReactionCount, ...]
    files: tuple[FileCard, ...]
    mentions: tuple[PersonCard, ...]
    ticks: tuple[Tick, ...]
    facts: PostFacts
    standing: Standing
    poll: PollCard | None = None
    attested_by: str = ""  # the host on whose word the author is believed; '': proved, or one of ours

    def may(self, viewer: Viewer, act: Act) -> Decision:
        return may_post(viewer, act, self.facts, self.standing, now_ms())


@dataclass(frozen=True, slots=True)
class SeenPost:
    """One post that its viewer may read, with what policy needs to decide more."""

    id: int
    uri: str
    author_id: int
    space: spaces.SeenSpace | None
    visibility: str
    reply_to_id: int | None
    root_id: int | None
    peer_id: int | None
    source: str
    html: str
    facts: PostFacts
    standing: Standing

    def may(self, viewer: Viewer, act: Act) -> Decision:
        return may_post(viewer, act, self.facts, self.standing, now_ms())

    def demand(self, viewer: Viewer, act: Act) -> None:
        """Raises NotFound or Forbidden, with the sentence and what would be enough, when this viewer may not."""
        decision = self.may(viewer, act)
        if not decision:
            facts = self.space.facts if self.space else None
            raise refused(Case(viewer, act, self.standing, facts, self.facts, now_ms()), decision)


_SOME_SPACE = Clause("s.id = (SELECT MIN(id) FROM space)")


async def find(viewer: Viewer, post_id: int) -> SeenPost:
    """Raises NotFound: also for what this viewer may not read."""
    return await _one(viewer, "p.id = $1", post_id)


async def find_by_uri(viewer: Viewer, uri: str) -> SeenPost:
    """Raises NotFound: also for what this viewer may not read."""
    return await _one(viewer, "p.uri = $1", (await moves()).now(uri))


async def readable(viewer: Viewer, post_ids: Sequence[int]) -> set[int]:
    """Those of these posts that the viewer may read."""
    if not post_ids:
        return set()
    query = Clause(f"SELECT p.id {READABLE} WHERE").join(one_of("p.id", post_ids)).and_(scope_posts(viewer, now_ms()))
    return {row["id"] for row in await db.fetch(*query.statement())}


async def of(viewer: Viewer, post_id: int) -> SeenPost | None:
    """A post with what somebody is to it, whether they may read it or not: for explaining, not a door."""
    return await _any(viewer, "p.id = $1", post_id)


async def _one(viewer: Viewer, where: str, value: int | str) -> SeenPost:
    post = await _any(viewer, where, value)
    if post is None:
        await spaces.selected(viewer, _SOME_SPACE)  # what never was takes as long as what is hidden (I7)
        raise NotFound(detail="no such post")
    post.demand(viewer, Act.READ)
    return post


async def _any(viewer: Viewer, where: str, value: int | str) -> SeenPost | None:
    row = await db.fetch_one(
        "SELECT p.id, p.uri, p.author_id, p.space_id, p.visibility, p.reply_to_id, p.root_id, p.peer_id, p.source,"
        f" p.html, p.stamp, p.stamp_blind, p.side, p.held_at, p.published_at, p.deleted_at, {KEPT} FROM post p"
        f" WHERE {where}",
        value,
    )
    if row is None:
        return None
    space = (await spaces.around(viewer, [row["space_id"]]))[row["space_id"]] if row["space_id"] else None
    standing = space.standing if space else await _to_author(viewer, row["id"], row["author_id"])
    facts = PostFacts(
        author_id=row["author_id"],
        published_at=row["published_at"],
        space=space.facts if space else None,
        stamp=Variant(row["stamp"]) if row["stamp"] else None,
        visibility=Visibility(row["visibility"]) if row["visibility"] else None,
        peer_id=row["peer_id"],
        deleted=row["deleted_at"] is not None,
        stamp_blind=bool(row["stamp_blind"]),
        side=row["side"],
        held=row["held_at"] is not None,
        kept=kept_of(row),
    )
    return SeenPost(
        id=row["id"],
        uri=row["uri"],
        author_id=row["author_id"],
        space=space,
        visibility=row["visibility"],
        reply_to_id=row["reply_to_id"],
        root_id=row["root_id"],
        peer_id=row["peer_id"],
        source=row["source"],
        html=row["html"],
        facts=facts,
        standing=standing,
    )


async def facts_of(post_id: int) -> PostFacts | None:
    """What policy needs to know of a post, whoever may see it: for telling others, not a door."""
    return (await facts_of_many([post_id])).get(post_id)


async def facts_of_many(post_ids: Sequence[int]) -> dict[int, PostFacts]:
    """The same of many, by id."""
    if not post_ids:
        return {}
    query = Clause(
        "SELECT p.id, p.author_id, p.published_at, p.stamp, p.stamp_blind, p.side, p.held_at, p.visibility, p.peer_id,"
        f" p.deleted_at, p.space_id, s.peer_id AS s_peer, {KEPT}, {spaces.FACTS} {READABLE} WHERE"
    ).join(one_of("p.id", post_ids))
    return {row["id"]: _facts(row) for row in await db.fetch(*query.statement())}


@dataclass(frozen=True, slots=True)
class HeldPost:
    """A post of a space as two instances compare it."""

    uri: str
    edited_at: int | None
    facts: PostFacts


async def held_in(space_id: int, since: int, until: int) -> list[HeldPost]:
    """The posts of a space of these milliseconds that are not taken back: for comparing with others, not a door."""
    rows = await db.fetch(
        "SELECT p.id, p.uri, p.edited_at, p.author_id, p.published_at, p.stamp, p.stamp_blind, p.side, p.held_at,"
        f" p.visibility, p.peer_id, p.deleted_at, p.space_id, s.peer_id AS s_peer, {KEPT}, {spaces.FACTS} {READABLE}"
        " WHERE p.space_id = $1 AND p.deleted_at IS NULL AND p.published_at >= $2 AND p.published_at < $3",
        space_id,
        since,
        until,
    )
    return [HeldPost(row["uri"], row["edited_at"], _facts(row)) for row in rows]


async def _to_author(viewer: Viewer, post_id: int, author_id: int) -> Standing:
    """What a viewer is to the author of a personal post."""
    if isinstance(viewer, (Employee, Guest, RemotePerson)):
        who, value = "= $1", viewer.actor_id
    elif isinstance(viewer, PeerServer):
        who, value = "IN (SELECT id FROM actor WHERE peer_id = $1)", viewer.peer_id
    else:
        return Standing(Audience.WEB)
    row = await db.fetch_one(
        f"""SELECT EXISTS (SELECT 1 FROM follow WHERE followed_id = $2 AND state = 'accepted'
                           AND follower_id {who}) AS follows,
                   EXISTS (SELECT 1 FROM mention WHERE post_id = $3 AND actor_id {who}) AS named""",
        value,
        author_id,
        post_id,
    )
    assert row is not None
    kind = Audience.STAFF if isinstance(viewer, Employee) else Audience.FED
    return Standing(kind, follows=bool(row["follows"]), named=bool(row["named"]))


# --- many ----------------------------------------------------------------------------------------


async def cards(viewer: Viewer, post_ids: Sequence[int]) -> list[PostCard]:
    """These posts, in this order, without those that the viewer may not read. At most thirteen queries."""
    if not post_ids:
        return []
    query = Clause(_CARD).join(one_of("p.id", post_ids)).and_(scope_posts(viewer, now_ms()))
    rows = {row["id"]: row for row in await db.fetch(*query.statement())}
    kept = [rows[i] for i in dict.fromkeys(post_ids) if i in rows]
    parts = await _parts(viewer, [row["id"] for row in kept])
    standings = await _standings(viewer, kept)
    parts.answered = await readable(viewer, [row["reply_to_id"] for row in kept if row["reply_to_id"]])
    return [_named(viewer, row, parts, _card(row, parts, standings[row["id"]])) for row in kept]


_CALLED = (
    "CASE WHEN {a}.fetched_at IS NULL THEN COALESCE((SELECT k.name FROM passport k WHERE k.peer_id = {p}.attested_by_id"
    " AND k.uri = {a}.uri AND k.name <> ''), {a}.display_name) ELSE {a}.display_name END"
)
"""SQL: the name of an author (actor a) of a post (p): of whom a host alone tells us, each as it tells it."""

_CARD = f"""SELECT p.id, p.uri, p.author_id, p.space_id, p.visibility, p.html, p.source, p.summary, p.language,
 p.published_at, p.edited_at, p.reply_to_id, p.root_id, p.peer_id, p.stamp, p.stamp_blind, p.side, p.held_at,
 p.deleted_at, {KEPT}, (SELECT t.host FROM peer t WHERE t.id = p.attested_by_id) AS attested_by,
 a.uri AS a_uri, a.name AS a_name, a.host AS a_host, {_CALLED.format(a="a", p="p")} AS a_display, a.kind AS a_kind,
 (SELECT c.until_at FROM account c WHERE c.actor_id = a.id AND c.office = 'guest') AS a_until,
 (SELECT c.job FROM account c WHERE c.actor_id = a.id AND c.office <> 'guest') AS a_job,
 (SELECT c.job FROM account c WHERE c.actor_id = ra.id AND c.office <> 'guest') AS ra_job,
 s.slug, s.name AS s_name, s.peer_id AS s_peer, {spaces.FACTS},
 g.host AS s_host, g.uri AS s_uri, g.id AS s_actor, s.identity_outside, p.byline,
 ra.id AS ra_id, ra.uri AS ra_uri, ra.name AS ra_name, ra.host AS ra_host, {_CALLED.format(a="ra", p="r")} AS ra_display
 {READABLE} JOIN actor a ON a.id = p.author_id LEFT JOIN actor g ON g.id = s.actor_id
 LEFT JOIN post r ON r.id = p.reply_to_id LEFT JOIN actor ra ON ra.id = r.author_id WHERE"""


@dataclass(slots=True)
class _Parts:
    answered: set[int] = field(default_factory=set)  # posts that are answered, and that the viewer may read
    replies: dict[int, int] = field(default_factory=dict)
    reactions: dict[int, list[ReactionCount]] = field(default_factory=lambda: defaultdict(list))
    files: dict[int, list[FileCard]] = field(default_factory=lambda: defaultdict(list))
    mentions: dict[int, list[PersonCard]] = field(default_factory=lambda: defaultdict(list))
    jobs: dict[int, str | None] = field(default_factory=dict)  # of those mentioned; None: not one of ours
    ticks: dict[int, list[Tick]] = field(default_factory=lambda: defaultdict(list))
    polls: dict[int, PollCard] = field(default_factory=dict)


async def _parts(viewer: Viewer, ids: list[int]) -> _Parts:
    parts = _Parts()
    if not ids:
        return parts
    mine = viewer.actor_id if isinstance(viewer, (Employee, Guest, RemotePerson)) else 0
    counting = (
        Clause(f"SELECT p.reply_to_id AS post_id, COUNT(*) AS n {READABLE} WHERE")
        .join(one_of("p.reply_to_id", ids))
        .and_(scope_posts(viewer, now_ms()))
        .then("GROUP BY p.reply_to_id")
    )
    parts.replies = {row["post_id"]: row["n"] for row in await db.fetch(*counting.statement())}
    reacting = (
        Clause(
            "SELECT r.post_id, r.emoji, COUNT(*) AS n, MAX(CASE WHEN r.actor_id = ? THEN 1 ELSE 0 END) AS mine", (mine,)
        )
        .then("FROM reaction r JOIN post p ON p.id = r.post_id LEFT JOIN space s ON s.id = p.space_id WHERE")
        .join(one_of("r.post_id", ids))
        .and_(sides.gestures_counted(viewer))
        .then("GROUP BY r.post_id, r.emoji ORDER BY MIN(r.created_at)")
    )
    for row in await db.fetch(*reacting.statement()):
        parts.reactions[row["post_id"]].append(ReactionCount(row["emoji"], row["n"], bool(row["mine"])))
    parts.polls = await polls.of_posts(viewer, ids)
    for row in await db.fetch(*_of("SELECT * FROM attachment WHERE", ids, "ORDER BY position, id")):
        parts.files[row["post_id"]].append(file_card(row))
    job = identity.OWN_JOB.format(actor="a.id")
    naming = (
        f"SELECT n.post_id, a.*, {GUEST_UNTIL}, {job} AS own_job FROM mention n JOIN actor a ON a.id = n.actor_id WHERE"
    )
    for row in await db.fetch(*_of(naming, ids, "ORDER BY n.id")):
        parts.mentions[row["post_id"]].append(person_card(row))
        parts.jobs[row["id"]] = row["own_job"]
    if isinstance(viewer, Employee):
        await _tick(parts, ids)
    return parts


async def _tick(parts: _Parts, ids: list[int]) -> None:
    ticking = """SELECT e.post_id, q.host, MIN(CASE WHEN d.state = 'pending' THEN 0 WHEN d.state = 'dead' THEN 1
      WHEN d.state = 'sent' AND d.error <> '' THEN 2 WHEN d.state <> 'sent' THEN 3
      WHEN d.number <= t.done THEN 5 ELSE 4 END) AS worst,
      MAX(CASE WHEN d.state = 'sent' THEN d.error ELSE '' END) AS reason
      FROM event e JOIN delivery d ON d.event_id = e.id JOIN peer q ON q.id = d.peer_id
      LEFT JOIN stream t ON t.peer_id = q.id
      WHERE e.kind IN ('post_published', 'post_edited') AND d.error <> 'superseded' AND"""
    for row in await db.fetch(*_of(ticking, ids, "GROUP BY e.post_id, q.host ORDER BY q.host", "e.post_id")):
        state = TICKS[row["worst"]]
        reason = row["reason"] if state == "refused" else ""
        parts.ticks[row["post_id"]].append(Tick(row["host"], state, reason))


def _of(select: str, ids: list[int], rest: str, column: str = "post_id") -> tuple[Any, ...]:
    return Clause(select).join(one_of(column, ids)).then(rest).statement()


async def _standings(viewer: Viewer, rows: list[dict[str, Any]]) -> dict[int, Standing]:
    around = await spaces.around(viewer, {row["space_id"] for row in rows if row["space_id"]})
    kind = Audience.STAFF if isinstance(viewer, Employee) else Audience.FED
    # a personal post that is in the viewer's scope is one whose author lets them read it
    personal = Standing(kind, follows=True, named=True)
    return {row["id"]: around[row["space_id"]].standing if row["space_id"] else personal for row in rows}


def _card(row: dict[str, Any], parts: _Parts, standing: Standing) -> PostCard:
    facts = _facts(row)
    space = None
    if row["space_id"]:
        space = SpaceCard(row["space_id"], row["slug"], row["s_name"], Level(row["level"]), row["s_host"], row["s_uri"])
    author = PersonCard(
        row["author_id"], row["a_uri"], row["a_name"], row["a_host"], row["a_display"], row["a_kind"], row["a_until"]
    )
    answered = None
    if row["ra_id"] and row["reply_to_id"] in parts.answered:
        answered = PersonCard(row["ra_id"], row["ra_uri"], row["ra_name"], row["ra_host"], row["ra_display"])
    i = row["id"]
    return PostCard(
        id=i,
        uri=row["uri"],
        author=author,
        space=space,
        visibility=row["visibility"],
        html=row["html"],
        source=row["source"],
        summary=row["summary"],
        language=row["language"],
        published_at=row["published_at"],
        edited_at=row["edited_at"],
        reply_to_id=row["reply_to_id"],
        reply_to_author=answered,
        root_id=row["root_id"],
        reply_count=parts.replies.get(i, 0),
        reactions=tuple(parts.reactions[i]),
        files=tuple(parts.files[i]),
        mentions=tuple(parts.mentions[i]),
        ticks=tuple(parts.ticks[i]),
        poll=parts.polls.get(i),
        attested_by=row["attested_by"] or "",
        facts=facts,
        standing=standing,
    )


def _named(viewer: Viewer, row: dict[str, Any], parts: _Parts, card: PostCard) -> PostCard:
    """A card with our people as its space names them before this viewer, or with the words under which another
    instance's space speaks.
    """
    if row["byline"]:
        card = replace(card, author=replace(card.author, display_name=row["byline"]))
    if not row["space_id"] or row["s_peer"] is not None or not identity.outside(viewer):
        return card
    how, space = identity.wanted(row["level"], row["identity_outside"]), identity.card_of(row)
    answered = card.reply_to_author
    return replace(
        card,
        author=identity.shown(card.author, row["a_job"], how, space),
        reply_to_author=identity.shown(answered, row["ra_job"], how, space) if answered else None,
        mentions=tuple(identity.shown(one, parts.jobs[one.id], how, space) for one in card.mentions),
    )


def _facts(row: dict[str, Any]) -> PostFacts:
    """From a row of post p with its space s."""
    space = None
    if row["space_id"]:
        space = spaces.facts_of(row["space_id"], row["s_peer"], row)
    return PostFacts(
        author_id=row["author_id"],
        published_at=row["published_at"],
        space=space,
        stamp=Variant(row["stamp"]) if row["stamp"] else None,
        visibility=Visibility(row["visibility"]) if row["visibility"] else None,
        peer_id=row["peer_id"],
        deleted=row["deleted_at"] is not None,
        stamp_blind=bool(row["stamp_blind"]),
        side=row["side"],
        held=row["held_at"] is not None,
        kept=kept_of(row),
    )


def kept_of(row: dict[str, Any]) -> Kept | None:
    """Whether a post was left out of an opened past, from a row with the columns `KEPT`."""
    if row["kept_at"] is None:
        return None
    return Kept(row["kept_at"], History(row["kept_history"]), row["kept_days"])


def person_card(row: dict[str, Any]) -> PersonCard:
    """From a row of `actor`, with GUEST_UNTIL where guests are told from others."""
    until_at = row.get("guest_until")
    return PersonCard(row["id"], row["uri"], row["name"], row["host"], row["display_name"], row["kind"], until_at)


def file_card(row: dict[str, Any]) -> FileCard:
    """From a row of `attachment`."""
    return FileCard(
        row["id"],
        row["name"],
        row["media_type"],
        row["size"],
        row["description"],
        row["state"],
        row["sha256"],
        row["digest"],
        row["source_uri"],
        row["width"],
        row["height"],
    )


async def people(ids: Iterable[int]) -> dict[int, PersonCard]:
    """Actors by id. For those whose ids the viewer already holds."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return {}
    query = Clause(f"SELECT a.*, {GUEST_UNTIL} FROM actor a WHERE").join(one_of("a.id", wanted))
    rows = await db.fetch(*query.statement())
    return {row["id"]: person_card(row) for row in rows}
