"""Every row of the table, written a second time from the design: whoever changes one must change the other.

The values are those of the design's table of openness (levels and dials × audiences). Where a cell differs from
the design on purpose, the line says why.
"""

import inspect
import itertools
import re
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest

from server import policy, refusals
from server.errors import Forbidden, NotFound, Unauthenticated
from server.openness import Audience, History, Level, Office, Reach, Role, Variant, Visibility
from server.policy import (
    Act,
    Decision,
    PostFacts,
    Rights,
    SpaceFacts,
    Standing,
    audience_of,
    may,
    may_ask_elsewhere,
    may_post,
    variant_of,
)
from server.rights import NOTHING, TABLE, taken
from server.viewer import Anonymous, Employee, Guest, Operator, PeerServer, RemotePerson, Viewer

# existence, members, read, files, join, take part, invite, relay, notices; then what is attached to them
GLASS = ((2, 3, 3, 2, 0, 0, 0, 0, 0), "")
"""Reads all and opens its files, to see what is wrong; takes no part, invites nobody, carries nothing out."""

DESIGN: dict[str, dict[str, tuple[tuple[int, int, int, int, int, int, int, int, int], str]]] = {
    "closed": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 1, 0, 0, 2, 0, 0, 0, 0), ""),
        "glass": GLASS,
    },
    "unlisted": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 0, 0, 2), ""),
        "staff": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "glass": GLASS,
    },
    "internal": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 1, 0), ""),
        "glass": GLASS,
    },
    "invited": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 2, 0, 0, 2, 0, 0, 0, 0), ""),
        "guest_member": ((2, 3, 2, 1, 0, 3, 0, 0, 2), ""),
        "partner_member": ((2, 3, 2, 1, 0, 3, 1, 0, 2), ""),
        "guest": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner_uninvited": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),  # what the level says already
        "kin": ((2, 2, 0, 0, 2, 0, 0, 0, 0), ""),  # a sister department: its ceiling is staff
        "glass": GLASS,
    },
    "invited_readable": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        # the design's “dial to R3”: who reads opens the files too, or a text would point at what is not there
        "staff": ((2, 2, 3, 2, 2, 0, 0, 0, 0), ""),
        "guest_member": ((2, 3, 2, 1, 0, 3, 0, 0, 2), ""),
        "partner_member": ((2, 3, 2, 1, 0, 3, 1, 0, 2), ""),
        "guest": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner_uninvited": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "kin": ((2, 2, 0, 0, 2, 0, 0, 0, 0), ""),  # the dial is for colleagues alone
        "glass": GLASS,
    },
    "invited_unlisted": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 0, 2), ""),
        "staff": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "guest_member": ((2, 3, 2, 1, 0, 3, 0, 0, 2), ""),
        "partner_member": ((2, 3, 2, 1, 0, 3, 1, 0, 2), ""),
        "guest": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner_uninvited": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "kin": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),  # named, so its server knows it; its people come by invitation
        "glass": GLASS,
    },
    "everyone": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 1, 0), ""),
        "guest_member": ((2, 3, 3, 2, 0, 3, 0, 1, 2), ""),
        "partner_member": ((2, 3, 3, 2, 0, 3, 1, 1, 3), "since opening"),
        "guest": ((2, 1, 0, 0, 2, 0, 0, 0, 0), ""),
        "partner": ((2, 2, 2, 1, 3, 1, 0, 0, 1), "since opening"),
        "partner_uninvited": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),  # for this partner the space is one of invited people
        "kin": ((2, 3, 3, 2, 3, 2, 0, 1, 1), "since opening"),  # as staff, from its own opening on; told as partners
        "glass": GLASS,
    },
    "network": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 1, 0), ""),
        "guest_member": ((2, 3, 3, 2, 0, 3, 0, 1, 2), ""),
        "partner_member": ((2, 3, 3, 2, 0, 3, 1, 1, 3), "since opening"),
        "fed_member": ((2, 2, 3, 2, 0, 3, 0, 1, 3), "since opening, moderated"),
        "guest": ((2, 1, 3, 0, 3, 2, 0, 0, 0), ""),
        "partner": ((2, 2, 3, 2, 3, 2, 0, 1, 0), "since opening"),
        "partner_uninvited": ((2, 2, 3, 2, 3, 2, 0, 1, 0), "since opening"),  # nobody needs an invitation here
        "kin": ((2, 3, 3, 2, 3, 2, 0, 1, 0), "since opening"),
        "glass": GLASS,
        "fed": ((2, 1, 2, 1, 2, 2, 0, 1, 0), "since opening, moderated"),
    },
    "public": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 2, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 2, 0), ""),
        "guest_member": ((2, 3, 3, 2, 0, 3, 0, 1, 2), ""),
        # the design has “as above” (since opening): then a partner's non-members would read more than its members
        "partner_member": ((2, 3, 3, 2, 0, 3, 1, 2, 3), ""),
        "fed_member": ((2, 2, 3, 2, 0, 3, 0, 2, 0), "moderated"),
        "guest": ((2, 1, 3, 2, 3, 2, 0, 0, 0), ""),
        "partner": ((2, 2, 3, 2, 3, 2, 0, 2, 0), ""),
        "partner_uninvited": ((2, 2, 3, 2, 3, 2, 0, 2, 0), ""),
        "kin": ((2, 3, 3, 2, 3, 2, 0, 2, 0), ""),
        "glass": GLASS,
        "fed": ((2, 1, 3, 1, 2, 2, 0, 2, 0), "since opening, moderated"),
        "web": ((2, 1, 3, 1, 0, 0, 0, 2, 0), "since opening"),
    },
    # not in the design's table: our own view of a space that another instance keeps
    "elsewhere": {
        "staff_member": ((2, 3, 2, 2, 0, 3, 0, 0, 2), ""),  # what its host told us since they came (RR2)
        "staff": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),  # an invitation by its host shows the card
        "host": ((2, 0, 3, 2, 0, 0, 0, 0, 0), ""),  # of what our people wrote there
    },
}

