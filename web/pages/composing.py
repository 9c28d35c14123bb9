"""What a composer sends: where it goes, what it carries, and the same message only once."""

from dataclasses import dataclass, field
from secrets import token_urlsafe

from starlette.datastructures import UploadFile

from server.actions import attachments, polls
from server.actions.poll_rows import NewPoll
from server.actions.posts import TOO_MANY_FILES, Draft
from server.errors import Invalid, NotFound
from server.limits import ATTACHMENTS, POLL_OPTION_CHARACTERS, POLL_OPTIONS, SOURCE_BYTES, UPLOAD_BYTES
from server.openness import Visibility
from server.queries import spaces
from server.refusals import N_
from web.pages import describing
from web.pages.describing import Described
from web.pages.visits import Form, Visit

NO_SUCH_PLACE = N_("Choisissez où publier.")
KEY_CHARACTERS = 100
FIELDS = 4
"""Answers that a poll has room for on the page."""


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody has typed, as it came, so that a refusal loses none of it.

    `where`: a space's slug, or `@` and a visibility. `kept`: files that are here already. `said`: what is to be seen in
    them and in those that come with the form.
    """

    text: str = ""
    where: str = ""
    answers: int | None = None
    kept: tuple[int, ...] = ()
    key: str = ""
    poll: "Asked" = field(default_factory=lambda: Asked())
    said: Described = field(default_factory=Described)


@dataclass(frozen=True, slots=True)
class Asked:
    """A poll as it was typed. `ends`: seconds as text, '' for none."""

    options: tuple[str, ...] = ()
    multiple: bool = False
    ends: str = "86400"

    @property
    def given(self) -> bool:
        return any(self.options)

    @property
    def fields(self) -> tuple[str, ...]:
        """What stands in the fields: some are always left to fill in."""
        return self.options + ("",) * (FIELDS - len(self.options))

    def poll(self) -> NewPoll | None:
        """Raises Invalid."""
        if not self.given:
            return None
        return polls.poll_of(
            self.options, self.multiple, int(self.ends) if self.ends.isascii() and self.ends.isdigit() else None
        )


def new_key() -> str:
    """What makes a form that is sent twice one message."""
    return token_urlsafe(16)


def written(form: Form) -> Written:
    """Reads the fields of a composer. Raises Invalid or NotFound."""
    return Written(
        text=form.text("text", SOURCE_BYTES),
        where=form.line("where", 200),
        answers=form.id("answers"),
        kept=tuple(form.ids("file")),
        key=form.line("key", KEY_CHARACTERS),
        poll=Asked(
            tuple(form.lines("option", POLL_OPTIONS + 1, POLL_OPTION_CHARACTERS)),
            form.has("multiple"),
            form.line("ends", 10),
        ),
        said=describing.described(form),
    )


async def bring(visit: Visit, uploads: list[UploadFile]) -> tuple[int, ...]:
    """Keeps the files that came with a form; their ids. Raises Invalid, TooLarge or Unavailable."""
    if len(uploads) > ATTACHMENTS:
        raise Invalid(TOO_MANY_FILES, field="files", params={"limit": ATTACHMENTS})
    folder, found = visit.settings.files_dir, []
    for upload in uploads:
        found.append(await attachments.take_in(visit.me, folder, upload.file, UPLOAD_BYTES, upload.filename or ""))
    return tuple(found)


async def draft(visit: Visit, wrote: Written) -> Draft:
    """What is to be published. Raises Invalid for a place that is none."""
    space_id, visibility = None, Visibility.COLLEAGUES
    if wrote.answers is None:
        space_id, visibility = await _place(visit, wrote.where)
    return Draft(
        wrote.text,
        space_id,
        visibility,
        reply_to_id=wrote.answers,
        file_ids=wrote.kept,
        client_key=wrote.key or None,
        poll=wrote.poll.poll() if wrote.answers is None else None,
        described=wrote.said.of(wrote.kept),
    )


async def _place(visit: Visit, where: str) -> tuple[int | None, Visibility]:
    if where.startswith("@"):
        if where[1:] not in list(Visibility):
            raise Invalid(NO_SUCH_PLACE, field="where")
        return None, Visibility(where[1:])
    try:
        return (await spaces.find(visit.viewer, where)).id, Visibility.COLLEAGUES
    except NotFound:
        raise Invalid(NO_SUCH_PLACE, field="where") from None
