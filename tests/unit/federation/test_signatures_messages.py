"""RFC 9421: what is refused, then what is accepted, then a second opinion."""

from __future__ import annotations

import base64
import hmac
import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    HTTPSignatureKeyResolver,
    algorithms,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from federation.errors import FederationError, Malformed, Untrusted
from federation.signatures import keys, messages
from federation.signatures.clock import ClockWindow
from federation.signatures.digests import check_present_digests, content_digest
from federation.signatures.facts import SignatureFacts, check
from federation.signatures.incoming import parse_request
from federation.signatures.parts import target_of

NOW = 1_790_000_000_000
SECONDS = NOW // 1000
URL = "https://aubrac.example/inbox"
BODY = b'{"type":"Create","content":"Bonjour"}'
OWNER = "https://kestrel.example/@chloe"
RSA = keys.generate_rsa(f"{OWNER}#main-key")
ED25519 = keys.generate_ed25519(f"{OWNER}#ed25519")
CONTENT = {"content-type": "application/activity+json"}
VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "http_signatures.json").read_text())


def parse(
    headers: dict[str, str],
    body: bytes = BODY,
    *,
    method: str = "POST",
    url: str = URL,
    now: int = NOW,
    knows: Callable[[str], bool] | None = None,
) -> SignatureFacts:
    return parse_request(method, url, headers, body, now=now, knows=knows)


def sign(body: bytes = BODY, *, method: str = "POST", url: str = URL, key: keys.PrivateKey = ED25519) -> dict[str, str]:
    return messages.sign(method, url, CONTENT, body, key, NOW)


def by_hand(
    covered: list[str],
    parameters: str = f';created={SECONDS};keyid="{ED25519.key_id}"',
    *,
    label: str = "sig1",
    headers: dict[str, str] | None = None,
    url: str = URL,
    key: keys.PrivateKey = ED25519,
) -> dict[str, str]:
    """A request as a peer with other habits signs it, over exactly these components and parameters."""
    sent = dict(headers or CONTENT | {"content-digest": content_digest(BODY)})
    raw = "(" + " ".join(f'"{name}"' for name in covered) + ")" + parameters
    value = key.sign(messages.signature_base("POST", url, sent, covered, raw))
    return sent | {
        "signature-input": f"{label}={raw}",
        "signature": f"{label}=:{base64.b64encode(value).decode()}:",
    }


USUAL = ["@method", "@target-uri", "content-digest"]


def together(*requests: dict[str, str]) -> dict[str, str]:
    """One request that carries the signatures of several."""
    joined = dict(requests[0])
    for name in ("signature-input", "signature"):
        joined[name] = ", ".join(request[name] for request in requests)
    return joined


@pytest.mark.parametrize("left_out", ["@method", "@target-uri", "content-digest"])
def test_S6_each_component_that_must_be_covered_is_missed(left_out: str) -> None:
    with pytest.raises(Untrusted) as refusal:
        parse(by_hand([name for name in USUAL if name != left_out]))
    assert refusal.value.status == 401


@pytest.mark.parametrize("left_out", ["@authority", "@path", "@query"])
def test_S6_the_target_in_parts_must_be_whole(left_out: str) -> None:
    parts = ["@method", "@authority", "@path", "@query", "content-digest"]
    check(parse(by_hand(parts)), ED25519.public(OWNER))
    with pytest.raises(Untrusted, match="target"):
        parse(by_hand([name for name in parts if name != left_out]))


def test_S6_a_body_changed_after_signing_is_refused() -> None:
    with pytest.raises(Untrusted, match="digest does not match"):
        parse(sign(), BODY.replace(b"Bonjour", b"Bonsoir"))


def test_S6_an_older_digest_that_does_not_fit_is_refused() -> None:
    with pytest.raises(Untrusted, match="digest does not match"):
        parse(sign() | {"digest": "SHA-256=" + base64.b64encode(bytes(32)).decode()})


def test_S6_a_covered_header_that_is_missing_is_refused() -> None:
    signed = sign()
    del signed["content-type"]
    with pytest.raises(Untrusted, match="is missing"):
        parse(signed)


@pytest.mark.parametrize("value", ["text/plain\nx: y", "text/pläin"])
def test_S6_a_covered_header_that_breaks_the_base_is_malformed(value: str) -> None:
    with pytest.raises(Malformed):
        parse(sign() | {"content-type": value})


