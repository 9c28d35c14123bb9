"""The words of a recall, on both of its sides: what is taken back, what may be kept, how an instance stands to it."""

import hashlib
from collections.abc import Iterable
from enum import StrEnum


class RecallScope(StrEnum):
    """What a recall takes back. Of a member and of a partner: what their instance has of the space.

    A thread is only said by others: like items it is what is listed.
    """

    SPACE = "space"
    THREAD = "thread"
    ITEM = "item"
    MEMBER = "member"
    PARTNER = "partner"

    @property
    def whole(self) -> bool:
        """Whether everything of the space is meant, and not the listed items alone."""
        return self in (RecallScope.SPACE, RecallScope.MEMBER, RecallScope.PARTNER)


class Keep(StrEnum):
    """What an instance may keep: nothing, what its own people wrote there, what a law obliges it to hold."""

    NONE = "none"
    OWN_AUTHORED = "own-authored"
    LEGAL_HOLD = "legal-hold"


class TargetState(StrEnum):
    """How one instance stands to a recall."""

    WAITING = "waiting"
    SENT = "sent"
    UNREACHABLE = "unreachable"
    LATE = "late"  # the deadline passed without a receipt
    CONFIRMED = "confirmed"  # signed, and everything is gone
    PARTIAL = "partial"  # signed, and something is kept
    UNCONFIRMED = "sent-unconfirmed"  # no link: nobody can verify
    REFUSED = "refused"


OPEN = (TargetState.WAITING, TargetState.SENT, TargetState.UNREACHABLE, TargetState.LATE)
"""States that still wait for something."""


def root_of(uris: Iterable[str]) -> str:
    """SHA-256, in hex, of the ids in ascending order of their UTF-8 bytes, joined by line feeds."""
    return hashlib.sha256("\n".join(sorted(uris, key=str.encode)).encode()).hexdigest()
