"""Every reason that may be kept of what goes wrong between instances has its French: what is raised in `federation/`,
what the schedule says of an answer, for which detail a verb behind a handler refuses, and what else is kept with a
link, a delivery or a recall.

A reason that is missing here is added to `web/sentences/fr/reasons.po`; one that is stale is taken out of it. One that
is a word of machines has its English too, in `web/sentences/en/reasons.po`.
"""

import re

import pytest
from babel.messages.pofile import read_po

from federation import schedule
from federation.answers import check_status
from federation.errors import FederationError
from server.verdicts import CODES
from tests.house.reasons import PLACE, every, without_places
from web.locale import speech
from web.reasons import SENTENCES

FOUND = every()
ONE_WORD = re.compile(r"[a-z]+([-_][a-z]+)*")
SHORTEST_PLACE = 200
"""Characters that are kept of an incident's reason."""


def catalogue(language: str) -> dict[str, str]:
    with (SENTENCES / language / "reasons.po").open("rb") as file:
        return {str(message.id): str(message.string) for message in read_po(file) if message.id}


FRENCH, ENGLISH = catalogue("fr"), catalogue("en")


def test_reasons_are_found_where_they_are_raised() -> None:
    assert len(FOUND) > 250
    for reason in (
        "The other instance broke the connection off.",  # named in a case
        "The other instance refused.",  # said by its class
        "The address has dot segments.",  # handed to a function that raises it
        "What is said of a link is signed with the key of the link.",  # a constant
        "“%s” is missing.",  # with a place
        "we are refused",  # of the schedule
        "no answer",  # of the schedule, where nothing else is known
        "another key than the one that was shown",  # of a link
        "The recall itself was refused: %s",  # of a recall
        "superseded",  # in a statement
        "not its host (I8)",  # the detail of a verb that a handler calls
        "no such space",  # of a question that such a verb asks
        "members_only_write",  # of the policy
    ):
        assert reason in FOUND, reason


def test_every_reason_has_its_french() -> None:
    known = {without_places(kept) for kept in FRENCH}
    assert sorted(f"{where}: {reason}" for reason, where in FOUND.items() if reason not in known) == []


def test_the_catalogues_hold_nothing_that_is_kept_no_more() -> None:
    assert sorted(kept for kept in {*FRENCH, *ENGLISH} if without_places(kept) not in FOUND) == []


def test_a_reason_of_one_word_has_its_english() -> None:
    words = {reason for reason in FOUND if ONE_WORD.fullmatch(reason)} - {"accepted"}  # which is a word already
    assert words == set(ENGLISH) and set(CODES) <= words


def test_a_reason_keeps_its_places_and_fits_where_it_is_kept() -> None:
    for kept, words in FRENCH.items():
        assert sorted(PLACE.findall(kept)) == sorted(PLACE.findall(words)), kept
        assert len(kept) <= SHORTEST_PLACE and words and words != kept, kept


def test_the_french_of_reasons_is_well_set() -> None:
    wrong = re.compile(r"'|\.\.\.|«(?!\u202f)|(?<!\u202f)»|(?<![\u202f:])[;!?](?=\W|$)|(?<!\u202f):(?=\s|$)|\s\s")
    assert [words for words in FRENCH.values() if wrong.search(words)] == []
    assert [words for words in ENGLISH.values() if re.search(r"'|\s[:;!?]", words)] == []


@pytest.mark.parametrize(
    ("kept", "french", "english"),
    [
        ("we are refused", "elle nous refuse", "we are refused"),
        ("answered 507", "a répondu 507", "answered 507"),
        (
            "The other instance cannot answer now. (502 from https://b.example/x)",
            "L’autre instance ne peut pas répondre maintenant. (502 from https://b.example/x)",
            "The other instance cannot answer now. (502 from https://b.example/x)",
        ),
        ("“to” is missing.", "«\u202fto\u202f» manque.", "“to” is missing."),
        (
            "The recall itself was refused: policy",
            "Le rappel lui-même a été refusé\u202f: ses règles ne le permettent pas",
            "The recall itself was refused: policy",
        ),
        ("policy", "ses règles ne le permettent pas", "its rules do not allow it"),
        ("an answer to nothing that was asked (O24)", "une réponse à rien de ce qui a été demandé (O24)", None),
        ("members_only_write", "seuls les membres publient", "only members write"),
        ("ZeroDivisionError", "ZeroDivisionError", "ZeroDivisionError"),
        ("Cette page n’existe pas.", "Cette page n’existe pas.", "This page does not exist."),
        ("100 % (x) %(name)s", "100 % (x) %(name)s", "100 % (x) %(name)s"),
    ],
)
def test_a_reason_is_spoken_as_its_reader_reads(kept: str, french: str, english: str | None) -> None:
    assert (speech("fr").reason(kept), speech("en").reason(kept)) == (french, english or kept)


def test_what_is_raised_and_decided_is_spoken() -> None:
    with pytest.raises(FederationError) as raised:
        check_status(404, "https://b.example/x")
    assert speech("fr").reason(str(raised.value)) == "L’autre instance a refusé. (404 from https://b.example/x)"
    for status in (None, 302, 400, 401, 403, 404, 409, 413, 422, 429, 503, 507):
        reason = schedule.next_try(0, 0, schedule.Outcome(status), 0.0).reason
        assert speech("fr").reason(reason) != reason
