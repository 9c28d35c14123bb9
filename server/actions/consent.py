"""Whether the past may be opened to more people: what this instance says once and for all, and what partners say."""

from server import database as db
from server.actions.audit import note
from server.actions.link_rows import STANDS, demand_admin
from server.events import Kind, record
from server.ids import new_id
from server.queries.consent import HISTORY_CONSENT, denies_past
from server.viewer import Employee, Operator, PeerServer


async def set_history_consent(viewer: Employee | Operator, consents: bool) -> None:
    """Lets hosts of spaces elsewhere open to more people what ours wrote there, or does not, from now on: partners are
    told. What was opened before stays so. Again: nothing more. Raises Forbidden.
    """
    demand_admin(viewer)
    async with db.transaction():
        if await denies_past() is not consents:
            return
        value = "allow" if consents else "deny"
        if not await db.execute("UPDATE own_choice SET value = $1 WHERE name = $2", value, HISTORY_CONSENT):
            await db.insert("own_choice", {"id": new_id(), "name": HISTORY_CONSENT, "value": value})
        await note(viewer, "history_consent", consents=consents)
        rows = await db.fetch(f"SELECT l.peer_id FROM link l WHERE {STANDS} ORDER BY l.peer_id")
        if rows:
            await record(Kind.CONSENT_CHANGED, data={"peers": [row["peer_id"] for row in rows]})


async def heard(peer_id: int, consents: bool) -> None:
    """Another instance says whether it consents; the caller has checked that it does. Again: nothing."""
    async with db.together():
        changed = await db.execute(
            "UPDATE peer SET denies_past = $1 WHERE id = $2 AND denies_past <> $1", not consents, peer_id
        )
        if changed:
            row = await db.fetch_one("SELECT host FROM peer WHERE id = $1", peer_id)
            await note(PeerServer(peer_id), "partner_consent", subject=row["host"] if row else "", consents=consents)
