"""A move writes anew every column that names an address, or says why it does not."""

import re

from server import models
from server.actions.moving import ADDRESSES, AS_IT_CAME, QUOTING
from server.queries.former import Moves

NAMES = re.compile(r"uri|url|inbox|peering|keys|payload|data|original|html|uris|body|source_uri")
NOT_WRITTEN = {
    "former_origin": {"base_url", "now_url"},  # where they are kept
    "peer": {"base_url"},  # that of whoever moves
    "receipt": {"body"},  # read by the new names when it takes effect
    "audit_entry": {"data"},  # what was, when it was
}
MOVES = Moves(
    (("https://a.example", "https://c.example", "https://a.example"),
     ("https://b.example", "https://c.example", "https://a.example"))
)  # fmt: skip


def test_every_column_that_may_hold_an_address_is_written_anew_or_says_why_not() -> None:
    found = set()
    for name in models.__all__:
        model = getattr(models, name)
        for column, field in model._meta.fields_map.items():
            if type(field).__name__ in ("CharField", "TextField") and NAMES.search(column) and "hash" not in column:
                found.add((model._meta.db_table, column))
    known = {
        (table, column)
        for columns in (ADDRESSES, QUOTING, AS_IT_CAME, NOT_WRITTEN)
        for table, names in columns.items()
        for column in names
    }
    assert found - known == set()


def test_an_address_is_read_as_what_stands_there_now_and_remembered_by_its_first_name() -> None:
    assert MOVES.now("https://a.example/posts/7#x") == "https://c.example/posts/7#x"
    assert MOVES.now("https://a.example") == "https://c.example"
    for other in (
        "https://a.example.org/posts/7",
        "http://a.example/posts/7",
        "https://a.example:8443/",
        "a.example",
        "",
    ):
        assert MOVES.now(other) == other
    names = [f"https://{host}.example/activities/7" for host in "abc"]
    assert {MOVES.first(name) for name in names} == {names[0]}
    assert MOVES.first("https://d.example/activities/7") == "https://d.example/activities/7"


def test_words_stay_as_they_were_said() -> None:
    said = {"id": "https://a.example/posts/7", "content": "https://a.example/posts/7 est à voir", "to": ["as:Public"]}
    assert MOVES.in_document(said) == {**said, "id": "https://c.example/posts/7"}
