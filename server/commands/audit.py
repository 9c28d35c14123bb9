"""`parvis audit`: who did what to which space or link."""

import argparse
from datetime import UTC, datetime
from typing import Any

from server.commands.opening import opened
from server.queries import audit
from server.settings import Settings
from server.terminal import listing
from server.viewer import Operator


def register(commands: Any) -> None:
    group = commands.add_parser("audit", help="who did what: spaces, members, links, accounts")
    verbs = group.add_subparsers(title="verbs", metavar="VERB", required=True)
    every = verbs.add_parser("list", help="the deeds, newest first; never what was written")
    every.add_argument("--space", default="", metavar="SLUG", help="only what concerns this space")
    every.add_argument("--limit", type=int, default=200)
    every.add_argument("--json", action="store_true")
    every.set_defaults(verb=_list)


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        found = await audit.listed(Operator(), space=args.space, limit=max(1, min(args.limit, 10_000)))
        listing([_row(deed) for deed in found], args.json)
    return 0


def _row(deed: audit.Deed) -> dict[str, Any]:
    at = datetime.fromtimestamp(deed.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"at": at, "by": deed.by, "act": deed.act, "space": deed.space, "subject": deed.subject, "data": deed.data}
