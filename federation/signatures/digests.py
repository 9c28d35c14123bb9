"""Digests of bodies: `Content-Digest` (RFC 9530) and the older `Digest` (RFC 3230).

They are computed over the raw bytes that arrived, before anything reads them. Every digest we know must match
and at least one must be known: a header that says two things is not half true.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping

from federation.errors import Malformed, Untrusted
from federation.signatures.structured import read_dictionary, refuse_duplicate

__all__ = [
    "check_content_digest",
    "check_digest",
    "check_present_digests",
    "content_digest",
    "digest",
]

_KNOWN: dict[str, Callable[[bytes], bytes]] = {
    "sha-256": lambda body: hashlib.sha256(body).digest(),
    "sha-512": lambda body: hashlib.sha512(body).digest(),
}


def content_digest(body: bytes) -> str:
    """`sha-256=:…:` for the Content-Digest header."""
    return f"sha-256=:{_sha256_base64(body)}:"


def digest(body: bytes) -> str:
    """`SHA-256=…` for the Digest header."""
    return f"SHA-256={_sha256_base64(body)}"


def _sha256_base64(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode("ascii")


def check_present_digests(headers: Mapping[str, str], body: bytes) -> None:
    """Checks each digest header there is. Raises Malformed or Untrusted."""
    if "digest" in headers:
        check_digest(headers["digest"], body)
    if "content-digest" in headers:
        check_content_digest(headers["content-digest"], body)


def check_content_digest(header: str, body: bytes) -> None:
    """Raises Malformed when unreadable, Untrusted when the body does not fit (RFC 9530 §2)."""
    if header == content_digest(body):
        return  # what nearly everybody writes, without the cost of reading a structured field
    stated: dict[str, bytes] = {}
    for name, (value, _) in read_dictionary(header, "Content-Digest").items():
        if not isinstance(value, bytes):
            raise Malformed("A Content-Digest value is not a byte sequence.")
        stated[name] = value
    _compare(stated, body)


def check_digest(header: str, body: bytes) -> None:
    """Raises Malformed when unreadable, Untrusted when the body does not fit (RFC 3230 §4.3)."""
    stated: dict[str, bytes] = {}
    for member in header.split(","):
        name, _, value = member.strip().partition("=")
        if name.lower() in stated:
            refuse_duplicate(name, "digest")
        stated[name.lower()] = _from_base64(value) if name.lower() in _KNOWN else b""
    _compare(stated, body)


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("The Digest header is not base64.", str(error)) from None


def _compare(stated: Mapping[str, bytes], body: bytes) -> None:
    known = [name for name in stated if name in _KNOWN]
    if not known:
        raise Untrusted("The body carries no digest that is understood here: use sha-256.")
    for name in known:
        if _KNOWN[name](body) != stated[name]:
            raise Untrusted("The digest does not match the body.", name)
