"""A request to a VerifiedSender, or an error: there is no third outcome.

The key is found by its id, never by what the body says. For a linked instance it is the pinned key and no
other; a document of theirs that shows another one stops the link (see `lookup`). For
everybody else it is the key that the actor's own origin publishes; when it does not fit it is fetched once more,
at most once a minute (they may have changed it), and then refused. Nothing is written here: who has signed well
may still have nothing to say that is heard.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from federation.errors import FederationError, Gone, Malformed, Refused, Unreachable, Untrusted
from federation.held_keys import MOST_KEPT, HeldKey, hold
from federation.held_keys import held as held_key
from federation.instance import Instance
from federation.lookup import fetch_document, meet
from federation.reading import IncomingActor
from federation.refusals import unproved
from federation.signatures.facts import SignatureFacts, check
from federation.signatures.incoming import parse_request
from federation.signatures.keys import PublicKey, public_key_from_multikey, public_key_from_pem
from federation.trust import VerifiedSender, host_at, same_origin
from server import database as db
from server.clock import now_ms
from server.openness import LinkState
from server.queries.former import left_by
from server.viewer import Anonymous, PeerServer, Viewer

REFETCH_MS = 60_000
PINNED = frozenset({LinkState.CONFIRMED, LinkState.ACTIVE, LinkState.SUSPENDED})
"""States of a link in which both sides hold the other's key: nothing else stands for it then."""
NO_PEER = 0
"""The peer id of an instance of which nothing is kept: no row has it."""


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it stood on the wire. `url` begins with our configured base address; header names lower-case."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


_asked: OrderedDict[str, int] = OrderedDict()


async def verify(instance: Instance, request: SignedRequest) -> VerifiedSender:
    """Who signed this. Raises Malformed (400), Untrusted (401) or Refused (403)."""
    facts = parse_request(request.method, request.url, request.headers, request.body, now=now_ms())
    if same_origin(facts.key_id, instance.here.base):
        raise Untrusted("Nobody signs to us with a key of ours.", facts.key_id)
    host = host_at(facts.key_id)
    standing = await _standing(host)
    if standing["blocked_at"] is not None:
        raise Refused("This instance is not heard here.", host)
    linked = standing["state"] == LinkState.ACTIVE
    left = not linked and await left_by(host) is not None  # whoever is there now is not who was: see `inbox`
    handshake = not linked and (left or not instance.open)
    pin = _pin_named(standing, facts.key_id)
    if pin:
        held = _pinned(facts.key_id, pin)
        try:
            check(facts, held.key)
        except Untrusted as error:
            await _compare(instance, facts.key_id, standing)
            await unproved(host, error)
            raise
        return VerifiedSender(held.actor_uri, facts.key_id, host, standing["id"], linked, handshake)
    held, met = await _check_published(instance, facts)
    return VerifiedSender(held.actor_uri, facts.key_id, host, standing["id"], handshake=handshake, met=met)


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
    return PeerServer(sender.peer_id or NO_PEER, sender.linked)


async def _standing(host: str) -> dict[str, Any]:
    row = await db.fetch_one(
        "SELECT q.id, q.blocked_at, l.state, l.their_key, l.their_key_uri, l.their_old_key, l.their_old_key_uri,"
        " l.their_old_until_at FROM peer q LEFT JOIN link l ON l.peer_id = q.id WHERE q.host = $1",
        host,
    )
    return row or {"id": None, "blocked_at": None, "state": None}


def _pin_named(standing: Mapping[str, Any], key_id: str) -> str:
    """The pinned key (Multikey) with this address: the present one, or the one before in its last week; else ''."""
    if standing["state"] not in PINNED:
        return ""
    if key_id == standing["their_key_uri"]:
        return str(standing["their_key"])
    old = key_id == standing["their_old_key_uri"] and now_ms() < (standing["their_old_until_at"] or 0)
    return str(standing["their_old_key"]) if old else ""


