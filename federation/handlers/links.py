"""Offer, Accept, Confirm and Undo of a link, and a new key of the other instance, as its own actor says them.

Until both sides hold each other's key, what counts is the key that the instance publishes and shows. From then on
it is the pinned key and no other, whatever any document says.
"""

import re
from typing import Any
from urllib.parse import urlsplit

from federation.errors import Malformed, Refused
from federation.handlers.call import Call
from federation.proving import holds
from federation.reading import Activity, actor, identifier, moment, text
from federation.signatures.keys import public_key_from_multikey
from federation.trust import VerifiedSender, lies_at, speaks_for
from federation.vocabulary import CONSENT, CONSENTS
from server.actions import link_keys, links
from server.actions.consent import heard
from server.actions.link_rows import Terms, TheirSide, row_of
from server.clock import now_ms
from server.errors import NotFound
from server.text import plain

OTHER_KEY = "What is said of a link is signed with the key of the link."


async def offered(call: Call) -> None:
    """The other instance proposes a link; an administrator here decides."""
    value = call.said.object if isinstance(call.said.object, dict) else {}
    here = call.instance.here
    if value.get("relationship") != "parvis:LinkedInstance" or identifier(value.get("object")) != here.instance:
        raise Refused("Only a link with this instance is offered here.", call.said.id)
    terms = _terms(value, _end(call.said.document))
    await links.receive(_their_side(call, value), _first_name(call, value), _nonce(value), here, terms)


async def accepted(call: Call, offer_uri: str) -> None:
    """The other instance takes our proposal."""
    result = call.said.document.get("result")
    value = result if isinstance(result, dict) else {}
    await links.accepted(_their_side(call, value), offer_uri, _nonce(value), _terms(value, None))


async def confirmed(call: Call) -> None:
    """The other side's administrator compared the words."""
    await _by_its_key(call)
    await links.confirmed(call.peer_id)


async def consent(call: Call) -> None:
    """The other instance says whether its people's words may be opened to who could not read them: by its own key."""
    if not call.linked or call.actor.kind != "application":
        raise Refused("Only a linked instance itself speaks for its people's words.", call.said.actor)
    await _by_its_key(call)
    word = call.said.object[CONSENT]
    if word not in CONSENTS:
        raise Malformed("“parvis:historyConsent” must be “allow” or “deny”.", call.said.id)
    await heard(call.peer_id, word == "allow")


async def answered(call: Call) -> None:
    """An Accept or Reject that names none of our facts is about nothing (O24)."""
    raise Refused("That answers nothing that was asked.", call.said.object_id, rule="O24")


async def ended(call: Call) -> None:
    """The other side ends the agreement."""
    await _by_its_key(call)
    named = call.said.object_id.removesuffix("/link")
    number = call.own_event(named)
    await links.ended(call.peer_id, f"event:{number}" if number else named)


async def names_the_offer(call: Call) -> bool:
    """Whether what an instance says is about the proposal of its link with us, which it names by its address alone."""
    if call.actor.kind != "application":
        return False
    row = await row_of(call.peer_id)
    return row is not None and row["offer_uri"] in (call.said.object_id, f"event:{call.own_event(call.said.object_id)}")


async def new_key(sender: VerifiedSender, said: Activity) -> bool:
    """Takes the word of a partner's new key, and says whether it was one. Raises FederationError.

    It is taken at the door, before it is acknowledged: from then on the partner signs with that key alone. And
    whatever the link is at, as long as a key is kept: one that is suspended goes on some day, and one that is proposed
    may be agreed upon.
    """
    itself = said.type == "Update" and said.object_id == said.actor == sender.actor_uri
    pin = await link_keys.shown(sender.peer_id) if itself and sender.peer_id is not None else None
    if pin is None or said.actor != pin["their_key_uri"].partition("#")[0]:
        return False
    speaks_for(sender, said)
    await _rekeyed(pin, sender.key_id, said)
    return True


