"""What is to be seen in files, as a form says it: in a field for each, or in one field with a line for each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from server.actions import attachments
from server.errors import Invalid
from server.limits import DESCRIPTION_BYTES
from server.refusals import N_
from web.pages.visits import MOST_FILES, Form

LINES = "descriptions"
LINES_CHARACTERS = 40_000
LEFT_OVER = N_("Il y a plus de lignes que de fichiers : écrivez une ligne par fichier, dans leur ordre.")


@dataclass(frozen=True, slots=True)
class Described:
    """As it was typed. `fields`: by the place of a file among those of the form, from 1; `lines`: for files that have
    no field, in their order.
    """

    fields: Mapping[int, str] = field(default_factory=dict)
    lines: str = ""

    def matched(self, files: Sequence[int]) -> tuple[dict[int, str], str]:
        """What is said of each of these files, by its id, and what is left over, line by line."""
        lines = self.lines.rstrip().split("\n") if self.lines.strip() else []
        found: dict[int, str] = {}
        for place, file_id in enumerate(files, 1):
            if place in self.fields:
                found[file_id] = self.fields[place].strip()
            elif lines:
                found[file_id] = lines.pop(0).strip()
        spare = [text for place, text in self.fields.items() if place > len(files) and text.strip()]
        return found, "\n".join((*spare, *lines))

    def of(self, files: Sequence[int]) -> dict[int, str]:
        """What is said of each of these files. Raises TooLarge or Invalid, naming the field."""
        found, left = self.matched(files)
        for place, file_id in enumerate(files, 1):
            attachments.bounded(found.get(file_id, ""), field=field_of(place))
        if left:
            raise Invalid(LEFT_OVER, field=LINES)
        return found


def field_of(place: int) -> str:
    """The name of the field for one file, by its place among those of the form, from 1."""
    return f"description-{place}"


def described(form: Form) -> Described:
    """Reads the fields. Raises Invalid for one that is too long."""
    places = [place for place in range(1, MOST_FILES + 1) if form.has(field_of(place))]
    fields = {place: form.text(field_of(place), DESCRIPTION_BYTES) for place in places}
    return Described(fields, form.text(LINES, LINES_CHARACTERS))
