"""What stands before every page, at the socket of a real process: refusals first."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from tests.browser.people import PASSWORD, hire
from tests.federation.conftest import MakeNode
from tests.federation.harness import Node

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("engine", ["sqlite"], indirect=True)]

MIB = 1024 * 1024
OURS = {"sec-fetch-site": "same-origin"}


async def signed_in(node: Node) -> dict[str, str]:
    """A cookie of Alice's browser."""
    await hire(node, "alice", "Alice Fournier")
    answer = await node.client.post("/login", data={"name": "alice", "password": PASSWORD}, headers=OURS)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie.replace("samesite", "SameSite").replace("lax", "Lax")
    return {"cookie": cookie.partition(";")[0]}


def resident_mib(node: Node) -> float:
    assert node.process is not None
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def kept_bytes(node: Node) -> int:
    return sum(
        path.stat().st_size for path in node.folder.rglob("*") if path.is_file() and "parvis.db" not in path.name
    )


async def test_a_form_that_is_not_ours_changes_nothing(fleet: MakeNode) -> None:
    node = await fleet("Aubrac")
    cookie = await signed_in(node)
    said = {"text": "volé", "where": "@colleagues", "key": "k"}
    foreign: list[dict[str, str]] = [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{node.base}.evil.example"},
        {"referer": "https://evil.example/"},
    ]
    for headers in foreign:
        answer = await node.client.post("/posts", data=said, headers=cookie | headers)
        assert answer.status_code == 403, headers
    assert "volé" not in (await node.client.get("/", headers=cookie)).text
    for headers in (OURS, {"origin": node.base}, {"referer": f"{node.base}/"}):
        answer = await node.client.post("/posts", data={**said, "key": str(headers)[:90]}, headers=cookie | headers)
        assert answer.status_code == 303, headers


async def test_a_wrong_password_gets_one_sentence_and_no_cookie(fleet: MakeNode) -> None:
    node = await fleet("Aubrac")
    await hire(node, "alice", "Alice Fournier")
    for name, password in (("alice", "faux mot de passe"), ("personne", PASSWORD)):
        answer = await node.client.post("/login", data={"name": name, "password": password}, headers=OURS)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        assert answer.text.count('role="alert"') == 1


async def test_a_300_mb_upload_is_refused_and_neither_memory_nor_disk_fills(fleet: MakeNode) -> None:
    node = await fleet("Aubrac")
    cookie = await signed_in(node)
    memory, disk = resident_mib(node), kept_bytes(node)
    length = {"content-length": str(300 * MIB), "content-type": "multipart/form-data; boundary=x"}
    sent, answer = await pour(node, cookie | OURS | length, chunked=False)
    assert answer.startswith(b"HTTP/1.1 413")
    assert "Mio" in answer.decode(errors="replace")
    assert sent < 20 * MIB, "it is refused by what it says of itself"
    chunked = {"transfer-encoding": "chunked", "content-type": "multipart/form-data; boundary=x"}
    sent, answer = await pour(node, cookie | OURS | chunked, chunked=True)
    assert answer.startswith(b"HTTP/1.1 413")
    assert sent < 200 * MIB, "it is refused while it comes"
    assert resident_mib(node) < memory + 150
    assert kept_bytes(node) == disk
    assert (await node.client.get("/healthz")).status_code == 200


async def pour(node: Node, headers: dict[str, str], *, chunked: bool) -> tuple[int, bytes]:
    """Sends an endless upload until it is answered: how many bytes went, and the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    head = "".join(f"{name}: {value}\r\n" for name, value in {"host": node.host, **headers}.items())
    opening = b'--x\r\nContent-Disposition: form-data; name="files"; filename="f.bin"\r\n\r\n'
    writer.write(f"POST /posts HTTP/1.1\r\n{head}\r\n".encode())
    piece, sent = b"\0" * MIB, 0
    answering = asyncio.create_task(whole_page(reader))
    try:
        for number in range(300):
            data = opening if number == 0 else piece
            writer.write(f"{len(data):x}\r\n".encode() + data + b"\r\n" if chunked else data)
            await writer.drain()
            sent += len(data)
            if answering.done():
                break
    except ConnectionError:
        pass
    try:
        async with asyncio.timeout(20):
            return sent, await answering
    finally:
        writer.close()


async def whole_page(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while b"</html>" not in answer and (data := await reader.read(65536)):
        answer += data
    return answer


async def test_every_page_says_what_may_run_and_who_may_keep_it(fleet: MakeNode) -> None:
    node = await fleet("Aubrac")
    cookie = await signed_in(node)
    for path in ("/", "/login", "/nulle-part"):
        answer = await node.client.get(path, headers=cookie)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "private, no-store"
        assert "Cookie" in answer.headers["vary"]
        if answer.status_code != 303:
            nonces = set(re.findall(r'nonce="([^"]+)"', answer.text))
            assert len(nonces) == 1 and f"'nonce-{nonces.pop()}'" in policy
            assert not re.search(r"<[^>]+\s(?:on\w+|style)=", answer.text)
    still = await node.client.get("/static/parvis.css")
    assert "immutable" in still.headers["cache-control"]


async def test_a_malformed_activity_gets_one_sentence(fleet: MakeNode) -> None:
    node = await fleet("Aubrac")
    headers = {"content-type": "application/activity+json"}
    answer: httpx.Response = await node.client.post("/inbox", content=b"{", headers=headers)
    assert answer.status_code == 401
    assert list(answer.json()) == ["error"]
