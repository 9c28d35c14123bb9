"""Somebody moved to another address: every row that names theirs is written anew, in the caller's transaction.

The same step for an instance that we know and for ourselves. An id is an address, so a move changes how each begins
and nothing of what it leads to: who is a member, which posts stand where and who was told what stay as they are. What
somebody signed is kept as they signed it, and read through `server.queries.former`.
"""

import msgspec

from server import database as db
from server.actions.plans import hash_of
from server.actions.policy_rows import denying
from server.clock import now_ms
from server.ids import host_of, new_id
from server.queries import policies
from server.queries.former import MOVING
from server.space_policy import from_json
from server.sql import Clause, one_of

ADDRESSES: dict[str, tuple[str, ...]] = {
    "actor": ("uri", "inbox", "shared_inbox", "followers_uri"),
    "actor_key": ("uri",),
    "attachment": ("source_uri",),
    "delivery": ("inbox",),
    "follow": ("uri",),
    "held_post": ("activity_uri",),
    "link": ("offer_uri", "their_key_uri", "their_old_key_uri", "our_key_uri"),
    "membership": ("uri",),
    "passport": ("uri",),
    "peer": ("peering",),
    "post": ("uri", "reply_to_uri"),
    "purge": ("uri", "list_uri"),
    "reaction": ("uri",),
    "receipt": ("sender_uri",),
    "vote": ("uri",),
}
"""Columns that are an address and nothing else."""
QUOTING: dict[str, tuple[str, ...]] = {
    "actor": ("keys",),
    "event": ("data",),
    "job": ("payload",),
    "passport": ("keys",),
}
"""Columns of JSON in which addresses stand between quotation marks."""
LINKING: dict[str, tuple[str, ...]] = {"post": ("html",), "post_version": ("html",)}
"""Columns of HTML: where its links lead is written anew, and what people read in it stays as it was said."""
AS_IT_CAME: dict[str, tuple[str, ...]] = {
    "event": ("original",),
    "held_post": ("original",),
    "purge_part": ("uris",),
    "recall_part": ("from_uri", "to_uri", "uris"),
}
"""Columns that hold what somebody signed, or a list whose digest was told: they stay."""


async def alone() -> None:
    """Nobody else moves, and nothing that was received takes effect, until the caller's transaction ends."""
    if db.engine_name() == "postgres":
        await db.fetch(f"SELECT pg_advisory_xact_lock({MOVING})")


async def follow(peer_id: int | None, old: str, new: str, said_at: int) -> None:
    """From now on what was at `old` is at `new` (both without a slash at the end). `peer_id`: who moved, None: we.

    `said_at`: when the mover said so (ms, its clock). The caller is `alone`, and has looked since whether it may be.
    """
    await alone()
    asked = [] if peer_id is None else await _asked_for(peer_id, host_of(old))
    for table, columns in ADDRESSES.items():
        for column in columns:
            await db.execute(
                f"UPDATE {table} SET {column} = CAST($1 AS TEXT) || SUBSTR({column}, CAST($2 AS INTEGER))"
                f" WHERE SUBSTR({column}, 1, CAST($3 AS INTEGER)) = $4",
                new,
                len(old) + 1,
                len(old) + 1,
                f"{old}/",
            )
    for table, columns in QUOTING.items():
        for column in columns:
            await _replace(table, column, f'"{old}/', f'"{new}/')
    for table, columns in LINKING.items():
        for column in columns:
            await _replace(table, column, f'="{old}/', f'="{new}/')
    await _replace("policy_change", "wanted", f'"{host_of(old)}":', f'"{host_of(new)}":')
    await _remember(peer_id, old, new, said_at)
    if peer_id is not None:
        await _peer(peer_id, old, new)
        await _still_asked_for(asked)


async def _replace(table: str, column: str, old: str, new: str) -> None:
    await db.execute(
        f"UPDATE {table} SET {column} = REPLACE({column}, CAST($1 AS TEXT), CAST($2 AS TEXT))"
        f" WHERE {column} LIKE CAST($3 AS TEXT)",
        old,
        new,
        f"%{old}%",
    )