VALUES = ("existence", "members", "read", "files", "join", "take_part", "invite", "relay", "notices")
CELLS = [(variant, audience) for variant in Variant for audience in Audience]


def written(cell: Rights) -> tuple[tuple[int, ...], str]:
    attached = [name for name in ("since_opening", "moderated") if getattr(cell, name)]
    return tuple(int(getattr(cell, name)) for name in VALUES), ", ".join(attached).replace("_", " ")


@pytest.mark.parametrize(("variant", "audience"), CELLS, ids=lambda word: word.value)
def test_each_cell_is_what_the_design_says_and_what_it_does_not_name_is_nothing(
    variant: Variant, audience: Audience
) -> None:
    assert written(TABLE[variant, audience]) == DESIGN[variant].get(audience, ((0,) * 9, ""))


def test_the_design_names_no_row_or_column_that_the_code_does_not_know() -> None:
    assert set(DESIGN) == set(Variant)
    assert {audience for row in DESIGN.values() for audience in row} == set(Audience)
    assert set(VALUES) | {"since_opening", "moderated", "days"} == {field.name for field in fields(Rights)}


def test_a_level_and_its_dials_name_one_row() -> None:
    dials = list(itertools.product(Level, (True, False), Reach, (True, False)))
    expected = {
        (Level.CLOSED, True): "closed",
        (Level.CLOSED, False): "unlisted",
        (Level.PARTNERS, True, Reach.INVITED, False): "invited",
        (Level.PARTNERS, False, Reach.INVITED, False): "invited_unlisted",
        (Level.PARTNERS, True, Reach.INVITED, True): "invited_readable",
        (Level.PARTNERS, False, Reach.INVITED, True): "invited_readable",  # who reads it finds it
        (Level.PARTNERS, True, Reach.EVERYONE): "everyone",
        (Level.PARTNERS, False, Reach.EVERYONE): "everyone",
    }
    for level, listed, reach, staff_read in dials:
        named = (level, listed, reach, staff_read)
        wanted = [expected[named[:n]] for n in (4, 3, 2) if named[:n] in expected] or [level.value]
        assert variant_of(level, listed, reach, staff_read=staff_read) == wanted[0], named
        assert variant_of(level, listed, reach, False, staff_read) is Variant.ELSEWHERE


# --- what a caller is to a space -----------------------------------------------------------------

FLAGS = ("member", "partner", "kin", "by_invitation", "glass")


