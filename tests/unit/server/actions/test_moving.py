"""A move writes anew every column that names an address, or says why it does not."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from server import database as db
from server import models
from server.actions import moving, openness
from server.actions.moving import ADDRESSES, AS_IT_CAME, LINKING, QUOTING
from server.actions.openness import Door, How
from server.actions.policy_history import verify
from server.clock import now_ms
from server.openness import Level, Reach
from server.queries import policies
from server.queries.former import Moves
from server.text import clean
from tests import cast as company
from tests.cast import KESTREL

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
        for columns in (ADDRESSES, QUOTING, LINKING, AS_IT_CAME, NOT_WRITTEN)
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


def test_no_two_locks_have_one_number() -> None:
    root = Path(models.__file__).parent.parent.parent
    numbers = [
        number
        for folder in ("server", "federation", "web")
        for path in (root / folder).rglob("*.py")
        for number in re.findall(r"\b707700\d\b", path.read_text())
    ]
    assert len(numbers) >= 3 and len(set(numbers)) == len(numbers)


@pytest.mark.anyio
async def test_the_history_of_openness_is_whole_after_a_partner_moved(database: str) -> None:
    cast = await company.gather()
    team = await company.space("team", Level.PARTNERS, cast.alice, reach=Reach.EVERYONE, partners=(KESTREL,))
    assert (await verify()).faults == ()
    await moving.follow(cast.kestrel.peer_id, f"https://{KESTREL}", "https://falke.test", now_ms())
    assert [terms.host for terms in (await policies.current(team)).partners] == ["falke.test"]
    assert (await verify()).faults == (), "the same partner under another name"
    closed = replace(await policies.current(team), seats=7)
    await openness.change(cast.alice, team, closed, How(Door.PAGE))
    assert (await verify()).faults == (), "and what is changed afterwards follows on it"
    await db.execute("UPDATE space_partner SET peer_id = $1", cast.inconnu.peer_id)
    assert [fault.what for fault in (await verify()).faults] == ["behind"]


@pytest.mark.anyio
async def test_a_link_leads_on_and_the_words_around_it_are_whoever_wrote_them(database: str) -> None:
    cast = await company.gather()
    said = f'<p>It said "https://{KESTREL}/@driss": <a href="https://{KESTREL}/@driss">there</a>.</p>'
    post_id = await company.say(cast.alice, "canari")
    await db.execute("UPDATE post SET html = $1 WHERE id = $2", clean(said), post_id)
    [before] = await db.fetch("SELECT html FROM post WHERE id = $1", post_id)
    await moving.follow(cast.kestrel.peer_id, f"https://{KESTREL}", "https://falke.test", now_ms())
    [after] = await db.fetch("SELECT html FROM post WHERE id = $1", post_id)
    assert 'href="https://falke.test/@driss"' in after["html"] and f'href="https://{KESTREL}' not in after["html"]
    words = [re.sub("<[^>]*>", "", row["html"]) for row in (before, after)]
    assert words[0] == words[1]
