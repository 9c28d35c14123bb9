"""`parvis mail`: what waits to be sent or was put aside, and the answers that the mail server hands over."""

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Any

from server.actions import mails
from server.commands.opening import opened
from server.errors import Unavailable
from server.limits import MAIL_BYTES
from server.queries.mails import Standing, standings
from server.settings import Settings
from server.terminal import listing, phrase, remark
from server.viewer import Operator
from web.locale import speech
from web.mail.receiving import LATER, NOT_PUBLISHED, Exit, Outcome, receive

OPERATOR = Operator()
Hook = Callable[[type[BaseException], BaseException, TracebackType | None], Any]


def register(commands: Any) -> None:
    group = commands.add_parser("mail", help="mail to people: what waits, what was put aside; and their answers")
    verbs = group.add_subparsers(title="commands", metavar="COMMAND", required=True)

    verb = verbs.add_parser("list", help="for whom mail waits, is refused for now (later), or was put aside (aside)")
    verb.add_argument("--json", action="store_true", help="one JSON array")
    verb.set_defaults(verb=show)

    verb = verbs.add_parser("retry", help="write again to whom mail was refused, from their next notice on")
    verb.add_argument("handle", metavar="NAME", nargs="?", default="", help="one person; without it everybody")
    verb.set_defaults(verb=retry)

    verb = verbs.add_parser(
        "receive", help="an answer on stdin becomes a post; exit codes of sysexits.h: 0, 65, 67, 75, 77"
    )
    verb.add_argument("--recipient", default="", metavar="ADDRESS", help="of the envelope (default: the headers)")
    verb.add_argument("--sender", default=None, metavar="ADDRESS", help="of the envelope; an empty one is a bounce")
    verb.set_defaults(verb=take, failed=Exit.LATER.value)


async def show(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        rows = await standings(OPERATOR)
    listing([_row(row) for row in rows], args.json)
    return 0


def _row(row: Standing) -> dict[str, Any]:
    since = datetime.fromtimestamp(row.since_at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "name": row.name,
        "email": row.address,
        "state": row.state,
        "notices": row.notices,
        "attempts": row.attempts,
        "error": row.error,
        "since": since,
    }


async def retry(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        again = await mails.retry(args.handle.strip().lower().removeprefix("@"))
    remark(f"{again} people are written to again.")
    return 0


async def take(settings: Settings, args: argparse.Namespace) -> int:
    """Whatever is out of order here is a reason to try later: a mail server bounces what it does not know."""
    sys.excepthook = partial(_try_later, sys.excepthook)
    raw = sys.stdin.buffer.read(MAIL_BYTES + 1)
    try:
        async with opened(settings) as here:
            outcome = await receive(settings, here, raw, args.recipient, args.sender)
    except Unavailable:
        outcome = Outcome(Exit.LATER, Unavailable(LATER))
    if outcome.error is not None:
        language = outcome.language or settings.default_language
        remark(phrase_of(outcome, language))
    return outcome.code.value


def phrase_of(outcome: Outcome, language: str) -> str:
    """What the mail server puts into the message that goes back; never a detail."""
    error = outcome.error
    assert error is not None
    error.detail = ""
    speaks = speech(language)
    said = phrase(error, speaks.gettext)
    return f"{speaks.gettext(NOT_PUBLISHED)} {said}" if outcome.from_the_verb else said


def _try_later(say: Hook, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """A fault of ours is no reason to send somebody's answer back."""
    say(kind, error, trace)
    sys.stderr.flush()
    os._exit(Exit.LATER.value)
