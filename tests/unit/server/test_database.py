"""The layer everybody builds on: one SQL, one set of types, transactions that hold, errors with a sentence."""

import asyncio
import os
from pathlib import Path

import pytest
from tortoise.exceptions import IntegrityError, OperationalError

from server import database as db
from server.errors import Conflict, DomainError, Unavailable
from tests.unit.server.conftest import TOYS
from tests.unit.server.toys import Book, Shelf

pytestmark = pytest.mark.anyio


def shelf(number: int, **more: object) -> dict[str, object]:
    return {"id": number, "name": f"shelf {number}", **more}


async def count(table: str = "shelf") -> int:
    row = await db.fetch_one(f"SELECT COUNT(*) AS n FROM {table}")
    assert row is not None
    return int(row["n"])


async def test_the_database_of_a_test_is_empty_and_has_its_tables(database: str) -> None:
    assert await db.fetch_one("SELECT COUNT(*) AS n FROM actor") == {"n": 0}
    assert database.startswith(db.engine_name())


@pytest.mark.parametrize("url", ["mysql://x", "sqlite://", "sqlite://:memory:", "postgres://", "nonsense"])
async def test_an_address_that_is_no_database_is_refused_before_anything_is_opened(url: str) -> None:
    with pytest.raises(ValueError):
        await db.connect(url)


async def test_a_second_database_in_one_process_is_refused(toys: str) -> None:
    with pytest.raises(RuntimeError, match="open already"):
        await db.connect(toys, models=[TOYS])
    assert await count() == 0


async def test_a_database_that_cannot_be_reached_says_so_in_one_sentence(tmp_path: Path) -> None:
    for url in (f"postgres://nobody@/nothing?host={tmp_path}", f"sqlite://{tmp_path}/missing/folder/x.db"):
        with pytest.raises(Unavailable) as caught:
            await db.connect(url, models=[TOYS])
        assert caught.value.sentence.startswith("La base de données est injoignable")
        assert caught.value.detail
    with pytest.raises(RuntimeError):
        db.engine_name()


async def test_a_unique_key_that_exists_is_a_conflict_and_names_no_value(toys: str) -> None:
    await db.insert("shelf", shelf(1))
    with pytest.raises(Conflict) as caught:
        await db.insert("shelf", {"id": 2, "name": "shelf 1"})
    assert isinstance(caught.value, DomainError)
    assert "shelf 1" not in caught.value.detail


async def test_a_row_that_refers_to_nothing_and_a_wrong_statement_are_not_conflicts(toys: str) -> None:
    with pytest.raises(IntegrityError) as caught:
        await db.insert("book", {"id": 1, "shelf_id": 99, "title": "x", "pages": 1})
    assert not isinstance(caught.value, Conflict)
    with pytest.raises(OperationalError):
        await db.fetch("SELECT nothing FROM nowhere")


async def test_rows_have_the_same_types_on_both_engines(toys: str) -> None:
    await db.insert_many("shelf", [shelf(1, is_open=True), shelf(2, is_open=False)])
    await db.insert("book", {"id": 2**62, "shelf_id": 1, "title": "é’漢", "pages": 3})
    rows = await db.fetch("SELECT id, is_open, label FROM shelf ORDER BY id")
    assert rows == [{"id": 1, "is_open": True, "label": ""}, {"id": 2, "is_open": False, "label": ""}]
    assert [type(value) for value in rows[0].values()] == [int, bool, str]
    sums = await db.fetch_one("SELECT SUM(pages) AS total, AVG(pages) AS mean, MAX(id) AS last FROM book")
    assert sums == {"total": 3, "mean": 3.0, "last": 2**62}
    assert [type(value) for value in (sums or {}).values()] == [int, float, int]


async def test_dollars_in_literals_are_left_alone_and_a_number_may_come_twice(toys: str) -> None:
    row = await db.fetch_one(
        "SELECT '$1' AS literal, CAST($1 AS BIGINT) AS a, CAST($1 AS BIGINT) + CAST($2 AS BIGINT) AS b", 4, 5
    )
    assert row == {"literal": "$1", "a": 4, "b": 9}


