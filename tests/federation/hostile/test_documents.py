"""What is said is readable in one way only, of a bounded size, and of its own author; each refusal has its status."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from federation import handlers, processing, reading
from federation.errors import Malformed
from federation.handlers import posts as handler
from federation.vocabulary import moment
from server import database as db
from server.actions.follows import follow
from server.actions.posts import Draft, publish
from server.clock import now_ms
from server.limits import ATTACHMENTS, DOCUMENT_BYTES, RECIPIENTS, TAGS
from server.openness import Visibility
from tests.federation.stranger import CANARY, Actor, Here, Json, OtherServer, everything, met

pytestmark = pytest.mark.anyio


@pytest.fixture
async def eve(here: Here, inconnu: OtherServer) -> Actor:
    actor = inconnu.actor("eve")
    await met(actor)
    return actor


def hello(eve: Actor, here: Here, **note: Any) -> Json:
    return eve.says("Create", eve.note(**{"tag": [{"type": "Mention", "href": here.person("alice")}], **note}))


def _deep(levels: int) -> bytes:
    return b'{"id":"x","a":' + b"[" * levels + b"]" * levels + b"}"


def unreadable(good: Json) -> Iterator[tuple[str, bytes, int]]:
    """(what is wrong, the body, the status)."""
    raw = json.dumps(good).encode()
    yield "too large", raw[:-1] + b',"x":"' + b"y" * (DOCUMENT_BYTES + 100_000) + b'"}', 413
    yield "not JSON", raw[:-1], 400
    yield "not an object", b"[" + raw + b"]", 400
    yield "not UTF-8", raw.replace(CANARY.encode(), b"\xff\xfe"), 400
    yield "deep", raw[:-1] + b',"x":' + b'{"a":' * 25 + b"1" + b"}" * 25 + b"}", 400
    yield "very deep", _deep(100_000), 400
    yield "a key twice", raw.replace(b'"actor":', b'"actor":"https://victim.example/u","actor":'), 400
    yield "NaN", raw[:-1] + b',"x":NaN}', 400
    yield "infinite", raw[:-1] + b',"x":1e400}', 400
    yield "half a character", raw[:-1] + rb',"x":"\ud800"}', 400
    yield "a NUL", raw.replace(CANARY.encode(), rb"\u0000"), 400
    yield "endless digits", raw[:-1] + b',"x":' + b"9" * 5000 + b"}", 400
    for name in ("id", "actor", "type"):
        yield f"no {name}", json.dumps({k: v for k, v in good.items() if k != name}).encode(), 400
        yield f"{name} of another shape", json.dumps(good | {name: [[]] if name != "type" else 7}).encode(), 400
    yield "two actors", json.dumps(good | {"actor": [good["actor"], "https://victim.example/u"]}).encode(), 400
    yield "two objects (O28)", json.dumps(good | {"object": [good["object"], good["object"]]}).encode(), 400
    yield "an id that is no address", json.dumps(good | {"id": "urn:uuid:1"}).encode(), 400
    yield "an id of two lines", json.dumps(good | {"id": good["id"] + "\nfaked log line"}).encode(), 400
    yield "an endless id (R19)", json.dumps(good | {"id": good["id"] + "x" * 3000}).encode(), 400
    many = [f"https://x.example/{number}" for number in range(RECIPIENTS // 2 + 1)]
    yield "too many recipients (R5)", json.dumps(good | {"to": many, "cc": many}).encode(), 400
    for keyword in ("@graph", "@included", "@reverse", "@nest"):
        yield f"{keyword} (S4)", json.dumps(good | {keyword: [good["object"]]}).encode(), 400
        nested = good | {"object": good["object"] | {"tag": [{keyword: []}]}}
        yield f"{keyword} inside (S5)", json.dumps(nested).encode(), 400
    for term, meaning in (
        ("content", "as:summary"),
        ("actor", "as:object"),
        ("to", {"@id": "as:cc", "@type": "@id"}),
        ("as", "https://evil.example/ns#"),
        ("id", "as:url"),
        ("@vocab", "https://evil.example/ns#"),
        ("g", "@graph"),
        ("rev", {"@reverse": "as:object"}),
        ("Note", {"@id": "as:Note", "@context": {"content": "as:name"}}),
        ("other", "@id"),
    ):
        context = ["https://www.w3.org/ns/activitystreams", {term: meaning}]
        yield f"{term} remapped (S1)", json.dumps(good | {"@context": context}).encode(), 400
        inside = good | {"object": good["object"] | {"@context": context}}
        yield f"{term} remapped inside (S1)", json.dumps(inside).encode(), 400


async def test_S1_S4_S5_S7_R5_R19_O28_what_can_be_read_in_two_ways_is_not_read(
    here: Here, eve: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    before = await everything()
    with caplog.at_level(logging.DEBUG):
        for what, body, status in unreadable(hello(eve, here)):
            answer = await here.hear(body, eve.ed)
            assert answer.status_code == status, (what, answer.text)
            assert answer.json()["error"].endswith("."), what
    assert await everything() == before
    said = [record for record in caplog.records if record.name.startswith(("parvis", "uvicorn"))]
    assert said and not any(CANARY in str(record.__dict__) or "\n" in record.getMessage() for record in said)


async def test_O2_another_content_type_is_refused(here: Here, eve: Actor) -> None:
    before = await everything()
    kinds = ["text/plain", "application/json", "image/png", "application/octet-stream", "application/ld+json", "x"]
    for kind in (*kinds, 'application/ld+json; profile="https://evil.example/activitystreams"'):
        assert (await here.hear(hello(eve, here), eve.ed, content_type=kind)).status_code == 415, kind
    assert await everything() == before
    for kind in (
        'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
        "application/activity+json; charset=utf-8",
    ):
        assert await here.take(hello(eve, here), eve.ed, content_type=kind) == ""


async def test_R2_a_body_larger_than_it_says_is_cut_off(here: Here, eve: Actor) -> None:
    async def endless() -> Any:
        for _ in range(40):
            yield b"x" * 65536

    answer = await here.http.post(
        f"{here.base}/inbox", headers={"content-type": "application/activity+json"}, content=endless()
    )
    assert answer.status_code == 413


async def test_a_type_that_nobody_takes_has_no_effect(here: Here, eve: Actor) -> None:
    """Add, Move and Block among them: there is no remote way to moderate, to feature, to move (O16, O17, O26)."""
    before = await everything("receipt")
    for kind in ("Add", "Move", "Block", "Flag", "View", "Arrive", "Nonsense"):
        activity = eve.says(kind, here.person("alice"), target=eve.uri)
        assert "not taken" in await here.take(activity, eve.ed), kind
    assert await everything("receipt") == before


async def test_O6_no_address_of_another_origin_makes_a_post_somebody_elses(here: Here, eve: Actor) -> None:
    """Every address in the activity in turn is one of the victim's origin: nothing is ever stored as theirs."""
    victim = "https://victim.example/users/victim"
    good = hello(eve, here, inReplyTo=f"{eve.server.base}/notes/0", url=f"{eve.server.base}/x", audience=eve.uri)
    for path in _addresses(good):
        forged = json.loads(json.dumps(hello(eve, here, inReplyTo="x", url="x", audience="x")))
        _put(forged, path, victim)
        answer = await here.hear(forged, eve.ed)
        assert answer.status_code in (202, 400, 401, 403), (path, answer.text)
        await here.process()
    rows = await db.fetch("SELECT p.uri, a.uri AS author FROM post p JOIN actor a ON a.id = p.author_id")
    assert rows and all(row["author"] == eve.uri for row in rows)
    assert all(row["uri"].startswith(f"{eve.server.base}/") for row in rows)
    assert await db.fetch("SELECT id FROM actor WHERE uri LIKE 'https://victim%'") == []


