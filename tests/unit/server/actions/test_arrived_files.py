"""Files of people elsewhere, when what brings them is said better."""

from dataclasses import replace

import pytest

from server import database as db
from server.actions.arrived_files import ArrivedFile
from server.actions.arriving import Arrived, receive, receive_edit
from server.clock import now_ms
from server.openness import Level
from tests.cast import enter, gather, space

pytestmark = pytest.mark.anyio


async def said() -> list[tuple[str, str]]:
    rows = await db.fetch("SELECT source_uri, description FROM attachment ORDER BY source_uri")
    return [(row["source_uri"][-1], row["description"]) for row in rows]


async def test_an_edit_says_anew_what_is_to_be_seen_in_files_that_stay(database: str) -> None:
    cast = await gather()
    forum = await space("forum", Level.NETWORK, cast.alice)
    await enter(forum, cast.eve)
    files = [ArrivedFile(f"https://inconnu.test/{n}", "a.png", "image/png", description=f"n° {n}") for n in range(3)]
    first = Arrived(uri="https://inconnu.test/notes/1", html="<p>Voici</p>", published_at=now_ms(), files=files[:2])
    await receive(cast.eve, cast.eve.actor_id, first, forum)
    better = [replace(files[0], description="le coffret"), files[2]]
    await receive_edit(cast.eve, cast.eve.actor_id, replace(first, files=better, edited_at=now_ms() + 1))
    assert await said() == [("0", "le coffret"), ("2", "n° 2")]
    await receive_edit(cast.eve, cast.eve.actor_id, replace(first, edited_at=1))
    assert await said() == [("0", "le coffret"), ("2", "n° 2")], "an older version changes nothing"
