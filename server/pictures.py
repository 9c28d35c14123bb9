"""Pictures on their way in: what a camera wrote into ours is taken out, and each gets a small one beside it.

The small one is made once, when the picture comes, and not when it is first asked for: then whoever takes a picture
back knows that none can appear afterwards, and a reader never waits for a decoder. It is drawn by a process of its own
(`server/shrinking.py`); what that process cannot draw in its time and memory has no small picture, and is a link.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import anyio.from_thread
import anyio.to_thread

from server import files
from server.camera_metadata import CLEANED, pieces_without_metadata
from server.errors import NotFound
from server.files import CHUNK_BYTES, Arriving, Stored
from server.media_types import sniff

SMALL_TYPE = "image/webp"
DRAWN = {
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "image/webp": "WEBP",
    "image/gif": "GIF",
    "image/avif": "AVIF",
}
"""Media types that a small picture can be made of, and what the decoder calls them."""
SECONDS = 15
"""For one picture, waiting included; the process itself gives up sooner."""
AT_ONCE = 2
_SMALL_BYTES = 1024 * 1024
_DRAWER = Path(__file__).with_name("shrinking.py")
_SIZES = re.compile(rb"([1-9]\d{0,6}) ([1-9]\d{0,6})")
_drawers = anyio.CapacityLimiter(AT_ONCE)


Coming = Callable[[str], Coroutine[Any, Any, None]]
"""Told the SHA-256 of bytes before they get their name."""


async def bring_in(folder: Path, source: BinaryIO, limit: int, coming: Coming) -> Stored:
    """Keeps a file of our own people, of at most `limit` bytes: a picture without its metadata, and with a small one.

    Raises TooLarge or Unavailable; nothing stays behind then.
    """
    return await with_small(folder, await anyio.to_thread.run_sync(_store, folder, source, limit, coming))


async def with_small(folder: Path, stored: Stored) -> Stored:
    """Draws the small picture of a file that is kept, if it is a picture. Raises Unavailable when the disk is full."""
    kind = DRAWN.get(sniff(stored.head))
    if kind is None:
        return stored
    return await anyio.to_thread.run_sync(_draw, folder, stored, kind, limiter=_drawers)


def _store(folder: Path, source: BinaryIO, limit: int, coming: Coming) -> Stored:
    with Arriving(folder, limit) as arriving:
        while piece := source.read(CHUNK_BYTES):
            arriving.write(piece)
        media_type = sniff(arriving.head)
        return (
            _cleaned(folder, arriving, media_type, limit, coming) if media_type in CLEANED else _keep(arriving, coming)
        )


def _keep(arriving: Arriving, coming: Coming) -> Stored:
    anyio.from_thread.run(coming, arriving.sha256)
    return arriving.keep()


def _cleaned(folder: Path, arriving: Arriving, media_type: str, limit: int, coming: Coming) -> Stored:
    with arriving.read() as data:
        pieces = pieces_without_metadata(data, media_type)
        if pieces == [(0, len(data))]:
            return _keep(arriving, coming)
        with Arriving(folder, limit) as clean:
            for piece in pieces:
                if isinstance(piece, bytes):
                    clean.write(piece)
                    continue
                for start in range(*piece, CHUNK_BYTES):
                    clean.write(data[start : min(start + CHUNK_BYTES, piece[1])])
            return _keep(clean, coming)


def _draw(folder: Path, stored: Stored, kind: str) -> Stored:
    try:
        opened = files.whole(folder, stored.sha256)
    except NotFound:
        return stored  # taken away meanwhile, which whoever claims it is told
    with Arriving(folder, _SMALL_BYTES) as small, opened as whole:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-W", "ignore", str(_DRAWER), kind],
                stdin=whole,
                stdout=small.file,
                stderr=subprocess.PIPE,
                env={},
                timeout=SECONDS,
            )
        except subprocess.TimeoutExpired:
            return stored
        sizes = _SIZES.fullmatch(done.stderr)
        if done.returncode or sizes is None:
            return stored
        small.keep_beside(stored.sha256)
    return replace(stored, width=int(sizes[1]), height=int(sizes[2]))
