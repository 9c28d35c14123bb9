"""The words of openness: every field, right, audience and problem has its own, in both languages."""

from dataclasses import fields, replace

import pytest

from server import policy_words
from server.bounds import ORDER_BROKEN, Problem
from server.openness import Audience, Identity, Level, PartnerView, Reach
from server.policy_words import Day, Said, differences, shift, shifts, spoken
from server.rights import NARROWABLE, TABLE
from server.space_policy import GENERAL, OF_PARTNERS, ORDERED, PartnerTerms, SpacePolicy, compare
from web.locale import Speech, speech

FR, EN = speech("fr"), speech("en")
DAY = 1_806_451_200_000  # 31 March 2027
CLOSED = SpacePolicy(Level.CLOSED)


def test_every_field_of_a_policy_is_told_when_it_changes() -> None:
    assert set(policy_words._TOLD) == {each.name for each in fields(SpacePolicy)}
    assert set(policy_words.FIELDS) >= {each.name for each in fields(SpacePolicy)}


def test_every_right_and_value_of_the_table_has_words() -> None:
    for cell in TABLE.values():
        for right in ORDERED:
            assert isinstance(policy_words.value(right, getattr(cell, right)), Said)
    assert set(NARROWABLE) <= set(policy_words.VALUES)
    assert {*GENERAL, *OF_PARTNERS} <= set(policy_words.AUDIENCES)


@pytest.mark.parametrize(
    ("speaks", "said"),
    [
        (FR, ["Niveau : Fermé → Partenaires", "kestrel.test est ajouté : sur invitation, jusqu’au 31 mars 2027"]),
        (EN, ["Level: Closed → Partners", "kestrel.test is added: by invitation, until 31 March 2027"]),
    ],
)
def test_a_difference_is_a_sentence_in_both_languages(speaks: Speech, said: list[str]) -> None:
    wanted = replace(CLOSED, level=Level.PARTNERS, partners=(PartnerTerms("kestrel.test", until_at=DAY),))
    found = [spoken(one.words, speaks).replace("\u202f", " ") for one in differences(CLOSED, wanted)]
    assert found == said


def test_every_term_of_a_partner_is_told_when_it_changes() -> None:
    was = PartnerTerms("kestrel.test")
    changed = PartnerTerms("kestrel.test", "invited", DAY, 12, "marie", "rendues en juin", (("files", 1),))
    words = set()
    for term in fields(PartnerTerms)[1:]:
        now = replace(was, **{term.name: getattr(changed, term.name)})
        assert now != was, term.name
        words.add(spoken(policy_words.terms_words(now, Reach.EVERYONE), FR))
    assert len(words) == len(fields(PartnerTerms)) - 1
    assert spoken(policy_words.terms_words(was, Reach.EVERYONE), FR) not in words


def test_nothing_changes_in_no_words() -> None:
    assert differences(CLOSED, CLOSED) == []
    assert shifts(compare(CLOSED, CLOSED)) == []


def test_who_gains_what_is_told_reader_by_reader() -> None:
    told = [spoken(shift(one), FR) for one in shifts(compare(CLOSED, replace(CLOSED, level=Level.INTERNAL)))]
    assert any(text.startswith("Autres collègues gagnent") and "lire, de « non » à « oui »" in text for text in told)
    assert not any("perdent" in text for text in told)


def test_what_is_taken_from_readers_and_partners_is_told() -> None:
    before = SpacePolicy(Level.PARTNERS, partners=(PartnerTerms("kestrel.test"), PartnerTerms("lune.test")))
    after = replace(
        before,
        partners=(PartnerTerms("kestrel.test", less=(("take_part", 1),)),),
        less=((Audience.GUEST_MEMBER, (("files", 0),)),),
        partner_view=PartnerView.BLIND,
        identity_outside=Identity.FUNCTION,
        reach=Reach.EVERYONE,
    )
    told = "\n".join(spoken(one.words, EN) for one in differences(before, after))
    assert "kestrel.test: by invitation → everyone there, taking part: react" in told
    assert "lune.test is removed" in told
    assert "Members, guests, at most: files: no" in told
    assert "partners do not see one another" in told


def test_a_problem_says_the_words_that_people_know() -> None:
    found = Problem("less", ORDER_BROKEN, {"greater": "staff", "lesser": "partner", "right": "files"})
    assert "Autres collègues" in spoken(policy_words.problem(found), FR)
    assert "staff" not in spoken(policy_words.problem(found), EN)


def test_a_day_is_told_as_a_day() -> None:
    assert spoken(Said("%(day)s", {"day": Day(DAY)}), EN) == "31 March 2027"
