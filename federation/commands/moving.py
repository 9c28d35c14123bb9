"""`parvis move`: this instance at another address, with its people, spaces and links."""

import argparse
from typing import Any

from federation.commands.opened import opened
from federation.moving_out import move
from server.running import at_rest
from server.settings import Settings
from server.terminal import Failure, remark, tell


def register(commands: Any) -> None:
    verb = commands.add_parser("move", help="take this instance to the address that “base_url” now says")
    verb.add_argument("address", metavar="BASE_URL", help="the new address, as it stands in the settings")
    verb.add_argument("--json", action="store_true")
    verb.set_defaults(verb=_move)


async def _move(settings: Settings, args: argparse.Namespace) -> int:
    if args.address.rstrip("/").lower() != settings.base_url:
        raise Failure(f"“base_url” is {settings.base_url}: write the new address there first.")
    with at_rest(settings):
        async with opened(settings, anywhere=True) as instance:
            done = await move(instance)
    if args.json:
        tell({"from": done.old if done else None, "to": settings.base_url, "told": list(done.told) if done else []})
    elif done is None:
        remark(f"Nothing to do: this instance is at {settings.base_url}.")
    else:
        remark(f"Moved from {done.old} to {settings.base_url}. " + _told(done.told))
    return 0


def _told(hosts: tuple[str, ...]) -> str:
    if not hosts:
        return "There is no partner to tell."
    return f"Once it serves, it tells {', '.join(hosts)}; keep the old address redirecting meanwhile."
