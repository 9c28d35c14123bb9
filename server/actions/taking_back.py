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
    """The instances that were sent something and may lose sight of it: none when nothing outside shrinks."""
    if not any(not cell.grows and cell.audience in OUTSIDERS for cell in plan.cells):
        return {}
    sent = await sent_items(space_id)
    found = {}
    for peer_id in sent:
        link = await db.fetch_one("SELECT state FROM link WHERE peer_id = $1", peer_id)
        found[peer_id] = PeerServer(peer_id, link is not None and link["state"] == LinkState.ACTIVE)
    return found


async def take_back(
    viewer: Employee | Operator, space: SeenSpace, taken: dict[int, set[int]], plan: Plan
) -> dict[str, int]:
    """Asks each instance to give back what it may no longer have; how many items, by host.

    Who reads nothing any more of what it was sent gives back the space, the others the items that they lost.
    """
    sent = await sent_items(space.id) if taken else {}
    counted: dict[str, int] = {}
    whole: list[int] = []
    for peer_id, ids in taken.items():
        had = sent.get(peer_id, set())
        row = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer_id)
        if not ids & had or row is None:
            continue
        counted[row["host"]] = len(ids & had)
        if had <= ids:
            whole.append(peer_id)
        else:
            lost = sorted(ids & had)
            await recalls.begin(
                viewer, space.id, [peer_id], scope=RecallScope.ITEM, post_ids=lost, keep=Keep.NONE, reason=REASON
            )
    await recalls.begin(viewer, space.id, whole, reason=REASON)
    await recalls.after_narrowing(viewer, space.id, REASON)
    return counted
