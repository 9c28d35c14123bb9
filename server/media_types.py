"""What a file is, by its first bytes and never by what somebody says of it; names that any system takes; digests.

The list is short on purpose: what it does not know is application/octet-stream, which browsers only save.
Pages and drawings that could run (HTML, SVG, XML) are among the unknown.
"""

import base64
import binascii
import codecs
import re
import unicodedata
from pathlib import PurePosixPath

from server.errors import Invalid
from server.limits import FILE_NAME_BYTES

UNKNOWN = "application/octet-stream"

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\xff\xf3", "audio/mpeg"),
    (b"\x1a\x45\xdf\xa3", "video/webm"),
)
_OFFICE_FOLDERS = (
    (b"word/", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (b"xl/", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (b"ppt/", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_OPEN_DOCUMENT = re.compile(rb"application/vnd\.oasis\.opendocument\.(?:text|spreadsheet|presentation|graphics)(?=PK)")
_OLD_OFFICE = {
    ".doc": "application/msword",
    ".xls": "application/vnd.ms-excel",
    ".ppt": "application/vnd.ms-powerpoint",
    ".msg": "application/vnd.ms-outlook",
}
_TEXTS = {".csv": "text/csv", ".md": "text/markdown", ".ics": "text/calendar"}
_MIGHT_RUN = re.compile(rb"<\s*(?:[!?a-z])", re.IGNORECASE)
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_UNSAFE = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]')
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_SHA2_256 = b"\x12\x20"


def sniff(head: bytes, name: str = "") -> str:
    """The media type that the first bytes show. The name only chooses among kinds of the same bytes."""
    for start, media_type in _STARTS:
        if head.startswith(start):
            return media_type
    suffix = PurePosixPath(name.lower()).suffix
    if head.startswith(b"PK\x03\x04"):
        return _archive(head)
    if head.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"):
        return _OLD_OFFICE.get(suffix, UNKNOWN)
    if head[:4] == b"RIFF":
        return {b"WEBP": "image/webp", b"WAVE": "audio/wav"}.get(head[8:12], UNKNOWN)
    if head[4:8] == b"ftyp":
        return _container(head[8:12])
    return _TEXTS.get(suffix, "text/plain") if _is_text(head) else UNKNOWN


def safe_name(name: str, otherwise: str = "fichier") -> str:
    """A file's name as any system takes it: no folders, no control or direction marks, not hidden, not too long."""
    name = unicodedata.normalize("NFC", name.replace("\\", "/")).rpartition("/")[2]
    name = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cf", "Cs", "Co", "Cn"))
    name = re.sub(r"\s+", " ", _UNSAFE.sub("_", name)).strip(" .")
    path = PurePosixPath(name)
    suffix = path.suffix if len(path.suffix.encode()) <= 20 else ""
    stem = name[: len(name) - len(suffix)].encode()[: FILE_NAME_BYTES - len(suffix.encode())]
    return (stem.decode(errors="ignore").rstrip(" .") or otherwise) + suffix if name else otherwise


def digest_multibase(sha256: str) -> str:
    """`digestMultibase` of FEP-1311: a SHA2-256 multihash in base58btc, from a hash in hex."""
    number = int.from_bytes(_SHA2_256 + bytes.fromhex(sha256), "big")
    digits = ""
    while number:
        number, digit = divmod(number, 58)
        digits = _BASE58[digit] + digits
    return "z" + digits


def sha256_of(digest: str) -> str:
    """The hash in hex that a `digestMultibase` names: base58btc, base64url or base16. Raises Invalid."""
    try:
        raw = _multibase(digest)
    except (ValueError, OverflowError, binascii.Error):
        raise Invalid(field="digestMultibase", detail="not in a base we know") from None
    if len(raw) != 34 or not raw.startswith(_SHA2_256):
        raise Invalid(field="digestMultibase", detail="not a SHA2-256 multihash")
    return raw[2:].hex()


def _multibase(digest: str) -> bytes:
    base, text = digest[:1], digest[1:]
    if len(digest) > 100:
        raise ValueError("longer than any SHA2-256")
    if base == "z":
        number = 0
        for letter in text:
            number = number * 58 + _BASE58.index(letter)
        return number.to_bytes(34, "big")
    if base == "u":
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if base == "f":
        return bytes.fromhex(text)
    raise ValueError("another base")


def _archive(head: bytes) -> str:
    if found := _OPEN_DOCUMENT.search(head[:200]):
        return found[0].decode()
    if b"[Content_Types].xml" in head:
        for folder, media_type in _OFFICE_FOLDERS:
            if folder in head:
                return media_type
    return "application/zip"


def _container(brand: bytes) -> str:
    """ISO base media files (ISO/IEC 14496-12) say their brand first."""
    if brand in (b"avif", b"avis"):
        return "image/avif"
    if brand in (b"heic", b"heix", b"heim", b"heis", b"mif1"):
        return "image/heic"  # what telephones take; kept without its notes, and not shown
    if brand == b"M4A ":
        return "audio/mp4"
    return "video/quicktime" if brand == b"qt  " else "video/mp4"


def _is_text(head: bytes) -> bool:
    if not head or _BINARY.search(head) or _MIGHT_RUN.match(head.lstrip(b"\xef\xbb\xbf \t\r\n")):
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)  # the last letter may be cut in two
    except UnicodeDecodeError:
        return False
    return True
