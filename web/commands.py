"""`parvis serve`: the web side of one instance; `parvis worker`: what goes on beside it, alone."""

import argparse
import asyncio
import signal
from typing import Any

from server.commands.opening import opened
from server.running import runs
from server.settings import Settings
from server.terminal import Failure, remark
from web import app, serving


def register(commands: Any) -> None:
    verb = commands.add_parser("serve", help="serve pages, client API and inbox, and deliver to other instances")
    verb.add_argument("--workers", metavar="N", type=workers, help="web processes (default: the setting)")
    verb.add_argument("--no-delivery", action="store_true", help="leave delivering to other processes")
    verb.set_defaults(verb=serve)
    verb = commands.add_parser("worker", help="deliver and send mail without serving (PostgreSQL, several machines)")
    verb.set_defaults(verb=work)


async def _demand_its_database(settings: Settings) -> None:
    """Raises WrongSchema, and Conflict when the database is that of another address."""
    async with opened(settings):
        pass


def workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 64")
    return int(text)


def serve(settings: Settings, args: argparse.Namespace) -> int:
    """Refuses what would fail later: tables of another version, or of another address, a port that is taken."""
    count = args.workers or settings.workers
    if count > 1 and settings.database_url.startswith("sqlite:"):
        raise Failure("several web processes need PostgreSQL: set “database_url”, or serve with one.")
    with runs(settings):
        asyncio.run(_demand_its_database(settings))
        for key in settings.not_built_yet():
            remark(f"parvis: “{key}” is set, but has no effect in this version.")
        with serving.listen(settings.host, settings.port) as listening:
            host, port = listening.getsockname()[:2]
            remark(f"parvis: {settings.base_url} is served on {host}:{port}")
            started = serving.run(settings, listening, workers=count, delivery=not args.no_delivery)
    return 0 if started else 1


async def work(settings: Settings, args: argparse.Namespace) -> int:
    """Until a signal says stop."""
    stop = asyncio.Event()
    for signalled in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signalled, stop.set)
    with runs(settings):
        async with opened(settings):
            remark("parvis: delivering")
            await app.work(settings, stop)
    return 0
