"""Files by the right of the post that carries them: the lookup is the lock (A4, A12)."""

from collections.abc import Sequence

from server import database as db
from server.errors import NotFound, Unavailable
from server.policy import Act
from server.queries import posts
from server.queries.posts import FileCard, file_card
from server.refusals import N_
from server.sql import Clause, among
from server.viewer import Resident, Viewer

STILL_ARRIVING = N_("Ce fichier n’est pas encore arrivé de l’autre instance : réessayez dans un instant.")


async def waiting(viewer: Resident, ids: Sequence[int]) -> list[FileCard]:
    """Those of these files that are this person's and that no post carries yet, in the order of the ids."""
    if not ids:
        return []
    query = Clause("SELECT * FROM attachment WHERE post_id IS NULL AND owner_id = ? AND", (viewer.actor_id,))
    found = {row["id"]: file_card(row) for row in await db.fetch(*query.join(among("id", ids)).statement())}
    return [found[one] for one in dict.fromkeys(ids) if one in found]


async def find(viewer: Viewer, attachment_id: int) -> FileCard:
    """A file whose bytes this viewer may open now.

    Raises NotFound (also for what they may not know of), Forbidden, or Unavailable while its bytes are elsewhere.
    A file that no post carries is its owner's alone.
    """
    row = await db.fetch_one("SELECT * FROM attachment WHERE id = $1", attachment_id)
    if row is None:
        await posts.find(viewer, 0)  # what never was takes as long as what is hidden (I7)
        raise NotFound(detail="no such file")
    if row["post_id"] is None:
        if not isinstance(viewer, Resident) or viewer.actor_id != row["owner_id"]:
            raise NotFound(detail="somebody else's file")
    else:
        post = await posts.find(viewer, row["post_id"])
        post.demand(viewer, Act.OPEN_FILE)
    if row["state"] == "waiting":
        raise Unavailable(STILL_ARRIVING)
    if row["state"] != "ready" or not row["sha256"]:
        raise NotFound(detail="its bytes never arrived")
    return file_card(row)
