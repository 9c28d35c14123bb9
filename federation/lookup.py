"""A handle, an address or a key id to an actor that we know, fetched when need be.

Nothing is kept under an id that its own origin did not serve (O1, O21, O23): the document's id is where it came
from, its keys are owned by it, and a redirect to another origin counts only for what that origin says of itself.
"""

from collections.abc import Collection, Hashable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from federation.addresses import check_url
from federation.answers import WEBFINGER
from federation.errors import FederationError, Malformed, Refused, Unreachable
from federation.held_keys import drop_keys_of
from federation.instance import Instance
from federation.json_reading import parse_json
from federation.newcomers import count
from federation.page_memory import forget, keep, once
from federation.reading import IncomingActor, actor, first, identifier, many
from federation.signing import manner_towards, sign_as_instance
from federation.trust import host_at, origin, same_origin
from federation.vocabulary import ACTORS, CONSENT
from server import database as db
from server.actions.consent import heard
from server.actions.link_keys import disagreed
from server.clock import now_ms
from server.ids import new_id
from server.queries.former import moves, new_host
from server.sql import Clause, among
from server.text import plain

KINDS = {"Group": "group", "Application": "application"}
NO_STREAM = "-"
"""Instead of an address: that instance publishes none for streams."""
NAMELESS_MS = 2_000
"""How long somebody whose instance showed only their keys is taken as they are, before they are asked for again."""


@dataclass(frozen=True, slots=True)
class KnownActor:
    """An actor with a row here. `peer_id` None: ours."""

    id: int
    uri: str
    kind: str
    name: str
    host: str
    peer_id: int | None
    inbox: str
    shared_inbox: str
    display_name: str = ""


Key = tuple[str, str, str, str]
"""Its id, its owner, 'pem' or 'multikey', and its value."""

_keys = msgspec.json.Decoder(list[Key])

COLUMNS = "id, uri, kind, name, host, peer_id, inbox, shared_inbox, display_name"


async def known(uri: str) -> KnownActor | None:
    """The actor with this id, when there is a row for it."""
    return await once(("actor", uri), lambda: _known(uri))


async def _known(uri: str) -> KnownActor | None:
    row = await db.fetch_one(f"SELECT {COLUMNS} FROM actor WHERE uri = $1 AND gone_at IS NULL", uri)
    return KnownActor(**row) if row else None


async def keys_of(uri: str) -> list[Key]:
    """The keys that this actor elsewhere published when it was last read."""
    return await once(("keys", uri), lambda: _keys_of(uri))


async def _keys_of(uri: str) -> list[Key]:
    row = await db.fetch_one("SELECT keys FROM actor WHERE uri = $1 AND peer_id IS NOT NULL", uri)
    return _keys.decode(row["keys"]) if row else []


async def read_ahead(uris: Collection[str]) -> None:
    """Reads together what `known` and `keys_of` say of these; within `page_memory.remembering`."""
    query = Clause(f"SELECT {COLUMNS}, gone_at, keys FROM actor WHERE").join(among("uri", uris))
    answers: dict[Hashable, Any] = {}
    for uri in uris:
        answers |= {("actor", uri): None, ("keys", uri): []}
    for row in await db.fetch(*query.statement()):
        keys, gone_at = row.pop("keys"), row.pop("gone_at")
        if row["peer_id"] is not None:
            answers["keys", row["uri"]] = _keys.decode(keys)
        if gone_at is None:
            answers["actor", row["uri"]] = KnownActor(**row)
    keep(answers)


async def find(instance: Instance, uri: str) -> KnownActor:
    """The actor with this id, fetched from its origin when it is new. Raises FederationError."""
    uri = (await moves()).now(uri)
    return await known(uri) or await fetch(instance, uri)


async def exactly(instance: Instance, uri: str) -> KnownActor:
    """The actor with this id and no other, whatever its address answers. Raises FederationError.

    For whoever acts: an alias that leads to somebody else must never make that one the actor (K11).
    """
    found = await known(uri)
    if found is None:
        return await remember(await read_exactly(instance, uri))
    if not found.display_name and await _nameless(found):
        try:
            return await remember(await read_exactly(instance, uri))
        except FederationError:
            return found
    return found


async def _nameless(actor: KnownActor) -> bool:
    """Whether somebody at a linked instance was met before the link, when they showed no more than their keys."""
    row = await db.fetch_one(
        "SELECT a.id FROM actor a JOIN link l ON l.peer_id = a.peer_id AND l.state = 'active'"
        " WHERE a.id = $1 AND a.kind = 'person' AND a.display_name = '' AND a.fetched_at < $2",
        actor.id,
        now_ms() - NAMELESS_MS,
    )
    return row is not None


async def read_exactly(instance: Instance, uri: str) -> IncomingActor:
    """What the actor with this id says of itself now. Raises FederationError, also when it says another id."""
    found = await meet(instance, uri)
    if found.id != uri:
        raise Refused("The document is about another actor.", found.id)
    return found


