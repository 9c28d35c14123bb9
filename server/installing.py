"""A new instance: its settings, its secret, its tables and its first administrator, or nothing at all."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from server import database
from server.actions.accounts import NewPerson, add_person
from server.actions.signing_in import new_sign_in_link
from server.credentials import make_secret
from server.errors import Conflict
from server.ids import Addresses
from server.migrating import migrate
from server.openness import Office
from server.refusals import N_
from server.settings import Settings, SettingsError, load
from server.viewer import Operator

HERE_ALREADY = N_("Il y a déjà une instance ici : rien n’a été changé.")
LOOPBACK = ("localhost", "127.0.0.1", "::1")

FILE = """\
# Settings of this instance. All keys, with their defaults: deploy/README.md.
# An environment variable wins over a key: PARVIS_PORT=8001.
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What cannot be guessed, and what may be said beforehand."""

    base_url: str
    folder: Path
    name: str = ""
    database_url: str = ""
    admin: str = "admin"


@dataclass(frozen=True, slots=True)
class Installed:
    """`link` signs the first administrator in, once and within a day."""

    config: Path
    admin: str
    link: str = field(repr=False)


async def install(wanted: Wanted, environ: Mapping[str, str]) -> Installed:
    """Makes an instance in a folder.

    Raises Conflict when there is one already, SettingsError for what does not fit, Unavailable when the database
    cannot be opened. Then nothing of it is left in the folder.
    """
    config, draft = wanted.folder / "parvis.toml", wanted.folder / "parvis.toml.part"
    if config.exists():
        raise Conflict(HERE_ALREADY, detail=str(config))
    wanted.folder.mkdir(parents=True, exist_ok=True)
    draft.write_text(_written(wanted), encoding="utf-8")
    try:
        settings = _read(draft, environ)
        link = await _fill(settings, wanted)
        draft.rename(config)
    finally:
        draft.unlink(missing_ok=True)
    return Installed(config, wanted.admin, link)


def _written(wanted: Wanted) -> str:
    said = {"base_url": wanted.base_url, "name": wanted.name, "database_url": wanted.database_url}
    # A JSON string is a basic string of TOML too.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in said.items() if value]
    return "\n".join([FILE, *lines, *_port(wanted.base_url), ""])


def _port(base_url: str) -> list[str]:
    """On this machine alone no proxy stands before us: we listen where the address says."""
    try:
        parts = urlsplit(base_url)
        here = parts.scheme == "http" and parts.hostname in LOOPBACK and parts.port
    except ValueError:
        here = None
    return [f"port = {here}"] if here else []


def _read(draft: Path, environ: Mapping[str, str]) -> Settings:
    try:
        return load(draft, environ)
    except SettingsError as error:
        raise SettingsError(str(error).replace(f"{draft}: ", "", 1)) from None


async def _fill(settings: Settings, wanted: Wanted) -> str:
    """Folder, secret, tables, administrator. What was made here is taken away again when it does not succeed."""
    folder = settings.data_dir
    if folder.exists() and any(folder.iterdir()):
        raise Conflict(HERE_ALREADY, detail=str(folder))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        make_secret(settings, sealed_keys_exist=False)
        await migrate(settings.database_url, folder)
        return await _first_administrator(settings, wanted)
    except BaseException:
        for made in folder.iterdir():
            shutil.rmtree(made) if made.is_dir() else made.unlink()
        raise


async def _first_administrator(settings: Settings, wanted: Wanted) -> str:
    here, operator = Addresses(settings.base_url), Operator()
    await database.connect(settings.database_url, models=())
    try:
        if await database.fetch("SELECT id FROM account LIMIT 1"):
            raise Conflict(HERE_ALREADY, detail="the database holds accounts")
        async with database.transaction():
            added = await add_person(operator, NewPerson(wanted.admin, office=Office.ADMIN.value), here)
            return here.sign_in_link(await new_sign_in_link(operator, added.account_id))
    finally:
        await database.disconnect()
