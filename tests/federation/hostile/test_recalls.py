"""A recall is believed from the host of the space alone, and by the key that was pinned for it."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from tortoise.models import Model

from federation.composing import Receiver, compose
from federation.recalling import work_off
from federation.signatures.keys import public_key_from_multikey
from federation.signatures.proofs import check_proof, parse_proof, with_proof
from federation.vocabulary import moment
from server import database as db
from server import files, models
from server.actions import purges
from server.actions.moving import follow
from server.actions.polls import vote
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.ids import new_id
from server.openness import Level
from server.queries.posts import readable
from server.recall_terms import root_of
from tests.federation.stranger import CANARY, Actor, Here, Json, OtherServer, enter, everything, linked, met, mirrored
from tests.unit.server.actions.test_withdrawn_meanwhile import somebody_waits

pytestmark = pytest.mark.anyio


# --- a partner takes back what we have of its space ------------------------------------------------


class Theirs:
    """A space that Kestrel hosts, with Alice in it."""

    def __init__(self, here: Here, pin: Actor, group: Actor, chloe: Actor, space_id: int) -> None:
        self.here, self.pin, self.group, self.chloe, self.id = here, pin, group, chloe, space_id

    async def tells(self, text: str = f"<p>{CANARY}</p>", **more: Any) -> str:
        """A post of Chloé's comes in; its address."""
        uri = self.group.uri
        note = self.chloe.note(text, audience=uri, to=[f"{uri}/members"], **more)
        create = self.chloe.says("Create", note, audience=uri, to=[f"{uri}/members"])
        announce = self.group.says("Announce", create, to=[f"{uri}/members"])
        assert await self.here.take(announce, self.pin.ed) == ""
        return str(note["id"])

    def recall(self, uris: Sequence[str], by: Any = None, **changes: Any) -> Json:
        """What the host says; `by` whose key its proof is made with."""
        address = self.group.server.new("recalls")
        listed = {
            "id": f"{address}/items",
            "type": "OrderedCollection",
            "totalItems": len(uris),
            "parvis:scope": changes.pop("scope", "space"),
            "parvis:root": changes.pop("root", root_of(uris)),
            "orderedItems": list(uris),
        }
        listed |= changes.pop("listed", {})
        document = self.group.says(["Delete", "parvis:Recall"], listed)  # type: ignore[arg-type]
        document |= {"parvis:recall": address, "parvis:keep": "own-authored", "parvis:deadline": moment(now_ms())}
        return dict(with_proof(document | changes, by or self.pin.ed, now_ms()))

    async def purged(self) -> Json | None:
        """Works everything off; the receipt as it would be sent, None when there is none."""
        for _ in range(50):
            if not await work_off(self.here.instance):
                break
        [row] = await db.fetch("SELECT MAX(id) AS id FROM event WHERE kind = 'recall_answered'")
        if row["id"] is None:
            return None
        peer = await db.fetch_one("SELECT id, host FROM peer WHERE host = $1", self.group.server.host)
        assert peer is not None
        sealed = await compose(self.here.instance, row["id"], Receiver(peer["id"], peer["host"], True))
        return dict(json.loads(sealed.body)) if sealed else None


@pytest.fixture
async def theirs(closed: Here, kestrel: OtherServer) -> Theirs:
    pin = await linked(kestrel)
    group, chloe = kestrel.actor("projet", "Group"), kestrel.actor("chloe")
    space_id = await mirrored(group, closed.alice)
    await met(chloe)
    return Theirs(closed, pin, group, chloe, space_id)


async def test_what_the_host_takes_back_is_gone_and_said_so_under_our_key(theirs: Theirs) -> None:
    answers = [{"type": "Note", "name": name} for name in (f"réponse {CANARY}", "autre")]
    uris = [await theirs.tells(), await theirs.tells(), await theirs.tells("<p>?</p>", type="Question", oneOf=answers)]
    [asked] = await db.fetch("SELECT post_id FROM poll")
    await vote(theirs.here.alice, asked["post_id"], [0])
    assert CANARY in str(await everything())
    assert await theirs.here.take(theirs.recall(uris), theirs.pin.ed) == ""
    assert await db.fetch("SELECT id FROM membership WHERE space_id = $1", theirs.id) == [], "hidden at once"
    receipt = await theirs.purged()
    left = await everything()
    assert CANARY not in str(left) and not left["poll"] and not left["poll_option"] and not left["vote"]
    assert receipt is not None and receipt["type"] == "parvis:RecallReceipt"
    assert receipt["parvis:root"] == root_of(uris) and receipt["parvis:retained"] == []
    assert (receipt["parvis:purged"]["items"], receipt["parvis:purged"]["index"]) == (3, 3)
    facts = parse_proof(receipt, now=now_ms() + 1000)
    [key] = await db.fetch("SELECT k.uri, k.public FROM actor_key k WHERE k.algorithm = 'ed25519'")
    assert facts is not None
    check_proof(facts, public_key_from_multikey(key["uri"], theirs.here.instance.here.instance, key["public"]))


