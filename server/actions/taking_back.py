"""Which instances lose sight of what they were sent when a space narrows, and the fact that takes it back."""

from server import database as db
from server.actions.plans import Plan, sent_items
from server.openness import LinkState
from server.queries.spaces import SeenSpace
from server.space_policy import OUTSIDERS
from server.viewer import Employee, Operator, PeerServer


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
    """Asks each instance to give back what it may no longer have; how many items, by host."""
    sent = await sent_items(space.id) if taken else {}
    counted: dict[str, int] = {}
    for peer_id, ids in taken.items():
        lost = ids & sent.get(peer_id, set())
        row = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer_id)
        if lost and row:
            counted[row["host"]] = len(lost)
    return counted
