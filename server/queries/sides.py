"""Whom a space names and counts before somebody of one of its partners: their own, ours, and others as the space says.

A side is an outside organisation (see `server.viewer`). What is said here of members (membership m) is what the
policy says of posts: blind partners are not there for one another, and otherwise are organisations without names.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from server import database as db
from server.openness import PartnerView
from server.queries.spaces import SeenSpace
from server.rights import INSIDE
from server.sql import Clause, any_of, one_of
from server.viewer import Employee, Operator, Viewer, guest_side, peer_side, side_of

EVERYBODY = Clause("1 = 1")
SEVERAL = "*"
"""The side of what names people of several organisations: of none of them, as soon as they do not see each other."""


async def of_actors(actor_ids: Iterable[int]) -> set[str]:
    """The outside organisations that these actors are of."""
    return set((await _by_actor(actor_ids)).values()) - {""}


async def _by_actor(actor_ids: Iterable[int]) -> dict[int, str]:
    wanted = list(dict.fromkeys(actor_ids))
    if not wanted:
        return {}
    query = Clause(
        "SELECT a.id, a.peer_id, a.gone_side, c.organisation FROM actor a"
        " LEFT JOIN account c ON c.actor_id = a.id AND c.office = 'guest' WHERE"
    )
    rows = await db.fetch(*query.join(one_of("a.id", wanted)).statement())
    return {row["id"]: _of_row(row) for row in rows}


async def of_actor(actor_id: int) -> str:
    """The outside organisation that somebody is of; '' for ours."""
    return next(iter(await of_actors([actor_id])), "")


def _of_row(row: dict[str, Any]) -> str:
    if row["peer_id"] is not None:
        return peer_side(row["peer_id"])
    return row["gone_side"] if row["organisation"] is None else guest_side(row["organisation"], row["id"])


async def gestures_for(side: str, gestures: Sequence[tuple[int, int]]) -> set[tuple[int, int]]:
    """Those of these gestures (post, actor) that people of a side may hear of: not those of a blind partner."""
    ids = list({post_id for post_id, _ in gestures})
    if not ids:
        return set()
    query = Clause(
        "SELECT p.id FROM post p JOIN space s ON s.id = p.space_id"
        " WHERE (s.partner_view = 'blind' OR p.stamp_blind) AND s.peer_id IS NULL AND"
    ).join(one_of("p.id", ids))
    blind = {row["id"] for row in await db.fetch(*query.statement())}
    known = await _by_actor(actor_id for _, actor_id in gestures)
    own = {actor_id for _, actor_id in gestures if known.get(actor_id, "") in ("", side)}
    return {(post_id, actor_id) for post_id, actor_id in gestures if post_id not in blind or actor_id in own}


def gestures_counted(viewer: Viewer) -> Clause:
    """The gestures and votes r (post p, its space s) that a viewer counts: blind partners do not count each other's,
    nor those of when they were.
    """
    if isinstance(viewer, Employee):
        return EVERYBODY
    seen = "r.side = '' OR r.side = ? OR p.space_id IS NULL OR (s.partner_view <> 'blind' AND NOT p.stamp_blind)"
    return Clause(seen, (side_of(viewer),))


async def named(viewer: Viewer, space: SeenSpace) -> Clause:
    """The condition under which a member is named before this viewer, who may name members at all."""
    if space.partner_view is PartnerView.EVERYONE or _inside(viewer, space):
        return EVERYBODY
    return (await _theirs(viewer, [space.id]))[space.id]


async def counted(viewer: Viewer, space: SeenSpace) -> Clause:
    """The condition under which a member is counted before this viewer, who may count members at all."""
    return (await counted_in(viewer, [space]))[space.id]


async def counted_in(viewer: Viewer, spaces: Sequence[SeenSpace]) -> dict[int, Clause]:
    """The same for each of these spaces, by its id."""
    blind = [space for space in spaces if space.partner_view is PartnerView.BLIND and not _inside(viewer, space)]
    return {space.id: EVERYBODY for space in spaces} | await _theirs(viewer, [space.id for space in blind])


def _inside(viewer: Viewer, space: SeenSpace) -> bool:
    return isinstance(viewer, Operator) or space.standing.audience in INSIDE


async def _theirs(viewer: Viewer, space_ids: Sequence[int]) -> dict[int, Clause]:
    """By space: our own people, and those of the viewer's side."""
    if not space_ids:
        return {}
    side = side_of(viewer)
    query = Clause(
        "SELECT m.space_id, c.actor_id, c.organisation FROM membership m JOIN account c ON c.actor_id = m.actor_id"
        " WHERE c.office = 'guest' AND"
    ).join(one_of("m.space_id", space_ids))
    others: dict[int, list[int]] = {space_id: [] for space_id in space_ids}
    for row in await db.fetch(*query.statement()):
        if guest_side(row["organisation"], row["actor_id"]) != side:
            others[row["space_id"]].append(row["actor_id"])
    return {space_id: _but(actor_ids, _peer_of(side)) for space_id, actor_ids in others.items()}


def _but(others: Sequence[int], peer_id: int | None) -> Clause:
    """Ours without these guests, and those of an instance."""
    ours = Clause("m.peer_id IS NULL")
    if others:
        ours = ours.then("AND NOT (").join(one_of("m.actor_id", others)).then(")")
    return any_of([ours, *(Clause("m.peer_id = ?", (peer,)) for peer in (peer_id,) if peer is not None)])


def _peer_of(side: str) -> int | None:
    kind, _, number = side.partition(":")
    return int(number) if side and kind == peer_side(0).partition(":")[0] else None
