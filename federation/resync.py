"""After a database went back: what both sides hold is compared, and only the differences are sent.

Each side compares the spaces that both share, from the posts themselves and not from what was once sent: by days
first (how many, and one digest), then inside the days that differ. What the other side misses, or has in an older
version, or should have taken back, becomes a fact of its own with one delivery to it: the policy is asked when it is
sent, as always. Nobody takes anything from the other's list: each side tells its own words, the host what it relays.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from federation.errors import FederationError, Malformed, Unreachable
from federation.instance import Instance
from federation.json_reading import parse_json
from federation.lookup import NO_STREAM
from federation.outbox import candidates_for, deliver, inbox_of_instance
from federation.sending import OF_A_LINK
from federation.side_by_side import SideBySide, Work
from federation.signing import sign_as_instance
from server import attempts
from server import database as db
from server.attempts import Bucket, TooManyAttempts
from server.clock import now_ms
from server.errors import NotFound
from server.events import Kind
from server.ids import new_id
from server.policy import audience
from server.queries.posts import held_in
from server.sql import Clause, among
from server.viewer import PeerServer, Viewer

log = logging.getLogger("parvis.resync")

DAY_MS = 86_400_000
MOST_DAYS = 20_000
ITEMS = 2_000
"""Of one day, at once."""
MOST_OF_A_DAY = 200_000
AT_ONCE = 500
AGAIN_MS = 60_000
COMPARISONS = 60
"""With one instance in a quarter of an hour: each looks at all that both share, and is had by saying that one's numbers
begin again. Whoever says so more often than databases are put back waits."""

UNDECIDED = ("unavailable", "failed")
"""Codes by which a host says that something had no effect there, and not that it would not have it."""

Held = dict[str, int]
"""Posts by address, each with the time of its last edit in milliseconds, 0 when there was none."""


@dataclass(frozen=True, slots=True)
class Shared:
    """A space that one of both hosts and in which the other has members, `inside`: as far as is known here."""

    id: int
    uri: str
    hosted: bool
    inside: bool = True


# --- what we hold --------------------------------------------------------------------------------


async def held(peer_id: int, space_id: int, hosted: bool, day: int | None = None) -> dict[int, Held]:
    """What an instance may hold of a space that we host, or what we hold of one of its own: by days since 1970."""
    found: dict[int, Held] = defaultdict(dict)
    since, until = (0, 1 << 62) if day is None else (day * DAY_MS, (day + 1) * DAY_MS)
    candidates = await candidates_for(space_id, peer_id) if hosted else []
    for post in await held_in(space_id, since, until):
        if not hosted or audience(post.facts, candidates, now_ms()):
            found[post.facts.published_at // DAY_MS][post.uri] = post.edited_at or 0
    return found


def digest(posts: Held) -> str:
    """SHA-256 over the sorted (address, version) of a day, in hex."""
    lines = "\n".join(f"{uri} {version}" for uri, version in sorted(posts.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


async def state(viewer: Viewer, uri: str, day: int | None, after: str) -> dict[str, Any]:
    """What we hold, or may have told, of a shared space: its days, or a part of one day. Raises NotFound."""
    if not isinstance(viewer, PeerServer) or not viewer.linked:
        raise NotFound(detail="for linked instances")
    space = next((one for one in await shared(viewer.peer_id) if one.uri == uri), None)
    if space is None:
        raise NotFound(detail="not a space that both share")
    if day is None:
        days = await held(viewer.peer_id, space.id, space.hosted)
        listed = [[number, len(posts), digest(posts)] for number, posts in sorted(days.items())]
        return {"parvis:space": uri, "parvis:days": listed[-MOST_DAYS:]}
    posts = (await held(viewer.peer_id, space.id, space.hosted, day)).get(day, {})
    items = sorted((uri, version) for uri, version in posts.items() if uri > after)
    return {"parvis:space": uri, "parvis:items": items[:ITEMS]}


async def shared(peer_id: int) -> list[Shared]:
    rows = await db.fetch(
        "SELECT s.id, g.uri, s.peer_id, CASE WHEN s.peer_id IS NULL OR EXISTS (SELECT 1 FROM membership m WHERE"
        " m.space_id = s.id AND m.peer_id IS NULL AND m.state IN ('member', 'frozen')) THEN 1 ELSE 0 END AS inside"
        " FROM space s JOIN actor g ON g.id = s.actor_id WHERE s.peer_id = $1"
        " OR (s.peer_id IS NULL AND EXISTS (SELECT 1 FROM membership m WHERE m.space_id = s.id AND m.peer_id = $1"
        " AND m.state = 'member')) ORDER BY s.id",
        peer_id,
    )
    return [Shared(row["id"], row["uri"], row["peer_id"] is None, bool(row["inside"])) for row in rows]


# --- comparing -----------------------------------------------------------------------------------


async def resync_waiting(instance: Instance) -> int:
    """Compares with each instance whose stream began again, once nothing waits in it; how many were compared.

    Nor waits for a number since before the comparison was wished: of a past that came ahead of who was let in to it,
    nothing would be taken.
    """
    rows = await db.fetch(
        "SELECT t.peer_id, t.resync_at, q.host, q.peering FROM stream t JOIN peer q ON q.id = t.peer_id"
        " JOIN link l ON l.peer_id = t.peer_id AND l.state = 'active'"
        " WHERE t.resync_at <= $1 AND t.done >= t.acked AND q.state = 'ok' AND NOT EXISTS (SELECT 1 FROM delivery d"
        " WHERE d.peer_id = t.peer_id AND d.state = 'pending') AND NOT EXISTS (SELECT 1 FROM event e"
        " WHERE e.sequenced_at IS NULL AND e.created_at <= t.resync_at)",
        now_ms(),
    )
    compared: list[int] = []
    busy = _hosts.busy()
    work: dict[object, list[Work]] = {
        row["peer_id"]: [partial(_compare_with, instance, row, compared)]
        for row in rows
        if row["peering"] not in ("", NO_STREAM) and row["peer_id"] not in busy
    }
    await _hosts.go(work)
    return len(compared)


_hosts = SideBySide()


async def _compare_with(instance: Instance, row: dict[str, Any], compared: list[int]) -> None:
    """Compares with one instance, unless that was done often enough. What was wished meanwhile is still to be."""
    peer_id, over = row["peer_id"], "UPDATE stream SET resync_at = $1 WHERE peer_id = $2 AND resync_at = $3"
    try:
        await attempts.count([Bucket(f"compare:{peer_id}", COMPARISONS)])
        sent = await compare(instance, peer_id, row["peering"])
    except TooManyAttempts as error:
        log.warning("compared too often", extra={"action": "resync.often", "peer": row["host"]})
        await db.execute(over, now_ms() + error.retry_after_s * 1000, peer_id, row["resync_at"])
        return
    except FederationError as error:
        log.warning("not compared", extra={"action": "resync.failed", "peer": row["host"], "reason": str(error)})
        await db.execute(over, now_ms() + AGAIN_MS, peer_id, row["resync_at"])
        return
    log.info("compared", extra={"action": "resync.done", "peer": row["host"], "reason": f"{sent} differ"})
    async with db.transaction():
        await db.execute("UPDATE stream SET compared_at = $1 WHERE peer_id = $2", now_ms(), peer_id)
        await db.execute(over, None, peer_id, row["resync_at"])
    compared.append(peer_id)


async def compare(instance: Instance, peer_id: int, peering: str) -> int:
    """Every shared space; how many differences are to be told. Raises FederationError, once all others were compared.

    Where nobody of ours is in any more, the host shows us nothing: there is nothing to ask.
    """
    told, failed = 0, None
    for space in await shared(peer_id):
        try:
            told += await _compare_one(instance, peer_id, peering, space) if space.inside else 0
        except Unreachable:
            raise
        except FederationError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return told


async def _compare_one(instance: Instance, peer_id: int, peering: str, space: Shared) -> int:
    told, ours = 0, await held(peer_id, space.id, space.hosted)
    theirs = {day: (count, hashed) for day, count, hashed in await _days(instance, peering, space.uri)}
    for day in sorted(ours.keys() | theirs.keys()):
        here = ours.get(day, {})
        if theirs.get(day) != (len(here), digest(here)):
            there = await _items(instance, peering, space.uri, day) if day in theirs else {}
            told += await _tell(peer_id, space, here, there)
    return told


async def _tell(peer_id: int, space: Shared, here: Held, there: Held) -> int:
    wanted: list[tuple[str, Kind]] = []
    for uri, version in here.items():
        if uri not in there:
            wanted.append((uri, Kind.POST_PUBLISHED))
        elif version > there[uri]:
            wanted.append((uri, Kind.POST_EDITED))
    wanted += [(uri, Kind.POST_WITHDRAWN) for uri in await _known(space, there.keys() - here.keys())]
    told = 0
    for uri, kind in wanted:
        async with db.transaction():
            told += await _once_more(peer_id, space, uri, kind)
    return told


async def _known(space: Shared, uris: Collection[str]) -> list[str]:
    """Those of these posts that stand here, or did: of others there is nothing to take back."""
    listed, found = sorted(uris), []
    for start in range(0, len(listed), AT_ONCE):
        query = Clause("SELECT uri FROM post WHERE space_id = ? AND", (space.id,))
        rows = await db.fetch(*query.join(among("uri", listed[start : start + AT_ONCE])).statement())
        found += [row["uri"] for row in rows]
    return found


async def _once_more(peer_id: int, space: Shared, uri: str, kind: Kind) -> bool:
    """A fact of its own about a post, for one instance. The host tells everything, others their own people's words."""
    post = await db.fetch_one(
        "SELECT id, author_id, peer_id, deleted_at FROM post WHERE uri = $1 AND space_id = $2", uri, space.id
    )
    if post is None or (kind is Kind.POST_WITHDRAWN) != (post["deleted_at"] is not None):
        return False
    if not space.hosted and (post["peer_id"] is not None or await _was_refused(peer_id, post["id"])):
        return False
    before = await db.fetch_one(
        "SELECT original FROM event WHERE post_id = $1 AND original <> '' AND kind IN ('post_published', 'post_edited')"
        " ORDER BY id DESC LIMIT 1",
        post["id"],
    )
    inbox = await inbox_of_instance(peer_id)
    if not inbox:
        return False
    event = {
        "id": new_id(),
        "kind": kind.value,
        "actor_id": post["author_id"],
        "space_id": space.id,
        "post_id": post["id"],
        "original": before["original"] if before and kind is not Kind.POST_WITHDRAWN else "",
        "created_at": now_ms(),
        "sequenced_at": now_ms(),
    }
    await db.insert("event", event)
    await deliver(event, [(peer_id, inbox)])
    return True


