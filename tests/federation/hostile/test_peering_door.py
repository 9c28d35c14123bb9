"""`POST /peering` over real sockets: what a page must be signed with and look like, and what is seen of refusals."""

import base64
import json
from collections.abc import Callable
from typing import Any

import http_sf
import httpx
import pytest

from federation.peering import LONGEST_LIFE_S
from federation.signatures import cavage
from federation.signatures.digests import content_digest
from federation.signatures.keys import PrivateKey
from federation.signatures.messages import signature_base
from federation.vocabulary import moment
from server import database as db
from server.clock import now_ms
from server.openness import Level
from server.queries import linked as linked_queries
from tests.federation.stranger import Actor, Here, Json, OtherServer, enter, everything, linked, met

pytestmark = pytest.mark.anyio
BUT = ("link_incident",)
COVERED = ("@method", "@target-uri", "content-digest", "content-type")


class Door:
    """Kestrel, a partner of ours with Chloé in a space of ours; Merle is another partner; and our address for pages."""

    def __init__(self, here: Here, pin: Actor, other: Actor, chloe: Actor) -> None:
        self.here, self.pin, self.other, self.chloe = here, pin, other, chloe
        self.url = f"{here.base}/peering"

    def page(self, *events: Json, start: int = 1, generation: str = "g1") -> bytes:
        items = [
            {"type": "Add", "parvis:seq": seq, "object": event, "target": [f"{self.here.base}/inbox"]}
            for seq, event in enumerate(events, start)
        ]
        page = {"type": "OrderedCollectionPage", "partOf": f"{self.pin.server.base}/peering", "orderedItems": items}
        return json.dumps(page | {"parvis:generation": generation, "parvis:from": start}).encode()

    def word(self) -> Json:
        return self.chloe.says("Follow", self.here.person("alice"))

    def signed(
        self, body: bytes, by: PrivateKey | None = None, *, covered: tuple[str, ...] = COVERED, **changes: Any
    ) -> dict[str, str]:
        """The headers of a page, signed as FEDERATION.md says but for these parameters; None leaves one out."""
        key, created = by or self.pin.ed, now_ms() // 1000
        headers = {"content-type": "application/activity+json", "content-digest": content_digest(body)}
        parameters = {"created": created, "expires": created + LONGEST_LIFE_S, "keyid": key.key_id}
        parameters |= {"nonce": f"n{now_ms()}", "tag": "parvis-link"} | changes
        kept = {name: value for name, value in parameters.items() if value is not None}
        inner_list: Any = ([(name, {}) for name in covered], kept)
        raw = http_sf.ser([inner_list])
        value = base64.b64encode(key.sign(signature_base("POST", self.url, headers, covered, raw))).decode()
        return headers | {"signature-input": f"sig1={raw}", "signature": f"sig1=:{value}:"}

    async def post(self, body: bytes, headers: dict[str, str] | None = None) -> httpx.Response:
        return await self.here.raw("/peering", self.signed(body) if headers is None else headers, body)

    async def incidents(self) -> dict[str, str]:
        return {row["rule"]: row["reason"] for row in await db.fetch("SELECT rule, reason FROM link_incident")}


@pytest.fixture
async def door(closed: Here, kestrel: OtherServer, merle: OtherServer) -> Door:
    pin, other = await linked(kestrel), await linked(merle)
    space_id = await closed.open_space("projet", Level.PARTNERS, kestrel, merle)
    chloe = kestrel.actor("chloe")
    await enter(space_id, await met(chloe), kestrel)
    return Door(closed, pin, other, chloe)


async def test_a_page_as_it_should_be_is_taken_and_has_its_effect(door: Door) -> None:
    answer = await door.post(door.page(door.word()))
    assert answer.status_code == 202 and answer.json()["acked"] == 1
    await door.here.process()
    assert len(await db.fetch("SELECT id FROM follow")) == 1 and not await door.incidents()


Refused = tuple[int, str, Callable[[Door, bytes], dict[str, str]]]


def beside(headers: dict[str, str]) -> dict[str, str]:
    """With another signature before it, of nobody, which says what `_fresh` wants to read."""
    now = now_ms() // 1000
    other = f'sig0=("@method");created={now};expires={now + 60};nonce="new";tag="parvis-link"'
    signed = {
        "signature-input": f"{other}, {headers['signature-input']}",
        "signature": f"sig0=:AA==:, {headers['signature']}",
    }
    return headers | signed


