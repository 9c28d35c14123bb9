"""How this instance answers others: who asks, what they can read, and the one answer to all that is not for them.

Every answer depends on who signed the request, so none of them may be kept by a proxy (K13, A7). What may not be
known is answered with the same status, headers and bytes as what never existed (K12, A8).
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, wraps
from typing import Any

import msgspec
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from federation import verify
from federation.inbox import signed_request
from federation.instance import Instance
from federation.vocabulary import ACTIVITY_JSON, ACTIVITY_STREAMS
from server.errors import NotFound
from server.viewer import LOOKS_AS, PeerServer, Viewer

FOR_THE_ASKER: Mapping[str, str] = {
    "cache-control": "private, no-store",
    "vary": "Accept, Signature, Signature-Input, Authorization, Cookie",
}
"""K13: what is right for one asker is wrong for the next."""

FOR_ALL: Mapping[str, str] = {"cache-control": "public, max-age=600"}
"""What says the same to everybody."""

NOTHING = b'{"error":"not_found"}'
NOTHING_NOW = b'{"error":"too_many_requests"}'
MOST_WAITING = 4
"""Questions of one instance that wait for their turn."""
MOST_ACCEPT = 1000
_PIECE = re.compile(r'(?:[^,"]|"[^"]*")+')
_PARAMETER = re.compile(r';\s*([\w-]+)\s*=\s*("[^"]*"|[^;"\s]*)')
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")

Endpoint = Callable[[Request], Awaitable[Response]]
Asking = Callable[[Request], Awaitable[Viewer]]


async def viewer_of(instance: Instance, request: Request) -> Viewer:
    """Who signed this request: a server, or the web at large when nobody did, or not well enough.

    Only for requests without a body.
    """
    looking: Viewer | None = request.scope.get(LOOKS_AS)
    if looking is not None:
        return looking
    return await verify.viewer_of(instance, signed_request(instance, request, b""))


def is_signed(request: Request) -> bool:
    """Whether somebody signed this request, in either form; nothing says yet that the signature holds."""
    authorization = request.headers.get("authorization", "")
    return "signature" in request.headers or authorization[:10].lower() == "signature "


def signer_or(instance: Instance, otherwise: Asking) -> Asking:
    """Who asks for something that people and servers both fetch, such as a file: the signer, if it is signed."""

    async def asking(request: Request) -> Viewer:
        return await (viewer_of(instance, request) if is_signed(request) else otherwise(request))

    return asking


def wants_activity(request: Request) -> bool:
    """Whether ActivityStreams is asked for; where a page is wanted as much, the page it is."""
    return accepts_activity(request.headers.get("accept", "")[:MOST_ACCEPT])


@lru_cache(maxsize=256)
def accepts_activity(accept: str) -> bool:
    """The same for the header's text (RFC 9110 §12.5.1): ld+json counts with the ActivityStreams profile only."""
    document = page = 0.0
    for piece in _PIECE.findall(accept):
        kind, _, _ = piece.partition(";")
        kind = kind.strip().lower()
        parameters = {name.lower(): value.strip('"') for name, value in _PARAMETER.findall(piece)}
        weight = _weight(parameters.get("q", "1"))
        profiled = ACTIVITY_STREAMS in parameters.get("profile", "").split()
        if kind == ACTIVITY_JSON or (kind == "application/ld+json" and profiled):
            document = max(document, weight)
        elif kind in ("text/html", "application/xhtml+xml"):
            page = max(page, weight)
    return document > page


def _weight(text: str) -> float:
    return float(text) if re.fullmatch(r"[01](\.[0-9]{0,3})?", text) else 0.0


class Shared(Route):
    """An address that is a page too: this route stands for it only when ActivityStreams is asked for.

    Put before the pages' routes; a request that it leaves alone goes on to them.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            return Match.NONE, {}
        if not accepts_activity(Headers(scope=scope).get("accept", "")[:MOST_ACCEPT]):
            return Match.NONE, {}
        return super().matches(scope)


def answered(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with the one answer for what is not there or not for whoever asks."""

    @wraps(endpoint)
    async def answer(request: Request) -> Response:
        try:
            return await endpoint(request)
        except NotFound:
            return not_found()

    return answer


class InTurn:
    """Questions that look at much, of one instance one after the other: of many at once each would hold all of it."""

    def __init__(self) -> None:
        self._asking: Counter[int] = Counter()
        self._turns: dict[int, asyncio.Lock] = {}

    async def answer(self, viewer: Viewer, find: Callable[[], Awaitable[Mapping[str, Any]]]) -> Response:
        """What is found, when it is the asker's turn; 429 for whoever asks much more before it is. Raises what `find`
        raises.
        """
        if not isinstance(viewer, PeerServer) or not viewer.linked:
            return document(await find())  # nothing is theirs to be found
        peer_id = viewer.peer_id
        if self._asking[peer_id] > MOST_WAITING:
            return Response(NOTHING_NOW, 429, {**FOR_THE_ASKER, "retry-after": "5"}, "application/json")
        self._asking[peer_id] += 1
        try:
            async with self._turns.setdefault(peer_id, asyncio.Lock()):
                return document(await find())
        finally:
            self._asking[peer_id] -= 1
            if not self._asking[peer_id]:
                del self._asking[peer_id], self._turns[peer_id]


async def nothing(request: Request) -> Response:
    """The endpoint of an instance that does not federate."""
    return not_found()


def not_found() -> Response:
    """Always the same, whatever is not there and why."""
    return Response(NOTHING, 404, FOR_THE_ASKER, "application/json")


def document(value: Mapping[str, Any], status: int = 200) -> Response:
    """A document in ActivityStreams, for whoever asks now and nobody else."""
    return Response(msgspec.json.encode(value), status, FOR_THE_ASKER, ACTIVITY_JSON)


def whole_number(text: str | None) -> int | None:
    """An id in an address or a query; None where there is none. Raises NotFound for what cannot be one."""
    if text is None:
        return None
    if not _NUMBER.fullmatch(text):
        raise NotFound(detail="not a number of ours")
    return int(text)
