"""A secret address for a feed reader, one for each person and space: made anew or revoked, gone with their right."""

from server import database as db
from server.actions.accounts import WHOLE_SESSION_ONLY
from server.clock import now_ms
from server.credentials import new_token, token_hash
from server.errors import Forbidden
from server.ids import new_id
from server.policy import Act
from server.queries import spaces
from server.viewer import Resident


async def make(viewer: Resident, space_id: int) -> str:
    """The secret of a new address, which takes the place of the one before. Raises NotFound or Forbidden."""
    if viewer.scopes is not None:
        raise Forbidden(WHOLE_SESSION_ONLY)
    raw = new_token()
    async with db.transaction():
        space = await spaces.find_by_id(viewer, space_id)
        space.demand(viewer, Act.READ)
        await revoke(viewer, space_id)
        row = {"id": new_id(), "token_hash": token_hash(raw), "account_id": viewer.account_id, "space_id": space.id}
        await db.insert("feed_token", {**row, "created_at": now_ms()})
    return raw


async def revoke(viewer: Resident, space_id: int) -> None:
    """Ends the viewer's address of a space; without one nothing changes."""
    await db.execute("DELETE FROM feed_token WHERE account_id = $1 AND space_id = $2", viewer.account_id, space_id)


async def leave(space_id: int, actor_id: int) -> None:
    """In the transaction that takes somebody out of a space: their address goes too, and does not come back."""
    await db.execute(
        "DELETE FROM feed_token WHERE space_id = $1 AND account_id IN (SELECT id FROM account WHERE actor_id = $2)",
        space_id,
        actor_id,
    )
