"""What a signed request states, once read; and whether a key bears it out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from federation.errors import Untrusted
from federation.signatures.keys import Algorithm, HashName, PublicKey

__all__ = ["Attempts", "SignatureFacts", "check"]

Attempts = Mapping[Algorithm, tuple[HashName, ...]]


@dataclass(frozen=True, slots=True)
class SignatureFacts:
    """A signature that is complete, in time and over the right parts; not yet known to be true.

    `algorithm` is the label the sender wrote, if any: it can only narrow what the key's own type allows.
    `created` is in milliseconds since 1970. `nonce` (RFC 9421 only) and `signature` are what a replay
    cache is keyed by. `tag` says for which application it was made (RFC 9421 only).
    """

    key_id: str
    algorithm: str | None
    covered: tuple[str, ...]
    created: int
    nonce: str | None
    scheme: Literal["cavage", "rfc9421"]
    signature: bytes = field(repr=False)
    bases: tuple[bytes, ...] = field(repr=False)
    attempts: Attempts = field(repr=False)
    tag: str | None = None


def check(facts: SignatureFacts, key: PublicKey) -> None:
    """Returns when `key` made the signature; raises Untrusted otherwise (advisories S10, O8)."""
    if key.key_id != facts.key_id:
        raise Untrusted("The signature names another key.", f"{facts.key_id} is not {key.key_id}")
    hash_names = facts.attempts.get(key.algorithm, ())
    if not hash_names:
        raise Untrusted("The signature names an algorithm that its key is not made for.", str(facts.algorithm))
    for hash_name in hash_names:
        for base in facts.bases:
            if key.verifies(base, facts.signature, hash_name):
                return
    raise Untrusted("The signature does not match.", facts.key_id)
