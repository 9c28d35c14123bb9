"""Digests: every one we know must fit, and one must be known."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import Malformed, Untrusted
from federation.signatures.digests import check_content_digest, check_digest, content_digest, digest

BODY = b'{"hello": "world"}'
SHA512 = "WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew=="


def test_the_digests_of_the_specifications() -> None:
    """RFC 9530 appendix D carries both; draft-cavage appendix C the older one."""
    assert content_digest(BODY) == "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"
    assert digest(BODY) == "SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE="
    check_content_digest(f"sha-512=:{SHA512}:", BODY)
    check_digest(f"sha-512={SHA512}", BODY)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "md5=:YWJj:",
        f"sha-256=:{SHA512}:",
        f"{content_digest(b'other')}, sha-512=:{SHA512}:",
        f"sha-512=:{SHA512}:, {content_digest(b'other')}",
    ],
)
def test_a_content_digest_that_does_not_fit_or_is_not_known_is_refused(header: str) -> None:
    with pytest.raises(Untrusted):
        check_content_digest(header, BODY)


@pytest.mark.parametrize(
    "header",
    [
        "sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=",
        "sha-256=:a!:",
        "sha-256=5",
        "sha-256",
        "sha-256=(:YWJj:)",
        "sha-256=:é:",
    ],
)
def test_a_content_digest_that_cannot_be_read_is_malformed(header: str) -> None:
    with pytest.raises(Malformed):
        check_content_digest(header, BODY)


def test_O22_a_content_digest_said_twice_is_malformed() -> None:
    with pytest.raises(Malformed, match="twice"):
        check_content_digest(f"{content_digest(b'other')}, {content_digest(BODY)}", BODY)


@pytest.mark.parametrize(
    "header", ["", "MD5=YWJj", "adler32=03da0195", f"{digest(b'other')},SHA-512={SHA512}", "SHA-256="]
)
def test_a_digest_that_does_not_fit_or_is_not_known_is_refused(header: str) -> None:
    with pytest.raises(Untrusted):
        check_digest(header, BODY)


@pytest.mark.parametrize("header", ["SHA-256=!", "sha-256=é", "SHA-256=abc"])
def test_a_digest_that_is_not_base64_is_malformed(header: str) -> None:
    with pytest.raises(Malformed):
        check_digest(header, BODY)


def test_O22_a_digest_said_twice_is_malformed() -> None:
    with pytest.raises(Malformed, match="twice"):
        check_digest(f"{digest(b'other')},{digest(BODY).lower()}", BODY)


def test_an_unknown_digest_beside_a_known_one_is_ignored() -> None:
    check_content_digest(f"unixsum=5, {content_digest(BODY)}".replace("5", ":YWJj:", 1), BODY)
    check_digest(f"unixsum=30637,{digest(BODY)}", BODY)


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_digest_fits_its_body_and_no_other(body: bytes, other: bytes) -> None:
    assert base64.b64decode(digest(body)[8:]) == hashlib.sha256(body).digest()
    check_digest(digest(body), body)
    check_content_digest(content_digest(body), body)
    if body != other:
        with pytest.raises(Untrusted):
            check_digest(digest(body), other)
        with pytest.raises(Untrusted):
            check_content_digest(content_digest(body), other)