async def meet(instance: Instance, uri: str) -> IncomingActor:
    """The document of an actor whom a stranger named to us: so many of a domain in an hour, and no more (F21)."""
    host = host_at(uri)
    if not (await manner_towards(host)).linked:
        count(host)
    return await fetch_document(instance, uri)


async def fetch(instance: Instance, uri: str) -> KnownActor:
    """Fetches the actor from its own origin, and remembers it as it is now. Raises FederationError."""
    return await remember(await fetch_document(instance, uri))


async def fetch_document(instance: Instance, uri: str, *, compare: bool = False) -> IncomingActor:
    """The actor document at an address, checked to be about itself. Raises FederationError.

    An instance that shows another key than the pinned one is not believed, and its link stops; unless people are
    about to `compare` it.
    """
    document = await _document(instance, uri)
    if not compare:
        await _agrees_with_pin(document)
    return document


async def _agrees_with_pin(found: IncomingActor) -> None:
    """Raises Refused, and stops the link, when a linked instance's own actor does not list the pinned key."""
    if found.type != "Application":
        return
    row = await db.fetch_one(
        "SELECT l.peer_id, l.their_key, l.their_key_uri FROM link l JOIN peer q ON q.id = l.peer_id"
        " WHERE q.host = $1 AND l.state IN ('confirmed', 'active', 'suspended') AND l.their_key <> ''",
        host_at(found.id),
    )
    if row is None or row["their_key_uri"].partition("#")[0] != found.id:
        return
    shown = {value for _, owner, kind, value in found.keys if kind == "multikey" and owner == found.id}
    if row["their_key"] not in shown:
        await disagreed(row["peer_id"], "The instance publishes another key than the pinned one.", found.id)
        raise Refused("The instance shows another key than the pinned one.", found.id, rule="key")


async def _document(instance: Instance, uri: str) -> IncomingActor:
    if same_origin(uri, instance.here.base):
        raise Refused("That actor would be ours, and is not here.", uri)
    found, final_url = await _read(instance, uri)
    if found.id == uri.partition("#")[0]:
        return _checked(instance, found)
    # an address that is not the id (an alias, or a key by itself): believe only what the id itself serves
    other = next((owner for _, owner, _, _ in found.keys), found.id) if found.type not in ACTORS else found.id
    if other == final_url.partition("#")[0] and found.id == other:
        return _checked(instance, found)
    if same_origin(other, instance.here.base):
        raise Refused("That actor would be ours, and is not here.", other)
    again, _ = await _read(instance, other)
    if again.id != other:
        raise Refused("The document is not about its own address.", other)
    return _checked(instance, again)


async def _read(instance: Instance, uri: str) -> tuple[IncomingActor, str]:
    """The document and the address that served it, which is of the origin of its id (O1, O21)."""
    forget()  # whoever is asked may keep us waiting
    sign = await sign_as_instance(instance, await manner_towards(host_at(uri)))
    answer = await instance.transport.get_json(uri, sign=sign)
    forget()
    found = actor(parse_json(answer.body))
    if not same_origin(found.id, answer.final_url):
        raise Refused("The document's id is of another origin than the document.", found.id)
    return found, answer.final_url


def _checked(instance: Instance, found: IncomingActor) -> IncomingActor:
    if check_url(found.id, instance.settings.allow_private_networks).url != found.id:
        raise Malformed("The actor's id is not written as addresses are.", found.id)
    if found.type not in ACTORS:
        raise Malformed("The document is not an actor.", found.type)
    for address in (found.inbox, found.shared_inbox, found.peering):
        if address and not same_origin(address, found.id):
            raise Refused("The actor's inbox is of another origin.", found.id)
    if not found.inbox or not found.name:
        raise Malformed("The actor has no inbox or no name.", found.id)
    return found


async def remember(found: IncomingActor) -> KnownActor:
    """Writes what an actor's own origin says of it; returns its row. Never one of our own."""
    host, peer_id = host_at(found.id), await peer_for(found.id)
    keys = [key for key in found.keys if key[1] == found.id and _of_origin(key[0], found.id)]
    row = {
        "kind": KINDS.get(found.type, "person"),
        "name": found.name,
        "host": host,
        "peer_id": peer_id,
        "display_name": plain(found.display_name)[:200],
        "summary": "",
        "inbox": found.inbox,
        "shared_inbox": found.shared_inbox,
        "followers_uri": found.followers,
        "keys": msgspec.json.encode(keys).decode(),
        "fetched_at": now_ms(),
    }
    names = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(4, len(row) + 4))
    changes = ", ".join(f"{name} = excluded.{name}" for name in row if name not in ("host", "peer_id"))
    await db.execute(
        f"INSERT INTO actor (id, uri, created_at, {names}) VALUES ($1, $2, $3, {places})"
        f" ON CONFLICT (uri) DO UPDATE SET {changes} WHERE actor.peer_id IS NOT NULL",
        new_id(),
        found.id,
        now_ms(),
        *row.values(),
    )
    if found.type == "Application" and urlsplit(found.id).path == "/actor":
        await db.execute("UPDATE peer SET peering = $1 WHERE id = $2", found.peering or NO_STREAM, peer_id)
        await heard(peer_id, found.document.get(CONSENT) != "deny")
    drop_keys_of(found.id)
    forget()
    remembered = await known(found.id)
    if remembered is None:
        raise Refused("The actor is gone.", found.id)
    return remembered


