"""Keys and their spellings: what strangers may publish, and what we refuse to load."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import Malformed
from federation.signatures import keys
from federation.signatures.multibase import decode_multibase, encode_multibase

OWNER = "https://kestrel.example/@chloe"
RSA = keys.generate_rsa(f"{OWNER}#main-key")
ED25519 = keys.generate_ed25519(f"{OWNER}#ed25519")


def spki(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()


def test_an_rsa_key_of_1024_bits_is_refused() -> None:
    small = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    with pytest.raises(Malformed, match="2048"):
        keys.public_key_from_pem("k", OWNER, spki(small.public_key()))


def test_an_rsa_key_beyond_8192_bits_is_refused() -> None:
    huge = rsa.RSAPublicNumbers(65537, (1 << 8999) + 1).public_key()
    with pytest.raises(Malformed, match="8192"):
        keys.public_key_from_pem("k", OWNER, spki(huge))


def test_an_rsa_key_whose_exponent_keeps_us_busy_is_refused() -> None:
    modulus = RSA.public(OWNER).key
    assert isinstance(modulus, rsa.RSAPublicKey)
    slow = rsa.RSAPublicNumbers(2**40 + 1, modulus.public_numbers().n).public_key()
    with pytest.raises(Malformed, match="exponent"):
        keys.public_key_from_pem("k", OWNER, spki(slow))


def test_a_key_of_another_kind_is_refused() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Malformed, match="neither"):
        keys.public_key_from_pem("k", OWNER, spki(elliptic.public_key()))


@pytest.mark.parametrize(
    "pem", ["", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "x" * 9000]
)
def test_a_text_that_is_no_key_is_refused(pem: str) -> None:
    with pytest.raises(Malformed):
        keys.public_key_from_pem("k", OWNER, pem)


def test_a_private_key_published_by_mistake_is_refused() -> None:
    with pytest.raises(Malformed):
        keys.public_key_from_pem("k", OWNER, RSA.to_pem())


def test_a_stored_key_that_is_neither_kind_is_refused() -> None:
    elliptic = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.raises(ValueError, match="neither"):
        keys.private_key_from_pem("k", elliptic.decode())


@pytest.mark.parametrize("key", [RSA, ED25519])
def test_keys_survive_their_pem(key: keys.PrivateKey) -> None:
    loaded = keys.private_key_from_pem(key.key_id, key.to_pem())
    public = keys.public_key_from_pem(key.key_id, OWNER, key.public(OWNER).to_pem())
    assert loaded.algorithm == public.algorithm == key.algorithm
    assert public.verifies(b"bonjour", loaded.sign(b"bonjour"))
    assert not public.verifies(b"bonsoir", loaded.sign(b"bonjour"))


def test_a_stored_key_is_read_once() -> None:
    pem = RSA.to_pem()
    assert keys.private_key_from_pem("one", pem).key is keys.private_key_from_pem("two", pem).key


def test_a_private_key_does_not_show_itself() -> None:
    assert repr(ED25519) == f"PrivateKey('{OWNER}#ed25519', 'ed25519')"


def test_a_multikey_survives_and_begins_with_z6Mk() -> None:
    written = ED25519.public(OWNER).to_multikey()
    assert written.startswith("z6Mk")
    read = keys.public_key_from_multikey(ED25519.key_id, OWNER, written)
    assert read.verifies(b"bonjour", ED25519.sign(b"bonjour"))


def test_an_rsa_key_is_not_written_as_multikey() -> None:
    with pytest.raises(ValueError, match="Ed25519"):
        RSA.public(OWNER).to_multikey()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "z",
        "6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2",
        "z6Mk0",
        encode_multibase(b"\xed\x01" + bytes(31)),
        encode_multibase(b"\xed\x01" + bytes(33)),
        encode_multibase(b"\xec\x01" + bytes(32)),
        "z" + "2" * 5000,
    ],
)
def test_a_text_that_is_no_ed25519_multikey_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        keys.public_key_from_multikey("k", OWNER, text)


@given(st.binary(max_size=100))
def test_base58_reads_back_with_its_leading_zeros(data: bytes) -> None:
    assert decode_multibase(encode_multibase(data)) == data


def test_base58_of_the_draft() -> None:
    """draft-multiformats-multibase, appendix B.1: "yes mani !"."""
    assert encode_multibase(b"yes mani !") == "z7paNL19xttacUY"


def test_a_text_whose_length_keeps_us_busy_is_refused_unread() -> None:
    with pytest.raises(Malformed, match="too long"):
        keys.public_key_from_pem("k", OWNER, RSA.public(OWNER).to_pem() + "\n" * 9000)
    with pytest.raises(Malformed, match="too long"):
        decode_multibase("z" + "1" * 5000)
