"""draft-cavage-http-signatures-12, as the fediverse speaks it.

Stricter than most: `(request-target)`, `host`, a time, and for bodies a digest must all be covered (advisory
S6); a parameter said twice is refused (O22); the host is ours as configured, whatever the Host header says
(S8). As lenient as GoToSocial in one thing: the request-target may be signed without its query.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping

from federation.errors import Malformed, Untrusted
from federation.signatures.clock import ClockWindow, http_date, read_http_date
from federation.signatures.digests import check_present_digests, digest
from federation.signatures.facts import Attempts, SignatureFacts
from federation.signatures.keys import PrivateKey
from federation.signatures.parts import as_base, header_value, needs_digest, target_of
from federation.signatures.structured import refuse_duplicate

__all__ = ["parse", "sign", "signature_text"]

LONGEST_HEADER = 8192  # characters
MOST_COVERED = 32  # header names

_PARAMETER = re.compile(r'[ \t]*([A-Za-z]+)[ \t]*=[ \t]*(?:"([^"\\]*)"|([^\s",]+))[ \t]*(,|\Z)')
_SECONDS = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?")
_EITHER_RSA: Attempts = {"rsa": ("sha256", "sha512"), "ed25519": ("sha256",)}
_ATTEMPTS: dict[str | None, Attempts] = {
    None: _EITHER_RSA,
    "hs2019": _EITHER_RSA,
    "rsa-sha256": {"rsa": ("sha256",)},
    "ed25519": {"ed25519": ("sha256",)},
}
_LABELS = {"rsa": "rsa-sha256", "ed25519": "hs2019"}


def sign(method: str, url: str, headers: Mapping[str, str], body: bytes, key: PrivateKey, now: int) -> dict[str, str]:
    """The headers to send: those given, and host, date, digest (for bodies) and signature; `now` in ms."""
    signed = {**headers, "host": target_of(url).authority, "date": http_date(now)}
    covered = ["(request-target)", "host", "date"]
    if needs_digest(method, body):
        signed["digest"] = digest(body)
        covered += ["digest", *(["content-type"] if "content-type" in signed else [])]
    text = f"{_request_target(method, url)}\n{_header_lines(covered[1:], signed)}"
    value = base64.b64encode(key.sign(text.encode("ascii"))).decode("ascii")
    signed["signature"] = (
        f'keyId="{key.key_id}",algorithm="{_LABELS[key.algorithm]}",headers="{" ".join(covered)}",signature="{value}"'
    )
    return signed


def _request_target(method: str, url: str) -> str:
    target = target_of(url)
    return f"(request-target): {method.lower()} {target.path}{target.query}"


def _header_lines(names: list[str], headers: Mapping[str, str]) -> str:
    return "\n".join(f"{name}: {headers[name]}" for name in names)


def signature_text(headers: Mapping[str, str]) -> str | None:
    """The parameters of a draft-cavage signature, from either header; Malformed when both carry one."""
    authorization = headers.get("authorization", "")
    carried = authorization[10:] if authorization[:10].lower() == "signature " else None
    if carried is not None and "signature" in headers:
        raise Malformed("The request carries two signatures.")
    return headers.get("signature", carried)


def parse(
    method: str, url: str, headers: Mapping[str, str], body: bytes, *, now: int, window: ClockWindow
) -> SignatureFacts:
    """Reads the signature and refuses what no key could make right.

    Raises Malformed (400) when it can be read in two ways or not at all, Untrusted (401) when something
    that must be covered is not, the digest does not fit, or the time is outside `window`; `now` in ms.
    """
    text = signature_text(headers)
    if text is None:
        raise Untrusted("The request is not signed.")
    parameters = _parameters(text)
    key_id, signature = _required(parameters, "keyid"), _decode(_required(parameters, "signature"))
    label = _label(parameters)
    covered = _covered(parameters, label)
    created = _moment(parameters, covered, headers, now, window)
    _demand(covered, needs_digest(method, body))
    if needs_digest(method, body):
        check_present_digests(headers, body)
    return SignatureFacts(
        key_id=key_id,
        algorithm=label,
        covered=covered,
        created=created,
        nonce=None,
        scheme="cavage",
        signature=signature,
        bases=_bases(method, url, headers, covered, parameters),
        attempts=_ATTEMPTS[label],
    )


def _parameters(text: str) -> dict[str, str]:
    if len(text) > LONGEST_HEADER:
        raise Malformed("The Signature header is too long.")
    found: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _PARAMETER.match(text, position)
        if match is None:
            raise Malformed("The Signature header cannot be read.", f"at {position}")
        name = match[1].lower()
        if name in found:
            refuse_duplicate(name, "parameter")
        found[name] = match[2] if match[3] is None else match[3]
        position = match.end()
    return found


def _required(parameters: Mapping[str, str], name: str) -> str:
    value = parameters.get(name)
    if not value:
        raise Malformed("The Signature header lacks keyId or signature.", name)
    return value


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Malformed("The signature is not base64.", str(error)) from None


def _label(parameters: Mapping[str, str]) -> str | None:
    label = parameters.get("algorithm")
    if label not in _ATTEMPTS:
        raise Untrusted("The signature names an algorithm that is not accepted here.", f"{label!r}")
    return label


def _covered(parameters: Mapping[str, str], label: str | None) -> tuple[str, ...]:
    names = tuple(parameters.get("headers", "date").lower().split())
    if not names or len(names) > MOST_COVERED:
        raise Malformed("The list of signed headers is empty or too long.")
    if len(set(names)) != len(names):
        refuse_duplicate(" ".join(names), "signed headers")
    if label == "rsa-sha256" and {"(created)", "(expires)"} & set(names):
        raise Malformed("An rsa-sha256 signature cannot cover (created) or (expires).")
    return names


def _moment(
    parameters: Mapping[str, str],
    covered: tuple[str, ...],
    headers: Mapping[str, str],
    now: int,
    window: ClockWindow,
) -> int:
    moments: list[int] = []
    if "(created)" in covered:
        moments.append(_milliseconds(parameters, "created"))
    if "date" in covered:
        moments.append(read_http_date(header_value(headers, "date")))
    if not moments:
        raise Untrusted("The signature covers neither date nor (created).")
    for moment in moments:
        window.check(moment, now)
    if "expires" in parameters and _milliseconds(parameters, "expires") < now:
        raise Untrusted("The signature has expired.")
    return moments[0]


def _milliseconds(parameters: Mapping[str, str], name: str) -> int:
    text = parameters.get(name, "")
    if _SECONDS.fullmatch(text) is None:
        raise Malformed("A time in the Signature header is missing or not a number.", name)
    return int(float(text) * 1000)


def _demand(covered: tuple[str, ...], digest_needed: bool) -> None:
    missing = {"(request-target)", "host"}.difference(covered)
    if missing:
        raise Untrusted("The signature must cover (request-target) and host.", " ".join(sorted(missing)))
    if digest_needed and not {"digest", "content-digest"} & set(covered):
        raise Untrusted("The signature must cover a digest of the body.")


def _bases(
    method: str, url: str, headers: Mapping[str, str], covered: tuple[str, ...], parameters: Mapping[str, str]
) -> tuple[bytes, ...]:
    target = target_of(url)
    lines = [_line(name, target.authority, headers, parameters) for name in covered]
    where = covered.index("(request-target)")
    bases = []
    for query in dict.fromkeys((target.query, "")):
        lines[where] = f"(request-target): {method.lower()} {target.path}{query}"
        bases.append(as_base("\n".join(lines)))
    return tuple(bases)


def _line(name: str, authority: str, headers: Mapping[str, str], parameters: Mapping[str, str]) -> str:
    if name == "(request-target)":
        return ""
    if name == "host":
        return f"host: {authority}"
    if name in ("(created)", "(expires)"):
        return f"{name}: {_required_time(parameters, name.strip('()'))}"
    return f"{name}: {header_value(headers, name)}"


def _required_time(parameters: Mapping[str, str], name: str) -> str:
    _milliseconds(parameters, name)
    return parameters[name]
