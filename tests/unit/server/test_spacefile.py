"""A declarative file says the wanted end; what is wrong in it is named with file, line, column, key and expectation."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.clock import now_ms
from server.declared import fresh, wanted_of
from server.declared_values import GUARDRAIL_KEYS, PARTNER_KEYS, ROOT_KEYS, SPACE_KEYS, TERMS_KEYS
from server.openness import Audience, History, Level, PartnerView, Reach
from server.policy_words import spoken
from server.space_policy import DAY_MS, PartnerTerms, SpacePolicy
from server.spacefile import read
from server.toml_texts import MOST_FAULTS, WrongFile
from tests.counting import ends, grows_with_length_alone
from tests.unit.server.wrong_files import WRONG, Wrong
from web.locale import speech

FR, EN = speech("fr"), speech("en")
NARROW = "\u202f"
NOW = 1_790_000_000_000  # September 2026


def test_there_are_more_than_forty_of_them_and_each_has_its_own_name() -> None:
    assert len({wrong.name for wrong in WRONG}) == len(WRONG) > 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a charter may, and may not, be."""
    inside = tmp_path / "spaces"
    inside.mkdir()
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "charter.md").write_text("secret")
    (inside / "linked.md").symlink_to(tmp_path / "secret.md")
    (inside / "folder").symlink_to(tmp_path / "elsewhere")
    (inside / "long.md").write_text("a" * 20_001)
    return inside


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_a_wrong_file_names_its_fault_in_both_languages(folder: Path, wrong: Wrong) -> None:
    file = folder / "spaces.toml"
    file.write_bytes(wrong.raw)
    with pytest.raises(WrongFile) as refused:
        read(file, now_ms())
    assert len(refused.value.faults) == 1, [fault.told(EN) for fault in refused.value.faults]
    fault = refused.value.faults[0]
    assert (fault.spot.file, fault.spot.line, fault.spot.column, fault.key) == (
        "spaces.toml",
        wrong.line,
        wrong.column,
        wrong.key,
    )
    french, english = spoken(fault.expected, FR), spoken(fault.expected, EN)
    assert wrong.french in french.replace(NARROW, " ") and wrong.english in english, (french, english)
    assert fault.told(EN).startswith(f"spaces.toml:{wrong.line}:{wrong.column}: {wrong.key}")


def test_all_faults_are_told_at_once_and_not_without_end(tmp_path: Path) -> None:
    file = tmp_path / "spaces.toml"
    file.write_text('schema = 2\n[guardrails]\nmax_levl = 1\n[space.a]\nlevel = 1\nlisted = 2\n[space.b]\nowner = ""\n')
    with pytest.raises(WrongFile) as refused:
        read(file, NOW)
    assert [fault.key for fault in refused.value.faults] == [
        "schema",
        "guardrails.max_levl",
        "space.a.level",
        "space.a.listed",
        "space.b.owner",
    ]
    file.write_text("schema = 1\n" + "".join(f"[space.a{n}]\nx = 1\n" for n in range(500)))
    with pytest.raises(WrongFile) as refused:
        read(file, NOW)
    assert len(refused.value.faults) == MOST_FAULTS


@pytest.mark.parametrize("kind", ["missing", "link", "pipe", "unreadable", "empty folder"])
def test_what_is_no_plain_file_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "spaces.toml"
    if kind == "link":
        (tmp_path / "real.toml").write_text("schema = 1")
        file.symlink_to(tmp_path / "real.toml")
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "empty folder":
        file.mkdir()
    elif kind == "unreadable":
        file.symlink_to("/proc/self/mem")
    with pytest.raises(WrongFile) as refused:
        read(file, NOW)
    assert len(refused.value.faults) == 1
    assert "expected" in refused.value.faults[0].told(EN)


def test_a_folder_is_read_as_one_and_says_in_which_files_something_is_twice(tmp_path: Path) -> None:
    folder = tmp_path / "spaces"
    folder.mkdir()
    (folder / "a.toml").write_text('schema = 1\n[partner."kestrel.example"]\n[space.a]\nlevel = "closed"\n')
    (folder / "b.toml").write_text('schema = 1\n[space.b]\nlevel = "partners"\npartners = ["kestrel.example"]\n')
    found = read(folder, NOW)
    assert (found.label, [space.slug for space in found.spaces]) == ("spaces", ["a", "b"])
    (folder / "c.toml").write_text("schema = 1\n[space.a]\nlisted = true\n")
    with pytest.raises(WrongFile) as refused:
        read(folder, NOW)
    assert refused.value.faults[0].told(EN) == (
        "spaces/c.toml:2:8: space.a: expected once only; it is already in spaces/a.toml, line 3"
    )


