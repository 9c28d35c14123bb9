"""The partner's mirror: the counts are those of the doors, both sides are compared, and only the partner hears."""

import pytest

from server import database as db
from server.clock import now_ms
from server.errors import Forbidden, NotFound, Unauthenticated
from server.ids import new_id
from server.openness import Level
from server.queries import collected, mirrors
from tests import cast as company
from tests.cast import INCONNU, KESTREL, Cast

pytestmark = pytest.mark.anyio


@pytest.fixture
async def cast(database: str) -> Cast:
    return await company.gather()


async def shared(cast: Cast) -> int:
    """A space that Kestrel sees, with two posts that Chloé reads, of which one was sent; and one it does not see."""
    space_id = await company.space("offre", Level.PARTNERS, cast.alice, cast.chloe, partners=(KESTREL,))
    await db.execute("UPDATE membership SET since_at = 1 WHERE space_id = $1", space_id)
    sent, _ = [await company.say(cast.alice, text, space_id) for text in ("un", "deux")]
    event = await db.fetch_one("SELECT id FROM event WHERE post_id = $1 AND kind = 'post_published'", sent)
    assert event is not None
    row = {
        "id": new_id(),
        "peer_id": cast.kestrel.peer_id,
        "seq": 1,
        "event_id": event["id"],
        "inbox": "https://k/inbox",
    }
    await db.insert("delivery", {**row, "state": "sent", "created_at": now_ms(), "done_at": now_ms()})
    await company.say(cast.alice, "entre nous", await company.space("rachat", Level.CLOSED, cast.alice, listed=False))
    return space_id


async def test_it_is_for_those_who_look_after_the_instance_and_for_the_partner_itself(cast: Cast) -> None:
    await shared(cast)
    for viewer, refusal in ((cast.alice, Forbidden), (cast.web, Unauthenticated)):
        with pytest.raises(refusal):
            await mirrors.of_host(viewer, KESTREL)
    for unknown in (INCONNU, "nulle.part"):
        with pytest.raises(NotFound):
            await mirrors.of_host(cast.odile, unknown)
    for other in (cast.inconnu, cast.chloe, cast.odile, cast.web):
        with pytest.raises(NotFound):
            await mirrors.for_itself(other)
    assert await mirrors.for_itself(cast.kestrel) == await mirrors.of_host(cast.odile, KESTREL)


async def test_it_counts_what_the_partners_server_reads_and_what_was_sent(cast: Cast) -> None:
    space_id = await shared(cast)
    mirror = await mirrors.of_host(cast.odile, KESTREL)
    assert [one.slug for one in mirror.spaces] == ["offre"], "never a space that it does not see"
    one = mirror.spaces[0]
    assert (one.theirs, one.ours, one.items, one.copies, mirror.people) == (1, 1, 2, 1, 1)
    listed = await collected.written_in(cast.kestrel, space_id)
    assert one.items == len(listed.entries)
    assert one.last_at is not None


async def test_a_mismatch_is_marked_on_the_side_that_looks(cast: Cast) -> None:
    await shared(cast)
    ours = await mirrors.of_host(cast.odile, KESTREL)
    uri = ours.spaces[0].uri
    same = {"space": uri, "theirs": 0, "ours": 1, "items": 9, "files": 0, "copies": 1}
    assert [one.differs for one in mirrors.compare(ours, {"spaces": [same]})] == [()]
    for change, differs in (({"copies": 2}, ("copies",)), ({"ours": 3}, ("people",))):
        assert [one.differs for one in mirrors.compare(ours, {"spaces": [same | change]})] == [differs]
    assert [one.differs for one in mirrors.compare(ours, {"spaces": []})] == [("space",)]
    other = same | {"space": "https://kestrel.test/spaces/x"}
    assert [one.differs for one in mirrors.compare(ours, {"spaces": [same, other]})] == [(), ("space",)]