@pytest.mark.parametrize(
    "other", [{"method": "PUT"}, {"url": "https://aubrac.example/outbox"}, {"url": URL + "?page=2"}]
)
def test_S6_a_signature_for_another_request_is_refused(other: dict[str, str]) -> None:
    with pytest.raises(Untrusted, match="does not match"):
        check(parse(sign(), **other), ED25519.public(OWNER))  # type: ignore[arg-type]


def test_S8_created_is_demanded() -> None:
    with pytest.raises(Untrusted, match="created"):
        parse(by_hand(USUAL, f';keyid="{ED25519.key_id}"'))


@pytest.mark.parametrize("late", [3_601_000, -301_000])
def test_S8_created_too_old_or_in_the_future_is_refused(late: int) -> None:
    with pytest.raises(Untrusted, match=r"too old|future"):
        parse(by_hand(USUAL), now=NOW + late)


def test_S8_an_expired_signature_is_refused_and_one_still_good_is_not() -> None:
    check(parse(sign(), now=NOW + 300_000), ED25519.public(OWNER))
    with pytest.raises(Untrusted, match="expired"):
        parse(sign(), now=NOW + 301_000)


def test_S8_the_target_is_the_configured_one_whatever_host_says() -> None:
    strange = {"host": "eve.example", "x-forwarded-host": "eve.example", "forwarded": "host=eve.example"}
    check(parse(sign() | strange), ED25519.public(OWNER))
    signed_for_eve = sign(url="https://eve.example/inbox") | strange
    with pytest.raises(Untrusted, match="does not match"):
        check(parse(signed_for_eve), ED25519.public(OWNER))


def test_S8_a_signature_made_for_another_application_is_refused() -> None:
    with pytest.raises(Untrusted, match="purpose"):
        parse(by_hand(USUAL, f';created={SECONDS};keyid="{ED25519.key_id}";tag="web-bot-auth"'))


def test_S8_the_tag_is_told() -> None:
    signed = messages.sign("GET", URL, {}, b"", ED25519, NOW, tag=messages.LINK_TAG)
    assert parse(signed, b"", method="GET").tag == "parvis-link"
    assert parse(sign()).tag is None


def test_S8_two_signatures_of_which_none_or_both_are_known_are_refused() -> None:
    both = together(by_hand(USUAL), by_hand(USUAL, f';created={SECONDS};keyid="k2"', label="sig2"))
    for knows in (None, lambda key_id: False, lambda key_id: True):
        with pytest.raises(Untrusted, match="several"):
            parse(both, knows=knows)


@pytest.mark.parametrize("first", [True, False])
def test_S8_of_two_signatures_the_one_with_the_known_key_counts_in_any_order(first: bool) -> None:
    mine = by_hand(USUAL)
    proxy = by_hand(["@method"], f';created={SECONDS};keyid="proxy, (\\"1\\")"', label="proxy")
    both = together(mine, proxy) if first else together(proxy, mine)
    facts = parse(both, knows=lambda key_id: key_id == ED25519.key_id)
    check(facts, ED25519.public(OWNER))


def test_S8_of_two_signatures_the_one_for_this_application_counts() -> None:
    other = by_hand(["@method"], f';created={SECONDS};keyid="k2";tag="cdn"', label="cdn")
    nameless = by_hand(["@method"], f";created={SECONDS}", label="edge")
    check(parse(together(other, nameless, by_hand(USUAL))), ED25519.public(OWNER))


def test_S8_more_than_three_signatures_are_malformed() -> None:
    four = [by_hand(USUAL, label=f"s{n}") for n in range(4)]
    with pytest.raises(Malformed, match="too many"):
        parse(together(*four))


def test_O22_a_label_said_twice_is_malformed() -> None:
    one = by_hand(USUAL)
    with pytest.raises(Malformed, match="twice"):
        parse(together(one, one))
    with pytest.raises(Malformed, match="twice"):
        parse(one | {"signature": f"{one['signature']}, {one['signature']}"})
    with pytest.raises(Malformed, match="twice"):
        parse(one | {"signature-input": f"{by_hand(['@method'])['signature-input']}, {one['signature-input']}"})


@pytest.mark.parametrize("parameter", [f";created={SECONDS}", ';keyid="other"', ';alg="ed25519";alg="ed25519"'])
def test_O22_a_parameter_said_twice_is_malformed(parameter: str) -> None:
    with pytest.raises(Malformed, match="twice"):
        parse(by_hand(USUAL, f';created={SECONDS};keyid="{ED25519.key_id}"{parameter}'))


