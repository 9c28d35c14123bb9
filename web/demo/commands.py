"""`parvis demo`: two linked instances with people in them, on this machine alone."""

import argparse
from pathlib import Path
from typing import Any

from server.settings import load
from web.demo import supervisor, teller
from web.demo.conversations import STORY
from web.demo.folder import config_of

PORTS = (8001, 8002)


def register(commands: Any) -> None:
    verb = commands.add_parser("demo", help="two linked instances with people in them, on this machine alone")
    verb.add_argument("--reset", action="store_true", help="begin afresh: everything written in the demo is lost")
    verb.add_argument("--dir", type=Path, default=Path("var/demo"), metavar="DIR", help="where (default: var/demo)")
    verb.add_argument("--ports", type=_ports, default=PORTS, help=argparse.SUPPRESS)
    verb.add_argument("--tell", choices=[one.key for one in STORY.companies], help=argparse.SUPPRESS)
    verb.set_defaults(alone=demo)


def _ports(text: str) -> tuple[int, ...]:
    ports = tuple(int(word) for word in text.split(",") if word.isdecimal() and 0 < int(word) < 65536)
    if len(set(ports)) != len(STORY.companies):
        raise argparse.ArgumentTypeError(f"{text} is not two different ports such as 8001,8002")
    return ports


async def demo(args: argparse.Namespace) -> int:
    if args.tell:
        await _tell(args.dir, args.tell)
    else:
        await supervisor.run(args.dir, args.ports, reset=args.reset)
    return 0


async def _tell(folder: Path, key: str) -> None:
    """What the supervisor starts for each company."""
    company = next(one for one in STORY.companies if one.key == key)
    settings, theirs = (load(config_of(folder, one), {}) for one in (company, STORY.partner_of(company)))
    await teller.tell(settings, STORY, company, theirs.base_url.removeprefix("http://"))
