"""Other servers that say what the test tells them to: real loopback origins, with keys, actors and signatures.

`OtherServer` is one origin. Its actors publish RSA and Ed25519 keys and sign in both forms; whatever it serves can
be replaced by anything else, byte for byte. `Here` is our own instance behind a real socket.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Literal

import httpx
import uvicorn
from starlette.applications import Starlette

from federation.inbox import Inbox
from federation.instance import Instance, instance_of
from federation.keyring import instance_actor_id, instance_key
from federation.lookup import peer_for, remember
from federation.processing import process_waiting
from federation.reading import actor as read_actor
from federation.routes import routes
from federation.signatures import cavage, messages
from federation.signatures.keys import PrivateKey, generate_ed25519, generate_rsa
from federation.signatures.proofs import with_proof
from federation.vocabulary import ACTIVITY_STREAMS, PUBLIC, moment
from server import database as db
from server.actions.spaces import NewSpace, open_space
from server.clock import now_ms
from server.credentials import make_secret, seal
from server.ids import new_id
from server.openness import Level, Office
from server.settings import Settings
from server.viewer import Employee
from tests.unit.federation.elsewhere import Elsewhere, answer, elsewhere

Json = dict[str, Any]
Scheme = Literal["cavage", "rfc9421"]
AS_JSON = "Content-Type: application/activity+json"
CANARY = "canari-7f3a"
"""Words that must be found nowhere after a refusal."""

_numbers = itertools.count(1)


@cache
def _rsa(number: int) -> PrivateKey:
    return generate_rsa(f"pool {number}")


@dataclass
class Actor:
    """Somebody at another server."""

    server: OtherServer
    uri: str
    kind: str
    name: str
    rsa: PrivateKey
    ed: PrivateKey
    changes: Json = field(default_factory=dict)

    @property
    def document(self) -> Json:
        base: Json = {
            "@context": [ACTIVITY_STREAMS, "https://w3id.org/security/v1"],
            "id": self.uri,
            "type": self.kind,
            "preferredUsername": self.name,
            "name": self.name.title(),
            "inbox": f"{self.uri}/inbox",
            "followers": f"{self.uri}/followers",
            "endpoints": {"sharedInbox": f"{self.server.base}/inbox"},
            "publicKey": {
                "id": self.rsa.key_id,
                "owner": self.uri,
                "publicKeyPem": self.rsa.public(self.uri).to_pem(),
            },
            "assertionMethod": [
                {
                    "id": self.ed.key_id,
                    "type": "Multikey",
                    "controller": self.uri,
                    "publicKeyMultibase": self.ed.public(self.uri).to_multikey(),
                }
            ],
        }
        return base | self.changes

    def publish(self, **changes: Any) -> None:
        """Serves the actor's document, with these changes from now on."""
        self.changes |= changes
        self.server.serve(self.uri, self.document)

    def says(self, kind: str, what: Any, **more: Any) -> Json:
        """An activity of this actor's own, with an id that was never used."""
        return {
            "@context": ACTIVITY_STREAMS,
            "id": self.server.new("activities"),
            "type": kind,
            "actor": self.uri,
            "object": what,
            **more,
        }

    def note(self, text: str = f"<p>{CANARY}</p>", **more: Any) -> Json:
        """A post of this actor's own."""
        return {
            "id": self.server.new("notes"),
            "type": "Note",
            "attributedTo": self.uri,
            "content": text,
            "to": [PUBLIC],
            "published": moment(now_ms()),
            **more,
        }

    def proved(self, document: Json) -> Json:
        """The document with this actor's own proof (FEP-8b32)."""
        return dict(with_proof(document, self.ed, now_ms()))


