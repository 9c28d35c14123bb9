"""WHO MAY WHAT. The only file that compares openness with roles; everything else asks it.

One table (level and dials × audience → rights) is read through three faces:

* `may(viewer's standing, act, thing)` answers for one thing, with a reason and whether to hide it;
* `scope(viewer)` is the same answer as SQL, for lists, searches, counts and collections;
* `audience(thing, candidates)` names the instances to which it may be told.

The order of a decision: who is the caller to this space (`stand`) → which row and column of the table
(`rights`) → the stamp that the item got when it was written, which later widening does not touch → how far
back this caller may look → the act. A combination that the table does not name is refused. What a caller may
not even know of is *hidden*: doors answer exactly as for an address that never existed.

Effective rights are computed when something is read; nothing is copied onto items but their stamp.
"""

from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any

from server.openness import (
    Audience,
    Existence,
    Files,
    Invite,
    Join,
    Level,
    Members,
    Notices,
    Office,
    Reach,
    Read,
    Relay,
    Role,
    TakePart,
    Variant,
    Visibility,
)
from server.sql import Clause, any_of, one_of
from server.viewer import Anonymous, Employee, Operator, PeerServer, RemotePerson, Viewer

DAYS_BACK_MS = 90 * 24 * 3600 * 1000
"""How far back those read who may read a limited past without being members."""


# --- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Rights:
    """One cell: what an audience has in a space, each right an ordered value."""

    existence: Existence = Existence.HIDDEN
    members: Members = Members.NONE
    read: Read = Read.NONE
    files: Files = Files.NONE
    join: Join = Join.NONE
    take_part: TakePart = TakePart.NONE
    invite: Invite = Invite.NONE
    relay: Relay = Relay.NONE
    notices: Notices = Notices.NOTHING
    moderated: bool = False  # what they write waits for a steward
    since_opening: bool = False  # never older than the day this audience was let in


NOTHING = Rights()

_LETTERS = {
    "S": ("existence", Existence),
    "N": ("members", Members),
    "R": ("read", Read),
    "F": ("files", Files),
    "J": ("join", Join),
    "P": ("take_part", TakePart),
    "I": ("invite", Invite),
    "X": ("relay", Relay),
    "T": ("notices", Notices),
}


def _cell(text: str) -> Rights:
    """Reads “S2 N3 R3e P2m”: a letter and a value; `e` since the opening, `m` moderated."""
    values: dict[str, Any] = {}
    for part in text.split():
        name, kind = _LETTERS[part[0]]
        values[name] = kind(int(part[1]))
        if part.endswith("m"):
            values["moderated"] = True
        if part.endswith("e"):
            values["since_opening"] = True
    return Rights(**values)


_STAFF_MEMBER = "S2 N3 R3 F2 P4 I1 X1 T3"
_INTERNAL = "S2 N3 R3 F2 J3 P2 I0 X1"
_GUEST_MEMBER = "S2 N3 R3 F2 P3 X1 T2"

_WRITTEN: dict[Variant, dict[Audience, str]] = {
    Variant.CLOSED: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N1 R0 J2",
    },
    Variant.UNLISTED: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I0 X0 T2",
        Audience.STAFF: "S0 J1",
    },
    Variant.INTERNAL: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: _INTERNAL,
    },
    Variant.INVITED: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N2 R0 J2",
        Audience.GUEST_MEMBER: "S2 N3 R2 F1 P3 I0 X0 T2",
        Audience.PARTNER_MEMBER: "S2 N3 R2 F1 P3 I1 X0 T2",
        Audience.GUEST: "S0 J1",
        Audience.PARTNER: "S1 J1",
    },
    Variant.EVERYONE: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: "S2 N3 R3 F2 J3 P2 X1",
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X1 T3",
        Audience.GUEST: "S2 N1 R0 J2",
        Audience.PARTNER: "S2 N2 R2e F1 J3 P1 T1",
    },
    Variant.NETWORK: {
        Audience.STAFF_MEMBER: _STAFF_MEMBER,
        Audience.STAFF: _INTERNAL,
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X1 T3",
        Audience.FED_MEMBER: "S2 N2 R3e F2 P3m X1 T3",
        Audience.GUEST: "S2 N1 R3 J3 P2",
        Audience.PARTNER: "S2 N2 R3e F2 J3 P2 X1",
        Audience.FED: "S2 N1 R2e F1 J2 P2m X1",
    },
    Variant.PUBLIC: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P4 I1 X2 T3",
        Audience.STAFF: "S2 N3 R3 F2 J3 P2 I0 X2",
        Audience.GUEST_MEMBER: _GUEST_MEMBER,
        Audience.PARTNER_MEMBER: "S2 N3 R3e F2 P3 I1 X2 T3",
        Audience.FED_MEMBER: "S2 N2 R3 F2 P3m X2",
        Audience.GUEST: "S2 N1 R3 F2 J3 P2",
        Audience.PARTNER: "S2 N2 R3 F2 J3 P2 X2",
        Audience.FED: "S2 N1 R3e F1 J2 P2m X2",
        Audience.WEB: "S2 N1 R3e F1 X2",
    },
    Variant.ELSEWHERE: {
        Audience.STAFF_MEMBER: "S2 N3 R3 F2 P3 I0 X0 T2",
        Audience.HOST: "S2 R3 F2",
    },
}