@pytest.mark.parametrize("forged", ["without", "space", "author", "stranger"])
async def test_I8_a_recall_without_the_proof_of_the_pinned_key_takes_nothing_back(
    theirs: Theirs, merle: OtherServer, forged: str
) -> None:
    uris = [await theirs.tells()]
    other = {"space": theirs.group.ed, "author": theirs.chloe.ed, "stranger": merle.instance().ed}
    document = theirs.recall(uris, by=other.get(forged))
    if forged == "without":
        del document["proof"]
    assert "pinned key" in await theirs.here.take(document, theirs.pin.ed)
    assert await theirs.purged() is None and CANARY in str(await db.fetch("SELECT html FROM post"))


async def test_I8_one_partner_takes_nothing_back_from_the_space_of_another(theirs: Theirs, merle: OtherServer) -> None:
    uris = [await theirs.tells()]
    pin = await linked(merle)
    foreign = merle.actor("projet", "Group")
    await mirrored(foreign, theirs.here.bruno)
    mine = Theirs(theirs.here, pin, foreign, theirs.chloe, 0)
    assert await theirs.here.take(mine.recall(uris), pin.ed) == ""
    for _ in range(10):
        await work_off(theirs.here.instance)
    [row] = await db.fetch("SELECT counts, state FROM purge")
    assert json.loads(row["counts"])["items"] == 0, "a receipt does not claim what is still there"
    assert CANARY in str(await db.fetch("SELECT html FROM post"))
    named = dict(mine.recall(uris) | {"actor": theirs.group.uri})
    assert (await theirs.here.hear(named, pin.ed)).status_code in (401, 403)
    ours = await theirs.here.open_space("nous", Level.PARTNERS, merle)
    assert ours and (await theirs.here.hear(named | {"actor": theirs.here.space("nous")}, pin.ed)).status_code == 403


async def test_a_list_that_is_not_the_one_of_its_root_takes_nothing_back(theirs: Theirs) -> None:
    uris = [await theirs.tells(), await theirs.tells()]
    wrong: Json
    for wrong in ({"root": root_of(uris[:1])}, {"listed": {"totalItems": 3}}, {"listed": {"orderedItems": uris[:1]}}):
        assert await theirs.here.take(theirs.recall(uris, **wrong), theirs.pin.ed) != ""
    for wrong in ({"root": "x"}, {"scope": "tout"}, {"parvis:keep": 3}, {"listed": {"totalItems": True}}):
        assert await theirs.here.take(theirs.recall(uris, **wrong), theirs.pin.ed) != ""
    assert await db.fetch("SELECT id FROM purge") == []


