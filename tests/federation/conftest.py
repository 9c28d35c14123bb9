"""Fleets of real instances, on each engine in turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.databases import PostgresServer, Templates
from tests.federation.harness import Node, free_port

MakeNode = Callable[..., Awaitable[Node]]

MOST_NODES = 5


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> str:
    """Which database the instances of this test stand on."""
    return str(request.param)


@pytest.fixture
def databases(
    request: pytest.FixtureRequest, templates: Templates, engine: str, tmp_path: Path
) -> Iterator[Iterator[tuple[Path, str]]]:
    """A folder and an empty migrated database for each instance that a test makes, made when it is asked for."""
    server: PostgresServer | None = request.getfixturevalue("postgres") if engine == "postgres" else None
    names: list[str] = []

    def made() -> Iterator[tuple[Path, str]]:
        for number in range(MOST_NODES):
            folder = tmp_path / f"node{number}"
            folder.mkdir()
            if server is None:
                yield folder, templates.sqlite_clone(folder / "parvis.db")
            else:
                names.append(server.lend(templates.postgres(server)))
                yield folder, server.url(names[-1])

    yield made()
    for name in names:
        assert server is not None
        server.take_back(name)


@pytest.fixture
async def fleet(databases: Iterator[tuple[Path, str]]) -> AsyncIterator[MakeNode]:
    """Makes instances that are started, and ended with the test."""
    nodes: list[Node] = []
    turn = asyncio.Lock()

    async def make(name: str, *, start: bool = True, **options: Any) -> Node:
        async with turn:
            folder, url = await asyncio.to_thread(next, databases)
        node = Node(name, folder, options.pop("port", 0) or free_port(), url, **options)
        nodes.append(node)
        node.write_settings()
        if start:
            await node.start()
        return node

    yield make
    for node in nodes:
        await node.stop()
