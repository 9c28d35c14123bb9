"""`parvis audit`: who did what to which space or link."""

import argparse
from datetime import UTC, datetime
from typing import Any

from server.actions import policy_history
from server.commands.opening import opened
from server.queries import audit
from server.settings import Settings
from server.terminal import listing, remark, tell
from server.viewer import Operator


def register(commands: Any) -> None:
    group = commands.add_parser("audit", help="who did what: spaces, members, links, accounts")
    verbs = group.add_subparsers(title="verbs", metavar="VERB", required=True)
    every = verbs.add_parser("list", help="the deeds, newest first; never what was written")
    every.add_argument("--space", default="", metavar="SLUG", help="only what concerns this space")
    every.add_argument("--limit", type=int, default=200)
    every.add_argument("--json", action="store_true")
    every.set_defaults(verb=_list)

    chain = verbs.add_parser("verify", help="whether the history of openness is whole, and what holds is what it says")
    chain.add_argument(
        "--head", default="", metavar="HASH", help="a head that was noted before: it must be in the chain"
    )
    chain.add_argument("--json", action="store_true")
    chain.set_defaults(verb=_verify)


async def _list(settings: Settings, args: argparse.Namespace) -> int:
    async with opened(settings):
        found = await audit.listed(Operator(), space=args.space, limit=max(1, min(args.limit, 10_000)))
        listing([_row(deed) for deed in found], args.json)
    return 0


WHAT = {
    "gap": "versions are missing before it",
    "broken": "it does not follow the version before it",
    "rewritten": "it was changed after it was written",
    "epoch": "it does not begin where the version before it ended",
    "behind": "the space is not as its last version says",
    "head": "the head that was noted is not in the chain",
}


async def _verify(settings: Settings, args: argparse.Namespace) -> int:
    """0: whole; 1: not, each fault with its version and its space."""
    async with opened(settings):
        verdict = await policy_history.verify(args.head)
    faults = [{"version": f.number, "space": f.slug, "what": f.what, "meaning": WHAT[f.what]} for f in verdict.faults]
    if args.json:
        tell({"versions": verdict.versions, "head": verdict.head, "faults": faults})
    else:
        listing(faults, False)
        remark(f"{verdict.versions} versions, head {verdict.head}: {'whole' if not faults else 'NOT whole'}.")
    return 1 if faults else 0


def _row(deed: audit.Deed) -> dict[str, Any]:
    at = datetime.fromtimestamp(deed.at / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"at": at, "by": deed.by, "act": deed.act, "space": deed.space, "subject": deed.subject, "data": deed.data}
