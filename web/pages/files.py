"""`/media/{id}/{name}`: the bytes of a file, for whoever may open it now, and for nobody else; `/small/{id}`: the small
picture of one, for the same people at the same moment.

Nothing here runs in our origin: what a browser could execute is only ever downloaded (H17), what it may show is
shown in a sandbox, and its type is what we say, not what it guesses.
"""

import re
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server import files
from server.errors import NotFound
from server.pictures import SMALL_TYPE
from server.queries import attachments
from server.queries.posts import FileCard
from server.settings import Settings
from server.viewer import Viewer

SHOWN = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "application/pdf"})
"""What a browser may show without executing anything of ours; everything else is downloaded."""

SANDBOX = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
VIEWER = "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'"
"""For PDF: browsers refuse to start their viewer in a sandbox, and run it apart from our origin by themselves."""
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
_ID = re.compile(r"[1-9]\d{0,18}")

Asking = Callable[[Request], Awaitable[Viewer]]
"""Who asks for a file: a session, a token or a signature of another instance."""


async def media(request: Request) -> Response:
    """One file, or the part of it that was asked for. The policy is asked before any cache is believed (K14)."""
    found = await _found(request)
    headers = _headers(found)
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    settings: Settings = request.app.state.settings
    size = files.size_of(settings.files_dir, found.sha256)
    part = _part(request, size, headers["etag"])
    if part is None:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{size}"})
    start, end = part
    headers["content-length"] = str(end - start)
    whole = end - start == size
    if not whole:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size}"
    if request.method == "HEAD":
        return Response(status_code=200 if whole else 206, headers=headers, media_type=found.media_type)
    pieces = files.open_range(settings.files_dir, found.sha256, start, end)
    return StreamingResponse(pieces, 200 if whole else 206, headers=headers, media_type=found.media_type)


async def small(request: Request) -> Response:
    """The small picture. A picture without one answers like a file that is not there."""
    found = await _found(request)
    headers = _headers(found, small=True)
    settings: Settings = request.app.state.settings
    if not found.width:
        raise NotFound(detail="no small picture")
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    headers["content-length"] = str(files.size_of(settings.files_dir, found.sha256, small=True))
    if request.method == "HEAD":
        return Response(headers=headers, media_type=SMALL_TYPE)
    pieces = files.open_range(settings.files_dir, found.sha256, small=True)
    return StreamingResponse(pieces, headers=headers, media_type=SMALL_TYPE)


async def _found(request: Request) -> FileCard:
    asking: Asking = request.app.state.asking
    return await attachments.find(await asking(request), _number(request.path_params["id"]))


def _number(text: str) -> int:
    if not _ID.fullmatch(text) or int(text) >= 1 << 63:
        raise NotFound(detail="not an id")
    return int(text)


def _headers(found: FileCard, *, small: bool = False) -> dict[str, str]:
    shown = small or found.media_type in SHOWN
    name = "" if small else f"; filename*=UTF-8''{quote(found.name, safe='')}"
    return {
        "content-disposition": f"{'inline' if shown else 'attachment'}{name}",
        "content-security-policy": VIEWER if found.media_type == "application/pdf" else SANDBOX,
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "accept-ranges": "none" if small else "bytes",
        "etag": f'"{found.sha256}-small"' if small else f'"{found.sha256}"',
        "cache-control": "private, no-cache",
        "vary": "Authorization, Cookie, Signature",
    }


def _part(request: Request, size: int, etag: str) -> tuple[int, int] | None:
    """From where up to and without where; None for a part that is not there. One part only (RFC 9110, 14.2)."""
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    if asked is None or asked[0] == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return 0, size
    first, last = asked[1], asked[2]
    if not first:
        return (max(0, size - int(last)), size) if int(last) and size else None
    end = min(int(last) + 1, size) if last else size
    return (int(first), end) if int(first) < end else None
