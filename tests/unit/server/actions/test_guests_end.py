"""What has an end ends by itself, once, and says so."""

import pytest

from server import database as db
from server.actions.accounts import issue_token
from server.actions.feeds import make
from server.actions.guests import end_guests
from server.clock import now_ms
from server.openness import Level
from server.policy import Act
from server.queries import spaces
from tests.cast import Cast, gather, guest, say, space

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await gather()


async def test_an_end_that_has_passed_is_respected_before_and_after_the_timer(cast: Cast) -> None:
    gwen = await guest("gwen", "Gwen", cast.alice, "Cabinet Ouest")
    hugo = await guest("hugo", "Hugo", cast.alice, "Solstice")
    offre = await space("offre", Level.PARTNERS, cast.alice, gwen, hugo, cast.chloe, partners=("kestrel.test",))
    await say(cast.alice, "bonjour", offre)
    await make(gwen, offre)
    await issue_token(gwen.account_id, "read")
    assert await end_guests() == 0
    now = now_ms()
    await db.execute("UPDATE account SET until_at = $1 WHERE name = 'gwen'", now)
    await db.execute("UPDATE membership SET until_at = $1 WHERE actor_id = $2", now - 1, cast.chloe.actor_id)
    seen = await spaces.find(cast.chloe, "offre")
    assert not seen.may(cast.chloe, Act.READ), "the date is asked, whoever looks"
    assert await end_guests(now) == 2
    assert await end_guests(now) == 0
    left = await db.fetch("SELECT actor_id FROM membership WHERE space_id = $1 ORDER BY actor_id", offre)
    assert {row["actor_id"] for row in left} == {cast.alice.actor_id, hugo.actor_id}
    for table in ("feed_token", "session"):
        assert await db.fetch(f"SELECT id FROM {table}") == []
    deeds = await db.fetch("SELECT act, subject, operator FROM audit_entry WHERE act LIKE 'end%' ORDER BY act")
    assert [(d["act"], d["subject"], d["operator"]) for d in deeds] == [
        ("end_guest", "gwen", "timer"),
        ("end_membership", "chloe@kestrel.test", "timer"),
    ]
    told = await db.fetch_one("SELECT id FROM event WHERE kind = 'member_removed' AND space_id = $1", offre)
    assert told is not None
