"""How much of a space's past is for whoever comes in, of one instance."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import msgspec

from server import database as db
from server.clock import APART_MS, now_ms
from server.ids import first_id_at
from server.openness import Variant
from server.policy import SpaceFacts, Standing, newcomers_read, newcomers_since
from server.queries.policies import MOST_VERSIONS, left_out_of, opened_past
from server.queries.spaces import SeenSpace, around
from server.space_policy import SpacePolicy, from_json
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
    return None if since is None else max(since, await _last_kept(space))


async def newcomers_of(peer_id: int, linked: bool, space_id: int) -> int | None:
    """The same for an instance, of a space by its id."""
    return await newcomers_from((await around(PeerServer(peer_id, linked), [space_id]))[space_id])


async def _last_kept(space: SeenSpace) -> int:
    """When (ms) the last policy had its end under which something was for those alone who were in, or was left out of
    an opened past; 0 when there was none, or all was opened since.

    What is older than MOST_VERSIONS changes is nobody's who comes in.
    """
    rows = await db.fetch(
        "SELECT at, before, after, effects FROM policy_version WHERE space_id = $1 ORDER BY epoch DESC LIMIT $2",
        space.id,
        MOST_VERSIONS,
    )
    ended = now_ms()  # where the history does not know of what holds now
    kept, out = _kept_under(space.facts, space.standing), 0
    kept_out: set[Variant] = set()
    for row in rows:
        variant = from_json(msgspec.json.decode(row["after"])).variant
        if variant in kept:
            return max(out, ended, await _written_meanwhile(space.id, ended, kept))
        if variant in kept_out:
            return max(out, ended)
        effects = msgspec.json.decode(row["effects"])
        if _held_before(space, effects):
            then, there = _until_then(space, from_json(msgspec.json.decode(row["before"])))
            kept_out |= _kept_under(then, there)
            since = newcomers_since(then, there, now_ms())
            out = max(out, min(effects["left_out"]["at"], row["at"] if since is None else since))
        elif opened_past(effects):
            return out
        ended = row["at"]
    return ended if len(rows) == MOST_VERSIONS else out


def _kept_under(space: SpaceFacts, standing: Standing) -> set[Variant]:
    """The rows of the table of which those who come in read nothing that was written before."""
    return {variant for variant in Variant if not newcomers_read(space, standing, variant)}


def _held_before(space: SeenSpace, effects: Mapping[str, Any]) -> bool:
    """Whether a change left words out of the past that this server may hold: it was let in before."""
    if not left_out_of(effects):
        return False
    standing = space.standing
    since = standing.named_at if standing.let_in_at is not None else standing.since_at
    return since is not None and since < effects["left_out"]["at"]


def _until_then(space: SeenSpace, before: SpacePolicy) -> tuple[SpaceFacts, Standing]:
    """How far back people of this server read what was left out."""
    history, days = before.looking_back
    then = replace(space.facts, history=history, history_days=days, opened_at=space.facts.came_open_at)
    return then, replace(space.standing, let_in_at=space.standing.named_at)


async def _written_meanwhile(space_id: int, ended: int, kept: set[Variant]) -> int:
    """After the last post that was being written under a policy as it ended; 0 when none was."""
    query = Clause(
        "SELECT MAX(w.published_at) AS last FROM (SELECT published_at, stamp FROM post WHERE space_id = ? AND id >= ?"
        " ORDER BY id LIMIT ?) w WHERE",
        (space_id, first_id_at(ended - APART_MS), MOST_MEANWHILE),
    )
    row = await db.fetch_one(*query.join(among("w.stamp", [variant.value for variant in kept])).statement())
    return row["last"] + 1 if row is not None and row["last"] is not None else 0
