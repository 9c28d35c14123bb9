"""Databases for tests: a PostgreSQL of our own, and one migrated template per engine, cloned for each test.

PostgreSQL is started once for the whole test run (all xdist workers share it through a locked file), listens on a
unix socket only, and is stopped by the last worker that leaves. SQLite clones are copies of a migrated file.
"""

import asyncio
import contextlib
import fcntl
import itertools
import json
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from server.migrating import migrate

OWNER = "parvis"


def postgres_programs() -> Path | None:
    """The newest folder that holds initdb and postgres, or None where PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).parent if program else None


def _as_nobody(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root: then it runs as postgres, or else as nobody."""
    if os.geteuid() != 0:
        return {}
    names = {user.pw_name for user in pwd.getpwall()}
    user = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    os.chown(folder, user.pw_uid, user.pw_gid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def start_postgres(programs: Path, folder: Path) -> int:
    """Make and start a server in folder; its process id, once it answers."""
    user = _as_nobody(folder)
    making = ["-A", "trust", "-U", OWNER, "--no-sync", "--locale=C.UTF-8", "-E", "UTF8"]
    made = subprocess.run(
        [programs / "initdb", "-D", folder / "data", *making], capture_output=True, cwd=folder, **user
    )
    if made.returncode:
        raise RuntimeError(made.stderr.decode())
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": "200",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [programs / "postgres", "-D", folder / "data", *options],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        **user,
    )
    deadline = time.monotonic() + 20
    ready = [str(programs / "pg_isready"), "-h", str(folder), "-q"]
    while subprocess.run(ready).returncode:
        if server.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError("PostgreSQL does not start")
        time.sleep(0.02)
    server.returncode = 0  # not ours to wait for: the last worker that leaves ends it
    return server.pid


def _end(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    with contextlib.suppress(ChildProcessError):  # started by another worker
        os.waitpid(pid, 0)


@contextlib.contextmanager
def shared_postgres(programs: Path, meeting: Path) -> Iterator[Path]:
    """The folder of a server's socket; whoever comes first starts it, whoever leaves last ends it.

    `meeting` is a folder that all workers of one run know.
    """
    state = meeting / "postgres.json"
    with _locked(meeting / "postgres.lock"):
        known = json.loads(state.read_text()) if state.exists() else None
        if known is None:
            folder = Path(tempfile.mkdtemp(prefix="parvispg"))
            known = {"folder": str(folder), "pid": start_postgres(programs, folder), "users": 0}
        known["users"] += 1
        state.write_text(json.dumps(known))
    try:
        yield Path(known["folder"])
    finally:
        with _locked(meeting / "postgres.lock"):
            known = json.loads(state.read_text())
            known["users"] -= 1
            state.write_text(json.dumps(known))
            if not known["users"]:
                _end(known["pid"])
                state.unlink()
                shutil.rmtree(known["folder"], ignore_errors=True)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


MOST_ROWS = 2_000
"""What a test may leave behind for its database to be lent again: more would bloat the tables."""
_TABLES = "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
_CATALOGUE = """
SELECT md5(string_agg(part, ',' ORDER BY part)) FROM (
    SELECT 'c' || c.oid || c.relname || c.relfilenode || a.attname || a.atttypid || a.attnotnull || a.atthasdef AS part
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'public'::regnamespace
    UNION ALL SELECT 't' || oid || tgrelid || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
    UNION ALL SELECT 'k' || oid FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    UNION ALL SELECT 'f' || oid FROM pg_proc WHERE pronamespace = 'public'::regnamespace
) AS parts
"""
_CONTENT = "SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {} t"
_OF_OTHERS = (
    " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'"
)


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a database was made: its catalogue, the tables without rows, and what the others held."""

    catalogue: str
    empty: tuple[str, ...]
    filled: dict[str, str]


class PostgresServer:
    """Makes and drops databases on a server. `url(name)` is what Settings.database_url takes."""

    def __init__(self, socket_folder: Path, worker: str) -> None:
        self._folder = socket_folder
        self._worker = worker
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._as_made: dict[str, _Shape] = {}

    def url(self, name: str) -> str:
        return f"postgres://{OWNER}@/{name}?host={self._folder}"

    def create(self, template: str | None = None) -> str:
        """A database of its own for whoever asks: empty, or a clone of template. Returns its name."""
        name = f"t_{self._worker}_{next(self._numbers)}"
        self._run(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def drop(self, name: str) -> None:
        self._run(f'DROP DATABASE "{name}" WITH (FORCE)')

    def lend(self, template: str) -> str:
        """A database as the template is, for one test: one that was given back, or else a clone. Returns its name."""
        if self._free:
            return self._free.pop()
        name = self.create(template)
        self._as_made[name] = asyncio.run(self._shape(name))
        return name

    def take_back(self, name: str) -> None:
        """Empties a database that was lent, which takes a fiftieth of making one; drops it where that is not enough."""
        if asyncio.run(self._emptied(name)):
            self._free.append(name)
        else:
            self.drop(name)

    def _run(self, sql: str) -> None:
        async def run() -> None:
            async with self._open("postgres") as connection:
                await connection.execute(sql)

        asyncio.run(run())

    @contextlib.asynccontextmanager
    async def _open(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.url(name))
        try:
            yield connection
        finally:
            await connection.close()

    async def _shape(self, name: str) -> _Shape:
        async with self._open(name) as connection:
            tables = [row["name"] for row in await connection.fetch(_TABLES)]
            filled = [table for table in tables if await connection.fetchval(f"SELECT EXISTS (SELECT FROM {table})")]
            return _Shape(
                await connection.fetchval(_CATALOGUE),
                tuple(table for table in tables if table not in filled),
                {table: await connection.fetchval(_CONTENT.format(table)) for table in filled},
            )

    async def _emptied(self, name: str) -> bool:
        """Whether it is again as it was made: no test altered a table, and what it wrote is gone and was not much."""
        made = self._as_made[name]
        async with self._open(name) as connection:
            await connection.execute(f"SELECT pg_terminate_backend(pid){_OF_OTHERS}")
            while await connection.fetchval(f"SELECT COUNT(*){_OF_OTHERS}"):
                await asyncio.sleep(0.002)
            if await connection.fetchval(_CATALOGUE) != made.catalogue:
                return False
            await connection.execute("SET session_replication_role = replica")  # no triggers: some rows are for ever
            gone = 0
            async with connection.transaction():
                for table in made.empty:
                    gone += int((await connection.execute(f"DELETE FROM {table}")).split()[1])
            same = [await connection.fetchval(_CONTENT.format(table)) == was for table, was in made.filled.items()]
            return gone <= MOST_ROWS and all(same)


class Templates:
    """A migrated database of each engine, made once, that clones are taken from."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "template.db"
        self._name: str | None = None

    def sqlite_clone(self, path: Path) -> str:
        """Copy the template to path; the URL of the copy."""
        if not self._file.exists():
            asyncio.run(migrate(f"sqlite://{self._file}", self._file.parent))
        shutil.copyfile(self._file, path)
        return f"sqlite://{path}"

    def postgres(self, server: PostgresServer) -> str:
        """The name of the template on the server."""
        if self._name is None:
            name = server.create()
            asyncio.run(migrate(server.url(name), self._file.parent))
            self._name = name
        return self._name
