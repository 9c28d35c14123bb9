"""How much of a space's past is for whoever comes in, of one instance."""

import msgspec

from server import database as db
from server.clock import APART_MS, now_ms
from server.ids import first_id_at
from server.openness import Variant
from server.policy import newcomers_read, newcomers_since
from server.queries.policies import MOST_VERSIONS, opened_past
from server.queries.spaces import SeenSpace, around
from server.space_policy import from_json
from server.sql import Clause, among
from server.viewer import PeerServer

MOST_MEANWHILE = 1_000
"""Posts around the end of a policy that are looked at."""


async def newcomers_from(space: SeenSpace) -> int | None:
    """Since when (ms) what is written in a space of ours is for people of the server that looks, whenever they come in.

    That is since the policy under which it was written last for those alone who were in had its end, whether anything
    was: of what is hidden from it, a server does not learn when it was written. 0 when there was none; None: nothing
    ever is.
    """
    if not newcomers_read(space.facts, space.standing):
        return None
    since = newcomers_since(space.facts, space.standing, now_ms())
    kept = {variant for variant in Variant if not newcomers_read(space.facts, space.standing, variant)}
    over = await _last_kept(space.id, kept) if kept and since is not None else 0
    return None if since is None else max(since, over)


async def newcomers_of(peer_id: int, linked: bool, space_id: int) -> int | None:
    """The same for an instance, of a space by its id."""
    return await newcomers_from((await around(PeerServer(peer_id, linked), [space_id]))[space_id])


async def _last_kept(space_id: int, kept: set[Variant]) -> int:
    """When (ms) the last policy of one of these rows had its end; 0 when there was none, or all was opened since.

    What is older than MOST_VERSIONS changes is nobody's who comes in.
    """
    rows = await db.fetch(
        "SELECT at, after, effects FROM policy_version WHERE space_id = $1 ORDER BY epoch DESC LIMIT $2",
        space_id,
        MOST_VERSIONS,
    )
    ended = now_ms()  # where the history does not know of what holds now
    for row in rows:
        if from_json(msgspec.json.decode(row["after"])).variant in kept:
            return max(ended, await _written_meanwhile(space_id, ended, kept))
        if opened_past(msgspec.json.decode(row["effects"])):
            return 0
        ended = row["at"]
    return ended if len(rows) == MOST_VERSIONS else 0


async def _written_meanwhile(space_id: int, ended: int, kept: set[Variant]) -> int:
    """After the last post that was being written under a policy as it ended; 0 when none was."""
    query = Clause(
        "SELECT MAX(w.published_at) AS last FROM (SELECT published_at, stamp FROM post WHERE space_id = ? AND id >= ?"
        " ORDER BY id LIMIT ?) w WHERE",
        (space_id, first_id_at(ended - APART_MS), MOST_MEANWHILE),
    )
    row = await db.fetch_one(*query.join(among("w.stamp", [variant.value for variant in kept])).statement())
    return row["last"] + 1 if row is not None and row["last"] is not None else 0
