"""A visit to a page: who comes, what the address says, and how a page answers what it cannot do."""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from urllib.parse import quote

from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from server.errors import Invalid, NotFound, Unauthenticated
from server.ids import Addresses
from server.limits import ATTACHMENTS
from server.refusals import N_, SENTENCES
from server.settings import Settings
from server.viewer import Employee, Guest, Resident, Viewer
from web.session import viewer_of_cookie

NOT_A_FORM = N_("Ce formulaire n’est pas lisible.")
TOO_LONG = N_("Ce texte est trop long : il dépasse %(limit)s caractères.")
MOST_FIELDS = 60
MOST_FILES = 5 * ATTACHMENTS
"""What a form is still read with: up to there it comes back with what was typed."""
LARGEST = (1 << 63) - 1
HANDLE = re.compile(r"[A-Za-z0-9_.-]{1,64}(?:@[A-Za-z0-9.:\[\]-]{1,190})?")


@dataclass(frozen=True, slots=True)
class Visit:
    """One request for a page, by somebody known."""

    request: Request
    viewer: Viewer

    @property
    def me(self) -> Resident:
        """Whoever is signed in, a guest too. Raises Unauthenticated."""
        if not isinstance(self.viewer, Resident):
            raise Unauthenticated(SENTENCES["sign_in_first"])
        return self.viewer

    @property
    def colleague(self) -> Employee:
        """The colleague who is signed in. Raises Unauthenticated, and NotFound for guests: to them it is not there."""
        if isinstance(self.me, Guest):
            raise NotFound(detail="for colleagues")
        return self.me

    @property
    def here(self) -> Addresses:
        here: Addresses = self.request.app.state.here
        return here

    @property
    def settings(self) -> Settings:
        settings: Settings = self.request.app.state.settings
        return settings

    @property
    def wants_fragment(self) -> bool:
        """Whether a script of ours asks for a piece of a page."""
        return self.request.headers.get("hx-request") == "true"

    @property
    def part(self) -> str:
        """Which piece of the page is asked for; '' is the whole."""
        return self.query("part")[:40]

    def query(self, name: str) -> str:
        """A value of the address's query, '' when it is not there."""
        return self.request.query_params.get(name, "")[:500]

    def cursor(self, name: str) -> int | None:
        """An id in the query that a list goes on from; what cannot be one is left out."""
        text = self.query(name)
        return int(text) if _is_id(text) else None

    async def form(self, most_fields: int = MOST_FIELDS) -> "Form":
        """What was sent with a form; its files are spooled to the disk. Raises Invalid."""
        try:
            sent = await self.request.form(max_files=MOST_FILES, max_fields=most_fields)
        except HTTPException as error:
            raise Invalid(NOT_A_FORM, detail=str(error.detail)) from None
        return Form(sent)

    def id(self, name: str = "id") -> int:
        """An id in the path. Raises NotFound for what cannot be one."""
        return number(str(self.request.path_params[name]))

    def handle(self, name: str) -> str:
        """A slug or `name@host` in the path. Raises NotFound for what cannot be one."""
        text = str(self.request.path_params[name])
        if not HANDLE.fullmatch(text):
            raise NotFound(detail="not a handle")
        return text


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of a form: text without what a database cannot keep, files without the empty ones."""

    sent: FormData
    bounded: bool = True

    def as_typed(self) -> "Form":
        """The same, whatever its length: what a form that comes back shows, and nothing else may use."""
        return replace(self, bounded=False)

    def text(self, name: str, limit: int = 500) -> str:
        """One value, '' when it is not there. Raises Invalid, naming the field, beyond `limit` characters."""
        value = self.sent.get(name)
        text = value.replace("\0", "").replace("\r\n", "\n") if isinstance(value, str) else ""
        if self.bounded and len(text) > limit:
            raise Invalid(TOO_LONG, field=name, params={"limit": limit})
        return text

    def line(self, name: str, limit: int = 500) -> str:
        """One value on one line, without spaces around."""
        return " ".join(self.text(name, limit).split())

    def lines(self, name: str, most: int, limit: int = 500) -> list[str]:
        """The first values of a field that is there several times, each as `line`. Raises Invalid."""
        found = self.sent.getlist(name)[:most]
        return [replace(self, sent=FormData([(name, value)])).line(name, limit) for value in found]

    def id(self, name: str) -> int | None:
        """An id, or None when the field is empty. Raises NotFound for what cannot be one."""
        text = self.as_typed().line(name)
        return number(text) if text else None

    def ids(self, name: str) -> list[int]:
        return [number(value) for value in self.sent.getlist(name) if isinstance(value, str) and value]

    def files(self, name: str) -> list[UploadFile]:
        return [value for value in self.sent.getlist(name) if isinstance(value, UploadFile) and value.filename]

    def has(self, name: str) -> bool:
        return name in self.sent


def number(text: str) -> int:
    """An id as text. Raises NotFound for what cannot be one."""
    if not _is_id(text):
        raise NotFound(detail="not an id")
    return int(text)


def _is_id(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 19 and 0 < int(text) <= LARGEST


Handler = Callable[[Visit], Awaitable[Response]]


def page(path: str, handler: Handler, methods: Sequence[str] = ("GET",)) -> Route:
    """One address of a page. Somebody who has to sign in first is brought back to it afterwards."""
    return Route(path, partial(_serve, handler), methods=list(methods), name=handler.__name__)


async def _serve(handler: Handler, request: Request) -> Response:
    visit = Visit(request, await viewer_of_cookie(request))
    try:
        return await handler(visit)
    except Unauthenticated:
        if request.method not in ("GET", "HEAD") or visit.wants_fragment:
            raise
        asked = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return see(f"/login?next={quote(asked, safe='')}" if asked != "/" else "/login")
    finally:
        await request.close()  # files that were spooled to the disk


def see(path: str) -> RedirectResponse:
    """Go and look there, after something was done (303)."""
    return RedirectResponse(path, 303)


def inside(path: str, otherwise: str = "/") -> str:
    """An address that a form or a query names, if it is one of our own pages: never a way out."""
    whole = re.fullmatch(r"/(?![/\\])[^\\\x00-\x20]{0,500}", path)
    return path if whole else otherwise
