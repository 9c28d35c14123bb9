"""Who will see a thing, counted from the same table that decides it.

The numbers are exact for this instance. Of a space that lives elsewhere only our own people are known: its
host answers for the rest (`kept_at`).
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from server import database as db
from server.clock import now_ms
from server.openness import Audience, Level, LinkState, Office, Reach, Visibility
from server.policy import Act, PostFacts, SpaceFacts, Standing, audience_of, may_post
from server.queries import sides, spaces
from server.queries.posts import SeenPost
from server.sql import Clause
from server.viewer import Anonymous, Employee, Guest, RemotePerson, Viewer, guest_side, peer_side, side_of

NOBODY = 0
_COLLEAGUE = Employee(NOBODY, NOBODY)


@dataclass(frozen=True, slots=True)
class At:
    """People at one other instance. `count` None: everybody there may."""

    host: str
    title: str
    count: int | None


@dataclass(frozen=True, slots=True)
class AudienceCount:
    """How many may read a thing, by what they are to us.

    `colleagues_all`: every colleague, not only those counted as members. `everyone_at`: named partners whose
    people may all read. `network`: anybody signed in at an instance we do not block; `public`: everybody.
    `kept_at`: the host of a space elsewhere, which alone knows its other members. `followers`: the number
    counts those who follow the author, not the members of a space.
    """

    colleagues: int = 0
    guests: int = 0
    partners: tuple[At, ...] = ()
    everyone_at: tuple[At, ...] = ()
    network: bool = False
    public: bool = False
    colleagues_all: bool = False
    kept_at: str = ""
    followers: bool = False

    @property
    def people(self) -> int:
        """Those that can be counted one by one."""
        return self.colleagues + self.guests + sum(at.count or 0 for at in self.partners)

    @property
    def exact(self) -> bool:
        """Whether `people` are all of them."""
        return not (self.network or self.public or self.everyone_at or self.kept_at)


async def of_space(viewer: Viewer, space: spaces.SeenSpace) -> AudienceCount:
    """Who reads what is written in a space from now on. Raises Forbidden: to those who may not count."""
    space.demand(viewer, Act.COUNT_MEMBERS)
    now = now_ms()
    own = "" if isinstance(viewer, Employee) else side_of(viewer)
    return await _of(viewer, PostFacts(NOBODY, now, space=space.facts, stamp=space.facts.variant, side=own), space, now)


async def of_post(viewer: Viewer, post: SeenPost) -> AudienceCount:
    """Who reads a post that the viewer has found: what it was written for, and what its place allows now.

    Raises Forbidden: to those who may not count.
    """
    if post.space is None:
        return await _of_personal(viewer, post)
    post.space.demand(viewer, Act.COUNT_MEMBERS)
    return await _of(viewer, post.facts, post.space, now_ms())


async def of_visibility(viewer: Employee, visibility: Visibility) -> AudienceCount:
    """Who would read a personal post that this person is about to write, before anybody is named in it."""
    if visibility in (Visibility.PUBLIC, Visibility.COLLEAGUES):
        return await _everybody(visibility)
    return await _chosen(viewer.actor_id, visibility is Visibility.FOLLOWERS, NOBODY)


# --- in a space -----------------------------------------------------------------------------------


async def _of(viewer: Viewer, post: PostFacts, space: spaces.SeenSpace, now: int) -> AudienceCount:
    """The policy's own answer for each kind of reader, and for each member from outside."""
    post = replace(post, author_id=NOBODY)
    members = await members_of(viewer, space)
    named = await named_by(viewer, space)
    here = sum(1 for row in members if row["peer_id"] is None and row["office"] != Office.GUEST)
    reading = [row for row in members if is_outside(row) and _reads(row, post, named, now)]
    all_here = bool(may_post(_COLLEAGUE, Act.READ, post, Standing(Audience.STAFF), now))
    inside = bool(may_post(_COLLEAGUE, Act.READ, post, Standing(Audience.STAFF_MEMBER, since_at=0), now))
    ours = AudienceCount(
        colleagues=await count_colleagues() if all_here else here * inside,
        guests=sum(1 for row in reading if row["peer_id"] is None),
        colleagues_all=all_here,
    )
    if not space.hosted_here:
        return replace(ours, kept_at=space.host, public=space.level is Level.PUBLIC)
    told = named.values() if space.may(viewer, Act.SEE_ORGANISATIONS) else ()
    return replace(
        ours,
        partners=_counted(row for row in reading if row["peer_id"] is not None),
        everyone_at=tuple(At(row["host"], row["title"], None) for row in told if _all_read(row, post, now)),
        network=bool(may_post(RemotePerson(NOBODY, NOBODY), Act.READ, post, Standing(Audience.FED), now)),
        public=bool(may_post(Anonymous(), Act.READ, post, Standing(Audience.WEB), now)),
    )


def is_outside(row: dict[str, Any]) -> bool:
    """Whether a row of `members_of` is a guest or somebody elsewhere."""
    return row["peer_id"] is not None or row["office"] == Office.GUEST


