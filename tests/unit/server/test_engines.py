"""The traps of the ORM that our two engines close, each with its number, on the engines it concerns."""

import asyncio
import random
import sys
import textwrap
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tortoise.connection import get_connection
from tortoise.exceptions import ConfigurationError, IntegrityError, OperationalError
from tortoise.models import Model
from tortoise.transactions import in_transaction

from server import database as db
from server import postgres_engine, sqlite_file
from server.errors import Conflict, Unavailable
from server.transactions import DISK_FULL, TransactionLost
from tests.counting import Instructions
from tests.unit.server.conftest import TOYS
from tests.unit.server.toys import Shelf

pytestmark = pytest.mark.anyio

CANCELLATIONS = 400
INSTRUCTIONS = 500
"""Of Python for a write, about 100 µs with what C does: it takes 220."""


async def add(number: int) -> None:
    await db.insert("shelf", {"id": number, "name": f"shelf {number}"})


async def numbers() -> list[int]:
    return [row["id"] for row in await db.fetch("SELECT id FROM shelf ORDER BY id")]


async def test_trap_06_four_hundred_cancellations_at_random_moments_leave_the_database_whole(toys: str) -> None:
    """Stock: the first hangs SQLite for ever, six exhaust PostgreSQL's pool."""
    dice = random.Random(6)
    told: list[int] = []

    async def quick(number: int) -> None:
        async with db.transaction():
            db.after_commit(lambda: told.append(number))
            await add(number)
            async with db.transaction():
                await db.execute("UPDATE shelf SET label = 'x' WHERE id = $1", number)
            await db.fetch("SELECT * FROM shelf WHERE id = $1", number)

    for number in range(CANCELLATIONS):
        task = asyncio.create_task(quick(number))
        for _ in range(dice.randrange(8)):
            await asyncio.sleep(0)
        if number % 3:
            await asyncio.sleep(dice.random() * 0.003)
        task.cancel()
        await asyncio.wait([task], timeout=5)
        assert task.done(), f"cancellation {number} hangs"
        assert task.cancelled() or task.exception() is None
    async with asyncio.timeout(5):
        assert await numbers() == sorted(told), "what was kept was told, and nothing else"
        assert 0 < len(told) < CANCELLATIONS, "some were early enough and some were not"
        await asyncio.gather(*(add(1000 + number) for number in range(40)))
        assert {row["label"] for row in await db.fetch("SELECT label FROM shelf WHERE id < 1000")} == {"x"}


async def test_trap_06_readers_and_waiting_writers_may_be_cancelled_too(toys: str) -> None:
    dice = random.Random(66)

    async def wait_and_write(number: int) -> None:
        if number % 2:
            await add(number)
        else:
            await db.fetch("SELECT * FROM shelf")

    for start in range(0, 200, 20):
        tasks = [asyncio.create_task(wait_and_write(start + number)) for number in range(20)]
        await asyncio.sleep(dice.random() * 0.002)
        for task in dice.sample(tasks, 15):
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        assert all(task.done() for task in tasks)
    async with asyncio.timeout(5):
        await add(1000)


async def test_trap_07_a_read_does_not_wait_for_an_open_transaction(toys: str) -> None:
    await add(1)
    opened, release = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with db.transaction():
            await db.execute("UPDATE shelf SET label = 'new'")
            opened.set()
            await release.wait()

    holding = asyncio.create_task(hold())
    await opened.wait()
    async with asyncio.timeout(5):
        assert await db.fetch("SELECT label FROM shelf") == [{"label": ""}]
        assert (await Shelf.get(id=1)).label == ""
    assert not holding.done()
    release.set()
    await holding


OTHER_PROCESS = """
    import asyncio, sys
    from server import database as db

    async def main():
        await db.connect(sys.argv[1], models=["tests.unit.server.toys"])
        print("ready", flush=True)
        sys.stdin.readline()
        for _ in range(100):
            async with db.transaction():
                row = await db.fetch_one("SELECT pages FROM book WHERE id = 1")
                await asyncio.sleep(0.0005)
                await db.execute("UPDATE book SET pages = $1 WHERE id = 1", row["pages"] + 1)
        await db.disconnect()

    asyncio.run(main())
"""


