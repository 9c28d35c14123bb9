"""What an audience has in a space, as a row of words."""

from dataclasses import dataclass

from server.openness import Audience
from server.policy_words import VALUES, audience, spoken
from server.rights import Rights
from web.locale import Speech


@dataclass(frozen=True, slots=True)
class Row:
    """One audience of a space and what it has there."""

    who: str
    sees: str
    reads: str
    takes_part: str
    joins: str


def row_of(speaks: Speech, who: Audience, cell: Rights) -> Row:
    """A cell of the table in a language."""
    return Row(
        who=spoken(audience(who), speaks),
        sees=speaks.gettext(VALUES["existence"][cell.existence]),
        reads=speaks.gettext(VALUES["read"][cell.read]),
        takes_part=speaks.gettext(VALUES["take_part"][cell.take_part]),
        joins=speaks.gettext(VALUES["join"][cell.join]),
    )
