"""The embedded database: one writer, four readers, and nothing that waits for a disk on the event loop.

Measured here (uvloop, microseconds of CPU): an INSERT inside a transaction costs 4 when it runs on the loop's
own thread, 60 to 110 through a thread of ours, 209 through aiosqlite and Tortoise. Therefore:

* Inside a transaction, statements run inline, once they have proved quick: the first run of each SQL text
  goes to the writer's thread and is timed, and any run above SLOW_SECONDS sends that text back to the thread.
* COMMIT (its fsync and its checkpoint), patient BEGINs, statements outside a transaction and batches above
  INLINE_ROWS always run in the writer's thread. BEGIN IMMEDIATE is first tried inline without waiting (5 µs).
* Reads outside a transaction run on `query_only` connections; they never wait for a transaction, and never see a
  part of one. They begin on the loop's own thread, and go to a reader's thread when they take longer than
  MOST_STEPS: SQLite itself counts, so what is long is stopped, whatever its text did the last time.

BEGIN IMMEDIATE takes the file's write lock first, so a second process waits (5 s) and never fails half-way.
A transaction in which a statement failed can only be rolled back, to a savepoint or as a whole, as PostgreSQL
has it; so a verb that works here works there. Columns declared BOOL come back as bool, expressions as 0 or 1.

The name of this module contains "sqlite": Tortoise's migrations look for it there.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

from pypika_tortoise.dialects import SQLLiteQuery
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient
from tortoise.backends.sqlite.executor import SqliteExecutor
from tortoise.backends.sqlite.schema_generator import SqliteSchemaGenerator
from tortoise.fields import BigIntField, BooleanField

from server.sqlite_file import (
    INLINE_ROWS,
    Job,
    Readers,
    Writer,
    insert,
    many,
    prepared,
    run,
    script,
    select,
)
from server.transactions import OpenTransaction, Outermost, Row, Savepoint, TransactionLost, finish

T = TypeVar("T")

# Tortoise declares booleans as INT, which nothing can tell from a number when it is read back, and our ids as
# BIGINT PRIMARY KEY, which is a second tree beside the table; INTEGER PRIMARY KEY is the table's own order.
BooleanField._db_sqlite.SQL_TYPE = "BOOL"
BigIntField._db_sqlite.SQL_TYPE = "INTEGER"  # type: ignore[attr-defined]


class Dialect(BaseDBAsyncClient):
    """What Tortoise wants to know about SQLite, and its calls in terms of ours."""

    query_class = SQLLiteQuery
    executor_class = SqliteExecutor
    schema_generator = SqliteSchemaGenerator
    capabilities = SqliteClient.capabilities

    @abstractmethod
    async def both(self, sql: str, args: Sequence[Any]) -> tuple[int, list[Row]]:
        """How many rows changed (or were read), and the rows."""

    @abstractmethod
    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None:
        """One statement for many rows: all or none."""

    async def rows(self, sql: str, args: Sequence[Any]) -> list[Row]:
        return (await self.both(sql, args))[1]

    async def change(self, sql: str, args: Sequence[Any]) -> int:
        return (await self.both(sql, args))[0]

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[Row]]:
        return await self.both(query.replace("\x00", "'||CHAR(0)||'"), values or ())

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[Row]:
        return (await self.execute_query(query, values))[1]  # type: ignore[return-value]

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        await self.change_many(query, values)


class Client(Dialect):
    """Outside a transaction: reads on the readers, each write in a transaction of its own."""

    def __init__(self, file_path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filename = file_path
        self._writer: Writer | None = None

    async def create_connection(self, with_db: bool) -> None:
        """Open the writer and the readers. Raises Unavailable when the file cannot be opened."""
        if self._writer is None:
            self._writer = Writer(self.filename)
            self._readers = Readers(self.filename)
            await self._post_connect()

    async def writer(self) -> Writer:
        if self._writer is None:
            await self.create_connection(with_db=True)
        assert self._writer is not None
        return self._writer

    async def close(self) -> None:
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        self._readers.close()
        await writer.close()

    async def db_create(self) -> None:
        """Nothing to do: the file is made when it is opened."""

    def _in_transaction(self) -> TransactionContext:
        return Outermost(self._begin, self.connection_name)

    async def _begin(self) -> "Open":
        writer = await self.writer()
        await writer.begin()
        return Open(self, writer)

    async def both(self, sql: str, args: Sequence[Any]) -> tuple[int, list[Row]]:
        writer = await self.writer()
        text, reads = prepared(sql)
        if reads:
            return await self._readers.select(text, args)
        return await writer.alone(lambda connection: select(connection, text, args))

    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None:
        text = prepared(sql)[0]
        await (await self.writer()).alone(lambda connection: many(connection, text, args))

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        text = prepared(query)[0]
        return await (await self.writer()).alone(lambda connection: insert(connection, text, values))

    async def checkpoint(self) -> int:
        """Moves the write-ahead log into the file and empties it; not 0 when a reader was in the way."""
        writer = await self.writer()
        async with writer.lock:
            _, rows = await finish(
                writer.lane.submit(lambda connection: select(connection, "PRAGMA wal_checkpoint(TRUNCATE)", ()))
            )
        return int(next(iter(rows[0].values()))) if rows else 0

    async def execute_script(self, query: str) -> None:
        """Statements one by one, each committed by itself: PRAGMA and VACUUM work here."""
        writer = await self.writer()
        async with writer.lock:
            await finish(writer.lane.submit(lambda connection: script(connection, query)))


class Open(Dialect, OpenTransaction):
    """Inside a transaction: everything on the writer, in the order in which it is asked."""

    def __init__(self, parent: Client, writer: Writer) -> None:
        super().__init__(connection_name=parent.connection_name, fetch_inserted=parent.fetch_inserted)
        self._parent = parent
        self._writer = writer
        self._failed = False

    def _in_transaction(self) -> TransactionContext:
        return Savepoint(self)

    async def _inside(self, text: str, job: Job[T], *, small: bool = True) -> T:
        self.own()
        self._sound()
        try:
            return await self._writer.inside(text, job, small=small)
        except BaseException:
            self._failed = True
            raise

    def _sound(self) -> None:
        """SQLite ends a transaction itself when the disk is full: what follows must not run outside it."""
        if self._finalized or self._failed or not self._writer.connection.in_transaction:
            raise TransactionLost(detail="a statement failed in this transaction: it can only be rolled back")

    async def both(self, sql: str, args: Sequence[Any]) -> tuple[int, list[Row]]:
        text = prepared(sql)[0]
        return await self._inside(text, lambda connection: select(connection, text, args))

    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None:
        text = prepared(sql)[0]
        small = len(args) <= INLINE_ROWS
        await self._inside(text, lambda connection: many(connection, text, args), small=small)

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        text = prepared(query)[0]
        return await self._inside(text, lambda connection: insert(connection, text, values))

    async def execute_script(self, query: str) -> None:
        await self._inside(query, lambda connection: script(connection, query), small=False)

    async def statement(self, sql: str) -> None:
        if sql.startswith("ROLLBACK TO"):
            self._failed = False
        self._sound()
        run(self._writer.connection, sql, ())

    async def begin(self) -> None:
        """Already done: an Open exists only inside a transaction."""

    async def commit(self) -> None:
        try:
            self._sound()
        except TransactionLost:
            await self.rollback()
            raise
        self._finalized = True
        await self._writer.commit(self.committed)

    async def rollback(self) -> None:
        self._finalized = True
        self._writer.rollback()


client_class = Client
