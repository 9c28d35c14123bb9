"""How far somebody has read: where their feed says « Lu jusqu’ici »."""

from server import database as db
from server.viewer import Resident


async def read_up_to(viewer: Resident, post_id: int) -> None:
    """Moves the mark forward to a post; never back."""
    await db.execute("UPDATE account SET read_up_to = $1 WHERE id = $2 AND read_up_to < $1", post_id, viewer.account_id)
