"""Files on disk: whole or not there, never larger than allowed, never where a stranger's name would put them."""

import asyncio
import hashlib
import io
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from server import files
from server.errors import Invalid, NotFound, TooLarge, Unavailable
from server.files import DISK_FULL
from server.media_types import digest_multibase, safe_name, sha256_of, sniff

MIB = 1024 * 1024


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_over_the_limit_is_refused_while_it_comes_in_and_leaves_nothing(tmp_path: Path) -> None:
    endless = io.BytesIO(b"x" * (3 * MIB))
    with pytest.raises(TooLarge) as refused:
        files.store(tmp_path, endless, 2 * MIB)
    assert refused.value.params == {"limit": 2}
    assert endless.tell() <= 2 * MIB + files.CHUNK_BYTES
    assert left(tmp_path) == []


@pytest.mark.anyio
async def test_a_stranger_who_sends_more_than_allowed_is_cut_off(tmp_path: Path) -> None:
    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 1000

    with pytest.raises(TooLarge):
        await files.receive(tmp_path, pieces(), 10_000)
    assert sent == 11 and left(tmp_path) == []


@pytest.mark.anyio
async def test_a_cancelled_arrival_leaves_nothing(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"begun"
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await files.receive(tmp_path, pieces(), MIB)
    assert left(tmp_path) == []


def test_a_full_disk_is_said_in_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse the write, as a full disk does."""
    script = f"""
        import io, pathlib, resource
        from server import files
        from server.errors import Unavailable
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            files.store(pathlib.Path({str(tmp_path)!r}), io.BytesIO(b"x" * 1_000_000), 10_000_000)
        except Unavailable as error:
            print(error.sentence)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == DISK_FULL
    assert left(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_said_too(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("not a folder")
    with pytest.raises(Unavailable):
        files.store(tmp_path / "files", io.BytesIO(b"x"), MIB)


@pytest.mark.parametrize("written", [1, 10, 40])
def test_a_process_killed_while_writing_leaves_no_half_file_under_a_final_name(tmp_path: Path, written: int) -> None:
    script = f"""
        import io, os, pathlib, itertools
        from server import files
        folder = pathlib.Path({str(tmp_path)!r})
        for number in itertools.count():
            files.store(folder, io.BytesIO(os.urandom(300_000)), 10_000_000)
            print(number, flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(written):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    whole = [path for path in left(tmp_path) if path.parent.name != "arriving"]
    assert whole
    for path in whole:
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name


def test_what_a_killed_process_left_is_swept_a_day_later(tmp_path: Path) -> None:
    stored = files.store(tmp_path, io.BytesIO(b"kept"), MIB)
    young, old = tmp_path / "arriving" / "1-young", tmp_path / "arriving" / "1-old"
    young.write_bytes(b"x")
    old.write_bytes(b"x")
    os.utime(old, (1_000_000, 1_000_000))
    assert files.sweep(tmp_path) == 1
    assert young.exists() and not old.exists()
    assert b"".join(files.open_range(tmp_path, stored.sha256)) == b"kept"
    assert files.sweep(tmp_path / "nowhere") == 0


@pytest.mark.parametrize("name", ["../../etc/passwd", "a" * 64 + "/..", "", "A" * 64, "é" * 64])
def test_H17_only_a_hash_finds_a_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(NotFound):
        files.open_range(tmp_path, name)
    with pytest.raises(NotFound):
        files.size_of(tmp_path, name)


def test_the_same_bytes_are_kept_once_and_read_in_ranges(tmp_path: Path) -> None:
    content = os.urandom(700_000)
    (tmp_path / "upload").write_bytes(content)
    first = files.store(tmp_path / "files", tmp_path / "upload", MIB)
    second = files.store(tmp_path / "files", io.BytesIO(content), MIB)
    assert first == second and first.size == 700_000 and content.startswith(first.head)
    assert len(left(tmp_path / "files")) == 1
    where = left(tmp_path / "files")[0]
    assert where.relative_to(tmp_path / "files").parts == (first.sha256[:2], first.sha256[2:4], first.sha256)
    assert where.stat().st_mode & 0o077 == 0
    for start, end in ((0, None), (10, 300_000), (699_999, None), (5, 5), (800_000, None)):
        assert b"".join(files.open_range(tmp_path / "files", first.sha256, start, end)) == content[start:end]
    assert files.size_of(tmp_path / "files", first.sha256) == 700_000
    files.remove(tmp_path / "files", first.sha256)
    with pytest.raises(NotFound):
        files.open_range(tmp_path / "files", first.sha256)


@pytest.mark.parametrize(
    ("head", "name", "media_type"),
    [
        (b"<svg onload=alert(1)>", "a.png", "application/octet-stream"),
        (b"\xef\xbb\xbf <!doctype html>", "a.txt", "application/octet-stream"),
        (b"<?xml version='1.0'?>", "a.csv", "application/octet-stream"),
        (b"MZ\x90\x00", "a.pdf", "application/octet-stream"),
        (b"", "a.txt", "application/octet-stream"),
        (b"\x00\x01text", "a.txt", "application/octet-stream"),
        (b"RIFF\x00\x00\x00\x00AVI ", "a.webp", "application/octet-stream"),
        (b"\x89PNG\r\n\x1a\n\x00", "a.txt", "image/png"),
        (b"\xff\xd8\xff\xe0", "", "image/jpeg"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "", "image/webp"),
        (b"\x00\x00\x00\x18ftypavif", "", "image/avif"),
        (b"\x00\x00\x00\x18ftypheic", "", "image/heic"),
        (b"\x00\x00\x00\x18ftypisom", "", "video/mp4"),
        (b"%PDF-1.7", "", "application/pdf"),
        (b"PK\x03\x04....data", "a.docx", "application/zip"),
        (
            b"PK\x03\x04....mimetypeapplication/vnd.oasis.opendocument.textPK",
            "",
            "application/vnd.oasis.opendocument.text",
        ),
        ("prénom;nom".encode(), "gens.csv", "text/csv"),
        ("a < b, é".encode()[:-1], "a.html", "text/plain"),
    ],
)
def test_R1_what_a_file_is_shows_in_its_bytes_and_not_in_its_name(head: bytes, name: str, media_type: str) -> None:
    assert sniff(head, name) == media_type


def test_office_documents_are_known_by_what_is_in_them() -> None:
    head = b"PK\x03\x04 [Content_Types].xml PK\x03\x04 word/document.xml"
    assert sniff(head, "a.zip").endswith("wordprocessingml.document")
    assert sniff(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.xls") == "application/vnd.ms-excel"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\eve\\plan.pdf", "plan.pdf"),
        ("facture\u202efdp.exe", "facturefdp.exe"),
        (".htaccess", "htaccess"),
        ('a"\r\nSet-Cookie: x', "a_Set-Cookie_ x"),
        ("...", "fichier"),
        ("", "fichier"),
        ("Réunion du 3 mai.pdf", "Réunion du 3 mai.pdf"),
    ],
)
def test_H17_names_of_files_lead_nowhere_and_hide_nothing(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_long_name_keeps_its_ending_and_whole_letters() -> None:
    assert safe_name("é" * 300 + ".pdf").endswith("é.pdf") and len(safe_name("é" * 300 + ".pdf").encode()) <= 200


@pytest.mark.parametrize(
    "digest", ["", "z", "zQm", "z0", "u!!!", "f12", "b32", "z" + "1" * 44, "z" * 5000, "f1220é", "é"]
)
def test_a_digest_that_names_no_sha256_is_refused(digest: str) -> None:
    with pytest.raises(Invalid):
        sha256_of(digest)


def test_digests_are_written_and_read_as_multibase() -> None:
    """The multihash of nothing, as other software writes it."""
    nothing = hashlib.sha256(b"").hexdigest()
    assert digest_multibase(nothing) == "zQmdfTbBqBPQ7VNxZEYEj14VmRuZBkqFbiwReogJgS1zR1n"
    assert sha256_of(digest_multibase(nothing)) == nothing
    assert sha256_of("f1220" + nothing) == nothing
    assert sha256_of("uEiDjsMRCmPwcFJr79MiZb7kkJ65B5GSbk0yklZkbeFK4VQ") == nothing
