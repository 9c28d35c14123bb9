"""Who stands at an address: the id of an actor by its uri, for those who may know of it."""

from server import database as db
from server.errors import NotFound
from server.queries import people, spaces
from server.queries.former import moves
from server.viewer import Viewer


async def actor_at(viewer: Viewer, uri: str) -> int:
    """The id of the person or the space whose actor has this id. Raises NotFound: also for what is hidden."""
    row = await db.fetch_one("SELECT id, kind FROM actor WHERE uri = $1", (await moves()).now(uri))
    if row is None or row["kind"] not in ("person", "group"):
        raise NotFound(detail="nobody at that address")
    if row["kind"] == "group":
        return (await spaces.find_by_uri(viewer, uri)).actor_id
    return (await people.find_by_id(viewer, row["id"])).card.id