async def test_trap_08_two_processes_that_read_then_write_lose_nothing(sqlite_toys: str) -> None:
    """Stock: a third to a half of them fail with "database is locked", whatever the busy timeout."""
    await add(1)
    await db.insert("book", {"id": 1, "shelf_id": 1, "title": "counter", "pages": 0})
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(OTHER_PROCESS),
        sqlite_toys,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert other.stdin is not None and other.stdout is not None
    assert await other.stdout.readline() == b"ready\n"
    other.stdin.write(b"\n")
    for _ in range(100):
        async with db.transaction():
            row = await db.fetch_one("SELECT pages FROM book WHERE id = 1")
            assert row is not None
            await asyncio.sleep(0.0005)
            await db.execute("UPDATE book SET pages = $1 WHERE id = 1", row["pages"] + 1)
    assert await other.wait() == 0
    assert await db.fetch_one("SELECT pages FROM book WHERE id = 1") == {"pages": 200}


async def test_trap_08_another_process_that_never_lets_go_is_one_sentence(
    sqlite_toys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_MS", 50)
    other = sqlite_file.open_file(sqlite_toys.removeprefix("sqlite://"))
    other.execute("BEGIN IMMEDIATE")
    for attempt in (add(1), Shelf.create(name="a")):
        with pytest.raises(Unavailable, match="occupée"):
            await attempt
    with pytest.raises(Unavailable, match="occupée"):
        async with db.transaction():
            raise AssertionError("not reached")
    other.execute("ROLLBACK")
    other.close()
    await add(1)


async def test_trap_09_a_task_started_inside_a_transaction_is_refused(toys: str) -> None:
    """Stock: it writes into the transaction, or fails later in a place that has nothing to do with it."""

    async def stray() -> None:
        await add(2)

    async def stray_model() -> None:
        await Shelf.create(name="stray")

    async def stray_transaction() -> None:
        async with db.transaction():
            await add(2)

    late: list[asyncio.Task[None]] = []
    async with db.transaction():
        await add(1)
        for child in (stray, stray_model, stray_transaction):
            with pytest.raises(RuntimeError, match="started inside a transaction"):
                await asyncio.create_task(child())
        late.append(asyncio.create_task(stray()))
    with pytest.raises(RuntimeError, match="after_commit"):
        await late[0]
    assert await numbers() == [1]


async def test_trap_09_a_task_started_after_the_commit_is_free(toys: str) -> None:
    tasks: list[asyncio.Task[None]] = []
    async with db.transaction():
        db.after_commit(lambda: tasks.append(asyncio.create_task(add(2))))
        await add(1)
    await tasks[0]
    assert await numbers() == [1, 2]


async def test_trap_10_an_update_gives_back_what_it_changed(toys: str) -> None:
    """Stock: no rows from asyncpg's execute_query."""
    await add(1)
    change = "UPDATE shelf SET label = $1 WHERE id = $2 RETURNING id, label, is_open"
    changed = [{"id": 1, "label": "new", "is_open": False}]
    assert await db.fetch(change, "new", 1) == changed
    client = get_connection("default")
    query = "UPDATE shelf SET label = 'new' RETURNING id, label, is_open"
    assert [dict(row) for row in (await client.execute_query(query))[1]] == changed
    assert await client.execute_query_dict(query) == changed
    async with db.transaction():
        assert await db.fetch(change, "new", 1) == changed


async def test_trap_11_after_an_error_a_transaction_can_only_be_undone_on_both_engines(toys: str) -> None:
    """Stock: SQLite goes on and commits, PostgreSQL answers COMMIT with ROLLBACK and says nothing."""
    with pytest.raises(TransactionLost):
        async with db.transaction():
            await add(1)
            with pytest.raises(Conflict):
                await add(1)
    with pytest.raises(TransactionLost):
        async with db.transaction():
            await add(2)
            with pytest.raises(IntegrityError):
                await Shelf.create(id=2, name="again")
            await add(3)
    assert await numbers() == []


async def test_trap_11_asking_instead_of_catching_leaves_the_transaction_whole(toys: str) -> None:
    async with db.transaction():
        await add(1)
        again = "INSERT INTO shelf (id, name) VALUES (1, 'x') ON CONFLICT DO NOTHING RETURNING id"
        assert await db.fetch(again) == []
        await add(2)
    assert await numbers() == [1, 2]


async def test_trap_12_rows_made_in_bulk_have_the_ids_we_gave_them(toys: str) -> None:
    made = [Shelf(name=f"s{number}") for number in range(10)]
    await Shelf.bulk_create(made)
    assert sorted(shelf.id for shelf in made) == await numbers()


async def test_trap_12_a_column_called_raw_is_refused_when_it_is_declared() -> None:
    from tortoise import fields

    with pytest.raises(ConfigurationError, match="raw"):
        type("Reserved", (Model,), {"raw": fields.TextField(), "__module__": __name__})


async def test_trap_13_every_task_sees_the_database_whichever_task_opened_it(empty_url: str) -> None:
    """Stock: what the start-up task opened is unknown to the tasks that serve requests."""
    asked, opened, close = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def lifespan() -> None:
        await asked.wait()
        await db.connect(empty_url, models=[TOYS])
        await db.execute("CREATE TABLE shelf (id BIGINT PRIMARY KEY, name TEXT)")
        opened.set()
        await close.wait()
        await db.disconnect()

    async def request() -> None:
        await opened.wait()
        await add(1)
        async with in_transaction():
            assert db.in_transaction()

    serving, asking = asyncio.create_task(lifespan()), asyncio.create_task(request())
    asked.set()
    await asking
    close.set()
    await serving
    with pytest.raises(RuntimeError):
        await numbers()


async def test_a_server_that_goes_away_in_the_middle_is_one_sentence_and_the_next_call_works(
    toys: str,
) -> None:
    if db.engine_name() == "sqlite":
        return  # no server
    with pytest.raises(Unavailable, match="injoignable"):
        async with db.transaction():
            await add(1)
            mine = await db.fetch_one("SELECT pg_backend_pid() AS pid")
            assert mine is not None
            other = await asyncpg.connect(toys)
            await other.execute("SELECT pg_terminate_backend($1)", mine["pid"])
            await other.close()
            await add(2)
    await add(3)
    assert await numbers() == [3]


def test_a_full_disk_of_the_server_is_the_same_sentence_as_ours() -> None:
    error = postgres_engine.translated(asyncpg.DiskFullError("could not extend file"))
    assert isinstance(error, Unavailable) and error.sentence == DISK_FULL


async def test_reading_cannot_write_and_only_the_writer_checkpoints(sqlite_toys: str) -> None:
    path = sqlite_toys.removeprefix("sqlite://")
    reader, writer = sqlite_file.open_file(path, read_only=True), sqlite_file.open_file(path)

    def pragma(connection: Any, name: str) -> Any:
        return connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert (pragma(reader, "query_only"), pragma(reader, "wal_autocheckpoint")) == (1, 0)
    assert pragma(writer, "journal_mode") == "wal" and pragma(writer, "synchronous") == 2
    assert pragma(writer, "foreign_keys") == 1 and pragma(writer, "journal_size_limit") == 64 * 2**20
    assert (pragma(writer, "mmap_size"), pragma(reader, "mmap_size")) == (0, 0)
    reader.close()
    writer.close()


async def test_a_statement_that_proved_slow_leaves_the_loop_free(sqlite_toys: str) -> None:
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT SUM(i) s FROM n"
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    async with db.transaction():
        for attempt in range(3):
            before = turns
            assert await db.fetch(slow) == [{"s": 45000150000}]
            assert attempt == 0 or turns - before > 100, "it ran in the writer's thread"
    watching.cancel()


async def test_a_thousand_small_writes_cost_little_enough_for_the_inbox(sqlite_toys: str) -> None:
    """1,000 activities must take at most 0.5 CPU-s in all: hundreds of instructions a write would be too much."""
    async with db.transaction():
        await add(5000)
        with Instructions() as counting:
            for number in range(100):
                await add(number)
    assert counting.counted < 100 * INSTRUCTIONS


async def test_a_read_that_takes_long_is_given_to_a_thread_whatever_its_text_did_before(sqlite_toys: str) -> None:
    sums = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) SELECT SUM(i) AS s FROM n"
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    for _ in range(3):
        before = turns
        assert await db.fetch(sums, 10) == [{"s": 55}]
        assert turns == before, "a short one was answered on the spot"
    for _ in range(3):
        before = turns
        assert await db.fetch(sums, 200_000) == [{"s": 20_000_100_000}]
        assert turns > before, "the loop went on meanwhile"
    watching.cancel()


async def test_a_wrong_statement_is_said_to_be_wrong_wherever_it_ran(sqlite_toys: str) -> None:
    for _ in range(2):
        with pytest.raises(OperationalError):
            await db.fetch("SELECT nothing FROM nowhere")


async def test_a_transaction_that_changed_nothing_ends_without_waiting_for_the_disk(sqlite_toys: str) -> None:
    told: list[str] = []
    async with db.transaction():
        assert await db.fetch("SELECT id FROM shelf") == []
        assert await db.execute("UPDATE shelf SET label = 'x' WHERE id = 1") == 0
        db.after_commit(lambda: told.append("nothing"))
    assert told == ["nothing"]
    async with db.transaction():
        await add(1)
    assert await numbers() == [1]
