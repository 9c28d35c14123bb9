"""The same answers as SQL: which rows a viewer may read or know of, built from the table of `server.rights`.

Queries that take a scope name their tables so: post p, LEFT JOIN space s ON s.id = p.space_id.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from server.openness import Audience, Existence, History, Join, Read, Variant
from server.rights import (
    DAY_MS,
    DAYS_BACK_MS,
    HISTORIES,
    INSIDE,
    OPEN_TO_ALL,
    OUTSIDE_MEMBERS,
    TABLE,
    Rights,
    effective,
)
from server.sql import Clause, any_of, one_of
from server.viewer import Anonymous, Employee, Guest, Operator, PeerServer, RemotePerson, Viewer, peer_side

_INVITED = "s.peer_id IS NULL AND s.level = 'partners' AND s.reach = 'invited'"
_VARIANT_SQL: dict[Variant, str] = {
    Variant.ELSEWHERE: "s.peer_id IS NOT NULL",
    Variant.CLOSED: "s.peer_id IS NULL AND s.level = 'closed' AND s.listed",
    Variant.UNLISTED: "s.peer_id IS NULL AND s.level = 'closed' AND NOT s.listed",
    Variant.INTERNAL: "s.peer_id IS NULL AND s.level = 'internal'",
    Variant.INVITED: f"{_INVITED} AND NOT s.staff_read AND s.listed",
    Variant.INVITED_UNLISTED: f"{_INVITED} AND NOT s.staff_read AND NOT s.listed",
    Variant.INVITED_READABLE: f"{_INVITED} AND s.staff_read",
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
    named: Clause | None = None  # the same, whatever past was opened since


@dataclass(frozen=True, slots=True)
class _Terms:
    """Where the dial of how far back stands, and the dates of being let in: as they are, or of words that were left out
    of an opened past as they were until then.
    """

    history: str = "s.history"
    days: str = "s.history_days"
    opened: str = "s.opened_at"
    kept: bool = False

    def let_in(self, caller: _Caller) -> Clause | None:
        return caller.named if self.kept else caller.let_in


_NOW_TERMS = _Terms()
_KEPT_TERMS = _Terms("p.kept_history", "p.kept_days", "s.came_open_at", kept=True)


def _callers(viewer: Viewer) -> list[_Caller]:
    if isinstance(viewer, Employee):
        return _callers_here(viewer)
    if isinstance(viewer, Guest):
        here, member = Clause("s.peer_id IS NULL"), _member("m.actor_id = ?", viewer.actor_id)
        since = Clause(f"(SELECT MIN(m.since_at) {_MEMBERS} AND m.actor_id = ?)", (_NOW, _NOW, viewer.actor_id))
        return [
            _Caller(Audience.GUEST_MEMBER, here.and_(member), since),
            _Caller(Audience.GUEST, here.and_(_not(member))),
            _Caller(Audience.WEB, Clause("s.peer_id IS NOT NULL")),
        ]
    if isinstance(viewer, RemotePerson):
        return _callers_elsewhere(viewer, "m.actor_id = ?", viewer.actor_id)
    if isinstance(viewer, PeerServer):
        return _callers_elsewhere(viewer, "m.peer_id = ?", viewer.peer_id)
    return [_Caller(Audience.WEB, Clause("1 = 1"))]


def _callers_here(viewer: Employee) -> list[_Caller]:
    member = _member("m.actor_id = ?", viewer.actor_id)
    since = Clause(
        f"CASE WHEN s.peer_id IS NULL THEN 0 ELSE (SELECT MIN(m.since_at) {_MEMBERS} AND m.actor_id = ?) END",
        (_NOW, _NOW, viewer.actor_id),
    )
    inside = _Caller(Audience.STAFF_MEMBER, member, since)
    if not viewer.is_admin:
        return [inside, _Caller(Audience.STAFF, _not(member))]
    glass = Clause(
        "s.peer_id IS NULL AND EXISTS (SELECT 1 FROM break_glass b WHERE b.space_id = s.id AND b.asked_by_id = ?"
        " AND b.approved_at IS NOT NULL AND b.ended_at IS NULL AND b.until_at > ?)",
        (viewer.actor_id, _NOW),
    )
    return [
        inside,
        _Caller(Audience.GLASS, _not(member).and_(glass)),
        _Caller(Audience.STAFF, _not(member).and_(_not(glass))),
    ]


def _callers_elsewhere(viewer: RemotePerson | PeerServer, who: str, value: int) -> list[_Caller]:
    here = Clause("s.peer_id IS NULL")
    member = here.and_(_member(who, value))
    stranger = here.and_(_not(_member(who, value)))
    since = Clause(f"(SELECT MIN(m.since_at) {_MEMBERS} AND {who})", (_NOW, _NOW, value))
    if not viewer.linked:
        return [_Caller(Audience.FED_MEMBER, member, since), _Caller(Audience.FED, stranger)]
    partner = "FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = ? AND COALESCE(n.until_at, ?) >= ?"
    own = (viewer.peer_id, _NOW, _NOW)
    named = Clause(f"EXISTS (SELECT 1 {partner})", own)
    by_invitation = Clause(f"EXISTS (SELECT 1 {partner} AND n.reach = 'invited')", own)
    kin = Clause("EXISTS (SELECT 1 FROM link k WHERE k.peer_id = ? AND k.kin)", (viewer.peer_id,))
    dates = {
        "let_in": Clause(f"(SELECT n.added_at {partner})", own),
        "named": Clause(f"(SELECT n.named_at {partner})", own),
    }
    freely = stranger.and_(named).and_(_not(by_invitation))
    return [
        _Caller(Audience.PARTNER_MEMBER, member.and_(named), since, **dates),
        _Caller(Audience.PARTNER_UNINVITED, stranger.and_(by_invitation), **dates),
        _Caller(Audience.KIN, freely.and_(kin), **dates),
        _Caller(Audience.PARTNER, freely.and_(_not(kin)), **dates),
        _Caller(Audience.FED_MEMBER, member.and_(_not(named)), since),
        _Caller(Audience.FED, stranger.and_(_not(named))),
        _Caller(Audience.HOST, Clause("s.peer_id = ?", (viewer.peer_id,))),
    ]


_MEMBERS = "FROM membership m WHERE m.space_id = s.id AND m.state = 'member' AND COALESCE(m.until_at, ?) >= ?"
"""Its values come first: the moment, twice."""


def _member(who: str, value: int) -> Clause:
    return Clause(f"EXISTS (SELECT 1 {_MEMBERS} AND {who})", (_NOW, _NOW, value))


def _not(clause: Clause) -> Clause:
    return Clause(f"NOT ({clause.text})", clause.values)


_ACTOR, _PEER, _NOW = -1, -2, -3
_SIDE = "the side of whoever asks"
"""What stands in a condition for what is one viewer's or one moment's own, by which two of a kind differ."""


def _anybody_like(viewer: Viewer) -> Viewer:
    """The viewer without what is their own."""
    if isinstance(viewer, Employee):
        return Employee(0, _ACTOR, viewer.office)
    if isinstance(viewer, Guest):
        return Guest(0, _ACTOR)
    if isinstance(viewer, RemotePerson):
        return RemotePerson(_ACTOR, _PEER, viewer.linked)
    return PeerServer(_PEER, viewer.linked) if isinstance(viewer, PeerServer) else viewer


def _for(viewer: Viewer, condition: Clause, now: int) -> Clause:
    """The condition of anybody like this viewer, as this viewer's own."""
    actor = viewer.actor_id if isinstance(viewer, (Employee, Guest, RemotePerson)) else _ACTOR
    peer = viewer.peer_id if isinstance(viewer, (RemotePerson, PeerServer)) else _PEER
    side = viewer.side if isinstance(viewer, Guest) else peer_side(peer) if peer != _PEER else ""
    own: dict[Any, Any] = {_ACTOR: actor, _PEER: peer, _SIDE: side, _NOW: now, _NOW - DAYS_BACK_MS: now - DAYS_BACK_MS}
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
    return Clause("p.deleted_at IS NULL").and_(_not_held(viewer)).and_(any_of([inside, personal]))


