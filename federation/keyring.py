"""Our own keys: made on first need, sealed at rest, held in memory once opened.

Every actor of ours has an RSA key (draft-cavage, spoken by everybody) and an Ed25519 key (RFC 9421 and object
proofs). Two processes that need the same new key at once end with the one that was committed first.
"""

import asyncio
from collections import OrderedDict
from functools import partial

from federation.instance import Instance
from federation.signatures.keys import (
    Algorithm,
    PrivateKey,
    generate_ed25519,
    generate_rsa,
    private_key_from_pem,
)
from server import database as db
from server.clock import now_ms
from server.credentials import open_sealed, seal
from server.ids import new_id

MOST_KEPT = 4096
FRAGMENTS: dict[Algorithm, str] = {"rsa": "main-key", "ed25519": "ed25519"}

_opened: OrderedDict[tuple[str, str], PrivateKey] = OrderedDict()


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
    if known is not None:
        return known
    key = await _stored(instance, actor_uri, algorithm) or await _make(instance, actor_uri, algorithm)
    _opened[actor_uri, algorithm] = key
    if len(_opened) > MOST_KEPT:
        _opened.popitem(last=False)
    return key


async def instance_key(instance: Instance) -> PrivateKey:
    """The Ed25519 key that partners pin."""
    await instance_actor_id(instance)
    return await private_key(instance, instance.here.instance, "ed25519")


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
    generate = {"rsa": generate_rsa, "ed25519": generate_ed25519}[algorithm]
    key_uri = f"{actor_uri}#{FRAGMENTS[algorithm]}"
    key = await asyncio.get_running_loop().run_in_executor(None, partial(generate, key_uri))
    public = key.public(actor_uri)
    await db.execute(
        "INSERT INTO actor_key (id, actor_id, algorithm, uri, public, sealed_private, created_at)"
        " SELECT CAST($1 AS BIGINT), id, $2, $3, $4, $5, CAST($6 AS BIGINT) FROM actor"
        " WHERE uri = $7 AND peer_id IS NULL ON CONFLICT DO NOTHING",
        new_id(),
        algorithm,
        key_uri,
        public.to_pem() if algorithm == "rsa" else public.to_multikey(),
        seal(instance.settings, key.to_pem().encode()),
        now_ms(),
        actor_uri,
    )
    stored = await _stored(instance, actor_uri, algorithm)
    if stored is None:
        raise LookupError(f"{actor_uri} is not one of our actors")
    return stored
