"""The examples of FEDERATION.md: they can be read, and those that are signed hold."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from federation.errors import FederationError
from federation.proving import holds
from federation.signatures.facts import check
from federation.signatures.incoming import parse_request
from federation.signatures.keys import public_key_from_multikey
from server.words import SIX_WORDS

PAGE = (Path(__file__).parents[3] / "FEDERATION.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
KEY = re.findall(r"`(z6Mk\w+)`", PAGE)[0]
MADE = int(datetime(2026, 11, 30, 10, 0, 1, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_a_document(example: str) -> None:
    assert isinstance(json.loads(example.replace("{…}", "{}")), dict)


def test_the_signed_request_holds() -> None:
    request = re.findall(r"```http\n(.*?)\n```", PAGE, re.DOTALL)[0]
    head, body = request.split("\n\n")
    first, *lines = head.split("\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    method, path, _ = first.split()
    key = public_key_from_multikey("https://c.example/actor#ed25519", "https://c.example/actor", KEY)
    check(parse_request(method, f"https://a.example{path}", headers, body.encode(), now=MADE), key)
    with pytest.raises(FederationError):
        parse_request(method, f"https://a.example{path}", headers, body.encode() + b" ", now=MADE)


def test_the_proof_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.proving.now_ms", lambda: MADE)
    [like] = [json.loads(example) for example in EXAMPLES if '"proofValue"' in example]
    author = like["actor"]
    keys = [(f"{author}#key", author, "multikey", KEY)]
    assert holds(like, author, keys)
    assert not holds({**like, "object": "https://a.example/posts/2"}, author, keys)


def test_the_words_are_those_that_administrators_read() -> None:
    words = re.findall(r"## The words of a link\n.*?```\n(.*?)```", PAGE, re.DOTALL)[0]
    assert tuple(words.split()) == SIX_WORDS
