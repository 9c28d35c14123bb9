"""An explanation is the policy's own answer, and what would be enough is what the policy then allows.

The whole of the table is looked at: row × audience × act, and row × stamp × audience × age of one post.
"""

import itertools
from collections.abc import Iterator

import pytest

from server import explaining_words
from server.explaining import Barred, Case, Explanation, Step, enough, explain
from server.openness import Audience, Office, Variant, Visibility
from server.policy import Act, PostFacts, SpaceFacts, Standing, Stop, may, may_post
from server.policy_words import spoken
from server.viewer import Anonymous, Employee, Guest, Operator, PeerServer, RemotePerson, Viewer
from web.locale import speech

DAY = 24 * 3600 * 1000
NOW = 1_000 * DAY
MEMBERS = {Audience.STAFF_MEMBER, Audience.GUEST_MEMBER, Audience.PARTNER_MEMBER, Audience.FED_MEMBER}


def of(audience: Audience) -> Viewer:
    """Somebody who can be this audience."""
    viewers: dict[Audience, Viewer] = {
        Audience.WEB: Anonymous(),
        Audience.GUEST: Guest(1, 5, "guest:atelier"),
        Audience.GUEST_MEMBER: Guest(1, 5, "guest:atelier"),
        Audience.STAFF: Employee(1, 2),
        Audience.STAFF_MEMBER: Employee(1, 2),
        Audience.GLASS: Employee(1, 2, Office.ADMIN),
    }
    return viewers.get(audience) or RemotePerson(3, 4, audience not in (Audience.FED, Audience.FED_MEMBER))


def space(variant: Variant) -> SpaceFacts:
    return SpaceFacts(1, variant, 4 if variant is Variant.ELSEWHERE else None, opened_at=NOW - 300 * DAY)


def standing(audience: Audience) -> Standing:
    since = NOW - 5 * DAY if audience in MEMBERS else None
    let_in = NOW - 30 * DAY if "partner" in audience.value or audience is Audience.KIN else None
    return Standing(audience, since_at=since, let_in_at=let_in)


def in_spaces() -> Iterator[Case]:
    """Everybody who can be something to a space, wanting each thing of it."""
    for variant, audience, act in itertools.product(Variant, Audience, Act):
        if audience is not Audience.HOST or variant is Variant.ELSEWHERE:
            yield Case(of(audience), act, standing(audience), space(variant), now=NOW)


def about_posts() -> Iterator[Case]:
    for variant, stamp, audience, days in itertools.product(Variant, Variant, Audience, (1, 20, 200)):
        if audience is not Audience.HOST or variant is Variant.ELSEWHERE:
            where = space(variant)
            post = PostFacts(99, NOW - days * DAY, where, stamp)
            yield Case(of(audience), Act.READ, standing(audience), where, post, NOW)


def personal() -> Iterator[Case]:
    for visibility, audience, act in itertools.product(Visibility, (Audience.STAFF, Audience.FED, Audience.WEB), Act):
        post = PostFacts(99, NOW - 1, visibility=visibility)
        yield Case(of(audience), act, Standing(audience), None, post, NOW)


def asked(case: Case) -> object:
    if case.post is not None:
        return may_post(case.viewer, case.act, case.post, case.standing, case.now)
    assert case.space is not None
    return may(case.viewer, case.act, case.space, case.standing)


@pytest.mark.parametrize("cases", [in_spaces, about_posts, personal])
def test_the_answer_is_the_policys_and_its_chain_ends_with_the_rule_that_decides(cases: object) -> None:
    tongue = speech("fr")
    for case in cases():  # type: ignore[operator]
        told = explain_without_changes(case)
        assert told.decision == asked(case)
        if case.post is not None and told.decision.hide:
            assert told.decision.stop is not None, case
        chain = explaining_words.chain(told)
        last = [reason.holds for reason in chain if reason.holds is not None][-1:]
        assert last in ([], [bool(told.decision)]), (case, chain)
        assert all(spoken(reason.said, tongue) for reason in chain)


def explain_without_changes(case: Case) -> Explanation:
    """The same without the search, which is looked at by itself."""
    return explain(case, changes=False)


JOINS = (Act.JOIN, Act.ASK_TO_JOIN, Act.ACCEPT_INVITATION)


def is_final(case: Case) -> bool:
    """What no step of anybody would allow, spelled out: everything else that is refused has a remedy."""
    act, audience, variant = case.act, case.standing.audience, case.space.variant if case.space else None
    if variant is Variant.ELSEWHERE:
        return True  # its host decides
    if act in (Act.EDIT_POST, Act.WITHDRAW_POST):
        return True  # another's words, or no act on a space
    if act in JOINS and audience in MEMBERS | {Audience.GLASS}:
        return True  # they are inside
    if act in (Act.ADMIT_MEMBERS, Act.CHANGE_POLICY, Act.DECIDE):
        return not isinstance(case.viewer, Employee)
    return audience is Audience.WEB and act in (Act.NAME_MEMBERS, Act.JOIN)