def test_O22_a_component_said_twice_is_malformed() -> None:
    with pytest.raises(Malformed, match="twice"):
        parse(by_hand([*USUAL, "@method"]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("signature-input", ""),
        ("signature-input", "sig1"),
        ("signature-input", "sig1=5"),
        ("signature-input", 'sig1=("@method'),
        ("signature-input", 'sig1=("@method" 5);created=1;keyid="k"'),
        ("signature-input", 'sig1=(@method);created=1;keyid="k"'),
        ("signature-input", 'sig1=("@method";req);created=1;keyid="k"'),
        ("signature-input", 'sig1=("Content-Digest");created=1;keyid="k"'),
        ("signature-input", 'sig1=("@method");created="1";keyid="k"'),
        ("signature-input", 'sig1=("@method");created=1.5;keyid="k"'),
        ("signature-input", 'sig1=("@method");created=?1;keyid="k"'),
        ("signature-input", 'sig1=("@method");created=1;keyid=k'),
        ("signature-input", 'sig1=("@method");created=1;keyid="é"'),
        ("signature-input", 'sig1=("@method");created=1;x=%"a\\";keyid="k"'),
        ("signature-input", "sig1=(" + " ".join(f'"x{n}"' for n in range(33)) + ');created=1;keyid="k"'),
        ("signature-input", "sig1=(" + '"' + "a" * 9000 + '")'),
        ("signature-input", 'sig2=("@method");created=1;keyid="k"'),
        ("signature", ""),
        ("signature", "sig1"),
        ("signature", "sig1=::"),
        ("signature", 'sig1="YWJj"'),
        ("signature", "sig1=:a!:"),
        ("signature", "sig1=:YWJj:, sig2=:YWJj:"),
        ("signature", 'keyId="a",signature="YWJj"'),
    ],
)
def test_O8_a_signature_that_cannot_be_read_is_malformed(name: str, value: str) -> None:
    usual = by_hand(USUAL)
    if value.startswith("sig1=("):
        value = value.replace('"@method"', '"@target-uri" "content-digest" "@method"').replace(
            "created=1;", f"created={SECONDS};"
        )
    with pytest.raises(Malformed) as refusal:
        parse(usual | {name: value})
    assert refusal.value.status == 400


def test_O8_an_unsigned_request_is_refused() -> None:
    with pytest.raises(Untrusted, match="not signed"):
        parse({})


def test_O8_a_request_with_both_schemes_is_malformed() -> None:
    with pytest.raises(Malformed, match="two signatures"):
        parse(sign() | {"authorization": 'Signature keyId="a",signature="YWJj"'})


def test_O8_a_signature_input_without_its_signature_is_not_read_as_the_older_scheme() -> None:
    signed = sign()
    del signed["signature"]
    with pytest.raises(Malformed):
        parse(signed)


def test_O8_a_signature_without_a_key_id_is_refused() -> None:
    for parameters in ("", ';keyid=""'):
        with pytest.raises(Untrusted, match="names its key"):
            parse(by_hand(USUAL, f";created={SECONDS}{parameters}"))


@pytest.mark.parametrize("name", ["@query-param", "@status", "@signature-params", "@unknown"])
def test_O8_a_component_outside_the_profile_is_malformed(name: str) -> None:
    text = by_hand(USUAL)
    text["signature-input"] = text["signature-input"].replace('"@method"', f'"@method" "{name}"')
    with pytest.raises(Malformed, match="not understood"):
        parse(text)


def test_O8_a_signature_by_another_key_or_another_address_is_refused() -> None:
    facts = parse(sign())
    with pytest.raises(Untrusted, match="does not match"):
        check(facts, keys.generate_ed25519(ED25519.key_id).public(OWNER))
    with pytest.raises(Untrusted, match="another key"):
        check(facts, keys.PublicKey("https://eve.example/key", OWNER, ED25519.public(OWNER).key))


@pytest.mark.parametrize("alg", ["hmac-sha256", "rsa-pss-sha512", "ecdsa-p256-sha256", "none", ""])
def test_S10_an_algorithm_that_is_not_accepted_is_refused(alg: str) -> None:
    with pytest.raises(Untrusted, match="algorithm"):
        parse(by_hand(USUAL, f';created={SECONDS};keyid="{ED25519.key_id}";alg="{alg}"'))


@pytest.mark.parametrize(("key", "alg"), [(RSA, "ed25519"), (ED25519, "rsa-v1_5-sha256")])
def test_S10_an_algorithm_of_another_key_type_is_refused(key: keys.PrivateKey, alg: str) -> None:
    signed = by_hand(USUAL, f';created={SECONDS};keyid="{key.key_id}";alg="{alg}"', key=key)
    with pytest.raises(Untrusted, match="not made for"):
        check(parse(signed), key.public(OWNER))


