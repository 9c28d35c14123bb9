"""Pictures without what a camera or a program wrote into them: who, where, when, with which device.

Pixels are not touched: what holds them is kept byte for byte, with the colours' profile and which way is up. What no
decoder reads (behind the end, between the parts) goes, too. Formats: JPEG (ITU-T T.81), PNG, WebP, GIF89a; AVIF and
HEIC (ISO/IEC 23008-12), where everything is found by its place, so that notes are written over.
"""

import re
import zlib
from collections.abc import Callable, Iterator
from mmap import mmap
from struct import Struct

Data = bytes | mmap
Piece = tuple[int, int] | bytes
"""A span of the picture as it came, from where up to and without where; or bytes that take the place of one."""

MOST_PARTS = 1_000_000
_UPRIGHT = 1
_ORIENTATION = 0x0112


def pieces_without_metadata(data: Data, media_type: str) -> list[Piece]:
    """What of a picture is kept, in order; a single span of everything when there is nothing to take out."""
    walk = _WALKS.get(media_type)
    whole: list[Piece] = [(0, len(data))]
    if walk is None:
        return whole
    kept = _joined(walk(data))
    return whole if kept == [(0, len(data))] else kept


def _joined(pieces: Iterator[Piece]) -> list[Piece]:
    found: list[Piece] = []
    for number, piece in enumerate(pieces):
        last = found[-1] if found else None
        if isinstance(last, tuple) and isinstance(piece, tuple) and last[1] == piece[0]:
            found[-1] = (last[0], piece[1])
        else:
            found.append(piece)
        if number > MOST_PARTS:
            break
    return found


# --- which way is up ------------------------------------------------------------------------------


