"""Who of ours is in a space elsewhere: compared with its host's list, and nobody lost by a list that is not whole."""

import asyncio
from email.utils import formatdate
from typing import Any, cast

import pytest

from federation import membership_sync, skew, upkeep
from federation.membership_wishes import wish
from federation.roots import root_of
from federation.vocabulary import moment
from server import database as db
from server.actions import membership_lists
from server.actions.join_requests import answered, ask_elsewhere, invited
from server.actions.membership import leave
from server.clock import now_ms
from server.openness import Level
from server.queries.clocks import time_at
from server.viewer import PeerServer
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, linked, met, mirrored

pytestmark = pytest.mark.anyio


class Theirs:
    """A space at Kestrel with Alice in it; its list of our members is what the test says."""

    def __init__(self, here: Here, pin: Actor, group: Actor, chloe: Actor, space_id: int) -> None:
        self.here, self.pin, self.group, self.chloe, self.id = here, pin, group, chloe, space_id
        self.alice, self.bruno = here.person("alice"), here.person("bruno")
        self.address = f"{group.uri}/members?host={here.instance.here.host}"

    def lists(self, *pages: list[str], total: int | None = None, **second: Any) -> None:
        """The host's list, on these pages; `second` changes the last one."""
        base = f"{self.group.uri}/members"
        count = sum(len(page) for page in pages) if total is None else total
        whole = {"id": self.address, "type": "OrderedCollection", "totalItems": count, "parvis:policyEpoch": 1}
        self.group.server.serve(base, {**whole, "first": f"{base}/0"})
        for number, uris in enumerate(pages):
            last = number == len(pages) - 1
            page: Json = {"type": "OrderedCollectionPage", "partOf": self.address, "parvis:policyEpoch": 1}
            page |= {"id": f"{base}/{number}", "orderedItems": uris, **(second if last else {})}
            self.group.server.serve(f"{base}/{number}", page if last else {**page, "next": f"{base}/{number + 1}"})

    async def relay(self, *named: str, root: str = "", epoch: int | None = None) -> str:
        """The space tells something, to these of ours."""
        to = [self.group.uri, f"{self.group.uri}/members"]
        inner = self.chloe.says("Create", self.chloe.note(to=to, audience=self.group.uri, published=moment(1)), to=to)
        around: Json = {"parvis:membersRoot": root or root_of(named), "parvis:membersCount": len(named)}
        around |= {} if epoch is None else {"parvis:policyEpoch": epoch}
        return await self.here.take(self.group.says("Announce", inner, to=list(named), **around), self.pin.ed)

    async def settle(self, times: int = 1) -> str:
        """Compares what is to be compared, so many times; why the last time came to no end."""
        for _ in range(times):
            await db.execute("UPDATE job SET due_at = 0")
            await upkeep.work_off(self.here.instance)
        [job] = await db.fetch("SELECT error FROM job WHERE kind = 'members'")
        return str(job["error"])

    async def states(self) -> dict[str, str]:
        rows = await db.fetch(
            "SELECT a.name, m.state FROM membership m JOIN actor a ON a.id = m.actor_id WHERE m.space_id = $1", self.id
        )
        return {row["name"]: row["state"] for row in rows}

    async def space(self) -> Json:
        [row] = await db.fetch("SELECT unsure_at, frozen_at, checked_at FROM space WHERE id = $1", self.id)
        return row


@pytest.fixture
async def theirs(closed: Here, kestrel: OtherServer) -> Theirs:
    pin = await linked(kestrel)
    group = kestrel.actor("cevennes", "Group", "/spaces/cevennes")
    group.publish(followers=f"{group.uri}/members")
    return Theirs(closed, pin, group, kestrel.actor("chloe"), await mirrored(group, closed.alice, closed.bruno))


async def test_the_same_list_asks_nobody_anything(theirs: Theirs) -> None:
    assert await theirs.relay(theirs.alice, theirs.bruno) == ""
    assert await db.fetch("SELECT id FROM job") == []