def _not_held(viewer: Viewer) -> Clause:
    """What waits for a steward is there for its author and for those who decide."""
    free = Clause("p.held_at IS NULL")
    if not isinstance(viewer, (Employee, Guest, RemotePerson)):
        return free
    seen = [free, Clause("p.author_id = ?", (viewer.actor_id,))]
    if isinstance(viewer, Employee):
        leads = f"EXISTS (SELECT 1 {_MEMBERS} AND m.actor_id = ? AND m.role IN ('steward', 'owner'))"
        seen.append(Clause(f"s.peer_id IS NULL AND {leads}", (_NOW, _NOW, viewer.actor_id)))
    return any_of(seen)


def _readable(caller: _Caller, now: int) -> Clause:
    """What one audience reads, and of what was left out of an opened past what it read until then."""
    now_read = _shown_to(caller).and_(_by_row(caller, _NOW_TERMS, now))
    if caller.audience in INSIDE:
        return now_read
    return now_read.and_(any_of([Clause("p.kept_at IS NULL"), _by_row(caller, _KEPT_TERMS, now)]))


def _by_row(caller: _Caller, terms: _Terms, now: int) -> Clause:
    """Current row × stamp × how far back, for one audience; rows with the same stamps and past stand together."""
    rows: dict[tuple[Clause, tuple[str, ...]], list[tuple[Variant, History]]] = {}
    for current in Variant:
        for history in History if caller.audience in OUTSIDE_MEMBERS else (History.LEVEL,):
            within = history if history in HISTORIES[current] else History.LEVEL
            by_past: dict[Clause, list[str]] = {}
            for stamp in Variant:
                cell = effective(current, stamp, caller.audience, within, 1)
                if cell.read >= Read.LIMITED:
                    by_past.setdefault(_past(cell, current, caller, terms, now), []).append(stamp.value)
            for past, stamps in by_past.items():
                rows.setdefault((past, tuple(stamps)), []).append((current, history))
    return any_of(
        _in_rows(caller, terms, where).and_(one_of("p.stamp", stamps)).and_(past)
        for (past, stamps), where in rows.items()
    )


