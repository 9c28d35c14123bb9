"""The embedded database: one writer, four readers, and nothing that waits for a disk on the event loop.

Measured here (uvloop, microseconds of CPU): an INSERT inside a transaction costs 4 when it runs on the loop's
own thread, 60 to 110 through a thread of ours, 209 through aiosqlite and Tortoise. Therefore:

* Inside a transaction, statements run inline, once they have proved quick: the first run of each SQL text
  goes to the writer's thread and is timed, and any run above SLOW_SECONDS sends that text back to the thread.
* COMMIT (its fsync and its checkpoint), patient BEGINs, statements outside a transaction and batches above
  INLINE_ROWS always run in the writer's thread. BEGIN IMMEDIATE is first tried inline without waiting (5 µs).
* Reads outside a transaction run in the readers' threads, on `query_only` connections; they never wait for a
  transaction, and never see a part of one.

Only the writer checkpoints and nothing is memory-mapped: SQLite before 3.51.3 may corrupt a file when two
connections reset its write-ahead log at once. `synchronous=FULL`: what was committed survives a power cut.
BEGIN IMMEDIATE takes the file's write lock first, so a second process waits (5 s) and never fails half-way.
A transaction in which a statement failed can only be rolled back, to a savepoint or as a whole, as PostgreSQL
has it; so a verb that works here works there. Columns declared BOOL come back as bool, expressions as 0 or 1.

The name of this module contains "sqlite": Tortoise's migrations look for it there.
"""

import asyncio
import contextlib
import functools
import queue
import re
import sqlite3
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from pypika_tortoise.dialects import SQLLiteQuery
from tortoise.backends.base.client import BaseDBAsyncClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient
from tortoise.backends.sqlite.executor import SqliteExecutor
from tortoise.backends.sqlite.schema_generator import SqliteSchemaGenerator
from tortoise.exceptions import IntegrityError, OperationalError
from tortoise.fields import BooleanField

from server.errors import Unavailable
from server.transactions import (
    BUSY,
    DISK_FULL,
    UNREACHABLE,
    OpenTransaction,
    Outermost,
    Row,
    Savepoint,
    TransactionLost,
    UniqueViolation,
    finish,
)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

READERS = 4
BUSY_MS = 5000
SLOW_SECONDS = 0.002
INLINE_ROWS = 200
KNOWN_TEXTS = 4096
READER_PRAGMAS = ("query_only=ON", "wal_autocheckpoint=0", "cache_size=-16384", "mmap_size=0")
WRITER_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "journal_size_limit=67108864",
    "foreign_keys=ON",
    "cache_size=-65536",
    "mmap_size=0",
    "busy_timeout=0",  # whoever waits does so in the thread, see _patient
)

_DOLLAR = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\d+)""")
_WRITES = re.compile(r"\b(INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_SENTENCES = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_CANTOPEN: UNREACHABLE,
    sqlite3.SQLITE_IOERR: UNREACHABLE,
    sqlite3.SQLITE_READONLY: UNREACHABLE,
    sqlite3.SQLITE_CORRUPT: UNREACHABLE,
    sqlite3.SQLITE_NOTADB: UNREACHABLE,
}

# Tortoise declares booleans as INT, which nothing can tell from a number when it is read back.
BooleanField._db_sqlite.SQL_TYPE = "BOOL"
sqlite3.register_converter("BOOL", lambda stored: stored != b"0")


@functools.lru_cache(maxsize=KNOWN_TEXTS)
def prepared(sql: str) -> tuple[str, bool]:
    """The text for SQLite ($1 becomes ?1, literals are left alone) and whether it only reads."""
    text = _DOLLAR.sub(lambda found: f"?{found[1]}" if found[1] else found[0], sql)
    word = text.lstrip()[:6].upper()
    return text, word == "SELECT" or (word.startswith("WITH") and not _WRITES.search(text))


def translated(error: sqlite3.Error | OverflowError) -> Exception:
    """Our error for what SQLite said: UniqueViolation, Unavailable, or Tortoise's for a wrong statement."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _UNIQUE:
        return UniqueViolation(detail=str(error))
    if sentence := _SENTENCES.get(code & 0xFF):
        return Unavailable(sentence, detail=f"SQLite: {error}")
    return (IntegrityError if isinstance(error, sqlite3.IntegrityError) else OperationalError)(error)