async def test_mastodon_34272_a_list_of_several_pages_removes_nobody_who_stands_on_a_later_one(theirs: Theirs) -> None:
    theirs.lists([theirs.alice], [theirs.bruno])
    await wish(theirs.id)
    assert await theirs.settle() == ""
    assert await theirs.states() == {"alice": "member", "bruno": "member"}


async def test_what_is_wished_while_a_list_is_fetched_is_fetched_again(theirs: Theirs) -> None:
    """What comes is of a moment before: who was let in by what made the wish would be out until tomorrow."""
    theirs.lists([theirs.alice, theirs.bruno])
    page, whole = f"{theirs.group.uri}/members/0", []

    async def meanwhile(writer: asyncio.StreamWriter) -> None:
        whole.append(writer)
        if len(whole) == 1:
            await wish(theirs.id)
        assert isinstance(listed, bytes)
        writer.write(listed)

    path = page.removeprefix(theirs.group.server.base)
    listed = theirs.group.server.there.scenes[path]
    theirs.group.server.scene(path, meanwhile)
    await wish(theirs.id)
    await theirs.settle()
    assert [row["done_at"] for row in await db.fetch("SELECT done_at FROM job")] == [None]
    await theirs.settle()
    assert len(whole) == 2 and [bool(row["done_at"]) for row in await db.fetch("SELECT done_at FROM job")] == [True]


@pytest.mark.parametrize(
    "second",
    [
        {"orderedItems": []},  # shorter than it says
        {"parvis:policyEpoch": 2},  # of another moment
        {"partOf": "https://x.example/members"},
        {"orderedItems": ["http://127.0.0.2/users/mia"]},  # nobody of ours
        {"next": "https://x.example/members/2"},
    ],
)
async def test_mastodon_34272_a_list_that_is_not_whole_changes_nothing(theirs: Theirs, second: Json) -> None:
    theirs.lists([theirs.alice], [theirs.bruno], total=2, **second)
    await wish(theirs.id, root_of([theirs.alice]))
    assert await theirs.settle(2)
    assert await theirs.states() == {"alice": "member", "bruno": "member"}


async def test_mastodon_34273_a_list_that_is_not_the_announced_one_removes_nobody_before_it_is_read_twice(
    theirs: Theirs,
) -> None:
    theirs.lists([theirs.alice])
    await wish(theirs.id, root_of([theirs.alice, "another"]))
    assert "not the one that was announced" in await theirs.settle()
    assert await theirs.states() == {"alice": "member", "bruno": "member"}
    assert await theirs.settle() == ""
    assert await theirs.states() == {"alice": "member"}


async def test_who_left_is_not_brought_back_and_who_came_in_meanwhile_is_not_removed(theirs: Theirs) -> None:
    await leave(theirs.here.bruno, theirs.id)
    theirs.lists([theirs.alice, theirs.bruno])
    assert await theirs.relay(theirs.alice, theirs.bruno) == ""
    await theirs.settle()
    assert await theirs.states() == {"alice": "member"}
    await enter(theirs.id, theirs.here.odile.actor_id)
    async with db.transaction():
        assert await membership_lists.apply(theirs.id, {theirs.alice: None}, began_at=now_ms() - 60_000)
    assert await theirs.states() == {"alice": "member", "odile": "member"}


async def test_a_membership_that_we_lost_comes_back_by_the_hosts_word(theirs: Theirs) -> None:
    await db.execute("DELETE FROM membership WHERE actor_id = $1", theirs.here.bruno.actor_id)
    await enter(theirs.id, theirs.here.odile.actor_id, state="asked")
    odile = theirs.here.person("odile")
    theirs.lists([theirs.alice, theirs.bruno], [odile])
    assert await theirs.relay(theirs.alice, theirs.bruno, odile) == ""
    assert await theirs.settle() == ""
    assert await theirs.states() == {"alice": "member", "bruno": "member", "odile": "member"}


