"""Names are found however they are spelled, and what looks like a pattern is only text."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server import database as db
from server.queries.folding import folded, named
from server.sql import Clause

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("name", "word", "found"),
    [
        ("Élodie Lecœur", "elodie", True),
        ("Élodie Lecœur", "LECOEUR", True),
        ("Zoé L’Hôte", "l'hote", True),
        ("Straße", "strasse", True),
        ("a*b?[c]^-.\\$", "*b?[c]^-.\\$", True),
        ("axb", "a*b", False),
        ("axb", "a.b", False),
        ("Alice", "bruno", False),
        ("Дмитрий", "дмитрии", False),
        ("李小龍", "小", True),
    ],
)
async def test_a_name_is_found_by_its_words(database: str, name: str, word: str, found: bool) -> None:
    named_so = Clause("SELECT 1 AS yes FROM (SELECT CAST(? AS TEXT) AS name) n WHERE", (name,))
    query = named_so.join(named(("n.name",), folded(word)))
    assert (await db.fetch_one(*query.statement()) is not None) is found


@given(st.text())
def test_a_text_is_folded_as_a_whole_like_its_letters_one_by_one(text: str) -> None:
    ligatures = str.maketrans({"œ": "oe", "æ": "ae", "ø": "o", "ł": "l", "đ": "d", "’": "'"})
    apart = unicodedata.normalize("NFKD", text.casefold().translate(ligatures))
    assert folded(text) == "".join(character for character in apart if not unicodedata.combining(character))
