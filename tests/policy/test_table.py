"""Every row of the table, written a second time from the design: whoever changes one must change the other.

The values are those of the design's table of openness (levels and dials × audiences). Where a cell differs from
the design on purpose, the line says why.
"""

import inspect
import itertools
import re
from dataclasses import fields

import pytest

from server import policy, refusals
from server.errors import Forbidden, NotFound, Unauthenticated
from server.openness import Audience, Level, Office, Reach, Role, Variant, Visibility
from server.policy import Act, Decision, PostFacts, Rights, SpaceFacts, Standing, may, may_post, variant_of
from server.rights import NOTHING, TABLE
from server.viewer import Anonymous, Employee, Operator, PeerServer, RemotePerson, Viewer

# existence, members, read, files, join, take part, invite, relay, notices; then what is attached to them
DESIGN: dict[str, dict[str, tuple[tuple[int, int, int, int, int, int, int, int, int], str]]] = {
    "closed": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 1, 0, 0, 2, 0, 0, 0, 0), ""),
    },
    "unlisted": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 0, 0, 2), ""),
        "staff": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
    },
    "internal": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 1, 0), ""),
    },
    "invited": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 2, 0, 0, 2, 0, 0, 0, 0), ""),
        "guest_member": ((2, 3, 2, 1, 0, 3, 0, 0, 2), ""),
        "partner_member": ((2, 3, 2, 1, 0, 3, 1, 0, 2), ""),
        "guest": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
    },
    "invited_unlisted": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 0, 2), ""),
        "staff": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "guest_member": ((2, 3, 2, 1, 0, 3, 0, 0, 2), ""),
        "partner_member": ((2, 3, 2, 1, 0, 3, 1, 0, 2), ""),
        "guest": ((0, 0, 0, 0, 1, 0, 0, 0, 0), ""),
        "partner": ((1, 0, 0, 0, 1, 0, 0, 0, 0), ""),
    },
    "everyone": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 1, 0), ""),
        "guest_member": ((2, 3, 3, 2, 0, 3, 0, 1, 2), ""),
        "partner_member": ((2, 3, 3, 2, 0, 3, 1, 1, 3), "since opening"),
        "guest": ((2, 1, 0, 0, 2, 0, 0, 0, 0), ""),
        "partner": ((2, 2, 2, 1, 3, 1, 0, 0, 1), "since opening"),
    },
    "network": {
        "staff_member": ((2, 3, 3, 2, 0, 4, 1, 1, 3), ""),
        "staff": ((2, 3, 3, 2, 3, 2, 0, 1, 0), ""),
        "guest_member": ((2, 3, 3, 2, 0, 3, 0, 1, 2), ""),
        "partner_member": ((2, 3, 3, 2, 0, 3, 1, 1, 3), "since opening"),
        "fed_member": ((2, 2, 3, 2, 0, 3, 0, 1, 3), "since opening, moderated"),
        "guest": ((2, 1, 3, 0, 3, 2, 0, 0, 0), ""),
        "partner": ((2, 2, 3, 2, 3, 2, 0, 1, 0), "since opening"),
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
        "fed": ((2, 1, 3, 1, 2, 2, 0, 2, 0), "since opening, moderated"),
        "web": ((2, 1, 3, 1, 0, 0, 0, 2, 0), "since opening"),
    },
    # not in the design's table: our own view of a space that another instance keeps
    "elsewhere": {
        "staff_member": ((2, 3, 3, 2, 0, 3, 0, 0, 2), ""),
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
    assert set(VALUES) | {"since_opening", "moderated"} == {field.name for field in fields(Rights)}


def test_a_level_and_its_dials_name_one_row() -> None:
    named = {
        (level, listed, reach): variant_of(level, listed, reach)
        for level in Level
        for listed in (True, False)
        for reach in Reach
    }
    expected = {
        (Level.CLOSED, True): "closed",
        (Level.CLOSED, False): "unlisted",
        (Level.PARTNERS, True, Reach.INVITED): "invited",
        (Level.PARTNERS, False, Reach.INVITED): "invited_unlisted",
        (Level.PARTNERS, True, Reach.EVERYONE): "everyone",
        (Level.PARTNERS, False, Reach.EVERYONE): "everyone",
    }
    for dials, variant in named.items():
        assert variant == expected.get(dials, expected.get(dials[:2], dials[0].value))
    assert {variant_of(*dials, hosted_here=False) for dials in named} == {Variant.ELSEWHERE}


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
OF_ROLES = {"accept_invitation", "admit_members", "change_policy"}
OF_POSTS = {"edit_post", "withdraw_post"}
WRITES = {"join", "ask_to_join", "accept_invitation", "react", "reply", "post", "invite"}

DAY = 24 * 3600 * 1000
COLLEAGUE = Employee(1, 2)
ADMIN = Employee(1, 2, Office.ADMIN)
AUDITOR = Employee(1, 2, Office.AUDITOR)
SOMEBODY = RemotePerson(3, 4, linked=True)


def of(audience: Audience) -> Viewer:
    """Somebody who can be this audience; guests have no viewer of their own yet."""
    if audience is Audience.WEB:
        return Anonymous()
    ours = audience in (Audience.STAFF, Audience.STAFF_MEMBER, Audience.GUEST, Audience.GUEST_MEMBER)
    return COLLEAGUE if ours else SOMEBODY


def space(variant: Variant, closed_at: int | None = None) -> SpaceFacts:
    return SpaceFacts(1, variant, 4 if variant is Variant.ELSEWHERE else None, opened_at=1, closed_at=closed_at)


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
    viewers: tuple[Viewer, ...] = (COLLEAGUE, SOMEBODY, PeerServer(4), Anonymous())
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
        for viewer in (COLLEAGUE, SOMEBODY, PeerServer(4), Anonymous())
    }
    for viewer, given in answers.items():
        person = isinstance(viewer, (Employee, RemotePerson))
        answered = "allowed" if person else "sign_in_first"
        expected = {"read": "allowed", "open_file": "allowed", "react": answered, "reply": answered}
        edited = "sign_in_first" if isinstance(viewer, PeerServer) else "authors_only"
        expected |= {"relay": "stays_here", "edit_post": edited, "withdraw_post": "authors_only"}
        assert given == {act.value: expected.get(act.value, "unknown_act") for act in Act}


def test_what_is_deleted_is_hidden_from_its_author_too() -> None:
    for visibility in Visibility:
        post = PostFacts(COLLEAGUE.actor_id, 1, visibility=visibility, deleted=True)
        assert may_post(COLLEAGUE, Act.READ, post, Standing(Audience.STAFF), 2).hide


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
