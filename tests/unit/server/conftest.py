"""Toy databases on either engine, for the tests of the database layer itself."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from tortoise.context import require_context

from server import database as db
from tests.databases import PostgresServer

TOYS = "tests.unit.server.toys"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes with which argon2 was asked to compare a password: each of them is a tenth of a second of work."""
    asked: list[str] = []
    verify = PasswordHasher.verify

    def noting(hasher: PasswordHasher, kept: str, password: bytes) -> bool:
        asked.append(kept)
        return verify(hasher, kept, password)

    monkeypatch.setattr(PasswordHasher, "verify", noting)
    return asked


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table."""
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/toys.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.create()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
async def toys(empty_url: str) -> AsyncIterator[str]:
    """A database with shelves and books, open in this process."""
    await db.connect(empty_url, models=[TOYS])
    await require_context().generate_schemas()
    yield empty_url
    await db.disconnect()


@pytest.fixture
async def sqlite_toys(tmp_path: Path) -> AsyncIterator[str]:
    """The same, for what only SQLite has."""
    url = f"sqlite://{tmp_path}/toys.db"
    await db.connect(url, models=[TOYS])
    await require_context().generate_schemas()
    yield url
    await db.disconnect()
