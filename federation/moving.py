"""A partner is at another address: its link, its people and its spaces go there with it.

It says so itself, from the new address: an `Update` of the link, signed there and proved (FEP-8b32) with the key that
we pinned. That proof is what counts; who merely holds a domain, the old one or the new, moves nothing. Both ends
must agree besides: the new actor shows the pinned key and names the old one (`alsoKnownAs`), and while the old
address still answers with that key, it must name the new one (`movedTo`, or a redirect). So whoever stole the key of
an instance that is still in its place cannot carry its links away.

No administrator has to confirm: the key was compared when the link was made, it says no more than it could say in
any other way, and waiting would stop the spaces of both sides. Administrators are told, see where it came from, and
may suspend the link. The six words now name the new address, and can be compared again at any time.
"""

import logging
from typing import Any
from urllib.parse import urlsplit

from tortoise.exceptions import IntegrityError

from federation import refusals
from federation.composing import forget_sealed
from federation.errors import FederationError, Malformed, Refused, Untrusted
from federation.instance import Instance
from federation.lookup import fetch_document, meet, remember
from federation.pins import Key, pinned_keys
from federation.proving import holds
from federation.reading import Activity, IncomingActor, identifier, many, moment
from federation.streams import begin_again
from federation.trust import VerifiedSender, host_at, origin, same_origin
from server import database as db
from server.actions import moving
from server.actions.audit import note
from server.actions.link_keys import tell_administrators
from server.actions.link_rows import wake
from server.clock import now_ms
from server.errors import DomainError, Unavailable
from server.limits import AHEAD_MS
from server.openness import LinkState
from server.queries.former import left_by, moves
from server.sql import Clause, one_of
from server.viewer import PeerServer

log = logging.getLogger("parvis.moving")

MOST_FORMER = 20
"""Addresses that an instance may have left: each is looked at in all that comes."""
AGAIN_AFTER_MS = 3_600_000
"""How soon it may move again: each time all that names it is written anew, and others wait meanwhile."""
RULE = "move"


def is_move(said: Activity) -> bool:
    """Whether an activity says that an instance is at another address than before."""
    return said.type == "Update" and isinstance(said.object, dict) and "parvis:movedFrom" in said.object


async def moved(instance: Instance, sender: VerifiedSender, said: Activity) -> None:
    """Follows a partner to its new address, in one transaction. Again: nothing more. Raises FederationError.

    Nothing is kept of somebody who may not say so; what a partner's administrators here should see is counted.
    """
    base = _from_itself(sender, said)
    if not await _for_us(instance, said):
        raise Refused("That is said to another instance.", said.id)
    former = [_base(identifier(one)) for one in many(said.object["parvis:movedFrom"])[:MOST_FORMER]]
    link = await _link_from(former)
    if link is None and sender.linked:
        return  # it is known there already
    pins = _as_if_at(base, await pinned_keys(link["peer_id"])) if link else []
    if link is None or not any(holds(said.document, said.actor, [key]) for key in pins):
        # the same for whoever is linked here and for whoever is not: that is nothing for strangers to find out
        error = Untrusted("That an instance moved is proved with the pinned key.", said.id, rule=RULE)
        if link is not None:
            await refusals.unproved(link["host"], error)
        raise error
    try:
        document = await _agreed(instance, said, link, pins)
        await _follow(link, base, document, _when(said))
    except FederationError as error:
        error.rule = error.rule or RULE
        await refusals.counted(link["peer_id"], error, said.actor)
        raise


# --- who says what to whom -----------------------------------------------------------------------


def _from_itself(sender: VerifiedSender, said: Activity) -> str:
    """The origin that speaks, without a slash at the end. Raises Untrusted."""
    if sender.actor_uri != said.actor or urlsplit(said.actor).path != "/actor" or not same_origin(said.id, said.actor):
        raise Untrusted("Only an instance itself speaks of its links.", said.actor)
    return _base(said.actor)


def _base(address: str) -> str:
    scheme, _, _ = origin(address)
    return f"{scheme}://{host_at(address)}"


async def _for_us(instance: Instance, said: Activity) -> bool:
    return (await moves()).now(identifier(said.object.get("object"))) == instance.here.instance


async def _link_from(former: list[str]) -> dict[str, Any] | None:
    """The link with whoever stands at one of these, as far as we know: an active one, or else the last address's.

    Several stand there when people made a new link instead of letting the old one follow.
    """
    query = Clause("SELECT l.*, q.host, q.base_url FROM link l JOIN peer q ON q.id = l.peer_id WHERE")
    rows = await db.fetch(*query.join(one_of("q.base_url", dict.fromkeys(former))).statement())
    rows.sort(key=lambda row: (row["state"] != LinkState.ACTIVE, former.index(row["base_url"])))
    return rows[0] if rows else None


def _as_if_at(base: str, pins: list[Key]) -> list[Key]:
    """The pinned keys, named as they are at another origin."""
    return [
        (f"{base}{urlsplit(key_id)._replace(scheme='', netloc='').geturl()}", f"{base}/actor", kind, value)
        for key_id, _, kind, value in pins
    ]


