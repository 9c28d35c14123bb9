"""What a host told before it took it back, and what had no effect here yet: it waits for its link, or for an author's
key, or failed with its words kept for whoever looks. No receipt is signed beside them.
"""

from collections.abc import Mapping, Set
from typing import Any

import msgspec

from federation.errors import FederationError
from federation.reading import Activity, activity_in, as_now, identifier, inner_activity, type_of
from server import database as db
from server.clock import now_ms
from server.queries.former import Moves, moves
from server.recall_terms import RecallScope
from server.sql import Clause, one_of

AT_ONCE = 100
TAKEN_BACK = "It was taken back before it had an effect."


async def forget_unheard(purge: Mapping[str, Any]) -> None:
    """Ends what came from the host before this recall, is about it and has its words here still. Idempotent."""
    space_uri, listed, known = "", None, await moves()
    last = 0
    while rows := await db.fetch(
        "SELECT id, body FROM receipt WHERE peer_id = $1 AND id > $2 AND id < $3 AND body <> '' ORDER BY id LIMIT $4",
        purge["peer_id"],
        last,
        purge["id"],
        AT_ONCE,
    ):
        last = rows[-1]["id"]
        if listed is None:
            space_uri, listed = await _taken_back(purge, known)
        over = [row["id"] for row in rows if _is_about(row["body"], space_uri, listed, known)]
        if over:
            ended = Clause(
                "UPDATE receipt SET body = '', outcome = CASE WHEN processed_at IS NULL THEN ? ELSE outcome END,"
                " processed_at = COALESCE(processed_at, ?) WHERE",
                (TAKEN_BACK, now_ms()),
            )
            await db.execute(*ended.join(one_of("id", over)).statement())


async def _taken_back(purge: Mapping[str, Any], known: Moves) -> tuple[str, set[str]]:
    """The address of the space, where all of it is meant, and those of the items, as they are now."""
    parts = await db.fetch("SELECT uris FROM purge_part WHERE purge_id = $1", purge["id"])
    listed = {known.now(uri) for part in parts for uri in msgspec.json.decode(part["uris"], type=list[str])}
    if not RecallScope(purge["scope"]).whole:
        return "", listed
    row = await db.fetch_one(
        "SELECT a.uri FROM space s JOIN actor a ON a.id = s.actor_id WHERE s.id = $1", purge["space_id"]
    )
    return (row["uri"] if row else ""), listed


def _is_about(body: str, space_uri: str, listed: Set[str], known: Moves) -> bool:
    """Whether this is a relay of what was taken back, or what the space said of itself; or cannot be read (R13)."""
    try:
        said = as_now(activity_in(body), known)
        if said.actor == space_uri and said.type in ("Announce", "Update"):
            return True
        if said.type != "Announce" or not type_of(said.object):
            return False
        return not listed.isdisjoint(_names(inner_activity(said)))
    except FederationError:
        return True


def _names(inner: Activity) -> list[str]:
    """The posts that an activity is about: its object, and what that answers or undoes."""
    within = inner.object if isinstance(inner.object, dict) else {}
    return [inner.object_id, *(identifier(within.get(name)) for name in ("object", "inReplyTo") if within.get(name))]
