"""What stands before every page and client call: a request's number, strict headers, forms of our own only, limits.

Pure ASGI: nothing is read that need not be. What other instances send does not pass here (see `web.app`).
"""

import secrets
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import DomainError, Forbidden, TooLarge
from server.limits import UPLOAD_BYTES
from server.refusals import N_
from server.settings import Settings
from web import errors
from web.session import cookie_name

FORM_BYTES = 1024 * 1024
UPLOADS = {"/posts": UPLOAD_BYTES * 2, "/api/v1/media": UPLOAD_BYTES, "/api/v2/media": UPLOAD_BYTES}
"""Addresses that take files, and how many bytes of them at once; the words around them come on top."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN_FORM = N_("Cette demande ne vient pas de nos pages : rechargez la page et recommencez.")
TOO_LARGE = N_("C’est trop volumineux : au plus %(limit)s Mio à la fois.")
MIB = 1024 * 1024

POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}' 'strict-dynamic'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none';"
    " manifest-src 'self'"
)
NOTHING_RUNS = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""For whatever is no page: the same for every answer, so that two of them can be compared byte for byte."""
FIXED = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), interest-cohort=()",
    "cross-origin-opener-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Guard:
    """Wraps the application of pages and client calls."""

    def __init__(self, app: ASGIApp, settings: Settings, routes: Sequence[BaseRoute] = ()) -> None:
        self.app = app
        self.routes = list(routes)  # what a Mount shows of what is behind it
        self.settings = settings
        self._cookie = cookie_name(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state: MutableMapping[str, Any] = scope.setdefault("state", {})
        state["request_id"] = secrets.token_hex(8)
        state["nonce"] = secrets.token_urlsafe(16)
        answer = self._with_headers(scope, send)
        refused = self._refuses(scope)
        if refused is not None:
            response = await errors.answer(Request(scope), refused)
            await response(scope, receive, answer)
            return
        limit = limit_of(scope["path"])
        await self.app(scope, _bounded(receive, limit), answer)

    def _refuses(self, scope: Scope) -> DomainError | None:
        headers = Headers(scope=scope)
        limit = limit_of(scope["path"])
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            return TooLarge(TOO_LARGE, params={"limit": max(limit - FORM_BYTES, MIB) // MIB})
        if scope["method"] in SAFE or self._cookie not in headers.get("cookie", ""):
            return None
        return None if self._from_us(headers) else Forbidden(FOREIGN_FORM)

    def _from_us(self, headers: Headers) -> bool:
        """Whether a browser says that a page of ours sent this; one that says nothing of it is not believed."""
        fetched_from = headers.get("sec-fetch-site")
        if fetched_from is not None:
            return fetched_from in ("same-origin", "none")
        origin = headers.get("origin")
        if origin is None:
            parts = urlsplit(headers.get("referer", ""))
            origin = f"{parts.scheme}://{parts.netloc}"
        return origin.lower() == self.settings.base_url

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        fixed = dict(FIXED)
        if self.settings.is_https:
            fixed["strict-transport-security"] = "max-age=31536000"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in fixed.items():
                    headers.setdefault(name, value)
                page = headers.get("content-type", "").startswith("text/html")
                policy = POLICY.format(nonce=scope["state"]["nonce"]) if page else NOTHING_RUNS
                headers.setdefault("content-security-policy", policy)
                _keep_to_the_asker(scope["path"], headers)
            await send(message)

        return answer


def _keep_to_the_asker(path: str, headers: MutableHeaders) -> None:
    """No cache between us and a browser keeps what was made for one reader (K13, A45)."""
    if path.startswith("/static/"):
        headers["cache-control"] = "public, max-age=31536000, immutable"
        return
    headers.setdefault("cache-control", "private, no-store")
    for name in ("Cookie", "Authorization", "Accept"):
        headers.add_vary_header(name)


def limit_of(path: str) -> int:
    """Bytes that a request to this address may have."""
    return FORM_BYTES + UPLOADS.get(path, 0)


def _bounded(receive: Receive, limit: int) -> Callable[[], Any]:
    """Stops reading where a body becomes longer than it may be, whatever it declared."""
    seen = 0

    async def bounded() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge(TOO_LARGE, params={"limit": max(limit - FORM_BYTES, MIB) // MIB})
        return message

    return bounded
