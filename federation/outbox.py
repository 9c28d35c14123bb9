"""Events to deliveries: who hears of what, one row for each inbox, numbered without gaps for each instance.

The sequencer takes committed events that have no deliveries yet, asks the policy which instances may be told, and
writes their rows and the mark that it did in one transaction. A row names an event and an inbox: what is sent is
built, and the policy asked again, at the moment of sending. Taking back goes to whoever was sent the thing.
"""

import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from federation.documents.posts import Told, read_many_told, read_told
from federation.instance import Instance
from federation.lanes import BESIDE, FIRST, IN_ORDER
from federation.page_memory import keep, once, remembering
from server import database as db
from server import live
from server.actions.link_rows import STANDS
from server.clock import now_ms
from server.events import BESIDE_THE_STREAM, GOES_FIRST, Kind
from server.ids import new_id
from server.openness import Level, Reach, Visibility
from server.policy import Candidate, audience
from server.queries import posts as post_queries
from server.queries import sides
from server.queries.spaces import less_of
from server.row_order import hold
from server.sql import Clause, one_of
from server.viewer import peer_side

AT_ONCE = 100
LOOKS_BACK = frozenset({Kind.POST_WITHDRAWN, Kind.ITEM_RECALLED})
"""What goes to those who were sent something: deliveries before it must be written."""

Target = tuple[int, str]
"""(peer id, inbox)."""


async def sequence_waiting(instance: Instance) -> int:
    """Writes the deliveries of events that have none yet; returns how many events were taken."""
    if await db.fetch_one("SELECT id FROM event WHERE sequenced_at IS NULL LIMIT 1") is None:
        return 0
    async with db.transaction():
        await _alone()
        events = await db.fetch(
            "SELECT e.id, e.kind, e.actor_id, e.space_id, e.post_id, e.data, e.original, a.peer_id AS a_peer,"
            " s.peer_id AS s_peer FROM event e LEFT JOIN actor a ON a.id = e.actor_id"
            " LEFT JOIN space s ON s.id = e.space_id WHERE e.sequenced_at IS NULL ORDER BY e.id LIMIT $1",
            AT_ONCE,
        )
        if not events:
            return 0
        if instance.federates:
            await _deliver_all(instance, events)
        taken = Clause("UPDATE event SET sequenced_at = ? WHERE", (now_ms(),)).join(
            one_of("id", [event["id"] for event in events])
        )
        await db.execute(*taken.statement())
        db.after_commit(partial(live.publish, live.Fact("sequenced")))
    return len(events)


async def _alone() -> None:
    """One sequencer at a time: SQLite's single writer is one already."""
    if db.engine_name() == "postgres":
        await db.fetch("SELECT pg_advisory_xact_lock(7077001)")


def _lane(kind: Kind) -> int:
    return FIRST if kind in GOES_FIRST else BESIDE if kind in BESIDE_THE_STREAM else IN_ORDER


async def _deliver_all(instance: Instance, events: Sequence[dict[str, Any]]) -> None:
    """Events in their order, with what is asked of each asked once: all of them were committed before it is."""
    found: list[tuple[dict[str, Any], list[Target]]] = []
    with remembering():
        await posts_ahead({event["post_id"] for event in events if event["post_id"] is not None})
        for event in events:
            if event["kind"] in LOOKS_BACK:
                await _deliver(found)
                found = []
            found.append((event, await _targets(instance, event)))
        await _deliver(found)


async def posts_ahead(post_ids: Collection[int]) -> None:
    """Reads together what is told of posts and what decides who may be; within `page_memory.remembering`."""
    posts = sorted(post_ids)
    told = await read_many_told(posts)
    keep({("told", post_id): told.get(post_id) for post_id in posts})
    keep({("facts", post_id): facts for post_id, facts in (await post_queries.facts_of_many(posts)).items()})


async def deliver(event: dict[str, Any], targets: Iterable[Target]) -> None:
    """One row for each inbox that is to hear of an event."""
    await _deliver([(event, list(targets))])


