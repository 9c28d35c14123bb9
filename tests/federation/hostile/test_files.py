"""A file is asked for in our name where its post came from, and nowhere else: a partner shows us more than it shows
whoever names an address of its.
"""

import pytest

from federation import files
from federation.vocabulary import moment
from server import database as db
from server.clock import now_ms
from server.openness import Level
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, linked, met, mirrored
from tests.unit.federation.elsewhere import answer, redirect

pytestmark = pytest.mark.anyio
SECRET = answer(b"what Merle shows to us and not to Kestrel", "Content-Type: text/plain")


def with_file(author: Actor, space: str, url: str) -> Json:
    to = [space, f"{space}/members"]
    document = {"type": "Document", "mediaType": "text/plain", "url": url}
    return author.says("Create", author.note(to=to, audience=space, attachment=[document]), to=to, audience=space)


async def states(here: Here) -> list[str]:
    """What became of each file, the first one first."""
    await files.fetch_waiting(here.instance)
    return [row["state"] for row in await db.fetch("SELECT state FROM attachment ORDER BY id")]


def in_our_name(there: OtherServer) -> list[str]:
    """Which files were read at a server and signed by us."""
    asked = [request for request in there.there.requests if "signature" in request.headers]
    return [request.path for request in asked if not request.path.startswith("/users/")]


async def test_I8_no_partner_has_us_read_at_another_one_what_is_for_us(
    here: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    """In a space of ours: what came would be theirs to read, as any file in it."""
    pin, _ = await linked(kestrel), await linked(merle)
    chloe, space = kestrel.actor("chloe"), here.space("projet")
    await enter(await here.open_space("projet", Level.PARTNERS, kestrel), await met(chloe), kestrel)
    for path in ("/media/7/contrat.txt", "/peering/state"):
        merle.scene(path, SECRET)
        assert await here.take(with_file(chloe, space, merle.base + path), pin.ed) == ""
    assert await states(here) == ["failed"] * 2 and merle.there.requests == []
    create = with_file(chloe, space, f"{kestrel.base}/plan.txt")
    assert await here.take(create, pin.ed) == ""
    [away] = create["object"]["attachment"]
    better = {**create["object"], "updated": moment(now_ms() + 1), "attachment": [{**away, "url": f"{merle.base}/x"}]}
    assert await here.take(chloe.says("Update", better, to=create["to"], audience=space), pin.ed) == ""
    assert await states(here) == ["failed"] * 3 and merle.there.requests == []
    kestrel.scene("/away", redirect(f"{merle.base}/media/7/contrat.txt"))
    assert await here.take(with_file(chloe, space, f"{kestrel.base}/away"), pin.ed) == ""
    await states(here)
    assert in_our_name(kestrel) == ["/away"] and in_our_name(merle) == []


async def test_RR5_the_host_of_a_space_has_us_read_files_at_itself_alone(
    here: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    pin, _ = await linked(kestrel), await linked(merle)
    group, chloe = kestrel.actor("cevennes", "Group", "/spaces/cevennes"), kestrel.actor("chloe")
    await mirrored(group, here.alice)
    for base in (merle.base, kestrel.base):
        for server in (merle, kestrel):
            server.scene("/media/7/contrat.txt", SECRET)
        create = with_file(chloe, group.uri, f"{base}/media/7/contrat.txt")
        assert await here.take(group.says("Announce", create, to=[f"{group.uri}/members"]), pin.ed) == ""
    assert await states(here) == ["failed", "ready"]
    assert merle.there.requests == [] and in_our_name(kestrel) == ["/media/7/contrat.txt"]


async def test_I8_whoever_has_no_link_has_files_read_wherever_they_are_and_not_in_our_name(
    here: Here, kestrel: OtherServer, merle: OtherServer
) -> None:
    """Much of the fediverse keeps files at another host than its people."""
    await linked(merle)
    eve = kestrel.actor("eve")
    merle.scene("/media/7/image.txt", SECRET)
    document = {"type": "Document", "mediaType": "text/plain", "url": f"{merle.base}/media/7/image.txt"}
    named = [{"type": "Mention", "href": here.person("alice")}]
    note = eve.note(to=[here.person("alice")], tag=named, attachment=[document])
    assert await here.take(eve.says("Create", note, to=note["to"]), eve.ed) == ""
    assert await states(here) == ["ready"] and in_our_name(merle) == []


async def again(here: Here) -> list[str]:
    await db.execute("UPDATE job SET due_at = 0 WHERE kind = 'fetch_file'")
    return await states(here)


@pytest.mark.parametrize("status", ["404 Not Found", "403 Forbidden", "503 Busy"])
async def test_I3_a_file_that_a_partner_does_not_show_now_is_had_once_it_does(
    here: Here, kestrel: OtherServer, status: str
) -> None:
    """It stopped the link for a moment, say: the post was there for good, and its file was not."""
    pin, chloe, space = await linked(kestrel), kestrel.actor("chloe"), here.space("projet")
    await enter(await here.open_space("projet", Level.PARTNERS, kestrel), await met(chloe), kestrel)
    kestrel.scene("/plan.txt", answer(b"", status=status))
    assert await here.take(with_file(chloe, space, f"{kestrel.base}/plan.txt"), pin.ed) == ""
    assert await states(here) == ["waiting"]
    await db.execute("UPDATE link SET state = 'suspended'")
    asked = kestrel.asked("/plan.txt")
    assert await again(here) == ["waiting"] and kestrel.asked("/plan.txt") == asked, "nothing is asked while it stands"
    await db.execute("UPDATE link SET state = 'active'")
    for _ in range(files.MOST_TRIES):
        shown = await again(here)
    assert shown == ["failed"], "the page says it after some tries"
    assert len(await db.fetch("SELECT id FROM job WHERE done_at IS NULL AND due_at > $1", now_ms())) == 1
    kestrel.scene("/plan.txt", SECRET)
    assert await again(here) == ["ready"]


async def test_a_file_that_a_partner_refuses_for_a_week_is_not_asked_for_any_more(
    here: Here, kestrel: OtherServer
) -> None:
    pin, chloe, space = await linked(kestrel), kestrel.actor("chloe"), here.space("projet")
    await enter(await here.open_space("projet", Level.PARTNERS, kestrel), await met(chloe), kestrel)
    kestrel.scene("/plan.txt", answer(b"", status="404 Not Found"))
    assert await here.take(with_file(chloe, space, f"{kestrel.base}/plan.txt"), pin.ed) == ""
    await db.execute("UPDATE job SET created_at = created_at - $1", files.REFUSED_FOR_MS)
    assert await states(here) == ["failed"]
    assert await db.fetch("SELECT id FROM job WHERE done_at IS NULL AND kind = 'fetch_file'") == []
    [incident] = await db.fetch("SELECT reason, count FROM link_incident")
    assert incident == {"reason": "The file is refused.", "count": 1}