def expected_audience(viewer: Viewer, elsewhere: bool, flags: dict[str, bool]) -> str:
    """The design's words: an audience is what its home instance says, and an inactive link makes strangers."""
    if isinstance(viewer, Employee):
        if flags["member"]:
            return "staff_member"
        return "glass" if flags["glass"] and viewer.office == "admin" and not elsewhere else "staff"
    if isinstance(viewer, Guest):
        return "web" if elsewhere else "guest_member" if flags["member"] else "guest"
    if not isinstance(viewer, (RemotePerson, PeerServer)):
        return "web"
    if elsewhere:
        return "host" if viewer.linked and viewer.peer_id == HOST else "web"
    if not (viewer.linked and flags["partner"]):
        return "fed_member" if flags["member"] else "fed"
    if flags["member"]:
        return "partner_member"
    return "partner_uninvited" if flags["by_invitation"] else "kin" if flags["kin"] else "partner"


HOST = 4


def test_a_caller_is_one_audience_whatever_is_true_of_them() -> None:
    viewers = (Employee(1, 2), ADMIN, AUDITOR, Guest(5, 6, "guest:nord"), Anonymous(), Operator())
    elsewhere = [kind(*ids) for linked in (True, False) for kind, ids in outsiders(linked)]
    found = set()
    for viewer, hosted, flags in itertools.product(
        (*viewers, *elsewhere), (True, False), itertools.product((True, False), repeat=len(FLAGS))
    ):
        facts = space(Variant.NETWORK if hosted else Variant.ELSEWHERE)
        given = dict(zip(FLAGS, flags, strict=True))
        audience = audience_of(viewer, facts, **given)
        assert audience == expected_audience(viewer, not hosted, given), (viewer, hosted, given)
        found.add(audience)
    assert found == set(Audience)


def outsiders(linked: bool) -> list[tuple[Callable[..., Viewer], tuple[Any, ...]]]:
    of_host: list[tuple[Callable[..., Viewer], tuple[Any, ...]]]
    of_host = [(RemotePerson, (3, HOST, linked)), (PeerServer, (HOST, linked))]
    return [*of_host, (RemotePerson, (3, HOST + 1, linked)), (PeerServer, (HOST + 1, linked))]


# --- the smallest right that each act needs, and why not ------------------------------------------

NEEDS: dict[str, tuple[str, int, str]] = {
    "see": ("existence", 1, "hidden"),
    "list": ("existence", 2, "unlisted"),
    "count_members": ("members", 1, "members_hidden"),
    "see_organisations": ("members", 2, "members_hidden"),
    "name_members": ("members", 3, "members_hidden"),
    "read": ("read", 2, "members_only"),
    "open_file": ("files", 1, "members_only"),
    "ask_to_join": ("join", 2, "by_invitation"),
    "join": ("join", 3, "ask_first"),
    "react": ("take_part", 1, "readers_only"),
    "reply": ("take_part", 2, "members_only_write"),
    "post": ("take_part", 3, "members_only_write"),
    "invite": ("invite", 1, "stewards_invite"),
    "relay": ("relay", 1, "stays_here"),
}
OF_ROLES = {"accept_invitation", "admit_members", "change_policy", "decide"}
OF_POSTS = {"edit_post", "withdraw_post"}
WRITES = {"join", "ask_to_join", "accept_invitation", "react", "reply", "post", "invite"}

DAY = 24 * 3600 * 1000
COLLEAGUE = Employee(1, 2)
ADMIN = Employee(1, 2, Office.ADMIN)
AUDITOR = Employee(1, 2, Office.AUDITOR)
SOMEBODY = RemotePerson(3, 4, linked=True)


GUEST = Guest(5, 6, "guest:nord")


def of(audience: Audience) -> Viewer:
    """Somebody who can be this audience."""
    if audience is Audience.WEB:
        return Anonymous()
    if audience in (Audience.GUEST, Audience.GUEST_MEMBER):
        return GUEST
    if audience is Audience.GLASS:
        return ADMIN
    return COLLEAGUE if audience in (Audience.STAFF, Audience.STAFF_MEMBER) else SOMEBODY


def space(variant: Variant, closed_at: int | None = None) -> SpaceFacts:
    return SpaceFacts(1, variant, HOST if variant is Variant.ELSEWHERE else None, opened_at=1, closed_at=closed_at)


def test_every_act_is_spelled_out_here() -> None:
    assert set(NEEDS) | OF_ROLES | OF_POSTS == set(Act)