def _addresses(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str) and value.startswith("http"):
        yield path
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _addresses(item, (*path, name))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _addresses(item, (*path, number))


def _put(document: Any, path: tuple[Any, ...], value: str) -> None:
    *way, last = path
    for step in way:
        document = document[step]
    document[last] = value


async def test_O5_O25_a_post_is_its_authors_alone(here: Here, inconnu: OtherServer, eve: Actor) -> None:
    ruth = inconnu.actor("ruth")
    await met(ruth)
    note = ruth.note(tag=[{"type": "Mention", "href": here.person("alice")}])
    assert await here.take(ruth.says("Create", note), ruth.ed) == ""
    before = await everything("receipt")
    by_eve = [
        eve.says("Create", note),
        eve.says("Update", note | {"updated": moment(now_ms() + 1000)}),
        eve.says("Update", note | {"attributedTo": eve.uri, "content": "eve's", "updated": moment(now_ms() + 1000)}),
        eve.says("Delete", note["id"]),
        eve.says("Delete", {"id": note["id"], "type": "Tombstone"}),
        eve.says("Create", note | {"attributedTo": eve.uri}),
        eve.says("Delete", ruth.uri),
        eve.says("Update", ruth.document | {"name": "Eve was here"}),
        eve.says("Undo", {"type": "Follow", "id": ruth.server.new("x"), "actor": ruth.uri, "object": note["id"]}),
        eve.says("Undo", [{"type": "Follow"}]),
        eve.says("Undo", "https://nowhere.example/1"),
        eve.says("Like", "https://nowhere.example/1"),
        eve.says("Announce", note["id"], to=["https://www.w3.org/ns/activitystreams#Public"]),
    ]
    for activity in by_eve:
        assert await here.take(activity, eve.ed) != "", activity["type"]
    after = await everything("receipt")
    assert {t: r for t, r in after.items() if t != "actor"} == {t: r for t, r in before.items() if t != "actor"}