async def _remember(peer_id: int | None, old: str, new: str, said_at: int) -> None:
    row = {"id": new_id(), "peer_id": peer_id, "host": host_of(old), "base_url": old, "now_url": new}
    await db.insert_many("former_origin", [{**row, "said_at": said_at, "moved_at": now_ms()}], ignore=True)
    mine = "peer_id IS NULL" if peer_id is None else "peer_id = $3"
    values = () if peer_id is None else (peer_id,)
    await db.execute(f"UPDATE former_origin SET now_url = $1, said_at = $2 WHERE {mine}", new, said_at, *values)
    await db.execute("UPDATE former_origin SET moved_at = $1 WHERE host = $2", now_ms(), host_of(old))


async def _peer(peer_id: int, old: str, new: str) -> None:
    """How we reach them, and the names that people read."""
    here, there = host_of(old), host_of(new)
    await db.execute(
        "UPDATE peer SET host = $1, base_url = $2, state = 'ok', failures = 0, failing_since_at = NULL, due_at = 0,"
        " last_error = '' WHERE id = $3",
        there,
        new,
        peer_id,
    )
    await db.execute("UPDATE actor SET host = $1 WHERE peer_id = $2", there, peer_id)
    await db.execute(
        "UPDATE space SET slug = SUBSTR(slug, 1, LENGTH(slug) - CAST($1 AS INTEGER)) || CAST($2 AS TEXT)"
        " WHERE peer_id = $3 AND slug LIKE CAST($4 AS TEXT)",
        len(here),
        there,
        peer_id,
        f"%@{here}",
    )


async def _asked_for(peer_id: int, host: str) -> list[int]:
    """Changes of openness that wait, are still the plan that was shown, and name this partner before or after."""
    rows = await db.fetch(
        "SELECT id FROM policy_change WHERE state IN ('waiting', 'planned') AND (wanted LIKE CAST($1 AS TEXT)"
        " OR space_id IN (SELECT space_id FROM space_partner WHERE peer_id = $2))",
        f'%"{host}":%',
        peer_id,
    )
    plans_now = await _plans([row["id"] for row in rows])
    return [change_id for change_id, (known, plan) in plans_now.items() if known == plan]


async def _still_asked_for(change_ids: list[int]) -> None:
    """They are the same changes with the partner's new name: who agreed has agreed, who may agree still may."""
    for change_id, (_, plan) in (await _plans(change_ids)).items():
        await db.execute("UPDATE policy_change SET plan_hash = $1 WHERE id = $2", plan, change_id)


async def _plans(change_ids: list[int]) -> dict[int, tuple[str, str]]:
    """Of each change: the hash that it was asked for with, and that of its plan now."""
    query = Clause("SELECT c.*, s.slug, s.epoch FROM policy_change c JOIN space s ON s.id = c.space_id WHERE")
    rows = await db.fetch(*query.join(one_of("c.id", change_ids)).statement()) if change_ids else []
    found = {}
    for row in rows:
        before, after = await policies.current(row["space_id"]), from_json(msgspec.json.decode(row["wanted"]))
        past = bool(row["past"])
        without = await denying(row["space_id"], before, after, past)
        plan = hash_of(row["slug"], row["epoch"], before, after, past, without)
        found[row["id"]] = (row["plan_hash"], plan)
    return found


MET: tuple[tuple[str, str, str], ...] = (
    ("mention", "actor_id", "post_id"),
    ("follow", "follower_id", "followed_id"),
    ("follow", "followed_id", "follower_id"),
    ("membership", "actor_id", "space_id"),
)
"""Where somebody may stand who was only met: the table, the column, and beside what they stand there once."""


