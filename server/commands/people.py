"""`parvis people` and `parvis token`: who works here, how they and their tools come in, what they take along."""

import argparse
import sys
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from server import database as db
from server.actions import accounts, erasing, signing_in
from server.actions.audit import note
from server.actions.people_import import TableFaults, import_people
from server.archiving import write_archive
from server.commands.opening import opened
from server.errors import NotFound
from server.openness import Office
from server.queries.accounts import AccountRow, find, listed, resident
from server.settings import Settings
from server.terminal import Failure, listing, phrase, remark, tell
from server.viewer import Operator

OPERATOR = Operator()
SCOPES = "read write follow"
LABEL = "parvis"
AT_ONCE = 500


def register(commands: Any) -> None:
    people = commands.add_parser("people", help="who works here: add, list, suspend, import, export, erase")
    verbs = people.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verb = verbs.add_parser("add", help="one person; without a password they come in by a link that works once")
    verb.add_argument("handle", metavar="NAME", help="what stands after @")
    verb.add_argument("--name", default="", help="as people read it")
    verb.add_argument("--email", default="")
    verb.add_argument("--role", choices=[office.value for office in Office], default=Office.MEMBER.value)
    verb.add_argument("--job", default="", help="what they do, as people from outside may read it")
    verb.add_argument("--sponsor", default="", metavar="NAME", help="of a guest: the colleague who answers for them")
    verb.add_argument("--until", default="", metavar="DATE", help="of a guest: their last day here, such as 2027-06-30")
    verb.add_argument("--organisation", default="", metavar="TEXT", help="of a guest: where they are from")
    verb.add_argument("--password-stdin", action="store_true", help="the password is the first line of stdin")
    verb.add_argument("--json", action="store_true", help=f"print actor and a token for “{SCOPES}”")
    verb.set_defaults(verb=add)

    verb = verbs.add_parser("extend", help="move the last day of a guest")
    verb.add_argument("handle", metavar="NAME")
    verb.add_argument("--until", required=True, metavar="DATE", help="their last day here, such as 2027-06-30")
    verb.set_defaults(verb=extend)

    verb = verbs.add_parser("list", help="everybody, by name")
    verb.add_argument("--json", action="store_true", help="one JSON array")
    verb.set_defaults(verb=show)

    verb = verbs.add_parser("suspend", help="shut somebody out at once: sessions, tokens, memberships elsewhere")
    verb.add_argument("handle", metavar="NAME")
    verb.set_defaults(verb=suspend)

    verb = verbs.add_parser("export", help="all that is one person's own, as a ZIP file for them")
    verb.add_argument("handle", metavar="NAME")
    verb.add_argument("--out", type=Path, metavar="FILE", help="default: NAME-DATE.zip here")
    verb.add_argument("--json", action="store_true", help="one JSON object: where, and how much")
    verb.set_defaults(verb=export)

    verb = verbs.add_parser("erase", help="take back all that somebody wrote, and forget who they are; for good")
    verb.add_argument("handle", metavar="NAME")
    verb.add_argument("--yes", action="store_true", help="do not ask; without a terminal it has to be said")
    verb.add_argument("--json", action="store_true", help="one JSON object: how much was taken back")
    verb.set_defaults(verb=erase)

    verb = verbs.add_parser("import", help="all people of a CSV table, or none and what does not fit")
    verb.add_argument("file", metavar="FILE", type=Path, help="columns: name, display_name, email, office, language")
    verb.add_argument("--json", action="store_true", help="one JSON array")
    verb.set_defaults(verb=import_table)

    verb = commands.add_parser("token", help="a bearer token for the client API; it is shown once")
    verb.add_argument("handle", metavar="NAME")
    verb.add_argument("--scopes", default=SCOPES, help=f"what it may do (default: “{SCOPES}”)")
    verb.add_argument("--json", action="store_true", help="print actor and token")
    verb.set_defaults(verb=token)


