"""What an answer from another instance must be before anybody reads it: its size, status and media type.

No answer is believed for having arrived. That its words may be believed is said elsewhere, by who signed them
and where they came from.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from email.message import Message

import httpx

from federation.errors import Gone, Malformed, Refused, Unreachable

_GZIP_FRAME = 1024
"""Bytes that a packed body may be longer than what it unpacks to."""


@dataclass(frozen=True, slots=True)
class Accept:
    """What is asked for, and the media types that are taken for it."""

    header: str
    media_types: frozenset[str]


ACTIVITY_STREAMS = "https://www.w3.org/ns/activitystreams"
ACTIVITY = Accept(
    f'application/activity+json, application/ld+json; profile="{ACTIVITY_STREAMS}"',
    frozenset({"application/activity+json", "application/ld+json"}),
)
"""An object or actor (ActivityPub §3.2); ld+json counts only with the profile (O2–O4)."""
WEBFINGER = Accept("application/jrd+json, application/json", frozenset({"application/jrd+json", "application/json"}))
"""RFC 7033 §10.2, and what much software answers instead."""
NODEINFO = Accept("application/json", frozenset({"application/json"}))


@dataclass(frozen=True, slots=True)
class Document:
    """A document that came with a right media type. Nothing says yet that its words may be believed."""

    url: str
    """What was asked for."""
    final_url: str
    """What answered, after redirects: where the document's id must be (O1, O21)."""
    crossed: bool
    """Whether a redirect led to another scheme, host or port."""
    media_type: str
    body: bytes


class RefusedThere(Refused):
    """The other instance said no; `answered` is its HTTP status, `url` what was asked for."""

    def __init__(self, answered: int, url: str) -> None:
        super().__init__("The other instance refused.", f"{answered} from {url}")
        self.answered, self.url = answered, url


async def read_body(chunks: AsyncIterator[bytes], coding: str, limit: int, *, cut: bool = False) -> bytes:
    """The body, unpacked, and never more of it in memory than `limit` bytes and one chunk (R2).

    Only gzip is ever asked for, so nothing else is unpacked. Raises Malformed when the body is longer (with
    `cut` its beginning is kept instead), packed otherwise, or cannot be unpacked.
    """
    unpack = _unpacker(coding.strip().lower())
    body, received = bytearray(), 0
    async for chunk in chunks:
        received += len(chunk)
        body += unpack(chunk, limit + 1 - len(body))
        if len(body) > limit or received > limit + _GZIP_FRAME:
            if not cut:
                raise too_long(f"over {limit} bytes")
            break
    return bytes(body[:limit])


def too_long(detail: str) -> Malformed:
    return Malformed("The other instance answered more than is read.", detail)


def _unpacker(coding: str) -> Callable[[bytes, int], bytes]:
    """(chunk, most bytes to give) → bytes."""
    if coding in ("", "identity"):
        return lambda chunk, most: chunk
    if coding not in ("gzip", "x-gzip"):
        raise Malformed("The other instance packed its answer in a way that was not asked for.", coding[:80])
    inflater = zlib.decompressobj(wbits=31)

    def unpack(chunk: bytes, most: int) -> bytes:
        try:
            return inflater.decompress(chunk, most)
        except zlib.error as error:
            raise Malformed("The other instance's packed answer cannot be unpacked.", str(error)) from None

    return unpack


def check_status(status: int, url: str) -> None:
    """Nothing for 200. Raises Gone (410), Unreachable (429, 5xx), RefusedThere (4xx), Malformed (others)."""
    if status == 410:
        raise Gone("It is gone from the other instance.", url)
    if status == 429 or status >= 500:
        raise Unreachable("The other instance cannot answer now.", f"{status} from {url}")
    if status >= 400:
        raise RefusedThere(status, url)
    if status != 200:
        raise Malformed("The other instance answered with a status that was not expected.", f"{status} from {url}")


def check_media_type(answer: httpx.Response, accept: Accept) -> str:
    """The media type, if it is one that was asked for: a file that somebody uploaded is none (O2–O4)."""
    stated = answer.headers.get_list("content-type")
    message = Message()
    message["content-type"] = stated[0] if len(stated) == 1 else "text/plain"
    media_type = message.get_content_type()
    profile, charset = message.get_param("profile", ""), message.get_param("charset", "utf-8")
    right = media_type in accept.media_types and str(charset).lower() in ("utf-8", "utf8")
    if media_type == "application/ld+json":
        right = right and isinstance(profile, str) and ACTIVITY_STREAMS in profile.split()
    if not right:
        raise Malformed("The other instance answered with another media type.", f"{stated!r} from {answer.url}")
    return media_type