async def test_who_the_list_brought_in_reads_from_when_the_host_let_them_in(theirs: Theirs) -> None:
    """Where the list names no date: the answer to what they asked does, and may come after it."""
    await ask_elsewhere(theirs.here.odile, theirs.id)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'join_asked'")
    odile = theirs.here.person("odile")
    join = {"type": "Join", "id": f"{theirs.here.base}/activities/{event['id']}", "actor": odile}
    theirs.lists([theirs.alice, theirs.bruno, odile])
    await theirs.relay(theirs.alice, theirs.bruno, odile)
    await theirs.settle()
    mine = "SELECT state, since_at, created_at FROM membership WHERE actor_id = $1"
    [listed] = await db.fetch(mine, theirs.here.odile.actor_id)
    let_in = listed["created_at"] + 1
    assert listed["state"] == "member" and listed["since_at"] > let_in
    accept = theirs.group.says("Accept", join, published=moment(let_in))
    assert await theirs.here.take(accept, theirs.pin.ed) == ""
    [row] = await db.fetch(mine, theirs.here.odile.actor_id)
    assert row["since_at"] == let_in
    later = theirs.group.says("Accept", join, published=moment(let_in + 1))
    assert await theirs.here.take(later, theirs.pin.ed) == ""
    [row] = await db.fetch(mine, theirs.here.odile.actor_id)
    assert row["since_at"] == let_in


async def test_I3_the_first_whom_a_list_brings_in_asks_for_what_was_refused_meanwhile(theirs: Theirs) -> None:
    """A database was put back: nobody here was in, for all it knew, and what came was refused (RR2)."""
    theirs.lists([theirs.alice, theirs.bruno])
    joins = "SELECT id, actor_id FROM event WHERE kind = 'join_asked'"
    await db.execute("DELETE FROM membership WHERE actor_id = $1", theirs.here.bruno.actor_id)
    assert await theirs.relay(theirs.alice, theirs.bruno) == ""
    assert await theirs.settle() == "" and await db.fetch(joins) == [], "somebody was in all the time"
    await db.execute("DELETE FROM membership")
    assert "Nobody here" in await theirs.relay(theirs.alice, theirs.bruno)
    assert await theirs.settle(2) == ""
    [join] = await db.fetch(joins)
    [asker] = await db.fetch("SELECT actor_id, state FROM membership WHERE uri = $1", f"event:{join['id']}")
    assert (asker["actor_id"], asker["state"]) == (join["actor_id"], "member")
    asked = {"type": "Join", "id": theirs.here.instance.here.activity(join["id"]), "actor": theirs.alice}
    assert await theirs.here.take(theirs.group.says("Accept", asked, published=moment(5)), theirs.pin.ed) == ""
    assert (await theirs.states()) == {"alice": "member", "bruno": "member"}
    assert await theirs.settle() == "" and len(await db.fetch(joins)) == 1


async def test_I3_I5_the_list_says_since_when_everybody_is_in(theirs: Theirs) -> None:
    """After a backup was put back: who was lost reads what they could read, and no more."""
    await db.execute("DELETE FROM membership WHERE actor_id = $1", theirs.here.bruno.actor_id)
    far, came = now_ms() + 9_000_000, now_ms() - 9_000_000
    for since in ("", {theirs.bruno: 5, theirs.alice: "?"}, {theirs.bruno: moment(came), theirs.alice: moment(far)}):
        await db.execute("UPDATE membership SET since_at = 7 WHERE actor_id = $1", theirs.here.alice.actor_id)
        dated: Json = {"parvis:since": since}
        theirs.lists([theirs.alice, theirs.bruno], **dated)
        await wish(theirs.id, root_of([theirs.alice, theirs.bruno]))
        assert await theirs.settle() == ""
        await db.execute("DELETE FROM job WHERE kind = 'members'")
        rows = await db.fetch("SELECT actor_id, since_at FROM membership WHERE peer_id IS NULL")
        dates = {row["actor_id"]: row["since_at"] for row in rows}
        if isinstance(since, dict) and since[theirs.bruno] != 5:
            assert dates[theirs.here.bruno.actor_id] == came
            assert now_ms() < dates[theirs.here.alice.actor_id] < far, "no further ahead than clocks are apart"
        else:
            assert dates[theirs.here.alice.actor_id] == 7
            assert came < dates[theirs.here.bruno.actor_id] <= now_ms(), "from now on, where no date can be read"