async def _deliver(found: Sequence[tuple[dict[str, Any], list[Target]]]) -> None:
    """One row for each inbox, numbered on from each instance's newest."""
    wanted = [(event, *target) for event, targets in found for target in dict.fromkeys(targets) if target[1]]
    if not (wanted := await _to_the_living(wanted)):
        return
    now = now_ms()
    counts = Counter(peer_id for _, peer_id, _ in wanted)
    newest = {peer["id"]: peer["last_seq"] for peer in await _numbered(counts)}
    numbers = {peer_id: itertools.count(last - counts[peer_id] + 1) for peer_id, last in newest.items()}
    rows = [
        {"id": new_id(), "peer_id": peer_id, "seq": next(numbers[peer_id]), "inbox": inbox, "created_at": now}
        | {"event_id": event["id"], "lane": _lane(Kind(event["kind"])), "place": event["space_id"] or 0}
        for event, peer_id, inbox in wanted
        if peer_id in numbers
    ]
    await db.insert_many("delivery", rows)


async def _to_the_living(wanted: list[tuple[dict[str, Any], int, str]]) -> list[tuple[dict[str, Any], int, str]]:
    """Without posts for servers that were silent for a month: only what takes back is kept for them."""
    news = {peer for event, peer, _ in wanted if _is_news(event)}
    if not news:
        return wanted
    query = Clause("SELECT id FROM peer WHERE state = 'archived' AND").join(one_of("id", sorted(news)))
    archived = {row["id"] for row in await db.fetch(*query.statement())}
    return [one for one in wanted if one[1] not in archived or not _is_news(one[0])]


def _is_news(event: dict[str, Any]) -> bool:
    return event["post_id"] is not None and _lane(Kind(event["kind"])) == IN_ORDER


async def _numbered(wanted: Mapping[int, int]) -> list[dict[str, Any]]:
    """Each instance's newest number, after so many more of it were taken; as many at once as take the same."""
    numbered: list[dict[str, Any]] = []
    await hold("peer", wanted)
    for more in set(wanted.values()):
        query = Clause("UPDATE peer SET last_seq = last_seq + ? WHERE", (more,)).join(
            one_of("id", [peer_id for peer_id, count in wanted.items() if count == more])
        )
        numbered += await db.fetch(*query.then("RETURNING id, last_seq").statement())
    return numbered


async def _targets(instance: Instance, event: dict[str, Any]) -> list[Target]:
    return await _BY_KIND[Kind(event["kind"])](instance, event)


# --- posts ---------------------------------------------------------------------------------------


async def _about_post(instance: Instance, event: dict[str, Any]) -> list[Target]:
    if event["a_peer"] is not None and event["kind"] != Kind.POST_WITHDRAWN and not _in_space_of_ours(event):
        return []  # what people elsewhere do is told by their own instance, or by the space's
    post = await read_told(event["post_id"])
    if post is None:
        return []
    if event["kind"] == Kind.POST_WITHDRAWN:
        return await _who_was_sent(event, post)
    if post.space_id is None:
        return await _personal(event, post)
    if post.space_peer_id is None:
        return await _members_elsewhere(event, post)
    return await _host(event, post)


async def _tallied(instance: Instance, event: dict[str, Any]) -> list[Target]:
    """How a poll that is counted here stands: to whoever has it, the instance of whoever voted last too."""
    post = await read_told(event["post_id"])
    if post is None or post.deleted_at is not None:
        return []
    if post.space_id is None:
        return await _personal(event, post) if post.author_peer_id is None else []
    return await _members_elsewhere(event, post) if post.space_peer_id is None else []


def _in_space_of_ours(event: dict[str, Any]) -> bool:
    return event["space_id"] is not None and event["s_peer"] is None


async def _who_was_sent(event: dict[str, Any], post: Told) -> list[Target]:
    """Whoever may have the post, or soon will; and, when a steward takes it back, its author's instance."""
    rows = await db.fetch(
        "SELECT DISTINCT d.peer_id, d.inbox FROM event e CROSS JOIN delivery d WHERE d.event_id = e.id"  # in this order
        " AND e.post_id = $1 AND e.kind IN ('post_published', 'post_edited')"
        " AND d.state IN ('sent', 'dead', 'pending')",
        post.id,
    )
    targets = [(row["peer_id"], row["inbox"]) for row in rows]
    by_steward = post.author_peer_id is not None and not event["original"]
    if by_steward and post.space_id is not None and post.space_peer_id is None:
        author = await _inbox_of(post.author_id)
        targets += [author] if author else []
    return targets


