"""A request to a VerifiedSender, or an error: there is no third outcome.

The key is found by its id, never by what the body says. For a linked instance it is the pinned key and no
other: a fetched document that names another key for it suspends nothing here, it is simply not used. For
everybody else it is the key that the actor's own origin publishes; when it does not fit it is fetched once more,
at most once a minute (they may have changed it), and then refused.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from federation.errors import FederationError, Malformed, Refused, Unreachable, Untrusted
from federation.held_keys import MOST_KEPT, HeldKey, hold
from federation.held_keys import held as held_key
from federation.instance import Instance
from federation.lookup import fetch
from federation.signatures.facts import SignatureFacts, check
from federation.signatures.incoming import parse_request
from federation.signatures.keys import public_key_from_multikey, public_key_from_pem
from federation.trust import VerifiedSender, same_origin
from server import database as db
from server.clock import now_ms
from server.ids import host_of
from server.viewer import Anonymous, PeerServer, Viewer

REFETCH_MS = 60_000


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it stood on the wire. `url` begins with our configured base address; header names lower-case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


_refetched: OrderedDict[str, int] = OrderedDict()


async def verify(instance: Instance, request: SignedRequest) -> VerifiedSender:
    """Who signed this. Raises Malformed (400), Untrusted (401) or Refused (403)."""
    facts = parse_request(request.method, request.url, request.headers, request.body, now=now_ms())
    host = host_of(facts.key_id)
    if host == instance.here.host:
        raise Untrusted("Nobody signs to us with a key of ours.", facts.key_id)
    standing = await _standing(host)
    if standing["blocked_at"] is not None:
        raise Refused("This instance is not heard here.", host)
    linked = standing["state"] == "active"
    if linked and facts.key_id == standing["their_key_uri"]:
        held = _pinned(facts.key_id, standing)
        check(facts, held.key)
        return VerifiedSender(held.actor_uri, facts.key_id, host, held.peer_id, held.actor_id, linked=True)
    held = await _check_published(instance, facts)
    return VerifiedSender(
        held.actor_uri, facts.key_id, host, held.peer_id, held.actor_id, handshake=not linked and not instance.open
    )


async def viewer_of(instance: Instance, request: SignedRequest) -> Viewer:
    """Who reads, for a signed GET; without a signature, or one that does not hold, the web at large.

    A signature proves a server. Where only links federate, a server without one is like anybody.
    """
    if "signature" not in request.headers and "signature " not in request.headers.get("authorization", "").lower():
        return Anonymous()
    if not instance.federates:
        return Anonymous()
    try:
        sender = await verify(instance, request)
    except FederationError:
        return Anonymous()
    if sender.handshake:
        return Anonymous()
    return PeerServer(sender.peer_id, sender.linked)


async def _standing(host: str) -> dict[str, Any]:
    row = await db.fetch_one(
        "SELECT q.id, q.blocked_at, l.state, l.their_key, l.their_key_uri FROM peer q"
        " LEFT JOIN link l ON l.peer_id = q.id WHERE q.host = $1",
        host,
    )
    return row or {"id": None, "blocked_at": None, "state": None, "their_key": "", "their_key_uri": ""}


def _pinned(key_id: str, standing: Mapping[str, object]) -> HeldKey:
    known = held_key(key_id)
    value = str(standing["their_key"])
    if known is not None and known.pinned and known.key.to_multikey() == value:
        return known
    owner = key_id.partition("#")[0]
    key = public_key_from_multikey(key_id, owner, value)
    held = HeldKey(key, owner, None, int(str(standing["id"])), pinned=True)
    hold(key_id, held)
    return held


async def _check_published(instance: Instance, facts: SignatureFacts) -> HeldKey:
    """Tries the key we hold, then the one its origin publishes now."""
    held = held_key(facts.key_id)
    if held is None or held.pinned:
        held = await _from_row(facts.key_id)
    if held is not None:
        try:
            check(facts, held.key)
            return held
        except Untrusted:
            if not _may_refetch(facts.key_id):
                raise
    held = await _from_origin(instance, facts.key_id)
    check(facts, held.key)
    return held


async def _from_row(key_id: str) -> HeldKey | None:
    owner = key_id.partition("#")[0].removesuffix("/main-key")
    row = await db.fetch_one(
        "SELECT id, uri, peer_id, keys FROM actor WHERE uri = $1 AND peer_id IS NOT NULL AND gone_at IS NULL", owner
    )
    held = _hold(key_id, row) if row else None
    if held is not None:
        hold(key_id, held)
    return held


async def _from_origin(instance: Instance, key_id: str) -> HeldKey:
    try:
        found = await fetch(instance, key_id.partition("#")[0])
    except Unreachable as error:
        raise Untrusted("The key cannot be fetched.", str(error)) from None
    except (Refused, Malformed) as error:
        raise Untrusted("The key's document is not believed.", str(error)) from None
    if not same_origin(key_id, found.uri):
        raise Untrusted("The key is of another origin than its owner.", key_id)
    row = await db.fetch_one("SELECT id, uri, peer_id, keys FROM actor WHERE uri = $1", found.uri)
    held = _hold(key_id, row) if row else None
    if held is None:
        raise Untrusted("The owner does not list that key.", key_id)
    hold(key_id, held)
    return held


def _hold(key_id: str, row: Mapping[str, object]) -> HeldKey | None:
    """The key among those that its owner lists, owner and key naming each other."""
    for found, owner, kind, value in msgspec.json.decode(str(row["keys"]), type=list[tuple[str, str, str, str]]):
        if found == key_id and owner == row["uri"]:
            read = public_key_from_pem if kind == "pem" else public_key_from_multikey
            return HeldKey(
                read(key_id, owner, value), owner, int(str(row["id"])), int(str(row["peer_id"])), pinned=False
            )
    return None


def _may_refetch(key_id: str) -> bool:
    """At most once a minute for each key, and for a bounded number of keys (R9, R22)."""
    now = now_ms()
    if now - _refetched.get(key_id, 0) < REFETCH_MS:
        return False
    _refetched[key_id] = now
    _refetched.move_to_end(key_id)
    if len(_refetched) > MOST_KEPT:
        _refetched.popitem(last=False)
    return True
