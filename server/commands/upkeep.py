"""`parvis db`: the tables, brought up to date, copied and put back."""

import argparse
from pathlib import Path
from typing import Any

from tortoise.exceptions import OperationalError

from server import backups, database, migrating, schema
from server.running import at_rest
from server.settings import Settings
from server.terminal import Failure, remark

SENTENCES = {
    schema.Schema.BEHIND: "The tables are older than this version: run “parvis db migrate”.",
    schema.Schema.AHEAD: "The tables are newer than this version: install the version that migrated them.",
}


def register(commands: Any) -> None:
    db = commands.add_parser("db", help="the tables: migrate, check, back up, restore")
    verbs = db.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verb = verbs.add_parser("migrate", help="bring the tables up to date; does nothing when they are")
    verb.set_defaults(verb=migrate)

    verb = verbs.add_parser("check", help="whether the tables are those of this version: exit code 0, or 1 and why")
    verb.set_defaults(verb=check)

    verb = verbs.add_parser("backup", help="copy the whole database into a file, while Parvis runs or not")
    verb.add_argument("file", metavar="FILE", type=Path, help="a new file")
    verb.set_defaults(verb=backup)

    verb = verbs.add_parser("restore", help="put a backup back; stop Parvis first")
    verb.add_argument("file", metavar="FILE", type=Path, help="what “parvis db backup” wrote")
    verb.add_argument("--replace", action="store_true", help="also when the database holds accounts already")
    verb.set_defaults(verb=restore)


async def migrate(settings: Settings, args: argparse.Namespace) -> int:
    applied = await migrating.migrate(settings.database_url, settings.data_dir)
    for name in applied:
        print(name)
    if not applied:
        remark("The tables are up to date.")
    return 0


async def check(settings: Settings, args: argparse.Namespace) -> int:
    found = await schema.check(settings.database_url)
    if found is not schema.Schema.CURRENT:
        raise Failure(SENTENCES[found])
    remark("The tables are up to date.")
    return 0


async def backup(settings: Settings, args: argparse.Namespace) -> int:
    await backups.backup(settings.database_url, args.file)
    print(args.file)
    return 0


async def restore(settings: Settings, args: argparse.Namespace) -> int:
    if not args.replace and await _holds_accounts(settings):
        raise Failure("the database holds accounts already: --replace puts the backup in their place.")
    with at_rest(settings):
        await backups.restore(settings.database_url, args.file)
    remark("Restored. Now run “parvis db migrate”, then start Parvis.")
    return 0


async def _holds_accounts(settings: Settings) -> bool:
    """Also of an older version, whose tables are not ours yet."""
    file = backups.sqlite_file(settings.database_url)
    if file is not None and not file.exists():
        return False
    await database.connect(settings.database_url)
    try:
        return bool(await database.fetch("SELECT 1 AS there FROM account LIMIT 1"))
    except OperationalError:
        return False
    finally:
        await database.disconnect()
