"""Files of somebody elsewhere, mirrored: fetched once, in our name where the post came from and nowhere else.

A partner shows us what it shows to nobody else, so an address at one that another one names is read as anybody would
read it. The bytes are bounded, checked against the digest that the author declared, and kept under their own hash.
Until they are here the page says that they are on their way; when they cannot be had it says so. A linked instance is
asked for as long as it cannot be reached, and for a week when it refuses: it may have stopped the link for now.
"""

import asyncio
import hashlib
import io
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from federation.errors import Gone, Malformed, Refused, Unreachable
from federation.instance import Instance
from federation.membership_wishes import wait_for_link
from federation.refusals import counted
from federation.side_by_side import SideBySide, Work, put_off
from federation.signing import manner_towards, sign_as_instance
from federation.transport import Sign
from federation.trust import lies_at
from server import database as db
from server import files, live, pictures
from server.actions import file_bytes
from server.clock import now_ms
from server.errors import DomainError, Unavailable
from server.ids import host_of
from server.limits import MEDIA_BYTES
from server.media_types import sha256_of, sniff
from server.openness import LinkState
from server.sql import Clause, among

log = logging.getLogger("parvis.files")

AT_ONCE = 4
"""From one host, in one turn."""
LOOKED_AT = 200
MOST_TRIES = 8
FIRST_WAIT_MS = 2_000
LONGEST_WAIT_MS = 3_600_000
REFUSED_FOR_MS = 7 * 24 * 3_600_000
"""How long a linked instance is asked again that refuses, in milliseconds."""


class _NotShown(Refused):
    """It is not shown to us, or not now."""


_hosts = SideBySide(most=8)  # a whole file of each is in memory


async def fetch_waiting(instance: Instance) -> int:
    """Fetches what is due, from one host beside the other; how many hosts were asked, and files left for later."""
    jobs = await db.fetch(
        "SELECT id, key, attempts, created_at FROM job WHERE kind = 'fetch_file' AND done_at IS NULL AND due_at <= $1"
        " ORDER BY due_at LIMIT $2",
        now_ms(),
        LOOKED_AT,
    )
    named = Clause("SELECT id, source_uri FROM attachment WHERE").join(among("id", [int(job["key"]) for job in jobs]))
    hosts = {str(row["id"]): host_of(row["source_uri"]) for row in await db.fetch(*named.statement())}
    work: dict[object, list[Work]] = defaultdict(list)
    busy, behind = _hosts.busy(), []
    for job in jobs:
        host = hosts.get(job["key"], "")
        if host in busy:
            behind.append(job["id"])
        elif len(work[host]) < AT_ONCE:
            work[host].append(partial(_fetch, instance, job))
    await put_off(behind)
    return await _hosts.go(work) + len(behind)


async def _fetch(instance: Instance, job: dict[str, Any]) -> None:
    file_id = int(job["key"])
    file = await db.fetch_one(
        "SELECT f.source_uri, f.digest, f.post_id, f.name, p.space_id, p.uri AS post_uri, g.uri AS host_uri"
        " FROM attachment f LEFT JOIN post p ON p.id = f.post_id"
        " LEFT JOIN space s ON s.id = p.space_id AND s.peer_id IS NOT NULL LEFT JOIN actor g ON g.id = s.actor_id"
        " WHERE f.id = $1 AND f.state IN ('waiting', 'failed')",
        file_id,
    )
    if file is None or file["post_id"] is None:
        await _done(job["id"], "no longer wanted")
        return
    link = await db.fetch_one(
        "SELECT q.id AS peer_id, l.state FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.host = $1"
        " AND l.state IN ('active', 'suspended', 'confirmed')",
        host_of(file["source_uri"]),
    )
    if link is not None and link["state"] != LinkState.ACTIVE:
        await wait_for_link(job["id"])
        return
    try:
        await _keep(instance, file_id, file)
        await _done(job["id"], "")
    except Unavailable as error:  # our own disk, or database
        await _later(job, str(error), again=True, for_good=False)
    except (Unreachable, _NotShown) as error:
        refused = isinstance(error, _NotShown)
        again = not refused if link is None else not refused or now_ms() - job["created_at"] < REFUSED_FOR_MS
        await _later(job, str(error), again=again, for_good=link is None)
        if refused and link is not None and not job["attempts"]:
            await counted(link["peer_id"], error, file["source_uri"])
    except (Gone, Refused, Malformed, DomainError) as error:
        await _give_up(job, str(error))
        if link is not None:
            await counted(link["peer_id"], error, file["source_uri"])
    live.publish(live.Fact("post_edited", post_id=file["post_id"], space_id=file["space_id"]))