@pytest.mark.parametrize(("key", "alg"), [(RSA, "rsa-v1_5-sha256"), (ED25519, "ed25519")])
def test_S10_an_algorithm_that_is_the_type_of_the_key_is_accepted(key: keys.PrivateKey, alg: str) -> None:
    signed = by_hand(USUAL, f';created={SECONDS};keyid="{key.key_id}";alg="{alg}"', key=key)
    check(parse(signed), key.public(OWNER))


def test_S9_the_nonce_and_the_signature_are_told_and_the_nonce_is_new_each_time() -> None:
    first, second = parse(sign()), parse(sign())
    assert first.nonce and second.nonce and first.nonce != second.nonce
    assert first.signature != second.signature
    chosen = messages.sign("GET", URL, {}, b"", ED25519, NOW, nonce="once")
    assert parse(chosen, b"", method="GET").nonce == "once"


def test_S9_a_nonce_that_would_fill_the_cache_is_malformed() -> None:
    with pytest.raises(Malformed, match="nonce"):
        parse(by_hand(USUAL, f';created={SECONDS};keyid="k";nonce="{"n" * 257}"'))


@pytest.mark.parametrize("key", [RSA, ED25519])
@pytest.mark.parametrize(("method", "body"), [("POST", BODY), ("POST", b""), ("GET", b"")])
@pytest.mark.parametrize("url", [URL, "https://aubrac.example/spaces/chantier/members?page=2&x=a%20b"])
def test_what_we_sign_is_accepted(key: keys.PrivateKey, method: str, body: bytes, url: str) -> None:
    signed = messages.sign(method, url, CONTENT, body, key, NOW)
    facts = parse(signed, body, method=method, url=url)
    check(facts, key.public(OWNER))
    assert (facts.scheme, facts.key_id, facts.created) == ("rfc9421", key.key_id, NOW)
    wanted = ("@method", "@target-uri", "content-digest", "content-type")
    assert facts.covered == (wanted if method == "POST" else wanted[:2])


def test_what_we_sign_lives_five_minutes_at_most() -> None:
    signed = messages.sign("GET", URL, {}, b"", ED25519, NOW, lifetime=9999)
    assert f";created={SECONDS};expires={SECONDS + 300};" in signed["signature-input"]


def test_parameters_are_replayed_as_they_were_written() -> None:
    signed = by_hand(USUAL, f' ;keyid="{ED25519.key_id}";  created={SECONDS};x=1.50;y;z=:YQ==:'.lstrip())
    check(parse(signed), ED25519.public(OWNER))


@pytest.mark.parametrize(
    ("url", "authority", "path", "query"),
    [
        ("https://Aubrac.Example:443/a?b=c", "aubrac.example", "/a", "?b=c"),
        ("http://localhost:8001", "localhost:8001", "/", ""),
        ("http://aubrac.example:80/?", "aubrac.example", "/", "?"),
        ("https://aubrac.example:80/%7Ea", "aubrac.example:80", "/%7Ea", ""),
    ],
)
def test_the_parts_of_a_target(url: str, authority: str, path: str, query: str) -> None:
    """RFC 9421 §2.2.3, §2.2.6, §2.2.7."""
    assert target_of(url)[1:] == (authority, path, query)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_S6_any_changed_byte_of_what_is_signed_is_refused(data: st.DataObject) -> None:
    signed, body = sign(), BODY
    before = parse(signed)
    part = data.draw(st.sampled_from(["body", "content-type", "content-digest", "signature-input", "signature"]))
    if part == "body":
        at = data.draw(st.integers(0, len(body) - 1))
        body = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]
    else:
        at = data.draw(st.integers(0, len(signed[part]) - 1))
        letter = data.draw(st.characters(min_codepoint=32, max_codepoint=126))
        changed = signed[part][:at] + letter + signed[part][at + 1 :]
        if changed == signed[part]:
            return
        signed[part] = changed
    try:
        after = parse(signed, body)
        check(after, ED25519.public(OWNER))
    except FederationError:
        return
    assert part in ("signature-input", "signature")
    assert (after.bases, after.signature, after.key_id) == (before.bases, before.signature, before.key_id)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.booleans())