async def test_O9_an_update_never_changes_to_whom_a_post_is(here: Here, eve: Actor) -> None:
    note = eve.note(to=[here.person("alice")], tag=[{"type": "Mention", "href": here.person("alice")}])
    assert await here.take(eve.says("Create", note), eve.ed) == ""
    wider = note | {"to": ["as:Public"], "content": "<p>b</p>", "updated": moment(now_ms() + 1000)}
    assert await here.take(eve.says("Update", wider), eve.ed) == ""
    [row] = await db.fetch("SELECT visibility, html FROM post")
    assert row == {"visibility": "direct", "html": "<p>b</p>"}


async def test_O14_O24_a_follow_is_pending_until_its_own_answer_comes(
    here: Here, inconnu: OtherServer, eve: Actor
) -> None:
    ruth = inconnu.actor("ruth")
    assert await follow(here.alice, await met(ruth)) == "pending"
    [event] = await db.fetch("SELECT id FROM event WHERE kind = 'follow_asked'")
    asked = f"{here.base}/activities/{event['id']}"
    nothing = [f"{here.base}/activities/{event['id'] + 1}", f"{here.base}/activities/99999999999999999999", here.base]
    for by, what in [(eve, asked), *((ruth, one) for one in nothing), (eve, {"type": "Follow", "id": asked})]:
        for kind in ("Accept", "Reject"):
            assert await here.take(by.says(kind, what), by.ed) != ""
    assert (await db.fetch("SELECT state FROM follow")) == [{"state": "pending"}]
    assert await here.take(ruth.says("Accept", {"type": "Follow", "id": asked}), ruth.ed) == ""
    assert (await db.fetch("SELECT state FROM follow")) == [{"state": "accepted"}]


async def test_R20_what_says_that_it_is_of_tomorrow_is_of_now(here: Here, eve: Actor) -> None:
    note = hello(eve, here, published="2099-01-01T00:00:00Z", updated="2099-01-01T00:00:00Z")
    assert await here.take(note, eve.ed) == ""
    [row] = await db.fetch("SELECT published_at, edited_at FROM post")
    assert max(row["published_at"], row["edited_at"]) <= now_ms() + 10 * 60_000


async def test_R21_a_post_that_names_a_hundred_strangers_makes_us_ask_none_of_them(
    here: Here, eve: Actor, kestrel: OtherServer
) -> None:
    tags = [{"type": "Mention", "href": f"{kestrel.base}/users/{number}"} for number in range(TAGS - 1)]
    tags.append({"type": "Mention", "href": here.person("alice")})
    assert await here.take(hello(eve, here, tag=tags), eve.ed) == ""
    assert kestrel.there.requests == []


async def test_R21_a_strangers_announce_makes_us_ask_nobody(here: Here, eve: Actor, kestrel: OtherServer) -> None:
    inner = kestrel.actor("chloe").says("Create", {"type": "Note"})
    for _ in range(3):
        assert await here.take(eve.says("Announce", inner), eve.ed) != ""
    assert kestrel.there.requests == []


@pytest.mark.parametrize(
    "note",
    [
        {"tag": [{"type": "Mention", "href": "https://x.example"}] * (TAGS + 1)},
        {"attachment": [{"type": "Document", "url": "https://x.example/1"}] * (ATTACHMENTS + 1)},
        {"content": "x" * 100_001},
        {"summary": "x" * 10_001},
        {"id": None},
        {"attributedTo": None},
        {"to": ["https://x.example/1"] * 300, "cc": ["https://x.example/1"] * 300},
        {"@reverse": {}},
    ],
)
async def test_R5_a_post_beyond_the_limits_is_not_read(note: Json) -> None:
    whole = {"id": "https://x.example/1", "type": "Note", "attributedTo": "https://x.example/u", **note}
    with pytest.raises(Malformed):
        reading.check_context(whole)
        reading.note(whole)


async def test_an_answer_to_what_the_writer_may_not_read_is_no_answer(here: Here, eve: Actor) -> None:
    """Addresses of posts can be guessed: that is no right to write under them."""
    draft = Draft("entre nous", visibility=Visibility.COLLEAGUES)
    post_id = await publish(here.alice, draft, here.instance.here)
    uri = here.instance.here.post(post_id)
    before = await everything("receipt")
    assert "concerned" in await here.take(eve.says("Create", eve.note(inReplyTo=uri)), eve.ed)
    assert await here.take(eve.says("Like", uri), eve.ed) != ""
    assert await everything("receipt") == before
    assert await here.take(hello(eve, here, inReplyTo=uri), eve.ed) == ""
    [row] = await db.fetch("SELECT reply_to_id, root_id FROM post WHERE peer_id IS NOT NULL")
    assert row == {"reply_to_id": None, "root_id": None}


