"""How far each post got at each partner, on the page: queued, sent, taken, refused, put aside."""

import pytest

from server import database as db
from server.ids import new_id
from server.openness import Level
from tests.cast import KESTREL, Cast, say, space
from tests.unit.web.pages.browser import Browser

pytestmark = pytest.mark.anyio


async def told(cast: Cast, post_id: int, *states: tuple[str, int | None, str]) -> None:
    """What became of a post at Kestrel: (state, number, error), one delivery for each."""
    [event] = await db.fetch("SELECT id FROM event WHERE post_id = $1 AND kind = 'post_published'", post_id)
    await db.execute("DELETE FROM delivery")
    for seq, (state, number, error) in enumerate(states, 1):
        row = {"id": new_id(), "peer_id": cast.kestrel.peer_id, "seq": seq, "event_id": event["id"], "error": error}
        inbox = f"https://{KESTREL}/inbox/{seq}"
        await db.insert("delivery", row | {"inbox": inbox, "state": state, "number": number, "created_at": 1})


TOLD: dict[str, list[tuple[str, int | None, str]]] = {
    f"reçu par {KESTREL}": [("sent", 3, "")],
    f"envoyé à {KESTREL}": [("sent", 4, "")],
    f"en route vers {KESTREL}": [("pending", None, ""), ("sent", 3, "")],
    f"refusé par {KESTREL} (ses règles ne le permettent pas)": [("sent", 3, "policy")],
    f"non remis à {KESTREL}": [("dead", 3, "answered 500")],
}
"""What the page says, and the deliveries of which it says so: the worst of them counts."""


async def test_each_post_says_how_far_it_got_at_each_partner(cast: Cast, alice: Browser, bruno: Browser) -> None:
    await space("cevennes", Level.PARTNERS, cast.alice, cast.bruno, cast.chloe, partners=(KESTREL,))
    [row] = await db.fetch("SELECT id FROM space WHERE slug = 'cevennes'")
    post_id = await say(cast.alice, "Bonjour", row["id"])
    stream = {"id": new_id(), "peer_id": cast.kestrel.peer_id, "generation": "a", "given": 4, "acked": 4, "done": 3}
    await db.insert("stream", stream)
    for words, states in TOLD.items():
        await told(cast, post_id, *states)
        for browser in (alice, bruno):
            page = await browser.page(f"/posts/{post_id}")
            assert [other for other in TOLD if other in page] == [words]
    assert "not delivered" in await alice.page(f"/posts/{post_id}", headers={"accept-language": "en"})


async def test_what_a_closed_space_holds_back_is_not_said_to_be_on_its_way(cast: Cast, alice: Browser) -> None:
    space_id = await space("cevennes", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    post_id = await say(cast.alice, "Bonjour", space_id)
    await told(cast, post_id, ("pending", None, ""))
    assert f"en route vers {KESTREL}" in await alice.page(f"/posts/{post_id}")
    await db.execute("UPDATE space SET level = 'closed' WHERE id = $1", space_id)
    page = await alice.page(f"/posts/{post_id}")
    assert f"ne partira pas vers {KESTREL}" in page and "en route" not in page
