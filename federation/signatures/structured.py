"""Structured fields (RFC 9651), read so that they mean one thing."""

from __future__ import annotations

from typing import Any, cast

import http_sf

from federation.errors import Malformed

__all__ = ["Members", "read_dictionary", "refuse_duplicate"]

Members = dict[str, tuple[Any, dict[str, Any]]]


def refuse_duplicate(name: str, context: str) -> None:
    """Raises Malformed: two values under one name are read differently by different software (O22)."""
    raise Malformed("A signature or digest header states the same name twice.", f"{context} {name!r}")


def read_dictionary(header: str, name: str) -> Members:
    """Name → (value, parameters). Raises Malformed, also when a name or a parameter comes twice."""
    try:
        members = http_sf.parse(header.encode(), tltype="dictionary", on_duplicate_key=refuse_duplicate)
    except http_sf.StructuredFieldError as error:
        raise Malformed(f"The {name} header cannot be read.", str(error)) from None
    return cast(Members, members)
