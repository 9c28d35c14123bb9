"""Coming into a space of another instance that one knows by its address alone.

What is hidden from us there and what never was are one answer: the host is asked the same, whatever is known here.
"""

import re
from typing import Protocol

from starlette.responses import Response

from server.actions import membership
from server.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from server.openness import MemberState
from server.queries import spaces
from server.queries.elsewhere import ShownSpace
from server.refusals import N_
from server.viewer import Employee
from web.pages import showing
from web.pages.visits import Visit, see

NOT_AN_ADDRESS = N_(
    "« %(typed)s » n’est pas l’adresse d’un espace, comme « https://rse.partenaire.example/spaces/projet » "
    "ou « !projet@rse.partenaire.example »."
)
SLUG, HOST = r"(?P<slug>[A-Za-z0-9_.-]{1,64})", r"(?P<host>[A-Za-z0-9.-]{1,190}(?::\d{1,5})?)"
AS_A_PAGE = re.compile(rf"(?:https?://)?{HOST}/spaces/{SLUG}(?:[/?#].*)?", re.IGNORECASE)
AS_A_NAME = re.compile(rf"(?P<mark>[!@]?){SLUG}@{HOST}")
LONGEST = 500


class Elsewhere(Protocol):
    """What a page needs of the host of a space, and only the federation can ask it. Raises NotFound, Unavailable."""

    async def look(self, viewer: Employee, slug: str, host: str) -> ShownSpace: ...

    async def ask(self, viewer: Employee, slug: str, host: str) -> MemberState: ...


def address_of(text: str) -> tuple[str, str] | None:
    """The slug and the host of what may be the address of a space: a page's, or a name with its host."""
    found = AS_A_PAGE.fullmatch(text) or AS_A_NAME.fullmatch(text)
    return (found["slug"], found["host"].lower()) if found else None


def names_a_space(text: str) -> bool:
    """Whether it is the address of a space and of nothing else; `name@host` may be a person's."""
    name = AS_A_NAME.fullmatch(text)
    return AS_A_PAGE.fullmatch(text) is not None or (name is not None and name["mark"] == "!")


async def look(visit: Visit) -> Response:
    """`/elsewhere?address=`: what its host shows of it; without an address, the field and what was asked so far.

    `?asked=slug@host`: what became of a request that was just sent.
    """
    viewer, typed = visit.colleague, " ".join(visit.query("address").split())
    if not typed:
        return await _asked(visit, address_of(visit.query("asked")))
    try:
        slug, host = _read(typed)
        inside = await _ours(visit, slug, host)
        found = None if inside else await _elsewhere(visit).look(viewer, slug, host)
    except (Invalid, NotFound, Unavailable) as refused:
        return await showing.elsewhere(visit, typed, refused=refused)
    return see(inside) if found is None else await showing.elsewhere(visit, typed, found=found)


async def _asked(visit: Visit, address: tuple[str, str] | None) -> Response:
    asked = "@".join(address) if address else ""
    try:
        inside = await _ours(visit, *address) if address else ""
    except NotFound:
        inside, asked = "", ""
    return see(inside) if inside else await showing.elsewhere(visit, asked=asked)


async def ask(visit: Visit) -> Response:
    """`POST /elsewhere`: asks the host of the space to be let in."""
    viewer, form = visit.colleague, await visit.form()
    typed = form.line("address", LONGEST)
    try:
        slug, host = _read(typed)
        inside = await _ours(visit, slug, host)
        if not inside and await _elsewhere(visit).ask(viewer, slug, host) is MemberState.MEMBER:
            inside = f"/spaces/{slug}@{host}"
    except (Invalid, NotFound, Unavailable, Conflict, Forbidden) as refused:
        return await showing.elsewhere(visit, typed, refused=refused)
    return see(inside or f"/elsewhere?asked={slug}@{host}")


async def take_back(visit: Visit) -> Response:
    """`POST /elsewhere/{id}/leave`: takes one's request back."""
    await membership.leave(visit.colleague, visit.id())
    return see("/elsewhere")


def _read(typed: str) -> tuple[str, str]:
    address = address_of(typed)
    if address is None:
        raise Invalid(NOT_AN_ADDRESS, field="address", params={"typed": typed[:80]})
    return address


async def _ours(visit: Visit, slug: str, host: str) -> str:
    """Our page of a space that the visitor sees already; '' for one to ask for elsewhere. Raises NotFound."""
    here = host == visit.here.host
    try:
        return f"/spaces/{(await spaces.find(visit.viewer, slug if here else f'{slug}@{host}')).slug}"
    except NotFound:
        if here:
            raise
        return ""


def _elsewhere(visit: Visit) -> Elsewhere:
    found: Elsewhere = visit.request.app.state.elsewhere
    return found
