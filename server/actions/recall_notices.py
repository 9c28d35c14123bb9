"""Notices about recalls: an instance does not give back what it should, and somebody here has to look."""

from typing import Any

from server import database as db
from server.actions.notices import administrators, notify
from server.recall_terms import TargetState


async def notice_of(target: dict[str, Any], state: TargetState) -> None:
    """A notice to the owners of the space and to administrators; one for each time that it is late or refuses.

    `target`: a row of recall_target with the space of its recall.
    """
    owners = await db.fetch(
        "SELECT m.actor_id FROM membership m JOIN account c ON c.actor_id = m.actor_id WHERE m.space_id = $1"
        " AND m.role = 'owner' AND m.state = 'member' AND c.suspended_at IS NULL",
        target["space_id"],
    )
    by = await db.fetch_one(
        "SELECT id FROM actor WHERE peer_id = $1 AND kind = 'application' ORDER BY id LIMIT 1", target["peer_id"]
    )
    # each word of a recall can be refused once; late it is once and for all
    which = target["event_id"] if state is TargetState.REFUSED else ""
    key, who = f"recall:{target['recall_id']}:{target['id']}:{which}:{state.value}", by["id"] if by else None
    mine = [row["actor_id"] for row in owners]
    await notify(mine, "recall", key=key, by=who, space_id=target["space_id"])
    others = [actor_id for actor_id in await administrators() if actor_id not in mine]
    await notify(others, "recall", key=key, by=who)
