"""What is somebody's own: coming in, their settings, what waits for them."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from server.actions.preferences import Preferences
from server.attempts import TooManyAttempts
from server.errors import DomainError
from server.limits import PASSWORD_MAX_CHARACTERS, PASSWORD_MIN_CHARACTERS, SUMMARY_BYTES
from server.queries import accounts
from server.queries.accounts import OpenSession
from server.queries.notifications import Waiting
from server.refusals import N_
from server.settings import LANGUAGES
from web.errors import ANSWERS
from web.pages.showing.frame import refused_words, show
from web.pages.visits import Visit
from web.session import cookie_name

LANGUAGE_NAMES = {"fr": "Français", "en": "English"}
SCOPE_WORDS = {
    "read": N_("lire ce que vous lisez"),
    "write": N_("écrire en votre nom"),
    "follow": N_("suivre des personnes en votre nom"),
}
DONE = {
    "saved": N_("Vos réglages sont enregistrés."),
    "password": N_("Votre mot de passe est changé. Vos autres navigateurs et vos jetons ne servent plus."),
    "session": N_("Ce navigateur est déconnecté."),
    "token": N_("Ce jeton ne sert plus."),
}
FORMS = {"/settings/password": "password", "/settings/tokens": "token"}
BROWSERS = (("Edg", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))
SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
)


@dataclass(frozen=True, slots=True)
class Door:
    """A browser that is signed in, in words; '' for what its own words do not say."""

    session: OpenSession
    browser: str
    system: str


def status_for(refused: DomainError | None) -> int:
    """What a form that comes back is answered with: the same as elsewhere for the same reason."""
    if refused is None:
        return 200
    return next(ANSWERS[kind][0].value for kind in type(refused).__mro__ if kind in ANSWERS)


async def login(visit: Visit, *, onward: str, name: str = "", refused: DomainError | None = None) -> Response:
    """The sign-in sheet; what was typed as a name comes back with the reason."""
    words = await refused_words(visit, refused)
    status = status_for(refused)
    response = await show(visit, "login.html", "login", status=status, onward=onward, typed=name, refused=words)
    if isinstance(refused, TooManyAttempts):
        response.headers["retry-after"] = str(refused.retry_after_s)
    return response


async def login_once(visit: Visit, name: str | None) -> Response:
    """Asks before a one-time link is used up; `name` None: it opens nothing any more."""
    return await show(visit, "login_once.html", "login", whom=name, path=visit.request.url.path)


async def mail_stop(visit: Visit, *, done: bool = False) -> Response:
    """Asks before no more mail is sent, and says that it is so."""
    return await show(visit, "mail_stop.html", "", path=visit.request.url.path, done=done)


async def settings(
    visit: Visit,
    *,
    token: str = "",
    refused: DomainError | None = None,
    typed: Preferences | None = None,
    label: str = "",
) -> Response:
    """All that somebody may set for themselves. `token`: the new one, shown on this page only. `typed`, `label`: what
    was sent, so that nothing of it has to be typed again.
    """
    me = visit.me
    account = await accounts.own(me)
    which = FORMS.get(visit.request.url.path, "profile")
    saved = Preferences(
        account.display_name,
        account.summary,
        account.language,
        account.theme,
        account.invitations,
        account.job,
        account.mails,
    )
    raw = visit.request.cookies.get(cookie_name(visit.settings), "")
    return await show(
        visit,
        "settings.html",
        "settings",
        status=status_for(refused),
        account=account,
        profile=typed or saved,
        label=label,
        doors=[door(session) for session in await accounts.sessions(me, raw)],
        tokens=await accounts.tokens(me),
        token=token,
        refused=await refused_words(visit, refused),
        which=which,
        done=DONE.get(visit.query("done"), ""),
        languages=[(code, LANGUAGE_NAMES[code]) for code in LANGUAGES],
        scopes=SCOPE_WORDS,
        least=PASSWORD_MIN_CHARACTERS,
        most=PASSWORD_MAX_CHARACTERS,
        longest=SUMMARY_BYTES,
        writes=visit.settings.mail_server is not None and account.email,
    )


DECIDED = {
    "approved": N_("Vous avez validé : le changement est appliqué."),
    "planned": N_("Vous avez validé : le changement attend sa date."),
    "declined": N_("La demande est close. Rien n’a changé."),
}
"""What was decided of a space to which whoever decided cannot go back."""


async def notifications(visit: Visit, found: Sequence[Waiting], *, more: bool) -> Response:
    """What waits for somebody, each in a sentence, newest first."""
    older = f"/notifications?before={found[-1].id}" if more and found else ""
    done = DECIDED.get(visit.query("done"), "")
    return await show(visit, "notifications.html", "notifications", found=found, older=older, done=done)


def door(session: OpenSession) -> Door:
    """Which browser on which system a session is, as far as the browser said so."""
    said = session.user_agent
    browser = next((name for mark, name in BROWSERS if mark in said), "")
    system = next((name for mark, name in SYSTEMS if mark in said), "")
    return Door(session, browser, system)
