"""What waits for somebody, asked again of the policy each time it is shown.

A notice is only a pointer: when its post or space is no longer theirs to know, it is not there (A15, A35).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from server import database as db
from server.clock import now_ms
from server.openness import Level, MemberState
from server.policy import Act, scope_posts, scope_spaces
from server.queries import identity, spaces
from server.queries.posts import READABLE, PersonCard, PostCard, cards, people
from server.queries.spaces import SeenSpace
from server.sql import Clause, one_of
from server.viewer import Employee, Resident

PAGE = 30
NO_SPACE = 0
MOST_COUNTED = 100
"""Beyond this many unread ones the number is not exact: nobody reads it."""


@dataclass(frozen=True, slots=True)
class PastOpened:
    """That what somebody wrote in a space since a moment (ms) can be read by more people: at this level, of these hosts
    (`more`: and others), as far as they may know it.
    """

    since: int
    level: Level
    hosts: tuple[str, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True)
class Waiting:
    """One notice. `open`: it still asks for something (an invitation not answered, a request not decided).

    `about`: what became of a space's openness (refused, stale, closes_at, review, past), of a recall (refused, late) or
    of a link (key, members, refused, behind, moved), '' for other kinds.
    """

    id: int
    kind: str  # mention, reply, reaction, poll, invitation, member, request, follow, link, approval, openness, review…
    by: PersonCard | None
    post: PostCard | None
    space: SeenSpace | None
    created_at: int
    read: bool
    open: bool = False
    about: str = ""
    recall: int | None = None  # the recall that an instance does not answer as it should
    change: int | None = None  # the change of openness that somebody asks to agree to
    words: str = ""  # what somebody said with it, such as why a post was refused, or the address that was asked for
    past: PastOpened | None = None


async def waiting(
    viewer: Resident,
    *,
    kinds: Sequence[str] = (),
    before: int | None = None,
    after: int | None = None,
    upward: bool = False,
    limit: int = PAGE,
    mail: int | None = None,
) -> list[Waiting]:
    """What waits for this person, newest first: between the ids `after` and `before`, of these kinds if any are named.

    `upward`: the ones just after `after` rather than the newest. `mail`: those that this mail carries, that were not
    read and that still wait for it.
    """
    where = _theirs(viewer)
    if mail is not None:
        where = where.then("AND w.mail = ? AND w.mail_due_at > 0 AND w.read_at IS NULL", mail)
    if kinds:
        where = where.and_(one_of("w.kind", kinds))
    if before is not None:
        where = where.then("AND w.id < ?", before)
    if after is not None:
        where = where.then("AND w.id > ?", after)
    order = "ASC" if upward else "DESC"
    query = Clause("SELECT w.* FROM notice w WHERE").join(where).then(f"ORDER BY w.id {order} LIMIT ?", limit)
    rows = await db.fetch(*query.statement())
    return await _shown(viewer, sorted(rows, key=lambda row: -row["id"]))


async def unread(viewer: Resident) -> int:
    """How many wait and were not seen, at most MOST_COUNTED."""
    query = (
        Clause("SELECT COUNT(*) AS n FROM (SELECT w.id FROM notice w WHERE")
        .join(_theirs(viewer))
        .then("AND w.read_at IS NULL LIMIT ?) AS few", MOST_COUNTED)
    )
    row = await db.fetch_one(*query.statement())
    return int(row["n"]) if row else 0


def _theirs(viewer: Resident) -> Clause:
    """Notices (notice w) of things that this person may know of now."""
    post = Clause(f"w.post_id IS NULL OR EXISTS (SELECT 1 {READABLE} WHERE p.id = w.post_id AND")
    post = post.join(scope_posts(viewer, now_ms())).then(")")
    space = Clause("w.space_id IS NULL OR EXISTS (SELECT 1 FROM space s WHERE s.id = w.space_id AND")
    space = space.join(scope_spaces(viewer, now_ms())).then(")")
    if decides(viewer):
        space = space.then(
            "OR w.kind = 'approval' AND EXISTS (SELECT 1 FROM policy_change c WHERE c.space_id = w.space_id"
            " AND c.state = 'waiting' AND w.key = 'approval:' || CAST(c.id AS TEXT))"
        )
    return Clause("w.actor_id = ?", (viewer.actor_id,)).and_(post).and_(space)


async def _shown(viewer: Resident, rows: list[dict[str, Any]]) -> list[Waiting]:
    posts = {card.id: card for card in await cards(viewer, [row["post_id"] for row in rows if row["post_id"]])}
    # found through scope_spaces above, or asked about by whoever may decide on them and not know more
    found = await spaces.around(viewer, {row["space_id"] for row in rows if row["space_id"]})
    around = {space_id: space for space_id, space in found.items() if space.may(viewer, Act.SEE)}
    by = await _by(viewer, rows, around)
    asking = await _asking(rows)
    return [
        Waiting(
            id=row["id"],
            kind=row["kind"],
            by=by.get((row["by_id"], row["space_id"])),
            post=posts.get(row["post_id"]),
            space=around.get(row["space_id"]),
            created_at=row["created_at"],
            read=row["read_at"] is not None,
            open=_open(viewer, row, around.get(row["space_id"]), asking),
            about=_about(row["kind"], row["key"]),
            change=_change_of(row["kind"], row["key"]),
            recall=int(row["key"].split(":")[1]) if row["kind"] == "recall" else None,
            words="" if (past := _past(viewer, row, around.get(row["space_id"]))) else row["words"],
            past=past,
        )
        for row in rows
        if row["kind"] != "request" or _admits(viewer, around.get(row["space_id"]))
    ]


async def _by(
    viewer: Resident, rows: Sequence[dict[str, Any]], around: dict[int, SeenSpace]
) -> dict[tuple[int, int | None], PersonCard]:
    """Who did it, by actor and space: before people from outside under the name that the space gives ours."""
    named = {(row["by_id"], row["space_id"]) for row in rows if row["by_id"]}
    cards = await people(actor_id for actor_id, _ in named)
    if not identity.outside(viewer):
        return {(actor, space): cards[actor] for actor, space in named if actor in cards}
    jobs, found = await identity.jobs(cards), {}
    for actor, space_id in named:
        space, card = around.get(space_id or 0), cards.get(actor)
        if card is not None and space is not None and space.hosted_here:
            its_own = PersonCard(space.actor_id, space.uri, space.slug, "", space.name, "group")
            card = identity.shown(card, jobs.get(actor), space.identity, its_own)
        if card is not None:
            found[actor, space_id] = card
    return found


def decides(viewer: Resident) -> bool:
    """Whether this person is asked to agree to changes of spaces that they may not know of (Act.DECIDE)."""
    return isinstance(viewer, Employee) and viewer.is_admin and viewer.scopes is None


def _change_of(kind: str, key: str) -> int | None:
    return int(key.partition(":")[2]) if kind == "approval" else None


def _about(kind: str, key: str) -> str:
    """The last word of a notice's key says what happened; its first, for what a timer did; its second, for a link."""
    first, _, rest = key.partition(":")
    if kind == "recall":
        return rest.rpartition(":")[2]
    if kind == "link":
        return rest.partition(":")[0]
    return "" if kind != "openness" else rest.rpartition(":")[2] if first == "openness" else first


