"""Fleets of real instances, on each engine in turn."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.databases import PostgresServer, Templates
from tests.federation.harness import Node, free_port

MakeNode = Callable[..., Awaitable[Node]]


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which database the instances of this test stand on."""
    return str(request.param)


@contextmanager
def _database(request: pytest.FixtureRequest, templates: Templates, engine: str, folder: Path) -> Iterator[str]:
    folder.mkdir(parents=True)
    if engine == "sqlite":
        yield templates.sqlite_clone(folder / "parvis.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create(templates.postgres(server))
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def fleet(
    request: pytest.FixtureRequest, templates: Templates, engine: str, tmp_path: Path
) -> AsyncIterator[MakeNode]:
    """Makes instances that are started, and ended with the test."""
    nodes: list[Node] = []
    databases = []

    async def make(name: str, *, start: bool = True, **options: str) -> Node:
        folder = tmp_path / f"node{len(nodes)}"
        database = _database(request, templates, engine, folder)
        node = Node(name, folder, free_port(), database.__enter__(), **options)  # type: ignore[arg-type]
        databases.append(database)
        nodes.append(node)
        node.write_settings()
        if start:
            await node.start()
        return node

    yield make
    for node in nodes:
        await node.stop()
    for database in databases:
        database.__exit__(None, None, None)
