"""Offer, Accept, Confirm and Undo of a link, as the other instance's own actor says them."""

from typing import Any

from federation.errors import Malformed, Refused
from federation.handlers.call import Call
from federation.reading import text
from server.actions import links


async def offered(call: Call) -> None:
    """The other instance proposes a link; an administrator here decides."""
    value = call.said.object if isinstance(call.said.object, dict) else {}
    if value.get("relationship") != "parvis:LinkedInstance":
        raise Refused("Only a link is offered here.", call.said.id)
    await links.receive(_their_side(call, value), call.said.id, _nonce(value))


async def accepted(call: Call, offer_uri: str) -> None:
    """The other instance takes our proposal."""
    result = call.said.document.get("result")
    value = result if isinstance(result, dict) else {}
    await links.accepted(_their_side(call, value), offer_uri, _nonce(value))


async def confirmed(call: Call) -> None:
    """The other side's administrator compared the words."""
    await links.confirmed(call.peer_id, _their_side(call, {}).key)


async def answered(call: Call) -> None:
    """An Accept or Reject that names none of our facts is about nothing (O24)."""
    raise Refused("That answers nothing that was asked.", call.said.object_id)


async def ended(call: Call) -> None:
    """The other side ends the agreement."""
    _their_side(call, {})
    await links.ended(call.peer_id)


def _their_side(call: Call, value: dict[str, Any]) -> links.TheirSide:
    """Who speaks is the instance itself, and the key that it shows is the one that its own origin serves."""
    fetched = call.fetched
    if fetched is None or fetched.type != "Application" or fetched.id != call.said.actor:
        raise Refused("Only an instance itself speaks of its links.", call.said.actor)
    keys = [(key_id, key) for key_id, owner, kind, key in fetched.keys if kind == "multikey" and owner == fetched.id]
    if not keys:
        raise Malformed("The instance publishes no Ed25519 key.")
    shown = text(value.get("parvis:key"), "parvis:key", 200)
    if shown and shown != keys[0][1]:
        raise Refused("The key that is offered is not the one that is published.", call.said.id)
    return links.TheirSide(call.peer_id, call.host, keys[0][0], keys[0][1], fetched.display_name)


def _nonce(value: dict[str, Any]) -> str:
    nonce = text(value.get("parvis:nonce"), "parvis:nonce", 64)
    if len(nonce) < 32:
        raise Malformed("“parvis:nonce” must have 128 bits.")
    return nonce
