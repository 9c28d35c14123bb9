"""The address that a database names us by: it must be the one that the settings name."""

from server import database as db
from server.errors import Conflict
from server.refusals import N_

OTHER_ADDRESS = N_(
    "Cette base de données est celle de %(old)s : pour installer l’instance à %(new)s, lancez « parvis move %(new)s »."
)


async def standing_at() -> str:
    """Without a slash at the end; '' before anybody is here."""
    row = await db.fetch_one(
        "SELECT uri FROM actor WHERE peer_id IS NULL AND kind IN ('person', 'application') ORDER BY id LIMIT 1"
    )
    return "/".join(row["uri"].split("/")[:3]) if row else ""


async def demand_here(base: str) -> None:
    """Raises Conflict when the open database is that of another address than this one."""
    old = await standing_at()
    if old not in ("", base):
        raise Conflict(OTHER_ADDRESS, params={"old": old, "new": base})