def _past(viewer: Resident, row: dict[str, Any], space: SeenSpace | None) -> PastOpened | None:
    """With the hosts that the space lets this person know now."""
    if row["kind"] != "openness" or not row["key"].startswith("past:"):
        return None
    told = msgspec.json.decode(row["words"], type=PastOpened)
    known = space is not None and spaces.knows_partners(viewer, space)
    return told if known else PastOpened(told.since, told.level)


def _admits(viewer: Resident, space: SeenSpace | None) -> bool:
    return space is not None and bool(space.may(viewer, Act.ADMIT_MEMBERS))


def _open(viewer: Resident, row: dict[str, Any], space: SeenSpace | None, asking: set[tuple[int, int]]) -> bool:
    if row["kind"] == "invitation":
        return space is not None and space.state is MemberState.INVITED
    if row["kind"] == "held":
        return True  # the notice goes when the post is decided
    return (row["kind"] == "request" and (row["space_id"], row["by_id"]) in asking) or (
        row["kind"] == "follow" and (NO_SPACE, row["by_id"]) in asking
    )


async def _asking(rows: Sequence[dict[str, Any]]) -> set[tuple[int, int]]:
    """Who asks for what: (space, actor) to come in, (NO_SPACE, actor) to follow."""
    followed = {row["actor_id"] for row in rows if row["kind"] == "follow"}
    pending = Clause("SELECT follower_id FROM follow WHERE state = 'pending' AND").join(one_of("followed_id", followed))
    following = {(NO_SPACE, row["follower_id"]) for row in await db.fetch(*pending.statement())} if followed else set()
    return following | await _coming(rows)


async def _coming(rows: Sequence[dict[str, Any]]) -> set[tuple[int, int]]:
    wanted = {row["space_id"] for row in rows if row["kind"] == "request" and row["space_id"]}
    if not wanted:
        return set()
    query = Clause("SELECT space_id, actor_id FROM membership WHERE state = 'asked' AND").join(
        one_of("space_id", wanted)
    )
    return {(row["space_id"], row["actor_id"]) for row in await db.fetch(*query.statement())}