def test_whatever_is_refused_of_a_space_has_a_smallest_change_and_it_is_told_in_words() -> None:
    for case in in_spaces():
        told = explain_without_changes(case)
        if told.decision or is_final(case):
            continue
        found = enough(case)
        assert found, case
        for made in found:
            assert spoken(explaining_words.changes(made), speech("fr")).startswith("Il suffirait ")
            assert spoken(explaining_words.changes(made), speech("en")).startswith("It would be enough ")


def test_whatever_is_not_read_of_a_post_of_ours_has_a_smallest_change() -> None:
    for number, case in enumerate(about_posts()):
        if number % 11 == 0 and not asked(case) and not is_final(case):
            assert enough(case), case
    for case in personal():
        if case.act is Act.READ and not asked(case):
            assert enough(case), case


def test_the_smallest_change_is_what_opens_least() -> None:
    partner, colleague = Audience.PARTNER, Audience.STAFF
    first = {
        (Variant.INVITED, partner): [Step.INVITE],
        (Variant.CLOSED, colleague): [Step.ASK],
        (Variant.UNLISTED, colleague): [Step.INVITE],
        (Variant.INVITED, Audience.FED): [Step.LINK, Step.NAME_PARTNER, Step.INVITE],
        (Variant.NETWORK, Audience.WEB): [Step.SIGN_IN],
    }
    for (variant, audience), steps in first.items():
        case = Case(of(audience), Act.READ, standing(audience), space(variant), now=NOW)
        assert [change.step for change in enough(case)[0]] == steps, (variant, audience)


def test_a_change_is_never_told_with_another_that_is_not_needed() -> None:
    for number, case in enumerate(in_spaces()):
        if number % 5 == 0 and not asked(case):
            found = [set(made) for made in enough(case)]
            assert not any(one < other for one, other in itertools.permutations(found, 2)), case


def test_nothing_would_bring_back_what_was_withdrawn_nor_let_a_command_read() -> None:
    where = space(Variant.PUBLIC)
    gone = PostFacts(99, NOW - 1, where, Variant.PUBLIC, deleted=True)
    assert enough(Case(of(Audience.STAFF), Act.READ, standing(Audience.STAFF), where, gone, NOW)) == ()
    there = PostFacts(99, NOW - 1, where, Variant.PUBLIC)
    assert enough(Case(Operator(), Act.READ, Standing(Audience.WEB), where, there, NOW)) == ()
    elsewhere = PostFacts(99, NOW - 1, visibility=Visibility.DIRECT, peer_id=4)
    assert enough(Case(of(Audience.FED), Act.READ, Standing(Audience.FED), None, elsewhere, NOW)) == ()


@pytest.mark.parametrize(
    ("barred", "step"),
    [
        (Barred.SUSPENDED, Step.REINSTATE),
        (Barred.ENDED, Step.EXTEND_GUEST),
        (Barred.BLOCKED, Step.UNBLOCK),
    ],
)
def test_whoever_comes_in_by_no_door_is_refused_whatever_a_space_allows(barred: Barred, step: Step) -> None:
    case = Case(of(Audience.STAFF_MEMBER), Act.READ, standing(Audience.STAFF_MEMBER), space(Variant.CLOSED), now=NOW)
    assert explain(case).decision
    told = explain(Case(case.viewer, case.act, case.standing, case.space, None, NOW, barred))
    assert not told.decision
    assert [change.step for change in told.would_change_if[0]] == [step]
    assert explaining_words.chain(told)[-1].rule == "door"


def test_what_a_post_is_kept_by_is_named() -> None:
    where = SpaceFacts(1, Variant.INVITED, opened_at=1, blind=True)
    now, late = NOW - 1, standing(Audience.PARTNER_MEMBER)
    blind = PostFacts(99, now, where, Variant.INVITED, side="peer:9")
    held = PostFacts(99, now, where, Variant.INVITED, held=True)
    old = PostFacts(99, NOW - 20 * DAY, where, Variant.INVITED)
    narrow = PostFacts(99, now, where, Variant.CLOSED)
    for post, stop, steps in (
        (blind, Stop.SIDE, [Step.SEE_EACH_OTHER]),
        (held, Stop.HELD, [Step.APPROVE]),
        (old, Stop.JOINED, [Step.HISTORY]),
        (narrow, Stop.STAMP, [Step.PAST]),
    ):
        told = explain(Case(of(Audience.PARTNER_MEMBER), Act.READ, late, where, post, NOW))
        assert told.decision.stop is stop
        assert [change.step for change in told.would_change_if[0]] == steps


def test_a_server_reads_for_its_people_and_a_person_has_to_sign_what_they_write() -> None:
    server = PeerServer(4, True)
    case = Case(server, Act.POST, standing(Audience.PARTNER_MEMBER), space(Variant.INVITED), now=NOW)
    assert [change.step for change in explain(case).would_change_if[0]] == [Step.SIGN_THEMSELVES]
