"""What may pass by itself: how often what came is tried again, and what is not judged before it.

What a linked instance told is acknowledged, and nobody tells it once more. So what keeps it from its effect for a while
never ends it as long as the link stands: its own instance away, or having stopped the link on its side; our database
busy. What we are not up to ends it after a few tries. And who refers to something that came before and still waits is
not refused for that.
"""

from collections.abc import Collection, Iterator
from typing import Any

from federation.answers import RefusedThere
from federation.errors import FederationError, Unreachable
from federation.lookup import NO_STREAM
from federation.reading import Activity, activity_in, identifier
from federation.schedule import State
from federation.sending import OK_MS
from federation.trust import host_at
from server import database as db
from server.actions.link_rows import STANDS
from server.clock import now_ms
from server.errors import Unavailable
from server.openness import LinkState

MOST_TRIES = 5
AGAIN_AFTER_MS = 10_000
"""The first wait before a passing failure is tried again; the nth is n² times as long."""
SHOWN_TO_PARTNERS = (401, 403, 404)
"""Answers to whom nothing is shown: also while a link is stopped on that side."""
LOOKED_AT = 200
"""How many that wait somebody's next word is compared with."""
COMES_IN = frozenset({"Follow", "Join"})


async def passes(error: Exception, row: dict[str, Any]) -> bool:
    """Whether this ends by itself, so that it ends nothing of what came while the link stands."""
    if isinstance(error, Unavailable):
        return True
    if isinstance(error, Unreachable):
        return bool(row["linked"]) or await _is_agreeing(row["peer_id"])
    if not row["linked"] or not isinstance(error, RefusedThere) or error.answered not in SHOWN_TO_PARTNERS:
        return False
    link = await link_with(host_at(error.url))
    if link is None or link["state"] != LinkState.ACTIVE:
        return False
    heard = await hears_us(link["peer_id"], row["received_at"])
    return row["attempts"] + 1 < MOST_TRIES or not heard


async def _is_agreeing(peer_id: int) -> bool:
    """Whether we wait for a word of this instance about a link that we proposed, or accepted."""
    waits = "SELECT id FROM link WHERE peer_id = $1 AND state IN ('offered', 'confirmed')"
    return await db.fetch_one(waits, peer_id) is not None


async def link_with(host: str) -> dict[str, Any] | None:
    """`peer_id` and `state` of the link with a host, if one stands."""
    return await db.fetch_one(
        f"SELECT l.peer_id, l.state FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1 AND {STANDS}", host
    )


async def hears_us(peer_id: int, since: int) -> bool:
    """Whether an instance takes what we tell it, as it did since then: asked by an empty page, before the next time.

    Who stopped the link on its side shows us as little as a stranger, and says so to pages alone (403).
    """
    await db.execute("UPDATE stream SET ask_at = $1 WHERE peer_id = $2", now_ms(), peer_id)
    row = await db.fetch_one("SELECT state, peering, last_ok_at FROM peer WHERE id = $1", peer_id)
    if row is None or row["state"] != State.OK:
        return False
    return row["peering"] in ("", NO_STREAM) or (row["last_ok_at"] or 0) >= since - OK_MS


def comes_in_or_goes(said: Activity) -> bool:
    """What has no effect when it comes too early, and is not refused either: to go, before one has come in."""
    return said.type == "Leave" or (said.type == "Undo" and said.object_type in COMES_IN)


async def is_early(row: dict[str, Any]) -> bool:
    """Whether something of the same sender waits to be tried again that came before this and is about the same."""
    mine = set(_names_in(row["body"]))
    waiting = await db.fetch(
        "SELECT body FROM receipt WHERE processed_at IS NULL AND peer_id = $1 AND id < $2 AND attempts > 0"
        " ORDER BY id LIMIT $3",
        row["peer_id"],
        row["id"],
        LOOKED_AT,
    )
    return any(not mine.isdisjoint(_names_in(other["body"])) for other in waiting)


async def policies_waiting(peer_id: int, due: Collection[int]) -> dict[str, tuple[int, int]]:
    """By space, the first relay of a host that waits for its second to MOST_TRIES-th try, but for what is `due`: its
    receipt, and the number of the policy under which it was made. A newer policy that came after it is not heard
    before it, since that would make it one of the past (RR1).
    """
    rows = await db.fetch(
        "SELECT id, body FROM receipt WHERE processed_at IS NULL AND peer_id = $1 AND attempts BETWEEN 1 AND $2"
        " ORDER BY id LIMIT $3",
        peer_id,
        MOST_TRIES - 1,
        LOOKED_AT,
    )
    found: dict[str, tuple[int, int]] = {}
    for row in rows:
        said = _read(row["body"])
        if (
            row["id"] not in due
            and said is not None
            and said.type == "Announce"
            and (epoch := epoch_of(said)) is not None
        ):
            found.setdefault(said.actor, (row["id"], epoch))
    return found


def epoch_of(said: Activity) -> int | None:
    epoch = said.document.get("parvis:policyEpoch")
    return epoch if type(epoch) is int else None


def _read(body: str) -> Activity | None:
    try:
        return activity_in(body)
    except FederationError:
        return None


def _names_in(body: str) -> Iterator[str]:
    """What an activity is about, by address: itself, who does it, what it is done to, and so on inwards.

    Not the space that relays, which is in everything that it relays.
    """
    said = _read(body)
    if said is None:
        return
    what: Any = said.document
    if said.type == "Announce":
        what = what.get("object")
    for _ in range(3):
        if isinstance(what, dict):
            yield from filter(None, (_name(what.get(name)) for name in ("id", "actor", "object", "target")))
            what = what.get("object")


def _name(value: Any) -> str:
    try:
        return identifier(value)
    except FederationError:
        return ""