async def members_of(viewer: Viewer, space: spaces.SeenSpace) -> list[dict[str, Any]]:
    """Those who are in it and can come in, as far as this viewer counts them: not the suspended, not those whose
    instance is blocked, before one blind partner not those of another.
    """
    now = now_ms()
    query = (
        Clause(
            """SELECT m.actor_id, m.peer_id, m.since_at, m.role, q.host, q.title, q.last_heard_at, l.state, c.office,
               c.organisation
               FROM membership m JOIN actor a ON a.id = m.actor_id LEFT JOIN peer q ON q.id = m.peer_id
               LEFT JOIN link l ON l.peer_id = q.id LEFT JOIN account c ON c.actor_id = a.id
               WHERE m.space_id = ? AND m.state = 'member' AND a.suspended_at IS NULL AND a.gone_at IS NULL
                 AND c.suspended_at IS NULL AND q.blocked_at IS NULL AND COALESCE(c.until_at, ?) >= ?
                 AND COALESCE(m.until_at, ?) >= ?""",
            (space.id, now, now, now, now),
        )
        .and_(await sides.counted(viewer, space))
        .then("ORDER BY m.id")
    )
    return await db.fetch(*query.statement())


async def named_by(viewer: Viewer, space: spaces.SeenSpace) -> dict[int, dict[str, Any]]:
    """The partners that a space names and that a link ties to us, by their peer's id, as far as this viewer may
    know them; one blind partner knows itself.
    """
    rows = await db.fetch(
        """SELECT n.peer_id, n.added_at, n.named_at, n.reach, n.narrowed, q.host, q.title, q.last_heard_at, l.kin
           FROM space_partner n JOIN peer q ON q.id = n.peer_id JOIN link l ON l.peer_id = q.id
           WHERE n.space_id = $1 AND l.state = 'active' AND q.blocked_at IS NULL AND COALESCE(n.until_at, $2) >= $2
           ORDER BY q.host""",
        space.id,
        now_ms(),
    )
    known = await sides.counted(viewer, space) == sides.EVERYBODY
    return {row["peer_id"]: row for row in rows if known or peer_side(row["peer_id"]) == space.standing.side}


def seen_as(row: dict[str, Any], space: SpaceFacts, named: dict[int, dict[str, Any]]) -> tuple[Viewer, Standing]:
    """A member from outside, of `members_of`, as the policy sees them."""
    peer_id = row["peer_id"]
    if peer_id is None:
        guest = Guest(NOBODY, row["actor_id"], guest_side(row["organisation"], row["actor_id"]))
        return guest, Standing(Audience.GUEST_MEMBER, since_at=row["since_at"], side=guest.side)
    member = RemotePerson(row["actor_id"], peer_id, row["state"] == LinkState.ACTIVE)
    who = audience_of(member, space, member=True, partner=peer_id in named)
    let_in, since = (named[peer_id][column] if peer_id in named else None for column in ("added_at", "named_at"))
    side = peer_side(peer_id)
    return member, Standing(who, since_at=row["since_at"], let_in_at=let_in, side=side, named_at=since)


def _reads(row: dict[str, Any], post: PostFacts, named: dict[int, dict[str, Any]], now: int) -> bool:
    assert post.space is not None
    viewer, standing = seen_as(row, post.space, named)
    return bool(may_post(viewer, Act.READ, post, standing, now))


def _all_read(row: dict[str, Any], post: PostFacts, now: int) -> bool:
    assert post.space is not None
    anyone = RemotePerson(NOBODY, row["peer_id"], True)
    by_invitation = row["reach"] == Reach.INVITED
    who = audience_of(anyone, post.space, member=False, partner=True, kin=bool(row["kin"]), by_invitation=by_invitation)
    side = peer_side(row["peer_id"])
    standing = Standing(who, let_in_at=row["added_at"], side=side, named_at=row["named_at"])
    return bool(may_post(anyone, Act.READ, post, standing, now))


def _counted(rows: Iterable[dict[str, Any]]) -> tuple[At, ...]:
    counts = Counter((row["host"], row["title"]) for row in rows)
    return tuple(At(host, title, count) for (host, title), count in sorted(counts.items()))


# --- outside any space ----------------------------------------------------------------------------


async def _of_personal(viewer: Viewer, post: SeenPost) -> AudienceCount:
    """Only the author hears how many; everybody else hears to whom it is addressed."""
    visibility = Visibility(post.visibility)
    if visibility in (Visibility.PUBLIC, Visibility.COLLEAGUES):
        return await _everybody(visibility)
    followers = visibility is Visibility.FOLLOWERS
    if not isinstance(viewer, Employee) or viewer.actor_id != post.author_id:
        return AudienceCount(followers=followers)
    return await _chosen(post.author_id, followers, post.id)


async def _everybody(visibility: Visibility) -> AudienceCount:
    public = visibility is Visibility.PUBLIC
    return AudienceCount(colleagues=await count_colleagues(), network=public, public=public, colleagues_all=True)


async def _chosen(author_id: int, followers: bool, post_id: int) -> AudienceCount:
    """The author, those named in the post and, when it is for them, the author's followers."""
    rows = await db.fetch(
        """SELECT a.id, a.peer_id, q.host, q.title FROM actor a LEFT JOIN peer q ON q.id = a.peer_id
           WHERE a.suspended_at IS NULL AND a.gone_at IS NULL AND q.blocked_at IS NULL AND (a.id = $1
             OR a.id IN (SELECT actor_id FROM mention WHERE post_id = $2)
             OR a.id IN (SELECT follower_id FROM follow WHERE followed_id = $3 AND state = 'accepted'))""",
        author_id,
        post_id,
        author_id if followers else NOBODY,
    )
    here = sum(1 for row in rows if row["peer_id"] is None)
    elsewhere = _counted(row for row in rows if row["peer_id"] is not None)
    return AudienceCount(colleagues=here, partners=elsewhere, followers=followers)


async def count_colleagues() -> int:
    """Everybody who works here and can come in."""
    row = await db.fetch_one("SELECT COUNT(*) AS n FROM account WHERE suspended_at IS NULL AND office <> 'guest'")
    return int(row["n"]) if row else 0
