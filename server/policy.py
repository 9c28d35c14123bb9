"""WHO MAY WHAT. The only door to openness and roles; everything else asks here.

One table (`server.rights`: level and dials × audience → rights) is read through three faces:

* `may`, `may_post` (viewer, act, thing, standing) answer for one thing, with a reason and whether to hide it;
* `scope_posts`, `scope_spaces` are the same answer as SQL (`server.scopes`), for lists, searches, counts;
* `audience(thing, candidates)` names the instances to which it may be told.

The order of a decision: who is the caller to this space (`audience_of`) → which row and column of the table
(`rights`) → the stamp that the item got when it was written, which later widening does not touch → how far
back this caller may look → the act. A combination that the table does not name is refused. What a caller may
not even know of is *hidden*: doors answer exactly as for an address that never existed.

Effective rights are computed when something is read; nothing is copied onto items but their stamp.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from server.openness import (
    Audience,
    Existence,
    Files,
    History,
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
from server.rights import DAY_MS, HISTORIES, INSIDE, NAMED, NARROWED_AS, OPEN_TO_ALL, Less, effective
from server.rights import DAYS_BACK_MS as DAYS_BACK_MS
from server.rights import Rights as Rights
from server.scopes import scope_posts as scope_posts
from server.scopes import scope_spaces as scope_spaces
from server.viewer import Anonymous, Employee, Guest, Operator, PeerServer, RemotePerson, Viewer, peer_side

# --- the facts that a decision rests on -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SpaceFacts:
    """What policy needs to know of a space."""

    id: int
    variant: Variant
    peer_id: int | None = None  # where it is hosted; None: here
    opened_at: int | None = None
    closed_at: int | None = None
    history: History = History.LEVEL
    history_days: int = 0
    blind: bool = False  # partners do not see each other
    less: tuple[tuple[Audience, Less], ...] = ()  # rights that a dial takes, by audience
    newcomers_from: int | None = None  # elsewhere: who comes in reads what its host dates since then
    came_open_at: int | None = None  # as `opened_at`, whatever past was opened since


@dataclass(frozen=True, slots=True)
class Kept:
    """Words that an opening of the past left out, for their author's instance does not consent: who read them then
    does, and who is let in later does not.
    """

    at: int
    history: History = History.LEVEL  # the dial until then
    days: int = 0


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
    stamp_blind: bool = False  # partners did not see each other when it was written
    side: str = ""  # the outside organisation that it is from or for
    held: bool = False  # waits for a steward
    kept: Kept | None = None


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
    side: str = ""  # the outside organisation that the caller is of
    less: Less = ()  # rights that the space takes from this one partner
    named_at: int | None = None  # as `let_in_at`, whatever past was opened since


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
    DECIDE = "decide"  # on a change of openness that waits for a second person


class Stop(StrEnum):
    """The rule that keeps a post from a reader: the first that does, in the order in which they are asked."""

    DELETED = "deleted"
    HELD = "held"
    UNSTAMPED = "unstamped"  # a row that does not say for whom it was written
    NOT_OURS = "not_ours"  # of a space elsewhere we answer for our own people's words alone
    SIDE = "side"
    LEVEL = "level"
    STAMP = "stamp"
    JOINED = "joined"
    DAYS_BACK = "days_back"
    DAYS = "days"
    OPENING = "opening"
    CONSENT = "consent"  # its author's instance does not want it read by who could not then
    ADDRESSED = "addressed"
    ELSEWHERE = "elsewhere"  # only its own instance answers for it


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer. `reason` is a word from the table of reasons; `hide`: answer as if it did not exist.

    `stop`: which rule hid a post, for whoever explains it to those who may know of it; two answers are the same
    whatever it was.
    """

    allowed: bool
    reason: str
    hide: bool = False
    stop: Stop | None = field(default=None, compare=False)

    def __bool__(self) -> bool:
        return self.allowed


YES = Decision(True, "allowed")


