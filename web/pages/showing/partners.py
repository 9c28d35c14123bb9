"""What a partner sees here, and what both sides say that they hold of one another."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.responses import Response

from server.errors import DomainError
from server.queries.mirrors import Compared, Mirror
from server.viewer import Employee
from web.locale import Speech
from web.pages.showing.frame import refused_words, show, speech_for
from web.pages.visits import Visit


@dataclass(frozen=True, slots=True)
class Row:
    """A space of the comparison. Numbers as they are shown; '–' where a side names nothing."""

    name: str
    here: bool | None
    copies_here: str
    copies_there: str
    people_here: str
    people_there: str
    copies_differ: bool
    people_differ: bool
    missing: bool


async def partner(
    visit: Visit,
    found: Mirror,
    *,
    compared: Sequence[Compared] | None = None,
    at: int | None = None,
    refused: DomainError | None = None,
) -> Response:
    """The mirror, and beside it the comparison when one was asked for."""
    speaks, _ = await speech_for(visit.request, visit.viewer)
    rows = [_row(speaks, one) for one in compared] if compared is not None else None
    return await show(
        visit,
        "admin_partner.html",
        "links",
        status=200 if refused is None else 503,
        mirror=found,
        rows=rows,
        differing=sum(1 for row in rows or () if row.copies_differ or row.people_differ or row.missing),
        at=at,
        refused=await refused_words(visit, refused),
        may_compare=isinstance(visit.viewer, Employee) and visit.viewer.is_admin,
    )


def _row(speaks: Speech, one: Compared) -> Row:
    space, theirs, here = one.space, one.theirs, one.space.here if one.space else None
    copies = speaks.number(space.copies) if space else "–"
    people = speaks.number(space.theirs if here else space.ours) if space else "–"
    other = speaks.number(theirs["ours"] if here else theirs["theirs"]) if theirs else "–"
    return Row(
        name=space.name if space else one.uri,
        here=here,
        copies_here=copies,
        copies_there=speaks.number(theirs["copies"]) if theirs else "–",
        people_here=people,
        people_there=other,
        copies_differ="copies" in one.differs,
        people_differ="people" in one.differs,
        missing="space" in one.differs,
    )