def _run(connection: sqlite3.Connection, text: str, args: Sequence[Any]) -> sqlite3.Cursor:
    try:
        return connection.execute(text, args)
    except (sqlite3.Error, OverflowError) as error:
        raise translated(error) from error


def _rows(connection: sqlite3.Connection, text: str, args: Sequence[Any]) -> tuple[int, list[Row]]:
    """How many rows changed (or were read), and the rows."""
    cursor = _run(connection, text, args)
    if cursor.description is None:
        return max(cursor.rowcount, 0), []
    names = [column[0] for column in cursor.description]
    try:
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    except sqlite3.Error as error:
        raise translated(error) from error
    return cursor.rowcount if cursor.rowcount >= 0 else len(rows), rows


def _insert(connection: sqlite3.Connection, text: str, args: Sequence[Any]) -> int:
    return _run(connection, text, args).lastrowid or 0


def _many(connection: sqlite3.Connection, text: str, args: Sequence[Sequence[Any]]) -> None:
    try:
        connection.executemany(text, args)
    except (sqlite3.Error, OverflowError) as error:
        raise translated(error) from error


def _script(connection: sqlite3.Connection, text: str) -> None:
    """Run a script statement by statement: `executescript` would commit whatever is open."""
    statement = ""
    with _patient(connection):
        for piece in re.split(r"(?<=;)", text):
            statement += piece
            if sqlite3.complete_statement(statement):
                _run(connection, statement, ())
                statement = ""
        if statement.strip():
            _run(connection, statement, ())


@contextlib.contextmanager
def _patient(connection: sqlite3.Connection) -> Iterator[None]:
    """Wait up to BUSY_MS for another process that writes; never on the event loop's thread."""
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    try:
        yield
    finally:
        connection.execute("PRAGMA busy_timeout=0")


def _begin_patiently(connection: sqlite3.Connection) -> None:
    with _patient(connection):
        _run(connection, "BEGIN IMMEDIATE", ())


def _alone(connection: sqlite3.Connection, job: Job[T]) -> T:
    """Run a job in a transaction of its own."""
    _begin_patiently(connection)
    try:
        result = job(connection)
        _run(connection, "COMMIT", ())
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return result


