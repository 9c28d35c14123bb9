"""What people say about themselves, and how they like their pages."""

from dataclasses import dataclass

from server import database as db
from server.actions.mails import forget_waiting
from server.errors import Forbidden, Invalid, TooLarge
from server.events import Kind, record
from server.limits import DISPLAY_NAME_CHARACTERS, SUMMARY_BYTES
from server.refusals import N_
from server.settings import LANGUAGES
from server.text import one_line
from server.viewer import Employee, Resident

BAD_JOB = N_("Une fonction a au plus %(limit)s caractères, sur une ligne.")
BAD_NAME = N_("Un nom a 1 à %(limit)s caractères, sur une ligne.")
LONG_SUMMARY = N_("Ce que vous dites de vous dépasse %(limit)s octets.")
NOT_OFFERED = N_("Ce choix n’existe pas.")
WHOLE_SESSION_ONLY = N_("Un jeton n’a pas le droit de faire cela : passez par votre navigateur.")

THEMES = ("", "light", "dark")
INVITATIONS = ("accept", "ask")
MAILS = ("at_once", "daily", "never")


@dataclass(frozen=True, slots=True)
class Preferences:
    """`language`: '' is the browser's; `theme`: '' is the system's.

    `invitations`: from linked partners, taken at once (accept) or after a question (ask). `mails`: about what waits, at
    once, once a day (daily) or never; None leaves it as it is.
    """

    display_name: str
    summary: str = ""
    language: str = ""
    theme: str = ""
    invitations: str = "accept"
    job: str = ""
    mails: str | None = None


async def save(viewer: Resident, wanted: Preferences) -> None:
    """Keeps them all, or none. Raises Invalid naming the field, TooLarge, Forbidden for a token."""
    if viewer.scopes is not None:
        raise Forbidden(WHOLE_SESSION_ONLY)
    _check(wanted)
    async with db.transaction():
        await db.execute(
            "UPDATE account SET language = $1, theme = $2, invitations = $3, job = $4 WHERE id = $5",
            wanted.language,
            wanted.theme,
            wanted.invitations,
            wanted.job,
            viewer.account_id,
        )
        if wanted.mails is not None:
            await db.execute("UPDATE account SET mails = $1 WHERE id = $2", wanted.mails, viewer.account_id)
        if wanted.mails == "never":
            await forget_waiting(viewer.account_id)
        changed = await db.execute(
            "UPDATE actor SET display_name = $1, summary = $2 WHERE id = $3 AND (display_name <> $1 OR summary <> $2)",
            wanted.display_name,
            wanted.summary,
            viewer.actor_id,
        )
        if changed and isinstance(viewer, Employee):
            await record(Kind.PERSON_CHANGED, actor_id=viewer.actor_id)


def _check(wanted: Preferences) -> None:
    name = wanted.display_name
    if len(name) > DISPLAY_NAME_CHARACTERS or not one_line(name):
        raise Invalid(BAD_NAME, field="display_name", params={"limit": DISPLAY_NAME_CHARACTERS})
    if len(wanted.job) > DISPLAY_NAME_CHARACTERS or not one_line(wanted.job or "x"):
        raise Invalid(BAD_JOB, field="job", params={"limit": DISPLAY_NAME_CHARACTERS})
    if len(wanted.summary.encode()) > SUMMARY_BYTES:
        raise TooLarge(LONG_SUMMARY, field="summary", params={"limit": SUMMARY_BYTES})
    choices = (("language", ("", *LANGUAGES)), ("theme", THEMES), ("invitations", INVITATIONS))
    for field, offered in choices:
        if getattr(wanted, field) not in offered:
            raise Invalid(NOT_OFFERED, field=field)
    if wanted.mails is not None and wanted.mails not in MAILS:
        raise Invalid(NOT_OFFERED, field="mails")
