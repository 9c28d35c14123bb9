"""Update of an actor: what its own origin says now was fetched beforehand, and is what counts."""

import re
from typing import Any

from federation.documents.activities import MOST_ORGANISATIONS
from federation.errors import Malformed, Refused
from federation.handlers import links
from federation.handlers.call import Call
from federation.handlers.membership import mirror
from federation.reading import many, moment
from server import database as db
from server.actions.past_notices import Opened, tell_authors
from server.clock import now_ms
from server.openness import Level

HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::\d{1,5})?")


async def update(call: Call) -> None:
    """A person or a space elsewhere changed; who is not itself changes nothing."""
    if call.said.object_id != call.said.actor:
        raise Refused("An actor changes itself only.", call.said.object_id)
    if call.actor.kind == "application":
        await links.rekeyed(call)
        return
    if call.fetched is None:
        raise Refused("The actor could not be read.", call.said.actor)
    if call.fetched.type == "Group" and await db.fetch_one("SELECT id FROM space WHERE actor_id = $1", call.actor.id):
        space_id = await mirror(call)
        told = call.said.document.get("parvis:pastOpened")
        if told is not None:
            await _past_opened(call, space_id, told)


async def _past_opened(call: Call, space_id: int, told: Any) -> None:
    """What was written in a space elsewhere is for more people: those of ours who wrote there are told."""
    value = told if isinstance(told, dict) else {}
    epoch, at = value.get("parvis:policyEpoch"), moment(value.get("published"))
    if type(epoch) is not int or not 0 < epoch < 1 << 53 or at is None:
        raise Malformed("“parvis:pastOpened” must say under which policy, and when.", call.said.id)
    hosts = [host for host in many(value.get("parvis:organisations"))[:MOST_ORGANISATIONS] if _is_host(host)]
    row = await db.fetch_one("SELECT level FROM space WHERE id = $1", space_id)
    level = Level(row["level"]) if row else Level.PARTNERS
    await tell_authors(space_id, Opened(epoch, min(at, now_ms()), level, hosts))


def _is_host(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 255 and HOST.fullmatch(value) is not None