def test_every_key_means_what_it_says(tmp_path: Path) -> None:
    (tmp_path / "charters").mkdir()
    (tmp_path / "charters" / "offre.md").write_text("Soyons brefs.")
    file = tmp_path / "spaces.toml"
    file.write_text(
        """schema = 1
[guardrails]
max_level = "network"
require_second_person_from = ""
[partner."kestrel.example"]
sponsor = "marie"
ceiling = "partners"
until = 2027-06-30
kin = false
[space.offre-lyon]
name = { fr = "Offre Lyon", en = "Lyon bid" }
level = "partners"
reach = "everyone"
owner = "marie"
stewards = ["li"]
partners = ["kestrel.example"]
partner_view = "blind"
history = "since_opening"
less = { partner_member = { take_part = "reply" } }
opens = 2027-01-01
until = 2027-01-31T18:00:00+01:00
then = "closed"
charter = "charters/offre.md"
tone = "direct, factuel"
manage = ["level", "partners", "until"]
"""
    )
    found = read(file, NOW)
    space = found.spaces[0]
    assert found.guardrails == {"max_level": Level.NETWORK, "require_second_person_from": None}
    assert space.partners == (PartnerTerms("kestrel.example", until_at=1_814_399_999_999, sponsor="marie"),)
    assert (space.owner, space.stewards, space.names["en"]) == ("marie", ("li",), "Lyon bid")
    policy = wanted_of(space, fresh(space), NOW, every=True)
    assert policy == SpacePolicy(
        level=Level.PARTNERS,
        reach=Reach.EVERYONE,
        partners=space.partners,
        partner_view=PartnerView.BLIND,
        history=History.SINCE_OPENING,
        less=((Audience.PARTNER_MEMBER, (("take_part", 2),)),),
        opens_at=1_798_761_600_000,
        closes_at=1_801_414_800_000,
        then_level=Level.CLOSED,
        charter="Soyons brefs.",
        tone="direct, factuel",
    )
    kept = wanted_of(space, SpacePolicy(Level.INTERNAL, tone="posé", seats=7), NOW, every=False)
    assert (kept.level, kept.tone, kept.seats, kept.partner_view) == (
        Level.PARTNERS,
        "posé",
        7,
        PartnerView.ORGANISATIONS,
    )


def test_after_its_end_date_a_space_is_what_the_file_says_that_follows(tmp_path: Path) -> None:
    file = tmp_path / "spaces.toml"
    file.write_text('schema = 1\n[space.a]\nlevel = "public"\nuntil = 2026-12-31\nthen = "internal"\n')
    space = read(file, NOW).spaces[0]
    after = 1_798_761_600_000  # 1 January 2027
    before = wanted_of(space, SpacePolicy(Level.CLOSED), after - 2, every=False)
    assert (before.level, before.closes_at) == (Level.PUBLIC, after - 1)
    over = wanted_of(space, SpacePolicy(Level.CLOSED), after + DAY_MS, every=False)
    assert (over.level, over.closes_at, over.then_level) == (Level.INTERNAL, None, None)
    assert read(file, after + DAY_MS).spaces[0] == space


@settings(max_examples=60, deadline=None)
@given(st.text("[]{}=.,\"'\\#\n ab1schemaspacelevel", max_size=120), st.binary(max_size=40))
def test_no_file_is_so_wrong_that_it_is_not_a_fault(
    tmp_path_factory: pytest.TempPathFactory, text: str, raw: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    for content in (text.encode(), b"schema = 1\n" + text.encode(), raw):
        file.write_bytes(content)
        try:
            read(file, NOW)
        except WrongFile as error:
            assert all(fault.told(FR) and fault.told(EN) for fault in error.faults)


def test_the_example_is_right_today_and_after_its_dates_and_shows_every_key() -> None:
    example = Path(__file__).parents[3] / "deploy" / "spaces.toml"
    for moment in (NOW, now_ms(), now_ms() + 2000 * DAY_MS):
        assert [space.slug for space in read(example, moment).spaces] == ["projet-cevennes"]
    text = example.read_text()
    for keys in (ROOT_KEYS, GUARDRAIL_KEYS, PARTNER_KEYS, SPACE_KEYS, TERMS_KEYS):
        assert [key for key in keys if not re.search(rf"\b{key}\b( = |\.|\])", text)] == []


def test_what_reading_a_file_costs_grows_with_it_alone(tmp_path: Path) -> None:
    def reading(spaces: int) -> None:
        assert len(read(tmp_path / str(spaces), NOW).spaces) == spaces

    one = '[space.s{n}]\nlevel = "closed"\nowner = "alice"\nname = "x"\n'
    for spaces in (300, 1200, 7900):
        declared = "".join(one.format(n=number) for number in range(spaces))
        (tmp_path / str(spaces)).mkdir()
        (tmp_path / str(spaces) / "spaces.toml").write_text("schema = 1\n" + declared)
    grows_with_length_alone(reading, 300)
    with ends():
        reading(7900)
