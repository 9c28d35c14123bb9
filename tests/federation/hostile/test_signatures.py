"""Who speaks is proved, or nothing is heard: refused with one sentence, nothing kept, nothing of it in the log."""

import asyncio
import base64
import json
import logging
import re
from collections.abc import Awaitable, Callable

import httpx
import pytest

from federation import newcomers, verify
from federation.errors import Malformed, Refused
from federation.lookup import fetch_document
from federation.signatures import cavage, messages
from federation.signatures.digests import content_digest, digest
from federation.signatures.keys import PrivateKey
from federation.trust import host_at
from server import database as db
from server.clock import now_ms
from server.openness import Level
from tests.federation.stranger import (
    CANARY,
    Actor,
    Here,
    Json,
    OtherServer,
    Scheme,
    enter,
    everything,
    linked,
    met,
    other_server,
)
from tests.unit.federation.elsewhere import redirect

pytestmark = pytest.mark.anyio
SCHEMES: list[Scheme] = ["cavage", "rfc9421"]
TYPE = {"content-type": "application/activity+json"}


def key(actor: Actor, scheme: Scheme) -> PrivateKey:
    return actor.rsa if scheme == "cavage" else actor.ed


def hello(actor: Actor, here: Here) -> Json:
    """A post that would be kept: it names Alice."""
    tag = [{"type": "Mention", "href": here.person("alice")}]
    return actor.says("Create", actor.note(tag=tag), to=[here.person("alice")])


async def refused(send: Callable[[], Awaitable[httpx.Response]], status: int, caplog: pytest.LogCaptureFixture) -> str:
    """Sends, and insists on the status, one sentence, no row changed and no word of it logged."""
    before = await everything("link_incident")
    with caplog.at_level(logging.DEBUG):
        answer = await send()
    assert answer.status_code == status, answer.text
    sentence = answer.json()["error"]
    assert re.fullmatch(r"[A-Z“][^\n]*\.", sentence), sentence
    assert await everything("link_incident") == before
    logged = "".join(f"{record.getMessage()} {record.__dict__}" for record in caplog.records if _ours(record))
    assert CANARY not in logged + answer.text
    return str(sentence)


def _ours(record: logging.LogRecord) -> bool:
    return record.name.startswith(("parvis", "uvicorn", "asyncio"))


@pytest.fixture
async def mallory(here: Here, inconnu: OtherServer) -> Actor:
    """A stranger whom we have met before, so that only what she does now can be new."""
    actor = inconnu.actor("mallory")
    await met(actor)
    return actor


@pytest.fixture
async def victim(here: Here, kestrel: OtherServer) -> Actor:
    actor = kestrel.actor("victim")
    await met(actor)
    return actor


async def test_what_is_signed_well_is_heard_in_both_schemes(here: Here, mallory: Actor) -> None:
    for scheme in SCHEMES:
        assert await here.take(hello(mallory, here), key(mallory, scheme), scheme=scheme) == ""
    rows = await db.fetch("SELECT id FROM post")
    assert len(rows) == 2


