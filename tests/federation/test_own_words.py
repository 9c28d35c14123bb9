"""What our people said is had back from a partner only with their proof, once; it is given to their instance alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from federation import keyring, own_words
from federation.errors import Refused, Unreachable, Untrusted
from federation.instance import Instance
from federation.keyring import private_key
from federation.resync import Shared
from federation.signatures.keys import PrivateKey, generate_ed25519
from federation.signatures.proofs import with_proof
from server import database as db
from server.actions import own_words as verbs
from server.actions.accounts import NewPerson, add_person
from server.actions.sweeping import KEPT_MS
from server.clock import now_ms
from server.errors import NotFound, Unavailable
from server.ids import first_id_at, new_id
from server.viewer import Anonymous, Operator, PeerServer
from tests.bench.link import HOST, actor, instance_at, peer, space

pytestmark = pytest.mark.anyio

SPACE = f"{HOST}/spaces/chantier"
ALICE = f"{HOST}/@alice"


class Ours:
    """We host a space with a member elsewhere; Alice is one of us."""

    def __init__(
        self, instance: Instance, space_id: int, peer_id: int, alice: int, chloe: int, key: PrivateKey
    ) -> None:
        self.instance, self.space_id, self.peer_id, self.alice, self.chloe = instance, space_id, peer_id, alice, chloe
        self.key = key

    async def again(self, document: dict[str, Any], key: PrivateKey | None = None) -> bool:
        return await self.take(with_proof(document, key or self.key, now_ms()))

    async def take(self, document: Mapping[str, Any]) -> bool:
        return await own_words._said_again(self.instance, dict(document), Shared(self.space_id, SPACE, True))

    async def posts(self) -> list[dict[str, Any]]:
        return await db.fetch("SELECT id, html, author_id, edited_at, deleted_at FROM post ORDER BY id")


@pytest.fixture
async def ours(database: str, tmp_path: Path) -> Any:
    keyring._opened.clear()  # keys of another test, in another database
    instance = instance_at(tmp_path, database, HOST)
    alice = (await add_person(Operator(), NewPerson("alice", display_name="Alice"), instance.here)).actor_id
    peer_id = await peer("https://kestrel.test", linked=True)
    chloe = await actor("https://kestrel.test/@chloe", "person", peer_id)
    space_id = await space(SPACE, None, chloe, peer_id, peer_id)
    yield Ours(instance, space_id, peer_id, alice, chloe, await private_key(instance, ALICE, "ed25519"))
    await instance.transport.aclose()


def said(kind: str, number: int, thing: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"{HOST}/activities/{number}", "actor": ALICE, "audience": SPACE, "object": thing}


QUESTION = {"type": "Question", "oneOf": [{"type": "Note", "name": name} for name in ("oui", "non")]}


def words(post: int, content: str, **more: Any) -> dict[str, Any]:
    there = {"type": "Note", "id": f"{HOST}/posts/{post}", "attributedTo": ALICE, "audience": SPACE, "to": [SPACE]}
    return {**there, "content": content, "published": "2026-11-25T10:00:00Z", **more}


async def test_a_post_its_edit_a_gesture_and_what_was_taken_back_come_again_once(ours: Ours) -> None:
    first, second, create, update, like, undo, delete = (new_id() for _ in range(7))
    assert await ours.again(said("Create", create, words(first, "<p>un</p>")))
    assert await ours.again(said("Create", new_id(), words(second, "<p>deux</p>", **QUESTION)))
    titles = await db.fetch("SELECT title FROM poll_option WHERE post_id = $1 ORDER BY position", second)
    assert [row["title"] for row in titles] == ["oui", "non"]
    assert not await ours.again(said("Create", create, words(first, "<p>autre</p>"))), "a fact that is known"
    await ours.again(said("Update", update, words(first, "<p>mieux</p>", updated="2026-11-25T10:05:00Z")))
    await ours.again(said("Update", new_id(), words(first, "<p>vieux</p>", updated="2026-11-25T10:04:00Z")))
    thanks = said("Like", like, f"{HOST}/posts/{second}")
    await ours.again(thanks)
    assert await db.fetch("SELECT actor_id, uri FROM reaction") == [{"actor_id": ours.alice, "uri": f"event:{like}"}]
    await ours.again(said("Undo", new_id(), {**thanks, "id": f"{HOST}/activities/{new_id()}"}))
    assert len(await db.fetch("SELECT id FROM reaction")) == 1, "another gesture was undone, not this one"
    await ours.again(said("Undo", undo, thanks))
    assert await db.fetch("SELECT id FROM reaction") == []
    await ours.again(said("Delete", delete, {"type": "Tombstone", "id": f"{HOST}/posts/{second}"}))
    one, two = await ours.posts()
    assert (one["id"], one["html"], one["author_id"]) == (first, "<p>mieux</p>", ours.alice)
    assert (two["id"], two["html"]) == (second, "") and two["deleted_at"] is not None
    await ours.again(said("Create", new_id(), words(second, "<p>deux</p>")))
    assert (await ours.posts())[1]["html"] == "", "what was taken back stays away"
    kinds = [row["kind"] for row in await db.fetch("SELECT kind FROM event WHERE id = $1", create)]
    assert kinds == ["post_published"], "under its old number"


async def test_what_is_not_proved_by_our_own_people_is_not_taken(ours: Ours) -> None:
    document = said("Create", new_id(), words(new_id(), "<p>forgé</p>"))
    forger = generate_ed25519(f"{ALICE}#ed25519")
    with pytest.raises(Untrusted):
        await ours.again(document, forger)
    with pytest.raises(Untrusted):
        await ours.take(document)
    chloe = {**document, "actor": "https://kestrel.test/@chloe"}
    with pytest.raises(Untrusted):
        await ours.again(chloe)
    elsewhere = {**document, "id": "https://kestrel.test/activities/7"}
    with pytest.raises(Untrusted):
        await ours.again(elsewhere)
    changed = with_proof(document, ours.key, now_ms())
    changed["object"] = {**changed["object"], "content": "<p>changé</p>"}
    with pytest.raises(Untrusted):
        await ours.take(changed)
    assert await ours.posts() == []


async def test_what_was_said_elsewhere_does_not_come_back_in_a_space_that_a_partner_chose(ours: Ours) -> None:
    """Its proof is as good as any: a partner in two spaces showed to those of one what was written for the other."""
    other = f"{HOST}/spaces/secret"
    moved = words(new_id(), "<p>pour d'autres</p>", audience=other, to=[other, f"{other}/members"])
    with pytest.raises(Refused):
        await ours.again({**said("Create", new_id(), moved), "audience": other})
    assert await ours.posts() == []


async def test_a_gesture_older_than_what_is_kept_of_gestures_does_not_come_back(ours: Ours) -> None:
    """Of one that was undone nothing is known after ninety days, neither that it was made nor that it was undone."""
    post = new_id()
    assert await ours.again(said("Create", new_id(), words(post, "<p>un</p>")))
    swept = first_id_at(now_ms() - KEPT_MS - 1) + 1
    assert not await ours.again(said("Like", swept, f"{HOST}/posts/{post}"))
    assert await db.fetch("SELECT id FROM reaction") == []
    assert await ours.again(said("Like", first_id_at(now_ms() - KEPT_MS + 3_600_000), f"{HOST}/posts/{post}"))


async def test_each_instance_is_given_its_own_peoples_words_and_nobody_elses(ours: Ours) -> None:
    raw = msgspec.json.encode({"type": "Create", "id": "https://kestrel.test/activities/1"}).decode()
    row: dict[str, Any] = {"id": new_id(), "kind": "post_published", "actor_id": ours.chloe, "space_id": ours.space_id}
    await db.insert("event", {**row, "original": raw, "created_at": now_ms()})
    given = await own_words.given(PeerServer(ours.peer_id, True), SPACE, 0)
    assert msgspec.json.decode(msgspec.json.encode(given))["parvis:own"] == [[row["id"], msgspec.json.decode(raw)]]
    assert (await own_words.given(PeerServer(ours.peer_id, True), SPACE, row["id"]))["parvis:own"] == []
    other = await peer("https://solstice.test", linked=True)
    assert (await own_words.given(PeerServer(other, True), SPACE, 0))["parvis:own"] == []
    for viewer in (PeerServer(ours.peer_id, False), Anonymous()):
        with pytest.raises(NotFound):
            await own_words.given(viewer, SPACE, 0)


async def test_what_cannot_be_taken_or_asked_for_now_comes_back_later(
    ours: Ours, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is busy, and a partner that is away, use up none of the patience with what is not here yet."""
    post, create = new_id(), new_id()
    like = with_proof(said("Like", new_id(), f"{HOST}/posts/{post}"), ours.key, now_ms())
    kept = [[1, like], [2, with_proof(said("Create", create, words(post, "<p>un</p>")), ours.key, now_ms())]]
    row = {"id": new_id(), "kind": "own_words", "key": str(ours.peer_id), "due_at": 0, "created_at": 0}
    await db.insert("job", row)
    away: list[Exception] = [Unreachable("It is away.")] * 9 + [Unavailable()]

    async def ask(*_: object) -> dict[str, Any]:
        if len(away) > 1:
            raise away.pop()
        return {"parvis:own": kept}

    async def busy(*_: object) -> None:
        raise away.pop() if away else Unavailable()

    async def turn() -> dict[str, Any]:
        [job] = await db.fetch("SELECT id, key, payload, attempts, error FROM job WHERE kind = 'own_words'")
        await own_words.have_back(ours.instance, job)
        return (await db.fetch("SELECT done_at, error FROM job WHERE kind = 'own_words'"))[0]

    monkeypatch.setattr(own_words, "ask", ask)
    with monkeypatch.context() as context:
        context.setattr(verbs, "published", busy)
        for _ in range(11):
            assert (await turn())["done_at"] is None
    assert (await turn())["done_at"] is None and len(await ours.posts()) == 1, "the gesture was about what was not here"
    assert (await turn())["done_at"] is not None
    assert len(await db.fetch("SELECT id FROM reaction")) == 1
