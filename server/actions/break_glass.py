"""An administrator reads a space that is not theirs to read: a reason, a second person, an end, and its members told.

There is no other way: without such a grant an administrator is to a space what any colleague is. The grant is a row
that the policy asks for (Audience.GLASS); it gives reading and nothing else, and ends by itself.
"""

from functools import partial
from textwrap import shorten
from typing import Any

from server import database as db
from server import live
from server.actions.audit import note
from server.actions.notices import notify
from server.clock import now_ms
from server.errors import Conflict, Forbidden, Invalid, NotFound
from server.ids import new_id
from server.openness import Office, Role
from server.refusals import N_
from server.viewer import Employee

HOUR_MS = 3_600_000
LONGEST_HOURS = 24
REASON_CHARACTERS = 1000
NEEDS_REASON = N_("Dites pourquoi, en une phrase : les membres de l’espace la liront.")
LONG_REASON = N_("Cette raison est trop longue : %(limit)s caractères au plus.")
ADMINS_ONLY = N_("Seuls les administrateurs demandent une lecture exceptionnelle.")
SECOND_PERSON = N_(
    "Une autre personne doit l’accorder : un·e responsable de l’espace, un autre administrateur, un auditeur."
)
OVER = N_("Cette demande a déjà été traitée.")
WORDS_CHARACTERS = 500
"""What a notice holds; the page of the space shows all of a reason."""
WAITED_MS = 7 * 24 * HOUR_MS
"""How long a request may wait: an old reason is no reason."""


async def ask(viewer: Employee, slug: str, reason: str) -> int:
    """An administrator asks to read a space; returns the request's id, the same for the same open request.

    Raises Forbidden, NotFound, or Invalid without a reason.
    """
    if not viewer.is_admin or viewer.scopes is not None:
        raise Forbidden(ADMINS_ONLY)
    said = " ".join(reason.split())
    if len(said) < 10:
        raise Invalid(NEEDS_REASON, field="reason")
    if len(said) > REASON_CHARACTERS:
        raise Invalid(LONG_REASON, field="reason", params={"limit": REASON_CHARACTERS})
    async with db.transaction():
        space = await db.fetch_one("SELECT id, slug FROM space WHERE slug = $1 AND peer_id IS NULL", slug)
        if space is None:
            raise NotFound(detail="no such space")
        open_one = await db.fetch_one(
            "SELECT id FROM break_glass WHERE space_id = $1 AND asked_by_id = $2 AND ended_at IS NULL"
            " AND (until_at IS NULL OR until_at > $3) AND asked_at > $4",
            space["id"],
            viewer.actor_id,
            now_ms(),
            now_ms() - WAITED_MS,
        )
        if open_one is not None:
            return int(open_one["id"])
        glass_id = new_id()
        row = {"id": glass_id, "space_id": space["id"], "asked_by_id": viewer.actor_id, "reason": said}
        await db.insert("break_glass", {**row, "asked_at": now_ms()})
        await note(viewer, "ask_glass", subject=slug, space_id=space["id"], reason=said)
        await notify(await _who_grants(space["id"]), "glass_asked", key=f"glass:{glass_id}:asked", by=viewer.actor_id)
        return glass_id


async def grant(viewer: Employee, glass_id: int, hours: int = 1) -> None:
    """A second person grants it, for at most a day; the members of the space hear of it in the same commit."""
    async with db.transaction():
        row = await _asked(viewer, glass_id)
        if row["asked_by_id"] == viewer.actor_id:
            raise Forbidden(SECOND_PERSON)
        over = row["approved_at"] is not None or row["ended_at"] is not None
        if over or row["asked_at"] < now_ms() - WAITED_MS:
            raise Conflict(OVER)
        until = now_ms() + max(1, min(hours, LONGEST_HOURS)) * HOUR_MS
        await db.execute(
            "UPDATE break_glass SET approved_by_id = $1, approved_at = $2, until_at = $3 WHERE id = $4",
            viewer.actor_id,
            now_ms(),
            until,
            glass_id,
        )
        members = await db.fetch(
            "SELECT actor_id FROM membership WHERE space_id = $1 AND state = 'member' AND peer_id IS NULL",
            row["space_id"],
        )
        whom = [member["actor_id"] for member in members]
        key = f"glass:{glass_id}"
        await notify(whom, "glass", key=key, by=row["asked_by_id"], space_id=row["space_id"])
        await db.execute(
            "UPDATE notice SET words = $1 WHERE key = $2",
            shorten(row["reason"], WORDS_CHARACTERS),
            key,
        )
        await note(
            viewer, "grant_glass", subject=row["slug"], space_id=row["space_id"], reason=row["reason"], until=until
        )
        _look_again(row["asked_by_id"])


async def end(viewer: Employee, glass_id: int) -> None:
    """It is over, or is not granted: by whoever asked or could grant it. Doing it again changes nothing."""
    async with db.transaction():
        row = await _asked(viewer, glass_id)
        await db.execute("UPDATE break_glass SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL", now_ms(), glass_id)
        await note(viewer, "end_glass", subject=row["slug"], space_id=row["space_id"])
        _look_again(row["asked_by_id"])


async def _asked(viewer: Employee, glass_id: int) -> dict[str, Any]:
    """A request that this person may look at. Raises NotFound to everybody else."""
    row = await db.fetch_one(
        "SELECT b.*, s.slug FROM break_glass b JOIN space s ON s.id = b.space_id WHERE b.id = $1", glass_id
    )
    if row is None or not (
        row["asked_by_id"] == viewer.actor_id or viewer.actor_id in await _who_grants(row["space_id"])
    ):
        raise NotFound(detail="no such request")
    return row


async def _who_grants(space_id: int) -> list[int]:
    rows = await db.fetch(
        "SELECT m.actor_id FROM membership m WHERE m.space_id = $1 AND m.role = $2 AND m.state = 'member'"
        " AND m.peer_id IS NULL"
        " UNION SELECT c.actor_id FROM account c WHERE c.office IN ($3, $4) AND c.suspended_at IS NULL",
        space_id,
        Role.OWNER.value,
        Office.ADMIN.value,
        Office.AUDITOR.value,
    )
    return [row["actor_id"] for row in rows]


def _look_again(actor_id: int) -> None:
    db.after_commit(partial(live.publish, live.Fact("access", actor_id=actor_id)))
