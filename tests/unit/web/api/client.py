"""A client of the API for each of the cast: the application as it is served, without the socket."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette

from server.actions.accounts import issue_token
from server.settings import Settings
from server.viewer import Resident
from tests.cast import HERE
from web.api.search import nothing
from web.app import create_app

ALL = "read write follow"


def application(database_url: str, folder: Path) -> Starlette:
    """The application over a database that is open already; nobody elsewhere is asked for anything."""
    app = create_app(Settings(base_url=HERE.base, database_url=database_url, data_dir=folder))
    app.state.lookup = nothing
    return app


@dataclass(slots=True)
class Client:
    """Speaks as one person, or as nobody without a token."""

    app: Starlette
    token: str = ""

    async def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = options.pop("headers", {})
        if self.token:
            headers = {"authorization": f"Bearer {self.token}"} | headers
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=HERE.base) as http:
            return await http.request(method, path, headers=headers, **options)

    async def get(self, path: str, **params: Any) -> Any:
        """The JSON of a page that must be there."""
        answer = await self("GET", path, params=params or None)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str, **body: Any) -> Any:
        answer = await self("POST", path, json=body)
        assert answer.is_success, answer.text
        return answer.json()


async def client_of(app: Starlette, who: Resident, scopes: str = ALL) -> Client:
    return Client(app, await token_of(who, scopes))


async def token_of(who: Resident, scopes: str = ALL) -> str:
    return await issue_token(who.account_id, scopes)
