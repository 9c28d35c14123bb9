"""WHY, and what would be enough: the reasons of one decision, and the smallest change after which it is another.

Pure over the same facts that the policy decides on. The answer is the policy's own (`decide`), never a second one;
a change is proposed only when the policy, asked again with the facts as they would be, allows it. The words are in
`server.explaining_words`.
"""

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache, partial

from server.openness import (
    Audience,
    Existence,
    History,
    Join,
    Level,
    Role,
    Variant,
    Visibility,
)
from server.policy import (
    Act,
    Decision,
    PostFacts,
    Rights,
    SpaceFacts,
    Standing,
    Stop,
    may,
    may_post,
    needed_right,
    rights,
)
from server.rights import HISTORIES, OPEN_TO_ALL, OUTSIDE_MEMBERS, TABLE
from server.viewer import Anonymous, Employee, Guest, Operator, PeerServer, RemotePerson, Viewer

MOST_CHANGES = 3
MOST_LOOKED_AT = 400
SLACK = 6
"""How much more than the smallest change another one may open to be told beside it."""
NEVER = 1 << 30
NOBODY = 0


class Barred(StrEnum):
    """Why somebody comes in by no door at all, whatever a space says."""

    SUSPENDED = "suspended"
    ENDED = "ended"  # the last day of a guest is over
    BLOCKED = "blocked"  # their instance is


@dataclass(frozen=True, slots=True)
class Case:
    """Who wants to do what to which thing, as facts. With a post, `space` is the post's own.

    `named`: the space names their instance although that does not count now, because no active link ties it to us;
    `over`: because the date until which it is named is past.
    """

    viewer: Viewer
    act: Act
    standing: Standing
    space: SpaceFacts | None = None
    post: PostFacts | None = None
    now: int = 0
    barred: Barred | None = None
    named: bool = False
    over: bool = False


class Step(StrEnum):
    """One thing that somebody can do so that it is allowed."""

    REINSTATE = "reinstate"
    EXTEND_GUEST = "extend_guest"
    UNBLOCK = "unblock"
    SIGN_THEMSELVES = "sign_themselves"
    SIGN_IN = "sign_in"
    ACCEPT = "accept"
    JOIN = "join"
    ASK = "ask"
    INVITE = "invite"
    FOLLOW = "follow"
    MENTION = "mention"
    APPROVE = "approve"
    LINK = "link"
    EXTEND_PARTNER = "extend_partner"
    NAME_PARTNER = "name_partner"
    PARTNER_EVERYONE = "partner_everyone"
    LEAD = "lead"
    OWN = "own"
    REOPEN = "reopen"
    GIVE_BACK = "give_back"
    STAFF_READ = "staff_read"
    LIST = "list"
    HISTORY = "history"
    SEE_EACH_OTHER = "see_each_other"
    REACH = "reach"
    LEVEL = "level"
    PAST = "past"
    REPUBLISH = "republish"
    MEET = "meet"  # of people: nothing that the policy is asked
    PUBLISH = "publish"  # of files that no post carries


@dataclass(frozen=True, slots=True)
class Change:
    """A step, with the level or the visibility that it leads to."""

    step: Step
    to: str = ""


Changes = tuple[Change, ...]
"""What has to be done together."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """An answer of the policy with its reasons. `would_change_if`: the smallest changes, each by itself enough;
    empty when it is allowed, and when nothing would allow it.

    `cell`: what this reader has here; `needed`: (right, at least how much) where one right decides.
    """

    case: Case
    decision: Decision
    cell: Rights | None
    needed: tuple[str, int] | None
    would_change_if: tuple[Changes, ...]


def decide(case: Case) -> Decision:
    """The policy's answer: for a post, or for its space. Whoever comes in by no door is refused first."""
    if case.barred is not None:
        return Decision(False, case.barred.value, hide=True)
    if case.post is not None:
        return may_post(case.viewer, case.act, case.post, case.standing, case.now)
    assert case.space is not None
    return may(case.viewer, case.act, case.space, case.standing)


