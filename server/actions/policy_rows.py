"""How a policy becomes rows: the columns of a space, its partners, and who is let go. No question is asked here."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import msgspec

from server import database as db
from server.actions import mails
from server.errors import Invalid
from server.ids import new_id
from server.openness import AfterClose, Audience, Existence, Level, LinkState, PartnerView, Read, TakePart
from server.refusals import N_
from server.rights import OPEN_TO_ALL
from server.space_policy import DAY_MS, PartnerTerms, SpacePolicy, canonical_json, cell_of, opens_further_back
from server.sql import Clause, one_of

OURS = (Audience.STAFF_MEMBER, Audience.STAFF, Audience.GUEST_MEMBER, Audience.GUEST)
NO_LINK = N_("« %(host)s » n’est pas une instance liée : liez-la d’abord.")
NO_SPONSOR = N_("« %(who)s » n’est pas une personne de cette instance.")


@dataclass(slots=True)
class Written:
    """What a change did: who is no longer in the space, how many posts were opened with it, and how many were left out
    because their author's instance does not consent, by that peer.
    """

    at: int
    gone: list[tuple[int, int | None]] = field(default_factory=list)  # (actor, peer)
    opened: int = 0
    kept: dict[int, int] = field(default_factory=dict)


async def write(space_id: int, before: SpacePolicy, after: SpacePolicy, now: int, *, past: bool = False) -> Written:
    """Makes the space what the policy says, in the caller's transaction. Raises Invalid for an unknown partner."""
    await _columns(space_id, before, after, now, past)
    leaving = await _partners(space_id, before, after, now, past)
    done = Written(now, gone=[*leaving, *await _let_go(space_id, after)])
    silent = {who for who in OURS if not _answers(after, who)}
    if done.gone or any(_answers(before, who) for who in silent):
        await mails.narrowed(space_id, silent)
    done.kept = await _leave_out(space_id, await denying(space_id, before, after, past), before, now)
    if past:
        done.opened = await _open_past(space_id, after, done.kept)
    return done


def _answers(policy: SpacePolicy, who: Audience) -> bool:
    """Whether this audience reads and answers in such a space."""
    cell = cell_of(policy, who)
    return cell.read >= Read.LIMITED and cell.take_part >= TakePart.REPLY


async def _columns(space_id: int, before: SpacePolicy, after: SpacePolicy, now: int, past: bool) -> None:
    values: dict[str, object] = {
        "level": after.level.value,
        "listed": after.listed,
        "reach": after.reach.value,
        "staff_read": after.staff_read,
        "partner_view": after.partner_view.value,
        "history": after.history.value,
        "history_days": after.history_days,
        "narrowed": canonical_json({who.value: dict(less) for who, less in after.less if less}),
        "identity_outside": after.identity_outside.value,
        "first_posts_moderated": after.first_posts_moderated,
        "opens_at": after.opens_at,
        "closes_at": after.closes_at,
        "then_level": after.then_level.value if after.then_level else "",
        "review_days": after.review_days,
        "retention_days": after.retention_days,
        "after_close": after.after_close.value,
        "seats": after.seats,
        "charter": after.charter,
        "tone": after.tone,
        "frame": after.frame,
        "language": after.language,
        "objectives": canonical_json([dict(one) for one in after.objectives]),
        "indexing": after.indexing,
        "proofs": after.proofs,
    }
    if after.review_days != before.review_days:
        values["review_due_at"] = now + after.review_days * DAY_MS if after.review_days else None
    if after.variant in OPEN_TO_ALL and before.variant not in OPEN_TO_ALL:
        values["came_open_at"] = now
    if after.variant in OPEN_TO_ALL and (before.variant not in OPEN_TO_ALL or past):
        values["opened_at"] = 0 if past else now
    sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(values, 1))
    await db.execute(f"UPDATE space SET {sets} WHERE id = ${len(values) + 1}", *values.values(), space_id)
    if _freezes(before, after, now):
        await db.execute("UPDATE space SET closed_at = $1 WHERE id = $2 AND closed_at IS NULL", now, space_id)
    elif after.level is not Level.CLOSED or after.after_close is AfterClose.KEEP:  # whoever opens it again thaws it
        await db.execute("UPDATE space SET closed_at = NULL WHERE id = $1", space_id)


def _freezes(before: SpacePolicy, after: SpacePolicy, now: int) -> bool:
    """Whether a space is closed whose end has come: whoever closes it first after that moment, a timer or a file."""
    over = before.closes_at is not None and before.closes_at <= now
    return over and after.level is Level.CLOSED and before.after_close is not AfterClose.KEEP


async def _partners(
    space_id: int, before: SpacePolicy, after: SpacePolicy, now: int, past: bool
) -> list[tuple[int, int | None]]:
    """Writes the partners; those who are no longer named leave with their people, who are returned."""
    kept = {terms.host for terms in after.partners}
    leaving: list[tuple[int, int | None]] = []
    for terms in before.partners:
        if terms.host not in kept:
            there = "peer_id = (SELECT id FROM peer WHERE host = $2)"
            await db.execute(f"DELETE FROM space_partner WHERE space_id = $1 AND {there}", space_id, terms.host)
            rows = await db.fetch(
                f"DELETE FROM membership WHERE space_id = $1 AND {there} RETURNING actor_id, peer_id",
                space_id,
                terms.host,
            )
            leaving += [(row["actor_id"], row["peer_id"]) for row in rows]
    for terms in after.partners:
        was = before.partner(terms.host)
        if was == terms and not past:
            continue
        row = await _terms_row(terms)
        if was is None:
            added = {"id": new_id(), "space_id": space_id, "added_at": 0 if past else now, "named_at": now}
            await db.insert("space_partner", {**row, **added})
            continue
        if past:
            row["added_at"] = 0
        sets = ", ".join(f"{name} = ${number}" for number, name in enumerate(row, 1))
        where = f"WHERE space_id = ${len(row) + 1} AND peer_id = ${len(row) + 2}"
        await db.execute(f"UPDATE space_partner SET {sets} {where}", *row.values(), space_id, row["peer_id"])
    return leaving


