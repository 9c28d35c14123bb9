"""`parvis deliveries`: what waits for other instances."""

import argparse
from typing import Any

from federation.commands.opened import opened
from federation.commands.reasons import spoken
from server import database as db
from server.actions.deliveries import retry_all
from server.settings import LANGUAGES, Settings
from server.terminal import listing, remark
from server.viewer import Operator


def register(commands: Any) -> None:
    group = commands.add_parser("deliveries", help="what waits for other instances, and what was put aside")
    verbs = group.add_subparsers(title="verbs", metavar="VERB", required=True)
    every = verbs.add_parser("list", help="waiting and dead deliveries, oldest first")
    every.add_argument("--host", default="", help="of one instance")
    every.add_argument("--limit", type=int, default=200)
    every.add_argument("--json", action="store_true")
    every.add_argument("--language", choices=LANGUAGES, help="of the reasons (default: as they are kept)")
    every.set_defaults(verb=_list)
    retry = verbs.add_parser("retry", help="try dead deliveries again, and resting instances now")
    retry.add_argument("--host", default="", help="of one instance")
    retry.set_defaults(verb=_retry)


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        rows = await db.fetch(
            "SELECT d.id, q.host, d.seq, e.kind, d.state, d.attempts, d.error, d.created_at, q.state AS health"
            " FROM delivery d JOIN peer q ON q.id = d.peer_id JOIN event e ON e.id = d.event_id"
            " WHERE d.state IN ('pending', 'dead') AND ($1 = '' OR q.host = $1) ORDER BY d.id LIMIT $2",
            args.host.lower(),
            max(1, min(args.limit, 10_000)),
        )
        listing([spoken({**row, "id": str(row["id"])}, args) for row in rows], args.json)
    return 0


async def _retry(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        count = await retry_all(Operator(), args.host.lower())
    remark(f"{count} dead deliveries wait again; resting instances are tried now.")
    return 0