def explain(case: Case, *, changes: bool = True) -> Explanation:
    """Why, and what would be enough; without `changes` that is not looked for."""
    decision = decide(case)
    cell = None
    if case.space is not None and not isinstance(case.viewer, Operator):
        cell = rights(case.space, case.standing, case.post.stamp if case.post else None)
    found = enough(case) if changes and not decision else ()
    return Explanation(case, decision, cell, needed_right(case.act), found)


@lru_cache(maxsize=4096)
def enough(case: Case) -> tuple[Changes, ...]:
    """The smallest changes after which the policy allows it, the smallest first, at most `MOST_CHANGES`.

    Smallest is what opens least: letting one person in is less than naming a partner, which is less than a level.
    """
    if decide(case) or _is_past_changing(case):
        return ()
    number = itertools.count()
    reached: dict[Case, int] = {case: 0}
    heap: list[tuple[int, int, Changes, Case]] = [(0, next(number), (), case)]
    found: list[Changes] = []
    least = None
    for _ in range(MOST_LOOKED_AT):
        if not heap:
            break
        cost, _, made, one = heapq.heappop(heap)
        if least is not None and cost > least + SLACK:
            break
        if made and decide(one):
            least = cost if least is None else least
            if not any(set(other) <= set(made) for other in found):
                found.append(made)
            if len(found) == MOST_CHANGES:
                break
            continue
        for change, other in _steps(one):
            total = cost + _COST[change]
            if total < reached.get(other, NEVER):
                reached[other] = total
                heapq.heappush(heap, (total, next(number), (*made, change), other))
    return tuple(found)


def _is_past_changing(case: Case) -> bool:
    """What no step would allow: to change another's words, what was taken back, what another instance answers for,
    to join what one is in, to lead from elsewhere.
    """
    viewer, post = case.viewer, case.post
    if isinstance(viewer, Operator):
        return True
    if post is None:
        joining = case.act in (Act.JOIN, Act.ASK_TO_JOIN, Act.ACCEPT_INVITATION)
        if joining and case.standing.audience in (*_MEMBER_OF.values(), Audience.GLASS):
            return True
        leading = case.act in (Act.ADMIT_MEMBERS, Act.CHANGE_POLICY, Act.DECIDE)
        elsewhere = case.space is not None and case.space.peer_id is not None
        return (leading and (elsewhere or not isinstance(viewer, Employee))) or case.act in _OF_POSTS_ALONE
    stop = decide(replace(case, barred=None)).stop
    others = case.act in _OF_POSTS_ALONE and getattr(viewer, "actor_id", None) != post.author_id
    led = case.act is Act.WITHDRAW_POST and isinstance(viewer, Employee) and case.space is not None
    nowhere = case.space is None and case.act is Act.RELAY
    return (others and not led) or nowhere or stop in (Stop.DELETED, Stop.ELSEWHERE, Stop.NOT_OURS)


_OF_POSTS_ALONE = (Act.EDIT_POST, Act.WITHDRAW_POST)


# --- the steps ------------------------------------------------------------------------------------

Alter = Callable[[Case], Case | None]


def _steps(case: Case) -> Iterator[tuple[Change, Case]]:
    """Each step that can be made, and the facts after it."""
    for change, alter in _ALTERATIONS:
        other = alter(case)
        if other is not None and other != case:
            yield change, other


def _placed(case: Case, space: SpaceFacts) -> Case:
    """The same case in a space as it would be."""
    post = replace(case.post, space=space) if case.post is not None else None
    return replace(case, space=space, post=post)


def _standing(case: Case, **facts: object) -> Case:
    return replace(case, standing=replace(case.standing, **facts))  # type: ignore[arg-type]  # fields of Standing


def _ours(case: Case) -> SpaceFacts | None:
    """The space when its openness is ours to decide."""
    return case.space if case.space is not None and case.space.peer_id is None else None


def _let_in(barred: Barred) -> Alter:
    def alter(case: Case) -> Case | None:
        return replace(case, barred=None) if case.barred is barred else None

    return alter


def _sign_themselves(case: Case) -> Case | None:
    viewer = case.viewer
    return replace(case, viewer=_somebody_at(viewer)) if isinstance(viewer, PeerServer) else None


