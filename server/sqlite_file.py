"""One SQLite file: its connections, the threads that wait for the disk, and the one writer. Knows no Tortoise model.

Only the writer checkpoints and nothing is memory-mapped: SQLite before 3.51.3 may corrupt a file when two
connections reset its write-ahead log at once. `synchronous=FULL`: what was committed survives a power cut.
"""

import asyncio
import contextlib
import functools
import queue
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from tortoise.exceptions import IntegrityError, OperationalError

from server.errors import Unavailable
from server.transactions import (
    BUSY,
    DISK_FULL,
    UNREACHABLE,
    Row,
    UniqueViolation,
    finish,
)

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

READERS = 4
BUSY_MS = 5000
SLOW_SECONDS = 0.002
MOST_STEPS = 20_000
"""Steps of SQLite's machine (1 to 2 ms) after which a read on the loop's own thread is given to another thread."""
KNOWN_LONG = 100
"""How many times a text that took longer goes straight to a thread, before it is tried on the loop again."""
INLINE_ROWS = 200
KNOWN_TEXTS = 4096
READER_PRAGMAS = ("query_only=ON", "wal_autocheckpoint=0", "cache_size=-16384", "mmap_size=0")
WRITER_PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "journal_size_limit=67108864",
    "foreign_keys=ON",
    "secure_delete=ON",  # what is erased is not left behind in free pages
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


def run(connection: sqlite3.Connection, text: str, args: Sequence[Any]) -> sqlite3.Cursor:
    try:
        return connection.execute(text, args)
    except (sqlite3.Error, OverflowError) as error:
        raise translated(error) from error


def select(connection: sqlite3.Connection, text: str, args: Sequence[Any]) -> tuple[int, list[Row]]:
    """How many rows changed (or were read), and the rows."""
    cursor = run(connection, text, args)
    if cursor.description is None:
        return max(cursor.rowcount, 0), []
    names = [column[0] for column in cursor.description]
    try:
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    except sqlite3.Error as error:
        raise translated(error) from error
    return cursor.rowcount if cursor.rowcount >= 0 else len(rows), rows


def insert(connection: sqlite3.Connection, text: str, args: Sequence[Any]) -> int:
    return run(connection, text, args).lastrowid or 0


def many(connection: sqlite3.Connection, text: str, args: Sequence[Sequence[Any]]) -> None:
    try:
        connection.executemany(text, args)
    except (sqlite3.Error, OverflowError) as error:
        raise translated(error) from error


def script(connection: sqlite3.Connection, text: str) -> None:
    """Run a script statement by statement: `executescript` would commit whatever is open."""
    statement = ""
    with _patient(connection):
        for piece in re.split(r"(?<=;)", text):
            statement += piece
            if sqlite3.complete_statement(statement):
                run(connection, statement, ())
                statement = ""
        if statement.strip():
            run(connection, statement, ())


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
        run(connection, "BEGIN IMMEDIATE", ())


def _alone(connection: sqlite3.Connection, job: Job[T]) -> T:
    """Run a job in a transaction of its own."""
    _begin_patiently(connection)
    try:
        result = job(connection)
        run(connection, "COMMIT", ())
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


class Readers:
    """Connections that only read: one on the loop's own thread for what is quick, the others each with a thread.

    Handing a read over costs 100 µs of CPU, the read itself 10. Nothing is known to be quick beforehand: whatever
    has taken MOST_STEPS, or failed, is stopped and asked again in a thread, where it may take its time.
    """

    def __init__(self, path: str) -> None:
        self._here = open_file(path, read_only=True)
        self._here.execute("PRAGMA busy_timeout=0")
        self._here.set_progress_handler(lambda: 1, MOST_STEPS)
        self._connections = [open_file(path, read_only=True) for _ in range(READERS)]
        self._lane = Lane(self._connections)
        self._long: dict[str, int] = {}

    async def select(self, text: str, args: Sequence[Any]) -> tuple[int, list[Row]]:
        """How many rows were read, and the rows."""
        if self._promises(text):
            try:
                return select(self._here, text, args)
            except (Unavailable, OperationalError):
                self._remember(text)
        return await self._lane.submit(lambda connection: select(connection, text, args))

    def _promises(self, text: str) -> bool:
        left = self._long.get(text)
        if left is None:
            return True
        if left > 1:
            self._long[text] = left - 1
        else:
            del self._long[text]
        return False

    def _remember(self, text: str) -> None:
        if len(self._long) >= KNOWN_TEXTS:
            self._long.clear()
        self._long[text] = KNOWN_LONG

    def close(self) -> None:
        """Let what was asked be answered, then close."""
        self._lane.close()
        for connection in (self._here, *self._connections):
            connection.close()


class Writer:
    """The only connection that writes, its thread, and the lock that orders the transactions of this process."""

    def __init__(self, path: str) -> None:
        self.connection = open_file(path)
        self.lane = Lane([self.connection])
        self.lock = asyncio.Lock()
        self._quick: set[str] = set()
        self._changes = 0

    async def begin(self) -> None:
        """Take the lock and the write lock of the file. Raises Unavailable after BUSY_MS."""
        await self.lock.acquire()
        try:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                await finish(self.lane.submit(_begin_patiently))
            self._changes = self.connection.total_changes
        except BaseException:
            self.rollback()
            raise

    async def commit(self, done: Callable[[], None]) -> None:
        """Write down, call done, and let go of the lock. Raises Unavailable, and then nothing was kept.

        Where nothing was changed there is nothing to wait for.
        """

        def job(connection: sqlite3.Connection) -> None:
            run(connection, "COMMIT", ())
            done()

        try:
            if self.connection.total_changes == self._changes:
                job(self.connection)
            else:
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
