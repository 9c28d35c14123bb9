"""`parvis link`: agree with another instance, compare six words, suspend, end."""

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from federation import links as meeting
from federation.commands.opened import opened
from federation.instance import Instance
from server import database as db
from server.actions import links
from server.openness import LinkState
from server.settings import Settings
from server.terminal import listing, remark, tell
from server.viewer import Operator

OPERATOR = Operator()

Act = Callable[[Instance, argparse.Namespace], Awaitable[str]]


def register(commands: Any) -> None:
    group = commands.add_parser("link", help="link other instances: nothing restricted flows before both confirmed")
    verbs = group.add_subparsers(title="verbs", metavar="VERB", required=True)
    for name, (help_text, act) in _ACTS.items():
        verb = verbs.add_parser(name, help=help_text)
        verb.add_argument("host", metavar="HOST")
        verb.set_defaults(verb=_saying(act))
    words = verbs.add_parser("words", help="the six words that both administrators compare")
    words.add_argument("host", metavar="HOST")
    words.add_argument("--json", action="store_true")
    words.set_defaults(verb=_words)
    every = verbs.add_parser("list", help="all links and where they stand")
    every.add_argument("--json", action="store_true")
    every.set_defaults(verb=_list)


def _saying(act: Act) -> Callable[[Settings, argparse.Namespace], Awaitable[int]]:
    async def verb(settings: Settings, args: argparse.Namespace) -> int:
        args.host = args.host.strip().lower()
        async with opened(settings) as instance:
            remark(await act(instance, args))
        return 0

    return verb


async def _offer(instance: Instance, args: argparse.Namespace) -> str:
    await meeting.offer(instance, OPERATOR, args.host)
    return f"A link is offered to {args.host}; its administrator accepts it."


async def _accept(instance: Instance, args: argparse.Namespace) -> str:
    await links.accept(OPERATOR, args.host)
    words = await meeting.six_words(instance, OPERATOR, args.host)
    return f"Accepted. Compare these words with the administrator of {args.host}: {' '.join(words)}"


async def _confirm(instance: Instance, args: argparse.Namespace) -> str:
    state = await links.confirm(OPERATOR, args.host)
    if state is LinkState.ACTIVE:
        return f"The link with {args.host} is active."
    return f"Confirmed here; the link is active once {args.host} has confirmed too."


async def _suspend(instance: Instance, args: argparse.Namespace) -> str:
    await links.suspend(OPERATOR, args.host)
    return f"The link with {args.host} is suspended; nothing flows, nothing is lost."


async def _resume(instance: Instance, args: argparse.Namespace) -> str:
    await links.resume(OPERATOR, args.host)
    return f"The link with {args.host} is active again."


async def _end(instance: Instance, args: argparse.Namespace) -> str:
    await links.end(OPERATOR, args.host)
    return f"The link with {args.host} is ended: its people have left our spaces, ours have left theirs."


_ACTS: dict[str, tuple[str, Act]] = {
    "offer": ("propose a link", _offer),
    "accept": ("take a proposal", _accept),
    "confirm": ("say that the six words are the same", _confirm),
    "suspend": ("stop everything on a link for now", _suspend),
    "resume": ("let it flow again", _resume),
    "end": ("end the agreement", _end),
}


async def _words(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as instance:
        words = await meeting.six_words(instance, OPERATOR, args.host)
        if args.json:
            tell({"host": args.host, "words": words})
        else:
            print(" ".join(words))
    return 0


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        rows = await db.fetch(
            "SELECT q.host, q.title, l.state, l.reason, q.state AS health, q.last_ok_at, q.last_error,"
            " (SELECT COUNT(*) FROM delivery d WHERE d.peer_id = q.id AND d.state = 'pending') AS waiting"
            " FROM link l JOIN peer q ON q.id = l.peer_id ORDER BY q.host"
        )
        listing(rows, args.json)
    return 0