async def _keep(instance: Instance, file_id: int, file: dict[str, str]) -> None:
    uri = file["source_uri"]
    sign = await _in_our_name(instance, uri, [from_ for from_ in (file["post_uri"], file["host_uri"]) if from_])
    answer = await instance.transport.get(uri, "*/*", sign=sign, limit_bytes=MEDIA_BYTES)
    if answer.status_code in (429, 500, 502, 503, 504):
        raise Unreachable("The file cannot be had now.", str(answer.status_code))
    if answer.status_code != 200:
        raise _NotShown("The file is refused.", str(answer.status_code))
    sha256 = hashlib.sha256(answer.content).hexdigest()
    if file["digest"] and sha256_of(file["digest"]) != sha256:
        raise Malformed("The file is not the one that its author declared.", uri, rule="digest")
    folder = instance.settings.files_dir
    await file_bytes.expect(sha256)
    stored = await asyncio.to_thread(files.store, folder, io.BytesIO(answer.content), MEDIA_BYTES)
    stored = await pictures.with_small(folder, stored)
    async with db.transaction():
        if not await db.execute(
            "UPDATE attachment SET state = 'ready', sha256 = $1, size = $2, media_type = $3, width = $4, height = $5"
            " WHERE id = $6 AND post_id IS NOT NULL",
            stored.sha256,
            stored.size,
            sniff(stored.head, file["name"]),
            stored.width,
            stored.height,
            file_id,
        ):
            await file_bytes.unneeded([stored.sha256])  # taken back meanwhile
        elif not await file_bytes.claim(folder, stored.sha256):
            raise Unreachable("The file went while it came.")


async def _in_our_name(instance: Instance, uri: str, came_from: Collection[str]) -> Sign | None:
    """Signs what is read at the origin of the post, or of the space in which it was told; no redirect leads away."""
    if not any(lies_at(uri, home) for home in came_from):
        return None
    return partial(_there_alone, came_from, await sign_as_instance(instance, await manner_towards(host_of(uri))))


def _there_alone(
    came_from: Collection[str], sign: Sign, method: str, url: str, headers: Mapping[str, str], body: bytes
) -> Mapping[str, str]:
    return sign(method, url, headers, body) if any(lies_at(url, home) for home in came_from) else headers


async def _done(job_id: int, error: str) -> None:
    await db.execute("UPDATE job SET done_at = $1, error = $2 WHERE id = $3", now_ms(), error[:500], job_id)


async def _later(job: dict[str, Any], error: str, *, again: bool, for_good: bool) -> None:
    """Once more, after twice the time; from MOST_TRIES on the page says that it cannot be had, and `for_good` it is
    not asked for any more.
    """
    attempts = job["attempts"] + 1
    if not again or (for_good and attempts >= MOST_TRIES):
        await _give_up(job, error)
        return
    await db.execute(
        "UPDATE job SET attempts = $1, due_at = $2, error = $3 WHERE id = $4",
        attempts,
        now_ms() + min(LONGEST_WAIT_MS, FIRST_WAIT_MS << min(attempts - 1, 20)),
        error[:500],
        job["id"],
    )
    if attempts == MOST_TRIES:
        await _not_had(job, error)


async def _give_up(job: dict[str, Any], error: str) -> None:
    await _not_had(job, error)
    await _done(job["id"], error)


async def _not_had(job: dict[str, Any], error: str) -> None:
    log.warning("file not had", extra={"action": "file.failed", "reason": error})
    await db.execute("UPDATE attachment SET state = 'failed' WHERE id = $1", int(job["key"]))
