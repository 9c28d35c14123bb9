"""What goes wrong between instances, as values that a door can answer with.

    FederationError
    ├── Untrusted     who speaks is not proved: signature, digest, clock, key      401
    ├── Malformed     it cannot be read in one way only: header, JSON, key         400
    ├── Unreachable   the other instance did not answer, or not in time            502
    ├── Refused       understood, and the answer is no                             403
    └── Gone          it was there and will not come back                          410

`sentence` is one line that may be told to the other side: it never quotes what was received and never says
what we hold. `detail` is for our log only; `rule` is the word under which an administrator finds it counted.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = ["FederationError", "Gone", "Malformed", "Refused", "Unreachable", "Untrusted"]


class FederationError(Exception):
    """Any failure between instances; `status` is the HTTP status that says it to the other side."""

    default_status: ClassVar[int] = 500

    def __init__(self, sentence: str, detail: str = "", *, status: int | None = None, rule: str = "") -> None:
        super().__init__(sentence)
        self.rule = rule
        self.sentence = sentence
        self.detail = detail
        self.status = self.default_status if status is None else status

    def __str__(self) -> str:
        return f"{self.sentence} ({self.detail})" if self.detail else self.sentence


class Untrusted(FederationError):
    """Who speaks is not proved."""

    default_status = 401


class Malformed(FederationError):
    """What was received cannot be read, or could be read in two ways."""

    default_status = 400


class Unreachable(FederationError):
    """The other instance did not answer, or not in time."""

    default_status = 502


class Refused(FederationError):
    """The request was understood and the answer is no."""

    default_status = 403


class NobodyHere(Refused):
    """A space's host tells an instance of which nobody is in the space."""


class Gone(FederationError):
    """What was asked for was there and will not come back."""

    default_status = 410
