"""The one door out, against real servers on loopback: what is refused first, then what gets through."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
import trustme

from federation import skew
from federation import transport as door
from federation.addresses import Network
from federation.answers import ACTIVITY, ACTIVITY_STREAMS, NODEINFO, WEBFINGER, Accept, RefusedThere, read_body
from federation.errors import FederationError, Gone, Malformed, Refused, Unreachable
from federation.transport import MOST_REDIRECTS, PER_HOST, Lookup, Timeouts, Transport
from server.clock import now_ms
from tests.unit.federation.elsewhere import Elsewhere, answer, elsewhere, redirect

pytestmark = pytest.mark.anyio

# 127.0.0.2 plays the world that may be reached, 127.0.0.1 and ::1 the inside that may not.
WORLD = (ip_network("127.0.0.2/32"),)
NOTE = b'{"id":"https://kestrel.example/posts/1","type":"Note"}'
AS = "Content-Type: application/activity+json; charset=utf-8"


@pytest.fixture
async def kestrel() -> AsyncIterator[Elsewhere]:
    async with elsewhere("127.0.0.2") as there:
        yield there


@pytest.fixture
async def inside() -> AsyncIterator[Elsewhere]:
    """Something of ours on loopback, which nobody elsewhere may make us speak to."""
    async with elsewhere("127.0.0.1") as here:
        yield here


@pytest.fixture
async def make() -> AsyncIterator[Callable[..., Transport]]:
    made: list[Transport] = []

    def transport(
        networks: tuple[Network, ...] = WORLD,
        lookup: Lookup | None = None,
        ca_file: Path | None = None,
        **seconds: float,
    ) -> Transport:
        made.append(
            Transport(
                user_agent="Parvis/0",
                allow_private_networks=networks,
                ca_file=ca_file,
                timeouts=Timeouts(**seconds),
                lookup=lookup,
            )
        )
        return made[-1]

    yield transport
    for one in made:
        await one.aclose()


Make = Callable[..., Transport]


def names(**zone: list[str]) -> Lookup:
    """A name server that knows these names, with _ for a dot."""

    async def lookup(name: str) -> list[str]:
        try:
            return zone[name.replace(".", "_")]
        except KeyError:
            raise OSError("no such name") from None

    return lookup


# --- where a connection may go


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_F17_no_method_goes_round_the_guard(make: Make, inside: Elsewhere, method: str) -> None:
    transport = make((), names(evil_example=["127.0.0.1"]))
    with pytest.raises(Refused, match="not reached from here"):
        await transport.send(httpx.Request(method, f"https://evil.example:{inside.port}/"))
    assert inside.connections == 0


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "::ffff:7f00:1", "0.0.0.0", "::"])
async def test_F7_F3_F4_eve_names_a_server_that_is_this_machine(make: Make, inside: Elsewhere, ip: str) -> None:
    transport = make((), names(evil_example=[ip]))
    with pytest.raises(Refused, match="not reached from here"):
        await transport.get(f"https://evil.example:{inside.port}/")
    assert inside.connections == 0


@pytest.mark.parametrize("ip", ["1.1.1.1", "127.0.0.1", "10.0.0.1"])
async def test_F6_http_under_a_name_leads_into_the_allowed_networks_or_nowhere(make: Make, ip: str) -> None:
    with pytest.raises(Refused, match="not reached from here"):
        await make(WORLD, names(kestrel_example=[ip])).get("http://kestrel.example:9/")


async def test_F12_F22_a_name_that_changes_between_two_questions(
    make: Make, kestrel: Elsewhere, inside: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eve's name server says a harmless address first, and this machine afterwards."""
    monkeypatch.setattr(door, "_NAMES_KEPT_S", 0.0)
    answers = iter([["127.0.0.2"], ["127.0.0.1"]])

    async def rebinding(_: str) -> list[str]:
        return next(answers)

    this_machine = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", kestrel.port)
    kestrel.scenes["/"] = answer(b"here", "Connection: close")
    transport = make(WORLD, rebinding)
    async with this_machine:
        assert (await transport.get(f"http://evil.example:{kestrel.port}/")).content == b"here"
        with pytest.raises(Refused, match="not reached from here"):
            await transport.get(f"http://evil.example:{kestrel.port}/")


async def test_F12_a_name_with_a_harmless_and_a_private_address(make: Make, inside: Elsewhere) -> None:
    async with elsewhere("127.0.0.2") as kestrel:
        transport = make(WORLD, names(evil_example=["127.0.0.1", "127.0.0.2"]))
        got = await transport.get(f"http://evil.example:{kestrel.port}/")
        assert (got.content, inside.connections) == (b"here", 0)