async def _terms_row(terms: PartnerTerms) -> dict[str, object]:
    peer = await db.fetch_one(
        "SELECT q.id, l.state FROM peer q JOIN link l ON l.peer_id = q.id WHERE q.host = $1", terms.host
    )
    if peer is None or peer["state"] not in (LinkState.ACTIVE, LinkState.SUSPENDED):
        raise Invalid(NO_LINK, field="partners", params={"host": terms.host[:255]})
    sponsor = None
    if terms.sponsor:
        sponsor = await db.fetch_one(
            "SELECT id FROM actor WHERE host = '' AND name = $1 AND kind = 'person'", terms.sponsor
        )
        if sponsor is None:
            raise Invalid(NO_SPONSOR, field="partners", params={"who": terms.sponsor[:80]})
    return {
        "peer_id": peer["id"],
        "reach": terms.reach,
        "until_at": terms.until_at,
        "people_max": terms.people_max,
        "sponsor_id": sponsor["id"] if sponsor else None,
        "custody": terms.custody,
        "narrowed": msgspec.json.encode(dict(terms.less)).decode() if terms.less else "{}",
    }


async def _let_go(space_id: int, after: SpacePolicy) -> list[tuple[int, int | None]]:
    """Ends the memberships of those for whom the space is no longer there."""
    gone: list[tuple[int, int | None]] = []
    if cell_of(after, Audience.GUEST_MEMBER).existence is Existence.HIDDEN:
        gone += await _delete(space_id, "actor_id IN (SELECT actor_id FROM account WHERE office = 'guest')")
    named = "peer_id IN (SELECT n.peer_id FROM space_partner n WHERE n.space_id = $1)"
    if cell_of(after, Audience.FED_MEMBER).existence is Existence.HIDDEN:
        gone += await _delete(space_id, f"peer_id IS NOT NULL AND NOT {named}")
    if cell_of(after, Audience.PARTNER_MEMBER).existence is Existence.HIDDEN:
        gone += await _delete(space_id, "peer_id IS NOT NULL")
    return gone


async def _delete(space_id: int, where: str) -> list[tuple[int, int | None]]:
    rows = await db.fetch(
        f"DELETE FROM membership WHERE space_id = $1 AND {where} RETURNING actor_id, peer_id", space_id
    )
    await db.execute(
        "DELETE FROM notice WHERE space_id = $1"
        " AND actor_id NOT IN (SELECT actor_id FROM membership WHERE space_id = $1)"
        " AND actor_id IN (SELECT actor_id FROM account WHERE office = 'guest')",
        space_id,
    )
    return [(row["actor_id"], row["peer_id"]) for row in rows]


async def _open_past(space_id: int, after: SpacePolicy, kept: Iterable[int]) -> int:
    """What was written before is for those who read now, too, but what is kept of these peers: the one act that touches
    stamps.
    """
    query = Clause(
        "UPDATE post SET stamp = ?, stamp_blind = ?, kept_at = NULL, kept_history = '', kept_days = 0"
        " WHERE space_id = ? AND deleted_at IS NULL AND (stamp <> ? OR stamp_blind <> ? OR kept_at IS NOT NULL)"
        " AND (peer_id IS NULL OR NOT (",
        (after.variant.value, (blind := after.partner_view is PartnerView.BLIND), space_id, after.variant.value, blind),
    )
    return await db.execute(*query.join(one_of("peer_id", kept)).then("))").statement())


async def denying(space_id: int, before: SpacePolicy, after: SpacePolicy, past: bool) -> list[int]:
    """The peers that do not consent to what a change opens of what their people wrote, or may have written, there."""
    if not past and not opens_further_back(before, after):
        return []
    rows = await db.fetch(
        "SELECT q.id FROM peer q WHERE q.denies_past AND (EXISTS (SELECT 1 FROM post p WHERE p.space_id = $1"
        " AND p.peer_id = q.id) OR EXISTS (SELECT 1 FROM membership m WHERE m.space_id = $1 AND m.peer_id = q.id))"
        " ORDER BY q.id",
        space_id,
    )
    return [row["id"] for row in rows]


async def _leave_out(space_id: int, peers: Sequence[int], before: SpacePolicy, now: int) -> dict[int, int]:
    """Marks what people of these peers wrote, so that nobody reads it who could not until now; how much of it stands in
    the space, by peer. What was left out once stays as it was then.
    """
    if not peers:
        return {}
    history, days = before.looking_back
    mark = Clause("UPDATE post SET kept_at = ?, kept_history = ?, kept_days = ?", (now, history.value, days))
    where = Clause("space_id = ? AND deleted_at IS NULL AND", (space_id,)).join(one_of("peer_id", peers))
    await db.execute(*mark.then("WHERE kept_at IS NULL AND").join(where).statement())
    counts = Clause("SELECT peer_id, COUNT(*) AS n FROM post WHERE").join(where).then("GROUP BY peer_id")
    return dict.fromkeys(peers, 0) | {row["peer_id"]: row["n"] for row in await db.fetch(*counts.statement())}