@pytest.mark.parametrize("act", NEEDS)
def test_an_act_is_allowed_from_its_smallest_right_on_and_refused_with_its_reason(act: str) -> None:
    name, needed, reason = NEEDS[act]
    for variant, audience in CELLS:
        cell = TABLE[variant, audience]
        decision = may(of(audience), Act(act), space(variant), Standing(audience))
        if cell.existence == 0:
            assert decision == Decision(False, "hidden", hide=True), (variant, audience)
        elif getattr(cell, name) >= needed:
            assert decision == Decision(True, "allowed"), (variant, audience)
        else:
            assert decision == Decision(False, reason), (variant, audience)


@pytest.mark.parametrize("act", sorted(WRITES | {"read", "see", "open_file"}))
def test_nobody_writes_in_a_closed_space_and_its_readers_still_read(act: str) -> None:
    for variant, audience in CELLS:
        standing = Standing(audience, invited=act == "accept_invitation")
        open_now = may(of(audience), Act(act), space(variant), standing)
        frozen = may(of(audience), Act(act), space(variant, closed_at=1), standing)
        if act in WRITES and not open_now.hide:
            assert frozen == Decision(False, "space_closed"), (variant, audience)
        else:
            assert frozen == open_now


def test_a_server_reads_for_its_people_and_never_writes_for_them() -> None:
    """A signed fetch proves a server, not a person: what somebody says or asks for is signed by themselves."""
    server = PeerServer(SOMEBODY.peer_id, linked=True)
    for (variant, audience), act in itertools.product(CELLS, Act):
        standing = Standing(audience, since_at=0, invited=True)
        post = PostFacts(99, 1, space(variant), variant)
        asked = may(server, act, space(variant), standing), may_post(server, act, post, standing, 2)
        if act in WRITES | {"edit_post"}:
            assert {decision.reason for decision in asked} <= {"sign_in_first", "hidden", "unknown_act"}
            assert not any(asked)
        if act in ("see", "read"):
            person = may(SOMEBODY, act, space(variant), standing), may_post(SOMEBODY, act, post, standing, 2)
            assert asked == person


def test_a_steward_writes_to_nobody_who_may_not_be_there() -> None:
    """A role is nothing where its audience has nothing: a steward elsewhere is out when the space narrows."""
    for variant, audience, act in itertools.product(Variant, Audience, Act):
        if TABLE[variant, audience] == NOTHING:
            for role in Role:
                standing = Standing(audience, role=role, invited=True)
                assert may(of(audience), act, space(variant), standing) == Decision(False, "hidden", hide=True)


def test_only_the_invited_accept_an_invitation_and_only_while_the_space_admits_them() -> None:
    for variant, audience in CELLS:
        cell = TABLE[variant, audience]
        standing = Standing(audience, invited=True)
        seen = may(of(audience), Act.SEE, space(variant), standing)
        accepted = may(of(audience), Act.ACCEPT_INVITATION, space(variant), standing)
        assert bool(seen) == (cell.existence >= 1 or cell.join >= 1), (variant, audience)
        assert bool(accepted) == (cell.join >= 1), (variant, audience)
        assert not may(of(audience), Act.ACCEPT_INVITATION, space(variant), Standing(audience))


@pytest.mark.parametrize("role", [None, *Role])
def test_stewards_admit_owners_and_administrators_change_the_openness_and_nobody_elsewhere_does(
    role: Role | None,
) -> None:
    led = role in (Role.STEWARD, Role.OWNER)
    for variant, audience in CELLS:
        cell = TABLE[variant, audience]
        standing = Standing(audience, role=role)
        ours = variant is not Variant.ELSEWHERE
        for viewer in (of(audience), ADMIN, AUDITOR):
            if cell.existence == 0:
                continue
            here = ours and isinstance(viewer, Employee)
            admits = may(viewer, Act.ADMIT_MEMBERS, space(variant), standing)
            changes = may(viewer, Act.CHANGE_POLICY, space(variant), standing)
            invites = may(viewer, Act.INVITE, space(variant), standing)
            assert admits == (Decision(True, "allowed") if here and led else Decision(False, "stewards_only"))
            owns = here and (role is Role.OWNER or viewer is ADMIN)
            assert changes == (Decision(True, "allowed") if owns else Decision(False, "owners_only"))
            assert bool(invites) == (cell.invite >= 1 or (ours and led))


