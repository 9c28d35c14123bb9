"""One call of the client API: who calls, what they may use their token for, what they sent.

Who calls is decided first, then what the token may do, then the parameters are read, then the work is done (R6).
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.errors import Forbidden, NotFound, Unauthenticated
from server.ids import Addresses
from server.refusals import SENTENCES
from server.viewer import Anonymous, Employee, Guest, Resident, Viewer
from web.api.fields import LARGEST, Fields, read
from web.session import caller_of

PRIVATE = {"cache-control": "private, no-store", "vary": "Authorization, Cookie, Accept-Language"}
SLUG = re.compile(r"[A-Za-z0-9._-]{1,64}(?:@[A-Za-z0-9.:\[\]-]{1,190})?")
FOLLOWING = frozenset({"read:follows", "write:follows"})


@dataclass(frozen=True, slots=True)
class Call:
    """A call whose caller is known and allowed to come in."""

    request: Request
    viewer: Viewer
    fields: Fields

    @property
    def me(self) -> Resident:
        """Whoever calls, a guest too. Raises Unauthenticated."""
        if not isinstance(self.viewer, Resident):
            raise Unauthenticated(SENTENCES["sign_in_first"])
        return self.viewer

    @property
    def colleague(self) -> Employee:
        """The colleague who calls. Raises Unauthenticated, and NotFound for guests: to them it is not there."""
        if isinstance(self.me, Guest):
            raise NotFound(detail="for colleagues")
        return self.me

    @property
    def here(self) -> Addresses:
        here: Addresses = self.request.app.state.here
        return here

    def id(self, name: str = "id") -> int:
        """An id in the path. What cannot be one is not found."""
        text = str(self.request.path_params[name])
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > LARGEST:
            raise NotFound(detail="not an id")
        return int(text)

    def handle(self, name: str) -> str:
        """A slug or `name@host` in the path. What cannot be one is not found."""
        text = str(self.request.path_params[name]).removeprefix("@")
        if not SLUG.fullmatch(text):
            raise NotFound(detail="not a handle")
        return text


Answer = Callable[[Call], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of the client API. `scope`: what a token needs for it; '' is for everybody."""

    method: str
    path: str
    answer: Answer
    scope: str = ""
    reads_body: bool = True  # False: the answer reads the body itself
    sessions: bool = False  # a signed-in browser may call it too

    def route(self) -> Route:
        return Route(self.path, self._serve, methods=[self.method], name=f"{self.method} {self.path}")

    async def _serve(self, request: Request) -> Response:
        viewer: Viewer = Anonymous()
        if self.scope:
            viewer = demand_scope(await caller_of(request, sessions=self.sessions), self.scope)
        fields = await read(request) if self.reads_body else Fields()
        return await self.answer(Call(request, viewer, fields))


def demand_scope(viewer: Viewer, scope: str) -> Resident:
    """The caller, when their token is for this. Raises Unauthenticated or Forbidden (T5).

    `read` covers `read:statuses`; `follow` covers following.
    """
    if not isinstance(viewer, Resident):
        raise Unauthenticated(SENTENCES["sign_in_first"])
    if viewer.scopes is None:
        return viewer
    enough = {scope, scope.partition(":")[0]} | ({"follow"} if scope in FOLLOWING else set())
    if not viewer.scopes & enough:
        raise Forbidden(SENTENCES["scope_missing"], detail=f"needs {scope}")
    return viewer


def json(value: Any, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """An answer for this caller alone; no cache may keep it (K13)."""
    return Response(
        msgspec.json.encode(value), status, headers={**PRIVATE, **(headers or {})}, media_type="application/json"
    )