def open_file(path: str, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection as this project uses them. Raises Unavailable when the file cannot be opened."""
    try:
        connection = sqlite3.connect(
            path,
            timeout=BUSY_MS / 1000,
            isolation_level=None,
            check_same_thread=False,
            detect_types=sqlite3.PARSE_DECLTYPES,
            cached_statements=512,
        )
        for pragma in READER_PRAGMAS if read_only else WRITER_PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:
        raise translated(error) from error
    return connection


class Lane:
    """Threads, each with its connection, that take jobs in order of arrival; half as dear as an executor."""

    def __init__(self, connections: Sequence[sqlite3.Connection]) -> None:
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(connection,), name="sqlite", daemon=True)
            for connection in connections
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, job: Job[T]) -> "asyncio.Future[T]":
        """The outcome of job, as a future of the running loop. Cancelling it does not stop the job."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put((loop, future, job))
        return future

    def close(self) -> None:
        """Let what was submitted run to its end, then stop."""
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, connection: sqlite3.Connection) -> None:
        while (item := self._jobs.get()) is not None:
            loop, future, job = item
            result, error = None, None
            try:
                result = job(connection)
            except BaseException as raised:  # handed to whoever awaits
                error = raised
            try:
                loop.call_soon_threadsafe(self._settle, future, result, error)
            except RuntimeError:  # the loop is closed: nobody awaits any more
                return
            del item, loop, future, job, result, error

    @staticmethod
    def _settle(future: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


class Writer:
    """The only connection that writes, its thread, and the lock that orders the transactions of this process."""

    def __init__(self, path: str) -> None:
        self.connection = open_file(path)
        self.lane = Lane([self.connection])
        self.lock = asyncio.Lock()
        self._quick: set[str] = set()

    async def begin(self) -> None:
        """Take the lock and the write lock of the file. Raises Unavailable after BUSY_MS."""
        await self.lock.acquire()
        try:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                await finish(self.lane.submit(_begin_patiently))
        except BaseException:
            self.rollback()
            raise

    async def commit(self, done: Callable[[], None]) -> None:
        """Write down, call done, and let go of the lock. Raises Unavailable, and then nothing was kept."""

        def job(connection: sqlite3.Connection) -> None:
            _run(connection, "COMMIT", ())
            done()

        try:
            await finish(self.lane.submit(job))
        finally:
            self.rollback()

    def rollback(self) -> None:
        """Undo what is open, if anything is, and let go of the lock."""
        try:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
        finally:
            self.lock.release()

    async def alone(self, job: Job[T]) -> T:
        """Run a job in the thread, in a transaction of its own."""
        async with self.lock:
            return await finish(self.lane.submit(lambda connection: _alone(connection, job)))

    async def inside(self, text: str, job: Job[T], *, small: bool = True) -> T:
        """Run a job in the open transaction: inline if this text has proved quick, else in the thread."""
        started = time.perf_counter()
        if small and text in self._quick:
            result = job(self.connection)
            if time.perf_counter() - started > SLOW_SECONDS:
                self._quick.discard(text)
            return result
        result, seconds = await finish(self.lane.submit(lambda connection: _timed(connection, job)))
        if small and seconds <= SLOW_SECONDS:
            if len(self._quick) >= KNOWN_TEXTS:
                self._quick.clear()
            self._quick.add(text)
        return result

    async def close(self) -> None:
        """Wait for what runs, then close; the last connection to close folds the log into the file."""
        async with self.lock:
            await finish(self.lane.submit(lambda connection: connection.close()))
            self.lane.close()


def _timed(connection: sqlite3.Connection, job: Job[T]) -> tuple[T, float]:
    started = time.perf_counter()
    return job(connection), time.perf_counter() - started


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
            self._connections = [open_file(self.filename, read_only=True) for _ in range(READERS)]
            self._readers = Lane(self._connections)
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
        for connection in self._connections:
            connection.close()
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
            return await self._readers.submit(lambda connection: _rows(connection, text, args))
        return await writer.alone(lambda connection: _rows(connection, text, args))

    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None:
        text = prepared(sql)[0]
        await (await self.writer()).alone(lambda connection: _many(connection, text, args))

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        text = prepared(query)[0]
        return await (await self.writer()).alone(lambda connection: _insert(connection, text, values))

    async def execute_script(self, query: str) -> None:
        """Statements one by one, each committed by itself: PRAGMA and VACUUM work here."""
        writer = await self.writer()
        async with writer.lock:
            await finish(writer.lane.submit(lambda connection: _script(connection, query)))


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
        return await self._inside(text, lambda connection: _rows(connection, text, args))

    async def change_many(self, sql: str, args: Sequence[Sequence[Any]]) -> None:
        text = prepared(sql)[0]
        small = len(args) <= INLINE_ROWS
        await self._inside(text, lambda connection: _many(connection, text, args), small=small)

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        text = prepared(query)[0]
        return await self._inside(text, lambda connection: _insert(connection, text, values))

    async def execute_script(self, query: str) -> None:
        await self._inside(query, lambda connection: _script(connection, query), small=False)

    async def statement(self, sql: str) -> None:
        if sql.startswith("ROLLBACK TO"):
            self._failed = False
        self._sound()
        _run(self._writer.connection, sql, ())

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
