"""Who reads a space in a feed reader, by a secret address of theirs: the same right as on its page, asked each time."""

from server import database as db
from server.clock import now_ms
from server.credentials import token_hash
from server.queries.accounts import viewer_of_row
from server.queries.guests import admitted
from server.queries.spaces import SeenSpace
from server.viewer import Resident

MOST_TOKEN_CHARACTERS = 200


async def reader(raw: str, slug: str) -> Resident | None:
    """Whose address of this space this is; None when it is unknown, revoked, of another space, or its person is out."""
    if not 0 < len(raw) <= MOST_TOKEN_CHARACTERS:
        return None
    row = await db.fetch_one(
        f"""SELECT c.id, c.actor_id, c.office, c.organisation FROM feed_token f JOIN account c ON c.id = f.account_id
            JOIN space s ON s.id = f.space_id
            WHERE f.token_hash = $1 AND f.revoked_at IS NULL AND s.slug = $2 AND {admitted("c", "$3")}""",
        token_hash(raw),
        slug,
        now_ms(),
    )
    return None if row is None else viewer_of_row(row, frozenset({"read"}))


async def made_at(viewer: Resident, space: SeenSpace) -> int | None:
    """When the viewer's address of this space was made, while it holds."""
    row = await db.fetch_one(
        "SELECT created_at FROM feed_token WHERE account_id = $1 AND space_id = $2 AND revoked_at IS NULL",
        viewer.account_id,
        space.id,
    )
    return row["created_at"] if row else None
