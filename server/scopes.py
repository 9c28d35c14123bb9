"""The same answers as SQL: which rows a viewer may read or know of, built from the table of `server.rights`.

Queries that take a scope name their tables so: post p, LEFT JOIN space s ON s.id = p.space_id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from server.openness import Audience, Existence, Join, Read, Variant
from server.rights import DAYS_BACK_MS, NARROWED, OPEN_TO_ALL, TABLE, Rights
from server.sql import Clause, any_of, one_of
from server.viewer import Anonymous, Employee, Operator, PeerServer, RemotePerson, Viewer

_VARIANT_SQL: dict[Variant, str] = {
    Variant.ELSEWHERE: "s.peer_id IS NOT NULL",
    Variant.CLOSED: "s.peer_id IS NULL AND s.level = 'closed' AND s.listed",
    Variant.UNLISTED: "s.peer_id IS NULL AND s.level = 'closed' AND NOT s.listed",
    Variant.INTERNAL: "s.peer_id IS NULL AND s.level = 'internal'",
    Variant.INVITED: "s.peer_id IS NULL AND s.level = 'partners' AND s.reach = 'invited' AND s.listed",
    Variant.INVITED_UNLISTED: "s.peer_id IS NULL AND s.level = 'partners' AND s.reach = 'invited' AND NOT s.listed",
    Variant.EVERYONE: "s.peer_id IS NULL AND s.level = 'partners' AND s.reach = 'everyone'",
    Variant.NETWORK: "s.peer_id IS NULL AND s.level = 'network'",
    Variant.PUBLIC: "s.peer_id IS NULL AND s.level = 'public'",
}


_NO_MOMENT = Clause("NULL")


@dataclass(frozen=True, slots=True)
class _Caller:
    """An audience that a viewer can be. `who`: the condition under which they are it; the moments as SQL."""

    audience: Audience
    who: Clause
    since: Clause = _NO_MOMENT  # a member since
    let_in: Clause | None = None  # when the space named their instance


def _callers(viewer: Viewer) -> list[_Caller]:
    if isinstance(viewer, Employee):
        member = _member("m.actor_id = ?", viewer.actor_id)
        return [_Caller(Audience.STAFF_MEMBER, member, Clause("0")), _Caller(Audience.STAFF, _not(member))]
    if isinstance(viewer, RemotePerson):
        return _callers_elsewhere(viewer, "m.actor_id = ?", viewer.actor_id)
    if isinstance(viewer, PeerServer):
        return _callers_elsewhere(viewer, "m.peer_id = ?", viewer.peer_id)
    return [_Caller(Audience.WEB, Clause("1 = 1"))]


def _callers_elsewhere(viewer: RemotePerson | PeerServer, who: str, value: int) -> list[_Caller]:
    here = Clause("s.peer_id IS NULL")
    member = here.and_(_member(who, value))
    stranger = here.and_(_not(_member(who, value)))
    since = Clause(f"(SELECT MIN(m.since_at) {_MEMBERS} AND {who})", (value,))
    if not viewer.linked:
        return [_Caller(Audience.FED_MEMBER, member, since), _Caller(Audience.FED, stranger)]
    partner = "FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = ?"
    named = Clause(f"EXISTS (SELECT 1 {partner})", (viewer.peer_id,))
    let_in = Clause(f"(SELECT n.added_at {partner})", (viewer.peer_id,))
    return [
        _Caller(Audience.PARTNER_MEMBER, member.and_(named), since, let_in),
        _Caller(Audience.PARTNER, stranger.and_(named), let_in=let_in),
        _Caller(Audience.FED_MEMBER, member.and_(_not(named)), since),
        _Caller(Audience.FED, stranger.and_(_not(named))),
        _Caller(Audience.HOST, Clause("s.peer_id = ?", (viewer.peer_id,))),
    ]


_MEMBERS = "FROM membership m WHERE m.space_id = s.id AND m.state = 'member'"


def _member(who: str, value: int) -> Clause:
    return Clause(f"EXISTS (SELECT 1 {_MEMBERS} AND {who})", (value,))


def _not(clause: Clause) -> Clause:
    return Clause(f"NOT ({clause.text})", clause.values)


_ACTOR, _PEER, _NOW = -1, -2, -3
"""What stands in a condition for the numbers of one viewer and one moment, by which two of a kind differ."""


def _anybody_like(viewer: Viewer) -> Viewer:
    """The viewer without the numbers that are their own."""
    if isinstance(viewer, Employee):
        return Employee(0, _ACTOR)
    if isinstance(viewer, RemotePerson):
        return RemotePerson(_ACTOR, _PEER, viewer.linked)
    return PeerServer(_PEER, viewer.linked) if isinstance(viewer, PeerServer) else viewer


def _for(viewer: Viewer, condition: Clause, now: int = _NOW) -> Clause:
    """The condition of anybody like this viewer, as this viewer's own."""
    actor = viewer.actor_id if isinstance(viewer, (Employee, RemotePerson)) else _ACTOR
    peer = viewer.peer_id if isinstance(viewer, (RemotePerson, PeerServer)) else _PEER
    own = {_ACTOR: actor, _PEER: peer, _NOW - DAYS_BACK_MS: now - DAYS_BACK_MS}
    return Clause(condition.text, tuple(own.get(value, value) for value in condition.values))


def scope_posts(viewer: Viewer, now: int) -> Clause:
    """The condition under which a row (post p, space s) is readable by this viewer. `now`: milliseconds."""
    return _for(viewer, _scope_posts(_anybody_like(viewer), _NOW), now)


