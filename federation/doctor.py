"""What an operator should know about an instance before its people do."""

import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http import HTTPStatus
from typing import NamedTuple

from federation.errors import FederationError
from federation.transport import Timeouts, Transport
from server import schema, smtp
from server.clock import now_ms
from server.commands.opening import opened
from server.credentials import SecretError, read_secret
from server.errors import Conflict, Unavailable
from server.queries.mails import standings
from server.queries.recalls import undone
from server.settings import Settings
from server.viewer import Operator

SOUND_SQLITE = (3, 51, 3)
"""Before it, two connections that end a checkpoint at the same instant may corrupt the file (WAL reset)."""
FREE_BYTES = 1 << 30
SKEW_MS = 30_000
"""Partners refuse signatures whose time is off; most allow an hour or less, some half a minute."""
PATIENCE_SECONDS = 5
MOST_NAMED = 10


class State(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    FAULT = "fault"


class Finding(NamedTuple):
    """One thing looked at. A fault stops the instance or endangers its people; a warning does not yet."""

    state: State
    about: str
    sentence: str


async def examine(settings: Settings) -> list[Finding]:
    """Everything, in the order in which an operator would mend it."""
    return [
        *unused_settings(settings),
        *data_folder(settings),
        secret(settings),
        await database(settings),
        *sqlite_version(settings),
        *disk(settings),
        *await public_address(settings),
        *await mail(settings),
        *await recalls(settings),
    ]


def unused_settings(settings: Settings) -> Iterator[Finding]:
    yield Finding(State.GOOD, "settings", f"{settings.source} is read.")
    for key in settings.not_built_yet():
        yield Finding(State.WARNING, "settings", f"“{key}” is set, but has no effect in this version.")


def data_folder(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.is_dir():
        yield Finding(State.FAULT, "data", f"{folder} is missing: “parvis init” makes it, or restore a backup.")
    elif not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(State.FAULT, "data", f"{folder} cannot be written by this user: give it to them.")
    elif folder.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield Finding(State.WARNING, "data", f"{folder} is open to other users: chmod 700 {folder}")
    else:
        yield Finding(State.GOOD, "data", f"{folder} is ours alone.")


def secret(settings: Settings) -> Finding:
    file = settings.sealed_secret_file
    try:
        read_secret(file)
    except SecretError as error:
        return Finding(State.FAULT, "secret", str(error))
    return Finding(State.GOOD, "secret", f"{file} is ours alone.")


async def database(settings: Settings) -> Finding:
    try:
        found = await schema.check(settings.database_url)
    except Unavailable as error:
        return Finding(State.FAULT, "database", f"cannot be reached: {error.detail or error.sentence}")
    if found is schema.Schema.CURRENT:
        return Finding(State.GOOD, "database", "answers, and its tables are up to date.")
    if found is schema.Schema.BEHIND:
        return Finding(State.FAULT, "database", "its tables are older than this version: “parvis db migrate”")
    return Finding(State.FAULT, "database", "its tables are newer than this version: install the newer version.")


def sqlite_version(settings: Settings) -> Iterator[Finding]:
    if settings.database_url.startswith("sqlite:") and sqlite3.sqlite_version_info < SOUND_SQLITE:
        yield Finding(
            State.WARNING,
            "sqlite",
            f"SQLite {sqlite3.sqlite_version} may damage a file when two programs end a checkpoint at once "
            f"(mended in {'.'.join(map(str, SOUND_SQLITE))}): let no other program open it, and keep backups.",
        )


def disk(settings: Settings) -> Iterator[Finding]:
    if settings.data_dir.is_dir():
        free = shutil.disk_usage(settings.data_dir).free
        state = State.GOOD if free >= FREE_BYTES else State.WARNING
        yield Finding(state, "disk", f"{free >> 20} MiB are free under {settings.data_dir}.")


async def public_address(settings: Settings) -> list[Finding]:
    """Asks ourselves by our public name, as a partner would, and compares the clocks on the way."""
    transport = Transport(
        user_agent="Parvis doctor",
        allow_private_networks=settings.allow_private_networks,
        ca_file=settings.ca_file,
        timeouts=Timeouts(first_byte=PATIENCE_SECONDS, total=PATIENCE_SECONDS),
    )
    try:
        answer = await transport.get(f"{settings.base_url}/healthz")
    except FederationError as error:
        return [Finding(State.WARNING, "address", f"{settings.base_url} does not answer us as it should: {error}")]
    finally:
        await transport.aclose()
    if answer.status_code != HTTPStatus.OK:
        why = f"{settings.base_url}/healthz answers {answer.status_code} instead of 200."
        return [Finding(State.WARNING, "address", why)]
    return [Finding(State.GOOD, "address", f"{settings.base_url} answers."), *clock(answer.headers.get("Date"))]


async def mail(settings: Settings) -> list[Finding]:
    """Connects to the mail server and signs in, as before sending; nothing is sent. And whom it refused for good."""
    if settings.mail_server is None:
        return []
    try:
        async with smtp.connected(settings) as connection:
            how = "encrypted" if connection.encrypted else "not encrypted"
            found = [Finding(State.GOOD, "mail", f"{settings.mail_server} takes us in, {how}.")]
    except smtp.Unreachable as error:
        found = [Finding(State.WARNING, "mail", str(error))]
    aside = await _put_aside(settings)
    if aside:
        why = f"mail to {', '.join(aside[:MOST_NAMED])}{' and others' if len(aside) > MOST_NAMED else ''} is put aside"
        found.append(
            Finding(State.WARNING, "mail", f"{why}: “parvis mail list” says why, “parvis mail retry” goes on.")
        )
    return found


async def _put_aside(settings: Settings) -> list[str]:
    """The names of those to whom mail was refused for good; none while the tables are not ours."""
    try:
        async with opened(settings):
            return [row.name for row in await standings(Operator("doctor"), aside_only=True)]
    except Unavailable:
        return []


async def recalls(settings: Settings) -> list[Finding]:
    """What partners take back and is not gone here: nothing is answered until it is."""
    try:
        async with opened(settings):
            found = await undone(Operator("doctor"), MOST_NAMED)
    except (Unavailable, Conflict):  # the tables are not ours, or not there
        return []
    sentence = "what {} takes back is not gone here: {}"
    return [Finding(State.WARNING, "recalls", sentence.format(host, reason)) for host, reason in found]


def clock(date: str | None) -> Iterator[Finding]:
    """What the proxy before us believes the time to be; it is usually another machine."""
    if date is not None:
        skew = abs(int(parsedate_to_datetime(date).timestamp() * 1000) - now_ms())
        state = State.GOOD if skew < SKEW_MS else State.WARNING
        yield Finding(state, "clock", f"differs by {skew // 1000} s from the public address.")
