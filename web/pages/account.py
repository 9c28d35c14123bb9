"""A person's own settings: how pages look, their password, their browsers, their tokens."""

from starlette.responses import Response

from server.actions import accounts, preferences, signing_in
from server.actions.accounts import LABEL_CHARACTERS
from server.actions.preferences import Preferences
from server.errors import Conflict, DomainError, Forbidden, Invalid, TooLarge
from server.limits import DISPLAY_NAME_CHARACTERS, PASSWORD_MAX_CHARACTERS, SUMMARY_BYTES
from web.pages import showing
from web.pages.visits import Form, Visit, see
from web.session import cookie_name

SCOPES = ("read", "write", "follow")
REFUSALS = (Invalid, Conflict, Forbidden, TooLarge)


async def settings(visit: Visit) -> Response:
    """`GET /settings`."""
    return await showing.settings(visit)


async def save(visit: Visit) -> Response:
    """`POST /settings`: name, words about oneself, language, theme, invitations from partners."""
    viewer, form = visit.me, await visit.form()
    try:
        await preferences.save(viewer, _wanted(form))
    except REFUSALS as refused:
        return await showing.settings(visit, refused=refused, typed=_wanted(form.as_typed()))
    return see("/settings?done=saved")


def _wanted(form: Form) -> Preferences:
    return Preferences(
        display_name=form.line("display_name", DISPLAY_NAME_CHARACTERS),
        summary=form.text("summary", SUMMARY_BYTES),
        language=form.line("language"),
        theme=form.line("theme"),
        invitations=form.line("invitations"),
        job=form.line("job", DISPLAY_NAME_CHARACTERS),
        mails=form.line("mails") if form.has("mails") else None,
    )


async def password(visit: Visit) -> Response:
    """`POST /settings/password`: all other browsers and all tokens are out then (T3)."""
    viewer, form = visit.me, await visit.form()
    try:
        await signing_in.change_password(
            viewer,
            form.text("present", PASSWORD_MAX_CHARACTERS),
            form.text("wanted", PASSWORD_MAX_CHARACTERS),
            _cookie(visit),
        )
    except DomainError as refused:
        refused.field = "wanted" if refused.field == "password" else refused.field
        return await showing.settings(visit, refused=refused)
    return see("/settings?done=password")


async def end_session(visit: Visit) -> Response:
    """`POST /settings/sessions/{id}/end`."""
    await signing_in.revoke_session(visit.me, visit.id())
    return see("/settings?done=session")


async def new_token(visit: Visit) -> Response:
    """`POST /settings/tokens`: shown once, on this page and nowhere else."""
    viewer, form = visit.me, await visit.form()
    scopes = [scope for scope in SCOPES if form.has(scope)] or ["read"]
    try:
        token = await accounts.issue_token(viewer.account_id, scopes, form.line("label", LABEL_CHARACTERS))
    except REFUSALS as refused:
        return await showing.settings(visit, refused=refused, label=form.as_typed().line("label"))
    return await showing.settings(visit, token=token)


async def revoke_token(visit: Visit) -> Response:
    """`POST /settings/tokens/{id}/revoke`."""
    await accounts.revoke_token_by_id(visit.me, visit.id())
    return see("/settings?done=token")


def _cookie(visit: Visit) -> str:
    return visit.request.cookies.get(cookie_name(visit.settings), "")
