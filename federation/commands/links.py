"""`parvis link`: agree with another instance, compare six words, suspend, end."""

import argparse
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from federation import links as meeting
from federation.commands.opened import opened
from federation.commands.reasons import spoken
from federation.instance import Instance
from federation.keyring import rotate
from server import database as db
from server.actions import links
from server.actions.consent import set_history_consent
from server.openness import LinkState
from server.queries.consent import denies_past
from server.queries.linked import as_json, of_host
from server.settings import LANGUAGES, Settings
from server.terminal import Failure, listing, remark, tell
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
        if name == "offer":
            verb.add_argument("--until", metavar="DATE", help="the day on which the link ends, as 2027-12-31")
        if name == "kin":
            verb.add_argument("--off", action="store_true", help="it is not, or no more")
    new_key = verbs.add_parser("rotate", help="make a new instance key; both count for a week")
    new_key.set_defaults(verb=_rotate)
    past = verbs.add_parser("past", help="may hosts of spaces open to more people what ours wrote there before?")
    past.add_argument("consent", metavar="allow|deny", nargs="?", choices=("allow", "deny"), help="without: as it is")
    past.add_argument("--json", action="store_true")
    past.set_defaults(verb=_past)
    one = verbs.add_parser("show", help="one link, with all that is known of it")
    one.add_argument("host", metavar="HOST")
    one.add_argument("--json", action="store_true")
    one.add_argument("--language", choices=LANGUAGES, help="of the reasons (default: as they are kept)")
    one.set_defaults(verb=_show)
    words = verbs.add_parser("words", help="the six words that both administrators compare")
    words.add_argument("host", metavar="HOST")
    words.add_argument("--json", action="store_true")
    words.set_defaults(verb=_words)
    every = verbs.add_parser("list", help="all links and where they stand")
    every.add_argument("--json", action="store_true")
    every.add_argument("--language", choices=LANGUAGES, help="of the reasons (default: as they are kept)")
    every.set_defaults(verb=_list)


def _saying(act: Act) -> Callable[[Settings, argparse.Namespace], Awaitable[int]]:
    async def verb(settings: Settings, args: argparse.Namespace) -> int:
        args.host = args.host.strip().lower()
        async with opened(settings) as instance:
            remark(await act(instance, args))
        return 0

    return verb


async def _offer(instance: Instance, args: argparse.Namespace) -> str:
    await meeting.offer(instance, OPERATOR, args.host, _day(args.until))
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
    if await meeting.resume(instance, OPERATOR, args.host):
        return f"The link with {args.host} is active again."
    words = await meeting.six_words(instance, OPERATOR, args.host)
    return (
        f"Its key changed. Compare these words with the administrator of {args.host}, then confirm, "
        f"somebody else if you are several: {' '.join(words)}"
    )


async def _kin(instance: Instance, args: argparse.Namespace) -> str:
    await links.set_kin(OPERATOR, args.host, not args.off)
    if args.off:
        return f"{args.host} is a partner like others."
    return f"{args.host} is a department of the same house."


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
    "kin": ("say that the other instance is a department of the same house", _kin),
}


def _day(text: str | None) -> int | None:
    """The end of a day in UTC, in ms; None for none. Raises Failure."""
    if not text:
        return None
    try:
        day = datetime.fromisoformat(text).replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise Failure(f"“{text}” is not a date such as 2027-12-31.") from None
    return int(day.timestamp() * 1000) - 1


async def _rotate(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings) as instance:
        hosts = await rotate(instance)
        if hosts:
            remark(f"A new key is made. Told to {', '.join(hosts)}; the old one counts for a week.")
        else:
            remark("Nothing to do: the key was renewed less than a week ago, or just now with nobody to tell.")
    return 0


async def _past(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        if args.consent:
            await set_history_consent(OPERATOR, args.consent == "allow")
        denies = await denies_past()
        if args.json:
            tell({"history_consent": "deny" if denies else "allow"})
        elif denies:
            remark(
                "What our people wrote in spaces elsewhere stays out of a past that is opened there; partners are told."
            )
        else:
            remark("Hosts of spaces elsewhere may open to more people what ours wrote there, and tell its authors.")
    return 0


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
            "SELECT q.host, q.title, l.state, l.cause, l.reason, l.kin, q.state AS health, q.last_ok_at, q.last_error,"
            " (SELECT COUNT(*) FROM delivery d WHERE d.peer_id = q.id AND d.state = 'pending') AS waiting"
            " FROM link l JOIN peer q ON q.id = l.peer_id ORDER BY q.host"
        )
        listing([spoken({**row, "kin": bool(row["kin"])}, args) for row in rows], args.json)
    return 0


async def _show(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        found = as_json(await of_host(OPERATOR, args.host.strip().lower()))
        if args.json:
            tell(found)
        else:
            listing([{"what": name, "is": value} for name, value in spoken(found, args).items()], False)
    return 0