@cache
def _scope_posts(viewer: Viewer, now: int) -> Clause:
    """Read off the table once for each kind of viewer: it takes longer than most queries that it stands in."""
    if isinstance(viewer, Operator):
        return Clause("1 = 0")
    in_spaces = any_of(
        caller.who.and_(_readable(caller, now))
        for caller in _callers(viewer)
        if any(TABLE[variant, caller.audience].read >= Read.LIMITED for variant in Variant)
    )
    personal = Clause("p.space_id IS NULL").and_(_scope_personal(viewer))
    inside = Clause("p.space_id IS NOT NULL").and_(in_spaces)
    return Clause("p.deleted_at IS NULL").and_(any_of([inside, personal]))


def _readable(caller: _Caller, now: int) -> Clause:
    """Current row × stamp × how far back, for one audience; rows with the same stamps and past stand together."""
    rows: dict[tuple[Clause, tuple[str, ...]], list[Variant]] = {}
    for current in Variant:
        by_past: dict[Clause, list[str]] = {}
        for stamp in Variant:
            cell = NARROWED[current, stamp, caller.audience]
            if cell.read >= Read.LIMITED:
                by_past.setdefault(_past(cell, current, caller, now), []).append(stamp.value)
        for past, stamps in by_past.items():
            rows.setdefault((past, tuple(stamps)), []).append(current)
    written_here = Clause("p.peer_id IS NULL") if caller.audience is Audience.HOST else Clause("1 = 1")
    return written_here.and_(
        any_of(
            _in_any(variants).and_(one_of("p.stamp", stamps)).and_(past) for (past, stamps), variants in rows.items()
        )
    )


def _in_any(variants: Iterable[Variant]) -> Clause:
    return any_of(Clause(_VARIANT_SQL[variant]) for variant in variants)


def _past(cell: Rights, current: Variant, caller: _Caller, now: int) -> Clause:
    """How far back a cell lets its audience look: the same floor that one decision has."""
    clause = Clause("1 = 1")
    if cell.read is Read.LIMITED:
        since = Clause("COALESCE(").join(caller.since).then(", CAST(? AS BIGINT))", now - DAYS_BACK_MS)
        clause = clause.and_(Clause("p.published_at >=").join(since))
    if cell.since_opening:
        clause = clause.and_(_since_opening(current, caller))
    return clause


def _since_opening(current: Variant, caller: _Caller) -> Clause:
    opened = Clause("p.published_at >= s.opened_at")
    if caller.let_in is None:
        return opened
    named = Clause("p.published_at >=").join(caller.let_in)
    return any_of([named, opened]) if current in OPEN_TO_ALL else named


def _scope_personal(viewer: Anonymous | Employee | RemotePerson | PeerServer) -> Clause:
    if isinstance(viewer, Anonymous):
        return Clause("p.peer_id IS NULL AND p.visibility = 'public'")
    if isinstance(viewer, PeerServer):
        follower = "f.follower_id IN (SELECT id FROM actor WHERE peer_id = ?)"
        mentioned = "n.actor_id IN (SELECT id FROM actor WHERE peer_id = ?)"
        value, own = viewer.peer_id, Clause("1 = 0")
    else:
        follower, mentioned = "f.follower_id = ?", "n.actor_id = ?"
        value, own = viewer.actor_id, Clause("p.author_id = ?", (viewer.actor_id,))
    follows = Clause(
        "p.visibility = 'followers' AND EXISTS (SELECT 1 FROM follow f WHERE f.followed_id = p.author_id"
        f" AND {follower} AND f.state = 'accepted')",
        (value,),
    )
    named = Clause(
        "p.visibility IN ('followers', 'direct') AND EXISTS (SELECT 1 FROM mention n"
        f" WHERE n.post_id = p.id AND {mentioned})",
        (value,),
    )
    open_to = one_of("p.visibility", ["public", "colleagues"] if isinstance(viewer, Employee) else ["public"])
    answers = any_of([open_to, follows, named])
    if not isinstance(viewer, Employee):
        answers = Clause("p.peer_id IS NULL").and_(answers)
    return any_of([own, answers])


def scope_spaces(viewer: Viewer, at_least: Existence = Existence.CARD) -> Clause:
    """The condition under which a row (space s) is known to this viewer; an invitation shows the card."""
    return _for(viewer, _scope_spaces(_anybody_like(viewer), at_least))


@cache
def _scope_spaces(viewer: Viewer, at_least: Existence) -> Clause:
    if isinstance(viewer, Operator):
        return Clause("1 = 1")
    return any_of(caller.who.and_(_known(viewer, caller.audience, at_least)) for caller in _callers(viewer))


def _known(viewer: Viewer, audience: Audience, at_least: Existence) -> Clause:
    shown = [variant for variant in Variant if TABLE[variant, audience].existence >= at_least]
    known = _in_any(shown)
    if at_least is Existence.LISTED or not isinstance(viewer, (Employee, RemotePerson)):
        return known
    invited = Clause(
        "EXISTS (SELECT 1 FROM membership i WHERE i.space_id = s.id AND i.actor_id = ? AND i.state = 'invited')",
        (viewer.actor_id,),
    )
    admitting = [v for v in Variant if v not in shown and TABLE[v, audience].join >= Join.INVITED]
    return any_of([known, invited.and_(_in_any(admitting))])
