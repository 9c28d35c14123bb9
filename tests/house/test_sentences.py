"""Every sentence shown to people exists in French, as a msgid, and in English; both are well set.

A sentence that is missing here is added to `web/sentences/en/parvis.po`; one that is stale is taken out of it.
"""

import re
from html.parser import HTMLParser

import pytest
from babel.messages.catalog import Message

from tests.house.sentences import bare_constants, english, every, in_code, in_templates, places, templates, unmarked

SAME_IN_BOTH = {"Administration", "Version", "Instance", "Notifications", "Pages", "Public", "active"}
NOT_WORDS = {
    "postgres://… (default: an SQLite file)",
    "sqlite://FILE or postgres://…",
    ": no such file; “parvis init --base-url …” makes one.",
    ".,;:!?'*_~»”’…",
    "…",
    "); “parvis --traceback …” shows more.",
    "rôle",  # a column that a table may call so
    "Français",  # a language is named in itself
}
SPEAK_OTHERWISE = ("web/demo/", "server/queries/folding.py", "web/mail/quotations.py")
NAMES = {"Parvis", "parvis deliveries retry", "parvis mail list", "rse.partenaire.example"}
SAID_IN = ("placeholder", "title", "aria-label", "alt", "data-fresh-one", "data-fresh-many", "data-new")

OPEN_SIGN = re.compile(r"«(?![\u202f\u00a0])|(?<![\u202f\u00a0])»")
HIGH_SIGN = re.compile(r"(?<![\u202f\u00a0])[;!?](?=\W|$)|(?<![\u202f\u00a0]):(?=\s|$)")
TRANSLATED = re.compile(r"\{%-?\s*trans\b.*?\bendtrans\s*-?%\}", re.DOTALL)
MACHINERY = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", re.DOTALL)
WIDE = re.compile(r"\{% block wide %\}.*?\{% endblock %\}")  # a class of the frame
ATTRIBUTES = re.compile(r"[\w-]+=\"[^\"]*\"")
WORD = re.compile(r"[^\W\d_]{2,}")

SENTENCES = every()
CATALOGUE = english()
ENTRIES = [message for message in CATALOGUE if message.id]


def key_of(message: Message) -> str:
    return message.id[0] if isinstance(message.id, tuple) else str(message.id)


def forms_of(message: Message) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The French forms and the English ones."""
    french = tuple(message.id) if isinstance(message.id, tuple) else (str(message.id),)
    said = tuple(message.string) if isinstance(message.string, tuple | list) else (str(message.string),)
    return french, said


def test_sentences_are_found_where_they_are() -> None:
    assert len(list(in_templates())) > 200
    assert len(list(in_code())) > 200
    found = {sentence.one for sentence in SENTENCES}
    assert "Qui voit ceci\u202f?" in found, "between {% trans %} and {% endtrans %}"
    assert "Trop d’essais\u202f: réessayez dans %(minutes)s min." in found, "in N_()"
    assert "Cette page n’existe pas." in found, "what an error says by itself"
    assert "La base de données est occupée\u202f: réessayez dans un instant." in found, "an error raised with a name"


def test_every_sentence_exists_in_english() -> None:
    known = {form for message in ENTRIES for form in (key_of(message),)}
    assert sorted({f"{s.where}: {s.one}" for s in SENTENCES if s.one not in known}) == []


def test_the_catalogue_holds_nothing_that_nobody_says_any_more() -> None:
    said = {sentence.one for sentence in SENTENCES}
    assert [key_of(message) for message in ENTRIES if key_of(message) not in said] == []
    assert list(CATALOGUE.obsolete) == []


def test_a_plural_has_the_same_forms_in_both_languages() -> None:
    many = {sentence.one: sentence.many for sentence in SENTENCES if sentence.many}
    alone = {sentence.one for sentence in SENTENCES if not sentence.many}
    assert set(many) & alone == set(), "one msgid cannot have a plural here and none there"
    for message in ENTRIES:
        french, said = forms_of(message)
        assert french[1:] == ((many[french[0]],) if french[0] in many else ())
        assert len(said) == len(french), french


def test_no_translation_is_empty_unsure_or_left_in_french() -> None:
    for message in ENTRIES:
        french, said = forms_of(message)
        assert all(said), french
        assert not message.fuzzy, french
        assert french[0] in SAME_IN_BOTH or not set(french) & set(said), french
    assert {key_of(message) for message in ENTRIES} >= SAME_IN_BOTH, "a word that nobody says needs no exception"


def test_what_is_filled_in_has_the_same_names_in_both_languages() -> None:
    for message in ENTRIES:
        french, said = forms_of(message)
        assert [places(form) for form in french] == [places(form) for form in said]


@pytest.mark.parametrize("sign", [OPEN_SIGN, HIGH_SIGN, re.compile(r"'"), re.compile(r"\.\.\.|^\s|\s$|[^\S ]{2}")])
def test_french_is_set_with_narrow_spaces_and_true_apostrophes(sign: re.Pattern[str]) -> None:
    wrong = {f"{s.where}: {form}" for s in SENTENCES for form in s.forms if sign.search(_text(form))}
    assert sorted(wrong) == []


def test_english_is_set_without_spaces_before_signs_and_with_its_own_quotes() -> None:
    said = [form for message in ENTRIES for form in forms_of(message)[1]]
    assert [form for form in said if re.search(r"\s[:;!?]|[«»]|'|\.\.\.", _text(form))] == []


def test_no_template_has_words_that_cannot_be_translated() -> None:
    bare = {}
    for path in templates():
        source = path.read_text(encoding="utf-8")
        reader = _Words()
        reader.feed(MACHINERY.sub("", WIDE.sub("", TRANSLATED.sub("", source))))
        if found := [text for text in [*reader.found, *bare_constants(path)] if WORD.search(text)]:
            bare[path.name] = found
    assert bare == {}


def test_no_french_of_the_code_stays_out_of_the_catalogue() -> None:
    left = [place for place in unmarked() if not place.startswith(SPEAK_OTHERWISE)]
    assert [place for place in left if place.partition(": ")[2] not in NOT_WORDS] == []


class _Words(HTMLParser):
    """What a page shows, or reads aloud, without its translated parts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self._keep(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in SAID_IN and value:
                self._keep(value)

    def _keep(self, text: str) -> None:
        shown = ATTRIBUTES.sub("", text).strip()  # a macro may give attributes, which no tag holds here
        if shown and shown not in NAMES:
            self.found.append(shown)


def _text(form: str) -> str:
    """A sentence without its tags."""
    return re.sub(r"<[^>]*>", "", form)
