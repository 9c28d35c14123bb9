"""The one door for signed requests: which of the two schemes is it?"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from federation.errors import Malformed
from federation.signatures import cavage, messages
from federation.signatures.clock import ClockWindow
from federation.signatures.facts import SignatureFacts

__all__ = ["parse_request"]

DEFAULT_WINDOW = ClockWindow()


def parse_request(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: int,
    window: ClockWindow = DEFAULT_WINDOW,
    knows: Callable[[str], bool] | None = None,
) -> SignatureFacts:
    """RFC 9421 when there is a Signature-Input, else draft-cavage; never one after the other has failed.

    `url` is built from the configured base URL. `now` is in ms. `knows` says of a key id whether we hold
    its key; it decides only between several signatures. Raises Malformed (400) or Untrusted (401).
    """
    if "signature-input" not in headers:
        return cavage.parse(method, url, headers, body, now=now, window=window)
    if headers.get("authorization", "")[:10].lower() == "signature ":
        raise Malformed("The request carries two signatures.")
    return messages.parse(method, url, headers, body, now=now, window=window, knows=knows)
