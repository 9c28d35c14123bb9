"""How both languages say days, hours, numbers and sizes, and which of them a reader gets."""

from datetime import UTC, datetime

import pytest

from server.clock import now_ms
from tests.counting import ends, instructions
from web.locale import DAY_MS, NARROW, NO_BREAK, choose, speech

FR, EN = speech("fr"), speech("en")
MARCH = int(datetime(2027, 3, 31, 16, 5, tzinfo=UTC).timestamp() * 1000)
MINUTE_MS = 60 * 1000


def test_a_day_is_written_in_words() -> None:
    assert (FR.day(MARCH), EN.day(MARCH)) == ("31 mars 2027", "31 March 2027")
    april = MARCH + DAY_MS
    assert (FR.day(april), EN.day(april)) == ("1er avril 2027", "1 April 2027")


def test_the_clock_has_24_hours_in_both() -> None:
    assert (FR.moment(MARCH), EN.moment(MARCH)) == ("31 mars 2027, 16:05\xa0UTC", "31 March 2027, 16:05\xa0UTC")
    midnight = MARCH - MARCH % DAY_MS
    assert FR.moment(midnight).endswith(", 00:00\xa0UTC") and EN.moment(midnight).endswith(", 00:00\xa0UTC")


def test_machines_read_the_same_instant_in_both() -> None:
    assert FR.iso(MARCH) == EN.iso(MARCH) == "2027-03-31T16:05:00Z"


def test_what_is_recent_is_told_by_how_long_ago_and_what_is_old_by_its_day() -> None:
    recent = now_ms() - 4 * MINUTE_MS - 1000
    assert FR.ago(recent).startswith("il y a 4")
    assert EN.ago(recent).startswith("4 min") and EN.ago(recent).endswith("ago")
    old = now_ms() - 8 * DAY_MS
    assert (FR.ago(old), EN.ago(old)) == (FR.day(old), EN.day(old))


def test_a_clock_that_is_ahead_never_says_something_is_still_to_come() -> None:
    ahead = now_ms() + 5 * MINUTE_MS
    assert FR.ago(ahead).startswith("il y a") and EN.ago(ahead).endswith("ago")


def test_thousands_are_set_apart_and_decimals_have_their_own_sign() -> None:
    assert (FR.number(1234567), EN.number(1234567)) == (f"1{NARROW}234{NARROW}567", "1,234,567")
    assert (FR.number(2.5), EN.number(2.5)) == ("2,5", "2.5")


@pytest.mark.parametrize(
    ("count", "french", "english"),
    [(0, "0 o", "0 B"), (999, "999 o", "999 B"), (1000, "1 ko", "1 kB"), (2_540_000, "2,5 Mo", "2.5 MB"),
     (12_400_000, "12 Mo", "12 MB"), (5_000_000_000_000, f"5{NARROW}000 Go", "5,000 GB")],
)  # fmt: skip
def test_a_size_is_in_the_unit_that_people_read(count: int, french: str, english: str) -> None:
    assert FR.size(count) == french.replace(" ", NARROW)
    assert EN.size(count) == english.replace(" ", NO_BREAK)


@pytest.mark.parametrize(
    ("count", "french", "english"),
    [(0, "%(count)s membre", "%(count)s members"), (1, "%(count)s membre", "%(count)s member"),
     (2, "%(count)s membres", "%(count)s members"), (2000, "%(count)s membres", "%(count)s members")],
)  # fmt: skip
def test_nought_is_singular_in_french_and_plural_in_english(count: int, french: str, english: str) -> None:
    one, many = "%(count)s membre", "%(count)s membres"
    assert (FR.ngettext(one, many, count), EN.ngettext(one, many, count)) == (french, english)


def test_a_sentence_that_no_catalogue_knows_is_shown_in_french_rather_than_not_at_all() -> None:
    unknown = "Une phrase que personne n’a traduite."
    assert EN.gettext(unknown) == FR.gettext(unknown) == unknown
    assert EN.ngettext("%(n)s chat", "%(n)s chats", 2) == "%(n)s chats"


@pytest.mark.parametrize(
    ("own", "browser", "default", "chosen"),
    [
        ("en", "fr", "fr", "en"),
        ("fr", "en", "en", "fr"),
        ("", "en", "fr", "en"),
        ("", "fr-CA,fr;q=0.9,en;q=0.5", "en", "fr"),
        ("", "en-GB,en;q=0.9", "fr", "en"),
        ("", "de-DE,de;q=0.9,en;q=0.5", "fr", "en"),
        ("", "en;q=0.2, fr;q=0.8", "en", "fr"),
        ("", "fr;q=0, en", "fr", "en"),
        ("", "fr;q=0", "en", "en"),
        ("", "de", "fr", "fr"),
        ("", "de", "en", "en"),
        ("", "*", "fr", "fr"),
        ("", "", "en", "en"),
        ("tlh", "en", "fr", "en"),
    ],
)
def test_a_person_chooses_else_their_browser_else_the_instance(
    own: str, browser: str, default: str, chosen: str
) -> None:
    assert choose(own, browser, default).language == chosen


@pytest.mark.parametrize(
    "header",
    [
        "x" * 1_000_000,
        "en," * 500_000,
        "," * 1_000_000,
        ";q=" * 300_000,
        "-" * 1_000_000,
        "_" * 1_000_000,
        "en;q=" + "9" * 400,
        "en;q=nan, fr;q=inf",
        "en;q=-1",
        "../../../etc/passwd",
        "fr\r\nset-cookie: a=b",
        "\x00\x7f\ud800",
        "en_US.UTF-8@euro",
        "e" * 499 + ",fr",
    ],
    ids=lambda header: ascii(header[:20]),
)
def test_a_hostile_accept_language_costs_nothing_and_gets_a_language_of_ours(header: str) -> None:
    choose("", "fr", "fr"), choose("", "en", "fr")  # read once
    assert instructions(lambda: choose("", header, "fr")) < 50_000
    with ends():
        assert choose("", header, "fr").language in ("fr", "en")
