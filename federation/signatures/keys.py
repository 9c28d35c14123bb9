"""Keys: RSA-2048 for draft-cavage, Ed25519 for RFC 9421 and object proofs.

The algorithm is what the key is, never what a header says (advisory S10): `algorithm` is derived from the key
object, so it cannot disagree with it. RSA is PKCS#1 v1.5; nothing here knows a shared secret.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey, generate_private_key

from federation.errors import Malformed
from federation.signatures.multibase import decode_multibase, encode_multibase

__all__ = [
    "Algorithm",
    "HashName",
    "PrivateKey",
    "PublicKey",
    "generate_ed25519",
    "generate_rsa",
    "private_key_from_pem",
    "public_key_from_multikey",
    "public_key_from_pem",
]

Algorithm = Literal["rsa", "ed25519"]
HashName = Literal["sha256", "sha512"]

RSA_BITS = 2048
LEAST_RSA_BITS = 2048  # GoToSocial also takes 1024, which a well-funded stranger breaks
MOST_RSA_BITS = 8192  # above, one verification becomes a way to keep us busy
MOST_RSA_EXPONENT = 2**32  # the same: the cost of a verification is the length of the exponent
LONGEST_PEM = 8192  # characters; RSA-8192 takes 1 500
ED25519_MULTICODEC = b"\xed\x01"

_PADDING = padding.PKCS1v15()
_HASHES: dict[HashName, hashes.HashAlgorithm] = {"sha256": hashes.SHA256(), "sha512": hashes.SHA512()}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that somebody publishes: `key_id` is its address, `owner` the actor it speaks for."""

    key_id: str
    owner: str
    key: RSAPublicKey | Ed25519PublicKey

    @property
    def algorithm(self) -> Algorithm:
        return "rsa" if isinstance(self.key, RSAPublicKey) else "ed25519"

    def verifies(self, data: bytes, signature: bytes, hash_name: HashName = "sha256") -> bool:
        """Whether `signature` over `data` is by this key; `hash_name` matters to RSA only."""
        try:
            if isinstance(self.key, RSAPublicKey):
                self.key.verify(signature, data, _PADDING, _HASHES[hash_name])
            else:
                self.key.verify(signature, data)
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> str:
        """SubjectPublicKeyInfo in PEM, as `publicKeyPem` carries it."""
        encoded = self.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return encoded.decode("ascii")

    def to_multikey(self) -> str:
        """`z6Mk…`, as `publicKeyMultibase` carries it (FEP-521a). Raises ValueError for an RSA key."""
        if isinstance(self.key, RSAPublicKey):
            raise ValueError("only Ed25519 keys are published as Multikey")
        return encode_multibase(ED25519_MULTICODEC + self.key.public_bytes_raw())


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key of one of our own actors; never shown, never compared, never logged."""

    key_id: str
    key: RSAPrivateKey | Ed25519PrivateKey

    def __repr__(self) -> str:
        return f"PrivateKey({self.key_id!r}, {self.algorithm!r})"

    @property
    def algorithm(self) -> Algorithm:
        return "rsa" if isinstance(self.key, RSAPrivateKey) else "ed25519"

    def sign(self, data: bytes) -> bytes:
        """PKCS#1 v1.5 with SHA-256, or Ed25519."""
        if isinstance(self.key, RSAPrivateKey):
            return self.key.sign(data, _PADDING, _HASHES["sha256"])
        return self.key.sign(data)

    def public(self, owner: str) -> PublicKey:
        return PublicKey(self.key_id, owner, self.key.public_key())

    def to_pem(self) -> str:
        """PKCS#8 in PEM, unencrypted: for our own table of keys."""
        encoded = self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return encoded.decode("ascii")


def generate_rsa(key_id: str) -> PrivateKey:
    """A new RSA-2048 key; takes 50 to 300 ms, so keep it off the event loop."""
    return PrivateKey(key_id, generate_private_key(public_exponent=65537, key_size=RSA_BITS))


def generate_ed25519(key_id: str) -> PrivateKey:
    return PrivateKey(key_id, Ed25519PrivateKey.generate())


def private_key_from_pem(key_id: str, pem: str) -> PrivateKey:
    """One of our own stored keys. Raises ValueError when the text is not an RSA or Ed25519 key in PEM."""
    return PrivateKey(key_id, _own_key(pem))


@lru_cache(maxsize=512)
def _own_key(pem: str) -> RSAPrivateKey | Ed25519PrivateKey:
    # We made the key ourselves: proving its primes again would cost 38 ms.
    key = serialization.load_pem_private_key(pem.encode(), None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
        raise ValueError("a stored key is neither RSA nor Ed25519")
    return key


def public_key_from_pem(key_id: str, owner: str, pem: str) -> PublicKey:
    """A stranger's `publicKeyPem`. Raises Malformed unless it is Ed25519 or RSA of 2048 to 8192 bits."""
    if len(pem) > LONGEST_PEM:
        raise Malformed("The public key is too long.")
    try:
        key = serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Malformed("The public key cannot be read.", str(error)) from None
    if isinstance(key, RSAPublicKey):
        _bound_rsa(key)
    elif not isinstance(key, Ed25519PublicKey):
        raise Malformed("The public key is neither RSA nor Ed25519.", type(key).__name__)
    return PublicKey(key_id, owner, key)


def _bound_rsa(key: RSAPublicKey) -> None:
    if not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
        raise Malformed("An RSA key must have 2048 to 8192 bits.", f"{key.key_size} bits")
    if key.public_numbers().e > MOST_RSA_EXPONENT:
        raise Malformed("The exponent of the RSA key is too large.")


@lru_cache(maxsize=1024)
def public_key_from_multikey(key_id: str, owner: str, multibase: str) -> PublicKey:
    """A stranger's `publicKeyMultibase` (FEP-521a). Raises Malformed unless it is Ed25519."""
    data = decode_multibase(multibase)
    if len(data) != 34 or not data.startswith(ED25519_MULTICODEC):
        raise Malformed("The Multikey is not an Ed25519 key.")
    return PublicKey(key_id, owner, Ed25519PublicKey.from_public_bytes(data[2:]))
