"""What is looked after beside the streams: links that end or fall behind, lists of members, answers without parents."""

from time import monotonic

from federation import membership_sync, membership_wishes, own_words, replicas, skew
from federation.instance import Instance
from federation.streams import OWN_WORDS
from server import database as db
from server.actions.link_lag import tell_of_lag
from server.actions.links import end_overdue
from server.clock import now_ms

AT_ONCE = 8
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


async def work_off(instance: Instance) -> int:
    """The jobs whose time has come; returns how many."""
    jobs = await db.fetch(
        "SELECT id, kind, key, payload, attempts, error FROM job WHERE kind IN ('members', 'replica', 'own_words')"
        " AND done_at IS NULL AND due_at <= $1 ORDER BY due_at LIMIT $2",
        now_ms(),
        AT_ONCE,
    )
    for job in jobs:
        await _STEPS[job["kind"]](instance, job)
    return len(jobs)
