"""View as: a space's own page, feed and document, rendered by their own handlers for somebody outside, read-only.

The request that is made for them goes through the whole application with the outsider in the place of whoever asks,
inside a rehearsal of the policy; what comes back is byte for byte what they would get. The banner stands around it,
in a page of its own.
"""

from collections.abc import Iterator, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import Message

from server.actions import looking
from server.actions.looking import WEB, Observer
from server.errors import NotFound
from server.queries import pending, policies
from server.queries.spaces import SeenSpace
from server.space_policy import SpacePolicy
from server.viewer import LOOKS_AS, Employee, Viewer
from web.middleware import POLICY
from web.pages.openness import owner
from web.pages.showing import opening as showing
from web.pages.visits import Visit

ACTIVITY = "application/activity+json"
PAGE, FEED, DOCUMENT, OUTBOX = "page", "feed", "document", "outbox"
FEED_PATH = "/spaces/{slug}/feed.atom"
FORMS = {PAGE: ("", "text/html"), DOCUMENT: ("", ACTIVITY), OUTBOX: ("/outbox", ACTIVITY), FEED: ("/feed.atom", "*/*")}
READ_ONLY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; frame-ancestors 'self';"
    " base-uri 'none'; form-action 'none'; sandbox allow-same-origin"
)
MOST_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at, as whom, and in which form."""

    space: SeenSpace
    observer: Observer
    form: str
    wanted: SpacePolicy
    past: bool
    draft: int | None
    observers: Sequence[Observer]

    def address(self, page: str) -> str:
        """The same look, at another of our addresses."""
        told = {"who": self.observer.key, "form": self.form} | ({"draft": self.draft} if self.draft else {})
        return f"/spaces/{self.space.slug}/openness/{page}?{urlencode(told)}"


async def as_somebody(visit: Visit) -> Response:
    """`/spaces/{slug}/openness/as?who=&form=&draft=`: the banner, the choice, and the frame with the real thing."""
    _, look = await _look(visit)
    forms = [form for form in FORMS if form != FEED or _has_feed(visit)]
    response = await showing.looking_as(visit, look.space, look, forms)
    nonce = str(visit.request.scope["state"]["nonce"])
    response.headers["content-security-policy"] = POLICY.format(nonce=nonce) + "; frame-src 'self'"
    return response


async def seen(visit: Visit) -> Response:
    """`/spaces/{slug}/openness/seen`: the bytes alone. A page stays a page; the rest is shown as text.

    The status that goes with them is told in `parvis-status`: the look itself succeeded.
    """
    viewer, look = await _look(visit)
    status, headers, body = await rendered(visit, viewer, look)
    kind = headers.get("content-type", "") if look.form == PAGE else "text/plain; charset=utf-8"
    own = {"content-type": kind, "content-security-policy": READ_ONLY, "x-frame-options": "SAMEORIGIN"}
    own["parvis-status"] = str(status)
    own |= {name: headers[name] for name in ("content-language",) if name in headers}
    return Response(body, 200, own)


async def rendered(visit: Visit, viewer: Employee, look: Look) -> tuple[int, dict[str, str], bytes]:
    """The answer of the application to this outsider: status, headers, body."""
    path, accept = FORMS[look.form]
    server = look.form in (DOCUMENT, OUTBOX)
    if server:
        await visit.request.app.state.keys_of(look.space.uri)
    query = "page=true" if look.form == OUTBOX else ""
    async with looking.looked_at(
        viewer, look.space.id, look.observer, look.wanted, past=look.past, server=server
    ) as outsider:
        return await _ask(visit, f"/spaces/{look.space.slug}{path}", query, accept, outsider)


async def _ask(visit: Visit, path: str, query: str, accept: str, outsider: Viewer) -> tuple[int, dict[str, str], bytes]:
    request = visit.request
    asked = {"host": request.headers.get("host", ""), "accept": accept}
    asked["accept-language"] = request.headers.get("accept-language", "")
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": request.url.scheme,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1", "replace")) for name, value in asked.items() if value],
        "client": request.scope.get("client"),
        "server": request.scope.get("server"),
        "state": {},
        LOOKS_AS: outsider,
    }
    said: list[Message] = []
    size = 0

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        nonlocal size
        size += len(message.get("body", b""))
        if size > MOST_BYTES:
            raise NotFound(detail="too long to be looked at")
        said.append(message)

    await request.app(scope, receive, send)
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in said[0]["headers"]}
    return said[0]["status"], headers, b"".join(message.get("body", b"") for message in said[1:])


async def _look(visit: Visit) -> tuple[Employee, Look]:
    viewer, space = await owner(visit)
    draft, wanted, past = visit.cursor("draft"), await policies.current(space.id), False
    if draft is not None:
        kept = await pending.find(viewer, space, draft)
        wanted, past = kept.wanted, kept.past
    found = await looking.observers(viewer, space.id, wanted)
    who = visit.query("who") or WEB
    observer = next((one for one in found if one.key == who), None)
    form = visit.query("form") or PAGE
    if observer is None or form not in FORMS:
        raise NotFound(detail="nobody one can look as")
    return viewer, Look(space, observer, form, wanted, past, draft, found)


def _has_feed(visit: Visit) -> bool:
    """Whether spaces have feeds here."""
    return any(path == FEED_PATH for path in _paths(visit.request.app.routes))


def _paths(routes: Sequence[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _paths(route.routes)
        elif isinstance(route, Route):
            yield route.path
