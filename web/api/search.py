"""search: people, spaces and posts that the caller may find; with `resolve`, those of other instances too."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from server.errors import NotFound
from server.queries import directory, people, posts, search
from server.queries.addresses import actor_at
from server.viewer import Employee, Resident
from web.api import accounts, present
from web.api.calls import SLUG, Call, json

PAGE = 20
MOST = 40
LONGEST = 2048


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a handle or an address of another instance stands for, now that it is known here.

    At most one is set: an actor (a person or a space), or a post.
    """

    actor_id: int | None = None
    post_id: int | None = None


Lookup = Callable[[Employee, str], Awaitable[Resolved]]
"""Asks another instance for a handle (`name@host`) or an https address. Finds nothing rather than raising."""


async def nothing(viewer: Employee, term: str) -> Resolved:
    """The lookup of an instance that federates with nobody."""
    return Resolved()


async def resolve(request: Request, viewer: Resident, term: str) -> Resolved:
    """Looks up elsewhere what is not known here. Asks nobody for what cannot be a handle or an address, and nobody
    for a guest.
    """
    if not isinstance(viewer, Employee):
        return Resolved()
    looking: Lookup = request.app.state.lookup
    if is_address(term) or (SLUG.fullmatch(term) and "@" in term):
        return await looking(viewer, term)
    return Resolved()


async def everything(call: Call) -> Response:
    """`/api/v2/search`."""
    fields = call.fields
    term = fields.text("q", LONGEST).strip()
    kind = fields.text("type", 20)
    limit = min(fields.whole("limit", 1, 1000) or PAGE, MOST)
    first = not (fields.whole("offset", 0, 1_000_000) or 0)
    exact = await _exact(call, term.removeprefix("@")) if first and term else Resolved()
    told: dict[str, list[present.Shape]] = {"accounts": [], "statuses": [], "hashtags": []}
    if kind in ("", "accounts") and first and term:
        told["accounts"] = await _accounts(call, term, exact, limit)
    if kind in ("", "statuses") and first and term:
        told["statuses"] = await _statuses(call, term, exact, limit)
    return json(told)


async def of_accounts(call: Call) -> Response:
    """`/api/v1/accounts/search`."""
    term = call.fields.text("q", LONGEST).strip()
    limit = min(call.fields.whole("limit", 1, 1000) or PAGE, MOST)
    exact = await _exact(call, term.removeprefix("@")) if term else Resolved()
    return json(await _accounts(call, term, exact, limit) if term else [])


async def _exact(call: Call, term: str) -> Resolved:
    """The one thing that a handle or an address names: known here, else asked for when the caller wants that."""
    known = await _known(call, term)
    if known.actor_id or known.post_id or not call.fields.flag("resolve"):
        return known
    return await resolve(call.request, call.me, term)


async def _known(call: Call, term: str) -> Resolved:
    try:
        if is_address(term):
            return await _known_address(call, term)
        if SLUG.fullmatch(term) and "@" in term:
            found = await accounts.find_by_handle(call, term)
            return Resolved(actor_id=found.card.id if isinstance(found, people.Person) else found.actor_id)
    except NotFound:
        pass
    return Resolved()


async def _known_address(call: Call, address: str) -> Resolved:
    try:
        return Resolved(post_id=(await posts.find_by_uri(call.me, address)).id)
    except NotFound:
        return Resolved(actor_id=await actor_at(call.me, address))


async def _accounts(call: Call, term: str, exact: Resolved, limit: int) -> list[present.Shape]:
    shapes = await _named(call, exact)
    if not is_address(term):
        for card in await people.known(call.me, matching=term, limit=limit):
            shapes.append(present.account(card, call.here))
        for row in await directory.listed(call.me, matching=term, limit=limit):
            shapes.append(present.group(row.space, call.here))
    return list({shape["id"]: shape for shape in shapes}.values())[:limit]


async def _named(call: Call, exact: Resolved) -> list[present.Shape]:
    """A space elsewhere is known by its actor before anything of it is kept here; then there is nothing to show."""
    try:
        found = await accounts.find(call.me, exact.actor_id) if exact.actor_id else None
    except NotFound:
        return []
    return [accounts.shape(call, found)] if found else []


async def _statuses(call: Call, term: str, exact: Resolved, limit: int) -> list[present.Shape]:
    if is_address(term):
        found = await posts.cards(call.me, [exact.post_id] if exact.post_id else [])
    else:
        before = call.fields.identifier("max_id")
        found = await search.posts(call.me, term, before=before, limit=limit)
    return [present.status(card, call.here) for card in found]


def is_address(term: str) -> bool:
    return term.startswith(("https://", "http://"))