async def test_F7_a_private_literal_is_refused_before_any_socket(make: Make, inside: Elsewhere) -> None:
    with pytest.raises(Refused):
        await make(()).get(inside.url("/", "https"))
    with pytest.raises(Refused):
        await make(WORLD).send(httpx.Request("GET", inside.url("/")))
    assert inside.connections == 0


async def test_F6_httpx_spelling_help_opens_no_way_in(make: Make, inside: Elsewhere) -> None:
    """httpx turns full-width dots and digits into an internet address before we see it."""
    with pytest.raises(FederationError):
        await make(()).send(httpx.Request("GET", f"https://127。0。0。1:{inside.port}/"))
    assert inside.connections == 0


# --- redirects

TO_THE_INSIDE = [
    "http://127.0.0.1:{port}/secret",
    "https://127.0.0.1:{port}/secret",
    "http://[::1]:{port}/secret",
    "http://[::ffff:127.0.0.1]:{port}/secret",
    "http://localhost:{port}/secret",
    "//127.0.0.1:{port}/secret",
    "http://2130706433:{port}/secret",
    "http://0x7f.1:{port}/secret",
    "http://0.0.0.0:{port}/secret",
    "http://kestrel.example@127.0.0.1:{port}/secret",
    "http:\\\\127.0.0.1:{port}/secret",
    "http://inside.example:{port}/secret",
    "file:///etc/passwd",
]


@pytest.mark.parametrize("location", TO_THE_INSIDE)
async def test_F20_F8_a_redirect_to_an_inside_address(
    make: Make, kestrel: Elsewhere, inside: Elsewhere, location: str
) -> None:
    kestrel.scenes["/"] = redirect(location.format(port=inside.port))
    lookup = names(inside_example=["127.0.0.1"], localhost=["::1", "127.0.0.1"])
    with pytest.raises((Refused, Malformed)):
        await make(WORLD, lookup).get(kestrel.url("/"))
    assert inside.connections == 0


async def test_R8_F8_three_redirects_are_followed_and_not_a_fourth(make: Make, kestrel: Elsewhere) -> None:
    for n in range(9):
        kestrel.scenes[f"/{n}"] = redirect(f"/{n + 1}")
    with pytest.raises(Refused, match="too often"):
        await make().get(kestrel.url("/0"))
    assert len(kestrel.requests) == MOST_REDIRECTS + 1
    kestrel.scenes["/3"] = answer(b"arrived")
    got = await make().get(kestrel.url("/0"))
    assert (got.content, str(got.url)) == (b"arrived", kestrel.url("/3"))