async def test_I3_I5_how_much_of_the_past_is_for_newcomers_comes_with_who_is_in(theirs: Theirs) -> None:
    """An `Update` tells it too: but not while nobody here is in, and it may be lost with a database."""

    async def known() -> int | None:
        [row] = await db.fetch("SELECT newcomers_from FROM space WHERE id = $1", theirs.id)
        return None if row["newcomers_from"] is None else int(row["newcomers_from"])

    async def listed(epoch: int, **more: Any) -> int | None:
        theirs.lists([theirs.alice, theirs.bruno], **{"parvis:policyEpoch": epoch}, **more)
        first = f"{theirs.group.uri}/members"
        whole = {"id": theirs.address, "type": "OrderedCollection", "totalItems": 2, "first": f"{first}/0"}
        theirs.group.server.serve(first, {**whole, "parvis:policyEpoch": epoch})
        await wish(theirs.id)
        assert await theirs.settle() == ""
        return await known()

    await ask_elsewhere(theirs.here.odile, theirs.id)
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'join_asked'")
    odile = theirs.here.person("odile")
    join = {"id": theirs.here.instance.here.activity(event["id"]), "type": "Join", "actor": odile}
    for since in (7, 8, None):  # the answer to what was asked, and the same once more
        around: Json = {} if since is None else {"parvis:newcomersFrom": moment(since)}
        accept = theirs.group.says("Accept", join | {"object": theirs.group.uri}, **around)
        assert await theirs.here.take(accept, theirs.pin.ed) == ""
        assert await known() == since
    await db.execute("DELETE FROM membership WHERE actor_id = $1", theirs.here.odile.actor_id)
    assert await listed(3, **{"parvis:newcomersFrom": moment(9)}) == 9
    await db.execute("UPDATE space SET epoch = 3")
    assert await listed(2) == 9, "a list of before its policy changed"
    assert await theirs.relay(theirs.alice, theirs.bruno, epoch=4) == ""
    assert await known() is None, "under a policy of which no Update came"
    assert await db.fetch("SELECT id FROM job WHERE kind = 'members' AND done_at IS NULL"), "so it is asked for"
    assert await listed(4, **{"parvis:newcomersFrom": moment(10)}) == 10


async def test_I3_I5_who_asks_twice_is_in_by_the_first_answer_and_who_left_in_between_by_the_second(
    theirs: Theirs,
) -> None:
    """What the host told them meanwhile was refused, since nobody here was in, and was not told again."""
    odile, joins = theirs.here.odile, list[Json]()

    async def asks() -> None:
        await ask_elsewhere(odile, theirs.id)
        event = (await db.fetch("SELECT id FROM event WHERE kind = 'join_asked' ORDER BY id"))[-1]
        here = theirs.here.instance.here
        joins.append({"type": "Join", "id": here.activity(event["id"]), "actor": theirs.here.person("odile")})

    async def answered(number: int, at: int, kind: str = "Accept") -> tuple[str, int | None]:
        await theirs.here.take(theirs.group.says(kind, joins[number], published=moment(at)), theirs.pin.ed)
        [row] = await db.fetch("SELECT state, since_at FROM membership WHERE actor_id = $1", odile.actor_id)
        return row["state"], row["since_at"]

    await asks()
    await asks()
    assert await answered(0, 7, "Reject") == ("asked", None), "of what was asked again"
    assert await answered(0, 7) == ("member", 7)
    assert await answered(1, 8) == ("member", 7)
    await leave(odile, theirs.id)
    await db.execute("UPDATE event SET created_at = created_at - 10")
    await asks()
    assert await answered(0, 7) == await answered(1, 8) == ("asked", None)
    assert await answered(2, 9) == ("member", 9)


