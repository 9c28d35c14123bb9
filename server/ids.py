"""Time-ordered ids, and every public address that this instance hands out."""

import os
import threading
from urllib.parse import quote, urlsplit

from server.clock import now_ms

EPOCH_MS = 1_704_067_200_000  # 2024-01-01
ID_BITS = 16
"""Bits of an id below its millisecond."""
LATE_MS = 60 * 60 * 1000
"""What is older when it comes is of the past: it has its place there, and is no news."""
_PROCESS = os.urandom(1)[0]
_lock = threading.Lock()
_last = 0
_last_at = 0


def new_id() -> int:
    """A positive 63-bit id: milliseconds since 2024, eight bits for this process, eight bits counting.

    Ids of one process only grow, even when the clock is set back.
    """
    global _last
    wanted = (now_ms() - EPOCH_MS) << ID_BITS | _PROCESS << 8
    with _lock:
        if wanted <= _last:
            step = _last + 1
            wanted = step if step & 0xFF else ((step >> 16) + 1) << ID_BITS | _PROCESS << 8
        _last = wanted
    return wanted


def id_at(ms: int) -> int:
    """An id as if it were made in that millisecond, or in the first there is: it stands among those of its time.

    Chance gives its last bits; of the same millisecond asked for again, the next one follows.
    """
    global _last_at
    first = first_id_at(max(ms, EPOCH_MS + 1))
    with _lock:
        follows = first <= _last_at < first + (1 << ID_BITS) - 1
        _last_at = _last_at + 1 if follows else first | int.from_bytes(os.urandom(2)) >> 1
        return _last_at


def born_ms(identifier: int) -> int:
    """When an id was made, in milliseconds since 1970."""
    return (identifier >> ID_BITS) + EPOCH_MS


def first_id_at(ms: int) -> int:
    """Ids made from this millisecond on are not below it."""
    return max(0, ms - EPOCH_MS) << ID_BITS


def host_of(address: str) -> str:
    """The authority (host, and port when it is not the scheme's own) of an address, in lower case."""
    return urlsplit(address).netloc.lower()


class Addresses:
    """Every address of this instance, built from the configured base address and from nothing else."""

    def __init__(self, base_url: str) -> None:
        self.base = base_url.rstrip("/")
        self.host = host_of(self.base)

    @property
    def instance(self) -> str:
        return f"{self.base}/actor"

    @property
    def shared_inbox(self) -> str:
        return f"{self.base}/inbox"

    @property
    def peering(self) -> str:
        return f"{self.base}/peering"

    def person(self, name: str) -> str:
        return f"{self.base}/@{name}"

    def sign_in_link(self, secret: str) -> str:
        """What signs somebody in once, by the secret that `new_sign_in_link` gave."""
        return f"{self.base}/login/{secret}"

    def space(self, slug: str) -> str:
        return f"{self.base}/spaces/{slug}"

    def members(self, slug: str) -> str:
        return f"{self.space(slug)}/members"

    def post(self, post_id: int) -> str:
        return f"{self.base}/posts/{post_id}"

    def activity(self, event_id: int) -> str:
        return f"{self.base}/activities/{event_id}"

    def media(self, attachment_id: int, name: str) -> str:
        return f"{self.base}/media/{attachment_id}/{quote(name, safe='')}"

    def small(self, attachment_id: int) -> str:
        """The small picture of a file."""
        return f"{self.base}/small/{attachment_id}"

    def is_ours(self, address: str) -> bool:
        """Whether an address stands on this instance: same scheme, host and port (FEP-fe34 origin)."""
        return address == self.base or address.startswith(f"{self.base}/")

    def path(self, address: str) -> str:
        """The path of one of our own addresses, without query and fragment."""
        return urlsplit(address).path
