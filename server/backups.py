"""A whole database to one file and back: VACUUM INTO on SQLite, pg_dump and pg_restore on PostgreSQL.

Both may run while the server does. A backup holds everything the database holds: it is made readable by its
owner only, and private keys in it are sealed by the secret in data_dir, which is not in it.
"""

import asyncio
import os
import sqlite3
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from server.database import tortoise_config
from server.errors import Invalid, Unavailable
from server.sqlite_file import BUSY_MS, translated

RESTORE_SECONDS = 60


async def backup(database_url: str, file: Path) -> None:
    """Write the database to file, checked, in one step: the file is whole or it is not there.

    Raises Invalid when file exists already, Unavailable when the database cannot be read or the disk is full.
    """
    if file.exists():
        raise Invalid("Ce fichier de sauvegarde existe déjà.", detail=str(file))
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    try:
        if source := sqlite_file(database_url):
            await asyncio.to_thread(_vacuum_into, source, part)
        else:
            await _run(database_url, "pg_dump", "--format=custom", "--no-owner", f"--file={part}")
        part.chmod(0o600)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)


async def restore(database_url: str, file: Path) -> None:
    """Put back what a backup holds, in one transaction, in place of whatever the database holds now.

    Raises Invalid when file is not a sound backup, Unavailable when the database is busy. Then nothing changed.
    """
    if not file.is_file():
        raise Invalid("Ce fichier de sauvegarde n’existe pas.", detail=str(file))
    if target := sqlite_file(database_url):
        await asyncio.to_thread(_copy_back, file, target)
    else:
        options = ("--clean", "--if-exists", "--no-owner", "--exit-on-error", "--single-transaction")
        await _run(database_url, "pg_restore", *options, str(file))


def sqlite_file(database_url: str) -> Path | None:
    """The file of an embedded database, None for PostgreSQL. Raises ValueError for a URL that is neither."""
    credentials = tortoise_config(database_url)["connections"]["default"]["credentials"]
    return Path(credentials["file_path"]) if "file_path" in credentials else None


def _open(file: Path) -> sqlite3.Connection:
    """Only a file that exists: SQLite would make an empty one."""
    return sqlite3.connect(
        f"file:{os.fspath(file.absolute()).replace('?', '%3f').replace('#', '%23')}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_MS / 1000,
    )


def _vacuum_into(source: Path, part: Path) -> None:
    try:
        connection = _open(source)
        try:
            connection.execute("VACUUM INTO ?1", (str(part),))
        finally:
            connection.close()
        _require_sound(part)
    except sqlite3.Error as error:
        raise translated(error) from error


def _copy_back(file: Path, target: Path) -> None:
    try:
        _require_sound(file)
    except sqlite3.Error as error:
        raise Invalid("Ce fichier n’est pas une sauvegarde saine.", detail=f"{file}: {error}") from error
    deadline = time.monotonic() + RESTORE_SECONDS

    def give_up(status: int, remaining: int, total: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > deadline:
            raise Unavailable(detail=f"{target} stays locked")

    try:
        source, database = _open(file), sqlite3.connect(target, timeout=BUSY_MS / 1000)
        try:
            source.backup(database, progress=give_up)
        finally:
            source.close()
            database.close()
    except sqlite3.Error as error:
        raise translated(error) from error


def _require_sound(file: Path) -> None:
    """Raises sqlite3.DatabaseError when the file is not a database, is damaged, or is not one of ours."""
    connection = _open(file)
    try:
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        connection.execute("SELECT 1 FROM tortoise_migrations")
    finally:
        connection.close()


async def _run(database_url: str, program: str, *arguments: str) -> None:
    """Run a program of PostgreSQL; the password goes through its environment, which other users cannot list."""
    parts = urlsplit(database_url)
    account, at, host = parts.netloc.rpartition("@")
    shown = parts._replace(netloc=account.partition(":")[0] + at + host).geturl()
    secret = {"PGPASSWORD": unquote(parts.password)} if parts.password else {}
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            f"--dbname={shown}",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **secret},
        )
    except FileNotFoundError as error:
        raise Unavailable(
            "Le programme %(program)s n’est pas installé.", params={"program": program}, detail=str(error)
        ) from error
    said = (await process.communicate())[1].decode(errors="replace")
    if process.returncode:
        raise Unavailable("Le programme %(program)s a échoué.", params={"program": program}, detail=said.strip())