async def _was_refused(peer_id: int, post_id: int) -> bool:
    """Whether a host heard of a post of ours and would not have it.

    It is not told again because its host forgot: whoever came in since would read what was never for them (I5).
    """
    told = await db.fetch(
        "SELECT d.error FROM delivery d JOIN event e ON e.id = d.event_id WHERE e.post_id = $1 AND d.peer_id = $2"
        " AND e.kind = 'post_published' AND d.state = 'sent' LIMIT 20",
        post_id,
        peer_id,
    )
    return bool(told) and all(row["error"] not in ("", *UNDECIDED) for row in told)


# --- asking --------------------------------------------------------------------------------------


async def _days(instance: Instance, peering: str, uri: str) -> list[tuple[int, int, str]]:
    days = (await ask(instance, peering, {"space": uri})).get("parvis:days")
    if not isinstance(days, list) or len(days) > MOST_DAYS:
        raise Malformed("The days of a space cannot be read.", uri)
    return [_day(entry) for entry in days]


def _day(entry: Any) -> tuple[int, int, str]:
    match entry:
        case [int() as number, int() as count, str() as hashed]:
            return number, count, hashed
    raise Malformed("The days of a space cannot be read.")


async def _items(instance: Instance, peering: str, uri: str, day: int) -> Held:
    found: Held = {}
    after = ""
    while True:
        items = (await ask(instance, peering, {"space": uri, "day": str(day), "after": after})).get("parvis:items")
        if not isinstance(items, list) or len(items) > ITEMS:
            raise Malformed("The posts of a day cannot be read.", uri)
        for entry in items:
            match entry:
                case [str() as post, int() as version] if post > after:
                    found[post] = version
                    after = post
                case _:
                    raise Malformed("The posts of a day cannot be read.", uri)
        if len(items) < ITEMS:
            return found
        if len(found) > MOST_OF_A_DAY:
            raise Malformed("The posts of a day have no end.", uri)


async def ask(instance: Instance, peering: str, asked: dict[str, str]) -> dict[str, Any]:
    sign = await sign_as_instance(instance, OF_A_LINK)
    answer = await instance.transport.get_json(f"{peering}/state?{urlencode(asked)}", sign=sign)
    return parse_json(answer.body)