async def add(settings: Settings, args: argparse.Namespace) -> int:
    password = sys.stdin.readline().rstrip("\r\n") if args.password_stdin else ""
    new = accounts.NewPerson(args.handle, args.name, args.email, args.role, password=password)
    new = replace(new, job=args.job, sponsor=args.sponsor, until=args.until, organisation=args.organisation)
    async with opened(settings) as here:
        added = await accounts.add_person(OPERATOR, new, here)
        actor = here.person(added.name)
        if args.json:
            tell({"actor": actor, "token": await _token(added.account_id, SCOPES)})
            return 0
        print(actor)
        if not password:
            link = here.sign_in_link(await signing_in.new_sign_in_link(OPERATOR, added.account_id))
            remark(f"They sign in once, within a day, with {link}")
    return 0


async def show(settings: Settings, args: argparse.Namespace) -> int:
    rows: list[AccountRow] = []
    async with opened(settings):
        while page := await listed(OPERATOR, after=rows[-1].name if rows else "", limit=AT_ONCE):
            rows += page
    listing([_row(row) for row in rows], args.json)
    return 0


def _row(row: AccountRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "display_name": row.display_name,
        "email": row.email,
        "role": row.office.value,
        "suspended": row.suspended_at is not None,
        "since": _moment(row.created_at),
        "organisation": row.organisation,
        "sponsor": row.sponsor,
        "until": _moment(row.until_at) if row.until_at else "",
    }


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def _named(handle: str) -> AccountRow:
    try:
        return await find(OPERATOR, handle)
    except NotFound:
        raise Failure(f"nobody here is called {handle}; “parvis people list” shows who is.") from None


async def extend(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        row = await _named(args.handle)
        await accounts.extend_guest(OPERATOR, row.id, args.until)
    remark(f"{row.name} comes in until {args.until}.")
    return 0


async def suspend(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        row = await _named(args.handle)
        await accounts.suspend(OPERATOR, row.id)
    remark(f"{row.name} is shut out.")
    return 0


async def export(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as here:
        row = await _named(args.handle)
        target = args.out or Path(f"{row.name}-{datetime.now(UTC):%Y-%m-%d}.zip")
        if target.exists():
            raise Failure(f"{target} is there already; name another file with --out.")
        async with db.transaction():
            await note(OPERATOR, "export_person", subject=row.name)
        told = await write_archive(await resident(OPERATOR, row.name), here, settings.files_dir, target)
    if told.withheld:
        remark(f"{told.withheld} posts are left out: {row.name} may not read them any more.")
    if args.json:
        tell({"file": str(target), **asdict(told)})
    else:
        print(target)
        remark(f"{told.posts} posts, {told.files} files, {told.reactions} gestures, {told.votes} votes.")
    return 0


async def erase(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        row = await _named(args.handle)
        if not args.yes and not _sure(row.name):
            raise Failure("nothing was erased; type the name, or say --yes.")
        taken = await erasing.erase(OPERATOR, row.id)
    if args.json:
        tell(asdict(taken))
    back = f"{taken.posts} posts, {taken.reactions} gestures and {taken.votes} votes are taken back"
    remark(f"{row.name} is erased: {back}.")
    return 0


def _sure(name: str) -> bool:
    if not sys.stdin.isatty():
        return False
    print(f"All that {name} wrote is taken back for good. Type {name} to go on: ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip() == name


async def import_table(settings: Settings, args: argparse.Namespace) -> int:
    table = args.file.read_bytes()
    async with opened(settings) as here:
        try:
            added = await import_people(OPERATOR, table, here)
        except TableFaults as faults:
            for fault in faults.faults:
                remark(f"{args.file}:{fault.line}: {fault.column}: {phrase(fault.error, args.translated)}")
            raise
    listing([{"name": one.name, "actor": here.person(one.name)} for one in added], args.json)
    return 0


async def token(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as here:
        row = await _named(args.handle)
        secret = await _token(row.id, args.scopes)
    if args.json:
        tell({"actor": here.person(row.name), "token": secret})
    else:
        print(secret)
    return 0


async def _token(account_id: int, scopes: str) -> str:
    return await accounts.issue_token(account_id, scopes, LABEL)
