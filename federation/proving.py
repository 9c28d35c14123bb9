"""Object proofs on what is relayed: made for our people's words in spaces elsewhere, checked on a third's.

A space's host relays the activity of a member exactly as it came (FEP-1b12). Its own people it may speak for;
for people of a third instance the proof of the author counts (FEP-8b32), with a key that the author's own origin
publishes, and nothing else (K11, RR3).
"""

from collections.abc import Iterable
from typing import Any

from federation.documents.activities import Message
from federation.errors import FederationError
from federation.instance import Instance
from federation.keyring import private_key
from federation.signatures.clock import ClockWindow
from federation.signatures.keys import public_key_from_multikey
from federation.signatures.proofs import check_proof, parse_proof, with_proof
from server.clock import APART_MS, now_ms

APART = ClockWindow(future_ms=APART_MS)
"""A proof is read by many, so it cannot be dated by the clock of each: that of its author may be as far ahead as is
followed elsewhere (D9).
"""


async def proved(instance: Instance, message: Message) -> dict[str, Any]:
    """The document, with its author's proof where it should carry one."""
    if not message.proved_by:
        return message.document
    key = await private_key(instance, message.proved_by, "ed25519")
    return with_proof(message.document, key, now_ms())


def holds(
    document: dict[str, Any],
    author: str,
    keys: Iterable[tuple[str, str, str, str]],
    as_came: dict[str, Any] | None = None,
) -> bool:
    """Whether a document carries its author's proof, made with one of the keys that the author publishes.

    `as_came`: what was signed, when the document names somebody who moved meanwhile by where they are now.
    """
    try:
        facts = parse_proof(document if as_came is None else as_came, now=now_ms(), window=APART)
        named = facts if as_came is None or as_came is document else parse_proof(document, now=now_ms(), window=APART)
        if facts is None or named is None:
            return False
        for key_id, owner, kind, value in keys:
            if key_id == named.key_id and owner == author and kind == "multikey":
                check_proof(facts, public_key_from_multikey(facts.key_id, facts.key_id.partition("#")[0], value))
                return True
    except FederationError:
        return False
    return False