async def rekeyed(call: Call) -> None:
    """The same, when a stream brings it, or when the proposal of the link was not taken yet. Raises NotFound."""
    pin = await link_keys.shown(call.peer_id)
    if pin is None:
        raise NotFound(detail="no link with that instance")
    if call.said.actor != pin["their_key_uri"].partition("#")[0]:
        raise Refused("Only an instance itself speaks of its links.", call.said.actor)
    await _rekeyed(pin, call.key_id, call.said)


async def _rekeyed(pin: dict[str, Any], key_id: str, said: Activity) -> None:
    """The other instance says what it is now. Another key counts when the pinned one signs it and itself proves it.

    Anything else that shows another key than the pinned one stops the link: see `link_keys.disagreed`.
    """
    owner = said.actor
    if not isinstance(said.object, dict):
        raise Malformed("A new key is told with the whole document of the instance's actor.", said.id)
    shown = actor(said.object)
    keys = [key for key in shown.keys if key[2] == "multikey" and key[1] == owner == shown.id]
    if keys and keys[0][3] == pin["their_key"]:
        return
    if keys and key_id == pin["their_key_uri"] and holds(said.document, owner, keys[:1], said.as_came):
        await link_keys.rekeyed(pin["peer_id"], keys[0][0], keys[0][3])
        return
    await link_keys.disagreed(pin["peer_id"], "The instance says that it has another key, without proof.", said.id)


async def _by_its_key(call: Call) -> None:
    """Raises Refused unless the instance itself speaks, with the pinned key or, before there is one, its own."""
    pin = await link_keys.pinned(call.peer_id)
    if pin is None:
        _their_side(call, {})
    elif not link_keys.counts(pin, call.key_id, now_ms()) or call.said.actor != call.key_id.partition("#")[0]:
        raise Refused(OTHER_KEY, call.key_id)


def _their_side(call: Call, value: dict[str, Any]) -> TheirSide:
    """Who speaks is the instance itself, with the key that it shows and that its own origin serves.

    The instance itself is the one actor at `/actor`: anybody may call himself an Application.
    """
    fetched = call.fetched
    if fetched is None or fetched.type != "Application" or urlsplit(fetched.id).path != "/actor":
        raise Refused("Only an instance itself speaks of its links.", call.said.actor)
    keys = [(key_id, key) for key_id, owner, kind, key in fetched.keys if kind == "multikey" and owner == fetched.id]
    if not keys:
        raise Malformed("The instance publishes no Ed25519 key.")
    shown = text(value.get("parvis:key"), "parvis:key", 200)
    # who has a new key goes on with the one before, which it still publishes, until we have taken the word of the new
    by = [one for one in keys if one[1] == shown or (not shown and one[0] == call.key_id)]
    key_id, key = (by or keys)[0]
    if shown and shown != key:
        raise Refused("The key that is offered is not the one that is published.", call.said.id)
    if call.key_id != key_id:
        raise Refused(OTHER_KEY, call.key_id)
    public_key_from_multikey(key_id, fetched.id, key)
    return TheirSide(call.peer_id, call.host, key_id, key, plain(fetched.display_name))


def _first_name(call: Call, value: dict[str, Any]) -> str:
    """By which name a proposal is known: its own or, when it went out more than once, that of the first time."""
    first = identifier(value.get("id")).removesuffix("/link")
    again = first != value.get("id") and lies_at(first, call.said.actor)
    return first if again else call.said.id


def _terms(value: dict[str, Any], offer_until: int | None) -> Terms:
    version = value.get("parvis:minVersion", 1)
    if type(version) is not int or not 0 < version < 1000:
        raise Malformed("“parvis:minVersion” must be a small whole number.")
    return Terms(offer_until, _end(value), version)


def _end(document: dict[str, Any]) -> int | None:
    """When it is over (ms), None for no end. One that cannot be read is not taken for none: it would never end."""
    value = document.get("endTime")
    end = moment(value)
    if end is None and value is not None:
        raise Malformed("“endTime” must be a date and time.")
    return end


def _nonce(value: dict[str, Any]) -> str:
    nonce = value.get("parvis:nonce")
    if not isinstance(nonce, str) or not re.fullmatch("[0-9a-f]{32,64}", nonce):
        raise Malformed("“parvis:nonce” must be 128 bits in hexadecimal.")
    return nonce