async def _who_was_sent_item(instance: Instance, event: dict[str, Any]) -> list[Target]:
    """A server without a link, at each inbox that was sent the post."""
    peer_id = msgspec.json.decode(event["data"])["peer"]
    rows = await db.fetch(
        "SELECT DISTINCT d.inbox FROM event e CROSS JOIN delivery d WHERE d.event_id = e.id AND e.post_id = $1"
        " AND d.peer_id + 0 = $2 AND e.kind IN ('post_published', 'post_edited')"
        " AND (d.state IN ('sent', 'dead') OR d.attempts > 0)",
        event["post_id"],
        peer_id,
    )
    return [(peer_id, row["inbox"]) for row in rows]


async def _personal(event: dict[str, Any], post: Told) -> list[Target]:
    """Outside any space: followers elsewhere, those named, and for a gesture or a vote the author."""
    if event["kind"] in (Kind.REACTED, Kind.REACTION_UNDONE, Kind.VOTED):
        author = await _inbox_of(post.author_id)
        return [author] if author else []
    targets: list[Target] = []
    if post.visibility in (Visibility.PUBLIC, Visibility.FOLLOWERS):
        targets += await _inboxes(
            "JOIN follow f ON f.follower_id = a.id WHERE f.followed_id = $1 AND f.state = 'accepted'", post.author_id
        )
    if post.visibility is not Visibility.COLLEAGUES:
        targets += await _inboxes("JOIN mention m ON m.actor_id = a.id WHERE m.post_id = $1", post.id)
    if post.visibility is Visibility.PUBLIC and post.reply_to_uri:
        targets += await _inboxes("JOIN post r ON r.author_id = a.id WHERE r.uri = $1", post.reply_to_uri)
    return targets


async def _members_elsewhere(event: dict[str, Any], post: Told) -> list[Target]:
    """A space that we host: each instance with a member now, but not back to where the words came from."""
    origin = event["a_peer"] if event["original"] else None
    allowed = await may_be_told(post, gesture_of=_who_reacted(event))
    targets: list[Target] = []
    for row in await _member_inboxes(post.space_id):
        if row["peer_id"] in allowed and row["peer_id"] != origin:
            together = row["linked"] or post.level is Level.PUBLIC
            targets.append((row["peer_id"], (row["shared_inbox"] if together else "") or row["inbox"]))
    return targets


def _who_reacted(event: dict[str, Any]) -> int | None:
    return event["actor_id"] if event["kind"] in (Kind.REACTED, Kind.REACTION_UNDONE, Kind.TALLIED) else None


async def may_be_told(post: Told, peer_id: int | None = None, *, gesture_of: int | None = None) -> set[int]:
    """The instances (one, or all with a member in the space) that may be told of a post in a space of ours now.

    The same question when the rows are written and again when each is sent. `gesture_of`: whose answer to the post
    or vote is told, which blind partners do not hear of one another.
    """
    facts = await once(("facts", post.id), lambda: post_queries.facts_of(post.id))
    if facts is None or facts.space is None:
        return set()
    allowed = set(audience(facts, await candidates_for(facts.space.id, peer_id), now_ms()))
    if gesture_of is None:
        return allowed
    gesture = [(post.id, gesture_of)]
    return {peer for peer in allowed if await sides.gestures_for(peer_side(peer), gesture)}


async def candidates_for(space_id: int, peer_id: int | None = None) -> list[Candidate]:
    """What the instances (one, or all with a member in it) are to a space of ours now.

    Of all, those whose link stands still are as if it went on: what happens meanwhile waits for them, and whether they
    may have it is asked when it is sent.
    """
    return await once(("candidates", space_id, peer_id), lambda: _candidates(space_id, peer_id))


