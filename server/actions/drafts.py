"""Drafts of a change of openness: one a person in each space, there for whoever may decide, applied by nobody."""

from server import database as db
from server.actions.openness import ELSEWHERE, REASON_CHARACTERS, Door
from server.clock import now_ms
from server.errors import Forbidden, NotFound
from server.ids import new_id
from server.policy import Act
from server.queries import spaces
from server.space_policy import SpacePolicy, canonical
from server.viewer import Employee


async def keep(viewer: Employee, space_id: int, wanted: SpacePolicy, *, past: bool = False, reason: str = "") -> int:
    """Keeps what somebody is preparing, in the place of what they kept before; its id. Changes nothing else.

    Raises NotFound or Forbidden to whoever may not change the policy. What stands against the policy is told when it
    is looked at again, not here.
    """
    async with db.together():
        space = await spaces.find_by_id(viewer, space_id)
        if not space.hosted_here:
            raise Forbidden(ELSEWHERE, detail="hosted elsewhere")
        space.demand(viewer, Act.CHANGE_POLICY)
        values = {
            "base_epoch": space.epoch,
            "wanted": canonical(wanted),
            "past": past,
            "reason": reason[:REASON_CHARACTERS],
            "asked_at": now_ms(),
        }
        mine = await db.fetch_one(
            "SELECT id FROM policy_change WHERE space_id = $1 AND state = 'draft' AND asked_by_id = $2",
            space.id,
            viewer.actor_id,
        )
        if mine is not None:
            sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(values, 1))
            await db.execute(
                f"UPDATE policy_change SET {sets} WHERE id = ${len(values) + 1}", *values.values(), mine["id"]
            )
            return int(mine["id"])
        draft_id = new_id()
        own = {"id": draft_id, "space_id": space.id, "state": "draft", "door": Door.PAGE.value}
        await db.insert("policy_change", {**own, "asked_by_id": viewer.actor_id, **values})
        return draft_id


async def drop(viewer: Employee, draft_id: int) -> None:
    """Throws one's own draft away. Raises NotFound for another's."""
    gone = await db.execute(
        "DELETE FROM policy_change WHERE id = $1 AND state = 'draft' AND asked_by_id = $2", draft_id, viewer.actor_id
    )
    if not gone:
        raise NotFound(detail="no draft of theirs")