def variant_of(level: Level, listed: bool, reach: Reach, hosted_here: bool = True, staff_read: bool = False) -> Variant:
    """The row of the table that a space's level and dials name."""
    if not hosted_here:
        return Variant.ELSEWHERE
    if level is Level.CLOSED:
        return Variant.CLOSED if listed else Variant.UNLISTED
    if level is Level.PARTNERS:
        if reach is Reach.EVERYONE:
            return Variant.EVERYONE
        if staff_read:
            return Variant.INVITED_READABLE
        return Variant.INVITED if listed else Variant.INVITED_UNLISTED
    return Variant(level.value)


def audience_of(
    viewer: Viewer,
    space: SpaceFacts,
    *,
    member: bool,
    partner: bool,
    kin: bool = False,
    by_invitation: bool = False,
    glass: bool = False,
) -> Audience:
    """What a caller is to a space. `partner`: the space names the caller's instance, which is `kin` when it is a
    sister department's; `by_invitation`: only invited people of it come in. `glass`: an exceptional reading was
    granted, which counts for administrators only.

    A link that is not active makes its people ordinary strangers, whatever the space names.
    """
    if isinstance(viewer, Employee):
        if member:
            return Audience.STAFF_MEMBER
        return Audience.GLASS if glass and viewer.is_admin and space.peer_id is None else Audience.STAFF
    if isinstance(viewer, Guest):
        if space.peer_id is not None:
            return Audience.WEB
        return Audience.GUEST_MEMBER if member else Audience.GUEST
    if isinstance(viewer, (RemotePerson, PeerServer)):
        if space.peer_id is not None:
            return Audience.HOST if viewer.peer_id == space.peer_id and viewer.linked else Audience.WEB
        if viewer.linked and partner:
            if member:
                return Audience.PARTNER_MEMBER
            return Audience.PARTNER_UNINVITED if by_invitation else Audience.KIN if kin else Audience.PARTNER
        return Audience.FED_MEMBER if member else Audience.FED
    return Audience.WEB


def rights(space: SpaceFacts, standing: Standing, stamp: Variant | None = None) -> Rights:
    """The cell for a caller, with the space's dials; with a stamp, never more than the item's own time allowed."""
    who = standing.audience
    less = next((taken for audience, taken in space.less if audience is NARROWED_AS.get(who, who)), ())
    history = space.history if space.history in HISTORIES[space.variant] else History.LEVEL
    return effective(space.variant, stamp or space.variant, who, history, space.history_days, less, standing.less)


# --- may: one thing -------------------------------------------------------------------------------