async def test_I5_D9_who_is_let_go_goes_whatever_the_hosts_clock_says_of_when_they_came(theirs: Theirs) -> None:
    await db.execute("UPDATE peer SET skew_ms = 600000")
    await db.execute(
        "UPDATE membership SET since_at = $1 WHERE actor_id = $2", now_ms() + 590_000, theirs.here.bruno.actor_id
    )
    theirs.lists([theirs.alice])
    await wish(theirs.id, root_of([theirs.alice]))
    assert await theirs.settle() == ""
    assert await theirs.states() == {"alice": "member"}


@pytest.mark.parametrize("ahead_ms", [-600_000, 600_000])
async def test_I3_I5_D9_what_a_list_is_older_than_is_judged_by_its_hosts_clock(theirs: Theirs, ahead_ms: int) -> None:
    """Since when everybody is in is the host's word; so must be since when its list is asked for."""
    here, was_in = theirs.here, now_ms() + ahead_ms - 60_000
    await db.execute("UPDATE peer SET skew_ms = $1", ahead_ms)
    await db.execute("UPDATE membership SET since_at = $1", was_in)
    dated: Json = {"parvis:since": {theirs.alice: moment(was_in)}}
    theirs.lists([theirs.alice], **dated)
    page = f"{theirs.group.uri}/members/0".removeprefix(theirs.group.server.base)
    whole = theirs.group.server.there.scenes[page]

    async def meanwhile(writer: asyncio.StreamWriter) -> None:
        await enter(theirs.id, here.odile.actor_id)  # and Alice was let go, and came in again
        await db.execute(
            "UPDATE membership SET since_at = $1 WHERE actor_id <> $2", now_ms() + ahead_ms, here.bruno.actor_id
        )
        writer.write(cast("bytes", whole))
        await writer.drain()

    theirs.group.server.scene(page, meanwhile)
    await wish(theirs.id, root_of([theirs.alice]))
    assert await theirs.settle() == ""
    assert await theirs.states() == {"alice": "member", "odile": "member"}, "Bruno was let go after a minute"
    assert await since(theirs, "alice") > was_in, "the list knew of the time before"
    everybody = [theirs.alice, theirs.bruno, here.person("odile")]
    theirs.lists(everybody)
    await db.execute("DELETE FROM membership WHERE actor_id = $1", here.odile.actor_id)
    await enter(theirs.id, here.odile.actor_id, state="asked")
    await db.execute("UPDATE membership SET uri = 'https://x.example/join' WHERE state = 'asked'")
    [space] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", theirs.id)
    await answered(PeerServer(space["peer_id"], True), "https://x.example/join", accepted=True)
    await wish(theirs.id, root_of(everybody))
    await theirs.settle()
    for undated in ("odile", "bruno"):
        assert 0 <= now_ms() + ahead_ms - await since(theirs, undated) < 30_000, "from now on, which is then there"


async def since(theirs: Theirs, name: str) -> int:
    [row] = await db.fetch(
        "SELECT m.since_at FROM membership m JOIN actor a ON a.id = m.actor_id"
        " WHERE m.space_id = $1 AND a.name = $2 AND m.peer_id IS NULL",
        theirs.id,
        name,
    )
    return int(row["since_at"])


NOT_THERE = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


async def hidden(theirs: Theirs) -> None:
    """Its host shows no list, and did not for as long as a restart takes."""
    theirs.group.server.scene(f"{theirs.group.uri}/members".removeprefix(theirs.group.server.base), NOT_THERE)
    await wish(theirs.id)
    for _ in range(4):
        assert "404" in await theirs.settle()
        assert await theirs.states() == {"alice": "member", "bruno": "member"}, "a server that is set up anew"
    assert "404" in await theirs.settle()
    assert await theirs.states() == {"alice": "frozen", "bruno": "frozen"}, "nobody here reads it"