@dataclass
class OtherServer:
    """One origin, which serves what it is told and remembers who came."""

    there: Elsewhere
    base: str
    actors: dict[str, Actor] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return self.base.removeprefix("http://")

    def new(self, kind: str) -> str:
        return f"{self.base}/{kind}/{next(_numbers)}"

    def serve(self, address: str, document: Any, *headers: str) -> None:
        """This address answers with this document from now on."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        self.there.scenes[address.removeprefix(self.base).split("#")[0]] = answer(body, *(headers or (AS_JSON,)))

    def scene(self, path: str, said: bytes | Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.there.scenes[path] = said

    def actor(self, name: str, kind: str = "Person", path: str = "", **changes: Any) -> Actor:
        """Somebody with keys and a document."""
        uri = f"{self.base}{path or f'/users/{name}'}"
        made = Actor(
            self,
            uri,
            kind,
            name,
            PrivateKey(f"{uri}#main-key", _rsa(next(_numbers) % 4).key),
            PrivateKey(f"{uri}#ed25519", generate_ed25519("new").key),
        )
        made.publish(**changes)
        self.actors[name] = made
        return made

    def instance(self, **changes: Any) -> Actor:
        """The instance itself."""
        return self.actor("instance", "Application", "/actor", **changes)

    def asked(self, path: str) -> int:
        """How often this path was asked for, whatever was asked of it."""
        return sum(request.path.partition("?")[0] == path for request in self.there.requests)


@dataclass
class Here:
    """Our instance, behind a socket."""

    instance: Instance
    http: httpx.AsyncClient
    alice: Employee
    bruno: Employee
    odile: Employee

    @property
    def base(self) -> str:
        return self.instance.here.base

    def person(self, name: str) -> str:
        return self.instance.here.person(name)

    def space(self, slug: str) -> str:
        return self.instance.here.space(slug)

    async def raw(self, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        return await self.http.post(self.base + path, headers=dict(headers), content=body)

    async def hear(
        self,
        document: Json | bytes,
        by: PrivateKey,
        *,
        scheme: Scheme = "rfc9421",
        path: str = "/inbox",
        content_type: str = "application/activity+json",
        now: int | None = None,
    ) -> httpx.Response:
        """A signed request to an inbox of ours."""
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        headers = {"content-type": content_type}
        sign = cavage.sign if scheme == "cavage" else messages.sign
        signed = sign("POST", self.base + path, headers, body, by, now_ms() if now is None else now)
        return await self.raw(path, signed, body)

    async def read(self, path: str, by: PrivateKey | None) -> httpx.Response:
        """A GET for a document, signed by this key or by nobody."""
        headers = {"accept": "application/activity+json"}
        if by is not None:
            headers |= messages.sign("GET", self.base + path, headers, b"", by, now_ms())
        return await self.http.get(self.base + path, headers=headers)

    async def take(self, document: Json, by: PrivateKey, **how: Any) -> str:
        """What is heard (202) and has come to its end: why it had no effect, '' when it had one."""
        heard = await self.hear(document, by, **how)
        assert heard.status_code == 202, heard.text
        return await self.outcome(document["id"])

    async def outcome(self, activity_id: str) -> str:
        """What became of an activity."""
        await self.process()
        row = await db.fetch_one(
            "SELECT outcome, processed_at FROM receipt WHERE activity_hash = $1",
            hashlib.sha256(activity_id.encode()).hexdigest(),
        )
        assert row is not None and row["processed_at"] is not None, row
        return str(row["outcome"])

    async def process(self) -> None:
        while await process_waiting(self.instance):
            pass

    async def open_space(self, slug: str, level: Level, *partners: OtherServer, owner: Employee | None = None) -> int:
        new = NewSpace(slug, slug.title(), level, partners=[p.host for p in partners])
        return await open_space(owner or self.alice, new, self.instance.here)


async def _own_keys(instance: Instance) -> None:
    """The instance's own keys: Ed25519 as it makes it, RSA from the pool, because making one takes long."""
    actor_id, uri = await instance_actor_id(instance), instance.here.instance
    await instance_key(instance)
    key = PrivateKey(f"{uri}#main-key", _rsa(0).key)
    row = {"id": new_id(), "actor_id": actor_id, "algorithm": "rsa", "uri": key.key_id, "created_at": now_ms()}
    sealed = seal(instance.settings, key.to_pem().encode())
    await db.insert("actor_key", {**row, "public": key.public(uri).to_pem(), "sealed_private": sealed})


async def employee(instance: Instance, name: str, office: Office = Office.MEMBER) -> Employee:
    """Somebody who works here."""
    actor_id, account_id, uri = new_id(), new_id(), instance.here.person(name)
    row = {"id": actor_id, "uri": uri, "kind": "person", "name": name, "display_name": name.title()}
    await db.insert("actor", {**row, "inbox": f"{uri}/inbox", "created_at": now_ms()})
    account = {"id": account_id, "actor_id": actor_id, "name": name, "office": office.value}
    await db.insert("account", {**account, "created_at": now_ms()})
    return Employee(account_id, actor_id, office)


