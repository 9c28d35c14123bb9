"""Our own keys: made on first need, sealed at rest, held in memory once opened.

Every actor of ours has an RSA key (draft-cavage, spoken by everybody) and an Ed25519 key (RFC 9421 and object
proofs). Two processes that need the same new key at once end with the one that was committed first.
"""

import asyncio
from collections import OrderedDict
from functools import partial
from time import monotonic

from federation.instance import Instance
from federation.signatures.keys import (
    Algorithm,
    PrivateKey,
    generate_ed25519,
    generate_rsa,
    private_key_from_pem,
)
from server import database as db
from server.actions.audit import note
from server.actions.link_keys import NOT_TOLD, OVERLAP_MS, told_of_new_key
from server.clock import now_ms
from server.credentials import open_sealed, seal
from server.ids import new_id
from server.viewer import Operator

MOST_KEPT = 4096
FRAGMENTS: dict[Algorithm, str] = {"rsa": "main-key", "ed25519": "ed25519"}

LOOKS_EVERY_S = 2.0
"""How long a process goes on with the instance's key before it looks whether another one took its place."""

_opened: OrderedDict[tuple[str, str], PrivateKey] = OrderedDict()
_looked: dict[str, float] = {}


async def instance_actor_id(instance: Instance) -> int:
    """The id of our Application actor; its row is made on first need."""
    here = instance.here
    row = await db.fetch_one("SELECT id FROM actor WHERE uri = $1", here.instance)
    if row is not None:
        return int(row["id"])
    await db.execute(
        "INSERT INTO actor (id, uri, kind, name, host, display_name, inbox, shared_inbox, created_at)"
        " VALUES ($1, $2, 'application', $3, '', $4, $5, $6, $7) ON CONFLICT (uri) DO NOTHING",
        new_id(),
        here.instance,
        here.host,
        instance.settings.name,
        f"{here.instance}/inbox",
        here.shared_inbox,
        now_ms(),
    )
    row = await db.fetch_one("SELECT id FROM actor WHERE uri = $1", here.instance)
    assert row is not None
    return int(row["id"])


async def private_key(instance: Instance, actor_uri: str, algorithm: Algorithm) -> PrivateKey:
    """The key with which one of our actors signs."""
    known = _opened.get((actor_uri, algorithm))
    changes = actor_uri == instance.here.instance and algorithm == "ed25519"
    if known is not None and not (changes and monotonic() - _looked.get(actor_uri, 0.0) > LOOKS_EVERY_S):
        return known
    if changes:
        _looked[actor_uri] = monotonic()
    key = await _stored(instance, actor_uri, algorithm) or await _make(instance, actor_uri, algorithm)
    _opened[actor_uri, algorithm] = key
    if len(_opened) > MOST_KEPT:
        _opened.popitem(last=False)
    return key


async def instance_key(instance: Instance) -> PrivateKey:
    """The Ed25519 key that partners pin."""
    await instance_actor_id(instance)
    return await private_key(instance, instance.here.instance, "ed25519")


def looked_at(instance: Instance) -> float:
    """When this process last looked which key is the instance's, by its monotonic clock."""
    return _looked.get(instance.here.instance, 0.0)


def look_again(instance: Instance) -> None:
    """Something says that the instance's key is another one: it is read before it is used."""
    _looked.pop(instance.here.instance, None)


async def _stored(instance: Instance, actor_uri: str, algorithm: str) -> PrivateKey | None:
    row = await db.fetch_one(
        "SELECT k.uri, k.sealed_private FROM actor_key k JOIN actor a ON a.id = k.actor_id"
        " WHERE a.uri = $1 AND a.peer_id IS NULL AND k.algorithm = $2 AND k.retired_at IS NULL",
        actor_uri,
        algorithm,
    )
    if row is None:
        return None
    pem = open_sealed(instance.settings, row["sealed_private"])
    return private_key_from_pem(row["uri"], pem.decode("ascii"))


async def _make(instance: Instance, actor_uri: str, algorithm: Algorithm) -> PrivateKey:
    await _write(instance, await _generated(f"{actor_uri}#{FRAGMENTS[algorithm]}", algorithm), actor_uri)
    stored = await _stored(instance, actor_uri, algorithm)
    if stored is None:
        raise LookupError(f"{actor_uri} is not one of our actors")
    return stored


async def key_at(instance: Instance, uri: str) -> PrivateKey:
    """The key of the instance with this address, be it retired. Raises LookupError."""
    row = await db.fetch_one("SELECT uri, sealed_private FROM actor_key WHERE uri = $1", uri)
    if row is None:
        raise LookupError(f"{uri} is no key of ours")
    return private_key_from_pem(row["uri"], open_sealed(instance.settings, row["sealed_private"]).decode("ascii"))


async def older_instance_keys(instance: Instance) -> list[tuple[str, str]]:
    """Keys of the instance that were replaced and still count somewhere: (address, Multikey)."""
    rows = await db.fetch(
        "SELECT k.uri, k.public FROM actor_key k JOIN actor a ON a.id = k.actor_id WHERE a.uri = $1"
        " AND k.algorithm = 'ed25519' AND k.retired_at IS NOT NULL AND (k.retired_at > $2 OR EXISTS"
        f" (SELECT 1 FROM link l WHERE l.our_key_uri = k.uri AND l.state <> 'ended' AND {NOT_TOLD}))"
        " ORDER BY k.retired_at DESC LIMIT 5",
        instance.here.instance,
        now_ms() - OVERLAP_MS,
    )
    return [(row["uri"], row["public"]) for row in rows]


async def rotate(instance: Instance) -> list[str]:
    """Makes a new instance key and tells every partner; the hosts that are told, none when it was done this week.

    The old key goes on towards each partner until it has taken the word.
    """
    old = await instance_key(instance)
    uri = f"{instance.here.instance}#{FRAGMENTS['ed25519']}-{new_id()}"
    key = await _generated(uri, "ed25519")
    async with db.transaction():
        recent = "SELECT id FROM actor_key WHERE algorithm = 'ed25519' AND retired_at > $1 LIMIT 1"
        if await db.fetch_one(recent, now_ms() - OVERLAP_MS):
            return []
        await db.execute("UPDATE actor_key SET retired_at = $1 WHERE uri = $2", now_ms(), old.key_id)
        await _write(instance, key, instance.here.instance)
        hosts = await told_of_new_key(uri, old.key_id)
        await note(Operator(), "link_rotate", subject=instance.here.host)
    _opened.pop((instance.here.instance, "ed25519"), None)
    return hosts


async def _generated(uri: str, algorithm: Algorithm) -> PrivateKey:
    generate = {"rsa": generate_rsa, "ed25519": generate_ed25519}[algorithm]
    return await asyncio.get_running_loop().run_in_executor(None, partial(generate, uri))


async def _write(instance: Instance, key: PrivateKey, actor_uri: str) -> None:
    public = key.public(actor_uri)
    await db.execute(
        "INSERT INTO actor_key (id, actor_id, algorithm, uri, public, sealed_private, created_at)"
        " SELECT CAST($1 AS BIGINT), id, $2, $3, $4, $5, CAST($6 AS BIGINT) FROM actor"
        " WHERE uri = $7 AND peer_id IS NULL ON CONFLICT DO NOTHING",
        new_id(),
        key.algorithm,
        key.key_id,
        public.to_pem() if key.algorithm == "rsa" else public.to_multikey(),
        seal(instance.settings, key.to_pem().encode()),
        now_ms(),
        actor_uri,
    )