async def test_a_recall_counts_after_the_link_has_ended_and_from_nobody_who_never_had_one(
    theirs: Theirs, merle: OtherServer
) -> None:
    uris = [await theirs.tells()]
    await db.execute("UPDATE link SET state = 'ended'")
    stranger = Theirs(theirs.here, merle.instance(), merle.actor("projet", "Group"), theirs.chloe, 0)
    assert (await theirs.here.take(stranger.recall(uris), stranger.pin.ed)) != ""
    assert CANARY in str(await db.fetch("SELECT html FROM post"))
    assert await theirs.here.take(theirs.recall(uris), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 1
    assert CANARY not in str(await everything())


async def test_D4_a_copy_that_comes_late_does_not_come_back(theirs: Theirs) -> None:
    before = [await theirs.tells()]
    never = theirs.chloe.note(f"<p>{CANARY}</p>", audience=theirs.group.uri, to=[f"{theirs.group.uri}/members"])
    uris = [*before, never["id"]]
    assert await theirs.here.take(theirs.recall(uris, scope="item"), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 2
    for note_id in uris:
        again = dict(never, id=note_id)
        create = theirs.chloe.says("Create", again, audience=theirs.group.uri)
        await theirs.here.take(theirs.group.says("Announce", create), theirs.pin.ed)
        edit = theirs.chloe.says("Update", again | {"updated": moment(now_ms())}, audience=theirs.group.uri)
        await theirs.here.take(theirs.group.says("Announce", edit), theirs.pin.ed)
    assert CANARY not in str(await everything("receipt"))
    await theirs.tells("<p>le reste va bien</p>")


async def test_whoever_comes_in_again_before_all_is_taken_back_stays_and_keeps_what_came_since(theirs: Theirs) -> None:
    """A host closed, and opened again: the end of the taking back put out whoever had come in meanwhile."""
    long_ago = moment(now_ms() - 40 * 24 * 3_600_000)
    before, earlier = await theirs.tells(), await theirs.tells(published=long_ago)
    assert await theirs.here.take(theirs.recall([before]), theirs.pin.ed) == ""
    row = {"id": new_id(), "space_id": theirs.id, "actor_id": theirs.here.alice.actor_id, "state": "member"}
    await db.insert("membership", {**row, "role": "member", "since_at": now_ms(), "created_at": now_ms()})
    since = await theirs.tells("<p>de retour</p>")
    told_since = await theirs.tells("<p>pour eux aussi</p>", published=long_ago)
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 2
    posts = {post["uri"]: post["html"] for post in await db.fetch("SELECT uri, html FROM post")}
    assert (posts[before], posts[since]) == ("", "<p>de retour</p>")
    assert (posts[earlier], posts[told_since]) == ("", "<p>pour eux aussi</p>")
    assert len(await db.fetch("SELECT id FROM event WHERE kind = 'join_asked'")) == 1, "and is told what went meanwhile"
    [kept] = await db.fetch("SELECT state FROM membership WHERE space_id = $1", theirs.id)
    assert kept["state"] == "member" and CANARY not in str(await everything())


@pytest.mark.parametrize("state", ["active", "ended"])
async def test_I3_who_is_invited_again_before_the_recall_comes_is_not_put_out_by_it(theirs: Theirs, state: str) -> None:
    """It takes back from those who were in; the invitation had been lost with it, and what was told after."""
    [alice] = await db.fetch("SELECT since_at FROM membership WHERE space_id = $1", theirs.id)
    began, here = alice["since_at"], theirs.here
    await enter(theirs.id, here.bruno.actor_id, state="asked")
    await enter(theirs.id, here.odile.actor_id)
    await db.execute("UPDATE membership SET since_at = $1 WHERE actor_id = $2", began + 1, here.odile.actor_id)
    await db.execute("UPDATE link SET state = $1", state)
    before = await theirs.tells() if state == "active" else "https://x.example/unknown"
    told = theirs.recall([before], listed={"parvis:upTo": moment(began)})
    assert await here.take(told, theirs.pin.ed) == ""
    left = {row["actor_id"] for row in await db.fetch("SELECT actor_id FROM membership WHERE space_id = $1", theirs.id)}
    assert left == ({here.bruno.actor_id, here.odile.actor_id} if state == "active" else set())
    await db.execute("DELETE FROM membership WHERE state = 'member'")
    await db.execute("UPDATE receipt SET body = $1 WHERE processed_at IS NOT NULL", CANARY)
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:root"] == root_of([before])
    assert CANARY not in str(await everything()), "whoever is invited has read nothing yet"
    [space] = await db.fetch("SELECT name FROM space WHERE id = $1", theirs.id)
    assert space["name"] == theirs.group.name


async def test_I3_what_was_taken_back_with_all_of_a_space_is_there_when_its_host_tells_it_again(theirs: Theirs) -> None:
    """A space closes, and opens again with its past. What its author takes back, or the host alone, stays away (D4)."""
    here, group = theirs.here, theirs.group
    asked: Json = {"type": "Question", "oneOf": [{"type": "Note", "name": name} for name in ("oui", "non")]}
    before = [await theirs.tells(), await theirs.tells("<p>question</p>", **asked), await theirs.tells(), ""]
    before[3] = theirs.chloe.note()["id"]  # which never came
    ids = {row["uri"]: row["id"] for row in await db.fetch("SELECT uri, id FROM post")}
    gone = theirs.chloe.says("Delete", {"id": before[2], "type": "Tombstone"}, to=[f"{group.uri}/members"])
    alone = await theirs.tells()
    assert await here.take(theirs.recall([alone], scope="item"), theirs.pin.ed) == ""
    assert await here.take(theirs.recall([*before[:2], before[3]]), theirs.pin.ed) == ""
    assert await theirs.purged() is not None
    assert CANARY not in str(await everything())
    await enter(theirs.id, here.alice.actor_id)
    assert await here.take(group.says("Announce", gone, to=[f"{group.uri}/members"]), theirs.pin.ed) == ""
    texts = ("<p>encore</p>", "<p>question</p>", "<p>jamais</p>", "<p>jamais venu</p>", "<p>retiré</p>")
    for uri, text, more in zip((*before, alone), texts, ({}, asked, {}, {}, {}), strict=True):
        note = theirs.chloe.note(text, audience=group.uri, to=[f"{group.uri}/members"], id=uri, **more)
        create = theirs.chloe.says("Create", note, audience=group.uri, to=[f"{group.uri}/members"])
        await here.take(group.says("Announce", create, to=[f"{group.uri}/members"]), theirs.pin.ed)
    found = await db.fetch("SELECT id, uri, html, author_id FROM post WHERE deleted_at IS NULL ORDER BY html")
    assert [row["html"] for row in found] == ["<p>encore</p>", "<p>jamais venu</p>", "<p>question</p>"]
    assert {row["author_id"] for row in found} == {await met(theirs.chloe)}
    assert [found[0]["id"], found[2]["id"]] == [ids[before[0]], ids[before[1]]], "in their old places"
    assert len(await db.fetch("SELECT id FROM poll_option")) == 2
    assert set(await readable(here.alice, list(ids.values()))) == {ids[before[0]], ids[before[1]]}


async def test_I3_D4_what_was_taken_back_by_itself_is_there_again_by_what_its_host_says_later(theirs: Theirs) -> None:
    """A past is closed to newcomers, and opened again: a copy that was on its way meanwhile stays away."""
    group, uri, began = theirs.group, await theirs.tells(), now_ms()
    taken = theirs.recall([uri], scope="item", listed={"parvis:upTo": moment(began)})
    assert await theirs.here.take(taken, theirs.pin.ed) == ""
    assert await theirs.purged() is not None
    for said_at, found in ((began - 1, 0), (began, 0), (began + 1, 1)):
        note = theirs.chloe.note(audience=group.uri, to=[f"{group.uri}/members"], id=uri)
        create = theirs.chloe.says("Create", note, audience=group.uri, to=[f"{group.uri}/members"])
        announce = group.says("Announce", create, to=[f"{group.uri}/members"], published=moment(said_at))
        assert await theirs.here.take(announce, theirs.pin.ed) == ""
        assert len(await db.fetch("SELECT id FROM post WHERE deleted_at IS NULL")) == found


async def test_what_our_own_people_wrote_is_kept_only_where_the_host_lets_them(theirs: Theirs) -> None:
    own = await publish(theirs.here.alice, Draft("à nous", theirs.id), theirs.here.instance.here)
    uris = [await theirs.tells()]
    assert await theirs.here.take(theirs.recall(uris), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:retained"] == [{"reason": "own-authored", "items": 1}]
    [row] = await db.fetch("SELECT html, deleted_at FROM post WHERE id = $1", own)
    assert "à nous" in row["html"] and row["deleted_at"] is None
    assert await theirs.here.take(theirs.recall(uris, **{"parvis:keep": "none"}), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:retained"] == []
    assert "à nous" not in str(await everything())


async def test_thousands_go_in_small_steps_that_any_crash_may_cut(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purges, "STEP", 5)
    uris = [await theirs.tells() for _ in range(12)]
    assert await theirs.here.take(theirs.recall(uris), theirs.pin.ed) == ""
    folder, left, steps = theirs.here.instance.settings.files_dir, 12, 0
    while await purges.step(folder):
        [row] = await db.fetch("SELECT COUNT(*) AS n FROM post WHERE html <> ''")
        assert left - row["n"] <= 5, "no step does more than its share"
        left, steps = row["n"], steps + 1
        assert await db.fetch("SELECT id FROM event WHERE kind = 'recall_answered'") == [], "no receipt before the end"
        if steps == 2:
            with pytest.raises(RuntimeError, match="cut"):
                async with db.transaction():  # what is cut in the middle is as if it had not begun
                    await purges.step(folder)
                    raise RuntimeError("cut")
            [again] = await db.fetch("SELECT COUNT(*) AS n FROM post WHERE html <> ''")
            assert again["n"] == left
    assert left == 0 and steps >= 5
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 12


async def test_I6_two_processes_at_one_step_count_what_is_erased_once(theirs: Theirs) -> None:
    uris = [await theirs.tells() for _ in range(3)]
    assert await theirs.here.take(theirs.recall(uris), theirs.pin.ed) == ""
    folder = theirs.here.instance.settings.files_dir
    done, go_on = asyncio.Event(), asyncio.Event()

    async def one_of_them() -> None:
        async with db.transaction():
            await purges.step(folder)
            done.set()
            await go_on.wait()

    first = asyncio.create_task(one_of_them())
    await done.wait()
    second = asyncio.create_task(purges.step(folder))
    for _ in range(2000):
        if await somebody_waits() or second.done():
            break
        await asyncio.sleep(0.005)
    go_on.set()
    await asyncio.gather(first, second)
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 3


async def test_the_bytes_of_a_file_go_unless_somebody_else_needs_them(theirs: Theirs) -> None:
    uris = [await theirs.tells(), await theirs.tells()]
    folder = theirs.here.instance.settings.files_dir
    kept = []
    for number, uri in enumerate(uris):
        path = folder.parent / f"one{number}"
        path.write_bytes(f"octets {number}".encode())
        kept.append(files.store(folder, path, 1000).sha256)
        [post] = await db.fetch("SELECT id, author_id FROM post WHERE uri = $1", uri)
        for owner, post_id in [(post["author_id"], post["id"])] + (
            [(theirs.here.bruno.actor_id, None)] if number else []
        ):
            row = {"id": new_id(), "owner_id": owner, "post_id": post_id, "name": "a.txt", "media_type": "text/plain"}
            await db.insert("attachment", row | {"sha256": kept[-1], "created_at": now_ms()})
    assert await theirs.here.take(theirs.recall(uris), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["media"] == 2
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert kept[0] not in names and kept[1] in names


async def test_a_long_list_is_fetched_page_by_page_from_the_host(theirs: Theirs, kestrel: OtherServer) -> None:
    uris = sorted([await theirs.tells() for _ in range(5)])
    first, second = kestrel.new("list"), kestrel.new("list")
    page = {"type": "OrderedCollectionPage", "orderedItems": uris[:3], "next": second}
    kestrel.serve(first, page)
    kestrel.serve(second, {"type": "OrderedCollectionPage", "orderedItems": uris[3:]})
    document = theirs.recall(uris)
    del document["object"]["orderedItems"], document["proof"]
    document["object"]["first"] = first
    assert await theirs.here.take(dict(with_proof(document, theirs.pin.ed, now_ms())), theirs.pin.ed) == ""
    receipt = await theirs.purged()
    assert receipt is not None and receipt["parvis:purged"]["items"] == 5
    short = dict(document) | {"id": kestrel.new("activities"), "parvis:recall": kestrel.new("recalls")}
    short["object"] = dict(document["object"]) | {"first": second}
    assert await theirs.here.take(dict(with_proof(short, theirs.pin.ed, now_ms())), theirs.pin.ed) == ""
    await theirs.purged()
    [row] = await db.fetch("SELECT state, reason, receipt FROM purge WHERE uri = $1", short["parvis:recall"])
    assert row["state"] == "refused" and "root" in row["reason"] and not row["receipt"]
    kestrel.serve(second, page | {"next": first})
    endless = dict(short) | {"id": kestrel.new("activities"), "parvis:recall": kestrel.new("recalls")}
    assert await theirs.here.take(dict(with_proof(endless, theirs.pin.ed, now_ms())), theirs.pin.ed) == ""
    await theirs.purged()
    [row] = await db.fetch("SELECT state, reason FROM purge WHERE uri = $1", endless["parvis:recall"])
    assert row["state"] == "refused" and "longer" in row["reason"], "a list without end is not fetched on and on"


def test_every_table_that_is_about_a_post_is_erased_with_it_or_named_here() -> None:
    """A new table that refers to posts has to say what becomes of it when its post is taken back."""
    erased = {table for table, _ in purges.MADE_OF_POSTS} | {"attachment"}
    emptied = {"event"}  # what it says goes, its id stays
    tables = [model for model in vars(models).values() if isinstance(model, type) and issubclass(model, Model)]
    about = {model._meta.db_table for model in tables if {"post", "post_id"} & set(model._meta.fields_map)}
    assert about == erased | emptied


@pytest.mark.parametrize("begun", [False, True])
async def test_D12_what_a_host_took_back_before_it_moved_is_gone_and_answered_where_it_is_now(
    theirs: Theirs, begun: bool
) -> None:
    uris = [await theirs.tells() for _ in range(2)]
    old, new = theirs.group.server.base, "http://ailleurs.example"
    assert (await theirs.here.hear(theirs.recall(uris, scope="item"), theirs.pin.ed)).status_code == 202
    if begun:
        await theirs.here.process()
    [peer] = await db.fetch("SELECT peer_id FROM link")
    async with db.transaction():
        await follow(peer["peer_id"], old, new, now_ms())
    await theirs.here.process()
    theirs.group.server = OtherServer(theirs.group.server.there, new)
    receipt = await theirs.purged()
    assert CANARY not in str(await everything())
    assert receipt is not None and receipt["parvis:root"] == root_of(uris), "of the list as it was told"
    assert receipt["inReplyTo"].startswith(f"{new}/recalls/") and receipt["parvis:purged"]["items"] == 2
