"""RFC 9421 HTTP Message Signatures, in the profile that two instances of ours speak.

Demanded of strangers: `created`, `@method`, the whole target (`@target-uri`, or `@authority` with `@path`
and `@query`), and `content-digest` when there is a body (advisories S6, S8). The target is the one the caller
built from the configured base URL. Algorithms: ed25519 and rsa-v1_5-sha256. The signature parameters are
replayed exactly as they were written. Components with parameters (`;req`, `;sf`, …) are refused.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import http_sf

from federation.errors import Malformed, Untrusted
from federation.signatures.clock import ClockWindow
from federation.signatures.digests import check_present_digests, content_digest
from federation.signatures.facts import Attempts, SignatureFacts
from federation.signatures.keys import PrivateKey
from federation.signatures.parts import as_base, header_value, needs_digest, target_of
from federation.signatures.structured import read_dictionary, refuse_duplicate

__all__ = ["LINK_TAG", "parse", "sign", "signature_base"]

LINK_TAG = "parvis-link"
ACCEPTED_TAGS: frozenset[str | None] = frozenset({None, LINK_TAG})
LONGEST_LIFE = 300  # seconds between created and expires in what we send
LONGEST_HEADER = 8192  # characters
LONGEST_NONCE = 256  # characters
MOST_SIGNATURES = 3
MOST_COVERED = 32  # components

_MEMBER = re.compile(
    r'[ \t]*([a-z*][a-z0-9_.*-]*)=(\((?:[^"()]|"(?:[^"\\]|\\.)*")*+\)(?:[^",()]|"(?:[^"\\]|\\.)*")*+)(,|\Z)'
)
_ATTEMPTS: dict[str | None, Attempts] = {
    None: {"rsa": ("sha256",), "ed25519": ("sha256",)},
    "rsa-v1_5-sha256": {"rsa": ("sha256",)},
    "ed25519": {"ed25519": ("sha256",)},
}


@dataclass(frozen=True, slots=True)
class _Candidate:
    raw: str
    covered: tuple[str, ...]
    parameters: Mapping[str, Any]
    signature: bytes

    def text(self, name: str) -> str | None:
        value = self.parameters.get(name)
        if value is not None and not isinstance(value, str):
            raise Malformed("A signature parameter has the wrong type.", name)
        return value

    def seconds(self, name: str) -> int | None:
        value = self.parameters.get(name)
        if value is not None and type(value) is not int:
            raise Malformed("A signature parameter has the wrong type.", name)
        return value


def sign(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    key: PrivateKey,
    now: int,
    *,
    nonce: str | None = None,
    tag: str | None = None,
    lifetime: int = LONGEST_LIFE,
) -> dict[str, str]:
    """The headers to send: those given, content-digest (for bodies), signature-input and signature.

    `now` is in ms, `lifetime` in seconds (at most 300). Without `nonce`, a random one of 128 bits is made.
    """
    signed = dict(headers)
    covered = ["@method", "@target-uri"]
    if needs_digest(method, body):
        signed["content-digest"] = content_digest(body)
        covered += ["content-digest", *(["content-type"] if "content-type" in signed else [])]
    created = now // 1000
    parameters: dict[str, str | int] = {
        "created": created,
        "expires": created + min(lifetime, LONGEST_LIFE),
        "keyid": key.key_id,
        "nonce": nonce or secrets.token_urlsafe(16),
    }
    if tag is not None:
        parameters["tag"] = tag
    inner_list: Any = ([(name, {}) for name in covered], parameters)
    raw = http_sf.ser([inner_list])
    value = key.sign(signature_base(method, url, signed, covered, raw))
    signed["signature-input"] = f"sig1={raw}"
    signed["signature"] = f"sig1=:{base64.b64encode(value).decode('ascii')}:"
    return signed


def signature_base(method: str, url: str, headers: Mapping[str, str], covered: Sequence[str], raw: str) -> bytes:
    """The signature base of RFC 9421 §2.5; `raw` is the value of `@signature-params` as written.

    Raises Malformed for a component outside this profile, Untrusted for a header that is missing.
    """
    lines = [f'"{name}": {_component(name, method, url, headers)}' for name in covered]
    lines.append(f'"@signature-params": {raw}')
    return as_base("\n".join(lines))


def _component(name: str, method: str, url: str, headers: Mapping[str, str]) -> str:
    if not name.startswith("@"):
        return header_value(headers, name)
    if name == "@method":
        return method
    if name == "@target-uri":
        return url
    target = target_of(url)
    derived = {
        "@authority": target.authority,
        "@scheme": target.scheme,
        "@path": target.path,
        "@query": target.query or "?",
        "@request-target": target.path + target.query,
    }
    if name not in derived:
        raise Malformed("The signature covers a component that is not understood here.", name)
    return derived[name]


def parse(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: int,
    window: ClockWindow,
    knows: Callable[[str], bool] | None = None,
) -> SignatureFacts:
    """Reads the signature and refuses what no key could make right.

    With several signatures, the one that counts is the only one made for this application (by its tag)
    or, failing that, the only one whose key id `knows` says is known; otherwise none is. Raises Malformed
    (400) when it can be read in two ways or not at all, Untrusted (401) for everything that is not proved.
    """
    chosen = _choose(_candidates(headers), knows)
    digest_needed = needs_digest(method, body)
    _demand(chosen.covered, digest_needed)
    label = chosen.text("alg")
    if label not in _ATTEMPTS:
        raise Untrusted("The signature names an algorithm that is not accepted here.", str(label))
    created = _moment(chosen, now, window)
    if digest_needed:
        check_present_digests(headers, body)
    return SignatureFacts(
        key_id=chosen.text("keyid") or "",
        algorithm=label,
        covered=chosen.covered,
        created=created,
        nonce=_nonce(chosen),
        scheme="rfc9421",
        signature=chosen.signature,
        bases=(signature_base(method, url, headers, chosen.covered, chosen.raw),),
        attempts=_ATTEMPTS[label],
        tag=chosen.text("tag"),
    )


def _candidates(headers: Mapping[str, str]) -> list[_Candidate]:
    inputs = _split(headers.get("signature-input", "").strip())
    values = read_dictionary(headers.get("signature", ""), "Signature")
    if set(inputs) != set(values) or not inputs:
        raise Malformed("Signature-Input and Signature do not name the same labels.")
    return [_candidate(label, raw, values[label][0]) for label, raw in inputs.items()]


def _split(header: str) -> dict[str, str]:
    """Label → its parameters as written; each is parsed on its own, so what is read is what is replayed."""
    if len(header) > LONGEST_HEADER:
        raise Malformed("The Signature-Input header is too long.")
    if '%"' in header:  # a display string: no parameter of ours is one, and escapes are read differently in it
        raise Malformed("The Signature-Input header cannot be read, or holds too many signatures.")
    found: dict[str, str] = {}
    position = 0
    while position < len(header):
        match = _MEMBER.match(header, position)
        if match is None or len(found) == MOST_SIGNATURES:
            raise Malformed("The Signature-Input header cannot be read, or holds too many signatures.")
        if match[1] in found:
            refuse_duplicate(match[1], "label")
        found[match[1]] = match[2].rstrip(" \t")
        position = match.end()
    return found


def _candidate(label: str, raw: str, signature: Any) -> _Candidate:
    components, parameters = read_dictionary(f"{label}={raw}", "Signature-Input")[label]
    if not isinstance(signature, bytes) or not signature:
        raise Malformed("A signature is not a byte sequence.")
    if len(components) > MOST_COVERED:
        raise Malformed("The signature covers too many components.")
    for name, options in components:
        if not isinstance(name, str) or options or name != name.lower():
            raise Malformed("The signature covers a component that is not understood here.", str(name))
    covered = tuple(name for name, _ in components)
    if len(set(covered)) != len(covered):
        refuse_duplicate(" ".join(covered), "components")
    return _Candidate(raw, covered, parameters, signature)


def _choose(candidates: list[_Candidate], knows: Callable[[str], bool] | None) -> _Candidate:
    ours = [one for one in candidates if one.text("keyid") and one.text("tag") in ACCEPTED_TAGS]
    if not ours:
        raise Untrusted("No signature names its key and is made for this purpose.")
    if len(ours) > 1 and knows is not None:
        ours = [one for one in ours if knows(one.text("keyid") or "")]
    if len(ours) != 1:
        raise Untrusted("There are several signatures and nothing says which one counts.")
    return ours[0]


def _demand(covered: tuple[str, ...], digest_needed: bool) -> None:
    names = set(covered)
    if "@method" not in names:
        raise Untrusted("The signature must cover @method.")
    if "@target-uri" not in names and not names >= {"@authority", "@path", "@query"}:
        raise Untrusted("The signature must cover @target-uri, or @authority with @path and @query.")
    if digest_needed and "content-digest" not in names:
        raise Untrusted("The signature must cover content-digest.")


def _moment(chosen: _Candidate, now: int, window: ClockWindow) -> int:
    created, expires = chosen.seconds("created"), chosen.seconds("expires")
    if created is None:
        raise Untrusted("The signature must say when it was created.")
    window.check(created * 1000, now)
    if expires is not None and expires * 1000 < now:
        raise Untrusted("The signature has expired.")
    return created * 1000


def _nonce(chosen: _Candidate) -> str | None:
    nonce = chosen.text("nonce")
    if nonce is not None and len(nonce) > LONGEST_NONCE:
        raise Malformed("The nonce is too long.")
    return nonce