async def test_I5_who_is_in_a_space_that_its_host_shows_us_no_more_reads_nothing_and_is_let_go(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its database was put back to before they came in, and it has nobody of ours to tell that of."""
    await hidden(theirs)
    assert (await theirs.space())["frozen_at"] is not None
    assert [row["reason"] for row in await db.fetch("SELECT reason FROM link_incident")] == [membership_lists.NOT_SHOWN]
    for _ in range(30):  # quarters of an hour
        assert "404" in await theirs.settle()
    assert await db.fetch("SELECT count FROM link_incident") == [{"count": 1}]
    monkeypatch.setattr(membership_sync, "now_ms", lambda: now_ms() + membership_sync.DAY_MS)
    for state, heard_at in (("paused", None), ("ok", 1)):
        await db.execute("UPDATE peer SET state = $1, last_ok_at = $2, peering = 'its own'", state, heard_at)
        assert "404" in await theirs.settle()
        assert await theirs.states() == {"alice": "frozen", "bruno": "frozen"}, "so is whom it does not hear at all"
    await db.execute("UPDATE peer SET last_ok_at = $1", now_ms() + membership_sync.DAY_MS)
    assert "404" in await theirs.settle(), "and the day begins when it does"
    monkeypatch.setattr(membership_sync, "now_ms", lambda: now_ms() + 2 * membership_sync.DAY_MS)
    assert await theirs.settle() == ""
    assert await theirs.states() == {} and (await theirs.space())["frozen_at"] is None
    await db.execute("DELETE FROM job")
    await wish(theirs.id)
    assert await theirs.settle() == "", "and nobody asks on"


async def test_I5_a_host_that_showed_nothing_after_it_did_not_answer_freezes_nobody_for_good(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since when it shows nothing was written down for the first tries alone, which its silence had used up."""
    path = f"{theirs.group.uri}/members".removeprefix(theirs.group.server.base)
    theirs.group.server.scene(path, NOT_THERE.replace(b"404 Not Found", b"503 Not Now"))
    await wish(theirs.id)
    assert await theirs.settle(5)
    theirs.group.server.scene(path, NOT_THERE)
    assert "404" in await theirs.settle()
    assert await theirs.states() == {"alice": "member", "bruno": "member"}, "it did not last yet"
    assert "404" in await theirs.settle()
    assert await theirs.states() == {"alice": "frozen", "bruno": "frozen"}
    await wish(theirs.id)
    [job] = await db.fetch("SELECT due_at FROM job")
    assert job["due_at"] < now_ms() + 60_000, "its word brings it forward"
    monkeypatch.setattr(membership_sync, "now_ms", lambda: now_ms() + membership_sync.DAY_MS)
    assert await theirs.settle() == ""
    assert await theirs.states() == {}


async def test_I3_a_host_that_showed_nothing_for_a_while_loses_nobody_and_tells_what_was_refused(
    theirs: Theirs,
) -> None:
    await hidden(theirs)
    [job] = await db.fetch("SELECT due_at FROM job")
    assert job["due_at"] > now_ms() + 600_000
    assert "Nobody here" in await theirs.relay(theirs.alice, theirs.bruno)
    [job] = await db.fetch("SELECT due_at FROM job")
    assert job["due_at"] < now_ms() + 60_000, "its word brings it forward"
    theirs.lists([theirs.alice], [theirs.bruno])
    assert await theirs.settle() == ""
    assert await theirs.states() == {"alice": "member", "bruno": "member"}
    assert (await theirs.space())["frozen_at"] is None
    [join] = await db.fetch("SELECT actor_id FROM event WHERE kind = 'join_asked'")
    assert join["actor_id"] == theirs.here.alice.actor_id, "so what was told meanwhile is told again"


async def test_two_lists_that_go_on_differing_freeze_the_space_and_both_administrators_see_it(theirs: Theirs) -> None:
    ghost = theirs.here.person("personne")
    theirs.lists([theirs.alice, theirs.bruno, ghost])
    assert await theirs.relay(theirs.alice, theirs.bruno, ghost) == ""
    assert "still differ" in await theirs.settle()
    assert (await theirs.space())["frozen_at"] is None
    assert "still differ" in await theirs.settle()
    assert (await theirs.space())["frozen_at"] is not None
    assert await theirs.states() == {"alice": "frozen", "bruno": "frozen"}, "nobody here reads it"
    [notice] = await db.fetch("SELECT actor_id FROM notice WHERE kind = 'link'")
    assert notice["actor_id"] == theirs.here.odile.actor_id
    [incident] = await db.fetch("SELECT rule, count FROM link_incident")
    assert incident == {"rule": "members", "count": 2}
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'members_disagree'")) == 1, "its host is told"
    theirs.lists([theirs.alice, theirs.bruno])
    assert await theirs.settle(2) == ""
    assert await theirs.states() == {"alice": "member", "bruno": "member"}
    assert (await theirs.space())["frozen_at"] is None


async def test_a_partner_that_disagrees_with_our_list_is_shown_to_our_administrators(
    closed: Here, kestrel: OtherServer
) -> None:
    pin, chloe = await linked(kestrel), kestrel.actor("chloe")
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space_id, await met(chloe), kestrel)
    assert await closed.take(pin.says("parvis:MembersDisagree", closed.space("projet")), pin.ed) == ""
    assert [row["rule"] for row in await db.fetch("SELECT rule FROM link_incident")] == ["members"]
    assert len(await db.fetch("SELECT id FROM notice WHERE kind = 'link'")) == 1
    secret = await closed.open_space("secret", Level.CLOSED)
    assert await closed.take(pin.says("parvis:MembersDisagree", closed.space("secret")), pin.ed) != "" and secret


