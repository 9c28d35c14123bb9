"""One world for all the tests of a file, on each engine in turn: it is read and never changed."""

from collections.abc import AsyncIterator, Iterator

import pytest

from server import database as db
from tests.databases import PostgresServer, Templates
from tests.policy.world import World, build


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def world_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, templates: Templates
) -> Iterator[str]:
    if request.param == "sqlite":
        yield templates.sqlite_clone(tmp_path_factory.mktemp("world") / "parvis.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(templates.postgres(server))
    yield server.url(name)
    server.drop(name)


@pytest.fixture(scope="module")
async def world(world_url: str) -> AsyncIterator[World]:
    """Every openness, stamp, age and caller as rows, in a database that is open in this process."""
    await db.connect(world_url)
    yield await build()
    await db.disconnect()