def _orientation(tiff: bytes) -> int:
    """1 to 8, from EXIF (which is a TIFF file); 1 for what cannot be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 8:
        return _UPRIGHT
    short, entry = Struct(order + "H"), Struct(order + "HHIH")
    at = Struct(order + "I").unpack_from(tiff, 4)[0]
    if at + 2 > len(tiff):
        return _UPRIGHT
    for number in range(min(short.unpack_from(tiff, at)[0], 200)):
        place = at + 2 + 12 * number
        if place + 12 > len(tiff):
            break
        tag, kind, _, value = entry.unpack_from(tiff, place)
        if tag == _ORIENTATION and kind == 3 and 1 <= value <= 8:
            return int(value)
    return _UPRIGHT


def _exif(orientation: int) -> bytes:
    """EXIF that says which way is up, and nothing else."""
    return b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"


# --- JPEG -----------------------------------------------------------------------------------------

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_SCAN_END = re.compile(rb"\xff+[^\x00\xff\xd0-\xd7]")
_ALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_DRAWING = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0)})
"""Frames, tables and scans. Everything else is a note for programs (APPn, COM) or not in use."""
_JFIF, _EXIF, _ICC, _ADOBE = b"JFIF\0", b"Exif\0\0", b"ICC_PROFILE\0", b"Adobe"


def _jpeg(data: Data) -> Iterator[Piece]:
    yield 0, 2
    at, turned = 2, False
    while found := _MARKER.search(data, at):
        marker, after = found[1][0], found.end()
        start, at = after - 2, after
        if marker == _END:
            yield start, after
            return
        if marker in _ALONE:
            yield start, after
        if marker in _ALONE or marker == _START:
            continue
        length = int.from_bytes(data[after : after + 2], "big")
        if length < 2:
            return
        at = min(after + length, len(data))
        if marker in _DRAWING or _is_colour(marker, data[after + 2 : after + 14]):
            yield start, at
        elif marker == 0xE0 and data[after + 2 : after + 7] == _JFIF and length >= 16:
            # without the little picture that it may hold, which shows what was cut off
            yield (start, at) if length == 16 else b"\xff\xe0\0\x10" + data[after + 2 : after + 14] + b"\0\0"
        elif marker == 0xE1 and data[after + 2 : after + 8] == _EXIF and not turned:
            orientation = _orientation(data[after + 8 : at])
            turned = orientation != _UPRIGHT
            if turned:
                said = _EXIF + _exif(orientation)
                yield b"\xff\xe1" + (len(said) + 2).to_bytes(2, "big") + said
        if marker == _SCAN:
            end = _SCAN_END.search(data, at)
            yield at, end.start() if end else len(data)
            at = end.start() if end else len(data)


def _is_colour(marker: int, head: bytes) -> bool:
    return (marker == 0xE2 and head == _ICC) or (marker == 0xEE and head.startswith(_ADOBE))


# --- PNG ------------------------------------------------------------------------------------------

_KEPT_CHUNKS = frozenset(
    b"tRNS gAMA cHRM sRGB iCCP cICP mDCV cLLI sBIT bKGD hIST pHYs sPLT acTL fcTL fdAT".split()
)  # beside the critical ones, which begin with a capital


def _png(data: Data) -> Iterator[Piece]:
    yield 0, 8
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if not kind.isalpha():
            return
        stop = min(at + 12 + length, len(data))
        if kind[:1].isupper() or kind in _KEPT_CHUNKS:
            yield at, stop
        elif kind == b"eXIf" and (orientation := _orientation(data[at + 8 : at + 8 + length])) != _UPRIGHT:
            said = b"eXIf" + _exif(orientation)
            yield (len(said) - 4).to_bytes(4, "big") + said + zlib.crc32(said).to_bytes(4, "big")
        if kind == b"IEND":
            return
        at = stop


# --- WebP -----------------------------------------------------------------------------------------

_FRAMES = frozenset({b"VP8 ", b"VP8L", b"VP8X", b"ANIM", b"ANMF", b"ALPH", b"ICCP"})
_HAS_EXIF, _HAS_XMP = 0x08, 0x04


def _webp(data: Data) -> Iterator[Piece]:
    end = min(8 + int.from_bytes(data[4:8], "little"), len(data))
    at, orientation, head, chunks, dropped = 12, _UPRIGHT, None, list[tuple[int, int]](), end < len(data)
    while at + 8 <= end:
        kind, length = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        stop = min(at + 8 + length + length % 2, end)
        if kind == b"VP8X" and length >= 10 and not chunks:
            head = (at, stop)
        elif kind in _FRAMES and len(chunks) < MOST_PARTS:
            chunks.append((at, stop))
        else:
            dropped = True
        if kind == b"EXIF":
            orientation = _orientation(data[at + 8 : at + 8 + length].removeprefix(_EXIF))
        at = stop
    if not dropped:
        yield 0, len(data)
        return
    parts: list[Piece] = list(chunks)
    if head is not None:
        turned = orientation != _UPRIGHT
        flags = data[head[0] + 8] & ~(_HAS_EXIF | _HAS_XMP) | (_HAS_EXIF if turned else 0)
        parts.insert(0, data[head[0] : head[0] + 8] + bytes([flags]) + data[head[0] + 9 : head[1]])
        if turned:
            said = _exif(orientation)
            parts.append(b"EXIF" + len(said).to_bytes(4, "little") + said)
    size = 4 + sum(len(part) if isinstance(part, bytes) else part[1] - part[0] for part in parts)
    yield b"RIFF" + size.to_bytes(4, "little") + b"WEBP"
    yield from parts


# --- GIF ------------------------------------------------------------------------------------------

_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")


def _gif(data: Data) -> Iterator[Piece]:
    at = 13 + _table(data[10:11])
    yield 0, min(at, len(data))
    while at < len(data):
        start, kind = at, data[at]
        if kind == 0x3B:
            yield at, at + 1
            return
        if kind == 0x2C:
            at = _blocks(data, at + 11 + _table(data[at + 9 : at + 10]))
            yield start, at
        elif kind == 0x21:
            label, loops = data[at + 1 : at + 2], data[at + 3 : at + 14] in _LOOPS
            at = _blocks(data, at + 2)
            if label in (b"\xf9", b"\x01") or (label == b"\xff" and loops):
                yield start, at
        else:
            return


def _table(flags: bytes) -> int:
    """Bytes of the table of colours that these flags announce."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


