"""How much of a space's past is for whoever comes in, of one instance."""

from server import database as db
from server.openness import Variant
from server.policy import newcomers_read
from server.queries.spaces import SeenSpace
from server.sql import Clause, among


async def newcomers_from(space: SeenSpace) -> int | None:
    """Since when (ms) what is written in a space of ours is for people of the server that looks, whenever they come in.

    It is after the last post that was written for those alone who were in; 0 when there is none. None: nothing ever is.
    """
    if not newcomers_read(space.facts, space.standing):
        return None
    kept = [variant.value for variant in Variant if not newcomers_read(space.facts, space.standing, variant)]
    query = Clause("SELECT MAX(published_at) AS last FROM post WHERE space_id = ? AND", (space.id,))
    row = await db.fetch_one(*query.join(among("stamp", kept)).statement()) if kept else None
    return row["last"] + 1 if row is not None and row["last"] is not None else 0