@pytest.mark.parametrize("role", [None, *Role])
def test_owners_decide_what_waits_and_administrators_of_every_space_of_ours(role: Role | None) -> None:
    """An administrator is asked to agree to what they may not read: to the change alone, with a whole session."""
    with_a_token = Employee(1, 2, Office.ADMIN, frozenset({"read", "write"}))
    for variant, audience in itertools.product(Variant, Audience):
        standing = Standing(audience, role=role)
        ours = variant is not Variant.ELSEWHERE
        for viewer in (of(audience), ADMIN, AUDITOR, with_a_token, PeerServer(4, linked=True)):
            decided = may(viewer, Act.DECIDE, space(variant), standing)
            if ours and viewer == ADMIN:
                assert decided, (variant, audience)
            elif TABLE[variant, audience].existence == 0:
                assert decided == Decision(False, "hidden", hide=True), (variant, audience)
            else:
                owns = ours and isinstance(viewer, Employee) and (role is Role.OWNER or viewer.is_admin)
                assert decided == (Decision(True, "allowed") if owns else Decision(False, "owners_only"))


@pytest.mark.parametrize("linked", [True, False])
def test_colleagues_ask_for_what_is_for_partners_at_linked_instances_alone(linked: bool) -> None:
    shown = {Level.NETWORK, Level.PUBLIC} | ({Level.PARTNERS} if linked else set())
    hidden = Decision(False, "hidden", hide=True)
    for level in Level:
        asks = may_ask_elsewhere(Employee(1, 2), level, linked=linked, blocked=False)
        assert asks == (Decision(True, "allowed") if level in shown else hidden)
        assert may_ask_elsewhere(Employee(1, 2), level, linked=linked, blocked=True) == hidden
        for audience in (Audience.GUEST, Audience.PARTNER_MEMBER, Audience.FED, Audience.WEB):
            assert may_ask_elsewhere(of(audience), level, linked=linked, blocked=False) == hidden
        assert may_ask_elsewhere(Operator(), level, linked=linked, blocked=False) == hidden


def test_an_operator_arranges_and_never_reads() -> None:
    content = {"read", "open_file", "react", "reply", "post", "relay", "edit_post", "withdraw_post"}
    for act in Act:
        decision = may(Operator(), act, space(Variant.UNLISTED), Standing(Audience.WEB))
        assert bool(decision) == (act not in content)
        assert decision.reason == ("operators_do_not_read" if act in content else "allowed")
        post = PostFacts(1, 1, space(Variant.PUBLIC), Variant.PUBLIC)
        assert may_post(Operator(), act, post, Standing(Audience.WEB), 2).reason == "operators_do_not_read"


# --- one post -------------------------------------------------------------------------------------

ABOUT_POSTS = {"read", "open_file", "react", "reply", "relay"} | OF_POSTS


@pytest.mark.parametrize("act", sorted(set(Act)))
def test_what_may_be_done_to_a_post_is_what_both_its_time_and_its_space_allow(act: str) -> None:
    for current, stamp, audience in itertools.product(Variant, Variant, Audience):
        now, then = TABLE[current, audience], TABLE[stamp, audience]
        post = PostFacts(99, 1_000, space(current), stamp)
        decision = may_post(of(audience), Act(act), post, Standing(audience, since_at=0), 2_000)
        case = (current, stamp, audience)
        if min(now.read, then.read) < 2:
            assert decision == Decision(False, "hidden", hide=True), case
        elif act == "read":
            assert decision == Decision(True, "allowed"), case
        elif act in OF_POSTS:
            assert decision == Decision(False, "authors_only"), case
        elif act not in ABOUT_POSTS:
            assert decision == Decision(False, "unknown_act"), case
        else:
            name, needed, reason = NEEDS[act]
            allowed = min(getattr(now, name), getattr(then, name)) >= needed
            assert decision == (Decision(True, "allowed") if allowed else Decision(False, reason)), case


def test_an_author_edits_and_takes_back_and_a_steward_takes_back() -> None:
    post = PostFacts(COLLEAGUE.actor_id, 1, space(Variant.CLOSED), Variant.CLOSED)
    member, steward = Standing(Audience.STAFF_MEMBER), Standing(Audience.STAFF_MEMBER, role=Role.STEWARD)
    other = Employee(7, 8)
    assert may_post(COLLEAGUE, Act.EDIT_POST, post, member, 2)
    assert may_post(COLLEAGUE, Act.WITHDRAW_POST, post, member, 2)
    assert may_post(other, Act.WITHDRAW_POST, post, steward, 2)
    assert may_post(other, Act.EDIT_POST, post, steward, 2) == Decision(False, "authors_only")
    assert may_post(other, Act.WITHDRAW_POST, post, member, 2) == Decision(False, "authors_only")


