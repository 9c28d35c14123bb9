"""The wish to compare who of ours is in a space elsewhere with its host's list; `membership_sync` fulfils it."""

import msgspec

from server import database as db
from server.clock import now_ms
from server.ids import new_id

KIND = "members"
AGAIN_MS = 5_000
"""How soon a list that was not believed, or was just compared, is fetched again."""

STANDS_STILL_MS = 30_000
"""How soon it is looked whether a link that stands still goes on."""


async def wait_for_link(job_id: int) -> None:
    """A job that needs a link which stands still: no try is counted."""
    await db.execute("UPDATE job SET due_at = $1 WHERE id = $2", now_ms() + STANDS_STILL_MS, job_id)


async def wish(space_id: int, told: str = "") -> None:
    """The host's list is to be fetched soon: once, however often it is wished. `created_at` of the job is when it was
    wished last.
    """
    now = now_ms()
    payload = msgspec.json.encode({"told": told, "before": ""}).decode()
    row = {"id": new_id(), "kind": KIND, "key": str(space_id), "payload": payload, "due_at": now, "created_at": now}
    await db.insert_many("job", [row], ignore=True)
    await db.execute(
        "UPDATE job SET done_at = NULL, attempts = 0, error = '', payload = $1, due_at = $2"
        " WHERE kind = 'members' AND key = $3 AND done_at IS NOT NULL",
        payload,
        now + AGAIN_MS,
        str(space_id),
    )
    await db.execute(  # while the list is being fetched: what comes is of a moment before
        "UPDATE job SET created_at = CASE WHEN created_at < $1 THEN CAST($1 AS BIGINT) ELSE created_at + 1 END"
        " WHERE kind = 'members' AND key = $2 AND done_at IS NULL AND id <> $3",
        now,
        str(space_id),
        row["id"],
    )
    await db.execute(  # its host speaks: what it did not show, it may show now
        "UPDATE job SET due_at = $1 WHERE kind = 'members' AND key = $2 AND done_at IS NULL AND due_at > $1"
        " AND payload LIKE '%\"hidden\":%'",
        now + AGAIN_MS,
        str(space_id),
    )
