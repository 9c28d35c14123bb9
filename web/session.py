"""Cookie or token to viewer. A token that does not hold is refused, never taken for a visitor."""

from urllib.parse import urlsplit

from starlette.requests import Request

from server.errors import Forbidden, Unauthenticated
from server.queries.accounts import find_token, viewer_of_session
from server.refusals import N_
from server.settings import Settings
from server.viewer import LOOKS_AS, Anonymous, Viewer

TOKEN_UNKNOWN = N_("Ce jeton n’est pas valable, ou ne l’est plus.")
FROM_ELSEWHERE = N_("Cette demande vient d’une autre page que les nôtres.")
MOST_TOKEN_BYTES = 500
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def cookie_name(settings: Settings) -> str:
    """With https no other host can set it (T12); with http each port of a machine has its own."""
    return "__Host-parvis" if settings.is_https else f"parvis_{urlsplit(settings.base_url).port or 80}"


async def viewer_of(request: Request) -> Viewer:
    """Who sends this request: by their token, else by their session, else a visitor.

    Raises Unauthenticated for a token that is unknown, revoked or whose person is suspended (T8).
    """
    authorization = request.headers.get("authorization")
    if authorization is not None:
        return await _of_token(authorization)
    return await viewer_of_cookie(request)


async def caller_of(request: Request, *, sessions: bool) -> Viewer:
    """Who calls the client API: by their token; where `sessions` count, by their session too.

    A browser sends its cookie along with what other pages make it do, so a session changes nothing unless the
    browser says that one of our own pages asked. Raises Unauthenticated or Forbidden.
    """
    if "authorization" in request.headers:
        return await viewer_of(request)
    viewer = await viewer_of_cookie(request) if sessions else Anonymous()
    ours = request.headers.get("origin") == request.app.state.settings.base_url
    if request.method not in SAFE and not isinstance(viewer, Anonymous) and not ours:
        raise Forbidden(FROM_ELSEWHERE)
    return viewer


async def viewer_of_cookie(request: Request) -> Viewer:
    """Who is signed in in this browser, or a visitor; for a page that is looked at as somebody else, they."""
    looking: Viewer | None = request.scope.get(LOOKS_AS)
    if looking is not None:
        return looking
    raw = request.cookies.get(cookie_name(request.app.state.settings))
    if not raw or len(raw) > MOST_TOKEN_BYTES:
        return Anonymous()
    return await viewer_of_session(raw)


async def _of_token(authorization: str) -> Viewer:
    scheme, _, raw = authorization.partition(" ")
    if scheme.lower() != "bearer" or not 0 < len(raw) <= MOST_TOKEN_BYTES:
        raise Unauthenticated(TOKEN_UNKNOWN)
    viewer = await find_token(raw.strip())
    if viewer is None:
        raise Unauthenticated(TOKEN_UNKNOWN)
    return viewer
