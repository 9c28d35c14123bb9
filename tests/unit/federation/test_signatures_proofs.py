"""Object proofs: what is refused, then what is proved."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import Malformed, Untrusted
from federation.json_reading import parse_json
from federation.signatures import keys
from federation.signatures.clock import ClockWindow
from federation.signatures.multibase import encode_multibase
from federation.signatures.proofs import _base, canonical, check_proof, make_proof, parse_proof, with_proof

NOW = 1_790_000_000_000
OWNER = "https://kestrel.example/@chloe"
KEY = keys.generate_ed25519(f"{OWNER}#ed25519")
PUBLIC = KEY.public(OWNER)
CONTEXT = ["https://www.w3.org/ns/activitystreams", "https://w3id.org/security/data-integrity/v2"]
NOTE: dict[str, Any] = {
    "@context": CONTEXT,
    "id": "https://kestrel.example/activities/1",
    "type": "Create",
    "actor": OWNER,
    "object": {"type": "Note", "content": "Guten Tag 🧀", "latitude": 25.273962, "sensitive": False},
}
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "object_signatures.json").read_text())["cases"]


def prove(document: dict[str, Any], key: keys.PublicKey = PUBLIC) -> bool:
    facts = parse_proof(document, now=NOW)
    if facts is None:
        return False
    check_proof(facts, key)
    return True


def signed(**proof: Any) -> dict[str, Any]:
    """A document whose proof is changed and then signed again over the change, as only its author could."""
    document = with_proof(NOTE, KEY, NOW)
    options = {name: value for name, value in document["proof"].items() if name != "proofValue"}
    options |= proof
    options = {name: value for name, value in options.items() if value is not None}
    return {**NOTE, "proof": {**options, "proofValue": encode_multibase(KEY.sign(_base(NOTE, options)))}}


@pytest.mark.parametrize(
    "change",
    [
        {"proofPurpose": "authentication"},
        {"proofPurpose": None},
        {"type": "Ed25519Signature2020"},
        {"type": ["DataIntegrityProof"]},
        {"cryptosuite": "eddsa-rdfc-2022"},
        {"cryptosuite": "EDDSA-JCS-2022"},
        {"@context": CONTEXT[:1]},
        {"@context": CONTEXT[::-1]},
        {"@context": "https://eve.example/ns"},
        {"created": "2027-09-21T12:00:00Z"},
        {"expires": "2026-09-21T00:00:00Z"},
    ],
)
def test_S7_a_proof_of_another_kind_purpose_context_or_time_is_refused(change: dict[str, Any]) -> None:
    assert prove(signed())
    with pytest.raises(Untrusted):
        prove(signed(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"created": None},
        {"created": "yesterday"},
        {"created": "2026-02-31T00:00:00Z"},
        {"created": "2026-02-01T00:00:00"},
        {"created": 5},
        {"verificationMethod": None},
        {"verificationMethod": ["https://kestrel.example/@chloe#ed25519"]},
        {"verificationMethod": ""},
        {"expires": "soon"},
        {"expires": None, "nonce": 2**60},
    ],
)
def test_S7_a_proof_that_lacks_a_part_is_malformed(change: dict[str, Any]) -> None:
    document = signed()
    document["proof"] = {name: value for name, value in (document["proof"] | change).items() if value is not None}
    with pytest.raises(Malformed):
        prove(document)


@pytest.mark.parametrize(
    "wrap", [lambda proof: [proof], lambda proof: [proof, proof], lambda proof: "z1", lambda p: None]
)
def test_S7_a_proof_that_is_not_one_object_is_malformed(wrap: Any) -> None:
    document = with_proof(NOTE, KEY, NOW)
    document["proof"] = wrap(document["proof"])
    with pytest.raises(Malformed):
        prove(document)


@pytest.mark.parametrize("value", ["", "z", "m" + "A" * 86, "z0", "z" + "2" * 5000, "z2"])
def test_S7_a_proof_value_that_is_no_signature_is_refused(value: str) -> None:
    document = with_proof(NOTE, KEY, NOW)
    document["proof"]["proofValue"] = value
    with pytest.raises((Malformed, Untrusted)):
        prove(document)


def test_S7_a_proof_on_another_document_is_refused() -> None:
    document = with_proof(NOTE, KEY, NOW)
    with pytest.raises(Untrusted, match="does not match"):
        prove({**document, "actor": "https://kestrel.example/@driss"})


@pytest.mark.parametrize("text", ['{"a":1,"a":1,"proof":{}}', '{"a":NaN}', '{"a":1e400}', '{"a":"\\ud800"}'])
def test_S7_what_has_no_one_meaning_is_refused_before_any_proof(text: str) -> None:
    with pytest.raises(Malformed):
        parse_json(text.encode())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "\ud800", {"\ud800": 1}])
def test_S7_what_has_no_canonical_form_is_malformed(value: Any) -> None:
    document = with_proof(NOTE, KEY, NOW)
    with pytest.raises(Malformed, match="canonical"):
        prove({**document, "object": value})
    with pytest.raises(Malformed, match="canonical"):
        make_proof({"object": value}, KEY, NOW)


def test_S10_a_proof_is_checked_by_the_key_it_names_and_by_ed25519_only() -> None:
    document = with_proof(NOTE, KEY, NOW)
    with pytest.raises(Untrusted, match="does not match"):
        prove(document, keys.generate_ed25519(KEY.key_id).public(OWNER))
    with pytest.raises(Untrusted, match="another key"):
        prove(document, keys.PublicKey("https://eve.example/key", OWNER, PUBLIC.key))
    with pytest.raises(Untrusted, match="another key"):
        prove(document, keys.generate_rsa(KEY.key_id).public(OWNER))
    with pytest.raises(ValueError, match="Ed25519"):
        make_proof(NOTE, keys.generate_rsa(KEY.key_id), NOW)


def test_a_document_is_not_changed_by_making_or_checking_its_proof() -> None:
    before = copy.deepcopy(NOTE)
    document = with_proof(NOTE, KEY, NOW)
    assert before == NOTE
    proved = copy.deepcopy(document)
    assert prove(document)
    assert document == proved


def test_a_proof_may_be_old_and_dated_in_any_zone() -> None:
    for created in ("2019-01-01T00:00:00Z", "2026-01-01T00:00:00.123456789Z", "2026-09-21T15:33:20+02:00"):
        assert prove(signed(created=created, expires="2030-01-01T00:00:00Z"))


def test_the_clock_window_of_a_proof_is_a_parameter() -> None:
    document = signed(created="2026-09-22T00:00:00Z")
    facts = parse_proof(document, now=NOW, window=ClockWindow(future_ms=86_400_000))
    assert facts is not None and facts.key_id == KEY.key_id
    assert facts.created == 1_790_035_200_000


def test_a_document_without_a_context_or_a_proof_without_one_is_proved() -> None:
    bare = {name: value for name, value in NOTE.items() if name != "@context"}
    assert "@context" not in make_proof(bare, KEY, NOW)
    assert prove(with_proof(bare, KEY, NOW))
    assert prove(signed(**{"@context": None}))


def test_S2_an_old_linked_data_signature_beside_a_proof_changes_nothing() -> None:
    document = with_proof(NOTE, KEY, NOW)
    assert prove({**document, "signature": {"type": "RsaSignature2017", "signatureValue": "x"}})
    assert "signature" not in with_proof({**NOTE, "signature": {}}, KEY, NOW)


def test_spaces_and_the_order_of_keys_change_nothing() -> None:
    document = with_proof(NOTE, KEY, NOW)
    text = json.dumps(dict(reversed(document.items())), indent=3, ensure_ascii=True)
    assert prove(parse_json(text.encode()))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_S7_a_document_with_any_changed_byte_is_not_proved(data: st.DataObject) -> None:
    document = with_proof(NOTE, KEY, NOW)
    raw = json.dumps(document, ensure_ascii=False).encode()
    at = data.draw(st.integers(0, len(raw) - 1))
    cut = data.draw(st.integers(0, 2))
    changed = raw[:at] + data.draw(st.binary(max_size=3)) + raw[at + cut :]
    try:
        read = parse_json(changed)
        proved = prove(read)
    except (Malformed, Untrusted):
        return
    assert not proved or rfc8785.dumps(read) == rfc8785.dumps(document)


@pytest.mark.parametrize("case", [pytest.param(case, id=case["name"]) for case in VECTORS])
def test_S2_S3_the_published_documents(case: dict[str, Any]) -> None:
    document = parse_json(json.dumps(case["document"]).encode())
    facts = parse_proof(document, now=NOW)
    if case["outcome"] == "unsigned":
        assert facts is None
        return
    assert facts is not None
    key = keys.public_key_from_multikey(facts.key_id, "", case["publicKeyMultibase"])
    if case["outcome"] == "proved":
        check_proof(facts, key)
    else:
        with pytest.raises(Untrusted, match="does not match"):
            check_proof(facts, key)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53) + 1, (1 << 53) - 1) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)


@given(JSON | st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=4), st.text(), max_size=6))
@settings(max_examples=200, deadline=None)
def test_the_short_way_to_the_canonical_form_ends_in_the_same_bytes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [{"a": 1 << 53}, {"a": float("nan")}, {"a": "\ud800"}])
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(Malformed):
        canonical(value)