async def _compare(instance: Instance, key_id: str, standing: Mapping[str, Any]) -> None:
    """Something was signed in the name of a pinned key, and not by it: does their own origin show another one now?

    Anybody can send such a thing, so their origin is asked, once a minute at most; what it shows is what counts.
    """
    if standing["state"] == LinkState.ACTIVE and _may_ask(key_id):
        with suppress(FederationError):
            await fetch_document(instance, key_id.partition("#")[0])


def _pinned(key_id: str, value: str) -> HeldKey:
    known = held_key(key_id)
    if known is not None and known.pinned and known.key.to_multikey() == value:
        return known
    owner = key_id.partition("#")[0]
    held = HeldKey(public_key_from_multikey(key_id, owner, value), owner, pinned=True)
    hold(key_id, held)
    return held


async def _check_published(instance: Instance, facts: SignatureFacts) -> tuple[HeldKey, IncomingActor | None]:
    """Tries the key we hold, then the one its origin publishes now; with the owner, when it was fetched."""
    held = held_key(facts.key_id)
    if held is None or held.pinned:
        held = await _from_row(facts.key_id)
    if held is not None:
        try:
            check(facts, held.key)
            return held, None
        except Untrusted:
            if not _may_ask(facts.key_id):
                raise
    elif not _may_ask(facts.key_id):
        raise Untrusted("The owner of the key was asked a moment ago, and no such key was found.", facts.key_id)
    held, met = await _from_origin(instance, facts.key_id)
    check(facts, held.key)
    return held, met


async def _from_row(key_id: str) -> HeldKey | None:
    owner = key_id.partition("#")[0].removesuffix("/main-key")
    row = await db.fetch_one(
        "SELECT uri, keys FROM actor WHERE uri = $1 AND peer_id IS NOT NULL AND gone_at IS NULL", owner
    )
    if row is None:
        return None
    keys = msgspec.json.decode(row["keys"], type=list[tuple[str, str, str, str]])
    return _hold(key_id, _listed(key_id, row["uri"], keys))


async def _from_origin(instance: Instance, key_id: str) -> tuple[HeldKey, IncomingActor]:
    try:
        owner = await meet(instance, key_id.partition("#")[0])
    except Unreachable as error:
        raise Untrusted("The key cannot be fetched.", str(error)) from None
    except (Refused, Malformed, Gone) as error:
        raise Untrusted("The key's document is not believed.", str(error)) from None
    if not same_origin(key_id, owner.id):
        raise Untrusted("The key is of another origin than its owner.", key_id)
    for listed in owner.keys:
        _hold(listed[0], _readable(listed[0], owner))
    held = held_key(key_id)
    if held is None or held.actor_uri != owner.id:
        raise Untrusted("The owner does not list that key.", key_id)
    return held, owner


def _readable(key_id: str, owner: IncomingActor) -> PublicKey | None:
    try:
        return _listed(key_id, owner.id, owner.keys) if same_origin(key_id, owner.id) else None
    except Malformed:
        return None


def _listed(key_id: str, owner: str, keys: Iterable[tuple[str, str, str, str]]) -> PublicKey | None:
    """The key among those that its owner lists, owner and key naming each other."""
    for found, controller, kind, value in keys:
        if found == key_id and controller == owner:
            return (public_key_from_pem if kind == "pem" else public_key_from_multikey)(key_id, owner, value)
    return None


def _hold(key_id: str, key: PublicKey | None) -> HeldKey | None:
    if key is None:
        return None
    held = HeldKey(key, key.owner)
    hold(key_id, held)
    return held


def _may_ask(key_id: str) -> bool:
    """At most once a minute for each owner, and for a bounded number of them (R9, R22)."""
    now, owner = now_ms(), key_id.partition("#")[0]
    if now - _asked.get(owner, 0) < REFETCH_MS:
        return False
    _asked[owner] = now
    _asked.move_to_end(owner)
    if len(_asked) > MOST_KEPT:
        _asked.popitem(last=False)
    return True
