"""Our instance, open to anybody or to links only, and servers around it: Kestrel, Merle and Inconnu."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from federation import held_keys, newcomers, processing, side_by_side, verify
from tests.federation.stranger import Here, OtherServer, other_server, our_instance


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a process learns of others does not outlive a test; a busy machine makes nobody a slow server."""
    for patient in (processing, side_by_side):
        monkeypatch.setattr(patient, "PATIENCE_S", 60.0)
    yield
    held_keys._held.clear()
    verify._asked.clear()
    newcomers.forget()
    processing._slow.clear()


@pytest.fixture
async def here(database: str, tmp_path: Path) -> AsyncIterator[Here]:
    """Our instance, which hears anybody."""
    async with our_instance(database, tmp_path / "here") as instance:
        yield instance


@pytest.fixture
async def closed(database: str, tmp_path: Path) -> AsyncIterator[Here]:
    """Our instance, which hears linked instances only."""
    async with our_instance(database, tmp_path / "here", "linked") as instance:
        yield instance


@pytest.fixture
async def kestrel() -> AsyncIterator[OtherServer]:
    async with other_server() as server:
        yield server


@pytest.fixture
async def merle() -> AsyncIterator[OtherServer]:
    async with other_server("127.0.0.2") as server:
        yield server


@pytest.fixture
async def inconnu() -> AsyncIterator[OtherServer]:
    async with other_server("127.0.0.3") as server:
        yield server
