"""The parts of a request's address that signatures cover: from the URL, never from Host (advisory S8)."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

__all__ = ["Target", "target_of"]

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