TABLE: dict[tuple[Variant, Audience], Rights] = {
    (variant, audience): _cell(_WRITTEN[variant].get(audience, "")) for variant in Variant for audience in Audience
}


# --- the facts that a decision rests on -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """What policy needs to know of a space."""

    id: int
    variant: Variant
    peer_id: int | None = None  # where it is hosted; None: here
    opened_at: int | None = None
    closed_at: int | None = None


@dataclass(frozen=True, slots=True)
class PostFacts:
    """What policy needs to know of a post. `space` is None for a personal one."""

    author_id: int
    published_at: int
    space: SpaceFacts | None = None
    stamp: Variant | None = None
    visibility: Visibility | None = None
    peer_id: int | None = None  # where it was written; None: here
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller is to one space, or (for a personal post) to its author."""

    audience: Audience
    role: Role | None = None
    since_at: int | None = None  # a member since; for a server, its first member
    let_in_at: int | None = None  # when the space named their instance
    invited: bool = False
    follows: bool = False  # an accepted follower of the author; for a server, has one
    named: bool = False  # mentioned; for a server, has one who is


OUTSIDER = Standing(Audience.WEB)


class Act(StrEnum):
    """What somebody wants to do. Anything that is not here cannot be asked for."""

    SEE = "see"
    LIST = "list"
    COUNT_MEMBERS = "count_members"
    SEE_ORGANISATIONS = "see_organisations"
    NAME_MEMBERS = "name_members"
    READ = "read"
    OPEN_FILE = "open_file"
    ASK_TO_JOIN = "ask_to_join"
    JOIN = "join"
    ACCEPT_INVITATION = "accept_invitation"
    REACT = "react"
    REPLY = "reply"
    POST = "post"
    INVITE = "invite"
    RELAY = "relay"
    EDIT_POST = "edit_post"
    WITHDRAW_POST = "withdraw_post"
    ADMIT_MEMBERS = "admit_members"
    CHANGE_POLICY = "change_policy"


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `reason` is a word from the table of reasons; `hide`: answer as if it did not exist."""

    allowed: bool
    reason: str
    hide: bool = False

    def __bool__(self) -> bool:
        return self.allowed


YES = Decision(True, "allowed")


def variant_of(level: Level, listed: bool, reach: Reach, hosted_here: bool = True) -> Variant:
    """The row of the table that a space's level and dials name."""
    if not hosted_here:
        return Variant.ELSEWHERE
    if level is Level.CLOSED:
        return Variant.CLOSED if listed else Variant.UNLISTED
    if level is Level.PARTNERS:
        return Variant.INVITED if reach is Reach.INVITED else Variant.EVERYONE
    return Variant(level.value)


def audience_of(viewer: Viewer, space: SpaceFacts, *, member: bool, partner: bool) -> Audience:
    """What a caller is to a space. `partner`: the space names the caller's instance.

    A link that is not active makes its people ordinary strangers, whatever the space names.
    """
    if isinstance(viewer, Employee):
        return Audience.STAFF_MEMBER if member else Audience.STAFF
    if isinstance(viewer, (RemotePerson, PeerServer)):
        if space.peer_id is not None:
            return Audience.HOST if viewer.peer_id == space.peer_id and viewer.linked else Audience.WEB
        if viewer.linked and partner:
            return Audience.PARTNER_MEMBER if member else Audience.PARTNER
        return Audience.FED_MEMBER if member else Audience.FED
    return Audience.WEB


