"""Offer, Accept, Confirm and Undo of a link, as the other instance's own actor says them."""

import re
from typing import Any
from urllib.parse import urlsplit

from federation.errors import Malformed, Refused
from federation.handlers.call import Call
from federation.reading import identifier, text
from federation.signatures.keys import public_key_from_multikey
from server.actions import links
from server.text import plain


async def offered(call: Call) -> None:
    """The other instance proposes a link; an administrator here decides."""
    value = call.said.object if isinstance(call.said.object, dict) else {}
    here = call.instance.here
    if value.get("relationship") != "parvis:LinkedInstance" or identifier(value.get("object")) != here.instance:
        raise Refused("Only a link with this instance is offered here.", call.said.id)
    await links.receive(_their_side(call, value), call.said.id, _nonce(value), here)


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
    await links.ended(call.peer_id, _their_side(call, {}).key)


def _their_side(call: Call, value: dict[str, Any]) -> links.TheirSide:
    """Who speaks is the instance itself, with the key that it shows and that its own origin serves.

    The instance itself is the one actor at `/actor`: anybody may call himself an Application.
    """
    fetched = call.fetched
    if fetched is None or fetched.type != "Application" or urlsplit(fetched.id).path != "/actor":
        raise Refused("Only an instance itself speaks of its links.", call.said.actor)
    keys = [(key_id, key) for key_id, owner, kind, key in fetched.keys if kind == "multikey" and owner == fetched.id]
    if not keys:
        raise Malformed("The instance publishes no Ed25519 key.")
    key_id, key = keys[0]
    shown = text(value.get("parvis:key"), "parvis:key", 200)
    if shown and shown != key:
        raise Refused("The key that is offered is not the one that is published.", call.said.id)
    if call.key_id != key_id:
        raise Refused("What is said of a link is signed with the key of the link.", call.key_id)
    public_key_from_multikey(key_id, fetched.id, key)
    return links.TheirSide(call.peer_id, call.host, key_id, key, plain(fetched.display_name))


def _nonce(value: dict[str, Any]) -> str:
    nonce = value.get("parvis:nonce")
    if not isinstance(nonce, str) or not re.fullmatch("[0-9a-f]{32,64}", nonce):
        raise Malformed("“parvis:nonce” must be 128 bits in hexadecimal.")
    return nonce