UNFRESH: dict[str, Refused] = {
    "without a nonce": (401, "untrusted", lambda d, b: d.signed(b, nonce=None)),
    "an empty nonce": (401, "untrusted", lambda d, b: d.signed(b, nonce="")),
    "a nonce without end": (400, "", lambda d, b: d.signed(b, nonce="n" * 257)),
    "a nonce that is a number": (400, "", lambda d, b: d.signed(b, nonce=7)),
    "without a tag": (401, "untrusted", lambda d, b: d.signed(b, tag=None)),
    "another tag": (401, "", lambda d, b: d.signed(b, tag="parvis-lien")),
    "without an end": (401, "untrusted", lambda d, b: d.signed(b, expires=None)),
    "a life of an hour": (401, "untrusted", lambda d, b: d.signed(b, expires=now_ms() // 1000 + 3600)),
    "expired": (401, "", lambda d, b: d.signed(b, created=now_ms() // 1000 - 60, expires=now_ms() // 1000 - 30)),
    "without a beginning": (401, "", lambda d, b: d.signed(b, created=None)),
    "made tomorrow": (401, "", lambda d, b: d.signed(b, created=now_ms() // 1000 + 86_400, expires=None)),
    "made yesterday": (401, "", lambda d, b: d.signed(b, created=now_ms() // 1000 - 86_400)),
    "the digest of other bytes": (401, "", lambda d, b: d.signed(b + b" ")),
    "a digest that is not signed": (401, "", lambda d, b: d.signed(b, covered=("@method", "@target-uri"))),
    "an address that is not signed": (401, "", lambda d, b: d.signed(b, covered=("@method", "content-digest"))),
    "another key under its name": (
        401,
        "unproved untrusted",
        lambda d, b: d.signed(b, PrivateKey(d.pin.ed.key_id, d.other.ed.key)),
    ),
    "a key of theirs that is not pinned": (
        401,
        "",
        lambda d, b: d.signed(b, PrivateKey(f"{d.pin.uri}#k2", d.pin.ed.key)),
    ),
    "the key of one of their people": (403, "", lambda d, b: d.signed(b, d.chloe.ed)),
    "the older form of signatures": (
        401,
        "untrusted",
        lambda d, b: cavage.sign("POST", d.url, {"content-type": "application/activity+json"}, b, d.pin.ed, now_ms()),
    ),
    "a fresh nonce beside the signature that counts": (401, "untrusted", lambda d, b: beside(d.signed(b))),
    "no signature": (401, "", lambda d, b: {"content-type": "application/activity+json"}),
    "another type": (415, "", lambda d, b: d.signed(b) | {"content-type": "text/html"}),
}


async def test_a_page_that_is_not_signed_as_it_must_be_is_refused_and_changes_nothing(door: Door) -> None:
    body = door.page(door.word())
    for how, (status, rule, headers) in UNFRESH.items():
        await refused(door, how, status, rule, body, headers(door, body))
    assert (await door.post(body)).json()["acked"] == 1, "the next one is heard"


async def refused(door: Door, how: str, status: int, rule: str, body: bytes, headers: dict[str, str]) -> None:
    """This is answered so, changes nothing, and is counted under this rule, if under any."""
    await db.execute("DELETE FROM link_incident")
    before = await everything(*BUT)
    answer = await door.post(body, headers)
    assert answer.status_code == status, f"{how}: {answer.status_code} {answer.text}"
    assert answer.json()["error"] and "code" in answer.json() and "chloe" not in answer.text, how
    assert await everything(*BUT) == before, how
    assert list(await door.incidents()) == ([rule] if rule else []), how


DEEP = b'{"a":' * 5000 + b"1" + b"}" * 5000
UNREADABLE: dict[str, tuple[int, str, Callable[[Door], bytes]]] = {
    "not JSON": (400, "malformed", lambda d: b"{"),
    "not UTF-8": (400, "", lambda d: b'{"type":"\xff"}'),
    "a list": (400, "malformed", lambda d: b"[]"),
    "without items": (400, "malformed", lambda d: d.page().replace(b"orderedItems", b"items")),
    "another document": (400, "malformed", lambda d: json.dumps(d.word()).encode()),
    "without a generation": (400, "malformed", lambda d: d.page(d.word(), generation="")),
    "a generation that is an address": (400, "malformed", lambda d: d.page(d.word(), generation="a/b")),
    "numbers from nought": (400, "malformed", lambda d: d.page(d.word(), start=0)),
    "a number without end": (
        400,
        "malformed",
        lambda d: d.page(d.word()).replace(b'"parvis:from": 1', b'"parvis:from": 1e999'),
    ),
    "numbers with a gap": (400, "malformed", lambda d: d.page(d.word(), d.word()).replace(b'seq": 2', b'seq": 3')),
    "fifty-one events": (413, "malformed", lambda d: d.page(*(d.word() for _ in range(51)))),
    "more than a document may weigh": (413, "", lambda d: d.page(d.word() | {"summary": "x" * (1 << 20)})),
    "as deep as a well": (400, "malformed", lambda d: DEEP),
}


async def test_a_page_that_cannot_be_read_in_one_way_is_refused_and_changes_nothing(door: Door) -> None:
    for what, (status, rule, made) in UNREADABLE.items():
        body = made(door)
        await refused(door, what, status, rule, body, door.signed(body))


async def test_what_is_bad_inside_a_page_fails_alone_with_its_code_and_the_rest_is_kept(door: Door) -> None:
    deep: Any = "x"
    for _ in range(64):
        deep = {"object": deep}
    theirs = door.other.server.actor("mia")
    events = [
        door.word() | {"object": deep},
        theirs.says("Follow", door.here.person("alice")),
        door.word() | {"id": f"{door.other.server.base}/activities/1"},
        door.word() | {"actor": [door.chloe.uri, door.pin.uri]},
        door.word(),
    ]
    answer = await door.post(door.page(*events))
    assert answer.status_code == 202 and answer.json()["acked"] == 5
    codes = {failure["seq"]: failure["code"] for failure in answer.json()["errors"]}
    assert codes == {1: "malformed", 2: "untrusted", 3: "untrusted", 4: "malformed"}
    await door.here.process()
    assert len(await db.fetch("SELECT id FROM follow")) == 1
    shown = {
        incident.rule for incident in (await linked_queries.of_host(door.here.odile, door.pin.server.host)).incidents
    }
    assert shown == {"malformed", "untrusted"}


async def test_a_page_said_twice_is_refused_and_one_signed_anew_does_nothing_more(door: Door) -> None:
    body = door.page(door.word())
    headers = door.signed(body)
    assert (await door.post(body, headers)).status_code == 202
    await door.here.process()
    before = await everything(*BUT)
    again = await door.post(body, headers)
    assert (again.status_code, again.json()["code"]) == (401, "untrusted")
    assert "untrusted" in await door.incidents()
    other = door.page(door.word(), start=2)
    nonce = headers["signature-input"].split('nonce="')[1].split('"')[0]
    assert (await door.post(other, door.signed(other, nonce=nonce))).status_code == 401, "the nonce was used"
    assert await everything(*BUT) == before
    assert (await door.post(body)).json()["acked"] == 1
    await door.here.process()
    assert len(await db.fetch("SELECT id FROM follow")) == 1


async def test_D9_a_clock_that_is_minutes_off_is_heard_and_one_that_is_more_loses_nothing(door: Door) -> None:
    """Five minutes either way: a signature lives no longer. Further off, the sender keeps what it has to say."""
    seq = 0
    for off in (-290, 0, 290):
        seq += 1
        body, created = door.page(door.word(), start=seq), now_ms() // 1000 + off
        answer = await door.post(body, door.signed(body, created=created, expires=created + LONGEST_LIFE_S))
        assert (answer.status_code, answer.json().get("acked")) == (202, seq), (off, answer.text)
    for off, words in ((-600, "expired"), (600, "future")):
        body, created = door.page(door.word(), start=seq + 1), now_ms() // 1000 + off
        answer = await door.post(body, door.signed(body, created=created, expires=created + LONGEST_LIFE_S))
        assert answer.status_code == 401 and words in answer.json()["error"]
    assert (await door.post(door.page(door.word(), start=seq + 1))).json()["acked"] == seq + 1, "nothing was skipped"


async def test_D9_a_post_from_tomorrow_is_not_pinned_above_all_others(door: Door) -> None:
    """Who says that they write tomorrow stands where they were heard."""
    note = door.chloe.note(to=[door.here.space("projet")], audience=door.here.space("projet"))
    note["published"] = moment(now_ms() + 86_400_000)
    create = door.chloe.says("Create", note, to=note["to"])
    await door.post(door.page(create))
    await door.here.process()
    [post] = await db.fetch("SELECT published_at FROM post")
    assert post["published_at"] <= now_ms() + 600_000, "ten minutes are a clock that is off"


async def test_another_partner_speaks_in_its_own_stream_and_for_its_own_people_only(door: Door) -> None:
    body = door.page(door.word())
    answer = await door.post(body, door.signed(body, door.other.ed))
    assert [failure["code"] for failure in answer.json()["errors"]] == ["untrusted"]
    await door.here.process()
    assert await db.fetch("SELECT id FROM follow") == []
    rows = await db.fetch("SELECT q.host, t.got FROM stream t JOIN peer q ON q.id = t.peer_id")
    assert rows == [{"host": door.other.server.host, "got": 1}], "the numbers of Kestrel did not move"


async def test_without_an_active_link_no_page_is_taken(door: Door) -> None:
    for state in ("suspended", "confirmed", "ended", ""):
        await db.execute("UPDATE link SET state = $1 WHERE their_key_uri = $2", state or "none", door.pin.ed.key_id)
        if not state:
            await db.execute("DELETE FROM link WHERE their_key_uri = $1", door.pin.ed.key_id)
        before = await everything("actor")
        body = door.page(door.word())
        answer = await door.post(body)
        assert (answer.status_code, answer.json()["code"]) == (403, "policy"), state
        assert await everything("actor") == before, state
