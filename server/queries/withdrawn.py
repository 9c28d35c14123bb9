"""What is left of posts that were taken back."""

from dataclasses import replace

from server import database as db
from server.clock import now_ms
from server.openness import Audience, Variant, Visibility
from server.policy import Act, PostFacts, Standing, may_post
from server.queries import spaces
from server.viewer import Anonymous, PeerServer, Viewer


async def was_public(post_id: int) -> bool:
    """Whether a post of ours was taken back that anybody could read, and could read today were it still there."""
    row = await db.fetch_one(
        "SELECT author_id, space_id, visibility, stamp, stamp_blind, side, held_at, published_at FROM post"
        " WHERE id = $1 AND deleted_at IS NOT NULL AND peer_id IS NULL",
        post_id,
    )
    if row is None:
        return False
    facts = PostFacts(
        author_id=row["author_id"],
        published_at=row["published_at"],
        stamp=Variant(row["stamp"]) if row["stamp"] else None,
        visibility=Visibility(row["visibility"]) if row["visibility"] else None,
        stamp_blind=bool(row["stamp_blind"]),
        side=row["side"],
        held=row["held_at"] is not None,
    )
    standing = Standing(Audience.WEB)
    if row["space_id"]:
        space = (await spaces.around(Anonymous(), [row["space_id"]]))[row["space_id"]]
        facts, standing = replace(facts, space=space.facts), space.standing
    return bool(may_post(Anonymous(), Act.READ, facts, standing, now_ms()))


async def was_told(viewer: Viewer, event_id: int) -> bool:
    """Whether a fact was, or is to be, told to the server that asks."""
    if not isinstance(viewer, PeerServer):
        return False
    row = await db.fetch_one(
        "SELECT id FROM delivery WHERE event_id = $1 AND peer_id = $2 AND state IN ('pending', 'sent') LIMIT 1",
        event_id,
        viewer.peer_id,
    )
    return row is not None
