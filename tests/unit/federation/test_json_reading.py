"""JSON from strangers: what two parsers could read differently is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.errors import Malformed
from federation.json_reading import JsonLimits, parse_json


def nested(depth: int, opening: str = '{"a":', closing: str = "}") -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'{"a":1,"a":2}', "key twice"),
        (b'{"x":[{"a":1,"\\u0061":2}]}', "key twice"),
        (b'{"a":NaN}', "not finite"),
        (b'{"a":Infinity}', "not finite"),
        (b'{"a":[-Infinity]}', "not finite"),
        (b'{"a":1e400}', "not finite"),
        (b'{"a":-1E400}', "not finite"),
        (b'{"a":"\\ud800"}', "half a character"),
        (b'{"\\uDFFF":1}', "half a character"),
        (b'{"a":"\\udc00\\ud800"}', "half a character"),
        (b'{"a":"\\\\\\ud83d"}', "half a character"),
        (b'{"a":"\xed\xa0\x80"}', "UTF-8"),
        (b'{"a":"\xff"}', "UTF-8"),
        (b'\xef\xbb\xbf{"a":1}', "not JSON"),
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"a":1} x', "not JSON"),
        (b'{"a":1,}', "not JSON"),
        (b"{'a':1}", "not JSON"),
        (b'{"a":"\n"}', "not JSON"),
        (b'{"a":01}', "not JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (nested(21), "too deeply"),
        (b'{"a":' + nested(20, "[", "]") + b"}", "too deeply"),
        (nested(100_000), "too deeply"),
        (b'{"a":"' + b"x" * 1_048_576 + b'"}', "too large"),
    ],
)
def test_S7_what_could_be_read_in_two_ways_is_malformed(raw: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says) as refusal:
        parse_json(raw)
    assert refusal.value.status == 400
    assert "\n" not in refusal.value.sentence


def test_the_limits_are_parameters() -> None:
    assert parse_json(nested(3), JsonLimits(most_bytes=100, deepest=3))
    with pytest.raises(Malformed, match="deeply"):
        parse_json(nested(3), JsonLimits(deepest=2))
    with pytest.raises(Malformed, match="large"):
        parse_json(nested(3), JsonLimits(most_bytes=10))


@pytest.mark.parametrize(
    "raw",
    [
        nested(20),
        b'{"a":' + b"[1,[2]," * 10 + b"3" + b"]" * 10 + b"}",
        '{"a":"\U0001f9c0 \\ud83e\\uddc0 \\\\ud800"}'.encode(),
        b'{"a":[' + b"{}," * 100 + b"{}]}",
        b' {"a" : "[[[[[[[[[[[[[[[[[[[[[[[["} ',
    ],
)
def test_a_usual_document_is_read_as_the_standard_parser_reads_it(raw: bytes) -> None:
    assert parse_json(raw) == json.loads(raw)


@pytest.mark.parametrize("raw", [rb'{"a":"\u0000"}', rb'{"a":"\\\u0000"}', rb'{"\u0000":1}'])
def test_a_nul_is_refused_because_no_database_keeps_it(raw: bytes) -> None:
    with pytest.raises(Malformed, match="NUL"):
        parse_json(raw)


def test_words_about_a_nul_are_words() -> None:
    assert parse_json(rb'{"a":"\\u0000"}') == {"a": "\\u0000"}


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.booleans())
def test_every_document_of_ours_is_read_back(document: dict[str, Any], ascii_only: bool) -> None:
    assert parse_json(json.dumps(document, ensure_ascii=ascii_only).encode(), JsonLimits(deepest=30)) == document


@given(st.binary(max_size=80) | st.text(alphabet='{}[]":,\\ud8019eE.-+NaIfinty ', max_size=80).map(str.encode))
def test_strange_bytes_raise_nothing_but_malformed(raw: bytes) -> None:
    try:
        assert isinstance(parse_json(raw), dict)
    except Malformed as refusal:
        assert refusal.sentence
