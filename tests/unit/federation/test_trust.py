"""An origin is read in a short way where all readers agree, and in the long one everywhere else."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from federation import trust
from federation.errors import Malformed

PIECES = ["http://", "https://", "a", "b.example", ".", "-", ":", "80", "443", "0", "99999", "/", "?", "#", "@"]
ODD = ["[", "]", "\\", " ", "\t", "\n", "é", "A", "%41", "http:/"]


def read(address: str) -> object:
    try:
        return trust.origin.__wrapped__(address)
    except Malformed:
        return "malformed"


@settings(max_examples=500)
@given(st.sampled_from(["http://", "https://", ""]), st.lists(st.sampled_from(PIECES + ODD), max_size=8))
def test_the_short_way_answers_what_the_long_one_does(scheme: str, pieces: list[str]) -> None:
    address = scheme + "".join(pieces)
    short = read(address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trust, "_PLAIN", re.compile(r"(?!)"))
        assert read(address) == short


def test_the_scheme_and_the_port_are_part_of_an_origin() -> None:
    assert trust.origin("https://a.example/x") == trust.origin("https://a.example:443/y")
    assert not trust.same_origin("http://a.example/x", "https://a.example/x")
    assert not trust.same_origin("https://a.example/x", "https://a.example:8443/x")
    with pytest.raises(Malformed):
        trust.origin("https://a.example:99999/x")