def _when(said: Activity) -> int:
    return moment(said.document.get("published")) or 0


# --- whether it may be -----------------------------------------------------------------------------


async def _agreed(instance: Instance, said: Activity, link: dict[str, Any], pins: list[Key]) -> IncomingActor:
    """What the new address shows, when both ends agree. Raises FederationError."""
    if link["state"] != LinkState.ACTIVE:
        raise Refused("The link of the instance that moves is not active.", link["host"])
    if not _when(said) > 0:
        raise Malformed("A move says when it was made.", said.id)
    if _when(said) > now_ms() + AHEAD_MS:  # by a clock that is ahead: a while later it may be said again
        raise Refused("When a move says that it was made is not yet.", said.id)
    await _not_too_often(link["peer_id"], said)
    await _free(instance, said.actor, link)
    document = await meet(instance, said.actor)
    values = {value for _, _, _, value in pins}
    if document.id != said.actor or document.type != "Application" or not _shows(document, values):
        raise Refused("The new address does not show the pinned key.", said.actor)
    known_as = [identifier(one) for one in many(document.document.get("alsoKnownAs"))[:MOST_FORMER]]
    if f"{link['base_url']}/actor" not in known_as:
        raise Refused("The new address does not say that it was at the old one.", said.actor)
    await _old_agrees(instance, link["base_url"], said.actor, values)
    return document


async def _not_too_often(peer_id: int, said: Activity) -> None:
    """It says so after what it said before, not again within the hour, and has not been at too many addresses."""
    left = await db.fetch("SELECT host, said_at, moved_at FROM former_origin WHERE peer_id = $1", peer_id)
    if any(_when(said) <= row["said_at"] for row in left):
        raise Refused("The instance said later that it is elsewhere.", said.id)
    if any(row["moved_at"] > now_ms() - AGAIN_AFTER_MS for row in left):
        raise Refused("The instance moved within the hour: it may again later.", said.id, status=429)
    if len(left) >= MOST_FORMER and host_at(said.actor) not in {row["host"] for row in left}:
        raise Refused("The instance has been at too many addresses.", said.id)


async def _free(instance: Instance, actor: str, link: dict[str, Any]) -> None:
    """Nobody else is at the new address, as far as we know."""
    host = host_at(actor)
    if same_origin(actor, instance.here.base) or host == link["host"]:
        raise Refused("That is not another address.", host)
    before = await left_by(host)
    if before is not None and before["peer_id"] != link["peer_id"]:
        raise Refused("The new address was somebody else's.", host)
    other = await db.fetch_one(
        "SELECT l.id FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1 AND l.state <> 'none'", host
    )
    if other is not None:
        raise Refused("The new address has, or had, a link of its own.", host)


def _shows(document: IncomingActor, values: set[str]) -> bool:
    return any(
        kind == "multikey" and owner == document.id and value in values for _, owner, kind, value in document.keys
    )


async def _old_agrees(instance: Instance, old: str, actor: str, values: set[str]) -> None:
    """Raises Refused when the old address still answers as that instance, and names no new one."""
    try:
        document = await fetch_document(instance, f"{old}/actor", compare=True)
    except FederationError:
        return
    still = document.id == f"{old}/actor" and _shows(document, values)
    if still and identifier(document.document.get("movedTo")) != actor:
        raise Refused("The old address still answers as that instance, and says of no other.", old)


# --- going along -----------------------------------------------------------------------------------


async def _follow(link: dict[str, Any], base: str, document: IncomingActor, said_at: int) -> None:
    peer_id, old = link["peer_id"], link["base_url"]
    try:
        async with db.transaction():
            await moving.alone()
            row = await db.fetch_one(
                "SELECT l.state, q.base_url FROM link l JOIN peer q ON q.id = l.peer_id WHERE l.peer_id = $1", peer_id
            )
            if row is None or row["state"] != LinkState.ACTIVE or row["base_url"] != old:
                raise Refused("The link changed meanwhile.", link["host"])
            await _make_room(host_at(base), peer_id)
            await moving.follow(peer_id, old, base, said_at)
            await remember(document)
            await begin_again(peer_id, "it is at another address", moved=True)
            told = {"before": link["host"], "after": host_at(base)}
            await note(PeerServer(peer_id, linked=True), "link_moved", subject=host_at(base), **told)
            await tell_administrators(peer_id, "moved")
            db.after_commit(forget_sealed)
            wake()
    except Unavailable:
        raise  # it says so again later
    except (IntegrityError, DomainError) as error:
        raise Refused("Somebody else is known at the new address.", str(error)) from None
    log.warning("a partner moved", extra={"action": "link.moved", "peer": host_at(base), "reason": link["host"]})


async def _make_room(host: str, peer_id: int) -> None:
    """Whoever was met at the new address before the move was said is of this instance, and who was known stays one."""
    stray = await db.fetch_one("SELECT id, base_url FROM peer WHERE host = $1", host)
    if stray is not None:
        old = await db.fetch_one("SELECT base_url FROM peer WHERE id = $1", peer_id)
        assert old is not None
        await moving.become_one(stray["id"], stray["base_url"], peer_id, old["base_url"])
