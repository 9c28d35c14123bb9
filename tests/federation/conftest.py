"""Fleets of real instances, on each engine in turn."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import PostgresServer, Templates
from tests.federation.harness import Node, free_port

MakeNode = Callable[..., Awaitable[Node]]

MOST_NODES = 3


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which database the instances of this test stand on."""
    return str(request.param)


@pytest.fixture
def databases(
    request: pytest.FixtureRequest, templates: Templates, engine: str, tmp_path: Path
) -> Iterator[list[tuple[Path, str]]]:
    """A folder and an empty migrated database for each instance that a test may make."""
    folders = [tmp_path / f"node{number}" for number in range(MOST_NODES)]
    for folder in folders:
        folder.mkdir()
    if engine == "sqlite":
        yield [(folder, templates.sqlite_clone(folder / "parvis.db")) for folder in folders]
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    names = [server.create(templates.postgres(server)) for _ in folders]
    yield [(folder, server.url(name)) for folder, name in zip(folders, names, strict=True)]
    for name in names:
        server.drop(name)


@pytest.fixture
async def fleet(databases: list[tuple[Path, str]]) -> AsyncIterator[MakeNode]:
    """Makes instances that are started, and ended with the test."""
    nodes: list[Node] = []

    async def make(name: str, *, start: bool = True, **options: Any) -> Node:
        folder, url = databases[len(nodes)]
        node = Node(name, folder, options.pop("port", 0) or free_port(), url, **options)
        nodes.append(node)
        node.write_settings()
        if start:
            await node.start()
        return node

    yield make
    for node in nodes:
        await node.stop()
