"""What holds of the whole table, whatever its values: the domain is small, so all of it is looked at."""

import pytest

from server.openness import Audience, Existence, Join, Notices, Read, Relay, TakePart, Variant
from server.rights import NARROWED, NOTHING, TABLE, Rights, least

ORDERED = ("existence", "members", "read", "files", "join", "take_part", "invite", "relay", "notices")
OUTSIDE = [a for a in Audience if a not in (Audience.STAFF, Audience.STAFF_MEMBER, Audience.HOST)]
BECOMES = {
    Audience.FED: Audience.FED_MEMBER,
    Audience.PARTNER: Audience.PARTNER_MEMBER,
    Audience.GUEST: Audience.GUEST_MEMBER,
    Audience.STAFF: Audience.STAFF_MEMBER,
}
WIDER = [
    (Audience.WEB, Audience.FED),
    (Audience.FED, Audience.PARTNER),
    (Audience.PARTNER, Audience.STAFF),
    (Audience.GUEST, Audience.STAFF),
]


def components(cell: Rights) -> dict[str, int]:
    """All of a cell as values that grow with what is allowed: no moderation and no limit in time are more."""
    values = {name: int(getattr(cell, name)) for name in ORDERED}
    return values | {"unmoderated": int(not cell.moderated), "before_opening": int(not cell.since_opening)}


def beyond(lesser: Rights, greater: Rights, *, leaving: tuple[str, ...] = ()) -> dict[str, tuple[int, int]]:
    """The components in which the lesser has more than the greater; a limit on nothing is not less of one."""
    one, other = components(lesser), components(greater)
    names = set(one) - set(leaving)
    if lesser.read is Read.NONE:
        names.discard("before_opening")
    if lesser.take_part is TakePart.NONE:
        names.discard("unmoderated")
    return {name: (one[name], other[name]) for name in sorted(names) if one[name] > other[name]}


@pytest.mark.parametrize(("lesser", "greater"), WIDER)
@pytest.mark.parametrize("variant", Variant)
def test_I1_whoever_is_nearer_to_us_never_has_less(variant: Variant, lesser: Audience, greater: Audience) -> None:
    found = beyond(TABLE[variant, lesser], TABLE[variant, greater])
    if (variant, lesser) == (Variant.EVERYONE, Audience.PARTNER):
        # the design tells partners who are not in it that there is something new; a colleague sees it at home
        assert found == {"notices": (Notices.SOMETHING_NEW, Notices.NOTHING)}
        return
    if (variant, lesser) == (Variant.INVITED_UNLISTED, Audience.PARTNER):
        # a named partner's server knows the space to which its people are invited; colleagues outside it do not
        assert found == {"existence": (Existence.CARD, Existence.HIDDEN)}
        return
    assert found == {}


@pytest.mark.parametrize(("stranger", "member"), BECOMES.items())
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
