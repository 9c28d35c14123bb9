"""Pictures on their way in: nothing of the camera is left in ours, and drawing the small one harms nobody."""

import asyncio
import io
import itertools
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from server import camera_metadata, files, pictures
from server.camera_metadata import CLEANED, pieces_without_metadata
from server.files import Stored
from tests.counting import ends, instructions

LIMIT = 10_000_000
SECRET = b"Marie Durand, 48.8584 N 2.2945 E"
TURNED = 6  # a quarter to the right


def corner(width: int = 60, height: int = 40) -> Image.Image:
    """Red, with a green corner at the top left."""
    image = Image.new("RGB", (width, height), "red")
    ImageDraw.Draw(image).rectangle((0, 0, width // 3, height // 3), "lime")
    return image


def exif(orientation: int = 1) -> bytes:
    found = Image.Exif()
    found[0x0112], found[0x010F], found[0x013B] = orientation, SECRET.decode(), SECRET.decode()
    found.get_ifd(0x8825)[29] = SECRET.decode()
    return found.tobytes()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, said: bytes) -> bytes:
    return struct.pack(">I", len(said)) + kind + said + struct.pack(">I", zlib.crc32(kind + said))


def spoken() -> dict[str, bytes]:
    """Pictures with as much about their author as their formats have places for."""
    jpeg = saved(corner(), "JPEG", exif=exif(), comment=SECRET, xmp=SECRET, progressive=True, quality=90)
    iptc = b"\xff\xed" + struct.pack(">H", len(SECRET) + 2) + SECRET
    late = jpeg.rindex(b"\xff\xda")  # a note between two scans, and one behind the end
    png = saved(corner(), "PNG")
    texts = chunk(b"tEXt", b"Author\0" + SECRET) + chunk(b"eXIf", exif().removeprefix(b"Exif\0\0"))
    texts += (
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + SECRET) + chunk(b"quOi", SECRET) + chunk(b"tIME", SECRET[:7])
    )
    avif = saved(corner(), "AVIF", exif=exif(TURNED), xmp=SECRET + b"!")
    return {
        "image/jpeg": jpeg[:20] + iptc + jpeg[20:late] + b"\xff\xfe" + iptc[2:] + jpeg[late:] + SECRET,
        "image/png": png[:33] + texts + png[33:] + SECRET,
        "image/webp": saved(corner(), "WEBP", exif=exif(), xmp=SECRET) + SECRET,
        "image/gif": saved(corner(), "GIF", comment=SECRET) + SECRET,
        "image/avif": avif,
        "image/heic": avif,  # no library here writes one: the same boxes
    }


def cleaned(data: bytes, media_type: str) -> bytes:
    pieces = pieces_without_metadata(data, media_type)
    return b"".join(piece if isinstance(piece, bytes) else data[slice(*piece)] for piece in pieces)


@pytest.mark.parametrize("media_type", sorted(CLEANED))
def test_nothing_of_the_camera_is_left_and_every_pixel_is(media_type: str) -> None:
    said = spoken()[media_type]
    left = cleaned(said, media_type)
    assert SECRET in said and SECRET not in left and SECRET[:7] not in left
    with Image.open(io.BytesIO(said)) as before, Image.open(io.BytesIO(left)) as after:
        assert before.convert("RGB").tobytes() == after.convert("RGB").tobytes()
        assert set(after.getexif()) <= {0x0112} and not after.info.get("xmp", b"").strip(b" ")
    assert cleaned(left, media_type) == left, "what has nothing to take out stays as it is"


@pytest.mark.parametrize(("media_type", "kind"), [("image/jpeg", "JPEG"), ("image/png", "PNG"), ("image/webp", "WEBP")])
def test_which_way_is_up_is_kept_and_the_colours_are(media_type: str, kind: str) -> None:
    profile = Image.open(io.BytesIO(saved(corner(), "PNG"))).info.get("icc_profile") or b"\0" * 200
    left = cleaned(saved(corner(), kind, exif=exif(TURNED), icc_profile=profile), media_type)
    with Image.open(io.BytesIO(left)) as after:
        assert dict(after.getexif()) == {0x0112: TURNED}
        assert after.info["icc_profile"] == profile


@given(data=st.binary(max_size=300), media_type=st.sampled_from(sorted(CLEANED)), cut=st.integers(0, 2000))
@settings(max_examples=150, deadline=None)
def test_what_is_broken_is_read_to_its_end_and_no_further(data: bytes, media_type: str, cut: int) -> None:
    whole = spoken()[media_type]
    for odd in (whole[:20] + data, whole[:cut], whole[:cut] + data + whole[cut:]):
        left = cleaned(odd, media_type)
        assert cleaned(left, media_type) == left and len(left) <= len(odd) + 100


