"""The parts of a request that signatures cover: from the URL, never from Host (advisory S8)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from federation.errors import Malformed, Untrusted

__all__ = ["Target", "as_base", "header_value", "needs_digest", "target_of"]

_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


class Target(NamedTuple):
    """`authority` is lower-case and without a default port; `query` starts with `?` or is empty."""

    scheme: str
    authority: str
    path: str
    query: str


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    parts = urlsplit(url)
    authority = parts.netloc.lower().removesuffix(_DEFAULT_PORTS.get(parts.scheme, "\0"))
    query = f"?{parts.query}" if "?" in url else ""
    return Target(parts.scheme, authority, parts.path or "/", query)


def header_value(headers: Mapping[str, str], name: str) -> str:
    """A covered header, trimmed. Raises Untrusted when it is missing, Malformed when it breaks the line."""
    if name not in headers:
        raise Untrusted("A header that is said to be signed is missing.", name)
    value = headers[name].strip(" \t")
    if "\n" in value or "\r" in value:
        raise Malformed("A signed header contains a line break.", name)
    return value


def as_base(text: str) -> bytes:
    """The bytes that are signed. Raises Malformed beyond ASCII, which software encodes in several ways."""
    try:
        return text.encode("ascii")
    except UnicodeEncodeError as error:
        raise Malformed("A signed header is not ASCII.", str(error)) from None


def needs_digest(method: str, body: bytes) -> bool:
    """A POST must say what its body is, even an empty one; so must anything that carries a body."""
    return bool(body) or method.upper() == "POST"
