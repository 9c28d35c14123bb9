"""Object proofs: FEP-8b32 with the cryptosuite `eddsa-jcs-2022` (W3C vc-di-eddsa §3.3).

The proof is over the document as parsed by `json_reading.parse_json`, in its canonical form (RFC 8785),
without `proof` and without an old RsaSignature2017 `signature`, which we neither make nor believe (advisories
S2, S3, S7). Documents are never changed: what comes back is a new one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import rfc8785

from federation.errors import Malformed, Untrusted
from federation.signatures.clock import ClockWindow
from federation.signatures.keys import PrivateKey, PublicKey
from federation.signatures.multibase import decode_multibase, encode_multibase

__all__ = ["ProofFacts", "check_proof", "make_proof", "parse_proof", "with_proof"]

TYPE = "DataIntegrityProof"
CRYPTOSUITE = "eddsa-jcs-2022"
PURPOSE = "assertionMethod"

EXACT = 1 << 53
"""Above every whole number that JSON readers keep exactly."""

_UNSIGNED = ("proof", "signature")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class ProofFacts:
    """A proof that is complete and of the kind we take; not yet known to be true. `created` is in ms."""

    key_id: str
    created: int
    signature: bytes = field(repr=False)
    base: bytes = field(repr=False)


def make_proof(document: Mapping[str, Any], key: PrivateKey, now: int) -> dict[str, Any]:
    """The proof object for `document`; `now` in ms. Raises ValueError unless `key` is Ed25519."""
    if key.algorithm != "ed25519":
        raise ValueError("object proofs are made with Ed25519 keys")
    options: dict[str, Any] = {
        "type": TYPE,
        "cryptosuite": CRYPTOSUITE,
        "verificationMethod": key.key_id,
        "proofPurpose": PURPOSE,
        "created": datetime.fromtimestamp(now // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    if "@context" in document:
        options = {"@context": document["@context"], **options}
    return {**options, "proofValue": encode_multibase(key.sign(_base(document, options)))}


def with_proof(document: Mapping[str, Any], key: PrivateKey, now: int) -> dict[str, Any]:
    """A copy of `document` with its proof; an older proof or signature is left out."""
    bare = {name: value for name, value in document.items() if name not in _UNSIGNED}
    return {**bare, "proof": make_proof(bare, key, now)}


def parse_proof(document: Mapping[str, Any], *, now: int, window: ClockWindow | None = None) -> ProofFacts | None:
    """What the proof of `document` states, or None when it carries none; `now` in ms.

    A proof may be old; it may not be from the future, expired, of another kind or for another purpose.
    Raises Untrusted for those, Malformed when it cannot be read.
    """
    if "proof" not in document:
        return None
    proof = document["proof"]
    if not isinstance(proof, dict):
        raise Malformed("The proof is not one object.")
    for name, expected in (("type", TYPE), ("cryptosuite", CRYPTOSUITE), ("proofPurpose", PURPOSE)):
        if proof.get(name) != expected:
            raise Untrusted("The proof is not an eddsa-jcs-2022 assertion.", name)
    if "@context" in proof and not _same(proof["@context"], document.get("@context")):
        raise Untrusted("The proof has another @context than its document.")
    created = _in_time(proof, now, window or ClockWindow())
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    return ProofFacts(
        key_id=_text(proof, "verificationMethod"),
        created=created,
        signature=decode_multibase(_text(proof, "proofValue")),
        base=_base(document, options),
    )


def check_proof(facts: ProofFacts, key: PublicKey) -> None:
    """Returns when `key` made the proof; raises Untrusted otherwise."""
    if key.key_id != facts.key_id or key.algorithm != "ed25519":
        raise Untrusted("The proof names another key.", f"{facts.key_id} is not {key.key_id}")
    if not key.verifies(facts.base, facts.signature):
        raise Untrusted("The proof does not match.", facts.key_id)


def _base(document: Mapping[str, Any], options: Mapping[str, Any]) -> bytes:
    bare = {name: value for name, value in document.items() if name not in _UNSIGNED}
    return _hash(options) + _hash(bare)


def _hash(value: Mapping[str, Any]) -> bytes:
    return hashlib.sha256(canonical(value)).digest()


def canonical(value: Any) -> bytes:
    """The form of RFC 8785. Where nothing but the order of ASCII names is to be settled, msgspec has it much sooner."""
    try:
        if _is_simple(value):
            return msgspec.json.encode(value, order="sorted")
        return rfc8785.dumps(value)
    except ValueError as error:
        raise Malformed("The document has no canonical form.", str(error)) from None


def _is_simple(value: Any) -> bool:
    """No numbers but whole ones that JSON readers keep exactly, and no names whose order depends on their encoding."""
    nodes = [value]
    for node in nodes:
        if isinstance(node, dict):
            if not all(isinstance(name, str) and name.isascii() for name in node):
                return False
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
        elif isinstance(node, int):
            if not -EXACT < node < EXACT:
                return False
        elif not (node is None or isinstance(node, str)):
            return False
    return True


def _same(one: Any, other: Any) -> bool:
    return canonical(one) == canonical(other)


def _text(proof: Mapping[str, Any], name: str) -> str:
    value = proof.get(name)
    if not isinstance(value, str) or not value:
        raise Malformed("The proof lacks a part, or a part of it is not text.", name)
    return value


def _in_time(proof: Mapping[str, Any], now: int, window: ClockWindow) -> int:
    created = _milliseconds(_text(proof, "created"))
    if created > now + window.future_ms:
        raise Untrusted("The proof is from the future.", f"{created - now} ms")
    if "expires" in proof and _milliseconds(_text(proof, "expires")) < now:
        raise Untrusted("The proof has expired.")
    return created


def _milliseconds(text: str) -> int:
    if _DATE_TIME.fullmatch(text) is None:
        raise Malformed("A time in the proof is not an XML dateTime with a zone.")
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise Malformed("A time in the proof is not an XML dateTime with a zone.", str(error)) from None