# --- order and repetition -------------------------------------------------------------------------


async def final(here: Here, eve: Actor, activities: list[Json]) -> tuple[int, list[Json]]:
    """Sends in this order, and says what stands: how many posts, and theirs."""
    for activity in activities:
        await here.take(activity, eve.ed)
    rows = await db.fetch("SELECT html, deleted_at IS NOT NULL AS gone FROM post")
    return len(rows), [{"html": row["html"], "gone": bool(row["gone"])} for row in rows]


async def test_D4_a_delete_before_its_create_wins(here: Here, eve: Actor) -> None:
    create = hello(eve, here)
    delete = eve.says("Delete", {"type": "Tombstone", "id": create["object"]["id"]})
    assert await final(here, eve, [delete, create]) == (0, [])
    update = eve.says("Update", create["object"] | {"content": "later", "updated": moment(now_ms() + 1000)})
    assert await final(here, eve, [update]) == (0, [])


async def test_D4_an_update_before_its_create_wins(here: Here, eve: Actor) -> None:
    create = hello(eve, here)
    update = eve.says("Update", create["object"] | {"content": "<p>new</p>", "updated": moment(now_ms() + 1000)})
    assert await final(here, eve, [update, create]) == (1, [{"html": "<p>new</p>", "gone": False}])


async def test_D4_edits_in_any_order_end_with_the_newest_and_five_times_is_once(here: Here, eve: Actor) -> None:
    create = hello(eve, here)
    edits = [
        eve.says("Update", create["object"] | {"content": f"<p>{day}</p>", "updated": moment(now_ms() + day * 1000)})
        for day in (3, 1, 2)
    ]
    likes = [eve.says("Like", create["object"]["id"])]
    assert await final(here, eve, [create, *edits, *likes] * 5) == (1, [{"html": "<p>3</p>", "gone": False}])
    assert len(await db.fetch("SELECT id FROM notice")) == 1


async def test_R13_D7_a_poisoned_activity_among_a_hundred_is_put_aside_alone(
    here: Here, eve: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fault is a bug of ours: an error that nobody foresaw, in the middle, while preparing and while applying."""
    activities = [hello(eve, here) for _ in range(100)]
    for activity in activities:
        assert (await here.hear(activity, eve.ed)).status_code == 202
    poisons = {activities[40]["id"], activities[60]["id"]}
    true_author, true_create = processing._author, handler.create

    async def author(instance: Any, said: Any, inner: Any, peer_id: int) -> Any:
        if said.id == activities[40]["id"]:
            raise RuntimeError("a bug of ours")
        return await true_author(instance, said, inner, peer_id)

    async def create(call: Any) -> None:
        if call.said.id == activities[60]["id"]:
            raise ZeroDivisionError
        await true_create(call)

    monkeypatch.setattr(processing, "_author", author)
    monkeypatch.setitem(handlers.HANDLERS, ("Create", "Note"), create)
    await here.process()
    await here.process()
    assert len(await db.fetch("SELECT id FROM post")) == 98
    waiting = await db.fetch("SELECT body, attempts FROM receipt WHERE processed_at IS NULL")
    assert {json.loads(row["body"])["id"] for row in waiting} == poisons
    assert [row["attempts"] for row in waiting] == [1, 1]
    for _ in range(10):
        await db.execute("UPDATE receipt SET received_at = 0 WHERE processed_at IS NULL")
        await here.process()
    ended = await db.fetch("SELECT outcome FROM receipt WHERE attempts = 5 AND processed_at IS NOT NULL")
    assert len(ended) == 2 and len(await db.fetch("SELECT id FROM post")) == 98


async def test_R13_a_server_that_keeps_us_waiting_holds_up_nobody_else(
    here: Here, eve: Actor, kestrel: OtherServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processing, "PATIENCE_S", 0.2)
    slow = kestrel.actor("slow")
    await met(slow)
    held = asyncio.Event()

    async def never(writer: asyncio.StreamWriter) -> None:
        await held.wait()

    kestrel.scene("/users/slow", never)
    update = slow.says("Update", slow.document)
    assert (await here.hear(update, slow.ed)).status_code == 202
    async with asyncio.timeout(8):
        assert await here.take(hello(eve, here), eve.ed) == ""
        assert await here.take(hello(eve, here), eve.ed) == ""
    [row] = await db.fetch("SELECT attempts FROM receipt WHERE processed_at IS NULL")
    assert row["attempts"] == 0, "it is still being prepared"
    [task] = processing._slow.values()
    held.set()
    await task