def _shown_to(caller: _Caller) -> Clause:
    """What is not for this audience, whatever the row: words of others' spaces, and those of another blind partner."""
    if caller.audience is Audience.HOST:
        return Clause("p.peer_id IS NULL")
    if caller.audience in INSIDE:
        return Clause("1 = 1")
    return Clause("(p.side = '' OR p.side = ? OR (s.partner_view <> 'blind' AND NOT p.stamp_blind))", (_SIDE,))


def _in_rows(caller: _Caller, terms: _Terms, rows: Iterable[tuple[Variant, History]]) -> Clause:
    if caller.audience not in OUTSIDE_MEMBERS:
        return _in_any(variant for variant, _ in rows)
    by_histories: dict[tuple[str, ...], list[Variant]] = {}
    by_variant: dict[Variant, list[str]] = {}
    for variant, history in rows:
        by_variant.setdefault(variant, []).append(history.value)
    for variant, histories in by_variant.items():
        all_of_them = len(histories) == len(History)
        by_histories.setdefault(() if all_of_them else tuple(histories), []).append(variant)
    return any_of(
        _in_any(variants).and_(one_of(terms.history, histories)) if histories else _in_any(variants)
        for histories, variants in by_histories.items()
    )


def _in_any(variants: Iterable[Variant]) -> Clause:
    return any_of(Clause(_VARIANT_SQL[variant]) for variant in variants)


def _past(cell: Rights, current: Variant, caller: _Caller, terms: _Terms, now: int) -> Clause:
    """How far back a cell lets its audience look: the same floor that one decision has."""
    clause = Clause("1 = 1")
    if cell.read is Read.LIMITED:
        if current is Variant.ELSEWHERE:
            return clause.and_(_theirs_to_read(caller))
        since = Clause("COALESCE(").join(caller.since).then(", CAST(? AS BIGINT))", now - DAYS_BACK_MS)
        clause = clause.and_(Clause("p.published_at >=").join(since))
    if cell.days:
        days = f"CAST(CASE WHEN {terms.days} < 1 THEN 1 ELSE {terms.days} END AS BIGINT)"
        clause = clause.and_(Clause(f"p.published_at >= CAST(? AS BIGINT) - {days} * {DAY_MS}", (now,)))
    if cell.since_opening:
        clause = clause.and_(_since_opening(current, caller, terms))
    elif terms.kept and caller.named is not None and current not in OPEN_TO_ALL:
        clause = clause.and_(caller.named.then("< p.kept_at"))
    return clause


def _theirs_to_read(caller: _Caller) -> Clause:
    """Of a space elsewhere: what its host dates since they came, or since when it keeps no past from anybody."""
    return any_of([Clause("p.published_at >= s.newcomers_from"), Clause("p.published_at >=").join(caller.since)])


def _since_opening(current: Variant, caller: _Caller, terms: _Terms) -> Clause:
    opened = Clause(f"p.published_at >= {terms.opened}")
    let_in = terms.let_in(caller)
    if let_in is None:
        return opened
    named = Clause("p.published_at >=").join(let_in)
    return any_of([named, opened]) if current in OPEN_TO_ALL else named


def _scope_personal(viewer: Anonymous | Employee | Guest | RemotePerson | PeerServer) -> Clause:
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


def scope_spaces(viewer: Viewer, now: int, at_least: Existence = Existence.CARD) -> Clause:
    """The condition under which a row (space s) is known to this viewer; an invitation shows the card.

    `now`: milliseconds, for what ends by itself.
    """
    return _for(viewer, _scope_spaces(_anybody_like(viewer), at_least), now)


@cache
def _scope_spaces(viewer: Viewer, at_least: Existence) -> Clause:
    if isinstance(viewer, Operator):
        return Clause("1 = 1")
    return any_of(caller.who.and_(_known(viewer, caller.audience, at_least)) for caller in _callers(viewer))


def _known(viewer: Viewer, audience: Audience, at_least: Existence) -> Clause:
    shown = [variant for variant in Variant if TABLE[variant, audience].existence >= at_least]
    known = _in_any(shown)
    if at_least is Existence.LISTED or not isinstance(viewer, (Employee, Guest, RemotePerson)):
        return known
    invited = Clause(
        "EXISTS (SELECT 1 FROM membership i WHERE i.space_id = s.id AND i.actor_id = ? AND i.state = 'invited')",
        (viewer.actor_id,),
    )
    admitting = [v for v in Variant if v not in shown and TABLE[v, audience].join >= Join.INVITED]
    return any_of([known, invited.and_(_in_any(admitting))])
