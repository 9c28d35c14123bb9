"""Browsers for each of the cast: the application as it is served, with a cookie for whoever is signed in."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from server.actions.signing_in import SignedIn, new_sign_in_link, sign_in_with_link
from server.settings import Settings
from server.viewer import Operator, Resident
from tests.cast import HERE
from web.api.search import nothing
from web.app import create_app
from web.session import cookie_name


def application(database_url: str, folder: Path) -> Starlette:
    """The application over a database that is open already."""
    app = create_app(Settings(base_url=HERE.base, database_url=database_url, data_dir=folder))
    app.state.lookup = nothing  # no network
    return app


@dataclass(slots=True)
class Browser:
    """One person's browser; nobody's without a session."""

    app: Starlette
    session: SignedIn | None = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def cookies(self) -> dict[str, str]:
        return {cookie_name(self.app.state.settings): self.session.token} if self.session else {}

    async def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"origin": HERE.base, **self.headers, **options.pop("headers", {})}
        async with httpx.AsyncClient(transport=transport, base_url=HERE.base, cookies=self.cookies) as http:
            return await http.request(method, path, headers=headers, **options)

    async def page(self, path: str, **options: Any) -> str:
        """A page that must be there, as text."""
        answer = await self("GET", path, **options)
        assert answer.status_code == 200, (path, answer.status_code, answer.text[:300])
        return answer.text

    async def post(self, path: str, _status: int = 303, **fields: Any) -> str:
        """Sends a form; where it leads, or the page when it answers with another status."""
        answer = await self("POST", path, data=fields)
        assert answer.status_code == _status, (path, answer.status_code, answer.text[:300])
        return answer.headers["location"] if _status == 303 else answer.text

    async def refused(self, path: str, **fields: Any) -> str:
        """Sends a form that comes back; the page it comes back on."""
        answer = await self("POST", path, data=fields)
        assert 400 <= answer.status_code < 500, (path, answer.status_code, answer.text[:300])
        return answer.text

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self("GET", path, **options)


def bare(text: str, *names: str) -> str:
    """A page without what differs by the address that was asked for, and by the moment."""
    for name in names:
        text = text.replace(name, "·")
    return re.sub(r'nonce="[^"]*"', "", text)


async def browser_of(app: Starlette, who: Resident) -> Browser:
    return Browser(app, await session_of(who))


async def session_of(who: Resident) -> SignedIn:
    return await sign_in_with_link(await new_sign_in_link(Operator(), who.account_id), "192.0.2.1")


@asynccontextmanager
async def listening(app: Starlette) -> AsyncIterator[str]:
    """Serves the application on a real socket, in this loop, over the database that is open; its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving
