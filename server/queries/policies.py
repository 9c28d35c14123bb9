"""How open a space is, as one value; what this instance allows; what changed it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from server import database as db
from server.errors import Forbidden
from server.openness import (
    AfterClose,
    History,
    Identity,
    Level,
    Office,
    PartnerView,
    Reach,
)
from server.policy import Act, Kept
from server.queries import spaces
from server.queries.spaces import less_by_audience, less_of
from server.refusals import N_
from server.space_policy import Guardrails, PartnerTerms, SpacePolicy, from_json
from server.viewer import Employee, Operator, Viewer

COLUMNS = """s.level, s.listed, s.reach, s.staff_read, s.partner_view, s.history, s.history_days, s.narrowed,
 s.identity_outside, s.first_posts_moderated, s.opens_at, s.closes_at, s.then_level, s.review_days, s.retention_days,
 s.after_close, s.seats, s.charter, s.tone, s.frame, s.language, s.objectives, s.indexing, s.proofs"""


MOST_VERSIONS = 1_000
"""Of a policy, read at once."""
HISTORY_INSIDE = N_("L’historique de l’ouverture se lit entre collègues membres de l’espace.")


async def current(space_id: int) -> SpacePolicy:
    """The policy of a space, whoever may know it: for verbs and plans that have asked, not a door."""
    row = await db.fetch_one(f"SELECT {COLUMNS} FROM space s WHERE s.id = $1", space_id)
    assert row is not None
    return of_row(row, await _partners(space_id))


def of_row(row: dict[str, Any], partners: tuple[PartnerTerms, ...]) -> SpacePolicy:
    """From the columns of `COLUMNS`."""
    return SpacePolicy(
        level=Level(row["level"]),
        listed=bool(row["listed"]),
        reach=Reach(row["reach"]),
        staff_read=bool(row["staff_read"]),
        partners=partners,
        partner_view=PartnerView(row["partner_view"]),
        history=History(row["history"]),
        history_days=row["history_days"],
        less=tuple(sorted(less_by_audience(row["narrowed"]))),
        identity_outside=Identity(row["identity_outside"]),
        first_posts_moderated=row["first_posts_moderated"],
        opens_at=row["opens_at"],
        closes_at=row["closes_at"],
        then_level=Level(row["then_level"]) if row["then_level"] else None,
        review_days=row["review_days"],
        retention_days=row["retention_days"],
        after_close=AfterClose(row["after_close"]),
        seats=row["seats"],
        charter=row["charter"],
        tone=row["tone"],
        frame=row["frame"],
        language=row["language"],
        objectives=tuple(msgspec.json.decode(row["objectives"])),
        indexing=bool(row["indexing"]),
        proofs=bool(row["proofs"]),
    )


async def _partners(space_id: int) -> tuple[PartnerTerms, ...]:
    rows = await db.fetch(
        """SELECT q.host, n.reach, n.until_at, n.people_max, n.custody, n.narrowed, a.name AS sponsor
           FROM space_partner n JOIN peer q ON q.id = n.peer_id LEFT JOIN actor a ON a.id = n.sponsor_id
           WHERE n.space_id = $1 ORDER BY q.host""",
        space_id,
    )
    return tuple(
        PartnerTerms(
            host=row["host"],
            reach=row["reach"],
            until_at=row["until_at"],
            people_max=row["people_max"],
            sponsor=row["sponsor"] or "",
            custody=row["custody"],
            less=less_of(row["narrowed"]),
        )
        for row in rows
    )


async def review_due(space_id: int) -> int | None:
    """When the openness of a space is to be looked at again: for those who may change it, not a door."""
    row = await db.fetch_one("SELECT review_due_at FROM space WHERE id = $1", space_id)
    return row["review_due_at"] if row else None


async def guardrails() -> Guardrails:
    """What this instance sets as limits for all spaces."""
    told = {
        row["name"]: msgspec.json.decode(row["value"]) for row in await db.fetch("SELECT name, value FROM guardrail")
    }
    for name in ("max_level", "require_until_from", "require_second_person_from"):
        if told.get(name):
            told[name] = Level(told[name])
    return Guardrails(**{name: value for name, value in told.items() if value not in (None, "")})


# --- what changed it ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Version:
    """One change of a space's policy: who, when, by which door, before and after, why, approved by whom."""

    number: int
    epoch: int
    at: int
    by: str  # a person's name, or the operator's
    door: str
    source: str
    reason: str
    approver: str
    before: SpacePolicy
    after: SpacePolicy
    effects: dict[str, Any]


async def versions(viewer: Viewer, space: spaces.SeenSpace, limit: int = 50, before: int = 0) -> list[Version]:
    """The changes of a space's policy, newest first; `before`: the epoch of the last one of the page before.

    For its members, and for those who look after the instance. Raises Forbidden.
    """
    if not may_look_back(viewer, space):
        raise Forbidden(HISTORY_INSIDE, detail="the history of a policy is its members' own")
    return await changes(space.id, limit, before)


async def changes(space_id: int, limit: int, before: int = 0) -> list[Version]:
    """The same for whoever was let in by another question: no door."""
    rows = await db.fetch(
        """SELECT v.*, a.display_name, a.name AS a_name, b.display_name AS b_display, b.name AS b_name
           FROM policy_version v LEFT JOIN actor a ON a.id = v.actor_id LEFT JOIN actor b ON b.id = v.approver_id
           WHERE v.space_id = $1 AND ($2 = 0 OR v.epoch < $2) ORDER BY v.epoch DESC LIMIT $3""",
        space_id,
        before,
        limit,
    )
    return [
        Version(
            number=row["number"],
            epoch=row["epoch"],
            at=row["at"],
            by=row["display_name"] or row["a_name"] or row["operator"],
            door=row["door"],
            source=row["source"],
            reason=row["reason"],
            approver=row["b_display"] or row["b_name"] or "",
            before=from_json(msgspec.json.decode(row["before"])),
            after=from_json(msgspec.json.decode(row["after"])),
            effects=msgspec.json.decode(row["effects"]),
        )
        for row in rows
    ]


def opened_past(effects: Mapping[str, Any]) -> bool:
    """Whether a change, by its effects, opened what had been written before it, too."""
    return bool(effects.get("past") or effects.get("opened_items"))


@dataclass(frozen=True, slots=True)
class WrittenUnder:
    """The version and the policy under which something stands, and whether it was left out of the past opened since."""

    epoch: int
    policy: SpacePolicy
    kept: Kept | None = None


async def written_under(space_id: int, at: int, peer_id: int | None = None) -> WrittenUnder | None:
    """The version, and the policy, under which something of a past moment (ms) stands in a space of ours: that of then,
    or the one that opened its past since, with words of this peer's people. None: the one that holds now.
    """
    rows = await db.fetch(
        "SELECT epoch, before, after, effects FROM policy_version WHERE space_id = $1 AND epoch >= COALESCE((SELECT"
        " MAX(epoch) FROM policy_version WHERE space_id = $1 AND at <= $2), 0) ORDER BY epoch LIMIT $3",
        space_id,
        at,
        MOST_VERSIONS,
    )
    if len(rows) < 2:
        return None
    stands, kept = rows[0], None
    for row in rows[1:]:
        effects = msgspec.json.decode(row["effects"])
        if peer_id in left_out_of(effects):
            kept = kept or _kept(effects, from_json(msgspec.json.decode(row["before"])))
        elif opened_past(effects):
            stands, kept = row, None
    return WrittenUnder(stands["epoch"], from_json(msgspec.json.decode(stands["after"])), kept)


def left_out_of(effects: Mapping[str, Any]) -> Sequence[int]:
    """The peers whose people's words an opening of the past left out."""
    found: Sequence[int] = effects.get("left_out", {}).get("of", ())
    return found


def _kept(effects: Mapping[str, Any], before: SpacePolicy) -> Kept:
    return Kept(effects["left_out"]["at"], *before.looking_back)


def may_look_back(viewer: Viewer, space: spaces.SeenSpace) -> bool:
    """Members who are colleagues, owners, administrators and auditors."""
    if isinstance(viewer, Operator):
        return True
    if not isinstance(viewer, Employee) or not space.hosted_here:
        return False
    overseer = viewer.scopes is None and viewer.office in (Office.ADMIN, Office.AUDITOR)
    return overseer or space.standing.role is not None or bool(space.may(viewer, Act.CHANGE_POLICY))
