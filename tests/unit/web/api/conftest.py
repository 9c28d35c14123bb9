"""The company, the application, and a client for each of them."""

from pathlib import Path

import pytest
from starlette.applications import Starlette

from tests.cast import Cast, gather
from tests.unit.web.api.client import Client, application, client_of


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


@pytest.fixture
def app(database: str, tmp_path: Path) -> Starlette:
    return application(database, tmp_path)


@pytest.fixture
async def alice(app: Starlette, cast: Cast) -> Client:
    return await client_of(app, cast.alice)


@pytest.fixture
async def bruno(app: Starlette, cast: Cast) -> Client:
    return await client_of(app, cast.bruno)


@pytest.fixture
def visitor(app: Starlette, cast: Cast) -> Client:
    return Client(app)
