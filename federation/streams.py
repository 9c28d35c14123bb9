"""The rows behind a stream: what was numbered, what the other side says it has, and beginning anew.

All of it is called inside the caller's transaction. Numbers are given when a page is built, in one commit with the
deliveries that bear them; so they have no gaps whatever dies when, and what must go first still can.
"""

import logging
import secrets
from functools import partial
from typing import Any

from federation.lanes import forget
from federation.pages import ERRORS, Failure, Heard
from federation.patience import MOST_TRIES
from server import database as db
from server import live
from server.actions import join_requests, polls
from server.actions.newcomers import begin_streams
from server.actions.recall_restarts import lost_there
from server.clock import now_ms
from server.ids import new_id

log = logging.getLogger("parvis.streams")

OWN_WORDS = "own_words"
"""The job of having back what our own people said (see `own_words`)."""
BEGIN_EVERY_MS = 10_000
"""How soon numbers that began again may begin once more."""
BELIEVED_EVERY_MS = 10 * 60_000
"""How soon an instance is believed again that our own database went back."""


async def stream_with(peer_id: int) -> dict[str, Any]:
    """The stream row of an instance, made on first need."""
    row = await db.fetch_one("SELECT * FROM stream WHERE peer_id = $1", peer_id)
    if row is None:
        await begin_streams([peer_id])
        row = await db.fetch_one("SELECT * FROM stream WHERE peer_id = $1", peer_id)
    assert row is not None
    return row


async def greet() -> None:
    """An empty page goes to every partner soon: whichever database went back meanwhile, both sides learn it."""
    await db.execute(
        "UPDATE stream SET ask_at = $1 WHERE peer_id IN (SELECT peer_id FROM link WHERE state = 'active')", now_ms()
    )


async def locked(peer_id: int) -> dict[str, Any]:
    """The stream row, held until the caller's transaction ends."""
    await stream_with(peer_id)
    rows = await db.fetch("UPDATE stream SET told = told WHERE peer_id = $1 RETURNING *", peer_id)
    return rows[0]


# --- what the other side says of our stream ------------------------------------------------------


async def heard(peer_id: int, told: Heard) -> bool:
    """Takes what an instance says of our stream; False when it knows numbers that we never gave.

    That is what a database that was put back looks like: a new generation begins, and what both hold is compared.
    """
    row = await locked(peer_id)
    if told.generation != row["generation"]:
        return True  # of a generation that is over
    if told.acked > row["given"] or told.done > told.acked:
        await begin_again(peer_id, "it has numbers that were never given here", put_back=True)
        return False
    if told.acked < row["acked"] and row["given"] == row["done"]:
        # said before our last page came there, or its database went back: an empty page shows which
        await db.execute("UPDATE stream SET ask_at = $1 WHERE peer_id = $2", now_ms(), peer_id)
    acked, done = max(row["acked"], told.acked), max(row["done"], min(told.done, told.acked))
    if (acked, done) == (row["acked"], row["done"]):
        return True
    if acked > row["acked"]:
        await db.execute(
            "UPDATE delivery SET state = 'sent', error = '', done_at = $1, attempts = attempts + 1"
            " WHERE peer_id = $2 AND number > $3 AND number <= $4 AND state = 'pending'",
            now_ms(),
            peer_id,
            row["acked"],
            acked,
        )
    for failure in told.errors:
        if row["done"] < failure.seq <= done and failure.final:
            await _refused(peer_id, failure)
    await db.execute("UPDATE stream SET acked = $1, done = $2, asked = 0 WHERE peer_id = $3", acked, done, peer_id)
    return True


async def _refused(peer_id: int, failure: Failure) -> None:
    rows = await db.fetch(
        "UPDATE delivery SET error = $1 WHERE peer_id = $2 AND number = $3 AND state = 'sent' RETURNING event_id",
        failure.code[:100],
        peer_id,
        failure.seq,
    )
    for row in rows:
        await polls.not_counted(row["event_id"])
        await join_requests.not_heard(row["event_id"])


