"""Follow, Join, Leave, Invite, Accept, Reject, Remove, and Undo of them."""

from typing import Any

from federation.errors import Refused
from federation.handlers import links
from federation.handlers.call import Call
from federation.handlers.posts import LIKES, undo_like
from federation.reading import identifier, moment
from server import database as db
from server.actions import follows, incidents, join_requests, membership, membership_lists, moderation, spaces
from server.actions.link_keys import tell_administrators
from server.errors import NotFound
from server.events import Kind
from server.openness import Level
from server.queries import spaces as spaces_seen
from server.text import plain


async def follow(call: Call) -> None:
    """Of a person here, or of a space here (which plain servers join by following it)."""
    target = await _ours(call, call.said.object_id)
    if target["kind"] == "group":
        await join_requests.asked(call.person, call.said.object_id, call.said.id)
    else:
        await follows.asked(call.person, target["id"], call.said.id)


async def join(call: Call) -> None:
    """A person elsewhere wants into a space here."""
    await join_requests.asked(call.person, call.said.object_id, call.said.id)


async def leave(call: Call) -> None:
    """A person elsewhere leaves a space here."""
    await membership.left(call.person, call.said.object_id)


async def undo(call: Call) -> None:
    """Takes back a reaction, a Follow or a Join; ends a link."""
    kind = call.said.object_type
    if kind in LIKES:
        await undo_like(call)
    elif kind in ("Follow", "Join"):
        whole = call.said.object if isinstance(call.said.object, dict) else {}
        target = await _ours(call, identifier(whole.get("object")), suspended=True)
        if target["kind"] == "group":
            await membership.left(call.person, target["uri"])
        else:
            await follows.undone(call.person, target["id"])
    elif kind in ("Offer", "Relationship") or await links.names_the_offer(call):
        await links.ended(call)
    else:
        await undo_like(call)


async def invite(call: Call) -> None:
    """A space at a linked instance invites one of our people."""
    if not call.linked:
        raise Refused("Only a linked instance invites.", call.said.id)
    if call.said.object_id != call.said.actor or call.fetched is None or call.fetched.type != "Group":
        raise Refused("A space invites to itself only.", call.said.id)
    target = await _ours(call, call.said.target)
    space_id = await mirror(call)
    await join_requests.invited(call.server, space_id, target["id"], call.said.id, None)


async def mirror(call: Call) -> int:
    """Our view of the space whose actor was fetched for this call."""
    fetched = call.fetched
    if fetched is None or not call.linked:
        raise Refused("Only a linked instance shows its spaces.", call.said.actor)
    level = Level(fetched.openness) if fetched.openness in set(Level) else Level.PARTNERS
    told = spaces.SpaceElsewhere(
        call.actor.id,
        call.actor.name,
        call.actor.host,
        fetched.display_name,
        fetched.summary,
        level,
        newcomers_from=moment(fetched.document.get("parvis:newcomersFrom")),
    )
    space_id = await spaces.mirror(call.server, told)
    epoch = fetched.document.get("parvis:policyEpoch")
    await db.execute(
        "UPDATE space SET proofs = $1, epoch = CASE WHEN epoch < $2 THEN $2 ELSE epoch END WHERE id = $3",
        fetched.document.get("parvis:proofs") is not False,
        min(epoch, 1 << 53) if type(epoch) is int else 0,
        space_id,
    )
    return space_id


async def disagreed(call: Call) -> None:
    """The other instance and we do not agree on who of theirs is in a space of ours: administrators should look."""
    space = await spaces_seen.find_by_uri(call.server, call.said.object_id)
    if not call.linked or not space.hosted_here:
        raise Refused("Only of a space of ours, by a linked instance.", call.said.object_id, rule="I8")
    await incidents.noticed(call.peer_id, "members", membership_lists.DISAGREE, space.slug)
    await tell_administrators(call.peer_id, "members")


async def answer(call: Call) -> None:
    """Accept or Reject of what one of ours asked; of nothing else (O24)."""
    accepted = call.said.type == "Accept"
    number = call.own_event(call.said.object_id)
    columns = "SELECT kind, space_id, post_id FROM event WHERE id = $1"
    event = await db.fetch_one(columns, number) if number else None
    if event is not None and event["kind"] == Kind.POST_PUBLISHED:
        await _moderated(call, event)
    elif call.said.type == "TentativeAccept":
        raise NotFound(detail="an answer to nothing that was asked (O24)")
    elif event is None:
        await links.answered(call)
    elif event["kind"] == Kind.LINK_OFFERED and accepted:
        await links.accepted(call, f"event:{number}")
    elif not call.linked and not call.instance.open:
        raise Refused("Nothing but a link is agreed upon before it is active (W2).", call.said.id)
    elif event["kind"] == Kind.FOLLOW_ASKED:
        await follows.answered(call.person, call.actor.id, f"event:{number}", accepted)
    elif event["kind"] == Kind.JOIN_ASKED:
        await _only_the_space(call, event["space_id"])
        at, since = (moment(call.said.document.get(name)) for name in ("published", "parvis:newcomersFrom"))
        await join_requests.answered(call.server, f"event:{number}", accepted, at, since)
    else:
        raise NotFound(detail="an answer to nothing that was asked (O24)")


_OUTCOMES = {"TentativeAccept": Kind.POST_HELD, "Accept": Kind.POST_APPROVED, "Reject": Kind.POST_REFUSED}


async def _moderated(call: Call, event: dict[str, Any]) -> None:
    """The space itself says what became of what one of ours wrote there."""
    await _only_the_space(call, event["space_id"])
    row = await db.fetch_one("SELECT uri FROM post WHERE id = $1", event["post_id"])
    reason = call.said.document.get("summary")
    reason = plain(reason)[: moderation.REASON_CHARACTERS] if isinstance(reason, str) else ""
    post_uri = row["uri"] if row else ""
    await moderation.told(call.server, call.said.actor, post_uri, _OUTCOMES[call.said.type], reason)


async def _only_the_space(call: Call, space_id: int) -> None:
    """Whoever else lives on its instance has no say in who is in a space."""
    if not await db.fetch_one("SELECT id FROM space WHERE id = $1 AND actor_id = $2", space_id, call.actor.id):
        raise Refused("Only the space itself answers who asks to come in.", call.said.actor)


async def remove(call: Call) -> None:
    """The host of a space lets one of our people go."""
    target = await _ours(call, call.said.object_id)
    await membership.removed(call.server, call.said.actor, target["id"])


async def _ours(call: Call, uri: str, *, suspended: bool = False) -> dict[str, Any]:
    """One of our own actors; also one that is `suspended`, which may pass, where something ends. Raises NotFound."""
    row = await db.fetch_one("SELECT id, uri, kind, suspended_at FROM actor WHERE uri = $1 AND peer_id IS NULL", uri)
    if row is None or (row["suspended_at"] is not None and not suspended):
        raise NotFound(detail="no such actor here")
    return row
