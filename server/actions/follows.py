"""Following people: ours follow people here or elsewhere, people elsewhere follow ours."""

from server import database as db
from server.actions.notices import forget, notify
from server.clock import now_ms
from server.errors import Invalid, NotFound
from server.events import Kind, record
from server.ids import new_id
from server.refusals import N_
from server.viewer import Employee, PeerServer, RemotePerson


async def follow(viewer: Employee, actor_id: int) -> str:
    """One of ours follows a person: at once here, asked elsewhere. Returns accepted or pending."""
    if actor_id == viewer.actor_id:
        raise Invalid(N_("On ne se suit pas soi-même."), field="id")
    async with db.together():
        target = await db.fetch_one("SELECT id, peer_id, kind FROM actor WHERE id = $1 AND gone_at IS NULL", actor_id)
        if target is None or target["kind"] != "person":
            raise NotFound(detail="nobody to follow")
        state = "accepted" if target["peer_id"] is None else "pending"
        event_id = new_id()
        new = await _write(viewer.actor_id, actor_id, state, f"event:{event_id}")
        if new and target["peer_id"] is not None:
            await record(Kind.FOLLOW_ASKED, actor_id=viewer.actor_id, data={"followed": actor_id}, event_id=event_id)
        if new and target["peer_id"] is None:
            await notify([actor_id], "follow", key=f"follow:{viewer.actor_id}", by=viewer.actor_id)
        row = await db.fetch_one(
            "SELECT state FROM follow WHERE follower_id = $1 AND followed_id = $2", viewer.actor_id, actor_id
        )
        return str(row["state"]) if row else state


async def unfollow(viewer: Employee, actor_id: int) -> None:
    """One of ours stops following; their instance is told."""
    async with db.together():
        gone = await db.fetch(
            "DELETE FROM follow WHERE follower_id = $1 AND followed_id = $2 RETURNING uri", viewer.actor_id, actor_id
        )
        target = await db.fetch_one("SELECT peer_id FROM actor WHERE id = $1", actor_id)
        if gone and target and target["peer_id"] is not None:
            data = {"followed": actor_id, "uri": gone[0]["uri"]}
            await record(Kind.FOLLOW_UNDONE, actor_id=viewer.actor_id, data=data)


async def asked(viewer: RemotePerson, followed_id: int, uri: str) -> None:
    """A person elsewhere follows one of ours: accepted from a linked instance, else asked of them; again, the same."""
    async with db.together():
        target = await db.fetch_one(
            "SELECT id FROM actor WHERE id = $1 AND peer_id IS NULL AND kind = 'person' AND suspended_at IS NULL",
            followed_id,
        )
        if target is None:
            raise NotFound(detail="nobody here to follow")
        new = await _write(viewer.actor_id, followed_id, "accepted" if viewer.linked else "pending", uri)
        if new:
            await notify([followed_id], "follow", key=f"follow:{viewer.actor_id}", by=viewer.actor_id)
        row = await db.fetch_one(
            "SELECT state FROM follow WHERE follower_id = $1 AND followed_id = $2", viewer.actor_id, followed_id
        )
        if row is not None and row["state"] == "accepted":
            data = {"follower": viewer.actor_id, "uri": uri}
            await record(Kind.FOLLOW_ACCEPTED, actor_id=followed_id, data=data)


async def decide(viewer: Employee, follower_id: int, *, accepted: bool) -> None:
    """One of ours answers who elsewhere wants to follow them. Raises NotFound when nobody asks."""
    async with db.together():
        row = await db.fetch_one(
            "SELECT id, uri FROM follow WHERE follower_id = $1 AND followed_id = $2 AND state = 'pending'",
            follower_id,
            viewer.actor_id,
        )
        if row is None:
            raise NotFound(detail="nobody asks to follow")
        if accepted:
            await db.execute("UPDATE follow SET state = 'accepted' WHERE id = $1", row["id"])
        else:
            await db.execute("DELETE FROM follow WHERE id = $1", row["id"])
            await forget(viewer.actor_id, f"follow:{follower_id}")
        kind = Kind.FOLLOW_ACCEPTED if accepted else Kind.FOLLOW_REJECTED
        await record(kind, actor_id=viewer.actor_id, data={"follower": follower_id, "uri": row["uri"]})


async def undone(viewer: RemotePerson, followed_id: int) -> None:
    """A person elsewhere no longer follows one of ours."""
    await db.execute("DELETE FROM follow WHERE follower_id = $1 AND followed_id = $2", viewer.actor_id, followed_id)


async def answered(viewer: RemotePerson | PeerServer, followed_id: int, follow_uri: str, accepted: bool) -> None:
    """Somebody elsewhere answers one of ours. Without a Follow of ours that it answers, nothing (O14, O24)."""
    if accepted:
        changed = await db.execute(
            "UPDATE follow SET state = 'accepted' WHERE uri = $1 AND followed_id = $2", follow_uri, followed_id
        )
    else:
        changed = await db.execute("DELETE FROM follow WHERE uri = $1 AND followed_id = $2", follow_uri, followed_id)
    if not changed:
        raise NotFound(detail="an answer to nothing that was asked (O24)")


async def _write(follower: int, followed: int, state: str, uri: str) -> bool:
    new = await db.fetch(
        "INSERT INTO follow (id, follower_id, followed_id, state, uri, created_at) VALUES ($1, $2, $3, $4, $5, $6)"
        " ON CONFLICT DO NOTHING RETURNING id",
        new_id(),
        follower,
        followed,
        state,
        uri[:512],
        now_ms(),
    )
    return bool(new)