async def rewind(peer_id: int, want: int) -> None:
    """The other side lost what it had: everything from `want` on is sent again, or a new generation begins.

    Again needs every number's delivery; after a sweep some are gone, and only comparing helps.
    """
    row = await locked(peer_id)
    log.warning("went back", extra={"action": "stream.rewound", "peer": peer_id, "reason": f"{row['acked']} to {want}"})
    had = await db.fetch_one(
        "SELECT MAX(done_at) AS at FROM delivery WHERE peer_id = $1 AND number > 0 AND number < $2", peer_id, want
    )
    await lost_there(peer_id, want, (had and had["at"]) or 0)
    kept = await db.fetch_one(
        "SELECT COUNT(DISTINCT number) AS n FROM delivery WHERE peer_id = $1 AND number >= $2 AND number <= $3",
        peer_id,
        want,
        row["acked"],
    )
    if kept is None or kept["n"] != row["acked"] - want + 1:
        await begin_again(peer_id, "it went back further than we can")
        return
    await db.execute(
        "UPDATE delivery SET state = 'pending', done_at = NULL, error = '' WHERE peer_id = $1 AND number >= $2"
        " AND state = 'sent'",
        peer_id,
        want,
    )
    await db.execute(
        "UPDATE stream SET acked = $1, done = CASE WHEN done < $1 THEN done ELSE CAST($1 AS BIGINT) END,"
        " resync_at = $2 WHERE peer_id = $3",
        want - 1,
        now_ms(),
        peer_id,
    )


async def begin_again(peer_id: int, reason: str, *, put_back: bool = False, moved: bool = False) -> bool:
    """A new run of numbers: what was not acknowledged is sent in it, what both hold is compared.

    `put_back`: our own database is the one that went back, so what our people said is asked for as well. All that was
    ever sent there is written anew, so a run that was begun a moment ago stands; False then, but for one who `moved`.
    """
    row = await locked(peer_id)
    if not moved and begun_lately(row["generation"]):
        return False
    log.warning("numbers begin again", extra={"action": "stream.generation", "peer": peer_id, "reason": reason})
    await db.execute(
        "UPDATE delivery SET state = 'pending', done_at = NULL WHERE peer_id = $1 AND number > $2 AND state = 'sent'",
        peer_id,
        row["done"],
    )
    await db.execute(
        "UPDATE delivery SET number = CASE WHEN state = 'pending' THEN NULL ELSE 0 END"
        " WHERE peer_id = $1 AND number > 0",
        peer_id,
    )
    await db.execute(
        "UPDATE stream SET generation = $1, given = 0, acked = 0, done = 0, ask_at = 0, asked = 0, resync_at = $2"
        " WHERE peer_id = $3",
        f"{now_ms():012x}{secrets.token_hex(10)}",
        now_ms(),
        peer_id,
    )
    if put_back:
        await _own_words_wanted(peer_id)
    forget(peer_id)
    db.after_commit(partial(live.publish, live.Fact("sequenced")))
    return True


def begun_lately(generation: str) -> bool:
    """Whether this run of numbers began again within BEGIN_EVERY_MS, as its name says."""
    return 0 <= now_ms() - int(generation[:12], 16) < BEGIN_EVERY_MS


async def _own_words_wanted(peer_id: int) -> None:
    """What our people said is to be had back, soon; of somebody who says again and again that our database went back,
    once in BELIEVED_EVERY_MS.
    """
    now = now_ms()
    row = {"id": new_id(), "kind": OWN_WORDS, "key": str(peer_id), "due_at": now, "created_at": now}
    await db.insert_many("job", [row], ignore=True)
    await db.execute(
        "UPDATE job SET due_at = CASE WHEN created_at + $1 > $2 THEN created_at + $1 ELSE CAST($2 AS BIGINT) END,"
        " created_at = CAST($2 AS BIGINT), done_at = NULL, attempts = 0, error = '', payload = '{}'"
        " WHERE kind = $3 AND key = $4 AND done_at IS NOT NULL",
        BELIEVED_EVERY_MS,
        now,
        OWN_WORDS,
        str(peer_id),
    )


# --- what we say of theirs ----------------------------------------------------------------------


async def heard_of(row: dict[str, Any]) -> Heard:
    """How far the stream of the instance of this row came here, with the errors that it does not know of yet.

    What was tried MOST_TRIES times and goes on waiting keeps nothing else from being told: it is an error for now.
    """
    waiting = await db.fetch_one(
        "SELECT MIN(seq) AS first FROM receipt WHERE peer_id = $1 AND seq > $2 AND processed_at IS NULL"
        " AND attempts < $3",
        row["peer_id"],
        row["told"],
        MOST_TRIES,
    )
    first = waiting["first"] if waiting else None
    done = row["got"] if first is None else first - 1
    errors = await db.fetch(
        "SELECT seq, code, processed_at FROM receipt WHERE peer_id = $1 AND seq > $2 AND seq <= $3 AND code <> ''"
        " ORDER BY seq LIMIT $4",
        row["peer_id"],
        row["told"],
        done,
        ERRORS,
    )
    if len(errors) == ERRORS:
        done = errors[-1]["seq"]
    failures = [Failure(error["seq"], error["code"], error["processed_at"] is not None) for error in errors]
    return Heard(row["their_generation"], row["got"], done, failures)