def test_nobody_edits_in_a_closed_space_and_everybody_may_still_take_back() -> None:
    post = PostFacts(COLLEAGUE.actor_id, 1, space(Variant.CLOSED, closed_at=1), Variant.CLOSED)
    member = Standing(Audience.STAFF_MEMBER)
    assert may_post(COLLEAGUE, Act.EDIT_POST, post, member, 2) == Decision(False, "space_closed")
    assert may_post(COLLEAGUE, Act.WITHDRAW_POST, post, member, 2)
    assert may_post(COLLEAGUE, Act.REPLY, post, member, 2) == Decision(False, "space_closed")


def test_a_post_without_a_stamp_in_a_space_is_read_by_nobody() -> None:
    """A row that says nothing of its time is not taken for one that everybody might read."""
    for variant, audience in CELLS:
        post = PostFacts(99, 1, space(variant), stamp=None)
        assert may_post(of(audience), Act.READ, post, Standing(audience, since_at=0), 2).hide


def test_a_limited_past_is_ninety_days_for_strangers_and_since_joining_for_members() -> None:
    now = 1_000 * DAY
    past = {"stranger": Standing(Audience.FED), "member": Standing(Audience.PARTNER_MEMBER, since_at=now - 5 * DAY)}
    for who, days, variant in (("stranger", 90, Variant.NETWORK), ("member", 5, Variant.INVITED)):
        for published_at, readable in ((now - days * DAY, True), (now - days * DAY - 1, False)):
            post = PostFacts(99, published_at, space(variant), variant)
            assert bool(may_post(SOMEBODY, Act.READ, post, past[who], now)) == readable, (who, published_at)


def test_a_space_that_was_never_opened_has_no_past_to_read_since_its_opening() -> None:
    for (variant, audience), cell in TABLE.items():
        never = SpaceFacts(1, variant, 4 if variant is Variant.ELSEWHERE else None, opened_at=None)
        post = PostFacts(99, 1, never, variant)
        assert bool(may_post(of(audience), Act.READ, post, Standing(audience, since_at=0), 2)) == (
            cell.read >= 2 and not cell.since_opening
        )


def test_a_personal_post_without_a_visibility_is_read_by_its_author_alone() -> None:
    post = PostFacts(COLLEAGUE.actor_id, 1)
    close = Standing(Audience.STAFF, follows=True, named=True)
    assert may_post(COLLEAGUE, Act.READ, post, close, 2)
    for viewer in (Employee(7, 8), SOMEBODY, PeerServer(4, True), Anonymous()):
        assert may_post(viewer, Act.READ, post, close, 2).hide


@pytest.mark.parametrize("visibility", Visibility)
def test_who_may_read_a_personal_post_of_ours(visibility: Visibility) -> None:
    post = PostFacts(99, 1, visibility=visibility)
    viewers: tuple[Viewer, ...] = (COLLEAGUE, GUEST, SOMEBODY, PeerServer(4), Anonymous())
    for viewer, follows, named in itertools.product(viewers, (True, False), (True, False)):
        known = not isinstance(viewer, Anonymous)
        expected = {
            "public": True,
            "colleagues": viewer is COLLEAGUE,
            "followers": known and (follows or named),
            "direct": known and named,
        }[visibility]
        standing = Standing(Audience.FED, follows=follows, named=named)
        assert bool(may_post(viewer, Act.READ, post, standing, 2)) == expected
        elsewhere = PostFacts(99, 1, visibility=visibility, peer_id=4)
        kept = expected and isinstance(viewer, Employee)  # only its own instance answers for it
        assert bool(may_post(viewer, Act.READ, elsewhere, standing, 2)) == kept