async def test_execute_says_how_many_rows_changed(toys: str) -> None:
    await db.insert_many("shelf", [shelf(number) for number in range(5)])
    assert await db.execute("UPDATE shelf SET label = $1 WHERE id < $2", "x", 3) == 3
    assert await db.execute("DELETE FROM shelf WHERE id = $1", 99) == 0
    again = "INSERT INTO shelf (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING"
    assert await db.execute(again, 1, "shelf 1") == 0
    assert await db.fetch(again + " RETURNING id", 1, "shelf 1") == []
    assert await db.fetch(again + " RETURNING id", 9, "shelf 9") == [{"id": 9}]


async def test_many_rows_are_written_all_or_none(toys: str) -> None:
    rows = [shelf(number) for number in range(300)]
    with pytest.raises(Conflict):
        await db.insert_many("shelf", [*rows, rows[0]])
    assert await count() == 0
    await db.insert_many("shelf", rows)
    await db.insert_many("shelf", [*rows[:2], shelf(1000)], ignore=True)
    assert await count() == 301
    with pytest.raises(ValueError):
        await db.insert_many("shelf", [shelf(1), {"id": 2}])


async def test_nothing_of_a_transaction_that_fails_is_kept_or_told(toys: str) -> None:
    told: list[str] = []
    with pytest.raises(KeyError):
        async with db.transaction():
            await db.insert("shelf", shelf(1))
            db.after_commit(lambda: told.append("never"))
            raise KeyError
    assert await count() == 0 and told == []
    assert not db.in_transaction()


async def test_what_was_committed_is_told_once_in_order_and_after_the_commit(toys: str) -> None:
    told: list[str] = []
    async with db.transaction():
        assert db.in_transaction()
        db.after_commit(lambda: told.append("first"))
        async with db.transaction():
            db.after_commit(lambda: told.append("second"))
            db.after_commit(lambda: told.append(str(db.in_transaction())))
        assert told == []
    assert told == ["first", "second", "False"]
    db.after_commit(lambda: told.append("at once"))
    assert told[-1] == "at once"


async def test_one_listener_that_fails_does_not_silence_the_next(toys: str) -> None:
    told: list[str] = []
    with pytest.raises(ZeroDivisionError):
        async with db.transaction():
            await db.insert("shelf", shelf(1))
            db.after_commit(lambda: 1 / 0)
            db.after_commit(lambda: told.append("told"))
    assert told == ["told"] and await count() == 1


async def test_a_savepoint_that_fails_is_undone_alone_with_what_it_would_have_told(toys: str) -> None:
    told: list[str] = []
    async with db.transaction():
        await db.insert("shelf", shelf(1))
        with pytest.raises(Conflict):
            async with db.transaction():
                db.after_commit(lambda: told.append("never"))
                await db.insert("shelf", shelf(2))
                await db.insert("shelf", shelf(1))
        async with db.transaction():
            await db.insert("shelf", shelf(3))
    assert [row["id"] for row in await db.fetch("SELECT id FROM shelf ORDER BY id")] == [1, 3]
    assert told == []


async def test_models_take_part_in_the_transaction(toys: str) -> None:
    with pytest.raises(KeyError):
        async with db.transaction():
            kept = await Shelf.create(name="a")
            await Book.create(shelf=kept, title="b")
            assert await count("book") == 1
            raise KeyError
    assert await Shelf.all().count() == 0
    made, is_new = await Shelf.get_or_create(name="a")
    assert is_new and (await Shelf.get_or_create(name="a")) == (made, False)
    with pytest.raises(IntegrityError):
        await Shelf.create(name="a")