async def brought(folder: Path, data: bytes) -> Stored:
    async def coming(_: str) -> None:
        """Nobody has to remember it."""

    return await pictures.bring_in(folder, io.BytesIO(data), LIMIT, coming)


def small_of(folder: Path, stored: Stored) -> bytes:
    return b"".join(files.open_range(folder, stored.sha256, small=True))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def animated(frames: int) -> bytes:
    one = saved(Image.new("P", (4, 4)), "GIF")
    start = one.index(b",", 13)
    return one[:start] + one[start:-1] * frames + b";"


def bomb() -> bytes:
    """A PNG of 50,000 × 50,000 pixels, or of the first of its lines."""
    packed = zlib.compress(b"\0" * 6251 * 100)
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def box(kind: bytes, said: bytes) -> bytes:
    return struct.pack(">I", len(said) + 8) + kind + said


def test_R3_parts_without_number_are_not_all_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(camera_metadata, "MOST_PARTS", 3)
    picture = b"RIFF\xff\0\0\0WEBP" + b"ANMF\0\0\0\0" * 10
    assert cleaned(picture, "image/webp").count(b"ANMF") == 3


def test_R3_pieces_that_take_no_room_cost_no_time() -> None:
    """Ten thousand items of ten thousand pieces each, in a file of 80 kB: without a bound all of memory."""
    item = struct.pack(">HHH", 1, 0, 10_000)
    places = box(b"iloc", b"\0\0\0\0" + b"\0\0" + struct.pack(">H", 10_000) + item * 10_000)
    kinds = box(b"iinf", b"\0\0\0\0\0\1" + box(b"infe", b"\2\0\0\0\0\1\0\0Exif\0"))
    picture = box(b"ftyp", b"avif") + box(b"meta", b"\0\0\0\0" + kinds + places)
    with ends():
        assert cleaned(picture, "image/avif") == picture
    assert instructions(lambda: cleaned(picture, "image/avif")) < 100 * len(picture)


@pytest.mark.anyio
async def test_a_picture_that_cannot_be_drawn_has_no_small_one_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "SECONDS", None)  # the kernel's bounds alone end them
    large = saved(Image.new("1", (9000, 5000)), "PNG")
    odd = [
        bomb(),
        large,
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR?",
        saved(corner(), "JPEG")[:200],
        b"GIF89a",
        b"RIFF\x04\0\0\0WEBP",
    ]
    kept = await asyncio.gather(*(brought(tmp_path, data) for data in odd))
    assert [stored.width for stored in kept] == [0] * len(odd)
    assert left(tmp_path) == sorted(stored.sha256 for stored in kept)


@pytest.mark.anyio
async def test_the_loop_goes_on_while_a_picture_is_drawn_and_of_an_animation_the_first_is(tmp_path: Path) -> None:
    ticks = itertools.count()

    async def tick() -> None:
        while True:
            next(ticks)
            await asyncio.sleep(0.001)

    ticking = asyncio.create_task(tick())
    stored = await brought(tmp_path, animated(10_000))
    ticking.cancel()
    assert (stored.width, stored.height) == (4, 4) and next(ticks) > 10
    with Image.open(io.BytesIO(small_of(tmp_path, stored))) as small:
        assert (small.format, getattr(small, "n_frames", 1)) == ("WEBP", 1)


@pytest.mark.anyio
async def test_the_small_picture_is_upright_bounded_and_says_nothing_and_goes_with_the_file(tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (900, 600), random.Random(1).randbytes(900 * 600 * 3))
    noise.paste(corner(900, 600))
    sent = saved(noise, "JPEG", exif=exif(TURNED), comment=SECRET, icc_profile=b"\0" * 200)
    stored = await brought(tmp_path, sent)
    assert (stored.width, stored.height) == (600, 900), "as it is shown"
    assert stored.size == files.size_of(tmp_path, stored.sha256) < len(sent)
    small = small_of(tmp_path, stored)
    assert [small[12:16], small.count(b"EXIF"), small.count(b"ICCP"), small.count(b"XMP ")] == [b"VP8 ", 0, 0, 0]
    with Image.open(io.BytesIO(small)) as seen:
        assert seen.size == (427, 640)
        red, green, _ = seen.convert("RGB").getpixel((420, 5))  # type: ignore[misc]
        assert green > red, "what was at the top left is at the top right"
    assert left(tmp_path) == sorted([stored.sha256, f"{stored.sha256}.small"])
    files.remove(tmp_path, stored.sha256)
    assert left(tmp_path) == []


@pytest.mark.anyio
async def test_what_comes_from_a_partner_keeps_its_bytes(tmp_path: Path) -> None:
    said = spoken()["image/png"]
    stored = await pictures.with_small(tmp_path, files.store(tmp_path, io.BytesIO(said), LIMIT))
    assert b"".join(files.open_range(tmp_path, stored.sha256)) == said
    assert stored.width and SECRET not in small_of(tmp_path, stored)
