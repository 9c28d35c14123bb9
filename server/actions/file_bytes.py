"""The bytes of files that no row needs any more, and the small pictures beside them: they go in jobs of their own.

Whoever forgets the row of a file leaves the job in the same transaction; the bytes go when it is done, if no other
row names them.
"""

from collections.abc import Iterable
from pathlib import Path

from server import database as db
from server import files
from server.clock import now_ms
from server.ids import new_id

DROP = "drop_file"
"""The job that removes the bytes of a file which no row needs."""
AT_ONCE = 100


async def unneeded(hashes: Iterable[str]) -> None:
    """Leaves a job for each of these (SHA-256 in hex), which some row has named until now."""
    now = now_ms()
    jobs = [
        {"id": new_id(), "kind": DROP, "key": sha256, "due_at": now, "created_at": now}
        for sha256 in sorted(set(hashes) - {""})
    ]
    await db.insert_many("job", jobs, ignore=True)


async def drop(folder: Path) -> int:
    """Removes bytes that no row needs any more, some of them; how many jobs came to their end."""
    jobs = await db.fetch("SELECT id, key FROM job WHERE kind = $1 ORDER BY due_at LIMIT $2", DROP, AT_ONCE)
    for job in jobs:
        async with db.transaction():
            # inside a writing transaction, so that nobody gives these bytes to a new row meanwhile
            await db.execute("DELETE FROM job WHERE id = $1", job["id"])
            if not await db.fetch_one("SELECT id FROM attachment WHERE sha256 = $1 LIMIT 1", job["key"]):
                files.remove(folder, job["key"])
    return len(jobs)