def _somebody_at(server: PeerServer) -> RemotePerson:
    return RemotePerson(NOBODY, server.peer_id, server.linked)


def _sign_in(case: Case) -> Case | None:
    """A visitor comes as somebody of an instance that no link ties to us."""
    if not isinstance(case.viewer, Anonymous):
        return None
    return _standing(replace(case, viewer=RemotePerson(NOBODY, NOBODY)), audience=Audience.FED)


_MEMBER_OF = {
    Audience.STAFF: Audience.STAFF_MEMBER,
    Audience.GLASS: Audience.STAFF_MEMBER,
    Audience.GUEST: Audience.GUEST_MEMBER,
    Audience.PARTNER: Audience.PARTNER_MEMBER,
    Audience.PARTNER_UNINVITED: Audience.PARTNER_MEMBER,
    Audience.KIN: Audience.PARTNER_MEMBER,
    Audience.FED: Audience.FED_MEMBER,
}


def way_in(case: Case) -> Step | None:
    """How somebody who is not a member would become one here; None when they cannot."""
    who, space = case.standing.audience, case.space
    if space is None or who not in _MEMBER_OF or TABLE[space.variant, _MEMBER_OF[who]].existence is Existence.HIDDEN:
        return None
    cell = rights(space, case.standing)
    if case.standing.invited and cell.join >= Join.INVITED:
        return Step.ACCEPT
    if case.space and case.space.closed_at is None and isinstance(case.viewer, (Employee, Guest, RemotePerson)):
        if cell.join >= Join.FREELY:
            return Step.JOIN
        if cell.join >= Join.ASK:
            return Step.ASK
    return Step.INVITE if cell.join >= Join.INVITED or who is Audience.GLASS else None


def _member(step: Step) -> Alter:
    def alter(case: Case) -> Case | None:
        if way_in(case) is not step:
            return None
        who = _MEMBER_OF[case.standing.audience]
        since = NOBODY if who is Audience.STAFF_MEMBER else case.now
        return _standing(case, audience=who, since_at=since, invited=False, role=Role.MEMBER)

    return alter


def _invited(case: Case) -> Case | None:
    """To accept an invitation one has to be sent; that is the invitation alone."""
    if case.act is not Act.ACCEPT_INVITATION or case.standing.invited or way_in(case) is None:
        return None
    return _standing(case, invited=True)


def _invite(case: Case) -> Case | None:
    return _invited(case) if case.act is Act.ACCEPT_INVITATION else _member(Step.INVITE)(case)


def _follow(case: Case) -> Case | None:
    if case.post is None or case.space is not None or isinstance(case.viewer, Anonymous):
        return None
    return _standing(case, follows=True)


def _mention(case: Case) -> Case | None:
    """Its author names them in it; a post elsewhere is not ours to change."""
    if case.post is None or case.space is not None or case.post.peer_id is not None:
        return None
    return None if isinstance(case.viewer, Anonymous) else _standing(case, named=True)


def _republish(to: Visibility, case: Case) -> Case | None:
    if case.post is None or case.space is not None or case.post.peer_id is not None:
        return None
    return replace(case, post=replace(case.post, visibility=to))


def _approve(case: Case) -> Case | None:
    return replace(case, post=replace(case.post, held=False)) if case.post is not None else None


def _link(case: Case) -> Case | None:
    viewer = case.viewer
    if not isinstance(viewer, (RemotePerson, PeerServer)) or viewer.linked or viewer.peer_id == NOBODY:
        return None
    linked = replace(case, viewer=replace(viewer, linked=True))
    if case.space is not None and case.space.peer_id == viewer.peer_id:
        return _standing(linked, audience=Audience.HOST)
    return _as_named(linked, case.standing.let_in_at) if case.named and not case.over else linked


def _as_named(case: Case, let_in_at: int | None) -> Case:
    inside = case.standing.audience in (Audience.FED_MEMBER, Audience.PARTNER_MEMBER)
    who = Audience.PARTNER_MEMBER if inside else Audience.PARTNER
    return _standing(replace(case, named=False, over=False), audience=who, let_in_at=let_in_at)


