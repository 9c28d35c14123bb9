"""What is looked after beside the streams: links that end or fall behind, lists of members, answers without parents."""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from time import monotonic
from typing import Any

import msgspec

from federation import membership_sync, membership_wishes, own_words, replicas, skew
from federation.instance import Instance
from federation.side_by_side import SideBySide, Work, put_off
from federation.streams import OWN_WORDS
from server import database as db
from server.actions.link_lag import tell_of_lag
from server.actions.links import end_overdue
from server.clock import now_ms
from server.sql import Clause, among

AT_ONCE = 8
"""With one host, in one turn."""
LOOKED_AT = 200
SELDOM_S = 30.0

_looked: dict[str, float] = {}
_STEPS = {membership_wishes.KIND: membership_sync.compare, replicas.KIND: replicas.seek, OWN_WORDS: own_words.have_back}


async def look_after(instance: Instance) -> int:
    """Does what is due; returns how many things were done."""
    done = 0
    if monotonic() - _looked.get(instance.here.base, -SELDOM_S) >= SELDOM_S:
        _looked[instance.here.base] = monotonic()
        done += await end_overdue() + await tell_of_lag() + await membership_sync.wish_daily() + await skew.keep()
    elif skew.news():
        await skew.keep()
    return done + await work_off(instance)


_hosts = SideBySide()


async def work_off(instance: Instance) -> int:
    """The jobs whose time has come, one host beside the other; how many hosts were asked, and jobs left for later."""
    jobs = await db.fetch(
        "SELECT id, kind, key, payload, attempts, error, created_at FROM job"
        " WHERE kind IN ('members', 'replica', 'own_words') AND done_at IS NULL AND due_at <= $1"
        " ORDER BY due_at LIMIT $2",
        now_ms(),
        LOOKED_AT,
    )
    peers, busy = await _peers_of(jobs), _hosts.busy()
    work: dict[object, list[Work]] = defaultdict(list)
    behind = []
    for job in jobs:
        peer = peers[job["id"]]
        if peer in busy:
            behind.append(job["id"])
        elif len(work[peer]) < AT_ONCE:
            work[peer].append(partial(_STEPS[job["kind"]], instance, job))
    await put_off(behind)
    return await _hosts.go(work) + len(behind)


async def _peers_of(jobs: Iterable[dict[str, Any]]) -> dict[int, int]:
    """Of each job, by its id, the instance that it asks; 0 where nobody is asked any more."""
    about = {job["id"]: int(job["key"]) for job in jobs if job["kind"] == membership_wishes.KIND}
    rows = await db.fetch(*Clause("SELECT id, peer_id FROM space WHERE").join(among("id", about.values())).statement())
    hosts = {row["id"]: row["peer_id"] for row in rows}
    found = {job_id: hosts.get(space_id) or 0 for job_id, space_id in about.items()}
    for job in jobs:
        if job["kind"] == replicas.KIND:
            found[job["id"]] = msgspec.json.decode(job["payload"])["peer"]
        elif job["kind"] == OWN_WORDS:
            found[job["id"]] = int(job["key"].partition(":")[0])
    return found
