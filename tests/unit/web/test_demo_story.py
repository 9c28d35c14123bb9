"""The demo's story holds together before anybody plays it."""

import re

from server.openness import Level, Reach
from web.demo.conversations import READINGS, STORY
from web.demo.sheets import pdf

PLACES = [place for company in STORY.companies for place in company.places]
NAMES = [person.name for company in STORY.companies for person in company.people]


def test_nobody_speaks_or_thanks_who_is_not_in_the_room() -> None:
    strangers = []
    for line in STORY.lines:
        place = STORY.place_of(line)
        inside = {place.owner, *place.members, *place.invited} if place else set(NAMES)
        heard = {line.author, *line.thanks, *(name for name, _ in (*line.gestures, *line.votes))}
        strangers += [(line.text[:40], name) for name in heard - inside]
    assert strangers == []


def test_every_level_and_both_its_dials_are_there_to_look_at() -> None:
    assert {place.level for place in PLACES} == set(Level)
    assert {place.listed is not False for place in PLACES if place.level is Level.CLOSED} == {True, False}
    assert {place.reach for place in PLACES if place.level is Level.PARTNERS} == set(Reach)


def test_names_addresses_and_beginnings_are_each_used_once() -> None:
    for used in (NAMES, [place.slug for place in PLACES], [line.text[:40] for line in STORY.lines]):
        assert len(used) == len(set(used))
    assert len(NAMES) == 25 and len(STORY.lines) >= 40


def test_an_answer_comes_after_its_question() -> None:
    order = [line.text for line in STORY.in_rounds()]
    for line in STORY.lines:
        assert not line.answers or order.index(STORY.line(line.answers).text) < order.index(line.text)


def test_the_table_of_the_pdf_says_where_each_object_begins() -> None:
    written = pdf(READINGS)
    begins = [int(place) for place in re.findall(rb"^(\d{10}) 00000 n $", written, re.MULTILINE)]
    assert [written[at:].split(b" ", 1)[0] for at in begins] == [b"1", b"2", b"3", b"4", b"5"]
    (xref,) = re.findall(rb"startxref\n(\d+)\n", written)
    assert written[int(xref) :].startswith(b"xref\n0 6\n")
    (length,) = re.findall(rb"/Length (\d+)", written)
    assert len(written.split(b"stream\n", 1)[1].split(b"\nendstream")[0]) == int(length)
