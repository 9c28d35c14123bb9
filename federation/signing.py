"""Signing what leaves: which of our keys, in which form, towards whom.

A linked instance gets RFC 9421 with the pinned Ed25519 key of this instance. Everybody else gets the actor's own
RSA key, in draft-cavage until the host has shown that it wants the other form (double-knocking).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from time import monotonic

from federation.instance import Instance
from federation.keyring import LOOKS_EVERY_S, instance_actor_id, instance_key, key_at, looked_at, private_key
from federation.signatures import cavage, messages
from federation.signatures.keys import PrivateKey
from federation.skew import towards
from federation.transport import Sign
from federation.trust import host_at
from server import database as db
from server.actions.link_keys import NOT_TOLD
from server.clock import now_ms

LINK_TAG = "parvis-link"


@dataclass(frozen=True, slots=True)
class Manner:
    """How requests to a host are signed. `linked`: by an active link."""

    linked: bool = False
    scheme: str = "cavage"

    def other(self) -> "Manner":
        """The other form, for the second knock."""
        return Manner(self.linked, "rfc9421" if self.scheme == "cavage" else "cavage")


async def manner_towards(host: str) -> Manner:
    """What is known of a host: its link, and the form that it took last."""
    row = await db.fetch_one(
        "SELECT q.knock, l.state FROM peer q LEFT JOIN link l ON l.peer_id = q.id WHERE q.host = $1", host
    )
    return Manner() if row is None else manner_of(row["state"] == "active", row["knock"])


def manner_of(linked: bool, knock: str) -> Manner:
    """By its link, or in the form that it took last (`knock`, '' when none is known)."""
    return Manner(linked=True, scheme="rfc9421") if linked else Manner(scheme=knock or "cavage")


async def sign_as(instance: Instance, actor_uri: str, manner: Manner) -> Sign:
    """A signer for requests of one actor; towards a linked instance this instance signs for it."""
    if manner.linked:
        return partial(_by_link, key=await instance_key(instance), older=await _older(instance))
    key = await private_key(instance, actor_uri, "rsa")
    return partial(_message, key=key, tag=None) if manner.scheme == "rfc9421" else partial(_cavage, key=key)


async def sign_as_instance(instance: Instance, manner: Manner) -> Sign:
    """A signer for our own look-ups: no person is named by them."""
    await instance_actor_id(instance)
    return await sign_as(instance, instance.here.instance, manner)


async def key_towards(instance: Instance, host: str) -> PrivateKey:
    """The Ed25519 key of this instance that a partner holds: the newest, or the one before until it took the word."""
    newest = await instance_key(instance)
    return (await _older(instance)).get(host, newest)


_older_kept: dict[str, tuple[float, dict[str, PrivateKey]]] = {}


async def _older(instance: Instance) -> dict[str, PrivateKey]:
    """The hosts that do not know our present key yet, each with the one that it holds: nearly always none.

    Asked after the key, and never older than it: a new key is for nobody who was not told of it.
    """
    at, known = _older_kept.get(instance.here.base, (0.0, {}))
    if looked_at(instance) < at and monotonic() - at < LOOKS_EVERY_S:
        return known
    at = monotonic()
    rows = await db.fetch(f"SELECT q.host, l.our_key_uri FROM link l JOIN peer q ON q.id = l.peer_id WHERE {NOT_TOLD}")
    found = {row["host"]: await key_at(instance, row["our_key_uri"]) for row in rows}
    _older_kept[instance.here.base] = at, found
    return found


def _by_link(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    key: PrivateKey,
    older: Mapping[str, PrivateKey],
) -> Mapping[str, str]:
    """Signed with the key that this partner holds."""
    mine = older.get(host_at(url), key) if older else key
    return _message(method, url, headers, body, key=mine, tag=LINK_TAG)


def _message(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: PrivateKey, tag: str | None
) -> Mapping[str, str]:
    return messages.sign(method, url, headers, body, key, _moment_at(url), tag=tag)


def _cavage(method: str, url: str, headers: Mapping[str, str], body: bytes, *, key: PrivateKey) -> Mapping[str, str]:
    return cavage.sign(method, url, headers, body, key, _moment_at(url))


def _moment_at(url: str) -> int:
    """Now, by the clock of the host that reads it."""
    return now_ms() + towards(host_at(url))
