"""Files on their way to a post."""

import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette

from federation.documents import posts as documents
from server import database as db
from server.limits import UPLOAD_BYTES
from server.media_types import sha256_of
from tests.cast import HERE, Cast
from tests.unit.web.api.client import Client

pytestmark = pytest.mark.anyio

MEDIA = "/api/v2/media"
PDF = b"%PDF-1.7\n" + b"x" * 5000


async def nothing_is_kept(app: Starlette) -> bool:
    rows = await db.fetch("SELECT id FROM attachment")
    folder: Path = app.state.settings.files_dir
    return not rows and not [path for path in folder.rglob("*") if path.is_file()]


async def test_a_file_that_is_too_large_is_refused_before_and_while_it_comes(app: Starlette, alice: Client) -> None:
    head = b'--b\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    kind = {"content-type": "multipart/form-data; boundary=b"}
    declared = await alice("POST", MEDIA, content=head, headers=kind | {"content-length": "300000000"})
    assert declared.status_code == 413
    assert "40" in declared.json()["error"]

    async def pieces() -> AsyncIterator[bytes]:
        yield head
        for _ in range(UPLOAD_BYTES // (1024 * 1024) + 2):
            yield b"\1" * (1024 * 1024)

    assert (await alice("POST", MEDIA, content=pieces(), headers=kind)).status_code == 413
    exact = head + b"\1" * (UPLOAD_BYTES + 1) + b"\r\n--b--\r\n"
    assert (await alice("POST", MEDIA, content=exact, headers=kind)).status_code == 413
    assert await nothing_is_kept(app)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b""),
        ("multipart/form-data; boundary=b", b"--b\r\nnot a part"),
        ("multipart/form-data; boundary=b", b'--b\r\ncontent-disposition: form-data; name="file"\r\n\r\nx\r\n--b--'),
        ("application/json", b'{"file": "x"}'),
        ("", b"x"),
    ],
)
async def test_what_is_no_form_with_a_file_keeps_nothing(app: Starlette, alice: Client, kind: str, body: bytes) -> None:
    assert (await alice("POST", MEDIA, content=body, headers={"content-type": kind})).status_code == 422
    assert await nothing_is_kept(app)


async def test_two_files_at_once_are_refused(app: Starlette, alice: Client) -> None:
    files = [("file", ("a.pdf", PDF)), ("file", ("b.pdf", PDF))]
    assert (await alice("POST", MEDIA, files=files)).status_code == 422
    assert await nothing_is_kept(app)


async def test_bruno_neither_sees_nor_names_nor_attaches_what_alice_brought(alice: Client, bruno: Client) -> None:
    file = await brought(alice)
    assert (await bruno("GET", f"/api/v1/media/{file['id']}")).status_code == 404
    assert (await bruno("PUT", f"/api/v1/media/{file['id']}", json={"description": "x"})).status_code == 404
    stolen = await bruno("POST", "/api/v1/statuses", json={"status": "a", "media_ids": [file["id"]]})
    assert stolen.status_code == 422


async def brought(client: Client, name: str = "plan.pdf", content: bytes = PDF) -> dict[str, Any]:
    answer = await client("POST", MEDIA, files={"file": (name, content, "text/html")}, data={"description": "le plan"})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_alice_brings_names_and_publishes_a_file(app: Starlette, alice: Client, cast: Cast) -> None:
    file = await brought(alice)
    assert file["description"] == "le plan"
    assert file["url"] == HERE.media(int(file["id"]), "plan.pdf")
    row = await db.fetch_one("SELECT * FROM attachment")
    assert row is not None
    assert (row["media_type"], row["size"], row["owner_id"]) == ("application/pdf", len(PDF), cast.alice.actor_id)
    renamed = await alice("PUT", f"/api/v1/media/{file['id']}", json={"description": "le plan du site"})
    assert renamed.json()["description"] == "le plan du site"
    post = await alice.post("/api/v1/statuses", status="", media_ids=[file["id"]])
    assert [one["description"] for one in post["media_attachments"]] == ["le plan du site"]
    late = await alice("PUT", f"/api/v1/media/{file['id']}", json={"description": "trop tard"})
    assert late.status_code == 404


async def test_a_file_is_what_its_bytes_say_and_its_name_leads_nowhere(alice: Client) -> None:
    file = await brought(alice, "../../etc/page.html", b"<script>alert(1)</script>")
    row = await db.fetch_one("SELECT name, media_type FROM attachment")
    assert row is not None
    assert row["media_type"] == "application/octet-stream"
    assert "/" not in row["name"]
    assert file["type"] == "unknown"


async def test_a_picture_loses_what_the_camera_wrote_and_gets_a_small_one(
    app: Starlette, alice: Client, bruno: Client
) -> None:
    taken, camera = io.BytesIO(), Image.Exif()
    camera[0x013B] = "Alice Martin, au dépôt"  # the artist
    Image.new("RGB", (1200, 900), "teal").save(taken, "JPEG", exif=camera.tobytes())
    file = await brought(alice, "depot.jpg", taken.getvalue())
    original = file["meta"]["original"]
    assert (original["width"], original["height"], original["aspect"]) == (1200, 900, 1.3333)
    assert file["preview_url"] == HERE.small(int(file["id"]))
    whole, small = await alice("GET", HERE.path(file["url"])), await alice("GET", HERE.path(file["preview_url"]))
    row = await db.fetch_one("SELECT size, sha256 FROM attachment")
    assert row == {"size": len(whole.content), "sha256": hashlib.sha256(whole.content).hexdigest()}
    assert original["size"] == row["size"] < len(taken.getvalue()) and b"Alice Martin" not in whole.content
    with Image.open(io.BytesIO(small.content)) as seen:
        assert (seen.format, seen.size, dict(seen.getexif())) == ("WEBP", (640, 480), {})
    assert (await bruno("GET", HERE.path(file["preview_url"]))).status_code == 404, "no post carries it yet"
    post = await alice.post("/api/v1/statuses", status="Le dépôt", media_ids=[file["id"]])
    assert post["media_attachments"][0]["preview_url"] == file["preview_url"]
    document = documents.note((await documents.read_many_told([int(post["id"])]))[int(post["id"])], HERE)
    [attached] = document["attachment"]
    assert (attached["width"], attached["height"], attached["size"]) == (1200, 900, row["size"])
    assert sha256_of(attached["digestMultibase"]) == row["sha256"], "of the bytes that are sent, not of those that came"


async def test_what_is_no_picture_has_no_small_one(alice: Client) -> None:
    for name, content in (("plan.pdf", PDF), ("faux.png", b"\x89PNG\r\n\x1a\nrien")):
        file = await brought(alice, name, content)
        assert (file["preview_url"], set(file["meta"]["original"])) == (None, {"size"})
