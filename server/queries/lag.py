"""How long what we tell a partner waited, over the last week: for a picture, not for an alarm (that is `link_lag`)."""

from dataclasses import dataclass

from server import database as db
from server.clock import now_ms
from server.ids import first_id_at
from server.queries.offices import demand_administrator
from server.viewer import Viewer

SLOT_MS = 6 * 3_600_000
SLOTS = 28


@dataclass(frozen=True, slots=True)
class Slot:
    """A quarter of a day. `told`: how much was to be told in it; `longest_ms`: how long anything that waited in it had
    waited, at most, by its end, or by now, or by when it was told.
    """

    from_at: int
    told: int = 0
    longest_ms: int = 0


async def of_last_week(viewer: Viewer, peer_id: int) -> list[Slot]:
    """The slots of the last week, the oldest first. Raises Forbidden to all but administrators."""
    demand_administrator(viewer)
    now = now_ms()
    first = now // SLOT_MS - SLOTS + 1
    rows = await db.fetch(
        f"SELECT created_at / {SLOT_MS} AS began, COALESCE(done_at, {now}) / {SLOT_MS} AS ended, COUNT(*) AS told,"
        f" MIN(created_at) AS since, MAX(COALESCE(done_at, {now}) - created_at) AS longest FROM delivery"
        " WHERE peer_id = $1 AND id >= $2 AND state <> 'skipped' GROUP BY 1, 2",
        peer_id,
        first_id_at(first * SLOT_MS),
    )
    told, longest = [0] * SLOTS, [0] * SLOTS
    for row in rows:
        began, ended = row["began"] - first, min(row["ended"] - first, SLOTS - 1)
        if not 0 <= began <= ended:
            continue
        told[began] += row["told"]
        for slot in range(began, ended):  # it was still waiting when the slot was over
            longest[slot] = max(longest[slot], (first + slot + 1) * SLOT_MS - row["since"])
        longest[ended] = max(longest[ended], row["longest"])
    return [Slot((first + at) * SLOT_MS, told[at], longest[at]) for at in range(SLOTS)]