async def _candidates(space_id: int, peer_id: int | None) -> list[Candidate]:
    only, values = ("", ()) if peer_id is None else (" AND m.peer_id = $3", (peer_id,))
    standing = STANDS if peer_id is None else "l.state = 'active'"
    rows = await db.fetch(
        f"""SELECT m.peer_id, MIN(m.since_at) AS since_at, MIN(n.added_at) AS added_at, MIN(n.named_at) AS named_at,
              MIN(q.blocked_at) AS blocked_at,
              MAX(CASE WHEN {standing} THEN 1 ELSE 0 END) AS linked,
              MAX(CASE WHEN l.kin THEN 1 ELSE 0 END) AS kin,
              MIN(n.reach) AS reach, MIN(n.narrowed) AS narrowed
            FROM membership m JOIN peer q ON q.id = m.peer_id LEFT JOIN link l ON l.peer_id = q.id
            LEFT JOIN space_partner n ON n.space_id = m.space_id AND n.peer_id = m.peer_id
              AND COALESCE(n.until_at, $2) >= $2
            WHERE m.space_id = $1 AND m.state = 'member' AND COALESCE(m.until_at, $2) >= $2{only}
            GROUP BY m.peer_id""",
        space_id,
        now_ms(),
        *values,
    )
    return [
        Candidate(
            row["peer_id"],
            linked=bool(row["linked"]),
            partner=row["added_at"] is not None,
            blocked=row["blocked_at"] is not None,
            since_at=row["since_at"],
            let_in_at=row["added_at"],
            kin=bool(row["kin"]),
            by_invitation=row["reach"] == Reach.INVITED,
            less=less_of(row["narrowed"]) if row["narrowed"] else (),
            named_at=row["named_at"],
        )
        for row in rows
    ]


async def _host(event: dict[str, Any], post: Told) -> list[Target]:
    """A space elsewhere: what our own people do there goes to its host and to nobody else (RR6)."""
    if event["original"]:
        return []
    row = await db.fetch_one(
        "SELECT a.peer_id, a.inbox FROM space s JOIN actor a ON a.id = s.actor_id WHERE s.id = $1", post.space_id
    )
    return [(row["peer_id"], row["inbox"])] if row else []


# --- people and spaces ---------------------------------------------------------------------------


def _to_named(name: str) -> Callable[[Instance, dict[str, Any]], Awaitable[list[Target]]]:
    """To the actor that the event's data names."""

    async def targets(instance: Instance, event: dict[str, Any]) -> list[Target]:
        found = await _inbox_of(msgspec.json.decode(event["data"])[name])
        return [found] if found else []

    return targets


async def _to_host(instance: Instance, event: dict[str, Any]) -> list[Target]:
    row = await db.fetch_one(
        "SELECT a.peer_id, a.inbox FROM space s JOIN actor a ON a.id = s.actor_id"
        " WHERE s.id = $1 AND a.peer_id IS NOT NULL",
        event["space_id"],
    )
    return [(row["peer_id"], row["inbox"])] if row else []


async def _space_changed(instance: Instance, event: dict[str, Any]) -> list[Target]:
    """Instances with a member that still belong: the others are told by what takes their members out."""
    return [
        (row["peer_id"], row["shared_inbox"] or row["inbox"])
        for row in await _member_inboxes(event["space_id"])
        if row["linked"]
    ]


async def _person_changed(instance: Instance, event: dict[str, Any]) -> list[Target]:
    return await _inboxes(
        "JOIN follow f ON f.follower_id = a.id WHERE f.followed_id = $1 AND f.state = 'accepted'", event["actor_id"]
    )


async def _to_peers(instance: Instance, event: dict[str, Any]) -> list[Target]:
    return [target for peer in msgspec.json.decode(event["data"])["peers"] for target in await _at_peer(peer)]


async def _to_peer(instance: Instance, event: dict[str, Any]) -> list[Target]:
    return await _at_peer(msgspec.json.decode(event["data"])["peer"])


async def _at_peer(peer_id: int) -> list[Target]:
    row = await db.fetch_one("SELECT base_url FROM peer WHERE id = $1", peer_id)
    actor = await db.fetch_one(
        "SELECT inbox FROM actor WHERE peer_id = $1 AND kind = 'application' ORDER BY id LIMIT 1", peer_id
    )
    inbox = (actor and actor["inbox"]) or (f"{row['base_url']}/actor/inbox" if row else "")
    return [(peer_id, inbox)]


