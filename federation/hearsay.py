"""What the host of a space says of the addresses of others there: that somebody it relays was elsewhere before.

Who moves tells its own partners. A third instance may not be one of them, or not have heard yet, and hears of both
names from the host. Whoever it has a link with keeps, here, the name that it gave itself, until it says another. People
whom we know by that host's passports and from nobody else take the new one on the host's word, as all that we know of
them: so what they edit, or the host takes back, finds the posts that came under the old name.
"""

from typing import Any

from federation.errors import Malformed, Unreachable
from federation.instance import Instance
from federation.lookup import peer_for
from federation.page_memory import forget, once
from federation.reading import Activity, as_now, many
from federation.trust import host_at, origin, same_origin
from server import database as db
from server.actions.moving import rename_attested
from server.clock import now_ms
from server.queries.former import Moves

MOST = 10
RENAMES_AN_HOUR = 10
"""How often one host may have people renamed: each time all that names them is written anew."""
HOUR_MS = 3_600_000
_renames: dict[int, list[int]] = {}
"""By host, when it did; of linked ones only, so there are few."""


async def by_names_here(instance: Instance, said: Activity, peer_id: int) -> Activity:
    """The activity of a linked instance, with third ones by the names under which they are known here."""
    told = said.document.get("parvis:formerly")
    if not isinstance(told, dict):
        return said
    pairs: list[tuple[str, str, str]] = []
    for now, former in list(told.items())[:MOST]:
        for old in many(former)[:MOST]:
            if not _third(instance, said, now) or not _third(instance, said, old) or old == now:
                continue
            if await _linked(old):
                pairs.append((now, old, old))
            elif not await _linked(now):
                await _follow(peer_id, old, now)
                pairs.append((old, now, now))
    return as_now(said, Moves(tuple(pairs)))


def _third(instance: Instance, said: Activity, base: Any) -> bool:
    """Whether this is an origin, as one is written, of neither of us."""
    try:
        if not isinstance(base, str) or base != f"{origin(base)[0]}://{host_at(base)}":
            return False
    except Malformed:
        return False
    return not same_origin(base, instance.here.base) and not same_origin(base, said.actor)


async def _linked(base: str) -> bool:
    """Whether there is a key that this origin gave us itself."""
    row = await once(
        ("linked", base),
        lambda: db.fetch_one(
            "SELECT l.id FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1"
            " AND l.state IN ('confirmed', 'active', 'suspended')",
            host_at(base),
        ),
    )
    return row is not None


async def _follow(peer_id: int, old: str, new: str) -> None:
    """Raises Unreachable when this host has had its turns: what it says is tried again."""
    known = await db.fetch_one(
        "SELECT id FROM passport WHERE peer_id = $1 AND SUBSTR(uri, 1, CAST($2 AS INTEGER)) = $3 LIMIT 1",
        peer_id,
        len(old) + 1,
        f"{old}/",
    )
    if known is None:
        return
    lately = [at for at in _renames.get(peer_id, ()) if at > now_ms() - HOUR_MS]
    if len(lately) >= RENAMES_AN_HOUR:
        raise Unreachable("The host said too often that somebody moved: it is heard again later.")
    _renames[peer_id] = [*lately, now_ms()]
    async with db.transaction():
        await rename_attested(peer_id, old, new, await peer_for(new))
    forget()
