"""The same answers as SQL: which rows a viewer may read or know of, built from the table of `server.rights`.

Queries that take a scope name their tables so: post p, LEFT JOIN space s ON s.id = p.space_id.
"""

from server.openness import Audience, Existence, Read, Variant
from server.rights import DAYS_BACK_MS, NARROWED, TABLE
from server.sql import Clause, any_of, one_of
from server.viewer import Anonymous, Employee, Operator, PeerServer, RemotePerson, Viewer

_VARIANT_SQL: dict[Variant, str] = {
    Variant.ELSEWHERE: "s.peer_id IS NOT NULL",
    Variant.CLOSED: "s.peer_id IS NULL AND s.level = 'closed' AND s.listed",
    Variant.UNLISTED: "s.peer_id IS NULL AND s.level = 'closed' AND NOT s.listed",
    Variant.INTERNAL: "s.peer_id IS NULL AND s.level = 'internal'",
    Variant.INVITED: "s.peer_id IS NULL AND s.level = 'partners' AND s.reach = 'invited'",
    Variant.EVERYONE: "s.peer_id IS NULL AND s.level = 'partners' AND s.reach = 'everyone'",
    Variant.NETWORK: "s.peer_id IS NULL AND s.level = 'network'",
    Variant.PUBLIC: "s.peer_id IS NULL AND s.level = 'public'",
}


def _callers(viewer: Viewer) -> list[tuple[Audience, Clause, str, str]]:
    """Each audience this viewer can be: the SQL that says so, and the SQL of `since_at` and `let_in_at`."""
    if isinstance(viewer, Employee):
        member = Clause(
            "EXISTS (SELECT 1 FROM membership m WHERE m.space_id = s.id AND m.actor_id = ? AND m.state = 'member')",
            (viewer.actor_id,),
        )
        return [(Audience.STAFF_MEMBER, member, "0", "0"), (Audience.STAFF, _not(member), "NULL", "NULL")]
    if isinstance(viewer, (RemotePerson, PeerServer)):
        return _callers_elsewhere(viewer)
    return [(Audience.WEB, Clause("1 = 1"), "NULL", "s.opened_at")]


def _callers_elsewhere(viewer: RemotePerson | PeerServer) -> list[tuple[Audience, Clause, str, str]]:
    if isinstance(viewer, RemotePerson):
        who, value = "m.actor_id = ?", viewer.actor_id
    else:
        who, value = "m.peer_id = ?", viewer.peer_id
    inside = f"FROM membership m WHERE m.space_id = s.id AND {who} AND m.state = 'member'"
    member = Clause(f"s.peer_id IS NULL AND EXISTS (SELECT 1 {inside})", (value,))
    since = f"(SELECT MIN(m.since_at) {inside.replace('?', str(int(value)))})"
    # ids are our own whole numbers, so they may stand in the text
    peer = int(viewer.peer_id)
    named = f"EXISTS (SELECT 1 FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = {peer})"
    let_in = f"(SELECT n.added_at FROM space_partner n WHERE n.space_id = s.id AND n.peer_id = {peer})"
    here_not = Clause("s.peer_id IS NULL").and_(_not(member))
    if not viewer.linked:
        return [
            (Audience.FED_MEMBER, member, since, "s.opened_at"),
            (Audience.FED, here_not, "NULL", "s.opened_at"),
        ]
    return [
        (Audience.PARTNER_MEMBER, member.then(f"AND {named}"), since, let_in),
        (Audience.PARTNER, here_not.then(f"AND {named}"), "NULL", let_in),
        (Audience.FED_MEMBER, member.then(f"AND NOT {named}"), since, "s.opened_at"),
        (Audience.FED, here_not.then(f"AND NOT {named}"), "NULL", "s.opened_at"),
        (Audience.HOST, Clause(f"s.peer_id = {peer}"), "NULL", "NULL"),
    ]


def _not(clause: Clause) -> Clause:
    return Clause(f"NOT ({clause.text})", clause.values)


def scope_posts(viewer: Viewer, now: int) -> Clause:
    """The condition under which a row (post p, space s) is readable by this viewer."""
    if isinstance(viewer, Operator):
        return Clause("1 = 0")
    in_spaces = any_of(
        who.and_(_readable(audience, since, let_in, now))
        for audience, who, since, let_in in _callers(viewer)
        if any(TABLE[variant, audience].read >= Read.LIMITED for variant in Variant)
    )
    personal = Clause("p.space_id IS NULL").and_(_scope_personal(viewer))
    inside = Clause("p.space_id IS NOT NULL").and_(in_spaces)
    return Clause("p.deleted_at IS NULL").and_(any_of([inside, personal]))


def _readable(audience: Audience, since: str, let_in: str, now: int) -> Clause:
    """For one audience: current row × stamp × how far back, grouped so that the text stays short."""
    groups: dict[tuple[bool, bool], list[Clause]] = {}
    for current in Variant:
        by_limits: dict[tuple[bool, bool], list[Variant]] = {}
        for stamp in Variant:
            cell = NARROWED[current, stamp, audience]
            if cell.read >= Read.LIMITED:
                key = (cell.read is Read.LIMITED, cell.since_opening)
                by_limits.setdefault(key, []).append(stamp)
        for key, stamps in by_limits.items():
            condition = Clause(_VARIANT_SQL[current]).and_(one_of("p.stamp", [v.value for v in stamps]))
            groups.setdefault(key, []).append(condition)
    written_here = Clause("p.peer_id IS NULL") if audience is Audience.HOST else Clause("1 = 1")
    return written_here.and_(any_of(any_of(rows).and_(_since(key, since, let_in, now)) for key, rows in groups.items()))


def _since(limits: tuple[bool, bool], since: str, let_in: str, now: int) -> Clause:
    limited, opening = limits
    clause = Clause("1 = 1")
    if limited:
        clause = clause.then(f"AND p.published_at >= COALESCE({since}, CAST(? AS BIGINT))", now - DAYS_BACK_MS)
    if opening:
        clause = clause.then(f"AND p.published_at >= COALESCE({let_in}, s.opened_at, 0)")
    return clause


def _scope_personal(viewer: Viewer) -> Clause:
    if isinstance(viewer, (Anonymous, Operator)):
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
    if isinstance(viewer, Operator):
        return Clause("1 = 1")
    known = [
        who.and_(
            any_of(
                Clause(_VARIANT_SQL[variant]) for variant in Variant if TABLE[variant, audience].existence >= at_least
            )
        )
        for audience, who, _, _ in _callers(viewer)
    ]
    if isinstance(viewer, (Employee, RemotePerson)) and at_least is Existence.CARD:
        known.append(
            Clause(
                "EXISTS (SELECT 1 FROM membership i WHERE i.space_id = s.id AND i.actor_id = ?"
                " AND i.state = 'invited')",
                (viewer.actor_id,),
            )
        )
    return any_of(known)
