"""A space elsewhere by its address: its host is asked the same for what it hides as for what never was (K12)."""

import pytest

from federation.spaces_elsewhere import ask, look
from server import database as db
from server.errors import NotFound, Unavailable
from server.openness import Level, MemberState
from tests.federation.stranger import Actor, Here, OtherServer, linked, met, mirrored
from tests.unit.federation.elsewhere import answer

pytestmark = pytest.mark.anyio
FINGER = "/.well-known/webfinger"
AS_JRD = "Content-Type: application/jrd+json"


def named(actor: Actor) -> None:
    """Its instance says who has this name."""
    link = {"rel": "self", "type": "application/activity+json", "href": actor.uri}
    subject = f"acct:{actor.name}@{actor.server.host}"
    actor.server.serve(f"{actor.server.base}{FINGER}", {"subject": subject, "links": [link]}, AS_JRD)


def hidden(server: OtherServer) -> None:
    server.scene(FINGER, answer(b'{"error":"not_found"}', "Content-Type: application/json", status="404 Not Found"))


async def test_a_space_that_is_shown_is_asked_for_and_nothing_is_kept_before(here: Here, kestrel: OtherServer) -> None:
    await linked(kestrel)
    group = kestrel.actor("pose", "Group", "/spaces/pose")
    group.publish(name="Pose", summary="<p>Poseurs</p>")
    named(group)
    shown = await look(here.instance, here.bruno, "pose", kestrel.host)
    assert (shown.name, shown.description, shown.level) == ("Pose", "Poseurs", Level.PARTNERS)
    assert await db.fetch("SELECT id FROM space") == await db.fetch("SELECT id FROM actor WHERE kind = 'group'") == []
    assert await ask(here.instance, here.bruno, "pose", kestrel.host) is MemberState.ASKED
    [row] = await db.fetch("SELECT kind, actor_id FROM event")
    assert row == {"kind": "join_asked", "actor_id": here.bruno.actor_id}


async def test_what_is_hidden_what_never_was_and_what_is_no_space_are_one_answer(
    here: Here, kestrel: OtherServer
) -> None:
    await linked(kestrel)
    group = kestrel.actor("pose", "Group", "/spaces/pose")
    await mirrored(group, here.alice)  # known here, because a colleague is in it
    hidden(kestrel)
    asked = []
    for slug in ("pose", "jamais"):
        before = len(kestrel.there.requests)
        for door in (look, ask):
            with pytest.raises(NotFound):
                await door(here.instance, here.bruno, slug, kestrel.host)
        asked.append([request.path.replace(slug, "·") for request in kestrel.there.requests[before:]])
    assert asked[0] == asked[1] and len(asked[0]) == 2
    named(kestrel.actor("chloe"))
    with pytest.raises(NotFound):
        await look(here.instance, here.bruno, "chloe", kestrel.host)
    assert await db.fetch("SELECT id FROM event") == []


async def test_W2_without_an_active_link_only_what_is_open_to_all_is_asked_for(
    here: Here, kestrel: OtherServer, inconnu: OtherServer
) -> None:
    await linked(kestrel, "suspended")
    await met(inconnu.actor("eve"))
    for server in (kestrel, inconnu):
        for level, found in (("partners", False), ("internal", False), ("network", True)):
            named(server.actor("pose", "Group", "/spaces/pose", **{"parvis:openness": level}))
            for door in (look, ask):
                if found:
                    assert await door(here.instance, here.bruno, "pose", server.host)
                else:
                    with pytest.raises(NotFound):
                        await door(here.instance, here.bruno, "pose", server.host)


async def test_nobody_who_is_blocked_is_asked_and_who_is_silent_is_said_to_be(here: Here, kestrel: OtherServer) -> None:
    await linked(kestrel)
    named(kestrel.actor("pose", "Group", "/spaces/pose"))
    await db.execute("UPDATE peer SET blocked_at = 1 WHERE host = $1", kestrel.host)
    before = len(kestrel.there.requests)
    with pytest.raises(NotFound):
        await look(here.instance, here.bruno, "pose", kestrel.host)
    assert len(kestrel.there.requests) == before
    await db.execute("UPDATE peer SET blocked_at = NULL WHERE host = $1", kestrel.host)
    kestrel.scene(FINGER, answer(b"", status="503 Service Unavailable"))
    with pytest.raises(Unavailable):
        await look(here.instance, here.bruno, "pose", kestrel.host)
