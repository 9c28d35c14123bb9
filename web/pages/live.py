"""`/live`: what happened, told to an open page within the second, as server-sent events.

Facts are ids; each passes the same question as the page itself (A38), and the page fetches what it wants to show
from its own address. A stream ends when its session does or its person is suspended (T2, T4), and after an hour
by itself: the browser comes back and says what it heard last, and what it missed is told from the rows.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from server import live
from server.errors import Unauthenticated, Unavailable
from server.ids import new_id
from server.live import Fact, Listener
from server.queries import notifications, updates
from server.refusals import N_
from server.viewer import Resident
from web.session import viewer_of_cookie

TOO_MANY = N_("Trop de pages sont ouvertes en même temps : fermez-en quelques-unes.")

CHECK_SECONDS = 0.5
"""How often a stream looks whether its session still holds: within a second it ends when it does not."""
LONGEST_SECONDS = 3600
PING_SECONDS = 15
MOST_STREAMS = 12
"""Open pages of one person in this process."""
MOST_AT_ONCE = 100
"""Facts that are asked of the policy together."""
OVERLAP = 10_000 << 16
"""Ten seconds in ids: a fact may be committed a little after its id was made, so a replay begins that much earlier.
A page that hears twice of a post fetches it twice, which changes nothing."""

_open: Counter[int] = Counter()


async def stream(request: Request) -> Response:
    """The stream of one open page. Raises Unauthenticated for visitors and tokens, Unavailable beyond MOST_STREAMS."""
    viewer = await _person(request)
    if viewer is None:
        raise Unauthenticated()
    if _open[viewer.account_id] >= MOST_STREAMS:
        raise Unavailable(TOO_MANY)
    heard = request.headers.get("last-event-id", "")
    last = int(heard) if heard.isascii() and heard.isdigit() and len(heard) < 19 else None
    return EventSourceResponse(
        told(request, viewer, last), ping=PING_SECONDS, headers={"cache-control": "private, no-store"}
    )


async def told(request: Request, viewer: Resident, last: int | None) -> AsyncIterator[ServerSentEvent]:
    """What this person hears from now on, after what they missed since the event `last`."""
    _open[viewer.account_id] += 1
    try:
        with live.listening() as listener:
            yield ServerSentEvent(id=str(new_id()), retry=2000)
            if last is not None:
                for event in await _missed(viewer, last):
                    yield event
            async for event in _heard(request, viewer, listener):
                yield event
    finally:
        _open[viewer.account_id] -= 1
        if not _open[viewer.account_id]:
            del _open[viewer.account_id]


async def _heard(request: Request, viewer: Resident, listener: Listener) -> AsyncIterator[ServerSentEvent]:
    end, checked = monotonic() + LONGEST_SECONDS, monotonic()
    while monotonic() < end:
        facts = await _next(listener)
        if facts or monotonic() - checked >= CHECK_SECONDS:
            checked = monotonic()
            if await _person(request) != viewer:
                return
        for event in await _events(viewer, facts):
            yield event


async def _next(listener: Listener) -> list[Fact]:
    """The facts that came in, or none after a while."""
    facts: list[Fact] = []
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            facts.append(await listener.next())
    except TimeoutError:
        return facts
    return facts + listener.waiting(MOST_AT_ONCE)


async def _events(viewer: Resident, facts: list[Fact]) -> list[ServerSentEvent]:
    if any(fact.kind == "lagged" for fact in facts):
        return [_event("lagged", {})]
    found = await updates.told(viewer, [(f.kind, f.post_id, f.actor_id) for f in facts if f.post_id is not None])
    events = [_event("post", _post(update)) for update in found]
    if any(fact.kind == "notice" and fact.actor_id == viewer.actor_id for fact in facts):
        events.append(_event("notice", {"unread": await notifications.unread(viewer)}))
    if any(fact.kind == "narrowed" or (fact.kind == "access" and fact.actor_id == viewer.actor_id) for fact in facts):
        events.append(_event("access", {}))
    return events


async def _missed(viewer: Resident, last: int) -> list[ServerSentEvent]:
    found = await updates.since(viewer, last - OVERLAP)
    if found is None:
        return [_event("lagged", {})]
    unread = _event("notice", {"unread": await notifications.unread(viewer)})
    return [*(_event("post", _post(update)) for update in found), unread]


def _post(update: updates.Update) -> dict[str, Any]:
    """Ids as text: a browser's numbers end at 2^53."""
    return {
        "id": str(update.id),
        "kind": update.kind,
        "space": str(update.space_id) if update.space_id else None,
        "answers": str(update.answers) if update.answers else None,
        "root": str(update.root) if update.root else None,
        "mine": update.mine,
    }


def _event(name: str, data: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(data=msgspec.json.encode(data).decode(), event=name, id=str(new_id()))


async def _person(request: Request) -> Resident | None:
    viewer = await viewer_of_cookie(request)
    return viewer if isinstance(viewer, Resident) else None