def test_who_reads_a_personal_post_opens_its_files_and_only_people_answer() -> None:
    post = PostFacts(99, 1, visibility=Visibility.PUBLIC)
    standing = Standing(Audience.WEB)
    answers = {
        viewer: {act.value: may_post(viewer, act, post, standing, 2).reason for act in Act}
        for viewer in (COLLEAGUE, GUEST, SOMEBODY, PeerServer(4), Anonymous())
    }
    for viewer, given in answers.items():
        person = isinstance(viewer, (Employee, Guest, RemotePerson))
        answered = "allowed" if person else "sign_in_first"
        expected = {"read": "allowed", "open_file": "allowed", "react": answered, "reply": answered}
        edited = "sign_in_first" if isinstance(viewer, PeerServer) else "authors_only"
        expected |= {"relay": "stays_here", "edit_post": edited, "withdraw_post": "authors_only"}
        assert given == {act.value: expected.get(act.value, "unknown_act") for act in Act}


def test_what_is_deleted_is_hidden_from_its_author_too() -> None:
    for visibility in Visibility:
        post = PostFacts(COLLEAGUE.actor_id, 1, visibility=visibility, deleted=True)
        assert may_post(COLLEAGUE, Act.READ, post, Standing(Audience.STAFF), 2).hide


# --- dials: how far back, blind partners, held posts, rights taken --------------------------------

BACK = ("", "since_joining", "since_opening", "days", "all")
ALLOWED_BACK: dict[str, tuple[str, ...]] = {
    "invited": BACK,
    "invited_readable": BACK,
    "invited_unlisted": BACK,
    "everyone": ("", "since_opening", "all"),  # its people read ninety days without joining: never less for members
    "network": ("", "since_opening", "all"),
}
NOW, OPENED, NAMED_AT, JOINED, DAYS = 1_000 * DAY, 900 * DAY, 950 * DAY, 980 * DAY, 5


def floor(history: str, variant: str, audience: str) -> int:
    """The oldest moment that a member from outside reads, as the design says it in words."""
    let_in = NAMED_AT if audience == "partner_member" else OPENED
    if variant in ("network", "public"):
        let_in = OPENED  # all came in before the partner was named
    limits = {
        "since_joining": JOINED,
        "since_opening": let_in,
        "days": max(let_in, NOW - DAYS * DAY),
        "all": 0,
    }
    if history in ALLOWED_BACK.get(variant, ("",)) and history:
        # a guest reads an open space whole without joining it: the dial takes nothing from those who join
        return 0 if (variant, audience) == ("network", "guest_member") else limits[history]
    cell, attached = DESIGN[variant][audience]
    return max(JOINED if cell[2] == 2 else 0, let_in if "since opening" in attached else 0)


@pytest.mark.parametrize("audience", ["guest_member", "partner_member", "fed_member"])
@pytest.mark.parametrize("history", BACK)
def test_members_from_outside_look_back_as_far_as_the_dial_says(history: str, audience: str) -> None:
    for variant in sorted(DESIGN):
        if audience not in DESIGN[variant]:
            continue
        facts = SpaceFacts(1, Variant(variant), opened_at=OPENED, history=History(history), history_days=DAYS)
        let_in_at = NAMED_AT if audience == "partner_member" else None
        standing = Standing(Audience(audience), since_at=JOINED, let_in_at=let_in_at)
        oldest = floor(history, variant, audience)
        for moment in sorted({1, oldest, oldest - 1, OPENED, NAMED_AT, JOINED, NOW - DAYS * DAY, NOW}):
            post = PostFacts(99, moment, facts, Variant(variant))
            reads = bool(may_post(of(Audience(audience)), Act.READ, post, standing, NOW))
            assert reads == (moment >= oldest), (variant, moment)


def test_how_far_back_is_for_members_from_outside_alone() -> None:
    others = [audience for audience in Audience if not audience.endswith("_member")] + [Audience.STAFF_MEMBER]
    for variant, audience, history in itertools.product(Variant, others, History):
        facts = space(variant)
        dialled = replace(facts, history=history, history_days=1)
        for moment in (1, NOW):
            standing = Standing(audience, since_at=0)
            one, other = (PostFacts(99, moment, each, variant) for each in (facts, dialled))
            assert may_post(of(audience), Act.READ, one, standing, NOW) == may_post(
                of(audience), Act.READ, other, standing, NOW
            )


