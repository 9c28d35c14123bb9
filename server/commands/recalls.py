"""`parvis recall`: what was taken back from other instances, and what they answered."""

import argparse
from datetime import UTC, datetime
from typing import Any

import msgspec

from server.actions.recall_restarts import restart
from server.commands.opening import opened
from server.queries import recalls
from server.queries.recalls import RecallCard, TargetCard
from server.settings import Settings
from server.terminal import Failure, listing, remark, tell
from server.viewer import Operator

STILL_OPEN = 1


def register(commands: Any) -> None:
    group = commands.add_parser("recall", help="what is taken back from other instances, and their receipts")
    verbs = group.add_subparsers(title="verbs", metavar="VERB", required=True)
    every = verbs.add_parser("list", help="recalls, newest first")
    every.add_argument("--open", action="store_true", help="only those that still wait for something")
    every.add_argument("--limit", type=int, default=50)
    every.add_argument("--json", action="store_true")
    every.set_defaults(verb=_list)
    one = verbs.add_parser("status", help="one recall, instance by instance; exit code 1 while it is open")
    one.add_argument("id", metavar="ID", type=int)
    one.add_argument("--json", action="store_true")
    one.set_defaults(verb=_status)
    again = verbs.add_parser("restart", help="ask an instance once more that refused, or is late")
    again.add_argument("id", metavar="ID", type=int)
    again.add_argument("host", metavar="HOST")
    again.set_defaults(verb=_restart)
    drill = verbs.add_parser("drill", help="count what would be taken back from an instance; nothing is changed")
    drill.add_argument("host", metavar="HOST")
    drill.add_argument("--json", action="store_true")
    drill.set_defaults(verb=_drill)


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        limit = max(1, min(args.limit, 10_000))
        found = await recalls.listed(Operator(), open_only=args.open, limit=limit)
        listing([_row(card) for card in found], args.json)
    return 0


async def _status(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        card = await recalls.find(Operator(), args.id) if 0 < args.id < 1 << 63 else None
        if card is None:
            raise Failure(f"{args.id} is not the number of a recall.")
        if args.json:
            tell(_row(card) | {"instances": [_instance(target) for target in card.targets]})
        else:
            listing([_instance(target) | {"receipt": ""} for target in card.targets], False)
    if card.open:
        remark(f"Recall {card.id} is still open: {card.answered} of {len(card.targets)} instances are through.")
    return STILL_OPEN if card.open else 0


async def _restart(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        await restart(Operator(), args.id if 0 < args.id < 1 << 63 else 0, args.host)
        remark(f"{args.host} is asked once more; `parvis recall status {args.id}` says what it answers.")
    return 0


async def _drill(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        found = await recalls.drill(Operator(), args.host.strip().lower())
        listing([{"space": row.space, "items": row.items, "people": row.people} for row in found], args.json)
    return 0


def _row(card: RecallCard) -> dict[str, Any]:
    return {
        "id": card.id,
        "at": _at(card.created_at),
        "space": card.space,
        "scope": card.scope.value,
        "reason": card.reason,
        "by": card.by,
        "open": card.open,
        "items": card.items,
        "answered": card.answered,
        "of": len(card.targets),
        "deadline": _at(card.deadline_at),
    }


def _instance(target: TargetCard) -> dict[str, Any]:
    return {
        "host": target.host,
        "state": target.state.value,
        "items": target.items,
        "purged": target.purged,
        "retained": target.retained,
        "tries": target.tries,
        "reason": target.reason,
        "sent_at": _at(target.sent_at),
        "answered_at": _at(target.answered_at),
        "receipt": msgspec.json.decode(target.receipt) if target.receipt else None,
    }


def _at(moment: int | None) -> str:
    return datetime.fromtimestamp(moment / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