def rights(space: SpaceFacts, standing: Standing, stamp: Variant | None = None) -> Rights:
    """The cell for a caller; with a stamp, never more than the item's own time allowed."""
    now = TABLE[space.variant, standing.audience]
    if stamp is None or stamp is space.variant:
        return now
    return _least(now, TABLE[stamp, standing.audience])


_ORDERED = tuple(name for name, _ in _LETTERS.values())


@cache
def _least(one: Rights, other: Rights) -> Rights:
    least: dict[str, Any] = {name: min(getattr(one, name), getattr(other, name)) for name in _ORDERED}
    return Rights(
        **least,
        moderated=one.moderated or other.moderated,
        since_opening=one.since_opening or other.since_opening,
    )


# --- may: one thing -------------------------------------------------------------------------------

_NEEDS: dict[Act, tuple[str, int, str]] = {
    Act.SEE: ("existence", Existence.CARD, "hidden"),
    Act.LIST: ("existence", Existence.LISTED, "hidden"),
    Act.COUNT_MEMBERS: ("members", Members.COUNT, "members_hidden"),
    Act.SEE_ORGANISATIONS: ("members", Members.ORGANISATIONS, "members_hidden"),
    Act.NAME_MEMBERS: ("members", Members.NAMES, "members_hidden"),
    Act.READ: ("read", Read.LIMITED, "members_only"),
    Act.OPEN_FILE: ("files", Files.VIEW, "members_only"),
    Act.ASK_TO_JOIN: ("join", Join.ASK, "by_invitation"),
    Act.JOIN: ("join", Join.FREELY, "ask_first"),
    Act.ACCEPT_INVITATION: ("join", Join.INVITED, "by_invitation"),
    Act.REACT: ("take_part", TakePart.REACT, "readers_only"),
    Act.REPLY: ("take_part", TakePart.REPLY, "members_only_write"),
    Act.POST: ("take_part", TakePart.POST, "members_only_write"),
    Act.INVITE: ("invite", Invite.OWN_ORGANISATION, "stewards_invite"),
    Act.RELAY: ("relay", Relay.SAME_AUDIENCE, "stays_here"),
}

_WRITES = frozenset({Act.JOIN, Act.ASK_TO_JOIN, Act.REACT, Act.REPLY, Act.POST, Act.INVITE})


def may(viewer: Viewer, act: Act, space: SpaceFacts, standing: Standing) -> Decision:
    """Whether this caller may do this in this space."""
    if isinstance(viewer, Operator):
        return _operator_may(act)
    cell = rights(space, standing)
    seen = cell.existence >= Existence.CARD or standing.invited
    if not seen:
        return Decision(False, "hidden", hide=True)
    if act in _WRITES and space.closed_at is not None:
        return Decision(False, "space_closed")
    if act is Act.SEE:
        return YES
    if act is Act.ACCEPT_INVITATION and standing.invited:
        return YES
    if act is Act.ADMIT_MEMBERS:
        return _stewards(viewer, space, standing)
    if act is Act.CHANGE_POLICY:
        return _owners(viewer, space, standing)
    if act is Act.INVITE and standing.role in (Role.STEWARD, Role.OWNER) and space.peer_id is None:
        return YES
    if act not in _NEEDS:
        return Decision(False, "unknown_act")
    name, needed, reason = _NEEDS[act]
    return YES if getattr(cell, name) >= needed else Decision(False, reason)


def _operator_may(act: Act) -> Decision:
    content = {Act.READ, Act.OPEN_FILE, Act.REACT, Act.REPLY, Act.POST, Act.RELAY, Act.EDIT_POST}
    return Decision(False, "operators_do_not_read") if act in content else YES


def _stewards(viewer: Viewer, space: SpaceFacts, standing: Standing) -> Decision:
    here = space.peer_id is None and isinstance(viewer, Employee)
    return YES if here and standing.role in (Role.STEWARD, Role.OWNER) else Decision(False, "stewards_only")


def _owners(viewer: Viewer, space: SpaceFacts, standing: Standing) -> Decision:
    if space.peer_id is not None or not isinstance(viewer, Employee):
        return Decision(False, "owners_only")
    if standing.role is Role.OWNER or viewer.office is Office.ADMIN:
        return YES
    return Decision(False, "owners_only")


