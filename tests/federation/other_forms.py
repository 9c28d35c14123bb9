"""The forms that another implementer needs: Multikey (FEP-521a), JCS (RFC 8785), proofs (FEP-8b32), digests (RFC 9530).

Of the other side of a link, see `other_side`: nothing of the product is used here.
"""

import base64
import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

Document = dict[str, Any]

TYPE = "application/activity+json"
CONTEXT = [
    "https://www.w3.org/ns/activitystreams",
    "https://w3id.org/security/multikey/v1",
    "https://w3id.org/security/data-integrity/v2",
    {"parvis": "https://parvis.example/ns#"},
]
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Refused(Exception):
    """What came is not taken: a status, and a code of the stream."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code = status, code


def multibase(data: bytes) -> str:
    number, text = int.from_bytes(data, "big"), ""
    while number:
        number, rest = divmod(number, 58)
        text = BASE58[rest] + text
    return "z" + "1" * (len(data) - len(data.lstrip(b"\0"))) + text


def from_multibase(text: str) -> bytes:
    number = 0
    for letter in text.removeprefix("z"):
        number = number * 58 + BASE58.index(letter)
    return b"\0" * (len(text) - 1 - len(text[1:].lstrip("1"))) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def multikey(key: Ed25519PrivateKey) -> str:
    return multibase(b"\xed\x01" + key.public_key().public_bytes_raw())


def holds(key: str, signature: bytes, data: bytes) -> bool:
    """Whether a signature is made with the private half of a Multikey."""
    raw = from_multibase(key)
    assert raw[:2] == b"\xed\x01", key
    try:
        Ed25519PublicKey.from_public_bytes(raw[2:]).verify(signature, data)
    except InvalidSignature:
        return False
    return True


def canonical(value: Any) -> bytes:
    """RFC 8785, of documents without fractions."""

    def in_order(part: Any) -> Any:
        if isinstance(part, dict):
            return {name: in_order(part[name]) for name in sorted(part, key=lambda name: name.encode("utf-16-be"))}
        return [in_order(one) for one in part] if isinstance(part, list) else part

    return json.dumps(in_order(value), ensure_ascii=False, separators=(",", ":")).encode()


def _hashes(document: Document, proof: Document) -> bytes:
    options = {name: value for name, value in proof.items() if name != "proofValue"}
    bare = {name: value for name, value in document.items() if name != "proof"}
    return hashlib.sha256(canonical(options)).digest() + hashlib.sha256(canonical(bare)).digest()


def prove(document: Document, key: Ed25519PrivateKey, key_id: str) -> Document:
    """The document with a proof, `eddsa-jcs-2022`."""
    proof = {"@context": document["@context"], "type": "DataIntegrityProof", "cryptosuite": "eddsa-jcs-2022"}
    proof |= {"verificationMethod": key_id, "proofPurpose": "assertionMethod", "created": moment()}
    return {**document, "proof": {**proof, "proofValue": multibase(key.sign(_hashes(document, proof)))}}


def demand_proof(document: Document, key: str, owner: str) -> None:
    """Raises Refused unless the document bears a proof by this key (Multikey) of this actor."""
    proof = document.get("proof") or {}
    signature = from_multibase(proof.get("proofValue", "z"))
    suite, method = proof.get("cryptosuite"), proof.get("verificationMethod", "")
    if (suite, method.partition("#")[0]) != ("eddsa-jcs-2022", owner):
        raise Refused(422, "untrusted")
    if not holds(key, signature, _hashes(document, proof)):
        raise Refused(422, "untrusted")


def moment(**later: float) -> str:
    text = (datetime.now(UTC) + timedelta(**later)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def millis(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def content_digest(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def root_of(ids: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(sorted(ids, key=lambda one: one.encode())).encode()).hexdigest()


def origin_of(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def id_of(thing: Any) -> str:
    return str(thing["id"] if isinstance(thing, dict) else thing)


def actor_of(kind: str, actor: str, name: str, title: str, keys: list[tuple[str, Ed25519PrivateKey]]) -> Document:
    head = {"@context": CONTEXT, "id": actor, "type": kind, "preferredUsername": name, "name": title}
    method = {"type": "Multikey", "controller": actor}
    methods = [{"id": f"{actor}#{part}", **method, "publicKeyMultibase": multikey(key)} for part, key in keys]
    return {**head, "inbox": f"{actor}/inbox", "outbox": f"{actor}/outbox", "assertionMethod": methods}
