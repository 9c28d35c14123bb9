"""Sign in and out."""

from starlette.responses import Response

from server.actions import signing_in
from server.actions.signing_in import SignedIn
from server.errors import DomainError
from server.limits import PASSWORD_MAX_CHARACTERS
from server.queries import accounts
from server.viewer import Resident
from web.pages import showing
from web.pages.visits import Visit, inside, see
from web.session import cookie_name

NAME_CHARACTERS = 300
YEAR_SECONDS = 365 * 24 * 3600


async def form(visit: Visit) -> Response:
    """`GET /login`."""
    if isinstance(visit.viewer, Resident):
        return see(inside(visit.query("next")))
    return await showing.login(visit, onward=inside(visit.query("next")))


async def enter(visit: Visit) -> Response:
    """`POST /login`: by name and password."""
    sent = await visit.form()
    onward = inside(sent.as_typed().line("next"))
    name = sent.as_typed().line("name")
    try:
        signed_in = await signing_in.sign_in(
            sent.line("name", NAME_CHARACTERS),
            sent.text("password", PASSWORD_MAX_CHARACTERS),
            address_of(visit),
            _user_agent(visit),
        )
    except DomainError as refused:
        return await showing.login(visit, onward=onward, name=name, refused=refused)
    return _in(visit, signed_in, onward)


async def once(visit: Visit) -> Response:
    """`GET /login/once/{token}`: asks before it uses the link up, because mail programs look at links."""
    name = await accounts.link_opens_for(str(visit.request.path_params["token"]))
    return await showing.login_once(visit, name)


async def enter_once(visit: Visit) -> Response:
    """`POST /login/once/{token}`: comes in by the link, and then chooses a password."""
    token = str(visit.request.path_params["token"])
    try:
        signed_in = await signing_in.sign_in_with_link(token, address_of(visit), _user_agent(visit))
    except DomainError as refused:
        return await showing.login(visit, onward="/", refused=refused)
    return _in(visit, signed_in, "/settings#password")


async def leave(visit: Visit) -> Response:
    """`POST /logout`: the session ends, and everything that this browser kept of it."""
    raw = visit.request.cookies.get(cookie_name(visit.settings), "")
    if raw:
        await signing_in.sign_out(raw)
    response = see("/login")
    response.delete_cookie(cookie_name(visit.settings), path="/", secure=visit.settings.is_https, httponly=True)
    response.headers["clear-site-data"] = '"cache", "storage"'
    return response


def address_of(visit: Visit) -> str:
    """Where the browser is, as the server learnt it from the socket or a proxy it trusts (W3)."""
    return visit.request.client.host if visit.request.client else ""


def _user_agent(visit: Visit) -> str:
    return visit.request.headers.get("user-agent", "")[:300]


def _in(visit: Visit, signed_in: SignedIn, onward: str) -> Response:
    response = see(onward)
    response.set_cookie(
        cookie_name(visit.settings),
        signed_in.token,
        max_age=YEAR_SECONDS,
        path="/",
        secure=visit.settings.is_https,
        httponly=True,
        samesite="lax",
    )
    return response
