"""What one of ours asks of a space elsewhere, while its host says something else, or makes nothing of it."""

import pytest

from federation.outbox import sequence_waiting
from federation.pages import Failure, Heard
from federation.streams import heard
from server import database as db
from server.actions.join_requests import answered, ask_elsewhere, invited
from server.viewer import PeerServer
from tests.federation.hostile.test_members import Theirs, theirs

pytestmark = pytest.mark.anyio
__all__ = ["theirs"]


async def asks(theirs: Theirs) -> int:
    """Alice asks to come in; the number of what is said of it."""
    await ask_elsewhere(theirs.here.alice, theirs.id)
    [row] = await db.fetch("SELECT MAX(id) AS id FROM event WHERE kind = 'join_asked'")
    return int(row["id"])


async def host(theirs: Theirs) -> PeerServer:
    [space] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", theirs.id)
    return PeerServer(space["peer_id"], True)


@pytest.fixture
async def outside(theirs: Theirs) -> Theirs:
    """The same, without Alice in it."""
    await db.execute("DELETE FROM membership WHERE actor_id = $1", theirs.here.alice.actor_id)
    return theirs


async def test_who_is_invited_while_their_request_is_on_its_way_is_let_in_by_its_answer(outside: Theirs) -> None:
    """The host took the request for the answer to its invitation; here they were invited until the next relay."""
    join, space = await asks(outside), await host(outside)
    await invited(space, outside.id, outside.here.alice.actor_id, f"{outside.group.uri}/invite", None)
    assert (await outside.states())["alice"] == "asked"
    assert await db.fetch("SELECT id FROM notice WHERE kind = 'invitation'") == []
    await answered(space, f"event:{join}", True)
    assert (await outside.states())["alice"] == "member"


@pytest.mark.parametrize(
    ("final", "again", "state"), [(False, False, "asked"), (True, True, "asked"), (True, False, None)]
)
async def test_a_request_that_its_host_makes_nothing_of_is_declined(
    outside: Theirs, final: bool, again: bool, state: str | None
) -> None:
    """No answer comes: it shows them no such space any more, or has no seat left. They waited for good."""
    join, space = await asks(outside), await host(outside)
    while await sequence_waiting(outside.here.instance):
        pass
    await db.execute("UPDATE delivery SET number = 1 WHERE event_id = $1", join)
    await db.execute("DELETE FROM stream")
    await db.insert("stream", {"id": join, "peer_id": space.peer_id, "generation": "a", "given": 1})
    if again:
        await asks(outside)
    assert await heard(space.peer_id, Heard("a", 1, 1, [Failure(1, "not-found", final)]))
    assert (await outside.states()).get("alice") == state
    assert len(await db.fetch("SELECT id FROM notice WHERE kind = 'declined'")) == (state is None)