async def test_R8_a_redirect_to_itself_ends(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/"] = redirect("/")
    with pytest.raises(Refused, match="too often"):
        await make().get(kestrel.url("/"))
    assert len(kestrel.requests) == MOST_REDIRECTS + 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_F11_a_post_follows_no_redirect(make: Make, kestrel: Elsewhere, status: str) -> None:
    kestrel.scenes["/inbox"] = redirect("/elsewhere", status)
    got = await make().send(httpx.Request("POST", kestrel.url("/inbox"), content=b"private"))
    assert got.status_code == int(status[:3])
    assert [seen.path for seen in kestrel.requests] == ["/inbox"]


async def test_F11_each_hop_is_signed_for_itself_and_no_signature_travels_on(make: Make, kestrel: Elsewhere) -> None:
    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        return {**headers, "signature": f"{method} {url}"}

    async with elsewhere("127.0.0.3") as other:
        kestrel.scenes["/a"] = redirect(other.url("/b?c=d"))
        await make((ip_network("127.0.0.2/31"),)).get(kestrel.url("/a"), sign=sign)
        assert kestrel.requests[0].headers["signature"] == f"GET {kestrel.url('/a')}"
        assert other.requests[0].headers["signature"] == f"GET {other.url('/b?c=d')}"
        assert other.requests[0].headers["host"] == f"127.0.0.3:{other.port}"


@pytest.mark.parametrize("status", ["401 Unauthorized", "404 Not Found"])
@pytest.mark.parametrize(("off_s", "asked"), [(5, 1), (-600, 2), (600, 2), (3600, 1)])
async def test_D9_whose_clock_turns_out_to_be_minutes_off_is_asked_once_more(
    make: Make, kestrel: Elsewhere, off_s: int, asked: int, status: str
) -> None:
    """404 is how an instance answers whoever it does not know, in a reading of what is hidden."""
    skew.forget()
    dates: list[int] = []

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
        dates.append(skew.towards(kestrel.url("/").split("/")[2]))
        return headers

    date = formatdate(now_ms() / 1000 + off_s, usegmt=True)
    kestrel.scenes["/"] = answer(b"", f"Date: {date}", status=status)
    assert (await make().get(kestrel.url("/"), sign=sign)).status_code == int(status[:3])
    assert len(kestrel.requests) == asked
    assert [round(ms / 10_000) for ms in dates] == [0, round(off_s / 10)][:asked]
    await make().get(kestrel.url("/"), sign=sign)
    assert len(kestrel.requests) == asked + 1, "what is known is not asked twice again"
    skew.forget()


async def test_O21_a_redirect_to_another_origin_is_noted(make: Make, kestrel: Elsewhere) -> None:
    async with elsewhere("127.0.0.3") as evil:
        evil.scenes["/note"] = answer(NOTE, AS)
        kestrel.scenes["/away"] = redirect(evil.url("/note"))
        kestrel.scenes["/near"] = redirect("/note")
        kestrel.scenes["/note"] = answer(NOTE, AS)
        transport = make((ip_network("127.0.0.2/31"),))
        away = await transport.get_json(kestrel.url("/away"))
        near = await transport.get_json(kestrel.url("/near"))
    assert (away.crossed, away.url, away.final_url) == (True, kestrel.url("/away"), evil.url("/note"))
    assert (near.crossed, near.final_url, near.body) == (False, kestrel.url("/note"), NOTE)


# --- what an answer must be

WRONG_TYPES = [
    "text/plain",
    "text/html",
    "application/json",
    "image/png",
    "application/octet-stream",
    "application/ld+json",
    'application/ld+json; profile="https://evil.example/ns"',
    f'application/ld+json; profile="{ACTIVITY_STREAMS}x"',
    f'text/plain; profile="{ACTIVITY_STREAMS}"',
    "application/activity+json, text/html",
    "application/activity+json; charset=utf-7",
    "application/activity+jsonx",
    "application",
    "",
]


@pytest.mark.parametrize("stated", [f"Content-Type: {text}" for text in WRONG_TYPES] + ["X-None: 1"])
async def test_O2_an_uploaded_file_is_nobodys_actor(make: Make, kestrel: Elsewhere, stated: str) -> None:
    kestrel.scenes["/"] = answer(NOTE, stated)
    with pytest.raises(Malformed, match="media type"):
        await make().get_json(kestrel.url("/"))


async def test_O2_two_media_types_are_none(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/"] = answer(NOTE, AS, "Content-Type: text/html")
    with pytest.raises(Malformed):
        await make().get_json(kestrel.url("/"))


@pytest.mark.parametrize("accept", [ACTIVITY, WEBFINGER, NODEINFO])
async def test_O3_a_file_under_the_media_addresses_is_nobodys_actor(
    make: Make, kestrel: Elsewhere, accept: Accept
) -> None:
    kestrel.scenes["/media/1/actor.json"] = answer(NOTE, "Content-Type: application/octet-stream")
    with pytest.raises(Malformed, match="media type"):
        await make().get_json(kestrel.url("/media/1/actor.json"), accept=accept)


async def test_O4_a_redirect_to_an_uploaded_file_on_the_same_host(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/@chloe"] = redirect("/media/1/actor.json")
    kestrel.scenes["/media/1/actor.json"] = answer(NOTE, "Content-Type: text/plain")
    with pytest.raises(Malformed, match="media type"):
        await make().get_json(kestrel.url("/@chloe"))


@pytest.mark.parametrize(
    ("stated", "accept"),
    [
        ("application/activity+json", ACTIVITY),
        ("Application/Activity+JSON; charset=UTF-8", ACTIVITY),
        (f'application/ld+json; profile="{ACTIVITY_STREAMS}"', ACTIVITY),
        (f'application/ld+json; profile="https://a.example {ACTIVITY_STREAMS}"; charset=utf-8', ACTIVITY),
        ("application/jrd+json", WEBFINGER),
        ("application/json; charset=utf-8", WEBFINGER),
        ('application/json; profile="http://nodeinfo.diaspora.software/ns/schema/2.1#"', NODEINFO),
    ],
)
async def test_the_right_media_types_get_through(make: Make, kestrel: Elsewhere, stated: str, accept: Accept) -> None:
    kestrel.scenes["/"] = answer(NOTE, f"Content-Type: {stated}")
    got = await make().get_json(kestrel.url("/"), accept=accept)
    assert got.body == NOTE
    assert kestrel.requests[0].headers["accept"] == accept.header
    assert kestrel.requests[0].headers["user-agent"] == "Parvis/0"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("410 Gone", Gone),
        ("404 Not Found", RefusedThere),
        ("401 Unauthorized", RefusedThere),
        ("429 Too Many", Unreachable),
        ("500 Broken", Unreachable),
        ("204 No Content", Malformed),
        ("206 Partial", Malformed),
        ("304 Not Modified", Malformed),
    ],
)
async def test_a_document_comes_with_200_or_not_at_all(
    make: Make, kestrel: Elsewhere, status: str, expected: type[FederationError]
) -> None:
    bodiless = status[:3] in ("204", "304")
    kestrel.scenes["/"] = answer(b"" if bodiless else NOTE, AS, status=status)
    with pytest.raises(expected) as caught:
        await make().get_json(kestrel.url("/"))
    assert type(caught.value) is expected
    assert not isinstance(caught.value, RefusedThere) or caught.value.answered == int(status[:3])


# --- time and size


async def test_R2_a_byte_now_and_then_does_not_hold_us_for_ever(make: Make, kestrel: Elsewhere) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"", length=1000))
        while True:
            writer.write(b".")
            await writer.drain()
            await asyncio.sleep(0.02)

    kestrel.scenes["/"] = drip
    with pytest.raises(Unreachable, match="too long"):
        await make(first_byte=5, total=0.3).get(kestrel.url("/"))


