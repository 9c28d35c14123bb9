"""Which instances lose sight of what they were sent when a space narrows, and the fact that takes it back."""

from server import database as db
from server.actions import recalls
from server.actions.plans import Plan, sent_items
from server.openness import LinkState
from server.queries.spaces import SeenSpace
from server.recall_terms import Keep, RecallScope
from server.space_policy import OUTSIDERS
from server.viewer import Employee, Operator, PeerServer

REASON = "set_openness"


async def hosts_that_lose(space_id: int, plan: Plan) -> dict[int, PeerServer]:
    """The instances that may have something and lose sight of it: none when nothing outside shrinks."""
    if not any(not cell.grows and cell.audience in OUTSIDERS for cell in plan.cells):
        return {}
    found = {}
    for peer_id in await _may_have(space_id):
        link = await db.fetch_one("SELECT state FROM link WHERE peer_id = $1", peer_id)
        found[peer_id] = PeerServer(peer_id, link is not None and link["state"] == LinkState.ACTIVE)
    return found


async def take_back(
    viewer: Employee | Operator, space: SeenSpace, taken: dict[int, set[int]], plan: Plan
) -> dict[str, int]:
    """Asks each instance to give back what it may no longer have; how many items, by host.

    Who reads nothing any more of what it may have, and has nobody in the space, gives back the space; the others the
    items that they lost: a recall of the space would put out there who is in.
    """
    sent, known = (await _may_have(space.id), await sent_items(space.id)) if taken else ({}, {})
    counted: dict[str, int] = {}
    whole: list[int] = []
    for peer_id, ids in taken.items():
        had = sent.get(peer_id, set())
        row = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer_id)
        if not ids & had or row is None:
            continue
        if count := len(ids & known.get(peer_id, set())):
            counted[row["host"]] = count
        if had <= ids and not await _somebody_is_in(space.id, peer_id):
            whole.append(peer_id)
        else:
            lost = sorted(ids & had)
            await recalls.begin(
                viewer, space.id, [peer_id], scope=RecallScope.ITEM, post_ids=lost, keep=Keep.NONE, reason=REASON
            )
    await recalls.begin(viewer, space.id, whole, reason=REASON)
    await recalls.after_narrowing(viewer, space.id, REASON)
    return counted


async def _somebody_is_in(space_id: int, peer_id: int) -> bool:
    inside = "SELECT id FROM membership WHERE space_id = $1 AND peer_id = $2 AND state = 'member' LIMIT 1"
    return await db.fetch_one(inside, space_id, peer_id) is not None


async def _may_have(space_id: int) -> dict[int, set[int]]:
    """What each instance has, or may have, by the peer's id: also what was tried and not answered, or is on its way."""
    rows = await db.fetch(
        "SELECT DISTINCT d.peer_id, e.post_id FROM event e JOIN delivery d ON d.event_id = e.id WHERE e.space_id = $1"
        " AND e.kind IN ('post_published', 'post_edited') AND d.state <> 'skipped' AND e.post_id IS NOT NULL",
        space_id,
    )
    found: dict[int, set[int]] = {}
    for row in rows:
        found.setdefault(row["peer_id"], set()).add(row["post_id"])
    return found