_BY_KIND: dict[Kind, Callable[[Instance, dict[str, Any]], Awaitable[list[Target]]]] = {
    Kind.POST_PUBLISHED: _about_post,
    Kind.POST_EDITED: _about_post,
    Kind.POST_WITHDRAWN: _about_post,
    Kind.REACTED: _about_post,
    Kind.REACTION_UNDONE: _about_post,
    Kind.VOTED: _about_post,
    Kind.TALLIED: _tallied,
    Kind.FOLLOW_ASKED: _to_named("followed"),
    Kind.FOLLOW_UNDONE: _to_named("followed"),
    Kind.FOLLOW_ACCEPTED: _to_named("follower"),
    Kind.FOLLOW_REJECTED: _to_named("follower"),
    Kind.INVITED: _to_named("invited"),
    Kind.INVITATION_ANSWERED: _to_host,
    Kind.JOIN_ASKED: _to_host,
    Kind.LEFT: _to_host,
    Kind.JOIN_ANSWERED: _to_named("member"),
    Kind.MEMBER_REMOVED: _to_named("member"),
    Kind.POST_HELD: _to_named("author"),
    Kind.POST_APPROVED: _to_named("author"),
    Kind.POST_REFUSED: _to_named("author"),
    Kind.SPACE_CHANGED: _space_changed,
    Kind.PERSON_CHANGED: _person_changed,
    Kind.PERSON_ERASED: _to_peers,
    Kind.RECALLED: _to_peer,
    Kind.RECALL_ANSWERED: _to_peer,
    Kind.ITEM_RECALLED: _who_was_sent_item,
    Kind.LINK_OFFERED: _to_peer,
    Kind.LINK_ACCEPTED: _to_peer,
    Kind.LINK_CONFIRMED: _to_peer,
    Kind.LINK_ENDED: _to_peer,
    Kind.LINK_REKEYED: _to_peer,
    Kind.LINK_MOVED: _to_peer,
    Kind.CONSENT_CHANGED: _to_peers,
    Kind.MEMBERS_DISAGREE: _to_host,
}


# --- the rows ------------------------------------------------------------------------------------


async def _member_inboxes(space_id: int | None) -> list[dict[str, Any]]:
    return await once(("inboxes", space_id), lambda: _inboxes_of_members(space_id))


async def _inboxes_of_members(space_id: int | None) -> list[dict[str, Any]]:
    return await db.fetch(
        "SELECT a.peer_id, a.inbox, a.shared_inbox,"
        f" CASE WHEN {STANDS} THEN 1 ELSE 0 END AS linked"
        " FROM membership m JOIN actor a ON a.id = m.actor_id LEFT JOIN link l ON l.peer_id = a.peer_id"
        " WHERE m.space_id = $1 AND m.state = 'member' AND m.peer_id IS NOT NULL AND a.gone_at IS NULL"
        " AND COALESCE(m.until_at, $2) >= $2",
        space_id,
        now_ms(),
    )


async def _inboxes(joined: str, value: Any) -> list[Target]:
    """Inboxes of actors elsewhere, the shared one where there is one."""
    rows = await db.fetch(
        f"SELECT DISTINCT a.peer_id, CASE WHEN a.shared_inbox <> '' THEN a.shared_inbox ELSE a.inbox END AS inbox"
        f" FROM actor a {joined} AND a.peer_id IS NOT NULL AND a.gone_at IS NULL",
        value,
    )
    return [(row["peer_id"], row["inbox"]) for row in rows]


async def inbox_of_instance(peer_id: int) -> str:
    """Where an instance takes what is for all of its people; '' when it is not known."""
    row = await db.fetch_one(
        "SELECT CASE WHEN shared_inbox <> '' THEN shared_inbox ELSE inbox END AS inbox FROM actor WHERE peer_id = $1"
        " AND kind = 'application' ORDER BY id LIMIT 1",
        peer_id,
    )
    return str(row["inbox"]) if row else ""


async def _inbox_of(actor_id: int) -> Target | None:
    row = await db.fetch_one("SELECT peer_id, inbox FROM actor WHERE id = $1 AND peer_id IS NOT NULL", actor_id)
    return (row["peer_id"], row["inbox"]) if row else None