async def become_one(stray_id: int, new: str, peer_id: int, old: str) -> None:
    """What is known of an instance at its new address, before it was known to be the one at the old, is known of it.

    Raises IntegrityError when that is more than people who were met.
    """
    await db.execute("UPDATE receipt SET peer_id = $1, seq = NULL WHERE peer_id = $2", peer_id, stray_id)
    twice = await db.fetch(
        "SELECT n.id AS stray, o.id AS kept FROM actor n JOIN actor o ON o.peer_id = $1"
        " AND o.uri = CAST($2 AS TEXT) || SUBSTR(n.uri, CAST($3 AS INTEGER)) WHERE n.peer_id = $4",
        peer_id,
        old,
        len(new) + 1,
        stray_id,
    )
    for row in twice:
        for table, column, beside in MET:
            await db.execute(
                f"UPDATE {table} SET {column} = $1 WHERE {column} = $2 AND NOT EXISTS (SELECT 1 FROM {table} x"
                f" WHERE x.{column} = $1 AND x.{beside} = {table}.{beside})",
                row["kept"],
                row["stray"],
            )
            await db.execute(f"DELETE FROM {table} WHERE {column} = $1", row["stray"])
        for table, column in (("notice", "by_id"), ("event", "actor_id")):
            await db.execute(f"UPDATE {table} SET {column} = $1 WHERE {column} = $2", row["kept"], row["stray"])
        await db.execute("DELETE FROM actor WHERE id = $1", row["stray"])
    for table in ("actor", "membership"):
        await db.execute(f"UPDATE {table} SET peer_id = $1 WHERE peer_id = $2", peer_id, stray_id)
    await db.execute(
        "UPDATE delivery SET peer_id = $1, seq = seq + (SELECT last_seq FROM peer WHERE id = $1), number = NULL"
        " WHERE peer_id = $2",
        peer_id,
        stray_id,
    )
    await db.execute(
        "UPDATE peer SET last_seq = last_seq + (SELECT last_seq FROM peer WHERE id = $1) WHERE id = $2",
        stray_id,
        peer_id,
    )
    for table in ("link_incident", "withdrawal", "stream"):
        await db.execute(f"DELETE FROM {table} WHERE peer_id = $1", stray_id)
    await db.execute("DELETE FROM peer WHERE id = $1", stray_id)


async def rename_attested(host_peer_id: int, old: str, new: str, new_peer_id: int) -> None:
    """People whom we know on the word of one space's host, and from nobody else, are at another address by its word."""
    start, prefix = len(old) + 1, f"{old}/"
    rows = await db.fetch(
        "SELECT a.id FROM actor a JOIN passport p ON p.uri = a.uri AND p.peer_id = $1"
        " WHERE SUBSTR(a.uri, 1, CAST($2 AS INTEGER)) = $3 AND a.fetched_at IS NULL"
        " AND NOT EXISTS (SELECT 1 FROM passport o WHERE o.uri = a.uri AND o.peer_id <> $1)"
        " AND NOT EXISTS (SELECT 1 FROM actor n WHERE n.uri = CAST($4 AS TEXT) || SUBSTR(a.uri, CAST($2 AS INTEGER)))",
        host_peer_id,
        start,
        prefix,
        new,
    )
    for row in rows:
        for table, column, owner in (
            ("passport", "uri", "uri = (SELECT uri FROM actor WHERE id = $5)"),
            ("post", "uri", "author_id = $5"),
            ("reaction", "uri", "actor_id = $5"),
            ("actor", "uri", "id = $5"),
        ):
            await db.execute(
                f"UPDATE {table} SET {column} = CAST($1 AS TEXT) || SUBSTR({column}, CAST($2 AS INTEGER))"
                f" WHERE SUBSTR({column}, 1, CAST($3 AS INTEGER)) = $4 AND {owner}",
                new,
                start,
                start,
                prefix,
                row["id"],
            )
        await db.execute("UPDATE actor SET peer_id = $1, host = $2 WHERE id = $3", new_peer_id, host_of(new), row["id"])
        await db.execute("UPDATE post SET peer_id = $1 WHERE author_id = $2", new_peer_id, row["id"])
    await db.execute(
        "UPDATE passport SET keys = REPLACE(keys, CAST($1 AS TEXT), CAST($2 AS TEXT)) WHERE peer_id = $3",
        f'"{old}/',
        f'"{new}/',
        host_peer_id,
    )