_NEEDS: dict[Act, tuple[str, int, str]] = {
    Act.SEE: ("existence", Existence.CARD, "hidden"),
    Act.LIST: ("existence", Existence.LISTED, "unlisted"),
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

_WRITES = frozenset(
    {Act.JOIN, Act.ASK_TO_JOIN, Act.ACCEPT_INVITATION, Act.REACT, Act.REPLY, Act.POST, Act.INVITE, Act.EDIT_POST}
)
_OF_POSTS = frozenset({Act.READ, Act.OPEN_FILE, Act.REACT, Act.REPLY, Act.RELAY, Act.EDIT_POST, Act.WITHDRAW_POST})
_LEADS = (Role.STEWARD, Role.OWNER)


def may(viewer: Viewer, act: Act, space: SpaceFacts, standing: Standing) -> Decision:
    """Whether this caller may do this in this space."""
    if isinstance(viewer, Operator):
        content = act in _OF_POSTS or act is Act.POST
        return Decision(False, "operators_do_not_read") if content else YES
    cell = rights(space, standing)
    invited = standing.invited and cell.join >= Join.INVITED
    if act is Act.DECIDE and _looks_after(viewer, space):
        return YES  # of a space that they may not know of otherwise: the change alone, never what is in it
    if cell.existence < Existence.CARD and not invited:
        return Decision(False, "hidden", hide=True)
    if act in _WRITES and isinstance(viewer, PeerServer):
        return Decision(False, "sign_in_first")  # its signature proves no person
    if act in _WRITES and space.closed_at is not None:
        return Decision(False, "space_closed")
    if act is Act.SEE:
        return YES
    if act is Act.ACCEPT_INVITATION:
        return YES if invited else Decision(False, "by_invitation")
    if act is Act.ADMIT_MEMBERS:
        return _stewards(viewer, space, standing)
    if act in (Act.CHANGE_POLICY, Act.DECIDE):
        return _owners(viewer, space, standing)
    if act is Act.INVITE and standing.role in _LEADS and space.peer_id is None:
        return YES
    return _enough(cell, act)


def needed_right(act: Act) -> tuple[str, int] | None:
    """The right that an act needs, and at least how much of it; None where no single right decides."""
    return _NEEDS[act][:2] if act in _NEEDS else None


def _enough(cell: Rights, act: Act) -> Decision:
    """Whether a cell holds what an act needs; an act that needs nothing of it is not asked for here."""
    if act not in _NEEDS:
        return Decision(False, "unknown_act")
    name, needed, reason = _NEEDS[act]
    return YES if getattr(cell, name) >= needed else Decision(False, reason)


def may_ask_elsewhere(viewer: Viewer, level: Level, *, linked: bool, blocked: bool) -> Decision:
    """Whether somebody of ours may see what another instance shows us of a space, and ask to come in.

    What is for partners is asked of linked instances alone; what is for everybody who signs in, of any that is not
    blocked. All else is as if it were not there.
    """
    enough = Level.PARTNERS if linked else Level.NETWORK
    asks = isinstance(viewer, Employee) and not blocked and level.rank >= enough.rank
    return YES if asks else Decision(False, "hidden", hide=True)


def _stewards(viewer: Viewer, space: SpaceFacts, standing: Standing) -> Decision:
    here = space.peer_id is None and isinstance(viewer, Employee)
    return YES if here and standing.role in _LEADS else Decision(False, "stewards_only")


def _owners(viewer: Viewer, space: SpaceFacts, standing: Standing) -> Decision:
    here = space.peer_id is None and isinstance(viewer, Employee)
    owns = standing.role is Role.OWNER or (isinstance(viewer, Employee) and viewer.office is Office.ADMIN)
    return YES if here and owns else Decision(False, "owners_only")


def _looks_after(viewer: Viewer, space: SpaceFacts) -> bool:
    """An administrator with a whole session, for spaces of ours."""
    return space.peer_id is None and isinstance(viewer, Employee) and viewer.is_admin and viewer.scopes is None


def may_post(viewer: Viewer, act: Act, post: PostFacts, standing: Standing, now: int) -> Decision:
    """Whether this caller may do this to this post. `now`: milliseconds, for the limited past.

    In a space it is what its stamp and the space both allow: widening opens nothing older, narrowing closes it.
    """
    if isinstance(viewer, Operator):
        return Decision(False, "operators_do_not_read")
    stop = _what_stops(viewer, post, standing, now)
    if stop is not None:
        return Decision(False, "hidden", hide=True, stop=stop)
    if act not in _OF_POSTS:
        return Decision(False, "unknown_act")
    if act is Act.READ:
        return YES
    if act in _WRITES and isinstance(viewer, PeerServer):
        return Decision(False, "sign_in_first")
    if post.space is not None and act in _WRITES and post.space.closed_at is not None:
        return Decision(False, "space_closed")
    if act in (Act.EDIT_POST, Act.WITHDRAW_POST):
        return _changes_post(viewer, act, post, standing)
    if post.space is None:
        return _personal(viewer, act)
    return _enough(rights(post.space, standing, post.stamp), act)


def _changes_post(viewer: Viewer, act: Act, post: PostFacts, standing: Standing) -> Decision:
    if isinstance(viewer, (Employee, Guest, RemotePerson)) and viewer.actor_id == post.author_id:
        return YES
    if act is Act.WITHDRAW_POST and post.space is not None and _stewards(viewer, post.space, standing):
        return YES
    return Decision(False, "authors_only")


def _personal(viewer: Viewer, act: Act) -> Decision:
    if act is Act.RELAY:
        return Decision(False, "stays_here")
    person = isinstance(viewer, (Employee, Guest, RemotePerson))
    return YES if person or act is Act.OPEN_FILE else Decision(False, "sign_in_first")


def _what_stops(viewer: Viewer, post: PostFacts, standing: Standing, now: int) -> Stop | None:
    """The first rule by which this caller does not read this post; None when they read it."""
    if post.deleted:
        return Stop.DELETED
    if post.held and not _sees_held(viewer, post, standing):
        return Stop.HELD
    if post.space is None:
        return _what_stops_personal(viewer, post, standing)
    if post.stamp is None:
        return Stop.UNSTAMPED
    if standing.audience is Audience.HOST and post.peer_id is not None:
        return Stop.NOT_OURS
    if not _sees_side(post, post.space, standing):
        return Stop.SIDE
    cell = rights(post.space, standing, post.stamp)
    if cell.read < Read.LIMITED:
        return Stop.STAMP if rights(post.space, standing).read >= Read.LIMITED else Stop.LEVEL
    return _too_old(cell, post, post.space, standing, now) or _left_out(post, post.space, standing, now)


_NEVER = 1 << 62


def _left_out(post: PostFacts, space: SpaceFacts, standing: Standing, now: int) -> Stop | None:
    """Words that were left out of an opened past are read as far back as until then, by who was let in by then."""
    kept = post.kept
    if kept is None or standing.audience in INSIDE:
        return None
    then = replace(space, history=kept.history, history_days=kept.days, opened_at=space.came_open_at)
    named = _NEVER if standing.named_at is None else standing.named_at
    there = replace(standing, let_in_at=None if standing.let_in_at is None else named)
    cell = rights(then, there, post.stamp)
    if cell.read < Read.LIMITED or _too_old(cell, post, then, there, now):
        return Stop.CONSENT
    by_name = standing.audience in NAMED and space.variant not in OPEN_TO_ALL and not cell.since_opening
    return Stop.CONSENT if by_name and (there.let_in_at is None or there.let_in_at >= kept.at) else None


def _too_old(cell: Rights, post: PostFacts, space: SpaceFacts, standing: Standing, now: int) -> Stop | None:
    if cell.read is Read.LIMITED and post.published_at < _limit(space, standing, now):
        return Stop.DAYS_BACK if standing.since_at is None else Stop.JOINED
    if cell.days and post.published_at < now - cell.days * DAY_MS:
        return Stop.DAYS
    opened = _opened(space, standing) if cell.since_opening else 0
    return None if opened is not None and post.published_at >= opened else Stop.OPENING


def _sees_held(viewer: Viewer, post: PostFacts, standing: Standing) -> bool:
    """What waits for a steward is there for its author and for those who decide."""
    if isinstance(viewer, (Employee, Guest, RemotePerson)) and viewer.actor_id == post.author_id:
        return True
    return post.space is not None and bool(_stewards(viewer, post.space, standing))


def _sees_side(post: PostFacts, space: SpaceFacts, standing: Standing) -> bool:
    """Blind partners: what one of them writes, and what answers it, is not there for the others."""
    if not post.side or standing.audience in INSIDE or not (space.blind or post.stamp_blind):
        return True
    return post.side == standing.side


def _limit(space: SpaceFacts, standing: Standing, now: int) -> int:
    """From when on a limited past is read: members since they came, or what its host opens to all; others for some
    time.
    """
    since = now - DAYS_BACK_MS if standing.since_at is None else standing.since_at
    return since if space.newcomers_from is None else min(since, space.newcomers_from)


def _opened(space: SpaceFacts, standing: Standing) -> int | None:
    """When this audience was let in: a named partner with its name or, where all may come, with all if earlier.

    None: it was not, as far as is known.
    """
    if standing.audience not in NAMED or standing.let_in_at is None:
        return space.opened_at
    if space.variant not in OPEN_TO_ALL or space.opened_at is None:
        return standing.let_in_at
    return min(standing.let_in_at, space.opened_at)


def _what_stops_personal(viewer: Viewer, post: PostFacts, standing: Standing) -> Stop | None:
    if isinstance(viewer, (Employee, Guest, RemotePerson)) and viewer.actor_id == post.author_id:
        return None
    if post.peer_id is not None and not isinstance(viewer, Employee):
        return Stop.ELSEWHERE
    return None if _is_addressed(viewer, post, standing) else Stop.ADDRESSED


def _is_addressed(viewer: Viewer, post: PostFacts, standing: Standing) -> bool:
    if post.visibility is Visibility.PUBLIC:
        return True
    if post.visibility is Visibility.COLLEAGUES:
        return isinstance(viewer, Employee)
    if isinstance(viewer, Anonymous):
        return False
    if post.visibility is Visibility.FOLLOWERS:
        return standing.follows or standing.named
    return post.visibility is Visibility.DIRECT and standing.named


def carried(viewer: Viewer, post: PostFacts, standing: Standing) -> Notices:
    """How much of a post that this caller reads a notice may carry out of its page, as a mail does.

    What stands in no space was addressed to its readers: whole to colleagues, an excerpt to anybody else.
    """
    if post.space is None:
        return Notices.TEXT if isinstance(viewer, Employee) else Notices.EXCERPT
    return rights(post.space, standing, post.stamp).notices


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
    follows: bool = False  # has an accepted follower of the author
    named: bool = False  # has somebody whom the post mentions
    kin: bool = False
    by_invitation: bool = False
    less: Less = ()
    named_at: int | None = None


def audience(post: PostFacts, candidates: Iterable[Candidate], now: int) -> list[int]:
    """The instances (peer ids) that may be told of a post: exactly those that might fetch it and have somebody
    there for whom it is.
    """
    return [c.peer_id for c in candidates if not c.blocked and _told(post, c, now)]


def newcomers_read(space: SpaceFacts, standing: Standing, stamp: Variant | None = None) -> bool:
    """Whether people of an instance, once they are in, read what was written before they came: the space in general,
    or what has this stamp.
    """
    return rights(space, _once_in(standing), stamp).read > Read.LIMITED


def newcomers_since(space: SpaceFacts, standing: Standing, now: int) -> int | None:
    """From when on (ms) people of an instance read what is for newcomers, whatever its stamp: since the space or its
    dial lets them look back. None: not at all.
    """
    inside = _once_in(standing)
    cell = rights(space, inside)
    opened = _opened(space, inside) if cell.since_opening else 0
    return None if opened is None else max(opened, now - cell.days * DAY_MS if cell.days else 0)


def _once_in(standing: Standing) -> Standing:
    return replace(standing, audience=_ONCE_IN.get(standing.audience, standing.audience))


_ONCE_IN = {
    Audience.PARTNER: Audience.PARTNER_MEMBER,
    Audience.PARTNER_UNINVITED: Audience.PARTNER_MEMBER,
    Audience.KIN: Audience.PARTNER_MEMBER,
    Audience.FED: Audience.FED_MEMBER,
}


def _told(post: PostFacts, candidate: Candidate, now: int) -> bool:
    viewer = PeerServer(candidate.peer_id, candidate.linked)
    standing, concerned = _concerned(viewer, post, candidate)
    return concerned and bool(may_post(viewer, Act.READ, post, standing, now))


def _concerned(viewer: PeerServer, post: PostFacts, candidate: Candidate) -> tuple[Standing, bool]:
    """What an instance is to a post, and whether the post is for somebody there."""
    follows, named, inside = candidate.follows, candidate.named, candidate.since_at is not None
    if post.space is None:
        return Standing(Audience.FED, follows=follows, named=named), follows or named
    who = audience_of(
        viewer,
        post.space,
        member=inside,
        partner=candidate.partner,
        kin=candidate.kin,
        by_invitation=candidate.by_invitation,
    )
    side = peer_side(candidate.peer_id)
    standing = Standing(
        who,
        since_at=candidate.since_at,
        let_in_at=candidate.let_in_at,
        side=side,
        less=candidate.less,
        named_at=candidate.named_at,
    )
    return standing, inside or named or who is Audience.HOST
