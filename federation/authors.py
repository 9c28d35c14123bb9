"""Who wrote what a space's host relays, and how sure that is.

The host speaks for its own people. For somebody of a third instance the author's own proof counts (FEP-8b32): made with
a key that their own origin publishes, when we know it or are linked with that origin ourselves. Otherwise nobody is
asked (RR5): the host's passport names the key, and the item is shown as attested by the host, never as verified.
"""

import asyncio
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from federation.errors import FederationError, Refused
from federation.instance import Instance
from federation.lookup import COLUMNS, Key, KnownActor, exactly, keys_of, known, peer_for, read_exactly, remember
from federation.page_memory import forget, keep, once
from federation.proving import holds
from federation.reading import Activity, actor, moment, text
from federation.signatures.keys import public_key_from_multikey
from federation.trust import host_at, same_origin
from server import database as db
from server.actions import link_keys
from server.clock import now_ms
from server.ids import new_id
from server.limits import NAME_BYTES
from server.text import plain

ASK_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Author:
    """The inner actor of a relay. `proved`: by a key of their own origin; `attested`: on the host's word only."""

    actor: KnownActor | None
    proved: bool = False
    attested: bool = False


async def author_of(instance: Instance, said: Activity, inner: Activity, peer_id: int) -> Author:
    """The author of what a linked instance relays. Raises FederationError when it is not believed."""
    if same_origin(inner.actor, instance.here.base):
        return Author(await known(inner.actor))
    if same_origin(inner.actor, said.actor):
        return Author(await exactly(instance, inner.actor))
    host = host_at(inner.actor)
    await once(("heard", host), lambda: _is_heard(host))
    author = await known(inner.actor)
    held = await keys_of(inner.actor)
    if author is not None and await once(_proof_of(inner), partial(_holds, inner, held)):
        return Author(author, proved=True)
    if await _linked(inner.actor) and not await _asked_lately(inner.actor):
        document = await read_exactly(instance, inner.actor)
        return Author(await remember(document), proved=_proves(inner, document.keys))
    if held:
        raise Refused("The words of a third instance need its author's proof.", inner.id, rule="RR3")
    return await _attested(said, inner, peer_id)


async def check_ahead(page: Sequence[tuple[Activity, Activity]]) -> None:
    """Checks together, beside the loop, the proofs that `author_of` asks for of relays (outer and inner activity);
    within `page_memory.remembering`.
    """
    third = [inner for said, inner in page if not same_origin(inner.actor, said.actor)]
    checks = [(inner, keys) for inner in third if (keys := await keys_of(inner.actor))]
    if checks:
        held = await asyncio.to_thread(lambda: [_proves(inner, keys) for inner, keys in checks])
        keep({_proof_of(inner): holding for (inner, _), holding in zip(checks, held, strict=True)})


def _proof_of(inner: Activity) -> Hashable:
    """The question whether the proof holds of this very document, which the caller keeps while it remembers."""
    return "proof", id(inner.document)


async def _holds(inner: Activity, keys: list[Key]) -> bool:
    return _proves(inner, keys)


def _proves(inner: Activity, keys: Iterable[Key]) -> bool:
    return holds(inner.document, inner.actor, keys, inner.as_came)


async def _is_heard(host: str) -> None:
    row = await db.fetch_one("SELECT blocked_at FROM peer WHERE host = $1", host)
    if row is not None and row["blocked_at"] is not None:
        raise Refused("The author's instance is not heard here.", host, rule="RR3")


async def _asked_lately(uri: str) -> bool:
    """Whether they were asked for their keys within a minute: what a host forges makes us ask nobody twice (R9)."""
    row = await db.fetch_one(
        "SELECT id FROM actor WHERE uri = $1 AND fetched_at > $2 AND keys <> '[]'", uri, now_ms() - ASK_EVERY_MS
    )
    return row is not None


async def _linked(uri: str) -> bool:
    row = await db.fetch_one(
        "SELECT l.id FROM link l JOIN peer q ON q.id = l.peer_id WHERE q.host = $1 AND l.state = 'active'", host_at(uri)
    )
    return row is not None