async def test_R2_drops_between_redirects_do_not_add_up(make: Make, kestrel: Elsewhere) -> None:
    async def late(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(redirect("/"))

    kestrel.scenes["/"] = late
    with pytest.raises(Unreachable, match="too long"):
        await make(total=0.3).get(kestrel.url("/"))
    assert len(kestrel.requests) <= 3


async def test_R2_silence_after_the_connect(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/"] = lambda writer: asyncio.sleep(30)
    with pytest.raises(Unreachable, match="fell silent"):
        await make(first_byte=0.2).get(kestrel.url("/"))


async def test_R2_a_host_that_drops_every_packet(make: Make) -> None:
    """A listener whose queue is full takes no more connections, and says nothing."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.2", 0))
        full.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        with pytest.raises(Unreachable, match="did not take the connection in time"):
            await make(connect=0.2).get(f"http://127.0.0.2:{full.getsockname()[1]}/")


async def test_R2_a_delivery_waits_no_longer_than_a_fetch(make: Make, kestrel: Elsewhere) -> None:
    """All places at a host are taken: who waits for one is let go in time, and leaves nothing behind."""
    kestrel.scenes["/inbox"] = lambda writer: asyncio.sleep(30)
    transport = make(total=0.3)
    post = httpx.Request("POST", kestrel.url("/inbox"), content=b"{}")
    results = await asyncio.gather(*[transport.send(post) for _ in range(2 * PER_HOST)], return_exceptions=True)
    assert {str(result)[:36] for result in results} == {"The other instance took too long to "}
    assert transport._places._hosts == {}


@pytest.mark.parametrize("claimed", [None, 10**12])
async def test_R2_an_endless_body_is_left(make: Make, kestrel: Elsewhere, claimed: int | None) -> None:
    sent = 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = f"Content-Length: {claimed}" if claimed else "Connection: close"
        writer.write(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n".encode())
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    kestrel.scenes["/"] = endless
    with pytest.raises(Malformed, match="more than is read"):
        await make().get(kestrel.url("/"), limit_bytes=100_000)
    assert sent < 20_000_000


async def test_R2_a_delivery_is_answered_by_its_status_however_long_the_page_behind_it(
    make: Make, kestrel: Elsewhere
) -> None:
    kestrel.scenes["/inbox"] = answer(b"x" * 300_000, status="202 Accepted")
    got = await make().send(httpx.Request("POST", kestrel.url("/inbox"), content=b"{}"), limit_bytes=1000, cut=True)
    assert (got.status_code, got.content) == (202, b"x" * 1000)
    with pytest.raises(Malformed):
        await make().send(httpx.Request("POST", kestrel.url("/inbox"), content=b"{}"), limit_bytes=1000)


async def test_R2_a_small_answer_that_unpacks_to_a_huge_one(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/"] = answer(gzip.compress(b"0" * 50_000_000), AS, "Content-Encoding: gzip")
    with pytest.raises(Malformed, match="more than is read"):
        await make().get_json(kestrel.url("/"))


async def test_R2_a_packed_answer_is_never_unpacked_beyond_the_limit_even_for_a_moment() -> None:
    packed = gzip.compress(b"0" * 50_000_000)

    async def bomb() -> AsyncIterator[bytes]:
        yield packed

    tracemalloc.start()
    try:
        with pytest.raises(Malformed, match="more than is read"):
            await read_body(bomb(), "gzip", 100_000)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 1_000_000


async def test_R2_bytes_behind_the_end_of_a_packed_answer_are_counted(make: Make, kestrel: Elsewhere) -> None:
    async def tail(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(b"0"))
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    kestrel.scenes["/"] = tail
    with pytest.raises(Malformed, match="more than is read"):
        await make(total=1).get(kestrel.url("/"), limit_bytes=100_000)


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate", "zstd"])
async def test_R2_only_what_was_asked_for_is_unpacked(make: Make, kestrel: Elsewhere, coding: str) -> None:
    kestrel.scenes["/"] = answer(NOTE, AS, f"Content-Encoding: {coding}")
    with pytest.raises(Malformed, match="packed"):
        await make().get_json(kestrel.url("/"))


async def test_a_packed_document_is_unpacked_once(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/"] = answer(gzip.compress(NOTE), AS, "Content-Encoding: gzip")
    assert (await make().get_json(kestrel.url("/"))).body == NOTE
    kestrel.scenes["/broken"] = answer(b"not gzip at all", AS, "Content-Encoding: gzip")
    with pytest.raises(Malformed, match="cannot be unpacked"):
        await make().get_json(kestrel.url("/broken"))


async def test_a_slow_host_takes_no_more_than_its_places(make: Make, kestrel: Elsewhere) -> None:
    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(answer())

    kestrel.scenes["/"] = slow
    transport = make()
    async with elsewhere("127.0.0.3") as other:
        transport.networks = (ip_network("127.0.0.2/31"),)
        waiting = asyncio.gather(*[transport.get(kestrel.url("/")) for _ in range(3 * PER_HOST)])
        await asyncio.wait_for(transport.get(other.url("/")), 1)
        assert len(kestrel.requests) <= PER_HOST
        await waiting
    assert kestrel.most_underway == PER_HOST
    assert transport._places._hosts == {}


# --- the ways to fail, told apart


async def nothing(_: asyncio.StreamWriter) -> None:
    raise ConnectionError


async def half(writer: asyncio.StreamWriter) -> None:
    writer.write(answer(b"half", length=100))
    await writer.drain()
    raise ConnectionError


@pytest.mark.parametrize(
    ("scene", "words", "kind"),
    [
        (nothing, "broke the connection off", Unreachable),
        (half, "in the middle of its answer", Unreachable),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP that is read", Malformed),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", "not HTTP that is read", Malformed),
    ],
)
async def test_what_went_wrong_is_said(
    make: Make, kestrel: Elsewhere, scene: bytes, words: str, kind: type[FederationError]
) -> None:
    kestrel.scenes["/"] = scene
    with pytest.raises(kind, match=words):
        await make().get(kestrel.url("/"))


async def test_there_is_no_way_there(make: Make) -> None:
    everybody = (ip_network("255.255.255.255/32"),)
    with pytest.raises(Unreachable, match="no way to"):
        await make(everybody).get("http://255.255.255.255:9/")


async def test_nobody_listens(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.2", 0))
        with pytest.raises(Unreachable, match="Nothing listens"):
            await make().get(f"http://127.0.0.2:{taken.getsockname()[1]}/")


async def test_a_name_that_nobody_has_and_name_servers_that_are_silent(make: Make) -> None:
    async def silent(_: str) -> list[str]:
        await asyncio.sleep(30)
        return []

    for lookup in (names(), names(kestrel_example=[]), silent):
        with pytest.raises(Unreachable, match="name leads nowhere"):
            await make(WORLD, lookup, connect=0.1).get("https://kestrel.example/")


async def test_a_name_is_asked_for_once_a_minute(make: Make, kestrel: Elsewhere) -> None:
    asked: list[str] = []

    async def lookup(name: str) -> list[str]:
        asked.append(name)
        return ["127.0.0.2"]

    kestrel.scenes["/"] = answer(b"", "Connection: close")
    transport = make(WORLD, lookup)
    for _ in range(3):
        await transport.get(f"http://kestrel.example:{kestrel.port}/")
    assert (asked, kestrel.connections) == (["kestrel.example"], 3)


async def test_names_are_not_remembered_without_end(
    make: Make, kestrel: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door, "_MOST_NAMES", 2)
    transport = make(WORLD, names(**{f"{letter}_example": ["127.0.0.2"] for letter in "abcde"}))
    for letter in "abcde":
        await transport.get(f"http://{letter}.example:{kestrel.port}/")
    assert len(transport._names._known) <= 2


async def test_the_system_is_asked_where_no_other_lookup_is_given(make: Make, inside: Elsewhere) -> None:
    loopback = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
    assert (await make(loopback).get(f"http://localhost:{inside.port}/")).status_code == 200


# --- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
async def secure(authority: trustme.CA) -> AsyncIterator[Elsewhere]:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("kestrel.example").configure_cert(tls)
    async with elsewhere("127.0.0.2", tls) as there:
        yield there


async def test_a_certificate_that_nobody_we_trust_signed(make: Make, secure: Elsewhere) -> None:
    transport = make(WORLD, names(kestrel_example=["127.0.0.2"]))
    with pytest.raises(Unreachable, match="certificate is not accepted"):
        await transport.get(f"https://kestrel.example:{secure.port}/")
    assert secure.requests == []


async def test_a_good_certificate_for_another_name(
    make: Make, secure: Elsewhere, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    transport = make(WORLD, names(aubrac_example=["127.0.0.2"]), tmp_path / "ca.pem")
    with pytest.raises(Unreachable, match="certificate is not accepted"):
        await transport.get(f"https://aubrac.example:{secure.port}/")
    with pytest.raises(Unreachable, match="certificate is not accepted"):
        await transport.get(secure.url("/", "https"))
    assert secure.requests == []


async def test_a_partner_with_an_authority_of_its_own(
    make: Make, secure: Elsewhere, authority: trustme.CA, tmp_path: Path
) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    transport = make(WORLD, names(kestrel_example=["127.0.0.2"]), tmp_path / "ca.pem")
    got = await transport.get(f"https://kestrel.example:{secure.port}/")
    assert got.content == b"here"


async def test_a_server_without_tls_under_https(make: Make) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(status="400 Bad Request"))
        await reader.read()
        writer.close()

    async with await asyncio.start_server(plain, "127.0.0.2", 0) as server:
        with pytest.raises(Unreachable, match="No TLS connection"):
            await make().get(f"https://127.0.0.2:{server.sockets[0].getsockname()[1]}/")


# --- what is sent


async def test_nothing_of_the_environment_is_used(
    make: Make, kestrel: Elsewhere, inside: Elsewhere, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.2 login alice password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, inside.url(""))
    await make().get(kestrel.url("/"))
    assert inside.connections == 0
    assert "authorization" not in kestrel.requests[0].headers


async def test_cookies_are_not_kept(make: Make, kestrel: Elsewhere) -> None:
    kestrel.scenes["/"] = answer(b"", "Set-Cookie: who=alice; Path=/")
    transport = make()
    await transport.get(kestrel.url("/"))
    await transport.get(kestrel.url("/again"))
    assert "cookie" not in kestrel.requests[1].headers


async def test_what_was_signed_is_what_is_sent(make: Make, kestrel: Elsewhere) -> None:
    headers = {"signature": "x", "digest": "y", "content-type": "application/activity+json"}
    url = kestrel.url("/inbox/%7Ea;b=c?d=%20e&f[1]=+g")
    got = await make().send(httpx.Request("POST", url, headers=headers, content=b'{"a":1}'))
    seen = kestrel.requests[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/inbox/%7Ea;b=c?d=%20e&f[1]=+g", b'{"a":1}')
    sent = dict(seen.headers)
    assert sent.pop("host") == f"127.0.0.2:{kestrel.port}"
    assert sent == {**headers, "content-length": "7", "user-agent": "Parvis/0"}
    assert got.content == b"here"


async def test_httpx_clients_go_through_the_same_door(make: Make, kestrel: Elsewhere, inside: Elsewhere) -> None:
    async with httpx.AsyncClient(transport=make()) as client:
        assert (await client.get(kestrel.url("/"))).content == b"here"
        with pytest.raises(Refused):
            await client.get(inside.url("/"))