def test_blind_partners_read_what_is_from_or_for_nobody_or_themselves_and_ours_read_all() -> None:
    ours = {Audience.STAFF, Audience.STAFF_MEMBER, Audience.GLASS}
    for variant, audience, blind, stamp_blind in itertools.product(
        (Variant.INVITED_READABLE, Variant.EVERYONE), Audience, (True, False), (True, False)
    ):
        facts = replace(space(variant), blind=blind)
        for side, own in itertools.product(("", "peer:4", "peer:5", "guest:nord"), ("peer:4", "guest:nord")):
            post = PostFacts(99, NOW, facts, variant, stamp_blind=stamp_blind, side=side)
            standing = Standing(audience, since_at=0, side=own)
            reads = bool(may_post(of(audience), Act.READ, post, standing, NOW))
            hidden = (blind or stamp_blind) and side not in ("", own) and audience not in ours
            assert reads == (TABLE[variant, audience].read >= 2 and not hidden), (variant, audience, side, own)


def test_what_waits_for_a_steward_is_there_for_its_author_and_stewards() -> None:
    for audience, role in itertools.product(
        (Audience.STAFF_MEMBER, Audience.GLASS, Audience.FED_MEMBER), (None, *Role)
    ):
        viewer = of(audience)
        assert isinstance(viewer, (Employee, RemotePerson))
        for author in (viewer.actor_id, 99):
            post = PostFacts(author, NOW, space(Variant.NETWORK), Variant.NETWORK, held=True)
            reads = bool(may_post(viewer, Act.READ, post, Standing(audience, role, since_at=0), NOW))
            leads = audience is not Audience.FED_MEMBER and role in ("steward", "owner")
            assert reads == (author == viewer.actor_id or leads), (audience, role, author)
    personal = PostFacts(99, 1, visibility=Visibility.PUBLIC, held=True)
    assert may_post(COLLEAGUE, Act.READ, personal, Standing(Audience.STAFF), NOW).hide
    server = PostFacts(99, NOW, space(Variant.NETWORK), Variant.NETWORK, held=True)
    assert may_post(PeerServer(4, True), Act.READ, server, Standing(Audience.PARTNER_MEMBER, since_at=0), NOW).hide


def test_a_dial_takes_a_right_from_one_audience_or_one_partner_and_from_nobody_else() -> None:
    needs = {"members": "name_members", "files": "open_file", "take_part": "post", "invite": "invite", "relay": "relay"}
    least = {"name_members": 3, "open_file": 1, "post": 3, "invite": 1, "relay": 1}
    for variant, audience, (right, act) in itertools.product(Variant, Audience, needs.items()):
        facts = replace(space(variant), less=((audience, taken([(right, 0)])),))
        for other in Audience:
            cell = TABLE[variant, other]
            holds = cell.existence > 0 and getattr(cell, right) >= least[act]
            # the ceiling of a sister department is that of staff
            hit = other is audience or (other is Audience.KIN and audience is Audience.STAFF)
            hit = hit and not (other is Audience.KIN and audience is Audience.KIN)
            allowed = bool(may(of(other), Act(act), facts, Standing(other)))
            assert allowed == (holds and not hit), (variant, audience, other, act)
            one_partner = may(of(other), Act(act), space(variant), Standing(other, less=taken([(right, 0)])))
            assert not one_partner
    with pytest.raises(KeyError):
        taken([("read", 0)])


# --- reasons --------------------------------------------------------------------------------------


def reasons() -> set[str]:
    """Every reason that policy can give, read from its source."""
    source = inspect.getsource(policy)
    given = set(re.findall(r'Decision\(False, "(\w+)"', source))
    return given | {reason for _, _, reason in policy._NEEDS.values()}


def test_every_reason_has_its_sentence_and_every_sentence_its_reason() -> None:
    assert reasons() - {"hidden"} == set(refusals.SENTENCES) - {"scope_missing"}
    assert {NEEDS[act][2] for act in NEEDS} <= reasons()


def test_a_refusal_says_why_and_what_is_hidden_is_not_found_in_the_same_words() -> None:
    for reason in reasons() - {"hidden"}:
        error = refusals.refusal(Decision(False, reason))
        assert isinstance(error, Unauthenticated if reason == "sign_in_first" else Forbidden)
        assert refusals.SENTENCES[reason] in (error.sentence, str(error))
    hidden = refusals.refusal(Decision(False, "hidden", hide=True))
    assert isinstance(hidden, NotFound)
    assert hidden.sentence == NotFound().sentence
    refusals.demand(Decision(True, "allowed"))
    with pytest.raises(NotFound):
        refusals.demand(Decision(False, "hidden", hide=True))