def _of_origin(key_id: str, owner: str) -> bool:
    """Some keys are named by what is no http address at all; we do not read those."""
    return key_id.startswith(("https://", "http://")) and same_origin(key_id, owner)


async def peer_for(address: str) -> int:
    """The peer row of an address's host, made when it is new."""
    scheme, _, _ = origin(address)
    host = host_at(address)
    row = await db.fetch_one("SELECT id FROM peer WHERE host = $1", host)
    if row is None:
        await db.execute(
            "INSERT INTO peer (id, host, base_url, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (host) DO NOTHING",
            new_id(),
            host,
            f"{scheme}://{host}",
            now_ms(),
        )
        row = await db.fetch_one("SELECT id FROM peer WHERE host = $1", host)
    assert row is not None
    return int(row["id"])


async def peering_of(instance: Instance, peer_id: int) -> str:
    """Where an instance takes streams, asked of its own document; NO_STREAM for none, '' when it does not answer."""
    row = await db.fetch_one("SELECT base_url FROM peer WHERE id = $1", peer_id)
    try:
        document = await read_exactly(instance, f"{row['base_url'] if row else ''}/actor")
    except Unreachable:
        return ""
    except FederationError:
        return NO_STREAM
    await remember(document)
    return document.peering or NO_STREAM


async def find_handle(instance: Instance, handle: str) -> KnownActor:
    """`name@host` (or `@name@host`, or an address) to an actor. Raises FederationError in one sentence."""
    text = handle.strip().removeprefix("acct:").removeprefix("@")
    if text.startswith(("http://", "https://")):
        return await find(instance, text)
    name, _, host = text.partition("@")
    host = await new_host(host.lower())
    if host in ("", instance.here.host):
        row = await db.fetch_one(f"SELECT {COLUMNS} FROM actor WHERE host = '' AND name = $1", name.lower())
        if row is None:
            raise Refused("Nobody here has that name.", handle)
        return KnownActor(**row)
    row = await db.fetch_one(
        f"SELECT {COLUMNS} FROM actor WHERE host = $1 AND name = $2 AND gone_at IS NULL ORDER BY id LIMIT 1",
        host.lower(),
        name,
    )
    return KnownActor(**row) if row else await remember(await ask_host(instance, name, host.lower()))


async def ask_host(instance: Instance, name: str, host: str) -> IncomingActor:
    """Who has this name at a host, asked of it now, whatever is known here. Raises FederationError.

    WebFinger (RFC 7033), signed, so that a partner may answer for what it hides from others.
    """
    base = await base_of(instance, host)
    resource = quote(f"acct:{name}@{host}", safe="")
    sign = await sign_as_instance(instance, await manner_towards(host))
    answer = await instance.transport.get_json(
        f"{base}/.well-known/webfinger?resource={resource}", accept=WEBFINGER, sign=sign
    )
    document = parse_json(answer.body)
    uri = self_link(document)
    found = await fetch_document(instance, uri)
    subject = str(document.get("subject", "")).lower()
    if subject != f"acct:{found.name}@{host}".lower() and not same_origin(uri, base):
        raise Refused("The handle and the actor do not name each other.", f"{name}@{host}")
    if found.name.lower() != name.lower():
        raise Refused("The handle and the actor do not name each other.", f"{name}@{host}")
    return found


def self_link(document: dict[str, object]) -> str:
    """The actor's address in a WebFinger answer. Raises Malformed."""
    for link in many(document.get("links"))[:50]:
        kind = link.get("type", "") if isinstance(link, dict) else ""
        if isinstance(link, dict) and link.get("rel") == "self" and "activity" in str(kind):
            uri = identifier(first(link.get("href")))
            if uri:
                return uri
    raise Malformed("The answer names no ActivityPub address.")


async def base_of(instance: Instance, host: str) -> str:
    """https://host; http only where a private network that we allow is reached by it."""
    row = await db.fetch_one("SELECT base_url FROM peer WHERE host = $1", host)
    if row is not None:
        return str(row["base_url"])
    if "/" in host or "@" in host or not urlsplit(f"//{host}").hostname:
        raise Malformed("That is not the name of a host.", host)
    check_url(f"https://{host}", instance.settings.allow_private_networks)
    if not instance.settings.allow_private_networks:
        return f"https://{host}"
    try:
        await instance.transport.get(f"https://{host}/.well-known/nodeinfo")
        return f"https://{host}"
    except Unreachable:
        try:
            await instance.transport.get(f"http://{host}/.well-known/nodeinfo")
        except FederationError:
            raise Unreachable("The host does not answer.", host) from None
        return f"http://{host}"
