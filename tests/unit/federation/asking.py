"""Others ask us for documents: the routes as they are mounted, and servers that sign what they ask."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from federation.held_keys import drop_keys_of
from federation.inbox import Inbox
from federation.instance import Instance, instance_of
from federation.routes import routes
from federation.signatures import messages
from federation.signatures.keys import PrivateKey, generate_ed25519
from server import database as db
from server.clock import now_ms
from server.credentials import make_secret
from server.ids import new_id
from server.settings import Settings
from tests.cast import HERE

ACTIVITY = "application/activity+json"
PAGE = "<p>a page</p>"


@dataclass
class Asking:
    """This instance, as others reach it. `keys`: the servers that can sign, by host."""

    instance: Instance
    app: Starlette
    keys: dict[str, PrivateKey]

    async def __call__(
        self, path: str, by: str | None = None, *, accept: str | None = ACTIVITY, method: str = "GET", **extra: str
    ) -> httpx.Response:
        """What comes back for a path, asked by a server of that host, or by nobody."""
        headers = {"accept": accept} if accept is not None else {}
        if by is not None:
            headers = messages.sign(method, HERE.base + path, headers, b"", self.keys[by], now_ms())
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=HERE.base) as http:
            if accept is None:
                del http.headers["accept"]
            return await http.request(method, path, headers=headers | extra)

    async def document(self, path: str, by: str | None = None) -> dict[str, Any]:
        """The document at a path, which must be there."""
        answer = await self(path, by)
        assert answer.status_code == 200, (path, answer.text)
        assert answer.headers["content-type"] == ACTIVITY
        found: dict[str, Any] = answer.json()
        return found

    async def items(self, path: str, by: str | None = None) -> list[Any]:
        """Everything in a collection, page by page."""
        found: list[Any] = []
        following = (await self.document(path, by)).get("first")
        while following:
            page = await self.document(following.removeprefix(HERE.base), by)
            found += page["orderedItems"]
            following = page.get("next")
        return found


def same(one: httpx.Response, other: httpx.Response) -> bool:
    """Whether nobody can tell two answers apart by their bytes."""
    return (one.status_code, one.headers.raw, one.content) == (other.status_code, other.headers.raw, other.content)


@asynccontextmanager
async def asking(folder: Path, federation: str = "linked", *hosts: str) -> AsyncIterator[Asking]:
    """The routes over a database that is open already; these hosts have keys that we know."""
    settings = Settings(base_url=HERE.base, name="Aubrac Énergie", data_dir=folder, federation=federation)
    make_secret(settings, sealed_keys_exist=False)
    instance = instance_of(settings)
    pages = [Route(path, a_page) for path in ("/@{name}", "/spaces/{slug}", "/posts/{id}")]
    app = Starlette(routes=[*routes(instance, Inbox(instance)), *pages])
    try:
        yield Asking(instance, app, {host: await introduce(host) for host in hosts})
    finally:
        await instance.transport.aclose()


async def a_page(request: Request) -> Response:
    return HTMLResponse(PAGE)


async def introduce(host: str) -> PrivateKey:
    """The instance actor of a host becomes known here with a key of its own; a link pins it."""
    uri = f"https://{host}/actor"
    key = generate_ed25519(f"{uri}#ed25519")
    public = key.public(uri).to_multikey()
    peer = await db.fetch_one("SELECT id FROM peer WHERE host = $1", host)
    assert peer is not None
    keys = msgspec.json.encode([(key.key_id, uri, "multikey", public)]).decode()
    row = {"id": new_id(), "uri": uri, "kind": "application", "name": host, "host": host, "peer_id": peer["id"]}
    await db.insert("actor", {**row, "keys": keys, "created_at": now_ms()})
    await db.execute(
        "UPDATE link SET their_key_uri = $1, their_key = $2 WHERE peer_id = $3", key.key_id, public, peer["id"]
    )
    drop_keys_of(uri)  # of the test before
    return key