def test_strange_headers_raise_nothing_but_our_errors(one: str, two: str, old: bool) -> None:
    names = ("signature", "date") if old else ("signature-input", "signature")
    with pytest.raises((Malformed, Untrusted)):
        parse({names[0]: one, names[1]: two, "content-digest": two, "digest": one})


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case["name"]) for case in VECTORS["cases"] if case["scheme"] == "rfc9421"]
)
def test_RFC9421_appendix_B(case: dict[str, Any]) -> None:
    """Our signature base fits the RFC's signatures; and our profile refuses what they leave uncovered."""
    raw = case["headers"]["signature-input"].partition("=")[2]
    covered = re.findall(r'"([^"]+)"', raw.partition(")")[0])
    base = messages.signature_base(case["method"], case["url"], case["headers"], covered, raw)
    signature = base64.b64decode(case["headers"]["signature"].partition("=")[2].strip(":"))
    right = fits(case["algorithm"], VECTORS["keys"][case["key"]], base, signature)
    if "content-digest" in covered:
        try:
            check_present_digests(case["headers"], case["body"].encode())
        except Untrusted:
            right = False
    assert right == case["right"]
    with pytest.raises(Untrusted):
        refuse_by_profile(case)


def refuse_by_profile(case: dict[str, Any]) -> None:
    facts = messages.parse(
        case["method"],
        case["url"],
        case["headers"],
        case["body"].encode(),
        now=case["now"],
        window=ClockWindow(),
    )
    key = serialization.load_pem_public_key(VECTORS["keys"][case["key"]].encode())
    assert isinstance(key, RSAPublicKey | Ed25519PublicKey)
    check(facts, keys.PublicKey(facts.key_id, "", key))


def fits(algorithm: str, key_text: str, base: bytes, signature: bytes) -> bool:
    if algorithm == "hmac-sha256":
        return hmac.digest(base64.b64decode(key_text), base, "sha256") == signature
    key = serialization.load_pem_public_key(key_text.encode())
    try:
        if isinstance(key, RSAPublicKey):
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA512()), salt_length=64)
            key.verify(signature, base, pss, hashes.SHA512())
        else:
            assert isinstance(key, Ed25519PublicKey)
            key.verify(signature, base)
    except InvalidSignature:
        return False
    return True


class Message:
    """The shape that the other implementation wants."""

    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method, self.url, self.headers = method, url, headers


class Keys(HTTPSignatureKeyResolver):
    def __init__(self, key: keys.PrivateKey) -> None:
        self.key = key

    def resolve_private_key(self, key_id: str) -> Any:
        return self.key.key

    def resolve_public_key(self, key_id: str) -> Any:
        return self.key.key.public_key()


ORACLE = {"rsa": algorithms.RSA_V1_5_SHA256, "ed25519": algorithms.ED25519}


@pytest.mark.parametrize("key", [RSA, ED25519])
@pytest.mark.parametrize(("method", "body"), [("POST", BODY), ("GET", b"")])
def test_another_implementation_accepts_what_we_sign(key: keys.PrivateKey, method: str, body: bytes) -> None:
    now = int(datetime.now().timestamp() * 1000)
    url = "https://aubrac.example/spaces/chantier?page=2"
    signed = messages.sign(method, url, CONTENT, body, key, now, tag="parvis-link")
    verifier = HTTPMessageVerifier(signature_algorithm=ORACLE[key.algorithm], key_resolver=Keys(key))
    results = verifier.verify(Message(method, url, signed), expect_tag="parvis-link")
    assert [result.parameters["keyid"] for result in results] == [key.key_id]


@pytest.mark.parametrize("key", [RSA, ED25519])
@pytest.mark.parametrize("alg", [True, False])
@pytest.mark.parametrize(
    "covered",
    [USUAL, ["@query", "@path", "@scheme", "@request-target", "@authority", "@method", "content-digest"]],
)
def test_we_accept_what_another_implementation_signs(key: keys.PrivateKey, alg: bool, covered: list[str]) -> None:
    message = Message("POST", URL + "?a=%C3%A9", dict(CONTENT))
    HTTPMessageSigner(signature_algorithm=ORACLE[key.algorithm], key_resolver=Keys(key)).sign(
        message,
        key_id=key.key_id,
        created=datetime.fromtimestamp(SECONDS),
        covered_component_ids=covered,
        include_alg=alg,
        nonce='a"b\\c, d',
        body=BODY,
    )
    received = {name.lower(): value for name, value in message.headers.items()}
    facts = parse(received, url=message.url)
    check(facts, key.public(OWNER))
    assert facts.nonce == 'a"b\\c, d'