async def test_a_transaction_sees_its_own_rows_and_nobody_else_does(toys: str) -> None:
    inside, checked = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with db.transaction():
            await db.insert("shelf", shelf(1))
            assert await count() == 1
            inside.set()
            await checked.wait()

    writing = asyncio.create_task(write())
    await inside.wait()
    assert await count() == 0
    checked.set()
    await writing
    assert await count() == 1


async def test_a_full_disk_is_one_sentence_and_keeps_nothing_of_the_transaction(sqlite_toys: str) -> None:
    """Trap: SQLite ends the transaction itself, and what follows would be committed alone."""
    await db.execute("UPDATE shelf SET label = ''")
    pages = await db.fetch("PRAGMA page_count")
    async with db.transaction():
        await db.fetch(f"PRAGMA max_page_count = {pages[0]['page_count'] + 4}")
    with pytest.raises(Unavailable) as caught:
        async with db.transaction():
            await db.insert("shelf", shelf(1))
            with pytest.raises(Unavailable, match="plein"):
                await db.insert_many("shelf", [shelf(n, label="x" * 60) for n in range(2, 5000)])
            await db.insert("shelf", shelf(9999))
    assert caught.value.detail
    assert await count() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
async def test_a_disk_that_is_really_full_is_the_same_sentence(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = await asyncio.create_subprocess_exec(
        "mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(disk), stderr=asyncio.subprocess.DEVNULL
    )
    if await mounting.wait():
        pytest.skip("this machine does not let us mount")
    try:
        await db.connect(f"sqlite://{disk}/toys.db", models=[TOYS])
        await db.execute("CREATE TABLE shelf (id INTEGER PRIMARY KEY, name TEXT)")
        with pytest.raises(Unavailable, match="disque du serveur est plein"):
            for start in range(0, 100000, 1000):
                await db.insert_many("shelf", [shelf(start + n) for n in range(1000)])
        assert await count() > 0  # reading still works, and what was committed is there
    finally:
        await db.disconnect()
        await (await asyncio.create_subprocess_exec("umount", str(disk))).wait()


@pytest.mark.anyio
async def test_without_models_the_sql_of_this_module_works_and_transactions_too(database_url: str) -> None:
    await db.connect(database_url, models=())
    try:
        async with db.transaction():
            assert await db.fetch("SELECT COUNT(*) AS n FROM account") == [{"n": 0}]
    finally:
        await db.disconnect()


async def test_a_verb_is_whole_by_itself_and_part_of_whatever_calls_it(toys: str) -> None:
    async def verb(number: int, fails: bool = False) -> None:
        async with db.together():
            await db.insert("shelf", shelf(number))
            if fails:
                raise Conflict(detail="half-way")

    await verb(1)
    with pytest.raises(Conflict):
        await verb(2, fails=True)
    assert await count() == 1, "alone it is a transaction"
    with pytest.raises(Conflict):
        async with db.transaction():
            await verb(3)
            await verb(4, fails=True)
    assert await count() == 1, "inside another's it goes with that"
    async with db.transaction():
        await verb(5)
        with pytest.raises(Conflict):
            async with db.transaction():
                await verb(6, fails=True)
    assert await count() == 2, "and a savepoint of the caller's undoes it alone"


async def test_a_task_started_inside_a_transaction_cannot_join_it(toys: str) -> None:
    async def late() -> None:
        async with db.together():
            await db.insert("shelf", shelf(9))

    async with db.transaction():
        task = asyncio.create_task(late())
        await asyncio.wait([task])
        assert isinstance(task.exception(), RuntimeError)
    assert await count() == 0


async def test_a_row_whose_key_exists_is_left_out_and_said_so_and_any_other_clash_is_a_conflict(toys: str) -> None:
    assert await db.insert_new("shelf", shelf(1), "id") is True
    assert await db.insert_new("shelf", {"id": 1, "name": "another"}, "id") is False
    assert await db.fetch("SELECT name FROM shelf") == [{"name": "shelf 1"}]
    with pytest.raises(Conflict):
        await db.insert_new("shelf", {"id": 2, "name": "shelf 1"}, "id")
