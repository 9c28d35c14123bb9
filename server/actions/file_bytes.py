"""Files that nothing needs any more: their rows, their bytes, and the small pictures beside them.

Whoever forgets the row of a file leaves a job in the same transaction; the bytes go when it is done, if no other row
names them. So does whoever brings bytes, before they get their name: until a row claims them, nothing else would know
of them after a kill -9. A file of our own people that no post carries is kept for a day, so that it can be posted
(again).
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server import database as db
from server import files
from server.clock import now_ms
from server.errors import NotFound
from server.ids import new_id
from server.sql import Clause, one_of

log = logging.getLogger("parvis.files")

DROP = "drop_file"
"""The job that removes the bytes of a file which no row needs."""
AT_ONCE = 100
KEPT_MS = 24 * 3600 * 1000
UNCLAIMED_MS = 3600 * 1000
"""How long bytes may wait for the row that names them."""
UNCLAIMED = "bytes of a file came, and no row names them yet"
EVERY_MS = 3600 * 1000
"""How long between two looks for files that nobody posted."""


@dataclass
class _Pass:
    """When this process looks again, in ms."""

    next_at: int = 0


_pass = _Pass()


async def leave(post_id: int) -> None:
    """A post was taken back: its files that came from elsewhere are forgotten, ours are their owner's alone again."""
    elsewhere = await db.fetch("SELECT id, sha256 FROM attachment WHERE post_id = $1 AND source_uri <> ''", post_id)
    await forget(elsewhere)
    await db.execute("UPDATE attachment SET post_id = NULL WHERE post_id = $1", post_id)


async def forget(rows: Sequence[Mapping[str, Any]]) -> None:
    """Forgets files, by `id` and `sha256`."""
    for row in rows:
        await db.execute("DELETE FROM job WHERE kind = 'fetch_file' AND key = $1", str(row["id"]))
    await unneeded(row["sha256"] for row in rows)
    if rows:
        await db.execute(
            *Clause("DELETE FROM attachment WHERE").join(one_of("id", [r["id"] for r in rows])).statement()
        )


async def unneeded(hashes: Iterable[str]) -> None:
    """Leaves a job for each of these (SHA-256 in hex), which some row has named until now."""
    now, wanted = now_ms(), sorted(set(hashes) - {""})
    await _leave_jobs(wanted, now)
    if wanted:
        sooner = Clause("UPDATE job SET due_at = ? WHERE kind = ? AND due_at > ? AND", (now, DROP, now))
        await db.execute(*sooner.join(one_of("key", wanted)).statement())


async def expect(sha256: str) -> None:
    """Before bytes get their name: unless a row claims them soon, they go."""
    await _leave_jobs([sha256], now_ms() + UNCLAIMED_MS)


async def _leave_jobs(hashes: Sequence[str], due_at: int) -> None:
    jobs = [
        {"id": new_id(), "kind": DROP, "key": sha256, "due_at": due_at, "created_at": now_ms()} for sha256 in hashes
    ]
    await db.insert_many("job", jobs, ignore=True)


async def claim(folder: Path, sha256: str) -> bool:
    """In the transaction that gives bytes to a row: no job takes them away any more. False: one has done so already."""
    await _alone(sha256)
    await db.execute("DELETE FROM job WHERE kind = $1 AND key = $2", DROP, sha256)
    try:
        files.size_of(folder, sha256)
    except NotFound:
        return False
    return True


async def _alone(sha256: str) -> None:
    """One at a time gives these bytes to a row or takes them away, to the end of its transaction: SQLite's single
    writer does so already.
    """
    if db.engine_name() == "postgres":
        await db.fetch("SELECT pg_advisory_xact_lock(CAST($1 AS BIGINT))", int(sha256[:15], 16))


async def tidy(folder: Path) -> int:
    """One bounded step: files that nobody posted, then bytes without a row; how many there were."""
    now = now_ms()
    if now >= _pass.next_at:
        if forgotten := await _forget_unposted(now - KEPT_MS):
            return forgotten
        await asyncio.to_thread(files.sweep, folder)
        _pass.next_at = now + EVERY_MS
    return await drop(folder)


async def _forget_unposted(before_ms: int) -> int:
    alone = " FOR UPDATE SKIP LOCKED" if db.engine_name() == "postgres" else ""  # one that is being posted stays
    async with db.transaction():
        rows = await db.fetch(
            f"SELECT id, sha256 FROM attachment WHERE post_id IS NULL AND created_at < $1 ORDER BY id LIMIT $2{alone}",
            before_ms,
            AT_ONCE,
        )
        await forget(rows)
    return len(rows)


async def drop(folder: Path) -> int:
    """Removes bytes that no row needs any more, some of them; how many jobs came to their end.

    What cannot be removed is tried again later, and holds up nothing else.
    """
    jobs = await db.fetch(
        "SELECT id, key FROM job WHERE kind = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3", DROP, now_ms(), AT_ONCE
    )
    ended = 0
    for job in jobs:
        try:
            await _drop(folder, job)
            ended += 1
        except OSError as error:
            log.warning("not removed", extra={"action": "files.kept", "reason": str(error)})
            await db.execute(
                "UPDATE job SET attempts = attempts + 1, due_at = $1, error = $2 WHERE id = $3",
                now_ms() + EVERY_MS,
                str(error)[:500],
                job["id"],
            )
    return ended


async def not_removed() -> str:
    """Why bytes that no row needs are still there, as it was said of those that were tried most often; '' if none are.

    Those that nothing claims yet are among them: a file that was fetched for a post which is taken back meanwhile.
    """
    row = await db.fetch_one("SELECT error FROM job WHERE kind = $1 ORDER BY attempts DESC, id LIMIT 1", DROP)
    return str(row["error"] or UNCLAIMED) if row else ""


async def _drop(folder: Path, job: dict[str, Any]) -> None:
    """Raises OSError when the bytes cannot be removed; then nothing has changed."""
    async with db.transaction():
        await _alone(job["key"])
        if not await db.execute("DELETE FROM job WHERE id = $1", job["id"]):
            return  # a row has claimed them, or another process took them away
        if not await db.fetch_one("SELECT id FROM attachment WHERE sha256 = $1 LIMIT 1", job["key"]):
            files.remove(folder, job["key"])