def may_post(viewer: Viewer, act: Act, post: PostFacts, standing: Standing, now: int) -> Decision:
    """Whether this caller may do this to this post. `now`: milliseconds, for the limited past."""
    if isinstance(viewer, Operator):
        return Decision(False, "operators_do_not_read")
    readable = _reads(viewer, post, standing, now)
    if post.deleted or not readable:
        return Decision(False, "hidden", hide=True)
    if act is Act.READ:
        return YES
    author = isinstance(viewer, (Employee, RemotePerson)) and viewer.actor_id == post.author_id
    if act in (Act.EDIT_POST, Act.WITHDRAW_POST):
        return _changes_post(viewer, act, post, standing, author)
    if post.space is not None:
        return may(viewer, act, post.space, standing)
    return _personal(viewer, act)


def _changes_post(viewer: Viewer, act: Act, post: PostFacts, standing: Standing, author: bool) -> Decision:
    if author:
        return YES
    if act is Act.WITHDRAW_POST and post.space is not None and _stewards(viewer, post.space, standing):
        return YES
    return Decision(False, "authors_only")


def _personal(viewer: Viewer, act: Act) -> Decision:
    person = isinstance(viewer, (Employee, RemotePerson))
    if act is Act.OPEN_FILE or (person and act in (Act.REACT, Act.REPLY)):
        return YES
    return Decision(False, "sign_in_first")


def _reads(viewer: Viewer, post: PostFacts, standing: Standing, now: int) -> bool:
    if post.space is None:
        return _reads_personal(viewer, post, standing)
    if post.space.variant is Variant.ELSEWHERE and standing.audience is Audience.HOST and post.peer_id is not None:
        return False
    cell = rights(post.space, standing, post.stamp)
    if cell.read < Read.LIMITED:
        return False
    return post.published_at >= _floor(cell, post.space, standing, now)


def _floor(cell: Rights, space: SpaceFacts, standing: Standing, now: int) -> int:
    """The oldest moment this caller may look back to, in milliseconds; 0: the beginning."""
    floor = 0
    if cell.read is Read.LIMITED:
        floor = now - DAYS_BACK_MS if standing.since_at is None else standing.since_at
    if cell.since_opening:
        opened = standing.let_in_at if standing.let_in_at is not None else space.opened_at
        floor = max(floor, opened or 0)
    return floor


def _reads_personal(viewer: Viewer, post: PostFacts, standing: Standing) -> bool:
    if isinstance(viewer, (Employee, RemotePerson)) and viewer.actor_id == post.author_id:
        return True
    if post.peer_id is not None and not isinstance(viewer, Employee):
        return False  # only its own instance answers for it
    if post.visibility is Visibility.PUBLIC:
        return True
    if post.visibility is Visibility.COLLEAGUES:
        return isinstance(viewer, Employee)
    if isinstance(viewer, (Anonymous, Operator)):
        return False
    if post.visibility is Visibility.FOLLOWERS:
        return standing.follows or standing.named
    return standing.named


# --- scope: the same, as SQL ----------------------------------------------------------------------
#
# Queries that take a scope name their tables so: post p, LEFT JOIN space s ON s.id = p.space_id.

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
            cell = _least(TABLE[current, audience], TABLE[stamp, audience])
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


# --- audience: to whom it may be told -------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """An instance with somebody who might hear of a thing."""

    peer_id: int
    linked: bool  # by an active link
    partner: bool  # named by the space
    blocked: bool
    since_at: int | None  # its first member in the space since
    let_in_at: int | None = None


def audience(post: PostFacts, candidates: list[Candidate], now: int) -> list[int]:
    """The instances (peer ids) that may be told of a post: exactly those that might fetch it and have
    somebody there for whom it is."""
    return [c.peer_id for c in candidates if not c.blocked and _told(post, c, now)]


def _told(post: PostFacts, candidate: Candidate, now: int) -> bool:
    viewer = PeerServer(candidate.peer_id, candidate.linked)
    if post.space is None:
        return bool(post.visibility is not Visibility.COLLEAGUES)
    who = audience_of(viewer, post.space, member=candidate.since_at is not None, partner=candidate.partner)
    standing = Standing(who, since_at=candidate.since_at, let_in_at=candidate.let_in_at)
    return who is not Audience.PARTNER and who is not Audience.FED and _reads(viewer, post, standing, now)