async def test_O8_unsigned_is_refused(here: Here, mallory: Actor, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps(hello(mallory, here)).encode()
    await refused(lambda: here.raw("/inbox", TYPE, body), 401, caplog)
    await refused(lambda: here.raw("/inbox", {**TYPE, "signature": ""}, body), 400, caplog)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_a_body_changed_after_signing_is_refused(
    here: Here, mallory: Actor, scheme: Scheme, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(hello(mallory, here)).encode()
    sign = cavage.sign if scheme == "cavage" else messages.sign
    signed = sign("POST", f"{here.base}/inbox", TYPE, body, key(mallory, scheme), now_ms())
    other = body.replace(b"<p>", b"<b>")
    await refused(lambda: here.raw("/inbox", signed, other), 401, caplog)
    changed = {
        **signed,
        **({"digest": digest(other)} if scheme == "cavage" else {"content-digest": content_digest(other)}),
    }
    await refused(lambda: here.raw("/inbox", changed, other), 401, caplog)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("hours", [-2, 1])
async def test_a_stale_date_and_one_of_the_future_are_refused(
    here: Here, mallory: Actor, scheme: Scheme, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    now = now_ms() + hours * 3_600_000
    document = hello(mallory, here)
    await refused(lambda: here.hear(document, key(mallory, scheme), scheme=scheme, now=now), 401, caplog)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_O7_the_key_of_another_actor_has_no_effect_and_leaves_no_word(
    here: Here, mallory: Actor, victim: Actor, scheme: Scheme, caplog: pytest.LogCaptureFixture
) -> None:
    document = hello(victim, here)
    await refused(lambda: here.hear(document, key(mallory, scheme), scheme=scheme), 401, caplog)
    neighbour = victim.server.actor("neighbour")
    await met(neighbour)
    await refused(lambda: here.hear(document, key(neighbour, scheme), scheme=scheme), 401, caplog)


async def test_O7_a_stranger_met_for_the_first_time_is_not_kept_when_refused(
    here: Here, inconnu: OtherServer, victim: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    eve = inconnu.actor("eve")
    await refused(lambda: here.hear(hello(victim, here), eve.ed), 401, caplog)
    nina = inconnu.actor("nina")
    forged = PrivateKey(nina.ed.key_id, eve.ed.key)
    await refused(lambda: here.hear(hello(nina, here), forged), 401, caplog)


async def test_O7_where_only_links_are_heard_a_stranger_is_not_kept(
    closed: Here, inconnu: OtherServer, caplog: pytest.LogCaptureFixture
) -> None:
    eve = inconnu.actor("eve")
    await refused(lambda: closed.hear(hello(eve, closed), eve.ed), 403, caplog)


async def test_O1_an_activity_with_a_foreign_id_is_refused(
    here: Here, mallory: Actor, victim: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    document = hello(mallory, here) | {"id": victim.server.new("activities")}
    await refused(lambda: here.hear(document, mallory.ed), 403, caplog)


async def test_O7_nobody_else_speaks_for_our_own(here: Here, mallory: Actor, caplog: pytest.LogCaptureFixture) -> None:
    document = hello(mallory, here) | {"actor": here.person("bruno"), "id": f"{here.base}/activities/1"}
    await refused(lambda: here.hear(document, mallory.ed), 401, caplog)
    ours = PrivateKey(f"{here.person('bruno')}#ed25519", mallory.ed.key)
    assert "key of ours" in await refused(lambda: here.hear(document, ours), 401, caplog)
    for address in (here.person("bruno"), here.person("bruno").replace("http://localhost", "HTTP://LOCALHOST")):
        with pytest.raises(Refused, match="would be ours"):
            await fetch_document(here.instance, address)


@pytest.mark.parametrize("spell", [str.upper, lambda base: base.replace("http:", "HTTP:")])
async def test_O29_our_own_host_spelled_otherwise_is_still_ours(
    here: Here, kestrel: OtherServer, spell: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    """A partner could have made us fetch our own people, and write them anew as strangers."""
    instance = await linked(kestrel)
    bruno = here.person("bruno").replace(here.base, spell(here.base))
    forged = PrivateKey(f"{bruno}#ed25519", instance.ed.key)
    before = await everything("link_incident")
    document = instance.says("Create", instance.note(attributedTo=bruno)) | {"actor": bruno, "id": f"{bruno}/1"}
    await refused(lambda: here.hear(document, forged), 401, caplog)
    await refused(lambda: here.hear(document, instance.ed), 401, caplog)
    assert await everything("link_incident") == before


async def test_O29_a_blocked_host_is_refused_however_it_is_spelled(
    here: Here, caplog: pytest.LogCaptureFixture
) -> None:
    spellings = ["https://evil.example:443/x", "https://EVIL.example/x#k", "https://evil.example/x"]
    assert {host_at(one) for one in spellings} == {"evil.example"}
    assert host_at("https://evil.example:8443/x") != "evil.example"
    for trick in (
        "https://evil.example./x",
        "https://a@evil.example/x",
        "https://evil.example\\@b/x",
        "ftp://evil/x",
        "https://evil.example\t/x",
        "https://[/x",
        "https://evil.example:99999/x",
        "https:///x",
    ):
        with pytest.raises(Malformed):
            host_at(trick)


async def test_O29_a_blocked_instance_is_not_heard(
    here: Here, mallory: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    await db.execute("UPDATE peer SET blocked_at = 1 WHERE host = $1", mallory.server.host)
    await refused(lambda: here.hear(hello(mallory, here), mallory.ed), 403, caplog)


async def test_O29_what_a_host_said_before_it_was_blocked_takes_no_effect(here: Here, mallory: Actor) -> None:
    document = hello(mallory, here)
    assert (await here.hear(document, mallory.ed)).status_code == 202
    await db.execute("UPDATE peer SET blocked_at = 1 WHERE host = $1", mallory.server.host)
    assert "not heard" in await here.outcome(document["id"])
    assert await db.fetch("SELECT id FROM post") == []


# --- the matrix -----------------------------------------------------------------------------------


CAVAGE_FAULTS: dict[str, Callable[[str], str]] = {
    "no keyId": lambda s: re.sub(r'keyId="[^"]*",', "", s),
    "empty keyId": lambda s: re.sub(r'keyId="[^"]*"', 'keyId=""', s),
    "keyId is no address": lambda s: re.sub(r'keyId="[^"]*"', 'keyId="http://["', s),
    "no signature": lambda s: re.sub(r',signature="[^"]*"', "", s),
    "not base64": lambda s: re.sub(r'signature="[^"]*"', 'signature="!"', s),
    "hmac": lambda s: s.replace("rsa-sha256", "hmac-sha256"),
    "says ed25519": lambda s: s.replace("rsa-sha256", "ed25519"),
    "request-target not signed": lambda s: s.replace("(request-target) ", ""),
    "host not signed": lambda s: s.replace(" host", ""),
    "date not signed": lambda s: s.replace(" date", ""),
    "digest not signed": lambda s: s.replace(" digest", ""),
    "garbage": lambda s: "x" * 40,
    "much too long": lambda s: s + ',x="' + "y" * 9000 + '"',
}


async def test_O8_S6_a_cavage_signature_lacks_nothing(here: Here, mallory: Actor) -> None:
    body = json.dumps(hello(mallory, here)).encode()
    signed = cavage.sign("POST", f"{here.base}/inbox", TYPE, body, mallory.rsa, now_ms())
    before = await everything()
    for name, fault in CAVAGE_FAULTS.items():
        answer = await here.raw("/inbox", {**signed, "signature": fault(signed["signature"])}, body)
        assert answer.status_code in (400, 401), (name, answer.text)
    assert await everything() == before


async def test_S6_what_must_be_signed_and_is_not_is_refused_although_the_signature_holds(
    here: Here, mallory: Actor
) -> None:
    """The signer leaves a part out, so the key bears the rest out: only the demand refuses it."""
    before = await everything()
    for missing in ("(request-target)", "host", "date", "digest"):
        assert (await _cavage_without(missing, here, mallory)).status_code == 401, missing
    for missing in ("@method", "@target-uri", "content-digest", "created"):
        assert (await _rfc9421_without(missing, here, mallory)).status_code == 401, missing
    assert (await _cavage_without("nothing", here, mallory)).status_code == 202
    assert (await _rfc9421_without("nothing", here, mallory)).status_code == 202
    assert await everything("receipt") == {name: rows for name, rows in before.items() if name != "receipt"}


async def _cavage_without(missing: str, here: Here, mallory: Actor) -> httpx.Response:
    body = json.dumps(hello(mallory, here)).encode()
    signed = cavage.sign("POST", f"{here.base}/inbox", TYPE, body, mallory.rsa, now_ms())
    names = [n for n in ("(request-target)", "host", "date", "digest") if n != missing]
    lines = ["(request-target): post /inbox" if n == "(request-target)" else f"{n}: {signed[n]}" for n in names]
    value = base64.b64encode(mallory.rsa.sign("\n".join(lines).encode())).decode()
    signed["signature"] = (
        f'keyId="{mallory.rsa.key_id}",algorithm="rsa-sha256",headers="{" ".join(names)}",signature="{value}"'
    )
    return await here.raw("/inbox", signed, body)


async def _rfc9421_without(missing: str, here: Here, mallory: Actor) -> httpx.Response:
    body = json.dumps(hello(mallory, here)).encode()
    headers = {**TYPE, "content-digest": content_digest(body)}
    covered = [n for n in ("@method", "@target-uri", "content-digest") if n != missing]
    created = "" if missing == "created" else f";created={now_ms() // 1000}"
    raw = f'({" ".join(json.dumps(n) for n in covered)}){created};keyid="{mallory.ed.key_id}"'
    base = messages.signature_base("POST", f"{here.base}/inbox", headers, covered, raw)
    headers |= {
        "signature-input": f"sig1={raw}",
        "signature": f"sig1=:{base64.b64encode(mallory.ed.sign(base)).decode()}:",
    }
    return await here.raw("/inbox", headers, body)


async def test_O22_a_parameter_said_twice_is_refused(here: Here, mallory: Actor) -> None:
    body = json.dumps(hello(mallory, here)).encode()
    signed = cavage.sign("POST", f"{here.base}/inbox", TYPE, body, mallory.rsa, now_ms())
    twice = signed["signature"].replace("keyId=", f'keyId="{here.person("alice")}#main-key",keyId=')
    before = await everything()
    assert (await here.raw("/inbox", {**signed, "signature": twice}, body)).status_code == 400
    both = await here.http.post(
        f"{here.base}/inbox", headers=[*signed.items(), ("signature", signed["signature"])], content=body
    )
    assert both.status_code == 400
    assert await everything() == before


async def test_S8_a_signature_for_another_path_or_host_is_refused(here: Here, mallory: Actor) -> None:
    body = json.dumps(hello(mallory, here)).encode()
    before = await everything()
    for target in (f"{here.base}/actor/inbox", "http://elsewhere.example/inbox"):
        for scheme in SCHEMES:
            sign = cavage.sign if scheme == "cavage" else messages.sign
            signed = {**sign("POST", target, TYPE, body, key(mallory, scheme), now_ms())}
            assert (await here.raw("/inbox", signed, body)).status_code == 401
    assert await everything() == before


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_S9_a_replay_has_no_second_effect(here: Here, mallory: Actor, scheme: Scheme) -> None:
    document = hello(mallory, here)
    assert await here.take(document, key(mallory, scheme), scheme=scheme) == ""
    after = await everything()
    for path in ("/inbox", "/actor/inbox"):
        assert (await here.hear(document, key(mallory, scheme), scheme=scheme, path=path)).status_code == 202
        await here.process()
    assert await everything() == after


async def test_O27_an_id_that_is_used_again_says_nothing_new(here: Here, mallory: Actor) -> None:
    first = hello(mallory, here)
    assert await here.take(first, mallory.ed) == ""
    after = await everything("receipt")
    again = hello(mallory, here) | {"id": first["id"]}
    assert (await here.hear(again, mallory.ed)).status_code == 202
    await here.process()
    same_note = hello(mallory, here)
    same_note["object"]["id"] = first["object"]["id"]
    same_note["object"]["content"] = "<p>other words</p>"
    await here.take(same_note, mallory.ed)
    assert await everything("receipt") == after


async def test_S2_S3_a_signature_inside_the_document_proves_nothing(
    here: Here, mallory: Actor, victim: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    document = hello(victim, here) | {
        "signature": {
            "type": "RsaSignature2017",
            "creator": victim.rsa.key_id,
            "created": "2026-01-05T10:00:00Z",
            "signatureValue": "c2lnbmVk",
        }
    }
    await refused(lambda: here.hear(document, mallory.ed), 401, caplog)


# --- keys ------------------------------------------------------------------------------------------


async def test_O1_a_key_document_that_says_another_owns_it_is_not_believed(
    here: Here, inconnu: OtherServer, victim: Actor, caplog: pytest.LogCaptureFixture
) -> None:
    eve = inconnu.actor("eve")
    own = {
        "id": eve.ed.key_id,
        "type": "Multikey",
        "controller": victim.uri,
        "publicKeyMultibase": eve.ed.public(eve.uri).to_multikey(),
    }
    eve.publish(
        assertionMethod=[own],
        publicKey={"id": eve.rsa.key_id, "owner": victim.uri, "publicKeyPem": eve.rsa.public(eve.uri).to_pem()},
    )
    await refused(lambda: here.hear(hello(victim, here), eve.ed), 401, caplog)
    await refused(lambda: here.hear(hello(eve, here), eve.ed), 401, caplog)
    inconnu.serve(f"{inconnu.base}/users/fake", victim.document | {"publicKey": eve.document["publicKey"]})
    fake = PrivateKey(f"{inconnu.base}/users/fake#main-key", eve.rsa.key)
    await refused(lambda: here.hear(hello(victim, here), fake, scheme="cavage"), 401, caplog)


async def test_O1_O23_a_document_with_a_foreign_id_is_never_kept(
    here: Here, inconnu: OtherServer, kestrel: OtherServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The stranger serves an actor that claims to be Chloé of Kestrel, with the stranger's own keys."""
    eve = inconnu.actor("eve")
    chloe = f"{kestrel.base}/users/chloe"
    eve.publish(id=chloe)
    await refused(lambda: here.hear(hello(eve, here), eve.ed), 401, caplog)
    assert await db.fetch("SELECT id FROM actor WHERE uri = $1", chloe) == []


async def test_O2_an_actor_served_as_something_else_is_not_believed(
    here: Here, inconnu: OtherServer, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = ["text/plain", "application/json", "image/png", "application/octet-stream", "application/ld+json"]
    for number, header in enumerate([*(f"Content-Type: {kind}" for kind in kinds), "X-None: 1"]):
        eve = inconnu.actor(f"eve{number}")
        inconnu.serve(eve.uri, eve.document, header)
        await refused(lambda eve=eve: here.hear(hello(eve, here), eve.ed), 401, caplog)  # type: ignore[misc]


async def test_a_redirect_of_a_key_to_a_private_address_is_not_followed(
    here: Here, inconnu: OtherServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with other_server("127.9.9.9") as hidden:
        inside = hidden.actor("eve")
        targets = [inside.uri, inside.uri.replace("http:", "https:"), "http://169.254.169.254/x", "file:///etc/passwd"]
        for number, target in enumerate(targets):
            eve = inconnu.actor(f"eve{number}")
            inconnu.scene(f"/users/eve{number}", redirect(target))
            await refused(lambda eve=eve: here.hear(hello(eve, here), eve.ed), 401, caplog)  # type: ignore[misc]
        await refused(lambda: here.hear(hello(inside, here), inside.ed), 401, caplog)
        assert hidden.there.connections == 0


async def test_O21_a_redirect_to_another_origin_speaks_for_that_origin_only(
    here: Here, inconnu: OtherServer, kestrel: OtherServer, caplog: pytest.LogCaptureFixture
) -> None:
    victim = kestrel.actor("victim")
    eve = inconnu.actor("eve")
    kestrel.scene("/users/open-redirect", redirect(f"{inconnu.base}/users/fake"))
    uri = f"{kestrel.base}/users/open-redirect"
    fake = PrivateKey(f"{uri}#ed25519", eve.ed.key)
    own = {
        "id": fake.key_id,
        "type": "Multikey",
        "controller": uri,
        "publicKeyMultibase": fake.public("x").to_multikey(),
    }
    served = eve.document | {"id": uri, "inbox": f"{uri}/inbox", "assertionMethod": [own], "endpoints": {}}
    inconnu.serve(f"{inconnu.base}/users/fake", served)
    await refused(lambda: here.hear(hello(victim, here) | {"actor": uri}, fake), 401, caplog)
    kestrel.serve(uri, served)
    assert (await here.hear(hello(victim, here) | {"actor": uri}, fake)).status_code == 401, "asked a moment ago"
    verify._asked.clear()
    assert (await here.hear(hello(victim, here) | {"actor": uri}, fake)).status_code == 202, "served at its own origin"


async def test_R22_a_key_that_is_not_there_is_asked_for_once_a_minute(here: Here, inconnu: OtherServer) -> None:
    eve = inconnu.actor("eve")
    for number in range(5):
        unlisted = PrivateKey(f"{eve.uri}#key{number}", eve.ed.key)
        assert (await here.hear(hello(eve, here), unlisted)).status_code == 401
    assert inconnu.asked("/users/eve") == 1
    assert (await here.hear(hello(eve, here), eve.ed)).status_code == 202, "her true key is known by now"


async def test_F21_a_domain_with_endless_names_is_asked_so_often_and_no_more(
    here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(newcomers, "NEW_HOSTS_PER_HOUR", 3)
    reached: list[str] = []

    async def wildcard(name: str) -> list[str]:
        reached.append(name)
        return ["127.0.0.1"]

    here.instance.transport._names._lookup = wildcard
    async with other_server() as evil:
        for number in range(6):
            base = f"http://a{number}.evil.example:{evil.there.port}"
            there = OtherServer(evil.there, base)
            eve = there.actor("eve", path=f"/users/eve{number}")
            assert (await here.hear(hello(eve, here), eve.ed)).status_code == (202 if number < 3 else 401)
    assert set(reached) == {f"a{number}.evil.example" for number in range(3)}
    assert newcomers.domain_of("x.y.example.co.uk") == "example.co.uk"
    assert newcomers.domain_of("a.b.example.com:8443") == "example.com"
    assert newcomers.domain_of("10.1.2.3:80") == "10.1.2.3:80"


async def test_a_signed_reading_by_a_stranger_leaves_nothing(here: Here, inconnu: OtherServer) -> None:
    eve = inconnu.actor("eve")
    before = await everything("actor_key")
    url = f"{here.base}/@alice"
    for _ in range(2):
        signed = messages.sign("GET", url, {"accept": "application/activity+json"}, b"", eve.ed, now_ms())
        assert (await here.http.get(url, headers=signed)).status_code in (200, 404)
    assert await everything("actor_key") == before
    assert inconnu.asked("/users/eve") == 1


async def test_a_person_whose_key_changed_is_heard_and_the_old_key_is_not(here: Here, mallory: Actor) -> None:
    old = mallory.ed
    mallory.ed = PrivateKey(old.key_id, mallory.server.actor("source").ed.key)
    mallory.publish()
    assert await here.take(hello(mallory, here), mallory.ed) == ""
    assert (await here.hear(hello(mallory, here), old)).status_code == 401


async def test_W2_the_pinned_key_is_the_only_one_that_makes_a_link_speak(here: Here, kestrel: OtherServer) -> None:
    instance = await linked(kestrel)
    chloe = kestrel.actor("chloe")
    space = await here.open_space("projet", Level.PARTNERS, kestrel)
    await enter(space, await met(chloe), kestrel)
    note = chloe.note(to=[here.space("projet")], audience=here.space("projet"))
    by_pin = chloe.says("Create", note, to=[here.space("projet")])
    assert await here.take(by_pin, instance.ed) == ""
    instance.ed = PrivateKey(instance.ed.key_id, kestrel.actor("evil").ed.key)
    instance.publish()  # the document now shows another key under the same name
    again = chloe.says("Create", chloe.note(to=[here.space("projet")]), to=[here.space("projet")])
    assert (await here.hear(again, instance.ed)).status_code == 401
    by_other_key = chloe.says("Create", chloe.note(to=[here.space("projet")]), to=[here.space("projet")])
    assert (await here.hear(by_other_key, instance.rsa, scheme="cavage")).status_code == 401


async def test_two_hundred_bad_requests_leave_nothing(here: Here, mallory: Actor, victim: Actor) -> None:
    before = await everything()
    answers = await asyncio.gather(*(here.hear(hello(victim, here), mallory.ed) for _ in range(200)))
    assert {answer.status_code for answer in answers} == {401}
    assert await everything() == before
