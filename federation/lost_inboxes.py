"""An inbox of a server without a link is not there (404, 410): whoever has it is looked at once more.

They may have another one by now, or be gone, which only people can be: an instance that says so of itself is set up
anew, or will be. Who is neither, and whose inbox was not there three times in a week that
were not of one day, is let go: a server that is set up anew answers so, too.
"""

import logging

from federation.errors import FederationError, Gone
from federation.instance import Instance
from federation.lookup import read_exactly, remember
from federation.schedule import DAY, INBOXES_LOST
from server import database as db
from server.actions.membership_rows import out
from server.clock import now_ms

log = logging.getLogger("parvis.inboxes")

WITHIN_MS = 7 * DAY


async def found_again(instance: Instance, peer_id: int, inbox: str) -> str:
    """Where whoever has this inbox takes deliveries now; the same when nothing else is known, '' when they are gone."""
    rows = await db.fetch(
        "SELECT id, uri, kind FROM actor WHERE peer_id = $1 AND inbox = $2 AND gone_at IS NULL LIMIT 2", peer_id, inbox
    )
    if len(rows) != 1:
        return inbox
    try:
        document = await read_exactly(instance, rows[0]["uri"])
    except Gone:
        if rows[0]["kind"] == "application":
            return inbox
        log.info("gone", extra={"action": "inbox.gone", "actor": rows[0]["uri"]})
        await db.execute("UPDATE actor SET gone_at = $1 WHERE id = $2", now_ms(), rows[0]["id"])
        return ""
    except FederationError:
        return inbox
    await remember(document)
    if document.inbox != inbox:
        await db.execute(
            "UPDATE delivery SET inbox = $1 WHERE peer_id = $2 AND inbox = $3 AND state = 'pending' AND NOT EXISTS"
            " (SELECT 1 FROM delivery d WHERE d.event_id = delivery.event_id AND d.inbox = $1)",
            document.inbox,
            peer_id,
            inbox,
        )
    return document.inbox


async def lost(peer_id: int, inbox: str) -> None:
    """A delivery is put aside because its inbox is not there: the third time, whoever has it follows nobody here."""
    now = now_ms()
    [row] = await db.fetch(
        "SELECT COUNT(*) AS n, MIN(done_at) AS since FROM delivery WHERE peer_id = $1 AND state = 'dead' AND inbox = $2"
        " AND done_at > $3",
        peer_id,
        inbox,
        now - WITHIN_MS,
    )
    if row["n"] + 1 < INBOXES_LOST or row["since"] > now - DAY:
        return
    for actor in await db.fetch("SELECT id, uri FROM actor WHERE peer_id = $1 AND inbox = $2", peer_id, inbox):
        log.info("let go", extra={"action": "inbox.lost", "actor": actor["uri"]})
        async with db.transaction():
            await db.execute("DELETE FROM follow WHERE follower_id = $1", actor["id"])
            for place in await db.fetch(
                "SELECT m.space_id FROM membership m JOIN space s ON s.id = m.space_id AND s.peer_id IS NULL"
                " WHERE m.actor_id = $1",
                actor["id"],
            ):
                await out(place["space_id"], actor["id"])
