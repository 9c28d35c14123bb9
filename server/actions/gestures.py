"""React and take it back: the same verbs for our own people and for people elsewhere."""

from dataclasses import dataclass
from typing import Any

from server import database as db
from server.actions.notices import forget, notify
from server.actions.post_rows import hash_of, is_ours, stands
from server.clock import now_ms
from server.errors import Forbidden, Invalid
from server.events import Kind, record
from server.ids import new_id
from server.policy import Act
from server.queries import posts
from server.queries.former import moves
from server.refusals import N_
from server.viewer import RemotePerson, Resident, side_of

EMOJI_BYTES = 64
UNDONE = "taken back"
"""What became of a gesture's activity that was undone, as its receipt says for ever."""
WAITS = N_("Ce message attend d’être validé : on n’y répond pas encore.")


@dataclass(frozen=True, slots=True)
class Place:
    """A post that was found by its right, and where it stands."""

    post_id: int
    author_id: int
    space_id: int | None


async def react(
    viewer: Resident | RemotePerson, post_id: int, emoji: str = "", uri: str = "", original: str = ""
) -> None:
    """Answers with a gesture; doing it twice is once. An empty emoji is the plain thank-you."""
    if len(emoji.encode()) > EMOJI_BYTES:
        raise Invalid(N_("Ce symbole est trop long."), field="emoji")
    async with db.together():
        post = await posts.find(viewer, post_id)
        post.demand(viewer, Act.REACT)
        if post.facts.held:
            raise Forbidden(WAITS)
        where = Place(post.id, post.author_id, post.space.id if post.space else None)
        side = side_of(viewer) if post.space and post.space.hosted_here else ""
        await gesture(where, viewer.actor_id, emoji, uri, original, side)


async def gesture(
    place: Place, actor_id: int, emoji: str, uri: str = "", original: str = "", side: str = "", event_id: int = 0
) -> None:
    """Writes a reaction that the caller has allowed; the same one again changes nothing.

    `uri` is the id of the activity elsewhere that says it; one of our own is named by its fact, `event_id` if given.
    """
    event_id = event_id or new_id()
    if uri and await _was_undone(uri):
        return  # told again by somebody else: its author took it back since
    uri = uri or f"event:{event_id}"
    await stands(place.post_id)
    new = await db.fetch(
        "INSERT INTO reaction (id, post_id, actor_id, emoji, uri, side, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7)"
        " ON CONFLICT DO NOTHING RETURNING id",
        new_id(),
        place.post_id,
        actor_id,
        emoji,
        uri[:512],
        side,
        now_ms(),
    )
    if not new:
        return
    where: dict[str, Any] = {"post_id": place.post_id, "space_id": place.space_id}
    if await is_ours(place.author_id):
        await notify([place.author_id], "reaction", key=f"reaction:{place.post_id}:{actor_id}", by=actor_id, **where)
    data = {"emoji": emoji, "uri": uri}
    await record(Kind.REACTED, actor_id=actor_id, data=data, original=original, event_id=event_id, **where)


async def unreact(viewer: Resident | RemotePerson, post_id: int, emoji: str = "") -> None:
    """Takes the gesture back."""
    async with db.together():
        post = await posts.find(viewer, post_id)
        await ungesture(Place(post.id, post.author_id, post.space.id if post.space else None), viewer.actor_id, emoji)


async def ungesture(place: Place, actor_id: int, emoji: str, original: str = "", event_id: int | None = None) -> None:
    """Takes one reaction of an actor back."""
    gone = await db.fetch(
        "DELETE FROM reaction WHERE post_id = $1 AND actor_id = $2 AND emoji = $3 RETURNING uri",
        place.post_id,
        actor_id,
        emoji,
    )
    for row in gone:
        await _remember_undone(row["uri"], actor_id)
        await forget(place.author_id, f"reaction:{place.post_id}:{actor_id}")
        await record(
            Kind.REACTION_UNDONE,
            actor_id=actor_id,
            post_id=place.post_id,
            space_id=place.space_id,
            data={"emoji": emoji, "uri": row["uri"]},
            event_id=event_id,
            original=original,
        )


async def _remember_undone(uri: str, actor_id: int) -> None:
    """The activity of somebody elsewhere that was undone: whoever relays it again tells nothing new."""
    if uri.startswith("event:"):
        return
    who = await db.fetch_one("SELECT uri, peer_id FROM actor WHERE id = $1", actor_id)
    if who is None or who["peer_id"] is None:
        return
    await db.execute(
        "INSERT INTO receipt (id, activity_hash, peer_id, sender_uri, received_at, processed_at, outcome)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (activity_hash) DO UPDATE SET outcome = excluded.outcome",
        new_id(),
        hash_of((await moves()).first(uri)),
        who["peer_id"],
        who["uri"],
        now_ms(),
        now_ms(),
        UNDONE,
    )


async def _was_undone(uri: str) -> bool:
    row = await db.fetch_one(
        "SELECT outcome FROM receipt WHERE activity_hash = $1", hash_of((await moves()).first(uri))
    )
    return row is not None and row["outcome"] == UNDONE
