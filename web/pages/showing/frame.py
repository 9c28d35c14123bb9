"""The frame around every page: who is signed in, in which language and theme, what waits, where one can go."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from server.errors import DomainError
from server.openness import Office
from server.queries import accounts, directory, notifications, spaces
from server.queries.accounts import OwnAccount
from server.queries.spaces import SeenSpace
from server.refusals import N_
from server.settings import Settings
from server.viewer import Guest, Resident, Viewer
from web import errors, render
from web.locale import Speech, choose
from web.pages.visits import Visit
from web.session import viewer_of_cookie

MOST_SPACES = 12


@dataclass(frozen=True, slots=True)
class MenuItem:
    """A way in the menu; `phone`: also at the foot of a phone."""

    name: str
    address: str
    icon: str
    words: str
    phone: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """What the layout shows, whatever the page."""

    instance: str
    host: str
    current: str
    me: OwnAccount | None = None
    theme: str = ""
    unread: int = 0
    menu: Sequence[MenuItem] = ()
    spaces: Sequence[SeenSpace] = ()
    invitations: Sequence[SeenSpace] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a form came back: the field and the sentence, in the person's language."""

    field: str
    sentence: str


ITEMS = (
    ("home", "/", "home", N_("Fil"), True),
    ("spaces", "/spaces", "spaces", N_("Espaces"), True),
    ("people", "/people", "people", N_("Personnes"), True),
    ("notifications", "/notifications", "bell", N_("Notifications"), True),
    ("settings", "/settings", "gear", N_("Réglages"), False),
)
ADMIN_ITEMS = (
    ("links", "/admin/links", "link", N_("Instances liées"), False),
    ("admin", "/admin", "gear", N_("Administration"), False),
)
AUDITOR_ITEMS = (("admin", "/admin/audit", "gear", N_("Contrôle"), False),)


async def speech_for(request: Request, viewer: Viewer) -> tuple[Speech, OwnAccount | None]:
    """The language that this caller reads, and their account when they have one."""
    settings: Settings = request.app.state.settings
    me = await accounts.own(viewer) if isinstance(viewer, Resident) else None
    accepted = request.headers.get("accept-language", "")
    return choose(me.language if me else "", accepted, settings.default_language), me


async def show(visit: Visit, name: str, current: str, *, status: int = 200, **facts: Any) -> Response:
    """A whole page in its frame."""
    speaks, me = await speech_for(visit.request, visit.viewer)
    frame = await _frame(visit, speaks, me, current)
    return render.page(visit.request, speaks, name, status, frame=frame, **facts)


async def piece(visit: Visit, name: str, **facts: Any) -> Response:
    """A piece of a page, for a script of ours."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return render.page(visit.request, speaks, name, **facts)


async def refused_words(visit: Visit, error: DomainError | None) -> Refused | None:
    """What a form says when it comes back."""
    if error is None:
        return None
    speaks, _ = await speech_for(visit.request, visit.viewer)
    return Refused(error.field, sentence_of(speaks, error))


def sentence_of(speaks: Speech, error: DomainError) -> str:
    """An error's sentence in a language."""
    if error.said is not None:
        return error.said(speaks)
    sentence = speaks.gettext(error.sentence)
    sentence = sentence % error.params if error.params else sentence
    return f"{sentence} {error.enough(speaks)}" if error.enough else sentence


async def error_page(request: Request, status: HTTPStatus, sentence: str, number: str) -> Response:
    """A refusal or a fault, in the reader's frame; without it when the database cannot say who reads."""
    try:
        visit = Visit(request, await viewer_of_cookie(request))
        return await show(
            visit, "error.html", "", status=status.value, code=status.value, sentence=sentence, number=number
        )
    except DomainError:
        return await errors.plain_page(request, status, sentence, number)


async def translated(request: Request, sentence: str) -> str:
    """A sentence in the language of whoever asks."""
    try:
        speaks, _ = await speech_for(request, await viewer_of_cookie(request))
    except DomainError:
        return sentence
    return speaks.gettext(sentence)


def _items(viewer: Resident) -> tuple[tuple[str, str, str, str, bool], ...]:
    """Where somebody can go: guests have no list of people, administrators have more."""
    if isinstance(viewer, Guest):
        return tuple(item for item in ITEMS if item[0] != "people")
    auditor = viewer.office is Office.AUDITOR
    return ITEMS + (ADMIN_ITEMS if viewer.is_admin else AUDITOR_ITEMS if auditor else ())


async def spoken_to(request: Request, said: Callable[[Speech], str]) -> str:
    """What knows how to say itself, in the language of whoever asks."""
    speaks, _ = await speech_for(request, await viewer_of_cookie(request))
    return said(speaks)


async def _frame(visit: Visit, speaks: Speech, me: OwnAccount | None, current: str) -> Frame:
    instance = visit.settings.name
    if me is None or not isinstance(visit.viewer, Resident):
        return Frame(instance, visit.here.host, current)
    mine = await spaces.known(visit.viewer, mine=True, limit=MOST_SPACES)
    invited = [row.space for row in await directory.invitations(visit.viewer)]
    items = _items(visit.viewer)
    menu = [MenuItem(name, address, icon, speaks.gettext(words), phone) for name, address, icon, words, phone in items]
    return Frame(
        instance=instance,
        host=visit.here.host,
        current=current,
        me=me,
        theme=me.theme,
        unread=await notifications.unread(visit.viewer),
        menu=menu,
        spaces=mine,
        invitations=invited,
    )