def _name_partner(again: bool, case: Case) -> Case | None:
    """`again`: it is named already, until a date that is past."""
    viewer, space = case.viewer, _ours(case)
    if space is None or not isinstance(viewer, (RemotePerson, PeerServer)) or not viewer.linked:
        return None
    named = case.standing.audience not in (Audience.FED, Audience.FED_MEMBER)
    if named or case.over is not again or TABLE[space.variant, Audience.PARTNER].existence is Existence.HIDDEN:
        return None
    return _as_named(case, case.standing.let_in_at if again else case.now)


def _partner_everyone(case: Case) -> Case | None:
    if case.standing.audience is not Audience.PARTNER_UNINVITED:
        return None
    return _standing(case, audience=Audience.PARTNER)


def _role(role: Role, case: Case) -> Case | None:
    who = (Audience.STAFF_MEMBER,) if case.act is not Act.INVITE else tuple(_MEMBER_OF.values())
    if case.standing.audience not in who or _ours(case) is None:
        return None
    return _standing(case, role=role)


def _reopen(case: Case) -> Case | None:
    space = _ours(case)
    return _placed(case, replace(space, closed_at=None)) if space is not None else None


def _give_back(case: Case) -> Case | None:
    space = _ours(case)
    if space is None:
        return None
    who = Audience.STAFF if case.standing.audience is Audience.KIN else case.standing.audience
    less = tuple(one for one in space.less if one[0] is not who)
    return _standing(_placed(case, replace(space, less=less)), less=())


_LISTED = {Variant.UNLISTED: Variant.CLOSED, Variant.INVITED_UNLISTED: Variant.INVITED}
_READABLE = {Variant.INVITED: Variant.INVITED_READABLE, Variant.INVITED_UNLISTED: Variant.INVITED_READABLE}
_INVITED = (Variant.INVITED, Variant.INVITED_UNLISTED, Variant.INVITED_READABLE)
_REACHED = dict.fromkeys(_INVITED, Variant.EVERYONE)
LEVELS = {
    Level.INTERNAL: Variant.INTERNAL,
    Level.PARTNERS: Variant.INVITED,
    Level.NETWORK: Variant.NETWORK,
    Level.PUBLIC: Variant.PUBLIC,
}
"""What a space becomes when it is moved up to a level, with that level's own dials."""

_LEVEL_OF = {
    Variant.CLOSED: Level.CLOSED,
    Variant.UNLISTED: Level.CLOSED,
    Variant.INTERNAL: Level.INTERNAL,
    **dict.fromkeys((*_INVITED, Variant.EVERYONE), Level.PARTNERS),
    Variant.NETWORK: Level.NETWORK,
    Variant.PUBLIC: Level.PUBLIC,
}


def _dial(turned: dict[Variant, Variant], case: Case) -> Case | None:
    space = _ours(case)
    return _as_open_as(case, space, turned[space.variant]) if space is not None and space.variant in turned else None


def _level(level: Level, case: Case) -> Case | None:
    space = _ours(case)
    if space is None or level.rank <= _LEVEL_OF[space.variant].rank:
        return None
    return _as_open_as(case, space, LEVELS[level])


def _as_open_as(case: Case, space: SpaceFacts, variant: Variant) -> Case:
    """What falls away with a level falls away; who comes in with it comes in now."""
    opened = space.opened_at
    if variant in OPEN_TO_ALL and space.variant not in OPEN_TO_ALL:
        opened = case.now
    history = space.history if space.history in HISTORIES[variant] else History.LEVEL
    blind = space.blind and _LEVEL_OF[variant] is Level.PARTNERS
    return _placed(case, replace(space, variant=variant, opened_at=opened, history=history, blind=blind))


def _history(case: Case) -> Case | None:
    space = _ours(case)
    if space is None or case.standing.audience not in OUTSIDE_MEMBERS or History.ALL not in HISTORIES[space.variant]:
        return None
    return _placed(case, replace(space, history=History.ALL))


def _see_each_other(case: Case) -> Case | None:
    space = _ours(case)
    return _placed(case, replace(space, blind=False)) if space is not None else None


