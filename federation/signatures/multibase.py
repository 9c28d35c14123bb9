"""base58btc with its multibase letter `z` (draft-multiformats-multibase), for short keys and proofs."""

from __future__ import annotations

from federation.errors import Malformed

__all__ = ["decode_multibase", "encode_multibase"]

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LONGEST = 180  # characters; base58 costs the square of the length
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}


def encode_multibase(data: bytes) -> str:
    """`z` and the base58btc of `data`."""
    number = int.from_bytes(data, "big")
    letters: list[str] = []
    while number:
        number, digit = divmod(number, 58)
        letters.append(ALPHABET[digit])
    zeros = len(data) - len(data.lstrip(b"\0"))
    return "z" + ALPHABET[0] * zeros + "".join(reversed(letters))


def decode_multibase(text: str) -> bytes:
    """The bytes of a base58btc multibase text. Raises Malformed."""
    if not text.startswith("z") or len(text) > LONGEST:
        raise Malformed("A multibase value is not base58btc or is too long.")
    number = 0
    for letter in text[1:]:
        if letter not in _VALUES:
            raise Malformed("A multibase value is not base58btc or is too long.", f"letter {letter!r}")
        number = number * 58 + _VALUES[letter]
    body = text[1:]
    zeros = len(body) - len(body.lstrip(ALPHABET[0]))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
