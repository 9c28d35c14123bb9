"""What holds of the whole table, whatever its values: the domain is small, so all of it is looked at."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from server.bounds import problems
from server.openness import (
    Audience,
    Existence,
    Files,
    History,
    Join,
    Level,
    Notices,
    Reach,
    Read,
    Relay,
    TakePart,
    Variant,
)
from server.policy import SpaceFacts, Standing, rights
from server.rights import (
    HISTORIES,
    NAMED,
    NARROWABLE,
    NARROWED,
    NOTHING,
    OUTSIDE_MEMBERS,
    TABLE,
    Less,
    Rights,
    effective,
    least,
    taken,
)
from server.space_policy import (
    NARROWABLE_AUDIENCES,
    Guardrails,
    PartnerTerms,
    SpacePolicy,
    compare,
    only_narrows,
    widens,
)

ORDERED = ("existence", "members", "read", "files", "join", "take_part", "invite", "relay", "notices")
OUTSIDE = [a for a in Audience if a not in (Audience.STAFF, Audience.STAFF_MEMBER, Audience.HOST, Audience.GLASS)]
BECOMES = {
    Audience.FED: Audience.FED_MEMBER,
    Audience.PARTNER: Audience.PARTNER_MEMBER,
    Audience.GUEST: Audience.GUEST_MEMBER,
    Audience.STAFF: Audience.STAFF_MEMBER,
}
BECOMES_TOO = [(Audience.PARTNER_UNINVITED, Audience.PARTNER_MEMBER)]
"""Who is of a partner is the same member, whichever way in; a sister department's people have more than a member
elsewhere, and as members they are a partner's: their ceiling is staff, not member.
"""
WIDER = [
    (Audience.WEB, Audience.FED),
    (Audience.FED, Audience.PARTNER_UNINVITED),
    (Audience.PARTNER_UNINVITED, Audience.PARTNER),
    (Audience.FED, Audience.PARTNER),
    (Audience.PARTNER, Audience.KIN),
    (Audience.KIN, Audience.STAFF),
    (Audience.PARTNER, Audience.STAFF),
    (Audience.WEB, Audience.GUEST),
    (Audience.GUEST, Audience.STAFF),
]


def components(cell: Rights) -> dict[str, int]:
    """All of a cell as values that grow with what is allowed: no moderation and no limit in time are more."""
    values = {name: int(getattr(cell, name)) for name in ORDERED}
    values["days"] = cell.days or 100_000
    return values | {"unmoderated": int(not cell.moderated), "before_opening": int(not cell.since_opening)}


def beyond(lesser: Rights, greater: Rights, *, leaving: tuple[str, ...] = ()) -> dict[str, tuple[int, int]]:
    """The components in which the lesser has more than the greater; a limit on nothing is not less of one."""
    one, other = components(lesser), components(greater)
    names = set(one) - set(leaving)
    if lesser.read is Read.NONE:
        names -= {"before_opening", "days"}
    if lesser.take_part is TakePart.NONE:
        names.discard("unmoderated")
    return {name: (one[name], other[name]) for name in sorted(names) if one[name] > other[name]}


MEANT = {
    # the design tells partners who are not in it that there is something new; a colleague sees it at home
    (Variant.EVERYONE, Audience.PARTNER, Audience.STAFF): {"notices": (Notices.SOMETHING_NEW, Notices.NOTHING)},
    (Variant.EVERYONE, Audience.KIN, Audience.STAFF): {"notices": (Notices.SOMETHING_NEW, Notices.NOTHING)},
    # a named partner's server knows the space to which its people are invited; colleagues outside it do not
    **{
        (Variant.INVITED_UNLISTED, partner, Audience.STAFF): {"existence": (Existence.CARD, Existence.HIDDEN)}
        for partner in (Audience.PARTNER, Audience.KIN)
    },
    # visitors carry away what is public and do so without an account; a guest is bound by what they signed
    (Variant.PUBLIC, Audience.WEB, Audience.GUEST): {"relay": (Relay.FREE, Relay.NONE)},
}
"""Where somebody further away has more, on purpose; the reason stands above each."""


@pytest.mark.parametrize(("lesser", "greater"), WIDER)
@pytest.mark.parametrize("variant", Variant)
def test_I1_whoever_is_nearer_to_us_never_has_less(variant: Variant, lesser: Audience, greater: Audience) -> None:
    found = beyond(TABLE[variant, lesser], TABLE[variant, greater])
    assert found == MEANT.get((variant, lesser, greater), {})


@pytest.mark.parametrize(("stranger", "member"), [*BECOMES.items(), *BECOMES_TOO])
@pytest.mark.parametrize("variant", Variant)
def test_I2_a_member_never_has_less_than_who_is_not(variant: Variant, stranger: Audience, member: Audience) -> None:
    """Joining is what a member has no more need of."""
    assert beyond(TABLE[variant, stranger], TABLE[variant, member], leaving=("join",)) == {}


@pytest.mark.parametrize("outsider", [Audience.FED_MEMBER, Audience.PARTNER_MEMBER, Audience.GUEST_MEMBER])
@pytest.mark.parametrize("variant", Variant)
def test_I2_a_member_from_outside_never_has_more_than_a_colleague(variant: Variant, outsider: Audience) -> None:
    assert beyond(TABLE[variant, outsider], TABLE[variant, Audience.STAFF_MEMBER]) == {}


def test_I3_who_takes_part_reads_and_what_leaves_freely_is_read_by_everybody() -> None:
    for (variant, audience), cell in TABLE.items():
        if cell.take_part >= TakePart.REACT:
            assert cell.read >= Read.LIMITED, (variant, audience)
        if cell.relay is Relay.FREE:
            assert TABLE[variant, Audience.WEB].read is Read.ALL, (variant, audience)
        if cell.files or cell.take_part or cell.read or cell.members or cell.relay or cell.notices:
            assert cell.existence, (variant, audience)
        if cell.files:
            assert cell.read, (variant, audience)


@pytest.mark.parametrize("variant", [Variant.CLOSED, Variant.UNLISTED, Variant.INTERNAL])
def test_levels_one_and_two_give_nothing_to_anybody_outside(variant: Variant) -> None:
    assert {TABLE[variant, audience] for audience in [*OUTSIDE, Audience.HOST]} == {NOTHING}


@pytest.mark.parametrize("stamp", Variant)
@pytest.mark.parametrize("current", Variant)
def test_a_stamp_never_widens_and_a_space_never_opens_what_was_written_before(current: Variant, stamp: Variant) -> None:
    for audience in Audience:
        left = NARROWED[current, stamp, audience]
        for source in (TABLE[current, audience], TABLE[stamp, audience]):
            assert beyond(left, source) == {}, audience
            assert all(getattr(left, name) <= getattr(source, name) for name in ORDERED)
            assert left.moderated >= source.moderated
            assert left.since_opening >= source.since_opening
        assert left == NARROWED[stamp, current, audience]
        assert least(left, TABLE[current, audience]) == left


def test_the_same_stamp_takes_nothing_away() -> None:
    for (variant, audience), cell in TABLE.items():
        assert NARROWED[variant, variant, audience] == cell


def test_only_a_public_space_is_known_to_the_web_and_only_an_open_one_to_strangers() -> None:
    assert [v for v in Variant if TABLE[v, Audience.WEB].existence] == [Variant.PUBLIC]
    assert [v for v in Variant if TABLE[v, Audience.FED].existence] == [Variant.NETWORK, Variant.PUBLIC]
    assert [v for v in Variant if TABLE[v, Audience.HOST].existence] == [Variant.ELSEWHERE]


def test_only_who_is_unseen_comes_in_by_invitation_alone() -> None:
    """A card without a way in, and a way in without a card, are both said by `invited`."""
    for (variant, audience), cell in TABLE.items():
        if cell.existence is Existence.HIDDEN and cell != NOTHING:
            assert cell == Rights(join=Join.INVITED), (variant, audience)


# --- dials: the whole domain ----------------------------------------------------------------------


def looked_back() -> Iterator[tuple[Variant, Variant, History, int]]:
    """Every row now × every row then × how far back, within the bounds of its level and beyond them."""
    for current, stamp, history in itertools.product(Variant, Variant, History):
        for days in (1, 30, 3650) if history is History.DAYS else (0,):
            yield current, stamp, history, days


def test_I1_I2_however_far_back_a_member_never_has_less_than_who_is_not_nor_more_than_a_colleague() -> None:
    for current, stamp, history, days in looked_back():
        if history not in HISTORIES[current]:
            continue
        cell = {who: effective(current, stamp, who, history, days) for who in Audience}
        for stranger, member in [*BECOMES.items(), *BECOMES_TOO]:
            case = (current, stamp, history, days, member)
            assert beyond(cell[stranger], cell[member], leaving=("join",)) == {}, case
        for member in OUTSIDE_MEMBERS:
            assert beyond(cell[member], cell[Audience.STAFF_MEMBER]) == {}, (current, stamp, history, days, member)


def test_I4_how_far_back_moves_the_past_alone_and_opens_nothing_that_the_level_keeps_shut() -> None:
    """A stamp of a level that lets nobody of this audience read stays shut, whatever the dial."""
    for current, stamp, history, days in looked_back():
        for who in Audience:
            plain, dialled = NARROWED[current, stamp, who], effective(current, stamp, who, history, days)
            case = (current, stamp, history, days, who)
            as_before = replace(dialled, read=plain.read, since_opening=plain.since_opening, days=plain.days)
            assert as_before == plain, case
            assert (dialled.read >= Read.LIMITED) == (plain.read >= Read.LIMITED), case
            if who not in OUTSIDE_MEMBERS:
                assert dialled == plain, case


def test_I4_what_a_level_does_not_offer_counts_as_the_level_says() -> None:
    for variant, history in itertools.product(Variant, History):
        if history in HISTORIES[variant]:
            continue
        facts = SpaceFacts(1, variant, opened_at=1, history=history, history_days=3)
        for who in Audience:
            assert rights(facts, Standing(who)) == TABLE[variant, who], (variant, history, who)


def takings() -> Iterator[Less]:
    """Every right down to every value, one at a time, and all of them at once."""
    tops = {"members": 3, "files": 2, "take_part": 4, "invite": 2, "relay": 2, "notices": 3}
    assert set(tops) == set(NARROWABLE)
    for right, top in tops.items():
        for most in range(top + 1):
            yield taken([(right, most)])
    yield taken([(right, 0) for right in NARROWABLE])


@pytest.mark.parametrize("current", Variant)
def test_I4_a_dial_that_takes_rights_never_gives_one(current: Variant) -> None:
    for stamp, who, less in itertools.product(Variant, Audience, takings()):
        plain = NARROWED[current, stamp, who]
        for dialled in (effective(current, stamp, who, less=less), effective(current, stamp, who, less_here=less)):
            assert beyond(dialled, plain) == {}, (stamp, who, less)
            most = dict(less)
            for right in ORDERED:
                limit = min(getattr(plain, right), most.get(right, 99))
                assert getattr(dialled, right) == limit, (stamp, who, less, right)
        both = effective(current, stamp, who, less=less, less_here=taken([("files", 0)]))
        assert both.files is Files.NONE


def test_I1_I2_what_may_be_taken_keeps_the_order_of_audiences() -> None:
    """`bounds` lets nobody take from the nearer what the further keeps, for the space or for one partner."""
    for policy in narrowed_policies():
        allowed = not problems(policy, Guardrails(), 0)
        facts = SpaceFacts(1, policy.variant, opened_at=1, less=policy.less)
        broken = {}
        for terms in (None, *policy.partners):
            less_here = terms.less if terms else ()
            held = {who: rights(facts, Standing(who, less=less_here if who in NAMED else ())) for who in Audience}
            for lesser, greater in [*WIDER, *BECOMES.items(), *BECOMES_TOO]:
                meant = beyond(TABLE[policy.variant, lesser], TABLE[policy.variant, greater])
                found = beyond(held[lesser], held[greater], leaving=("join",))
                if new := set(found) - set(meant):
                    broken[lesser, greater] = new
        if allowed:
            assert broken == {}, policy


def narrowed_policies() -> Iterator[SpacePolicy]:
    for level, reach in itertools.product((Level.PARTNERS, Level.NETWORK, Level.PUBLIC), Reach):
        plain = SpacePolicy(level, reach=reach, partners=(PartnerTerms("k.test"),))
        for less in takings():
            yield replace(plain, partners=(PartnerTerms("k.test", less=less),))
            for who in NARROWABLE_AUDIENCES:
                yield replace(plain, less=((who, less),))


def test_I5_a_change_widens_exactly_when_some_cell_grows() -> None:
    """On the matrix, not on names: between any two levels and dials."""
    values = list(itertools.product(Level, (True, False), Reach, (True, False)))
    for one, other in itertools.product(values, repeat=2):
        before, after = (
            SpacePolicy(level, listed, reach, staff_read, partners=(PartnerTerms("k.test"),))
            for level, listed, reach, staff_read in (one, other)
        )
        looked_at = set(Audience) - {Audience.HOST, Audience.GLASS, Audience.KIN, Audience.PARTNER_UNINVITED}
        grows = any(beyond(TABLE[after.variant, who], TABLE[before.variant, who]) for who in looked_at)
        shrinks = any(beyond(TABLE[before.variant, who], TABLE[after.variant, who]) for who in looked_at)
        changes = compare(before, after)
        assert widens(changes) == grows, (one, other)
        assert only_narrows(changes) == (shrinks and not grows), (one, other)


def test_an_exceptional_reading_reads_and_does_nothing_else() -> None:
    for variant in Variant:
        cell = TABLE[variant, Audience.GLASS]
        if variant is Variant.ELSEWHERE:
            assert cell == NOTHING  # another instance's words are not ours to open
            continue
        assert beyond(cell, TABLE[variant, Audience.STAFF_MEMBER]) == {}
        kept = ("join", "take_part", "invite", "relay", "notices")  # what whoever is outside it may do, they do as that
        assert beyond(TABLE[variant, Audience.STAFF], cell, leaving=kept) == {}
        assert (cell.take_part, cell.invite, cell.relay, cell.join, cell.notices) == (0,) * 5