def _past(case: Case) -> Case | None:
    """What was written before is opened to whoever reads now."""
    space, post = _ours(case), case.post
    if space is None or post is None:
        return None
    opened = 0 if space.variant in OPEN_TO_ALL else space.opened_at
    let_in = 0 if case.standing.let_in_at is not None else None
    opening = _placed(_standing(case, let_in_at=let_in), replace(space, opened_at=opened))
    assert opening.post is not None
    return replace(opening, post=replace(opening.post, stamp=space.variant, stamp_blind=space.blind))


_ALTERATIONS: tuple[tuple[Change, Alter], ...] = (
    (Change(Step.REINSTATE), _let_in(Barred.SUSPENDED)),
    (Change(Step.EXTEND_GUEST), _let_in(Barred.ENDED)),
    (Change(Step.UNBLOCK), _let_in(Barred.BLOCKED)),
    (Change(Step.SIGN_THEMSELVES), _sign_themselves),
    (Change(Step.SIGN_IN), _sign_in),
    (Change(Step.ACCEPT), _member(Step.ACCEPT)),
    (Change(Step.JOIN), _member(Step.JOIN)),
    (Change(Step.ASK), _member(Step.ASK)),
    (Change(Step.INVITE), _invite),
    (Change(Step.FOLLOW), _follow),
    (Change(Step.MENTION), _mention),
    (Change(Step.APPROVE), _approve),
    (Change(Step.LINK), _link),
    (Change(Step.EXTEND_PARTNER), partial(_name_partner, True)),
    (Change(Step.NAME_PARTNER), partial(_name_partner, False)),
    (Change(Step.PARTNER_EVERYONE), _partner_everyone),
    (Change(Step.LEAD), partial(_role, Role.STEWARD)),
    (Change(Step.OWN), partial(_role, Role.OWNER)),
    (Change(Step.REOPEN), _reopen),
    (Change(Step.GIVE_BACK), _give_back),
    (Change(Step.STAFF_READ), partial(_dial, _READABLE)),
    (Change(Step.LIST), partial(_dial, _LISTED)),
    (Change(Step.HISTORY), _history),
    (Change(Step.SEE_EACH_OTHER), _see_each_other),
    (Change(Step.REACH), partial(_dial, _REACHED)),
    *((Change(Step.LEVEL, level.value), partial(_level, level)) for level in LEVELS),
    (Change(Step.PAST), _past),
    *((Change(Step.REPUBLISH, to.value), partial(_republish, to)) for to in (Visibility.COLLEAGUES, Visibility.PUBLIC)),
)

_COSTS = {
    Step.REINSTATE: 2,
    Step.EXTEND_GUEST: 2,
    Step.UNBLOCK: 8,
    Step.SIGN_THEMSELVES: 1,
    Step.SIGN_IN: 1,
    Step.ACCEPT: 1,
    Step.JOIN: 1,
    Step.ASK: 2,
    Step.INVITE: 2,
    Step.FOLLOW: 1,
    Step.MENTION: 2,
    Step.APPROVE: 2,
    Step.LINK: 5,
    Step.EXTEND_PARTNER: 2,
    Step.NAME_PARTNER: 4,
    Step.PARTNER_EVERYONE: 4,
    Step.LEAD: 3,
    Step.OWN: 5,
    Step.REOPEN: 4,
    Step.GIVE_BACK: 4,
    Step.STAFF_READ: 5,
    Step.LIST: 4,
    Step.HISTORY: 5,
    Step.SEE_EACH_OTHER: 6,
    Step.REACH: 6,
    Step.PAST: 10,
}
_LEVEL_COSTS = {Level.INTERNAL: 8, Level.PARTNERS: 10, Level.NETWORK: 18, Level.PUBLIC: 24}
_REPUBLISH_COSTS = {Visibility.COLLEAGUES: 3, Visibility.PUBLIC: 6}


def _cost(change: Change) -> int:
    """How much a step opens, against the others: who is let in, from one person to everybody, and to how much."""
    if change.step is Step.LEVEL:
        return _LEVEL_COSTS[Level(change.to)]
    if change.step is Step.REPUBLISH:
        return _REPUBLISH_COSTS[Visibility(change.to)]
    return _COSTS[change.step]


_COST = {change: _cost(change) for change, _ in _ALTERATIONS}