async def test_D9_a_clock_that_turns_out_to_be_elsewhere_is_known_here_at_once(theirs: Theirs) -> None:
    """Posts are dated by it: half a minute's would have been dated wrongly, and hidden from who came in since."""
    await upkeep.look_after(theirs.here.instance)
    skew.noticed(theirs.group.server.host, formatdate(now_ms() / 1000 - 600, usegmt=True))
    await upkeep.look_after(theirs.here.instance)
    [space] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", theirs.id)
    assert abs(await time_at(space["peer_id"]) + 600_000 - now_ms()) < 5_000
    skew.forget()


async def test_every_space_is_compared_once_a_day(theirs: Theirs) -> None:
    assert await membership_sync.wish_daily() == 1
    assert await membership_sync.wish_daily() == 0
    await db.execute("UPDATE space SET checked_at = $1 WHERE id = $2", now_ms() - 90_000_000, theirs.id)
    assert await membership_sync.wish_daily() == 1


async def test_who_is_in_and_is_invited_again_asks_again(theirs: Theirs) -> None:
    """A host whose database was put back invites somebody whom it had let in."""
    before = await theirs.states()
    assert before["alice"] == "member"
    uri = theirs.here.person("alice")
    [row] = await db.fetch("SELECT id FROM actor WHERE uri = $1", uri)
    [space] = await db.fetch("SELECT peer_id FROM space WHERE id = $1", theirs.id)
    await invited(PeerServer(space["peer_id"], True), theirs.id, row["id"], f"{theirs.group.uri}/invite", None)
    assert (await theirs.states())["alice"] == "asked"
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'join_asked' AND actor_id = $1", row["id"])) == 1


async def test_who_is_told_of_a_space_that_nobody_here_is_in_asks_who_is(theirs: Theirs) -> None:
    await db.execute("DELETE FROM membership WHERE space_id = $1", theirs.id)
    theirs.lists([theirs.alice])
    await theirs.relay(theirs.alice)
    await theirs.settle(2)
    assert await theirs.states() == {"alice": "member"}
