"""What holds for the whole suite: a database for whoever asks, and where nothing may be skipped, nothing is.

A test that takes `database` runs twice, on SQLite and on PostgreSQL, each time with an empty migrated database of
its own that is open already. One that starts processes takes `database_url`, which opens nothing.
"""

import os
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from server import database as db
from tests.databases import PostgresServer, Templates, postgres_programs, shared_postgres

STRICT = bool(os.environ.get("PARVIS_TEST_STRICT"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if STRICT and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped although nothing may be: {call.excinfo and call.excinfo.value}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if STRICT and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"a whole file skipped although nothing may be: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Async tests run on the loop that serves in production."""
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL of our own, shared by all workers of this run. Skipped where it is not installed."""
    programs = postgres_programs()
    if programs is None:
        pytest.skip("PostgreSQL is not installed: initdb is not found")
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    base = tmp_path_factory.getbasetemp()
    with shared_postgres(programs, base.parent if worker else base) as folder:
        yield PostgresServer(folder, worker or "alone")


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    """One migrated database per engine and worker; made when first asked for."""
    return Templates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, templates: Templates) -> Iterator[str]:
    """Where an empty migrated database waits, on each engine in turn; it is emptied or dropped afterwards."""
    if request.param == "sqlite":
        yield templates.sqlite_clone(tmp_path / "parvis.db")
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.lend(templates.postgres(server))
    yield server.url(name)
    server.take_back(name)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[str]:
    """That database, open in this process. Its value is the URL."""
    await db.connect(database_url)
    yield database_url
    await db.disconnect()
