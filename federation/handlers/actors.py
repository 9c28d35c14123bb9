"""Update of an actor: what its own origin says now was fetched beforehand, and is what counts."""

from federation.errors import Refused
from federation.handlers import links
from federation.handlers.call import Call
from federation.handlers.membership import mirror
from server import database as db


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
        await mirror(call)
