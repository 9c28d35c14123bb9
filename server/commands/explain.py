"""`parvis explain`: why somebody sees a thing or does not, and what would be enough."""

import argparse
from typing import Any

from server.commands.opening import opened
from server.explaining_words import changes
from server.policy_words import Tongue, spoken
from server.queries import explanations
from server.queries.explanations import Told
from server.settings import LANGUAGES, Settings
from server.terminal import remark, tell
from server.viewer import Operator

MARKS = {True: "+", False: "-", None: " "}


def register(commands: Any) -> None:
    verb = commands.add_parser("explain", help="why somebody sees a thing or does not, and what would be enough")
    verb.add_argument("thing", metavar="THING", help="a post's id or address, a space, file:ID, person:NAME")
    verb.add_argument(
        "--as",
        dest="who",
        required=True,
        metavar="AUDIENCE",
        help="web, fed, staff, guest, partner:HOST, server:HOST, NAME, NAME@HOST, guest:NAME",
    )
    verb.add_argument("--right", default="read", metavar="RIGHT", help=f"one of {', '.join(explanations.RIGHTS)}")
    verb.add_argument("--language", choices=LANGUAGES, default="en", help="of the sentences (default: en)")
    verb.add_argument("--json", action="store_true", help="one JSON object")
    verb.set_defaults(verb=explain)


async def explain(settings: Settings, args: argparse.Namespace) -> int:
    tongue: Tongue = args.tongue(args.language)
    async with opened(settings) as here:
        told = await explanations.tell(Operator(), args.thing, args.who, args.right, here)
    if args.json:
        tell(explanations.as_json(told, tongue))
    else:
        print("\n".join(_lines(told, tongue)))
    if not told.allowed and not told.would_change_if:
        remark("Nothing that can be changed here would allow it.")
    return 0


def _lines(told: Told, tongue: Tongue) -> list[str]:
    lines = [spoken(told.verdict, tongue)]
    lines += [f"{MARKS[one.holds]} {spoken(one.said, tongue)}" for one in told.chain]
    lines += [f"> {spoken(changes(made), tongue)}" for made in told.would_change_if]
    return lines