async def _attested(said: Activity, inner: Activity, peer_id: int) -> Author:
    """On the host's word: with the proof by the key of its passport or, where the space asks for none, without."""
    card = said.document.get("parvis:passport")
    if not isinstance(card, dict):
        raise Refused("The words of a third instance need its author's proof, or a passport.", inner.id, rule="RR3")
    try:
        keys = await _keys_in(said, card, inner.actor, peer_id)
    except FederationError as error:
        raise Refused("The passport does not hold.", str(error), rule="RR3") from None
    if not _proves(inner, keys) and await _asks_for_proofs(said.actor):
        raise Refused("The words of a third instance need its author's proof.", inner.id, rule="RR3")
    return Author(await _known_by_passport(card, inner.actor, keys, peer_id), attested=True)


async def _keys_in(said: Activity, card: dict[str, Any], uri: str, peer_id: int) -> list[Key]:
    """The author's keys in a passport that the host signed with its pinned key. Raises FederationError."""
    shown = actor({name: value for name, value in card.items() if name != "proof"})
    pin = await link_keys.pinned(peer_id)
    if pin is None or shown.id != uri or card.get("type") != "parvis:Passport":
        raise Refused("It is somebody else's.")
    until = moment(card.get("parvis:validUntil"))
    if until is None or until < now_ms():
        raise Refused("It is no longer valid.")
    owner = pin["their_key_uri"].partition("#")[0]
    pins = [(pin["their_key_uri"], owner, "multikey", pin["their_key"])]
    if pin["their_old_key"] and now_ms() < (pin["their_old_until_at"] or 0):
        pins.append((pin["their_old_key_uri"], owner, "multikey", pin["their_old_key"]))
    came = said.as_came.get("parvis:passport")
    if not holds(card, owner, pins, came if isinstance(came, dict) else None):
        raise Refused("It is not signed by the host.")
    keys = [key for key in shown.keys if key[2] == "multikey" and key[1] == uri and same_origin(key[0], uri)]
    for key_id, controller, _, value in keys:
        public_key_from_multikey(key_id, controller, value)
    return keys


async def _asks_for_proofs(space_uri: str) -> bool:
    row = await db.fetch_one(
        "SELECT s.proofs FROM space s JOIN actor g ON g.id = s.actor_id WHERE g.uri = $1", space_uri
    )
    return row is None or bool(row["proofs"])


async def _known_by_passport(card: dict[str, Any], uri: str, keys: list[Key], peer_id: int) -> KnownActor:
    """The author's row, made or brought up to date; what their own origin said of them is never overwritten."""
    shown = actor({name: value for name, value in card.items() if name != "proof"})
    name = plain(shown.display_name)[:200]
    organisation = plain(text(card.get("parvis:organisation"), "parvis:organisation", NAME_BYTES))[:200]
    now = now_ms()
    await db.execute(
        "INSERT INTO passport (id, peer_id, uri, name, organisation, keys, valid_until_at, received_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (peer_id, uri) DO UPDATE SET name = excluded.name,"
        " organisation = excluded.organisation, keys = excluded.keys, valid_until_at = excluded.valid_until_at,"
        " received_at = excluded.received_at WHERE passport.keys <> excluded.keys OR passport.name <> excluded.name"
        " OR passport.valid_until_at < excluded.valid_until_at",
        new_id(),
        peer_id,
        uri,
        name,
        organisation,
        msgspec.json.encode(keys).decode(),
        moment(card.get("parvis:validUntil")),
        now,
    )
    found = await known(uri)
    if found is not None and found.display_name == name:
        return found
    await db.execute(
        "INSERT INTO actor (id, uri, kind, name, peer_id, host, display_name, keys, created_at)"
        " VALUES ($1, $2, 'person', $3, $4, $5, $6, '[]', $7)"
        " ON CONFLICT (uri) DO UPDATE SET display_name = excluded.display_name"
        " WHERE actor.fetched_at IS NULL AND actor.peer_id IS NOT NULL",
        new_id(),
        uri,
        (shown.name or "?")[:128],
        await peer_for(uri),
        host_at(uri),
        name,
        now,
    )
    forget()
    row = await db.fetch_one(f"SELECT {COLUMNS} FROM actor WHERE uri = $1 AND gone_at IS NULL", uri)
    if row is None:
        raise Refused("The author is gone.", uri)
    return KnownActor(**row)