async def met(actor: Actor) -> int:
    """Writes an actor as if it had been met before; its row's id."""
    return (await remember(read_actor(actor.document))).id


async def linked(server: OtherServer, state: str = "active") -> Actor:
    """A link with this server, in this state; its instance actor."""
    one = server.actors.get("instance") or server.instance()
    await met(one)
    now = now_ms()
    if await db.fetch_one("SELECT id FROM link WHERE peer_id = $1", await peer_for(one.uri)):
        return one
    link = {
        "id": new_id(),
        "peer_id": await peer_for(one.uri),
        "state": state,
        "offer_uri": server.new("activities"),
        "our_nonce": "a" * 32,
        "their_nonce": "b" * 32,
        "their_key": one.ed.public(one.uri).to_multikey(),
        "their_key_uri": one.ed.key_id,
        "confirmed_here_at": now if state in ("active", "suspended") else None,
        "confirmed_there_at": now if state in ("active", "suspended") else None,
        "created_at": now,
        "changed_at": now,
    }
    await db.insert("link", link)
    return one


async def enter(space_id: int, actor_id: int, server: OtherServer | None = None, state: str = "member") -> None:
    """Puts somebody into a space, as the rows say it."""
    peer_id = await peer_for(server.base + "/x") if server else None
    row = {"id": new_id(), "space_id": space_id, "actor_id": actor_id, "peer_id": peer_id, "role": "member"}
    await db.insert("membership", {**row, "state": state, "since_at": now_ms() - 1, "created_at": now_ms()})


async def mirrored(group: Actor, *members: Employee, level: Level = Level.PARTNERS) -> int:
    """Our view of a space that this group's server hosts, with these of our people in it."""
    group_id = await met(group)
    space_id = new_id()
    row = {
        "id": space_id,
        "actor_id": group_id,
        "slug": f"{group.name}@{group.server.host}",
        "peer_id": await peer_for(group.uri),
        "name": group.name,
        "level": level.value,
        "created_at": now_ms(),
    }
    await db.insert("space", row)
    for member in members:
        await enter(space_id, member.actor_id)
    return space_id


async def everything(*but: str) -> dict[str, list[str]]:
    """Every row of every table but these; when an instance was last heard is no effect of what it said."""
    if db.engine_name() == "sqlite":
        names = await db.fetch("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    else:
        names = await db.fetch("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
    tables = sorted({row["name"] for row in names} - set(but))
    rows = {table: await db.fetch(f'SELECT * FROM "{table}"') for table in tables}
    return {table: sorted(repr({**row, "last_heard_at": None}) for row in found) for table, found in rows.items()}


@asynccontextmanager
async def other_server(address: str = "127.0.0.1", name: str = "") -> AsyncIterator[OtherServer]:
    """A server of its own origin; `name`: what it is called, when not by its address."""
    async with elsewhere(address) as there:
        yield OtherServer(there, f"http://{name or address}:{there.port}")


@asynccontextmanager
async def our_instance(database_url: str, folder: Path, federation: str = "open") -> AsyncIterator[Here]:
    """Our instance with its inboxes mounted, on a loopback port; the database is open already."""
    listening = socket.create_server(("127.0.0.1", 0))
    settings = Settings(
        base_url=f"http://localhost:{listening.getsockname()[1]}",
        database_url=database_url,
        data_dir=folder,
        federation=federation,
        allow_private_networks=(ip_network("127.0.0.0/29"),),
    )
    make_secret(settings, sealed_keys_exist=False)
    instance = instance_of(settings)
    await _own_keys(instance)
    app = Starlette(routes=routes(instance, Inbox(instance)))
    config = uvicorn.Config(app, lifespan="off", log_level="warning", access_log=False)
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    people = [await employee(instance, name) for name in ("alice", "bruno")]
    odile = await employee(instance, "odile", Office.ADMIN)
    async with httpx.AsyncClient(timeout=30) as http:
        try:
            yield Here(instance, http, people[0], people[1], odile)
        finally:
            await http.aclose()
            server.force_exit = True
            await server.shutdown(sockets=[listening])
            await instance.transport.aclose()