def _blocks(data: Data, at: int) -> int:
    """Where a row of blocks ends, each with its length before it."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))


# --- AVIF, HEIC -----------------------------------------------------------------------------------------

_NOTES = (b"Exif", b"mime", b"uri ")
_NO_EXIF = b"\0\0\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
"""Where it begins, and a TIFF file that says nothing."""
_MOST_BOXES = 10_000
Box = tuple[bytes, int, int]
"""What it is, and where its content begins and ends."""


def _heif(data: Data) -> Iterator[Piece]:
    at, over = 0, 0
    for kind, start, end in sorted(_notes(data), key=lambda note: note[1:]):
        if start < over:
            continue  # the same bytes stand for two notes
        over = end
        begin = _NO_EXIF if kind == b"Exif" and end - start >= len(_NO_EXIF) else b""
        silence = begin + (b"\0" if kind == b"Exif" else b" ") * (end - start - len(begin))
        if data[start:end] != silence:
            yield at, start
            yield silence
            at = end
    yield at, len(data)


def _notes(data: Data) -> Iterator[Box]:
    """The places of what is no picture: items that hold EXIF, XMP or anything else for programs."""
    meta = next((box for box in _boxes(data, 0, len(data)) if box[0] == b"meta"), None)
    if meta is None:
        return
    inside = {kind: (start, end) for kind, start, end in _boxes(data, meta[1] + 4, meta[2])}
    if b"iinf" not in inside or b"iloc" not in inside:
        return
    kinds = dict(_items(data, *inside[b"iinf"]))
    for item, start, length in _places(data, *inside[b"iloc"], inside.get(b"idat", (0, 0))[0]):
        if kinds.get(item) in _NOTES and start + length <= len(data):
            yield kinds[item], start, start + length


def _boxes(data: Data, at: int, end: int) -> Iterator[Box]:
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        size, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        stop = end if size == 0 else at + size
        if stop < start or stop > end:
            return
        yield kind, start, stop
        at = stop


def _items(data: Data, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """The kind of each item, by its number."""
    for kind, at, _ in _boxes(data, start + (8 if any(data[start : start + 1]) else 6), end):
        version = int.from_bytes(data[at : at + 1], "big")
        wide = 4 if version == 3 else 2
        if kind == b"infe" and version in (2, 3):
            number = int.from_bytes(data[at + 4 : at + 4 + wide], "big")
            yield number, data[at + 6 + wide : at + 10 + wide]


def _places(data: Data, start: int, end: int, inside: int) -> Iterator[tuple[int, int, int]]:
    """Each piece of each item: its number, where it begins, its length."""
    at = start + 4

    def number(wide: int) -> int:
        nonlocal at
        at += wide
        return int.from_bytes(data[at - wide : at], "big")

    version, sizes = int.from_bytes(data[start : start + 1], "big"), number(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    left = _MOST_BOXES  # pieces of all items: they may take no room, so the file's end does not bound them
    for _ in range(min(number(2 if version < 2 else 4), _MOST_BOXES)):
        item = number(2 if version < 2 else 4)
        method = number(2) & 15 if version else 0
        number(2)
        begin = number(base) + (inside if method == 1 else 0)
        for _ in range(number(2)):
            left -= 1
            number(index if version else 0)
            place = (item, begin + number(offset), number(length))
            if at > end or left < 0:
                return
            if method in (0, 1):
                yield place


_WALKS: dict[str, Callable[[Data], Iterator[Piece]]] = {
    "image/jpeg": _jpeg,
    "image/png": _png,
    "image/webp": _webp,
    "image/gif": _gif,
    "image/avif": _heif,
    "image/heic": _heif,
}
CLEANED = frozenset(_WALKS)
"""The pictures that nothing but the picture is kept of."""
